// SPDX-License-Identifier: BSD-2-Clause
/* events: one row for each call on each end of a channel. */
#include "view.h"

static const struct column columns[] = {
	{ "ts_ns", "TIME", UNIT_TIME, false },
	{ "dur_ns", "TOOK", UNIT_DURATION, false },
	{ "pid", "PID", UNIT_NUMBER, false },
	{ "tid", "TID", UNIT_NUMBER, false },
	{ "comm", "COMM", UNIT_TEXT, false },
	{ "call", "CALL", UNIT_TEXT, false },
	{ "verb", "VERB", UNIT_TEXT, false },
	{ "mechanism", "MECHANISM", UNIT_TEXT, false },
	{ "channel_id", "CHANNEL", UNIT_NUMBER, false },
	{ "fd", "FD", UNIT_NUMBER, false },
	{ "bytes", "BYTES", UNIT_BYTES, false },
	{ "errno", "ERRNO", UNIT_NUMBER, false },
	{ "id", NULL, UNIT_NUMBER, false },
	{ "process_id", NULL, UNIT_NUMBER, false },
	{ "flags", NULL, UNIT_NUMBER, false },
	{ "part", NULL, UNIT_NUMBER, false },
	{ "source", NULL, UNIT_TEXT, false },
	{ 0 },
};

static const struct view view = {
	.name = "events",
	.columns = columns,
	.pid = "pid = :pid",
	.comm = "comm = :comm",
	.mechanism = "mechanism = :mechanism",
};

static int run(const struct command *self, const struct options *o)
{
	return view_run(&view, self, o);
}

const struct command cmd_events = {
	.name = "events",
	.summary = "Shows every call that was recorded, in the order in which it was stored",
	.usage = "",
	.details = "TIME counts seconds since the recording began.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM,
	.run = run,
};
