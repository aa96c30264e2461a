/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What every system call of the machine asks first: a bit for each thread that may have a state. A bit that
 * is left behind costs the next owner of the number a look for a state that it does not have.
 */
#ifndef IPC_BPF_TRACKED_H
#define IPC_BPF_TRACKED_H

#include "kernel.h"

enum { TIDS_MAX = 1 << 22 }; /* the kernel's own limit */

__u64 tracked[TIDS_MAX / 64];

static __always_inline _Bool is_tracked(const struct task_struct *task)
{
	__u32 tid = task->pid;

	return tracked[tid / 64 & (TIDS_MAX / 64 - 1)] >> (tid & 63) & 1;
}

/* The thread gets a state with an image. */
static __always_inline void track(const struct task_struct *task)
{
	__u32 tid = task->pid;

	__sync_fetch_and_or(&tracked[tid / 64 & (TIDS_MAX / 64 - 1)], 1ULL << (tid & 63));
}

/* Its thread has ended. */
static __always_inline void untrack(const struct task_struct *task)
{
	__u32 tid = task->pid;

	__sync_fetch_and_and(&tracked[tid / 64 & (TIDS_MAX / 64 - 1)], ~(1ULL << (tid & 63)));
}

#endif
