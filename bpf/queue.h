/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Message queues. A System V queue has no descriptor: its id and the caller's ipc namespace name it. It is
 * told when the call has ended, since only then it is known that the id names one.
 */
#ifndef IPC_BPF_QUEUE_H
#define IPC_BPF_QUEUE_H

#include "channel.h"
#include "payload.h"

enum { NR_EFAULT = 14, NR_EINVAL = 22, NR_ENOSYS = 38 };

static __always_inline _Bool is_queue(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_sysv_msg || mechanism == IPC_MECH_posix_mq;
}

/* What read and its like find in a POSIX queue is its state in words. */
static __always_inline _Bool reads_state(__u64 object, __u32 call)
{
	return ipc_object_mechanism(object) == IPC_MECH_posix_mq && row_of(call)->size != IPC_SIZE_NONE &&
	       call != IPC_CALL_mq_timedsend && call != IPC_CALL_mq_timedreceive;
}

static __u64 queue_object(const struct task_state *t, __u32 id)
{
	return ipc_object(IPC_MECH_sysv_msg, (__u64)(t->ipcns & 0xffffff) << 32 | id);
}

static __always_inline __u32 ipc_namespace(void)
{
	return PEEK(ipc_namespace, PEEK(nsproxy, OF_SUBJECT(nsproxy), ipc_ns), ns.inum);
}

static __noinline int enter_queue(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	t->ipcns = ipc_namespace();
	t->object = row_of(call)->object == IPC_OBJ_MSGQ_RET ? 0 : queue_object(t, regs_arg(regs, 0));
	t->object2 = 0;
	t->arg0 = NO_DESCRIPTOR;
	t->call = call;
	t->start = bpf_ktime_get_ns();
	return 0;
}

/* Its key is known to msgget only. */
SEPARATE int define_by_id(__u64 object, __u32 ipcns, __u32 has_key, __u32 key)
{
	struct scratch *s = scratch_get();
	__u8 one = 1;
	long text = 0;

	if (!s || (bpf_map_update_elem(&defined, &object, &one, BPF_NOEXIST) && !has_key))
		return 0;
	__builtin_memset(&s->def, 0, sizeof(s->def));
	s->def.call = IPC_DEF_OBJECT;
	s->def.object.object = object;
	s->def.object.inode = (__u32)object;
	s->def.object.generation = ipcns;
	if (has_key)
		text = key ? BPF_SNPRINTF(s->text, NAME_ROOM, "key 0x%08x", key)
			   : BPF_SNPRINTF(s->text, NAME_ROOM, "private");
	if (!define(&s->def, text & (NAME_ROOM - 1)))
		bpf_map_delete_elem(&defined, &object);
	return 0;
}

static __always_inline int define_queue(const struct task_state *t, _Bool has_key, __u32 key)
{
	return define_by_id(t->object, t->ipcns, has_key, key);
}

/* Whether the call was on a queue at all, as far as can be told; then that is defined. */
static _Bool find_queue(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	_Bool gets = t->call == IPC_CALL_msgget;
	__u64 object = t->object;

	if (result < 0 && (gets || t->call == IPC_CALL_msgctl_rmid))
		return 0;
	if ((result == -NR_EINVAL || result == -NR_EFAULT || result == -NR_ENOSYS) &&
	    !bpf_map_lookup_elem(&defined, &object))
		return 0;
	if (gets)
		t->object = queue_object(t, result);
	define_queue(t, gets, regs_arg(regs, 0));
	return 1;
}

static __u64 type_at(__u64 address)
{
	__u64 type = 0;

	bpf_probe_read_user(&type, sizeof(type), (void *)address);
	return type;
}

static __u64 priority_at(__u64 address)
{
	__u32 priority;

	if (!address || bpf_probe_read_user(&priority, sizeof(priority), (void *)address))
		return 0;
	return (__u64)priority + 1;
}

/* Where in its message its text begins: behind the type. */
static __always_inline __u32 text_offset(__u32 call)
{
	return call == IPC_CALL_msgsnd || call == IPC_CALL_msgrcv ? sizeof(__u64) : 0;
}

/* What the arguments of a call that succeeded say of its message. */
static __always_inline void tell_moved(struct ipc_event *e, const struct pt_regs *regs)
{
	switch (e->call) {
	case IPC_CALL_msgsnd:
		e->result = regs_arg(regs, 2);
		e->arg1 = type_at(regs_arg(regs, 1));
		break;
	case IPC_CALL_msgrcv:
		e->arg1 = type_at(regs_arg(regs, 1));
		if (regs_arg(regs, 4) & MSG_COPY)
			e->flags |= IPC_F_PEEK;
		if (regs_arg(regs, 4) & MSG_NOERROR && e->result == (__s64)regs_arg(regs, 2))
			e->flags |= IPC_F_FULL;
		break;
	case IPC_CALL_mq_timedsend:
		e->result = regs_arg(regs, 2);
		e->arg1 = (__u64)(__u32)regs_arg(regs, 3) + 1;
		break;
	case IPC_CALL_mq_timedreceive:
		e->arg1 = priority_at(regs_arg(regs, 3));
	}
}

static __noinline int leave_queue(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	if (IPC_OBJ_KIND(row_of(t->call)->object) == IPC_OBJ_KIND_MSGQ && !find_queue(t, regs, result))
		return 0;
	struct ipc_event e = event_of(t, result);

	e.arg0 = t->arg0;
	e.flags = result == -NR_EAGAIN ? IPC_F_NONBLOCK : 0;
	if (result >= 0)
		tell_moved(&e, regs);
	if (capture && has_payload(&e))
		e.flags |= tell_payload(&e, regs_arg(regs, 1) + text_offset(t->call), 0);
	return emit(&e, t->image);
}

/* The task ends, or the recording, while it waits for a System V queue. */
static __noinline int leave_queue_unfinished(struct task_state *t)
{
	struct ipc_event e = event_of(t, 0);

	if (!e.object) /* a msgget, which does not wait */
		return 0;
	define_queue(t, 0, 0);
	e.arg0 = t->arg0;
	e.flags = IPC_F_INSIDE;
	return emit(&e, t->image);
}

#endif
