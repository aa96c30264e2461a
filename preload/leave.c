// SPDX-License-Identifier: BSD-2-Clause
/* After a system call: its events. */
#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "ask.h"
#include "hooks.h"
#include "lock.h"
#include "passing.h"
#include "payload.h"
#include "pty.h"
#include "queue.h"
#include "socket.h"

static void return_transfer(struct shim_thread *t, const struct pending *p, const struct ipc_call *row,
			    long result)
{
	struct ipc_event e = hook_event(t, p, result);
	struct iovec one;
	if (result == -EAGAIN)
		e.flags |= IPC_F_NONBLOCK;
	if (p->object) {
		if (result == 0 && row->verb == IPC_VERB_recv && (p->arg1 || !row->asks))
			e.flags |= IPC_F_EOF;
		if (p->call == IPC_CALL_tee)
			e.flags |= IPC_F_PEEK;
		if (row->object2) /* from one descriptor to another: the bytes are in no memory */
			shim_emit(t, &e);
		else
			payload_emit(t, &e, payload_vector(p, &one));
	}
	if (p->object2) {
		e.object = p->object2;
		e.arg0 = p->other0;
		e.flags = (uint16_t)(IPC_F_SECOND | (result == -EAGAIN ? IPC_F_NONBLOCK : 0) |
				     (p->object ? IPC_F_PART : 0));
		shim_emit(t, &e);
	}
}

/* A new descriptor that is an end of a channel. */
static void tell_open(struct shim_thread *t, const struct pending *p, long fd, const struct descriptor *d,
		      int flags)
{
	struct ipc_event e = hook_event(t, p, fd);
	e.object = d->object;
	e.arg0 = ipc_arg0((uint32_t)fd, d->flags);
	e.flags = (uint16_t)flags;
	shim_emit(t, &e);
}

static void tell_close(struct shim_thread *t, uint64_t object, uint64_t arg0)
{
	struct ipc_event e = { .start = shim_now(),
			       .object = object,
			       .arg0 = arg0,
			       .thread = shim_number(t),
			       .call = IPC_CALL_close,
			       .flags = IPC_F_PART };
	shim_emit(t, &e);
}

/* A socket that a call made: what was accepted has both its ends, and a copy is known already. */
static void define_made(struct shim_thread *t, const struct pending *p, long fd, const struct descriptor *d)
{
	struct descriptor listener;
	struct socket_origin origin = { 0 };
	bool plain = p->call == IPC_CALL_socket && !socket_needs_kind(d->object);
	if (plain || p->object == d->object)
		return;
	if (p->call == IPC_CALL_accept || p->call == IPC_CALL_accept4) {
		origin.state = IPC_SOCKET_ACCEPTED;
		if (descriptor_find(t, p->arg[0], &listener))
			origin.listener = ipc_object_id(listener.object);
		if (p->arg[1] && p->arg[2] && *(const uint32_t *)p->arg[2] <= p->room) {
			origin.name = (const void *)p->arg[1];
			origin.length = *(const uint32_t *)p->arg[2];
		}
	}
	socket_define(t, fd, d->object, &origin);
}

/* What it makes is always an end of a channel. */
static bool makes_anonymous(uint16_t call)
{
	switch (call) {
	case IPC_CALL_eventfd:
	case IPC_CALL_eventfd2:
	case IPC_CALL_timerfd_create:
	case IPC_CALL_inotify_init:
	case IPC_CALL_inotify_init1:
	case IPC_CALL_pidfd_open:
	case IPC_CALL_io_uring_setup:
		return true;
	default:
		return false;
	}
}

