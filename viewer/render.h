/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Renderers: what writes the rows of a statement. A column is an object that every renderer walks, so a view
 * needs no code per format.
 *	table   for people on a terminal: headings, human units, no wider than the terminal: texts are
 *		shortened, and where that is not enough the last columns are left out
 *	plain   for files and pipes: the columns' names, aligned, whole, plain numbers
 *	json    an array of objects; the only one with the columns that have no heading
 */
#ifndef IPC_RENDER_H
#define IPC_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sqlite3.h>

#include "units.h"

/* What stands before a figure in a table. */
enum mark {
	MARK_NONE,
	MARK_EXACT, /* >= of numbers and bytes where the row's column `lower_bound` is not 0: at least; else ~
		     * where its column `exact` is 0: approximate */
	MARK_BOUND, /* likewise; and < where its column `connections` is above 1: no more than that */
};

struct column {
	const char *name;    /* of the view; key in JSON, heading in plain */
	const char *heading; /* in a table; NULL: neither in table nor (but `exact` and
			      * `lower_bound`) in plain */
	enum unit unit;
	enum mark mark;
};

struct output {
	FILE *file;
	int (*rows)(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt);
	bool human; /* human units, marks and bold headings */
	bool bold;
	size_t width;	   /* of the terminal; 0: no limit */
	uint64_t start_ns; /* what human times count from */
};

/* Chooses the renderer: JSON if asked for, table on a terminal, else plain. */
void output_init(struct output *o, FILE *file, bool json, uint64_t start_ns);

/* Steps `stmt`, whose columns are `columns`, to its end and writes its rows. Returns 0, -ENOMEM, or -EIO
 * where the statement failed (sqlite3_errmsg tells). */
int output_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt);

#endif
