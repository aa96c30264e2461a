/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store's connection to SQLite: the statements it needs, rows bound column by column, and the first
 * failure. After a failure nothing is written any more; every function may still be called.
 */
#ifndef IPC_SQL_H
#define IPC_SQL_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

enum statement {
	SQL_META,
	SQL_HOST,
	SQL_MECHANISM,
	SQL_CALL,
	SQL_PROCESS,
	SQL_THREAD,
	SQL_CHANNEL,
	SQL_ENDPOINT,
	SQL_EDGE,
	SQL_MAPPING,
	SQL_SAMPLED,
	SQL_LOSS,
	SQL_AGGREGATE,
	SQL_LANE,
	SQL_CHANNEL_GONE,
	SQL_ENDPOINT_GONE,
	SQL_LANE_ENDPOINT,
	SQL_AGGREGATE_ENDPOINT,
	SQL_LINK,
	SQL_WAKE,
	SQL_PROTOCOL,
	SQL_PROTOCOL_END,
	SQL_PROTOCOL_CALL,
	SQL_PROTOCOL_CHANNEL,
	SQL_PAYLOAD,
	SQL_PASSED,
	SQL_PASSED_CHANNEL,
	SQL_DOUBT_EVENT,
	SQL_DOUBT_LINK,
	SQL_PAGES,
	SQL_EVENT,
	SQL_EVENTS, /* SQL_BATCH rows at once */
	STATEMENTS
};

enum { SQL_BATCH = 32 };

struct sql {
	sqlite3 *db;
	sqlite3_stmt *stmt[STATEMENTS];
	unsigned int rows; /* put; whoever reads it sets it back */
	int error;	   /* the first failure, -errno */
};

/* A row being bound. Texts need live only until sql_put(). */
struct sql_row {
	sqlite3_stmt *stmt;
	int column;
};

/* Creates `path`, which must not exist, and an empty database in it, in a transaction. `q` is zeroed. Returns
 * 0 or -errno. If it got as far as a file of ours q->db is set and sql_close() is due, also after a failure.
 */
int sql_open(struct sql *q, const char *path, const char *schema);

/* Opens a database of a schema that sql_open() made, outside of a transaction; else likewise. */
int sql_reopen(struct sql *q, const char *path);

/* Bytes that the database has, with what is not committed. */
int64_t sql_size(struct sql *q);

/* What would make the database larger than `bytes`, or than it is, fails from here on. */
void sql_limit(struct sql *q, int64_t bytes);

/* Leaves one plain file where that is possible. Returns 0 or the first failure. */
int sql_close(struct sql *q);

void sql_exec(struct sql *q, const char *statements);
struct sql_row sql_row(struct sql *q, enum statement which);

static inline void sql_number(struct sql_row *r, int64_t value)
{
	sqlite3_bind_int64(r->stmt, ++r->column, value);
}

static inline void sql_null(struct sql_row *r)
{
	sqlite3_bind_null(r->stmt, ++r->column);
}

void sql_maybe(struct sql_row *r, uint64_t value);   /* an id or a time, 0: NULL */
void sql_text(struct sql_row *r, const char *value); /* NULL: NULL */
void sql_blob(struct sql_row *r, const void *bytes, size_t size);
void sql_put(struct sql *q, struct sql_row *r);

#endif
