// SPDX-License-Identifier: BSD-2-Clause
/* Totals in the place of events: what the collector makes of the two sides of a channel, and of drops. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "records.h"

#define KEY "pipe:[77]"

/* So many calls of this kind in the second that ends now, each moving so many bytes. */
static struct collector_total total(uint32_t image, enum ipc_call_id call, uint64_t calls, uint64_t bytes)
{
	struct collector_total t = { .image = image, .call = call };
	t.object = pipe_object();
	t.verb = call == IPC_CALL_write ? IPC_VERB_send : IPC_VERB_recv;
	t.calls = t.moved = calls;
	t.bytes = calls * bytes;
	t.since_ns = now;
	t.first_ns = now + 10;
	now += 1000000000;
	t.last_ns = now - 10;
	t.min_ns = 100;
	t.max_ns = 1000;
	t.ns = t.moved_ns = 100 * calls;
	t.histogram[ipc_bucket(100)] = (uint32_t)calls;
	return t;
}

static void counted(uint32_t image, enum ipc_call_id call, uint64_t calls, uint64_t bytes)
{
	const struct collector_total t = total(image, call, calls, bytes);
	collector_total(c, COLLECTOR_SHIM, now, &t);
}

static void scene(unsigned int writers, unsigned int readers)
{
	pipe_between(writers, readers);
	collector_aggregate(c);
}

static void expect_edge(int src, int dst, uint64_t messages, uint64_t bytes, bool exact)
{
	const struct store_edge *e = edge(src, dst, KEY);
	assert_false(e->unknown || e->timed || e->partial);
	assert_int_equal(e->messages, messages);
	assert_int_equal(e->bytes, bytes);
	assert_int_equal(e->exact, exact);
	assert_true(e->first_ns && e->first_ns < e->last_ns);
}

static void test_one_to_one(void **state)
{
	(void)state;
	scene(1, 1);
	counted(11, IPC_CALL_write, 5, 10);
	counted(21, IPC_CALL_read, 2, 20);
	step();
	counted(21, IPC_CALL_read, 1, 10);
	end();
	expect_edge(11, 21, 5, 50, true);
	assert_int_equal(endpoint(11, KEY)->sends, 5);
	assert_int_equal(endpoint(11, KEY)->send_dur_ns, 500);
	assert_int_equal(endpoint(21, KEY)->receives, 3);
	assert_int_equal(endpoint(21, KEY)->receive_dur_ns, 300);
	assert_int_equal(channel(KEY, 0)->bytes_received, 50);
	assert_string_equal(endpoint(11, KEY)->role, "writer");
	assert_int_equal(fake.aggregated, 8);
}

/* How many sends the bytes were that were received nobody knows. */
static void test_not_drained(void **state)
{
	(void)state;
	scene(1, 1);
	counted(11, IPC_CALL_write, 5, 10);
	counted(21, IPC_CALL_read, 2, 20);
	end();
	expect_edge(11, 21, 5, 40, false);
}

static void test_several_senders(void **state)
{
	(void)state;
	for (int left = 0; left < 2; left++) {
		scene(2, 1);
		counted(11, IPC_CALL_write, 5, 10);
		counted(12, IPC_CALL_write, 3, 4);
		counted(21, IPC_CALL_read, 1, 62 - left);
		end();
		expect_edge(11, 21, 5, 50, !left);
		expect_edge(12, 21, 3, 12, !left);
	}
}

static void test_several_receivers(void **state)
{
	(void)state;
	scene(1, 2);
	counted(11, IPC_CALL_write, 5, 10);
	counted(21, IPC_CALL_read, 1, 20);
	counted(22, IPC_CALL_read, 3, 10);
	end();
	expect_edge(11, 21, 1, 20, false);
	expect_edge(11, 22, 3, 30, false);
}

