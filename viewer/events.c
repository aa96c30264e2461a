// SPDX-License-Identifier: BSD-2-Clause
/* events: one row for each call on each end of a channel. */
#include "view.h"

enum { PROCESS = 3 }; /* its column */

static struct column columns[] = {
	{ "ts_ns", "TIME", UNIT_TIME, MARK_NONE },
	{ "dur_ns", "TOOK", UNIT_DURATION, MARK_NONE },
	{ "pid", "PID", UNIT_NUMBER, MARK_NONE },
	{ "process_id", NULL, UNIT_NUMBER, MARK_NONE }, /* where a pid was used again */
	{ "tid", "TID", UNIT_NUMBER, MARK_NONE },
	{ "comm", "COMM", UNIT_TEXT, MARK_NONE },
	{ "call", "CALL", UNIT_TEXT, MARK_NONE },
	{ "verb", "VERB", UNIT_TEXT, MARK_NONE },
	{ "mechanism", "MECHANISM", UNIT_TEXT, MARK_NONE },
	{ "channel_id", "CHANNEL", UNIT_NUMBER, MARK_NONE },
	{ "fd", "FD", UNIT_NUMBER, MARK_NONE },
	{ "bytes", "BYTES", UNIT_BYTES, MARK_NONE },
	{ "errno", "ERRNO", UNIT_NUMBER, MARK_NONE },
	{ "id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "flags", NULL, UNIT_NUMBER, MARK_NONE },
	{ "part", NULL, UNIT_NUMBER, MARK_NONE },
	{ "source", NULL, UNIT_TEXT, MARK_NONE },
	{ 0 },
};

static const struct view view = {
	.name = "events",
	.calls = true,
	.columns = columns,
	.pid = "pid = :pid",
	.comm = "comm = :comm",
	.mechanism = "mechanism = :mechanism",
	.verb = "verb = :verb",
	.since = "id > :after AND id <= :upto",
	.newest = "SELECT id FROM events ORDER BY id DESC LIMIT 1",
};

static int run(const struct command *self, const struct options *o)
{
	columns[PROCESS].heading = view_reused(o) ? "PROCESS" : NULL;
	return view_run(&view, self, o);
}

const struct command cmd_events = {
	.name = "events",
	.summary = "Shows every call that was recorded, in the order in which it was stored",
	.usage = "",
	.details = "TIME counts seconds since the recording began.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM | OPT_VERB | OPT_STREAM,
	.view = &view,
	.run = run,
};
