// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sockets whose messages have boundaries (datagram.h matches them).
 *
 *	unix_seqpacket, and pairs   as a stream: a queue per half, for what it sends
 *	unix_dgram                  one channel per socket that receives, with its queue; who sends there has
 *an end of that channel, as with a FIFO udp                         one half per socket and other side
 *(flow); the two flows of a conversation get one row when the first datagram is matched. One queue per port
 *and network namespace, one for all namespaces where the address is not loopback
 */
#include "kind.h"
#include "socket.h"

struct packet_place {
	uint64_t key; /* in collector.places */
	struct datagram_queue *queue;
	bool sent_to;
	struct packet_place *next; /* all */
};

/* What was matched. */

static void set_peer(struct channel *ch, struct channel *peer)
{
	ch->peer = peer;
	ch->met = true;
	LIST_INSERT_HEAD(&peer->met_by, ch, in_met_by);
}

/* A datagram of the one was received by the other. */
static void meet(struct collector *c, struct channel *from, struct channel *to)
{
	if (!from->peer)
		set_peer(from, to);
	if (to->peer)
		return;
	set_peer(to, from);
	/* Who receives from anyone, and is not told from whom, has a row of its own. */
	if (to->other && peer_share(c, from, to)) {
		socket_describe(c, from);
		socket_describe(c, to);
	}
}

static void received(struct channel *from)
{
	from->waiting -= from->waiting > 0;
}

static uint64_t message(void *context, const struct match_message *m)
{
	struct collector *c = context;
	struct channel *from = m->src->channel, *to = m->dst->channel;
	received(from);
	if (from != to || from->data.mechanism == IPC_MECH_udp)
		meet(c, from, to);
	rollup_message(c, m);
	return store_link(c->store, m->send_event, m->recv_event, m->bytes, m->exact);
}

static void doubt(void *context, const struct match_message *m, uint64_t handle)
{
	struct collector *c = context;
	rollup_inexact(c, m->src->channel);
	store_doubt(c->store, m->send_event, handle);
}

static void unmatched(void *context, const struct match_call *receive)
{
	struct collector *c = context;
	struct endpoint *ep = receive->endpoint;
	struct process *p = ep->process;
	if (c->drops_of[ep->channel->data.mechanism]) {
		channel_partial(c, ep->channel);
		return;
	}
	if (socket_has_inbox(ep->channel) && !ep->channel->peer) {
		ep->outside++;
		ep->outside_bytes += receive->bytes;
		return;
	}
	if (!socket_is_inside(ep->channel))
		return; /* from outside */
	collector_lose(c, p->source, IPC_REASON_unmatched, p, p->data.comm, 1, receive->end);
	channel_partial(c, ep->channel);
}

static void vanished(void *context, const struct datagram *send)
{
	struct channel *ch = send->call.endpoint->channel;
	received(ch);
	if (!send->silent || (!ch->met && !ch->known_there))
		return; /* never read, or gone outside */
	ch->shared->data.lost++;
	channel_dirty(context, ch);
}

static const struct datagram_sink sink = { message, doubt, unmatched, vanished };

/* Where an event belongs. */

static uint64_t flow_key(const struct socket *so, uint64_t other)
{
	return table_hash(so->object, other);
}

static struct channel *flow_of(struct collector *c, struct channel *ch, uint64_t other)
{
	struct socket *so = ch->socket;
	uint64_t key = flow_key(so, other);
	struct channel *flow = table_get(&c->flows, key);
	if (flow && flow->socket == so)
		return flow;
	flow = channel_half(c, ch->data.mechanism);
	void **place = flow ? table_put(&c->flows, key) : NULL;
	if (!place)
		return ch;
	*place = flow;
	flow->socket = so;
	flow->other = other;
	flow->created = true;
	flow->next_flow = so->flows;
	flow->flow_link = &so->flows;
	if (so->flows)
		so->flows->flow_link = &flow->next_flow;
	so->flows = flow;
	so->several |= so->only && so->only != other;
	so->only = so->several ? 0 : other;
	socket_describe(c, flow);
	return flow;
}

static void leave_flows(struct collector *c, struct channel *flow)
{
	uint64_t key = flow_key(flow->socket, flow->other);
	if (!flow->flow_link)
		return;
	*flow->flow_link = flow->next_flow;
	if (flow->next_flow)
		flow->next_flow->flow_link = flow->flow_link;
	if (table_get(&c->flows, key) == flow)
		table_remove(&c->flows, key);
}

void packet_forget(struct collector *c, struct channel *ch)
{
	struct channel *other;
	leave_flows(c, ch);
	if (ch->met && ch->peer)
		LIST_REMOVE(ch, in_met_by);
	while ((other = LIST_FIRST(&ch->met_by))) {
		LIST_REMOVE(other, in_met_by);
		other->peer = NULL;
	}
}

