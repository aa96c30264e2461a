// SPDX-License-Identifier: BSD-2-Clause
/*
 * signal: tells a process that something happened. An ordinary signal is no queue: of several that come
 * before the receiver takes one, one is left. Real-time signals are queued, with a number each, up to a limit
 * of the user's (RLIMIT_SIGPENDING); then the sender is told (EAGAIN) and must wait. The receiver is told who
 * sent it. A process that is not ready for a signal dies of it, so each blocks it before there are others.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "reference.h"

enum { SIGWAIT, HANDLER };
static const char *const variants[] = { "sigwait", "handler", NULL };

static sigset_t set;
static volatile sig_atomic_t last_sender; /* index, which is the signal's value */

static int number(void)
{
	return SIGRTMIN;
}

static int block(struct reference_run *run)
{
	sigemptyset(&set);
	sigaddset(&set, number());
	return sigprocmask(SIG_BLOCK, &set, NULL) ? reference_failed(run, "sigprocmask") : 0;
}

/* The process that kills itself (--kill) sends and receives one more signal. */
static void book_own_end(struct reference_run *run)
{
	unsigned int self = reference_producer(run->index);
	reference_sent(run, self, 0);
	reference_received(run, 0);
	reference_came(run, self, 1, 0);
}

static int produce(struct reference_run *run)
{
	if (run->options.kill && run->index == 0)
		book_own_end(run);
	const union sigval value = { .sival_int = (int)run->index };
	while (reference_turn(run)) {
		pid_t pid = reference_pid(run, run->to);
		while (sigqueue(pid, number(), value)) {
			if (errno != EAGAIN)
				return reference_failed(run, "sigqueue");
			reference_pause();
		}
		reference_sent(run, run->to, 0);
	}
	return 0;
}

static void handler(int received, siginfo_t *info, void *context)
{
	(void)received;
	(void)context;
	last_sender = info->si_value.sival_int;
}

/* Each call lets one handler run, during which others stay blocked. */
static int wait_in_handler(struct reference_run *run)
{
	sigset_t others;
	sigprocmask(SIG_BLOCK, NULL, &others);
	sigdelset(&others, number());
	if (sigsuspend(&others) && errno != EINTR)
		return reference_failed(run, "sigsuspend");
	return last_sender;
}

/* Who sent it; -1: an error, or none came (--nonblocking). */
static int wait_for_one(struct reference_run *run)
{
	const struct timespec none = { 0 };
	siginfo_t info;
	if (run->options.variant == HANDLER)
		return wait_in_handler(run);
	while (sigtimedwait(&set, &info, run->options.nonblocking ? &none : NULL) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return reference_failed(run, "sigtimedwait");
		reference_pause();
	}
	return info.si_value.sival_int;
}

static int consume(struct reference_run *run)
{
	const struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	if (run->options.variant == HANDLER && sigaction(number(), &action, NULL))
		return reference_failed(run, "sigaction");
	while (reference_more(run)) {
		int from = wait_for_one(run);
		if (from < 0)
			return -1;
		reference_received(run, 0);
		run->taken++;
		reference_came(run, reference_producer((unsigned int)from), 1, 0);
	}
	return 0;
}

static const char *refuses(const struct reference_options *o)
{
	return o->nonblocking && o->variant == HANDLER ? "a handler does not wait" : NULL;
}

const struct reference reference_signal = {
	.name = "signal",
	.summary = "real-time signals with a value, waited for or handled",
	.capacity = "bounded",
	.order = "by number",
	.direction = "one way",
	.when_full = "call fails",
	.synchronisation = "none",
	.relationship = "the same user",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_PAIRS | REFERENCE_NONBLOCKING |
		    REFERENCE_NO_BYTES,
	.variants = variants,
	.refuses = refuses,
	.open = block,
	.produce = produce,
	.consume = consume,
};
