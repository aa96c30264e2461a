/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What runs already. The loader walks over all tasks once the tracepoints are attached, again and again until
 * a walk finds nobody new: then whoever is selected has a state, since forks of those who have one are seen.
 * Parents are found before their children. Until then an exec makes nobody recorded, and after it the loader
 * walks once more.
 *
 * A process may run meanwhile. All that the walk tells of it has the time at which the walk came to it, which
 * is before it gets its image; from then on its own calls are told, and these are later. So a descriptor that
 * is closed while the walk looks at it was there before, and closed after.
 */
#ifndef IPC_BPF_ATTACH_H
#define IPC_BPF_ATTACH_H

#include "call.h"
#include "select.h"
#include "tracked.h"

/* Of a walk, for the loader: tasks that were found or have to wait, and processes that are or may be
 * recorded.
 */
__u32 walk_found, walk_alive;
__u32 walks; /* that were made before */

static __always_inline struct task_state *state_of(struct task_struct *task)
{
	return bpf_task_storage_get(&tasks, task, 0, 0);
}

/* One that sleeps is in the call that its registers tell. Of one that runs, its call's end tells. */
static __always_inline int find_call(struct task_state *t, struct task_struct *task)
{
	t->start = walk_ns | UNSEEN;
	t->fresh = FOUND;
	if (!task->on_cpu && task->__state & TASK_ASLEEP && !regs_compat(&task->thread_info))
		resume(t, (void *)bpf_task_pt_regs(task));
	return 0;
}

/* From here on its calls are told. Returns 0: it is recorded already. */
static __always_inline int find_task(struct task_state *t, struct task_struct *task, __u32 image)
{
	t->thread = next_id();
	find_call(t, task);
	track(task);
	if (__sync_val_compare_and_swap(&t->image, 0, image))
		return 0;
	walk_found++;
	return 1;
}

static __always_inline int find_process(struct task_state *t, struct task_struct *task)
{
	__u32 image = next_id();

	if (!find_task(t, task, image))
		return 0;
	define_image(t, task, image, 0, IPC_VIA_START);
	define_thread(task, t->thread, image);
	walk(t, IPC_CALL_inherit, 0, -1);
	if (task->flags & PF_EXITING && task->signal->live.counter == 0)
		process_ends(t, task);
	return 0;
}

static __always_inline _Bool is_recorder(struct task_struct *task)
{
	return task->tgid == bpf_get_current_pid_tgid() >> 32;
}

/* Whether the parent will be found later. The first walk may come to it last, or, outside our PID namespace,
 * not at all; the others know. */
static __always_inline _Bool is_awaited(struct task_struct *parent)
{
	struct task_state *t = state_of(parent);

	if (t || !everybody || walks)
		return t && t->chosen;
	return !(parent->flags & PF_NO_PROGRAM) && parent->mm && !is_recorder(parent) && is_selected(parent);
}

static __always_inline int visit_process(struct task_struct *task)
{
	struct task_struct *parent = task->real_parent->group_leader;
	struct task_state *t = state_of(task);
	int selected = is_selected(task);

	if (is_recorder(task) || (!t && !(everybody ? selected : !alone && state_of(parent))))
		return 0;
	walk_alive++;
	if (t && !t->chosen)
		return 0;
	t = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		count_lost(IPC_REASON_spawn_unseen);
		return 0;
	}
	walk_found++;
	t->chosen = is_awaited(parent);
	return selected && !t->chosen ? find_process(t, task) : 0;
}

static __always_inline int visit_thread(struct task_struct *task)
{
	struct task_state *process = state_of(task->group_leader), *t = state_of(task);

	if (t || !process || process->chosen || (!process->image && everybody))
		return 0;
	t = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t || !process->image || !find_task(t, task, process->image))
		return 0;
	define_thread(task, t->thread, process->image);
	return 0;
}

static __always_inline void begin_visit(struct task_struct *task)
{
	walk_ns = bpf_ktime_get_ns();
	walked = (__u64)task;
	walker = bpf_get_current_task();
}

static const char something = 0;

SEC("iter/task")
int find_running(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task || task->flags & PF_NO_PROGRAM || task->exit_state || !task->mm)
		return 0;
	if (task->__state & TASK_NEW) { /* its fork is about to be seen, if its parent has been found */
		walk_found++;
		return 0;
	}
	begin_visit(task);
	if (task->pid == task->tgid)
		visit_process(task);
	else
		visit_thread(task);
	walker = 0;
	/* The loader makes room in the ring whenever there is something to read. */
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > ring_limit / 4)
		bpf_seq_write(ctx->meta->seq, &something, sizeof(something));
	return 0;
}

#endif
