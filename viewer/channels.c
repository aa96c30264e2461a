// SPDX-License-Identifier: BSD-2-Clause
/* channels: one row per kernel object that data or control passed through. */
#include "view.h"

static const struct column columns[] = {
	{ "id", "ID", UNIT_NUMBER, false },
	{ "mechanism", "MECHANISM", UNIT_TEXT, false },
	{ "key", "KEY", UNIT_TEXT, false },
	{ "bytes_sent", "SENT", UNIT_BYTES, false },
	{ "bytes_received", "RECEIVED", UNIT_BYTES, false },
	{ "first_ns", "FIRST", UNIT_TIME, false },
	{ "last_ns", "LAST", UNIT_TIME, false },
	{ "partial", "PARTIAL", UNIT_NUMBER, false },
	{ "name", "NAME", UNIT_TEXT, false },
	{ "scope", NULL, UNIT_TEXT, false },
	{ 0 },
};

#define OF_PROCESS(condition)                                                                                \
	"id IN (SELECT n.channel_id FROM endpoints n JOIN processes p ON p.id = n.process_id "               \
	"WHERE " condition ")"

static const struct view view = {
	.name = "channels",
	.columns = columns,
	.pid = OF_PROCESS("p.pid = :pid"),
	.comm = OF_PROCESS("p.comm = :comm"),
	.mechanism = "mechanism = :mechanism",
};

static int run(const struct command *self, const struct options *o)
{
	return view_run(&view, self, o);
}

const struct command cmd_channels = {
	.name = "channels",
	.summary = "Shows the channels: pipes, FIFOs and the like, with what went in and came out",
	.usage = "",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM,
	.run = run,
};
