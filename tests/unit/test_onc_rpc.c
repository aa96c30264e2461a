// SPDX-License-Identifier: BSD-2-Clause
/*
 * The ONC RPC recogniser and parser against the heads and records that libtirpc makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <rpc/rpc.h>

#include "bytes.h"
#include "conversation.h"

enum { LAST = 1u << 31 };

struct blob {
	uint8_t bytes[1 << 15];
	size_t size;
};

static struct opaque_auth auth(int flavor, u_int size)
{
	static char zeros[MAX_AUTH_BYTES];
	return (struct opaque_auth){ flavor, zeros, size };
}

static struct rpc_msg call(uint32_t xid, rpcprog_t program, rpcvers_t version, rpcproc_t procedure,
			   u_int credential)
{
	struct rpc_msg m = { .rm_xid = xid, .rm_direction = CALL };
	m.rm_call = (struct call_body){ 2,
					program,
					version,
					procedure,
					auth(credential ? AUTH_SYS : AUTH_NONE, credential),
					auth(AUTH_NONE, 0) };
	return m;
}

/* The results of a procedure. */
static bool_t nothing(XDR *xdr, ...)
{
	(void)xdr;
	return TRUE;
}

static struct rpc_msg accepted(uint32_t xid, enum accept_stat stat)
{
	struct rpc_msg m = { .rm_xid = xid, .rm_direction = REPLY };
	m.rm_reply.rp_stat = MSG_ACCEPTED;
	m.acpted_rply.ar_verf = auth(AUTH_NONE, 0);
	m.acpted_rply.ar_stat = stat;
	if (stat == SUCCESS)
		m.acpted_rply.ar_results.proc = nothing;
	return m;
}

static struct rpc_msg denied(uint32_t xid, enum reject_stat stat, enum auth_stat why)
{
	struct rpc_msg m = { .rm_xid = xid, .rm_direction = REPLY };
	m.rm_reply.rp_stat = MSG_DENIED;
	m.rjcted_rply.rj_stat = stat;
	m.rjcted_rply.rj_why = why;
	return m;
}

/* The head as libtirpc writes it, and `more` bytes behind. */
static struct blob encode(struct rpc_msg m, size_t more)
{
	struct blob b = { .size = 0 };
	XDR xdr;
	xdrmem_create(&xdr, (char *)b.bytes, sizeof(b.bytes), XDR_ENCODE);
	assert_true(m.rm_direction == CALL ? xdr_callmsg(&xdr, &m) : xdr_replymsg(&xdr, &m));
	b.size = xdr_getpos(&xdr) + more;
	xdr_destroy(&xdr);
	return b;
}

static void put(struct blob *b, const void *bytes, size_t size)
{
	memcpy(b->bytes + b->size, bytes, size);
	b->size += size;
}

/* Appends it as a record, in fragments of at most `fragment` bytes. */
static void put_record(struct blob *to, const struct blob *message, size_t fragment)
{
	for (size_t at = 0; at < message->size; at += fragment) {
		size_t n = message->size - at < fragment ? message->size - at : fragment;
		uint32_t mark = (uint32_t)n | (at + n == message->size ? LAST : 0);
		put(to, (const uint8_t[4]){ mark >> 24, mark >> 16 & 255, mark >> 8 & 255, mark & 255 }, 4);
		put(to, message->bytes + at, n);
	}
}

static struct blob record(struct rpc_msg m, size_t more)
{
	struct blob to = { .size = 0 }, message = encode(m, more);
	put_record(&to, &message, message.size);
	return to;
}

static void feed(int way, const struct blob *b)
{
	move(way, b->bytes, b->size);
}

static void expect_told(const char *text)
{
	assert_string_equal(told, text);
	assert_int_equal(lost, 0);
}

