// SPDX-License-Identifier: BSD-2-Clause
/*
 * What happens before and after a system call of common/calls.def. Everything that depends on the call comes
 * from its row: the object, the size, the effect on descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "patch.h"
#include "program.h"
#include "shim.h"
#include "tables.h"

enum { NUMBERS = 512, SAME_STACK = 1 << 20, CLONE3_FLAGS_SIZE = 8 };

uint8_t hook_filtered[NUMBERS];
static uint8_t first_row[NUMBERS]; /* by system-call number; 0: none */

static bool is_plain_transfer(const struct ipc_call *row)
{
	return row->size == IPC_SIZE_RESULT && row->object == IPC_OBJ_FD(0) && row->object2 == IPC_OBJ_NONE;
}

void hook_init(void)
{
	for (int i = IPC_CALLS - 1; i > 0; i--) {
		const struct ipc_call *row = &ipc_calls[i];
		if (row->nr >= NUMBERS)
			continue;
		first_row[row->nr] = (uint8_t)i;
		hook_filtered[row->nr] = is_plain_transfer(row) ? (uint8_t)i : 0;
	}
}

/* The row of a system call with these arguments, or 0. */
static uint16_t find_row(const struct hook_registers *r, long nr)
{
	if (nr < 0 || nr >= NUMBERS || !first_row[nr])
		return 0;
	uint16_t i = first_row[nr];
	for (; i < IPC_CALLS && ipc_calls[i].nr == nr; i++)
		if (ipc_calls[i].op_arg == IPC_NO_OP ||
		    (uint32_t)r->arg[ipc_calls[i].op_arg] == ipc_calls[i].op_value)
			return i;
	return 0;
}

/* What stands in the control block while the thread is inside the call, for when it dies there. */
static void show_call(struct shim_thread *t, const struct pending *p)
{
	struct arena_control *c = t->ring.control;
	if (!c)
		return;
	__atomic_store_n(&c->call, IPC_CALL_none, __ATOMIC_RELAXED);
	if (!p)
		return;
	c->thread = t->spawn_call ? t->spawn_number : t->number;
	c->start = p->start;
	c->object = p->object ? p->object : p->object2;
	c->flags = p->object ? 0 : IPC_F_SECOND;
	c->arg0 = p->object ? p->arg0 : p->other0;
	c->arg1 = p->arg1;
	__atomic_store_n(&c->call, p->call, __ATOMIC_RELEASE);
}

/* A transfer whose return will never be seen: its thread was cancelled in it, or a handler jumped out of it.
 * It may have moved bytes. */
static void tell_abandoned(struct shim_thread *t, const struct pending *p)
{
	if (!p->object || ipc_calls[p->call].size != IPC_SIZE_RESULT)
		return;
	struct ipc_event e = { .start = p->start,
			       .object = p->object,
			       .arg0 = p->arg0,
			       .arg1 = p->arg1,
			       .thread = shim_number(t),
			       .call = p->call,
			       .flags = IPC_F_INSIDE };
	shim_emit(t, &e);
}

/* Reserves the top of the stack of pending calls: at once, so that a handler's calls go above it. A frame
 * deeper than ours on the same stack is gone: its call was left by a longjmp, or by a cancellation. */
static struct pending *push(struct shim_thread *t, uintptr_t stack)
{
	while (t->depth) {
		const struct pending *top = &t->pending[t->depth - 1];
		if (top->stack > stack || stack - top->stack > SAME_STACK)
			break;
		tell_abandoned(t, top);
		t->depth--;
	}
	if (t->depth == SHIM_PENDING)
		t->depth = 0;
	struct pending *p = &t->pending[arch_local_add(&t->depth, 1)];
	p->stack = stack;
	p->object = p->object2 = p->arg0 = p->arg1 = 0;
	p->plain = false;
	return p;
}

static void begin(struct shim_thread *t, struct pending *p, uint16_t call, const struct hook_registers *r)
{
	p->call = call;
	for (int i = 0; i < 4; i++)
		p->arg[i] = r->arg[i];
	shim_number(t);
	p->start = shim_now();
	show_call(t, p);
	t->fast = t->number && t->ring.control && !t->spawn_call;
}

