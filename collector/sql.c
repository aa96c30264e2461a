// SPDX-License-Identifier: BSD-2-Clause
/*
 * SQLite with the settings that were measured to be the fastest: pages of 16 KiB, WAL, no mutexes, 32 events
 * a statement. The WAL goes into the file every 32 MiB: that stops the collector for some 0.1 s, and the
 * buffer behind it must outlast that; every 320 MiB it is more than a second, at no better a rate. Never
 * temp_store=memory (a GROUP BY takes five times as long).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sql.h"

/* How long somebody else may hold the file: one who writes to it while the recording goes on. */
enum { BUSY_MS = 5000 };

#define PAGE_SIZE "16384"

#define EVENT_ROW   "(?,?,?,?,?)"
#define FOUR(row)   row "," row "," row "," row
#define EVENT_BATCH FOUR(FOUR(EVENT_ROW)) "," FOUR(FOUR(EVENT_ROW))

static const char *const texts[STATEMENTS] = {
	[SQL_META] = "INSERT OR REPLACE INTO meta VALUES (?,?)",
	[SQL_HOST] = "INSERT INTO hosts VALUES (?,?,?,?)",
	[SQL_MECHANISM] = "INSERT INTO mechanisms VALUES (?,?,?,?,?,?,?,?,?)",
	[SQL_CALL] = "INSERT INTO calls VALUES (?,?,?,?,?,?,?,?,?,?)",
	[SQL_PROCESS] = "INSERT OR REPLACE INTO processes VALUES (?,1,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_THREAD] = "INSERT OR REPLACE INTO threads VALUES (?,?,?,?,?,?)",
	[SQL_CHANNEL] = "INSERT OR REPLACE INTO channel_rows VALUES (?,?,?,?,?,?,?,?,?,?)",
	[SQL_ENDPOINT] = "INSERT OR REPLACE INTO endpoints VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_EDGE] = "INSERT OR REPLACE INTO edge_rows VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_MAPPING] = "INSERT OR REPLACE INTO mappings VALUES (?,?,?,?,?,?,?,?)",
	[SQL_SAMPLED] = "INSERT OR REPLACE INTO sampled VALUES (?,?,?,?)",
	[SQL_LOSS] = "INSERT OR REPLACE INTO loss_rows VALUES (?,?,?,?,?,?,?,?,?,?)",
	[SQL_AGGREGATE] = "INSERT INTO aggregate_rows VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_LANE] = "INSERT INTO lanes VALUES (?,?,?,?,?,?,?,?)",
	[SQL_CHANNEL_GONE] = "DELETE FROM channel_rows WHERE id = ?",
	[SQL_ENDPOINT_GONE] = "DELETE FROM endpoints WHERE id = ?",
	[SQL_LANE_ENDPOINT] = "UPDATE lanes SET endpoint_id = ? WHERE id = ?",
	[SQL_AGGREGATE_ENDPOINT] = "UPDATE aggregate_rows SET endpoint_id = ? WHERE endpoint_id = ?",
	[SQL_LINK] = "INSERT INTO links VALUES (?,?,?,?)",
	[SQL_WAKE] = "INSERT INTO wakes VALUES (?,?,?)",
	[SQL_PROTOCOL] =
		"INSERT OR REPLACE INTO protocol_messages (id, protocol, kind, channel_id, process_id, sent,"
		" first_event, last_event, offset, bytes, body_bytes, number, serial, name, status, failed,"
		" sender, destination, path, interface, member, signature, fds, trace_id, parent_span,"
		" exact, call) VALUES"
		" (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_PROTOCOL_END] = "UPDATE protocol_messages SET last_event = ?, bytes = ? WHERE id = ?",
	[SQL_PROTOCOL_CALL] = "UPDATE protocol_messages SET call = ? WHERE id = ?",
	[SQL_PROTOCOL_CHANNEL] =
		"UPDATE protocol_messages SET channel_id = ? WHERE id >= ? AND channel_id = ?",
	[SQL_PAYLOAD] = "INSERT INTO payloads VALUES (?,?)",
	[SQL_PASSED] = "INSERT INTO passed (event_id, channel_id) VALUES (?,?)",
	[SQL_PASSED_CHANNEL] = "UPDATE passed SET channel_id = ? WHERE event_id >= ? AND channel_id = ?",
	[SQL_DOUBT_EVENT] = "UPDATE event_rows SET link = link | 1 WHERE rowid = ?",
	[SQL_DOUBT_LINK] = "UPDATE links SET exact = 0 WHERE rowid = ?",
	[SQL_PAGES] = "PRAGMA page_count",
	[SQL_EVENT] = "INSERT INTO event_rows VALUES " EVENT_ROW,
	[SQL_EVENTS] = "INSERT INTO event_rows VALUES " EVENT_BATCH,
};

