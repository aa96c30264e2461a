// SPDX-License-Identifier: BSD-2-Clause
/* Futexes, against a simulated kernel that knows who woke whom; timerfds and pidfds. Events in, edges out. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "records.h"

enum {
	FIRST = 10,
	PROCESSES = 5,
	WORDS = 2,
	ROUNDS = 400, /* calls of each process */
	RUNS = 60,
	DELAY = 40, /* at most, from a moment in the kernel to the end of the call */
};

static void does_at(uint32_t number, enum ipc_call_id call, uint64_t object, uint64_t start, uint64_t end_ns,
		    int64_t result, uint64_t arg1, unsigned int flags)
{
	struct ipc_event e = {
		.start = start,
		.duration = end_ns - start,
		.object = object,
		.result = result,
		.arg0 = ipc_arg0(5, O_RDWR),
		.arg1 = arg1,
		.thread = number,
		.call = call,
		.flags = flags,
	};
	tell(&e);
	if (end_ns > now)
		now = end_ns;
}

/* ---- futexes ---- */

static uint64_t word(unsigned int i)
{
	return ipc_object(IPC_MECH_futex, 0x1000 + i);
}

struct call {
	uint64_t start, end;
	unsigned int word;
	bool wakes, slept;
	int units;
	struct call *by; /* who woke it */
};

static struct call calls[PROCESSES][ROUNDS];
static unsigned int done[PROCESSES]; /* calls that have begun */
static unsigned int processes;
static uint64_t rest_until[PROCESSES], wake_at[PROCESSES];
static bool asleep[PROCESSES];

static unsigned int choose(unsigned int n)
{
	return (unsigned int)rand() % n;
}

/* Wakes some of those that sleep on the word, the ones that have slept longest first. */
static void wake(struct call *w, uint64_t time, unsigned int most)
{
	while (most--) {
		int first = -1;
		for (unsigned int i = 0; i < processes; i++) {
			struct call *r = &calls[i][done[i] - (done[i] > 0)];
			if (asleep[i] && r->word == w->word &&
			    (first < 0 || r->start < calls[first][done[first] - 1].start))
				first = (int)i;
		}
		if (first < 0)
			return;
		struct call *r = &calls[first][done[first] - 1];
		asleep[first] = false;
		r->by = w;
		r->end = time + 1 + choose(DELAY);
		rest_until[first] = r->end + 1;
		w->units++;
	}
}

/* Each process sleeps or wakes, at its own pace; who wakes is in the kernel somewhere between. */
static void simulate(unsigned int wakers)
{
	uint64_t time = 10000;
	unsigned int running = processes;
	memset(calls, 0, sizeof(calls));
	memset(done, 0, sizeof(done));
	memset(asleep, 0, sizeof(asleep));
	memset(wake_at, 0, sizeof(wake_at));
	for (unsigned int i = 0; i < processes; i++)
		rest_until[i] = time + choose(DELAY);
	while (running) {
		time++;
		running = 0;
		for (unsigned int i = 0; i < processes; i++) {
			if (wake_at[i] == time) {
				struct call *w = &calls[i][done[i] - 1];
				wake(w, time, choose(4) ? 1 : 3);
				w->end = time + 1 + choose(DELAY);
				rest_until[i] = w->end + 1 + choose(DELAY);
				wake_at[i] = 0;
			}
			running += i < wakers ? done[i] < ROUNDS : 0;
			if (asleep[i] || wake_at[i] || time < rest_until[i] || done[i] == ROUNDS)
				continue;
			struct call *call = &calls[i][done[i]++];
			*call = (struct call){ .start = time,
					       .word = choose(WORDS),
					       .wakes = i < wakers && choose(3) };
			if (call->wakes)
				wake_at[i] = time + 1 + choose(DELAY);
			else
				asleep[i] = call->slept = true;
		}
		bool stuck = true;
		for (unsigned int i = 0; i < wakers; i++)
			stuck &= asleep[i];
		if (stuck)
			return;
	}
}

