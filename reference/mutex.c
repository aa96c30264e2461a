// SPDX-License-Identifier: BSD-2-Clause
/*
 * mutex: mutual exclusion. A mutex in memory that processes share must be made so (PTHREAD_PROCESS_SHARED),
 * and robust: when its owner dies, the next one is told so and can put in order what it guards.
 */
#include <errno.h>
#include <pthread.h>

#include "locks.h"

_Static_assert(sizeof(pthread_mutex_t) <= LOCKS_SIZE, "");

static int make(void *memory)
{
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	int error = pthread_mutex_init(memory, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return error;
}

static int lock(void *memory, bool writes, bool nonblocking)
{
	(void)writes;
	int error = nonblocking ? pthread_mutex_trylock(memory) : pthread_mutex_lock(memory);
	return error == EOWNERDEAD ? pthread_mutex_consistent(memory) : error;
}

static int unlock(void *memory)
{
	return pthread_mutex_unlock(memory);
}

static int destroy(void *memory)
{
	return pthread_mutex_destroy(memory);
}

static int open_mutex(struct reference_run *run)
{
	static const struct locks_kind kind = { make, lock, unlock, destroy, .shares = false };
	return locks_open(run, &kind);
}

const struct reference reference_mutex = {
	.name = "mutex",
	.summary = "a ring that only the holder of a mutex may touch",
	.capacity = "bounded",
	.order = "none",
	.direction = "both ways",
	.when_full = "sender tries again",
	.synchronisation = "it is one",
	.relationship = "shared memory",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.exact = locks_is_exact,
	.open = open_mutex,
	.produce = locks_produce,
	.consume = locks_consume,
	.close = locks_close,
};
