/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks a trace file, as anybody with SQLite could. */
#ifndef TEST_ASK_H
#define TEST_ASK_H

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of a query, columns separated by '|', rows by '\n', NULL as "-". Freed by the caller. */
static char *ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	char *out;
	size_t size;
	FILE *f = open_memstream(&out, &size);
	int rc;

	rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (rc != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(stmt); i++) {
			const char *value = (const char *)sqlite3_column_text(stmt, i);

			fprintf(f, "%s%s", value ? value : "-",
				i + 1 < sqlite3_column_count(stmt) ? "|" : "\n");
		}
	assert_int_equal(rc, SQLITE_DONE);
	sqlite3_finalize(stmt);
	fclose(f);
	return out;
}

static void check(sqlite3 *db, const char *sql, const char *expected)
{
	char *got = ask(db, sql);

	if (strcmp(got, expected))
		fail_msg("%s\nexpected\n%sgot\n%s", sql, expected, got);
	free(got);
}

#endif
