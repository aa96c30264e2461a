// SPDX-License-Identifier: BSD-2-Clause
/*
 * cond: the monitor. A mutex guards a ring; who finds it full, or empty, waits for a condition, which lets go
 * of the mutex meanwhile, and looks again when woken: a wake-up is a hint, no promise. A message is a wait
 * that ended, from whoever signalled last.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reference.h"

enum { SLOTS = 8 };

struct condition {
	pthread_cond_t cond;
	pid_t signalled_by;
};

static struct monitor {
	pthread_mutex_t mutex;
	struct condition not_full, not_empty;
	unsigned long in, out;
	unsigned long slots[SLOTS];
} * monitor;

static bool is_exact(const struct reference_options *o)
{
	return o->producers == 1 && o->consumers == 1;
}

static int make(void)
{
	pthread_mutexattr_t m;
	pthread_condattr_t c;
	pthread_mutexattr_init(&m);
	pthread_condattr_init(&c);
	pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED);
	pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED);
	int error = pthread_mutex_init(&monitor->mutex, &m);
	if (!error)
		error = pthread_cond_init(&monitor->not_full.cond, &c);
	if (!error)
		error = pthread_cond_init(&monitor->not_empty.cond, &c);
	pthread_mutexattr_destroy(&m);
	pthread_condattr_destroy(&c);
	return error;
}

static int open_monitor(struct reference_run *run)
{
	monitor = mmap(NULL, sizeof(*monitor), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (monitor == MAP_FAILED)
		return reference_failed(run, "mmap");
	errno = make();
	return errno ? reference_failed(run, "pthread_cond_init") : 0;
}

static int wait_for(struct reference_run *run, struct condition *c)
{
	errno = pthread_cond_wait(&c->cond, &monitor->mutex);
	if (errno)
		return reference_failed(run, "pthread_cond_wait");
	reference_received(run, 0);
	if (c->signalled_by)
		reference_came(run, (unsigned int)c->signalled_by, 1, 0);
	return 0;
}

static int signal_to(struct reference_run *run, struct condition *c)
{
	c->signalled_by = getpid();
	reference_sent(run, REFERENCE_ANYONE, 0);
	errno = pthread_cond_signal(&c->cond);
	return errno ? reference_failed(run, "pthread_cond_signal") : 0;
}

static int put(struct reference_run *run)
{
	while (monitor->in - monitor->out == SLOTS)
		if (wait_for(run, &monitor->not_full))
			return -1;
	monitor->slots[monitor->in % SLOTS] = monitor->in;
	monitor->in++;
	return signal_to(run, &monitor->not_empty);
}

static int take(struct reference_run *run)
{
	while (monitor->in == monitor->out)
		if (wait_for(run, &monitor->not_empty))
			return -1;
	if (monitor->slots[monitor->out % SLOTS] != monitor->out)
		return reference_wrong(run, "a record is wrong");
	monitor->out++;
	run->taken++;
	return signal_to(run, &monitor->not_full);
}

/* Inside the monitor. */
static int inside(struct reference_run *run, int (*work)(struct reference_run *run))
{
	errno = pthread_mutex_lock(&monitor->mutex);
	if (errno)
		return reference_failed(run, "pthread_mutex_lock");
	int result = work(run);
	errno = pthread_mutex_unlock(&monitor->mutex);
	return errno ? reference_failed(run, "pthread_mutex_unlock") : result;
}

static int produce(struct reference_run *run)
{
	while (reference_turn(run))
		if (inside(run, put))
			return -1;
	return 0;
}

static int consume(struct reference_run *run)
{
	while (reference_more(run))
		if (inside(run, take))
			return -1;
	return 0;
}

/* A producer that was killed leaves a condition that nobody waits for. */
static int close_monitor(struct reference_run *run)
{
	return munmap(monitor, sizeof(*monitor)) ? reference_failed(run, "munmap") : 0;
}

const struct reference reference_cond = {
	.name = "cond",
	.summary = "a monitor: who finds a ring full or empty sleeps until that changes",
	.capacity = "bounded",
	.order = "none",
	.direction = "both ways",
	.when_full = "sender waits",
	.synchronisation = "a mutex",
	.relationship = "shared memory",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NO_BYTES,
	.exact = is_exact,
	.open = open_monitor,
	.produce = produce,
	.consume = consume,
	.close = close_monitor,
};
