/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A system call of a tracked task, from its entry to the events it gives. It is classified when it begins (a
 * close takes its descriptor away) and told when it ends; an exec, an exit and a close_range are told when
 * they begin. What the calls are stands in common/calls.def.
 */
#ifndef IPC_BPF_CALL_H
#define IPC_BPF_CALL_H

#include "delivery.h"
#include "file_lock.h"
#include "futex.h"
#include "message.h"
#include "process_vm.h"
#include "queue.h"
#include "region.h"
#include "sem.h"
#include "wait.h"

#include <linux/sched.h>

enum {
	ROWS_PER_NR = 16,
	NR_EINPROGRESS = 115,
	CLOSE_RANGE_UNSHARE_ = 2,
	IORING_ENTER_REGISTERED_RING_ = 16,
	MAY_RUN = -2, /* in the place of a status */
};

const volatile _Bool sees_rings; /* the kernel has the tracepoints (ring.h) */

/* Rows of one system call: first_row[nr], then next_row[row] until 0. Made by the loader from calls.def. */
const volatile __u8 first_row[SYSCALLS_MAX];
const volatile __u8 next_row[CALLS_ROOM];

/* ---- a call begins ---- */

/* The number of this call's row in calls.def, or IPC_CALL_none. */
static __u32 call_of(const struct pt_regs *regs, long nr)
{
	if (nr < 0 || nr >= SYSCALLS_MAX)
		return IPC_CALL_none;
	__u32 call = first_row[nr], op_arg = row_of(call)->op_arg;
	if (op_arg == IPC_NO_OP)
		return call;
	__u32 value = regs_arg(regs, op_arg); /* all rows of a number look at the same one (loader.c) */
	for (int i = 0; i < ROWS_PER_NR; i++) {
		const struct ipc_call *row = row_of(call);
		if (row->op_arg == IPC_NO_OP || value == row->op_value)
			return call;
		call = next_row[call];
	}
	return IPC_CALL_none;
}

