// SPDX-License-Identifier: BSD-2-Clause
/* Signals: what was sent and received, who received whose (records.h). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>

#include "records.h"
#include "sound.h"

enum { A = 10, B = 20, T = 30, OTHER_THREAD = 31, STRANGER = 0x3fffffff, GROUP = 0 };

/* ---- what a source tells ---- */

static void begins(void)
{
	begin();
	process(A, 1, IPC_VIA_START);
	process(B, A, IPC_VIA_FORK);
	process(T, A, IPC_VIA_FORK);
}

static void sends_at(uint32_t from, int to, int tid, int number, uint64_t start, uint64_t end_ns,
		     unsigned int flags)
{
	struct ipc_event e = {
		.start = start,
		.duration = end_ns - start,
		.object = ipc_object(IPC_MECH_signal, to),
		.arg0 = ipc_arg0((uint32_t)-1, 0),
		.arg1 = (uint64_t)tid << 32 | number,
		.thread = from,
		.call = tid ? IPC_CALL_tgkill : IPC_CALL_kill,
		.flags = flags,
	};
	tell(&e);
	now = end_ns > now ? end_ns : now;
}

static void sends(uint32_t from, int to, int number)
{
	sends_at(from, to, 0, number, now + 1, now + 3, 0);
}

static void queues(uint32_t from, int to, int number, uint64_t value)
{
	struct ipc_event e = {
		.start = now + 1,
		.duration = 2,
		.object = ipc_object(IPC_MECH_signal, to),
		.arg0 = ipc_arg0((uint32_t)-1, 0),
		.arg1 = number,
		.thread = from,
		.call = IPC_CALL_rt_sigqueueinfo,
		.tag = ipc_signal_tag(value),
	};
	tell(&e);
	now += 3;
}

static void receives_at(uint32_t thread_number, int number, int pid, int code, uint64_t time, uint32_t tag)
{
	struct ipc_event e = {
		.start = time,
		.object = ipc_object(IPC_MECH_signal, 0),
		.result = pid,
		.arg0 = ipc_arg0((uint32_t)-1, (uint32_t)code),
		.arg1 = number,
		.thread = thread_number,
		.call = IPC_CALL_handler,
		.tag = tag,
	};
	tell(&e);
	now = time > now ? time : now;
}

static void receives(uint32_t thread_number, int number, int pid)
{
	receives_at(thread_number, number, pid, SI_USER, now + 1, 0);
}

/* ---- what came of it ---- */

static void expect_edge(int src, int dst, uint64_t messages, bool exact)
{
	char key[32];
	snprintf(key, sizeof(key), "signal:%d", dst);
	const struct store_edge *e = edge(src, dst, key);
	assert_int_equal(e->messages, messages);
	assert_int_equal(e->bytes, 0);
	assert_int_equal(e->exact, exact);
}

static uint64_t latency_of_last(void)
{
	step();
	const struct fake_link *l = &fake.links[fake.links_count - 1];
	const struct store_event *r = &fake.events[l->recv];
	return r->start_ns + r->dur_ns - fake.events[l->send].start_ns;
}

static void ends_soundly(void)
{
	end();
	assert_true(ends_are_sound());
	assert_true(edges_are_sound());
}

/* ---- tests ---- */

