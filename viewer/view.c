// SPDX-License-Identifier: BSD-2-Clause
/*
 * From options to SQL. Only names from the view's own list of columns get into the text; values are bound.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "resolve.h"
#include "terminal.h"
#include "view.h"

bool view_has(const struct view *v, const char *column)
{
	for (const struct column *c = v->columns; c->name; c++)
		if (!strcmp(c->name, column))
			return true;
	return false;
}

static void write_sql(FILE *f, const struct view *v, const struct options *o)
{
	const char *and = " WHERE ";
	const struct {
		const char *condition;
		bool wanted;
	} filters[] = {
		{ v->pid, o->pid != 0 },
		{ v->comm, o->comm != NULL },
		{ v->mechanism, o->mechanism != NULL },
		{ v->verb, o->verb != NULL },
	};

	for (const struct column *c = v->columns; c->name; c++)
		fprintf(f, "%s%s", c == v->columns ? "SELECT " : ", ", c->name);
	fprintf(f, " FROM %s", v->name);
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		if (filters[i].wanted && filters[i].condition) {
			fprintf(f, "%s(%s)", and, filters[i].condition);
			and = " AND ";
		}
	if (o->sort)
		fprintf(f, " ORDER BY %s%s", o->sort, o->descending ? " DESC" : "");
	else if (v->order)
		fprintf(f, " ORDER BY %s", v->order);
	if (o->limit >= 0)
		fputs(" LIMIT :limit", f);
}

char *view_sql(const struct view *v, const struct options *o)
{
	char *sql = NULL;
	size_t size;
	FILE *f = open_memstream(&sql, &size);

	if (!f)
		return NULL;
	write_sql(f, v, o);
	bool failed = ferror(f);
	if (!fclose(f) && !failed)
		return sql;
	free(sql);
	return NULL;
}

void view_bind(sqlite3_stmt *stmt, const struct options *o)
{
	/* A parameter that the statement does not have is number 0, which SQLite refuses without harm. */
	sqlite3_bind_int64(stmt, sqlite3_bind_parameter_index(stmt, ":pid"), o->pid);
	sqlite3_bind_text(stmt, sqlite3_bind_parameter_index(stmt, ":comm"), o->comm, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, sqlite3_bind_parameter_index(stmt, ":mechanism"), o->mechanism, -1,
			  SQLITE_STATIC);
	sqlite3_bind_text(stmt, sqlite3_bind_parameter_index(stmt, ":verb"), o->verb, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, sqlite3_bind_parameter_index(stmt, ":limit"), o->limit);
}

int view_show(const struct view *v, struct trace *t, const struct options *o, const struct output *out)
{
	sqlite3_stmt *stmt = NULL;
	size_t n = 0;
	char *sql = view_sql(v, o);
	int err = sql ? resolve_register(t->db, o->resolve) : -ENOMEM;

	if (!err)
		err = names_prepare(t->db) || trace_prepare(t, sql, &stmt) ? trace_failed(t) : 0;
	else
		snprintf(t->error, sizeof(t->error), "cannot show '%s': %s", t->path, strerror(-err));

	free(sql);
	if (err)
		return err;
	view_bind(stmt, o);
	while (v->columns[n].name)
		n++;
	err = output_rows(out, v->columns, n, stmt);
	if (err == -EIO)
		trace_failed(t);
	else if (err)
		snprintf(t->error, sizeof(t->error), "cannot show '%s': %s", t->path, strerror(-err));
	sqlite3_finalize(stmt);
	return err;
}

int view_open(struct trace *t, const struct options *o)
{
	int err = trace_open(t, o->input);

	if (err)
		command_failed("%s%s", t->error, err == -EPROTO ? " (-i FILE shows another)" : "");
	else
		terminal_page();
	return err;
}

static int unknown_column(const struct view *v, const struct command *c, const char *column)
{
	char list[1024] = "";
	size_t n = 0;

	for (const struct column *k = v->columns; k->name && n < sizeof(list); k++)
		n += snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", k->name);
	return command_misused(c, "no column '%s'; there are %s", column, list);
}

bool view_any(const struct options *o, const char *of)
{
	struct trace t;
	char sql[128];

	if (trace_open(&t, o->input))
		return false; /* said when the view is shown */
	snprintf(sql, sizeof(sql), "SELECT EXISTS (SELECT 1 FROM %s)", of);
	int64_t found = trace_number(&t, sql);
	trace_close(&t);
	return found > 0;
}

bool view_reused(const struct options *o)
{
	struct trace t;

	if (trace_open(&t, o->input))
		return false;
	bool found = !names_prepare(t.db) && trace_number(&t, "SELECT EXISTS (SELECT 1 FROM " REUSED ")");
	trace_close(&t);
	return found;
}

int view_run(const struct view *v, const struct command *c, const struct options *o)
{
	struct trace t;
	struct output out;

	if (o->nargs)
		return command_misused(c, "unexpected argument '%s'", o->args[0]);
	if (o->sort && !view_has(v, o->sort))
		return unknown_column(v, c, o->sort);
	if (view_open(&t, o))
		return EXIT_FAILURE;
	output_init(&out, stdout, o->format, t.start_ns);
	int err = view_show(v, &t, o, &out);
	if (!err && strcmp(v->name, "losses"))
		trace_warn_losses(&t);
	if (!err && v->calls)
		trace_warn_aggregate(&t);
	if (err || t.failed)
		err = command_failed("%s", t.error);
	trace_close(&t);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
