// SPDX-License-Identifier: BSD-2-Clause
/* messages: one row for what one receiver got of one send. */
#include <string.h>

#include "view.h"

enum {
	SRC = 2,
	DST = 5,
	OVER = 7,
	PAYLOAD = 10,
	PARTS = 4
}; /* their columns; of the latency and its parts */

static struct column columns[] = {
	{ "sent_ns", "SENT", UNIT_TIME, MARK_NONE },
	{ "src_pid", "PID", UNIT_NUMBER, MARK_NONE },
	{ "src_id", NULL, UNIT_NUMBER, MARK_NONE }, /* where a pid was used again */
	{ "src_comm", "FROM", UNIT_TEXT, MARK_NONE },
	{ "dst_pid", "PID", UNIT_NUMBER, MARK_NONE },
	{ "dst_id", NULL, UNIT_NUMBER, MARK_NONE }, /* likewise */
	{ "dst_comm", "TO", UNIT_TEXT, MARK_NONE },
	{ "mechanism", "OVER", UNIT_TEXT, MARK_NONE },
	{ "channel_id", "CHANNEL", UNIT_NUMBER, MARK_NONE },
	{ "bytes", "BYTES", UNIT_BYTES, MARK_EXACT },
	{ "latency_ns", "LATENCY", UNIT_DURATION, MARK_EXACT },
	{ "send_blocked_ns", "SENDER BLOCKED", UNIT_DURATION, MARK_EXACT },
	{ "queued_ns", "QUEUED", UNIT_DURATION, MARK_EXACT },
	{ "recv_blocked_ns", "RECEIVER BLOCKED", UNIT_DURATION, MARK_EXACT },
	{ "exact", NULL, UNIT_NUMBER, MARK_NONE },
	{ "id", NULL, UNIT_NUMBER, MARK_NONE },
	{ "src_tid", NULL, UNIT_NUMBER, MARK_NONE },
	{ "dst_tid", NULL, UNIT_NUMBER, MARK_NONE },
	{ "received_ns", NULL, UNIT_TIME, MARK_NONE },
	{ "send_event", NULL, UNIT_NUMBER, MARK_NONE },
	{ "recv_event", NULL, UNIT_NUMBER, MARK_NONE },
	{ 0 },
	{ 0 }, /* room for `payload` */
};

#define DATA(event)   "(SELECT data FROM payloads WHERE event_id = m." event ")"
#define FIRST_BYTES   "coalesce(" DATA("send_event") ", " DATA("recv_event") ")"
#define WITH(payload) "(SELECT m.*, " payload " AS payload FROM messages m)"

static struct view view = {
	.name = "messages",
	.calls = true,
	.columns = columns,
	.pid = "src_pid = :pid OR dst_pid = :pid",
	.comm = "src_comm = :comm OR dst_comm = :comm",
	.mechanism = "mechanism = :mechanism",
};

/* In tables and CSV what is no character stands as \xNN, so a backslash that was said becomes two. JSON does
 * so itself. */
static const char *shown_as(const struct options *o)
{
	if (o->payload == PAYLOAD_HEX)
		return WITH("nullif(lower(hex(" FIRST_BYTES ")), '')");
	if (o->format == OUTPUT_TEXT || o->format == OUTPUT_CSV)
		return WITH("replace(" FIRST_BYTES ", '\\', '\\\\')");
	return WITH(FIRST_BYTES);
}

/* What was said stands behind who said it, and leaves out how long that took. */
static void show_payloads(const struct options *o)
{
	columns[OVER].heading = NULL;
	for (int i = 0; i < PARTS; i++)
		columns[PAYLOAD + i].heading = NULL;
	memmove(columns + PAYLOAD + 1, columns + PAYLOAD, sizeof(columns) - (PAYLOAD + 1) * sizeof(*columns));
	columns[PAYLOAD] = (struct column){ "payload", "PAYLOAD", UNIT_TEXT, MARK_NONE };
	view.name = shown_as(o);
}

/* Whether there is nothing to show. A file that is no trace is not its matter. */
static bool has_no_payloads(const struct options *o)
{
	return view_any(o, "meta") && !view_any(o, "payloads");
}

static int run(const struct command *self, const struct options *o)
{
	if (o->payload && has_no_payloads(o))
		return command_failed("'%s' has no payloads: they are recorded with --capture=SIZE",
				      o->input);
	if (o->payload)
		show_payloads(o);
	columns[SRC].heading = columns[DST].heading = view_reused(o) ? "PROCESS" : NULL;
	return view_run(&view, self, o);
}

const struct command cmd_messages = {
	.name = "messages",
	.summary = "Shows every message: sender, receiver, bytes, and where its time went",
	.usage = "",
	.details = "On a terminal ~ stands before a figure that is approximate. SENT counts seconds since "
		   "the recording\n"
		   "began.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM | OPT_PAYLOAD,
	.view = &view,
	.run = run,
};
