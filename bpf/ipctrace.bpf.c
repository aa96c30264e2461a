// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The eBPF source: follows tasks through their system calls at the BTF raw tracepoints and writes the records
 * of common/event.h into a ring buffer.
 *
 * A task is tracked when it has a task_state with an image; nothing else is looked at for the others.
 */
#include <linux/bpf.h>

#include "locks.h"
#include "ring.h"
#include "select.h"
#include "tracked.h"
#include "woken.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { ARGS_ROOM = 1024 };

/* ---- definitions ---- */

/* As the innermost namespace has it. */
static __s32 own_pid(struct pid *pid)
{
	__u64 at = bpf_core_field_offset(struct pid, numbers) + in_numbers(PEEK(pid, pid, level));

	return PEEK(upid, (__u64)pid + at, nr);
}

static void fill_image(struct ipc_def *def, struct task_struct *task, __u32 image)
{
	__builtin_memset(def, 0, sizeof(*def));
	def->call = IPC_DEF_IMAGE;
	def->image.image = image;
	def->image.pid = task->tgid;
	def->image.ppid = task->real_parent->tgid;
	def->image.uid = task->cred->euid.val;
	def->image.ns_pid = own_pid(task->group_leader->thread_pid);
}

/* Text of an image: comm, exe, cgroup, arguments as they stand in memory, each ended by NUL. Those of another
 * task cannot be read. */
static __noinline __u32 image_text(struct scratch *s, struct task_struct *task)
{
	__u64 args = task->mm->arg_start;
	__u64 len = task->mm->arg_end - args;

	__u32 at = bpf_probe_read_kernel_str(s->text, COMM_ROOM, task->comm);
	at = append_path(s, at, path_of(task->mm->exe_file, PATH_DEPTH));
	at = append_path(s, at, cgroup_path(s, task));
	at &= IPC_TEXT_MAX - 1;
	if (len >= ARGS_ROOM)
		len = ARGS_ROOM - 1;
	if (walking())
		len = 0;
	len &= ARGS_ROOM - 1;
	if (bpf_probe_read_user(&s->text[at], len, (void *)args))
		len = 0;
	s->text[at + len] = 0;
	return at + len + 1;
}

/* A new image of the process: after the one before, if there was one. */
static __noinline int define_image(struct task_state *t, struct task_struct *task, __u32 image, __u32 prev,
				   __u32 via)
{
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	fill_image(&s->def, task, image);
	s->def.thread = t->thread;
	s->def.image.prev = prev;
	s->def.image.via = t->via = via;
	if (!define(&s->def, image_text(s, task) & (IPC_TEXT_MAX - 1)))
		t->untold |= UNTOLD_IMAGE;
	return 0;
}

/* Tells of the task what found no room before. Its parent, and the image before, are found by pid then. */
static __noinline int tell_again(struct task_state *t)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	if (t->untold & UNTOLD_IMAGE) {
		fill_image(&s->def, task, t->image);
		s->def.thread = t->thread;
		s->def.image.via = t->via;
		__u32 text = t->via == IPC_VIA_FORK || !task->mm ? 0 : image_text(s, task);
		if (!define(&s->def, text & (IPC_TEXT_MAX - 1)))
			return 0;
		t->untold &= ~UNTOLD_IMAGE;
	}
	if (t->untold & UNTOLD_THREAD && define_thread(task, t->thread, t->image))
		t->untold = 0;
	return 0;
}

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
	struct task_state *t = is_tracked(task) ? bpf_task_storage_get(&tasks, task, 0, 0) : 0;

	if (!t || !t->image)
		return 0;
	if (t->untold)
		tell_again(t);
	if (t->parked && unpark(t, regs, nr))
		return 0;
	t->call = IPC_CALL_none;
	t->fresh = 0;
	t->woken_by = 0;
	if (!regs_compat(&task->thread_info))
		return enter(t, regs, nr);
	if (!t->alien) {
		define_loss(t->thread, IPC_REASON_other_arch);
		t->alien = 1;
	}
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(call_ends, const struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *t = is_tracked(task) ? bpf_task_storage_get(&tasks, task, 0, 0) : 0;

	if (!t || !t->image)
		return 0;
	if (t->fresh) {
		_Bool forked = t->fresh == FORKED;
		t->fresh = 0;
		if (forked)
			return walk(t, IPC_CALL_inherit, 0, -1);
		if (t->call == IPC_CALL_none && !regs_compat(&task->thread_info))
			resume(t, regs);
	}
	if (t->call == IPC_CALL_none)
		return 0;
	if (t->parked) { /* a handler returns: behind the call with EINTR, or to its instruction again */
		if (regs->ip != t->ip)
			return 0;
		t->parked = 0;
		result = -NR_EINTR;
	} else if (stopped_by_signal(result)) {
		t->ip = regs->ip;
		t->parked = 1;
		return 0;
	}
	return leave_here(t, regs, result);
}

