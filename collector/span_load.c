// SPDX-License-Identifier: BSD-2-Clause
/*
 * What does not change while spans are looked for: threads, channels, what the events' lanes mean, and
 * between whom there can be requests with replies. A socket that both ends send through is a conversation. So
 * are two channels of one mechanism, one each way between the same two processes: the first with the first,
 * the second with the second; and one channel that goes both ways (a queue with types, a terminal).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "span.h"
#include "tables.h"

#define SET(m)	     (1ULL << IPC_MECH_##m)
#define SOCKETS	     (SET(unix_stream) | SET(unix_seqpacket) | SET(tcp) | SET(udp))
#define SEMAPHORES   (SET(sysv_sem) | SET(posix_sem))
#define COUNTERS     (SEMAPHORES | SET(eventfd))
#define MESSAGES     (SET(unix_dgram) | SET(sysv_msg) | SET(posix_mq) | SET(unix_seqpacket) | SET(udp) | COUNTERS)
#define OTHERS	     (SET(pipe) | SET(fifo) | SET(unix_dgram) | SET(sysv_msg) | SET(posix_mq) | SET(pty) | COUNTERS)
#define NOTHING_TOLD (SET(timerfd) | SET(inotify)) /* what is done next is nobody's request */

static bool is_in(uint64_t set, unsigned int mechanism)
{
	return set >> mechanism & 1;
}

/* By number: these are dense, or nearly so. What is of none is at 0. */
static void *array(struct spans *s, const char *largest, size_t size, uint32_t *count)
{
	*count = (uint32_t)spans_number(s, largest) + 1;
	return spans_new(s, *count, size);
}

static uint32_t within(sqlite3_stmt *q, int column, uint32_t count)
{
	int64_t number = sqlite3_column_int64(q, column);

	return number > 0 && number < count ? (uint32_t)number : 0;
}

static struct span_channel *channel_at(struct spans *s, sqlite3_stmt *q, int column)
{
	return &s->channels[within(q, column, s->channel_count)];
}

static void load_threads(struct spans *s)
{
	sqlite3_stmt *q;

	s->threads = array(s, "SELECT max(id) FROM threads", sizeof(*s->threads), &s->thread_count);
	q = spans_prepare(s, "SELECT id, process_id FROM threads");
	while (spans_row(s, q))
		s->threads[within(q, 0, s->thread_count)].process = (uint32_t)sqlite3_column_int64(q, 1);
	sqlite3_finalize(q);
	q = spans_prepare(
		s,
		"SELECT t.id, f.id FROM processes p JOIN threads t ON t.process_id = p.id AND t.tid = p.pid"
		" JOIN threads f ON f.process_id = p.prev_id AND f.tid = p.pid");
	while (spans_row(s, q))
		s->threads[within(q, 0, s->thread_count)].inherits = within(q, 1, s->thread_count);
	sqlite3_finalize(q);
}

static struct conversation *new_conversation(struct spans *s, unsigned int mechanism)
{
	struct conversation *c = spans_new(s, 1, sizeof(*c));

	if (!c)
		return NULL;
	TAILQ_INIT(&c->exchanges);
	c->calls = -1;
	c->messages = is_in(MESSAGES, mechanism);
	c->next = s->conversations;
	s->conversations = c;
	return c;
}

static void load_channels(struct spans *s)
{
	sqlite3_stmt *q;

	s->channels = array(s, "SELECT max(id) FROM channel_rows", sizeof(*s->channels), &s->channel_count);
	q = spans_prepare(s, "SELECT id, mechanism FROM channel_rows");
	while (spans_row(s, q))
		channel_at(s, q, 0)->mechanism = (uint8_t)sqlite3_column_int(q, 1);
	sqlite3_finalize(q);
}

/* Channels through which somebody sends and receives, and how many move anything. Nothing is looked up in
 * `edge_rows` by channel, here and below: it has no index for that. */
