// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sockets: from the definitions of the sources to what a socket is called and which part a process has in it.
 */
#include <stdio.h>
#include <string.h>

#include "kind.h"
#include "socket.h"

static struct channel *socket_make(struct collector *c, uint64_t object)
{
	struct channel *ch = channel_half(c, ipc_object_mechanism(object));
	if (!ch || !(ch->socket = collector_new(c, sizeof(*ch->socket))))
		return ch;
	ch->socket->half = ch;
	ch->socket->object = object;
	socket_describe(c, ch);
	return ch;
}

static bool socket_makes(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return e->call == IPC_CALL_socket || e->call == IPC_CALL_socketpair || e->call == IPC_CALL_accept ||
	       e->call == IPC_CALL_accept4;
}

static void socket_opened(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	(void)c;
	struct channel *ch = ep->channel;
	if (!ch->created && !socket_makes(ch, e)) { /* made outside the trace: others may hold it too */
		ch->stream.doubtful = true;
		if (ch->peer)
			ch->peer->stream.doubtful = true;
	}
	ch->created = true;
}

uint64_t socket_local(const struct channel *ch)
{
	if (ch->socket->any && ch->peer && ch->peer->other)
		return ch->peer->other;
	return ch->socket->local;
}

/* Names. */

static bool is_server(const struct channel *ch)
{
	return ch->socket->state & IPC_SOCKET_ACCEPTED || ch->served;
}

/* What people know it by: the server's address. */
static uint64_t name_of(const struct channel *ch)
{
	const struct channel *peer = ch->peer;
	if (ch->socket->state & IPC_SOCKET_PAIR)
		return 0;
	if (peer && is_server(peer) && !is_server(ch))
		ch = peer;
	if (is_server(ch) || !ch->other)
		return socket_local(ch);
	return ch->other;
}

static void unix_key(const struct channel *ch, char *key, size_t size)
{
	unsigned long long own = ipc_object_id(ch->socket->object), other;
	if (!ch->peer) {
		snprintf(key, size, "unix:[%llu]", own);
		return;
	}
	other = ipc_object_id(ch->peer->socket->object);
	snprintf(key, size, "unix:[%llu]-[%llu]", own < other ? own : other, own < other ? other : own);
}

static void ip_key(const struct collector *c, const struct channel *ch, char *key, size_t size)
{
	const char *mechanism = ch->data.mechanism == IPC_MECH_tcp ? "tcp" : "udp";
	char own[ADDRESS_TEXT_MAX], other[ADDRESS_TEXT_MAX];
	struct address a, b;
	unsigned long long netns = ch->socket->netns;
	if (ch->peer && ch->peer->socket->netns < netns)
		netns = ch->peer->socket->netns;
	if (!address_get(c, socket_local(ch), &a)) {
		snprintf(key, size, "%s:[%llu]", mechanism,
			 (unsigned long long)ipc_object_id(ch->socket->object));
		return;
	}
	address_text(&a, true, own, sizeof(own));
	if (!address_get(c, ch->other, &b)) {
		snprintf(key, size, "%s:%llu:%s", mechanism, netns, own);
		return;
	}
	address_text(&b, true, other, sizeof(other));
	bool first = address_compare(&a, &b) <= 0;
	snprintf(key, size, "%s:%llu:%s-%s", mechanism, netns, first ? own : other, first ? other : own);
}

/* The keys of sockets are many: they are not kept for longer than their row. */
static void set_key(struct collector *c, struct channel *ch, const char *key)
{
	size_t size = strlen(key) + 1;
	if (ch->data.key && !strcmp(ch->data.key, key))
		return;
	char *copy = collector_new(c, size);
	if (!copy)
		return;
	memcpy(copy, key, size);
	if (ch->data.key)
		collector_free(c, (char *)ch->data.key, strlen(ch->data.key) + 1);
	ch->data.key = copy;
	channel_dirty(c, ch);
}

