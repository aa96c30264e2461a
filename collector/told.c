// SPDX-License-Identifier: BSD-2-Clause
/*
 * Channels whose messages parsers have told (protocol_messages): a call, with its reply, is a span; so is
 *what wants no reply. Nothing is made of turns there.
 *
 * D-Bus: the daemon hands calls on, and is nobody who works on them. What it hands on has its sender's name
 *and number: it is the same message, whose receipt by the daemon does not count. A connection's own name is
 *what the bus said in answer to its first call.
 *
 *	client --call 7--> daemon --call 7 of :1.5--> service      one span, from client to service
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "span.h"

enum { OPEN_MAX = 1024 }; /* calls of a channel that may still get a reply */

/* `origin`: the row of which it is a copy, that a bus has handed on. `forwarded`: there are such of it.
 * Copies for those who watch others are no messages to them. */
static const char tables_sql[] =
	"DROP TABLE IF EXISTS temp.told;"
	"CREATE TEMP TABLE told (id INTEGER PRIMARY KEY, protocol, kind, channel, sent, first INTEGER,"
	" last INTEGER, number, name, status, failed, sender, trace_id, parent_span, exact, bytes, call "
	"INTEGER,"
	" origin INTEGER, bus, forwarded);"
	"INSERT INTO temp.told SELECT m.id, protocol, kind, channel_id, sent, first_event, last_event, "
	"number, name,"
	" status, failed, sender, trace_id, parent_span, m.exact, bytes, call, b.origin, b.bus_id, 0"
	" FROM protocol_messages m LEFT JOIN bus_messages b ON b.id = m.id"
	" WHERE b.origin IS NULL OR b.dst_id IS NOT NULL;"
	"CREATE INDEX temp.told_first ON told (first); CREATE INDEX temp.told_last ON told (last);"
	"UPDATE temp.told SET forwarded = 1 WHERE id IN (SELECT origin FROM temp.told);"
	"UPDATE temp.told SET call = coalesce((SELECT c.origin FROM temp.told c WHERE c.id = told.call), "
	"call)"
	" WHERE call IS NOT NULL";

enum {
	ROW_ID,
	ROW_PROTOCOL,
	ROW_KIND,
	ROW_SENT,
	ROW_FIRST,
	ROW_LAST,
	ROW_NUMBER,
	ROW_NAME,
	ROW_STATUS,
	ROW_FAILED,
	ROW_TRACE,
	ROW_PARENT,
	ROW_EXACT,
	ROW_BYTES,
	ROW_CALL,
	ROW_ORIGIN,
	ROW_FORWARDED,
	ROW_SENDER,
	ROW_BUS,
};
#define ROWS                                                                                                 \
	"SELECT t.id, t.protocol, t.kind, t.sent, t.first, t.last, t.number, t.name, t.status, t.failed, "   \
	"t.trace_id,"                                                                                        \
	" t.parent_span, t.exact, t.bytes, coalesce(o.call, t.call), t.origin, t.forwarded, t.sender, t.bus" \
	" FROM temp.told t LEFT JOIN temp.told o ON o.id = t.origin "

bool told_open(struct spans *s)
{
	sqlite3_stmt *q;
	bool any = false;

	spans_exec(s, tables_sql);
	q = spans_prepare(s, "SELECT DISTINCT channel FROM temp.told");
	while (spans_row(s, q)) {
		int64_t channel = sqlite3_column_int64(q, 0);
		if (channel <= 0 || channel >= s->channel_count)
			continue;
		any = s->channels[channel].told = true;
		TAILQ_INIT(&s->channels[channel].calls);
	}
	sqlite3_finalize(q);
	s->told_first = spans_prepare(s, ROWS "WHERE t.first = ? ORDER BY t.id");
	s->told_last = spans_prepare(s, ROWS "WHERE t.last = ? ORDER BY t.id");
	return any;
}

static char *text(sqlite3_stmt *q, int column)
{
	const char *value = (const char *)sqlite3_column_text(q, column);

	return value ? strdup(value) : NULL;
}

void told_free(struct told *t)
{
	if (!t)
		return;
	free(t->kind);
	free(t->name);
	free(t->status);
	free(t->trace_id);
	free(t->parent_span);
	free(t);
}

static struct told *new_told(struct spans *s, sqlite3_stmt *q)
{
	struct told *t = spans_new(s, 1, sizeof(*t));

	if (t)
		*t = (struct told){
			.kind = text(q, ROW_PROTOCOL),
			.name = text(q, ROW_NAME),
			.trace_id = text(q, ROW_TRACE),
			.parent_span = text(q, ROW_PARENT),
			.failed = -1,
			.row = sqlite3_column_int64(q, ROW_ID),
			.bus = (uint32_t)sqlite3_column_int64(q, ROW_BUS),
			.wants_reply = !strcmp((const char *)sqlite3_column_text(q, ROW_KIND), "call"),
		};
	return t;
}

static bool is_kind(sqlite3_stmt *q, const char *kind)
{
	return !strcmp((const char *)sqlite3_column_text(q, ROW_KIND), kind);
}

