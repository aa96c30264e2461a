// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writes the trace file. Everything happens inside one transaction that store_commit() ends and begins anew.
 *
 * Events wait in a ring so that a send can be stored with its link:
 *
 *	id:   1 ... written | written + 1 ... last |
 *	      in the table  | in the ring          | not yet given
 *
 * Rows leave the ring in the order of their ids, so that SQLite gives each the rowid that is its id: the
 * first held row holds back all behind it. A row is held until its link is known, or HOLD_NS have passed, or
 * the ring is full; a link that comes later goes to `links`.
 *
 * The first failure ends the writing: the transaction is rolled back, what was committed stays, what comes
 * afterwards is counted in `dropped`.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "schema.h"
#include "store.h"
#include "tables.h"

enum { RING = 1 << 18, BATCH = 32, EVENT_COLUMNS = 5, BUSY_MS = 2000 };
#define HOLD_NS 200000000ULL
#define NO_LINK INT64_MIN

struct queued {
	int64_t ts, dur, res, link;
	uint32_t lane;
	bool held;
};

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
	SQL_LOSS,
	SQL_LANE,
	SQL_LINK,
	SQL_EVENT,
	SQL_EVENTS, /* BATCH rows at once */
	STATEMENTS
};

#define EVENT_ROW   "(?,?,?,?,?)"
#define FOUR(row)   row "," row "," row "," row
#define EVENT_BATCH FOUR(FOUR(EVENT_ROW)) "," FOUR(FOUR(EVENT_ROW))

static const char *const statements[STATEMENTS] = {
	[SQL_META] = "INSERT OR REPLACE INTO meta VALUES (?,?)",
	[SQL_HOST] = "INSERT INTO hosts VALUES (?,?,?,?)",
	[SQL_MECHANISM] = "INSERT INTO mechanisms VALUES (?,?,?,?,?,?,?,?)",
	[SQL_CALL] = "INSERT INTO calls VALUES (?,?,?,?,?,?,?,?,?,?)",
	[SQL_PROCESS] = "INSERT OR REPLACE INTO processes VALUES (?,1,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_THREAD] = "INSERT OR REPLACE INTO threads VALUES (?,?,?,?,?,?)",
	[SQL_CHANNEL] = "INSERT OR REPLACE INTO channel_rows VALUES (?,?,?,?,?,?,?,?,?)",
	[SQL_ENDPOINT] = "INSERT OR REPLACE INTO endpoints VALUES (?,?,?,?,?,?,?,?,?,?)",
	[SQL_EDGE] = "INSERT OR REPLACE INTO edge_rows VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_LOSS] = "INSERT OR REPLACE INTO loss_rows VALUES (?,?,?,?,?,?,?,?)",
	[SQL_LANE] = "INSERT INTO lanes VALUES (?,?,?,?,?,?,?,?)",
	[SQL_LINK] = "INSERT INTO links VALUES (?,?,?,?)",
	[SQL_EVENT] = "INSERT INTO event_rows VALUES " EVENT_ROW,
	[SQL_EVENTS] = "INSERT INTO event_rows VALUES " EVENT_BATCH,
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *stmt[STATEMENTS];
	uint64_t start_ns;
	uint64_t last, written, committed; /* event ids */
	uint64_t dropped;
	uint32_t lanes;
	unsigned int pending;
	int error; /* the first failure, -errno */
	struct queued ring[RING];
};

static struct queued *slot(struct store *s, uint64_t id)
{
	return &s->ring[id & (RING - 1)];
}

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

static void fail(struct store *s, int rc)
{
	if (s->error)
		return;
	s->error = sqlite_errno(s->db, rc);
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->dropped += s->last - s->committed;
}

static void exec(struct store *s, const char *sql)
{
	int rc;

	if (s->error)
		return;
	rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		fail(s, rc);
}

/* A row being bound, column by column. Texts need live only until put(). */
struct row {
	sqlite3_stmt *stmt;
	int column;
};

static struct row row(struct store *s, enum statement which)
{
	return (struct row){ .stmt = s->stmt[which] };
}

