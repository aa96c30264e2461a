// SPDX-License-Identifier: BSD-2-Clause
/*
 * Before a system call: what it is about to do to descriptors and processes. The new program's environment is
 * made here, and what cannot be seen after an exec or under a sandbox is told here.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <unistd.h>

#include "action.h"
#include "ask.h"
#include "hooks.h"
#include "lock.h"
#include "program.h"
#include "queue.h"
#include "readable.h"
#include "sample.h"
#include "sandbox.h"
#include "signals.h"
#include "socket.h"
#include "sync.h"
#include "text.h"

enum { CLONE3_FLAGS_SIZE = 8 };

static struct ipc_event event_now(struct shim_thread *t, uint16_t call, int mechanism)
{
	uint32_t number = shim_number(t);
	return (struct ipc_event){ .start = shim_now(),
				   .object = ipc_object(mechanism, (uint32_t)raw_syscall(__NR_getpid)),
				   .thread = number,
				   .call = call };
}

/* What comes with a message may be looked at although the socket is not. */
static bool may_receive_descriptors(const struct ipc_call *row)
{
	return shim.chooses && row->verb == IPC_VERB_recv &&
	       (row->size == IPC_SIZE_MESSAGE || row->size == IPC_SIZE_MESSAGES);
}

/* Entry of a call on descriptors: false where no end of a channel takes part. */
static bool enter_descriptors(struct shim_thread *t, const struct ipc_call *row,
			      const struct hook_registers *r, struct pending *p)
{
	struct descriptor d;
	long fd = r->arg[IPC_OBJ_ARG(row->object)];
	bool closes = row->effect == IPC_FX_CLOSES;
	if (closes ? descriptor_known(t, (int)fd, &d) : descriptor_find(t, fd, &d)) {
		p->object = d.object;
		p->arg0 = ipc_arg0((uint32_t)fd, d.flags);
		p->unbound = d.unbound;
	}
	if (closes) {
		lock_closing(t, fd, p);
		descriptor_forget(t, (int)fd);
	}
	if (row->object2) {
		long other = r->arg[IPC_OBJ_ARG(row->object2)];
		if (descriptor_find(t, other, &d)) {
			p->object2 = d.object;
			p->other0 = ipc_arg0((uint32_t)other, d.flags);
		}
	}
	return p->object || p->object2 || p->lock || may_receive_descriptors(row);
}

/* Entry of a call that copies a descriptor: what is copied, and what dup2 is about to close. */
static void enter_copy(struct shim_thread *t, const struct hook_registers *r, uint16_t call,
		       struct pending *p)
{
	struct descriptor d;
	if (descriptor_known(t, (int)r->arg[0], &d)) {
		p->object = d.object;
		p->arg0 = ipc_arg0(0, d.flags);
	}
	bool replaces = call == IPC_CALL_dup2 || call == IPC_CALL_dup3;
	replaces &= (int)r->arg[0] != (int)r->arg[1];
	if (replaces)
		lock_closing(t, r->arg[1], p);
	if (replaces && descriptor_known(t, (int)r->arg[1], &d)) {
		p->object2 = d.object;
		p->other0 = ipc_arg0((uint32_t)r->arg[1], d.flags);
	}
}

/* From here on a child may come here in this thread's name; a later one that the thread waits for cannot be
 * told from it. */
static void run_beside(struct shim_thread *t, bool shares_files)
{
	define_loss(t, IPC_REASON_clone_vm, "");
	if (shares_files)
		descriptor_remember_none();
	t->fast = false;
	t->sync = NULL;
	t->beside = (int32_t)raw_syscall(__NR_gettid);
}

