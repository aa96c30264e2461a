// SPDX-License-Identifier: BSD-2-Clause
/*
 * The end of a channel: when all its ends have been closed for a while, what is left in it is given up. A
 * socket is forgotten then: there may be hundreds of thousands.
 *
 * A conversation of datagrams ends when one of its sockets is closed, or when it has been quiet for long: a
 * server's socket stays open. If it goes on after all, that is a new channel. What was sent to a socket that
 * is open may still be received, whenever that is.
 */
#include <stdlib.h>
#include <string.h>

#include "kind.h"
#include "socket.h"
#include "talk.h"

/* After the last end closed: a dead process's last call may come late, and totals come once a second. */
#define SETTLE_AFTER_NS 1000000000ULL
#define TOTALS_AFTER_NS 3000000000ULL
/* Of a conversation of datagrams whose sockets stay open, or where an answer may still come, */
#define QUIET_AFTER_NS 10000000000ULL
#define LOOK_NS	       1000000000ULL

enum { QUIET_MAX = 1 << 14 }; /* and as soon as of a closed one where there are more */

static uint64_t settle_after(const struct collector *c)
{
	return c->aggregate || c->drops ? TOTALS_AFTER_NS : SETTLE_AFTER_NS;
}

void settle_later(struct collector *c, struct channel *ch)
{
	if (ch->closed_listed)
		return;
	ch->closed_listed = true;
	ch->next_closed = NULL;
	*c->closed_last = ch;
	c->closed_last = &ch->next_closed;
}

void settle_channel(struct channel *ch, bool all)
{
	talk_end(ch->collector, ch);
	if (ch->is_stream) {
		match_settle(&ch->stream);
		match_trim(&ch->stream);
	}
	if (ch->kind->settle)
		ch->kind->settle(ch, all);
	total_join(ch);
	ch->settled = true;
}

/* A client that has closed may still be accepted. */
static bool may_be_accepted(const struct collector *c, const struct channel *ch)
{
	return !ch->peer && ch->socket->state & IPC_SOCKET_CONNECTED && ch->other && !socket_has_inbox(ch) &&
	       !socket_is_other(ch) && socket_bound(c, ch, ch->other, c->now);
}

/* Open, or closed for a shorter time than this one. */
static bool is_used(const struct channel *shared)
{
	for (const struct channel *h = shared->halves; h; h = h->next_half)
		if (h->open_ends || h->closed_listed)
			return true;
	return false;
}

static void finish(struct collector *c, struct channel *shared)
{
	shared->next_closed = c->finished;
	c->finished = shared;
}

void settle_socket(struct collector *c, struct channel *ch)
{
	struct channel *shared = ch->shared;
	if (is_used(shared))
		return;
	if (may_be_accepted(c, ch)) {
		ch->closed_ns = c->now;
		settle_later(c, ch);
		return;
	}
	for (struct channel *h = shared->halves; h; h = h->next_half)
		settle_channel(h, false);
	finish(c, shared);
}

/* UDP. */

static bool is_open(const struct socket *so)
{
	const struct channel *half = so->half;
	return half && (!half->closed_ns || half->closed_listed);
}

/* What it sent may still be received: somebody has a socket open there. */
static bool may_arrive(const struct collector *c, const struct channel *ch)
{
	return ch->waiting && socket_bound(c, ch, ch->other, c->now);
}

static bool owes_answer(const struct channel *ch)
{
	for (const struct endpoint *ep = ch->endpoints; ep; ep = ep->next_of_channel)
		if (ep->shared->data.receives > ep->shared->data.sends)
			return true;
	return false;
}

/* A conversation of which a socket is closed, or that nobody has gone on with for long. */
static bool is_over(const struct collector *c, const struct channel *shared)
{
	bool closed = false, owed = false;
	for (const struct channel *h = shared->halves; h; h = h->next_half) {
		bool open = is_open(h->socket);
		if ((open && h == h->socket->half) || may_arrive(c, h))
			return false;
		closed |= !open;
		owed |= open && owes_answer(h);
	}
	bool soon = (closed && !owed) || c->udp_count > QUIET_MAX;
	return c->now > shared->data.last_ns + (soon ? settle_after(c) : QUIET_AFTER_NS);
}

