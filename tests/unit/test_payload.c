// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which messages' bytes the shim tells, and for how long: its own code, with a chunk and descriptors made
 * here. Truth: recognise.h and arena.h say it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../preload/payload.c"
#include "tables.h"

struct shim shim;
uint8_t descriptor_kinds[DESCRIPTORS];
struct descriptor descriptor_table[DESCRIPTORS];

static uint64_t dropped, lost, bare;
static struct arena_header header;
static struct arena_control control;
static struct ipc_event slots[CHUNK_SLOTS];
static struct shim_thread thread;

void shim_dropped(const struct ipc_event *event)
{
	(void)event;
	dropped++;
}

void shim_lost(enum ipc_reason reason)
{
	if (reason == IPC_REASON_unread)
		lost++;
	else
		bare += reason == IPC_REASON_payload_dropped;
}

bool shim_sends(const struct ipc_event *e)
{
	return ipc_calls[e->call].verb == IPC_VERB_send;
}

enum { FD = 5, BOTH = DESCRIPTOR_LOOKED | 1 << DESCRIPTOR_SENDS | 1 << DESCRIPTOR_RECEIVES };

static const char request[] = "GET /index.html HTTP/1.1\r\nHost: here\r\n\r\n";

static uint64_t object_of(enum ipc_mechanism mechanism)
{
	return ipc_object(mechanism, 77);
}

/* As descriptor_made() and descriptor_keep() do. */
static void open_descriptor(enum ipc_mechanism mechanism, uint32_t flags)
{
	struct descriptor *d = &descriptor_table[FD];
	*d = (struct descriptor){ .object = object_of(mechanism), .flags = flags };
	payload_begin(d);
	descriptor_kinds[FD] = socket_keeps_messages(d->object) ? DESCRIPTOR_MESSAGES : payload_kind(d);
}

static void begin(uint32_t window, uint32_t capture)
{
	memset(&shim, 0, sizeof(shim));
	memset(&thread, 0, sizeof(thread));
	memset(slots, 0, sizeof(slots));
	shim.window = window;
	shim.capture = capture;
	shim.heap = (uintptr_t)sbrk(0);
	shim.ring.header = &header;
	shim.ring.pid = getpid();
	thread.ring.slots = slots;
	thread.ring.control = &control;
	thread.ring.base = 1;
	header.full = 0;
	dropped = lost = bare = 0;
}

static uint64_t tail; /* of what was told last */

/* Moves `size` bytes. How many of them were told: those, and in front of their event; -1: none was meant to
 * be. */
static int move_from(struct vector v, uint16_t call, enum ipc_mechanism mechanism, const char *bytes,
		     size_t size, uint16_t flags)
{
	struct ipc_event e = { .start = 42,
			       .object = object_of(mechanism),
			       .result = (int64_t)size,
			       .arg0 = FD,
			       .thread = 1,
			       .call = call,
			       .flags = flags };
	uint32_t at = thread.ring.next;
	payload_emit(&thread, &e, v);
	assert_int_equal(thread.ring.busy, 0);
	const struct ipc_def *def = (const struct ipc_def *)&slots[at];
	uint32_t behind = def->call == IPC_DEF_PAYLOAD ? ipc_def_slots(def->text) : 0;
	const struct ipc_event *told = &slots[at + behind];
	assert_int_equal(thread.ring.next, at + behind + 1);
	assert_true(slots[at].seq == at + 1 && told->seq == at + behind + 1);
	assert_true(told->call == call && told->start == 42 && told->result == (int64_t)size);
	assert_int_equal(told->flags, flags | (behind ? IPC_F_PAYLOAD : 0));
	if (!behind)
		return -1;
	assert_true(def->payload.object == e.object && def->payload.start == 42 && def->thread == 1);
	tail = def->payload.tail;
	assert_in_range(tail, 0, def->text);
	assert_memory_equal(def + 1, bytes, def->text - tail);
	assert_memory_equal((const char *)(def + 1) + def->text - tail, bytes + size - tail, tail);
	return def->text;
}

static int move(uint16_t call, enum ipc_mechanism mechanism, const char *bytes, size_t size, uint16_t flags)
{
	struct iovec parts[] = { { (void *)bytes, 1 }, { NULL, 0 }, { (void *)(bytes + 1), size } };
	return move_from((struct vector){ parts, 3, true }, call, mechanism, bytes, size, flags);
}

static int sends(enum ipc_mechanism mechanism, const char *bytes)
{
	return move(IPC_CALL_sendto, mechanism, bytes, strlen(bytes), 0);
}

