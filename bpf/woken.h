/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who wakes a task out of a call on a channel. The kernel tells it where the waker runs, with the task that
 * wakes; the last one before the call's end has ended the wait. Runs in interrupts too, between any two
 * instructions of the other programs: it uses no memory of theirs but the two tasks' states.
 */
#ifndef IPC_BPF_WOKEN_H
#define IPC_BPF_WOKEN_H

#include "call.h"
#include "tracked.h"

/*
 * Whether this runs for the current task, and not in an interrupt that came while it ran. An interrupt out of
 * the kernel has a stack of its own (softirqs too, wherever they are processed); one out of the program has
 * the task's, but then the task is in no system call. `stack`: an address on the stack that this runs on.
 */
static __always_inline _Bool is_the_tasks(struct task_struct *task, __u64 stack)
{
	if (stack - (__u64)task->stack >= STACK_BYTES)
		return 0;
	return task->flags & (PF_EXITING | PF_IO_WORKER) || regs_of_call((void *)bpf_task_pt_regs(task));
}

/* The image that this runs for. */
static __always_inline __u32 waker(__u64 stack)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (task->flags & PF_KTHREAD || !is_the_tasks(task, stack))
		return IPC_WOKEN_INDIRECTLY;
	struct task_struct *owner = task->flags & PF_IO_WORKER ? task->group_leader : task;
	struct task_state *t = bpf_task_storage_get(&tasks, owner, 0, 0);
	return t && t->image ? t->image : IPC_WOKEN_FROM_OUTSIDE;
}

/* `arguments`: the tracepoint's, which are on the stack. */
static __always_inline int wakes(struct task_struct *task, void *arguments)
{
	struct task_state *t = is_tracked(task) ? bpf_task_storage_get(&tasks, task, 0, 0) : 0;

	if (!t || t->call == IPC_CALL_none || task == bpf_get_current_task_btf())
		return 0;
	*(volatile __u64 *)&t->stack = (__u64)arguments; /* what is read back is a number to the verifier */
	__u32 image = waker(*(volatile __u64 *)&t->stack);
	/* Copying what was received may wait for the disk, and what ended that is no news. */
	if (image != IPC_WOKEN_INDIRECTLY || !t->woken_by)
		t->woken_by = image;
	return 0;
}

#endif
