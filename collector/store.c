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
 * The first failure ends the writing: the transaction is rolled back, what was committed stays, all
 * behind that is dropped; ids are still given out, so that what was lost can be told.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "container.h"
#include "histogram.h"
#include "protocol.h"
#include "schema.h"
#include "spans.h"
#include "sql.h"
#include "store.h"
#include "tables.h"

enum { RING = 1 << 18 };
/* What a row of event_rows takes at most, nearly always; and what ANALYZE adds. */
enum { EVENT_BYTES = 40, STATISTICS = 1 << 16 };
#define HOLD_NS 200000000ULL
#define NO_LINK INT64_MIN

struct queued {
	int64_t ts, dur, res, link;
	uint32_t lane;
	bool held;
};

struct store {
	struct sql sql;
	uint64_t start_ns;
	uint64_t last, written, committed; /* event ids */
	uint64_t links;			   /* rows of `links` */
	uint32_t lanes;
	int64_t size_max; /* bytes; 0: any number */
	struct queued ring[RING];
};

static struct queued *slot(struct store *s, uint64_t id)
{
	return &s->ring[id & (RING - 1)];
}

void store_meta(struct store *s, const char *key, const char *value)
{
	struct sql_row r = sql_row(&s->sql, SQL_META);

	sql_text(&r, key);
	sql_text(&r, value);
	sql_put(&s->sql, &r);
}

static void store_host(struct store *s)
{
	struct sql_row r = sql_row(&s->sql, SQL_HOST);
	char boot_id[37] = "";
	struct utsname name;
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f) {
		if (fscanf(f, "%36s", boot_id) != 1)
			boot_id[0] = 0;
		fclose(f);
	}
	uname(&name);
	sql_number(&r, 1);
	sql_text(&r, name.nodename);
	sql_text(&r, boot_id[0] ? boot_id : NULL);
	sql_text(&r, name.release);
	sql_put(&s->sql, &r);
}

static void store_mechanisms(struct store *s)
{
	for (unsigned int id = 0; id < IPC_MECHANISMS; id++) {
		const struct ipc_mechanism_row *m = &ipc_mechanisms[id];
		struct sql_row r = sql_row(&s->sql, SQL_MECHANISM);

		sql_number(&r, id);
		sql_text(&r, m->name);
		sql_text(&r, m->model);
		sql_text(&r, m->boundary);
		sql_text(&r, m->matching);
		sql_text(&r, m->scope);
		sql_text(&r, m->ends);
		sql_text(&r, m->sources);
		sql_text(&r, ipc_capacity(m));
		sql_put(&s->sql, &r);
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
		struct sql_row r = sql_row(&s->sql, SQL_CALL);

		sql_number(&r, id);
		sql_text(&r, ipc_call_names[id]);
		if (c->nr == IPC_NO_NR)
			sql_null(&r);
		else
			sql_number(&r, c->nr);
		if (c->op_arg == IPC_NO_OP) {
			sql_null(&r);
			sql_null(&r);
		} else {
			sql_number(&r, c->op_arg);
			sql_number(&r, c->op_value);
		}
		sql_text(&r, ipc_verb_names[c->verb]);
		sql_text(&r, call_words[id].object);
		sql_text(&r, call_words[id].object2);
		sql_text(&r, call_words[id].size);
		sql_text(&r, call_words[id].effect);
		sql_put(&s->sql, &r);
	}
}

/* Sources that do not know a text leave it empty. */
static const char *known(const char *value)
{
	return value && *value ? value : NULL;
}

static void find_container(char *id, size_t size, const char *cgroup)
{
	size_t length = 0;
	const char *found = cgroup ? container_of_cgroup(cgroup, &length) : NULL;

	snprintf(id, size, "%.*s", (int)length, found ? found : "");
}

