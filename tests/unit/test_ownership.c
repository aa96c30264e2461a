// SPDX-License-Identifier: BSD-2-Clause
/*
 * The matcher of locks against a simulated kernel that knows the truth.
 *
 * A schedule is a random number's: threads of several processes acquire and release bytes of one file, alone
 * or shared, with conversions, partial releases, calls that wait and calls that fail. Every step takes one
 * thread one state further: into its call, through the kernel's atomic moment (a lock that others exclude
 * stays where it is), out of the call. The kernel remembers for each byte what was released last. What the
 * matcher says is compared with the truth:
 *  - an exact message is true;
 *  - where all its messages are exact, an acquisition has all that are true (of threads of one process that
 *    begin to share at once, one has them);
 *  - nothing is unmatched;
 *  - without sharing everything is exact.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ownership.h"

enum { PROCS = 5, THREADS = 8, BYTES = 12, CALLS_MAX = 600, SCHEDULES = 1500, NOBODY = -1 };

struct endpoint {
	int process;
};

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

static bool chance(uint32_t percent)
{
	return rnd(100) < percent;
}

enum state { IDLE, INSIDE, RETURNING };
enum mode { FREE, SHARED, ALONE };

struct call {
	struct match_call m;
	int owner, first, last;
	enum mode mode;			       /* that it asks for; FREE: releases */
	bool from[CALLS_MAX], said[CALLS_MAX]; /* of an acquisition: the releases that it takes over */
	uint32_t sharers, said_sharers;	       /* of a release: the processes that take it over to share it */
	bool inexact, unmatched;
};

struct sim_thread {
	enum state state;
	int process, owner, call;
};

struct byte {
	enum mode mode[THREADS];      /* by owner */
	int released, released_alone; /* calls, or NOBODY */
	bool shared_since[PROCS];     /* since someone had it alone */
};

static struct sim {
	struct call calls[CALLS_MAX];
	int call_count;
	struct sim_thread threads[THREADS];
	int thread_count, owners, bytes;
	struct byte byte[BYTES];
	struct endpoint endpoints[PROCS];
	uint64_t now;
	bool sharing;
} sim;

/* Of two threads of a process that release the same at once either may have been the last. */
static bool is_from(const struct call *a, const struct endpoint *process)
{
	for (int i = 0; i < sim.call_count; i++)
		if (a->from[i] && sim.calls[i].m.endpoint == process)
			return true;
	return false;
}

static void on_message(void *context, const struct match_message *m)
{
	struct call *a = &sim.calls[m->recv_event];
	struct call *r = &sim.calls[m->send_event];
	uint32_t process = 1u << a->m.endpoint->process;
	(void)context;
	assert_ptr_equal(m->src, r->m.endpoint);
	assert_ptr_equal(m->dst, a->m.endpoint);
	assert_ptr_not_equal(m->src, m->dst);
	assert_true(m->sent == r->m.start && m->received == a->m.end && m->received >= m->sent);
	assert_false(a->said[m->send_event]);
	a->said[m->send_event] = true;
	a->inexact |= !m->exact;
	if (a->mode == SHARED) {
		assert_true(m->exact && r->sharers & process);
		assert_true(sim.bytes > 1 || !(r->said_sharers & process));
		r->said_sharers |= process;
	} else if (m->exact) {
		assert_true(is_from(a, m->src));
	}
}

static void on_unmatched(void *context, const struct match_call *acquisition)
{
	(void)context;
	sim.calls[acquisition->event].unmatched = true;
}

static const struct ownership_sink sink = { on_message, on_unmatched };

/* The kernel. */

static bool is_free(const struct call *c, const struct byte *b)
{
	for (int o = 0; o < sim.owners; o++)
		if (o != c->owner && b->mode[o] && (b->mode[o] == ALONE || c->mode == ALONE))
			return false;
	return true;
}

static void take_over(struct call *c, int from)
{
	if (from == NOBODY || sim.calls[from].m.endpoint == c->m.endpoint)
		return;
	if (c->mode == SHARED)
		sim.calls[from].sharers |= 1u << c->m.endpoint->process;
	else
		c->from[from] = true;
}

