// SPDX-License-Identifier: BSD-2-Clause
/*
 * posix_sem: the bounded buffer with semaphores that lie in memory that the processes share; or, named ones,
 * in memory that sem_open(3) maps.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"

enum { UNNAMED, NAMED };

static sem_t *memory; /* of unnamed ones */
static sem_t *semaphores[BUFFER_SEMAPHORES];

static int post(struct reference_run *run, int semaphore)
{
	return sem_post(semaphores[semaphore]) ? reference_failed(run, "sem_post") : 0;
}

/* A handler of a signal ends the wait: then it is begun again. */
static int wait_for(struct reference_run *run, int semaphore)
{
	sem_t *s = semaphores[semaphore];
	while (run->options.nonblocking ? sem_trywait(s) : sem_wait(s)) {
		if (errno == EAGAIN)
			return 1;
		if (errno != EINTR)
			return reference_failed(run, "sem_wait");
	}
	return 0;
}

/* The name is needed only until it is opened. */
static sem_t *open_named(int number, unsigned int value)
{
	char name[64];
	snprintf(name, sizeof(name), "/ipctrace-reference-%d-%d", getpid(), number);
	sem_t *s = sem_open(name, O_CREAT | O_EXCL, 0600, value);
	if (s != SEM_FAILED)
		sem_unlink(name);
	return s;
}

static int open_all(struct reference_run *run)
{
	static const struct buffer_semaphores how = { post, wait_for, .first_at_once = false };
	bool named = run->options.variant == NAMED;
	unsigned short first[BUFFER_SEMAPHORES];
	if (buffer_open(run, &how, first))
		return -1;
	memory = mmap(NULL, sizeof(sem_t) * BUFFER_SEMAPHORES, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return reference_failed(run, "mmap");
	for (int i = 0; i < BUFFER_SEMAPHORES; i++) {
		semaphores[i] = named ? open_named(i, first[i]) : &memory[i];
		if (semaphores[i] == SEM_FAILED || (!named && sem_init(semaphores[i], 1, first[i])))
			return reference_failed(run, named ? "sem_open" : "sem_init");
	}
	return 0;
}

static int close_all(struct reference_run *run)
{
	for (int i = 0; i < BUFFER_SEMAPHORES; i++)
		if (run->options.variant == NAMED ? sem_close(semaphores[i]) : sem_destroy(semaphores[i]))
			return reference_failed(run, "sem_destroy");
	munmap(memory, sizeof(sem_t) * BUFFER_SEMAPHORES);
	return buffer_close(run);
}

static const char *const variants[] = { "unnamed", "named", NULL };

const struct reference reference_posix_sem = {
	.name = "posix_sem",
	.summary = "a bounded buffer whose semaphores make no system call while nobody waits",
	.capacity = "bounded",
	.order = "none",
	.direction = "both ways",
	.when_full = "call fails",
	.synchronisation = "it is one",
	.relationship = "shared memory, or a name",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.variants = variants,
	.exact = buffer_is_exact,
	.open = open_all,
	.produce = buffer_produce,
	.consume = buffer_consume,
	.close = close_all,
};
