/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Bytes of what a call moved, the first ones, told just before its event (IPC_DEF_PAYLOAD), and the last
 * ones. They are read when the call has ended: then it is known how many they are, and their pages are there,
 * since the kernel has just read or written them. At the beginning a page that the program has not touched
 * yet could not be read.
 *
 * Whether they are worth telling is judged for each object (struct judged). The protocols themselves are
 * recognised by the loader (payloads.c), some milliseconds later. Of a channel whose first messages cannot be
 * any protocol's nothing is told in the meantime; of any other everything is, so that none of it is missing
 * when it is recognised. What goes through a ring is not told.
 */
#ifndef IPC_BPF_PAYLOAD_H
#define IPC_BPF_PAYLOAD_H

#include "emit.h"

#include <linux/uio.h>

#include "may_begin.h"

enum {
	HEAD_BYTES = 16,
	IOVECS_MAX = 1024, /* UIO_MAXIOV */
};

/* As of struct source_settings; 0: none. */
const volatile __u32 window, capture;
const volatile __u32 tries; /* IPC_RECOGNISE_TRIES */

struct judged judged[JUDGED_SETS * JUDGED_WAYS];

struct payload {
	struct ipc_def def; /* and its text, just behind */
	__u8 text[3 * IPC_TEXT_MAX];
	__u64 iov;
	__u64 skip; /* bytes in front of those that come next */
	__u32 wanted, filled;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct payload);
} payloads SEC(".maps");

static struct payload *payload_get(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&payloads, &zero);
}

/* ---- whether ---- */

static __always_inline _Bool may_speak(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return mechanism <= IPC_MECH_udp && mechanism != IPC_MECH_none && mechanism != IPC_MECH_process;
}

static __always_inline _Bool may_be_captured(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return may_speak(object) || mechanism == IPC_MECH_sysv_msg || mechanism == IPC_MECH_posix_mq;
}

/* Nothing of it is a protocol's, in this direction, as far as is known. */
static __always_inline _Bool is_denied(const struct judged *j, _Bool sends)
{
	return !j->known && (j->denied[sends] || (j->tries[sends] >= tries && !j->likely));
}

/* The quick part, for every send and receive: whether tell_payload() is to be asked. */
static __always_inline _Bool has_payload(const struct ipc_event *e)
{
	if (!window && !capture)
		return 0;
	if (e->result <= 0 || e->flags & IPC_F_PEEK || e->thread & RING_THREAD || !is_in(told, e->object))
		return 0;
	if (capture)
		return may_be_captured(e->object);
	if (!may_speak(e->object))
		return 0;
	const struct judged *j = judged_find(judged, e->object);
	return !j || !is_denied(j, verb_of(e) == IPC_VERB_send);
}

/* Nothing is known of the object yet. What the loader still says of who was there before has its round. */
static __always_inline void begin_judging(struct judged *j, __u64 object)
{
	__u8 round = j->round + 1;

	__builtin_memset(j, 0, sizeof(*j));
	j->round = round;
	j->object = object;
}

/* The object's entry; a new one takes the place of one that is empty, or has not been told of for long. */
static __always_inline struct judged *judge_of(__u64 object)
{
	struct judged *j = judged_find(judged, object), *set = &judged[judged_set(object)];

	if (j)
		return j;
	j = set;
	for (int i = JUDGED_WAYS - 1; i >= 0; i--) {
		if (!set[i].used)
			j = &set[i];
		set[i].used = 0;
	}
	begin_judging(j, object);
	return j;
}

/* Another stream begins. What was recognised is told on: another protocol's bytes are only told in vain. */
SEPARATE int judge_anew(__u64 object)
{
	struct judged *j = judged_find(judged, object);

	if (j && !j->known)
		begin_judging(j, object);
	return 0;
}

/* ---- the bytes ---- */

/* Returns whether it was all that is wanted or can be had. */
static __always_inline int copy(struct payload *p, __u64 from, __u64 length)
{
	__u32 filled = p->filled & (IPC_TEXT_MAX - 1);
	__u64 n = p->wanted - p->filled, skip = p->skip;

	if (skip >= length) {
		p->skip = skip - length;
		return 0;
	}
	p->skip = 0;
	from += skip;
	length -= skip;
	if (n > length)
		n = length;
	if (n && bpf_probe_read_user(&p->text[filled], n & (2 * IPC_TEXT_MAX - 1), (void *)from))
		return 1;
	p->filled += n;
	return p->filled >= p->wanted;
}

