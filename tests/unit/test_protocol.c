// SPDX-License-Identifier: BSD-2-Clause
/*
 * From payloads and events to protocol_messages (records.h), with a protocol made up for it in the place of
 * the real ones: a head of eight bytes and a body. The head is what it is, a letter (C, c: call, R, r: reply,
 * U: of unknown length; small ones are not numbered), its number, a digit, and the length of its body, six
 * digits.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <malloc.h>
#include <netinet/in.h>
#include <unistd.h>

#include "protocol.h"
#include "records.h"

enum { HEAD = 8, CLIENT = 20, SERVER = 10, A = 201, B = 202, STREAM = IPC_MECH_unix_stream };

/* ---- the protocol ---- */

static size_t closed;

static bool is_head(const uint8_t *bytes, size_t size)
{
	return size && strchr("CRUcr", bytes[0]) && bytes[0];
}

static int64_t parse(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	char length[7] = "";
	if (!is_head(bytes, size))
		return PROTO_BAD;
	if (size < HEAD)
		return PROTO_MORE;
	memcpy(length, bytes + 2, 6);
	uint64_t body = strtoull(length, NULL, 10);
	struct proto_note note = {
		.kind = bytes[0] == 'R' || bytes[0] == 'r' ? PROTO_REPLY : PROTO_CALL,
		.numbered = bytes[0] < 'a',
		.id = bytes[1],
		.bytes = bytes[0] == 'U' ? 0 : HEAD + body,
		.body = body,
		.name = { (const char *)bytes, HEAD },
	};
	side->middle = false;
	side->noted(side, &note);
	return (int64_t)(HEAD + body);
}

static void closes(struct proto_conversation *conversation)
{
	(void)conversation;
	closed++;
}

static const struct protocol toy = { parse, closes };

const struct protocol *const protocols[IPC_PROTOCOLS] = { [IPC_PROTO_dbus] = &toy };

enum ipc_protocol ipc_recognise(const uint8_t *bytes, size_t size, bool stream)
{
	(void)stream;
	return is_head(bytes, size) ? IPC_PROTO_dbus : IPC_PROTO_none;
}

/* ---- what a source tells ---- */

static uint64_t tail_size; /* of the next payload */

static void payload(int thread_number, uint64_t object, uint64_t start, const char *bytes, size_t size)
{
	union {
		struct ipc_def def;
		struct ipc_event slots[1 + IPC_TEXT_MAX / IPC_SLOT];
	} record = { .def = { .call = IPC_DEF_PAYLOAD, .thread = thread_number, .time = start } };
	record.def.payload.object = object;
	record.def.payload.start = start;
	record.def.text = size;
	record.def.payload.tail = tail_size;
	tail_size = 0;
	memcpy(&record.slots[1], bytes, size);
	tell(record.slots);
}

static void moves_at(int thread_number, enum ipc_call_id call, uint64_t object, uint64_t start,
		     uint64_t end_ns, const char *bytes, int64_t moved)
{
	unsigned int fd = (unsigned int)ipc_object_id(object) % 1000;
	if (bytes)
		payload(thread_number, object, start, bytes, strlen(bytes));
	event_at(thread_number, call, start, end_ns, object, moved, ipc_arg0(fd, O_RDWR),
		 bytes ? IPC_F_PAYLOAD : 0);
}

static uint64_t sock(uint64_t inode)
{
	return ipc_object(STREAM, inode);
}

static void sends(int thread_number, uint64_t inode, const char *bytes)
{
	moves_at(thread_number, IPC_CALL_sendto, sock(inode), now + 1, now + 3, bytes,
		 (int64_t)strlen(bytes));
}

static void receives(int thread_number, uint64_t inode, const char *bytes)
{
	moves_at(thread_number, IPC_CALL_recvfrom, sock(inode), now + 1, now + 3, bytes,
		 (int64_t)strlen(bytes));
}

