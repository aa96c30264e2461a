// SPDX-License-Identifier: BSD-2-Clause
/*
 * What came as totals: sends and receives of events that were dropped, or, of a recording that aggregates,
 * all.
 *
 * Who sent to whom follows from the totals of a channel's ends where only one process sent, or only one
 * received: of a stream, and of several senders, once all that was sent is received. Where several sent and
 * several received it is known that they could, no more: such edges have neither messages nor bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kind.h"
#include "socket.h"
#include "tables.h"

enum { PAIRS_MAX = 1024 }; /* edges of a channel with several senders and several receivers; of more: none */

/* ---- where totals belong ---- */

static struct channel *channel_of_total(struct collector *c, const struct process *p,
					const struct collector_total *t)
{
	const struct ipc_event e = {
		.start = t->first_ns,
		.object = t->object,
		.result = (int64_t)(t->bytes < MOVED_MAX ? t->bytes : MOVED_MAX),
		.arg1 = t->other,
		.call = t->call,
	};
	bool sends = t->verb == IPC_VERB_send;
	struct channel *ch = t->object ? channel_for(c, p, t->object, sends) : NULL;
	bool transfers = sends || t->verb == IPC_VERB_recv;
	if (!ch || !ch->socket || ch->is_stream || !transfers)
		return ch;
	return packet_channel(c, ch, &e, sends);
}

/* What a result is where it is no number of bytes. */
static uint64_t bytes_of(const struct channel *ch, const struct collector_total *t)
{
	bool none = ch->counts || ch->is_lock || ch->kind->no_bytes || ch->kind->transfer_all;
	return none ? 0 : t->bytes;
}

static void add_moved(struct collector *c, struct endpoint *ep, const struct collector_total *t)
{
	struct store_endpoint *row = &ep->shared->data;
	struct store_channel *channel = &ep->channel->shared->data;
	struct channel *from = ep->channel->peer ? ep->channel->peer : ep->channel;
	uint64_t bytes = bytes_of(ep->channel, t);
	if (t->verb == IPC_VERB_send) {
		row->sends += t->moved;
		row->bytes_sent += bytes;
		row->send_dur_ns += t->moved_ns;
		channel->bytes_sent += bytes;
	} else {
		row->receives += t->moved;
		row->bytes_received += bytes;
		row->receive_dur_ns += t->moved_ns;
		channel->bytes_received += bytes;
		from->receivers += !ep->received && t->moved;
		ep->received |= t->moved > 0;
	}
	endpoint_role(c, ep, t->verb == IPC_VERB_send ? ROLE_WRITER : ROLE_READER);
	collector_dirty(c, &ep->shared->row);
	channel_dirty(c, ep->channel);
}

/* ---- what was dropped ---- */

static void remember_dropped(struct collector *c, uint32_t channel)
{
	if (c->drops == c->drop_room) {
		uint32_t room = c->drop_room ? 2 * c->drop_room : 64;
		uint32_t *dropped = realloc(c->dropped, room * sizeof(*dropped));
		if (!dropped) {
			c->error = -ENOMEM;
			return;
		}
		c->dropped = dropped;
		c->drop_room = room;
	}
	c->dropped[c->drops++] = channel;
}

static void dropped(struct collector *c, struct channel *ch)
{
	struct channel *from = ch->peer ? ch->peer : ch;
	ch->inexact = from->inexact = true;
	if (!ch->dropped && ch->shared->data.id)
		remember_dropped(c, ch->shared->data.id);
	ch->dropped = from->dropped = true;
	channel_doubt(c, ch);
}

void total_uncounted(struct collector *c, enum ipc_mechanism mechanism)
{
	c->uncounted[mechanism] = c->any_uncounted = true;
}

static void doubt_uncounted(struct collector *c)
{
	bool all = c->uncounted[IPC_MECH_none];
	for (struct channel *ch = c->any_uncounted ? c->channels : NULL; ch; ch = ch->next)
		if ((all || c->uncounted[ch->data.mechanism]) && ch->data.mechanism != IPC_MECH_process)
			dropped(c, ch);
	c->any_uncounted = false;
	memset(c->uncounted, 0, sizeof(c->uncounted));
}

/* ---- what is aggregated ---- */

static void changed(struct collector *c, struct channel *ch)
{
	if (ch->is_totalled)
		return;
	ch->is_totalled = true;
	ch->next_totalled = c->totalled;
	c->totalled = ch;
}

