// SPDX-License-Identifier: BSD-2-Clause
/*
 * sysv_shm: a ring in a System V segment. Who knows its id, or its key, attaches it; it stays until it is
 * removed and nobody has it attached any more.
 */
#include <sys/ipc.h>
#include <sys/shm.h>

#include "ring.h"

static const char *const variants[] = { "mutex", "semaphore", "futex", NULL };
static const enum ring_variant ways[] = { RING_MUTEX, RING_SEMAPHORE, RING_FUTEX };
static int segment;
static struct ring *ring;

static struct ring *attach(const struct reference_run *run)
{
	void *memory = shmat(segment, NULL, 0);
	if (memory != (void *)-1)
		return memory;
	reference_failed(run, "shmat");
	return NULL;
}

static int open_segment(struct reference_run *run)
{
	segment = shmget(IPC_PRIVATE, ring_size(run), 0600);
	if (segment < 0)
		return reference_failed(run, "shmget");
	ring = attach(run);
	return ring ? ring_init(run, ring, ways[run->options.variant]) : -1;
}

static int produce(struct reference_run *run)
{
	struct ring *mine = attach(run);
	return mine ? ring_produce(run, mine) || shmdt(mine) : -1;
}

static int consume(struct reference_run *run)
{
	struct ring *mine = attach(run);
	return mine ? ring_consume(run, mine) || shmdt(mine) : -1;
}

static int remove_segment(struct reference_run *run)
{
	if ((ring && shmdt(ring)) || shmctl(segment, IPC_RMID, NULL))
		return reference_failed(run, "shmctl");
	return 0;
}

const struct reference reference_sysv_shm = {
	.name = "sysv_shm",
	.summary = "a ring in a System V segment, which each process attaches",
	.capacity = "bounded",
	.direction = "both ways",
	.order = "as written",
	.when_full = "up to them",
	.synchronisation = "a mutex, semaphores or futex",
	.relationship = "none: they know a key",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_SIZES |
		    REFERENCE_MEMORY,
	.variants = variants,
	.open = open_segment,
	.produce = produce,
	.consume = consume,
	.close = remove_segment,
};
