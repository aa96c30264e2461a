// SPDX-License-Identifier: BSD-2-Clause
/* processes: one row per program image; a fork and the exec behind it are two rows with one pid. */
#include "view.h"

/* ns_pid, container: of few, so that they have a heading only where there are any. */
enum { NS_PID = 2, CONTAINER = 10 };
static struct column columns[] = {
	{ "id", "ID", UNIT_NUMBER, MARK_NONE },
	{ "pid", "PID", UNIT_NUMBER, MARK_NONE },
	{ "ns_pid", NULL, UNIT_NUMBER, MARK_NONE },
	{ "ppid", "PPID", UNIT_NUMBER, MARK_NONE },
	{ "comm", "COMM", UNIT_TEXT, MARK_NONE },
	{ "start_ns", "START", UNIT_TIME, MARK_NONE },
	{ "end_ns", "END", UNIT_TIME, MARK_NONE },
	{ "exit_status", "STATUS", UNIT_STATUS, MARK_NONE },
	{ "source", "SOURCE", UNIT_TEXT, MARK_NONE },
	{ "coverage", "COVERAGE", UNIT_TEXT, MARK_NONE },
	{ "container", NULL, UNIT_TEXT, MARK_NONE },
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
	if (view_any(o, "processes WHERE ns_pid != pid"))
		columns[NS_PID].heading = "OWN PID";
	if (view_any(o, "processes WHERE container IS NOT NULL"))
		columns[CONTAINER].heading = "CONTAINER";
	return view_run(&view, self, o);
}

const struct command cmd_processes = {
	.name = "processes",
	.summary = "Shows the processes: who ran, from when to when, and how it ended",
	.usage = "",
	.options = OPT_VIEW | OPT_PID | OPT_COMM,
	.view = &view,
	.run = run,
};