/* Of a socket that others send to: what came from outside. Of UNIX it cannot be seen. */
static bool from_outside(const struct collector *c, const struct channel *ch, const struct collector_total *t)
{
	if (ch->data.mechanism != IPC_MECH_netlink)
		return false;
	return !(uint32_t)t->other || !socket_bound(c, ch, other_port(ch->socket, t->other), 0);
}

static void add_end(struct collector *c, struct endpoint *ep, const struct collector_total *t)
{
	struct channel *ch = ep->channel;
	bool sends = t->verb == IPC_VERB_send;
	if (!ep->totals && !(ep->totals = collector_new(c, sizeof(*ep->totals))))
		return;
	if (ch->socket && socket_has_inbox(ch)) {
		if (sends && channel_known(c, t->object) != ch && !ep->client) {
			ep->client = true;
			socket_role(c, ep);
		}
		if (!sends && from_outside(c, ch, t)) {
			ep->outside += t->moved;
			ep->outside_bytes += t->bytes;
			return;
		}
	}
	ep->totals->sends += sends ? t->moved : 0;
	ep->totals->receives += sends ? 0 : t->moved;
	ep->totals->bytes_sent += sends ? t->bytes : 0;
	ep->totals->bytes_received += sends ? 0 : t->bytes;
	if (ch->data.mechanism == IPC_MECH_udp && sends)
		packet_meet(c, ch, t->other);
	changed(c, sends || !ch->peer ? ch : ch->peer);
}

/* The middle of the bucket that it is in. */
static uint64_t percentile(const struct collector_total *t, unsigned int percent)
{
	uint64_t rank = t->calls / 100 * percent + (t->calls % 100 * percent + 99) / 100, up_to = 0;
	uint32_t i = 0;
	while (i + 1 < IPC_BUCKETS && (up_to += t->histogram[i]) < rank)
		i++;
	uint64_t ns = (ipc_bucket_from(i) + ipc_bucket_from(i + 1)) / 2;
	return ns < t->min_ns ? t->min_ns : ns > t->max_ns ? t->max_ns : ns;
}

static void store(struct collector *c, const struct process *p, const struct endpoint *ep,
		  const struct collector_total *t)
{
	const struct store_aggregate row = {
		.process_id = p->data.id,
		.endpoint_id = ep ? ep->shared->data.id : 0,
		.call = t->call,
		.verb = t->verb,
		.start_ns = t->since_ns,
		.calls = t->calls,
		.errors = t->errors,
		.bytes = ep ? bytes_of(ep->channel, t) : t->bytes,
		.ns = t->ns,
		.min_ns = t->min_ns,
		.max_ns = t->max_ns,
		.p50_ns = percentile(t, 50),
		.p90_ns = percentile(t, 90),
		.p99_ns = percentile(t, 99),
		.histogram = t->histogram,
	};
	store_aggregate(c->store, &row);
}

/* ---- taking ---- */

static void wait_for_image(struct collector *c, enum collector_source source, const struct collector_total *t)
{
	struct waiting_total *w = collector_new(c, sizeof(*w));
	if (!w)
		return;
	*w = (struct waiting_total){ c->waiting_totals, source, *t };
	c->waiting_totals = w;
}

static void take(struct collector *c, enum collector_source source, struct process *p,
		 const struct collector_total *t)
{
	struct channel *ch = channel_of_total(c, p, t);
	struct endpoint *ep = ch ? endpoint_of(c, p, ch) : NULL;
	if (!t->dropped)
		store(c, p, ep, t);
	if (!ep) {
		if (t->dropped && t->moved)
			collector_lose(c, source, IPC_REASON_rejected, p, p->data.comm, t->calls, c->now);
		return;
	}
	if (t->first_ns)
		endpoint_seen(c, ep, t->first_ns, t->last_ns);
	if (t->moved)
		add_moved(c, ep, t);
	if (t->dropped)
		dropped(c, ch);
	else if (t->moved)
		add_end(c, ep, t);
}

static bool makes_sense(const struct collector_total *t)
{
	return t->call < IPC_CALLS && t->verb < IPC_VERBS &&
	       ipc_object_mechanism(t->object) < IPC_MECHANISMS && t->first_ns <= t->last_ns &&
	       t->min_ns <= t->max_ns;
}

void total_take(struct collector *c, enum collector_source source, const struct collector_total *t)
{
	struct process *p = image_of(c, t->image);
	if (!makes_sense(t))
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, c->now);
	else if (p)
		take(c, source, p, t);
	else
		wait_for_image(c, source, t);
}

