// SPDX-License-Identifier: BSD-2-Clause
/*
 * summary: one line about the whole, the edges with the most bytes, one line about spawns and exits, and what
 * is missing from the trace, in words.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "reasons.h"
#include "requests.h"
#include "summary.h"
#include "view.h"

enum { DEFAULT_ROWS = 20, NAMES_ROWS = 5 };

static const struct column columns[] = {
	{ "src", "FROM", UNIT_TEXT, MARK_NONE },
	{ "dst", "TO", UNIT_TEXT, MARK_NONE },
	{ "channel", "OVER", UNIT_TEXT, MARK_NONE },
	{ "messages", "MESSAGES", UNIT_NUMBER, MARK_EXACT },
	{ "bytes", "BYTES", UNIT_BYTES, MARK_EXACT },
	{ "latency_p50_ns", "P50", UNIT_DURATION, MARK_BOUND },
	{ "latency_p99_ns", "P99", UNIT_DURATION, MARK_BOUND },
	{ "exact", NULL, UNIT_NUMBER, MARK_NONE },
	{ "lower_bound", NULL, UNIT_NUMBER, MARK_NONE },
	{ "mechanism", NULL, UNIT_TEXT, MARK_NONE },
	{ "name", NULL, UNIT_TEXT, MARK_NONE },
	{ "connections", NULL, UNIT_NUMBER, MARK_NONE },
	{ 0 },
};

/*
 * Connections of one process to another at the same address, or all without one, are one row. The percentiles
 * of all together are not known from those of each, but bounds are: of a connection's messages 50 % took no
 * longer than its median, 40 % more no longer than its 90th percentile, and so on; laid in order, these steps
 * give what 50 % and 99 % of all did not exceed. Of one connection they are its own percentiles.
 */
#define SAME  "CASE WHEN " IS_CONNECTION " THEN coalesce(c.name, '') ELSE e.channel_id END"
#define GROUP "src_id, dst_id, mechanism, same"
#define BOUNDS                                                                                               \
	"WITH steps AS (SELECT e.src_id, e.dst_id, e.mechanism, " SAME                                       \
	" AS same, k.column1 * messages AS n,"                                                               \
	" CASE k.column1 WHEN 50 THEN latency_p50_ns WHEN 40 THEN latency_p90_ns WHEN 9 THEN latency_p99_ns" \
	" ELSE latency_max_ns END AS v FROM edges e LEFT JOIN channels c ON c.id = e.channel_id,"            \
	" (VALUES (50), (40), (9), (1)) k),"                                                                 \
	" ordered AS (SELECT " GROUP ", v, sum(n) OVER (PARTITION BY " GROUP " ORDER BY v) AS up_to,"        \
	" sum(n) OVER (PARTITION BY " GROUP ") AS whole FROM steps WHERE v IS NOT NULL),"                    \
	" bounds AS (SELECT " GROUP ", min(CASE WHEN up_to * 100 >= whole * 50 THEN v END) AS p50,"          \
	" min(CASE WHEN up_to * 100 >= whole * 99 THEN v END) AS p99 FROM ordered GROUP BY " GROUP ") "
#define JOIN_BOUNDS                                                                                          \
	" LEFT JOIN bounds b ON b.src_id IS e.src_id AND b.dst_id IS e.dst_id"                               \
	" AND b.mechanism IS e.mechanism AND b.same IS " SAME
#define GROUPED	 " GROUP BY e.src_id, e.dst_id, e.mechanism, " SAME
#define CHANNELS "count(DISTINCT e.channel_id)"
#define EDGES(condition)                                                                                     \
	"(" BOUNDS "SELECT " EDGE_SRC " AS src, " EDGE_DST " AS dst, CASE WHEN " CHANNELS                    \
	" > 1 THEN " CHANNELS " || ' x ' ELSE '' END || " EDGE_CHANNEL                                       \
	" AS channel, sum(e.messages) AS messages,"                                                          \
	" sum(e.bytes) AS bytes, b.p50 AS latency_p50_ns, b.p99 AS latency_p99_ns, min(e.exact) AS exact,"   \
	" max(" EDGE_BOUND ") AS lower_bound, e.mechanism, c.name, " CHANNELS                                \
	" AS connections, min(e.first_ns) AS first_ns, e.src_id IS e.dst_id AS own" FROM_EDGES JOIN_BOUNDS   \
		condition GROUPED ")"