static void test_before_the_call_returns(void **state)
{
	(void)state;
	begins();
	receives_at(A, SIGUSR1, A, SI_USER, 1050, 0); /* to itself: its handler runs within the call */
	sends_at(A, A, 0, SIGUSR1, 1000, 1100, 0);
	receives_at(T, SIGUSR1, B, SI_USER, 1150, 0); /* on another processor */
	sends_at(B, T, 0, SIGUSR1, 1120, 1170, 0);
	assert_int_equal(latency_of_last(), 30);
	ends_soundly();
	expect_edge(A, A, 1, true);
	expect_edge(B, T, 1, true);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

static void test_several_senders(void **state)
{
	(void)state;
	begins();
	sends(A, T, SIGUSR1);
	sends(B, T, SIGUSR2);
	sends(B, T, SIGTERM);
	receives(T, SIGTERM, B);
	receives(T, SIGUSR2, B);
	receives(T, SIGUSR1, A);
	sends_at(A, T, 0, 40, now + 1, now + 50, 0);
	sends_at(B, T, 0, 40, now - 10, now - 5, 0);
	receives(T, 40, A);
	ends_soundly();
	expect_edge(A, T, 2, true);
	expect_edge(B, T, 2, true);
}

/* The first of those that were pending together is what the target is told of. */
static void test_merged(void **state)
{
	(void)state;
	begins();
	for (int i = 0; i < 3; i++)
		sends(A, T, SIGUSR1);
	sends(B, T, SIGUSR1);
	receives(T, SIGUSR1, A);
	sends(A, T, SIGUSR1);
	receives(T, SIGUSR1, A);
	assert_int_equal(latency_of_last(), 3); /* the new one, not one of the old */
	for (int i = 0; i < 1000; i++)
		sends(A, T, SIGUSR1);
	receives(T, SIGUSR1, A);
	sends(A, T, SIGUSR1); /* pending at the end, or ignored: neither received nor lost */
	ends_soundly();
	expect_edge(A, T, 3, true);
	assert_int_equal(channel("signal:30", 0)->lost, 3 + 999);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* Sent between the moment when the target was given another one and its handler's first instruction. */
static void test_just_not_merged(void **state)
{
	(void)state;
	begins();
	sends_at(A, T, 0, SIGUSR1, 1000, 1010, 0);
	sends_at(A, T, 0, SIGUSR1, 1020, 1030, 0);
	receives_at(T, SIGUSR1, A, SI_USER, 1040, 0);
	receives_at(T, SIGUSR1, A, SI_USER, 1060, 0);
	ends_soundly();
	expect_edge(A, T, 2, true);
	assert_int_equal(channel("signal:30", 0)->lost, 0);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

static void test_real_time(void **state)
{
	(void)state;
	begins();
	for (int i = 0; i < 3; i++)
		queues(A, T, 40, i);
	receives_at(T, 40, A, SI_QUEUE, now + 1, ipc_signal_tag(0));
	receives_at(T, 40, A, SI_QUEUE, now + 1, ipc_signal_tag(2)); /* 1 was to be ignored */
	ends_soundly();
	expect_edge(A, T, 2, true);
	assert_int_equal(fake.links[2].send, fake.links[1].send + 2);
	assert_int_equal(channel("signal:30", 0)->lost, 0);
}

static void test_to_a_thread(void **state)
{
	(void)state;
	begins();
	thread(OTHER_THREAD, T, OTHER_THREAD);
	sends_at(A, T, OTHER_THREAD, SIGUSR1, 1000, 1010, 0);
	sends_at(A, T, T, SIGUSR1, 1020, 1030, 0);
	receives_at(T, SIGUSR1, A, SI_TKILL, 1050, 0);
	assert_int_equal(latency_of_last(), 30);
	receives_at(OTHER_THREAD, SIGUSR1, A, SI_TKILL, 1060, 0);
	assert_int_equal(latency_of_last(), 60);
	sends_at(A, T, 0, SIGUSR1, 1100, 1110, 0); /* blocked meanwhile: which of the two came is told */
	receives_at(T, SIGUSR1, A, SI_TKILL, 1150, 0);
	sends_at(A, T, T, SIGUSR1, 1145, 1160, 0);
	assert_int_equal(latency_of_last(), 5);
	ends_soundly();
	expect_edge(A, T, 3, true);
}

static void test_from_nobody_of_the_trace(void **state)
{
	(void)state;
	begins();
	receives_at(T, SIGSEGV, 0, SEGV_MAPERR, now + 1, 0);
	receives_at(T, SIGCHLD, 0, CLD_EXITED, now + 1, 0);
	receives_at(T, SIGUSR1, STRANGER, SI_USER, now + 1, 0);
	receives_at(T, SIGPIPE, T, SI_USER, now + 1, 0); /* of this the kernel says so */
	sends(A, STRANGER, SIGHUP);
	ends_soundly();
	uint64_t kernel = 0, stranger = 0, to_stranger = 0;
	for (size_t i = 0; i < fake.edges_count; i++) {
		const struct store_edge *e = &fake.edges[i];
		const struct store_process *src = &fake.processes[e->src_id],
					   *dst = &fake.processes[e->dst_id];
		kernel += strcmp(src->comm ? src->comm : "", "kernel") ? 0 : e->messages;
		stranger += src->pid == STRANGER ? e->messages : 0;
		to_stranger += dst->pid == STRANGER ? e->messages : 0;
		assert_true(src->pid == A || !strcmp(src->coverage, "untraced"));
	}
	assert_int_equal(kernel, 3);
	assert_int_equal(stranger, 1);
	assert_int_equal(to_stranger, 1);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

static void test_deaths(void **state)
{
	(void)state;
	begins();
	sends(A, T, SIGKILL);
	gone(T, SIGKILL);
	sends_at(B, B, B, SIGABRT, now + 1, now + 9, IPC_F_INSIDE); /* it never returned */
	gone(B, SIGABRT | 0x80);
	ends_soundly();
	expect_edge(A, T, 1, true);
	expect_edge(B, B, 1, true);
}

static void test_a_death_of_two_senders(void **state)
{
	(void)state;
	begins();
	sends(A, T, SIGTERM);
	sends(B, T, SIGTERM);
	gone(T, SIGTERM);
	ends_soundly();
	expect_edge(A, T, 1, false);
}

static void test_to_a_group(void **state)
{
	(void)state;
	begins();
	receives(A, SIGUSR1, A); /* of which the sender is one */
	receives(B, SIGUSR1, A);
	sends_at(A, GROUP, 0, SIGUSR1, now - 2, now + 3, 0);
	receives(T, SIGUSR1, A);
	ends_soundly();
	expect_edge(A, A, 1, true);
	expect_edge(A, B, 1, true);
	expect_edge(A, T, 1, true);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

static void test_received_and_never_sent(void **state)
{
	(void)state;
	begins();
	receives(T, SIGUSR1, A);
	ends_soundly();
	assert_int_equal(lost(IPC_REASON_unmatched), 1);
	assert_true(channel("signal:30", 0)->partial);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_the_call_returns),
		cmocka_unit_test(test_several_senders),
		cmocka_unit_test(test_merged),
		cmocka_unit_test(test_just_not_merged),
		cmocka_unit_test(test_real_time),
		cmocka_unit_test(test_to_a_thread),
		cmocka_unit_test(test_from_nobody_of_the_trace),
		cmocka_unit_test(test_deaths),
		cmocka_unit_test(test_a_death_of_two_senders),
		cmocka_unit_test(test_to_a_group),
		cmocka_unit_test(test_received_and_never_sent),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