/* The call is on this channel, and that one where it has two. */
static __always_inline int enter_ends(struct task_state *t, const struct pt_regs *regs, __u32 call,
				      const struct end *end, const struct end *end2)
{
	const struct ipc_call *row = row_of(call);

	t->object = reads_state(end->object, call) ? 0 : end->object;
	t->arg0 = end->arg0;
	t->object2 = end2->object;
	t->arg0_2 = end2->arg0;
	if (!t->object && !t->object2)
		return 0;
	t->call = call;
	t->unbound = binds_late(end->object) && socket_is_unbound(end->sk);
	t->arg1 = row->asks ? regs_arg(regs, row->asks - 1) : 0;
	t->asked = row->asks ? t->arg1 != 0 : regs_arg(regs, 2) != 0; /* of a vector: that it is not empty */
	t->start = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int enter_descriptor(struct task_state *t, struct task_struct *task,
					    const struct pt_regs *regs, __u32 call)
{
	const struct ipc_call *row = row_of(call);
	__u32 fd = regs_arg(regs, IPC_OBJ_ARG(row->object));
	struct end end = {}, end2 = {};

	if (call == IPC_CALL_io_uring_enter && regs_arg(regs, 3) & IORING_ENTER_REGISTERED_RING_)
		return 0; /* its descriptor is none */
	if (!find_pipe(task, fd, &end))
		find_end(fd, &end, t->thread);
	if (row->object2)
		find_end(regs_arg(regs, IPC_OBJ_ARG(row->object2)), &end2, t->thread);
	return enter_ends(t, regs, call, &end, &end2);
}

/* Calls whose object only the result tells. dup2 and dup3 close what they replace; an accept is from a
 * listener, a pidfd_getfd from a process. */
static __noinline int enter_maker(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	struct end old = {}, listener = {};

	if (call == IPC_CALL_dup2 || call == IPC_CALL_dup3) {
		if ((__u32)regs_arg(regs, 0) == (__u32)regs_arg(regs, 1))
			return 0; /* changes nothing */
		classify(regs_arg(regs, 1), &old);
	}
	if (call == IPC_CALL_accept || call == IPC_CALL_accept4 || call == IPC_CALL_pidfd_getfd)
		find_end(regs_arg(regs, 0), &listener, t->thread);
	t->object = listener.object;
	t->object2 = old.object;
	t->arg0_2 = old.arg0;
	t->arg1 = call == IPC_CALL_eventfd || call == IPC_CALL_eventfd2 ? (__u32)regs_arg(regs, 0) : 0;
	t->child = 0;
	t->call = call;
	t->start = bpf_ktime_get_ns();
	return 0;
}

/* What it is ready for only the end tells. */
static __noinline int enter_wait(struct task_state *t, __u32 call)
{
	t->object = t->object2 = 0;
	t->call = call;
	t->start = bpf_ktime_get_ns();
	return 0;
}

/* exec and exit do not return when they succeed: told when they begin. */
static __noinline int enter_self(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct ipc_event e = { .object = ipc_object(IPC_MECH_process, task->tgid),
			       .call = call,
			       .thread = t->thread };

	t->call = call;
	t->object = e.object;
	t->start = bpf_ktime_get_ns();
	if (call != IPC_CALL_exit_group) {
		e.flags = IPC_F_ENTRY;
		emit(&e, t->image);
		return 0;
	}
	e.arg0 = (regs_arg(regs, 0) & 0xff) << 8;
	_Bool told = try_emit(&e, t->image);
	struct task_state *leader = bpf_task_storage_get(&tasks, task->group_leader, 0, 0);
	if (leader && told) {
		leader->status = e.arg0;
		leader->exiting = 1;
	}
	return 0;
}

static void enter_range(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	__u32 flags = regs_arg(regs, 2);
	if (!(flags & ~CLOSE_RANGE_UNSHARE_)) /* with CLOEXEC it closes nothing now */
		walk(t, call, regs_arg(regs, 0), regs_arg(regs, 1));
}

/* What an operation of a ring can stand for, too. `task`: the subject. */
static __always_inline int enter_common(struct task_state *t, struct task_struct *task,
					const struct pt_regs *regs, __u32 call)
{
	switch (IPC_OBJ_KIND(row_of(call)->object)) {
	case IPC_OBJ_KIND_FD:
		if (locks_file(row_of(call)))
			return enter_lock(t, regs, call);
		return enter_descriptor(t, task, regs, call);
	case IPC_OBJ_RET:
	case IPC_OBJ_KIND_PAIR:
	case IPC_OBJ_CHILD:
		return enter_maker(t, regs, call);
	case IPC_OBJ_POLLFDS:
	case IPC_OBJ_FDSETS:
	case IPC_OBJ_EPOLL:
		return enter_wait(t, call);
	}
	return 0;
}

static __always_inline int enter(struct task_state *t, struct task_struct *task, const struct pt_regs *regs,
				 long nr)
{
	__u32 call = call_of(regs, nr);

	t->nr = nr;
	t->several_threads = has_threads(task);
	switch (IPC_OBJ_KIND(row_of(call)->object)) {
	case IPC_OBJ_SELF:
		return enter_self(t, regs, call);
	case IPC_OBJ_RANGE:
		enter_range(t, regs, call);
		return 0;
	case IPC_OBJ_KIND_MSGQ:
		return enter_queue(t, regs, call);
	case IPC_OBJ_KIND_SEMS:
		return enter_sem(t, regs, call);
	case IPC_OBJ_KIND_SIGNAL:
		return enter_signal(t, regs, call);
	case IPC_OBJ_KIND_PROCESS:
		return enter_process(t, regs, call);
	case IPC_OBJ_KIND_MEMORY:
		return enter_region(t, regs, call);
	case IPC_OBJ_KIND_WORD:
		return enter_futex(t, regs, call);
	case IPC_OBJ_NONE:
		return nr == __NR_madvise ? enter_advice(t, regs) : 0;
	}
	return enter_common(t, task, regs, call);
}

/*
 * A task is found inside a call, or at its end: begins it with what its registers say. Calls that tell
 * something when they begin, or whose descriptor is gone when they end, are let go; what is to be read in the
 * program's memory waits for the end.
 */
static __always_inline int resume(struct task_state *t, struct task_struct *task, const struct pt_regs *regs)
{
	__u32 call = call_of(regs, regs_nr(regs));
	const struct ipc_call *row = row_of(call);
	__u64 start = t->start;

	if (row->effect == IPC_FX_CLOSES || call == IPC_CALL_dup2 || call == IPC_CALL_dup3)
		return 0;
	switch (IPC_OBJ_KIND(row->object)) {
	case IPC_OBJ_KIND_SEMS:
		if (walking())
			return 0;
		break;
	case IPC_OBJ_KIND_FD:
		if (walking() && locks_file(row))
			return 0;
		break;
	case IPC_OBJ_RET:
	case IPC_OBJ_KIND_PAIR:
	case IPC_OBJ_CHILD:
	case IPC_OBJ_KIND_MSGQ:
	case IPC_OBJ_POLLFDS:
	case IPC_OBJ_FDSETS:
	case IPC_OBJ_EPOLL:
		break;
	default:
		return 0;
	}
	enter(t, task, regs, regs_nr(regs));
	t->start = start;
	return 0;
}

/* ---- a call ends ---- */

/* `regs`: NULL where the call has not ended. */
static __always_inline int leave_descriptor(struct task_state *t, const struct pt_regs *regs, __s64 result,
					    __u16 flags)
{
	struct ipc_event e = event_of(t, result);

	if (result == -NR_EAGAIN)
		flags |= IPC_F_NONBLOCK;
	e.arg1 = is_stream(t->object) ? t->arg1 : 0;
	if (t->object) {
		e.arg0 = t->arg0;
		e.flags = flags | (t->call == IPC_CALL_tee ? IPC_F_PEEK : 0);
		if (result == 0 && t->asked && !flags && is_stream(t->object) && verb_of(&e) == IPC_VERB_recv)
			e.flags |= IPC_F_EOF;
		if (regs)
			e.flags |= payload_of(&e, regs);
		emit_here(&e, t->image, t->several_threads);
	}
	if (t->object2) {
		e.object = t->object2;
		e.arg0 = t->arg0_2;
		e.arg1 = is_stream(t->object2) ? t->arg1 : 0;
		e.flags = flags | IPC_F_SECOND | (t->object ? IPC_F_PART : 0);
		emit(&e, t->image);
	}
	return 0;
}

/* Tells anew of the socket that the call is on. */
static __noinline int redefine(struct task_state *t, __u32 state)
{
	struct end end = {};

	if (classify(t->arg0, &end) && end.sk)
		define_socket(&end, t->thread, state, 0);
	return 0;
}

/* After a success. Returns whether there are messages that have still to be told. */
static __noinline int leave_message(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	const struct ipc_call *row = row_of(t->call);
	struct message *m = message_get();

	if (!m)
		return 0;
	m->event = event_of(t, result);
	m->event.arg0 = t->arg0;
	m->image = t->image;
	m->receives = row->verb == IPC_VERB_recv;
	switch (row->size) {
	case IPC_SIZE_MESSAGE:
	case IPC_SIZE_MESSAGES:
		begin_messages(m, regs, result);
		return 1;
	}
	return row->asks ? tell_buffer(m, regs, result) : tell_vector(m, regs, result);
}

/* connect, bind, listen: what is known of the socket now. */
static void define_changed(struct task_state *t, __s64 result)
{
	_Bool connects = t->call == IPC_CALL_connect;

	if (!result || (connects && (result == -NR_EINPROGRESS || result == -NR_EINTR)))
		redefine(t, connects ? IPC_SOCKET_CONNECTED : 0);
}

static __noinline int leave_control(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	struct ipc_event e = event_of(t, result);

	e.arg0 = t->arg0;
	if (t->call == IPC_CALL_inotify_add_watch && result >= 0)
		define_watch(t->object, regs_arg(regs, 1));
	else if (t->call != IPC_CALL_shutdown)
		define_changed(t, result);
	if (!result && ipc_object_mechanism(t->object) == IPC_MECH_pty)
		e.arg1 = pty_told(t->call, regs_arg(regs, 2));
	return emit(&e, t->image);
}

static __noinline int leave_replaced(const struct task_state *t)
{
	struct ipc_event e = {
		.object = t->object2, .arg0 = t->arg0_2, .thread = t->thread, .call = IPC_CALL_close
	};

	e.flags = IPC_F_PART;
	return emit(&e, t->image);
}

/* What socket() made has nothing to tell yet; accept made the other side's peer; a copy is known already. */
static void define_opened(struct task_state *t, const struct end *end)
{
	if (t->call == IPC_CALL_socket && !needs_kind(end->object))
		socket_remember(end);
	else if (t->call == IPC_CALL_accept || t->call == IPC_CALL_accept4)
		define_socket(end, t->thread, IPC_SOCKET_ACCEPTED, ipc_object_id(t->object));
	else if (!socket_is_known(end))
		define_socket(end, t->thread, 0, 0);
}

/* Apart: its event's room on the stack is not below what tells of the socket. */
static __noinline int tell_opened(const struct task_state *t, const struct end *end, __s64 result,
				  __u16 flags)
{
	struct ipc_event e = event_of(t, result);

	e.object = end->object;
	e.arg0 = end->arg0;
	e.arg1 = t->arg1;
	e.flags = flags;
	return emit(&e, t->image);
}

static __noinline int leave_open(struct task_state *t, __s64 result, __u32 fd, __u16 flags)
{
	struct end end = {};

	if (t->object2)
		leave_replaced(t);
	if (t->call == IPC_CALL_io_uring_setup && !sees_rings)
		define_loss(t->thread, IPC_REASON_io_uring);
	if (!classify(fd, &end))
		return 0;
	if (window && ipc_object_mechanism(end.object) == IPC_MECH_fifo)
		judge_anew(end.object);
	if (end.sk)
		define_opened(t, &end);
	return tell_opened(t, &end, result, flags);
}

static void leave_pair(struct task_state *t, const struct pt_regs *regs)
{
	__u32 fds[2];
	struct end end = {};

	if (bpf_probe_read_user(fds, sizeof(fds),
				(void *)regs_arg(regs, IPC_OBJ_ARG(row_of(t->call)->object))))
		return;
	for (int i = 0; i < 2; i++)
		if (classify(fds[i], &end) && end.sk)
			define_socket(&end, t->thread, IPC_SOCKET_PAIR, 0);
	leave_open(t, 0, fds[0], 0);
	leave_open(t, 0, fds[1], IPC_F_PART);
}

static __u64 clone_flags(__u32 call, const struct pt_regs *regs)
{
	__u64 flags = 0;
	switch (call) {
	case IPC_CALL_clone:
		flags = regs_arg(regs, 0);
		barrier(); /* as in PEEK() */
		return flags;
	case IPC_CALL_clone3:
		bpf_probe_read_user(&flags, sizeof(flags), (void *)regs_arg(regs, 0));
		return flags;
	case IPC_CALL_vfork:
		return CLONE_VFORK | CLONE_VM;
	default:
		return 0;
	}
}

/* CLONE_PIDFD: clone puts it where its third argument says, clone3 where the second word of its struct does.
 */
static void leave_pidfd(struct task_state *t, const struct pt_regs *regs)
{
	__u64 place = regs_arg(regs, 2);
	__u32 fd;

	if (t->call == IPC_CALL_clone3 &&
	    bpf_probe_read_user(&place, sizeof(place), (void *)(regs_arg(regs, 0) + sizeof(place))))
		return;
	if (bpf_probe_read_user(&fd, sizeof(fd), (void *)place))
		return;
	t->call = IPC_CALL_clone_pidfd;
	leave_open(t, fd, fd, 0);
}

/* Apart: its event's room on the stack is not below what tells of a pidfd. */
static __noinline int tell_spawn(const struct task_state *t, __u64 flags)
{
	struct ipc_event e = event_of(t, t->child);

	e.object = ipc_object(IPC_MECH_process, t->child);
	e.arg0 = flags;
	return emit(&e, t->image);
}

static __noinline int leave_spawn(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	if (result <= 0 || !t->child)
		return 0;
	__u64 flags = clone_flags(t->call, regs);
	tell_spawn(t, flags);
	if (flags & CLONE_PIDFD)
		leave_pidfd(t, regs);
	return 0;
}

/* A process as its parent calls it: by its number in the parent's namespace. */
struct child_name {
	__u32 ns;
	__s32 pid;
};

/* One that has ended, and may not have been reaped yet. */
struct ended {
	__u32 pid; /* as we call it */
	__s32 status;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct child_name);
	__type(value, struct ended);
} ended SEC(".maps");

