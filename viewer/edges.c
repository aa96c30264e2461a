// SPDX-License-Identifier: BSD-2-Clause
/* edges: one row for all that one process sent to another over one channel. */
#include <stdlib.h>

#include "requests.h"

enum { PAGES = 6, PAGES_BOTH }; /* their columns */

static struct column columns[] = {
	{ "src", "FROM", UNIT_TEXT, MARK_NONE },
	{ "dst", "TO", UNIT_TEXT, MARK_NONE },
	{ "channel", "OVER", UNIT_TEXT, MARK_NONE },
	{ "channel_id", "CHANNEL", UNIT_NUMBER, MARK_NONE },
	{ "messages", "MESSAGES", UNIT_NUMBER, MARK_EXACT },
	{ "bytes", "BYTES", UNIT_BYTES, MARK_EXACT },
	{ "pages", NULL, UNIT_NUMBER, MARK_EXACT }, /* where shared memory was sampled */
	{ "pages_both", NULL, UNIT_NUMBER, MARK_EXACT },
	{ "latency_p50_ns", "P50", UNIT_DURATION, MARK_EXACT },
	{ "latency_p99_ns", "P99", UNIT_DURATION, MARK_EXACT },
	{ "latency_max_ns", "MAX", UNIT_DURATION, MARK_EXACT },
	{ "src_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "src_pid", NULL, UNIT_NUMBER, MARK_NONE },
	{ "src_comm", NULL, UNIT_TEXT, MARK_NONE },
	{ "src_role", NULL, UNIT_TEXT, MARK_NONE },
	{ "dst_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "dst_pid", NULL, UNIT_NUMBER, MARK_NONE },
	{ "dst_comm", NULL, UNIT_TEXT, MARK_NONE },
	{ "dst_role", NULL, UNIT_TEXT, MARK_NONE },
	{ "mechanism", NULL, UNIT_TEXT, MARK_NONE },
	{ "exact", NULL, UNIT_NUMBER, MARK_NONE },
	{ "lower_bound", NULL, UNIT_NUMBER, MARK_NONE },
	{ "partial", NULL, UNIT_NUMBER, MARK_NONE },
	{ "first_ns", NULL, UNIT_TIME, MARK_NONE },
	{ "last_ns", NULL, UNIT_TIME, MARK_NONE },
	{ "latency_min_ns", NULL, UNIT_DURATION, MARK_EXACT },
	{ "latency_p90_ns", NULL, UNIT_DURATION, MARK_EXACT },
	{ 0 },
};

static const struct view view = {
	.name = "(SELECT e.*, " EDGE_SRC " AS src, " EDGE_DST " AS dst, " EDGE_CHANNEL
		" AS channel, " EDGE_BOUND " AS lower_bound,"
		" ns.role AS src_role, nd.role AS dst_role" FROM_EDGES ")",
	.columns = columns,
	.order = "bytes DESC, messages DESC, first_ns",
	.pid = "src_pid = :pid OR dst_pid = :pid",
	.comm = "src_comm = :comm OR dst_comm = :comm",
	.mechanism = "mechanism = :mechanism",
};

static int run(const struct command *self, const struct options *o)
{
	if (dbus_fails(o))
		return EXIT_FAILURE;
	bool sampled = view_any(o, "edges WHERE pages IS NOT NULL");

	columns[PAGES].heading = sampled ? "PAGES" : NULL;
	columns[PAGES_BOTH].heading = sampled ? "BOTH WROTE" : NULL;
	return view_run(&view, self, o);
}

const struct command cmd_edges = {
	.name = "edges",
	.summary = "Shows who sent how much to whom, over which channel, and how long it took",
	.usage = "",
	.details =
		"On a terminal ~ stands before a figure that is approximate, >= before one that is a lower\n"
		"bound: something on the channel was not seen.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM | OPT_RESOLVE,
	.view = &view,
	.run = run,
};