static void release_byte(struct call *c, struct byte *b)
{
	if (b->mode[c->owner] == ALONE)
		b->released_alone = (int)(c - sim.calls);
	if (b->mode[c->owner])
		b->released = (int)(c - sim.calls);
	b->mode[c->owner] = FREE;
}

static void acquire_byte(struct call *c, struct byte *b)
{
	int process = c->m.endpoint->process;
	if (b->mode[c->owner] == c->mode)
		return;
	if (c->mode == ALONE)
		take_over(c, b->released);
	else if (!b->shared_since[process])
		take_over(c, b->released_alone);
	release_byte(c, b);
	b->mode[c->owner] = c->mode;
	if (c->mode == ALONE) {
		memset(b->shared_since, 0, sizeof(b->shared_since));
		b->released = b->released_alone = NOBODY;
	} else {
		b->shared_since[process] = true;
	}
}

/* False: it has to wait. */
static bool happens(struct call *c)
{
	for (int i = c->first; i <= c->last; i++)
		if (c->mode != FREE && !is_free(c, &sim.byte[i]))
			return false;
	for (int i = c->first; i <= c->last; i++)
		if (c->mode == FREE)
			release_byte(c, &sim.byte[i]);
		else
			acquire_byte(c, &sim.byte[i]);
	return true;
}

/* Threads. */

static bool has_any(int owner)
{
	for (int i = 0; i < sim.bytes; i++)
		if (sim.byte[i].mode[owner])
			return true;
	return false;
}

static void enter(struct sim_thread *t)
{
	t->call = sim.call_count++;
	struct call *c = &sim.calls[t->call];
	c->owner = t->owner;
	c->mode = has_any(t->owner) && chance(75) ? FREE : sim.sharing && chance(60) ? SHARED : ALONE;
	c->first = chance(40) ? 0 : (int)rnd((uint32_t)sim.bytes);
	c->last = chance(40) ? sim.bytes - 1 : c->first + (int)rnd((uint32_t)(sim.bytes - c->first));
	c->m = (struct match_call){ .start = sim.now,
				    .event = (uint64_t)t->call,
				    .endpoint = &sim.endpoints[t->process],
				    .thread = (uint32_t)(t - sim.threads) + 1 };
	t->state = INSIDE;
}

static void leave(struct ownership *o, struct sim_thread *t)
{
	struct call *c = &sim.calls[t->call];
	const struct ownership_range range = { (uint64_t)c->first, (uint64_t)c->last };
	c->m.end = sim.now;
	if (c->mode == FREE)
		ownership_release(o, &c->m, (uint64_t)c->owner + 1, range);
	else
		ownership_acquire(o, &c->m, (uint64_t)c->owner + 1, range, c->mode == SHARED);
	t->state = IDLE;
}

/* Who waits for what another waiter has gives up: nobody can go on. */
static void break_deadlock(void)
{
	for (int i = 0; i < sim.thread_count; i++)
		if (sim.threads[i].state == INSIDE) {
			struct call *c = &sim.calls[sim.threads[i].call];
			c->mode = FREE; /* it releases instead */
			c->first = 0;
			c->last = sim.bytes - 1;
		}
}

static void step(struct ownership *o, int *stuck)
{
	struct sim_thread *t = &sim.threads[rnd((uint32_t)sim.thread_count)];
	sim.now += 1 + rnd(5);
	++*stuck;
	if (t->state == IDLE && sim.call_count < CALLS_MAX) {
		enter(t);
		*stuck = 0;
	} else if (t->state == INSIDE && happens(&sim.calls[t->call])) {
		t->state = RETURNING;
		*stuck = 0;
	} else if (t->state == RETURNING && chance(60)) {
		leave(o, t);
		*stuck = 0;
	}
}

static bool all_idle(void)
{
	for (int i = 0; i < sim.thread_count; i++)
		if (sim.threads[i].state != IDLE)
			return false;
	return true;
}