/* ---- rings; of two programs the kernel takes the one with its own arguments (loader.c) ---- */

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(ring_submits, struct io_kiocb *req)
{
	return submits(req);
}

SEC("tp_btf/io_uring_submit_sqe") /* until Linux 6.2 */
int BPF_PROG(ring_submits_old, struct io_kiocb *req, _Bool force)
{
	return submits(req);
}

SEC("tp_btf/io_uring_complete")
int BPF_PROG(ring_completes, void *ring, void *req, struct io_uring_cqe *cqe)
{
	return completes((__u64)ring, (__u64)req, cqe->user_data, cqe->res, cqe->flags);
}

SEC("tp_btf/io_uring_complete") /* until Linux 6.12 */
int BPF_PROG(ring_completes_old, void *ring, void *req, __u64 user_data, int result, __u32 flags)
{
	return completes((__u64)ring, (__u64)req, user_data, result, flags);
}

SEC("tp_btf/sched_waking")
int BPF_PROG(task_wakes, struct task_struct *task)
{
	return wakes(task, ctx);
}

/* ---- semaphores and locks; attached to each of libc's functions (library.c) ---- */

SEC("uprobe")
int lock_begins(struct pt_regs *ctx)
{
	return library_begins(ctx, bpf_get_attach_cookie(ctx));
}

SEC("uretprobe")
int lock_ends(struct pt_regs *ctx)
{
	return library_ends(ctx);
}

/* ---- life of a process ---- */

SEC("tp_btf/sched_process_fork")
int BPF_PROG(task_forks, struct task_struct *parent, struct task_struct *child)
{
	struct task_state *p = bpf_task_storage_get(&tasks, parent, 0, 0);
	struct ipc_def def;

	if (!p || (!p->image && (everybody || (p->chosen && child->tgid == parent->tgid))))
		return 0;
	if (alone && child->tgid != parent->tgid) {
		p->child = child->tgid;
		return 0;
	}
	struct task_state *c = bpf_task_storage_get(&tasks, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!c) {
		count_lost(IPC_REASON_spawn_unseen);
		return 0;
	}
	if (!p->image) {
		c->chosen = p->chosen;
		return 0;
	}
	track(child);
	c->thread = next_id();
	c->image = p->image;
	if (child->tgid != parent->tgid) {
		c->image = next_id();
		c->fresh = FORKED;
		p->child = child->tgid;
		fill_image(&def, child, c->image);
		def.thread = p->thread;
		def.image.parent = p->image;
		def.image.via = IPC_VIA_FORK;
		def.image.spawn_time = p->call ? p->start & ~UNSEEN : 0;
		c->via = IPC_VIA_FORK;
		c->untold = define(&def, 0) ? 0 : UNTOLD_IMAGE;
	}
	if (!define_thread(child, c->thread, c->image))
		c->untold |= UNTOLD_THREAD;
	if (child->tgid != parent->tgid)
		fork_regions(p, c, child, child->mm == parent->mm);
	return 0;
}