static struct ipc_event event_of(struct shim_thread *t, const struct pending *p, long result)
{
	return (struct ipc_event){ .start = p->start,
				   .object = p->object,
				   .result = result,
				   .arg0 = p->arg0,
				   .arg1 = p->arg1,
				   .thread = shim_number(t),
				   .call = p->call };
}

static struct ipc_event event_now(struct shim_thread *t, uint16_t call, int mechanism)
{
	uint32_t number = shim_number(t);
	return (struct ipc_event){ .start = shim_now(),
				   .object = ipc_object(mechanism, (uint32_t)raw_syscall(__NR_getpid)),
				   .thread = number,
				   .call = call };
}

/* Entry of a call on descriptors: false where no end of a channel takes part. */
static bool enter_descriptors(struct shim_thread *t, const struct ipc_call *row,
			      const struct hook_registers *r, struct pending *p)
{
	struct descriptor d;
	long fd = r->arg[IPC_OBJ_ARG(row->object)];
	bool closes = row->effect == IPC_FX_CLOSES;
	if (closes ? descriptor_known((int)fd, &d) : descriptor_find(t, fd, &d)) {
		p->object = d.object;
		p->arg0 = ipc_arg0((uint32_t)fd, d.flags);
	}
	if (closes)
		descriptor_forget((int)fd);
	if (row->object2) {
		long other = r->arg[IPC_OBJ_ARG(row->object2)];
		if (descriptor_find(t, other, &d)) {
			p->object2 = d.object;
			p->other0 = ipc_arg0((uint32_t)other, d.flags);
		}
	}
	return p->object || p->object2;
}

/* Entry of a call that copies a descriptor: what is copied, and what dup2 is about to close. */
static void enter_copy(const struct hook_registers *r, uint16_t call, struct pending *p)
{
	struct descriptor d;
	if (descriptor_known((int)r->arg[0], &d)) {
		p->object = d.object;
		p->arg0 = ipc_arg0(0, d.flags);
	}
	bool replaces = call == IPC_CALL_dup2 || call == IPC_CALL_dup3;
	if (replaces && (int)r->arg[0] != (int)r->arg[1] && descriptor_known((int)r->arg[1], &d)) {
		p->object2 = d.object;
		p->other0 = ipc_arg0((uint32_t)r->arg[1], d.flags);
	}
}

/* Entry of fork, vfork, clone, clone3. True: the return will be seen too. */
static bool enter_spawn(struct shim_thread *t, uint16_t call, const struct hook_registers *r, bool returns)
{
	uint64_t flags = 0;
	if (call == IPC_CALL_clone)
		flags = (uint64_t)r->arg[0];
	else if (call == IPC_CALL_clone3 && r->arg[0] && r->arg[1] >= CLONE3_FLAGS_SIZE)
		flags = *(const uint64_t *)r->arg[0];
	if (flags & CLONE_THREAD)
		return false;
	shim_number(t);
	if (returns && !(flags & CLONE_VM))
		return true;
	t->fast = false;
	t->spawn_call = call;
	t->spawn_pid = 0;
	t->spawn_start = shim_now();
	return false;
}

static void define_loss(struct shim_thread *t, enum ipc_reason reason, const char *path)
{
	struct ipc_def def = { .time = shim_now(), .thread = shim_number(t), .call = IPC_DEF_LOSS };
	def.loss = (struct ipc_def_loss){ .reason = reason,
					  .pid = (int32_t)raw_syscall(__NR_getpid),
					  .count = 1 };
	size_t length = 0;
	while (length < SHIM_PATH && path[length])
		length++;
	shim_define(t, &def, path, length);
}