static int copy_step(__u32 i, void *unused)
{
	struct payload *p = payload_get();
	struct iovec iov;

	if (!p || bpf_probe_read_user(&iov, sizeof(iov), (void *)(p->iov + i * sizeof(iov))))
		return 1;
	return copy(p, (__u64)iov.iov_base, iov.iov_len);
}

/* All that is wanted next from this address, or from as many vectors there. */
SEPARATE int copy_all(__u64 at, __u64 iovs)
{
	struct payload *p = payload_get();

	if (iovs)
		bpf_loop(iovs < IOVECS_MAX ? iovs : IOVECS_MAX, copy_step, 0, 0);
	else if (p)
		copy(p, at, ~0ULL);
	return 0;
}

/* The last bytes that the call moved, behind the first. */
static __always_inline void copy_tail(struct payload *p, __u64 at, __u64 iovs, __u64 moved, __u32 tail)
{
	__u32 head = p->filled;

	if (head < p->wanted)
		return; /* not even they can be had */
	p->skip = moved - tail;
	p->wanted += tail;
	copy_all(at, iovs);
	if (p->filled == p->wanted)
		p->def.payload.tail = tail;
	else
		p->filled = head;
}

/* Begins the payload of an event, whose bytes are at an address, or in vectors there. */
static __always_inline void begin_payload(struct payload *p, const struct ipc_event *e, __u64 at, __u32 limit)
{
	__builtin_memset(&p->def, 0, sizeof(p->def));
	__builtin_memset(p->text, 0, HEAD_BYTES);
	p->def.call = IPC_DEF_PAYLOAD;
	p->def.thread = e->thread;
	p->def.payload.object = e->object;
	p->def.payload.start = e->start & ~UNSEEN;
	p->iov = at;
	p->wanted = e->result < limit ? e->result : limit;
	p->filled = p->skip = 0;
}

/* One more message of it is told; the loader learns which. */
static __always_inline void note_told(struct judged *j, struct payload *p, _Bool sends)
{
	j->used = 1;
	if (j->known)
		return;
	if (j->tries[sends] < tries)
		j->tries[sends]++;
	p->def.payload.judge = judge_note(j, sends);
	if (!j->likely)
		j->likely = ipc_may_begin(p->text);
}

/*
 * Tells bytes of what the call has moved from or to this address, or (`iovs`) as many vectors
 * there. They may fill the ring half as far as events may, which are small beside them: so there is room for
 * those. Returns the flag that the event then has.
 */
SEPARATE int tell_payload(const struct ipc_event *e, __u64 at, __u64 iovs)
{
	struct payload *p = payload_get();

	if (!p || !e)
		return 0;
	struct judged *j = window && may_speak(e->object) ? judge_of(e->object) : 0;
	_Bool sends = verb_of(e) == IPC_VERB_send;
	if (j && is_denied(j, sends))
		j = 0;
	__u64 used = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	is_full = used >= ring_limit;
	if (used >= ring_limit / 2)
		return IPC_F_PAYLOAD; /* it is missed, and so counted where that matters */
	__u32 most = j && window > capture ? window : capture, tail = 0;
	if (j && e->result > most && !keeps_messages(e->object))
		tail = ipc_tail(most, capture);
	begin_payload(p, e, at, most - tail);
	copy_all(at, iovs);
	if (tail)
		copy_tail(p, at, iovs, e->result, tail);
	if (j)
		note_told(j, p, sends);
	if (!p->filled)
		return 0;
	return define(&p->def, p->filled & (2 * IPC_TEXT_MAX - 1)) ? IPC_F_PAYLOAD : 0;
}

/* Of a call on a descriptor, whose second argument says where its bytes are. */
static __always_inline __u16 payload_of(const struct ipc_event *e, const struct pt_regs *regs)
{
	const struct ipc_call *row = row_of(e->call);

	if (row->size != IPC_SIZE_RESULT || row->object2 || !has_payload(e))
		return 0;
	return tell_payload(e, regs_arg(regs, 1), row->asks ? 0 : regs_arg(regs, 2));
}

#endif
