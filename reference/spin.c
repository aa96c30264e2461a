// SPDX-License-Identifier: BSD-2-Clause
/* spin: mutual exclusion by a lock whose waiters do not sleep: for some instructions, on several processors.
 */
#include <pthread.h>

#include "locks.h"

_Static_assert(sizeof(pthread_spinlock_t) <= LOCKS_SIZE, "");

static int make(void *memory)
{
	return pthread_spin_init(memory, PTHREAD_PROCESS_SHARED);
}

static int lock(void *memory, bool writes, bool nonblocking)
{
	(void)writes;
	return nonblocking ? pthread_spin_trylock(memory) : pthread_spin_lock(memory);
}

static int unlock(void *memory)
{
	return pthread_spin_unlock(memory);
}

static int destroy(void *memory)
{
	return pthread_spin_destroy(memory);
}

static int open_spin(struct reference_run *run)
{
	static const struct locks_kind kind = { make, lock, unlock, destroy, .shares = false };
	return locks_open(run, &kind);
}

const struct reference reference_spin = {
	.name = "spin",
	.summary = "a ring that only the holder of a spin lock may touch",
	.capacity = "bounded",
	.order = "none",
	.direction = "both ways",
	.when_full = "sender tries again",
	.synchronisation = "it is one",
	.relationship = "shared memory",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.exact = locks_is_exact,
	.open = open_spin,
	.produce = locks_produce,
	.consume = locks_consume,
	.close = locks_close,
};