/* Entry of fork, vfork, clone, clone3. True: the return will be seen too. */
static bool enter_spawn(struct shim_thread *t, uint16_t call, const struct hook_registers *r, bool returns)
{
	uint64_t flags = 0;
	if (call == IPC_CALL_clone)
		flags = (uint64_t)r->arg[0];
	else if (call == IPC_CALL_clone3 && r->arg[1] >= CLONE3_FLAGS_SIZE &&
		 readable((const void *)r->arg[0], CLONE3_FLAGS_SIZE))
		flags = *(const uint64_t *)r->arg[0];
	if (flags & CLONE_VM && !(flags & CLONE_VFORK))
		shim.shares = true;
	if (flags & CLONE_THREAD)
		return false;
	shim_number(t);
	if (returns && !(flags & CLONE_VM))
		return true;
	if (!(flags & CLONE_VFORK))
		sample_shared_memory();
	bool alone = !(flags & (CLONE_VFORK | CLONE_SETTLS)) && call != IPC_CALL_vfork;
	if ((flags & CLONE_VM || call == IPC_CALL_vfork) && (alone || t->beside)) {
		run_beside(t, flags & CLONE_FILES);
		return false;
	}
	t->fast = false;
	t->sync = NULL;
	t->spawn_call = call;
	t->spawn_pid = 0;
	t->spawn_changed = 0;
	t->spawn_start = shim_now();
	return false;
}

static void define_loss_of(struct shim_thread *t, enum ipc_reason reason, const char *path, bool followed)
{
	struct ipc_def def = { .time = shim_now(), .thread = shim_number(t), .call = IPC_DEF_LOSS };
	def.loss = (struct ipc_def_loss){
		.reason = reason, .pid = (int32_t)raw_syscall(__NR_getpid), .count = 1, .followed = followed
	};
	size_t length = 0;
	while (length < SHIM_PATH && path[length])
		length++;
	shim_define(t, &def, path, length);
}

void define_loss(struct shim_thread *t, enum ipc_reason reason, const char *path)
{
	define_loss_of(t, reason, path, false);
}

/* After a chroot or a change of user, ld.so would complain that it cannot find the shim. access(2) looks with
 * the real user and, unless that is root, without capabilities: as it will be after the exec. */
static bool is_in_reach(const char *library)
{
	return !raw_syscall(__NR_faccessat, AT_FDCWD, library, R_OK);
}

/* The program that is to be executed. */
struct program {
	int dirfd;
	const char *path;
	char *const **envp;
	char link[40];
	char library[SHIM_PATH]; /* that shall enter it */
};

/* False: the kernel will refuse what the arguments point to. */
static bool find_program(uint16_t call, struct hook_registers *r, struct program *x)
{
	bool at = call == IPC_CALL_execveat;
	uintptr_t page = 0;
	x->dirfd = at ? (int)r->arg[0] : AT_FDCWD;
	x->path = (const char *)r->arg[at ? 1 : 0];
	x->envp = (char *const **)&r->arg[at ? 3 : 2];
	if (!readable_string(x->path, SHIM_PATH, &page) || !environment_is_readable(*x->envp))
		return false;
	if (at && !*x->path && x->dirfd >= 0) { /* the descriptor is the program */
		text_put_fd_path(x->link, (unsigned int)x->dirfd);
		x->path = x->link;
	}
	return true;
}

static enum ipc_reason judge_program(struct program *x)
{
	uint64_t mask = signals_block(); /* the program is opened */
	shim_library(x->library);
	enum ipc_reason reason =
		is_in_reach(x->library) ? program_check(x->dirfd, x->path) : IPC_REASON_no_arena;
	signals_restore(mask);
	return reason;
}

/* What the next shim shall know: all but which library and arena it is. Returns the memory of the
 * environment, NULL: there is none, and it stays as it is. */
static void *put_environment(const struct program *x, struct environment e, size_t *size)
{
	e.shim = x->library;
	e.arena = shim.arena;
	*size = environment_size(*x->envp, &e);
	long memory = raw_syscall(__NR_mmap, NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);
	if (memory < 0 && memory >= -4096)
		return NULL;
	*x->envp = environment_write((void *)memory, *x->envp, &e);
	return (void *)memory;
}

