// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compared are, per process (pid and name), channel and verb, the calls that moved something and their bytes;
 * and the edges, messages and bytes, that both traces call exact: what is approximate is no promise.
 * Processes outside the trace have no ends of their own. What the shim itself asks the kernel and maps is
 * left out, and so are mechanisms that only one of the sources records; of these eBPF sees the futexes
 * inside.
 *
 * A difference is listed with a note, and does not count, where a trace says itself that it cannot know:
 * the shim could not enter the process (or its ancestor, when it does not know the process at all), and saw
 * no more of it than eBPF; or the process outlived the recording, whose sources stop one after the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "render.h"
#include "trace.h"
#include "verify.h"

static const struct column columns[] = {
	{ "process", "PROCESS", UNIT_TEXT, MARK_NONE },
	{ "channel", "CHANNEL", UNIT_TEXT, MARK_NONE },
	{ "verb", "VERB", UNIT_TEXT, MARK_NONE },
	{ "shim_calls", "SHIM CALLS", UNIT_NUMBER, MARK_NONE },
	{ "shim_bytes", "BYTES", UNIT_BYTES, MARK_NONE },
	{ "bpf_calls", "BPF CALLS", UNIT_NUMBER, MARK_NONE },
	{ "bpf_bytes", "BYTES", UNIT_BYTES, MARK_NONE },
	{ "note", "NOTE", UNIT_TEXT, MARK_NONE },
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

/* Figures of one database, in its columns; NULL in the other's. */
#define FIGURES_main(calls, bytes) calls " AS sc, " bytes " AS sb, NULL AS bc, NULL AS bb"
#define FIGURES_bpf(calls, bytes)  "NULL AS sc, NULL AS sb, " calls " AS bc, " bytes " AS bb"

/* A process in words that both traces share. The kernel's names have 15 bytes. */
#define NAME(comm, pid) "coalesce(substr(" comm ", 1, 15), '?') || ':' || " pid

/* Of a channel, likewise: timers and inotify instances have numbers of the source's own. */
#define KEY "CASE WHEN c.mechanism IN ('timerfd', 'inotify') THEN c.mechanism ELSE c.key END"

/* Of who sent what was received of a partial channel of signals something is missing. */
#define EXACT "e.exact AND NOT (c.partial AND c.mechanism = 'signal')"

#define ENDS(db, verb, calls, bytes)                                                                         \
	"SELECT " NAME("p.comm", "p.pid") " AS a, NULL AS b, " KEY " AS key, '" verb "' AS verb,"            \
					  " 1 AS exact, " FIGURES_##db(                                      \
						  calls,                                                     \
						  bytes) " FROM " #db ".endpoints n JOIN " #db               \
							 ".processes p ON p.id = n.process_id"               \
							 " JOIN " #db ".channels c ON c.id = n.channel_id"   \
							 " WHERE p.coverage IN ('full', 'partial') "         \
							 "AND c.mechanism <> 'process' AND c.mechanism IN "  \
							 "(SELECT name FROM " #db                            \
							 ".mechanisms WHERE sources = 'BOTH') AND " calls    \
							 " > 0"

#define EDGES(db)                                                                                            \
	"SELECT " NAME("s.comm", "s.pid") ", " NAME(                                                         \
		"d.comm", "d.pid") ", " KEY ", 'edge', " EXACT                                               \
				   ", " FIGURES_##db("e.messages", "e.bytes") " FROM " #db                   \
									      ".edges e JOIN " #db           \
									      ".processes s ON s.id = "      \
									      "e.src_id"                     \
									      " JOIN " #db                   \
									      ".processes d ON d.id = "      \
									      "e.dst_id JOIN " #db           \
									      ".channels c ON c.id = "       \
									      "e.channel_id"                 \
									      " WHERE s.coverage IN "        \
									      "('full', 'partial') AND "     \
									      "d.coverage IN ('full', "      \
									      "'partial') AND c.mechanism "  \
									      "IN (SELECT name FROM " #db    \
									      ".mechanisms WHERE sources = " \
									      "'BOTH')"

