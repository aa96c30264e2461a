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

#include "subject.h"

#include <asm/unistd.h>

#include "total.h"

enum {
	COMM_ROOM = 16,
	NR_EINTR = 4,
	NR_EAGAIN = 11,
	RING_THREAD = 1 << 31, /* with a thread's number: it did that through a ring (ring.h) */
	NO_DESCRIPTOR = 0xffffffff,
};

/* So much may be in the ring when an event is told. */
const volatile __u32 ring_limit;

/* Sets of 1 << enum ipc_mechanism: events on objects of these are told, and descriptors of these looked at.
 */
const volatile __u64 told = ~0ULL, looked_at = ~0ULL;

static __always_inline _Bool is_in(__u64 mechanisms, __u64 object)
{
	return mechanisms == ~0ULL || mechanisms >> (ipc_object_mechanism(object) & 63) & 1;
}

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16); /* the loader says how large it is */
} ring SEC(".maps");

__u32 ids = IPC_BPF_NUMBERS; /* of images and threads, given so far */

static __u32 next_id(void)
{
	return __sync_fetch_and_add(&ids, 1) + 1;
}

/* The beginnings of the event of the call that a task is inside. */
static struct ipc_event event_of(const struct task_state *t, __s64 result)
{
	struct ipc_event e = {
		.start = t->start, .object = t->object, .result = result, .thread = t->thread
	};
	e.call = t->call;
	e.woken_by = result < 0 ? 0 : t->woken_by;
	return e;
}

_Bool is_full; /* as far as events go */

/* To ask the ring costs 40 ns, so only each 16th event does, by its time, until one finds it full: what the
 * others may put into the part that is kept for definitions is little. */
static __always_inline _Bool has_room(const struct ipc_event *e)
{
	if (is_full || !(e->start >> 4 & 15))
		is_full = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= ring_limit;
	return !is_full;
}

static __always_inline _Bool has_threads(struct task_struct *task)
{
	return OF_TASK(task, signal)->nr_threads > 1;
}

/* Stamps and sends an event; start 0: it has no duration. Returns 0: it found no room. */
static __always_inline int try_emit_here(struct ipc_event *e, __u32 image, _Bool several_threads)
{
	struct ipc_event *slot = 0;

	if (!is_in(told, e->object))
		return 0;
	if (aggregate && is_aggregated(e))
		return count_total(e, image, bpf_ktime_get_ns(), 0);
	if (has_room(e))
		slot = bpf_ringbuf_reserve(&ring, sizeof(*slot), 0);
	if (!slot) {
		count_total(e, image, bpf_ktime_get_ns(), 1);
		return 0;
	}
	if (e->thread & RING_THREAD)
		e->flags |= IPC_F_RING;
	if (e->flags & (IPC_F_INSIDE | IPC_F_PART))
		e->woken_by = 0; /* nobody ended the wait; told already */
	if (!(e->flags & IPC_F_INSIDE) && several_threads)
		e->flags |= IPC_F_THREADS;
	__u64 end = now();
	*slot = *e;
	if (e->start & UNSEEN)
		slot->flags |= IPC_F_NO_START;
	slot->thread &= ~RING_THREAD;
	slot->start = (e->start & ~UNSEEN) ?: end;
	slot->duration = end - slot->start;
	bpf_ringbuf_submit(slot, BPF_RB_NO_WAKEUP);
	return 1;
}

SEPARATE int try_emit(struct ipc_event *e, __u32 image)
{
	return e ? try_emit_here(e, image, has_threads(bpf_get_current_task_btf())) : 0;
}

/* The same for who has nothing to remember. Both return 0. */
static __always_inline int emit_here(struct ipc_event *e, __u32 image, _Bool several_threads)
{
	try_emit_here(e, image, several_threads);
	return 0;
}

static __always_inline int emit(struct ipc_event *e, __u32 image)
{
	try_emit(e, image);
	return 0;
}

/* Sends a definition with `text` bytes behind it. Returns whether there was room. */
static _Bool define(struct ipc_def *def, __u32 text)
{
	def->time = now();
	def->text = text;
	def->thread &= ~RING_THREAD;
	if (!bpf_ringbuf_output(&ring, def, sizeof(*def) + text, BPF_RB_NO_WAKEUP))
		return 1;
	count_lost(IPC_REASON_dropped);
	return 0;
}

/* One more thing that was not recorded, of the process of this thread. */
static __noinline int define_loss(__u32 thread, __u32 reason)
{
	struct ipc_def def = { .call = IPC_DEF_LOSS, .thread = thread };

	def.loss.reason = reason;
	def.loss.pid = bpf_get_current_pid_tgid() >> 32;
	def.loss.count = 1;
	define(&def, 0);
	return 0;
}

/* Defines the thread. Returns whether there was room; else it is told again. */
static _Bool tell_thread(struct task_state *t, struct task_struct *task)
{
	struct ipc_def def = { .call = IPC_DEF_THREAD, .thread = t->thread };

	def.thread_def.image = t->image;
	def.thread_def.tid = task->pid;
	bpf_probe_read_kernel(def.thread_def.name, COMM_ROOM, task->comm);
	_Bool told = define(&def, 0);
	t->untold = told ? t->untold & ~UNTOLD_THREAD : t->untold | UNTOLD_THREAD;
	return told;
}

#endif