/* Announces the exec and puts our variables into the new program's environment, where it can be entered. */
static void enter_exec(struct shim_thread *t, uint16_t call, struct hook_registers *r, struct pending *p)
{
	struct program x;
	p->followed = false;
	if (!find_program(call, r, &x))
		return;
	sample_now(t);
	uint32_t number = shim_number(t);
	char locks[LOCK_TEXT_MAX];
	lock_exec(t, locks);
	enum ipc_reason reason = judge_program(&x);
	p->followed = reason != IPC_REASON_none && ask(t, ARENA_ASK_FOLLOW);
	if (reason != IPC_REASON_none) {
		define_loss_of(t, reason, x.path, p->followed);
	} else if (environment_is_traced(*x.envp)) {
		define_loss(t, IPC_REASON_other_recorder, x.path);
	} else {
		const struct environment e = { .image = shim_image(t), .more = locks };
		define_loss(t, IPC_REASON_no_arena, x.path); /* should the new program not report */
		if (t->exec_memory) /* an earlier execve of the same vfork child failed */
			raw_syscall(__NR_munmap, t->exec_memory, t->exec_size);
		t->exec_memory = put_environment(&x, e, &t->exec_size);
	}
	struct ipc_event announced = event_now(t, call, IPC_MECH_process);
	announced.thread = number;
	announced.flags = IPC_F_ENTRY;
	shim_emit(t, &announced);
}

static const char *basename_of(const char *path)
{
	const char *name = path;
	for (const char *p = path; *p; p++)
		name = *p == '/' ? p + 1 : name;
	return name;
}

/* A child of the process, forked or not, has no image. */
static void pass_exec(struct shim_thread *t, uint16_t call, struct hook_registers *r, bool child)
{
	struct program x;
	if ((child && shim.alone) || !find_program(call, r, &x))
		return;
	enum ipc_reason reason = judge_program(&x);
	if (reason == IPC_REASON_none && !environment_is_traced(*x.envp)) {
		if (t->exec_memory) /* of an earlier execve of a vfork child */
			raw_syscall(__NR_munmap, t->exec_memory, t->exec_size);
		const struct environment e = { .image = child ? 0 : shim.ring.image };
		t->exec_memory = put_environment(&x, e, &t->exec_size);
	} else if (reason != IPC_REASON_none && shim_is_chosen(basename_of(x.path))) {
		shim_lost(reason);
	}
}

/* What it executes is entered, as a program whose start was not seen. */
void hook_enter_beside(uint16_t call, struct hook_registers *r)
{
	struct program x;
	size_t size;
	bool exec = !shim.alone && (call == IPC_CALL_execve || call == IPC_CALL_execveat);
	if (exec && shim.ready && find_program(call, r, &x) && !environment_is_traced(*x.envp) &&
	    judge_program(&x) == IPC_REASON_none)
		put_environment(&x, (struct environment){ 0 }, &size);
}

struct hook_environment hook_spawn_environment(struct shim_thread *t, const char *path, char *const *envp)
{
	struct hook_registers r = { { (long)path, 0, (long)envp }, __NR_execve };
	struct hook_environment made = { 0 };
	struct program x;
	if (shim.alone || !find_program(IPC_CALL_execve, &r, &x))
		return made;
	if (!shim.passes)
		shim_number(t);
	enum ipc_reason reason = judge_program(&x);
	if (reason == IPC_REASON_none && environment_is_traced(envp))
		reason = IPC_REASON_other_recorder;
	const struct environment own = { .image = shim_image(t), .spawned = true }, none = { 0 };
	if (reason == IPC_REASON_none)
		made.envp = put_environment(&x, shim.passes ? none : own, &made.size);
	else if (!shim.passes)
		define_loss(t, reason, path);
	else if (shim_is_chosen(basename_of(path)))
		shim_lost(reason);
	return made;
}

static void enter_exit(struct shim_thread *t, long code)
{
	sample_now(t);
	struct ipc_event e = event_now(t, IPC_CALL_exit_group, IPC_MECH_process);
	e.arg0 = (uint64_t)(code & 0xff) << 8;
	shim_emit(t, &e);
	if (!t->spawn_call && t->ring.control)
		hook_show(t, NULL);
}

