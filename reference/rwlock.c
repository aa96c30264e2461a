// SPDX-License-Identifier: BSD-2-Clause
/*
 * rwlock: writers exclude everybody, readers only writers. Producers add to a log, consumers look side by
 * side what is new. What one gets comes from whoever wrote last.
 */
#include <pthread.h>

#include "locks.h"

_Static_assert(sizeof(pthread_rwlock_t) <= LOCKS_SIZE, "");

static int make(void *memory)
{
	pthread_rwlockattr_t attributes;
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	int error = pthread_rwlock_init(memory, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	return error;
}

static int lock(void *memory, bool writes, bool nonblocking)
{
	if (writes)
		return nonblocking ? pthread_rwlock_trywrlock(memory) : pthread_rwlock_wrlock(memory);
	return nonblocking ? pthread_rwlock_tryrdlock(memory) : pthread_rwlock_rdlock(memory);
}

static int unlock(void *memory)
{
	return pthread_rwlock_unlock(memory);
}

static int destroy(void *memory)
{
	return pthread_rwlock_destroy(memory);
}

static int open_rwlock(struct reference_run *run)
{
	static const struct locks_kind kind = { make, lock, unlock, destroy, .shares = true };
	return locks_open(run, &kind);
}

const struct reference reference_rwlock = {
	.name = "rwlock",
	.summary = "a log that producers write alone and consumers read together",
	.capacity = "unbounded",
	.order = "none",
	.direction = "one way",
	.when_full = NULL,
	.synchronisation = "it is one",
	.relationship = "shared memory",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.exact = locks_is_exact,
	.open = open_rwlock,
	.produce = locks_produce,
	.consume = locks_consume,
	.close = locks_close,
};