static void number(struct row *r, int64_t value)
{
	sqlite3_bind_int64(r->stmt, ++r->column, value);
}

static void null(struct row *r)
{
	sqlite3_bind_null(r->stmt, ++r->column);
}

/* An id or a time, where 0 is none. */
static void maybe(struct row *r, uint64_t value)
{
	if (value)
		number(r, value);
	else
		null(r);
}

static void text(struct row *r, const char *value)
{
	sqlite3_bind_text(r->stmt, ++r->column, value, -1, SQLITE_STATIC);
}

static void put(struct store *s, struct row *r)
{
	int rc;

	if (s->error)
		return;
	sqlite3_step(r->stmt);
	rc = sqlite3_reset(r->stmt);
	if (rc != SQLITE_OK)
		fail(s, rc);
	s->pending++;
}

void store_meta(struct store *s, const char *key, const char *value)
{
	struct row r = row(s, SQL_META);

	text(&r, key);
	text(&r, value);
	put(s, &r);
}

static void store_host(struct store *s)
{
	struct row r = row(s, SQL_HOST);
	char boot_id[37] = "";
	struct utsname name;
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f) {
		if (fscanf(f, "%36s", boot_id) != 1)
			boot_id[0] = 0;
		fclose(f);
	}
	uname(&name);
	number(&r, 1);
	text(&r, name.nodename);
	text(&r, boot_id[0] ? boot_id : NULL);
	text(&r, name.release);
	put(s, &r);
}

static void store_mechanisms(struct store *s)
{
	for (unsigned int id = 0; id < IPC_MECHANISMS; id++) {
		const struct ipc_mechanism_row *m = &ipc_mechanisms[id];
		struct row r = row(s, SQL_MECHANISM);

		number(&r, id);
		text(&r, m->name);
		text(&r, m->model);
		text(&r, m->boundary);
		text(&r, m->matching);
		text(&r, m->scope);
		text(&r, m->ends);
		text(&r, m->sources);
		put(s, &r);
	}
}