/* Announces the exec and puts our variables into the new program's environment, where it can be entered. */
static void enter_exec(struct shim_thread *t, uint16_t call, struct hook_registers *r)
{
	bool at = call == IPC_CALL_execveat;
	const char *path = (const char *)r->arg[at ? 1 : 0];
	long *envp = &r->arg[at ? 3 : 2];
	if (!path)
		return;
	uint32_t number = shim_number(t);
	enum ipc_reason reason = program_check(at ? (int)r->arg[0] : AT_FDCWD, path);
	if (reason != IPC_REASON_none) {
		define_loss(t, reason, path);
	} else if (environment_is_traced((char *const *)*envp)) {
		define_loss(t, IPC_REASON_other_recorder, path);
	} else {
		const struct environment e = { shim.path, shim.arena, shim_image(t) };
		size_t size = environment_size((char *const *)*envp, &e);
		long memory = raw_syscall(__NR_mmap, NULL, size, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory > 0 || memory < -4096) {
			if (t->exec_memory) /* an earlier execve of the same vfork child failed */
				raw_syscall(__NR_munmap, t->exec_memory, t->exec_size);
			t->exec_memory = (void *)memory;
			t->exec_size = size;
			*envp = (long)environment_write((void *)memory, (char *const *)*envp, &e);
		}
	}
	struct ipc_event announced = event_now(t, call, IPC_MECH_process);
	announced.thread = number;
	announced.flags = IPC_F_ENTRY;
	shim_emit(t, &announced);
}

static void enter_exit(struct shim_thread *t, long code)
{
	struct ipc_event e = event_now(t, IPC_CALL_exit_group, IPC_MECH_process);
	e.arg0 = (uint64_t)(code & 0xff) << 8;
	shim_emit(t, &e);
	if (!t->spawn_call && t->ring.control)
		show_call(t, NULL);
}

/* Under these the time-stamp counter faults, so recording ends before they take effect. */
static void enter_sandbox(struct shim_thread *t)
{
	define_loss(t, IPC_REASON_sandboxed, "");
	show_call(t, NULL);
	shim.ready = false;
}

static void enter_other(struct shim_thread *t, uint16_t call, const struct hook_registers *r)
{
	switch (call) {
	case IPC_CALL_exit:
		t->fast = false;
		if (!t->spawn_call)
			ring_release(&shim.ring, &t->ring);
		break;
	case IPC_CALL_mlockall:
		ring_shrink(&shim.ring);
		break;
	case IPC_CALL_prctl_seccomp:
		if (r->arg[1] != SECCOMP_MODE_STRICT)
			break;
		/* fall through */
	case IPC_CALL_prctl_tsc:
	case IPC_CALL_seccomp_strict:
		enter_sandbox(t);
		break;
	}
}

/* True: hook_return has something to do. */
static bool enter(struct shim_thread *t, uint16_t call, struct hook_registers *r, struct pending *p,
		  bool returns)
{
	const struct ipc_call *row = &ipc_calls[call];
	switch (IPC_OBJ_KIND(row->object)) {
	case IPC_OBJ_KIND_FD:
		p->arg1 = row->asks ? (uint64_t)r->arg[row->asks - 1] : 0;
		return enter_descriptors(t, row, r, p);
	case IPC_OBJ_RET:
		if (row->effect == IPC_FX_COPIES)
			enter_copy(r, call, p);
		return true;
	case IPC_OBJ_CHILD:
		return row->verb != IPC_VERB_spawn || enter_spawn(t, call, r, returns);
	case IPC_OBJ_SELF:
		if (row->verb == IPC_VERB_exit) {
			enter_exit(t, r->arg[0]);
			return false;
		}
		enter_exec(t, call, r);
		p->object = ipc_object(IPC_MECH_process, (uint32_t)raw_syscall(__NR_getpid));
		return true;
	case IPC_OBJ_NONE:
		enter_other(t, call, r);
		return false;
	default:
		return true;
	}
}

static bool recording(void)
{
	return shim.ready && !atomic_load_explicit(&shim.ring.header->stop, memory_order_relaxed);
}