/* `pid` as this task calls it; NULL: `pid` is of no interest. */
static __always_inline struct child_name name_for(struct task_struct *task, struct pid *pid)
{
	struct pid *own = OF_TASK(task, thread_pid);
	__u64 at = bpf_core_field_offset(struct pid, numbers) + in_numbers(PEEK(pid, own, level));
	struct child_name name = {};

	name.ns = PEEK(pid_namespace, PEEK(upid, (__u64)own + at, ns), ns.inum);
	if (pid)
		name.pid = PEEK(upid, (__u64)pid + at, nr);
	return name;
}

static __noinline int note_ended(struct task_struct *task, __s32 status)
{
	struct child_name name = name_for(OF_TASK(task, real_parent), OF_TASK(task, thread_pid));
	struct ended end = { .pid = task->tgid, .status = status };

	return bpf_map_update_elem(&ended, &name, &end, BPF_ANY);
}

/* The child that wait4 or waitid reaped and its status in the form of wait(2), -1: not told, MAY_RUN: not
 * even whether it has ended. Returns 0: none. */
static __u32 reaped_by_wait4(const struct pt_regs *regs, __s64 result, __u64 *status)
{
	enum { WUNTRACED_ = 2, WCONTINUED_ = 8 };
	__s32 word;

	if (result <= 0)
		return 0;
	*status = regs_arg(regs, 2) & (WUNTRACED_ | WCONTINUED_) ? MAY_RUN : -1;
	if (bpf_probe_read_user(&word, sizeof(word), (void *)regs_arg(regs, 1)))
		return result;
	if ((word & 0xff) == 0x7f || word == 0xffff) /* stopped, continued */
		return 0;
	*status = (__u32)word;
	return result;
}