static void finish_udp(struct collector *c, struct channel *shared)
{
	for (struct channel *h = shared->halves; h; h = h->next_half)
		for (struct endpoint *ep = h->endpoints; ep; ep = ep->next_of_channel)
			ep->gone = true;
	finish(c, shared);
}

/* Looks at all conversations, once in a while or when it is worth it. */
static void settle_udp(struct collector *c)
{
	struct channel **link = &c->udp, *ch;
	if (c->now < c->udp_look_ns + LOOK_NS && c->udp_closed <= c->udp_count / 4)
		return;
	c->udp_look_ns = c->now;
	c->udp_closed = 0;
	while ((ch = *link)) {
		bool joined = ch->shared != ch;
		if (!joined && !is_over(c, ch)) {
			link = &ch->next_udp;
			continue;
		}
		*link = ch->next_udp;
		c->udp_count--;
		if (!joined)
			finish_udp(c, ch);
	}
	packet_clean(c);
}

static void settle_all(struct collector *c)
{
	packet_settle(c);
	for (struct channel *ch = c->channels; ch; ch = ch->next)
		settle_channel(ch, true);
	for (struct channel *ch = c->channels; ch; ch = ch->next)
		if (ch->kind->outside)
			ch->kind->outside(c, ch);
}

void settle_closed(struct collector *c, bool all)
{
	while (c->closed &&
	       (all || !c->closed->closed_ns || c->now > c->closed->closed_ns + settle_after(c))) {
		struct channel *ch = c->closed;
		c->closed = ch->next_closed;
		if (!c->closed)
			c->closed_last = &c->closed;
		ch->closed_listed = false;
		if (all || !ch->closed_ns)
			continue;
		if (ch->kind->closed)
			ch->kind->closed(c, ch);
		else
			settle_channel(ch, false);
	}
	if (all) {
		settle_all(c);
		return;
	}
	settle_udp(c);
	for (const struct channel *shared = c->finished; shared; shared = shared->next_closed)
		for (struct channel *h = shared->halves; h; h = h->next_half)
			h->kind->outside(c, h); /* sockets have one */
}

/* Forgetting. */

static void forget_edges(struct collector *c, struct channel *ch)
{
	while (ch->edges) {
		struct edge *e = ch->edges;
		ch->edges = e->next;
		table_remove(&c->edges, edge_key(e->src, e->dst));
		latency_free(&e->latency);
		collector_free(c, e, sizeof(*e));
	}
}

static void forget_endpoints(struct collector *c, struct channel *ch)
{
	while (ch->endpoints) {
		struct endpoint *ep = ch->endpoints;
		ch->endpoints = ep->next_of_channel;
		table_remove(&c->endpoints, endpoint_key(ep->process, ch));
		*ep->link = ep->next_of_process;
		if (ep->next_of_process)
			ep->next_of_process->link = ep->link;
		event_forget_lanes(c, ep);
		collector_free(c, ep->totals, sizeof(*ep->totals));
		collector_free(c, ep, sizeof(*ep));
	}
}

static void forget(struct collector *c, struct channel *ch)
{
	*ch->link = ch->next;
	if (ch->next)
		ch->next->link = ch->link;
	peer_forget(c, ch);
	packet_forget(c, ch);
	socket_forget(c, ch);
	talk_end(c, ch);
	datagram_free(ch->queue);
	datagram_free(ch->passed);
	if (ch->data.key)
		collector_free(c, (char *)ch->data.key, strlen(ch->data.key) + 1);
	collector_free(c, ch, sizeof(*ch));
}

static void forget_row(struct collector *c, struct channel *shared)
{
	struct channel *next;
	for (struct channel *h = shared->halves; h; h = h->next_half)
		forget_edges(c, h);
	for (struct channel *h = shared->halves; h; h = h->next_half)
		forget_endpoints(c, h);
	for (struct channel *h = shared->halves; h; h = next) {
		next = h->next_half;
		forget(c, h);
	}
}

void settle_release(struct collector *c)
{
	c->epoch += c->finished != NULL;
	c->releases += c->finished != NULL;
	while (c->finished) {
		struct channel *shared = c->finished;
		c->finished = shared->next_closed;
		forget_row(c, shared);
	}
}
