/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Taking over a task from the other source: run by the loader for one thread at a time. It is looked for by
 * what it is called in its own pid namespace, whatever namespace the loader is in. */
#ifndef IPC_BPF_FOLLOW_H
#define IPC_BPF_FOLLOW_H

#include "select.h"

struct followed followed;

static __always_inline _Bool is_followed(struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	struct upid own = {};

	if (!pid)
		return 0;
	__u32 level = BPF_CORE_READ(pid, level);
	void *numbers = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	bpf_probe_read_kernel(&own, sizeof(own), numbers + level * bpf_core_type_size(struct upid));
	return own.nr == followed.tid && BPF_CORE_READ(own.ns, ns.inum) == followed.pid_ns;
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