/* Of two channels, one each way, their conversation has the number; where that is not known, the process,
 * which makes the call or gets it (`calls`). Both ends may call, each with numbers of its own. */
static uint64_t key_of(const struct arrival *a, uint32_t process, bool calls, sqlite3_stmt *q)
{
	uint64_t whose = a->conversation ? (uint64_t)(uintptr_t)a->conversation : process;

	if (sqlite3_column_type(q, ROW_NUMBER) == SQLITE_NULL)
		return 0;
	if (a->conversation)
		calls = a->way ^ is_kind(q, "reply");
	return table_hash(table_hash(whose, calls), (uint64_t)sqlite3_column_int64(q, ROW_NUMBER));
}

static void put(struct spans *s, struct table *t, uint64_t key, struct exchange *x)
{
	void **place = table_put(t, key);

	if (!place)
		s->error = -ENOMEM;
	else
		*place = x;
}

/* Others that wait for their replies on the same channel. */
static void mark_pipelined(struct spans *s, struct exchange *x)
{
	struct exchange *other;

	TAILQ_FOREACH (other, &s->channels[x->channel].calls, link)
		if (other->told->wants_reply && !other->answered)
			other->pipelined = x->pipelined = true;
}

static void end_call(struct spans *s, struct exchange *x)
{
	TAILQ_REMOVE(&s->channels[x->channel].calls, x, link);
	s->channels[x->channel].open--;
	table_remove(&s->call_rows, (uint64_t)x->told->row);
	if (x->told->key && table_get(&s->call_numbers, x->told->key) == x)
		table_remove(&s->call_numbers, x->told->key);
	exchange_release(s, x);
}

/* `a`: who calls, and when. */
static void begin_call(struct spans *s, const struct arrival *a, uint32_t process, sqlite3_stmt *q)
{
	struct told *t = new_told(s, q);
	struct exchange *x = t ? exchange_new(s, a) : NULL;

	if (!x) {
		told_free(t);
		return;
	}
	x->told = t;
	x->exact = sqlite3_column_int(q, ROW_EXACT);
	x->request_bytes = sqlite3_column_int64(q, ROW_BYTES);
	s->notes[x->number].told = true;
	s->notes[x->number].oneway = !t->wants_reply;
	x->returned = !t->wants_reply;
	if (t->wants_reply)
		mark_pipelined(s, x);
	TAILQ_INSERT_TAIL(&s->channels[x->channel].calls, x, link);
	if (++s->channels[x->channel].open > OPEN_MAX)
		end_call(s, TAILQ_FIRST(&s->channels[x->channel].calls));
	put(s, &s->call_rows, (uint64_t)t->row, x);
	t->key = t->wants_reply ? key_of(a, process, sqlite3_column_int(q, ROW_SENT), q) : 0;
	if (t->key)
		put(s, &s->call_numbers, t->key, x);
	if (x->src_thread && t->wants_reply)
		s->threads[x->src_thread].open++;
	if (x->src_thread)
		chain_sent_request(s, x->src_thread, x->number);
}

/* `calls`: the process made it. */
static struct exchange *call_of_reply(struct spans *s, const struct arrival *a, uint32_t process, bool calls,
				      sqlite3_stmt *q)
{
	uint64_t key = key_of(a, process, calls, q);

	if (sqlite3_column_type(q, ROW_CALL) != SQLITE_NULL)
		return table_get(&s->call_rows, (uint64_t)sqlite3_column_int64(q, ROW_CALL));
	return key ? table_get(&s->call_numbers, key) : NULL;
}

/* Of what was received at once with the call that is now answered, the next. */
static void take_next(struct spans *s, uint32_t thread, const struct exchange *answered)
{
	struct exchange *x;

	TAILQ_FOREACH (x, &s->channels[answered->channel].calls, link) {
		if (x == answered || x->answered || x->dst_thread != thread ||
		    x->told->received_by != answered->told->received_by)
			continue;
		chain_set(s, thread, x->number, NULL);
		return;
	}
}

static void begin_reply(struct spans *s, const struct arrival *a, uint32_t process, sqlite3_stmt *q)
{
	struct exchange *x = call_of_reply(s, a, process, !sqlite3_column_int(q, ROW_SENT), q);
	struct told *t = x ? x->told : NULL;

	if (!x || x->answered)
		return;
	x->answered = true;
	chain_served(s, x->dst_thread, x->number);
	x->replied = a->thread ? a->sent : NEVER;
	x->reply_bytes = sqlite3_column_int64(q, ROW_BYTES);
	x->exact &= sqlite3_column_int(q, ROW_EXACT);
	t->status = text(q, ROW_STATUS);
	t->failed = sqlite3_column_int(q, ROW_FAILED);
	s->notes[x->number].over = a->sent;
	if (!a->thread)
		return;
	x->dst = a->process;
	chain_sent_reply(s, a->thread, x);
	if (x->dst_thread == a->thread)
		take_next(s, a->thread, x);
}

static bool is_copy(sqlite3_stmt *q)
{
	return sqlite3_column_type(q, ROW_ORIGIN) != SQLITE_NULL;
}

