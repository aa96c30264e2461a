// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which sockets belong together. UNIX: by the inode that the kernel names. TCP: by network namespace and
 * mirrored addresses. A UNIX client that had closed before it was accepted is known by its pid and the name
 * it connected to only: those wait in line, and the first is taken.
 */
#include <string.h>

#include "socket.h"
#include "talk.h"

/* Connected sockets of one process to one name that wait to be accepted, the oldest in front. */
struct connects {
	struct socket *first, **last;
	struct channel *guessed; /* the latest that was accepted by guess, its client gone */
	uint64_t guessed_end;	 /* of that accept */
};

enum { ANY_NETNS = 1 }; /* the kernel's cookies are larger, or 0: not known */

/* Halves with one row. */

/* The process has an end of both: one row for the two. */
static void merge_endpoints(struct collector *c, struct endpoint *into, struct endpoint *from)
{
	struct store_endpoint *a = &into->data;
	const struct store_endpoint *b = &from->data;
	from->shared = into;
	a->sends += b->sends;
	a->receives += b->receives;
	a->bytes_sent += b->bytes_sent;
	a->bytes_received += b->bytes_received;
	a->send_dur_ns += b->send_dur_ns;
	a->receive_dur_ns += b->receive_dur_ns;
	if (b->first_ns && (!a->first_ns || b->first_ns < a->first_ns))
		a->first_ns = b->first_ns;
	if (b->last_ns > a->last_ns)
		a->last_ns = b->last_ns;
	for (const struct lane *l = from->lanes; l; l = l->next_of_endpoint)
		store_lane_endpoint(c->store, l->id, a->id);
	if (c->aggregate)
		store_aggregate_endpoint(c->store, b->id, a->id);
	if (from->row.written)
		store_endpoint_gone(c->store, b->id);
	from->row.kind = ROW_KINDS;
	collector_dirty(c, &into->row);
}

static struct endpoint *end_with_row(const struct collector *c, const struct process *p,
				     const struct channel *halves)
{
	for (; halves; halves = halves->next_half) {
		struct endpoint *ep = endpoint_known(c, p, halves);
		if (ep)
			return ep->shared;
	}
	return NULL;
}

static void move_endpoint(struct collector *c, struct endpoint *ep, const struct channel *keep)
{
	struct endpoint *other = end_with_row(c, ep->process, keep->halves);
	if (ep->shared != ep)
		return; /* follows the one whose row it has */
	if (other) {
		merge_endpoints(c, other, ep);
	} else {
		ep->data.channel_id = keep->data.id;
		collector_dirty(c, &ep->row);
	}
}

static void move_endpoints(struct collector *c, const struct channel *gone, const struct channel *keep)
{
	for (const struct channel *h = gone->halves; h; h = h->next_half)
		for (struct endpoint *ep = h->endpoints; ep; ep = ep->next_of_channel)
			move_endpoint(c, ep, keep);
	for (const struct channel *h = gone->halves; h; h = h->next_half)
		for (struct endpoint *ep = h->endpoints; ep; ep = ep->next_of_channel)
			ep->shared = ep->shared->shared;
}

static void merge_rows(struct collector *c, struct channel *keep, struct channel *gone)
{
	struct store_channel *a = &keep->data;
	const struct store_channel *b = &gone->data;
	a->bytes_sent += b->bytes_sent;
	a->bytes_received += b->bytes_received;
	a->lost += b->lost;
	a->partial |= b->partial;
	if (b->first_ns && (!a->first_ns || b->first_ns < a->first_ns))
		a->first_ns = b->first_ns;
	if (b->last_ns > a->last_ns)
		a->last_ns = b->last_ns;
	if (gone->row.written)
		store_channel_gone(c->store, b->id);
	gone->row.kind = ROW_KINDS;
	channel_dirty(c, keep);
}

static bool has_edges(const struct channel *shared)
{
	for (const struct channel *h = shared->halves; h; h = h->next_half)
		if (h->edges)
			return true;
	return false;
}