static void tell_call(unsigned int i, const struct call *call)
{
	if (!call->end) /* it sleeps on */
		return;
	does_at(FIRST + i, IPC_CALL_futex, word(call->word), call->start, call->end,
		call->wakes ? call->units : 0, call->wakes ? (uint64_t)call->units : 1,
		call->wakes ? IPC_F_SECOND : 0);
}

static void tell_all(void)
{
	for (unsigned int i = 0; i < processes; i++)
		process(FIRST + (int)i, 1, IPC_VIA_START);
	for (unsigned int i = 0; i < processes; i++)
		for (unsigned int k = 0; k < done[i]; k++)
			tell_call(i, &calls[i][k]);
}

static const struct call *call_at(unsigned int i, uint64_t start)
{
	for (unsigned int k = 0; k < done[i]; k++)
		if (calls[i][k].start == start)
			return &calls[i][k];
	fail_msg("no call of process %u at %llu", i, (unsigned long long)start);
	return NULL;
}

static int pid_of(uint64_t event)
{
	const struct store_lane *lane = &fake.lanes[fake.events[event].lane];
	return fake.processes[fake.endpoints[lane->endpoint_id].process_id].pid;
}

/* Messages that are called exact have the sender that they had. Returns how many are not. */
static unsigned int check_messages(unsigned int *inexact)
{
	unsigned int n = 0;
	for (size_t i = 1; i < fake.links_count; i++) {
		const struct fake_link *l = &fake.links[i];
		if (!on_stream(l->send))
			continue;
		n++;
		const struct call *r =
			call_at((unsigned int)(pid_of(l->recv) - FIRST), fake.events[l->recv].start_ns);
		unsigned int by = (unsigned int)(pid_of(l->send) - FIRST);
		bool right = r->by >= calls[by] && r->by < calls[by] + ROUNDS;
		*inexact += !l->exact;
		if (l->exact && !right)
			fail_msg("process %d was not woken by %d at %llu", pid_of(l->recv), pid_of(l->send),
				 (unsigned long long)r->start);
	}
	return n;
}

static unsigned int truth(void)
{
	unsigned int n = 0;
	for (unsigned int i = 0; i < processes; i++)
		for (unsigned int k = 0; k < done[i]; k++)
			n += calls[i][k].by && calls[i][k].end;
	return n;
}

