// SPDX-License-Identifier: BSD-2-Clause
/* Into a trace file: what can be closed is a sound database. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *path)
{
	sqlite3 *db;
	if (sqlite3_open(path, &db) ||
	    sqlite3_exec(
		    db,
		    "SELECT count(*) FROM messages; SELECT count(*) FROM edges; SELECT count(*) FROM waits",
		    NULL, NULL, NULL))
		abort();
	sqlite3_close(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct collector *c;
	char path[64];

	snprintf(path, sizeof(path), "/dev/shm/fuzz-trace-%d.db", (int)getpid());
	unlink(path);
	if (collector_open(&c, path))
		abort();
	if (!take_orders(c, data, size))
		check(path);
	unlink(path);
	return 0;
}