/* The one child that waitid was asked for; 0: any. */
static __u32 waited_for(const struct pt_regs *regs)
{
	enum { PID = 1, PIDFD = 3 };
	struct end end = {};

	if (regs_arg(regs, 0) == PID)
		return regs_arg(regs, 1);
	if (regs_arg(regs, 0) != PIDFD ||
	    ipc_object_mechanism(classify(regs_arg(regs, 1), &end)) != IPC_MECH_pidfd)
		return 0;
	return ipc_object_id(end.object);
}

static __u32 reaped_by_waitid(const struct pt_regs *regs, __s64 result, __u64 *status)
{
	enum { WEXITED_ = 4, WNOWAIT_ = 0x01000000, EXITED = 1, KILLED = 2, DUMPED = 3 };
	__u64 options = regs_arg(regs, 3);
	struct {
		__s32 signo, error, code, pad, pid, uid, status;
	} info;

	if (result || options & WNOWAIT_)
		return 0;
	if (bpf_probe_read_user(&info, sizeof(info), (void *)regs_arg(regs, 2))) {
		*status = MAY_RUN;
		return options & WEXITED_ ? waited_for(regs) : 0;
	}
	if (info.pid <= 0 || info.code < EXITED || info.code > DUMPED)
		return 0;
	*status = info.code == EXITED ? (info.status & 0xff) << 8
				      : info.status | (info.code == DUMPED ? 0x80 : 0);
	return info.pid;
}

