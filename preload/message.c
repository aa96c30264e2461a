// SPDX-License-Identifier: BSD-2-Clause
/*
 * After a send or receive on a socket: its events, one per message. Memory that the program named is read
 * only where the kernel has just done so: after a success. What the kernel overwrites is read before, where
 * that can be.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "hooks.h"
#include "passing.h"
#include "payload.h"
#include "readable.h"
#include "socket.h"

/* What a call says about one message. */
struct moved {
	const struct iovec *iov;
	uint64_t iovs;
	const void *name; /* of the other side, or NULL */
	uint32_t name_length;
	int flags; /* that the call was given */
	int told;  /* that the kernel answered (msg_flags) */
};

/* Bytes that the call had room for. */
static uint64_t room(const struct moved *m)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < m->iovs; i++)
		sum += m->iov[i].iov_len;
	return sum;
}

static uint32_t tag_of(const struct moved *m, uint64_t length)
{
	__u64 words[IPC_TAG_BYTES / 8] = { 0 };
	uint64_t done = 0;
	for (uint64_t i = 0; i < m->iovs && done < IPC_TAG_BYTES && done < length; i++)
		for (uint64_t k = 0; k < m->iov[i].iov_len && done < IPC_TAG_BYTES && done < length;
		     k++, done++)
			words[done / 8] |= (__u64)((const uint8_t *)m->iov[i].iov_base)[k] << done % 8 * 8;
	return ipc_tag(words, length);
}

static void judge_receive(struct ipc_event *e, const struct moved *m)
{
	if (m->flags & (MSG_PEEK | MSG_ERRQUEUE))
		e->flags |= IPC_F_PEEK;
	if (m->told & MSG_OOB)
		e->flags |= IPC_F_OOB;
	if (!e->result && e->arg1 && !socket_has_addresses(e->object))
		e->flags |= IPC_F_EOF;
	if (!socket_keeps_messages(e->object))
		return;
	if ((uint64_t)e->result > e->arg1 || m->told & MSG_TRUNC)
		e->flags |= IPC_F_TRUNCATED;
	if ((uint64_t)e->result >= e->arg1) {
		e->flags |= IPC_F_FULL;
		e->result = (int64_t)e->arg1;
	}
}

/* Whether the other side's address stands there: given by the program, or by the kernel without being cut
 * off. */
static bool is_whole(const struct pending *p, const struct moved *m)
{
	uint32_t length = m->name_length < IPC_ADDRESS_MAX ? m->name_length : IPC_ADDRESS_MAX;
	return m->name && (ipc_calls[p->call].verb == IPC_VERB_send || length <= p->room);
}

/* A receive that only threw bytes away. */
static bool is_discarded(const struct ipc_event *e, const struct moved *m)
{
	return m->flags & MSG_TRUNC && ipc_object_mechanism(e->object) == IPC_MECH_tcp;
}

static void tell(struct shim_thread *t, const struct pending *p, const struct moved *m, long result,
		 uint16_t flags)
{
	struct ipc_event e = hook_event(t, p, result);
	e.flags = flags | (m->flags & MSG_OOB ? IPC_F_OOB : 0);
	if (result < 0) {
		e.flags |= result == -EAGAIN ? IPC_F_NONBLOCK : 0;
		if (socket_has_addresses(e.object))
			e.arg1 = 0;
		shim_emit(t, &e);
		return;
	}
	e.arg1 = room(m);
	if (ipc_calls[p->call].verb == IPC_VERB_recv)
		judge_receive(&e, m);
	if (ipc_object_mechanism(e.object) == IPC_MECH_udp && !(e.flags & (IPC_F_TRUNCATED | IPC_F_PEEK)))
		e.tag = tag_of(m, (uint64_t)e.result);
	if (socket_has_addresses(e.object))
		e.arg1 = is_whole(p, m) ? socket_address(t, m->name, m->name_length) : 0;
	if (is_discarded(&e, m))
		shim_emit(t, &e);
	else
		payload_emit(t, &e, (struct vector){ m->iov, m->iovs, true });
}

static struct moved of_header(const struct msghdr *h, int flags)
{
	return (struct moved){ .iov = h->msg_iov,
			       .iovs = h->msg_iovlen,
			       .name = h->msg_name,
			       .name_length = h->msg_namelen,
			       .flags = flags,
			       .told = h->msg_flags };
}