static const char begin_sql[] = "CREATE TEMP TABLE known AS SELECT DISTINCT " NAME(
	"comm", "pid") " AS name FROM main.processes"
		       " WHERE pid IS NOT NULL;"
		       "CREATE TEMP TABLE unseen AS WITH RECURSIVE u(id, name) AS ("
		       " SELECT b.id, " NAME(
			       "b.comm",
			       "b.pid") " FROM bpf.processes b"
					" WHERE " NAME(
						"b.comm",
						"b.pid") " IN (SELECT " NAME("comm",
									     "pid") " FROM main.processes"
										    " WHERE coverage IN "
										    "('partial', 'untraced'))"
										    /* The command's own
										       program, when the shim
										       is not even there to
										       say so. */
										    " OR b.parent_id IS NULL "
										    "AND b.prev_id IS NULL "
										    "AND " NAME("b.comm",
												"b.pid") " NO"
													 "T "
													 "IN "
													 "kno"
													 "wn"
													 " AN"
													 "D "
													 "sub"
													 "str"
													 "(b."
													 "com"
													 "m, "
													 "1, "
													 "15)"
													 " IN"
													 " ("
													 "SEL"
													 "ECT"
													 " su"
													 "bst"
													 "r("
													 "com"
													 "m, "
													 "1, "
													 "15)"
													 " FR"
													 "OM "
													 "mai"
													 "n."
													 "los"
													 "ses"
													 " WH"
													 "ERE"
													 " ki"
													 "nd "
													 "= "
													 "'no"
													 "t_"
													 "cov"
													 "ere"
													 "d' "
													 "AND"
													 " pr"
													 "oce"
													 "ss_"
													 "id "
													 "IS "
													 "NUL"
													 "L)"
													 " UN"
													 "ION"
													 " SE"
													 "LEC"
													 "T "
													 "b."
													 "id,"
													 " " NAME("b.comm", "b.pid") " FROM bpf.processes b JOIN u"
																     " ON u.id IN (b.parent_id, b.prev_id) WHERE " NAME("b.comm", "b.pid") " NOT IN known"
																									   ") SELECT DISTINCT name FROM u;"
																									   "CREATE TEMP TABLE outlived AS SELECT " NAME("comm", "pid") " AS name FROM main.processes"
																																       " WHERE end_ns IS NULL UNION SELECT " NAME("comm", "pid") " FROM bpf.processes WHERE end_ns IS NULL;"
																																								 "CREATE TEMP TABLE compared AS"
																																								 " SELECT a, b, key, verb, min(exact) AS exact, sum(sc) AS sc, sum(sb) AS sb, sum(bc) AS bc, sum(bb) AS bb"
																																								 " FROM (" ENDS(
																																									 main, "send", "n.sends", "n.bytes_sent") " UNION ALL " ENDS(main, "recv", "n.receives", "n.bytes_received") " UNION ALL " ENDS(bpf,
																																																									"send",
																																																									"n.sends", "n.bytes_sent") " UNION ALL " ENDS(bpf,
																																																														      "recv",
																																																														      "n.receives",
																																																														      "n.bytes_received") " UNION ALL " EDGES(main) " UNION ALL " EDGES(bpf) ") GROUP BY a, b, key, verb;"
																																																																							     "CREATE TEMP TABLE differ AS SELECT *, CASE"
																																																																							     " WHEN (a IN unseen OR b IN unseen) AND coalesce(sc, 0) <= coalesce(bc, 0)"
																																																																							     " AND coalesce(sb, 0) <= coalesce(bb, 0) THEN 'not seen by the shim'"
																																																																							     " WHEN a IN outlived OR b IN outlived THEN 'outlived the recording' END AS note"
																																																																							     " FROM compared WHERE exact AND (sc IS NOT bc OR sb IS NOT bb);";