static int sqlite_errno(sqlite3 *db, int rc)
{
	int err = 0;

	switch (rc & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
		return -EBUSY;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		err = sqlite3_system_errno(db);
	}
	return err > 0 ? -err : -EIO;
}

static void fail(struct sql *q, int rc)
{
	if (q->error)
		return;
	q->error = sqlite_errno(q->db, rc);
	if (!sqlite3_get_autocommit(q->db))
		sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
}

void sql_exec(struct sql *q, const char *statements)
{
	int rc;

	if (q->error)
		return;
	rc = sqlite3_exec(q->db, statements, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		fail(q, rc);
}

struct sql_row sql_row(struct sql *q, enum statement which)
{
	return (struct sql_row){ .stmt = q->stmt[which] };
}

void sql_maybe(struct sql_row *r, uint64_t value)
{
	if (value)
		sql_number(r, value);
	else
		sql_null(r);
}

void sql_text(struct sql_row *r, const char *value)
{
	sqlite3_bind_text(r->stmt, ++r->column, value, -1, SQLITE_STATIC);
}

void sql_blob(struct sql_row *r, const void *bytes, size_t size)
{
	sqlite3_bind_blob64(r->stmt, ++r->column, bytes, size, SQLITE_STATIC);
}

void sql_put(struct sql *q, struct sql_row *r)
{
	int rc;

	if (q->error)
		return;
	sqlite3_step(r->stmt);
	rc = sqlite3_reset(r->stmt);
	if (rc != SQLITE_OK)
		fail(q, rc);
	q->rows++;
}

static int create_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* SQLite takes some names for something else (":memory:", "file:…", ""): none begins with ./ or /. */
static int connect_file(struct sql *q, const char *path)
{
	char *plain;
	int err, rc;

	if (asprintf(&plain, "%s%s", path[0] == '/' ? "" : "./", path) < 0)
		return -ENOMEM;
	rc = sqlite3_open_v2(plain, &q->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	err = rc == SQLITE_OK ? 0 : sqlite_errno(q->db, rc);
	free(plain);
	return err;
}

static void prepare(struct sql *q)
{
	for (unsigned int i = 0; i < STATEMENTS && !q->error; i++) {
		int rc =
			sqlite3_prepare_v3(q->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &q->stmt[i], NULL);

		if (rc != SQLITE_OK)
			fail(q, rc);
	}
}

int sql_open(struct sql *q, const char *path, const char *schema)
{
	q->error = create_file(path);
	if (!q->error)
		q->error = connect_file(q, path);
	if (q->error)
		return q->error;
	sqlite3_busy_timeout(q->db, BUSY_MS);
	sql_exec(q, "PRAGMA page_size = " PAGE_SIZE "; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"
		    "PRAGMA wal_autocheckpoint = 2000; BEGIN IMMEDIATE");
	sql_exec(q, schema);
	prepare(q);
	return q->error;
}

int sql_reopen(struct sql *q, const char *path)
{
	q->error = connect_file(q, path);
	if (!q->error)
		sqlite3_busy_timeout(q->db, BUSY_MS);
	if (!q->error)
		prepare(q);
	if (q->error && q->db)
		sql_close(q);
	return q->error;
}

int64_t sql_size(struct sql *q)
{
	int64_t pages = 0;

	if (!q->error && sqlite3_step(q->stmt[SQL_PAGES]) == SQLITE_ROW)
		pages = sqlite3_column_int64(q->stmt[SQL_PAGES], 0);
	if (!q->error)
		sqlite3_reset(q->stmt[SQL_PAGES]);
	return pages * atoi(PAGE_SIZE);
}

void sql_limit(struct sql *q, int64_t bytes)
{
	const int64_t most = 1 << 30, pages = bytes / atoi(PAGE_SIZE); /* most: SQLite's own */
	char text[64];

	snprintf(text, sizeof(text), "PRAGMA max_page_count = %lld",
		 (long long)(pages < most ? pages : most - 1));
	sql_exec(q, text);
}

int sql_close(struct sql *q)
{
	int rc;

	/* While a viewer has the file open this is refused, and the WAL goes when that viewer does. */
	rc = sqlite3_exec(q->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY)
		fail(q, rc);
	for (unsigned int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(q->stmt[i]);
	rc = sqlite3_close(q->db);
	if (rc != SQLITE_OK)
		fail(q, rc);
	return q->error;
}