static struct channel *udp_channel(struct collector *c, struct channel *ch, const struct ipc_event *e,
				   bool sends)
{
	uint64_t other = e->arg1 ? e->arg1 : ch->socket->remote;
	struct channel *flow = ch;
	if (!other)
		other = ch->socket->only; /* there is only one it can be from */
	if (other && other != ch->other)
		flow = flow_of(c, ch, other);
	bool fresh = !flow->endpoints || flow == ch;
	bool connected = ch->socket->state & IPC_SOCKET_CONNECTED && flow == ch;
	if (fresh && !connected && !flow->served && (ch->socket->bound || !sends)) {
		flow->served = true;
		socket_describe(c, flow);
	}
	return flow;
}

/* The other side that the event names. */
static uint64_t address_of(const struct channel *ch, const struct ipc_event *e)
{
	if (ch->data.mechanism != IPC_MECH_netlink || !e->arg1)
		return e->arg1;
	return other_port(ch->socket, e->arg1);
}

/* The socket that a datagram of `ch` goes to; `ch` itself: to its peer, or outside. */
static struct channel *unix_channel(struct collector *c, struct channel *ch, const struct ipc_event *e)
{
	struct socket *so = ch->socket;
	struct channel *to = NULL;
	/* Success proves that somebody still holds it: a fork's child may be late to say so. */
	uint64_t time = e->result < 0 ? e->start : 0;
	if (ch->peer)
		return ch;
	if (e->arg1)
		to = socket_bound(c, ch, address_of(ch, e), time);
	else if (so->dest)
		to = channel_known(c, so->dest);
	else if (so->remote)
		to = socket_bound(c, ch, so->remote, time);
	if (!to || to->data.mechanism != ch->data.mechanism || !to->endpoints)
		return ch;
	if (!to->served) {
		to->served = true;
		socket_describe(c, to);
	}
	return to;
}

struct channel *packet_channel(struct collector *c, struct channel *ch, const struct ipc_event *e, bool sends)
{
	if (ch->data.mechanism == IPC_MECH_udp)
		return udp_channel(c, ch, e, sends);
	if (ch->data.mechanism == IPC_MECH_socket_other)
		other_meets(ch, e->arg1);
	if (!socket_has_inbox(ch))
		return ch;
	struct channel *to = sends ? unix_channel(c, ch, e) : ch;
	if (ch->data.mechanism == IPC_MECH_netlink && (uint32_t)e->arg1 &&
	    (sends ? to == ch : !socket_bound(c, ch, address_of(ch, e), 0)))
		ch->socket->strangers = true;
	return to;
}

static unsigned int port_of(const struct collector *c, uint64_t address)
{
	struct address a;
	return address_get(c, address, &a) ? address_port(&a) : 0;
}

/* The source address that the kernel gives a datagram from a socket with a wildcard address. */
static uint64_t source_of(struct collector *c, const struct channel *ch, uint64_t to)
{
	const struct socket *so = ch->socket;
	struct address a;
	unsigned int port = port_of(c, so->local);
	uint64_t unknown = so->local >> 56 == IPC_ADDRESS_IPV4 ? so->local : 0;
	if (!so->any)
		return so->local;
	if (!address_get(c, to, &a) || !address_of_host(&a))
		return unknown; /* the port is known, if it is of IPv4 */
	static const uint8_t loopback[] = { 127, 0, 0, 1 };
	if (address_loopback(&a) && a.length == 16)
		for (unsigned int i = 0; i < 4; i++)
			a.bytes[4 + i] = loopback[i];
	a.bytes[2] = port >> 8;
	a.bytes[3] = port & 0xff;
	return address_take(c, &a);
}

void packet_meet(struct collector *c, struct channel *flow, uint64_t address)
{
	uint64_t there = address ? address : flow->socket->remote;
	struct channel *at = flow->peer ? NULL : socket_bound(c, flow, there, 0);
	const struct ipc_event e = { .arg1 = at ? source_of(c, flow, there) : 0 };
	if (e.arg1)
		meet(c, flow, udp_channel(c, at, &e, false));
}

/* The end of a seqpacket connection looks like an empty message, and comes when all messages were received.
 */
bool packet_moves(const struct channel *ch, const struct ipc_event *e)
{
	if (e->result)
		return e->result > 0;
	if (e->flags & IPC_F_INSIDE)
		return false;
	if (other_is_stream(ch->socket))
		return false;
	return !(e->flags & IPC_F_EOF) || (ch->peer && ch->peer->empties);
}

/* Queues. */