/* Under these the time-stamp counter or a system call of ours faults: recording ends before they take effect,
 * until the thread executes a program, if it may. */
static void enter_sandbox(struct shim_thread *t, bool may_exec)
{
	if (may_exec)
		ask(t, ARENA_ASK_FOLLOW);
	define_loss(t, IPC_REASON_sandboxed, "");
	hook_show(t, NULL);
	shim.ready = false;
}

static void enter_filter(struct shim_thread *t, const struct hook_registers *r)
{
	const struct sock_fprog *program = (const struct sock_fprog *)r->arg[2];
	if (sandbox_stops_us(program))
		enter_sandbox(t, !sandbox_stops_exec(program));
	else if (sandbox_stops_questions(program))
		shim.no_diag = true;
	if (sandbox_stops_semctl(program))
		shim.no_semctl = true;
	if (sandbox_stops_sampling(program))
		sample_stop(t);
	if (sandbox_stops_ioctl(program))
		shim.no_ioctl = true;
	if (sandbox_stops_timers(program))
		shim.no_timer = true;
	if (sandbox_stops_copies(program))
		shim.no_copy = true;
}

static bool sets_filter(long nr, const struct hook_registers *r)
{
	return (nr == __NR_prctl && r->arg[0] == PR_SET_SECCOMP && r->arg[1] == SECCOMP_MODE_FILTER) ||
	       (nr == __NR_seccomp && r->arg[0] == SECCOMP_SET_MODE_FILTER);
}

/* Whether the call is one after which ours would be stopped. */
static bool forbids_us(long nr, const struct hook_registers *r)
{
	if (sets_filter(nr, r))
		return sandbox_stops_us((const struct sock_fprog *)r->arg[2]);
	if (nr == __NR_prctl && r->arg[0] == PR_SET_SYSCALL_USER_DISPATCH)
		return r->arg[1] != 0;
	return (nr == __NR_prctl && r->arg[0] == PR_SET_SECCOMP && r->arg[1] == SECCOMP_MODE_STRICT) ||
	       (nr == __NR_seccomp && r->arg[0] == SECCOMP_SET_MODE_STRICT);
}

/* A child has a copy of the process's memory, or shares it. */
static bool is_child(void)
{
	return !*shim.alive || (int32_t)raw_syscall(__NR_getpid) != shim.ring.pid;
}

void hook_pass(struct shim_thread *t, struct hook_registers *r)
{
	long nr = r->nr & ~HOOK_NO_RETURN;
	if (nr == __NR_execve || nr == __NR_execveat)
		pass_exec(t, nr == __NR_execve ? IPC_CALL_execve : IPC_CALL_execveat, r, is_child());
	else if (nr == __NR_exit_group && shim.introduced && !is_child())
		enter_exit(t, r->arg[0]);
	else if (forbids_us(nr, r))
		shim.passes = false;
	if (sets_filter(nr, r) && sandbox_stops_timers((const struct sock_fprog *)r->arg[2]))
		shim.no_timer = true;
}

static void enter_other(struct shim_thread *t, uint16_t call, const struct hook_registers *r)
{
	switch (call) {
	case IPC_CALL_exit:
		t->fast = false;
		if (t->spawn_call)
			break;
		sync_thread_end(t);
		ring_release(&shim.ring, &t->ring);
		break;
	case IPC_CALL_mlockall:
		ring_shrink(&shim.ring);
		break;
	case IPC_CALL_prctl_seccomp:
		if (r->arg[1] == SECCOMP_MODE_STRICT)
			enter_sandbox(t, false);
		else if (r->arg[1] == SECCOMP_MODE_FILTER)
			enter_filter(t, r);
		break;
	case IPC_CALL_seccomp:
		if (r->arg[0] == SECCOMP_SET_MODE_STRICT)
			enter_sandbox(t, false);
		else if (r->arg[0] == SECCOMP_SET_MODE_FILTER)
			enter_filter(t, r);
		break;
	case IPC_CALL_prctl_dispatch: /* system calls from outside its own code become signals */
		if (r->arg[1])
			enter_sandbox(t, true);
		break;
	case IPC_CALL_prctl_tsc:
		enter_sandbox(t, true);
		break;
	case IPC_CALL_userfaultfd:
		sample_stop(t);
		break;
	}
}

