// SPDX-License-Identifier: BSD-2-Clause
/* processes: one row per program image; a fork and the exec behind it are two rows with one pid. */
#include "view.h"

static const struct column columns[] = {
	{ "id", "ID", UNIT_NUMBER, MARK_NONE },
	{ "pid", "PID", UNIT_NUMBER, MARK_NONE },
	{ "ppid", "PPID", UNIT_NUMBER, MARK_NONE },
	{ "comm", "COMM", UNIT_TEXT, MARK_NONE },
	{ "start_ns", "START", UNIT_TIME, MARK_NONE },
	{ "end_ns", "END", UNIT_TIME, MARK_NONE },
	{ "exit_status", "STATUS", UNIT_STATUS, MARK_NONE },
	{ "source", "SOURCE", UNIT_TEXT, MARK_NONE },
	{ "coverage", "COVERAGE", UNIT_TEXT, MARK_NONE },
	{ "cmdline", "COMMAND LINE", UNIT_TEXT, MARK_NONE },
	{ "host_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "parent_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "prev_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "exe", NULL, UNIT_TEXT, MARK_NONE },
	{ "uid", NULL, UNIT_NUMBER, MARK_NONE },
	{ "cgroup", NULL, UNIT_TEXT, MARK_NONE },
	{ 0 },
};

static const struct view view = {
	.name = "processes",
	.columns = columns,
	.pid = "pid = :pid",
	.comm = "comm = :comm",
};

static int run(const struct command *self, const struct options *o)
{
	return view_run(&view, self, o);
}

const struct command cmd_processes = {
	.name = "processes",
	.summary = "Shows the processes: who ran, from when to when, and how it ended",
	.usage = "",
	.options = OPT_VIEW | OPT_PID | OPT_COMM,
	.run = run,
};