void store_process(struct store *s, const struct store_process *p)
{
	struct sql_row r = sql_row(&s->sql, SQL_PROCESS);
	char container[256];

	find_container(container, sizeof(container), p->cgroup);
	sql_number(&r, p->id);
	sql_maybe(&r, p->pid);
	sql_maybe(&r, p->ppid);
	sql_maybe(&r, p->parent_id);
	sql_maybe(&r, p->prev_id);
	sql_text(&r, known(p->comm));
	sql_text(&r, known(p->exe));
	sql_text(&r, known(p->cmdline));
	if (p->uid == STORE_NO_UID)
		sql_null(&r);
	else
		sql_number(&r, p->uid);
	sql_text(&r, known(p->cgroup));
	sql_maybe(&r, p->start_ns);
	sql_maybe(&r, p->end_ns);
	if (p->exit_status == -1)
		sql_null(&r);
	else
		sql_number(&r, p->exit_status);
	sql_text(&r, p->source);
	sql_text(&r, p->coverage);
	sql_maybe(&r, p->ns_pid);
	sql_text(&r, known(container));
	sql_put(&s->sql, &r);
}

void store_thread(struct store *s, const struct store_thread *t)
{
	struct sql_row r = sql_row(&s->sql, SQL_THREAD);

	sql_number(&r, t->id);
	sql_maybe(&r, t->process_id);
	sql_number(&r, t->tid);
	sql_text(&r, known(t->name));
	sql_maybe(&r, t->start_ns);
	sql_maybe(&r, t->end_ns);
	sql_put(&s->sql, &r);
}

void store_channel(struct store *s, const struct store_channel *c)
{
	struct sql_row r = sql_row(&s->sql, SQL_CHANNEL);

	sql_number(&r, c->id);
	sql_number(&r, c->mechanism);
	sql_text(&r, c->key);
	sql_text(&r, known(c->name));
	sql_maybe(&r, c->first_ns);
	sql_maybe(&r, c->last_ns);
	sql_number(&r, c->bytes_sent);
	sql_number(&r, c->bytes_received);
	sql_number(&r, c->partial);
	sql_number(&r, c->lost);
	sql_put(&s->sql, &r);
}

void store_endpoint(struct store *s, const struct store_endpoint *e)
{
	struct sql_row r = sql_row(&s->sql, SQL_ENDPOINT);

	sql_number(&r, e->id);
	sql_number(&r, e->channel_id);
	sql_number(&r, e->process_id);
	sql_text(&r, e->role);
	sql_number(&r, e->sends);
	sql_number(&r, e->receives);
	sql_number(&r, e->bytes_sent);
	sql_number(&r, e->bytes_received);
	sql_maybe(&r, e->first_ns);
	sql_maybe(&r, e->last_ns);
	sql_number(&r, e->send_dur_ns);
	sql_number(&r, e->receive_dur_ns);
	sql_put(&s->sql, &r);
}

static void latency(struct sql_row *r, const struct store_edge *e, uint64_t ns)
{
	if (e->timed)
		sql_number(r, ns);
	else
		sql_null(r);
}

static void pages(struct sql_row *r, const struct store_edge *e, uint64_t n)
{
	if (e->sampled)
		sql_number(r, n);
	else
		sql_null(r);
}

void store_edge(struct store *s, const struct store_edge *e)
{
	struct sql_row r = sql_row(&s->sql, SQL_EDGE);

	sql_number(&r, e->src_id);
	sql_number(&r, e->dst_id);
	sql_number(&r, e->channel_id);
	if (e->unknown)
		sql_null(&r);
	else
		sql_number(&r, e->messages);
	if (e->shares || e->unknown)
		sql_null(&r);
	else
		sql_number(&r, e->bytes);
	pages(&r, e, e->pages);
	sql_maybe(&r, e->first_ns);
	sql_maybe(&r, e->last_ns);
	latency(&r, e, e->latency_min_ns);
	latency(&r, e, e->latency_p50_ns);
	latency(&r, e, e->latency_p90_ns);
	latency(&r, e, e->latency_p99_ns);
	latency(&r, e, e->latency_max_ns);
	sql_number(&r, e->exact);
	sql_number(&r, e->partial);
	pages(&r, e, e->pages_both);
	sql_put(&s->sql, &r);
}