static void socket_is(int process_number, uint64_t inode, uint64_t peer)
{
	struct ipc_def d = { .call = IPC_DEF_SOCKET, .thread = process_number };
	d.socket = (struct ipc_def_socket){ .object = sock(inode),
					    .peer = peer,
					    .state = peer ? IPC_SOCKET_PAIR : IPC_SOCKET_CONNECTED };
	define(d, "\0", 2);
}

static void opens(int process_number, enum ipc_call_id call, uint64_t inode, unsigned int flags)
{
	now++;
	event_at(process_number, call, now, now, sock(inode), 0, ipc_arg0((unsigned int)inode % 1000, O_RDWR),
		 flags);
}

/* SERVER makes a pair and keeps `A`; its child CLIENT has `B`. */
static void pair(void)
{
	begin();
	process(SERVER, 1, IPC_VIA_START);
	socket_is(SERVER, A, B);
	socket_is(SERVER, B, A);
	opens(SERVER, IPC_CALL_socketpair, A, 0);
	opens(SERVER, IPC_CALL_socketpair, B, IPC_F_PART);
	process(CLIENT, SERVER, IPC_VIA_FORK);
	opens(CLIENT, IPC_CALL_inherit, B, 0);
	opens(SERVER, IPC_CALL_close, B, 0);
}

/* Of `A`'s peer nothing is known. */
static void alone(void)
{
	begin();
	process(SERVER, 1, IPC_VIA_START);
	socket_is(SERVER, A, 0);
	opens(SERVER, IPC_CALL_socket, A, 0);
}

/* ---- what came of it ---- */

static size_t rows(void)
{
	return fake.protocols_count ? fake.protocols_count - 1 : 0;
}

static const struct store_protocol *row(size_t id)
{
	assert_in_range(id, 1, rows());
	return &fake.protocols[id];
}

static const struct store_event *event(uint64_t id)
{
	assert_in_range(id, 1, fake.events_count - 1);
	return &fake.events[id];
}

/* ---- the tests ---- */

static void a_call_and_its_reply(void **state)
{
	(void)state;
	pair();
	sends(CLIENT, B, "C1000002xx");
	receives(SERVER, A, "C1000002xx");
	sends(SERVER, A, "R1000000");
	receives(CLIENT, B, "R1000000");
	end();
	assert_int_equal(rows(), 2);
	assert_string_equal(row(1)->kind, "call");
	assert_string_equal(row(1)->name, "C1000002");
	assert_int_equal(row(1)->process_id, 2);
	assert_int_equal(row(1)->bytes, 10);
	assert_int_equal(row(1)->body, 2);
	assert_int_equal(event(row(1)->first_event)->result, 10);
	assert_int_equal(row(1)->first_event, row(1)->last_event);
	assert_true(row(1)->sent && row(1)->exact && row(1)->numbered);
	assert_string_equal(row(2)->kind, "reply");
	assert_int_equal(row(2)->process_id, 1);
	assert_int_equal(row(2)->call, 1);
	assert_int_equal(row(2)->channel_id, row(1)->channel_id);
	assert_true(row(2)->sent);
	assert_int_equal(closed, 1);
	assert_int_equal(lost(IPC_REASON_unparsed), 0);
}

static void in_pieces_and_several_at_once(void **state)
{
	(void)state;
	pair();
	sends(CLIENT, B, "C1");
	sends(CLIENT, B, "0000");
	sends(CLIENT, B, "05x");
	sends(CLIENT, B, "xxxxC2000000C3000001");
	sends(CLIENT, B, "x");
	end();
	assert_int_equal(rows(), 3);
	assert_int_equal(row(1)->offset, 0);
	assert_int_equal(row(1)->last_event, row(1)->first_event + 3);
	assert_int_equal(row(2)->offset, 13);
	assert_int_equal(row(2)->first_event, row(1)->last_event);
	assert_int_equal(row(2)->last_event, row(2)->first_event);
	assert_int_equal(row(3)->first_event, row(2)->first_event);
	assert_int_equal(row(3)->last_event, row(2)->first_event + 1);
	assert_true(row(3)->exact);
}

