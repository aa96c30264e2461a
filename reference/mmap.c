// SPDX-License-Identifier: BSD-2-Clause
/*
 * mmap: a ring in anonymous memory that is mapped MAP_SHARED. Children inherit it; nobody else can have it.
 * The memory is there as long as anyone has it mapped.
 */
#include <sys/mman.h>

#include "ring.h"

static const char *const variants[] = { "futex", "semaphore", "mutex", NULL };
static const enum ring_variant ways[] = { RING_FUTEX, RING_SEMAPHORE, RING_MUTEX };
static struct ring *ring;

static int open_ring(struct reference_run *run)
{
	ring = mmap(NULL, ring_size(run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return reference_failed(run, "mmap");
	return ring_init(run, ring, ways[run->options.variant]);
}

static int produce(struct reference_run *run)
{
	return ring_produce(run, ring);
}

static int consume(struct reference_run *run)
{
	return ring_consume(run, ring);
}

static int close_ring(struct reference_run *run)
{
	return munmap(ring, ring_size(run)) ? reference_failed(run, "munmap") : 0;
}

const struct reference reference_mmap = {
	.name = "mmap",
	.summary = "a ring in anonymous shared memory, which children inherit",
	.capacity = "bounded",
	.direction = "both ways",
	.order = "as written",
	.when_full = "up to them",
	.synchronisation = "a mutex, semaphores or futex",
	.relationship = "a common ancestor",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_SIZES |
		    REFERENCE_MEMORY,
	.variants = variants,
	.open = open_ring,
	.produce = produce,
	.consume = consume,
	.close = close_ring,
};