/*
 * Who is at the other end of a UNIX socket the shim asks sock_diag, through a netlink socket that only eBPF
 * sees: 40 bytes are its question. Of the processes that have UNIX sockets eBPF may have more of that.
 *
 * A program is seen by eBPF from its exec on, by the shim somewhat later: which of a process's programs had
 * the memory that a debugger read in between they do not agree on.
 */
static const char forgive_sql[] =
	"DELETE FROM differ WHERE verb = 'edge' AND key IN (SELECT key FROM compared"
	" WHERE verb = 'edge' AND key GLOB 'process_vm:*'"
	" GROUP BY key HAVING sum(sc) IS sum(bc) AND sum(sb) IS sum(bb));"
	"DELETE FROM differ WHERE key GLOB 'netlink:*:sock_diag:*' AND bc > coalesce(sc, 0)"
	" AND (verb = 'recv' AND bb >= coalesce(sb, 0)"
	" OR verb = 'send' AND bb - coalesce(sb, 0) = 40 * (bc - coalesce(sc, 0)))"
	" AND a IN (SELECT " NAME("p.comm", "p.pid") " FROM main.endpoints n"
						     " JOIN main.processes p ON p.id = n.process_id JOIN "
						     "main.channels c ON c.id = n.channel_id"
						     " WHERE c.mechanism GLOB 'unix_*')";

/* The arena, which the shim maps in each process. */
static const char arena_sql[] = "DELETE FROM differ WHERE sc IS NULL AND key IN (SELECT key FROM bpf.channels"
				" WHERE mechanism = 'posix_shm' AND name GLOB '/dev/shm/ipctrace-*/*')";

/* What libc does for a semaphore or lock is to eBPF a futex, on a word inside it: none of them is larger. */
#define MEMORY(key) "substr(" key ", instr(" key ", ':') + 1, instr(" key ", '+') - instr(" key ", ':'))"
#define OFFSET(key) "CAST(substr(" key ", instr(" key ", '+') + 1) AS INTEGER)"
static const char locks_sql[] =
	"DELETE FROM differ WHERE key GLOB 'futex:*' AND sc IS NULL AND EXISTS ("
	"SELECT 1 FROM main.channels c WHERE c.mechanism IN ('posix_sem', 'mutex',"
	" 'rwlock', 'cond', 'barrier') AND " MEMORY("c.key") " = " MEMORY("differ.key") " AND " OFFSET(
		"differ.key") " - " OFFSET("c.key") " BETWEEN 0 AND 55)";

/*
 * Of signals eBPF alone sees the default action: that a process stopped, and what it died of where nobody
 * asks for its status. And of one that was sent to several, or that killed its sender, who got it though the
 * shim does not see that it was taken.
 */
#define PROCESS NAME("comm", "pid")
static const char forgive_signals_sql[] =
	"WITH actions AS (SELECT " PROCESS " AS name, 1 AS n FROM bpf.events WHERE call = 'default' UNION ALL"
	" SELECT " PROCESS ", -1 FROM main.events WHERE mechanism = 'signal' AND call = 'exit_group'),"
	" unsure AS (SELECT " PROCESS " FROM main.events WHERE verb = 'send'"
	" AND (channel_id IS NULL OR (mechanism = 'signal' AND flags & 32)))"
	"DELETE FROM differ WHERE key GLOB 'signal:*' AND bc > coalesce(sc, 0) AND CASE verb"
	" WHEN 'send' THEN a IN unsure"
	" ELSE bc - coalesce(sc, 0) <= (SELECT sum(n) FROM actions WHERE name = coalesce(b, a)) END";

static const char rows_sql[] =
	"SELECT a || coalesce(' -> ' || b, '') AS process, key AS channel, verb, sc AS shim_calls,"
	" sb AS shim_bytes, bc AS bpf_calls, bb AS bpf_bytes, note FROM differ ORDER BY note IS NOT NULL, "
	"key, a, b";