/* The place of what follows is known although only the first bytes are. */
static void bodies_that_nobody_saw(void **state)
{
	(void)state;
	pair();
	moves_at(CLIENT, IPC_CALL_sendto, sock(B), now + 1, now + 2, "C1020000abc", 10008);
	moves_at(CLIENT, IPC_CALL_sendto, sock(B), now + 1, now + 2, NULL, 9000);
	moves_at(CLIENT, IPC_CALL_write, sock(B), now + 1, now + 2, NULL, 1000);
	sends(CLIENT, B, "C2000000");
	end();
	assert_int_equal(rows(), 2);
	assert_int_equal(row(1)->bytes, 20008);
	assert_int_equal(row(1)->last_event, row(1)->first_event + 2);
	assert_int_equal(row(2)->offset, 20008);
	assert_true(row(2)->exact);
	assert_int_equal(lost(IPC_REASON_unparsed), 0);
}

/* What it would have said is lost; the next call begins anew. */
static void a_head_that_nobody_saw(void **state)
{
	(void)state;
	pair();
	sends(CLIENT, B, "C1000000");
	moves_at(CLIENT, IPC_CALL_sendto, sock(B), now + 1, now + 2, NULL, 8);
	sends(CLIENT, B, "C3000000");
	sends(CLIENT, B, "C4000000");
	end();
	assert_int_equal(rows(), 3);
	assert_int_equal(row(2)->offset, 16);
	assert_false(row(2)->exact);
	assert_true(row(3)->exact);
	assert_int_equal(lost(IPC_REASON_unparsed), 1);
}

static void the_other_end_is_outside(void **state)
{
	(void)state;
	alone();
	receives(SERVER, A, "C1000000");
	sends(SERVER, A, "R1000000");
	receives(SERVER, A, "C20000");
	receives(SERVER, A, "00");
	end();
	assert_int_equal(rows(), 3);
	assert_false(row(1)->sent);
	assert_true(row(2)->sent);
	assert_int_equal(row(2)->call, 1);
	assert_int_equal(row(3)->offset, 8);
	assert_int_equal(row(3)->last_event, row(3)->first_event + 1);
}

/* The send's return was late. */
static void the_reply_comes_first(void **state)
{
	(void)state;
	pair();
	uint64_t start = now + 1;
	now += 10;
	receives(SERVER, A, "C1000000");
	sends(SERVER, A, "R1000000");
	receives(CLIENT, B, "R1000000");
	moves_at(CLIENT, IPC_CALL_sendto, sock(B), start, now + 20, "C1000000", 8);
	end();
	assert_int_equal(rows(), 2);
	assert_string_equal(row(1)->kind, "reply");
	assert_int_equal(row(1)->call, 2);
}

static void pipelined(void **state)
{
	(void)state;
	pair();
	sends(CLIENT, B, "c-000000c-000000");
	sends(SERVER, A, "r-000000");
	sends(CLIENT, B, "c-000000");
	sends(SERVER, A, "r-000000r-000000");
	end();
	assert_int_equal(rows(), 6);
	assert_int_equal(row(3)->call, 1);
	assert_int_equal(row(5)->call, 2);
	assert_int_equal(row(6)->call, 4);
}

/* It ends where the next one begins, or with the turn. */
static void of_unknown_length(void **state)
{
	(void)state;
	pair();
	sends(CLIENT, B, "U1000002xx");
	moves_at(CLIENT, IPC_CALL_sendto, sock(B), now + 1, now + 2, NULL, 0);
	sends(CLIENT, B, "U2000000");
	sends(SERVER, A, "R1000000");
	sends(CLIENT, B, "U3000009x");
	sends(CLIENT, B, "xxxxxxxx");
	end();
	assert_int_equal(row(1)->bytes, 10);
	assert_int_equal(row(1)->last_event, row(1)->first_event);
	assert_int_equal(row(2)->bytes, 8);
	assert_int_equal(row(4)->bytes, 17);
	assert_int_equal(row(4)->last_event, row(4)->first_event + 1);
}