static int receives(enum ipc_mechanism mechanism, const char *bytes)
{
	return move(IPC_CALL_recvfrom, mechanism, bytes, strlen(bytes), 0);
}

static void test_the_first_messages_each_way(void **state)
{
	(void)state;
	begin(1024, 0);
	open_descriptor(IPC_MECH_tcp, O_RDWR);
	assert_int_equal(descriptor_kinds[FD], BOTH);
	for (int i = 0; i < IPC_RECOGNISE_TRIES; i++)
		assert_int_equal(sends(IPC_MECH_tcp, "nothing known"), 13);
	assert_int_equal(sends(IPC_MECH_tcp, "nothing known"), -1);
	assert_int_equal(descriptor_kinds[FD], DESCRIPTOR_LOOKED | 1 << DESCRIPTOR_RECEIVES);
	for (int i = 0; i < IPC_RECOGNISE_TRIES; i++)
		assert_int_equal(receives(IPC_MECH_tcp, "nothing known"), 13);
	assert_int_equal(receives(IPC_MECH_tcp, request), -1);
	assert_int_equal(descriptor_kinds[FD], DESCRIPTOR_STREAM);
	open_descriptor(IPC_MECH_tcp, O_RDWR);
	assert_int_equal(sends(IPC_MECH_tcp, "another one"), 11);
}

static void test_recognised_for_ever(void **state)
{
	(void)state;
	begin(36, 0);
	open_descriptor(IPC_MECH_unix_stream, O_RDWR);
	for (int i = 0; i < IPC_RECOGNISE_TRIES; i++)
		assert_int_equal(sends(IPC_MECH_unix_stream, "nothing known"), 13);
	for (int i = 1; i < IPC_RECOGNISE_TRIES; i++)
		assert_int_equal(receives(IPC_MECH_unix_stream, "nothing known"), 13);
	assert_int_equal(receives(IPC_MECH_unix_stream, request), 36);
	assert_int_equal(descriptor_kinds[FD], BOTH);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(sends(IPC_MECH_unix_stream, "anything"), 8);
		assert_int_equal(receives(IPC_MECH_unix_stream, "anything at all, and rather longer still"),
				 36);
	}
	assert_int_equal(descriptor_kinds[FD], BOTH);
}

static void test_one_way(void **state)
{
	(void)state;
	begin(1024, 0);
	open_descriptor(IPC_MECH_pipe, O_WRONLY);
	for (int i = 0; i < IPC_RECOGNISE_TRIES; i++) {
		assert_int_equal(descriptor_kinds[FD], DESCRIPTOR_LOOKED | 1 << DESCRIPTOR_SENDS);
		assert_int_equal(sends(IPC_MECH_pipe, "x"), 1);
	}
	assert_int_equal(descriptor_kinds[FD], DESCRIPTOR_STREAM);
}

static void test_datagrams(void **state)
{
	(void)state;
	begin(1024, 0);
	open_descriptor(IPC_MECH_udp, O_RDWR);
	for (int i = 0; i < IPC_RECOGNISE_TRIES; i++)
		assert_int_equal(receives(IPC_MECH_udp, request), sizeof(request) - 1);
	assert_int_equal(receives(IPC_MECH_udp, request), -1);
	assert_int_equal(descriptor_kinds[FD], DESCRIPTOR_MESSAGES);
}

static void test_what_is_asked_for(void **state)
{
	(void)state;
	begin(0, 0);
	open_descriptor(IPC_MECH_tcp, O_RDWR);
	assert_int_equal(descriptor_kinds[FD], DESCRIPTOR_STREAM);
	assert_int_equal(sends(IPC_MECH_tcp, request), -1);
	begin(0, 5);
	open_descriptor(IPC_MECH_tcp, O_RDWR);
	assert_int_equal(descriptor_kinds[FD], BOTH);
	for (int i = 0; i < 20; i++)
		assert_int_equal(sends(IPC_MECH_tcp, "nothing known"), 5);
	assert_int_equal(descriptor_kinds[FD], BOTH);
	assert_int_equal(sends(IPC_MECH_sysv_msg, "nothing known"), 5);
	assert_int_equal(sends(IPC_MECH_netlink, "nothing known"), -1);
	begin(9, 5);
	open_descriptor(IPC_MECH_tcp, O_RDWR);
	for (int i = 0; i < IPC_RECOGNISE_TRIES; i++)
		assert_int_equal(sends(IPC_MECH_tcp, "nothing known"), 9);
	assert_int_equal(sends(IPC_MECH_tcp, "nothing known"), 5);
	assert_int_equal(sends(IPC_MECH_sysv_msg, "nothing known"), 5);
}

enum { LONG = 10000 };