static void load_sockets(struct spans *s)
{
	sqlite3_stmt *q = spans_prepare(
		s,
		"WITH p AS (SELECT channel_id AS c, src_id AS own, dst_id AS other FROM edge_rows"
		" UNION ALL SELECT channel_id, dst_id, src_id FROM edge_rows),"
		" o AS (SELECT c, own, max(other) AS other, max(own = other) AS alone FROM p GROUP BY c, own)"
		" SELECT n.channel_id, count(*) = 1 AND NOT ifnull(o.alone, 0), o.other"
		" FROM endpoints n LEFT JOIN o ON o.c = n.channel_id AND o.own = n.process_id"
		" WHERE n.sends + n.receives > 0 GROUP BY n.channel_id"
		" HAVING max(min(n.sends, n.receives)) > 0");

	while (spans_row(s, q)) {
		struct span_channel *c = channel_at(s, q, 0);
		if (!is_in(SOCKETS, c->mechanism))
			continue;
		c->conversation = new_conversation(s, c->mechanism);
		c->outside = sqlite3_column_int(q, 1);
		c->other = c->outside ? (uint32_t)sqlite3_column_int64(q, 2) : 0;
		if (c->conversation)
			c->conversation->calls = 0;
	}
	sqlite3_finalize(q);
}

/* ---- lanes ---- */

static bool is_poll(unsigned int call)
{
	unsigned int object = call < IPC_CALLS ? ipc_calls[call].object : IPC_OBJ_NONE;

	return IPC_OBJ_KIND(object) == IPC_OBJ_POLLFDS || IPC_OBJ_KIND(object) == IPC_OBJ_FDSETS ||
	       IPC_OBJ_KIND(object) == IPC_OBJ_EPOLL;
}

static uint8_t kind_of_lane(unsigned int mechanism, unsigned int call, const char *verb)
{
	bool gives = !strcmp(verb, "send") || !strcmp(verb, "post");
	bool takes = !strcmp(verb, "recv") || !strcmp(verb, "wait");

	if (is_poll(call))
		return LANE_POLL;
	if (call == IPC_CALL_connect)
		return LANE_CONNECT;
	if (mechanism == IPC_MECH_process)
		return !strcmp(verb, "spawn") ? LANE_SEND : !strcmp(verb, "recv") ? LANE_RECEIVE : LANE_OTHER;
	if (is_in(NOTHING_TOLD, mechanism))
		return takes ? LANE_FORGET : LANE_OTHER;
	if (!is_in(SOCKETS | OTHERS, mechanism))
		return LANE_OTHER;
	return gives ? LANE_SEND : takes ? LANE_RECEIVE : LANE_OTHER;
}

/* Who connected calls. Of what both ends of are in one process that is not known. */
static int8_t side_of(unsigned int mechanism, const char *role)
{
	if (mechanism == IPC_MECH_udp || !is_in(SOCKETS, mechanism))
		return -1;
	return !strcmp(role, "client") ? 0 : !strcmp(role, "server") ? 1 : -1;
}

enum { LANE_ID, LANE_THREAD, LANE_CHANNEL, LANE_ROLE, LANE_CALL, LANE_VERB, LANE_NODE, LANE_BOTH };

static const char lanes_sql[] =
	"SELECT l.id, l.thread_id, n.channel_id, n.role, l.call, l.verb, dense_rank() OVER (ORDER BY n.id, "
	"l.fd),"
	" (SELECT 1 FROM edge_rows e WHERE e.src_id = n.process_id AND e.dst_id = n.process_id"
	"  AND e.channel_id = n.channel_id)"
	" FROM lanes l JOIN endpoints n ON n.id = l.endpoint_id WHERE NOT l.flags & 16"; /* IPC_F_PEEK */

