// SPDX-License-Identifier: BSD-2-Clause
/*
 * The collector's rules, one by one: records in, rows out (fake_store.h). test_match.c holds the matcher
 * against a simulated kernel; here stand the cases that a reader wants to see written out.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <malloc.h>

#include "edge.h"
#include "records.h"

#define KEY "pipe:[77]"

/* Byte streams. */

static void test_one_write_three_reads(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_write(11, 10100, 10200, 10);
	do_read(21, 10050, 10150, 3);
	do_read(21, 10160, 10170, 3);
	do_read(21, 10300, 10310, 4);
	end();
	assert_int_equal(messages(), 1);
	expect(10100, 10300, 10, true);
	const struct store_edge *e = edge(11, 21, KEY);
	assert_int_equal(e->messages, 1);
	assert_int_equal(e->bytes, 10);
	assert_int_equal(e->latency_min_ns, 210);
	assert_int_equal(e->latency_p50_ns, 210);
	assert_int_equal(e->first_ns, 10100);
	assert_int_equal(e->last_ns, 10310);
	assert_true(e->exact && !e->partial);
	assert_int_equal(endpoint(21, KEY)->receives, 3);
	assert_string_equal(endpoint(21, KEY)->role, "reader");
	assert_string_equal(endpoint(11, KEY)->role, "writer");
	assert_string_equal(endpoint(10, KEY)->role, "both");
	assert_int_equal(endpoint(10, KEY)->sends, 0);
}

static void test_three_writes_one_read(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_write(11, 10100, 10110, 1);
	do_write(11, 10120, 10130, 2);
	do_write(11, 10140, 10150, 3);
	do_read(21, 10200, 10210, 6);
	end();
	assert_int_equal(messages(), 3);
	expect(10100, 10200, 1, true);
	expect(10120, 10200, 2, true);
	expect(10140, 10200, 3, true);
}

static void test_shared_by_two_readers(void **state)
{
	(void)state;
	pipe_between(1, 2);
	do_write(11, 10100, 10110, 10);
	do_read(21, 10200, 10210, 4);
	do_read(22, 10300, 10310, 5);
	do_read(21, 10400, 10410, 1);
	end();
	assert_int_equal(messages(), 2);
	expect(10100, 10400, 5, true);
	expect(10100, 10300, 5, true);
}

static void test_readers_at_once(void **state)
{
	(void)state;
	pipe_between(1, 2);
	do_write(11, 10100, 10110, 10);
	do_read(21, 10200, 10220, 4);
	do_read(22, 10210, 10230, 6);
	end();
	expect(10100, 10200, 4, false);
	expect(10100, 10210, 6, false);
	assert_false(edge(11, 21, KEY)->exact);
	assert_int_equal(endpoint(21, KEY)->bytes_received, 4);
}

/* A pool: the one that waits is in its read all the time, but what it gets was not there before. */
static void test_pool_of_blocked_readers(void **state)
{
	(void)state;
	pipe_between(1, 2);
	for (uint64_t t = 11000; t < 20000; t += 1000) {
		do_write(11, t, t + 10, 8);
		do_read(t / 1000 % 2 ? 21 : 22, t - 1500, t + 20, 8);
	}
	end();
	assert_int_equal(messages(), 9);
	for (uint64_t t = 11000; t < 20000; t += 1000)
		expect(t, t - 1500, 8, true);
	assert_true(edge(11, 21, KEY)->exact);
}

static void test_writers_in_turn(void **state)
{
	(void)state;
	pipe_between(3, 1);
	for (uint64_t i = 0; i < 30; i++) {
		do_write(11 + i % 3, 11000 + i * 10, 11005 + i * 10, 1 + i);
		if (i % 5 == 4)
			do_read(21, 11000 + i * 10, 11009 + i * 10, 5 * i - 5);
	}
	end();
	assert_int_equal(messages(), 30);
	for (uint64_t i = 0; i < 30; i++)
		expect(11000 + i * 10, 11000 + (i / 5 * 5 + 4) * 10, 1 + i, true);
}

static void test_writers_at_once(void **state)
{
	(void)state;
	pipe_between(2, 1);
	do_write(11, 10100, 10200, 10);
	do_write(12, 10150, 10250, 20);
	do_write(11, 10300, 10310, 5);
	do_read(21, 10400, 10410, 12);
	do_read(21, 10420, 10430, 23);
	end();
	expect(10100, 10400, 10, false);
	expect(10150, 10420, 20, false);
	expect(10300, 10420, 5, true);
	assert_true(edge(11, 21, KEY)->exact); /* all is received, by one process */
	assert_int_equal(edge(11, 21, KEY)->bytes, 15);
	assert_true(edge(12, 21, KEY)->exact);
}