static void test_many_to_many(void **state)
{
	(void)state;
	scene(2, 2);
	counted(11, IPC_CALL_write, 5, 10);
	counted(12, IPC_CALL_write, 5, 10);
	counted(21, IPC_CALL_read, 1, 50);
	counted(22, IPC_CALL_read, 1, 50);
	end();
	for (int src = 11; src <= 12; src++)
		for (int dst = 21; dst <= 22; dst++)
			assert_true(edge(src, dst, KEY)->unknown && !edge(src, dst, KEY)->exact);
}

/* Those that failed or moved nothing are calls, and no sends. */
static void test_idle_calls(void **state)
{
	struct collector_total t;
	(void)state;
	scene(1, 1);
	t = total(11, IPC_CALL_write, 5, 10);
	t.moved = 3;
	t.errors = 1;
	t.moved_ns = 300;
	t.bytes = 30;
	collector_total(c, COLLECTOR_SHIM, now, &t);
	end();
	assert_int_equal(endpoint(11, KEY)->sends, 3);
	assert_int_equal(endpoint(11, KEY)->bytes_sent, 30);
	assert_int_equal(endpoint(11, KEY)->send_dur_ns, 300);
	assert_int_equal(fake.aggregated, 5);
}

/* Totals come before the image that they are of. */
static void test_late_image(void **state)
{
	(void)state;
	scene(1, 1);
	counted(13, IPC_CALL_write, 2, 10);
	counted(99, IPC_CALL_write, 7, 10);
	step();
	process(13, 10, IPC_VIA_FORK);
	counted(21, IPC_CALL_read, 2, 10);
	end();
	expect_edge(13, 21, 2, 20, true);
	assert_int_equal(lost(IPC_REASON_undefined), 7);
}

/* What was neither told nor counted may be missing from every channel of the mechanism. */
static void test_uncounted(void **state)
{
	const struct collector_lost l = { .reason = IPC_REASON_uncounted,
					  .mechanism = IPC_MECH_pipe,
					  .count = 3 };
	(void)state;
	pipe_between(1, 1);
	do_write(11, 10100, 10110, 10);
	do_read(21, 10200, 10210, 10);
	step();
	collector_lost(c, COLLECTOR_SHIM, &l);
	end();
	assert_true(edge(11, 21, KEY)->partial && !edge(11, 21, KEY)->exact);
	assert_int_equal(lost(IPC_REASON_uncounted), 3);
}

/* A receive whose send may have been dropped is not from outside. */
static void test_dropped_send(void **state)
{
	const struct collector_lost l = { .reason = IPC_REASON_dropped,
					  .mechanism = IPC_MECH_pipe,
					  .count = 1 };
	struct collector_total t;
	(void)state;
	pipe_between(1, 1);
	collector_lost(c, COLLECTOR_SHIM, &l);
	do_read(21, 10200, 10210, 10);
	t = total(11, IPC_CALL_write, 1, 10);
	t.dropped = true;
	collector_total(c, COLLECTOR_SHIM, now, &t);
	end();
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
	assert_int_equal(endpoint(11, KEY)->bytes_sent, 10);
	assert_true(channel(KEY, 0)->partial);
	assert_int_equal(fake.aggregated, 0);
}

/* A bucket begins where the one before ends, and has what falls between. */
static void test_buckets(void **state)
{
	(void)state;
	assert_int_equal(ipc_bucket(0), 0);
	assert_int_equal(ipc_bucket(95), 0);
	assert_int_equal(ipc_bucket(UINT64_MAX), IPC_BUCKETS - 1);
	for (uint32_t i = 1; i < IPC_BUCKETS; i++) {
		assert_int_equal(ipc_bucket(ipc_bucket_from(i)), i);
		assert_int_equal(ipc_bucket(ipc_bucket_from(i) - 1), i - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_to_one),	cmocka_unit_test(test_not_drained),
		cmocka_unit_test(test_several_senders), cmocka_unit_test(test_several_receivers),
		cmocka_unit_test(test_many_to_many),	cmocka_unit_test(test_idle_calls),
		cmocka_unit_test(test_late_image),	cmocka_unit_test(test_uncounted),
		cmocka_unit_test(test_dropped_send),	cmocka_unit_test(test_buckets),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