/* The common case in few instructions: a transfer on a descriptor that is known, nothing else going on. */
static inline bool enter_fast(struct shim_thread *t, const struct hook_registers *r, uintptr_t stack)
{
	uint64_t nr = (uint64_t)r->nr;
	uint32_t fd = (uint32_t)r->arg[0];
	struct arena_control *c = t->ring.control; /* NULL after a claim in vain */
	if (!t->fast || !c || t->depth || nr >= NUMBERS || !hook_filtered[nr] || fd >= DESCRIPTORS ||
	    descriptor_kinds[fd] != DESCRIPTOR_CHANNEL || !*shim.alive || !recording())
		return false;
	t->depth = 1; /* from here on a handler's calls go above */
	atomic_signal_fence(memory_order_seq_cst);
	const struct ipc_call *row = &ipc_calls[hook_filtered[nr]];
	const struct descriptor *d = descriptor_entry(fd);
	struct pending *p = &t->pending[0];
	p->stack = stack;
	p->call = hook_filtered[nr];
	p->plain = true;
	p->object = d->object;
	p->arg0 = ipc_arg0(fd, d->flags);
	p->arg1 = row->asks ? (uint64_t)r->arg[row->asks - 1] : 0;
	c->thread = t->number;
	c->object = p->object;
	c->flags = 0;
	c->arg0 = p->arg0;
	c->arg1 = p->arg1;
	c->start = p->start = shim_now();
	__atomic_store_n(&c->call, p->call, __ATOMIC_RELEASE);
	return true;
}

static inline void return_fast(struct shim_thread *t, const struct pending *p, long result)
{
	uint16_t flags = 0;
	if (__builtin_expect(result <= 0, 0)) {
		if (result == -EAGAIN)
			flags = IPC_F_NONBLOCK;
		else if (result == 0 && ipc_calls[p->call].verb == IPC_VERB_recv &&
			 (p->arg1 || !ipc_calls[p->call].asks))
			flags = IPC_F_EOF;
	}
	struct ipc_event e;
	e.start = p->start;
	e.object = p->object;
	e.result = result;
	e.arg0 = p->arg0;
	e.arg1 = p->arg1;
	e.thread = t->number;
	e.call = p->call;
	e.flags = flags;
	shim_emit(t, &e);
	if (t->ring.control)
		__atomic_store_n(&t->ring.control->call, IPC_CALL_none, __ATOMIC_RELAXED);
	t->depth = 0;
}

/* The general case; apart, so that the fast path saves no registers for it. */
static __attribute__((noinline)) void enter_slow(struct shim_thread *t, struct hook_registers *r,
						 uintptr_t stack)
{
	if (!recording())
		return;
	uint16_t call = find_row(r, r->nr & ~HOOK_NO_RETURN);
	if (!call)
		return;
	if (t->spawn_call) /* a vfork child first makes itself known: it must not change what we remember */
		shim_number(t);
	struct pending *p = push(t, stack);
	if (enter(t, call, r, p, !(r->nr & HOOK_NO_RETURN)))
		begin(t, p, call, r);
	else
		t->depth = (uint32_t)(p - t->pending);
}

void hook_entry(struct hook_registers *r, uintptr_t stack)
{
	struct shim_thread *t = &shim_self;
	if (__builtin_expect(!enter_fast(t, r, stack), 0))
		enter_slow(t, r, stack);
}