static void load_lane(struct spans *s, sqlite3_stmt *q)
{
	struct span_lane *lane = &s->lanes[sqlite3_column_int64(q, LANE_ID)];
	uint32_t channel = within(q, LANE_CHANNEL, s->channel_count);
	uint32_t thread = within(q, LANE_THREAD, s->thread_count);
	unsigned int call = (unsigned int)sqlite3_column_int(q, LANE_CALL);
	struct node *node = &s->nodes[sqlite3_column_int64(q, LANE_NODE)];

	if (!channel || !thread)
		return;
	*lane = (struct span_lane){
		.thread = thread,
		.process = s->threads[thread].process,
		.channel = channel,
		.node = (uint32_t)sqlite3_column_int64(q, LANE_NODE),
		.kind = kind_of_lane(s->channels[channel].mechanism, call,
				     (const char *)sqlite3_column_text(q, LANE_VERB)),
	};
	node->process = lane->process;
	node->side = sqlite3_column_int(q, LANE_BOTH)
			     ? -1
			     : side_of(s->channels[channel].mechanism,
				       (const char *)sqlite3_column_text(q, LANE_ROLE));
}

static void load_lanes(struct spans *s)
{
	sqlite3_stmt *q, *put;

	s->lanes = array(s, "SELECT max(id) FROM lanes", sizeof(*s->lanes), &s->lane_count);
	s->nodes = spans_new(s, s->lane_count + 1, sizeof(*s->nodes));
	q = spans_prepare(s, lanes_sql);
	while (spans_row(s, q))
		load_lane(s, q);
	sqlite3_finalize(q);
	spans_exec(s, "DROP TABLE IF EXISTS temp.span_lanes;"
		      "CREATE TEMP TABLE span_lanes (id INTEGER PRIMARY KEY, receives, any)");
	put = spans_prepare(s, "INSERT INTO temp.span_lanes VALUES (?, ?, ?)");
	for (uint32_t i = 0; i < s->lane_count && !s->error; i++) {
		if (s->lanes[i].kind == LANE_OTHER)
			continue;
		sqlite3_bind_int64(put, 1, i);
		sqlite3_bind_int(put, 2, s->lanes[i].kind != LANE_SEND);
		sqlite3_bind_int(put, 3, s->lanes[i].kind == LANE_CONNECT);
		spans_row(s, put);
	}
	sqlite3_finalize(put);
}

/* ---- what goes one way, and back another ---- */

/* Semaphores. What the same thread takes and gives back guards something. */
static void load_semaphores(struct spans *s)
{
	sqlite3_stmt *q =
		spans_prepare(s, "SELECT n.channel_id FROM lanes l JOIN endpoints n ON n.id = l.endpoint_id"
				 " JOIN calls c ON c.id = l.call"
				 " WHERE l.verb IN ('wait', 'post') AND c.name NOT LIKE 'semctl%'"
				 " GROUP BY n.channel_id, l.thread_id HAVING count(DISTINCT l.verb) = 2");

	while (spans_row(s, q)) {
		struct span_channel *c = channel_at(s, q, 0);
		c->lock = is_in(SEMAPHORES, c->mechanism);
	}
	sqlite3_finalize(q);
	q = spans_prepare(s, "SELECT c, sum(max(0, m - sends)) FROM (SELECT channel_id AS c, process_id AS "
			     "p, sum(sends) AS "
			     "sends FROM endpoints GROUP BY 1, 2) JOIN (SELECT channel_id AS c, src_id AS p, "
			     "sum(messages) AS m"
			     " FROM edge_rows GROUP BY 1, 2) USING (c, p) GROUP BY c");
	while (spans_row(s, q)) {
		struct span_channel *c = channel_at(s, q, 0);
		c->counted = c->mechanism == IPC_MECH_posix_sem;
		c->first_units = (uint64_t)sqlite3_column_int64(q, 1);
	}
	sqlite3_finalize(q);
}

struct flow *flow_of(const struct spans *s, uint32_t channel, uint32_t src, uint32_t dst)
{
	struct flow *found = NULL;

	for (struct flow *f = s->channels[channel].flows; f; f = f->next) {
		if (f->src != src || (dst && f->dst != dst))
			continue;
		if (found)
			return NULL;
		found = f;
	}
	return found;
}

static void add_flow(struct spans *s, uint32_t channel, struct flow flow)
{
	struct flow *f = spans_new(s, 1, sizeof(*f));

	if (!f)
		return;
	*f = flow;
	f->next = s->channels[channel].flows;
	s->channels[channel].flows = f;
}

