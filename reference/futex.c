// SPDX-License-Identifier: BSD-2-Clause
/*
 * futex: a ring in shared memory whose ends sleep in the kernel only where they must. A ticket says which
 * slot a producer fills, or a consumer empties, and in which round. Each slot counts how often it was filled
 * and emptied; who is too early sleeps on that word, and who changes it wakes one sleeper, if there is one:
 * since there are not fewer slots than processes on either side, no two ever sleep on one word.
 *
 * FUTEX_WAIT sleeps only if the word still has the value that was seen, else a wake-up between look and sleep
 * would be missed. A message is a wake-up that ended a sleep, without bytes: the data need none.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reference.h"

enum { SLOTS_MIN = 8 };

static struct ring {
	_Atomic unsigned long in, out; /* the next tickets */
	unsigned long slots;
	struct slot {
		_Atomic uint32_t filled, emptied; /* how often: what others sleep on */
		_Atomic pid_t filled_by, emptied_by;
		unsigned long ticket; /* the data */
	} slot[];
} * ring;
static size_t ring_size;

static int open_ring(struct reference_run *run)
{
	const struct reference_options *o = &run->options;
	unsigned long slots = o->producers > o->consumers ? o->producers : o->consumers;
	slots = slots > SLOTS_MIN ? slots : SLOTS_MIN;
	ring_size = sizeof(*ring) + slots * sizeof(ring->slot[0]);
	ring = mmap(NULL, ring_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return reference_failed(run, "mmap");
	ring->slots = slots;
	return 0;
}

/* Until the word, which only grows, has this value; `by` names who changed it last. */
static int wait_until(struct reference_run *run, _Atomic uint32_t *word, uint32_t wanted, _Atomic pid_t *by)
{
	uint32_t seen;
	while ((seen = atomic_load(word)) != wanted) {
		if (!syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0)) {
			reference_received(run, 0);
			reference_came(run, (unsigned int)atomic_load(by), 1, 0);
		} else if (errno != EAGAIN && errno != EINTR) {
			return reference_failed(run, "FUTEX_WAIT");
		}
	}
	return 0;
}

static int advance(struct reference_run *run, _Atomic uint32_t *word, _Atomic pid_t *by)
{
	atomic_store(by, getpid());
	atomic_fetch_add(word, 1);
	long woken = syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	if (woken < 0)
		return reference_failed(run, "FUTEX_WAKE");
	if (woken)
		reference_sent(run, REFERENCE_ANYONE, 0);
	return 0;
}

static int produce(struct reference_run *run)
{
	while (reference_turn(run)) {
		unsigned long ticket = atomic_fetch_add(&ring->in, 1);
		struct slot *s = &ring->slot[ticket % ring->slots];
		if (wait_until(run, &s->emptied, (uint32_t)(ticket / ring->slots), &s->emptied_by))
			return -1;
		s->ticket = ticket;
		if (advance(run, &s->filled, &s->filled_by))
			return -1;
	}
	return 0;
}

static int consume(struct reference_run *run)
{
	while (reference_more(run)) {
		unsigned long ticket = atomic_fetch_add(&ring->out, 1);
		struct slot *s = &ring->slot[ticket % ring->slots];
		if (wait_until(run, &s->filled, (uint32_t)(ticket / ring->slots) + 1, &s->filled_by))
			return -1;
		if (s->ticket != ticket)
			return reference_wrong(run, "slot %lu has %lu", ticket, s->ticket);
		run->taken++;
		if (advance(run, &s->emptied, &s->emptied_by))
			return -1;
	}
	return 0;
}

static int close_ring(struct reference_run *run)
{
	return munmap(ring, ring_size) ? reference_failed(run, "munmap") : 0;
}

/* Only one sleeps on a word, and only one wakes it. */
static bool always_exact(const struct reference_options *o)
{
	(void)o;
	return true;
}

const struct reference reference_futex = {
	.name = "futex",
	.summary = "a ring in shared memory, and who sleeps until it has changed",
	.capacity = "zero",
	.order = "none",
	.direction = "one way",
	.when_full = "nobody wakes",
	.synchronisation = "it is one",
	.relationship = "shared memory",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NO_BYTES,
	.exact = always_exact,
	.open = open_ring,
	.produce = produce,
	.consume = consume,
	.close = close_ring,
};
