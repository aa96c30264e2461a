// SPDX-License-Identifier: BSD-2-Clause
/* query: any read-only SQL on the trace, written as any view is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "view.h"

/* Nobody knows the units of an expression: the values are shown as they are. */
static struct column *columns_of(sqlite3_stmt *stmt, int n)
{
	struct column *columns = calloc(n, sizeof(*columns));

	for (int i = 0; columns && i < n; i++) {
		const char *name = sqlite3_column_name(stmt, i);
		columns[i] = (struct column){ .name = name ? name : "?",
					      .heading = name ? name : "?",
					      .unit = UNIT_ANY };
	}
	return columns;
}

/* Why SQL that the user wrote fails: the trace, or most likely the SQL. */
static int failed(struct trace *t, int err)
{
	int rc = sqlite3_errcode(t->db);

	if (err == -EIO && (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB))
		trace_failed(t);
	else
		snprintf(t->error, sizeof(t->error), "%s",
			 err == -EIO ? sqlite3_errmsg(t->db) : strerror(-err));
	return command_failed("%s", t->error);
}

static int show(struct trace *t, sqlite3_stmt *stmt, enum output_format format)
{
	struct output out;
	int n = sqlite3_column_count(stmt);
	struct column *columns = columns_of(stmt, n);

	if (!columns)
		return command_failed("out of memory");
	output_init(&out, stdout, format, t->start_ns);
	int err = output_rows(&out, columns, n, stmt);
	free(columns);
	if (err)
		return failed(t, err);
	trace_warn_losses(t);
	return t->failed ? command_failed("%s", t->error) : EXIT_SUCCESS;
}

static int run_sql(const struct command *self, struct trace *t, const char *sql, enum output_format format)
{
	sqlite3_stmt *stmt, *more = NULL;
	const char *tail;

	if (sqlite3_prepare_v2(t->db, sql, -1, &stmt, &tail))
		return failed(t, -EIO);
	/* A comment or a semicolon may follow, another statement may not. */
	bool single = stmt && sqlite3_prepare_v2(t->db, tail, -1, &more, NULL) == SQLITE_OK && !more;
	int status;
	if (!single)
		status = command_misused(self, "exactly one SQL statement is needed");
	else if (!sqlite3_stmt_readonly(stmt) || !sqlite3_column_count(stmt))
		status = command_failed("the statement does not only read");
	else
		status = show(t, stmt, format);
	sqlite3_finalize(more);
	sqlite3_finalize(stmt);
	return status;
}

static int run(const struct command *self, const struct options *o)
{
	struct trace t;

	if (o->nargs != 1)
		return command_misused(self, "exactly one SQL statement is needed");
	if (view_open(&t, o))
		return EXIT_FAILURE;
	int status = run_sql(self, &t, o->args[0], o->format);
	trace_close(&t);
	return status;
}

const struct command cmd_query = {
	.name = "query",
	.summary = "Runs a read-only SQL statement on the trace",
	.usage = "SQL",
	.details = "The tables are those of docs/schema.md: meta, hosts, mechanisms, calls, processes, "
		   "threads,\n"
		   "channels, endpoints, events, messages, edges, waits, losses.",
	.options = OPT_INPUT | OPT_FORMAT,
	.run = run,
};
