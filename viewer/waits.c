// SPDX-License-Identifier: BSD-2-Clause
/* waits: one row for each call that had to wait, and who ended it. */
#include "names.h"
#include "view.h"

static const struct column columns[] = {
	{ "start_ns", "FROM", UNIT_TIME, MARK_NONE },	{ "dur_ns", "WAITED", UNIT_DURATION, MARK_NONE },
	{ "process", "PROCESS", UNIT_TEXT, MARK_NONE }, { "call", "CALL", UNIT_TEXT, MARK_NONE },
	{ "channel", "CHANNEL", UNIT_TEXT, MARK_NONE }, { "woken_by", "WOKEN BY", UNIT_TEXT, MARK_NONE },
	{ "id", NULL, UNIT_NUMBER, MARK_NONE },		{ "process_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "pid", NULL, UNIT_NUMBER, MARK_NONE },	{ "tid", NULL, UNIT_NUMBER, MARK_NONE },
	{ "comm", NULL, UNIT_TEXT, MARK_NONE },		{ "channel_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "mechanism", NULL, UNIT_TEXT, MARK_NONE },	{ "woken_by_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "seen", NULL, UNIT_TEXT, MARK_NONE },		{ 0 },
};

static const struct view view = {
	.name = "(SELECT w.*, " PROCESS_NAME("p", "''") " AS process, " CHANNEL_NAME(
		"c", "0",
		"c.key") " AS channel, CASE WHEN w.woken_by_id IS NULL AND w.seen = 'indirect' THEN "
			 "'(kernel)' ELSE " PROCESS_NAME("b",
							 "''") " END AS woken_by FROM waits w"
							       " LEFT JOIN channels c ON c.id = w.channel_id"
							       " LEFT JOIN processes p ON p.id = w.process_id"
							       " LEFT JOIN processes b ON b.id = "
							       "w.woken_by_id)",
	.columns = columns,
	.calls = true,
	.order = "dur_ns DESC, id",
	.pid = "pid = :pid",
	.comm = "comm = :comm",
	.mechanism = "mechanism = :mechanism",
};

static int run(const struct command *self, const struct options *o)
{
	return view_run(&view, self, o);
}

const struct command cmd_waits = {
	.name = "waits",
	.summary = "Shows the calls that had to wait, the longest first, and who ended the wait",
	.usage = "",
	.details = "Receives, semaphores, locks and wake-ups. A wait that nobody ended (a timeout, a signal) "
		   "is an\n"
		   "event, not a row here. With --source=bpf every call on a channel, also a send that found "
		   "it\n"
		   "full, and the kernel tells who ended the wait.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM,
	.view = &view,
	.run = run,
};