static void set_name(struct collector *c, struct channel *shared, const struct channel *ch)
{
	char text[ADDRESS_TEXT_MAX] = "";
	struct address a;
	if (socket_is_other(ch))
		other_name(ch, text, sizeof(text));
	else if (address_get(c, name_of(ch), &a))
		address_text(&a, true, text, sizeof(text));
	else
		return;
	if (!*text && !shared->data.name)
		return;
	if (shared->data.name && !strcmp(shared->data.name, text))
		return;
	shared->data.name = collector_text(c, text, strlen(text));
	channel_dirty(c, shared);
}

static const char *role_of(const struct endpoint *ep)
{
	const struct channel *ch = ep->channel;
	uint32_t state = ch->socket->state;
	if (state & IPC_SOCKET_LISTENS)
		return "listener";
	if (state & IPC_SOCKET_PAIR)
		return "peer";
	if (ep->client)
		return "client";
	if (is_server(ch))
		return "server";
	if (state & IPC_SOCKET_CONNECTED || ch != ch->socket->half)
		return "client";
	if (ch->data.mechanism == IPC_MECH_netlink)
		return "client";
	return ch->peer || ch->other || socket_is_other(ch) ? "peer" : "none";
}

void socket_role(struct collector *c, struct endpoint *ep)
{
	const char *role = role_of(ep);
	for (const struct channel *h = ep->channel->shared->halves; h; h = h->next_half) {
		const struct endpoint *other = h != ep->channel ? endpoint_known(c, ep->process, h) : NULL;
		if (other && strcmp(role, role_of(other)))
			role = "peer"; /* it holds both sides */
	}
	if (!strcmp(ep->shared->data.role, role))
		return;
	ep->shared->data.role = role;
	collector_dirty(c, &ep->shared->row);
}

void socket_describe(struct collector *c, struct channel *ch)
{
	char key[2 * ADDRESS_TEXT_MAX + 40];
	bool forgot_peer = ch->met && !ch->peer; /* then what it is called stays */
	if (!forgot_peer && (ch == ch->shared || ch->peer == ch->shared)) {
		if (socket_is_ip(ch))
			ip_key(c, ch, key, sizeof(key));
		else if (socket_is_other(ch))
			other_key(ch, key, sizeof(key));
		else
			unix_key(ch, key, sizeof(key));
		set_key(c, ch->shared, key);
		set_name(c, ch->shared, ch);
	}
	for (struct endpoint *ep = ch->endpoints; ep; ep = ep->next_of_channel)
		socket_role(c, ep);
}

/* What sockets are bound to. */

static uint64_t bound_key(const struct collector *c, unsigned int mechanism, uint64_t address, bool any)
{
	struct address a;
	if (any && address_get(c, address, &a))
		return table_hash(mechanism, address_port(&a));
	return table_hash(mechanism, address);
}

/* Only where others may come from outside its own connection. */
static bool takes_others(const struct channel *ch)
{
	const struct socket *so = ch->socket;
	if (ch->data.mechanism == IPC_MECH_udp || socket_has_inbox(ch))
		return so->local;
	return so->local && so->state & IPC_SOCKET_LISTENS;
}

static void enter_bound(struct collector *c, struct channel *ch)
{
	struct socket *so = ch->socket;
	void **place = takes_others(ch)
			       ? table_put(&c->names, bound_key(c, ch->data.mechanism, so->local, so->any))
			       : NULL;
	if (place)
		*place = ch;
}

static void leave_bound(struct collector *c, struct channel *ch)
{
	uint64_t key = bound_key(c, ch->data.mechanism, ch->socket->local, ch->socket->any);
	if (ch->socket->local && table_get(&c->names, key) == ch)
		table_remove(&c->names, key);
}

