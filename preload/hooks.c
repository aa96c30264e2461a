// SPDX-License-Identifier: BSD-2-Clause
/*
 * What happens before and after a system call of common/calls.def. Everything that depends on the call comes
 * from its row: the object, the size, the effect on descriptors.
 */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "action.h"
#include "hooks.h"
#include "lock.h"
#include "region.h"
#include "sample.h"

enum {
	NUMBERS = IPC_NUMBERS,
	SAME_STACK = 1 << 20,
	/* flags of sendto and recvfrom that change nothing about what is recorded */
	PLAIN_FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE | MSG_WAITALL,
};

uint8_t hook_filtered[NUMBERS];
static uint8_t first_row[NUMBERS]; /* by system-call number; 0: none */

void hook_init(void)
{
	ipc_index_calls(first_row, hook_filtered);
}

/* Whether some mechanism that the call may be on is looked at. */
static bool is_wanted(const struct ipc_call *row)
{
	return !shim.chooses || (ipc_call_mechanisms(row) & shim.mechanisms &&
				 (!lock_is(row) || shim_wants(IPC_MECH_file_lock)));
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
			return is_wanted(&ipc_calls[i]) ? i : 0;
	return 0;
}

void hook_show(struct shim_thread *t, const struct pending *p)
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
	c->flags = p->object || !p->object2 ? 0 : IPC_F_SECOND;
	c->arg0 = p->object ? p->arg0 : p->other0;
	c->arg1 = p->arg1;
	__atomic_store_n(&c->call, p->call, __ATOMIC_RELEASE);
}

/* A transfer whose return will never be seen: its thread was cancelled in it, or a handler jumped out of it
 * (perhaps the handler of the very signal that it sent). It may have moved bytes. */
