// SPDX-License-Identifier: BSD-2-Clause
/* processes: one row per program image; a fork and the exec behind it are two rows with one pid. */
#include "view.h"

static const struct column columns[] = {
	{ "id", "ID", UNIT_NUMBER, false },
	{ "pid", "PID", UNIT_NUMBER, false },
	{ "ppid", "PPID", UNIT_NUMBER, false },
	{ "comm", "COMM", UNIT_TEXT, false },
	{ "start_ns", "START", UNIT_TIME, false },
	{ "end_ns", "END", UNIT_TIME, false },
	{ "exit_status", "STATUS", UNIT_STATUS, false },
	{ "source", "SOURCE", UNIT_TEXT, false },
	{ "coverage", "COVERAGE", UNIT_TEXT, false },
	{ "cmdline", "COMMAND LINE", UNIT_TEXT, false },
	{ "host_id", NULL, UNIT_NUMBER, false },
	{ "parent_id", NULL, UNIT_NUMBER, false },
	{ "prev_id", NULL, UNIT_NUMBER, false },
	{ "exe", NULL, UNIT_TEXT, false },
	{ "uid", NULL, UNIT_NUMBER, false },
	{ "cgroup", NULL, UNIT_TEXT, false },
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
