// SPDX-License-Identifier: BSD-2-Clause
/*
 * barrier: work in phases. Nobody begins the next before all have ended this one: the last to come lets the
 * others go, and is told so. A message is a wait that it ended.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reference.h"

/* Of each phase: its work, done by everybody, and who came last. */
static struct phases {
	pthread_barrier_t barrier;
	struct phase {
		_Atomic unsigned long done;
		_Atomic pid_t ended_by;
	} phase[];
} * phases;
static size_t size;

/* Of two who come within nanoseconds libc alone knows who was the last. */
static bool is_exact(const struct reference_options *o)
{
	(void)o;
	return false;
}

static unsigned int everybody(const struct reference_run *run)
{
	return (unsigned int)(run->options.producers + run->options.consumers);
}

static int open_phases(struct reference_run *run)
{
	pthread_barrierattr_t attributes;
	size = sizeof(*phases) + run->options.messages * sizeof(struct phase);
	phases = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (phases == MAP_FAILED)
		return reference_failed(run, "mmap");
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	errno = pthread_barrier_init(&phases->barrier, &attributes, everybody(run));
	pthread_barrierattr_destroy(&attributes);
	return errno ? reference_failed(run, "pthread_barrier_init") : 0;
}

static int arrive(struct reference_run *run, struct phase *p)
{
	p->done++;
	int result = pthread_barrier_wait(&phases->barrier);
	if (result == PTHREAD_BARRIER_SERIAL_THREAD) {
		reference_sent(run, REFERENCE_ANYONE, 0);
		p->ended_by = getpid();
	} else if (result) {
		errno = result;
		return reference_failed(run, "pthread_barrier_wait");
	} else {
		reference_received(run, 0);
		while (!p->ended_by) /* it may not have said so yet */
			reference_pause();
		reference_came(run, (unsigned int)p->ended_by, 1, 0);
	}
	return p->done == everybody(run) ? 0 : reference_wrong(run, "somebody was late");
}

static int produce(struct reference_run *run)
{
	for (unsigned long i = 0; reference_turn(run); i++)
		if (arrive(run, &phases->phase[i]))
			return -1;
	return 0;
}

static int consume(struct reference_run *run)
{
	for (; run->taken < run->options.messages; run->taken++)
		if (arrive(run, &phases->phase[run->taken]))
			return -1;
	run->taken = run->quota; /* each phase is one of every producer */
	return 0;
}

static int close_phases(struct reference_run *run)
{
	errno = pthread_barrier_destroy(&phases->barrier);
	if (errno)
		return reference_failed(run, "pthread_barrier_destroy");
	return munmap(phases, size) ? reference_failed(run, "munmap") : 0;
}

const struct reference reference_barrier = {
	.name = "barrier",
	.summary = "phases that all begin together",
	.capacity = "zero",
	.order = "as sent",
	.direction = "both ways",
	.when_full = NULL,
	.synchronisation = "it is one",
	.relationship = "shared memory",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NO_BYTES | REFERENCE_NO_KILL,
	.exact = is_exact,
	.open = open_phases,
	.produce = produce,
	.consume = consume,
	.close = close_phases,
};