static void a_child_sends_too(void **state)
{
	(void)state;
	pair();
	sends(CLIENT, B, "C1000000");
	process(30, CLIENT, IPC_VIA_FORK);
	opens(30, IPC_CALL_inherit, B, 0);
	sends(30, B, "C2000000");
	sends(CLIENT, B, "C3000000");
	end();
	assert_int_equal(rows(), 3);
	assert_int_equal(row(2)->process_id, 3);
	assert_int_equal(row(2)->offset, 8);
	assert_true(row(2)->exact);
}

static void senders_at_once(void **state)
{
	(void)state;
	pair();
	thread(99, CLIENT, 99);
	uint64_t at = now;
	moves_at(CLIENT, IPC_CALL_sendto, sock(B), at + 1, at + 10, "C1000000", 8);
	moves_at(99, IPC_CALL_sendto, sock(B), at + 5, at + 20, "C2000000", 8);
	now = at + 30;
	sends(CLIENT, B, "C3000000");
	end();
	assert_true(row(1)->exact);
	assert_false(row(2)->exact);
	assert_true(row(3)->exact);
}

static void over_a_pipe(void **state)
{
	(void)state;
	pipe_between(1, 1);
	moves_at(11, IPC_CALL_write, pipe_object(), now + 1, now + 2, "C1000000", 8);
	moves_at(21, IPC_CALL_read, pipe_object(), now + 1, now + 2, "C1000000", 8);
	end();
	assert_int_equal(rows(), 1);
	assert_true(row(1)->sent);
}

/* Of a call that moved `moved` bytes these, of which the last are the last `tail`. */
static void sends_ends(const char *bytes, uint64_t tail, int64_t moved)
{
	tail_size = tail;
	moves_at(CLIENT, IPC_CALL_sendto, sock(B), now + 1, now + 3, bytes, moved);
}

static void behind_a_hole(void **state)
{
	(void)state;
	pair();
	sends_ends("C1000090xxxx"
		   "zzC2000000",
		   10, 106); /* 90 bytes of body, of which 4 and 2 */
	sends_ends("C3000090xxxx"
		   "C5000000",
		   8, 1000); /* what is between is not known */
	sends(CLIENT, B, "C6000000");
	sends_ends("C7000000", 8, 20);	 /* the beginning is not known either */
	sends_ends("C8000000", 1000, 8); /* of no source: all of it was told */
	end();
	assert_int_equal(rows(), 5);
	assert_string_equal(row(2)->name, "C2000000");
	assert_int_equal(row(2)->offset, 98);
	assert_int_equal(row(2)->first_event, row(1)->first_event);
	assert_true(row(2)->exact && row(3)->exact && !row(4)->exact && !row(5)->exact);
	assert_string_equal(row(4)->name, "C6000000");
	assert_string_equal(row(5)->name, "C8000000");
	assert_int_equal(lost(IPC_REASON_unparsed), 2);
}

static void what_nobody_knows_is_left_alone(void **state)
{
	(void)state;
	pair();
	for (int i = 0; i < 2 * IPC_RECOGNISE_TRIES; i++)
		sends(CLIENT, B, i < IPC_RECOGNISE_TRIES ? "no such thing" : "C1000000");
	end();
	assert_int_equal(rows(), 0);
	assert_int_equal(lost(IPC_REASON_unparsed), 0);
}

static void given_up(void **state)
{
	(void)state;
	pair();
	closed = 0;
	sends(CLIENT, B, "C1000000");
	for (int i = 0; i < 1000; i++) {
		sends(CLIENT, B, "C1");
		sends(CLIENT, B, "zzzzzzzz"); /* a head of length 0: parsed */
		sends(CLIENT, B, "no");
	}
	end();
	assert_true(lost(IPC_REASON_unparsed) > 0);
	assert_int_equal(closed, 1);
}

static void pieces_are_missing(void **state)
{
	(void)state;
	pair();
	payload(CLIENT, sock(B), now, "C9000000", 8); /* its event was dropped */
	sends(CLIENT, B, "C1000000");
	moves_at(CLIENT, IPC_CALL_sendto, sock(B), now + 1, now + 2, NULL, 8);
	event_at(CLIENT, IPC_CALL_sendto, now + 1, now + 2, sock(B), 8, ipc_arg0(B, O_RDWR), IPC_F_PAYLOAD);
	end();
	assert_int_equal(rows(), 1);
	assert_string_equal(row(1)->name, "C1000000");
	assert_int_equal(lost(IPC_REASON_payload_dropped), 1);
	for (size_t i = 1; i < fake.lanes_count; i++)
		assert_false(fake.lanes[i].flags & IPC_F_PAYLOAD);
}