static __noinline int leave_reap(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	__u64 status = 0;
	__u32 pid = t->call == IPC_CALL_wait4 ? reaped_by_wait4(regs, result, &status)
					      : reaped_by_waitid(regs, result, &status);
	struct child_name name = name_for(bpf_get_current_task_btf(), 0);
	struct ipc_event e = event_of(t, pid);

	name.pid = pid;
	const struct ended *end = pid ? bpf_map_lookup_elem(&ended, &name) : 0;
	if (end) {
		e.result = end->pid;
		e.arg0 = (__u32)end->status;
		bpf_map_delete_elem(&ended, &name);
	} else if (pid && status != MAY_RUN) {
		e.arg0 = status;
	} else {
		return 0;
	}
	e.object = ipc_object(IPC_MECH_process, e.result);
	return emit(&e, t->image);
}

static __always_inline void leave_on_descriptor(struct task_state *t, const struct pt_regs *regs,
						__s64 result)
{
	const struct ipc_call *row = row_of(t->call);

	if (t->unbound && row->verb == IPC_VERB_send) /* also of one that failed */
		redefine(t, 0);
	if (locks_file(row))
		leave_lock(t, regs, result);
	else if (row->nr == __NR_epoll_ctl)
		leave_epoll(t, regs, result);
	else if (row->verb == IPC_VERB_control)
		leave_control(t, regs, result);
	else if (row->size != IPC_SIZE_NONE && is_queue(t->object))
		leave_queue(t, regs, result);
	else if (row->size != IPC_SIZE_NONE && result > 0 &&
		 ipc_object_mechanism(t->object) == IPC_MECH_signal)
		leave_signalfd(t, regs, result);
	else if (row->size == IPC_SIZE_NONE || row->object2 || !has_content(t->object) || result < 0)
		leave_descriptor(t, regs, result, 0);
	else if (leave_message(t, regs, result))
		tell_messages();
}

