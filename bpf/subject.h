/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose files, namespaces and memory are meant. In a tracepoint those of the current task. While the recorder
 * walks over what already runs (attach.h) the current task is the recorder, and those of the task that it has
 * come to are meant; whatever is told then has happened when the recorder came to that task.
 */
#ifndef IPC_BPF_SUBJECT_H
#define IPC_BPF_SUBJECT_H

#include "peek.h"

__u64 walker;  /* address of the recorder's task while it walks, else 0 */
__u64 walked;  /* and of the task that it has come to, */
__u64 walk_ns; /* at this time */

static __always_inline _Bool walking(void)
{
	return walker && bpf_get_current_task() == walker;
}

static __always_inline __u64 now(void)
{
	return walking() ? walk_ns : bpf_ktime_get_ns();
}

/* The subject's member, which is a pointer. */
#define OF_SUBJECT(member) PEEK(task_struct, walking() ? walked : bpf_get_current_task(), member)

#endif