static void begin_rows(struct spans *s, const struct arrival *a, uint32_t process, int64_t event, bool sent)
{
	sqlite3_stmt *q = s->told_first;

	sqlite3_bind_int64(q, 1, event);
	while (spans_row(s, q)) {
		if (is_copy(q) || sqlite3_column_int(q, ROW_SENT) != sent)
			continue;
		if (is_kind(q, "reply"))
			begin_reply(s, a, process, q);
		else
			begin_call(s, a, process, q);
	}
}

/* What the bus itself says, and what comes while one waits for a reply, is not what is worked on next. */
static bool is_worked_on(const struct spans *s, const struct event *e, sqlite3_stmt *q)
{
	const char *sender = (const char *)sqlite3_column_text(q, ROW_SENDER);

	return !is_kind(q, "signal") ||
	       (!s->threads[e->lane->thread].open && !(sender && !strcmp(sender, "org.freedesktop.DBus")));
}

static void receive_call(struct spans *s, struct exchange *x, const struct arrival *a, const struct event *e,
			 bool works)
{
	struct note *n = &s->notes[x->number];

	x->requested = e->end;
	x->dst = e->lane->process;
	x->dst_thread = e->lane->thread;
	x->exact &= a->exact;
	x->told->received_by = e->id;
	n->message = a->message;
	n->channel = a->channel;
	if (works)
		chain_set(s, e->lane->thread, x->number, NULL);
	if (x->told->wants_reply)
		chain_serves(s, e->lane->thread, x->number);
	if (!x->told->wants_reply)
		x->end = e->end;
}

/* What ended with the event `sent`, which `e` received. */
static void end_rows(struct spans *s, const struct arrival *a, const struct event *e, int64_t sent,
		     bool by_sender)
{
	sqlite3_stmt *q = s->told_last;
	bool next = false; /* of several calls received at once the first is worked on first */

	sqlite3_bind_int64(q, 1, sent);
	while (spans_row(s, q)) {
		struct exchange *x;
		int64_t row = sqlite3_column_int64(q, is_copy(q) ? ROW_ORIGIN : ROW_ID);
		if (sqlite3_column_int(q, ROW_FORWARDED) || sqlite3_column_int(q, ROW_SENT) != by_sender)
			continue;
		if (!is_kind(q, "reply")) {
			x = table_get(&s->call_rows, (uint64_t)row);
			if (x)
				receive_call(s, x, a, e,
					     is_worked_on(s, e, q) && !(next && x->told->wants_reply));
			next |= x && x->told->wants_reply;
			if (x && !x->told->wants_reply && !is_copy(q)) /* else others may get it too */
				end_call(s, x);
			continue;
		}
		x = call_of_reply(s, a, e->lane->process, true, q);
		if (!x)
			continue;
		x->end = e->end;
		x->exact &= a->exact;
		x->src = e->lane->process;
		exchange_returned(s, x);
		chain_restore(s, e->lane->thread, x->parent);
		end_call(s, x);
	}
}

/* To somebody who is not in the trace. */
static void end_rows_outside(struct spans *s, const struct arrival *a, const struct event *e)
{
	sqlite3_stmt *q = s->told_last;

	sqlite3_bind_int64(q, 1, e->id);
	while (spans_row(s, q)) {
		struct exchange *x =
			is_kind(q, "reply") ? call_of_reply(s, a, e->lane->process, false, q) : NULL;
		if (is_kind(q, "oneway") || is_kind(q, "signal"))
			x = table_get(&s->call_rows, (uint64_t)sqlite3_column_int64(q, ROW_ID));
		if (!x || sqlite3_column_int(q, ROW_FORWARDED))
			continue;
		x->end = e->end;
		end_call(s, x);
	}
}

void told_sent(struct spans *s, const struct event *e, const struct arrival *a, bool arrives)
{
	begin_rows(s, a, e->lane->process, e->id, true);
	if (!arrives)
		end_rows_outside(s, a, e);
}

void told_received(struct spans *s, const struct event *e, const struct arrival *a)
{
	end_rows(s, a, e, a->event, true);
}

void told_received_outside(struct spans *s, const struct event *e)
{
	const struct span_channel *c = &s->channels[e->lane->channel];
	const struct arrival a = { .channel = e->lane->channel,
				   .process = c->other,
				   .conversation = c->conversation,
				   .way = way_from_outside(s, e),
				   .sent = e->end,
				   .exact = true };

	begin_rows(s, &a, e->lane->process, e->id, false);
	end_rows(s, &a, e, e->id, false);
}

void told_close(struct spans *s)
{
	for (uint32_t i = 0; s->channels && i < s->channel_count; i++)
		while (s->channels[i].told && !TAILQ_EMPTY(&s->channels[i].calls))
			end_call(s, TAILQ_FIRST(&s->channels[i].calls));
	sqlite3_finalize(s->told_first);
	sqlite3_finalize(s->told_last);
	free(s->call_rows.slots);
	free(s->call_numbers.slots);
	spans_exec(s, "DROP TABLE IF EXISTS temp.told");
}