static void return_transfer(struct shim_thread *t, const struct pending *p, const struct ipc_call *row,
			    long result)
{
	struct ipc_event e = event_of(t, p, result);
	if (result == -EAGAIN)
		e.flags |= IPC_F_NONBLOCK;
	if (p->object) {
		if (result == 0 && row->verb == IPC_VERB_recv && (p->arg1 || !row->asks))
			e.flags |= IPC_F_EOF;
		if (p->call == IPC_CALL_tee)
			e.flags |= IPC_F_PEEK;
		shim_emit(t, &e);
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
	struct ipc_event e = event_of(t, p, fd);
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

static void return_open(struct shim_thread *t, const struct pending *p, const struct ipc_call *row, long fd)
{
	struct descriptor d;
	if (fd < 0)
		return;
	if (row->effect == IPC_FX_COPIES && p->arg[0] == fd)
		return;
	descriptor_forget(fd);
	if (p->object2)
		tell_close(t, p->object2, p->other0);
	if (descriptor_find(t, fd, &d))
		tell_open(t, p, fd, &d, 0);
}

static void return_pair(struct shim_thread *t, const struct pending *p, long result)
{
	if (result)
		return;
	const int *fds = (const int *)p->arg[0];
	for (int i = 0; i < 2; i++) {
		struct descriptor d;
		descriptor_forget(fds[i]);
		if (descriptor_find(t, fds[i], &d))
			tell_open(t, p, fds[i], &d, i ? IPC_F_PART : 0);
	}
}

static void return_range(struct shim_thread *t, const struct pending *p, long result)
{
	if (result || p->arg[2] & CLOSE_RANGE_CLOEXEC)
		return;
	uint32_t last = (uint32_t)p->arg[1] < DESCRIPTORS ? (uint32_t)p->arg[1] : DESCRIPTORS - 1;
	uint16_t part = 0;
	for (uint32_t fd = (uint32_t)p->arg[0]; fd <= last; fd++) {
		struct descriptor d;
		if (descriptor_known(fd, &d)) {
			struct ipc_event e = event_of(t, p, 0);
			e.object = d.object;
			e.arg0 = ipc_arg0(fd, d.flags);
			e.flags = part;
			shim_emit(t, &e);
			part = IPC_F_PART;
		}
		descriptor_forget(fd);
	}
}

static void return_spawn(struct shim_thread *t, const struct pending *p, long result)
{
	if (result <= 0)
		return; /* failed, or in the child: shim_number() introduces that */
	struct ipc_event e = event_of(t, p, result);
	e.object = ipc_object(IPC_MECH_process, (uint64_t)result);
	e.arg0 = 0;
	shim_emit(t, &e);
}

/* wait4 and waitid tell of children that ended; stops and continuations are not the end of a process, and
 * with WNOWAIT the child is still there to be waited for. */
static void return_wait(struct shim_thread *t, const struct pending *p, long result)
{
	struct ipc_event e = event_of(t, p, result);
	e.arg0 = (uint64_t)-1;
	if (result < 0 || (result == 0 && p->call == IPC_CALL_wait4))
		return;
	if (p->call == IPC_CALL_wait4) {
		const int *status = (const int *)p->arg[1];
		if (status && !WIFEXITED(*status) && !WIFSIGNALED(*status))
			return;
		if (status)
			e.arg0 = (uint64_t)*status;
	} else {
		const siginfo_t *info = (const siginfo_t *)p->arg[2];
		if (!info || !info->si_pid || p->arg[3] & WNOWAIT)
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
	struct ipc_event e = event_of(t, p, result);
	shim_emit(t, &e);
	if (t->exec_memory)
		raw_syscall(__NR_munmap, t->exec_memory, t->exec_size);
	t->exec_memory = NULL;
}

static void dispatch_return(struct shim_thread *t, const struct pending *p, long result)
{
	const struct ipc_call *row = &ipc_calls[p->call];
	switch (IPC_OBJ_KIND(row->object)) {
	case IPC_OBJ_KIND_FD:
		return_transfer(t, p, row, result);
		break;
	case IPC_OBJ_RET:
		return_open(t, p, row, result);
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

static __attribute__((noinline)) void return_slow(struct shim_thread *t, long result, uintptr_t stack)
{
	uint32_t i = t->depth;
	while (i && t->pending[i - 1].stack != stack)
		i--;
	if (!i)
		return; /* a filtered call in a signal handler: what is pending is the interrupted call */
	const struct pending *p = &t->pending[i - 1];
	shim_number(t); /* a fork child first makes itself known */
	if (recording())
		dispatch_return(t, p, result);
	t->depth = i - 1;
	show_call(t, i > 1 ? &t->pending[i - 2] : NULL);
}

void hook_return(long result, uintptr_t stack)
{
	struct shim_thread *t = &shim_self;
	const struct pending *p = &t->pending[0];
	if (__builtin_expect(t->depth == 1 && p->stack == stack && p->plain && t->fast && *shim.alive &&
				     recording(),
			     1))
		return_fast(t, p, result);
	else
		return_slow(t, result, stack);
}
