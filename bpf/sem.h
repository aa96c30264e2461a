/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * System V semaphores: an object for each of a set. They are told when the call has ended, since only then it
 * is known that there are such.
 */
#ifndef IPC_BPF_SEM_H
#define IPC_BPF_SEM_H

#include "queue.h"

enum { NR_EFBIG = 27, NR_E2BIG = 7, NR_ERANGE = 34, SEM_UNDO_ = 0x1000, OPERATIONS_MAX = 1 << 16 };

struct operation {
	__u16 number;
	__s16 by, flags;
};

/* How many semaphores a set has, as semget was told, by number 0's object. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} sem_counts SEC(".maps");

static __u32 first_number(const struct pt_regs *regs, __u32 call)
{
	struct operation o;

	if (call == IPC_CALL_semctl_setval)
		return regs_arg(regs, 1);
	if ((call == IPC_CALL_semop || call == IPC_CALL_semtimedop) &&
	    !bpf_probe_read_user(&o, sizeof(o), (void *)regs_arg(regs, 1)))
		return o.number;
	return 0;
}

static __noinline int enter_sem(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	t->ipcns = ipc_namespace();
	t->object = call == IPC_CALL_semget
			    ? 0
			    : ipc_sem_object(t->ipcns, regs_arg(regs, 0), first_number(regs, call));
	t->object2 = 0;
	t->arg0 = NO_DESCRIPTOR;
	t->call = call;
	t->start = bpf_ktime_get_ns();
	return 0;
}

struct sem_walk {
	struct task_state *t;
	__u64 address; /* of the operations, or of the values */
	__u32 id;
	_Bool sets;
};

/* What has no object is counted. */
static int tell_number(struct task_state *t, struct ipc_event *e, __u32 id, __u32 number)
{
	if (number >= IPC_SEMS_MAX) {
		count_lost(IPC_REASON_no_identity);
		return 0;
	}
	t->object = e->object = ipc_sem_object(t->ipcns, id, number);
	if (!bpf_map_lookup_elem(&defined, &e->object))
		define_queue(t, 0, 0);
	return emit(e, t->image);
}

static int sem_step(__u32 i, struct sem_walk *w)
{
	struct ipc_event e = event_of(w->t, 0);
	struct operation o = {};
	__u16 value = 0;

	e.arg0 = NO_DESCRIPTOR;
	e.flags = i ? IPC_F_PART : 0;
	if (w->sets) {
		if (bpf_probe_read_user(&value, sizeof(value), (void *)(w->address + 2ULL * i)))
			goto unreadable;
		o.number = i;
		e.arg1 = value;
	} else {
		if (bpf_probe_read_user(&o, sizeof(o), (void *)(w->address + sizeof(o) * (__u64)i)))
			goto unreadable;
		e.arg1 = o.by < 0 ? -o.by : o.by;
		e.flags |= (o.by > 0 ? IPC_F_SECOND : 0) | (o.flags & SEM_UNDO_ ? IPC_F_UNDO : 0);
	}
	tell_number(w->t, &e, w->id, o.number);
	return 0;
unreadable:
	count_lost(IPC_REASON_no_identity);
	return 1;
}

static __noinline int tell_operations(struct task_state *t, const struct pt_regs *regs)
{
	struct sem_walk w = { .t = t, .address = regs_arg(regs, 1), .id = regs_arg(regs, 0) };
	__u32 n = regs_arg(regs, 2);

	bpf_loop(n < OPERATIONS_MAX ? n : OPERATIONS_MAX, sem_step, &w, 0);
	return 0;
}

static __noinline int tell_all(struct task_state *t, const struct pt_regs *regs)
{
	struct sem_walk w = { .t = t, .address = regs_arg(regs, 3), .id = regs_arg(regs, 0), .sets = 1 };
	__u64 set = ipc_sem_object(t->ipcns, w.id, 0);
	__u32 *count = bpf_map_lookup_elem(&sem_counts, &set);
	__u32 n = count ? *count : 0;

	if (!n)
		count_lost(IPC_REASON_no_identity);
	bpf_loop(n < OPERATIONS_MAX ? n : OPERATIONS_MAX, sem_step, &w, 0);
	return 0;
}

/* semget of a set that exists may name fewer than it has. */
static void remember_count(__u64 set, __u32 n)
{
	__u32 *known = bpf_map_lookup_elem(&sem_counts, &set);

	if (n && (!known || *known < n))
		bpf_map_update_elem(&sem_counts, &set, &n, BPF_ANY);
}

static __noinline int leave_semget(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	if (result < 0)
		return 0;
	t->object = ipc_sem_object(t->ipcns, result, 0);
	remember_count(t->object, regs_arg(regs, 1));
	define_queue(t, 1, regs_arg(regs, 0));
	struct ipc_event e = event_of(t, result);
	e.arg0 = NO_DESCRIPTOR;
	return emit(&e, t->image);
}

/* One event, unless the call may have failed because there is no such semaphore. */
static __noinline int tell_one(struct task_state *t, __s64 result)
{
	struct ipc_event e = event_of(t, result);
	__u64 object = t->object;

	if (result && t->call == IPC_CALL_semctl_rmid)
		return 0;
	if ((result == -NR_EINVAL || result == -NR_EFAULT || result == -NR_ENOSYS || result == -NR_EFBIG ||
	     result == -NR_E2BIG || result == -NR_ERANGE) &&
	    !bpf_map_lookup_elem(&defined, &object))
		return 0;
	define_queue(t, 0, 0);
	e.arg0 = NO_DESCRIPTOR;
	e.flags = result == -NR_EAGAIN ? IPC_F_NONBLOCK : 0;
	return emit(&e, t->image);
}

static __noinline int leave_setval(struct task_state *t, const struct pt_regs *regs)
{
	struct ipc_event e = event_of(t, 0);

	e.arg0 = NO_DESCRIPTOR;
	e.arg1 = (__u32)regs_arg(regs, 3);
	return tell_number(t, &e, regs_arg(regs, 0), regs_arg(regs, 1));
}

static __noinline int leave_sem(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	if (t->call == IPC_CALL_semget)
		return leave_semget(t, regs, result);
	if (result || t->call == IPC_CALL_semctl_rmid)
		return tell_one(t, result);
	if (t->call == IPC_CALL_semctl_setval)
		return leave_setval(t, regs);
	if (t->call == IPC_CALL_semctl_setall)
		return tell_all(t, regs);
	return tell_operations(t, regs);
}

#endif
