// SPDX-License-Identifier: BSD-2-Clause
/*
 * Opening a trace file read-only. SQLite reports nearly every failure as "unable to open" or only at the
 * first use; what users want to know (missing, not readable, not a trace, too new) is found out here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "reasons.h"
#include "trace.h"
#include "units.h"

enum { BUSY_MS = 5000 }; /* longer than a recorder needs to finish its file */

static int fail(struct trace *t, int err, const char *what)
{
	snprintf(t->error, sizeof(t->error), "%s '%s': %s%s", what, t->path, strerror(err),
		 err == ENOENT ? " (ipctrace -- COMMAND records one, -i FILE shows another)" : "");
	return -err;
}

static int damaged(struct trace *t, const char *how)
{
	snprintf(t->error, sizeof(t->error),
		 "'%s' is damaged (%s): 'sqlite3 FILE .recover' may save some of it", t->path, how);
	return -EIO;
}

int trace_failed(struct trace *t)
{
	int rc = sqlite3_errcode(t->db);

	/* SQL of ours that does not fit: tables are missing. */
	if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB || rc == SQLITE_ERROR)
		return damaged(t, sqlite3_errmsg(t->db));
	snprintf(t->error, sizeof(t->error), "cannot read '%s': %s", t->path, sqlite3_errmsg(t->db));
	return -EIO;
}

static int not_a_trace(struct trace *t)
{
	snprintf(t->error, sizeof(t->error), "'%s' is not an ipctrace trace", t->path);
	return -EPROTO;
}

/* Whether the end of the file is missing. While it is recorded only SQLite knows, by its log. */
static bool is_cut_off(struct trace *t, int fd, uint64_t size)
{
	unsigned char h[100];
	char log[PATH_MAX];

	if (snprintf(log, sizeof(log), "%s-wal", t->path) >= (int)sizeof(log) || !access(log, F_OK) ||
	    pread(fd, h, sizeof(h), 0) != sizeof(h) || memcmp(h + 24, h + 92, 4) != 0)
		return false;
	uint64_t page = (uint64_t)h[16] << 8 | h[17];
	uint64_t pages = (uint64_t)h[28] << 24 | h[29] << 16 | h[30] << 8 | h[31];
	return size < pages * (page == 1 ? 65536 : page);
}

static int check_file(struct trace *t)
{
	struct stat st;
	int fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return fail(t, errno, "cannot open");
	int err = fstat(fd, &st) ? errno : 0;
	t->cut_off = !err && S_ISREG(st.st_mode) && is_cut_off(t, fd, (uint64_t)st.st_size);
	close(fd);
	if (err)
		return fail(t, err, "cannot open");
	if (S_ISDIR(st.st_mode))
		return fail(t, EISDIR, "cannot open");
	return S_ISREG(st.st_mode) ? 0 : not_a_trace(t);
}

/* One number of the file's header. Returns 0 or an SQLite error. */
static int header_number(struct trace *t, const char *sql, int64_t *out)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(t->db, sql, -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(stmt);
	*out = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? 0 : rc;
}

static int check_header(struct trace *t)
{
	int64_t id, version;
	int rc = header_number(t, "PRAGMA application_id", &id);

	if (!rc)
		rc = header_number(t, "PRAGMA user_version", &version);
	if (rc == SQLITE_NOTADB || (!rc && id != TRACE_APPLICATION_ID))
		return not_a_trace(t);
	if (rc)
		return trace_failed(t);
	if (version != TRACE_SCHEMA) {
		snprintf(t->error, sizeof(t->error),
			 "'%s' has schema version %lld and this ipctrace knows %d: %s", t->path,
			 (long long)version, TRACE_SCHEMA,
			 version > TRACE_SCHEMA ? "a newer ipctrace is needed" : "record it again");
		return -EPROTONOSUPPORT;
	}
	if (t->cut_off)
		return damaged(t, "its end is missing");
	return 0;
}

int trace_open(struct trace *t, const char *path)
{
	*t = (struct trace){ .path = path };
	int err = check_file(t);
	if (err)
		return err;
	/* SQLite takes some names for something else (":memory:", "file:..."): none of those begins so. */
	char *plain = NULL;
	if (asprintf(&plain, "%s%s", path[0] == '/' ? "" : "./", path) < 0)
		return fail(t, ENOMEM, "cannot open");
	int rc = sqlite3_open_v2(plain, &t->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	free(plain);
	if (rc) {
		snprintf(t->error, sizeof(t->error), "cannot open '%s': %s", path, sqlite3_errmsg(t->db));
		err = -EIO;
	} else {
		sqlite3_busy_timeout(t->db, BUSY_MS);
		err = check_header(t);
	}
	if (err) {
		trace_close(t);
		return err;
	}
	if (reasons_register(t->db)) {
		snprintf(t->error, sizeof(t->error), "out of memory");
		trace_close(t);
		return -ENOMEM;
	}
	t->shown = text_printable(path, strlen(path));
	t->path = t->shown ? t->shown : "?";
	t->start_ns = trace_number(t, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'start_ns'");
	return 0;
}

void trace_close(struct trace *t)
{
	sqlite3_close(t->db);
	t->db = NULL;
	free(t->shown);
	t->shown = NULL;
}

int trace_prepare(struct trace *t, const char *sql, sqlite3_stmt **out)
{
	if (sqlite3_prepare_v2(t->db, sql, -1, out, NULL) == SQLITE_OK)
		return 0;
	snprintf(t->error, sizeof(t->error), "%s", sqlite3_errmsg(t->db));
	return -EINVAL;
}

char *trace_meta(struct trace *t, const char *key)
{
	sqlite3_stmt *stmt;
	char *value = NULL;

	if (trace_prepare(t, "SELECT value FROM meta WHERE key = ?", &stmt))
		return NULL;
	sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0))
		value = strdup((const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return value;
}

int64_t trace_number(struct trace *t, const char *sql)
{
	int64_t n = 0;

	int rc = header_number(t, sql, &n);
	if (rc && rc != SQLITE_DONE && !t->failed) {
		t->failed = true;
		trace_failed(t);
	}
	return n;
}

void trace_warn_losses(struct trace *t)
{
	int64_t n = trace_number(t, "SELECT count(DISTINCT reason) FROM losses");

	if (n)
		command_note("note: the trace is partial (%lld kind%s of loss): ipctrace losses -i %s",
			     (long long)n, n == 1 ? "" : "s", t->path);
}

void trace_warn_aggregate(struct trace *t)
{
	char *ms = trace_meta(t, "aggregate_ms");

	if (ms)
		command_note(
			"note: recorded with --aggregate: calls that moved bytes or waited are only counted: "
			"ipctrace query -i %s 'SELECT * FROM aggregates'",
			t->path);
	free(ms);
}