void store_sampled(struct store *s, const struct store_sampled *p)
{
	struct sql_row r = sql_row(&s->sql, SQL_SAMPLED);

	sql_number(&r, p->channel_id);
	sql_number(&r, p->process_id);
	sql_number(&r, p->pages_read);
	sql_number(&r, p->pages_written);
	sql_put(&s->sql, &r);
}

void store_mapping(struct store *s, const struct store_mapping *m)
{
	struct sql_row r = sql_row(&s->sql, SQL_MAPPING);

	sql_number(&r, m->id);
	sql_number(&r, m->channel_id);
	sql_number(&r, m->process_id);
	sql_number(&r, m->start_ns);
	sql_maybe(&r, m->end_ns);
	sql_number(&r, m->bytes);
	sql_number(&r, m->offset);
	sql_text(&r, m->protection);
	sql_put(&s->sql, &r);
}

static void store_loss_row(struct sql *sql, const struct store_loss *l)
{
	struct sql_row r = sql_row(sql, SQL_LOSS);

	sql_text(&r, ipc_reasons[l->reason].kind);
	sql_text(&r, l->source ? l->source : "");
	sql_text(&r, ipc_reasons[l->reason].name);
	sql_number(&r, l->process_id);
	sql_text(&r, l->comm ? l->comm : "");
	sql_number(&r, l->count);
	sql_maybe(&r, l->first_ns);
	sql_maybe(&r, l->last_ns);
	sql_number(&r, l->mechanism);
	sql_number(&r, l->processor);
	sql_put(sql, &r);
}

void store_loss(struct store *s, const struct store_loss *l)
{
	store_loss_row(&s->sql, l);
}

/* {"64": 3, "96": 1}: where a bucket begins, and how many are in it. */
static void histogram_text(char *text, const uint32_t *histogram)
{
	const char *before = "{";

	for (uint32_t i = 0; i < IPC_BUCKETS; i++) {
		if (!histogram[i])
			continue;
		text += sprintf(text, "%s\"%llu\":%u", before, (unsigned long long)ipc_bucket_from(i),
				histogram[i]);
		before = ",";
	}
	strcpy(text, *before == '{' ? "{}" : "}");
}

void store_aggregate(struct store *s, const struct store_aggregate *a)
{
	struct sql_row r = sql_row(&s->sql, SQL_AGGREGATE);
	char text[IPC_BUCKETS * 32];

	histogram_text(text, a->histogram);
	sql_number(&r, a->start_ns - s->start_ns);
	sql_number(&r, a->process_id);
	sql_maybe(&r, a->endpoint_id);
	sql_number(&r, a->call);
	sql_text(&r, ipc_verb_names[a->verb]);
	sql_number(&r, a->calls);
	sql_number(&r, a->errors);
	sql_number(&r, a->bytes);
	sql_number(&r, a->ns);
	sql_number(&r, a->min_ns);
	sql_number(&r, a->p50_ns);
	sql_number(&r, a->p90_ns);
	sql_number(&r, a->p99_ns);
	sql_number(&r, a->max_ns);
	sql_text(&r, text);
	sql_put(&s->sql, &r);
}

static void numbers(struct store *s, enum statement which, uint64_t a, uint64_t b)
{
	struct sql_row r = sql_row(&s->sql, which);

	sql_number(&r, (int64_t)a);
	if (b)
		sql_number(&r, (int64_t)b);
	sql_put(&s->sql, &r);
}

void store_channel_gone(struct store *s, uint32_t id)
{
	numbers(s, SQL_CHANNEL_GONE, id, 0);
}

void store_endpoint_gone(struct store *s, uint32_t id)
{
	numbers(s, SQL_ENDPOINT_GONE, id, 0);
}