/* The reply's send returns before that of its call. */
static void exchanges(const char *reply)
{
	uint64_t begin = now;
	moves_at(SERVER, IPC_CALL_sendto, sock(A), begin + 2, begin + 3, reply, 8);
	moves_at(CLIENT, IPC_CALL_sendto, sock(B), begin + 1, begin + 4, "c-000000", 8);
}

/* Replies whose names begin so that have a call. */
static size_t answered(const char *name)
{
	size_t n = 0;
	for (size_t i = 1; i <= rows(); i++)
		n += row(i)->call && !strncmp(row(i)->name, name, strlen(name));
	return n;
}

/* The source goes on to tell what it has recognised in messages that the collector missed. */
static void beginning_is_missing(void **state)
{
	(void)state;
	pair();
	for (int i = 0; i < IPC_RECOGNISE_TRIES + 3; i++) {
		event_at(CLIENT, IPC_CALL_sendto, now + 1, now + 2, sock(B), 8, ipc_arg0(B, O_RDWR),
			 IPC_F_PAYLOAD);
		now += 3;
	}
	exchanges("r-000000");
	end();
	assert_int_equal(rows(), 2);
	assert_int_equal(answered("r"), 1);
	assert_int_equal(lost(IPC_REASON_payload_dropped), 3);
}

/* Replies without a number, told before their calls: after one that is not understood each has its own again.
 */
static void a_reply_is_missing(void **state)
{
	(void)state;
	pair();
	exchanges("r-000000");
	exchanges("zzzzzzzz");
	exchanges("r-000000");
	exchanges("r-000000");
	end();
	assert_int_equal(answered("r"), 3);
	for (size_t i = 1; i < rows(); i++)
		if (row(i)->kind[0] == 'r')
			assert_int_equal(row(i)->call, i + 1);
}

static void stored_as_asked_for(void **state)
{
	(void)state;
	pair();
	collector_bytes(c, false, 4);
	sends(CLIENT, B, "C1000000");
	receives(SERVER, A, "C1");
	sends_ends("C1end", 3, 100); /* only the first are asked for */
	end();
	assert_int_equal(rows(), 0);
	assert_int_equal(fake.payloads_count, 3);
	assert_int_equal(fake.payloads[2].size, 2);
	assert_int_equal(fake.payloads[0].size, 4);
	assert_memory_equal(fake.payloads[0].bytes, "C100", 4);
	assert_int_equal(fake.payloads[1].size, 2);
}

/* Of 127.0.0.1, or of any address. */
static struct sockaddr_in at(unsigned int port, bool any)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr = { htonl(any ? INADDR_ANY : INADDR_LOOPBACK) } };
}

static void udp_socket(int process_number, uint64_t object, struct sockaddr_in own)
{
	struct ipc_def d = { .call = IPC_DEF_SOCKET, .thread = process_number };
	char text[2 + sizeof(own)] = { sizeof(own) };
	memcpy(text + 1, &own, sizeof(own));
	d.socket = (struct ipc_def_socket){ .object = object, .netns = 3 };
	define(d, text, sizeof(text));
}

static void udp(int process_number, enum ipc_call_id call, uint64_t object, uint64_t start, unsigned int port,
		const char *bytes)
{
	const union {
		struct sockaddr_in in;
		uint8_t bytes[IPC_ADDRESS_MAX];
	} other = { at(port, false) };
	struct ipc_event e = {
		.start = start,
		.duration = now + 2 - start,
		.object = object,
		.result = bytes ? (int64_t)strlen(bytes) : 3,
		.arg0 = ipc_arg0(3, O_RDWR),
		.arg1 = bytes ? ipc_address(other.bytes, sizeof(other.in)) : 0,
		.thread = process_number,
		.call = call,
		.flags = bytes ? IPC_F_PAYLOAD : 0,
	};
	if (bytes)
		payload(process_number, object, start, bytes, strlen(bytes));
	tell(&e);
	now += 2;
}

