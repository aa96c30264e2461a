/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Renderers: what writes the rows of a statement. A column is an object that every renderer walks, so a view
 * needs no code per format.
 *	table   for people on a terminal: headings, human units, no wider than the terminal: texts are
 *		shortened, and where that is not enough the last columns are left out
 *	plain   for files and pipes: the columns' names, aligned, whole, plain numbers
 *	json, ndjson, csv
 *		for programs; with the columns that have no heading too
 * None of them lets a control character out of a name.
 */
#ifndef IPC_RENDER_H
#define IPC_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sqlite3.h>

#include "options.h"
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
	bool human;	   /* human units and marks */
	size_t width;	   /* of the terminal; 0: no limit */
	uint64_t start_ns; /* what human times count from */
	/* Where rows are still being made: waits for more, and puts a statement with them in the place of the
	 * one that has ended; false: that was all. NULL: what there is is all. */
	bool (*more)(void *of, sqlite3_stmt **stmt);
	void *of;
};

/* Chooses the renderer; of text, table on a terminal, else plain. */
void output_init(struct output *o, FILE *file, enum output_format format, uint64_t start_ns);

/* Steps `stmt`, whose columns are `columns`, to its end and writes its rows. Returns 0, -ENOMEM, or -EIO
 * where the statement failed (sqlite3_errmsg tells). */
int output_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt);

/* Writes the row that `stmt` stands on as the members of a JSON object, without its brackets. */
void output_members(FILE *f, const struct column *columns, size_t n, sqlite3_stmt *stmt);

/* Writes `rows` rows of `n` texts each, none of them NULL. Returns as output_rows. */
int output_texts(const struct output *o, const struct column *columns, size_t n, const char *const *texts,
		 size_t rows);

#endif
