/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals of the traced process. Their handlers are watched by a stub of ours in the place of each, of which
 * the program knows nothing: what it asks rt_sigaction it is told of its own.
 */
#ifndef IPC_ACTION_H
#define IPC_ACTION_H

#include <signal.h>

#include "patch.h"
#include "shim.h"

/* Cancellation, and setuid of all threads: libc's own. */
enum { SIGNALS = 64, SIGNAL_CANCEL = 32, SIGNAL_SETXID = 33 };

static inline bool signal_is_libc(int number)
{
	return number == SIGNAL_CANCEL || number == SIGNAL_SETXID;
}

/* Before rt_sigaction: puts the stub in the handler's place. True: the return has something to do. After it:
 * takes it out of what the program was told. Both whether recording goes on or not. */
bool action_enter(struct hook_registers *r, uintptr_t stack, struct pending *p);
void action_leave(const struct pending *p, long result);

/* Called by the stubs, before the program's handler. True: that one must not be called. */
bool action_delivered(int number, siginfo_t *info, const ucontext_t *context);

/* cancel.c: of the signal that cancels a thread. True: the thread cannot be unwound now, and the signal comes
 * again. */
bool cancel_is_postponed(siginfo_t *info, const ucontext_t *context);

/* signal.c */

/* What the kernel says of a signal that was received. */
struct signal_told {
	int number, code, pid;
	uint64_t value;
};

/* Records that it was; `e` has its times, call and descriptor. */
void signal_received(struct shim_thread *t, struct ipc_event *e, const struct signal_told *told);

static inline struct signal_told signal_told(int number, const siginfo_t *info)
{
	return (struct signal_told){ number, info->si_code, info->si_pid, (uintptr_t)info->si_ptr };
}

/* The process's own signals, as the object of a receive. */
static inline uint64_t signal_own(void)
{
	return ipc_object(IPC_MECH_signal, 0);
}

/* Before a call that sends or waits for a signal: fills `p`. False: there is nothing to record. */
bool signal_enter(uint16_t call, const struct hook_registers *r, struct pending *p);

#endif