static struct packet_place *place_of(struct collector *c, uint64_t netns, unsigned int port)
{
	uint64_t key = table_hash(netns, port);
	void **slot = table_put(&c->places, key);
	if (!slot)
		return NULL;
	if (*slot)
		return *slot;
	struct packet_place *p = collector_new(c, sizeof(*p));
	if (!p || !(p->queue = datagram_new(&sink, c))) {
		table_remove(&c->places, key);
		return NULL;
	}
	p->key = key;
	p->next = c->all_places;
	c->all_places = p;
	return *slot = p;
}

static bool is_loopback(const struct collector *c, uint64_t address)
{
	struct address a;
	return address_get(c, address, &a) && address_loopback(&a);
}

enum { ALL_NETNS = 1 };

static struct packet_place *place_sent(struct collector *c, const struct channel *ch, uint64_t to)
{
	uint64_t netns = is_loopback(c, to) ? ch->socket->netns : ALL_NETNS;
	struct packet_place *p = place_of(c, netns, port_of(c, to));
	if (p)
		p->sent_to = true;
	return p;
}

static struct packet_place *place_received(struct collector *c, const struct channel *ch, uint64_t from)
{
	const struct socket *so = ch->socket;
	unsigned int port = port_of(c, so->local);
	uint64_t tells = !so->any && so->local ? so->local : from ? from : ch->other;
	if (tells)
		return place_of(c, is_loopback(c, tells) ? so->netns : ALL_NETNS, port);
	struct packet_place *p = place_of(c, so->netns, port);
	return p && p->sent_to ? p : place_of(c, ALL_NETNS, port);
}

static void udp_transfer(struct collector *c, struct datagram *d, struct channel *ch,
			 const struct ipc_event *e, bool sends)
{
	uint64_t other = e->arg1 ? e->arg1 : ch->socket->remote, local = ch->socket->local;
	struct address a;
	struct packet_place *p = sends ? place_sent(c, ch, other) : place_received(c, ch, other);
	if (!p)
		return;
	d->remote = other;
	if (!sends) {
		d->local = local >> 56 == IPC_ADDRESS_IPV4 || !ch->socket->any ? local : 0;
		datagram_receive(p->queue, d);
		return;
	}
	d->local = source_of(c, ch, other);
	d->group = address_get(c, other, &a) && address_group(&a);
	d->silent = true;
	ch->waiting += !d->group;
	if (!ch->known_there)
		ch->known_there = socket_bound(c, ch, other, e->start) != NULL;
	datagram_send(p->queue, d);
}

static void unix_transfer(struct collector *c, struct datagram *d, struct channel *ch,
			  const struct ipc_event *e, bool sends)
{
	const struct channel *own = channel_known(c, e->object);
	struct channel *at = !sends && ch->peer ? ch->peer : ch;
	bool dgram = socket_has_inbox(ch);
	if (sends && dgram && own == ch && !ch->peer)
		return; /* to the outside */
	if (!sends && !dgram && !ch->peer) {
		ch->early = true;
		return;
	}
	if (!at->queue && !(at->queue = datagram_new(&sink, c)))
		return;
	if (own && own != ch && !d->call.endpoint->client) {
		d->call.endpoint->client = true;
		socket_role(c, d->call.endpoint);
	}
	if (at->stream.doubtful)
		datagram_doubt(at->queue);
	if (!d->call.bytes && (sends || at->empties))
		at->empties += sends ? 1 : -1;
	if (sends) {
		d->local = dgram && own ? own->socket->local : 0;
		datagram_send(at->queue, d);
	} else {
		d->remote = dgram ? address_of(ch, e) : 0;
		datagram_receive(at->queue, d);
	}
}

void packet_transfer(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct channel *ch = a->endpoint->channel;
	if (ch->data.mechanism == IPC_MECH_socket_other)
		return;
	struct datagram d = {
		.call = a->call,
		.socket = e->object,
		.full = e->flags & (IPC_F_FULL | IPC_F_TRUNCATED),
	};
	if (ch->data.mechanism == IPC_MECH_udp) {
		d.tag = e->tag;
		udp_transfer(c, &d, ch, e, a->sends);
	} else {
		unix_transfer(c, &d, ch, e, a->sends);
	}
}

static bool is_gone(const struct endpoint *ep)
{
	return ep->gone;
}

void packet_clean(struct collector *c)
{
	struct packet_place **link = &c->all_places, *p;
	while ((p = *link)) {
		datagram_expire(p->queue, c->now);
		if (datagram_forget(p->queue, is_gone)) {
			link = &p->next;
			continue;
		}
		*link = p->next;
		datagram_free(p->queue);
		table_remove(&c->places, p->key);
		collector_free(c, p, sizeof(*p));
	}
}

void packet_settle(struct collector *c)
{
	for (struct packet_place *p = c->all_places; p; p = p->next)
		datagram_settle(p->queue);
}

void packet_close(struct collector *c)
{
	for (struct packet_place *p = c->all_places; p; p = p->next)
		datagram_free(p->queue);
	c->all_places = NULL;
}
