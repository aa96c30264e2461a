// SPDX-License-Identifier: BSD-2-Clause
/* After poll, select and epoll_wait: an event per descriptor that ended the wait and is an end of a channel.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "hooks.h"
#include "readable.h"

enum { WORD_BITS = 64 };

struct ready {
	struct ipc_event event; /* of the call */
	bool told;		/* an event of it, so that the next ones are parts */
};

static void tell(struct shim_thread *t, struct ready *r, struct ipc_event e)
{
	e.flags |= r->told ? IPC_F_PART : 0;
	r->told = true;
	shim_emit(t, &e);
}

static void tell_descriptor(struct shim_thread *t, struct ready *r, long fd, uint64_t events)
{
	struct descriptor d;
	if (!descriptor_find(t, fd, &d))
		return;
	struct ipc_event e = r->event;
	e.object = d.object;
	e.arg0 = ipc_arg0((uint32_t)fd, d.flags);
	e.arg1 = events;
	tell(t, r, e);
}

static void tell_polled(struct shim_thread *t, struct ready *r, const struct pollfd *fds, uint64_t count,
			long left)
{
	for (uint64_t i = 0; i < count && left > 0; i++) {
		if (!fds[i].revents)
			continue;
		left--;
		if (!(fds[i].revents & POLLNVAL))
			tell_descriptor(t, r, fds[i].fd, (uint16_t)fds[i].revents);
	}
}

static uint64_t word_of(const uint64_t *set, long i)
{
	return set ? set[i] : 0;
}

/* The kernel looks at no more than there are descriptors, so a set may end, with a page, before the program
 * says it does. */
static bool ends(const uint64_t *set, long i)
{
	bool next_page = i && ((uintptr_t)&set[i + 1] - 1) % READABLE_PAGE < sizeof(*set);
	return set && next_page && !readable(&set[i], sizeof(*set));
}

/* `left` ready bits in the sets; fewer can be found where one set was given twice, and the kernel's last
 * answer stands there. */
static void tell_selected(struct shim_thread *t, struct ready *r, const struct pending *p, long left)
{
	const uint64_t *in = (const void *)p->arg[1], *out = (const void *)p->arg[2],
		       *except = (const void *)p->arg[3];
	long words = ((long)(int)p->arg[0] + WORD_BITS - 1) / WORD_BITS;
	for (long i = 0; i < words && left > 0 && !ends(in, i) && !ends(out, i) && !ends(except, i); i++) {
		uint64_t reads = word_of(in, i), writes = word_of(out, i), urgent = word_of(except, i);
		for (uint64_t any = reads | writes | urgent; any && left > 0; any &= any - 1) {
			int bit = __builtin_ctzll(any), read = reads >> bit & 1, write = writes >> bit & 1,
			    other = urgent >> bit & 1;
			left -= read + write + other;
			tell_descriptor(t, r, i * WORD_BITS + bit,
					(read ? POLLIN : 0) | (write ? POLLOUT : 0) | (other ? POLLPRI : 0));
		}
	}
}

static void tell_epolled(struct shim_thread *t, struct ready *r, const struct epoll_event *ready, long count)
{
	for (long i = 0; i < count; i++) {
		struct ipc_event e = r->event;
		e.arg1 = ready[i].data.u64;
		tell(t, r, e);
	}
}

void hook_leave_wait(struct shim_thread *t, const struct pending *p, long result)
{
	unsigned int kind = ipc_calls[p->call].object;
	struct ready r = { .event = hook_event(t, p, result) };
	if (kind == IPC_OBJ_EPOLL)
		r.event.tag = (uint32_t)p->arg[0];
	if (result > 0 && kind == IPC_OBJ_POLLFDS)
		tell_polled(t, &r, (const void *)p->arg[0], (uint32_t)p->arg[1], result);
	else if (result > 0 && kind == IPC_OBJ_FDSETS)
		tell_selected(t, &r, p, result);
	else if (result > 0)
		tell_epolled(t, &r, (const void *)p->arg[1], result);
	if (!r.told && !shim.chooses)
		tell(t, &r, r.event);
}