/* SIGCHLD, mostly: as little news as the exit that it comes with. */
#define KERNEL_SIGNAL "(e.mechanism IS 'signal' AND e.src_comm IS 'kernel' AND e.src_pid IS NULL)"
#define USUAL	      " WHERE e.mechanism IS NOT 'process' AND NOT " KERNEL_SIGNAL " AND NOT " IS_SEMAPHORE
#define ORDER	      "bytes DESC, own, messages DESC, first_ns" /* own: what a process hands over to itself */

static const struct view asked = {
	.name = EDGES(""), .columns = columns, .order = ORDER, .mechanism = "mechanism = :mechanism"
};
static const struct view usual = { .name = EDGES(USUAL), .columns = columns, .order = ORDER };

static const char *plural(int64_t n)
{
	return n == 1 ? "" : "s";
}

/* Whether more may have been sent than the trace has. What ran on after the recording is not part of it. */
#define MISSES                                                                                               \
	"SELECT EXISTS (SELECT 1 FROM losses WHERE kind = 'lost' OR (kind = 'not_covered' AND reason <> "    \
	"'outlived'))"

/* What ended the recording, and not the program. */
static const char *cut_by(const char *ended_by)
{
	if (!ended_by)
		return "";
	return !strcmp(ended_by, "max-size")   ? " until --max-size"
	       : !strcmp(ended_by, "duration") ? " until --duration"
					       : " until ipctrace stop";
}

static void show_head(FILE *out, struct trace *t)
{
	char *command = trace_meta(t, "command") ?: trace_meta(t, "selection"),
	     *end = trace_meta(t, "end_ns"), *ended_by = trace_meta(t, "ended_by");
	/* Those at the other end of a socket did not run as part of the command. */
	int64_t processes = trace_number(
		t,
		"SELECT count(*) FROM processes WHERE prev_id IS NULL AND pid IS NOT NULL AND coverage IS NOT"
		" 'remote' AND NOT (coverage IS 'untraced' AND parent_id IS NULL)");
	int64_t channels = trace_number(t, "SELECT count(*) FROM channels WHERE mechanism IS NOT 'process'");
	int64_t messages =
		trace_number(t, "SELECT sum(messages) FROM edges e WHERE mechanism NOT IN ('process', 'dbus')"
				" AND NOT " KERNEL_SIGNAL);
	/* Messages of D-Bus went through sockets, which have edges too. */
	int64_t bytes = trace_number(t, "SELECT sum(bytes) FROM edges WHERE mechanism IS NOT 'dbus'");
	int64_t start = trace_number(t, "SELECT min(start_ns) FROM processes") ?: (int64_t)t->start_ns;
	const char *bound = trace_number(t, MISSES) ? ">=" : "";
	char took[32] = "", size[32];
	char *name = text_printable(command ? command : "?", command ? strlen(command) : 1);

	if (end)
		unit_format(took, sizeof(took), UNIT_DURATION, strtoll(end, NULL, 10) - start, 0);
	unit_format(size, sizeof(size), UNIT_BYTES, bytes, 0);
	if (!t->failed)
		fprintf(out, "%s: %s%s%s, %lld process%s, %lld channel%s, %s%lld message%s, %s%s -> %s\n",
			name ? name : "?", end ? "ran " : "unfinished", took, cut_by(ended_by),
			(long long)processes, processes == 1 ? "" : "es", (long long)channels,
			plural(channels), bound, (long long)messages, plural(messages), bound, size, t->path);
	free(name);
	free(command);
	free(end);
	free(ended_by);
}

/*
 * What the usual view has behind its first rows: how many of which mechanism. Shared memory has an edge for
 * each pair of processes; its regions are counted instead.
 */
#define REST                                                                                                 \
	"WITH rest AS (SELECT e.mechanism, e.channel_id, e.src_pid, e.dst_pid, sum(e.bytes) AS bytes,"       \
	" sum(e.messages) AS messages, min(e.first_ns) AS first_ns, e.src_id IS e.dst_id AS own, "           \
	"k.boundary = 'memory' AND k.model ="                                                                \
	" 'shared' AS memory FROM edges e LEFT JOIN channels c ON c.id = e.channel_id LEFT JOIN mechanisms"  \
	" k ON k.name = e.mechanism" USUAL GROUPED " ORDER BY " ORDER " LIMIT -1 OFFSET :limit),"            \
	" counts AS (SELECT mechanism, count(*) AS n FROM rest WHERE memory IS NOT 1 GROUP BY 1),"           \
	" sharers AS (SELECT channel_id, src_pid AS pid FROM rest WHERE memory UNION SELECT channel_id,"     \
	" dst_pid FROM rest WHERE memory)"                                                                   \
	" SELECT (SELECT sum(n) FROM counts), (SELECT group_concat(n || ' ' || mechanism, ', ') FROM "       \
	"(SELECT"                                                                                            \
	" * FROM counts ORDER BY n DESC, mechanism)), count(DISTINCT channel_id), count(DISTINCT pid) FROM"  \
	" sharers"

