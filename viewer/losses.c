// SPDX-License-Identifier: BSD-2-Clause
/* losses: what the trace does not hold, why, and of whom. */
#include "view.h"

static const struct column columns[] = {
	{ "kind", "KIND", UNIT_TEXT, MARK_NONE },
	{ "reason", "REASON", UNIT_TEXT, MARK_NONE },
	{ "count", "COUNT", UNIT_NUMBER, MARK_NONE },
	{ "mechanism", "MECHANISM", UNIT_TEXT, MARK_NONE },
	{ "process_id", "PROCESS", UNIT_NUMBER, MARK_NONE },
	{ "comm", "COMM", UNIT_TEXT, MARK_NONE },
	{ "source", "SOURCE", UNIT_TEXT, MARK_NONE },
	{ "processor", "CPU", UNIT_NUMBER, MARK_NONE },
	{ "first_ns", "FIRST", UNIT_TIME, MARK_NONE },
	{ "last_ns", "LAST", UNIT_TIME, MARK_NONE },
	{ 0 },
};

static const struct view view = {
	.name = "losses",
	.columns = columns,
	.order = "kind, reason, mechanism, comm, processor",
	.pid = "process_id IN (SELECT id FROM processes WHERE pid = :pid)",
	.comm = "comm = :comm OR process_id IN (SELECT id FROM processes WHERE comm = :comm)",
};

static int run(const struct command *self, const struct options *o)
{
	return view_run(&view, self, o);
}

const struct command cmd_losses = {
	.name = "losses",
	.summary = "Shows what was lost, not covered, or could not be attributed",
	.usage = "",
	.details = "The summary says the same in words.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM,
	.view = &view,
	.run = run,
};
