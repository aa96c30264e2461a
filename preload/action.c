// SPDX-License-Identifier: BSD-2-Clause
/*
 * Handlers of the program and the stubs in their places. A stub stands for one handler, whatever signals it
 * handles, and for ever: so no two threads can disagree about it, and neither a fork nor a vfork child, whose
 * kernel table is its own, has anything to change.
 *
 * The kernel is asked for SA_SIGINFO with every handler: it then says who sent the signal, in room that it
 * leaves on the stack anyway, and calls the handler with the same arguments. Handlers that did not ask for it
 * have the stubs of the upper half, so that their flags can be told as they were.
 */
#include "action.h"
#include "handlers.h"
#include "hooks.h"
#include "readable.h"

enum {
	HALF = ARCH_HANDLERS / 2,
	LOCALS = 512, /* bytes above a call's frame that are surely of the stack */
	ROOM = 1536,  /* bytes that recording takes on a handler's stack */
};

#define RESET_HAND 0x80000000UL /* SA_RESETHAND, which is signed */

_Atomic uintptr_t action_handlers[ARCH_HANDLERS];

/* By signal: handled once, without SA_SIGINFO: the kernel keeps the flags when it forgets the handler. */
static _Atomic uint64_t once;

static uintptr_t stub_of(uintptr_t handler, bool plain)
{
	for (int i = plain ? HALF : 0; i < (plain ? ARCH_HANDLERS : HALF); i++) {
		uintptr_t known = atomic_load(&action_handlers[i]);
		if (!known && atomic_compare_exchange_strong(&action_handlers[i], &known, handler))
			known = handler;
		if (known == handler)
			return (uintptr_t)stub_handlers + (uintptr_t)i * ARCH_HANDLER_STUB;
	}
	return 0;
}

/* Which stub it is, or ARCH_HANDLERS and more: none. */
static uintptr_t stub_number(uintptr_t handler)
{
	return (handler - (uintptr_t)stub_handlers) / ARCH_HANDLER_STUB;
}

static uint64_t bit_of(int number)
{
	return 1ULL << (number - 1);
}

/* A vfork child has this memory, but handlers of its own. */
static bool is_vfork_child(void)
{
	return shim_self.spawn_call && recording() && (int32_t)raw_syscall(__NR_getpid) != shim.ring.pid;
}

static void set_once(int number, bool plain_once)
{
	if (is_vfork_child())
		return;
	if (plain_once)
		atomic_fetch_or(&once, bit_of(number));
	else if (atomic_load(&once) & bit_of(number))
		atomic_fetch_and(&once, ~bit_of(number));
}

/* Replaces what the program says by our own copy. */
static void set(struct hook_registers *r, struct pending *p)
{
	p->action = *(const struct arch_action *)r->arg[1];
	struct arch_action *a = &p->action;
	bool plain = !(a->flags & SA_SIGINFO), real = a->handler > (uintptr_t)SIG_IGN;
	bool ours = stub_number(a->handler) < ARCH_HANDLERS; /* it learned that behind our back */
	uintptr_t stub = real && !ours ? stub_of(a->handler, plain) : 0;
	set_once((int)r->arg[0], stub && plain && a->flags & RESET_HAND);
	if (real && !ours && !stub && recording())
		define_loss(&shim_self, IPC_REASON_handler, "");
	if (!stub)
		return;
	a->handler = stub;
	a->flags |= SA_SIGINFO;
	r->arg[1] = (long)a;
}

bool action_enter(struct hook_registers *r, uintptr_t stack, struct pending *p)
{
	long number = (int)r->arg[0];
	uintptr_t action = (uintptr_t)r->arg[1];
	bool libc_local = action - stack < LOCALS;
	if (number < 1 || number > SIGNALS || signal_is_libc((int)number) || r->arg[3] != sizeof(uint64_t) ||
	    number == SIGKILL || number == SIGSTOP)
		return false;
	if (action && !libc_local && !readable((const void *)action, sizeof(struct arch_action)))
		return false;
	p->call = IPC_CALL_rt_sigaction;
	p->arg[0] = number;
	p->arg[2] = r->arg[2];
	p->once = atomic_load(&once) & bit_of((int)number);
	if (action)
		set(r, p);
	return r->arg[2] || r->arg[1] != (long)action;
}

void action_leave(const struct pending *p, long result)
{
	struct arch_action *old = (void *)p->arg[2];
	if (result || !old)
		return;
	uintptr_t i = stub_number(old->handler);
	bool plain = false;
	if (i < ARCH_HANDLERS) {
		old->handler = atomic_load(&action_handlers[i]);
		plain = i >= HALF;
	} else if (old->handler == (uintptr_t)SIG_DFL && old->flags & RESET_HAND) {
		plain = p->once;
	}
	if (plain)
		old->flags &= ~(uint64_t)SA_SIGINFO;
}

/* A handler's own stack may be so small that only the program's handler has room there. */
static bool has_room(const stack_t *alternate)
{
	uintptr_t room = (uintptr_t)__builtin_frame_address(0) - (uintptr_t)alternate->ss_sp;
	return room >= alternate->ss_size || room >= ROOM;
}

void action_delivered(int number, const siginfo_t *info, const ucontext_t *context)
{
	struct shim_thread *t = &shim_self;
	if (!recording())
		return;
	if (!has_room(&context->uc_stack)) {
		shim_lost(IPC_REASON_handler);
		return;
	}
	uint32_t thread = shim_number(t);
	struct ipc_event e = { .start = shim_now(),
			       .arg0 = ipc_arg0((uint32_t)-1, 0),
			       .thread = thread,
			       .call = IPC_CALL_handler };
	const struct signal_told told = signal_told(number, info);
	signal_received(t, &e, &told);
}
