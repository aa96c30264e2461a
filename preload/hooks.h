/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to hooks.c (which decides), enter.c (before a call) and leave.c (after it). */
#ifndef IPC_HOOKS_H
#define IPC_HOOKS_H

#include "patch.h"
#include "shim.h"
#include "tables.h"

/* Does what has to be done before the call and fills `p`. `returns`: hook_return will follow. True:
 * hook_leave() has something to do then. */
bool hook_enter(struct shim_thread *t, uint16_t call, struct hook_registers *r, struct pending *p,
		bool returns);

/* The same in a program that is not chosen: what it executes may be, and a sandbox may forbid that we help
 * it. */
void hook_pass(struct shim_thread *t, struct hook_registers *r);

/* Records the call that has returned. */
void hook_leave(struct shim_thread *t, const struct pending *p, long result);

/* Before a call on memory, and after it (region.c). */
void hook_enter_region(struct shim_thread *t, uint16_t call, const struct hook_registers *r,
		       struct pending *p);
void hook_leave_region(struct shim_thread *t, const struct pending *p, long result);

/* The same of a send or receive on a socket (message.c), of a call on a message queue (queue.c) or on
 * semaphores (sem.c), of a transfer on an eventfd (counter.c), of a wait for descriptors (wait.c), of a lock
 * on a file (lock.c). */
void hook_leave_message(struct shim_thread *t, const struct pending *p, long result);
/* Of a receive on a socket that is not looked at: descriptors that came with it. */
void hook_leave_unchosen(struct shim_thread *t, const struct pending *p, long result);
void hook_leave_queue(struct shim_thread *t, const struct pending *p, long result);
void hook_leave_sem(struct shim_thread *t, const struct pending *p, long result);
void hook_leave_counter(struct shim_thread *t, const struct pending *p, long result);
void hook_leave_lock(struct shim_thread *t, const struct pending *p, long result);
void hook_leave_wait(struct shim_thread *t, const struct pending *p, long result);
/* Of a call that sends or waits for a signal, of a read of a signalfd (signal.c). */
void hook_leave_signal(struct shim_thread *t, const struct pending *p, long result);
void hook_leave_signalfd(struct shim_thread *t, const struct pending *p, long result);

/* Whether the caller is a child that shares the memory of a thread which runs beside it. */
static inline bool is_beside(const struct shim_thread *t)
{
	return __builtin_expect(t->beside != 0, 0) && *shim.alive &&
	       (int32_t)raw_syscall(__NR_gettid) != t->beside;
}

/* Whether the process is recorded. */
static inline bool running(void)
{
	return shim.ready && !shim_has_ended() && (!shim.alone || *shim.alive);
}

/* Whether the caller is. */
static inline bool recording(void)
{
	return running() && !is_beside(&shim_self);
}

/* Before a call of such a child: nothing of the process's is touched. */
void hook_enter_beside(uint16_t call, struct hook_registers *r);

/* Around a library call that may wait, on `object`: it is shown as the call that the thread is inside.
 * `frame` names the caller's. hook_leave_library() gives what was entered; false: it is not known any more.
 */
void hook_enter_library(struct shim_thread *t, uint16_t call, uint64_t object, uintptr_t frame);
bool hook_leave_library(struct shim_thread *t, uintptr_t frame, struct pending *p);

/* How much room the program has for an address, where the call may be answered with one: the kernel
 * overwrites that number with the address's own length, which may be more. */
uint32_t hook_room(uint16_t call, const struct hook_registers *r);

/* What stands in the control block while the thread is inside the call, for when it dies there; NULL: none.
 */
void hook_show(struct shim_thread *t, const struct pending *p);

/* The same of a futex call (futex.c). False: in private memory. */
bool hook_enter_futex(struct shim_thread *t, uint16_t call, const struct hook_registers *r,
		      struct pending *p);
void hook_leave_futex(struct shim_thread *t, const struct pending *p, long result);

/* The environment for a program that a child executes which is not seen before, in memory that is to be
 * unmapped; NULL: its own. */
struct hook_environment {
	char **envp;
	size_t size;
};
struct hook_environment hook_spawn_environment(struct shim_thread *t, const char *path, char *const *envp);

/* Something of the thread's process, or of the program at `path`, will not be seen. */
void define_loss(struct shim_thread *t, enum ipc_reason reason, const char *path);

/* The beginnings of an event: of a pending call, and of something that happens at this moment to the caller's
 * own process. */
static inline struct ipc_event hook_event(struct shim_thread *t, const struct pending *p, long result)
{
	return (struct ipc_event){ .start = p->start,
				   .object = p->object,
				   .result = result,
				   .arg0 = p->arg0,
				   .arg1 = p->arg1,
				   .thread = shim_number(t),
				   .call = p->call };
}

#endif
