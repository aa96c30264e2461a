// SPDX-License-Identifier: BSD-2-Clause
/* losses: what the trace does not hold, why, of whom, and what can be done about it. */
#include <stdlib.h>

#include "reasons.h"
#include "view.h"

static const struct column columns[] = {
	{ "kind", "KIND", UNIT_TEXT, MARK_NONE },
	{ "reason", "REASON", UNIT_TEXT, MARK_NONE },
	{ "count", "COUNT", UNIT_NUMBER, MARK_NONE },
	{ "pid", "PID", UNIT_NUMBER, MARK_NONE },
	{ "comm", "COMM", UNIT_TEXT, MARK_NONE },
	{ "mechanism", "MECHANISM", UNIT_TEXT, MARK_NONE },
	{ "process_id", "PROCESS", UNIT_NUMBER, MARK_NONE },
	{ "source", "SOURCE", UNIT_TEXT, MARK_NONE },
	{ "processor", "CPU", UNIT_NUMBER, MARK_NONE },
	{ "first_ns", "FIRST", UNIT_TIME, MARK_NONE },
	{ "last_ns", "LAST", UNIT_TIME, MARK_NONE },
	{ "words", NULL, UNIT_TEXT, MARK_NONE },
	{ "remedy", NULL, UNIT_TEXT, MARK_NONE },
	{ 0 },
};

static const struct view view = {
	.name = "(SELECT l.kind, l.reason, l.count, p.pid, coalesce(l.comm, p.comm) AS comm, l.mechanism, "
		"l.process_id,"
		" l.source, l.processor, l.first_ns, l.last_ns, reason_words(l.reason) AS words,"
		" reason_remedy(l.reason) AS remedy FROM losses l LEFT JOIN processes p ON p.id = "
		"l.process_id)",
	.columns = columns,
	.order = "kind, reason, mechanism, comm, pid, processor",
	.pid = "pid = :pid",
	.comm = "comm = :comm",
	.losses = true,
};

static int run(const struct command *self, const struct options *o)
{
	struct trace t;
	int status = view_run(&view, self, o);

	if (status || o->format || trace_open(&t, o->input))
		return status;
	reasons_explain(stdout, &t);
	trace_close(&t);
	return EXIT_SUCCESS;
}

const struct command cmd_losses = {
	.name = "losses",
	.summary = "Shows what was lost, not covered, or could not be attributed, and what to do about it",
	.usage = "",
	.details = "Below the rows each reason is explained. The summary says the same in words.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM,
	.view = &view,
	.run = run,
};