static void test_writers_at_once_not_drained(void **state)
{
	(void)state;
	pipe_between(2, 1);
	do_write(11, 10100, 10200, 10);
	do_write(12, 10150, 10250, 20);
	do_read(21, 10400, 10410, 12);
	end();
	assert_false(edge(11, 21, KEY)->exact);
	assert_int_equal(channel(KEY, 0)->bytes_sent, 30);
	assert_int_equal(channel(KEY, 0)->bytes_received, 12);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* What was said to be exact is taken back when a long write turns out to have been under way. */
static void test_long_write_contradicts(void **state)
{
	(void)state;
	pipe_between(2, 1);
	do_write(11, 10200, 10210, 10);
	do_read(21, 10220, 10230, 10);
	step();
	do_write(12, 10205, 90000, 10);
	do_read(21, 90010, 90020, 10);
	end();
	expect(10200, 10220, 10, false);
	expect(10205, 90010, 10, false);
}

static void test_read_before_write_returned(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_read(21, 10100, 10120, 5);
	step();
	do_write(11, 10110, 10500, 5);
	end();
	expect(10110, 10100, 5, true);
}

static void test_calls_that_move_nothing(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_write(11, 10100, 10110, -EAGAIN);
	do_write(11, 10120, 10130, 7);
	on_pipe(21, IPC_CALL_tee, 10140, 10150, 7, R, IPC_F_PEEK);
	do_read(21, 10160, 10170, 7);
	do_read(21, 10180, 10190, -EINTR);
	on_pipe(21, IPC_CALL_read, 10200, 10210, 0, R, IPC_F_EOF);
	end();
	assert_int_equal(endpoint(11, KEY)->sends, 1);
	assert_int_equal(endpoint(11, KEY)->bytes_sent, 7);
	assert_int_equal(endpoint(21, KEY)->receives, 1);
	assert_int_equal(endpoint(21, KEY)->bytes_received, 7);
	assert_int_equal(messages(), 1);
	for (size_t i = 1; i < fake.events_count; i++) {
		if (fake.events[i].start_ns == 10100)
			assert_int_equal(fake.events[i].result, -EAGAIN);
		if (fake.events[i].start_ns == 10140)
			assert_int_equal(fake.events[i].result, 0);
	}
}

static void test_verb_by_descriptor(void **state)
{
	(void)state;
	pipe_between(1, 1);
	on_pipe(11, IPC_CALL_vmsplice, 10100, 10110, 9, W, 0);
	on_pipe(21, IPC_CALL_vmsplice, 10200, 10210, 4, R, 0);
	on_pipe(21, IPC_CALL_splice, 10300, 10310, 5, R, 0);
	end();
	assert_int_equal(endpoint(11, KEY)->bytes_sent, 9);
	assert_int_equal(endpoint(21, KEY)->bytes_received, 9);
	expect(10100, 10300, 9, true);
}

static void test_second_object_sends(void **state)
{
	(void)state;
	pipe_between(1, 1);
	on_pipe(11, IPC_CALL_splice, 10100, 10110, 9, W, IPC_F_SECOND | IPC_F_PART);
	on_pipe(11, IPC_CALL_sendfile, 10120, 10130, 1, W, IPC_F_SECOND);
	do_read(21, 10200, 10210, 10);
	end();
	assert_int_equal(endpoint(11, KEY)->sends, 2);
	assert_int_equal(messages(), 2);
}

static void test_killed_in_write(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_write(11, 10100, 10110, 10);
	do_read(21, 10200, 10210, 10);
	do_read(21, 10300, 10310, 40);
	do_read(21, 10400, 10410, 2);
	on_pipe(11, IPC_CALL_write, 10120, 20000, 0, W, IPC_F_INSIDE);
	now = 20001;
	gone(11, 9);
	do_read(21, 20100, 20110, 8);
	end();
	expect(10100, 10200, 10, true);
	expect(10120, 20100, 50, false);
	assert_int_equal(endpoint(11, KEY)->bytes_sent, 60);
	assert_int_equal(endpoint(11, KEY)->sends, 2);
	assert_int_equal(lost(IPC_REASON_killed), 1);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
	for (size_t i = 1; i < fake.events_count; i++)
		if (fake.events[i].start_ns == 10120)
			assert_int_equal(fake.events[i].result, 50);
	assert_int_equal(row_of(11, 0)->exit_status, 9);
}

static void test_recording_ends_in_calls(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_read(21, 10300, 10310, 40);
	on_pipe(11, IPC_CALL_write, 10120, 20000, 0, W, IPC_F_INSIDE);
	on_pipe(21, IPC_CALL_read, 10400, 20000, 0, R, IPC_F_INSIDE);
	end();
	expect(10120, 10300, 40, false);
	assert_int_equal(endpoint(21, KEY)->receives, 1);
}

/* Full with the second message: of what is told afterwards, or has been told and is later, there is nothing.
 */
static void test_no_room_for_more(void **state)
{
	(void)state;
	pipe_between(1, 1);
	collector_limit(c, 1 << 20);
	do_write(11, 10100, 10110, 10);
	do_read(21, 10120, 10130, 10);
	now = 10200;
	step();
	assert_false(collector_full(c));
	fake.size = 1 << 20;
	do_write(11, 10300, 10310, 20);
	do_read(21, 10320, 10330, 20);
	do_write(11, 10500, 10510, 30);
	now = 10400;
	step();
	assert_true(collector_full(c));
	do_read(21, 10520, 10530, 30);
	now = 20000;
	step();
	end();
	assert_int_equal(messages(), 2);
	assert_int_equal(edge(11, 21, KEY)->bytes, 30);
	assert_int_equal(endpoint(11, KEY)->bytes_sent, 30);
	assert_int_equal(lost(IPC_REASON_undefined), 0);
}

static void test_no_writer_known(void **state)
{
	(void)state;
	begin();
	image_text(21, 21, 1, IPC_VIA_START, "sink", 5);
	hold(21, R);
	step();
	size_t before = mallinfo2().uordblks;
	for (uint64_t i = 0; i < 1000000; i++) {
		do_read(21, now + 1, now + 2, 5);
		if (i % 1000 == 999) {
			step();
			fake.events_count = 1;
		}
	}
	assert_true(mallinfo2().uordblks < before + (4 << 20));
	assert_int_equal(messages(), 0);
	end();
	assert_int_equal(lost(IPC_REASON_unmatched), 1000000);
	assert_int_equal(fake.losses[0].process_id, row_of(21, 0)->id);
	assert_string_equal(fake.losses[0].comm, "sink");
	assert_true(channel(KEY, 0)->partial);
	assert_int_equal(endpoint(21, KEY)->bytes_received, 5000000);
}

static void test_writers_gone(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_write(11, 10100, 10110, 10);
	exits(11, 11, 0);
	do_read(21, 10200, 10210, 10);
	do_read(21, 10220, 10230, 3);
	do_read(21, 10240, 10250, 3);
	end();
	assert_int_equal(messages(), 1);
	assert_int_equal(lost(IPC_REASON_unmatched), 2);
	assert_true(edge(11, 21, KEY)->partial);
}

/* A known writer and one outside: what is known keeps its place. */
static void test_writer_outside_too(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_read(21, 10200, 10210, 3);
	step();
	do_write(11, 3000000000, 3000000010, 4);
	do_read(21, 3000000020, 3000000030, 4);
	step();
	assert_int_equal(messages(), 1);
	end();
	expect(3000000000, 3000000020, 4, false);
	assert_int_equal(lost(IPC_REASON_unmatched), 1);
}

/* A write of a gigabyte, read in small pieces, is one message and costs no memory while it goes on. */
static void test_huge_write(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_write(11, 10001, 10002, 1);
	step();
	size_t before = mallinfo2().uordblks;
	for (uint64_t i = 0; i < 200000; i++) {
		do_read(21, 20000 + i * 10, 20001 + i * 10, i ? 4096 : 4097);
		if (i % 1000 == 999)
			step();
	}
	assert_true(mallinfo2().uordblks < before + (32 << 20)); /* the fake store's rows */
	do_write(11, 19000, now + 1000, 200000 * 4096LL);
	end();
	assert_int_equal(messages(), 2);
	expect(19000, 20000 + 199999 * 10, 200000 * 4096LL, true);
}

static void test_never_read(void **state)
{
	(void)state;
	begin();
	process(11, 1, IPC_VIA_START);
	hold(11, W);
	for (uint64_t i = 0; i < 100000; i++)
		do_write(11, now + 1, now + 2, 5);
	end();
	assert_int_equal(messages(), 0);
	assert_int_equal(channel(KEY, 0)->bytes_sent, 500000);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

static void fifo_event(uint32_t thread_number, enum ipc_call_id call, uint64_t start, int64_t result,
		       unsigned int mode)
{
	event_at(thread_number, call, start, start + 5, ipc_object(IPC_MECH_fifo, 5), result,
		 ipc_arg0(mode == W ? 4 : 3, mode), 0);
}

static void test_fifo_restarts(void **state)
{
	(void)state;
	begin();
	process(11, 1, IPC_VIA_START);
	process(21, 1, IPC_VIA_START);
	fifo_event(11, IPC_CALL_openat, 10000, 4, W);
	fifo_event(21, IPC_CALL_openat, 10000, 3, R);
	fifo_event(11, IPC_CALL_write, 10100, 10, W);
	fifo_event(21, IPC_CALL_read, 10200, 4, R);
	fifo_event(21, IPC_CALL_close, 10300, 0, R);
	fifo_event(11, IPC_CALL_close, 10400, 0, W);
	fifo_event(21, IPC_CALL_openat, 10500, 3, R);
	fifo_event(11, IPC_CALL_openat, 10500, 4, W);
	fifo_event(11, IPC_CALL_write, 10600, 10, W);
	fifo_event(21, IPC_CALL_read, 10700, 10, R);
	struct ipc_def d = { .call = IPC_DEF_OBJECT };
	d.object = (struct ipc_def_object){ ipc_object(IPC_MECH_fifo, 5), 4711, 1, 8, 1, 0 };
	define(d, "/tmp/f", 7);
	end();
	assert_int_equal(messages(), 2);
	expect(10100, 10200, 4, true);
	expect(10600, 10700, 10, true);
	assert_string_equal(channel("fifo:8:1:4711", 0)->name, "/tmp/f");
}

/* echo x > fifo: the writer is gone before the reader's open returns. */
static void test_fifo_open_returns_late(void **state)
{
	(void)state;
	uint64_t fifo = ipc_object(IPC_MECH_fifo, 5);
	begin();
	process(11, 1, IPC_VIA_START);
	process(21, 1, IPC_VIA_START);
	event_at(11, IPC_CALL_openat, 10000, 10100, fifo, 3, ipc_arg0(3, W), 0);
	event_at(11, IPC_CALL_write, 10110, 10120, fifo, 6, ipc_arg0(3, W), 0);
	event_at(11, IPC_CALL_close, 10130, 10140, fifo, 0, ipc_arg0(3, W), 0);
	event_at(21, IPC_CALL_openat, 10050, 10200, fifo, 3, ipc_arg0(3, R), 0);
	event_at(21, IPC_CALL_read, 10210, 10220, fifo, 6, ipc_arg0(3, R), 0);
	end();
	expect(10110, 10210, 6, true);
}

static void test_fifo_open_does_not_block(void **state)
{
	(void)state;
	uint64_t fifo = ipc_object(IPC_MECH_fifo, 5);
	begin();
	process(11, 1, IPC_VIA_START);
	process(21, 1, IPC_VIA_START);
	event_at(11, IPC_CALL_openat, 10000, 10100, fifo, 3, ipc_arg0(3, O_RDWR), 0);
	event_at(11, IPC_CALL_write, 10110, 10120, fifo, 6, ipc_arg0(3, O_RDWR), 0);
	event_at(11, IPC_CALL_close, 10130, 10140, fifo, 0, ipc_arg0(3, O_RDWR), 0);
	event_at(21, IPC_CALL_openat, 10050, 10200, fifo, 3, ipc_arg0(3, R | O_NONBLOCK), 0);
	event_at(21, IPC_CALL_read, 10210, 10220, fifo, 6, ipc_arg0(3, R), 0);
	end();
	expect(10110, 10210, 6, false);
}

static void test_other_generation(void **state)
{
	(void)state;
	begin();
	struct ipc_def d = { .call = IPC_DEF_OBJECT };
	d.object = (struct ipc_def_object){ ipc_object(IPC_MECH_fifo, 5), 4711, 1, 8, 1, 0 };
	process(11, 1, IPC_VIA_START);
	define(d, "", 0);
	fifo_event(11, IPC_CALL_openat, ++now, 4, W);
	step();
	d.object.generation = 2;
	define(d, "", 0);
	fifo_event(11, IPC_CALL_openat, ++now, 5, W);
	end();
	assert_true(channel("fifo:8:1:4711", 0)->id != channel("fifo:8:1:4711", 1)->id);
}

static void test_pipe_number_again(void **state)
{
	(void)state;
	pipe_between(1, 1);
	exits(11, 11, 0);
	exits(21, 21, 0);
	now++;
	on_pipe(10, IPC_CALL_pipe2, now, now, 0, R, 0);
	on_pipe(10, IPC_CALL_pipe2, now, now, 0, W, IPC_F_PART);
	do_write(10, now + 1, now + 2, 3);
	end();
	assert_int_equal(channel(KEY, 0)->bytes_sent, 0);
	assert_int_equal(channel(KEY, 1)->bytes_sent, 3);
}

/* dup2() over the last descriptor of an end closes it. */
static void test_dup2_closes(void **state)
{
	(void)state;
	begin();
	process(11, 1, IPC_VIA_START);
	fifo_event(11, IPC_CALL_openat, 10000, 4, O_RDWR);
	event_at(11, IPC_CALL_write, 10010, 10011, ipc_object(IPC_MECH_fifo, 5), 3, ipc_arg0(3, O_RDWR), 0);
	event_at(11, IPC_CALL_dup2, 10020, 10021, ipc_object(IPC_MECH_pipe, 9), 3, ipc_arg0(3, W), 0);
	fifo_event(11, IPC_CALL_openat, 10030, 3, O_RDWR);
	event_at(11, IPC_CALL_write, 10040, 10041, ipc_object(IPC_MECH_fifo, 5), 2, ipc_arg0(3, O_RDWR), 0);
	event_at(11, IPC_CALL_read, 10050, 10051, ipc_object(IPC_MECH_fifo, 5), 2, ipc_arg0(3, O_RDWR), 0);
	end();
	assert_int_equal(messages(), 1);
	expect(10040, 10050, 2, true);
}

static void test_overflow(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_write(11, 10100, 10110, 10);
	do_read(21, 10200, 10210, 10);
	struct collector_total total = { .image = 11, .verb = IPC_VERB_send, .dropped = true };
	total.object = pipe_object();
	total.calls = total.moved = 5;
	total.bytes = 50;
	total.moved_ns = 700;
	collector_total(c, COLLECTOR_SHIM, now, &total);
	total.image = 999;
	collector_total(c, COLLECTOR_SHIM, now, &total);
	end();
	assert_int_equal(endpoint(11, KEY)->send_dur_ns, 710);
	assert_int_equal(endpoint(21, KEY)->receive_dur_ns, 10);
	assert_int_equal(endpoint(11, KEY)->sends, 6);
	assert_int_equal(endpoint(11, KEY)->bytes_sent, 60);
	assert_int_equal(channel(KEY, 0)->bytes_sent, 60);
	assert_true(edge(11, 21, KEY)->partial);
	assert_false(edge(11, 21, KEY)->exact);
	expect(10100, 10200, 10, false);
	assert_int_equal(lost(IPC_REASON_undefined), 5);
}

static void test_late_event(void **state)
{
	(void)state;
	pipe_between(2, 1);
	do_write(11, 10100, 10110, 10);
	do_read(21, 10300, 10310, 10);
	step();
	do_write(12, 10150, 10160, 10);
	do_read(21, 10400, 10410, 10);
	end();
	assert_int_equal(lost(IPC_REASON_late), 1);
	assert_int_equal(messages(), 2);
	assert_int_equal(edge(12, 21, KEY)->bytes, 10);
}

/* A handler's write ends before the one it interrupted and stands behind it in the thread's stream. */
static void test_event_of_a_handler(void **state)
{
	(void)state;
	pipe_between(2, 1);
	do_write(11, 10100, 10200, 10);
	do_write(11, 10150, 10160, 5);
	do_write(12, 10170, 10180, 3);
	do_read(21, 10300, 10310, 18);
	end();
	assert_int_equal(lost(IPC_REASON_late), 0);
	assert_int_equal(messages(), 3);
	assert_int_equal(edge(11, 21, KEY)->bytes, 15);
	assert_int_equal(edge(12, 21, KEY)->bytes, 3);
}

/* Processes. */

static void test_fork_exec_exit(void **state)
{
	(void)state;
	static const char sh[] = "sh\0/bin/sh\0/group\0sh -c ls", ls[] = "ls\0/bin/ls\0\0ls /";
	begin();
	image_text(10, 10, 1, IPC_VIA_START, sh, sizeof(sh));
	spawn(10, 11);
	uint64_t spawned = now - 5;
	process(11, 10, IPC_VIA_FORK);
	step();
	assert_int_equal(collector_running(c), 2);
	exec_entry(11, 11);
	uint64_t entry = now;
	image_text(1011, 11, 10, IPC_VIA_EXEC, ls, sizeof(ls));
	exits(1011, 11, 0x300);
	uint64_t exited = now;
	waits(10, 11, 0x300);
	step();
	assert_int_equal(collector_running(c), 1);
	exits(10, 10, 0);
	end();
	const struct store_process *parent = row_of(10, 0), *child = row_of(11, 0), *next = row_of(11, 1);
	assert_string_equal(parent->exe, "/bin/sh");
	assert_string_equal(parent->cgroup, "/group");
	assert_string_equal(parent->cmdline, "sh -c ls");
	assert_string_equal(child->comm, "sh");
	assert_string_equal(next->comm, "ls");
	assert_string_equal(next->cmdline, "ls /");
	assert_string_equal(next->cgroup, "/group");
	assert_int_equal(child->parent_id, parent->id);
	assert_int_equal(next->parent_id, parent->id);
	assert_int_equal(next->prev_id, child->id);
	assert_int_equal(child->end_ns, entry);
	assert_int_equal(next->start_ns, entry);
	assert_int_equal(next->end_ns, exited);
	assert_int_equal(child->exit_status, -1);
	assert_int_equal(next->exit_status, 0x300);
	assert_string_equal(next->coverage, "full");
	const struct store_edge *e = edge(10, 11, "process:11");
	assert_int_equal(e->messages, 1);
	assert_int_equal(e->bytes, 0);
	assert_int_equal(e->dst_id, child->id);
	assert_int_equal(e->first_ns, spawned);
	assert_true(e->exact);
	assert_int_equal(edge(11, 10, "process:11")->src_id, next->id);
	assert_int_equal(fake.edges_count, 2);
	assert_int_equal(fake.losses_count, 0);
	for (size_t i = 1; i < fake.threads_count; i++)
		assert_int_equal(fake.threads[i].tid, fake.processes[fake.threads[i].process_id].pid);
	assert_int_equal(fake.threads_count, 4);
}

/* A program that is not selected: its end is known from its parent, and who has what it held from it. */
static void test_unselected(void **state)
{
	(void)state;
	static const char ls[] = "ls\0/bin/ls\0/lxc/web\0ls /";
	begin();
	process(10, 1, IPC_VIA_START);
	spawn(10, 11);
	process(11, 10, IPC_VIA_FORK);
	hold(11, W);
	exec_entry(11, 11);
	uint64_t entry = now;
	struct ipc_def d = { .call = IPC_DEF_IMAGE, .thread = 11 };
	d.image = (struct ipc_def_image){
		.image = 1011, .pid = 11, .prev = 11, .via = IPC_VIA_UNSELECTED, .ns_pid = 3
	};
	define(d, ls, sizeof(ls));
	step();
	assert_int_equal(collector_running(c), 1);
	gone(11, 0x300);
	waits(10, 11, 0x300);
	end();
	const struct store_process *before = row_of(11, 0), *after = row_of(11, 1);
	assert_int_equal(before->end_ns, entry);
	assert_string_equal(before->coverage, "full");
	assert_int_equal(after->prev_id, before->id);
	assert_string_equal(after->coverage, "untraced");
	assert_string_equal(after->exe, "/bin/ls");
	assert_int_equal(after->exit_status, 0x300);
	assert_int_equal(after->ns_pid, 3);
	assert_int_equal(before->ns_pid, 11);
	assert_int_equal(edge(11, 10, "process:11")->src_id, after->id);
	assert_int_equal(fake.processes_count, 4);
}

/* Only pipes are wanted: processes are rows, their channels are none. */
static void test_selected_mechanisms(void **state)
{
	(void)state;
	begin();
	collector_select(c, 1 << IPC_MECH_pipe, true);
	process(10, 1, IPC_VIA_START);
	spawn(10, 11);
	process(11, 10, IPC_VIA_FORK);
	process(12, 10, IPC_VIA_FORK);
	hold(11, W);
	hold(12, R);
	now++;
	event_at(11, IPC_CALL_eventfd2, now, now, ipc_object(IPC_MECH_eventfd, 5), 7, ipc_arg0(7, O_RDWR), 0);
	event_at(11, IPC_CALL_write, now, now + 5, ipc_object(IPC_MECH_eventfd, 5), 8, ipc_arg0(7, O_RDWR),
		 0);
	event_at(11, IPC_CALL_epoll_wait, now, now + 5, 0, 1, 0, 0);
	do_write(11, now, now + 5, 10);
	do_read(12, now, now + 5, 10);
	exits(11, 11, 0x100);
	waits(10, 11, 0x100);
	end();
	assert_int_equal(edge(11, 12, "pipe:[77]")->bytes, 10);
	assert_int_equal(fake.channels_count, 2);
	assert_int_equal(fake.endpoints_count, 3);
	assert_int_equal(fake.edges_count, 1);
	assert_int_equal(row_of(11, 0)->exit_status, 0x100);
	assert_int_equal(fake.losses_count, 0); /* that two go on is none */
}

/* clone() returns in the parent after the child has begun. */
static void test_child_seen_first(void **state)
{
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	uint64_t start = ++now;
	process(11, 10, IPC_VIA_FORK);
	now += 10;
	event_at(10, IPC_CALL_clone3, start, now, pid_object(11), 11, 0, 0);
	end();
	assert_int_equal(edge(10, 11, "process:11")->messages, 1);
	assert_int_equal(fake.processes_count, 3);
}

static void test_failing_exec(void **state)
{
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	loss(10, IPC_REASON_static_exe, "/bin/busybox");
	exec_entry(10, 10);
	now++;
	event_at(10, IPC_CALL_execve, now, now, pid_object(10), -ENOENT, 0, 0);
	step();
	exits(10, 10, 0);
	end();
	assert_int_equal(fake.processes_count, 2);
	assert_int_equal(fake.losses_count, 0);
}

static void test_static_exec(void **state)
{
	(void)state;
	pipe_between(1, 1);
	do_write(11, 10100, 10110, 10);
	do_read(21, 10120, 10130, 10);
	loss(11, IPC_REASON_static_exe, "/bin/busybox");
	exec_entry(11, 11);
	uint64_t entry = now;
	do_read(21, now + 10, now + 20, 30);
	waits(10, 11, 0);
	end();
	const struct store_process *before = row_of(11, 0), *after = row_of(11, 1);
	assert_string_equal(after->comm, "busybox");
	assert_string_equal(after->coverage, "untraced");
	assert_int_equal(after->start_ns, entry);
	assert_int_equal(before->end_ns, entry);
	assert_int_equal(after->prev_id, before->id);
	assert_int_equal(after->exit_status, 0);
	assert_int_equal(lost(IPC_REASON_static_exe), 1);
	assert_int_equal(lost(IPC_REASON_unmatched), 1);
	assert_true(channel(KEY, 0)->partial);
	expect(10100, 10120, 10, true);
	assert_int_equal(edge(11, 10, "process:11")->src_id, after->id);
	for (size_t i = 0; i < fake.losses_count; i++)
		if (fake.losses[i].reason == IPC_REASON_static_exe)
			assert_int_equal(fake.losses[i].process_id, after->id);
}

/* Told of a program that was not executed after all. */
static void define_fifo(uint64_t object, uint64_t generation)
{
	struct ipc_def d = { .call = IPC_DEF_OBJECT };
	d.object = (struct ipc_def_object){ object, 4711, generation, 8, 1, 0 };
	define(d, "/tmp/f", 7);
}

/* Process 11 executes a program that the shim cannot enter, in which it holds the pipe and a FIFO: the eBPF
 * source takes over, which knows the process and the FIFO by other numbers. */
static void test_taken_over_by_the_other_source(void **state)
{
	(void)state;
	enum { IMAGE = IPC_BPF_NUMBERS + 1, ITS_PID = 2011, FIFO_HERE = 5, FIFO_THERE = 6 };
	const uint64_t here = ipc_object(IPC_MECH_fifo, FIFO_HERE),
		       there = ipc_object(IPC_MECH_fifo, FIFO_THERE);
	pipe_between(1, 1);
	now++;
	define_fifo(here, 1);
	event_at(21, IPC_CALL_openat, now, now + 1, here, 5, ipc_arg0(5, R), 0);
	event_at(11, IPC_CALL_openat, now, now + 1, here, 5, ipc_arg0(5, W), 0);
	do_write(11, 10100, 10110, 10);
	do_read(21, 10120, 10130, 10);
	loss_of_next(11, IPC_REASON_static_exe, "/bin/busybox", true);
	exec_entry(11, 11);
	step();
	teller = COLLECTOR_BPF;
	struct ipc_def d = { .call = IPC_DEF_IMAGE };
	d.image = (struct ipc_def_image){ .image = IMAGE, .prev = 11, .pid = ITS_PID, .via = IPC_VIA_EXEC };
	define(d, "busybox", 8);
	thread(IMAGE, IMAGE, ITS_PID);
	hold(IMAGE, W);
	define_fifo(there, 7);
	event_at(IMAGE, IPC_CALL_inherit, now, now, there, 0, ipc_arg0(5, W), 0);
	do_write(IMAGE, 20100, 20110, 30);
	event_at(IMAGE, IPC_CALL_write, 20200, 20210, there, 8, ipc_arg0(5, W), 0);
	collector_watermark(c, COLLECTOR_BPF, now);
	teller = COLLECTOR_SHIM;
	do_read(21, 20120, 20130, 30);
	define_fifo(here, 1); /* again: it is still the same */
	event_at(21, IPC_CALL_read, 20220, 20230, here, 8, ipc_arg0(5, R), 0);
	step();
	teller = COLLECTOR_BPF;
	exits(IMAGE, ITS_PID, 0x300);
	teller = COLLECTOR_SHIM;
	waits(10, 11, 0x300);
	end();
	const struct store_process *before = row_of(11, 0), *after = row_of(11, 1);
	assert_string_equal(before->source, "shim");
	assert_string_equal(after->source, "bpf");
	assert_string_equal(after->comm, "busybox");
	assert_string_equal(after->coverage, "full");
	assert_int_equal(after->prev_id, before->id);
	assert_int_equal(after->exit_status, 0x300);
	assert_int_equal(edge(11, 10, "process:11")->messages, 1);
	assert_int_equal(fake.losses_count, 2); /* 10 and 21 have outlived it */
	assert_false(channel(KEY, 0)->partial);
	expect(10100, 10120, 10, true);
	expect(20100, 20120, 30, true);
	expect(20200, 20220, 8, true);
	assert_int_equal(edge(11, 21, "fifo:8:1:4711")->src_id, after->id);
}

static void test_loss_without_exec(void **state)
{
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	loss(10, IPC_REASON_setuid, "/bin/su");
	spawn(10, 11);
	loss(10, IPC_REASON_no_patch, "");
	end();
	assert_int_equal(lost(IPC_REASON_setuid), 1);
	assert_int_equal(lost(IPC_REASON_no_patch), 1);
	assert_string_equal(row_of(10, 0)->coverage, "partial");
}

static void test_child_never_seen(void **state)
{
	(void)state;
	begin();
	image_text(10, 10, 1, IPC_VIA_START, "sh", 3);
	spawn(10, 11);
	waits(10, 11, 9);
	spawn(10, 12);
	end();
	assert_string_equal(row_of(11, 0)->coverage, "untraced");
	assert_string_equal(row_of(11, 0)->comm, "sh");
	assert_int_equal(row_of(11, 0)->exit_status, 9);
	assert_int_equal(row_of(11, 0)->parent_id, row_of(10, 0)->id);
	assert_string_equal(row_of(12, 0)->coverage, "untraced");
	assert_int_equal(lost(IPC_REASON_spawn_unseen), 1);
	assert_int_equal(lost(IPC_REASON_outlived), 2); /* 10, and 12, which may yet have introduced itself */
	assert_int_equal(edge(11, 10, "process:11")->messages, 1);
}

static void test_killed(void **state)
{
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	spawn(10, 11);
	process(11, 10, IPC_VIA_FORK);
	gone(11, -1);
	uint64_t died = now;
	waits(10, 11, 15);
	spawn(10, 12);
	process(12, 10, IPC_VIA_FORK);
	waits(10, 12, 6);
	uint64_t waited = now;
	gone(12, 6);
	end();
	assert_int_equal(row_of(11, 0)->end_ns, died);
	assert_int_equal(row_of(11, 0)->exit_status, 15);
	assert_int_equal(row_of(12, 0)->end_ns, waited);
	assert_int_equal(row_of(12, 0)->exit_status, 6);
	assert_int_equal(edge(11, 10, "process:11")->messages, 1);
	assert_int_equal(edge(12, 10, "process:12")->messages, 1);
}

static void test_stopped_is_not_ended(void **state)
{
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	spawn(10, 11);
	process(11, 10, IPC_VIA_FORK);
	waits(10, 11, 0x137f);
	waits(10, 11, 0xffff);
	event_at(10, IPC_CALL_wait4, now, now, 0, -ECHILD, 0, 0);
	event_at(10, IPC_CALL_wait4, now, now, 0, 0, 0, 0);
	step();
	assert_int_equal(collector_running(c), 2);
	exits(11, 11, 0x100);
	now++;
	event_at(10, IPC_CALL_waitid, now, now, pid_object(11), 0, 0x100, 0);
	end();
	assert_int_equal(row_of(11, 0)->exit_status, 0x100);
	assert_int_equal(edge(11, 10, "process:11")->messages, 1);
}

static void test_pid_again(void **state)
{
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	for (unsigned int i = 0; i < 3; i++) {
		spawn(10, 11);
		image_text(100 + i, 11, 10, IPC_VIA_FORK, NULL, 0);
		exits(100 + i, 11, i << 8);
		waits(10, 11, i << 8);
	}
	end();
	assert_int_equal(fake.processes_count, 5);
	assert_int_equal(row_of(11, 2)->exit_status, 2 << 8);
	assert_true(channel("process:11", 2)->id != channel("process:11", 1)->id);
	assert_int_equal(fake.edges_count, 6);
}

/* Whose end nobody saw. */
static void test_pid_taken_over(void **state)
{
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	for (unsigned int i = 0; i < 3; i++) {
		spawn(10, 11);
		spawn(10, 12);
		image_text(100 + i, 11, 10, IPC_VIA_FORK, NULL, 0);
	}
	step();
	assert_int_equal(collector_running(c), 3);
	end();
	assert_true(row_of(11, 0)->end_ns && row_of(11, 1)->end_ns);
	assert_int_equal(row_of(11, 2)->end_ns, 0);
}

static void test_late_definitions(void **state)
{
	(void)state;
	begin();
	do_write(11, now + 1, now + 2, 5);
	do_write(12, now + 1, now + 2, 5);
	do_write(13, now + 1, now + 2, 5);
	step();
	process(11, 1, IPC_VIA_START);
	step();
	thread(12, 12, 12);
	struct ipc_def d = { .call = IPC_DEF_IMAGE };
	d.image = (struct ipc_def_image){ .image = 12, .pid = 12, .ppid = 1 };
	define(d, NULL, 0);
	step();
	do_write(11, now + 1, now + 2, 5);
	end();
	assert_int_equal(endpoint(11, KEY)->sends, 2);
	assert_int_equal(endpoint(12, KEY)->sends, 1);
	assert_int_equal(lost(IPC_REASON_undefined), 1);
}

static void test_outlived(void **state)
{
	(void)state;
	begin();
	image_text(10, 10, 1, IPC_VIA_START, "daemon", 7);
	end();
	assert_int_equal(lost(IPC_REASON_outlived), 1);
	assert_string_equal(fake.losses[0].comm, "daemon");
	assert_int_equal(row_of(10, 0)->end_ns, 0);
}

static void test_threads(void **state)
{
	(void)state;
	pipe_between(1, 1);
	thread(50, 11, 50);
	do_write(50, 10100, 10110, 5);
	do_write(11, 10105, 10115, 5);
	do_read(21, 10200, 10210, 10);
	event_at(50, IPC_CALL_exit, 10300, 10300, 0, 0, 0, 0);
	end();
	expect(10100, 10200, 5, false);
	assert_int_equal(edge(11, 21, KEY)->messages, 2);
	assert_true(edge(11, 21, KEY)->exact);
	for (size_t i = 1; i < fake.threads_count; i++)
		if (fake.threads[i].tid == 50)
			assert_int_equal(fake.threads[i].end_ns, 10300);
}

/* Latencies. */

static void test_percentiles(void **state)
{
	(void)state;
	static const unsigned int percent[] = { 50, 90, 99 };
	uint64_t ns[3];
	for (uint64_t n = 1; n < 100000; n = n * 3 + 1) {
		struct latency l = { 0 };
		for (uint64_t i = 0; i < n; i++)
			latency_add(&l, (i * 7919 % n + 1) * 1000);
		latency_percentiles(&l, percent, ns, 3);
		assert_int_equal(l.min, 1000);
		assert_int_equal(l.max, n * 1000);
		for (unsigned int i = 0; i < 3; i++) {
			uint64_t truth = (n * percent[i] + 99) / 100 * 1000;
			assert_in_range(ns[i], truth - truth * 3 / 100, truth + truth * 3 / 100);
		}
		latency_free(&l);
	}
	struct latency extreme = { 0 };
	for (unsigned int i = 0; i < 200; i++)
		latency_add(&extreme, i % 2 ? UINT64_MAX : 0);
	latency_percentiles(&extreme, percent, ns, 3);
	assert_int_equal(ns[0], 0);
	assert_true(ns[1] > UINT64_MAX / 100 * 97);
	latency_free(&extreme);
}

/* Hostile records: nothing may crash, whatever the bits. */

static uint64_t noise_seed = 1;

static uint64_t noise(void)
{
	noise_seed ^= noise_seed << 13;
	noise_seed ^= noise_seed >> 7;
	return noise_seed ^= noise_seed << 17;
}

/* Mostly small numbers in the right places, so that records have to do with each other. */
static uint64_t small(uint64_t below)
{
	return noise() % 64 ? noise() % below : noise();
}

static void noise_event(struct ipc_event *e)
{
	*e = (struct ipc_event){
		.start = now + small(100),
		.duration = small(1000),
		.object = noise() % 4 ? ipc_object(1 + noise() % 3, small(6)) : noise(),
		.result = (int64_t)small(12) - 4,
		.arg0 = noise() % 8 ? ipc_arg0(small(8), noise() % 4) : noise(),
		.thread = small(10),
		.call = small(IPC_CALLS + 2),
		.flags = noise() % 4 ? 0 : noise(),
	};
}

static void noise_definition(struct ipc_event *slots)
{
	struct ipc_def *d = (struct ipc_def *)slots;
	for (unsigned int i = 0; i < 5; i++)
		d->body[i] = noise() % 8 ? small(8) | small(8) << 32 : noise();
	d->time = now + small(100);
	d->thread = small(10);
	d->call = IPC_DEF_FIRST + small(6);
	d->text = noise() % 2 ? 0 : noise() % 16 ? noise() % 300 : IPC_TEXT_MAX;
	char *text = (char *)(d + 1);
	for (unsigned int i = 0; i < d->text; i++)
		text[i] = noise() % 5 ? 'a' + noise() % 4 : 0;
}

static void noise_total(void)
{
	struct collector_total t;
	for (unsigned int w = 0; w < sizeof(t) / 8; w++)
		((uint64_t *)&t)[w] = noise();
	t.image = small(8);
	t.object = noise() % 2 ? pipe_object() : t.object;
	t.verb = IPC_VERB_send + noise() % 2;
	t.dropped = noise() % 2;
	t.call = noise() % 200;
	collector_total(c, noise() % 2, now, &t);
}

static void test_noise(void **state)
{
	(void)state;
	static struct ipc_event slots[1 + IPC_TEXT_MAX / IPC_SLOT];
	for (unsigned int round = 0; round < 60; round++) {
		begin();
		for (unsigned int i = 0; i < 4000; i++) {
			if (noise() % 16 == 0)
				for (unsigned int w = 0; w < 8; w++)
					((uint64_t *)slots)[w] = noise();
			else if (noise() % 4)
				noise_event(slots);
			else
				noise_definition(slots);
			collector_record(c, noise() % 2, slots);
			now += noise() % 20;
			if (noise() % 50 == 0)
				step();
			if (noise() % 500 == 0)
				noise_total();
			if (noise() % 500 == 0)
				collector_loss(c, 0, 1 + noise() % (IPC_REASONS - 1), small(8),
					       noise() % 2 ? "x" : NULL, 1);
		}
		end();
	}
	assert_true(lost(IPC_REASON_rejected) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_write_three_reads),
		cmocka_unit_test(test_three_writes_one_read),
		cmocka_unit_test(test_shared_by_two_readers),
		cmocka_unit_test(test_readers_at_once),
		cmocka_unit_test(test_pool_of_blocked_readers),
		cmocka_unit_test(test_writers_in_turn),
		cmocka_unit_test(test_writers_at_once),
		cmocka_unit_test(test_writers_at_once_not_drained),
		cmocka_unit_test(test_long_write_contradicts),
		cmocka_unit_test(test_read_before_write_returned),
		cmocka_unit_test(test_calls_that_move_nothing),
		cmocka_unit_test(test_verb_by_descriptor),
		cmocka_unit_test(test_second_object_sends),
		cmocka_unit_test(test_killed_in_write),
		cmocka_unit_test(test_recording_ends_in_calls),
		cmocka_unit_test(test_no_room_for_more),
		cmocka_unit_test(test_no_writer_known),
		cmocka_unit_test(test_writers_gone),
		cmocka_unit_test(test_writer_outside_too),
		cmocka_unit_test(test_huge_write),
		cmocka_unit_test(test_never_read),
		cmocka_unit_test(test_fifo_restarts),
		cmocka_unit_test(test_fifo_open_returns_late),
		cmocka_unit_test(test_fifo_open_does_not_block),
		cmocka_unit_test(test_other_generation),
		cmocka_unit_test(test_pipe_number_again),
		cmocka_unit_test(test_dup2_closes),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_late_event),
		cmocka_unit_test(test_event_of_a_handler),
		cmocka_unit_test(test_fork_exec_exit),
		cmocka_unit_test(test_unselected),
		cmocka_unit_test(test_selected_mechanisms),
		cmocka_unit_test(test_child_seen_first),
		cmocka_unit_test(test_failing_exec),
		cmocka_unit_test(test_static_exec),
		cmocka_unit_test(test_taken_over_by_the_other_source),
		cmocka_unit_test(test_loss_without_exec),
		cmocka_unit_test(test_child_never_seen),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_stopped_is_not_ended),
		cmocka_unit_test(test_pid_again),
		cmocka_unit_test(test_pid_taken_over),
		cmocka_unit_test(test_late_definitions),
		cmocka_unit_test(test_outlived),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_noise),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
