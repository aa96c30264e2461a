/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The memory of another process. The caller names it by a number of its own PID namespace, and may mean one
 * of its threads: we tell the process, by the pid that all the others are told by.
 */
#ifndef IPC_BPF_PROCESS_VM_H
#define IPC_BPF_PROCESS_VM_H

#include "queue.h"

enum { SLOT_BITS = 6, TREE_DEPTH = 6, ENTRY_BITS = 3, ENTRY_NODE = 2 };

/* The struct pid of a number of the caller's PID namespace, or 0, from the kernel's tree of them. The
 * addresses of its inner nodes are marked as such. */
static __noinline __u64 find_pid(__u32 number)
{
	struct pid *own = 0;

	bpf_core_read(&own, sizeof(own), &bpf_get_current_task_btf()->thread_pid); /* a bare address */
	struct upid *upid =
		(void *)own + bpf_core_field_offset(struct pid, numbers) + in_numbers(PEEK(pid, own, level));
	struct pid_namespace *space = PEEK(upid, upid, ns);
	__u64 entry = (__u64)PEEK(pid_namespace, space, idr.idr_rt.xa_head);
	__u64 index = number - PEEK(pid_namespace, space, idr.idr_base);

	for (int i = 0; i < TREE_DEPTH && (entry & ENTRY_BITS) == ENTRY_NODE; i++) {
		struct xa_node *node = (void *)(entry - ENTRY_NODE);
		__u32 shift = PEEK(xa_node, node, shift) & 63;
		if (index >> shift >> SLOT_BITS)
			return 0;
		void **slots = (void *)node + bpf_core_field_offset(struct xa_node, slots);
		bpf_probe_read_kernel(&entry, sizeof(entry), slots + (index >> shift));
		index &= (1ULL << shift) - 1;
	}
	return entry & ENTRY_BITS ? 0 : entry;
}

/* The pid of the process that the caller knows by this number, itself or by a thread of it; 0: none. */
static __noinline __u32 process_of(__u32 number)
{
	struct pid *pid = (void *)find_pid(number);
	struct hlist_node *link = pid ? PEEK(pid, pid, tasks[0].first) : 0;
	struct task_struct *task = (void *)link - bpf_core_field_offset(struct task_struct, pid_links);

	return link ? PEEK(task_struct, task, tgid) : 0;
}

static __noinline int enter_process(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	__u32 number = regs_arg(regs, IPC_OBJ_ARG(row_of(call)->object)), target = process_of(number);

	if (target == bpf_get_current_pid_tgid() >> 32) /* its own memory; so does the shim (payload.c) */
		return 0;
	t->object = ipc_object(IPC_MECH_process_vm, target ?: number);
	t->object2 = 0;
	t->arg0 = NO_DESCRIPTOR;
	t->call = call;
	t->start = bpf_ktime_get_ns();
	return 0;
}

/* ptrace moves one word. */
static __noinline int leave_process(struct task_state *t, __s64 result)
{
	_Bool word = row_of(t->call)->size == IPC_SIZE_NONE && !result;
	struct ipc_event e = event_of(t, word ? (__s64)sizeof(long) : result);

	e.arg0 = t->arg0;
	return emit(&e, t->image);
}

#endif
