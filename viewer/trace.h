/* SPDX-License-Identifier: BSD-2-Clause */
/* A trace file opened for reading, finished or still growing. Nothing here ever writes to it. */
#ifndef IPC_TRACE_H
#define IPC_TRACE_H

#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>

/* As collector/schema.sql sets them. */
enum { TRACE_APPLICATION_ID = 0x49504354, TRACE_SCHEMA = 4 };

struct trace {
	sqlite3 *db;
	const char *path;
	uint64_t start_ns; /* when the recording began; 0: unknown */
	char error[512];   /* of the last failure: one line, no full stop */
};

/* Opens `path` (kept, not copied). Returns 0, or -errno with `error` set: -ENOENT, -EACCES and the like as
 * the system says; -EPROTO: not a trace; -EPROTONOSUPPORT: of another schema. After a failure nothing is
 * open. */
int trace_open(struct trace *t, const char *path);
void trace_close(struct trace *t);

/* Prepares `sql`. Returns 0, or -EINVAL with `error` set. The caller finalizes. */
int trace_prepare(struct trace *t, const char *sql, sqlite3_stmt **out);

/* The value of a key of `meta` as a string to free, or NULL. */
char *trace_meta(struct trace *t, const char *key);

/* What a SELECT of one number gives; 0 where it gives nothing or fails. */
int64_t trace_number(struct trace *t, const char *sql);

/* Writes one line to stderr where the trace is not whole: every command that shows figures calls it. */
void trace_warn_losses(struct trace *t);

#endif