void store_wake(struct store *s, uint64_t event, uint32_t process, enum store_seen seen)
{
	struct sql_row r = sql_row(&s->sql, SQL_WAKE);

	sql_number(&r, event);
	sql_maybe(&r, process);
	sql_number(&r, seen);
	sql_put(&s->sql, &r);
}

void store_lane_endpoint(struct store *s, uint32_t lane, uint32_t endpoint)
{
	numbers(s, SQL_LANE_ENDPOINT, endpoint, lane);
}

void store_aggregate_endpoint(struct store *s, uint32_t endpoint, uint32_t now)
{
	numbers(s, SQL_AGGREGATE_ENDPOINT, now, endpoint);
}

static void hex(struct sql_row *r, char *text, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; bytes && i < size; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	sql_text(r, bytes ? text : NULL);
}

void store_protocol(struct store *s, const struct store_protocol *p)
{
	struct sql_row r = sql_row(&s->sql, SQL_PROTOCOL);
	const char *const texts[] = { p->sender,    p->destination, p->path,
				      p->interface, p->member,	    p->signature };
	char trace_id[33], parent_id[17];

	sql_number(&r, p->id);
	sql_text(&r, protocol_names[p->protocol]);
	sql_text(&r, p->kind);
	sql_number(&r, p->channel_id);
	sql_number(&r, p->process_id);
	sql_number(&r, p->sent);
	sql_number(&r, p->first_event);
	sql_number(&r, p->last_event);
	sql_number(&r, p->offset);
	sql_number(&r, p->bytes);
	sql_number(&r, p->body);
	if (p->numbered)
		sql_number(&r, p->number);
	else
		sql_null(&r);
	sql_maybe(&r, p->serial);
	sql_text(&r, known(p->name));
	sql_text(&r, known(p->status));
	sql_number(&r, p->failed);
	for (unsigned int i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		sql_text(&r, known(texts[i]));
	sql_number(&r, p->fds);
	hex(&r, trace_id, p->trace_id, 16);
	hex(&r, parent_id, p->parent_id, 8);
	sql_number(&r, p->exact);
	sql_maybe(&r, p->call);
	sql_put(&s->sql, &r);
}

void store_protocol_end(struct store *s, uint64_t id, uint64_t last_event, uint64_t bytes)
{
	struct sql_row r = sql_row(&s->sql, SQL_PROTOCOL_END);

	sql_number(&r, last_event);
	sql_number(&r, bytes);
	sql_number(&r, id);
	sql_put(&s->sql, &r);
}

void store_protocol_call(struct store *s, uint64_t id, uint64_t call)
{
	numbers(s, SQL_PROTOCOL_CALL, call, id);
}

/* Rows from `first` on that are of channel `gone` are of `keep`. */
static void move_channel(struct store *s, enum statement which, uint32_t gone, uint32_t keep, uint64_t first)
{
	struct sql_row r = sql_row(&s->sql, which);

	sql_number(&r, keep);
	sql_number(&r, first);
	sql_number(&r, gone);
	sql_put(&s->sql, &r);
}

void store_protocol_channel(struct store *s, uint32_t gone, uint32_t keep, uint64_t first)
{
	move_channel(s, SQL_PROTOCOL_CHANNEL, gone, keep, first);
}

void store_passed(struct store *s, uint64_t event, uint32_t channel)
{
	struct sql_row r = sql_row(&s->sql, SQL_PASSED);

	sql_number(&r, event);
	sql_maybe(&r, channel);
	sql_put(&s->sql, &r);
}

void store_passed_channel(struct store *s, uint32_t gone, uint32_t keep, uint64_t first)
{
	move_channel(s, SQL_PASSED_CHANNEL, gone, keep, first);
}

void store_payload(struct store *s, uint64_t event, const void *bytes, size_t size)
{
	struct sql_row r = sql_row(&s->sql, SQL_PAYLOAD);

	sql_number(&r, event);
	sql_blob(&r, bytes, size);
	sql_put(&s->sql, &r);
}

uint32_t store_lane(struct store *s, const struct store_lane *l)
{
	struct sql_row r = sql_row(&s->sql, SQL_LANE);

	sql_number(&r, ++s->lanes);
	sql_number(&r, l->thread_id);
	sql_maybe(&r, l->endpoint_id);
	if (l->fd < 0)
		sql_null(&r);
	else
		sql_number(&r, l->fd);
	sql_number(&r, l->call);
	sql_number(&r, l->flags);
	sql_text(&r, ipc_verb_names[l->verb]);
	sql_text(&r, l->source);
	sql_put(&s->sql, &r);
	return s->lanes;
}

static void event_columns(struct sql_row *r, const struct queued *q)
{
	sql_number(r, q->ts);
	sql_number(r, q->dur);
	sql_number(r, q->lane);
	sql_number(r, q->res);
	if (q->link == NO_LINK)
		sql_null(r);
	else
		sql_number(r, q->link);
}

/* Moves the rows up to the id `to` from the ring to the table. */
static void write_to(struct store *s, uint64_t to)
{
	while (s->written < to && !s->sql.error) {
		unsigned int rows = to - s->written >= SQL_BATCH ? SQL_BATCH : 1;
		struct sql_row r = sql_row(&s->sql, rows == SQL_BATCH ? SQL_EVENTS : SQL_EVENT);

		for (unsigned int i = 1; i <= rows; i++)
			event_columns(&r, slot(s, s->written + i));
		sql_put(&s->sql, &r);
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
	write_to(s, releasable(s, s->written + SQL_BATCH, s->start_ns));
}

uint64_t store_event(struct store *s, const struct store_event *e, bool linkable)
{
	uint64_t id;

	if (s->last - s->written == RING)
		make_room(s);
	id = ++s->last;
	if (s->sql.error)
		return id;
	*slot(s, id) = (struct queued){
		.ts = e->start_ns - s->start_ns,
		.dur = e->dur_ns,
		.res = e->result,
		.link = NO_LINK,
		.lane = e->lane,
		.held = linkable,
	};
	s->sql.rows++;
	return id;
}

uint64_t store_link(struct store *s, uint64_t send, uint64_t recv, uint64_t bytes, bool exact)
{
	struct queued *q = send > s->written ? slot(s, send) : NULL;
	struct sql_row r;

	if (s->sql.error)
		return 0;
	if (q)
		q->held = false;
	if (q && q->link == NO_LINK && bytes == (q->res > 0 ? (uint64_t)q->res : 0)) {
		q->link = (int64_t)(recv - send) * 2 + !exact;
		return 0;
	}
	r = sql_row(&s->sql, SQL_LINK);
	sql_number(&r, send);
	sql_number(&r, recv);
	sql_number(&r, bytes);
	sql_number(&r, exact);
	sql_put(&s->sql, &r);
	return ++s->links;
}

void store_doubt(struct store *s, uint64_t send, uint64_t link)
{
	struct sql_row r = sql_row(&s->sql, link ? SQL_DOUBT_LINK : SQL_DOUBT_EVENT);

	if (!link && send > s->written) {
		slot(s, send)->link |= 1;
		return;
	}
	sql_number(&r, link ? link : send);
	sql_put(&s->sql, &r);
}

#define DOUBTFUL_LANES                                                                                       \
	"(SELECT l.id FROM lanes l JOIN endpoints e ON e.id = l.endpoint_id WHERE e.channel_id IN doubtful)"

void store_doubt_channels(struct store *s, const uint32_t *channels, unsigned int n)
{
	char row[64];

	write_to(s, s->last);
	sql_exec(&s->sql, "CREATE TEMP TABLE doubtful (id INTEGER PRIMARY KEY)");
	for (unsigned int i = 0; i < n; i++) {
		snprintf(row, sizeof(row), "INSERT OR IGNORE INTO doubtful VALUES (%u)", channels[i]);
		sql_exec(&s->sql, row);
	}
	sql_exec(&s->sql,
		 "UPDATE event_rows SET link = link | 1 WHERE link & 1 = 0 AND lane IN " DOUBTFUL_LANES ";"
		 "UPDATE links SET exact = 0 WHERE exact AND"
		 " (SELECT lane FROM event_rows WHERE rowid = send) IN " DOUBTFUL_LANES);
}

int64_t store_size(struct store *s)
{
	return sql_size(&s->sql) + (int64_t)(s->last - s->written) * EVENT_BYTES;
}

void store_limit(struct store *s, int64_t bytes)
{
	s->size_max = bytes;
}

unsigned int store_pending(const struct store *s)
{
	return s->sql.rows;
}

uint64_t store_dropped(const struct store *s)
{
	return s->sql.error ? s->last - s->committed : 0;
}

static void commit(struct store *s)
{
	sql_exec(&s->sql, "COMMIT");
	if (!s->sql.error)
		s->committed = s->written;
	s->sql.rows = 0;
}

int store_commit(struct store *s, uint64_t now_ns)
{
	write_to(s, releasable(s, s->written, now_ns));
	commit(s);
	sql_exec(&s->sql, "BEGIN IMMEDIATE");
	return s->sql.error;
}

static int create(struct store *s, const char *path)
{
	char start[24];
	int err = sql_open(&s->sql, path, schema_sql);

	if (err)
		return err;
	snprintf(start, sizeof(start), "%llu", (unsigned long long)s->start_ns);
	store_meta(s, "schema_version", "4");
	store_meta(s, "start_ns", start);
	store_host(s);
	store_mechanisms(s);
	store_calls(s);
	return store_commit(s, s->start_ns);
}

int store_open(struct store **out, const char *path, uint64_t start_ns)
{
	struct store *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->start_ns = start_ns;
	err = create(s, path);
	if (!err) {
		*out = s;
		return 0;
	}
	if (s->sql.db) {
		sql_close(&s->sql);
		unlink(path);
	}
	free(s);
	return err;
}

/* A transaction that failed has left its room in the WAL. */
void store_unwritten(struct store *s, uint64_t end_ns)
{
	const struct store_loss loss = { .reason = IPC_REASON_unwritten,
					 .count = store_dropped(s) ?: 1,
					 .processor = STORE_NO_PROCESSOR };
	int error = s->sql.error;
	char end[24];

	if (!error)
		return;
	snprintf(end, sizeof(end), "%llu", (unsigned long long)end_ns);
	s->sql.error = 0;
	sql_exec(&s->sql, "BEGIN IMMEDIATE");
	store_loss_row(&s->sql, &loss);
	store_meta(s, "end_ns", end);
	sql_exec(&s->sql, "COMMIT");
	s->sql.error = error;
}

/* Without them the trace is as good as before: all of it is in its file by then, for which there may be no
 * room once they have taken it. */
static void find_spans(struct sql *q, int64_t size_max)
{
	sql_exec(q, "PRAGMA wal_checkpoint"); /* waits for nobody */
	if (size_max)
		sql_limit(q, size_max - STATISTICS);
	if (!q->error)
		spans_build(q->db, SPANS_EVENTS_MAX);
	sql_limit(q, INT64_MAX);
}

int store_finish(const char *path)
{
	struct sql sql = { 0 };
	int err = sql_reopen(&sql, path);

	if (err)
		return err;
	store_loss_row(&sql, &(struct store_loss){ .reason = IPC_REASON_recorder_killed,
						   .source = "shim",
						   .count = 1,
						   .processor = STORE_NO_PROCESSOR });
	find_spans(&sql, 0);
	return sql_close(&sql);
}

int store_close(struct store *s)
{
	int err;

	write_to(s, s->last);
	commit(s);
	find_spans(&s->sql, s->size_max);
	sql_exec(&s->sql, "ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)");
	err = sql_close(&s->sql);
	free(s);
	return err;
}
