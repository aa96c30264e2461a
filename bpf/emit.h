/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Records into the ring buffer. An event's end is stamped after its place was reserved (loader.c relies on
 * it). What finds no room is counted per processor, and per endpoint with its bytes. The last part of the
 * ring is kept for definitions: without an image's definition all its events are worthless.
 */
#ifndef IPC_BPF_EMIT_H
#define IPC_BPF_EMIT_H

#include <linux/bpf.h>

#include "subject.h"

#include <linux/fcntl.h>
#include <asm/unistd.h>

#include "calls.h"
#include "event.h"
#include "state.h"

enum {
	RING_RESERVE = 1 << 20,
	COMM_ROOM = 16,
	NR_EINTR = 4,
	NR_EAGAIN = 11,
	RING_THREAD = 1 << 31, /* with a thread's number: it did that through a ring (ring.h) */
	CALLS_ROOM = 256,      /* a power of two; the rows behind the last are empty */
	NO_DESCRIPTOR = 0xffffffff,
};
_Static_assert(IPC_CALLS <= CALLS_ROOM, "the table of calls has room");

static const struct ipc_call calls[CALLS_ROOM] = {
#define CALL IPC_CALL_ROW
#include "calls.def"
#undef CALL
};

/* Sets of 1 << enum ipc_mechanism: events on objects of these are told, and descriptors of these looked at.
 */
const volatile __u64 told = ~0ULL, looked_at = ~0ULL;

static __always_inline _Bool is_in(__u64 mechanisms, __u64 object)
{
	return mechanisms == ~0ULL || mechanisms >> (ipc_object_mechanism(object) & 63) & 1;
}

/* The table's row of a call. The mask is in assembly because the verifier must find it: the compiler would
 * merge it with comparisons that the callers make. */
static __always_inline const struct ipc_call *row_of(__u64 call)
{
	__asm__ volatile("%0 &= %1" : "+r"(call) : "i"(CALLS_ROOM - 1));
	return &calls[call];
}

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, IPC_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct dropped_key);
	__type(value, struct dropped);
} dropped SEC(".maps");

__u32 ids = IPC_BPF_NUMBERS; /* of images and threads, given so far */

static __u32 next_id(void)
{
	return __sync_fetch_and_add(&ids, 1) + 1;
}

static void count_lost(__u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&lost, &reason);
	if (count)
		*count += 1;
}

static __u32 verb_of(const struct ipc_event *e)
{
	__u32 verb = row_of(e->call)->verb;

	if (e->flags & IPC_F_SECOND)
		return IPC_VERB_send;
	if (verb == IPC_VERB_by_end)
		return (e->arg0 >> 32 & O_ACCMODE) == O_RDONLY ? IPC_VERB_recv : IPC_VERB_send;
	return verb;
}

static void count_dropped(const struct ipc_event *e, __u32 image)
{
	__u32 verb = verb_of(e);
	__u64 bytes = e->result > 0 && !(e->flags & IPC_F_PEEK) ? e->result : 0;
	struct dropped_key key = { .object = e->object, .image = image };
	struct dropped none = {};

	count_lost(IPC_REASON_dropped);
	if (verb != IPC_VERB_send && verb != IPC_VERB_recv)
		return;
	bpf_map_update_elem(&dropped, &key, &none, BPF_NOEXIST);
	struct dropped *d = bpf_map_lookup_elem(&dropped, &key);
	if (!d)
		return;
	if (verb == IPC_VERB_send) {
		__sync_fetch_and_add(&d->sends, 1);
		__sync_fetch_and_add(&d->bytes_sent, bytes);
	} else {
		__sync_fetch_and_add(&d->recvs, 1);
		__sync_fetch_and_add(&d->bytes_received, bytes);
	}
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

/* Stamps and sends an event; start 0: it has no duration. */
SEPARATE int emit(struct ipc_event *e, __u32 image)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct ipc_event *slot = 0;

	if (!e || !is_in(told, e->object))
		return 0;
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) < RING_BYTES - RING_RESERVE)
		slot = bpf_ringbuf_reserve(&ring, sizeof(*slot), 0);
	if (!slot) {
		count_dropped(e, image);
		return 0;
	}
	if (e->thread & RING_THREAD)
		e->flags |= IPC_F_RING;
	if (e->flags & (IPC_F_INSIDE | IPC_F_PART))
		e->woken_by = 0; /* nobody ended the wait; told already */
	if (!(e->flags & IPC_F_INSIDE) && task->signal->nr_threads > 1)
		e->flags |= IPC_F_THREADS;
	__u64 end = now();
	*slot = *e;
	slot->thread &= ~RING_THREAD;
	if (e->start & UNSEEN)
		slot->flags |= IPC_F_NO_START;
	slot->start = (e->start & ~UNSEEN) ?: end;
	slot->duration = end - slot->start;
	bpf_ringbuf_submit(slot, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Sends a definition with `text` bytes behind it. */
static void define(struct ipc_def *def, __u32 text)
{
	def->time = now();
	def->text = text;
	def->thread &= ~RING_THREAD;
	if (bpf_ringbuf_output(&ring, def, sizeof(*def) + text, BPF_RB_NO_WAKEUP))
		count_lost(IPC_REASON_dropped);
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

static void define_thread(struct task_struct *task, __u32 thread, __u32 image)
{
	struct ipc_def def = { .call = IPC_DEF_THREAD, .thread = thread };
	def.thread_def.image = image;
	def.thread_def.tid = task->pid;
	bpf_probe_read_kernel(def.thread_def.name, COMM_ROOM, task->comm);
	define(&def, 0);
}

#endif
