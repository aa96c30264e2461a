// SPDX-License-Identifier: BSD-2-Clause
/* The bounded buffer (buffer.h). */
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"

/* In each slot, and for each lock, who posted last: what the next one got came from there. */
static struct ring {
	unsigned long in, out;
	struct slot {
		unsigned long number;
		pid_t filled_by, freed_by;
	} slots[BUFFER_SLOTS];
	pid_t unlocked_by[BUFFER_SEMAPHORES];
} * ring;
static const struct buffer_semaphores *semaphores;

static bool is_shared(const struct reference_run *run)
{
	return run->options.producers > 1 || run->options.consumers > 1;
}

bool buffer_is_exact(const struct reference_options *o)
{
	return o->producers == 1 && o->consumers == 1;
}

int buffer_open(struct reference_run *run, const struct buffer_semaphores *how,
		unsigned short first[BUFFER_SEMAPHORES])
{
	semaphores = how;
	ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return reference_failed(run, "mmap");
	for (int i = 0; i < BUFFER_SLOTS; i++)
		ring->slots[i].freed_by = getpid();
	ring->unlocked_by[BUFFER_PRODUCERS] = ring->unlocked_by[BUFFER_CONSUMERS] = getpid();
	first[BUFFER_FULL] = 0;
	first[BUFFER_FREE] = BUFFER_SLOTS;
	first[BUFFER_PRODUCERS] = first[BUFFER_CONSUMERS] = is_shared(run);
	return 0;
}

static int post(struct reference_run *run, int semaphore)
{
	if (semaphores->post(run, semaphore))
		return -1;
	reference_sent(run, REFERENCE_ANYONE, 0);
	return 0;
}

static int wait_for(struct reference_run *run, int semaphore)
{
	int result;
	while ((result = semaphores->wait(run, semaphore)) > 0)
		reference_pause();
	if (!result)
		reference_received(run, 0);
	return result;
}

static int lock(struct reference_run *run, int semaphore)
{
	if (!is_shared(run))
		return 0;
	if (wait_for(run, semaphore))
		return -1;
	reference_came(run, (unsigned int)ring->unlocked_by[semaphore], 1, 0);
	return 0;
}

static int unlock(struct reference_run *run, int semaphore)
{
	if (!is_shared(run))
		return 0;
	ring->unlocked_by[semaphore] = getpid();
	return post(run, semaphore);
}

int buffer_produce(struct reference_run *run)
{
	bool had_first = false;
	while (reference_turn(run)) {
		if (lock(run, BUFFER_PRODUCERS) || wait_for(run, BUFFER_FREE))
			return -1;
		struct slot *s = &ring->slots[ring->in % BUFFER_SLOTS];
		bool first = semaphores->first_at_once && ring->in < BUFFER_SLOTS;
		if (!first || !had_first)
			reference_came(run, (unsigned int)s->freed_by, 1, 0);
		had_first |= first;
		*s = (struct slot){ .number = ring->in++, .filled_by = getpid() };
		if (post(run, BUFFER_FULL) || unlock(run, BUFFER_PRODUCERS))
			return -1;
	}
	return 0;
}

int buffer_consume(struct reference_run *run)
{
	while (reference_more(run)) {
		if (lock(run, BUFFER_CONSUMERS) || wait_for(run, BUFFER_FULL))
			return -1;
		struct slot *s = &ring->slots[ring->out % BUFFER_SLOTS];
		if (s->number != ring->out++)
			return reference_wrong(run, "slot %lu is wrong", s->number);
		reference_came(run, (unsigned int)s->filled_by, 1, 0);
		run->taken++;
		s->freed_by = getpid();
		if (post(run, BUFFER_FREE) || unlock(run, BUFFER_CONSUMERS))
			return -1;
	}
	return 0;
}

int buffer_close(struct reference_run *run)
{
	return munmap(ring, sizeof(*ring)) ? reference_failed(run, "munmap") : 0;
}
