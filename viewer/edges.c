// SPDX-License-Identifier: BSD-2-Clause
/* edges: one row for all that one process sent to another over one channel. */
#include "view.h"

static const struct column columns[] = {
	{ "src_pid", "PID", UNIT_NUMBER, false },
	{ "src_comm", "FROM", UNIT_TEXT, false },
	{ "dst_pid", "PID", UNIT_NUMBER, false },
	{ "dst_comm", "TO", UNIT_TEXT, false },
	{ "mechanism", "OVER", UNIT_TEXT, false },
	{ "channel_id", "CHANNEL", UNIT_NUMBER, false },
	{ "messages", "MESSAGES", UNIT_NUMBER, true },
	{ "bytes", "BYTES", UNIT_BYTES, true },
	{ "latency_p50_ns", "P50", UNIT_DURATION, true },
	{ "latency_p99_ns", "P99", UNIT_DURATION, true },
	{ "latency_max_ns", "MAX", UNIT_DURATION, true },
	{ "exact", NULL, UNIT_NUMBER, false },
	{ "partial", NULL, UNIT_NUMBER, false },
	{ "src_id", NULL, UNIT_NUMBER, false },
	{ "dst_id", NULL, UNIT_NUMBER, false },
	{ "pages", NULL, UNIT_NUMBER, false },
	{ "first_ns", NULL, UNIT_TIME, false },
	{ "last_ns", NULL, UNIT_TIME, false },
	{ "latency_min_ns", NULL, UNIT_DURATION, true },
	{ "latency_p90_ns", NULL, UNIT_DURATION, true },
	{ 0 },
};

static const struct view view = {
	.name = "edges",
	.columns = columns,
	.order = "bytes DESC, messages DESC, first_ns",
	.pid = "src_pid = :pid OR dst_pid = :pid",
	.comm = "src_comm = :comm OR dst_comm = :comm",
	.mechanism = "mechanism = :mechanism",
};

static int run(const struct command *self, const struct options *o)
{
	return view_run(&view, self, o);
}

const struct command cmd_edges = {
	.name = "edges",
	.summary = "Shows who sent how much to whom, over which channel, and how long it took",
	.usage = "",
	.details = "On a terminal ~ stands before a figure that is approximate.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM,
	.run = run,
};
