/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A view of the trace (docs/schema.md) as a command shows it: its columns, and how the shared options select
 * from it. A viewing command is a struct view and a struct command, no code.
 */
#ifndef IPC_VIEW_H
#define IPC_VIEW_H

#include "command.h"
#include "render.h"
#include "trace.h"

struct view {
	const char *name;	      /* of the view in the trace */
	const struct column *columns; /* all of the view, in the order of the table; ended by a NULL name */
	const char *order;	      /* ORDER BY without --sort; NULL: as stored */
	/* What --pid, --comm, --mechanism and --verb select: conditions on :pid, :comm, :mechanism, :verb.
	 * NULL: not taken. */
	const char *pid, *comm, *mechanism, *verb;
	bool calls;  /* its rows are of single calls */
	bool losses; /* its rows are what is missing: that need not be said again */
	/* Conditions on :after and :upto, and the last of what they are on, for --follow. NULL: not taken. */
	const char *since, *newest;
};

/* The SELECT for these options, with the parameters :pid, :comm, :mechanism, :verb and :limit where they
 * apply. Returns a string to free, or NULL: out of memory. */
char *view_sql(const struct view *v, const struct options *o);

/* Binds the parameters of a statement made from view_sql. */
void view_bind(sqlite3_stmt *stmt, const struct options *o);

/* Whether the view has this column. */
bool view_has(const struct view *v, const char *column);

/* Whether several processes had one pid: then rows with a pid alone need the process's id too. */
bool view_reused(const struct options *o);

/* Whether there are such rows, `of`: what stands behind FROM. */
bool view_any(const struct options *o, const char *of);

/* The whole of a viewing command. Returns the exit status. */
int view_run(const struct view *v, const struct command *c, const struct options *o);

/* Selects and writes the rows; on failure `t->error` says why. Returns 0 or -errno. */
int view_show(const struct view *v, struct trace *t, const struct options *o, const struct output *out);

/* Opens the trace that -i names and says so on stderr where it cannot. What is written from here on goes
 * through the pager. Returns 0 or -errno. */
int view_open(struct trace *t, const struct options *o);

#endif
