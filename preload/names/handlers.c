// SPDX-License-Identifier: BSD-2-Clause
/*
 * Signals by name: who sends them, who waits for them, and the handlers. A handler's place is taken by a stub
 * of ours (action.c), of which the program is told nothing, whatever function it asks.
 */
#include <pthread.h>
#include <signal.h>

#include "action.h"
#include "names.h"

static long pid_now(void)
{
	return raw_syscall(__NR_getpid);
}

/* --- handlers --- */

/* What the kernel's struct, which the hooks know, and libc's have in common. */
static struct arch_action common(const struct sigaction *a)
{
	return (struct arch_action){ .handler = (uintptr_t)a->sa_handler,
				     .flags = (unsigned int)a->sa_flags };
}

static void apply(struct sigaction *a, const struct arch_action *from)
{
	a->sa_handler = (sighandler_t)from->handler;
	a->sa_flags = (int)from->flags;
}

/* The kernel's structs stand where the hooks take them for libc's own. */
INLINE int set_action(enum name name, int number, const struct sigaction *action, struct sigaction *old)
{
	struct {
		struct arch_action in, out;
		struct sigaction action;
	} local;
	name_function next = name_next(name);
	if (!shim.by_names)
		return (int)next(number, (long)action, (long)old, 0, 0, 0);
	struct hook_registers r = { { number, 0, old ? (long)&local.out : 0, sizeof(uint64_t) },
				    __NR_rt_sigaction };
	if (action) {
		local.in = common(action);
		r.arg[1] = (long)&local.in;
	}
	hook_entry(&r, (uintptr_t)&local);
	if (action) {
		local.action = *action;
		apply(&local.action, (const struct arch_action *)r.arg[1]);
	}
	int result = (int)next(number, action ? (long)&local.action : 0, (long)old, 0, 0, 0);
	if (old && !result)
		local.out = common(old);
	name_returns(name_result(INT, result), (uintptr_t)&local, r.nr, number);
	if (old && !result)
		apply(old, &local.out);
	return result;
}

OWN(int, sigaction, int number, const struct sigaction *action, struct sigaction *old)
{
	return set_action(NAME_sigaction, number, action, old);
}

OWN(int, __sigaction, int number, const struct sigaction *action, struct sigaction *old)
{
	return set_action(NAME___sigaction, number, action, old);
}

/* These decide about flags and mask by themselves; then our stub takes the handler's place. */
INLINE long set_handler(enum name name, long number, long handler)
{
	long old = name_next(name)(number, handler, 0, 0, 0, 0);
	struct sigaction now;
	if (!shim.by_names || old == (long)SIG_ERR)
		return old;
	if (!name_next(NAME_sigaction)(number, 0, (long)&now, 0, 0, 0) &&
	    now.sa_handler == (sighandler_t)handler && handler > (long)SIG_IGN)
		own_sigaction((int)number, &now, NULL);
	return (long)action_own_handler((uintptr_t)old);
}

#define HANDLER(name)                                                                                        \
	OWN(long, name, long number, long handler)                                                           \
	{                                                                                                    \
		return set_handler(NAME_##name, (int)number, handler);                                       \
	}
HANDLER(signal)
HANDLER(bsd_signal)
HANDLER(ssignal)
HANDLER(sysv_signal)
HANDLER(__sysv_signal)
HANDLER(sigset)

/* --- sent, and waited for --- */

/* The thread's number in the kernel, which libc keeps in its own struct, or 0: not where it is expected. */
static long number_of(pthread_t thread)
{
	enum { TID = 0x2d0 };
	const char *self = __builtin_thread_pointer();
	bool known = *(const int *)(self + TID) == (int)raw_syscall(__NR_gettid);
	return known ? *(const int *)((const char *)thread + TID) : 0;
}

INLINE int raise_by(enum name name, int number)
{
	struct hook_registers r = { { pid_now(), raw_syscall(__NR_gettid), number }, __NR_tgkill };
	name_begins(&r, FRAME);
	int result = (int)name_next(name)(number, 0, 0, 0, 0, 0);
	name_returns(name_result(INT, result), FRAME, r.nr, r.arg[0]);
	return result;
}

OWN(int, raise, int number)
{
	return raise_by(NAME_raise, number);
}

OWN(int, gsignal, int number)
{
	return raise_by(NAME_gsignal, number);
}

OWN(int, pthread_kill, pthread_t thread, int number)
{
	struct hook_registers r = { { pid_now(), number_of(thread), number }, __NR_tgkill };
	name_begins(&r, FRAME);
	int error = (int)name_next(NAME_pthread_kill)((long)thread, number, 0, 0, 0, 0);
	name_returns(-error, FRAME, r.nr, r.arg[0]);
	return error;
}

static siginfo_t queued(union sigval value)
{
	siginfo_t info = { .si_code = SI_QUEUE };
	info.si_value = value;
	return info;
}

OWN(int, sigqueue, pid_t pid, int number, union sigval value)
{
	siginfo_t info = queued(value);
	struct hook_registers r = { { pid, number, (long)&info }, __NR_rt_sigqueueinfo };
	name_begins(&r, FRAME);
	int result = (int)name_next(NAME_sigqueue)(pid, number, (long)value.sival_ptr, 0, 0, 0);
	name_returns(name_result(INT, result), FRAME, r.nr, pid);
	return result;
}

OWN(int, pthread_sigqueue, pthread_t thread, int number, union sigval value)
{
	siginfo_t info = queued(value);
	struct hook_registers r = { { pid_now(), number_of(thread), number, (long)&info },
				    __NR_rt_tgsigqueueinfo };
	name_begins(&r, FRAME);
	int error =
		(int)name_next(NAME_pthread_sigqueue)((long)thread, number, (long)value.sival_ptr, 0, 0, 0);
	name_returns(-error, FRAME, r.nr, r.arg[0]);
	return error;
}

OWN(int, sigwait, const sigset_t *set, int *number)
{
	struct hook_registers r = { { (long)set, 0, 0, sizeof(uint64_t) }, __NR_rt_sigtimedwait };
	name_begins(&r, FRAME);
	int error = (int)name_next(NAME_sigwait)((long)set, (long)number, 0, 0, 0, 0);
	name_returns(error ? -error : *number, FRAME, r.nr, r.arg[0]);
	return error;
}
