/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* After poll, select and epoll_wait: an event per descriptor that ended the wait and is an end of a channel.
 */
#ifndef IPC_BPF_WAIT_H
#define IPC_BPF_WAIT_H

#include "channel.h"

#include <asm/poll.h>

enum { WORD_BITS = 64 };

struct user_pollfd {
	__u32 fd;
	__s16 events;
	__u16 revents;
};

/* A wait that has ended; per processor. */
struct ready {
	struct ipc_event event; /* of the call */
	__u32 image;
	_Bool told; /* an event of it, so that the next ones are parts */
	__u64 from; /* poll, epoll: the array */
	/* select */
	__u64 sets[3];	/* read, write, except */
	__u64 words[3]; /* of them, what is left of the one before `bit` */
	__u32 bit;
	__s64 left; /* ready ones to come */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ready);
} waits SEC(".maps");

static struct ready *ready_get(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&waits, &zero);
}

static __always_inline int tell_ready(struct ready *r, struct ipc_event *e)
{
	if (r->told)
		e->flags |= IPC_F_PART;
	r->told = 1;
	return emit(e, r->image);
}

static __always_inline int tell_descriptor(struct ready *r, __u32 fd, __u64 events)
{
	struct ipc_event e = r->event;
	struct end end = {};

	if (!find_end(fd, &end, e.thread))
		return 0;
	e.object = end.object;
	e.arg0 = end.arg0;
	e.arg1 = events;
	return tell_ready(r, &e);
}

static int polled_step(__u32 i, void *unused)
{
	struct ready *r = ready_get();
	struct user_pollfd p;

	if (!r || r->left <= 0 || bpf_probe_read_user(&p, sizeof(p), (void *)(r->from + i * sizeof(p))))
		return 1;
	if (!p.revents)
		return 0;
	r->left--;
	if (!(p.revents & POLLNVAL))
		tell_descriptor(r, p.fd, p.revents);
	return 0;
}

static __always_inline void read_words(struct ready *r)
{
	for (int i = 0; i < 3; i++)
		if (!r->sets[i] ||
		    bpf_probe_read_user(&r->words[i], sizeof(__u64), (void *)(r->sets[i] + r->bit / 8)))
			r->words[i] = 0;
	r->bit += WORD_BITS;
}

/* Number of the lowest bit that is set. */
static __always_inline __u32 lowest(__u64 word)
{
	__u32 n = 0;
	for (__u32 half = WORD_BITS / 2; half; half /= 2) {
		if (!(word & ((1ULL << half) - 1))) {
			word >>= half;
			n += half;
		}
	}
	return n;
}

/* One step for each word, and one for each descriptor. */
static int selected_step(__u32 i, void *unused)
{
	struct ready *r = ready_get();

	if (!r || r->left <= 0)
		return 1;
	__u64 any = r->words[0] | r->words[1] | r->words[2], events = 0, bit = any & -any;
	if (!any) {
		read_words(r);
		return 0;
	}
	for (int k = 0; k < 3; k++) {
		if (!(r->words[k] & bit))
			continue;
		r->words[k] &= ~bit;
		r->left--;
		events |= k == 0 ? POLLIN : k == 1 ? POLLOUT : POLLPRI;
	}
	tell_descriptor(r, r->bit - WORD_BITS + lowest(any), events);
	return 0;
}

static int epolled_step(__u32 i, void *unused)
{
	struct ready *r = ready_get();
	struct user_epoll_event ready;

	if (!r || bpf_probe_read_user(&ready, sizeof(ready), (void *)(r->from + i * sizeof(ready))))
		return 1;
	struct ipc_event e = r->event;
	e.arg1 = ready.data;
	tell_ready(r, &e);
	return 0;
}

static __always_inline __u32 at_most(__u64 n)
{
	return n < DESCRIPTORS_MAX ? n : DESCRIPTORS_MAX;
}

static __always_inline int tell_polled(struct ready *r, const struct pt_regs *regs)
{
	r->from = regs_arg(regs, 0);
	bpf_loop(at_most(regs_arg(regs, 1)), polled_step, 0, 0);
	return 0;
}

static __always_inline int tell_selected(struct ready *r, const struct pt_regs *regs)
{
	__u64 words = ((__u32)regs_arg(regs, 0) + WORD_BITS - 1) / WORD_BITS;

	for (int i = 0; i < 3; i++)
		r->sets[i] = regs_arg(regs, 1 + i);
	bpf_loop(at_most(words + r->left), selected_step, 0, 0);
	return 0;
}

static __always_inline int tell_epolled(struct ready *r, const struct pt_regs *regs)
{
	r->from = regs_arg(regs, 1);
	bpf_loop(at_most(r->left), epolled_step, 0, 0);
	return 0;
}

static __always_inline int leave_wait(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	__u8 kind = row_of(t->call)->object;
	struct ready *r = ready_get();

	if (!r)
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	r->event = event_of(t, result);
	r->image = t->image;
	r->left = result;
	if (kind == IPC_OBJ_EPOLL)
		r->event.tag = regs_arg(regs, 0);
	if (result > 0) {
		if (kind == IPC_OBJ_POLLFDS)
			tell_polled(r, regs);
		else if (kind == IPC_OBJ_FDSETS)
			tell_selected(r, regs);
		else
			tell_epolled(r, regs);
	}
	if (!r->told)
		emit(&r->event, r->image);
	return 0;
}

/* The object that was told for an epoll's user data. */
struct registration {
	__u64 data;
	__u32 image, epoll;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct registration);
	__type(value, __u64);
} registrations SEC(".maps");

/* Busy programs register the same again and again: told is what is new. */
static __noinline int leave_epoll(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	struct ipc_event e = event_of(t, result);
	struct registration key = { .image = t->image, .epoll = regs_arg(regs, 0) };
	struct user_epoll_event data;

	if (result || t->call == IPC_CALL_epoll_del ||
	    bpf_probe_read_user(&data, sizeof(data), (void *)regs_arg(regs, 3)))
		return 0;
	key.data = data.data;
	const __u64 *told = bpf_map_lookup_elem(&registrations, &key);
	if (told && *told == t->object)
		return 0;
	e.arg0 = t->arg0;
	e.arg1 = data.data;
	e.tag = key.epoll;
	if (try_emit(&e, t->image))
		bpf_map_update_elem(&registrations, &key, &t->object, BPF_ANY);
	return 0;
}

#endif
