// SPDX-License-Identifier: BSD-2-Clause
/*
 * Futexes: the bare system calls, by syscall(2), on words in shared memory. What libc does for its mutexes
 * and their kin is not looked at (scan.c leaves its sites alone). Of the operations with priority inheritance
 * it is not told who woke whom: they are calls that moved nothing.
 */
#include <errno.h>
#include <linux/futex.h>

#include "futex.h"
#include "hooks.h"
#include "readable.h"
#include "region.h"

enum { PRIVATE = FUTEX_PRIVATE_FLAG };

enum kind { WAIT, WAKE, MOVE, WAKE_TWO, INHERITS };

/* What a call is about. */
struct words {
	enum kind kind;
	uintptr_t first, second; /* second: where waiters are moved to, or what WAKE_OP wakes too */
	uint64_t most;		 /* how many it wakes on the first */
};

uint64_t word_object(struct shim_thread *t, enum ipc_mechanism mechanism, uintptr_t address)
{
	struct region r;
	if (!region_find(t, address, &r))
		return 0;
	const struct ipc_def_object what = {
		.inode = r.inode,
		.generation = r.offset + (address - r.start),
		.dev_major = r.dev_major,
		.dev_minor = r.dev_minor,
		.region = r.object,
	};
	return descriptor_define_once(t, mechanism, &what, NULL, 0);
}

static bool describe_operation(const long arg[6], struct words *w)
{
	*w = (struct words){ .first = (uintptr_t)arg[0], .most = (uint32_t)arg[2] };
	if (arg[1] & PRIVATE)
		return false;
	switch (arg[1] & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		w->kind = WAIT;
		return true;
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
		w->kind = WAKE;
		return true;
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		w->kind = MOVE;
		w->second = (uintptr_t)arg[4];
		return true;
	case FUTEX_WAKE_OP:
		w->kind = WAKE_TWO;
		w->second = (uintptr_t)arg[4];
		return true;
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
	case FUTEX_UNLOCK_PI:
	case FUTEX_WAIT_REQUEUE_PI:
	case FUTEX_CMP_REQUEUE_PI:
		w->kind = INHERITS;
		return true;
	default:
		return false;
	}
}

/* Word `i` of those that futex_waitv and futex_requeue name, or 0: private. */
static uintptr_t named(const long arg[6], uint32_t i)
{
	const struct futex_waitv *word = (const struct futex_waitv *)arg[0] + i;
	return readable(word, sizeof(*word)) && !(word->flags & PRIVATE) ? (uintptr_t)word->uaddr : 0;
}

/* False: private. `woken`: which word of several ended the wait. */
static bool describe(uint16_t call, const long arg[6], uint32_t woken, struct words *w)
{
	switch (call) {
	case IPC_CALL_futex:
		return describe_operation(arg, w);
	case IPC_CALL_futex_wake:
		*w = (struct words){ .kind = WAKE, .first = (uintptr_t)arg[0], .most = (uint32_t)arg[2] };
		return !(arg[3] & PRIVATE);
	case IPC_CALL_futex_wait:
		*w = (struct words){ .kind = WAIT, .first = (uintptr_t)arg[0] };
		return !(arg[3] & PRIVATE);
	case IPC_CALL_futex_waitv:
		*w = (struct words){ .kind = WAIT, .first = named(arg, woken) };
		return true;
	default: /* futex_requeue */
		*w = (struct words){ .kind = MOVE,
				     .first = named(arg, 0),
				     .second = named(arg, 1),
				     .most = (uint32_t)arg[2] };
		return true;
	}
}

bool hook_enter_futex(struct shim_thread *t, uint16_t call, const struct hook_registers *r, struct pending *p)
{
	struct words w;
	if (!describe(call, r->arg, 0, &w))
		return false;
	p->arg0 = ipc_arg0((uint32_t)-1, 0);
	p->object = word_object(t, IPC_MECH_futex, w.first);
	if (w.second)
		p->object2 = word_object(t, IPC_MECH_futex, w.second);
	return p->object || call == IPC_CALL_futex_waitv;
}

static void tell(struct shim_thread *t, struct ipc_event e, uint64_t object, uint64_t units, uint16_t flags)
{
	e.object = object;
	e.arg1 = units;
	e.flags |= flags;
	shim_emit(t, &e);
}

/* Waiters of the first word may be woken by who wakes the second from now on. */
static void tell_moved(struct shim_thread *t, const struct pending *p)
{
	struct ipc_event e = hook_event(t, p, 0);
	if (!p->object2 || p->object2 == p->object)
		return;
	e.call = IPC_CALL_futex_moved;
	tell(t, e, p->object2, p->object, IPC_F_PART);
}

void hook_leave_futex(struct shim_thread *t, const struct pending *p, long result)
{
	struct words w;
	struct ipc_event e = hook_event(t, p, result);
	describe(p->call, p->arg, result > 0 ? (uint32_t)result : 0, &w);
	if (p->call == IPC_CALL_futex_waitv)
		e.object = word_object(t, IPC_MECH_futex, w.first);
	if (!e.object)
		return;
	/* What the call's row takes for a receive. */
	uint16_t second = ipc_calls[p->call].verb == IPC_VERB_recv ? IPC_F_SECOND : 0;
	uint64_t woken = result > 0 ? (uint64_t)result : 0, first = woken < w.most ? woken : w.most;
	switch (w.kind) {
	case WAIT:
		tell(t, e, e.object, result >= 0, 0);
		break;
	case WAKE:
		tell(t, e, e.object, woken, second);
		break;
	case MOVE: /* before its waiters can be woken over there */
	case WAKE_TWO:
		if (result > 0)
			tell_moved(t, p);
		tell(t, e, e.object, first, second);
		break;
	case INHERITS:
		tell(t, e, e.object, 0, 0);
		break;
	}
	if (w.kind == WAKE_TWO && woken > first && p->object2)
		tell(t, e, p->object2, woken - first, second | IPC_F_PART);
}