char *verify_path(const char *path, const char *source)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const char *suffix = strrchr(name, '.');
	char *out;

	/* A leading dot hides a file, it begins no suffix. */
	if (!suffix || suffix == name)
		suffix = path + strlen(path);
	return asprintf(&out, "%.*s.%s%s", (int)(suffix - path), path, source, suffix) < 0 ? NULL : out;
}

/* The second database under the name `bpf`, and the comparison in temporary tables. */
static int compare(struct trace *t, const char *bpf)
{
	struct trace second;
	sqlite3_stmt *stmt;
	int err = trace_open(&second, bpf);

	if (err) {
		memcpy(t->error, second.error, sizeof(t->error));
		return err;
	}
	err = trace_prepare(t, "ATTACH ? AS bpf", &stmt);
	if (!err) {
		sqlite3_bind_text(stmt, 1, sqlite3_db_filename(second.db, "main"), -1, SQLITE_TRANSIENT);
		sqlite3_step(stmt);
		sqlite3_finalize(stmt);
		if (sqlite3_exec(t->db, begin_sql, NULL, NULL, NULL) ||
		    sqlite3_exec(t->db, forgive_sql, NULL, NULL, NULL) ||
		    sqlite3_exec(t->db, arena_sql, NULL, NULL, NULL) ||
		    sqlite3_exec(t->db, locks_sql, NULL, NULL, NULL) ||
		    sqlite3_exec(t->db, forgive_signals_sql, NULL, NULL, NULL)) {
			snprintf(t->error, sizeof(t->error), "%s", sqlite3_errmsg(t->db));
			err = -EIO;
		}
	}
	trace_close(&second);
	return err;
}

static int show_rows(FILE *out, struct trace *t, enum output_format format)
{
	struct output output;
	sqlite3_stmt *stmt;
	int err = trace_prepare(t, rows_sql, &stmt);

	if (err)
		return err;
	output_init(&output, out, format, t->start_ns);
	err = output_rows(&output, columns, COLUMNS, stmt);
	sqlite3_finalize(stmt);
	return err;
}

static void show_verdict(FILE *out, struct trace *t, int64_t differences)
{
	int64_t ends = trace_number(t, "SELECT count(*) FROM (SELECT DISTINCT a, key FROM compared"
				       " WHERE b IS NULL AND sc IS bc AND sb IS bb)");
	int64_t excused = trace_number(t, "SELECT count(*) FROM differ WHERE note IS NOT NULL");
	char sent[32], received[32];

	unit_format(sent, sizeof(sent), UNIT_BYTES,
		    trace_number(t, "SELECT sum(sb) FROM compared WHERE verb = 'send'"), 0);
	unit_format(received, sizeof(received), UNIT_BYTES,
		    trace_number(t, "SELECT sum(sb) FROM compared WHERE verb = 'recv'"), 0);
	if (differences)
		fprintf(out, "the sources differ: %lld of %lld endpoints and edges\n", (long long)differences,
			(long long)trace_number(t, "SELECT count(*) FROM compared"));
	else
		fprintf(out, "both sources agree%s: %lld endpoint%s, %s sent, %s received\n",
			excused ? " but for the rows above" : "", (long long)ends, ends == 1 ? "" : "s", sent,
			received);
}

int verify_show(FILE *out, const char *shim, const char *bpf, const struct options *o)
{
	struct trace t;
	int err = trace_open(&t, shim);

	if (!err) {
		err = compare(&t, bpf);
		int64_t rows = trace_number(&t, "SELECT count(*) FROM differ");
		int64_t differences = trace_number(&t, "SELECT count(*) FROM differ WHERE note IS NULL");
		if (!err && (rows || o->format))
			err = show_rows(out, &t, o->format);
		if (!err && !o->format)
			show_verdict(out, &t, differences);
		trace_close(&t);
		if (!err)
			return differences != 0;
	}
	command_failed("cannot compare '%s' with '%s': %s", shim, bpf, t.error);
	return 1;
}