bool peer_share(struct collector *c, struct channel *a, struct channel *b)
{
	struct channel *keep = a->shared, *gone = b->shared, **last = &keep->halves;
	if (keep == gone)
		return true;
	bool older = gone->data.id && (!keep->data.id || gone->data.id < keep->data.id);
	if (has_edges(gone) || (older && !has_edges(keep))) {
		keep = b->shared;
		gone = a->shared;
		last = &keep->halves;
	}
	if (has_edges(gone))
		return false;
	if (gone->data.id)
		channel_row(c, keep);
	talk_merge(c, keep, gone);
	passing_merge(c, keep, gone);
	move_endpoints(c, gone, keep);
	for (struct channel *h = gone->halves; h; h = h->next_half)
		h->shared = keep;
	while (*last)
		last = &(*last)->next_half;
	*last = gone->halves;
	gone->halves = NULL;
	merge_rows(c, keep, gone);
	c->epoch++;
	return true;
}

/* The line of those that wait to be accepted. */

static struct connects *line_of(struct collector *c, unsigned int mechanism, int32_t pid, uint64_t name,
				bool make)
{
	uint64_t key = table_hash(name, (uint64_t)mechanism << 32 | (uint32_t)pid);
	struct connects *line = table_get(&c->connects, key);
	if (line || !make)
		return line;
	void **place = table_put(&c->connects, key);
	line = place ? collector_new(c, sizeof(*line)) : NULL;
	if (!line) {
		table_remove(&c->connects, key);
		return NULL;
	}
	line->last = &line->first;
	return *place = line;
}

static void wait_in_line(struct collector *c, struct socket *so)
{
	if (so->waits || so->pid <= 0 || !so->remote)
		return;
	so->waits = line_of(c, so->half->data.mechanism, so->pid, so->remote, true);
	if (!so->waits)
		return;
	so->next_waiting = NULL;
	*so->waits->last = so;
	so->waits->last = &so->next_waiting;
}

static void leave_line(struct socket *so)
{
	struct connects *line = so->waits;
	if (!line)
		return;
	struct socket **link = &line->first;
	while (*link != so)
		link = &(*link)->next_waiting;
	*link = so->next_waiting;
	if (!*link)
		line->last = link;
	so->waits = NULL;
}

/* Joining. */

static bool join(struct collector *c, struct channel *a, struct channel *b)
{
	if (a->peer || b->peer)
		return false;
	a->peer = b;
	b->peer = a;
	leave_line(a->socket);
	leave_line(b->socket);
	bool doubt = a->early || b->early || a->stream.doubtful || b->stream.doubtful;
	if (a != b && !peer_share(c, a, b)) {
		a->peer = b->peer = NULL;
		return false;
	}
	if (doubt)
		channel_doubt(c, a);
	channel_parties(a);
	return true;
}

/* Taken by guess: who connected cannot be told. */
static void unpaired(struct collector *c, const struct thread *t, struct channel *ch, uint64_t time)
{
	struct process *p = t ? t->process : NULL;
	if (!ch->stream.doubtful)
		collector_lose(c, t ? t->source : 0, IPC_REASON_unpaired, p, p ? p->data.comm : NULL, 1,
			       time);
	channel_doubt(c, ch);
}

static bool overlap(const struct socket *a, const struct socket *b)
{
	return a->connect_start <= b->connect_end && b->connect_start <= a->connect_end;
}

/* The client had closed before it was accepted: the oldest that it can have been. */
static void guess(struct collector *c, struct channel *ch, enum collector_source source,
		  const struct ipc_def *def)
{
	struct connects *line =
		line_of(c, ch->data.mechanism, def->socket.peer_pid, ch->socket->local, false);
	struct socket *oldest = line ? line->first : NULL;
	struct thread *t = def->thread ? join_thread_of(c, source, def->thread) : NULL;
	bool doubt = false;
	for (struct socket *so = oldest; so; so = so->next_waiting)
		if (so->connect_start < oldest->connect_start)
			oldest = so;
	for (struct socket *so = oldest ? line->first : NULL; so; so = so->next_waiting)
		doubt |= so != oldest && overlap(so, oldest);
	if (!oldest || !join(c, ch, oldest->half))
		return;
	ch->socket->guessed = true;
	ch->socket->guess_line = line;
	if (doubt)
		unpaired(c, t, ch, def->time);
}

