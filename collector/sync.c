// SPDX-License-Identifier: BSD-2-Clause
/*
 * Semaphores, locks, conditions and barriers. Their endpoints and edges come from what the shim counted
 * (collector_counted), their events only tell of calls that waited: who, for how long, for whom.
 *
 * A lock and a barrier know who gave what to whom. A semaphore's units and a condition's signals are all
 * alike: what the shim noted, the last to give, is only likely. But where one process alone gave, each
 * receive was from it; and where one alone received, all that the others gave to a semaphore went there.
 */
#include <stdio.h>

#include "kind.h"
#include "tables.h"

enum { WAITING_MAX = 1 << 16 };

/* Counts whose images are not defined yet. */
struct sync_count {
	struct sync_count *next;
	enum collector_source source;
	struct collector_count count;
};

static bool is_fungible(const struct channel *ch)
{
	return ch->data.mechanism == IPC_MECH_posix_sem || ch->data.mechanism == IPC_MECH_cond;
}

/* What the endpoint gave: also a semaphore's first value. */
static uint64_t given(const struct endpoint *ep)
{
	return ep->data.sends + ep->made;
}

void collector_counted(struct collector *c, enum collector_source source, const struct collector_count *n)
{
	journal_put(c->journal, JOURNAL_COUNTED, source, n, sizeof(*n));
	bool sense = kind_of(n->object) == &sync_kind && c->counts_waiting < WAITING_MAX;
	struct sync_count *s = sense ? collector_new(c, sizeof(*s)) : NULL;
	if (!s) {
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, c->now);
		return;
	}
	*s = (struct sync_count){ c->counts, source, *n };
	c->counts = s;
	c->counts_waiting++;
}

static void set_edge(struct collector *c, struct edge *e, uint64_t messages)
{
	if (!e || e->data.messages == messages)
		return;
	e->data.messages = messages;
	collector_dirty(c, &e->row);
}

static void seen(struct collector *c, struct edge *e, uint64_t first, uint64_t last)
{
	if (!e->data.first_ns || first < e->data.first_ns)
		e->data.first_ns = first;
	if (last > e->data.last_ns)
		e->data.last_ns = last;
	collector_dirty(c, &e->row);
}

/* The only endpoint that gave (or received), or NULL. */
static struct endpoint *only(const struct channel *ch, bool gave)
{
	struct endpoint *found = NULL;
	for (struct endpoint *ep = ch->endpoints; ep; ep = ep->next_of_channel) {
		if (!(gave ? given(ep) : ep->data.receives))
			continue;
		if (found)
			return NULL;
		found = ep;
	}
	return found;
}

static void totals(const struct channel *ch, uint64_t *made, uint64_t *gave, uint64_t *received)
{
	*made = *gave = *received = 0;
	for (const struct endpoint *ep = ch->endpoints; ep; ep = ep->next_of_channel) {
		*made += ep->made;
		*gave += given(ep);
		*received += ep->data.receives;
	}
}

static void edge_between(struct collector *c, struct endpoint *src, struct endpoint *dst, uint64_t messages)
{
	struct edge *e = messages ? rollup_edge(c, src, dst->process) : NULL;
	if (!e)
		return;
	set_edge(c, e, messages);
	uint64_t first = src->data.first_ns > dst->data.first_ns ? src->data.first_ns : dst->data.first_ns;
	seen(c, e, first, dst->data.last_ns);
}

/* What the only one that received from a semaphore got from one that gave. Units are all alike, and the
 * oldest are taken first: the first value, then what was posted. */
static uint64_t got_from(const struct endpoint *ep, uint64_t made, uint64_t received)
{
	uint64_t first = received < made ? received : made, posted = received - first;
	return (ep->made < first ? ep->made : first) + (posted < ep->data.sends ? posted : ep->data.sends);
}

/* Whether that is known: nothing is left, or only one posts. */
static bool is_known(const struct channel *ch, uint64_t left)
{
	unsigned int posters = 0, makers = 0;
	for (const struct endpoint *ep = ch->endpoints; ep; ep = ep->next_of_channel) {
		posters += ep->data.sends > 0;
		makers += ep->made > 0;
	}
	return !left || (posters <= 1 && makers <= 1);
}

/* Edges as far as they follow from the totals; else as they were noted. */
static void settle(struct collector *c, struct channel *ch)
{
	uint64_t made, gave, received;
	struct endpoint *giver = only(ch, true), *taker = only(ch, false);
	totals(ch, &made, &gave, &received);
	if (!is_fungible(ch) || ch->stream.doubtful || received > gave)
		giver = taker = NULL;
	if (taker && (ch->data.mechanism != IPC_MECH_posix_sem || !is_known(ch, gave - received)))
		taker = NULL;
	bool certain = giver || taker;
	ch->inexact = is_fungible(ch) ? !certain && received : ch->stream.doubtful;
	for (struct edge *e = ch->edges; e; e = e->next) {
		set_edge(c, e, certain ? 0 : e->handed);
		collector_dirty(c, &e->row);
	}
	for (struct endpoint *ep = certain ? ch->endpoints : NULL; ep; ep = ep->next_of_channel) {
		if (giver)
			edge_between(c, giver, ep, ep->data.receives);
		else
			edge_between(c, ep, taker, got_from(ep, made, received));
	}
}