static void start(uint64_t number, bool ranges)
{
	seed = number * 2654435761u + 1;
	memset(&sim, 0, sizeof(sim));
	sim.sharing = chance(60);
	sim.bytes = ranges ? 1 + (int)rnd(BYTES) : 1;
	sim.thread_count = 2 + (int)rnd(THREADS - 1);
	sim.owners = sim.thread_count;
	int processes = 2 + (int)rnd(PROCS - 1);
	for (int i = 0; i < PROCS; i++)
		sim.endpoints[i].process = i;
	for (int i = 0; i < BYTES; i++)
		sim.byte[i].released = sim.byte[i].released_alone = NOBODY;
	for (int i = 0; i < sim.thread_count; i++)
		sim.threads[i] = (struct sim_thread){ .process = (int)rnd((uint32_t)processes), .owner = i };
}

/* Ends all releases of what is held: nothing may wait then. */
static void release_all(struct ownership *o)
{
	for (int i = 0; i < sim.owners; i++)
		if (has_any(i)) {
			struct match_call m = { .start = sim.now,
						.end = sim.now + 1,
						.endpoint = &sim.endpoints[0] };
			ownership_release(o, &m, (uint64_t)i + 1, OWNERSHIP_ALL);
		}
}

static int count(const bool which[CALLS_MAX], const struct endpoint *process)
{
	int n = 0;
	for (int i = 0; i < sim.call_count; i++)
		n += which[i] && sim.calls[i].m.endpoint == process;
	return n;
}

static void check(void)
{
	for (int i = 0; i < sim.call_count; i++) {
		const struct call *c = &sim.calls[i];
		assert_false(c->unmatched);
		assert_true(sim.sharing || !c->inexact);
		assert_int_equal(c->sharers, c->said_sharers);
		for (int p = 0; p < PROCS && c->mode == ALONE && !c->inexact; p++)
			assert_int_equal(count(c->from, &sim.endpoints[p]),
					 count(c->said, &sim.endpoints[p]));
	}
}

static void run(uint64_t number, bool ranges)
{
	struct ownership o = { .sink = &sink };
	int stuck = 0;
	start(number, ranges);
	while (sim.call_count < CALLS_MAX || !all_idle()) {
		step(&o, &stuck);
		if (stuck > 1000) {
			break_deadlock();
			stuck = 0;
		}
	}
	release_all(&o);
	ownership_settle(&o);
	check();
}

static void whole_locks(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < SCHEDULES; i++)
		run(i, false);
}

static void ranges(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < SCHEDULES; i++)
		run(i, true);
}

/* A holder whose release nobody saw, and what cannot be known of it. */
static void a_release_unseen(void **state)
{
	(void)state;
	struct ownership o = { .sink = &sink };
	start(1, false);
	struct match_call a = {
		.start = 1, .end = 2, .event = 0, .endpoint = &sim.endpoints[0], .thread = 1
	};
	struct match_call b = {
		.start = 3, .end = 10, .event = 1, .endpoint = &sim.endpoints[1], .thread = 2
	};
	struct match_call late = {
		.start = 20, .end = 21, .event = 2, .endpoint = &sim.endpoints[0], .thread = 1
	};
	ownership_acquire(&o, &a, 1, OWNERSHIP_ALL, false);
	assert_true(ownership_has(&o, 1) && ownership_has_so(&o, 1, false) && !ownership_has_so(&o, 1, true));
	assert_true(ownership_missed(&o, 1) == UINT64_MAX);
	ownership_acquire(&o, &b, 2, OWNERSHIP_ALL, false);
	assert_true(ownership_missed(&o, 1) == 10);
	ownership_release(&o, &late, 1, OWNERSHIP_ALL);
	assert_true(sim.calls[1].unmatched && !ownership_has(&o, 1) && ownership_has(&o, 2));
	ownership_settle(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_locks),
		cmocka_unit_test(ranges),
		cmocka_unit_test(a_release_unseen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
