// SPDX-License-Identifier: BSD-2-Clause
/*
 * memfd: a ring in memory that has a descriptor and no name. Who is given the descriptor (here: children
 * inherit it; SCM_RIGHTS takes it to others) maps it. Seals promise them that the memory keeps its size.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

static const char *const variants[] = { "futex", "semaphore", "mutex", NULL };
static const enum ring_variant ways[] = { RING_FUTEX, RING_SEMAPHORE, RING_MUTEX };
static int fd;
static struct ring *ring;

static struct ring *map(const struct reference_run *run)
{
	void *memory = mmap(NULL, ring_size(run), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED)
		return memory;
	reference_failed(run, "mmap");
	return NULL;
}

static int open_memory(struct reference_run *run)
{
	fd = memfd_create("ring", MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)ring_size(run)) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return reference_failed(run, "memfd_create");
	ring = map(run);
	return ring ? ring_init(run, ring, ways[run->options.variant]) : -1;
}

static int produce(struct reference_run *run)
{
	struct ring *mine = map(run);
	return mine ? ring_produce(run, mine) || munmap(mine, ring_size(run)) : -1;
}

static int consume(struct reference_run *run)
{
	struct ring *mine = map(run);
	return mine ? ring_consume(run, mine) || munmap(mine, ring_size(run)) : -1;
}

static int close_memory(struct reference_run *run)
{
	if ((ring && munmap(ring, ring_size(run))) || close(fd))
		return reference_failed(run, "close");
	return 0;
}

const struct reference reference_memfd = {
	.name = "memfd",
	.summary = "a ring in memory that has a descriptor and no name",
	.capacity = "bounded",
	.direction = "both ways",
	.order = "as written",
	.when_full = "up to them",
	.synchronisation = "a mutex, semaphores or futex",
	.relationship = "none: a descriptor is passed",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_SIZES |
		    REFERENCE_MEMORY,
	.variants = variants,
	.open = open_memory,
	.produce = produce,
	.consume = consume,
	.close = close_memory,
};