/* Which semaphore of its set the call is on, or the first of several. */
static uint32_t sem_number(uint16_t call, const struct hook_registers *r)
{
	const struct sembuf *operations = (const void *)r->arg[1];
	switch (call) {
	case IPC_CALL_semop:
	case IPC_CALL_semtimedop:
		return readable(operations, sizeof(*operations)) ? operations->sem_num : 0;
	case IPC_CALL_semctl_setval:
		return (uint32_t)r->arg[1];
	default:
		return 0;
	}
}

bool hook_enter(struct shim_thread *t, uint16_t call, struct hook_registers *r, struct pending *p,
		bool returns)
{
	const struct ipc_call *row = &ipc_calls[call];
	switch (IPC_OBJ_KIND(row->object)) {
	case IPC_OBJ_KIND_FD:
		if (call == IPC_CALL_io_uring_enter && r->arg[3] & IORING_ENTER_REGISTERED_RING)
			return false; /* its first argument is no descriptor */
		if (lock_is(row))
			return lock_enter(t, r->arg[0], p);
		if (!enter_descriptors(t, row, r, p))
			return false;
		if (row->verb == IPC_VERB_recv && socket_has_addresses(p->object))
			p->room = hook_room(call, r);
		if (row->asks && !queue_has_words(p->object))
			p->arg1 = (uint64_t)r->arg[row->asks - 1];
		return true;
	case IPC_OBJ_RET:
		if (row->effect == IPC_FX_COPIES)
			enter_copy(t, r, call, p);
		if (call == IPC_CALL_accept || call == IPC_CALL_accept4)
			p->room = hook_room(call, r);
		if (call == IPC_CALL_eventfd || call == IPC_CALL_eventfd2)
			p->arg1 = (uint32_t)r->arg[0];
		return true;
	case IPC_OBJ_KIND_MSGQ:
		p->arg0 = ipc_arg0((uint32_t)-1, 0);
		if (row->object != IPC_OBJ_MSGQ_RET)
			p->object = queue_object(t, IPC_MECH_sysv_msg, (int)r->arg[IPC_OBJ_ARG(row->object)]);
		return true;
	case IPC_OBJ_KIND_SEMS:
		p->arg0 = ipc_arg0((uint32_t)-1, 0);
		if (row->object != IPC_OBJ_SEMS_RET)
			p->object = sem_object(t, (int)r->arg[0], sem_number(call, r));
		return true;
	case IPC_OBJ_CHILD:
		return row->verb != IPC_VERB_spawn || enter_spawn(t, call, r, returns);
	case IPC_OBJ_SELF:
		if (row->verb == IPC_VERB_exit) {
			enter_exit(t, r->arg[0]);
			return false;
		}
		enter_exec(t, call, r, p);
		p->object = ipc_object(IPC_MECH_process, (uint32_t)raw_syscall(__NR_getpid));
		return true;
	case IPC_OBJ_NONE:
		enter_other(t, call, r);
		return false;
	case IPC_OBJ_KIND_SIGNAL:
		return signal_enter(call, r, p);
	case IPC_OBJ_KIND_PROCESS:
		p->arg0 = ipc_arg0((uint32_t)-1, 0);
		p->object = ipc_object(IPC_MECH_process_vm, (uint32_t)r->arg[IPC_OBJ_ARG(row->object)]);
		return ipc_object_id(p->object) != (uint32_t)raw_syscall(__NR_getpid); /* its own memory */
	case IPC_OBJ_KIND_WORD:
		return hook_enter_futex(t, call, r, p);
	case IPC_OBJ_KIND_MEMORY:
		hook_enter_region(t, call, r, p);
		return true;
	default:
		return true;
	}
}