static void test_recognised(void **state)
{
	const struct rpc_msg rows[] = { call(1, 100000, 2, 3, 0),   call(0xffffffff, 536870913, 1, 7, 400),
					accepted(7, SUCCESS),	    accepted(7, GARBAGE_ARGS),
					denied(7, RPC_MISMATCH, 0), denied(7, AUTH_ERROR, AUTH_TOOWEAK) };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct blob message = encode(rows[i], 0), stream = record(rows[i], 0);
		size_t needed = i < 2 ? 44 : 24;
		for (size_t size = 0; size < stream.size; size++)
			if (ipc_is_onc_rpc(stream.bytes, size, true))
				assert_true(size >= needed);
			else
				assert_true(size < needed + 4);
		assert_int_equal(ipc_recognise(stream.bytes, stream.size, true), IPC_PROTO_onc_rpc);
		/* Of datagrams only the calls. */
		assert_int_equal(ipc_recognise(message.bytes, message.size, false),
				 i < 2 ? IPC_PROTO_onc_rpc : IPC_PROTO_none);
		assert_false(ipc_is_onc_rpc(message.bytes, message.size, true));
	}
}

static void test_others_are_not_recognised(void **state)
{
	uint8_t bytes[64];
	(void)state;
	srandom(1);
	for (int round = 0; round < 100000; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(random() >> 8);
		/* Zeros, and small numbers among them. */
		for (size_t i = 0; round % 2 && i < sizeof(bytes); i++)
			bytes[i] = bytes[i] % 8 || i % 4 != 3 ? 0 : bytes[i] % 3;
		assert_false(ipc_is_onc_rpc(bytes, sizeof(bytes), true));
		assert_false(round % 2 == 0 && ipc_is_onc_rpc(bytes, sizeof(bytes), false));
	}
}

static void test_calls_and_replies(void **state)
{
	struct blob there = record(call(1, 100000, 4, 3, 24), 52), back = record(accepted(1, SUCCESS), 20);
	struct blob more = record(call(2, 536870913, 1, 3, 0), 0);
	(void)state;
	put(&there, more.bytes, more.size);
	more = record(accepted(2, PROC_UNAVAIL), 0);
	put(&back, more.bytes, more.size);
	more = record(denied(3, AUTH_ERROR, AUTH_TOOWEAK), 0);
	put(&back, more.bytes, more.size);
	more = record(denied(4, RPC_MISMATCH, 0), 0);
	put(&back, more.bytes, more.size);
	wherever_the_hole(IPC_PROTO_onc_rpc, there.bytes, there.size, 68, 120);
	whatever_the_calls(IPC_PROTO_onc_rpc, there.bytes, there.size);
	expect_told(" there=call bytes=120 body=52 id=1 name=portmapper v4 GETADDR \n="
		    " there=call at=120 bytes=44 id=2 name=536870913 v1 proc 3 \n=");
	whatever_the_calls(IPC_PROTO_onc_rpc, back.bytes, back.size);
	expect_told(" there=reply bytes=48 body=20 id=1 status=SUCCESS \n="
		    " there=reply at=48 bytes=28 id=2 failed=PROC_UNAVAIL \n="
		    " there=reply at=76 bytes=24 id=3 failed=AUTH_TOOWEAK \n="
		    " there=reply at=100 bytes=28 id=4 failed=RPC_MISMATCH \n=");
}

static void expect_name(rpcprog_t program, rpcvers_t version, rpcproc_t procedure, const char *name)
{
	struct blob b = record(call(1, program, version, procedure, 0), 0);
	char expected[128];
	begin_conversation(IPC_PROTO_onc_rpc, true);
	feed(THERE, &b);
	snprintf(expected, sizeof(expected), " there=call bytes=44 id=1 name=%s \n=", name);
	expect_told(expected);
}

static void test_names(void **state)
{
	(void)state;
	expect_name(100000, 2, 4, "portmapper v2 DUMP");
	expect_name(100000, 3, 0, "portmapper v3 NULL");
	expect_name(100000, 4, 12, "portmapper v4 GETSTAT");
	expect_name(100000, 4, 13, "portmapper v4 proc 13");
	expect_name(100003, 3, 21, "nfs v3 COMMIT");
	expect_name(100003, 4, 1, "nfs v4 COMPOUND");
	expect_name(100003, 2, 1, "nfs v2 proc 1");
	expect_name(100005, 3, 5, "mountd v3 EXPORT");
	expect_name(100021, 4, 2, "nlockmgr v4 LOCK");
	expect_name(100024, 1, 6, "status v1 NOTIFY");
	expect_name(100001, 3, 1, "rstatd v3 proc 1");
	expect_name(4294967295, 4294967295, 4294967295, "4294967295 v4294967295 proc 4294967295");
}

