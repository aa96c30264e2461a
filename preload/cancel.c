// SPDX-License-Identifier: BSD-2-Clause
/*
 * Threads that may be cancelled at any instruction (PTHREAD_CANCEL_ASYNCHRONOUS). libc's handler unwinds the
 * stack from where the signal came, and the stubs have no unwind information: destructors and clean-up
 * handlers would not run. So a cancellation that comes while our code runs comes again a moment later, by a
 * timer of the thread's. (Where calls are seen by names no stub stands in the stack.)
 */
#include <time.h>

#include "action.h"
#include "patch.h"

enum { MOMENT_NS = 20000 };

/* Whether the signal will come again. */
static bool send_again(struct shim_thread *t)
{
	const struct itimerspec moment = { .it_value.tv_nsec = MOMENT_NS };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL_CANCEL };
	int timer;
	if (shim.no_timer)
		return false;
	if (!t->cancel_timer) {
		event._sigev_un._tid = (int)raw_syscall(__NR_gettid);
		if (raw_syscall(__NR_timer_create, CLOCK_MONOTONIC, &event, &timer))
			return false;
		t->cancel_timer = timer + 1;
	}
	return !raw_syscall(__NR_timer_settime, t->cancel_timer - 1, 0, &moment, NULL);
}

bool cancel_is_postponed(siginfo_t *info, const ucontext_t *context)
{
	struct shim_thread *t = &shim_self;
	if (patch_is_ours(arch_interrupted(context)) && send_again(t))
		return true;
	if (t->cancel_timer)
		raw_syscall(__NR_timer_delete, t->cancel_timer - 1);
	t->cancel_timer = 0;
	if (info->si_code == SI_TIMER) { /* as pthread_cancel sent it: libc believes nothing else */
		info->si_code = SI_TKILL;
		info->si_pid = (int)raw_syscall(__NR_getpid);
	}
	return false;
}
