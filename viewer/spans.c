// SPDX-License-Identifier: BSD-2-Clause
/* spans: one row per request with its reply; or one for all requests of a name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "requests.h"
#include "spans.h"

enum { PIPELINED = 9 }; /* its column */

static struct column columns[] = {
	{ "trace_id", "TRACE", UNIT_ID, MARK_NONE },
	{ "dur_ns", "DURATION", UNIT_DURATION, MARK_EXACT },
	{ "server_ns", "SERVER", UNIT_DURATION, MARK_EXACT },
	{ "name", "NAME", UNIT_TEXT, MARK_NONE },
	{ "src", "FROM", UNIT_TEXT, MARK_NONE },
	{ "dst", "TO", UNIT_TEXT, MARK_NONE },
	{ "status", "STATUS", UNIT_TEXT, MARK_NONE },
	{ "kind", "KIND", UNIT_TEXT, MARK_NONE },
	{ "start_ns", "START", UNIT_TIME, MARK_NONE },
	{ "pipelined", NULL, UNIT_NUMBER, MARK_NONE }, /* a heading where there are any */
	SPAN_COLUMNS,
	{ 0 },
};

static const struct view view = {
	.name = "(SELECT " SPAN_FIELDS FROM_SPANS ")",
	.columns = columns,
	.calls = true,
	.order = SPANS_ORDER,
	.pid = "src_pid = :pid OR dst_pid = :pid",
	.comm = "src_comm = :comm OR dst_comm = :comm",
	.mechanism = "mechanism = :mechanism",
};

static const struct column name_columns[] = {
	{ "kind", "KIND", UNIT_TEXT, MARK_NONE },
	{ "name", "NAME", UNIT_TEXT, MARK_NONE },
	{ "count", "COUNT", UNIT_NUMBER, MARK_EXACT },
	{ "failed", "FAILED", UNIT_NUMBER, MARK_EXACT },
	{ "total_ns", "TOTAL", UNIT_DURATION, MARK_EXACT },
	{ "p50_ns", "P50", UNIT_DURATION, MARK_EXACT },
	{ "p90_ns", "P90", UNIT_DURATION, MARK_EXACT },
	{ "p99_ns", "P99", UNIT_DURATION, MARK_EXACT },
	{ "max_ns", "MAX", UNIT_DURATION, MARK_EXACT },
	{ "min_ns", "MIN", UNIT_DURATION, MARK_EXACT },
	{ "unanswered", NULL, UNIT_NUMBER, MARK_NONE },
	{ "exact", NULL, UNIT_NUMBER, MARK_NONE },
	{ 0 },
};

static const struct view by_name = {
	.name = "(" SPANS_BY_NAME ")",
	.columns = name_columns,
	.calls = true,
	.order = SPANS_NAMES_ORDER,
};

bool spans_lack_semaphores(struct trace *t)
{
	return trace_number(t, "SELECT EXISTS (SELECT 1 FROM spans) AND NOT EXISTS (SELECT 1 FROM meta"
			       " WHERE key = 'settings' AND value LIKE '%--sync=all%') AND EXISTS (SELECT 1"
			       " FROM edges WHERE mechanism = 'posix_sem' AND messages > 0)") > 0;
}

/* Says so where it is too early to look, or where not all can be found. What is no trace is said by whoever
 * shows it. */
static bool are_deferred(const struct options *o)
{
	struct trace t;

	if (trace_open(&t, o->input))
		return false;
	char *state = trace_meta(&t, "spans");
	bool deferred = state && !strcmp(state, "deferred");
	if (!state && !trace_number(&t, "SELECT count(*) FROM spans") && !t.failed)
		command_note("note: requests are found when the recording has ended");
	if (spans_lack_semaphores(&t))
		command_note("note: requests are not followed through semaphores: record with --sync=all");
	free(state);
	trace_close(&t);
	return deferred;
}

int spans_find(const struct options *o)
{
	char *path = NULL;
	sqlite3 *db = NULL;

	if (!are_deferred(o))
		return 0;
	/* As in trace_open(): a path and nothing else. */
	if (asprintf(&path, "%s%s", o->input[0] == '/' ? "" : "./", o->input) < 0)
		return -ENOMEM;
	command_note("note: the requests have yet to be found; that is done once");
	int err = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ? -EIO : 0;
	if (!err)
		err = sqlite3_db_readonly(db, "main") ? -EACCES : spans_build(db, 0);
	if (err)
		command_failed(
			"the requests in '%s' have yet to be found, which needs leave to write there: %s",
			o->input, strerror(-err));
	sqlite3_close(db);
	free(path);
	return err;
}

static int run(const struct command *self, const struct options *o)
{
	if (spans_find(o))
		return EXIT_FAILURE;
	if (view_any(o, "spans WHERE pipelined"))
		columns[PIPELINED].heading = "PIPELINED";
	return view_run(o->by_name ? &by_name : &view, self, o);
}

const struct command cmd_spans = {
	.name = "spans",
	.summary = "Shows the requests, the slowest first: who asked whom for what, and how long it took",
	.usage = "",
	.details = "SERVER is the part of DURATION that the server had it. A request without a reply has no\n"
		   "duration. 'ipctrace trace TRACE' shows what a request led to. On a terminal ~ stands\n"
		   "before a figure that is approximate.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM | OPT_BY | OPT_RESOLVE,
	.view = &view,
	.run = run,
};
