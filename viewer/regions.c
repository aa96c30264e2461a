// SPDX-License-Identifier: BSD-2-Clause
/* regions: one row for each process that mapped a region of shared memory. */
#include "names.h"
#include "view.h"

enum { PAGES_READ = 9, PAGES_WRITTEN }; /* their columns */

static struct column columns[] = {
	{ "region", "REGION", UNIT_TEXT, MARK_NONE },
	{ "channel_id", "CHANNEL", UNIT_NUMBER, MARK_NONE },
	{ "process", "PROCESS", UNIT_TEXT, MARK_NONE },
	{ "protection", "MAY", UNIT_TEXT, MARK_NONE },
	{ "bytes", "BYTES", UNIT_BYTES, MARK_NONE },
	{ "synchronised_by", "SYNCHRONISED BY", UNIT_TEXT, MARK_NONE },
	{ "mappings", "MAPPINGS", UNIT_NUMBER, MARK_NONE },
	{ "start_ns", "FROM", UNIT_TIME, MARK_NONE },
	{ "end_ns", "TO", UNIT_TIME, MARK_NONE },
	{ "pages_read", NULL, UNIT_NUMBER, MARK_EXACT }, /* where they were sampled */
	{ "pages_written", NULL, UNIT_NUMBER, MARK_EXACT },
	{ "lower_bound", NULL, UNIT_NUMBER, MARK_NONE },
	{ "key", NULL, UNIT_TEXT, MARK_NONE },
	{ "mechanism", NULL, UNIT_TEXT, MARK_NONE },
	{ "name", NULL, UNIT_TEXT, MARK_NONE },
	{ "process_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "pid", NULL, UNIT_NUMBER, MARK_NONE },
	{ "comm", NULL, UNIT_TEXT, MARK_NONE },
	{ 0 },
};

/* What most processes share comes first; last what nobody can write to, as the caches that libc maps, and
 * semaphores. */
#define WRITTEN "max(instr(r.protection, 'w') > 0 AND NOT " IS_SEMAPHORE ") OVER region AS written"
#define SHARERS "count(r.process_id) OVER region AS sharers"
static const struct view view = {
	.name = "(SELECT r.*, p.coverage IS 'partial' AS lower_bound, " WRITTEN ", " SHARERS
		", " CHANNEL_NAME("c", "0", "c.key") " AS region, " PROCESS_NAME(
			"p", "''") " AS process FROM regions r LEFT JOIN channels c ON c.id = r.channel_id"
				   " LEFT JOIN processes p ON p.id = r.process_id WINDOW region AS "
				   "(PARTITION BY r.channel_id))",
	.columns = columns,
	.order = "written DESC, sharers DESC, channel_id, start_ns, process_id",
	.pid = "pid = :pid",
	.comm = "comm = :comm",
	.mechanism = "mechanism = :mechanism",
};

static int run(const struct command *self, const struct options *o)
{
	bool sampled = view_any(o, "sampled");

	columns[PAGES_READ].heading = sampled ? "READ" : NULL;
	columns[PAGES_WRITTEN].heading = sampled ? "WRITTEN" : NULL;
	return view_run(&view, self, o);
}

const struct command cmd_regions = {
	.name = "regions",
	.summary = "Shows shared memory: who mapped it, when, how, and what else they synchronise by",
	.usage = "",
	.details = "SYNCHRONISED BY: the mechanisms by which the process exchanges messages with others that "
		   "have\n"
		   "the same memory.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM,
	.view = &view,
	.run = run,
};