/* The columns of calls.def that are words there and codes in ipc_calls. */
static const struct {
	const char *object, *object2, *size, *effect;
} call_words[] = {
#define CALL(id, name, nr, op, verb, object, object2, size, effect)                                          \
	[IPC_CALL_##id] = { #object, #object2, #size, #effect },
#include "calls.def"
#undef CALL
};

static void store_calls(struct store *s)
{
	for (unsigned int id = 0; id < IPC_CALLS; id++) {
		const struct ipc_call *c = &ipc_calls[id];
		struct row r = row(s, SQL_CALL);

		number(&r, id);
		text(&r, ipc_call_names[id]);
		if (c->nr == IPC_NO_NR)
			null(&r);
		else
			number(&r, c->nr);
		if (c->op_arg == IPC_NO_OP) {
			null(&r);
			null(&r);
		} else {
			number(&r, c->op_arg);
			number(&r, c->op_value);
		}
		text(&r, ipc_verb_names[c->verb]);
		text(&r, call_words[id].object);
		text(&r, call_words[id].object2);
		text(&r, call_words[id].size);
		text(&r, call_words[id].effect);
		put(s, &r);
	}
}

void store_process(struct store *s, const struct store_process *p)
{
	struct row r = row(s, SQL_PROCESS);

	number(&r, p->id);
	number(&r, p->pid);
	number(&r, p->ppid);
	maybe(&r, p->parent_id);
	maybe(&r, p->prev_id);
	text(&r, p->comm);
	text(&r, p->exe);
	text(&r, p->cmdline);
	number(&r, p->uid);
	text(&r, p->cgroup);
	maybe(&r, p->start_ns);
	maybe(&r, p->end_ns);
	if (p->exit_status == -1)
		null(&r);
	else
		number(&r, p->exit_status);
	text(&r, p->source);
	text(&r, p->coverage);
	put(s, &r);
}

void store_thread(struct store *s, const struct store_thread *t)
{
	struct row r = row(s, SQL_THREAD);

	number(&r, t->id);
	maybe(&r, t->process_id);
	number(&r, t->tid);
	text(&r, t->name);
	maybe(&r, t->start_ns);
	maybe(&r, t->end_ns);
	put(s, &r);
}

void store_channel(struct store *s, const struct store_channel *c)
{
	struct row r = row(s, SQL_CHANNEL);

	number(&r, c->id);
	number(&r, c->mechanism);
	text(&r, c->key);
	text(&r, c->name);
	maybe(&r, c->first_ns);
	maybe(&r, c->last_ns);
	number(&r, c->bytes_sent);
	number(&r, c->bytes_received);
	number(&r, c->partial);
	put(s, &r);
}

void store_endpoint(struct store *s, const struct store_endpoint *e)
{
	struct row r = row(s, SQL_ENDPOINT);

	number(&r, e->id);
	number(&r, e->channel_id);
	number(&r, e->process_id);
	text(&r, e->role);
	number(&r, e->sends);
	number(&r, e->receives);
	number(&r, e->bytes_sent);
	number(&r, e->bytes_received);
	maybe(&r, e->first_ns);
	maybe(&r, e->last_ns);
	put(s, &r);
}

void store_edge(struct store *s, const struct store_edge *e)
{
	struct row r = row(s, SQL_EDGE);

	number(&r, e->src_id);
	number(&r, e->dst_id);
	number(&r, e->channel_id);
	number(&r, e->messages);
	number(&r, e->bytes);
	number(&r, e->pages);
	maybe(&r, e->first_ns);
	maybe(&r, e->last_ns);
	number(&r, e->latency_min_ns);
	number(&r, e->latency_p50_ns);
	number(&r, e->latency_p90_ns);
	number(&r, e->latency_p99_ns);
	number(&r, e->latency_max_ns);
	number(&r, e->exact);
	number(&r, e->partial);
	put(s, &r);
}

void store_loss(struct store *s, const struct store_loss *l)
{
	struct row r = row(s, SQL_LOSS);

	text(&r, ipc_reasons[l->reason].kind);
	text(&r, l->source ? l->source : "");
	text(&r, ipc_reasons[l->reason].name);
	number(&r, l->process_id);
	text(&r, l->comm ? l->comm : "");
	number(&r, l->count);
	maybe(&r, l->first_ns);
	maybe(&r, l->last_ns);
	put(s, &r);
}

uint32_t store_lane(struct store *s, const struct store_lane *l)
{
	struct row r = row(s, SQL_LANE);

	number(&r, ++s->lanes);
	number(&r, l->thread_id);
	maybe(&r, l->endpoint_id);
	if (l->fd < 0)
		null(&r);
	else
		number(&r, l->fd);
	number(&r, l->call);
	number(&r, l->flags);
	text(&r, ipc_verb_names[l->verb]);
	text(&r, l->source);
	put(s, &r);
	return s->lanes;
}

static void event_columns(struct row *r, const struct queued *q)
{
	number(r, q->ts);
	number(r, q->dur);
	number(r, q->lane);
	number(r, q->res);
	if (q->link == NO_LINK)
		null(r);
	else
		number(r, q->link);
}

/* Moves the rows up to the id `to` from the ring to the table. */
static void write_to(struct store *s, uint64_t to)
{
	while (s->written < to && !s->error) {
		unsigned int rows = to - s->written >= BATCH ? BATCH : 1;
		struct row r = row(s, rows == BATCH ? SQL_EVENTS : SQL_EVENT);

		for (unsigned int i = 1; i <= rows; i++)
			event_columns(&r, slot(s, s->written + i));
		put(s, &r);
		s->written += rows;
	}
}

/* The last id before the first row behind `from` that must still be held at `now_ns`. */
static uint64_t releasable(struct store *s, uint64_t from, uint64_t now_ns)
{
	int64_t limit = now_ns - s->start_ns - HOLD_NS;

	while (from < s->last) {
		const struct queued *q = slot(s, from + 1);

		if (q->held && q->ts + q->dur > limit)
			break;
		from++;
	}
	return from;
}

/* Gives up holding the oldest rows. */
static void make_room(struct store *s)
{
	write_to(s, releasable(s, s->written + BATCH, s->start_ns));
}

uint64_t store_event(struct store *s, const struct store_event *e, bool linkable)
{
	uint64_t id;

	if (s->last - s->written == RING)
		make_room(s);
	id = ++s->last;
	if (s->error) {
		s->dropped++;
		return id;
	}
	*slot(s, id) = (struct queued){
		.ts = e->start_ns - s->start_ns,
		.dur = e->dur_ns,
		.res = e->result,
		.link = NO_LINK,
		.lane = e->lane,
		.held = linkable,
	};
	s->pending++;
	return id;
}

void store_link(struct store *s, uint64_t send, uint64_t recv, uint64_t bytes, bool exact)
{
	struct queued *q = send > s->written ? slot(s, send) : NULL;
	struct row r;

	if (s->error)
		return;
	if (q)
		q->held = false;
	if (q && q->link == NO_LINK && bytes == (q->res > 0 ? (uint64_t)q->res : 0)) {
		q->link = (int64_t)(recv - send) * 2 + !exact;
		return;
	}
	r = row(s, SQL_LINK);
	number(&r, send);
	number(&r, recv);
	number(&r, bytes);
	number(&r, exact);
	put(s, &r);
}

unsigned int store_pending(const struct store *s)
{
	return s->pending;
}

uint64_t store_dropped(const struct store *s)
{
	return s->dropped;
}

static void commit(struct store *s)
{
	exec(s, "COMMIT");
	if (!s->error)
		s->committed = s->written;
	s->pending = 0;
}

int store_commit(struct store *s, uint64_t now_ns)
{
	write_to(s, releasable(s, s->written, now_ns));
	commit(s);
	exec(s, "BEGIN IMMEDIATE");
	return s->error;
}

/* SQLite takes some names for something else (":memory:", "file:…", ""): none of those begins with ./ or /.
 */
static int open_file(struct store *s, const char *path)
{
	char *plain;
	int fd, rc;

	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	if (asprintf(&plain, "%s%s", path[0] == '/' ? "" : "./", path) < 0)
		return -ENOMEM;
	rc = sqlite3_open_v2(plain, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	free(plain);
	return rc == SQLITE_OK ? 0 : sqlite_errno(s->db, rc);
}

static int create_schema(struct store *s)
{
	char start[24];

	sqlite3_busy_timeout(s->db, BUSY_MS);
	exec(s, "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
		"PRAGMA wal_autocheckpoint = 20000; BEGIN IMMEDIATE");
	exec(s, schema_sql);
	for (unsigned int i = 0; i < STATEMENTS && !s->error; i++) {
		int rc = sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i],
					    NULL);

		if (rc != SQLITE_OK)
			fail(s, rc);
	}
	if (s->error)
		return s->error;
	snprintf(start, sizeof(start), "%llu", (unsigned long long)s->start_ns);
	store_meta(s, "schema_version", "1");
	store_meta(s, "start_ns", start);
	store_host(s);
	store_mechanisms(s);
	store_calls(s);
	return store_commit(s, s->start_ns);
}

static int close_file(struct store *s)
{
	int rc;

	for (unsigned int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->stmt[i]);
	rc = sqlite3_close(s->db);
	return s->error ? s->error : rc == SQLITE_OK ? 0 : -EIO;
}

int store_open(struct store **out, const char *path, uint64_t start_ns)
{
	struct store *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->start_ns = start_ns;
	err = open_file(s, path);
	if (!err)
		err = create_schema(s);
	if (!err) {
		*out = s;
		return 0;
	}
	if (s->db) {
		close_file(s);
		unlink(path);
	}
	free(s);
	return err;
}

int store_close(struct store *s)
{
	int err, rc;

	write_to(s, s->last);
	commit(s);
	exec(s, "ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)");
	/* While a viewer has the file open this is refused, and the WAL goes when that viewer does. */
	rc = sqlite3_exec(s->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY)
		fail(s, rc);
	err = close_file(s);
	free(s);
	return err;
}
