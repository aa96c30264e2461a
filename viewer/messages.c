// SPDX-License-Identifier: BSD-2-Clause
/* messages: one row for what one receiver got of one send. */
#include "view.h"

static const struct column columns[] = {
	{ "sent_ns", "SENT", UNIT_TIME, false },
	{ "src_pid", "PID", UNIT_NUMBER, false },
	{ "src_comm", "FROM", UNIT_TEXT, false },
	{ "dst_pid", "PID", UNIT_NUMBER, false },
	{ "dst_comm", "TO", UNIT_TEXT, false },
	{ "mechanism", "OVER", UNIT_TEXT, false },
	{ "channel_id", "CHANNEL", UNIT_NUMBER, false },
	{ "bytes", "BYTES", UNIT_BYTES, true },
	{ "latency_ns", "LATENCY", UNIT_DURATION, true },
	{ "send_blocked_ns", "SENDER BLOCKED", UNIT_DURATION, true },
	{ "queued_ns", "QUEUED", UNIT_DURATION, true },
	{ "recv_blocked_ns", "RECEIVER BLOCKED", UNIT_DURATION, true },
	{ "exact", NULL, UNIT_NUMBER, false },
	{ "id", NULL, UNIT_NUMBER, false },
	{ "src_id", NULL, UNIT_NUMBER, false },
	{ "src_tid", NULL, UNIT_NUMBER, false },
	{ "dst_id", NULL, UNIT_NUMBER, false },
	{ "dst_tid", NULL, UNIT_NUMBER, false },
	{ "received_ns", NULL, UNIT_TIME, false },
	{ "send_event", NULL, UNIT_NUMBER, false },
	{ "recv_event", NULL, UNIT_NUMBER, false },
	{ 0 },
};

static const struct view view = {
	.name = "messages",
	.columns = columns,
	.pid = "src_pid = :pid OR dst_pid = :pid",
	.comm = "src_comm = :comm OR dst_comm = :comm",
	.mechanism = "mechanism = :mechanism",
};

static int run(const struct command *self, const struct options *o)
{
	return view_run(&view, self, o);
}

const struct command cmd_messages = {
	.name = "messages",
	.summary = "Shows every message: sender, receiver, bytes, and where its time went",
	.usage = "",
	.details = "On a terminal ~ stands before a figure that is approximate. SENT counts seconds since "
		   "the recording\n"
		   "began.",
	.options = OPT_VIEW | OPT_PID | OPT_COMM | OPT_MECHANISM,
	.run = run,
};
