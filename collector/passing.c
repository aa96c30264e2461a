// SPDX-License-Identifier: BSD-2-Clause
/*
 * Descriptors that are passed: one message each. Those that go through a UNIX socket have a channel beside
 * the socket's, with the ends of those who pass and receive; they are matched as datagrams are, by order and
 * by what they stand for, and the kernel may drop them: where the receiver had no room, or read the message
 * in another way. Those that pidfd_getfd takes have a channel per process that they are taken from.
 */
#include <stdio.h>
#include <string.h>

#include "kind.h"
#include "socket.h"

/* The half of a socket by the number in an object of this mechanism. */
static struct channel *socket_of(const struct collector *c, uint64_t object)
{
	struct channel *ch = NULL;
	for (unsigned int m = IPC_MECH_unix_stream; m <= IPC_MECH_unix_seqpacket && !ch; m++)
		ch = channel_known(c, ipc_object(m, ipc_object_id(object)));
	return ch;
}

/* The half of a socket that the event's message went through. It is remembered, since a datagram's is that of
 * who receives; where it was forgotten meanwhile it is known by the number. */
static struct channel *carrier_of(const struct collector *c, const struct thread *t,
				  const struct ipc_event *e)
{
	bool known = t->carrier && t->carrier_release == c->releases;
	return known ? t->carrier : socket_of(c, e->object);
}

/* Called as the socket is, which may just have got to know its other end. */
static void describe(struct collector *c, struct channel *ch, const struct channel *socket)
{
	char key[96];
	const char *own = socket->shared->data.key ? strchr(socket->shared->data.key, ':') : NULL;
	snprintf(key, sizeof(key), "fd_passing%s", own ? own : "");
	if (!strcmp(ch->data.key, key) && ch->data.name == socket->shared->data.name)
		return;
	ch->data.key = collector_text(c, key, strlen(key));
	ch->data.name = socket->shared->data.name;
	channel_dirty(c, ch);
}

static struct channel *beside(struct collector *c, struct channel *socket)
{
	struct channel *ch = NULL;
	for (struct channel *h = socket->shared->halves; h && !ch; h = h->next_half)
		ch = h->passing;
	if (!ch)
		ch = socket->passing = channel_new(c, IPC_MECH_fd_passing, "");
	if (ch)
		describe(c, ch, socket);
	return ch;
}

/* Whether the event is one of a descriptor that pidfd_getfd has taken. */
static bool passing_takes(const struct ipc_event *e)
{
	return e->call == IPC_CALL_pidfd_getfd;
}

static struct channel *passing_find(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct channel *socket = passing_takes(e) ? NULL : carrier_of(c, a->thread, e);
	return socket && socket->socket ? beside(c, socket) : channel_of(c, e->object);
}

/* As far as the object tells. */
static struct channel *passing_find_object(struct collector *c, const struct process *p, uint64_t object,
					   bool sends)
{
	(void)p, (void)sends;
	struct channel *socket = socket_of(c, object);
	return socket && socket->socket ? beside(c, socket) : channel_of(c, object);
}

/* What was matched. The context is the half that sends. */

static uint64_t message(void *context, const struct match_message *m)
{
	struct channel *half = context;
	if (m->sent > half->passed_ns)
		half->passed_ns = m->sent;
	rollup_message(half->collector, m);
	return store_link(half->collector->store, m->send_event, m->recv_event, 0, m->exact);
}

static void doubt(void *context, const struct match_message *m, uint64_t handle)
{
	struct channel *half = context;
	rollup_inexact(half->collector, m->src->channel);
	store_doubt(half->collector->store, m->send_event, handle);
}

static void unmatched(void *context, const struct match_call *receive)
{
	struct channel *half = context;
	struct endpoint *ep = receive->endpoint;
	struct process *p = ep->process;
	ep->outside++;
	if (!socket_is_inside(half))
		return;
	collector_lose(half->collector, p->source, IPC_REASON_unmatched, p, p->data.comm, 1, receive->end);
	channel_partial(half->collector, ep->channel);
}