static int show_rest(FILE *out, struct trace *t, const struct options *o)
{
	sqlite3_stmt *stmt;
	if (trace_prepare(t, REST, &stmt))
		return trace_failed(t);
	view_bind(stmt, o);
	if (sqlite3_step(stmt) == SQLITE_ROW) {
		long long rows = sqlite3_column_int64(stmt, 0), regions = sqlite3_column_int64(stmt, 2);
		if (rows)
			fprintf(out, "and %lld more (%s): ipctrace edges -i %s\n", rows,
				(const char *)sqlite3_column_text(stmt, 1), t->path);
		if (regions)
			fprintf(out, "and %lld region%s that %lld processes share: ipctrace regions -i %s\n",
				regions, plural(regions), (long long)sqlite3_column_int64(stmt, 3), t->path);
	}
	sqlite3_finalize(stmt);
	return 0;
}

static int show_edges(FILE *out, struct trace *t, const struct options *o)
{
	struct options limited = *o;
	struct output output;
	int64_t n = trace_number(t, "SELECT count(*) FROM (SELECT 1 FROM edges e LEFT JOIN channels c ON"
				    " c.id = e.channel_id" USUAL GROUPED ")");

	output_init(&output, out, o->format, t->start_ns);
	if (o->format || o->mechanism)
		return view_show(o->mechanism ? &asked : &usual, t, o, &output);
	if (!n) {
		fputs("no process sent anything to another\n", out);
		return 0;
	}
	if (o->limit < 0)
		limited.limit = DEFAULT_ROWS;
	int err = view_show(&usual, t, &limited, &output);
	return err ? err : show_rest(out, t, &limited);
}

static void show_life(FILE *out, struct trace *t)
{
	int64_t all = trace_number(t, "SELECT sum(messages) FROM edges WHERE mechanism = 'process'");
	int64_t spawns =
		trace_number(t, "SELECT sum(e.messages) FROM edges e JOIN processes p ON p.id = e.dst_id"
				" WHERE e.mechanism = 'process' AND p.parent_id = e.src_id");

	if (all)
		fprintf(out, "and %lld spawn%s, %lld exit%s: ipctrace edges --mechanism process -i %s\n",
			(long long)spawns, plural(spawns), (long long)(all - spawns), plural(all - spawns),
			t->path);
	int64_t signals = trace_number(t, "SELECT sum(e.messages) FROM edges e WHERE " KERNEL_SIGNAL);
	if (signals)
		fprintf(out, "and %lld signal%s from the kernel: ipctrace edges --mechanism signal -i %s\n",
			(long long)signals, plural(signals), t->path);
}

static const struct column span_columns[] = {
	{ "kind", "REQUESTS", UNIT_TEXT, MARK_NONE },	{ "name", "NAME", UNIT_TEXT, MARK_NONE },
	{ "count", "COUNT", UNIT_NUMBER, MARK_EXACT },	{ "failed", "FAILED", UNIT_NUMBER, MARK_EXACT },
	{ "p50_ns", "P50", UNIT_DURATION, MARK_EXACT }, { "p99_ns", "P99", UNIT_DURATION, MARK_EXACT },
	{ "exact", NULL, UNIT_NUMBER, MARK_NONE },	{ 0 },
};
static const struct view names = { .name = "(" SPANS_BY_NAME ")",
				   .columns = span_columns,
				   .order = SPANS_NAMES_ORDER };

#define SLOWEST "SELECT trace_id, end_ns - start_ns FROM spans ORDER BY " SPANS_ORDER " LIMIT 1"
#define COUNTS                                                                                               \
	"SELECT group_concat(n || ' ' || protocol, ', '), sum(n) FROM (SELECT protocol, count(*) AS n FROM"  \
	" protocol_messages GROUP BY 1 ORDER BY 2 DESC, 1)"