/* The new program is not selected. Its end will be told, for whoever waits for it. */
static __noinline int leave_selection(struct task_state *t, struct task_struct *task)
{
	__u32 image = next_id();

	if (!t->image)
		return 0;
	untrack(task);
	define_image(t, task, image, t->image, IPC_VIA_UNSELECTED);
	__builtin_memset(t, 0, sizeof(*t));
	t->left = image;
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(task_execs, struct task_struct *task)
{
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);

	if ((!t && !everybody) || (!settled && !(t && t->image)))
		return 0;
	if (!is_selected(task))
		return t ? leave_selection(t, task) : 0;
	if (!t)
		t = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		count_lost(IPC_REASON_spawn_unseen);
		return 0;
	}
	__u32 image = next_id(), older = t->thread, prev = t->image ?: t->left;
	if (!prev) /* it may be found just now (attach.h) */
		prev = __sync_val_compare_and_swap(&t->image, 0, image);
	track(task);
	__builtin_memset(t, 0, sizeof(*t));
	t->image = image;
	t->thread = next_id();
	t->older = older;
	t->nr = IPC_NO_NR;
	define_image(t, task, t->image, prev, prev ? IPC_VIA_EXEC : IPC_VIA_START);
	if (!define_thread(task, t->thread, t->image))
		t->untold |= UNTOLD_THREAD;
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
	if (t->image) {
		end_regions(t, leader, task);
		tell_death(t, leader, def.gone.status);
	}
	note_ended(task, def.gone.status);
	if (!leader->exiting || leader->status != def.gone.status)
		define(&def, 0);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(task_ends, struct task_struct *task)
{
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);

	if (!t || !(t->image | t->left))
		return 0;
	if (t->untold)
		tell_again(t);
	untrack(task);
	if (t->image)
		leave_unfinished(t);
	if (task->signal->live.counter == 0)
		process_ends(t, task);
	return 0;
}

#include "attach.h"
#include "follow.h"

/* ---- locks on files that the kernel releases ---- */

/* Before it looks for them: from here on they may be gone. */
SEC("tp_btf/locks_get_lock_context")
int BPF_PROG(unlock_begins, struct inode *inode, int type)
{
	struct task_state *t =
		type == F_UNLCK ? bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0) : 0;

	if (t)
		t->unlock_start = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int kernel_releases(struct file_lock *lock)
{
	struct file_lock___old *old = (void *)lock;
	_Bool is_old = bpf_core_field_exists(old->fl_owner);

	if (!lock || !((is_old ? old->fl_flags : lock->c.flc_flags) & FL_CLOSE)) /* a call asked for it */
		return 0;
	__u64 file = 0, owner = 0; /* bare addresses */
	if (is_old) {
		bpf_core_read(&file, sizeof(file), &old->fl_file);
		bpf_core_read(&owner, sizeof(owner), &old->fl_owner);
	} else {
		bpf_core_read(&file, sizeof(file), &lock->c.flc_file);
		bpf_core_read(&owner, sizeof(owner), &lock->c.flc_owner);
	}
	return tell_released(bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0), (void *)file,
			     owner);
}

SEC("tp_btf/flock_lock_inode")
int BPF_PROG(flock_released, struct inode *inode, struct file_lock *lock)
{
	return kernel_releases(lock);
}

SEC("tp_btf/locks_remove_posix")
int BPF_PROG(posix_lock_released, struct inode *inode, struct file_lock *lock)
{
	return kernel_releases(lock);
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

/* Run by the loader for what it attaches to: the memory that processes share already. */
SEC("iter/task_vma")
int shared_memory(struct bpf_iter__task_vma *ctx)
{
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;

	if (!task || !vma || task->pid != task->tgid)
		return 0;
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);
	if (!t || !t->image)
		return 0;
	begin_visit(task);
	adopt_region(t, task, vma);
	walker = 0;
	return 0;
}
