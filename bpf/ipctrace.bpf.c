// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The eBPF source: follows the command's tasks through their system calls at the BTF raw tracepoints and
 * writes the records of common/event.h into a ring buffer.
 *
 * A task is tracked when it has a task_state; nothing else is looked at for the others.
 */
#include <linux/bpf.h>

#include "follow.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { ARGS_ROOM = 1024 };

__u32 ids = IPC_BPF_NUMBERS; /* of images and threads, given so far */

/* ---- calls that a signal stops ---- */

static _Bool stopped_by_signal(__s64 result)
{
	return result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND ||
	       result == -ERESTART_RESTARTBLOCK;
}

/*
 * A parked call meets a new system call of its task: the same one again goes on as if nothing had happened,
 * as the program sees it. After the handler's sigreturn the return address tells (call_ends). A
 * handler that makes calls of its own, or jumps away, leaves it undecided: EINTR. Returns whether it goes on.
 */
static _Bool unpark(struct task_state *t, const struct pt_regs *regs, long nr)
{
	if (nr == __NR_rt_sigreturn)
		return 1;
	t->parked = 0;
	if ((nr == t->nr || nr == __NR_restart_syscall) && regs->ip == t->ip)
		return 1;
	leave(t, regs, -NR_EINTR);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(call_begins, const struct pt_regs *regs, long nr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);

	if (!t || !t->image)
		return 0;
	if (t->parked && unpark(t, regs, nr))
		return 0;
	t->call = IPC_CALL_none;
	if (!regs_compat(&task->thread_info))
		return enter(t, regs, nr);
	if (!t->alien) {
		struct ipc_def def = { .call = IPC_DEF_LOSS, .thread = t->thread };
		def.loss.reason = IPC_REASON_other_arch;
		def.loss.pid = task->tgid;
		def.loss.count = 1;
		define(&def, 0);
		t->alien = 1;
	}
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(call_ends, const struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);

	if (!t)
		return 0;
	if (t->fresh) {
		t->fresh = 0;
		return walk(t, IPC_CALL_inherit, 0, -1);
	}
	if (t->call == IPC_CALL_none)
		return 0;
	if (t->parked) { /* a handler returns: behind the call with EINTR, or to its instruction again */
		if (regs->ip != t->ip)
			return 0;
		t->parked = 0;
		return leave(t, regs, -NR_EINTR);
	}
	if (stopped_by_signal(result)) {
		t->ip = regs->ip;
		t->parked = 1;
		return 0;
	}
	return leave(t, regs, result);
}

/* ---- life of a process ---- */

static __u32 next_id(void)
{
	return __sync_fetch_and_add(&ids, 1) + 1;
}

static void fill_image(struct ipc_def *def, struct task_struct *task, __u32 image)
{
	__builtin_memset(def, 0, sizeof(*def));
	def->call = IPC_DEF_IMAGE;
	def->image.image = image;
	def->image.pid = task->tgid;
	def->image.ppid = task->real_parent->tgid;
	def->image.uid = task->cred->euid.val;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(task_forks, struct task_struct *parent, struct task_struct *child)
{
	struct task_state *p = bpf_task_storage_get(&tasks, parent, 0, 0);
	struct ipc_def def;

	if (!p || !p->image)
		return 0;
	struct task_state *c = bpf_task_storage_get(&tasks, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!c) {
		count_lost(IPC_REASON_spawn_unseen);
		return 0;
	}
	c->thread = next_id();
	c->image = p->image;
	if (child->tgid != parent->tgid) {
		c->image = next_id();
		c->fresh = 1;
		p->child = child->tgid;
		fill_image(&def, child, c->image);
		def.thread = p->thread;
		def.image.parent = p->image;
		def.image.via = IPC_VIA_FORK;
		def.image.spawn_time = p->call ? p->start : 0;
		define(&def, 0);
	}
	define_thread(child, c->thread, c->image);
	return 0;
}

/* Text of an image: comm, exe, cgroup (not known here), arguments as they stand in memory, each ended by NUL.
 */
static __noinline __u32 image_text(struct scratch *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 args = task->mm->arg_start;
	__u64 len = task->mm->arg_end - args;

	__u32 at = bpf_probe_read_kernel_str(s->text, COMM_ROOM, task->comm);
	at = append_path(s, at, path_of(task->mm->exe_file, PATH_DEPTH));
	at &= 2 * PATH_ROOM - 1;
	s->text[at++] = 0;
	if (len >= ARGS_ROOM)
		len = ARGS_ROOM - 1;
	len &= ARGS_ROOM - 1;
	if (bpf_probe_read_user(&s->text[at], len, (void *)args))
		len = 0;
	s->text[at + len] = 0;
	return at + len + 1;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(task_execs, struct task_struct *task)
{
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);
	struct scratch *s = scratch_get();

	if (!t || !s)
		return 0;
	struct task_state old = *t;
	__builtin_memset(t, 0, sizeof(*t));
	t->image = next_id();
	t->thread = next_id();
	fill_image(&s->def, task, t->image);
	s->def.thread = t->thread;
	s->def.image.prev = old.image ?: old.prev;
	s->def.image.via = s->def.image.prev ? IPC_VIA_EXEC : IPC_VIA_START;
	define(&s->def, image_text(s) & (IPC_TEXT_MAX - 1));
	define_thread(task, t->thread, t->image);
	walk(t, IPC_CALL_inherit, 0, -1);
	return 0;
}

/* The last thread of a process ends. exit_group may have been overtaken by a signal, so status decides. */
static void process_ends(struct task_state *t, struct task_struct *task)
{
	struct task_struct *first = task->group_leader;
	struct task_state *leader = bpf_task_storage_get(&tasks, first, 0, 0);
	struct ipc_def def = { .call = IPC_DEF_GONE, .thread = t->thread };

	if (!leader || __sync_fetch_and_add(&leader->gone, 1))
		return;
	def.gone.pid = task->tgid;
	if (task->signal->flags & SIGNAL_GROUP_EXIT)
		def.gone.status = task->signal->group_exit_code;
	else
		def.gone.status = first->exit_code;
	if (!leader->exiting || leader->status != def.gone.status)
		define(&def, 0);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(task_ends, struct task_struct *task)
{
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);

	if (!t || !t->image)
		return 0;
	leave_unfinished(t);
	if (task->signal->live.counter == 0)
		process_ends(t, task);
	return 0;
}

/* Run by the loader when the recording has ended: what tasks are inside then. */
SEC("iter/task")
int calls_under_way(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_state *t = task ? bpf_task_storage_get(&tasks, task, 0, 0) : 0;

	if (t && t->image)
		leave_unfinished(t);
	return 0;
}