static const char *long_text(void)
{
	static char text[LONG];
	for (int i = 0; i < LONG; i++)
		text[i] = (char)(i % 251);
	return text;
}

/* Of a message of so many bytes 4,096 are told, and the last of them are so many. */
static void expect_tail(enum ipc_mechanism mechanism, size_t size, uint32_t capture, uint64_t wanted)
{
	const char *text = long_text();
	begin(IPC_TEXT_MAX, capture);
	open_descriptor(mechanism, O_RDWR);
	assert_int_equal(move(IPC_CALL_sendto, mechanism, text, size, 0),
			 size < IPC_TEXT_MAX ? size : IPC_TEXT_MAX);
	assert_int_equal(tail, wanted);
	shim.shares = true; /* the kernel copies them */
	thread.ring.next = 0;
	assert_int_equal(move(IPC_CALL_recvfrom, mechanism, text, size, 0),
			 size < IPC_TEXT_MAX ? size : IPC_TEXT_MAX);
	assert_int_equal(tail, wanted);
	assert_int_equal(lost, 0);
}

static void test_the_last_bytes_too(void **state)
{
	(void)state;
	expect_tail(IPC_MECH_tcp, 4095, 0, 0);
	expect_tail(IPC_MECH_tcp, 4096, 0, 0);
	expect_tail(IPC_MECH_tcp, 4097, 0, 1024);
	expect_tail(IPC_MECH_pipe, LONG, 0, 1024);
	expect_tail(IPC_MECH_unix_stream, LONG, 100, 1024);
	expect_tail(IPC_MECH_unix_stream, LONG, 3500, 596);
	expect_tail(IPC_MECH_unix_stream, LONG, 4096, 0);
	expect_tail(IPC_MECH_udp, LONG, 0, 0);
	expect_tail(IPC_MECH_unix_seqpacket, LONG, 0, 0);
}

/* In pieces of `size` bytes; `told` is the vector known, or read where the kernel knows it. */
static void move_pieces(size_t size, bool known, uint64_t wanted)
{
	const char *text = long_text();
	struct iovec parts[LONG];
	uint64_t count = 0;
	for (size_t at = 0; at < LONG; at += size)
		parts[count++] = (struct iovec){ (void *)(text + at), size };
	begin(IPC_TEXT_MAX, 0);
	open_descriptor(IPC_MECH_pipe, O_RDWR);
	for (int i = 0; i < 2; i++) {
		shim.shares = i;
		thread.ring.next = 0;
		tail = 1;
		struct vector v = { parts, count, known };
		assert_int_equal(move_from(v, IPC_CALL_writev, IPC_MECH_pipe, text, LONG, 0), IPC_TEXT_MAX);
		assert_int_equal(tail, wanted);
	}
	assert_int_equal(lost, 0);
}

static void test_the_last_bytes_of_pieces(void **state)
{
	static const size_t sizes[] = { LONG, 5000, 4096, 3072, 1024, 1023, 700 };
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		move_pieces(sizes[i], true, 1024);
		move_pieces(sizes[i], false, 1024);
	}
	move_pieces(500, true, 1024);
	move_pieces(500, false, 0); /* they are 20 */
	move_pieces(200, true, 0);
	move_pieces(10, false, 0);
}

static void test_nothing_moved(void **state)
{
	(void)state;
	begin(1024, 1024);
	open_descriptor(IPC_MECH_tcp, O_RDWR);
	assert_int_equal(move(IPC_CALL_recvfrom, IPC_MECH_tcp, request, 10, IPC_F_PEEK), -1);
	assert_int_equal(move(IPC_CALL_recvfrom, IPC_MECH_tcp, request, 0, IPC_F_EOF), -1);
	assert_int_equal(descriptor_table[FD].looks[DESCRIPTOR_RECEIVES], IPC_RECOGNISE_TRIES);
}

/* While the call waited its descriptor was closed, and another one has its number. */
static void test_another_descriptor(void **state)
{
	(void)state;
	begin(1024, 0);
	open_descriptor(IPC_MECH_pipe, O_RDONLY);
	assert_int_equal(receives(IPC_MECH_tcp, request), -1);
	descriptor_kinds[FD] = DESCRIPTOR_UNKNOWN;
	assert_int_equal(receives(IPC_MECH_pipe, request), -1);
}

static void test_no_room(void **state)
{
	(void)state;
	begin(1024, 0);
	open_descriptor(IPC_MECH_tcp, O_RDWR);
	struct iovec one = { (void *)request, 10 };
	struct ipc_event e = { .object = object_of(IPC_MECH_tcp),
			       .result = 10,
			       .arg0 = FD,
			       .thread = 1,
			       .call = IPC_CALL_sendto };
	thread.ring.slots = NULL;
	thread.ring.control = NULL;
	header.full = 1;
	payload_emit(&thread, &e, (struct vector){ &one, 1, true });
	assert_int_equal(dropped, 1);
	assert_int_equal(thread.ring.busy, 0);
}