static void return_open(struct shim_thread *t, const struct pending *p, const struct ipc_call *row, long fd)
{
	struct descriptor d;
	if (fd < 0)
		return;
	if (row->effect == IPC_FX_COPIES && (int)p->arg[0] == fd)
		return;
	descriptor_forget(t, fd);
	if (p->call != IPC_CALL_pidfd_getfd) /* another process's: with what number is not known */
		lock_made(t, p, fd, row->effect == IPC_FX_COPIES ? p->arg[0] : -1);
	if (p->object2)
		tell_close(t, p->object2, p->other0);
	if (p->call == IPC_CALL_io_uring_setup)
		define_loss(t, IPC_REASON_io_uring, "");
	if (!descriptor_made(t, fd, &d)) {
		if (makes_anonymous(p->call) && !d.object)
			define_loss(t, IPC_REASON_no_identity, "");
		return;
	}
	if (p->object && counter_has_own_number(d.object))
		d.object = p->object; /* a copy */
	if (socket_is(d.object))
		define_made(t, p, fd, &d);
	tell_open(t, p, fd, &d, 0);
	descriptor_keep(t, fd, &d);
}

static void return_pair(struct shim_thread *t, const struct pending *p, long result)
{
	if (result)
		return;
	const int *fds = (const int *)p->arg[IPC_OBJ_ARG(ipc_calls[p->call].object)];
	struct descriptor d[2];
	for (int i = 0; i < 2; i++) {
		descriptor_forget(t, fds[i]);
		if (!descriptor_made(t, fds[i], &d[i]))
			return;
	}
	for (int i = 0; i < 2; i++) {
		const struct socket_origin origin = { .state = IPC_SOCKET_PAIR,
						      .peer = ipc_object_id(d[!i].object) };
		if (socket_is(d[i].object))
			socket_define(t, fds[i], d[i].object, &origin);
	}
	for (int i = 0; i < 2; i++)
		tell_open(t, p, fds[i], &d[i], i ? IPC_F_PART : 0);
	for (int i = 0; i < 2; i++)
		descriptor_keep(t, fds[i], &d[i]);
}

/* connect, bind, listen: what is known of the socket now. */
static void define_changed(struct shim_thread *t, const struct pending *p)
{
	uint32_t fd = (uint32_t)p->arg0;
	struct socket_origin origin = { 0 };
	if (p->call == IPC_CALL_connect)
		origin = (struct socket_origin){ .state = IPC_SOCKET_CONNECTED,
						 .name = (const void *)p->arg[1],
						 .length = (uint32_t)p->arg[2] };
	if (fd < DESCRIPTORS)
		descriptor_table[fd].unbound = false;
	socket_define(t, fd, p->object, &origin);
}

/* What epoll_wait's user data stand for. Programs register the same descriptor again and again: told is what
 * is new. */
static void return_epoll(struct shim_thread *t, const struct pending *p, long result)
{
	uint32_t fd = (uint32_t)p->arg0, image = shim_image(t);
	struct descriptor elsewhere = { 0 }, *d = fd < DESCRIPTORS ? &descriptor_table[fd] : &elsewhere;
	if (result || p->call == IPC_CALL_epoll_del) {
		d->epoll = 0;
		return;
	}
	struct ipc_event e = hook_event(t, p, result);
	e.arg1 = ((const struct epoll_event *)p->arg[3])->data.u64;
	e.tag = (uint32_t)p->arg[0];
	if (d->epoll == e.tag + 1 && d->data == e.arg1 && d->image == image)
		return;
	d->epoll = e.tag + 1;
	d->data = e.arg1;
	d->image = image;
	shim_emit(t, &e);
}

static void return_control(struct shim_thread *t, const struct pending *p, long result)
{
	bool under_way = p->call == IPC_CALL_connect && (result == -EINPROGRESS || result == -EINTR);
	if (ipc_calls[p->call].nr == __NR_epoll_ctl) {
		return_epoll(t, p, result);
		return;
	}
	if (socket_is(p->object) && p->call != IPC_CALL_shutdown && (!result || under_way))
		define_changed(t, p);
	if (p->call == IPC_CALL_inotify_add_watch && result >= 0)
		counter_watch(t, p);
	struct ipc_event e = hook_event(t, p, result);
	if (ipc_object_mechanism(p->object) == IPC_MECH_pty && !result)
		e.arg1 = pty_told(p);
	if (p->late)
		e.flags |= IPC_F_NO_START;
	shim_emit(t, &e);
}

