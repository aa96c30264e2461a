/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Taking over a task from the other source: run by the loader for one thread at a time. It is looked for by
 * what it is called in its own pid namespace, whatever namespace the loader is in. */
#ifndef IPC_BPF_FOLLOW_H
#define IPC_BPF_FOLLOW_H

#include "select.h"

struct followed followed;

static __always_inline _Bool is_followed(struct task_struct *task)
{
	struct pid *pid = OF_TASK(task, thread_pid);

	if (!pid)
		return 0;
	__u64 own =
		(__u64)pid + bpf_core_field_offset(struct pid, numbers) + in_numbers(PEEK(pid, pid, level));
	return PEEK(upid, own, nr) == followed.tid &&
	       PEEK(pid_namespace, PEEK(upid, own, ns), ns.inum) == followed.pid_ns;
}

SEC("iter/task")
int follow(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task || !is_followed(task))
		return 0;
	struct task_state *t =
		bpf_task_storage_get(&tasks, task, 0, followed.image ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!t || t->image)
		return 0;
	followed.found = 1;
	t->left = followed.image;
	if (!followed.image)
		bpf_task_storage_delete(&tasks, task);
	return 0;
}

#endif
