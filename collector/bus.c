// SPDX-License-Identifier: BSD-2-Clause
#include "bus.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "bus_resolve.h" /* made of bus_resolve.sql */

static bool has_messages(sqlite3 *db)
{
	sqlite3_stmt *q;
	bool any = sqlite3_prepare_v2(db, "SELECT 1 FROM protocol_messages WHERE protocol = 'dbus' LIMIT 1",
				      -1, &q, NULL) != SQLITE_OK ||
		   sqlite3_step(q) != SQLITE_DONE;
	sqlite3_finalize(q);
	return any;
}

int bus_resolve(sqlite3 *db)
{
	if (!has_messages(db))
		return 0;
	switch (sqlite3_exec(db, bus_resolve_sql, NULL, NULL, NULL) & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	default:
		return -EIO;
	}
}
