// SPDX-License-Identifier: BSD-2-Clause
/*
 * posix_shm: a ring in an object that has a name. Each process opens the name and maps the object; who has it
 * mapped needs no descriptor any more. The name goes with shm_unlink, the memory with its last mapping.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

static const char *const variants[] = { "semaphore", "mutex", "futex", NULL };
static const enum ring_variant ways[] = { RING_SEMAPHORE, RING_MUTEX, RING_FUTEX };
static char name[40];
static struct ring *ring;

/* Opens the name; the maker says how large the object is. */
static struct ring *map(const struct reference_run *run, int flags)
{
	int fd = shm_open(name, O_RDWR | flags, 0600);
	if (fd < 0 || (flags & O_CREAT && ftruncate(fd, (off_t)ring_size(run)))) {
		reference_failed(run, name);
		return NULL;
	}
	void *memory = mmap(NULL, ring_size(run), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (memory != MAP_FAILED)
		return memory;
	reference_failed(run, "mmap");
	return NULL;
}

static int open_object(struct reference_run *run)
{
	snprintf(name, sizeof(name), "/ipctrace-reference-%d", getpid());
	ring = map(run, O_CREAT | O_EXCL);
	return ring ? ring_init(run, ring, ways[run->options.variant]) : -1;
}

static int produce(struct reference_run *run)
{
	struct ring *mine = map(run, 0);
	return mine ? ring_produce(run, mine) || munmap(mine, ring_size(run)) : -1;
}

static int consume(struct reference_run *run)
{
	struct ring *mine = map(run, 0);
	return mine ? ring_consume(run, mine) || munmap(mine, ring_size(run)) : -1;
}

static int remove_object(struct reference_run *run)
{
	if ((ring && munmap(ring, ring_size(run))) || shm_unlink(name))
		return reference_failed(run, "shm_unlink");
	return 0;
}

const struct reference reference_posix_shm = {
	.name = "posix_shm",
	.summary = "a ring in shared memory with a name, which each process opens and maps",
	.capacity = "bounded",
	.direction = "both ways",
	.order = "as written",
	.when_full = "up to them",
	.synchronisation = "a mutex, semaphores or futex",
	.relationship = "none: they know a name",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_SIZES |
		    REFERENCE_MEMORY,
	.variants = variants,
	.open = open_object,
	.produce = produce,
	.consume = consume,
	.close = remove_object,
};