struct channel *socket_bound(const struct collector *c, const struct channel *from, uint64_t address,
			     uint64_t time)
{
	unsigned int mechanism = from->data.mechanism;
	struct channel *ch = table_get(&c->names, bound_key(c, mechanism, address, false));
	struct address a;
	bool known = address_get(c, address, &a);
	if (!ch && known && address_port(&a) && (address_group(&a) || address_of_host(&a)))
		ch = table_get(&c->names, bound_key(c, mechanism, address, true));
	if (!ch || (ch->closed_ns && ch->closed_ns < time) ||
	    (known && address_loopback(&a) && ch->socket->netns != from->socket->netns))
		return NULL;
	return ch;
}

void socket_forget(struct collector *c, struct channel *ch)
{
	struct socket *so = ch->socket;
	if (ch == so->half) {
		leave_bound(c, ch);
		if (table_get(&c->objects, so->object) == ch)
			table_remove(&c->objects, so->object);
		so->half = NULL;
	}
	if (!so->half && !so->flows)
		collector_free(c, so, sizeof(*so));
}

/* Definitions. */

static bool take_address(struct address *a, const uint8_t **text, size_t *length)
{
	*a = (struct address){ 0 };
	if (!*length)
		return true;
	size_t size = **text;
	if (size > IPC_ADDRESS_MAX || size >= *length)
		return false;
	a->length = size;
	memcpy(a->bytes, *text + 1, size);
	*text += 1 + size;
	*length -= 1 + size;
	return true;
}

/* The number stands for a new socket. */
static bool is_another(const struct collector *c, const struct channel *ch, const struct ipc_def_socket *d,
		       uint64_t local, uint64_t remote)
{
	const struct socket *so = ch->socket;
	uint64_t peer = ipc_object(ch->data.mechanism, d->peer);
	if (!ch->created || !(d->state & (IPC_SOCKET_ACCEPTED | IPC_SOCKET_PAIR)))
		return false;
	return (d->peer && ch->peer && channel_known(c, peer) != ch->peer) ||
	       (d->listener && ch->listener && ch->listener != d->listener) ||
	       (so->local && so->local != local) || (so->remote && so->remote != remote);
}

/* A process that no source is in: the kernel's word for it now is the best there will be. */
static void take_comm(struct collector *c, struct socket *so, enum collector_source source)
{
	char path[32], comm[64];
	const struct life *l = life_of(c, source, so->peer_pid);
	if (so->peer_pid <= 0 || so->peer_comm || (l && !l->ended))
		return;
	snprintf(path, sizeof(path), "/proc/%d/comm", so->peer_pid);
	FILE *f = fopen(path, "re");
	if (f && fgets(comm, sizeof(comm), f))
		so->peer_comm = collector_text(c, comm, strcspn(comm, "\n"));
	if (f)
		fclose(f);
}

static void update(struct collector *c, struct channel *ch, enum collector_source source,
		   const struct ipc_def *def, uint64_t local, uint64_t remote)
{
	const struct ipc_def_socket *d = &def->socket;
	struct socket *so = ch->socket;
	struct thread *t = def->thread ? join_thread_of(c, source, def->thread) : NULL;
	struct address a;
	leave_bound(c, ch);
	so->state |= d->state;
	if (d->netns)
		so->netns = d->netns;
	if (socket_is_other(ch))
		so->kind = d->peer;
	if (ch->data.mechanism == IPC_MECH_netlink) {
		so->port = (uint32_t)local;
		local = so->port ? other_port(so, local) : 0;
		remote = (uint32_t)remote ? other_port(so, remote) : 0;
	}
	if (local)
		so->local = local;
	so->any = address_get(c, so->local, &a) && address_any(&a);
	if (remote || ch->data.mechanism == IPC_MECH_udp)
		so->remote = remote;
	if (so->remote && (!ch->other || !ch->endpoints || ch->data.mechanism != IPC_MECH_udp))
		ch->other = so->remote;
	if (d->listener)
		ch->listener = d->listener;
	if (t && t->process)
		so->pid = t->process->data.pid;
	if (d->peer_pid && !(d->state & IPC_SOCKET_PAIR)) {
		so->peer_pid = d->peer_pid;
		take_comm(c, so, source);
	}
	if (so->state & IPC_SOCKET_CONNECTED && ch->is_stream && so->remote)
		ch->known_there |= socket_bound(c, ch, so->remote, def->time) != NULL;
	enter_bound(c, ch);
}

