/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Records into the ring buffer. An event's end is stamped after its place was reserved (loader.c relies on
 * it). What finds no room is counted: per processor and mechanism, and per endpoint with its bytes and
 * durations (total.h). The last part of the ring is kept for definitions: without an image's definition all
 * its events are worthless. A definition that finds no room all the same is told again when it is needed
 * next.
 */
#ifndef IPC_BPF_EMIT_H
#define IPC_BPF_EMIT_H

#include <linux/bpf.h>

#include "peek.h"

#include <asm/unistd.h>

#include "total.h"

enum {
	COMM_ROOM = 16,
	NR_EAGAIN = 11,
};

/* So much may be in the ring when an event is told. */
const volatile __u32 ring_limit;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16); /* the loader says how large it is */
} ring SEC(".maps");

/* What is told by no call's own event, but for the lives of processes, makes the channel partial. */
static __noinline int count_dropped(const struct ipc_event *e, __u32 image, __u64 now)
{
	__u32 mechanism = ipc_object_mechanism(e->object);

	count_lost_of(IPC_REASON_dropped, mechanism);
	if (e->object && mechanism != IPC_MECH_process)
		count_total(e, image, now);
	return 0;
}

/* The beginnings of the event of the call that a task is inside. */
static struct ipc_event event_of(const struct task_state *t, __s64 result)
{
	struct ipc_event e = {
		.start = t->start, .object = t->object, .result = result, .thread = t->thread
	};
	e.call = t->call;
	return e;
}

/* Stamps and sends an event; start 0: it has no duration. Returns 0: it found no room. */
SEPARATE int try_emit(struct ipc_event *e, __u32 image)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct ipc_event *slot = 0;

	if (!e)
		return 0;
	if (aggregate && is_aggregated(e))
		return count_total(e, image, bpf_ktime_get_ns());
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) < ring_limit)
		slot = bpf_ringbuf_reserve(&ring, sizeof(*slot), 0);
	if (!slot) {
		count_dropped(e, image, bpf_ktime_get_ns());
		return 0;
	}
	if (!(e->flags & IPC_F_INSIDE) && task->signal->nr_threads > 1)
		e->flags |= IPC_F_THREADS;
	__u64 now = bpf_ktime_get_ns();
	*slot = *e;
	slot->start = e->start ?: now;
	slot->duration = now - slot->start;
	bpf_ringbuf_submit(slot, BPF_RB_NO_WAKEUP);
	return 1;
}

/* The same for who has nothing to remember. Returns 0. */
static __always_inline int emit(struct ipc_event *e, __u32 image)
{
	try_emit(e, image);
	return 0;
}

/* Sends a definition with `text` bytes behind it. Returns whether there was room. */
static _Bool define(struct ipc_def *def, __u32 text)
{
	def->time = bpf_ktime_get_ns();
	def->text = text;
	if (!bpf_ringbuf_output(&ring, def, sizeof(*def) + text, BPF_RB_NO_WAKEUP))
		return 1;
	count_lost(IPC_REASON_dropped);
	return 0;
}

static _Bool define_thread(struct task_struct *task, __u32 thread, __u32 image)
{
	struct ipc_def def = { .call = IPC_DEF_THREAD, .thread = thread };
	def.thread_def.image = image;
	def.thread_def.tid = task->pid;
	bpf_probe_read_kernel(def.thread_def.name, COMM_ROOM, task->comm);
	return define(&def, 0);
}

#endif