static void tell_abandoned(struct shim_thread *t, const struct pending *p)
{
	const struct ipc_call *row = &ipc_calls[p->call];
	bool signals = row->verb == IPC_VERB_send && IPC_OBJ_KIND(row->object) == IPC_OBJ_KIND_SIGNAL;
	if (!p->object || (row->size == IPC_SIZE_NONE && !signals))
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

static bool on_alternate_stack(const stack_t *alternate, uintptr_t stack)
{
	return stack - (uintptr_t)alternate->ss_sp < alternate->ss_size;
}

/* Forgets the calls that were left by a longjmp or a cancellation: their frames are deeper than ours on the
 * same stack. (A handler's alternate stack may lie above, in a frame of the call that it interrupts.) */
static void drop_left(struct shim_thread *t, uintptr_t stack)
{
	while (t->depth) {
		const struct pending *top = &t->pending[t->depth - 1];
		stack_t alternate;
		if (top->stack > stack || stack - top->stack > SAME_STACK)
			break;
		if (!raw_syscall(__NR_sigaltstack, 0, &alternate) && alternate.ss_flags & SS_ONSTACK &&
		    !on_alternate_stack(&alternate, top->stack))
			break;
		tell_abandoned(t, top);
		t->depth--;
	}
}

/* Reserves the top of the stack of pending calls: at once, so that a handler's calls go above it. */
static struct pending *push(struct shim_thread *t, uintptr_t stack)
{
	if (t->depth == SHIM_PENDING)
		t->depth = 0;
	struct pending *p = &t->pending[arch_local_add(&t->depth, 1)];
	p->stack = stack;
	p->object = p->object2 = p->lock = p->arg0 = p->arg1 = 0;
	p->room = 0;
	p->unbound = p->late = false;
	p->plain = false;
	return p;
}

static void begin(struct shim_thread *t, struct pending *p, uint16_t call, const struct hook_registers *r)
{
	p->call = call;
	for (int i = 0; i < 6; i++)
		p->arg[i] = r->arg[i];
	shim_number(t);
	p->start = shim_now();
	hook_show(t, p);
	t->fast = t->number && t->ring.control && !t->spawn_call && !t->beside && !shim.sample_interval;
}

/* Whether the bytes of a stream's transfer are looked at; the other way they may not be. */
static inline bool is_looked_at(uint8_t kind, uint64_t nr)
{
	bool receives = ipc_calls[hook_filtered[nr]].verb == IPC_VERB_recv;
	return kind < DESCRIPTOR_LOOKED || kind >> (receives ? DESCRIPTOR_RECEIVES : DESCRIPTOR_SENDS) & 1;
}

/* The common case in few instructions: a transfer on a descriptor that is known, nothing else going on. */
static inline bool enter_fast(struct shim_thread *t, const struct hook_registers *r, uintptr_t stack)
{
	uint64_t nr = (uint64_t)r->nr;
	uint32_t fd = (uint32_t)r->arg[0];
	struct arena_control *c = t->ring.control; /* NULL after a claim in vain */
	if (!t->fast || !c || t->depth || nr >= NUMBERS || !hook_filtered[nr] || fd >= DESCRIPTORS ||
	    !*shim.alive || !running())
		return false;
	uint8_t kind = descriptor_kinds[fd];
	if (__builtin_expect(kind != DESCRIPTOR_STREAM, 0) && is_looked_at(kind, nr))
		return false;
	if (nr - __NR_sendto < 2 && r->arg[3] & ~PLAIN_FLAGS)
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
	e.tag = 0;
	shim_emit(t, &e);
	if (t->ring.control)
		__atomic_store_n(&t->ring.control->call, IPC_CALL_none, __ATOMIC_RELAXED);
	t->depth = 0;
}

/* What the program says of its handlers goes its way whether recording goes on or not. */
static void enter_action(struct shim_thread *t, struct hook_registers *r, uintptr_t stack)
{
	struct pending *p = push(t, stack);
	if (!action_enter(r, stack, p))
		t->depth = (uint32_t)(p - t->pending);
}

/* The general case; apart, so that the fast path saves no registers for it. */
static __attribute__((noinline)) void enter_slow(struct shim_thread *t, struct hook_registers *r,
						 uintptr_t stack)
{
	if (is_beside(t)) {
		hook_enter_beside(find_row(r, r->nr & ~HOOK_NO_RETURN), r);
		return;
	}
	if ((r->nr & ~HOOK_NO_RETURN) == __NR_rt_sigaction) {
		if (shim_wants(IPC_MECH_signal) || r->arg[0] == SIGNAL_CANCEL) /* see cancel.c */
			enter_action(t, r, stack);
		return;
	}
	if (!recording()) {
		if (shim.passes && !shim_has_ended())
			hook_pass(t, r);
		return;
	}
	if (t->depth)
		drop_left(t, stack);
	uint16_t call = find_row(r, r->nr & ~HOOK_NO_RETURN);
	if (!call ||
	    (IPC_OBJ_KIND(ipc_calls[call].object) == IPC_OBJ_KIND_MEMORY && !region_concerned(call, r)))
		return;
	if (shim.alone && shim_is_vfork_child(t))
		return;
	if (t->spawn_call) /* a vfork child first makes itself known: it must not change what we remember */
		shim_number(t);
	struct pending *p = push(t, stack);
	if (hook_enter(t, call, r, p, !(r->nr & HOOK_NO_RETURN)))
		begin(t, p, call, r);
	else
		t->depth = (uint32_t)(p - t->pending);
}

/* A child without thread-local storage is counted once, as it ends; what it executes is entered. */
static __attribute__((noinline)) void enter_without_storage(struct hook_registers *r)
{
	long nr = r->nr & ~HOOK_NO_RETURN;
	if (shim.ready && (nr == __NR_exit_group || nr == __NR_exit))
		shim_lost(IPC_REASON_spawn_unseen);
	hook_enter_beside(find_row(r, nr), r);
}

void hook_entry(struct hook_registers *r, uintptr_t stack)
{
	struct shim_thread *t = shim_here();
	if (__builtin_expect(!t, 0))
		enter_without_storage(r);
	else if (__builtin_expect(!enter_fast(t, r, stack), 0))
		enter_slow(t, r, stack);
}

/* Whether the call that returns, of this number and first argument, is another one than `p`, which then was
 * left by a jump. */
static inline bool is_other_call(const struct pending *p, long nr, long first)
{
	if (nr == HOOK_ANY_CALL)
		return false;
	return ipc_calls[p->call].nr != nr || (hook_filtered[nr] && (uint32_t)first != (uint32_t)p->arg0);
}

static __attribute__((noinline)) void return_slow(struct shim_thread *t, long result, uintptr_t stack,
						  long nr, long first)
{
	uint32_t i = t->depth;
	while (i && t->pending[i - 1].stack != stack)
		i--;
	if (!i)
		return; /* a filtered call in a signal handler: what is pending is the interrupted call */
	const struct pending *p = &t->pending[i - 1];
	if (p->call == IPC_CALL_rt_sigaction && !is_other_call(p, nr, first)) {
		action_leave(p, result);
		t->depth = i - 1;
		return;
	}
	if (recording())
		shim_number(t); /* a fork child first makes itself known */
	if (recording() && is_other_call(p, nr, first))
		tell_abandoned(t, p);
	else if (recording())
		hook_leave(t, p, result);
	t->depth = i - 1;
	hook_show(t, i > 1 ? &t->pending[i - 2] : NULL);
	sample_when_due(t);
}

void hook_return(long result, uintptr_t stack, long nr, long first)
{
	struct shim_thread *t = shim_here();
	if (!t)
		return;
	const struct pending *p = &t->pending[0];
	if (__builtin_expect(t->depth == 1 && p->stack == stack && p->plain && !is_other_call(p, nr, first) &&
				     t->fast && *shim.alive && running(),
			     1))
		return_fast(t, p, result);
	else
		return_slow(t, result, stack, nr, first);
}

void hook_enter_library(struct shim_thread *t, uint16_t call, uint64_t object, uintptr_t frame)
{
	if (t->depth)
		drop_left(t, frame);
	struct pending *p = push(t, frame);
	p->call = call;
	p->object = object;
	p->arg0 = ipc_arg0((uint32_t)-1, 0);
	p->start = shim_now();
	hook_show(t, p);
}

bool hook_leave_library(struct shim_thread *t, uintptr_t frame, struct pending *p)
{
	uint32_t i = t->depth;
	while (i && t->pending[i - 1].stack != frame)
		i--;
	if (!i)
		return false;
	*p = t->pending[i - 1];
	t->depth = i - 1;
	hook_show(t, i > 1 ? &t->pending[i - 2] : NULL);
	sample_when_due(t);
	return true;
}

void hook_late(struct hook_registers *r, uintptr_t stack, long nr)
{
	struct shim_thread *t = shim_here();
	if (!t)
		return;
	struct hook_registers entry = *r;
	entry.nr = nr;
	hook_entry(&entry, stack);
	struct pending *p = t->depth ? &t->pending[t->depth - 1] : NULL;
	if (!p || p->stack != stack)
		return;
	p->late = true;
	hook_return(r->nr, stack, nr, r->arg[0]);
}
