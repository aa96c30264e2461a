/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Futexes on shared memory: an event whose object has the word's address for a number. Which memory that is
 * knows the loader (raw.h), which forgets what is not shared after all.
 */
#ifndef IPC_BPF_FUTEX_H
#define IPC_BPF_FUTEX_H

#include "frames.h"
#include "region.h"

#include <linux/futex.h>

enum futex_kind { FUTEX_WAITS, FUTEX_WAKES, FUTEX_MOVES, FUTEX_WAKES_TWO, FUTEX_INHERITS, FUTEX_OTHER };

struct user_waitv {
	__u64 value, address;
	__u32 flags, reserved;
};

static __always_inline enum futex_kind futex_kind_of(__u32 op)
{
	switch (op & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		return FUTEX_WAITS;
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
		return FUTEX_WAKES;
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		return FUTEX_MOVES;
	case FUTEX_WAKE_OP:
		return FUTEX_WAKES_TWO;
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
	case FUTEX_UNLOCK_PI:
	case FUTEX_WAIT_REQUEUE_PI:
	case FUTEX_CMP_REQUEUE_PI:
		return FUTEX_INHERITS;
	}
	return FUTEX_OTHER;
}

static __u64 word_object(__u64 address)
{
	const struct task_state *process = process_state();
	_Bool shared = process && touches(process, address, 1);

	return shared ? ipc_object(IPC_MECH_futex, address) : 0;
}

/* Word `i` of those in the list that futex_waitv and futex_requeue are given. */
static __u64 listed_object(__u64 list, __u32 i)
{
	struct user_waitv word;

	if (bpf_probe_read_user(&word, sizeof(word), (void *)(list + i * sizeof(word))) ||
	    word.flags & FUTEX_PRIVATE_FLAG)
		return 0;
	return word_object(word.address);
}

/* Returns the kind; which words, and how many it may wake on the first one, in `t`. */
static __always_inline enum futex_kind describe_futex(struct task_state *t, const struct pt_regs *regs,
						      __u32 call)
{
	__u64 first = regs_arg(regs, 0);
	__u32 op = call == IPC_CALL_futex ? regs_arg(regs, 1) : regs_arg(regs, 3);
	enum futex_kind kind = call == IPC_CALL_futex	     ? futex_kind_of(op)
			       : call == IPC_CALL_futex_wake ? FUTEX_WAKES
							     : FUTEX_WAITS;

	t->arg1 = (__u32)regs_arg(regs, 2);
	if (call == IPC_CALL_futex_waitv || call == IPC_CALL_futex_requeue) {
		t->object = listed_object(first, 0);
		if (call == IPC_CALL_futex_waitv)
			return FUTEX_WAITS;
		t->object2 = listed_object(first, 1);
		return FUTEX_MOVES;
	}
	if (op & FUTEX_PRIVATE_FLAG)
		return FUTEX_OTHER;
	t->object = word_object(first);
	if (kind == FUTEX_MOVES || kind == FUTEX_WAKES_TWO)
		t->object2 = word_object(regs_arg(regs, 4));
	return kind;
}

static __always_inline _Bool is_futex_wait(const struct pt_regs *regs, __u32 call)
{
	__u32 op = regs_arg(regs, 1) & FUTEX_CMD_MASK;

	return call == IPC_CALL_futex &&
	       (op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET || op == FUTEX_LOCK_PI || op == FUTEX_LOCK_PI2);
}

static __noinline int enter_futex(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	if (call == IPC_CALL_futex && regs_arg(regs, 1) & FUTEX_PRIVATE_FLAG)
		return 0;
	if (is_the_librarys(is_futex_wait(regs, call)))
		return 0;
	t->object = t->object2 = 0;
	enum futex_kind kind = describe_futex(t, regs, call);
	if (kind == FUTEX_OTHER || (!t->object && call != IPC_CALL_futex_waitv))
		return 0;
	t->asked = kind;
	t->arg0 = regs_arg(regs, 0); /* futex_waitv: the list */
	t->call = call;
	t->start = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int tell_word(const struct task_state *t, struct ipc_event e, __u64 object,
				     __u64 units)
{
	e.object = object;
	e.arg0 = ipc_arg0(NO_DESCRIPTOR, t->image);
	e.arg1 = units;
	return emit(&e, t->image);
}

/* Waiters of the first word may be woken by who wakes the second from now on. */
static __always_inline int tell_moved_word(const struct task_state *t)
{
	struct ipc_event e = event_of(t, 0);

	if (!t->object2 || t->object2 == t->object)
		return 0;
	e.call = IPC_CALL_futex_moved;
	e.flags = IPC_F_PART;
	return tell_word(t, e, t->object2, t->object);
}

static __noinline int leave_futex(struct task_state *t, __s64 result, __u16 flags)
{
	__u8 kind = t->asked;
	struct ipc_event e = event_of(t, result);
	__u64 woken = result > 0 ? result : 0, first = woken < t->arg1 ? woken : t->arg1;

	if (t->call == IPC_CALL_futex_waitv && result > 0)
		e.object = listed_object(t->arg0, result);
	if (!e.object)
		return 0;
	e.flags = flags;
	if (kind == FUTEX_WAITS)
		return tell_word(t, e, e.object, result >= 0 && !flags);
	if (row_of(t->call)->verb == IPC_VERB_recv && kind != FUTEX_INHERITS)
		e.flags |= IPC_F_SECOND;
	if (woken &&
	    (kind == FUTEX_MOVES || kind == FUTEX_WAKES_TWO)) /* before they can be woken over there */
		tell_moved_word(t);
	tell_word(t, e, e.object, kind == FUTEX_WAKES ? woken : kind == FUTEX_INHERITS ? 0 : first);
	if (kind == FUTEX_WAKES_TWO && woken > first && t->object2) {
		e.flags |= IPC_F_PART;
		tell_word(t, e, t->object2, woken - first);
	}
	return 0;
}

#endif
