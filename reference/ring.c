// SPDX-License-Identifier: BSD-2-Clause
/* The ring (ring.h). Whoever has entered it is alone in it, and finds a slot that is free, or full. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ring.h"

enum { SLOTS = 8, FREE = 0, TAKEN, WAITED_FOR };

struct ring {
	enum ring_variant variant;
	size_t slot_size;
	unsigned long in, out;	  /* messages put in and taken out */
	_Atomic uint32_t arrived; /* processes */

	sem_t full, free, turn; /* semaphore: how many slots are, and whose turn it is */

	pthread_mutex_t mutex;
	pthread_cond_t not_full, not_empty;

	_Atomic uint32_t lock, put, got; /* futex: put and got change with each message */

	_Alignas(16) char slots[];
};

size_t ring_size(const struct reference_run *run)
{
	return sizeof(struct ring) + SLOTS * (run->options.size_max + sizeof(uint64_t));
}

int ring_init(struct reference_run *run, struct ring *ring, enum ring_variant variant)
{
	pthread_mutexattr_t shared_mutex;
	pthread_condattr_t shared_condition;
	ring->variant = variant;
	ring->slot_size = run->options.size_max + sizeof(uint64_t);
	if (sem_init(&ring->full, 1, 0) || sem_init(&ring->free, 1, SLOTS) || sem_init(&ring->turn, 1, 1))
		return reference_failed(run, "sem_init");
	pthread_mutexattr_init(&shared_mutex);
	pthread_mutexattr_setpshared(&shared_mutex, PTHREAD_PROCESS_SHARED);
	pthread_condattr_init(&shared_condition);
	pthread_condattr_setpshared(&shared_condition, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&ring->mutex, &shared_mutex);
	pthread_cond_init(&ring->not_full, &shared_condition);
	pthread_cond_init(&ring->not_empty, &shared_condition);
	return 0;
}

/* A futex: sleeps as long as the word has this value; nobody is woken who looks too late. */
static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int processes)
{
	syscall(SYS_futex, word, FUTEX_WAKE, processes, NULL, NULL, 0);
}

static void futex_lock(_Atomic uint32_t *lock)
{
	uint32_t was = FREE;
	if (atomic_compare_exchange_strong(lock, &was, TAKEN))
		return;
	while (atomic_exchange(lock, WAITED_FOR) != FREE)
		futex_wait(lock, WAITED_FOR);
}

static void futex_unlock(_Atomic uint32_t *lock)
{
	if (atomic_exchange(lock, FREE) == WAITED_FOR)
		futex_wake(lock, 1);
}

static bool is_full(const struct ring *ring)
{
	return ring->in - ring->out == SLOTS;
}

static bool is_empty(const struct ring *ring)
{
	return ring->in == ring->out;
}

static void semaphore_enter(const struct reference_run *run, struct ring *ring, sem_t *count)
{
	while (run->options.nonblocking ? sem_trywait(count) : sem_wait(count))
		if (errno == EAGAIN)
			reference_pause();
	while (sem_wait(&ring->turn))
		;
}

static void semaphore_leave(struct ring *ring, sem_t *count)
{
	sem_post(&ring->turn);
	sem_post(count);
}

static void mutex_enter(const struct reference_run *run, struct ring *ring,
			bool (*must_wait)(const struct ring *), pthread_cond_t *condition)
{
	pthread_mutex_lock(&ring->mutex);
	while (must_wait(ring)) {
		if (!run->options.nonblocking) {
			pthread_cond_wait(condition, &ring->mutex);
			continue;
		}
		pthread_mutex_unlock(&ring->mutex);
		reference_pause();
		pthread_mutex_lock(&ring->mutex);
	}
}

static void mutex_leave(struct ring *ring, pthread_cond_t *condition)
{
	pthread_cond_signal(condition);
	pthread_mutex_unlock(&ring->mutex);
}

static void futex_enter(const struct reference_run *run, struct ring *ring,
			bool (*must_wait)(const struct ring *), _Atomic uint32_t *changes)
{
	futex_lock(&ring->lock);
	while (must_wait(ring)) {
		uint32_t seen = *changes; /* it changes under the lock only */
		futex_unlock(&ring->lock);
		if (run->options.nonblocking)
			reference_pause();
		else
			futex_wait(changes, seen);
		futex_lock(&ring->lock);
	}
}

static void futex_leave(struct ring *ring, _Atomic uint32_t *changes)
{
	atomic_fetch_add(changes, 1);
	futex_unlock(&ring->lock);
	futex_wake(changes, INT_MAX);
}

static void enter(const struct reference_run *run, struct ring *ring, bool produces)
{
	switch (ring->variant) {
	case RING_SEMAPHORE:
		semaphore_enter(run, ring, produces ? &ring->free : &ring->full);
		break;
	case RING_MUTEX:
		mutex_enter(run, ring, produces ? is_full : is_empty,
			    produces ? &ring->not_full : &ring->not_empty);
		break;
	case RING_FUTEX:
		futex_enter(run, ring, produces ? is_full : is_empty, produces ? &ring->got : &ring->put);
		break;
	}
}

static void leave(struct ring *ring, bool produces)
{
	switch (ring->variant) {
	case RING_SEMAPHORE:
		semaphore_leave(ring, produces ? &ring->full : &ring->free);
		break;
	case RING_MUTEX:
		mutex_leave(ring, produces ? &ring->not_empty : &ring->not_full);
		break;
	case RING_FUTEX:
		futex_leave(ring, produces ? &ring->put : &ring->got);
		break;
	}
}

/* Nobody begins, or ends, before all have the memory. */
static void arrive(const struct reference_run *run, struct ring *ring)
{
	uint32_t all = (uint32_t)(run->options.producers + run->options.consumers);
	if (atomic_fetch_add(&ring->arrived, 1) + 1 == all)
		futex_wake(&ring->arrived, INT_MAX);
	for (uint32_t here; (here = ring->arrived) < all;)
		futex_wait(&ring->arrived, here);
}

static char *slot_of(struct ring *ring, unsigned long number)
{
	return ring->slots + number % SLOTS * ring->slot_size;
}

int ring_produce(struct reference_run *run, struct ring *ring)
{
	struct reference_head *message;
	arrive(run, ring);
	while ((message = reference_next(run))) {
		enter(run, ring, true);
		char *slot = slot_of(ring, ring->in++);
		uint64_t size = message->size;
		memcpy(slot, &size, sizeof(size));
		memcpy(slot + sizeof(size), message, size);
		leave(ring, true);
	}
	return 0;
}

int ring_consume(struct reference_run *run, struct ring *ring)
{
	void *buffer = reference_buffer(run);
	arrive(run, ring);
	while (reference_more(run)) {
		uint64_t size;
		enter(run, ring, false);
		const char *slot = slot_of(ring, ring->out++);
		memcpy(&size, slot, sizeof(size));
		if (size > run->options.size_max)
			return reference_wrong(run, "a slot of %lu bytes", (unsigned long)size);
		memcpy(buffer, slot + sizeof(size), size);
		leave(ring, false);
		if (reference_take(run, buffer, size))
			return -1;
	}
	return 0;
}