static void return_range(struct shim_thread *t, const struct pending *p, long result)
{
	if (result || p->arg[2] & CLOSE_RANGE_CLOEXEC)
		return;
	uint32_t last = (uint32_t)p->arg[1] < DESCRIPTORS ? (uint32_t)p->arg[1] : DESCRIPTORS - 1;
	uint16_t part = 0;
	for (uint32_t fd = (uint32_t)p->arg[0]; fd <= last; fd++) {
		struct descriptor d;
		if (descriptor_remembered(fd, &d)) {
			struct ipc_event e = hook_event(t, p, 0);
			e.object = d.object;
			e.arg0 = ipc_arg0(fd, d.flags);
			e.flags = part;
			shim_emit(t, &e);
			part = IPC_F_PART;
		}
		lock_close(t, fd);
		descriptor_forget(t, fd);
	}
}

/* CLONE_PIDFD: clone(2) has put it where its third argument says, clone3 where the second word of its struct
 * does. */
static void return_pidfd(struct shim_thread *t, struct pending p)
{
	const uint64_t *args = (const void *)p.arg[0];
	bool struct_of = p.call == IPC_CALL_clone3;
	uint64_t flags = p.call == IPC_CALL_clone ? (uint64_t)p.arg[0] : struct_of ? args[0] : 0;
	const int *place = (const void *)(struct_of ? (uintptr_t)args[1] : (uintptr_t)p.arg[2]);
	struct descriptor d;
	if (!(flags & CLONE_PIDFD))
		return;
	descriptor_forget(t, *place);
	if (!descriptor_made(t, *place, &d)) {
		if (!d.object)
			define_loss(t, IPC_REASON_no_identity, "");
		return;
	}
	p.call = IPC_CALL_clone_pidfd;
	tell_open(t, &p, *place, &d, 0);
	descriptor_keep(t, *place, &d);
}

static void return_spawn(struct shim_thread *t, const struct pending *p, long result)
{
	if (result <= 0)
		return; /* failed, or in the child: shim_number() introduces that */
	struct ipc_event e = hook_event(t, p, result);
	e.object = ipc_object(IPC_MECH_process, (uint64_t)result);
	e.arg0 = 0;
	shim_emit(t, &e);
	return_pidfd(t, *p);
}

/* Whether a child of which the program wants no status has ended, and was not only stopped: then there is no
 * such process any more. prlimit64 is a question that a sandbox lets us ask. */
static bool has_ended(long pid)
{
	return raw_syscall(__NR_prlimit64, pid, RLIMIT_NOFILE, NULL, NULL) == -ESRCH;
}

/* The one child that waitid was asked for, or 0: any. */
static long waited_for(struct shim_thread *t, const struct pending *p)
{
	struct descriptor d;
	if (p->arg[0] == P_PID)
		return p->arg[1];
	bool by_pidfd = p->arg[0] == P_PIDFD && descriptor_find(t, p->arg[1], &d) &&
			ipc_object_mechanism(d.object) == IPC_MECH_pidfd;
	return by_pidfd ? (long)ipc_object_id(d.object) : 0;
}

/* wait4 and waitid tell of children that ended; stops and continuations are not the end of a process, and
 * with WNOWAIT the child is still there to be waited for. */
static void return_wait(struct shim_thread *t, const struct pending *p, long result)
{
	struct ipc_event e = hook_event(t, p, result);
	e.arg0 = (uint64_t)-1;
	if (result < 0 || (result == 0 && p->call == IPC_CALL_wait4))
		return;
	if (p->call == IPC_CALL_wait4) {
		const int *status = (const int *)p->arg[1];
		if (status ? !WIFEXITED(*status) && !WIFSIGNALED(*status) : !has_ended(result))
			return;
		if (status)
			e.arg0 = (uint64_t)*status;
	} else if (!p->arg[2]) {
		e.result = waited_for(t, p);
		if (e.result <= 0 || !(p->arg[3] & WEXITED) || p->arg[3] & WNOWAIT || !has_ended(e.result))
			return;
	} else {
		const siginfo_t *info = (const siginfo_t *)p->arg[2];
		if (!info->si_pid || p->arg[3] & WNOWAIT)
			return;
		if (info->si_code == CLD_EXITED)
			e.arg0 = (uint64_t)(info->si_status & 0xff) << 8;
		else if (info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED)
			e.arg0 = (uint64_t)info->si_status | (info->si_code == CLD_DUMPED ? 0x80 : 0);
		else
			return;
		e.result = info->si_pid;
	}
	e.object = ipc_object(IPC_MECH_process, (uint64_t)e.result);
	shim_emit(t, &e);
}