/* What an operation of a ring can stand for, too. */
static __always_inline int leave_common(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	switch (IPC_OBJ_KIND(row_of(t->call)->object)) {
	case IPC_OBJ_KIND_FD:
		leave_on_descriptor(t, regs, result);
		break;
	case IPC_OBJ_POLLFDS:
	case IPC_OBJ_FDSETS:
	case IPC_OBJ_EPOLL:
		leave_wait(t, regs, result);
		break;
	case IPC_OBJ_RET:
		if (result >= 0)
			leave_open(t, result, result, 0);
		if (result >= 0 && t->call == IPC_CALL_pidfd_getfd)
			tell_taken(t, regs, result);
		break;
	case IPC_OBJ_KIND_PAIR:
		if (result == 0)
			leave_pair(t, regs);
		break;
	case IPC_OBJ_CHILD:
		if (row_of(t->call)->verb == IPC_VERB_spawn)
			leave_spawn(t, regs, result);
		else
			leave_reap(t, regs, result);
	}
	t->call = IPC_CALL_none;
	return 0;
}

static __always_inline int leave_here(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	struct ipc_event e;

	switch (IPC_OBJ_KIND(row_of(t->call)->object)) {
	case IPC_OBJ_KIND_MSGQ:
		leave_queue(t, regs, result);
		break;
	case IPC_OBJ_KIND_SEMS:
		leave_sem(t, regs, result);
		break;
	case IPC_OBJ_KIND_SIGNAL:
		leave_signal(t, regs, result);
		break;
	case IPC_OBJ_KIND_PROCESS:
		leave_process(t, result);
		break;
	case IPC_OBJ_KIND_MEMORY:
		leave_region(t, regs, result);
		break;
	case IPC_OBJ_KIND_WORD:
		leave_futex(t, result, 0);
		break;
	case IPC_OBJ_SELF: /* an exec that failed */
		e = event_of(t, result);
		emit(&e, t->image);
		break;
	default:
		return leave_common(t, regs, result);
	}
	t->call = IPC_CALL_none;
	return 0;
}

static __noinline int leave(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	return leave_here(t, regs, result);
}

/* The task ends, or the recording, inside a call on a channel. */
static void leave_unfinished(struct task_state *t)
{
	switch (IPC_OBJ_KIND(row_of(t->call)->object)) {
	case IPC_OBJ_KIND_FD:
	case IPC_OBJ_KIND_SIGNAL:
		leave_descriptor(t, 0, 0, IPC_F_INSIDE);
		break;
	case IPC_OBJ_KIND_MSGQ:
	case IPC_OBJ_KIND_SEMS:
		leave_queue_unfinished(t);
		break;
	case IPC_OBJ_KIND_WORD:
		leave_futex(t, 0, IPC_F_INSIDE);
	}
	t->call = IPC_CALL_none;
}

#endif
