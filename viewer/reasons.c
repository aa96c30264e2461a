// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "reasons.h"
#include "tables.h"
#include "terminal.h"
#include "units.h"

enum { NAMES = 5 }; /* processes that a line names, at most */

static const struct ipc_reason_row *row_of(const char *name)
{
	for (int i = 0; name && i < IPC_REASONS; i++)
		if (!strcmp(ipc_reasons[i].name, name))
			return &ipc_reasons[i];
	return NULL;
}

static const char *words_of(const char *name)
{
	const struct ipc_reason_row *row = row_of(name);

	return row ? row->words : name;
}

static const char *remedy_of(const char *name)
{
	const struct ipc_reason_row *row = row_of(name);

	return row ? row->remedy : "look into the documents of the ipctrace that recorded it";
}

static void sql_words(sqlite3_context *context, int n, sqlite3_value **values)
{
	(void)n;
	sqlite3_result_text(context, words_of((const char *)sqlite3_value_text(values[0])), -1,
			    SQLITE_TRANSIENT);
}

static void sql_remedy(sqlite3_context *context, int n, sqlite3_value **values)
{
	(void)n;
	sqlite3_result_text(context, remedy_of((const char *)sqlite3_value_text(values[0])), -1,
			    SQLITE_TRANSIENT);
}

int reasons_register(sqlite3 *db)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;

	if (sqlite3_create_function(db, "reason_words", 1, flags, NULL, sql_words, NULL, NULL) ||
	    sqlite3_create_function(db, "reason_remedy", 1, flags, NULL, sql_remedy, NULL, NULL))
		return -ENOMEM;
	return 0;
}

static const char *text(sqlite3_stmt *stmt, int column)
{
	const char *value = (const char *)sqlite3_column_text(stmt, column);

	return value ? value : "";
}

/* `what` as it may stand on a terminal. */
static void put_printable(FILE *out, const char *what)
{
	char *printable = text_printable(what, strlen(what));

	fputs(printable ? printable : "?", out);
	free(printable);
}

void reasons_explain(FILE *out, struct trace *t)
{
	sqlite3_stmt *stmt;

	if (trace_prepare(t, "SELECT DISTINCT reason FROM losses ORDER BY kind, reason", &stmt))
		return;
	bool any = false;
	for (; sqlite3_step(stmt) == SQLITE_ROW; any = true) {
		const char *reason = text(stmt, 0);
		fputs(any ? "" : "\n", out);
		put_printable(out, reason);
		fprintf(out, ": %s; %s\n", words_of(reason), remedy_of(reason));
	}
	sqlite3_finalize(stmt);
	if (!any)
		fprintf(out, "%s\n", words_of("none"));
}

/* foo (pid 12), bar (pid 13) and 4 more. Returns how many there are. */
static int put_names(FILE *out, struct trace *t, const char *reason)
{
	sqlite3_stmt *stmt;
	int n = 0;

	if (trace_prepare(
		    t,
		    "SELECT coalesce(l.comm, p.comm, '?'), p.pid FROM losses l LEFT JOIN processes p"
		    " ON p.id = l.process_id WHERE l.reason = ? AND (l.comm IS NOT NULL OR p.id IS NOT NULL)"
		    " GROUP BY 1, 2 ORDER BY min(l.first_ns), 2",
		    &stmt))
		return 0;
	sqlite3_bind_text(stmt, 1, reason, -1, SQLITE_STATIC);
	for (; sqlite3_step(stmt) == SQLITE_ROW; n++) {
		if (n >= NAMES)
			continue;
		fputs(n ? ", " : "", out);
		put_printable(out, text(stmt, 0));
		if (sqlite3_column_type(stmt, 1) != SQLITE_NULL)
			fprintf(out, " (pid %lld)", sqlite3_column_int64(stmt, 1));
	}
	sqlite3_finalize(stmt);
	if (n > NAMES)
		fprintf(out, " and %d more", n - NAMES);
	return n;
}

/* kind: whom: how often x what it means; what to do */
static void tell(FILE *out, struct trace *t, const char *kind, const char *reason, int64_t count)
{
	fprintf(out, "%s!%s ", terminal_color(out, COLOR_BAD), terminal_color(out, COLOR_OFF));
	for (const char *c = kind; *c; c++)
		fputc(*c == '_' ? ' ' : *c, out);
	fputs(": ", out);
	int names = put_names(out, t, reason);
	fputs(names ? ": " : "", out);
	if (count != names)
		fprintf(out, "%lld x ", (long long)count);
	fprintf(out, "%s; %s\n", words_of(reason), remedy_of(reason));
}

void reasons_tell(FILE *out, struct trace *t)
{
	sqlite3_stmt *stmt;
	char *error = trace_meta(t, "ebpf_error");

	if (trace_prepare(t, "SELECT kind, reason, sum(count) FROM losses GROUP BY 1, 2 ORDER BY 1, 2",
			  &stmt)) {
		free(error);
		return;
	}
	while (sqlite3_step(stmt) == SQLITE_ROW)
		tell(out, t, text(stmt, 0), text(stmt, 1), sqlite3_column_int64(stmt, 2));
	sqlite3_finalize(stmt);
	if (error) {
		fprintf(out, "%s!%s eBPF was needed and could not be used: ", terminal_color(out, COLOR_BAD),
			terminal_color(out, COLOR_OFF));
		put_printable(out, error);
		fputc('\n', out);
	}
	free(error);
}