/* However small the fragments: the head is found in them, the next record behind the last. */
static void test_fragments(void **state)
{
	struct blob message = encode(call(9, 536870913, 1, 3, 24), 200),
		    next = record(accepted(9, SUCCESS), 0);
	char expected[128];
	(void)state;
	for (size_t fragment = 1; fragment <= message.size; fragment++) {
		struct blob b = { .size = 0 };
		put_record(&b, &message, fragment);
		snprintf(
			expected, sizeof(expected),
			" there=call bytes=%zu body=200 id=9 name=536870913 v1 proc 3 \n= there=reply at=%zu",
			b.size, b.size);
		put(&b, next.bytes, next.size);
		begin_conversation(IPC_PROTO_onc_rpc, true);
		feed(THERE, &b);
		assert_memory_equal(told, expected, strlen(expected));
		assert_int_equal(lost, 0);
	}
}

/* The same in any calls, but for where it ends: that is known only where its last mark has come with its
 * head. */
static void test_fragments_in_calls(void **state)
{
	struct blob message = encode(call(9, 536870913, 1, 3, 24), 200), b = { .size = 0 };
	(void)state;
	put_record(&b, &message, 100);
	put_record(&b, &message, 100);
	for (size_t cut = 1; cut < b.size; cut++) {
		begin_conversation(IPC_PROTO_onc_rpc, true);
		move(THERE, b.bytes, cut);
		move(THERE, b.bytes + cut, b.size - cut);
		const char *second = strstr(told + 2, "there=call");
		assert_non_null(strstr(told, "id=9 name=536870913 v1 proc 3 \n= there=call at=276 "));
		assert_non_null(second);
		assert_null(strstr(second + 1, "there=call"));
		assert_int_equal(lost, 0);
	}
}

/* As libtirpc's own record streams write it. */
static int write_record(void *to, void *bytes, int size)
{
	put(to, bytes, (size_t)size);
	return size;
}

static void test_libtirpc_record(void **state)
{
	struct rpc_msg m = call(5, 100000, 2, 3, 8);
	struct blob b = { .size = 0 };
	char arguments[6000] = { 0 };
	XDR xdr = { .x_op = XDR_ENCODE };
	(void)state;
	xdrrec_create(&xdr, 1000, 1000, &b, NULL, write_record);
	xdr.x_op = XDR_ENCODE;
	for (int i = 0; i < 2; i++)
		assert_true(xdr_callmsg(&xdr, &m) && xdr_opaque(&xdr, arguments, sizeof(arguments)) &&
			    xdrrec_endofrecord(&xdr, TRUE));
	xdr_destroy(&xdr);
	begin_conversation(IPC_PROTO_onc_rpc, true);
	assert_int_equal(ipc_recognise(b.bytes, 256, true), IPC_PROTO_onc_rpc);
	feed(THERE, &b);
	assert_int_equal(strncmp(told, " there=call bytes=", 18), 0);
	assert_non_null(strstr(told, " body=6000 id=5 name=portmapper v2 GETPORT \n= there=call at="));
	assert_int_equal(lost, 0);
}

static void test_datagrams(void **state)
{
	struct blob there = encode(call(1, 100000, 2, 0, 0), 0), back = encode(accepted(1, PROG_MISMATCH), 0);
	(void)state;
	begin_conversation(IPC_PROTO_onc_rpc, false);
	feed(THERE, &there);
	feed(BACK, &back);
	feed(THERE, &there);
	expect_told(" there=call bytes=40 id=1 name=portmapper v2 NULL \n="
		    " back=reply bytes=32 id=1 failed=PROG_MISMATCH \n="
		    " there=call at=40 bytes=40 id=1 name=portmapper v2 NULL \n=");
	for (size_t size = 1; size < 40; size++)
		move(THERE, there.bytes, size);
	assert_int_equal(lost, 39);
	feed(THERE, &there);
	assert_int_equal(lost, 39);
}

