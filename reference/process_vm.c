// SPDX-License-Identifier: BSD-2-Clause
/*
 * process_vm: producers write straight into a consumer's memory: one copy, and the consumer makes no call. So
 * they must know where (all were forked from one program: the inbox has the same address in each), must be
 * allowed to (as for ptrace: the consumer consents by PR_SET_PTRACER), and something else must tell when a
 * message is there: the consumer looks at its own memory until one is.
 *
 * Each producer has a slot in each consumer's inbox. It reads whether that is free, and writes the word that
 * says that it is not behind all the rest: the kernel copies the pieces of one call in their order.
 */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include "reference.h"

/* `time` 0: free. */
static struct reference_head *inbox;
static size_t slot_size;

static struct reference_head *slot(unsigned int producer)
{
	return (void *)((char *)inbox + producer * slot_size);
}

static int open_inbox(struct reference_run *run)
{
	slot_size = (run->options.size_max + 15) / 16 * 16;
	inbox = mmap(NULL, run->options.producers * slot_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return inbox == MAP_FAILED ? reference_failed(run, "mmap") : 0;
}

/* Waits until the consumer has taken what was there. */
static int wait_free(struct reference_run *run, pid_t consumer)
{
	uint64_t time = 1;
	const struct iovec here = { &time, sizeof(time) }, there = { &slot(run->index)->time, sizeof(time) };
	while (time) {
		ssize_t n = process_vm_readv(consumer, &here, 1, &there, 1, 0);
		if (n != sizeof(time) && errno != EPERM) /* it has not yet consented */
			return reference_failed(run, "process_vm_readv");
		if (n == sizeof(time)) {
			reference_received(run, (uint64_t)n);
			reference_came(run, run->to, 1, (uint64_t)n);
		}
		if (time)
			sched_yield();
	}
	return 0;
}

static int put(struct reference_run *run, pid_t consumer, struct reference_head *m)
{
	enum { FLAG = offsetof(struct reference_head, time), BEHIND = FLAG + sizeof(m->time) };
	char *from = (char *)m, *to = (char *)slot(run->index);
	const struct iovec here[] = { { from, FLAG },
				      { from + BEHIND, m->size - BEHIND },
				      { from + FLAG, 8 } };
	const struct iovec there[] = { { to, FLAG }, { to + BEHIND, m->size - BEHIND }, { to + FLAG, 8 } };
	if (process_vm_writev(consumer, here, 3, there, 3, 0) != (ssize_t)m->size)
		return reference_failed(run, "process_vm_writev");
	reference_sent(run, run->to, m->size);
	return 0;
}

static int produce(struct reference_run *run)
{
	struct reference_head *m;
	while ((m = reference_next(run))) {
		pid_t consumer = reference_pid(run, run->to);
		if (wait_free(run, consumer) || put(run, consumer, m))
			return -1;
	}
	return 0;
}

static int consume(struct reference_run *run)
{
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* unknown where nobody forbids it */
	for (unsigned int i = 0; reference_more(run); i = (i + 1) % (unsigned int)run->options.producers) {
		struct reference_head *m = slot(i);
		if (!__atomic_load_n(&m->time, __ATOMIC_ACQUIRE)) {
			sched_yield();
			continue;
		}
		if (reference_take(run, m, m->size))
			return -1;
		__atomic_store_n(&m->time, 0, __ATOMIC_RELEASE);
	}
	return 0;
}

static int close_inbox(struct reference_run *run)
{
	return munmap(inbox, run->options.producers * slot_size) ? reference_failed(run, "munmap") : 0;
}

static bool is_exact(const struct reference_options *o)
{
	(void)o;
	return true;
}

const struct reference reference_process_vm = {
	.name = "process_vm",
	.summary = "messages written into the memory of who shall have them",
	.capacity = "zero",
	.order = "none",
	.direction = "both ways",
	.when_full = "overwrites",
	.synchronisation = "any: it must not change meanwhile",
	.relationship = "may trace the other",
	.features = REFERENCE_PAIRS | REFERENCE_SIZES,
	.exact = is_exact,
	.open = open_inbox,
	.produce = produce,
	.consume = consume,
	.close = close_inbox,
};