/*
 * Ways there and back between the same two processes: a channel that goes both ways; two of one mechanism,
 * the first with the first; or the only two that there are. Which of several belong together is a guess.
 */
static const char pairs_sql[] =
	"WITH e AS (SELECT e.src_id AS s, e.dst_id AS d, e.channel_id AS c, r.mechanism AS m,"
	"  EXISTS (SELECT 1 FROM edge_rows b WHERE b.src_id = e.dst_id AND b.dst_id = e.src_id"
	"   AND b.channel_id = e.channel_id) AS both"
	"  FROM edge_rows e JOIN channel_rows r ON r.id = e.channel_id WHERE e.src_id <> e.dst_id),"
	" k AS (SELECT *, row_number() OVER (PARTITION BY s, d, m ORDER BY c) AS n,"
	"  count(*) OVER (PARTITION BY s, d, m) AS many FROM e WHERE NOT both),"
	" o AS (SELECT *, count(*) OVER (PARTITION BY s, d) AS ways FROM e WHERE ?1 >> m & 1)"
	" SELECT s, d, c, c, 0 FROM e WHERE both AND s < d"
	" UNION ALL SELECT a.s, a.d, a.c, b.c, a.many + b.many > 2 FROM k a JOIN k b"
	" ON b.s = a.d AND b.d = a.s AND b.m = a.m AND b.n = a.n WHERE a.s < a.d"
	" UNION ALL SELECT a.s, a.d, a.c, b.c, 0 FROM o a JOIN o b ON b.s = a.d AND b.d = a.s AND b.m <> a.m"
	" WHERE a.s < a.d AND a.ways + b.ways = 2";

static void load_pairs(struct spans *s)
{
	sqlite3_stmt *q = spans_prepare(s, pairs_sql);

	if (q)
		sqlite3_bind_int64(q, 1, OTHERS & ~SEMAPHORES);
	while (spans_row(s, q)) {
		uint32_t src = (uint32_t)sqlite3_column_int64(q, 0),
			 dst = (uint32_t)sqlite3_column_int64(q, 1);
		uint32_t there = within(q, 2, s->channel_count), back = within(q, 3, s->channel_count);
		const struct span_channel *c = &s->channels[there];
		if (!is_in(OTHERS, c->mechanism) || c->lock || s->channels[back].lock)
			continue;
		struct conversation *made = new_conversation(s, c->mechanism);
		if (made) {
			made->messages &= is_in(MESSAGES, s->channels[back].mechanism);
			made->guessed = sqlite3_column_int(q, 4);
		}
		add_flow(s, there, (struct flow){ .src = src, .dst = dst, .conversation = made, .way = 0 });
		add_flow(s, back, (struct flow){ .src = dst, .dst = src, .conversation = made, .way = 1 });
	}
	sqlite3_finalize(q);
}

bool spans_load(struct spans *s)
{
	bool told = false;

	load_threads(s);
	load_channels(s);
	if (!s->error)
		load_sockets(s);
	if (!s->error)
		load_semaphores(s);
	if (!s->error)
		load_pairs(s);
	if (!s->error)
		told = told_open(s);
	if (s->error || !(s->conversations || told))
		return false;
	load_lanes(s);
	return !s->error;
}

void spans_unload(struct spans *s)
{
	for (struct conversation *c = s->conversations, *next; c; c = next) {
		next = c->next;
		turn_close(s, c);
		free(c);
	}
	for (uint32_t i = 0; s->channels && i < s->channel_count; i++)
		for (struct flow *f = s->channels[i].flows, *next; f; f = next) {
			next = f->next;
			free(f);
		}
	for (uint32_t i = 0; s->threads && i < s->thread_count; i++)
		context_drop(s->threads[i].context);
	for (uint32_t i = 0; s->channels && i < s->channel_count; i++)
		context_drop(s->channels[i].connects);
	free(s->threads);
	free(s->channels);
	free(s->lanes);
	free(s->nodes);
	free(s->notes);
}
