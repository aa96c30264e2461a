// SPDX-License-Identifier: BSD-2-Clause
/* channels: one row per kernel object that data or control passed through. */
#include "names.h"
#include "view.h"

enum { LOST = 4 }; /* its column */

static struct column columns[] = {
	{ "id", "ID", UNIT_NUMBER, MARK_NONE },
	{ "channel", "CHANNEL", UNIT_TEXT, MARK_NONE },
	{ "bytes_sent", "SENT", UNIT_BYTES, MARK_EXACT },
	{ "bytes_received", "RECEIVED", UNIT_BYTES, MARK_EXACT },
	{ "lost", NULL, UNIT_NUMBER, MARK_NONE }, /* nearly no trace has any */
	{ "partial", "PARTIAL", UNIT_NUMBER, MARK_NONE },
	{ "ends", "ENDS", UNIT_TEXT, MARK_NONE },
	{ "key", "KEY", UNIT_TEXT, MARK_NONE },
	{ "model", "MODEL", UNIT_TEXT, MARK_NONE },
	{ "capacity", "BUFFER", UNIT_TEXT, MARK_NONE },
	{ "nonblocking", "NON-BLOCKING", UNIT_NUMBER, MARK_NONE },
	{ "first_ns", NULL, UNIT_TIME, MARK_NONE },
	{ "last_ns", NULL, UNIT_TIME, MARK_NONE },
	{ "mechanism", NULL, UNIT_TEXT, MARK_NONE },
	{ "name", NULL, UNIT_TEXT, MARK_NONE },
	{ "scope", NULL, UNIT_TEXT, MARK_NONE },
	{ "lower_bound", NULL, UNIT_NUMBER, MARK_NONE },
	{ 0 },
};

/* The ends: who moved something, and whose end it is in any case. */
#define END PROCESS_NAME("p", "n.role")
#define ENDS                                                                                                 \
	"(SELECT channel_id, max(role = 'peer') AS paired, max(partly) AS partly, group_concat(name, ', ') " \
	"AS ends FROM"                                                                                       \
	" (SELECT n.channel_id, n.role, p.coverage IS 'partial' AS partly, " END " AS name FROM endpoints n" \
	" LEFT JOIN processes p ON p.id = n.process_id WHERE n.sends + n.receives > 0"                       \
	" OR n.role IN ('server', 'client', 'peer', 'listener') OR (n.channel_id, n.process_id) IN"          \
	" (SELECT channel_id, process_id FROM mappings) ORDER BY n.id) GROUP BY channel_id)"
#define CHANNEL CHANNEL_NAME("c", "n.paired", "c.key")
/* What goes through shared memory is not known; what is read from another process's is. */
#define VIEW                                                                                                 \
	"(SELECT c.id, c.mechanism, c.key, c.name, c.scope, c.first_ns, c.last_ns, c.partial, c.lost,"       \
	" CASE WHEN k.boundary IS NOT 'memory' OR k.model IS NOT 'shared' THEN c.bytes_sent END AS "         \
	"bytes_sent,"                                                                                        \
	" CASE WHEN k.boundary IS NOT 'memory' OR k.model IS NOT 'shared' THEN c.bytes_received END AS "     \
	"bytes_received, " CHANNEL " AS channel, n.ends, k.model, k.capacity, c.nonblocking,"                \
	" c.partial OR coalesce(n.partly, 0) AS lower_bound FROM channels c LEFT JOIN " ENDS                 \
	" n ON n.channel_id = c.id LEFT JOIN mechanisms k ON k.name = c.mechanism)"

#define OF_PROCESS(condition)                                                                                \
	"id IN (SELECT n.channel_id FROM endpoints n JOIN processes p ON p.id = n.process_id "               \
	"WHERE " condition ")"

static const struct view view = {
	.name = VIEW,
	.columns = columns,
	.order = "ends IS NULL, id", /* those that nobody used last: of semaphores there may be hundreds */
	.pid = OF_PROCESS("p.pid = :pid"),
	.comm = OF_PROCESS("p.comm = :comm"),
	.mechanism = "mechanism = :mechanism",
};

static int run(const struct command *self, const struct options *o)
{
	columns[LOST].heading = view_any(o, "channels WHERE lost > 0") ? "LOST" : NULL;
	return view_run(&view, self, o);
}

const struct command cmd_channels = {
	.name = "channels",
	.summary = "Shows the channels: pipes, FIFOs, sockets, with what went in and came out",
	.usage = "",
	.details = "On a terminal >= stands before a figure that is a lower bound: something on the channel "
		   "was not "
		   "seen.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM | OPT_RESOLVE,
	.view = &view,
	.run = run,
};