/* Arguments that the window does not hold. */
static void test_large_arguments(void **state)
{
	struct blob message = encode(call(1, 100003, 3, 7, 24), 0), b = { .size = 0 };
	struct blob next = record(accepted(1, SUCCESS), 0);
	const uint8_t mark[] = { 0x80, 0x10, 0, 0 };
	(void)state;
	begin_conversation(IPC_PROTO_onc_rpc, true);
	put(&b, mark, 4);
	put(&b, message.bytes, message.size);
	move_part(THERE, b.bytes, 1 << 19, b.size);
	move_part(THERE, b.bytes, (1 << 19) + 4, 0);
	feed(THERE, &next);
	expect_told(" there=call bytes=1048580 body=1048512 id=1 name=nfs v3 WRITE \n="
		    " there=reply at=1048580 bytes=28 id=1 status=SUCCESS \n=");
}

static void test_found_again(void **state)
{
	struct blob b = record(call(1, 100000, 2, 3, 0), 8), junk = { .size = 100 };
	(void)state;
	begin_conversation(IPC_PROTO_onc_rpc, true);
	memset(junk.bytes, 'x', junk.size);
	feed(THERE, &junk);
	assert_int_equal(lost, 1);
	move(THERE, b.bytes + 8, b.size - 8);
	move(THERE, b.bytes, 4);
	move(THERE, b.bytes + 4, b.size - 4);
	assert_string_equal(told, " there=call at=144 bytes=52 body=8 id=1 name=portmapper v2 GETPORT \n=");
	assert_int_equal(lost, 1);
}

/* Each byte of heads changed: what libtirpc's decoder takes is taken. */
static void test_corrupt(void **state)
{
	struct blob rows[] = { encode(call(1, 2, 3, 4, 8), 0), encode(accepted(1, PROC_UNAVAIL), 0),
			       encode(denied(1, AUTH_ERROR, AUTH_BADCRED), 0) };
	(void)state;
	for (size_t row = 0; row < 3; row++)
		for (size_t i = 4; i < rows[row].size * 255; i++) {
			struct blob *b = &rows[row];
			uint8_t *byte = &b->bytes[i / 255], was = *byte;
			struct rpc_msg m = { .rm_xid = 0 };
			char memory[2][MAX_AUTH_BYTES];
			XDR xdr;

			*byte ^= (uint8_t)(i % 255 + 1);
			m.rm_call.cb_cred.oa_base = memory[0];
			m.rm_call.cb_verf.oa_base = memory[1];
			bool is_call = bytes_be32(b->bytes + 4) == CALL;
			if (!is_call)
				m.acpted_rply.ar_verf.oa_base = memory[0],
				m.acpted_rply.ar_results.proc = nothing;
			xdrmem_create(&xdr, (char *)b->bytes, (u_int)b->size, XDR_DECODE);
			bool taken = is_call ? xdr_callmsg(&xdr, &m) : xdr_replymsg(&xdr, &m);
			xdr_destroy(&xdr);
			/* It takes any status of what was accepted. */
			if (row == 1 && bytes_be32(b->bytes + 20) > SYSTEM_ERR)
				taken = false;
			begin_conversation(IPC_PROTO_onc_rpc, false);
			feed(THERE, b);
			if (taken != (told_size > 0))
				fail_msg("row %zu, byte %zu: %s", row, i / 255, told);
			*byte = was;
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recognised),	  cmocka_unit_test(test_others_are_not_recognised),
		cmocka_unit_test(test_calls_and_replies), cmocka_unit_test(test_names),
		cmocka_unit_test(test_fragments),	  cmocka_unit_test(test_fragments_in_calls),
		cmocka_unit_test(test_libtirpc_record),	  cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_large_arguments),	  cmocka_unit_test(test_found_again),
		cmocka_unit_test(test_corrupt),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	end_conversation();
	return failed;
}
