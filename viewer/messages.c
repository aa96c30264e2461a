// SPDX-License-Identifier: BSD-2-Clause
/* messages: one row for what one receiver got of one send. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "requests.h"

enum {
	SRC = 2,
	DST = 5,
	OVER = 7,
	LATENCY = 10,
	LAST = 14, /* what is shown is before it */
};		   /* their columns */

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
	{ "protocol_id", NULL, UNIT_NUMBER, MARK_NONE },
	{ 0 },
	{ 0 }, /* room for `name`, */
	{ 0 }, /* `passed` */
	{ 0 }, /* and `payload` */
};

#define DATA(event) "(SELECT data FROM payloads WHERE event_id = m." event ")"
#define FIRST_BYTES "coalesce(" DATA("send_event") ", " DATA("recv_event") ")"

/* What a message of D-Bus says, and what the descriptors are ends of that went with it, or were the message.
 */
#define NAME                                                                                                 \
	", (SELECT coalesce(p.name, coalesce(p.status, 'reply') || coalesce(' to ' || c.name, ''))"          \
	" FROM protocol_messages p LEFT JOIN protocol_messages c ON c.id = p.call"                           \
	" WHERE p.id = m.protocol_id) AS name"
#define PASSED                                                                                               \
	", (SELECT group_concat(coalesce(c.key, 'other'), ' ') FROM passed x LEFT JOIN channels c"           \
	" ON c.id = x.channel_id WHERE x.message_id = m.protocol_id) AS passed"
#define PASSED_ITSELF                                                                                        \
	", coalesce((SELECT c.key FROM passed x JOIN channels c ON c.id = x.channel_id"                      \
	" WHERE x.event_id IN (m.send_event, m.recv_event)), 'other') AS passed"

static char shown[1024];

static struct view view = {
	.name = "messages",
	.calls = true,
	.columns = columns,
	.pid = "src_pid = :pid OR dst_pid = :pid",
	.comm = "src_comm = :comm OR dst_comm = :comm",
	.mechanism = "mechanism = :mechanism",
};

static void add_column(int at, const char *name, const char *heading, const char *sql)
{
	size_t used = strlen(shown);

	memmove(columns + at + 1, columns + at, sizeof(columns) - (at + 1) * sizeof(*columns));
	columns[at] = (struct column){ name, heading, UNIT_TEXT, MARK_NONE };
	snprintf(shown + used, sizeof(shown) - used, "%s", sql);
}

/* Where there is more to tell its time is one figure. */
static void hide_parts(void)
{
	columns[OVER].heading = NULL;
	for (int i = LATENCY + 1; i < LAST; i++)
		columns[i].heading = NULL;
}

/* In tables and CSV what is no character stands as \xNN, so a backslash that was said becomes two. JSON does
 * so itself. */
static const char *payload_as(const struct options *o)
{
	if (o->payload == PAYLOAD_HEX)
		return ", nullif(lower(hex(" FIRST_BYTES ")), '') AS payload";
	if (o->format == OUTPUT_TEXT || o->format == OUTPUT_CSV)
		return ", replace(" FIRST_BYTES ", '\\', '\\\\') AS payload";
	return ", " FIRST_BYTES " AS payload";
}

/* What was said stands behind who said it, and leaves out how long that took. */
static void show_payloads(const struct options *o)
{
	hide_parts();
	columns[LATENCY].heading = NULL;
	add_column(LATENCY, "payload", "PAYLOAD", payload_as(o));
}

static void show_more(const struct options *o)
{
	bool dbus = o->mechanism && !strcmp(o->mechanism, "dbus");
	bool passing = o->mechanism && !strcmp(o->mechanism, "fd_passing");

	if (!dbus && !passing && !o->payload)
		return;
	strcpy(shown, "(SELECT m.*");
	if (dbus || passing) {
		hide_parts();
		view.order = "sent_ns, received_ns";
		add_column(LAST, "passed", "PASSED", dbus ? PASSED : PASSED_ITSELF);
	}
	if (dbus)
		add_column(LAST, "name", "WHAT", NAME);
	if (o->payload)
		show_payloads(o);
	strcat(shown, " FROM messages m)");
	view.name = shown;
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
	if (dbus_fails(o))
		return EXIT_FAILURE;
	show_more(o);
	columns[SRC].heading = columns[DST].heading = view_reused(o) ? "PROCESS" : NULL;
	return view_run(&view, self, o);
}

const struct command cmd_messages = {
	.name = "messages",
	.summary = "Shows every message: sender, receiver, bytes, and where its time went",
	.usage = "",
	.details = "On a terminal ~ stands before a figure that is approximate. SENT counts seconds since "
		   "the recording\n"
		   "began. Messages of D-Bus are those from client to service, whatever bus handed them on; "
		   "--mechanism\n"
		   "dbus shows what each says, and --mechanism fd_passing what was passed.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM | OPT_PAYLOAD,
	.view = &view,
	.run = run,
};
