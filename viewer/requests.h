/* SPDX-License-Identifier: BSD-2-Clause */
/* What `spans`, `trace` and the summary share: requests with the names of who made and who answered them. */
#ifndef IPC_REQUESTS_H
#define IPC_REQUESTS_H

#include <string.h>

#include "names.h"
#include "view.h"

/* Finds the spans of the trace that -i names, where its recorder left that to us because there is so much to
 * look at. Returns 0, or -errno: it cannot be done, as one line on stderr says. */
int spans_find(const struct options *o);

/* Whether the messages of D-Bus are asked for, and cannot be found: they are with the spans. */
static inline bool dbus_fails(const struct options *o)
{
	return o->mechanism && !strcmp(o->mechanism, "dbus") && spans_find(o);
}

/* Whether processes handed on by semaphores whose posts were counted, but are no events: what one caused
 * behind it is not known to be its. */
bool spans_lack_semaphores(struct trace *t);

/* Behind FROM: the spans x with their processes s and d, their endpoints ns and nd, and their channel c. */
#define FROM_SPANS                                                                                           \
	" FROM spans x LEFT JOIN processes s ON s.id = x.src_id LEFT JOIN processes d ON d.id = x.dst_id"    \
	" LEFT JOIN channels c ON c.id = x.channel_id"                                                       \
	" LEFT JOIN endpoints ns ON ns.channel_id = x.channel_id AND ns.process_id = x.src_id"               \
	" LEFT JOIN endpoints nd ON nd.channel_id = x.channel_id AND nd.process_id = x.dst_id"

#define SPANS_ORDER "end_ns - start_ns DESC, start_ns, id"

/* What is asked for; of an exchange nobody knows more than over what. */
#define SPAN_NAME                                                                                            \
	"CASE WHEN coalesce(x.name, c.mechanism) IS c.mechanism THEN " CHANNEL_NAME(                         \
		"c", "0", "c.mechanism") " ELSE x.name END"

/* Their columns, those of the table and those that follow from it. */
/* clang-format off */
#define SPAN_FIELDS                                                                                          \
	"x.id, x.trace_id, x.span_id, x.parent_id, x.kind, " SPAN_NAME " AS name, x.start_ns, x.end_ns,"     \
	" x.end_ns - x.start_ns AS dur_ns, x.server_ns, x.status, x.failed, x.exact, x.pipelined,"           \
	" x.src_id, x.src_tid, " PROCESS_NAME("s", "ns.role") " AS src, s.pid AS src_pid,"                   \
	" s.comm AS src_comm, x.dst_id, x.dst_tid, " PROCESS_NAME("d", "nd.role") " AS dst,"                 \
	" d.pid AS dst_pid, d.comm AS dst_comm, x.request_bytes, x.reply_bytes, x.channel_id,"               \
	" c.mechanism, " CHANNEL_NAME("c", "ns.role = 'peer'", "c.mechanism") " AS channel"
/* clang-format on */

/* What both views have behind their own columns, for programs only. */
#define SPAN_COLUMNS                                                                                         \
	{ "span_id", NULL, UNIT_ID, MARK_NONE }, { "parent_id", NULL, UNIT_ID, MARK_NONE },                  \
		{ "id", NULL, UNIT_NUMBER, MARK_NONE }, { "channel", NULL, UNIT_TEXT, MARK_NONE },           \
		{ "channel_id", NULL, UNIT_NUMBER, MARK_NONE }, { "mechanism", NULL, UNIT_TEXT, MARK_NONE }, \
		{ "src_id", NULL, UNIT_NUMBER, MARK_NONE }, { "src_pid", NULL, UNIT_NUMBER, MARK_NONE },     \
		{ "src_tid", NULL, UNIT_NUMBER, MARK_NONE }, { "src_comm", NULL, UNIT_TEXT, MARK_NONE },     \
		{ "dst_id", NULL, UNIT_NUMBER, MARK_NONE }, { "dst_pid", NULL, UNIT_NUMBER, MARK_NONE },     \
		{ "dst_tid", NULL, UNIT_NUMBER, MARK_NONE }, { "dst_comm", NULL, UNIT_TEXT, MARK_NONE },     \
		{ "end_ns", NULL, UNIT_TIME, MARK_NONE }, { "failed", NULL, UNIT_NUMBER, MARK_NONE },        \
		{ "exact", NULL, UNIT_NUMBER, MARK_NONE }, { "request_bytes", NULL, UNIT_BYTES, MARK_NONE }, \
	{                                                                                                    \
		"reply_bytes", NULL, UNIT_BYTES, MARK_NONE                                                   \
	}

/*
 * All requests of one kind and name together; :pid, :comm and :mechanism select before that. A percentile is
 * the smallest duration that is not exceeded by so many of all that were answered.
 */
/* clang-format off */
#define SPANS_BY_NAME                                                                                        \
	"SELECT kind, name, count(*) AS count, sum(coalesce(failed, 0)) AS failed, sum(dur_ns) AS total_ns," \
	" min(dur_ns) AS min_ns, " SPANS_PERCENTILE("50") ", " SPANS_PERCENTILE("90") ", "                   \
	SPANS_PERCENTILE("99") ", max(dur_ns) AS max_ns, sum(dur_ns IS NULL) AS unanswered,"                 \
	" min(exact) AS exact FROM (SELECT *, row_number() OVER (PARTITION BY kind, name ORDER BY dur_ns"    \
	" NULLS LAST) AS place, count(dur_ns) OVER (PARTITION BY kind, name) AS answered FROM"               \
	" (SELECT x.kind, " SPAN_NAME " AS name, x.failed, x.exact, x.end_ns - x.start_ns AS dur_ns"         \
	" FROM spans x LEFT JOIN processes s ON s.id = x.src_id LEFT JOIN processes d ON d.id = x.dst_id"    \
	" LEFT JOIN channels c ON c.id = x.channel_id"                                                       \
	" WHERE (:pid = 0 OR :pid IN (s.pid, d.pid)) AND (:comm IS NULL OR :comm IN (s.comm, d.comm))"       \
	" AND (:mechanism IS NULL OR c.mechanism = :mechanism))) GROUP BY 1, 2"
/* clang-format on */
#define SPANS_NAMES_ORDER   "total_ns DESC, count DESC, kind, name"
#define SPANS_PERCENTILE(p) "min(CASE WHEN place * 100 >= answered * " p " THEN dur_ns END) AS p" p "_ns"

#endif