/* Two accepts at once: which of them got the older one? */
void peer_accepted(struct collector *c, const struct thread *t, struct channel *ch, const struct ipc_event *e)
{
	struct connects *line = ch->socket->guessed ? ch->socket->guess_line : NULL;
	if (!line || e->result < 0)
		return;
	if (line->guessed && e->start < line->guessed_end) {
		unpaired(c, t, ch, e->start);
		unpaired(c, t, line->guessed, e->start);
	}
	line->guessed = ch;
	line->guessed_end = order_end(e);
}

/* TCP. */

static uint64_t pair_key(uint64_t netns, uint64_t local, uint64_t remote)
{
	return table_hash(table_hash(netns, local), remote);
}

static void enter_pair(struct collector *c, struct channel *ch)
{
	struct socket *so = ch->socket;
	so->pair_netns = so->netns;
	so->pair_local = so->local;
	so->pair_remote = so->remote;
	void **place = table_put(&c->pairs, pair_key(so->netns, so->local, so->remote));
	if (place)
		*place = ch;
	place = table_put(&c->pairs, pair_key(ANY_NETNS, so->local, so->remote));
	if (place)
		*place = ch;
}

static void leave_pair(struct collector *c, struct channel *ch)
{
	struct socket *so = ch->socket;
	uint64_t own = pair_key(so->pair_netns, so->pair_local, so->pair_remote);
	uint64_t any = pair_key(ANY_NETNS, so->pair_local, so->pair_remote);
	if (table_get(&c->pairs, own) == ch)
		table_remove(&c->pairs, own);
	if (table_get(&c->pairs, any) == ch)
		table_remove(&c->pairs, any);
}

static void find_tcp(struct collector *c, struct channel *ch)
{
	struct socket *so = ch->socket;
	struct address remote;
	if (so->pair_local != so->local || so->pair_remote != so->remote || so->pair_netns != so->netns)
		leave_pair(c, ch);
	if (!so->local || !so->remote)
		return;
	enter_pair(c, ch);
	struct channel *peer = table_get(&c->pairs, pair_key(so->netns, so->remote, so->local));
	if (!peer && address_get(c, so->remote, &remote) && !address_loopback(&remote))
		peer = table_get(&c->pairs, pair_key(ANY_NETNS, so->remote, so->local));
	if (peer && peer->data.mechanism == IPC_MECH_tcp)
		join(c, ch, peer);
}

static void find_unix(struct collector *c, struct channel *ch, enum collector_source source,
		      const struct ipc_def *def)
{
	const struct ipc_def_socket *d = &def->socket;
	unsigned int mechanism = ch->data.mechanism;
	bool pair = d->state & IPC_SOCKET_PAIR;
	struct channel *peer = NULL;
	if (d->peer)
		peer = channel_of(c, ipc_object(mechanism, d->peer));
	if (mechanism == IPC_MECH_unix_dgram && !pair) {
		ch->socket->dest = d->peer ? ipc_object(mechanism, d->peer) : 0;
		return;
	}
	if (peer && peer->socket)
		join(c, ch, peer);
	else if (d->state & IPC_SOCKET_ACCEPTED && d->peer_pid > 0)
		guess(c, ch, source, def);
	else if (d->state & IPC_SOCKET_CONNECTED)
		wait_in_line(c, ch->socket);
}

void peer_find(struct collector *c, struct channel *ch, enum collector_source source,
	       const struct ipc_def *def)
{
	if (ch->peer)
		return;
	if (ch->data.mechanism == IPC_MECH_tcp)
		find_tcp(c, ch);
	else if (ch->data.mechanism <= IPC_MECH_unix_seqpacket)
		find_unix(c, ch, source, def);
}

void peer_forget(struct collector *c, struct channel *ch)
{
	struct socket *so = ch->socket;
	leave_line(so);
	leave_pair(c, ch);
	if (so->guess_line && so->guess_line->guessed == ch)
		so->guess_line->guessed = NULL;
}
