/* SPDX-License-Identifier: BSD-2-Clause */
/* A trace file opened for reading, finished or still growing. Nothing here ever writes to it. */
#ifndef IPC_TRACE_H
#define IPC_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>

/* As collector/schema.sql sets them. */
enum { TRACE_APPLICATION_ID = 0x49504354, TRACE_SCHEMA = 4 };

struct trace {
	sqlite3 *db;
	const char *path;  /* once it is open, as it may be shown on a terminal */
	char *shown;	   /* the same, ours */
	uint64_t start_ns; /* when the recording began; 0: unknown */
	bool cut_off;	   /* the end of the file is missing */
	bool failed;	   /* what trace_number() was asked for could not be read */
	char error[512];   /* of the last failure: one line, no full stop */
};

/* Opens `path`. Returns 0, or -errno with `error` set: -ENOENT, -EACCES and the like as the system says;
 * -EPROTO: not a trace; -EPROTONOSUPPORT: of another schema; -EIO: damaged. After a failure nothing is open.
 */
int trace_open(struct trace *t, const char *path);
void trace_close(struct trace *t);

/* Writes to `error` why the last call of SQLite failed, with the remedy. Returns -EIO. */
int trace_failed(struct trace *t);

/* Prepares `sql`. Returns 0, or -EINVAL with `error` set. The caller finalizes. */
int trace_prepare(struct trace *t, const char *sql, sqlite3_stmt **out);

/* The value of a key of `meta` as a string to free, or NULL. */
char *trace_meta(struct trace *t, const char *key);

/* What a SELECT of one number gives; 0 where it gives nothing, or fails: then `failed` is set too. */
int64_t trace_number(struct trace *t, const char *sql);

/* Writes one line to stderr where the trace is not whole: every command that shows figures calls it. */
void trace_warn_losses(struct trace *t);

/* One line on standard error where calls were counted and have no rows. */
void trace_warn_aggregate(struct trace *t);

#endif