static void tell_header(struct shim_thread *t, const struct pending *p, const struct msghdr *h, int flags,
			long result, uint16_t part)
{
	struct moved m = of_header(h, flags);
	bool receives = ipc_calls[p->call].verb == IPC_VERB_recv;
	if (!receives)
		m.told = 0; /* the kernel does not look at it */
	tell(t, p, &m, result, part);
	if (receives)
		passing_received(t, p, h, flags);
	else
		passing_sent(t, p, h);
}

static void tell_headers(struct shim_thread *t, const struct pending *p, long count)
{
	const struct mmsghdr *messages = (const void *)p->arg[1];
	for (long i = 0; i < count; i++)
		tell_header(t, p, &messages[i].msg_hdr, (int)p->arg[3], messages[i].msg_len,
			    i ? IPC_F_PART : 0);
}

static uint32_t length_at(const void *at)
{
	return at && readable(at, sizeof(uint32_t)) ? *(const uint32_t *)at : 0;
}

static uint32_t room_of_header(const struct msghdr *h)
{
	return readable(h, sizeof(*h)) && h->msg_name ? h->msg_namelen : 0;
}

/* What each of them has. */
static uint32_t room_of_headers(const struct mmsghdr *messages, uint32_t count)
{
	uint32_t room = UINT32_MAX;
	count = count < UIO_MAXIOV ? count : UIO_MAXIOV;
	if (!readable(messages, count * sizeof(*messages)))
		return 0;
	for (uint32_t i = 0; i < count; i++)
		if (messages[i].msg_hdr.msg_name && messages[i].msg_hdr.msg_namelen < room)
			room = messages[i].msg_hdr.msg_namelen;
	return room;
}

uint32_t hook_room(uint16_t call, const struct hook_registers *r)
{
	switch (call) {
	case IPC_CALL_accept:
	case IPC_CALL_accept4:
		return length_at((const void *)r->arg[2]);
	case IPC_CALL_recvfrom:
		return r->arg[4] ? length_at((const void *)r->arg[5]) : 0;
	case IPC_CALL_recvmsg:
		return room_of_header((const void *)r->arg[1]);
	case IPC_CALL_recvmmsg:
		return room_of_headers((const void *)r->arg[1], (uint32_t)r->arg[2]);
	default:
		return 0;
	}
}

/* What sendto and recvfrom were given, the plain ones too, in the form of a message. */
static struct moved of_arguments(const struct pending *p, struct iovec *one)
{
	struct vector v = payload_vector(p, one);
	struct moved m = { .iov = v.iov, .iovs = v.count };
	switch (p->call) {
	case IPC_CALL_sendto:
		m.flags = (int)p->arg[3];
		m.name = (const void *)p->arg[4];
		m.name_length = (uint32_t)p->arg[5];
		break;
	case IPC_CALL_recvfrom:
		m.flags = (int)p->arg[3];
		m.name = p->arg[5] ? (const void *)p->arg[4] : NULL;
		m.name_length = m.name ? *(const uint32_t *)p->arg[5] : 0;
		break;
	}
	return m;
}

/* A UDP or netlink socket gets its port with its first send. */
static void define_bound(struct shim_thread *t, const struct pending *p)
{
	uint32_t fd = (uint32_t)p->arg0;
	if (!p->unbound)
		return;
	if (fd < DESCRIPTORS)
		descriptor_table[fd].unbound = false;
	socket_define(t, fd, p->object, &(struct socket_origin){ 0 });
}

void hook_leave_unchosen(struct shim_thread *t, const struct pending *p, long result)
{
	bool several = ipc_calls[p->call].size == IPC_SIZE_MESSAGES;
	const struct mmsghdr *messages = (const void *)p->arg[1];
	for (long i = 0; several && i < result; i++)
		passing_opened(t, p, &messages[i].msg_hdr);
	if (!several && result >= 0)
		passing_opened(t, p, (const void *)p->arg[1]);
}

void hook_leave_message(struct shim_thread *t, const struct pending *p, long result)
{
	const struct ipc_call *row = &ipc_calls[p->call];
	struct moved m = { 0 };
	struct iovec one;
	if (result >= 0 && row->verb == IPC_VERB_send)
		define_bound(t, p);
	if (result < 0) {
		tell(t, p, &m, result, 0);
	} else if (row->size == IPC_SIZE_MESSAGES) {
		tell_headers(t, p, result);
	} else if (row->size == IPC_SIZE_MESSAGE) {
		tell_header(t, p, (const void *)p->arg[1], (int)p->arg[2], result, 0);
	} else {
		m = of_arguments(p, &one);
		tell(t, p, &m, result, 0);
	}
}
