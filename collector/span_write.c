// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writes spans. While the pass goes on they go into a table of their own, in the order in which they end, and
 * with numbers for parents; at the end, when it is known which exchanges are spans and how long each was
 * worked on, they become rows of `spans` in the order of their numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "span.h"

static const char make_tables[] = "DROP TABLE IF EXISTS temp.found; DROP TABLE IF EXISTS temp.hops;"
				  "CREATE TEMP TABLE found (number INTEGER PRIMARY KEY, kind, name, src, "
				  "dst, channel, start, \"end\", server,"
				  " status, failed, exact, pipelined, src_tid, dst_tid, request_bytes, "
				  "reply_bytes, trace_id, parent_span);"
				  "CREATE TEMP TABLE hops (number, hop, message, channel, exact, PRIMARY KEY "
				  "(number, hop)) WITHOUT ROWID";

void span_write_open(struct spans *s)
{
	spans_exec(s, make_tables);
	s->put_span = spans_prepare(s, "INSERT INTO temp.found VALUES"
				       " (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
	s->put_hop = spans_prepare(s, "INSERT OR IGNORE INTO temp.hops VALUES (?,?,?,?,?)");
}

static void bind(sqlite3_stmt *stmt, int *column, int64_t value, bool known)
{
	if (known)
		sqlite3_bind_int64(stmt, ++*column, value);
	else
		sqlite3_bind_null(stmt, ++*column);
}

static void bind_time(sqlite3_stmt *stmt, int *column, const struct spans *s, int64_t time)
{
	bind(stmt, column, s->start_ns + (time == NEVER ? 0 : time), time != NEVER);
}

void span_write(struct spans *s, const struct exchange *x)
{
	const struct told *t = x->told;
	bool served = x->replied != NEVER && x->requested != NEVER;
	sqlite3_stmt *q = s->put_span;
	int column = 0;

	if (s->error)
		return;
	bind(q, &column, x->number, true);
	sqlite3_bind_text(q, ++column, t ? t->kind : "exchange", -1, SQLITE_STATIC);
	sqlite3_bind_text(q, ++column, t ? t->name : NULL, -1, SQLITE_STATIC);
	bind(q, &column, x->src, x->src);
	bind(q, &column, x->dst, x->dst);
	bind(q, &column, t && t->bus ? t->bus : x->channel, true);
	bind_time(q, &column, s, x->start);
	bind_time(q, &column, s, x->end);
	bind(q, &column, served ? x->replied - x->requested : 0, served);
	sqlite3_bind_text(q, ++column, t ? t->status : NULL, -1, SQLITE_STATIC);
	bind(q, &column, t ? t->failed : 0, t && t->failed >= 0);
	bind(q, &column, x->exact, true);
	bind(q, &column, x->pipelined, true);
	bind(q, &column, x->src_thread, x->src_thread);
	bind(q, &column, x->dst_thread, x->dst_thread);
	bind(q, &column, x->request_bytes, true);
	bind(q, &column, x->reply_bytes, x->answered);
	sqlite3_bind_text(q, ++column, t ? t->trace_id : NULL, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, ++column, t ? t->parent_span : NULL, -1, SQLITE_STATIC);
	spans_row(s, q);
}

/* ---- the trees ---- */

struct writer {
	struct spans *s;
	uint64_t seed[2];
	uint32_t *roots; /* by number */
	sqlite3_stmt *hops_of, *put_span, *put_link, *trace_of, *told_of;
	bool told; /* some call carries ids */
};

static bool is_span(const struct spans *s, uint32_t number)
{
	return s->notes[number].told || s->notes[number].over != NEVER;
}

/* The span that it belongs to, or 0. What was worked on only until before it began is not. */
static uint32_t parent_of(const struct spans *s, uint32_t number, bool *exact)
{
	const struct note *n = s->notes;
	uint32_t at = number, parent;

	for (;;) {
		*exact &= n[at].exact;
		parent = n[at].parent;
		if (!parent || parent >= at)
			return 0;
		if (is_span(s, parent))
			return n[parent].over == NEVER || n[number].start <= n[parent].over ? parent : 0;
		at = parent;
	}
}

static uint64_t hash_of(uint64_t seed, uint64_t number)
{
	return table_hash(seed, table_mix(number));
}

static void id_text(char text[17], uint64_t id)
{
	snprintf(text, 17, "%016llx", (unsigned long long)id);
}

/* As who asks knows it, where the call tells and no earlier one told the same; or a hash. */
static void span_text(char text[17], struct writer *w, uint32_t number)
{
	id_text(text, hash_of(w->seed[0] ^ w->seed[1], number));
	if (!w->told)
		return;
	sqlite3_bind_int64(w->told_of, 1, number);
	if (spans_row(w->s, w->told_of))
		snprintf(text, 17, "%s", (const char *)sqlite3_column_text(w->told_of, 0));
	sqlite3_reset(w->told_of);
}

/* Its own, or what a call of its tree carries. */
static void trace_text(char text[33], struct writer *w, uint32_t root)
{
	id_text(text, hash_of(w->seed[0], root));
	id_text(text + 16, hash_of(w->seed[1], root));
	sqlite3_bind_int64(w->trace_of, 1, root);
	if (spans_row(w->s, w->trace_of))
		snprintf(text, 33, "%s", (const char *)sqlite3_column_text(w->trace_of, 0));
	sqlite3_reset(w->trace_of);
}

static void put_link(struct writer *w, const char *ids[2], int hop, const int64_t row[3])
{
	sqlite3_bind_text(w->put_link, 1, ids[0], -1, SQLITE_STATIC);
	sqlite3_bind_text(w->put_link, 2, ids[1], -1, SQLITE_STATIC);
	sqlite3_bind_int64(w->put_link, 3, hop);
	if (row[0])
		sqlite3_bind_int64(w->put_link, 4, row[0]);
	else
		sqlite3_bind_null(w->put_link, 4);
	sqlite3_bind_int64(w->put_link, 5, row[1]);
	sqlite3_bind_int64(w->put_link, 6, row[2]);
	spans_row(w->s, w->put_link);
}

/* The hops to `number` from its parent, the last first: message, channel, exact of each. */
static int collect_hops(struct writer *w, uint32_t number, uint32_t parent, int64_t rows[HOPS_MAX][3])
{
	int n = 0;

	for (uint32_t at = number; at != parent && n < HOPS_MAX; at = w->s->notes[at].parent) {
		const struct note *note = &w->s->notes[at];
		if (at != number && n < HOPS_MAX)
			memcpy(rows[n++], (int64_t[3]){ note->message, note->channel, note->exact },
			       sizeof(rows[0]));
		if (note->inferred)
			continue;
		sqlite3_bind_int64(w->hops_of, 1, at);
		while (spans_row(w->s, w->hops_of) && n < HOPS_MAX)
			memcpy(rows[n++],
			       (int64_t[3]){ sqlite3_column_int64(w->hops_of, 0),
					     sqlite3_column_int64(w->hops_of, 1),
					     sqlite3_column_int64(w->hops_of, 2) },
			       sizeof(rows[0]));
		sqlite3_reset(w->hops_of);
	}
	return n;
}

static void put_links(struct writer *w, uint32_t number, uint32_t parent, const char *ids[2])
{
	int64_t rows[HOPS_MAX][3];
	int n = collect_hops(w, number, parent, rows);

	for (int i = 0; i < n; i++)
		put_link(w, ids, i + 1, rows[n - 1 - i]);
}

enum { FOUND_NUMBER, FOUND_KIND, FOUND_EXACT = 11, FOUND_SRC_TID = 13, FOUND_TRACE = 17, FOUND_PARENT };

static void finish_span(struct writer *w, sqlite3_stmt *found)
{
	uint32_t number = (uint32_t)sqlite3_column_int64(found, FOUND_NUMBER);
	bool exact = sqlite3_column_int(found, FOUND_EXACT);
	uint32_t parent = parent_of(w->s, number, &exact);
	char trace[33], id[17], parent_id[17];
	int column = 0;

	trace_text(trace, w, w->roots[number]);
	span_text(id, w, number);
	span_text(parent_id, w, parent);
	sqlite3_bind_text(w->put_span, ++column, trace, -1, SQLITE_STATIC);
	sqlite3_bind_text(w->put_span, ++column, id, -1, SQLITE_STATIC);
	if (parent || sqlite3_column_type(found, FOUND_SRC_TID) != SQLITE_NULL)
		sqlite3_bind_text(w->put_span, ++column, parent ? parent_id : NULL, -1, SQLITE_STATIC);
	else /* who calls is not in the trace, but may have told */
		sqlite3_bind_value(w->put_span, ++column, sqlite3_column_value(found, FOUND_PARENT));
	for (int i = FOUND_KIND; i < FOUND_TRACE; i++)
		if (i == FOUND_EXACT)
			sqlite3_bind_int(w->put_span, ++column, exact);
		else
			sqlite3_bind_value(w->put_span, ++column, sqlite3_column_value(found, i));
	spans_row(w->s, w->put_span);
	if (parent)
		put_links(w, number, parent, (const char *[2]){ id, parent_id });
}

/* Which tree each is in, the first id that a call of it carries, and which call is the first to carry an id
 * of a span: whose own that is, unless who asks is not in the trace. */
static void find_roots(struct writer *w)
{
	sqlite3_stmt *found = spans_prepare(w->s,
					    "SELECT number, trace_id, parent_span, src_tid FROM temp.found "
					    "ORDER BY number"),
		     *put, *tell;

	spans_exec(w->s, "DROP TABLE IF EXISTS temp.traced; CREATE TEMP TABLE traced (root INTEGER PRIMARY "
			 "KEY, trace_id); DROP TABLE IF EXISTS temp.own; CREATE TEMP TABLE own (number "
			 "INTEGER PRIMARY KEY, id TEXT UNIQUE, asked)");
	tell = spans_prepare(w->s, "INSERT OR IGNORE INTO temp.own VALUES (?1, ?2, ?3 IS NOT NULL)");
	w->told_of = spans_prepare(w->s, "SELECT id FROM temp.own WHERE number = ? AND asked");
	put = spans_prepare(w->s, "INSERT OR IGNORE INTO temp.traced VALUES (?, ?)");
	w->trace_of = spans_prepare(w->s, "SELECT trace_id FROM temp.traced WHERE root = ?");
	while (spans_row(w->s, found)) {
		uint32_t number = (uint32_t)sqlite3_column_int64(found, 0);
		bool exact = true;
		uint32_t parent = parent_of(w->s, number, &exact);
		w->roots[number] = parent ? w->roots[parent] : number;
		if (sqlite3_column_type(found, 1) == SQLITE_NULL)
			continue;
		sqlite3_bind_int64(put, 1, w->roots[number]);
		sqlite3_bind_value(put, 2, sqlite3_column_value(found, 1));
		spans_row(w->s, put);
		w->told = true;
		for (int i = 0; i < 3; i++)
			sqlite3_bind_value(tell, i + 1, sqlite3_column_value(found, i ? i + 1 : 0));
		spans_row(w->s, tell);
	}
	sqlite3_finalize(found);
	sqlite3_finalize(put);
	sqlite3_finalize(tell);
}

/* Of what tells this trace from any other, so that its ids are always the same. */
static void make_seed(struct writer *w)
{
	sqlite3_stmt *q = spans_prepare(
		w->s, "SELECT group_concat(coalesce(v, ''), '|') FROM (SELECT value AS v FROM meta"
		      " WHERE key IN ('start_ns', 'host', 'clock_start') UNION ALL"
		      " SELECT boot_id FROM hosts ORDER BY 1)");

	if (spans_row(w->s, q)) {
		const char *text = (const char *)sqlite3_column_text(q, 0);
		uint64_t hash = table_hash_text(text ? text : "", text ? strlen(text) : 0);
		w->seed[0] = table_mix(hash ^ 0x5bd1e9955bd1e995ULL);
		w->seed[1] = table_mix(hash + 0x9e3779b97f4a7c15ULL);
	}
	sqlite3_finalize(q);
}

static const char put_span_sql[] =
	"INSERT INTO spans (trace_id, span_id, parent_id, kind, name, src_id, dst_id, channel_id, start_ns, "
	"end_ns,"
	" server_ns, status, failed, exact, pipelined, src_tid, dst_tid, request_bytes, reply_bytes)"
	" VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,(SELECT tid FROM threads WHERE id = ?),"
	" (SELECT tid FROM threads WHERE id = ?),?,?)";

void span_write_close(struct spans *s)
{
	struct writer w = { .s = s, .roots = spans_new(s, s->noted + 1, sizeof(uint32_t)) };
	sqlite3_stmt *found = spans_prepare(s, "SELECT * FROM temp.found ORDER BY number");

	w.hops_of = spans_prepare(
		s, "SELECT message, channel, exact FROM temp.hops WHERE number = ? ORDER BY hop DESC");
	w.put_span = spans_prepare(s, put_span_sql);
	w.put_link = spans_prepare(s, "INSERT INTO span_links VALUES (?,?,?,?,?,?)");
	make_seed(&w);
	if (!s->error)
		find_roots(&w);
	while (spans_row(s, found))
		finish_span(&w, found);
	sqlite3_finalize(found);
	sqlite3_finalize(w.hops_of);
	sqlite3_finalize(w.trace_of);
	sqlite3_finalize(w.told_of);
	sqlite3_finalize(w.put_span);
	sqlite3_finalize(w.put_link);
	sqlite3_finalize(s->put_span);
	sqlite3_finalize(s->put_hop);
	s->put_span = s->put_hop = NULL;
	free(w.roots);
	spans_exec(s, "DROP TABLE IF EXISTS temp.found; DROP TABLE IF EXISTS temp.hops; DROP TABLE IF EXISTS "
		      "temp.traced; DROP TABLE IF EXISTS temp.own");
}
