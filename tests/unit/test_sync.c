// SPDX-License-Identifier: BSD-2-Clause
/* Semaphores and locks: what was counted goes in, endpoints and edges come out (records.h). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "records.h"

enum { SERVER = 10, A = 20, B = 30 };

static uint64_t object(enum ipc_mechanism mechanism)
{
	return ipc_object(mechanism, 0x1234);
}

static void counted(enum ipc_mechanism mechanism, uint32_t image, uint32_t from, uint64_t sends,
		    uint64_t receives)
{
	struct collector_count n = { image, from, object(mechanism), sends, receives, now, now + 5, false };
	collector_counted(c, COLLECTOR_SHIM, &n);
}

static void made(uint32_t image, uint64_t value)
{
	struct ipc_event e = { .start = now + 1,
			       .duration = 1,
			       .object = object(IPC_MECH_posix_sem),
			       .arg1 = value,
			       .thread = image,
			       .call = IPC_CALL_sem_init,
			       .tag = 1 };
	tell(&e);
	now += 3;
}

static void three_processes(void)
{
	begin();
	process(SERVER, 1, IPC_VIA_START);
	process(A, SERVER, IPC_VIA_FORK);
	process(B, SERVER, IPC_VIA_FORK);
}

/* Messages from one to another, ~messages where they are marked, 0: none. */
static int64_t handed(int from, int to)
{
	for (size_t i = 0; i < fake.edges_count; i++)
		if (fake.processes[fake.edges[i].src_id].pid == from &&
		    fake.processes[fake.edges[i].dst_id].pid == to) {
			int64_t n = (int64_t)fake.edges[i].messages;
			assert_false(fake.edges[i].timed);
			return fake.edges[i].exact ? n : ~n;
		}
	return 0;
}

static void test_hand_overs_of_a_lock(void **state)
{
	(void)state;
	three_processes();
	counted(IPC_MECH_mutex, A, 0, 10, 1);
	counted(IPC_MECH_mutex, A, A, 0, 9);
	counted(IPC_MECH_mutex, B, A, 3, 3);
	counted(IPC_MECH_mutex, B, A, 2, 2);
	end();
	assert_int_equal(handed(A, A), 9);
	assert_int_equal(handed(A, B), 5);
	assert_int_equal(handed(B, A), 0);
	assert_int_equal(fake.losses_count, 3); /* the three outlived the recording */
}

/* One gives: whatever was noted, all that came was its. */
static void test_one_poster(void **state)
{
	(void)state;
	three_processes();
	made(SERVER, 2);
	counted(IPC_MECH_posix_sem, SERVER, 0, 20, 0);
	counted(IPC_MECH_posix_sem, A, 0, 0, 7);
	counted(IPC_MECH_posix_sem, B, SERVER, 0, 6);
	end();
	assert_int_equal(handed(SERVER, A), 7);
	assert_int_equal(handed(SERVER, B), 6);
}

/* One takes, and nothing is left: all that was given came to it. */
static void test_one_waiter(void **state)
{
	(void)state;
	three_processes();
	made(SERVER, 2);
	counted(IPC_MECH_posix_sem, A, 0, 5, 0);
	counted(IPC_MECH_posix_sem, B, 0, 3, 0);
	counted(IPC_MECH_posix_sem, SERVER, B, 0, 10);
	end();
	assert_int_equal(handed(SERVER, SERVER), 2);
	assert_int_equal(handed(A, SERVER), 5);
	assert_int_equal(handed(B, SERVER), 3);
	assert_int_equal(handed(B, A), 0);
}

/* Something is left: the first value was taken first; whose of the others' was not cannot be known. */
static void test_units_that_are_left(void **state)
{
	(void)state;
	three_processes();
	made(SERVER, 2);
	counted(IPC_MECH_posix_sem, A, 0, 5, 0);
	counted(IPC_MECH_posix_sem, B, A, 0, 4);
	end();
	assert_int_equal(handed(SERVER, B), 2);
	assert_int_equal(handed(A, B), 2);
	three_processes();
	made(SERVER, 2);
	counted(IPC_MECH_posix_sem, A, 0, 5, 0);
	counted(IPC_MECH_posix_sem, SERVER, 0, 5, 0);
	counted(IPC_MECH_posix_sem, B, A, 0, 4);
	end();
	assert_int_equal(handed(A, B), ~4LL);
}

static void test_several_with_several(void **state)
{
	(void)state;
	three_processes();
	made(SERVER, 1);
	counted(IPC_MECH_posix_sem, A, B, 10, 6);
	counted(IPC_MECH_posix_sem, A, SERVER, 0, 1);
	counted(IPC_MECH_posix_sem, B, A, 10, 10);
	end();
	assert_int_equal(handed(B, A), ~6LL);
	assert_int_equal(handed(A, B), ~10LL);
	assert_int_equal(handed(SERVER, A), ~1LL);
}

/* More came than was given: somebody else gives, or the semaphore was there before. */
static void test_units_of_nobody(void **state)
{
	(void)state;
	three_processes();
	counted(IPC_MECH_posix_sem, A, 0, 5, 0);
	counted(IPC_MECH_posix_sem, B, A, 0, 8);
	end();
	assert_int_equal(handed(A, B), ~8LL);
	assert_true(fake.channels[fake.edges[0].channel_id].partial);
	assert_int_equal(lost(IPC_REASON_unmatched), 3);
}

static void test_a_wait_and_who_ended_it(void **state)
{
	(void)state;
	three_processes();
	struct ipc_event e = { .start = now + 1,
			       .duration = 500,
			       .object = object(IPC_MECH_mutex),
			       .arg1 = A,
			       .thread = B,
			       .call = IPC_CALL_pthread_mutex_lock };
	tell(&e);
	e.arg1 = 4711; /* nobody */
	tell(&e);
	end();
	assert_int_equal(fake.wakes, 1);
	for (size_t i = 1; i < fake.lanes_count; i++)
		if (fake.lanes[i].call == IPC_CALL_pthread_mutex_lock)
			assert_int_equal(fake.lanes[i].verb, IPC_VERB_lock);
}

/* Counts of images that are never defined, and of objects that are none. */
static void test_nonsense(void **state)
{
	(void)state;
	three_processes();
	counted(IPC_MECH_mutex, 4711, 0, 1, 1);
	counted(IPC_MECH_mutex, A, 4711, 1, 1);
	end();
	assert_int_equal(lost(IPC_REASON_rejected), 2);
	assert_int_equal(fake.edges_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hand_overs_of_a_lock),
		cmocka_unit_test(test_one_poster),
		cmocka_unit_test(test_one_waiter),
		cmocka_unit_test(test_units_that_are_left),
		cmocka_unit_test(test_several_with_several),
		cmocka_unit_test(test_units_of_nobody),
		cmocka_unit_test(test_a_wait_and_who_ended_it),
		cmocka_unit_test(test_nonsense),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
