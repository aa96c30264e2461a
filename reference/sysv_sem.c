// SPDX-License-Identifier: BSD-2-Clause
/*
 * sysv_sem: the bounded buffer. Producers and consumers share a ring of slots in memory, and three semaphores
 * of one set tell how many slots are full, how many are free, and who may move the ring's ends. One producer
 * and one consumer do without the third, since each end has one owner. A message is a post that was waited
 * for, without bytes; what the set was made with is its maker's.
 */
#include <errno.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <unistd.h>

#include "reference.h"

enum { SLOTS = 8, FULL = 0, FREE, MUTEX, SEMAPHORES };

/* In each slot, and for the mutex, who posted last: what the next one got came from there. */
static struct ring {
	unsigned long in, out;
	struct slot {
		unsigned long number;
		pid_t filled_by, freed_by;
	} slots[SLOTS];
	pid_t unlocked_by;
} * ring;
static int set;

static bool is_shared(const struct reference_run *run)
{
	return run->options.producers > 1 || run->options.consumers > 1;
}

static bool is_exact(const struct reference_options *o)
{
	return o->producers == 1 && o->consumers == 1;
}

static int open_set(struct reference_run *run)
{
	unsigned short values[SEMAPHORES] = { [FREE] = SLOTS, [MUTEX] = is_shared(run) };
	ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return reference_failed(run, "mmap");
	for (int i = 0; i < SLOTS; i++)
		ring->slots[i].freed_by = getpid();
	ring->unlocked_by = getpid();
	set = semget(IPC_PRIVATE, SEMAPHORES, 0600);
	if (set < 0 || semctl(set, 0, SETALL, values))
		return reference_failed(run, "semget");
	reference_sent(run, REFERENCE_ANYONE, 0);
	if (is_shared(run))
		reference_sent(run, REFERENCE_ANYONE, 0);
	return 0;
}

static int post(struct reference_run *run, unsigned short semaphore)
{
	struct sembuf up = { .sem_num = semaphore, .sem_op = 1 };
	if (semop(set, &up, 1))
		return reference_failed(run, "semop");
	reference_sent(run, REFERENCE_ANYONE, 0);
	return 0;
}

static int wait_for(struct reference_run *run, unsigned short semaphore)
{
	struct sembuf down = { .sem_num = semaphore,
			       .sem_op = -1,
			       .sem_flg = run->options.nonblocking ? IPC_NOWAIT : 0 };
	while (semop(set, &down, 1)) {
		if (errno != EAGAIN)
			return reference_failed(run, "semop");
		reference_pause();
	}
	reference_received(run, 0);
	return 0;
}

static int lock(struct reference_run *run)
{
	if (!is_shared(run))
		return 0;
	if (wait_for(run, MUTEX))
		return -1;
	reference_came(run, (unsigned int)ring->unlocked_by, 1, 0);
	return 0;
}

static int unlock(struct reference_run *run)
{
	if (!is_shared(run))
		return 0;
	ring->unlocked_by = getpid();
	return post(run, MUTEX);
}

static int produce(struct reference_run *run)
{
	bool had_first =
		false; /* of the free slots that were there at the start: one message, however many */
	while (reference_turn(run)) {
		if (wait_for(run, FREE) || lock(run))
			return -1;
		struct slot *s = &ring->slots[ring->in % SLOTS];
		bool first = ring->in < SLOTS;
		if (!first || !had_first)
			reference_came(run, (unsigned int)s->freed_by, 1, 0);
		had_first |= first;
		*s = (struct slot){ .number = ring->in++, .filled_by = getpid() };
		if (unlock(run) || post(run, FULL))
			return -1;
	}
	return 0;
}

static int consume(struct reference_run *run)
{
	while (reference_more(run)) {
		if (wait_for(run, FULL) || lock(run))
			return -1;
		struct slot *s = &ring->slots[ring->out % SLOTS];
		if (s->number != ring->out++)
			return reference_wrong(run, "slot %lu is wrong", s->number);
		reference_came(run, (unsigned int)s->filled_by, 1, 0);
		run->taken++;
		s->freed_by = getpid();
		if (unlock(run) || post(run, FREE))
			return -1;
	}
	return 0;
}

static int close_set(struct reference_run *run)
{
	if (munmap(ring, sizeof(*ring)) || semctl(set, 0, IPC_RMID))
		return reference_failed(run, "semctl");
	return 0;
}

const struct reference reference_sysv_sem = {
	.name = "sysv_sem",
	.summary = "a bounded buffer: full and free slots, and who may touch them",
	.capacity = "bounded",
	.order = "none",
	.direction = "both ways",
	.when_full = "call fails",
	.synchronisation = "none",
	.relationship = "none: they know a key",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.exact = is_exact,
	.open = open_set,
	.produce = produce,
	.consume = consume,
	.close = close_set,
};