void socket_define(struct collector *c, enum collector_source source, const struct ipc_def *d,
		   const uint8_t *text, size_t length)
{
	struct address own, other;
	bool sense = socket_is(ipc_object_mechanism(d->socket.object)) &&
		     take_address(&own, &text, &length) && take_address(&other, &text, &length);
	struct channel *ch = sense ? channel_of(c, d->socket.object) : NULL;
	if (!ch || !ch->socket) {
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, d->time);
		return;
	}
	uint64_t local = address_take(c, &own), remote = address_take(c, &other);
	if (is_another(c, ch, &d->socket, local, remote))
		ch = channel_renew(c, ch, d->socket.object);
	update(c, ch, source, d, local, remote);
	peer_find(c, ch, source, d);
	socket_describe(c, ch);
	if (ch->peer && ch->peer != ch)
		socket_describe(c, ch->peer);
}

/* Events. */

/* The half itself, or one of its flows. */
static struct channel *socket_find(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct channel *ch = channel_at(c, e);
	if (!ch || !ch->socket)
		return ch;
	switch (e->call) {
	case IPC_CALL_connect:
		ch->socket->connect_start = e->start;
		ch->socket->connect_end = order_end(e);
		break;
	case IPC_CALL_bind:
		ch->socket->bound |= e->result >= 0;
		break;
	case IPC_CALL_accept:
	case IPC_CALL_accept4:
		peer_accepted(c, a->thread, ch, e);
		break;
	}
	if (!ch->is_stream && (a->verb == IPC_VERB_send || a->verb == IPC_VERB_recv))
		return packet_channel(c, ch, e, a->verb == IPC_VERB_send);
	return ch;
}

/* Whether a half whose peer is not known keeps what it sends: all of it while the peer may be about to be
 * known. */
static bool socket_keeps(struct channel *ch, const struct ipc_event *e)
{
	bool young = e->start < ch->shared->data.first_ns + JOIN_PATIENCE_NS;
	bool soon = ch->known_there || young;
	ch->stream.had_reader |= soon;
	return ch->stream.sends.count < (soon ? SENDS_UNJOINED_SOON : SENDS_UNJOINED);
}

static bool socket_unmatched(struct channel *ch, const struct match_call *receive)
{
	(void)receive;
	return !ch->endpoints; /* from outside */
}

static void socket_settle(struct channel *ch, bool all)
{
	(void)all;
	if (ch->queue)
		datagram_settle(ch->queue);
	if (ch->passed)
		datagram_settle(ch->passed);
}

static void socket_outside(struct collector *c, struct channel *ch)
{
	if (!socket_is_inside(ch))
		outside_write(c, ch);
}

static void udp_made(struct collector *c, struct channel *ch)
{
	ch->next_udp = c->udp;
	c->udp = ch;
	c->udp_count++;
}

/* All conversations are looked at together, once in a while. */
static void udp_closed(struct collector *c, struct channel *ch)
{
	(void)ch;
	c->udp_closed++;
}

#define SOCKET                                                                                               \
	.make = socket_make, .makes = socket_makes, .find = socket_find, .opened = socket_opened,            \
	.role = socket_role, .settle = socket_settle, .outside = socket_outside, .carries = true
#define PACKET SOCKET, .moves = packet_moves, .transfer = packet_transfer

const struct channel_kind socket_kind = {
	SOCKET,
	.keeps = socket_keeps,
	.unmatched = socket_unmatched,
	.closed = settle_socket,
};
const struct channel_kind packet_kind = { PACKET, .closed = settle_socket };
const struct channel_kind udp_kind = { PACKET, .made = udp_made, .closed = udp_closed };