static int show_slowest(FILE *out, struct trace *t)
{
	sqlite3_stmt *stmt;
	char took[32];

	if (trace_prepare(t, SLOWEST, &stmt))
		return trace_failed(t);
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 1) != SQLITE_NULL) {
		char *id = text_printable((const char *)sqlite3_column_text(stmt, 0) ?: "?",
					  sqlite3_column_bytes(stmt, 0));
		unit_format(took, sizeof(took), UNIT_DURATION, sqlite3_column_int64(stmt, 1), 0);
		fprintf(out, "the slowest took %s: ipctrace trace %.*s -i %s\n", took, ID_DIGITS,
			id ? id : "?", t->path);
		free(id);
	}
	sqlite3_finalize(stmt);
	return 0;
}

static int show_protocols(FILE *out, struct trace *t)
{
	sqlite3_stmt *stmt;

	if (trace_prepare(t, COUNTS, &stmt))
		return trace_failed(t);
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_int64(stmt, 1)) {
		char *counts = text_printable((const char *)sqlite3_column_text(stmt, 0),
					      sqlite3_column_bytes(stmt, 0));
		fprintf(out, "messages of protocols: %s\n", counts ? counts : "?");
		free(counts);
	}
	sqlite3_finalize(stmt);
	return 0;
}

/* The names that took most of the time. */
static int show_requests(FILE *out, struct trace *t, const struct options *o)
{
	struct options limited = *o;
	struct output output;
	char *spans = trace_meta(t, "spans");

	if (spans && !strcmp(spans, "deferred"))
		fprintf(out, "and requests, which have yet to be found: ipctrace spans -i %s\n", t->path);
	free(spans);
	if (!trace_number(t, "SELECT EXISTS (SELECT 1 FROM spans)"))
		return 0;
	output_init(&output, out, o->format, t->start_ns);
	if (o->limit < 0 || o->limit > NAMES_ROWS)
		limited.limit = NAMES_ROWS;
	int err = view_show(&names, t, &limited, &output);
	if (spans_lack_semaphores(t))
		fputs("they are not followed through semaphores: record with --sync=all\n", out);
	return err ? err : show_slowest(out, t);
}

/* What we cost the programs beyond the time that recording takes. */
static void show_blocked(FILE *out, struct trace *t)
{
	int64_t ns = trace_number(t, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'blocked_ns'");
	int64_t times =
		trace_number(t, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'blocked_claims'");
	char took[32];

	if (times <= 0)
		return;
	unit_format(took, sizeof(took), UNIT_DURATION, ns, 0);
	fprintf(out,
		"! programs waited %s in all for room in the recorder's buffer, %lld time%s: --buffer, "
		"--on-full\n",
		took, (long long)times, plural(times));
}

static void show_warning(FILE *out, struct trace *t)
{
	char *warning = trace_meta(t, "payload_warning");
	char *text = warning ? text_printable(warning, strlen(warning)) : NULL;

	if (text)
		fprintf(out, "! %s\n", text);
	free(text);
	free(warning);
}

int summary_show(FILE *out, struct trace *t, const struct options *o)
{
	if (!o->format)
		show_head(out, t);
	int err = t->failed ? -EIO : show_edges(out, t, o);
	if (err || o->format)
		return err;
	if (!o->mechanism) {
		show_life(out, t);
		err = show_requests(out, t, o) ?: show_protocols(out, t);
		if (err)
			return err;
	}
	show_blocked(out, t);
	show_warning(out, t);
	reasons_tell(out, t);
	return 0;
}

static int run(const struct command *self, const struct options *o)
{
	struct trace t;

	if (o->nargs)
		return command_misused(self, "unexpected argument '%s'", o->args[0]);
	if (view_open(&t, o))
		return EXIT_FAILURE;
	int err = summary_show(stdout, &t, o);
	if (!err && o->format)
		trace_warn_losses(&t);
	if (err || t.failed)
		err = command_failed("%s", t.error);
	trace_close(&t);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct command cmd_summary = {
	.name = "summary",
	.summary = "Shows the whole at a glance: who sent how much to whom, and what is missing",
	.usage = "",
	.details =
		"The edges with the most bytes come first; the connections of one process to another at one\n"
		"address are one row ('50 x tcp 127.0.0.1:80'). On a terminal ~ stands before a figure that "
		"is\n"
		"approximate, >= before a lower bound, < before a latency that is only known not to be "
		"exceeded.",
	.options = OPT_INPUT | OPT_FORMAT | OPT_LIMIT | OPT_MECHANISM | OPT_RESOLVE,
	.run = run,
};