static void changed(struct collector *c, struct channel *ch)
{
	if (ch->counted)
		return;
	ch->counted = true;
	ch->next_counted = c->counted;
	c->counted = ch;
}

static void add(struct collector *c, struct process *p, const struct collector_count *n, struct process *from)
{
	struct channel *ch = channel_of(c, n->object);
	struct endpoint *ep = ch ? endpoint_of(c, p, ch) : NULL;
	struct endpoint *src = ep && from ? endpoint_of(c, from, ch) : NULL;
	if (!ep)
		return;
	uint64_t last = p->data.end_ns && p->data.end_ns < n->last_ns ? p->data.end_ns : n->last_ns;
	uint64_t first = n->first_ns < p->data.start_ns ? p->data.start_ns : n->first_ns;
	first = first < last ? first : last;
	endpoint_seen(c, ep, first, last);
	endpoint_role(c, ep, (n->sends ? ROLE_WRITER : 0) | (n->receives ? ROLE_READER : 0));
	ep->data.sends += n->sends;
	ep->data.receives += n->receives;
	if (n->doubtful)
		ch->stream.doubtful = true;
	struct edge *e = src && n->receives ? rollup_edge(c, src, p) : NULL;
	if (e) {
		e->handed += n->receives;
		seen(c, e, first, last);
	}
	changed(c, ch);
}

/* False: its images are not known yet. */
static bool take(struct collector *c, const struct sync_count *s)
{
	const struct collector_count *n = &s->count;
	struct process *p = image_of(c, n->image);
	struct process *from = n->from ? image_of(c, n->from) : NULL;
	if (!p || (n->from && !from))
		return false;
	add(c, p, n, from);
	return true;
}

/* Counts that wait for the definition of their images are taken; at the end the others are rejected. */
static void sync_take(struct collector *c, bool end)
{
	struct sync_count **link = &c->counts;
	for (struct sync_count *s; (s = *link);) {
		bool taken = take(c, s);
		if (!taken && end)
			collector_lose(c, s->source, IPC_REASON_rejected, NULL, NULL, 1, c->now);
		if (!taken && !end) {
			link = &s->next;
			continue;
		}
		*link = s->next;
		c->counts_waiting--;
		collector_free(c, s, sizeof(*s));
	}
	while (c->counted) {
		struct channel *ch = c->counted;
		c->counted = ch->next_counted;
		ch->counted = false;
		settle(c, ch);
	}
}

/* A call that waited, tried or gave (with --sync=all). */
static void sync_event(struct collector *c, struct act *a)
{
	const struct ipc_event *e = a->event;
	struct endpoint *ep = a->endpoint;
	if (!ep)
		return;
	struct store_event row = { e->start, e->duration, a->lane, e->result < 0 ? e->result : 0 };
	uint64_t event = store_event(c->store, &row, false);
	bool gives = e->flags & IPC_F_SECOND || ipc_calls[e->call].verb == IPC_VERB_send;
	struct process *waker =
		e->arg1 && e->arg1 <= UINT32_MAX && !gives ? image_of(c, (uint32_t)e->arg1) : NULL;
	endpoint_role(c, ep, gives ? ROLE_WRITER : ROLE_READER);
	if (waker)
		store_wake(c->store, event, waker->data.id, STORE_NOT_SEEN);
}

/* One that is made anew where another was: what that had left is gone. */
static void sync_control(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct endpoint *ep = a->endpoint;
	struct channel *ch = ep->channel;
	if (e->result < 0 || !e->tag || ch->data.mechanism != IPC_MECH_posix_sem)
		return;
	if (ch->created)
		ch->stream.doubtful = true;
	ch->created = true;
	ep->made += e->arg1;
	if (e->arg1)
		endpoint_role(c, ep, ROLE_WRITER);
	changed(c, ch);
}

static bool sync_exact(const struct channel *ch)
{
	return !ch->inexact && !ch->dropped;
}

/* A semaphore that was there before, or that processes use which are not seen. */
static void sync_close(struct collector *c)
{
	for (struct channel *ch = c->channels; ch; ch = ch->next) {
		uint64_t made, gave, received;
		if (ch->data.mechanism != IPC_MECH_posix_sem)
			continue;
		totals(ch, &made, &gave, &received);
		if (received <= gave)
			continue;
		collector_lose(c, COLLECTOR_SHIM, IPC_REASON_unmatched, NULL, NULL, received - gave, c->now);
		channel_partial(c, ch);
	}
}

static void sync_commit(struct collector *c, bool end)
{
	sync_take(c, end);
	if (end)
		sync_close(c);
}

/* A private one is called by pid and address. */
static void sync_key(const struct ipc_def *d, char *key, size_t size)
{
	if (d->object.dev_major || d->object.dev_minor)
		key_word(d, key, size);
	else
		snprintf(key, size, "%s:%llu+%#llx",
			 ipc_mechanisms[ipc_object_mechanism(d->object.object)].name,
			 (unsigned long long)d->object.inode, (unsigned long long)d->object.generation);
}

const struct channel_kind sync_kind = {
	.defined_key = sync_key,
	.transfer_all = sync_event,
	.control = sync_control,
	.exact = sync_exact,
	.commit = sync_commit,
	.counts = true,
	.without_fd = true,
	.counted = true,
};