void total_close(struct collector *c)
{
	for (struct waiting_total *w = c->waiting_totals; w; w = w->next) {
		struct process *p = image_of(c, w->total.image);
		if (p)
			take(c, w->source, p, &w->total);
		else
			collector_lose(c, w->source, IPC_REASON_undefined, NULL, NULL, w->total.calls,
				       c->now);
	}
	c->waiting_totals = NULL;
	total_join_all(c);
}

/* ---- edges ---- */

/* The two sides of a half: who sends into it, and who receives from it. */
struct sides {
	struct channel *from, *to;
	unsigned int senders, receivers;
	uint64_t sends, receives, sent, received;
};

/* What the owner of an inbox sends goes elsewhere. */
static bool is_sender(const struct endpoint *ep)
{
	const struct channel *ch = ep->channel;
	bool inbox = ch->socket && socket_has_inbox(ch) && !ch->peer;
	return ep->totals && ep->totals->sends && (!inbox || ep->client);
}

static bool is_receiver(const struct endpoint *ep)
{
	return ep->totals && ep->totals->receives;
}

static void look(struct sides *s)
{
	for (const struct endpoint *ep = s->from->endpoints; ep; ep = ep->next_of_channel) {
		if (!is_sender(ep))
			continue;
		s->senders++;
		s->sends += ep->totals->sends;
		s->sent += ep->totals->bytes_sent;
	}
	for (const struct endpoint *ep = s->to->endpoints; ep; ep = ep->next_of_channel) {
		if (!is_receiver(ep))
			continue;
		s->receivers++;
		s->receives += ep->totals->receives;
		s->received += ep->totals->bytes_received;
	}
}

/* Whether all that was sent is received, so that each sender's part is what it sent. */
static bool all_received(const struct sides *s)
{
	return s->from->is_stream ? s->sent == s->received : s->sends == s->receives;
}

/* A message that was received is one of those that were sent; what was received of a stream says nothing of
 * how many sends that was. */
static bool is_certain(const struct sides *s)
{
	const struct channel *ch = s->from;
	if (ch->stream.doubtful || ch->killed || ch->kind->edits)
		return false;
	if (!ch->is_stream && s->senders == 1)
		return s->receives <= s->sends;
	return s->receivers == 1 && all_received(s);
}

static void set_edge(struct collector *c, const struct sides *s, struct endpoint *src, struct endpoint *dst)
{
	struct edge *e = rollup_edge(c, src, dst->process);
	const struct end_totals *sent = src->totals, *received = dst->totals;
	uint64_t first = src->shared->data.first_ns, last = dst->shared->data.last_ns;
	bool by_receives = s->receivers > 1 || (!s->from->is_stream && s->senders == 1);
	if (!e)
		return;
	e->total = true;
	e->certain = is_certain(s);
	e->data.unknown = s->senders > 1 && s->receivers > 1;
	e->data.messages = by_receives ? received->receives : sent->sends;
	e->data.bytes = s->senders == 1 ? received->bytes_received : sent->bytes_sent;
	e->data.first_ns = first;
	e->data.last_ns = last > first ? last : first;
	collector_dirty(c, &e->row);
}

/* The kernel's answers, and what came to a socket that nobody of the trace sent to. */
static void count_outside(struct channel *ch)
{
	for (struct endpoint *ep = ch->endpoints; ep; ep = ep->next_of_channel) {
		if (!is_receiver(ep))
			continue;
		ep->outside = ep->totals->receives;
		ep->outside_bytes = ep->totals->bytes_received;
	}
}

void total_join(struct channel *ch)
{
	struct collector *c = ch->collector;
	struct sides s = { .from = ch, .to = ch->peer };
	if (!s.to && ch->socket && socket_has_inbox(ch))
		s.to = ch;
	if (!s.to || !c->aggregate)
		return;
	look(&s);
	if (!s.senders && ch->data.mechanism == IPC_MECH_unix_dgram && s.to == ch)
		count_outside(ch);
	bool several = s.senders > 1 && s.receivers > 1;
	if (several && (uint64_t)s.senders * s.receivers > PAIRS_MAX)
		return;
	for (struct endpoint *src = s.from->endpoints; src; src = src->next_of_channel)
		for (struct endpoint *dst = is_sender(src) ? s.to->endpoints : NULL; dst;
		     dst = dst->next_of_channel)
			if (is_receiver(dst))
				set_edge(c, &s, src, dst);
}

void total_join_all(struct collector *c)
{
	doubt_uncounted(c);
	while (c->totalled) {
		struct channel *ch = c->totalled;
		c->totalled = ch->next_totalled;
		ch->is_totalled = false;
		total_join(ch);
	}
}
