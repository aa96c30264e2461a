// SPDX-License-Identifier: BSD-2-Clause
/*
 * A process begins with the image that nobody executed (prev_id is NULL): each of these counts one up among
 * those of its pid. Who is known only as somebody's peer has no beginning.
 */
#include <errno.h>
#include <stddef.h>

#include "names.h"

static const char reused_sql[] =
	"CREATE TEMP TABLE IF NOT EXISTS reused (id INTEGER PRIMARY KEY, life INTEGER);"
	"DELETE FROM " REUSED ";"
	"INSERT INTO " REUSED " SELECT id, life FROM (SELECT id, sum(prev_id IS NULL) OVER"
	" (PARTITION BY host_id, pid ORDER BY id) AS life FROM main.processes"
	" WHERE pid IS NOT NULL AND coverage IS NOT 'remote' AND NOT (coverage IS 'untraced' AND parent_id "
	"IS NULL"
	" AND prev_id IS NULL)) WHERE life > 1";

int names_prepare(sqlite3 *db)
{
	return sqlite3_exec(db, reused_sql, NULL, NULL, NULL) ? -EIO : 0;
}