/* Nothing was known of its sender when it was received: it is one message all the same, of the sender. */
static void a_datagram_whose_send_is_late(void **state)
{
	(void)state;
	const uint64_t server = ipc_object(IPC_MECH_udp, A), client = ipc_object(IPC_MECH_udp, B);
	begin();
	process(SERVER, 1, IPC_VIA_START);
	process(CLIENT, 1, IPC_VIA_START);
	udp(SERVER, IPC_CALL_socket, server, now, 0, NULL);
	udp_socket(SERVER, server, at(53, false));
	udp(CLIENT, IPC_CALL_socket, client, now, 0, NULL);
	uint64_t start = now++;
	udp(SERVER, IPC_CALL_recvfrom, server, now, 4001, "C1000000");
	udp(SERVER, IPC_CALL_sendto, server, now, 4001, "R1000000");
	udp_socket(CLIENT, client, at(4001, true));
	udp(CLIENT, IPC_CALL_sendto, client, start, 53, "C1000000");
	udp(CLIENT, IPC_CALL_recvfrom, client, now, 53, "R1000000");
	end();
	assert_int_equal(rows(), 2);
	assert_true(row(1)->sent);
	assert_int_equal(row(1)->process_id, 2);
	assert_int_equal(event(row(1)->first_event)->start_ns, start);
	assert_int_equal(row(2)->call, 1);
	assert_int_equal(row(1)->channel_id, row(2)->channel_id);
}

static uint64_t nth(int i)
{
	return ipc_object(IPC_MECH_pipe, 1000000 + (uint64_t)i);
}

/* Those that are forgotten go on from their next message. */
static void very_many_channels(void **state)
{
	(void)state;
	enum { MANY = 100000 };
	begin();
	closed = 0;
	process(SERVER, 1, IPC_VIA_START);
	for (int i = 0; i < MANY; i++) {
		now++;
		event_at(SERVER, IPC_CALL_pipe2, now, now, nth(i), 0, ipc_arg0(4, W), 0);
		moves_at(SERVER, IPC_CALL_write, nth(i), now + 1, now + 2, "C1000000C2", 10);
		if (i % 1000 == 0)
			step();
	}
	size_t used = mallinfo2().uordblks;
	moves_at(SERVER, IPC_CALL_write, nth(0), now + 1, now + 2, "C5000000", 8);
	moves_at(SERVER, IPC_CALL_write, nth(MANY - 1), now + 1, now + 2, "000000", 6);
	end();
	assert_int_equal(rows(), MANY + 2);
	assert_int_equal(row(MANY + 1)->number, '5');
	assert_int_equal(row(MANY + 2)->number, '2');
	assert_int_equal(closed, MANY + 1);
	assert_in_range(used >> 20, 0, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_and_its_reply),
		cmocka_unit_test(in_pieces_and_several_at_once),
		cmocka_unit_test(bodies_that_nobody_saw),
		cmocka_unit_test(a_head_that_nobody_saw),
		cmocka_unit_test(the_other_end_is_outside),
		cmocka_unit_test(the_reply_comes_first),
		cmocka_unit_test(pipelined),
		cmocka_unit_test(of_unknown_length),
		cmocka_unit_test(a_child_sends_too),
		cmocka_unit_test(senders_at_once),
		cmocka_unit_test(over_a_pipe),
		cmocka_unit_test(a_datagram_whose_send_is_late),
		cmocka_unit_test(behind_a_hole),
		cmocka_unit_test(what_nobody_knows_is_left_alone),
		cmocka_unit_test(given_up),
		cmocka_unit_test(pieces_are_missing),
		cmocka_unit_test(beginning_is_missing),
		cmocka_unit_test(a_reply_is_missing),
		cmocka_unit_test(stored_as_asked_for),
		cmocka_unit_test(very_many_channels),
	};
	alarm(60);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