/* With other threads: what cannot be read any more is counted, and its payload belongs to no event. */
static void test_memory_that_is_gone(void **state)
{
	(void)state;
	begin(1024, 0);
	open_descriptor(IPC_MECH_tcp, O_RDWR);
	shim.shares = true;
	struct iovec one = { (void *)16, 100 };
	struct ipc_event e = { .start = 42,
			       .object = object_of(IPC_MECH_tcp),
			       .result = 100,
			       .arg0 = FD,
			       .thread = 1,
			       .call = IPC_CALL_sendto };
	payload_emit(&thread, &e, (struct vector){ &one, 1, true });
	const struct ipc_def *def = (const struct ipc_def *)slots;
	assert_true(def->call == IPC_DEF_PAYLOAD && def->text == 100 && !def->payload.object &&
		    !def->payload.start);
	assert_true(slots[3].seq == 4 && slots[3].call == IPC_CALL_sendto && !slots[3].flags);
	assert_int_equal(lost, 1);
	assert_int_equal(descriptor_table[FD].looks[DESCRIPTOR_SENDS], IPC_RECOGNISE_TRIES - 1);
	assert_int_equal(sends(IPC_MECH_tcp, request), sizeof(request) - 1);
	assert_int_equal(descriptor_kinds[FD], BOTH);
	shim.no_copy = true;
	payload_emit(&thread, &e, (struct vector){ &one, 1, true });
	assert_int_equal(lost, 2);
}

/* Somebody else has shortened the file whose mapping was sent. What is the program's own is looked at even
 * so, whoever stops the kernel from copying it. */
static void test_a_file_that_was_shortened(void **state)
{
	(void)state;
	int file = memfd_create("shortened", 0);
	assert_int_equal(ftruncate(file, 4096), 0);
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	assert_true(map != MAP_FAILED && !ftruncate(file, 0));
	begin(1024, 0);
	open_descriptor(IPC_MECH_pipe, O_WRONLY);
	struct iovec one = { map, 100 };
	struct ipc_event e = { .object = object_of(IPC_MECH_pipe),
			       .result = 100,
			       .arg0 = FD,
			       .thread = 1,
			       .call = IPC_CALL_write };
	payload_emit(&thread, &e, (struct vector){ &one, 1, true });
	assert_int_equal(lost, 1);
	shim.no_copy = true;
	payload_emit(&thread, &e, (struct vector){ &one, 1, true });
	assert_int_equal(lost, 2);
	assert_int_equal(sends(IPC_MECH_pipe, request), sizeof(request) - 1);
	munmap(map, 4096);
	close(file);
}

/* A handler's record, while that which it interrupted holds a chunk that is all but full. */
static void test_in_a_handler(void **state)
{
	(void)state;
	begin(1024, 0);
	open_descriptor(IPC_MECH_tcp, O_RDWR);
	struct iovec one = { (void *)request, 40 };
	for (uint32_t next = 0; next < CHUNK_SLOTS; next += CHUNK_SLOTS - RING_RESERVE - 2) {
		struct ipc_event e = { .object = object_of(IPC_MECH_tcp),
				       .result = 40,
				       .arg0 = FD,
				       .thread = 1,
				       .call = IPC_CALL_sendto };
		thread.ring.busy = 1;
		thread.ring.stack = UINTPTR_MAX;
		thread.ring.next = next;
		payload_emit(&thread, &e, (struct vector){ &one, 1, true });
		assert_int_equal(thread.ring.busy, 1);
		assert_int_equal(thread.ring.next, next ? next + 1 : 3);
		assert_int_equal(bare, next != 0);
		assert_int_equal(dropped, 0);
		if (!next)
			continue;
		thread.ring.slots = NULL;
		payload_emit(&thread, &e, (struct vector){ &one, 1, true });
		assert_int_equal(bare, 1);
		assert_int_equal(dropped, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_messages_each_way),
		cmocka_unit_test(test_recognised_for_ever),
		cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_what_is_asked_for),
		cmocka_unit_test(test_the_last_bytes_too),
		cmocka_unit_test(test_the_last_bytes_of_pieces),
		cmocka_unit_test(test_nothing_moved),
		cmocka_unit_test(test_another_descriptor),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_memory_that_is_gone),
		cmocka_unit_test(test_a_file_that_was_shortened),
		cmocka_unit_test(test_in_a_handler),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
