// SPDX-License-Identifier: BSD-2-Clause
/*
 * Walks through the events of a trace in the order of their moments and tells what was sent and received: to
 * the conversation that it is of (turn.c), or, what is of none, to who receives it (chain.c).
 */
#include "spans.h"

#include <errno.h>
#include <stdlib.h>

#include "bus.h"
#include "span.h"

/* ---- the trace ---- */

void spans_fail(struct spans *s)
{
	int rc = sqlite3_errcode(s->db) & 0xff;

	if (!s->error)
		s->error = rc == SQLITE_FULL ? -ENOSPC : rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

void *spans_new(struct spans *s, size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		s->error = -ENOMEM;
	return p;
}

sqlite3_stmt *spans_prepare(struct spans *s, const char *sql)
{
	sqlite3_stmt *stmt = NULL;

	if (!s->error && sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		spans_fail(s);
	return stmt;
}

bool spans_row(struct spans *s, sqlite3_stmt *stmt)
{
	int rc = s->error ? SQLITE_DONE : sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		spans_fail(s);
	sqlite3_reset(stmt);
	return false;
}

void spans_exec(struct spans *s, const char *sql)
{
	if (!s->error && sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		spans_fail(s);
}

int64_t spans_number(struct spans *s, const char *sql)
{
	sqlite3_stmt *q = spans_prepare(s, sql);
	int64_t n = spans_row(s, q) ? sqlite3_column_int64(q, 0) : 0;

	sqlite3_finalize(q);
	return n;
}

/* ---- sends ---- */

static uint32_t receiver_of(struct spans *s, int64_t event)
{
	uint32_t lane = 0;

	sqlite3_bind_int64(s->event_lane, 1, event);
	if (spans_row(s, s->event_lane))
		lane = (uint32_t)sqlite3_column_int64(s->event_lane, 0);
	sqlite3_reset(s->event_lane);
	return lane < s->lane_count ? lane : 0;
}

/* Of a socket of which the kernel did not say who connected: who sends first calls. */
static int8_t side_of(struct spans *s, const struct event *e)
{
	struct node *node = &s->nodes[e->lane->node], *there = NULL;

	if (node->side >= 0)
		return node->side;
	if (e->linked)
		there = &s->nodes[s->lanes[receiver_of(s, e->id + (e->link >> 1))].node];
	if (there && there != node && there->side >= 0)
		node->side = !there->side;
	else
		node->side = 0;
	if (there && there != node && there->side < 0)
		there->side = !node->side;
	return node->side;
}

static void find_conversation(struct spans *s, const struct event *e, struct arrival *a)
{
	const struct span_channel *c = &s->channels[e->lane->channel];
	const struct flow *f = NULL;

	if (c->conversation) {
		a->conversation = c->conversation;
		a->way = (uint8_t)side_of(s, e);
	} else if (c->flows) {
		f = flow_of(s, e->lane->channel, e->lane->process, 0);
		if (!f && e->linked)
			f = flow_of(s, e->lane->channel, e->lane->process,
				    s->lanes[receiver_of(s, e->id + (e->link >> 1))].process);
	}
	if (f) {
		a->conversation = f->conversation;
		a->way = f->way;
	}
}

/* Of what is sent, so much goes to the receive `event`. */
static struct arrival *arrive(struct spans *s, const struct arrival *sent, int64_t event)
{
	struct arrival *a = spans_new(s, 1, sizeof(*a));
	void **place = a ? table_put(&s->arrivals, (uint64_t)event) : NULL;
	struct arrivals *list = place ? *place : NULL;

	if (place && !list) {
		*place = list = spans_new(s, 1, sizeof(*list));
		if (list)
			STAILQ_INIT(list);
		else
			table_remove(&s->arrivals, (uint64_t)event);
	}
	if (!list) {
		s->error = -ENOMEM;
		free(a);
		return NULL;
	}
	*a = *sent;
	STAILQ_INSERT_TAIL(list, a, next);
	return a;
}

static void arrive_as_piece(struct spans *s, const struct arrival *sent, int64_t event)
{
	struct arrival *a = arrive(s, sent, event);

	if (!a)
		return;
	context_take(a->context);
	if (!a->exchange)
		return;
	a->exchange->references++;
	a->is_piece = a->way == a->conversation->calls;
	if (a->is_piece)
		TAILQ_INSERT_TAIL(&a->exchange->pieces, a, piece);
}

static void arrive_by_links(struct spans *s, struct arrival *sent, int64_t event)
{
	sqlite3_bind_int64(s->links_of, 1, event);
	while (spans_row(s, s->links_of)) {
		sent->message = -sqlite3_column_int64(s->links_of, 0);
		sent->bytes = sqlite3_column_int64(s->links_of, 2);
		sent->exact = sqlite3_column_int(s->links_of, 3);
		arrive_as_piece(s, sent, sqlite3_column_int64(s->links_of, 1));
	}
}

/* Only one side is seen: what it sends has arrived. */
static void sent_outside(struct exchange *x, const struct arrival *a, int64_t end)
{
	if (a->way == a->conversation->calls) {
		x->requests_received++;
		x->request_received += a->bytes;
	} else {
		x->end = end;
	}
}

static void give_unit(struct spans *s, struct span_channel *c, const struct arrival *sent)
{
	struct arrival *a = spans_new(s, 1, sizeof(*a));

	if (a && !c->units) {
		c->units = spans_new(s, 1, sizeof(*c->units));
		if (c->units)
			STAILQ_INIT(c->units);
	}
	if (s->error) {
		free(a);
		return;
	}
	*a = *sent;
	context_take(a->context);
	if (a->exchange)
		a->exchange->references++;
	c->unit_count++;
	STAILQ_INSERT_TAIL(c->units, a, next);
}

/* Whether several receives took of it. */
static bool is_shared(struct spans *s, const struct event *e)
{
	if (e->linked || !s->has_links)
		return false;
	sqlite3_bind_int64(s->links_of, 1, e->id);
	bool any = spans_row(s, s->links_of);
	sqlite3_reset(s->links_of);
	return any;
}

static void send(struct spans *s, const struct event *e)
{
	struct span_channel *c = &s->channels[e->lane->channel];
	struct arrival a = {
		.thread = e->lane->thread,
		.process = e->lane->process,
		.channel = e->lane->channel,
		.sent = e->start,
		.bytes = e->bytes,
		.send_bytes = e->bytes,
		.event = e->id,
		.context = chain_of(s, e->lane->thread, e->lane->channel, e->start),
		.message = e->id,
		.exact = !(e->link & 1),
	};

	find_conversation(s, e, &a);
	if (c->told)
		told_sent(s, e, &a,
			  e->linked || is_shared(s, e) || (e->bytes && c->conversation && !c->outside));
	else if (a.conversation)
		a.exchange = turn_sent(s, a.conversation, &a);
	if (c->counted) {
		a.message = 0;
		give_unit(s, c, &a);
	} else if (e->linked) {
		arrive_as_piece(s, &a, e->id + (e->link >> 1));
	} else if (s->has_links) {
		arrive_by_links(s, &a, e->id);
	}
	if (c->outside && a.exchange)
		sent_outside(a.exchange, &a, e->end);
	if (a.exchange)
		exchange_release(s, a.exchange);
	context_drop(a.context);
}

/* ---- receives ---- */

static void receive(struct spans *s, const struct event *e, struct arrival *a)
{
	unsigned int mechanism = s->channels[a->channel].mechanism;

	if (s->channels[a->channel].told)
		told_received(s, e, a);
	else if (a->conversation)
		turn_received(s, a, e->lane->thread, e->lane->process, e->end);
	else if (!s->channels[a->channel].lock)
		chain_hand_over(s, a, e->lane->thread,
				mechanism == IPC_MECH_sysv_sem || mechanism == IPC_MECH_posix_sem);
	if (a->exchange)
		exchange_release(s, a->exchange);
	context_drop(a->context);
	free(a);
}

static void receive_all(struct spans *s, const struct event *e, struct arrivals *list)
{
	struct arrival *a;

	table_remove(&s->arrivals, (uint64_t)e->id);
	while ((a = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, next);
		receive(s, e, a);
	}
	free(list);
}

uint8_t way_from_outside(struct spans *s, const struct event *e)
{
	struct node *node = &s->nodes[e->lane->node];

	if (node->side < 0)
		node->side = 1;
	return !node->side;
}

/* From somebody who is not in the trace. */
static void receive_outside(struct spans *s, const struct event *e)
{
	const struct span_channel *c = &s->channels[e->lane->channel];
	struct arrival a = { .channel = e->lane->channel,
			     .process = c->other,
			     .conversation = c->conversation,
			     .way = way_from_outside(s, e),
			     .sent = e->end,
			     .bytes = e->bytes,
			     .send_bytes = e->bytes,
			     .exact = true };

	a.exchange = turn_sent(s, c->conversation, &a);
	if (!a.exchange)
		return;
	turn_received(s, &a, e->lane->thread, e->lane->process, e->end);
	exchange_release(s, a.exchange);
}

/* Units are all alike, and the oldest are taken first. Whose it was is certain where there was but one. */
static void take_unit(struct spans *s, const struct event *e, struct span_channel *c)
{
	struct arrival *a = c->units ? STAILQ_FIRST(c->units) : NULL;

	if (c->first_units) {
		c->first_units--;
		return;
	}
	if (!a) {
		if (!c->lock)
			chain_forget(s, e->lane->thread);
		return;
	}
	STAILQ_REMOVE_HEAD(c->units, next);
	a->exact &= --c->unit_count == 0;
	receive(s, e, a);
}

static void inherit(struct spans *s, uint32_t thread)
{
	struct span_thread *t = &s->threads[thread];

	if (t->inherits && !t->context)
		chain_restore(s, thread, s->threads[t->inherits].context);
	t->inherits = 0;
}

static void take(struct spans *s, const struct event *e)
{
	struct span_channel *c = &s->channels[e->lane->channel];
	struct arrivals *list;

	inherit(s, e->lane->thread);
	if (e->lane->kind == LANE_RECEIVE)
		chain_waits(s, e->lane->thread);
	if (e->lane->kind == LANE_SEND)
		send(s, e);
	else if (e->lane->kind == LANE_FORGET)
		chain_forget(s, e->lane->thread);
	else if (e->lane->kind == LANE_CONNECT)
		chain_connects(s, e->lane->thread, e->lane->channel);
	else if (e->lane->kind == LANE_POLL)
		s->threads[e->lane->thread].polled = true;
	else if ((list = table_get(&s->arrivals, (uint64_t)e->id)))
		receive_all(s, e, list);
	else if (c->counted)
		take_unit(s, e, c);
	else if (c->told && e->bytes)
		told_received_outside(s, e);
	else if (c->outside && e->bytes)
		receive_outside(s, e);
}

/* ---- the walk ---- */

static const char events_sql[] = "SELECT e.rowid, e.ts, e.dur, e.lane, e.res, e.link FROM event_rows e"
				 " CROSS JOIN temp.span_lanes l ON l.id = e.lane WHERE (e.res >= 0 OR l.any)"
				 " ORDER BY e.ts + l.receives * e.dur, l.receives, e.rowid";

static void walk(struct spans *s)
{
	sqlite3_stmt *q = spans_prepare(s, events_sql);

	while (spans_row(s, q)) {
		struct event e = {
			.id = sqlite3_column_int64(q, 0),
			.start = sqlite3_column_int64(q, 1),
			.lane = &s->lanes[sqlite3_column_int64(q, 3)],
			.bytes = sqlite3_column_int64(q, 4),
			.link = sqlite3_column_int64(q, 5),
			.linked = sqlite3_column_type(q, 5) != SQLITE_NULL,
		};
		e.end = e.start + sqlite3_column_int64(q, 2);
		take(s, &e);
	}
	sqlite3_finalize(q);
}

static void drop_arrivals(struct spans *s, struct arrivals *list)
{
	struct arrival *a;

	while (list && (a = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, next);
		if (a->is_piece)
			TAILQ_REMOVE(&a->exchange->pieces, a, piece);
		if (a->exchange)
			exchange_release(s, a->exchange);
		context_drop(a->context);
		free(a);
	}
	free(list);
}

static void drop_all_arrivals(struct spans *s)
{
	for (uint32_t i = 0; s->arrivals.slots && i <= s->arrivals.mask; i++)
		drop_arrivals(s, s->arrivals.slots[i].value);
	free(s->arrivals.slots);
	for (uint32_t i = 0; s->channels && i < s->channel_count; i++)
		drop_arrivals(s, s->channels[i].units);
}

/* `links` by their sends: looked up for what does not stand in a send's row. */
static void open_links(struct spans *s)
{
	s->has_links = spans_number(s, "SELECT EXISTS (SELECT 1 FROM links)");
	spans_exec(s,
		   "DROP TABLE IF EXISTS temp.sent;"
		   "CREATE TEMP TABLE sent (send INTEGER, id, recv, bytes, exact, PRIMARY KEY (send, id)) "
		   "WITHOUT ROWID;"
		   "INSERT INTO temp.sent SELECT send, rowid, recv, bytes, exact FROM links ORDER BY 1, 2");
	s->links_of = spans_prepare(s, "SELECT id, recv, bytes, exact FROM temp.sent WHERE send = ?");
	s->event_lane = spans_prepare(s, "SELECT lane FROM event_rows WHERE rowid = ?");
}

static void find(struct spans *s)
{
	spans_exec(s, "DELETE FROM spans; DELETE FROM span_links");
	if (spans_load(s)) {
		open_links(s);
		span_write_open(s);
		walk(s);
	}
	bool any = s->put_span;
	drop_all_arrivals(s);
	told_close(s);
	for (struct conversation *c = s->conversations; c; c = c->next)
		turn_close(s, c);
	if (any)
		span_write_close(s);
	sqlite3_finalize(s->links_of);
	sqlite3_finalize(s->event_lane);
	spans_unload(s);
	spans_exec(s, "DROP TABLE IF EXISTS temp.sent; DROP TABLE IF EXISTS temp.span_lanes");
}

int spans_build(sqlite3 *db, uint64_t most)
{
	struct spans s = { .db = db };

	if (most && (uint64_t)spans_number(&s, "SELECT max(rowid) FROM event_rows") > most) {
		spans_exec(&s, "INSERT OR REPLACE INTO meta VALUES ('spans', 'deferred')");
		return s.error;
	}
	s.start_ns = spans_number(&s, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'start_ns'");
	spans_exec(&s, "BEGIN IMMEDIATE");
	s.error = s.error ? s.error : bus_resolve(db);
	find(&s);
	spans_exec(&s, "INSERT OR REPLACE INTO meta VALUES ('spans', 'built'); COMMIT");
	if (s.error && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	if (s.error)
		sqlite3_exec(db, "INSERT OR REPLACE INTO meta VALUES ('spans', 'deferred')", NULL, NULL,
			     NULL);
	return s.error;
}
