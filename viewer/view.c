// SPDX-License-Identifier: BSD-2-Clause
/*
 * From options to SQL. Only names from the view's own list of columns get into the text; values are bound.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "names.h"
#include "resolve.h"
#include "rotate.h"
#include "terminal.h"
#include "unfinished.h"
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
		{ v->since, o->follow },
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

/* Prepares and binds the statement of a view; on failure `t->error` says why. */
static int prepare(const struct view *v, struct trace *t, const struct options *o, sqlite3_stmt **stmt)
{
	char *sql = view_sql(v, o);
	int err = sql ? resolve_register(t->db, o->resolve) : -ENOMEM;

	if (err)
		snprintf(t->error, sizeof(t->error), "cannot show '%s': %s", t->path, strerror(-err));
	else if (names_prepare(t->db) || trace_prepare(t, sql, stmt))
		err = trace_failed(t);
	else
		view_bind(*stmt, o);
	free(sql);
	return err;
}

static int show(const struct view *v, struct trace *t, sqlite3_stmt *stmt, const struct output *out)
{
	size_t n = 0;

	while (v->columns[n].name)
		n++;
	int err = output_rows(out, v->columns, n, stmt);
	if (err == -EIO)
		trace_failed(t);
	else if (err)
		snprintf(t->error, sizeof(t->error), "cannot show '%s': %s", t->path, strerror(-err));
	return err;
}

int view_show(const struct view *v, struct trace *t, const struct options *o, const struct output *out)
{
	sqlite3_stmt *stmt = NULL;
	int err = prepare(v, t, o, &stmt);

	if (!err)
		err = show(v, t, stmt, out);
	sqlite3_finalize(stmt);
	return err;
}

/*
 * A trace that grows. It is open only while it is read: who has it open when the recording ends keeps it from
 * becoming one plain file.
 */
struct growth {
	const struct view *view;
	const struct options *o;
	struct trace *t;
	sqlite3_stmt *stmt;
	int fd;	       /* the file, to see whether it is still recorded, and still has its name */
	int64_t shown; /* up to here */
	bool ended;
	int error; /* -errno, said in the trace's `error` */
};

static void growth_close(struct growth *g)
{
	sqlite3_finalize(g->stmt);
	g->stmt = NULL;
	trace_close(g->t);
}

static bool has_its_name(const struct growth *g)
{
	struct stat file, named;

	return !fstat(g->fd, &file) && !stat(g->o->input, &named) && file.st_ino == named.st_ino &&
	       file.st_dev == named.st_dev;
}

/* More rows than were shown, as soon as there are any. What there is when the recording was seen to have
 * ended is all. */
static bool growth_more(void *of, sqlite3_stmt **stmt)
{
	enum { PAUSE_US = 100000 };
	struct growth *g = of;

	for (growth_close(g); !g->ended; growth_close(g), usleep(PAUSE_US)) {
		g->ended = !rotation_is_recorded(g->fd);
		if (!has_its_name(g))
			return false;
		g->error = trace_open(g->t, g->o->input);
		if (g->error)
			return false;
		int64_t newest = trace_number(g->t, g->view->newest);
		if (newest == g->shown)
			continue;
		g->error = prepare(g->view, g->t, g->o, &g->stmt);
		if (g->error)
			return false;
		sqlite3_bind_int64(g->stmt, sqlite3_bind_parameter_index(g->stmt, ":after"), g->shown);
		sqlite3_bind_int64(g->stmt, sqlite3_bind_parameter_index(g->stmt, ":upto"), newest);
		g->shown = newest;
		*stmt = g->stmt;
		return true;
	}
	return false;
}

/* Shows what there is, and what comes, until the recording ends. */
static int follow(const struct view *v, struct trace *t, const struct options *o, struct output *out)
{
	struct growth g = { .view = v, .o = o, .t = t, .fd = open(o->input, O_RDONLY | O_CLOEXEC) };
	int err = prepare(v, t, o, &g.stmt); /* nothing is before the first row */

	out->more = growth_more;
	out->of = &g;
	if (!err)
		err = show(v, t, g.stmt, out);
	growth_close(&g);
	close(g.fd);
	err = err ? err : g.error;
	return err ? err : trace_open(t, o->input);
}

int view_open(struct trace *t, const struct options *o)
{
	int err = trace_open(t, o->input);

	if (err)
		command_failed("%s%s", t->error, err == -EPROTO ? " (-i FILE shows another)" : "");
	else if (!o->follow)
		terminal_page();
	if (!err)
		unfinished_note(t, o->input);
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
	if (o->follow && (o->sort || o->limit >= 0))
		return command_misused(c, "--follow shows all rows as they come: no --sort, no --limit");
	if (o->sort && !view_has(v, o->sort))
		return unknown_column(v, c, o->sort);
	if (view_open(&t, o))
		return EXIT_FAILURE;
	output_init(&out, stdout, o->format, t.start_ns);
	int err = o->follow ? follow(v, &t, o, &out) : view_show(v, &t, o, &out);
	if (!err && !v->losses)
		trace_warn_losses(&t);
	if (!err && v->calls)
		trace_warn_aggregate(&t);
	if (err || t.failed)
		err = command_failed("%s", t.error);
	trace_close(&t);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
