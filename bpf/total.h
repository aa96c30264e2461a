/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is counted rather than told: losses per processor; totals of calls per process and object, so that
 * adding to them at once is rare. The table is allocated beforehand: an exact total must not fail for want of
 * memory.
 */
#ifndef IPC_BPF_TOTAL_H
#define IPC_BPF_TOTAL_H

#include <linux/bpf.h>

#include "peek.h"

#include <linux/fcntl.h>

#include "calls.h"
#include "event.h"
#include "state.h"

/* Powers of two; the rows behind the last are empty. */
enum { CALLS_ROOM = 256, MECHANISMS_ROOM = 64 };
_Static_assert(IPC_CALLS <= CALLS_ROOM && IPC_MECHANISMS <= MECHANISMS_ROOM, "the tables have room");

static const struct ipc_call calls[CALLS_ROOM] = {
#define CALL IPC_CALL_ROW
#include "calls.def"
#undef CALL
};

/* The table's row of a call. The mask is in assembly because the verifier must find it: the compiler would
 * merge it with comparisons that the callers make. */
static __always_inline const struct ipc_call *row_of(__u64 call)
{
	__asm__ volatile("%0 &= %1" : "+r"(call) : "i"(CALLS_ROOM - 1));
	return &calls[call];
}

/* ---- losses ---- */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, IPC_REASONS *IPC_MECHANISMS);
	__type(key, __u32);
	__type(value, struct lost);
} lost SEC(".maps");

__u32 any_lost; /* 1: `lost` has changed since the loader last read it */

static void count_lost_of(__u32 reason, __u32 mechanism)
{
	__u32 key = reason * IPC_MECHANISMS + mechanism;
	struct lost *l = bpf_map_lookup_elem(&lost, &key);

	if (!l)
		return;
	l->last_ns = bpf_ktime_get_ns();
	if (!l->count)
		l->first_ns = l->last_ns;
	__sync_fetch_and_add(&l->count, 1); /* interrupts lose some too */
	any_lost = 1;
}

static void count_lost(__u32 reason)
{
	count_lost_of(reason, IPC_MECH_none);
}

/* ---- totals ---- */

const volatile _Bool aggregate;			  /* sends and receives are counted, not told */
const volatile _Bool aggregated[MECHANISMS_ROOM]; /* by mechanism: of these */

__u32 total_round;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TOTALS_MAX);
	__type(key, struct total_key);
	__type(value, struct total);
} totals SEC(".maps");

static const struct total no_total; /* too large for the stack */

static __u32 verb_of(const struct ipc_event *e)
{
	__u32 verb = row_of(e->call)->verb;

	if (e->flags & IPC_F_SECOND)
		return IPC_VERB_send;
	if (verb == IPC_VERB_by_end)
		return (e->arg0 >> 32 & O_ACCMODE) == O_RDONLY ? IPC_VERB_recv : IPC_VERB_send;
	return verb;
}

/* What goes through it keeps the boundaries of messages. */
static __always_inline _Bool keeps_messages(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_unix_dgram || mechanism == IPC_MECH_unix_seqpacket ||
	       (mechanism >= IPC_MECH_udp && mechanism <= IPC_MECH_netlink);
}

/* Each of its messages has an address of its own. */
static __always_inline _Bool has_addresses(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_unix_dgram ||
	       (mechanism >= IPC_MECH_udp && mechanism <= IPC_MECH_netlink);
}

/* Whether a send or receive counts as one: the collector's functions `moves` say the same of an event. */
static __always_inline _Bool has_moved(const struct ipc_event *e)
{
	if (e->result < 0 || e->flags & (IPC_F_PEEK | IPC_F_INSIDE))
		return 0;
	switch (ipc_object_mechanism(e->object)) {
	case IPC_MECH_sysv_sem:
		return !e->result && e->arg1;
	case IPC_MECH_futex:
	case IPC_MECH_signal:
		return e->arg1 != 0;
	case IPC_MECH_sysv_msg:
	case IPC_MECH_posix_mq:
	case IPC_MECH_fd_passing:
		return 1;
	case IPC_MECH_file_lock:
		return e->result == 0;
	}
	if (keeps_messages(e->object))
		return e->result || !(e->flags & IPC_F_EOF);
	return e->result > 0;
}

/* What the task was inside of when it died stays an event: it was not seen to move anything. */
static __always_inline _Bool is_aggregated(const struct ipc_event *e)
{
	__u32 verb = verb_of(e), kind = row_of(e->call)->object;

	if (e->flags & IPC_F_INSIDE)
		return 0;
	if (verb == IPC_VERB_wait)
		return kind == IPC_OBJ_POLLFDS || kind == IPC_OBJ_FDSETS || kind == IPC_OBJ_EPOLL;
	return (verb == IPC_VERB_send || verb == IPC_VERB_recv) &&
	       aggregated[ipc_object_mechanism(e->object) & (MECHANISMS_ROOM - 1)];
}

/* That others raise it again and again while we try does not happen. */
static __always_inline void raise(__u64 *at, __u64 to)
{
	for (int i = 0; i < 4; i++) {
		__u64 old = *(volatile __u64 *)at;
		if (old >= to || __sync_val_compare_and_swap(at, old, to) == old)
			return;
	}
}

static __always_inline void add_total(struct total *t, const struct ipc_event *e, __u32 verb, __u64 now)
{
	__u64 start = e->start ?: now, ns = now - start;

	__sync_fetch_and_add(&t->histogram[ipc_bucket(ns) & (IPC_BUCKETS - 1)], 1);
	__sync_fetch_and_add(&t->ns, ns);
	if ((verb == IPC_VERB_send || verb == IPC_VERB_recv) && has_moved(e)) {
		__sync_fetch_and_add(&t->bytes, e->result);
	} else {
		__sync_fetch_and_add(&t->idle, 1);
		__sync_fetch_and_add(&t->idle_ns, ns);
		__sync_fetch_and_add(&t->errors, e->result < 0);
	}
	raise(&t->max_ns, ns);
	raise(&t->not_min_ns, ~ns);
	raise(&t->last_ns, now);
	raise(&t->not_first_ns, ~start);
}

/*
 * Adds an event that ended at `now` to its endpoint's totals; `dropped`: it should have been told, and found
 * no room: that is a loss, and whatever the call was its channel is marked (but for the lives of processes).
 * What finds no room here either is another. Returns 1.
 */
SEPARATE int count_total(const struct ipc_event *e, __u32 image, __u64 now, __u32 dropped)
{
	struct total_key key = { .image = image };

	if (!e)
		return 1;
	if (dropped) {
		count_lost_of(IPC_REASON_dropped, ipc_object_mechanism(e->object));
		if (!e->object || ipc_object_mechanism(e->object) == IPC_MECH_process)
			return 1;
	}
	key.object = e->object;
	key.other = has_addresses(e->object) ? e->arg1 : 0;
	key.call = e->call;
	key.verb = verb_of(e);
	key.round = total_round & 1;
	struct total *t = bpf_map_lookup_elem(&totals, &key);
	if (!t) {
		bpf_map_update_elem(&totals, &key, &no_total, BPF_NOEXIST);
		t = bpf_map_lookup_elem(&totals, &key);
	}
	if (t)
		add_total(t, e, key.verb, now);
	else
		count_lost_of(IPC_REASON_uncounted, ipc_object_mechanism(e->object));
	return 1;
}

#endif
