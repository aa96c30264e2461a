// SPDX-License-Identifier: BSD-2-Clause
/*
 * From messages to edges: totals, latencies, and whether they are exact. A message that is not may belong to
 * any edge of its channel: so an edge is exact when all messages of its channel are; or when one process
 * only received from the channel and nothing is left in it: then the bytes and messages of each sender are
 * certain, whichever receive took them.
 */
#include <stdlib.h>

#include "kind.h"
#include "sample.h"

static struct edge *edge_new(struct collector *c, struct endpoint *src, struct process *dst)
{
	struct edge *e = collector_new(c, sizeof(*e));
	if (!e)
		return NULL;
	collector_row(c, &e->row, ROW_EDGE);
	e->data.src_id = src->process->data.id;
	e->data.dst_id = dst->data.id;
	e->data.channel_id = src->channel->shared->data.id;
	e->src = src;
	e->dst = dst;
	e->next = src->channel->edges;
	src->channel->edges = e;
	return e;
}

struct edge *rollup_known(const struct collector *c, const struct endpoint *src, const struct process *dst)
{
	return table_get(&c->edges, edge_key(src, dst));
}

struct edge *rollup_edge(struct collector *c, struct endpoint *src, struct process *dst)
{
	if (src->last_edge && src->last_edge->dst == dst)
		return src->last_edge;
	void **place = table_put(&c->edges, edge_key(src, dst));
	if (!place)
		return NULL;
	if (!*place)
		*place = edge_new(c, src, dst);
	return src->last_edge = *place;
}

static void edges_dirty(struct collector *c, struct channel *ch)
{
	for (struct edge *e = ch->edges; e; e = e->next)
		collector_dirty(c, &e->row);
}

void rollup_inexact(struct collector *c, struct channel *ch)
{
	if (ch->inexact)
		return;
	ch->inexact = true;
	edges_dirty(c, ch);
}

void rollup_message(struct collector *c, const struct match_message *m)
{
	struct edge *e = rollup_edge(c, m->src, m->dst->process);
	if (!e)
		return;
	e->data.messages++;
	e->data.bytes += m->src->channel->counts ? 0 : m->bytes;
	if (!e->data.first_ns || m->sent < e->data.first_ns)
		e->data.first_ns = m->sent;
	if (m->received > e->data.last_ns)
		e->data.last_ns = m->received;
	latency_add(&e->latency, m->received > m->sent ? m->received - m->sent : 0);
	if (!m->exact)
		rollup_inexact(c, m->src->channel);
	collector_dirty(c, &e->row);
}

static uint64_t message(void *context, const struct match_message *m)
{
	struct channel *ch = context;
	rollup_message(ch->collector, m);
	return store_link(ch->collector->store, m->send_event, m->recv_event, ch->counts ? 0 : m->bytes,
			  m->exact);
}

static void doubt(void *context, const struct match_message *m, uint64_t handle)
{
	struct channel *ch = context;
	rollup_inexact(ch->collector, ch);
	store_doubt(ch->collector->store, m->send_event, handle);
}

static void unmatched(void *context, const struct match_call *receive, uint64_t calls)
{
	struct channel *ch = context;
	struct process *p = receive->endpoint->process;
	if (ch->kind->unmatched && ch->kind->unmatched(ch, receive))
		return;
	if (!ch->leftover && !ch->collector->drops_of[ch->data.mechanism])
		collector_lose(ch->collector, p->source, IPC_REASON_unmatched, p, p->data.comm, calls,
			       receive->end);
	channel_partial(ch->collector, ch);
}

static uint64_t inferred(void *context, const struct match_call *send)
{
	struct channel *ch = context;
	struct inside *inside = (struct inside *)(uintptr_t)send->event;
	struct endpoint *ep = send->endpoint;
	uint64_t bytes = ch->counts ? 0 : send->bytes;
	inside->row.result = (int64_t)bytes;
	ep->shared->data.sends += send->bytes > 0;
	ep->shared->data.bytes_sent += bytes;
	ep->shared->data.send_dur_ns += send->bytes > 0 ? inside->row.dur_ns : 0;
	ch->shared->data.bytes_sent += bytes;
	ch->sent += send->bytes;
	collector_dirty(ch->collector, &ep->shared->row);
	channel_dirty(ch->collector, ch);
	return store_event(ch->collector->store, &inside->row, send->bytes > 0);
}

static void partial(void *context)
{
	struct channel *ch = context;
	if (ch->peer)
		channel_partial(ch->collector,
				ch); /* else it went outside, or it is said when they are joined */
}

const struct match_sink rollup_sink = {
	.message = message,
	.doubt = doubt,
	.unmatched = unmatched,
	.inferred = inferred,
	.partial = partial,
};

static bool drained(const struct channel *ch)
{
	if (ch->stream.doubtful || ch->shared->data.partial || ch->killed)
		return false;
	if (ch->kind->drained)
		return ch->kind->drained(ch);
	return (ch->is_stream || ch->counts) && ch->receivers == 1 && ch->sent == ch->received;
}

static bool all_exact(const struct channel *ch)
{
	if (ch->kind->exact)
		return ch->kind->exact(ch);
	return !ch->inexact || drained(ch);
}

static bool is_exact(const struct edge *e)
{
	if (e->total)
		return e->certain && !e->src->channel->shared->data.partial;
	if (e->src->channel->dropped)
		return false;
	bool exact = all_exact(e->src->channel);
	/* Where a process holds both sides its edge stands for both directions. */
	const struct channel *h = e->src->process == e->dst ? e->src->channel->shared->halves : NULL;
	for (; h && exact; h = h->next_half)
		exact = all_exact(h);
	return exact;
}

void rollup_write(struct collector *c, struct edge *e)
{
	static const unsigned int percent[] = { 50, 90, 99 };
	struct store_edge *row = &e->data;
	uint64_t ns[3];
	const struct channel_kind *kind = e->src->channel->kind;
	if (!row->messages && kind->counted && !e->stored)
		return; /* noted, and found to be another's */
	e->stored = true;
	latency_percentiles(&e->latency, percent, ns, 3);
	row->latency_min_ns = e->latency.min;
	row->latency_p50_ns = ns[0];
	row->latency_p90_ns = ns[1];
	row->latency_p99_ns = ns[2];
	row->latency_max_ns = e->latency.max;
	row->timed = !row->shares && !kind->counted && !e->total;
	if (row->shares)
		sample_edge(c, e);
	row->exact = is_exact(e) && !row->sampled;
	row->partial = e->src->channel->shared->data.partial;
	store_edge(c->store, row);
}