static void run(unsigned int seed, unsigned int wakers, unsigned int *inexact)
{
	srand(seed);
	begin();
	simulate(wakers);
	tell_all();
	end();
	assert_int_equal(check_messages(inexact), truth());
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

static void test_who_woke_whom(void **state)
{
	unsigned int inexact = 0;
	(void)state;
	for (unsigned int seed = 1; seed <= RUNS; seed++) {
		processes = 2 + seed % (PROCESSES - 1);
		run(seed, 1 + seed % (processes - 1), &inexact);
		if (processes == 2)
			assert_int_equal(inexact, 0);
		inexact = 0;
	}
}

/* One that wakes: there is no doubt, whoever waits. */
static void test_one_waker(void **state)
{
	unsigned int inexact = 0;
	(void)state;
	processes = PROCESSES;
	for (unsigned int seed = 1; seed <= RUNS; seed++)
		run(seed, 1, &inexact);
	assert_int_equal(inexact, 0);
}

static void two_processes(void)
{
	begin();
	process(FIRST, 1, IPC_VIA_START);
	process(FIRST + 1, 1, IPC_VIA_START);
	process(FIRST + 2, 1, IPC_VIA_START);
}

static const char *const a_word = "futex:1000";

/* What nobody woke is counted, and takes nothing from others; what woke somebody unseen stays with nobody. */
static void test_unseen(void **state)
{
	(void)state;
	two_processes();
	does_at(FIRST, IPC_CALL_futex, word(0), 5000, 5010, 1, 1, IPC_F_SECOND); /* woke an outsider */
	does_at(FIRST + 1, IPC_CALL_futex, word(0), 5020, 5100, 0, 1, 0);	 /* woken by one */
	does_at(FIRST + 1, IPC_CALL_futex, word(0), 6000, 6100, 0, 1, 0);
	does_at(FIRST + 2, IPC_CALL_futex, word(0), 6050, 6110, 1, 1, IPC_F_SECOND);
	does_at(FIRST + 2, IPC_CALL_futex, word(0), 7000, 7001, 0, 0, IPC_F_SECOND); /* nobody slept */
	does_at(FIRST + 1, IPC_CALL_futex, word(0), 7000, 7100, -ETIMEDOUT, 0, 0);
	end();
	expect(6050, 6000, 0, true);
	assert_int_equal(messages(), 1);
	assert_int_equal(lost(IPC_REASON_unmatched), 1);
	assert_true(channel(a_word, 0)->partial);
	assert_int_equal(endpoint(FIRST + 2, a_word)->sends, 1);
	assert_int_equal(endpoint(FIRST + 1, a_word)->receives, 2);
}

/* Moved to another word, where another process wakes. */
static void test_moved(void **state)
{
	(void)state;
	two_processes();
	does_at(FIRST, IPC_CALL_futex_moved, word(1), 5000, 5010, 0, word(0), IPC_F_PART);
	does_at(FIRST, IPC_CALL_futex, word(0), 5000, 5010, 1, 0, IPC_F_SECOND);
	does_at(FIRST + 2, IPC_CALL_futex, word(1), 6000, 6010, 1, 1, IPC_F_SECOND);
	does_at(FIRST + 1, IPC_CALL_futex, word(0), 4000, 6005, 0, 1, 0);
	end();
	expect(6000, 4000, 0, true);
	assert_int_equal(edge(FIRST + 2, FIRST + 1, "futex:1001")->messages, 1);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* Woken on two words by one call, and awake before it returns: each wait is its own word's. */
static void test_two_words(void **state)
{
	(void)state;
	two_processes();
	does_at(FIRST + 1, IPC_CALL_futex, word(1), 4000, 5005, 0, 1, 0);
	does_at(FIRST + 2, IPC_CALL_futex, word(0), 4000, 5008, 0, 1, 0);
	does_at(FIRST, IPC_CALL_futex_moved, word(1), 5000, 5010, 0, word(0), IPC_F_PART);
	does_at(FIRST, IPC_CALL_futex, word(0), 5000, 5010, 2, 1, IPC_F_SECOND);
	does_at(FIRST, IPC_CALL_futex, word(1), 5000, 5011, 2, 1, IPC_F_SECOND | IPC_F_PART);
	end();
	assert_int_equal(edge(FIRST, FIRST + 1, "futex:1001")->messages, 1);
	assert_int_equal(edge(FIRST, FIRST + 2, a_word)->messages, 1);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* A wake-up that was under way meanwhile, and is seen late, takes the certainty away. */
static void test_taken_back(void **state)
{
	(void)state;
	two_processes();
	does_at(FIRST + 2, IPC_CALL_futex, word(0), 5000, 5100, 0, 1, 0);
	does_at(FIRST, IPC_CALL_futex, word(0), 5050, 5060, 1, 1, IPC_F_SECOND);
	does_at(FIRST + 1, IPC_CALL_futex, word(0), 5040, 5200, 1, 1, IPC_F_SECOND);
	end();
	expect(5050, 5000, 0, false);
	assert_false(edge(FIRST, FIRST + 2, a_word)->exact);
}

/* ---- the kernel, and processes that end ---- */

static void test_timer(void **state)
{
	uint64_t timer = ipc_own_object(IPC_MECH_timerfd, FIRST, 3),
		 foreign = ipc_own_object(IPC_MECH_timerfd, FIRST, 4);
	(void)state;
	two_processes();
	does_at(FIRST, IPC_CALL_timerfd_create, timer, now + 1, now + 2, 5, 0, 0);
	does_at(FIRST, IPC_CALL_read, timer, now + 1, now + 2, 8, 7, 0);
	does_at(FIRST, IPC_CALL_read, timer, now + 1, now + 2, -EAGAIN, 0, IPC_F_NONBLOCK);
	does_at(FIRST + 1, IPC_CALL_inherit, timer, now + 1, now + 1, 5, 0, 0);
	does_at(FIRST + 1, IPC_CALL_read, timer, now + 1, now + 2, 8, 1, 0);
	does_at(FIRST + 1, IPC_CALL_inherit, foreign, now + 1, now + 1, 6, 0, 0);
	end();
	assert_int_equal(endpoint(FIRST, "timerfd:10.3")->receives, 1);
	assert_int_equal(endpoint(FIRST, "timerfd:10.3")->bytes_received, 0);
	assert_int_equal(edge(0, FIRST, "timerfd:10.3")->messages, 1);
	assert_int_equal(edge(0, FIRST + 1, "timerfd:10.3")->messages, 1);
	assert_true(edge(0, FIRST, "timerfd:10.3")->exact);
	assert_false(channel("timerfd:10.3", 0)->partial);
	assert_true(channel("timerfd:10.4", 0)->partial);
}

static void sees_end(uint32_t number, uint64_t pidfd)
{
	does_at(number, IPC_CALL_poll, pidfd, now + 1, now + 2, 1, POLLIN, 0);
}

/* One message to each who saw it; a pid that is used again is another process; and one from outside. */
static void test_pidfd(void **state)
{
	uint64_t pidfd = ipc_object(IPC_MECH_pidfd, 30), unknown = ipc_object(IPC_MECH_pidfd, 31);
	(void)state;
	two_processes();
	spawn(FIRST, 30);
	process(30, FIRST, IPC_VIA_FORK);
	does_at(FIRST, IPC_CALL_pidfd_open, pidfd, now + 1, now + 2, 5, 0, 0);
	does_at(FIRST, IPC_CALL_pidfd_open, unknown, now + 1, now + 2, 6, 0, 0);
	does_at(FIRST, IPC_CALL_poll, pidfd, now + 1, now + 2, 0, 0, 0); /* a timeout: nothing is ready */
	exits(30, 30, 0);
	uint64_t exited = now;
	sees_end(FIRST, pidfd);
	sees_end(FIRST, pidfd);
	sees_end(FIRST + 1, pidfd);
	sees_end(FIRST + 1, unknown);
	waits(FIRST, 30, 0);
	spawn(FIRST, 30);
	image_text(130, 30, FIRST, IPC_VIA_FORK, NULL, 0);
	does_at(FIRST, IPC_CALL_pidfd_open, pidfd, now + 1, now + 2, 5, 0, 0);
	gone(30, 9);
	sees_end(FIRST, pidfd);
	end();
	assert_int_equal(edge(30, FIRST, "pidfd:30")->messages, 1);
	assert_int_equal(edge(30, FIRST + 1, "pidfd:30")->messages, 1);
	assert_int_equal(edge(31, FIRST + 1, "pidfd:31")->messages, 1);
	assert_int_equal(channel("pidfd:30", 1)->mechanism, IPC_MECH_pidfd);
	assert_int_equal(endpoint(30, "pidfd:30")->sends, 1);
	size_t edges = 0, on_time = 0;
	for (size_t i = 0; i < fake.edges_count; i++) {
		edges += fake.channels[fake.edges[i].channel_id].mechanism == IPC_MECH_pidfd;
		on_time += fake.edges[i].first_ns == exited && fake.edges[i].messages == 1;
	}
	assert_int_equal(edges, 4);
	assert_int_equal(on_time, 3); /* both that saw it, and who waited */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_woke_whom), cmocka_unit_test(test_one_waker),
		cmocka_unit_test(test_unseen),	      cmocka_unit_test(test_moved),
		cmocka_unit_test(test_two_words),     cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_timer),	      cmocka_unit_test(test_pidfd),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