static void vanished(void *context, const struct datagram *send)
{
	struct channel *half = context, *ch = send->call.endpoint->channel;
	bool unread = half->sent != half->received && send->call.start > half->passed_ns;
	if (unread || !socket_is_inside(half))
		return; /* nobody looked */
	ch->data.lost++;
	channel_dirty(half->collector, ch);
}

static const struct datagram_sink sink = { message, doubt, unmatched, vanished };

static void through_socket(struct collector *c, struct channel *socket, const struct ipc_event *e,
			   const struct match_call *call, bool sends)
{
	bool inbox = socket_has_inbox(socket);
	const struct channel *own =
		channel_known(c, ipc_object(socket->data.mechanism, ipc_object_id(e->object)));
	struct channel *at = !sends && socket->peer ? socket->peer : socket;
	bool outside = sends ? inbox && own == socket : !inbox;
	if (outside && !socket->peer)
		return;
	if (own && own != socket && !socket->peer)
		call->endpoint->client = true;
	if (!at->passed && !(at->passed = datagram_new(&sink, at)))
		return;
	if (at->stream.doubtful)
		datagram_doubt(at->passed);
	const struct datagram d = {
		.call = *call,
		.socket = e->object,
		.tag = e->tag,
		.silent = true,
	};
	(sends ? datagram_send : datagram_receive)(at->passed, &d);
	datagram_expire(at->passed, c->now);
}

/* The process that it was taken from made no call: its send is made up. */
static void taken(struct collector *c, const struct ipc_event *e, const struct match_call *call)
{
	struct channel *ch = call->endpoint->channel;
	struct process *here = call->endpoint->process, *p = NULL;
	int32_t pid = (int32_t)(uint32_t)e->object;
	const struct life *l = life_of(c, here->source, pid);
	struct endpoint *ep = NULL;
	if (l && (p = l->latest) && p->main)
		ep = endpoint_of(c, p, ch);
	if (!ep) {
		collector_lose(c, here->source, IPC_REASON_unmatched, here, here->data.comm, 1, call->end);
		channel_partial(c, ch);
		return;
	}
	const struct match_message m = {
		.send_event = event_unseen(c, ep, IPC_CALL_sendmsg_passed, IPC_F_NO_START, IPC_VERB_send,
					   call->start),
		.recv_event = call->event,
		.sent = call->start,
		.received = call->end,
		.src = ep,
		.dst = call->endpoint,
		.src_thread = p->main->data.id,
		.exact = true,
	};
	ep->data.sends++;
	rollup_message(c, &m);
	store_link(c->store, m.send_event, m.recv_event, 0, true);
}

/* What the descriptor is an end of. Its channel may turn out to be another one's later. */
static void tell_what(struct collector *c, uint64_t event, uint64_t object)
{
	const struct channel *ch = object ? channel_known(c, object) : NULL;
	if (ch && !ch->shared->first_passed)
		ch->shared->first_passed = event;
	store_passed(c->store, event, ch ? ch->shared->data.id : 0);
}

void passing_merge(struct collector *c, struct channel *keep, const struct channel *gone)
{
	if (!gone->first_passed)
		return;
	store_passed_channel(c->store, gone->data.id, keep->data.id, gone->first_passed);
	if (!keep->first_passed || gone->first_passed < keep->first_passed)
		keep->first_passed = gone->first_passed;
}

static void passing_transfer(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	tell_what(c, a->call.event, e->arg1);
	struct channel *socket = passing_takes(e) ? NULL : carrier_of(c, a->thread, e);
	if (passing_takes(e))
		taken(c, e, &a->call);
	else if (socket && socket->socket)
		through_socket(c, socket, e, &a->call, a->sends);
}

static bool passing_moves(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return e->result >= 0;
}

static void passing_key(uint64_t object, char *key, size_t size)
{
	unsigned long long id = ipc_object_id(object);
	if (id & IPC_PASSING_PID)
		snprintf(key, size, "fd_passing:pid:%u", (uint32_t)id);
	else
		snprintf(key, size, "fd_passing:%llx", id);
}

const struct channel_kind passing_kind = {
	.key = passing_key,
	.find = passing_find,
	.find_object = passing_find_object,
	.takes = passing_takes,
	.moves = passing_moves,
	.transfer = passing_transfer,
	.no_bytes = true,
};