static void return_exec(struct shim_thread *t, const struct pending *p, long result)
{
	struct ipc_event e = hook_event(t, p, result);
	shim_emit(t, &e);
	if (p->followed)
		ask(t, ARENA_ASK_LEAVE);
	if (t->exec_memory)
		raw_syscall(__NR_munmap, t->exec_memory, t->exec_size);
	t->exec_memory = NULL;
}

/* Of another process. ptrace moves one word (the system call puts what it read where libc says). */
static void return_memory(struct shim_thread *t, const struct pending *p, const struct ipc_call *row,
			  long result)
{
	bool word = row->size == IPC_SIZE_NONE && !result;
	struct ipc_event e = hook_event(t, p, word ? (long)sizeof(long) : result);
	shim_emit(t, &e);
}

static void return_on_descriptor(struct shim_thread *t, const struct pending *p, const struct ipc_call *row,
				 long result)
{
	bool moves = row->size != IPC_SIZE_NONE && !row->object2;
	unsigned int mechanism = ipc_object_mechanism(p->object);
	if (lock_is(row))
		hook_leave_lock(t, p, result);
	else if (row->verb == IPC_VERB_control)
		return_control(t, p, result);
	else if (moves && !p->object)
		hook_leave_unchosen(t, p, result);
	else if (moves && socket_is(p->object))
		hook_leave_message(t, p, result);
	else if (moves && mechanism == IPC_MECH_posix_mq)
		hook_leave_queue(t, p, result);
	else if (moves && (mechanism == IPC_MECH_eventfd || mechanism == IPC_MECH_timerfd))
		hook_leave_counter(t, p, result);
	else if (moves && mechanism == IPC_MECH_signal)
		hook_leave_signalfd(t, p, result);
	else
		return_transfer(t, p, row, result);
}

void hook_leave(struct shim_thread *t, const struct pending *p, long result)
{
	const struct ipc_call *row = &ipc_calls[p->call];
	if (p->lock && (result >= 0 || (p->call == IPC_CALL_close && result != -EBADF)))
		lock_closed(t, p);
	switch (IPC_OBJ_KIND(row->object)) {
	case IPC_OBJ_KIND_FD:
		return_on_descriptor(t, p, row, result);
		break;
	case IPC_OBJ_KIND_MSGQ:
		hook_leave_queue(t, p, result);
		break;
	case IPC_OBJ_KIND_SEMS:
		hook_leave_sem(t, p, result);
		break;
	case IPC_OBJ_KIND_SIGNAL:
		hook_leave_signal(t, p, result);
		break;
	case IPC_OBJ_KIND_PROCESS:
		return_memory(t, p, row, result);
		break;
	case IPC_OBJ_KIND_MEMORY:
		hook_leave_region(t, p, result);
		break;
	case IPC_OBJ_KIND_WORD:
		hook_leave_futex(t, p, result);
		break;
	case IPC_OBJ_POLLFDS:
	case IPC_OBJ_FDSETS:
	case IPC_OBJ_EPOLL:
		hook_leave_wait(t, p, result);
		break;
	case IPC_OBJ_RET:
		return_open(t, p, row, result);
		if (p->call == IPC_CALL_pidfd_getfd)
			passing_taken(t, p, result);
		break;
	case IPC_OBJ_KIND_PAIR:
		return_pair(t, p, result);
		break;
	case IPC_OBJ_RANGE:
		return_range(t, p, result);
		break;
	case IPC_OBJ_CHILD:
		if (row->verb == IPC_VERB_spawn)
			return_spawn(t, p, result);
		else
			return_wait(t, p, result);
		break;
	case IPC_OBJ_SELF:
		return_exec(t, p, result);
		break;
	}
}
