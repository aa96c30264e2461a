// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compares the reference programs (compare.h). What is measured goes into a table in memory, from which the
 * renderers make three tables for people, or one array.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "compare.h"
#include "render.h"
#include "tables.h"
#include "../reference/reference.h"

enum {
	SMALL = 64,
	LARGE = 65536,
	FIRST = 500, /* messages that tell how many take SPAN_NS */
	MOST = 200000,
	SPAN_NS = 200000000,
	PACED = 300, /* messages for the latency, so many a second that none queues */
	PACE = 1500,
};

struct row {
	const struct reference *r;
	const struct ipc_mechanism_row *m;
	uint64_t rate, throughput, large, p50, p99; /* 0: none */
};

/* Tables, each narrow enough for a terminal of 80 columns; all begin with the mechanism. */
enum { TABLES = 4, COLUMNS = 7 };
static const struct column tables[TABLES][COLUMNS] = {
	{
		{ "mechanism", "MECHANISM", UNIT_TEXT, MARK_NONE },
		{ "messages_per_s", "MESSAGES/s", UNIT_NUMBER, MARK_NONE },
		{ "latency_p50_ns", "LATENCY p50", UNIT_DURATION, MARK_NONE },
		{ "latency_p99_ns", "p99", UNIT_DURATION, MARK_NONE },
		{ "large_bytes", "LARGE", UNIT_BYTES, MARK_NONE },
		{ "large_bytes_per_s", "BYTES/s", UNIT_BYTES, MARK_NONE },
	},
	{
		{ "mechanism", "MECHANISM", UNIT_TEXT, MARK_NONE },
		{ "boundary", "BOUNDARY", UNIT_TEXT, MARK_NONE },
		{ "order", "ORDER", UNIT_TEXT, MARK_NONE },
		{ "largest_bytes", "LARGEST", UNIT_BYTES, MARK_NONE },
		{ "when_full", "WHEN FULL", UNIT_TEXT, MARK_NONE },
	},
	{
		{ "mechanism", "MECHANISM", UNIT_TEXT, MARK_NONE },
		{ "model", "MODEL", UNIT_TEXT, MARK_NONE },
		{ "naming", "NAMING", UNIT_TEXT, MARK_NONE },
		{ "direction", "DIRECTION", UNIT_TEXT, MARK_NONE },
		{ "blocking", "BLOCKS", UNIT_TEXT, MARK_NONE },
		{ "capacity", "BUFFER", UNIT_TEXT, MARK_NONE },
		{ "scope", "SCOPE", UNIT_TEXT, MARK_NONE },
	},
	{
		{ "mechanism", "MECHANISM", UNIT_TEXT, MARK_NONE },
		{ "relationship", "RELATIONSHIP NEEDED", UNIT_TEXT, MARK_NONE },
		{ "synchronisation", "SYNCHRONISATION NEEDED", UNIT_TEXT, MARK_NONE },
	},
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t per_second(uint64_t n, uint64_t nanoseconds)
{
	return nanoseconds ? (uint64_t)((double)n * 1e9 / (double)nanoseconds) : 0;
}

/* As many messages as take SPAN_NS. Returns as reference_measure(). */
static int measure_flow(const struct reference *r, unsigned long size, struct reference_result *result)
{
	struct reference_options o = { .messages = FIRST, .size_min = size, .size_max = size };
	int status = reference_measure(r, &o, result);
	if (status || !result->nanoseconds || result->nanoseconds > SPAN_NS)
		return status;
	o.messages = (unsigned long)((double)FIRST * SPAN_NS / (double)result->nanoseconds);
	if (o.messages > MOST)
		o.messages = MOST;
	return o.messages > FIRST ? reference_measure(r, &o, result) : 0;
}

/* Returns 0, or not: it failed. What does not apply stays 0. */
static int measure_row(struct row *row)
{
	const struct reference *r = row->r;
	struct reference_result result;
	bool data = !(r->features & REFERENCE_NO_BYTES);
	struct reference_options paced = { .messages = PACED, .rate = PACE };

	int status = measure_flow(r, data ? SMALL : 0, &result);
	if (!status)
		row->rate = per_second(result.messages, result.nanoseconds);
	if (status == 1 || reference_measure(r, &paced, &result) == 1)
		return -1;
	row->p50 = result.p50;
	row->p99 = result.p99;
	row->large = !data ? 0 : r->largest && r->largest < LARGE ? r->largest : LARGE;
	if (!data)
		return 0;
	status = measure_flow(r, row->large, &result);
	if (!status)
		row->throughput = per_second(result.bytes, result.nanoseconds);
	else
		row->large = 0;
	return status == 1 ? -1 : 0;
}

static const struct ipc_mechanism_row *mechanism_of(const char *name)
{
	for (int i = 1; i < IPC_MECHANISMS; i++)
		if (!strcmp(ipc_mechanisms[i].name, name))
			return &ipc_mechanisms[i];
	return &ipc_mechanisms[0];
}

static void bind_figure(sqlite3_stmt *stmt, int i, uint64_t value)
{
	if (value)
		sqlite3_bind_int64(stmt, i, (sqlite3_int64)value);
}

static int insert(sqlite3 *db, const struct row *row)
{
	const struct reference *r = row->r;
	bool shared = !strcmp(row->m->model, "shared");
	const char *texts[] = {
		r->name,
		row->m->boundary,
		r->order,
		r->direction,
		r->capacity,
		r->when_full,
		shared ? "shared memory" : "message passing",
		shared ? NULL : row->m->model,
		r->features & REFERENCE_NONBLOCKING ? "or not" : "yes",
		row->m->scope,
		r->synchronisation,
		r->relationship,
	};
	uint64_t figures[] = { row->rate, row->p50, row->p99, row->large, row->throughput, r->largest };
	sqlite3_stmt *stmt;
	int at = 0;
	if (sqlite3_prepare_v2(
		    db,
		    "INSERT INTO comparison (mechanism, boundary, \"order\", direction, capacity, "
		    "when_full, model, naming, blocking, scope, synchronisation, relationship, "
		    "messages_per_s, latency_p50_ns, latency_p99_ns, large_bytes, large_bytes_per_s, "
		    "largest_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		    -1, &stmt, NULL))
		return -1;
	for (size_t i = 0; i < COUNT(texts); i++)
		sqlite3_bind_text(stmt, ++at, texts[i], -1, SQLITE_STATIC);
	for (size_t i = 0; i < COUNT(figures); i++)
		bind_figure(stmt, ++at, figures[i]);
	int rc = sqlite3_step(stmt);
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? 0 : -1;
}

static int show(sqlite3 *db, const struct output *out, const struct column *columns, size_t n)
{
	char sql[1024] = "SELECT ";
	sqlite3_stmt *stmt;
	for (size_t i = 0; i < n; i++)
		snprintf(sql + strlen(sql), sizeof(sql) - strlen(sql), "%s\"%s\"", i ? ", " : "",
			 columns[i].name);
	snprintf(sql + strlen(sql), sizeof(sql) - strlen(sql), " FROM comparison ORDER BY rowid");
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL))
		return -1;
	int err = output_rows(out, columns, n, stmt);
	sqlite3_finalize(stmt);
	return err;
}

static size_t width_of(const struct column *columns)
{
	size_t n = 0;
	while (n < COLUMNS && columns[n].name)
		n++;
	return n;
}

static int show_all(sqlite3 *db, enum output_format format)
{
	struct column all[TABLES * COLUMNS];
	struct output out;
	size_t n = 0;
	output_init(&out, stdout, format, 0);
	for (int i = 0; i < TABLES; i++) {
		size_t width = width_of(tables[i]);
		for (size_t k = i ? 1 : 0; k < width; k++)
			all[n++] = tables[i][k];
		if (!format && i)
			putchar('\n');
		if (!format && show(db, &out, tables[i], width))
			return -1;
	}
	return format ? show(db, &out, all, n) : 0;
}

static int measure_all(sqlite3 *db)
{
	int status = EXIT_SUCCESS;
	for (const struct reference *const *r = references; *r; r++) {
		struct row row = { .r = *r, .m = mechanism_of((*r)->name) };
		if ((*r)->mechanism) /* not its own: nothing to compare */
			continue;
		const char *why = reference_missing(*r);
		if (why) {
			fprintf(stderr, "ipctrace: '%s' is left out: %s\n", (*r)->name, why);
			continue;
		}
		if (measure_row(&row))
			status = command_failed("the reference program '%s' failed", (*r)->name);
		if (insert(db, &row))
			return command_failed("%s", sqlite3_errmsg(db));
	}
	return status;
}

int compare(enum output_format format)
{
	sqlite3 *db;
	if (sqlite3_open(":memory:", &db) ||
	    sqlite3_exec(db,
			 "CREATE TABLE comparison (mechanism TEXT, boundary TEXT, \"order\" TEXT, "
			 "direction TEXT, "
			 "capacity TEXT, when_full TEXT, model TEXT, naming TEXT, blocking TEXT, scope TEXT, "
			 "synchronisation TEXT, relationship TEXT, messages_per_s INTEGER, latency_p50_ns "
			 "INTEGER, "
			 "latency_p99_ns INTEGER, large_bytes INTEGER, large_bytes_per_s INTEGER, "
			 "largest_bytes INTEGER)",
			 NULL, NULL, NULL))
		return command_failed("%s", sqlite3_errmsg(db));
	int status = measure_all(db);
	if (show_all(db, format))
		status = command_failed("%s", sqlite3_errmsg(db));
	sqlite3_close(db);
	return status;
}
