// SPDX-License-Identifier: BSD-2-Clause
/*
 * The pipeline's glue (collector.h): takes records in, puts them into the order of time, hands them on, and
 * commits. Definitions wait in a heap by time beside the queues of events; of two with one time a definition
 * comes first, but the end of a process last.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kind.h"
#include "payload.h"
#include "socket.h"
#include "tables.h"

enum { POOL_BLOCK = 1 << 18, COMMIT_ROWS = 10000, COMMIT_NS = 100000000, TIMED_MAX = 1 << 16 };

enum { NEAR = 1 << 19, REST = 128 << 10, REST_PROCESS = 128 }; /* bytes: see is_full() */

enum { TIMED_TOTAL = IPC_DEF_LAST + 1 }; /* no definition: its text is a struct collector_total */

struct pool_block {
	struct pool_block *next;
	size_t used;
	_Alignas(16) char bytes[POOL_BLOCK];
};

struct timed {
	uint64_t time, number;
	enum collector_source source;
	struct ipc_def def;
	_Alignas(8) char text[]; /* def.text bytes */
};

struct text {
	struct text *next; /* of the same hash */
	size_t length;
	char bytes[];
};

static uint64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

struct spare {
	struct spare *next;
};

static size_t rounded(size_t size)
{
	return (size + 15) & ~(size_t)15;
}

void collector_free(struct collector *c, void *p, size_t size)
{
	struct spare *spare = p, **first = &c->spare[rounded(size) / 16];
	if (!p || rounded(size) > SPARE_MAX)
		return;
	spare->next = *first;
	*first = spare;
}

void *collector_new(struct collector *c, size_t size)
{
	struct pool_block *b = c->pool;
	size = rounded(size);
	struct spare *spare = size <= SPARE_MAX ? c->spare[size / 16] : NULL;
	if (spare) {
		c->spare[size / 16] = spare->next;
		return memset(spare, 0, size);
	}
	if (!b || b->used + size > POOL_BLOCK) {
		b = size <= POOL_BLOCK ? malloc(sizeof(*b)) : NULL;
		if (!b) {
			c->error = -ENOMEM;
			return NULL;
		}
		b->next = c->pool;
		b->used = 0;
		c->pool = b;
	}
	void *p = b->bytes + b->used;
	b->used += size;
	return memset(p, 0, size);
}

const char *collector_text(struct collector *c, const char *text, size_t length)
{
	void **place = table_put(&c->texts, table_hash_text(text, length));
	if (!place)
		return NULL;
	for (struct text *t = *place; t; t = t->next)
		if (t->length == length && !memcmp(t->bytes, text, length))
			return t->bytes;
	struct text *t = collector_new(c, sizeof(*t) + length + 1);
	if (!t)
		return NULL;
	t->next = *place;
	t->length = length;
	memcpy(t->bytes, text, length);
	*place = t;
	return t->bytes;
}

void collector_row(struct collector *c, struct row *row, enum row_kind kind)
{
	row->kind = kind;
	c->rows[kind]++;
	collector_dirty(c, row);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static struct loss *loss_of(struct collector *c, const struct store_loss *key)
{
	uint64_t comm = key->comm ? table_hash_text(key->comm, strlen(key->comm)) : 0;
	uint64_t hash = table_hash((uint64_t)key->process_id << 32 | key->reason, comm);
	void **place = table_put(&c->losses, hash);
	if (!place)
		return NULL;
	for (struct loss *l = *place; l; l = l->next)
		if (l->data.reason == key->reason && l->data.process_id == key->process_id &&
		    l->data.source == key->source && l->data.mechanism == key->mechanism &&
		    l->data.processor == key->processor && same_text(l->data.comm, key->comm))
			return l;
	struct loss *l = collector_new(c, sizeof(*l));
	if (!l)
		return NULL;
	l->data = *key;
	l->next = *place;
	*place = l;
	collector_row(c, &l->row, ROW_LOSS);
	return l;
}

void collector_lose(struct collector *c, enum collector_source source, enum ipc_reason reason,
		    const struct process *p, const char *comm, uint64_t count, uint64_t time)
{
	struct store_loss key = {
		.reason = reason,
		.source = source_names[source],
		.comm = comm,
		.process_id = p ? p->data.id : 0,
		.processor = STORE_NO_PROCESSOR,
		.first_ns = time,
	};
	struct loss *l = loss_of(c, &key);
	if (!l)
		return;
	l->data.count += count;
	if (time < l->data.first_ns)
		l->data.first_ns = time;
	if (time > l->data.last_ns)
		l->data.last_ns = time;
	collector_dirty(c, &l->row);
}

int collector_resume(struct collector **out, const char *path, uint64_t start_ns)
{
	struct collector *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->commit_ns = clock_ns();
	c->start_ns = start_ns;
	c->closed_last = &c->closed;
	int err = store_open(&c->store, path, start_ns);
	if (err) {
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

int collector_open(struct collector **out, const char *path)
{
	int err = collector_resume(out, path, clock_ns());
	if (!err)
		KIND_EACH(look_around, *out);
	return err;
}

void collector_keep(struct collector *c, const char *path, const char *id)
{
	if (journal_open(&c->journal, path, id, c->start_ns)) {
		c->journal = NULL;
		return;
	}
	for (uint32_t i = 0; c->leftovers.slots && i <= c->leftovers.mask; i++)
		if (c->leftovers.slots[i].key)
			journal_put(c->journal, JOURNAL_LEFTOVER, 0, &c->leftovers.slots[i].key, 8);
}

struct journal *collector_journal(const struct collector *c)
{
	return c->journal;
}

void collector_select(struct collector *c, uint64_t mechanisms, bool outlive)
{
	const uint64_t told[2] = { mechanisms, outlive };
	journal_put(c->journal, JOURNAL_SELECT, 0, told, sizeof(told));
	c->left_out = ~mechanisms;
	c->outlive = outlive;
}

void collector_bytes(struct collector *c, bool protocols, uint32_t capture)
{
	const uint32_t told[2] = { protocols, capture };
	journal_put(c->journal, JOURNAL_BYTES, 0, told, sizeof(told));
	c->no_protocols = !protocols;
	c->capture = capture;
}

void collector_alone(struct collector *c)
{
	c->alone = true;
}

void collector_outlived(struct collector *c)
{
	c->outlive = true;
}

void collector_recovered(struct collector *c)
{
	c->recovered = true;
}

void collector_limit(struct collector *c, int64_t bytes)
{
	c->size_max = bytes;
	store_limit(c->store, bytes);
}

bool collector_full(const struct collector *c)
{
	return c->full;
}

void collector_look_around(struct collector *c)
{
	KIND_EACH(look_around, c);
}

void collector_meta(struct collector *c, const char *key, const char *value)
{
	journal_put_two(c->journal, JOURNAL_META, 0, key, strlen(key) + 1, value, strlen(value) + 1);
	store_meta(c->store, key, value);
}

void collector_loss(struct collector *c, enum collector_source source, enum ipc_reason reason, int pid,
		    const char *comm, uint64_t count)
{
	const struct journal_loss told = { (int32_t)reason, pid, count };
	journal_put_two(c->journal, JOURNAL_LOSS, source, &told, sizeof(told), comm,
			comm ? strlen(comm) + 1 : 0);
	struct life *l = pid > 0 ? life_of(c, source, pid) : NULL;
	struct process *p = l ? l->latest : NULL;
	const char *name = comm ? collector_text(c, comm, strlen(comm)) : p ? p->data.comm : NULL;
	if (pid > 0 && comm && !l && !strcmp(ipc_reasons[reason].kind, "not_covered"))
		p = life_unseen(c, source, pid, name, clock_ns());
	collector_lose(c, source, reason, p, name, count, c->now);
	if (reason == IPC_REASON_uncounted)
		total_uncounted(c, IPC_MECH_none);
}

void collector_lost(struct collector *c, enum collector_source source, const struct collector_lost *lost)
{
	const struct store_loss key = {
		.reason = lost->reason,
		.source = source_names[source],
		.mechanism = lost->mechanism,
		.processor = lost->processor,
		.first_ns = lost->first_ns,
	};
	journal_put(c->journal, JOURNAL_LOST, source, lost, sizeof(*lost));
	struct loss *l = loss_of(c, &key);
	if (!l)
		return;
	c->drops_of[lost->mechanism] |= lost->reason == IPC_REASON_dropped;
	if (lost->reason == IPC_REASON_uncounted)
		total_uncounted(c, lost->mechanism);
	l->data.count += lost->count;
	l->data.last_ns = lost->last_ns;
	collector_dirty(c, &l->row);
}

void collector_aggregate(struct collector *c)
{
	c->aggregate = true;
}

/* Taking in. */

static bool timed_before(const struct timed *a, const struct timed *b)
{
	return a->time != b->time ? a->time < b->time : a->number < b->number;
}

static int timed_add(struct collector *c, struct timed *t)
{
	if (c->timeds == c->timed_room) {
		uint32_t room = c->timed_room ? c->timed_room * 2 : 64;
		struct timed **timed = realloc(c->timed, room * sizeof(*timed));
		if (!timed)
			return -ENOMEM;
		c->timed = timed;
		c->timed_room = room;
	}
	uint32_t i = c->timeds++;
	for (; i && timed_before(t, c->timed[(i - 1) / 2]); i = (i - 1) / 2)
		c->timed[i] = c->timed[(i - 1) / 2];
	c->timed[i] = t;
	return 0;
}

static struct timed *timed_pop(struct collector *c)
{
	struct timed *first = c->timed[0], *moving = c->timed[--c->timeds];
	uint32_t i = 0;
	for (uint32_t child; (child = 2 * i + 1) < c->timeds; i = child) {
		if (child + 1 < c->timeds && timed_before(c->timed[child + 1], c->timed[child]))
			child++;
		if (!timed_before(c->timed[child], moving))
			break;
		c->timed[i] = c->timed[child];
	}
	c->timed[i] = moving;
	return first;
}

static void take_timed(struct collector *c, enum collector_source source, const struct ipc_def *d,
		       const void *text)
{
	struct timed *t = malloc(sizeof(*t) + d->text);
	if (!t) {
		c->error = -ENOMEM;
		return;
	}
	t->time = d->time;
	t->number = c->timed_count++;
	t->source = source;
	t->def = *d;
	memcpy(t->text, text, d->text);
	if (timed_add(c, t)) {
		free(t);
		c->error = -ENOMEM;
	}
}

static struct thread *find_thread(struct collector *c, enum collector_source source, uint32_t number)
{
	uint64_t key = source_key(source, number);
	if (c->last_key != key || !c->last_thread) {
		c->last_thread = join_thread_of(c, source, number);
		c->last_key = key;
	}
	return c->last_thread;
}

/* No byte of it is written to a disk but those that were asked for. */
static void journal_payload(struct collector *c, enum collector_source source, const struct ipc_def *d)
{
	struct ipc_def cut = *d;
	if (!c->capture)
		return;
	cut.text -= cut.payload.tail < cut.text ? (uint16_t)cut.payload.tail : cut.text;
	cut.payload.tail = 0;
	if (cut.text > c->capture)
		cut.text = (uint16_t)c->capture;
	journal_put_two(c->journal, JOURNAL_DEFINITION, source, &cut, sizeof(cut), d + 1, cut.text);
}

static void take_payload(struct collector *c, enum collector_source source, const struct ipc_def *d)
{
	struct thread *t = d->thread ? find_thread(c, source, d->thread) : NULL;
	journal_payload(c, source, d);
	if (t)
		payload_define(c, t, d, (const uint8_t *)(d + 1));
}

static void take_definition(struct collector *c, enum collector_source source, const struct ipc_def *d)
{
	if (d->call > IPC_DEF_LAST || d->text > IPC_TEXT_MAX) {
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, c->now);
		return;
	}
	if (d->call == IPC_DEF_PAYLOAD) {
		take_payload(c, source, d);
		return;
	}
	journal_put(c->journal, JOURNAL_DEFINITION, source, d, sizeof(*d) + d->text);
	take_timed(c, source, d, d + 1);
}

/* Its place is behind all definitions that were told before. */
void collector_total(struct collector *c, enum collector_source source, uint64_t time,
		     const struct collector_total *t)
{
	const struct ipc_def d = { .time = time, .call = TIMED_TOTAL, .text = sizeof(*t) };
	journal_put_two(c->journal, JOURNAL_TOTAL, source, &time, sizeof(time), t, sizeof(*t));
	if (!c->error && !c->full)
		take_timed(c, source, &d, t);
}

void collector_record(struct collector *c, enum collector_source source, const struct ipc_event *e)
{
	if (c->error || c->full)
		return;
	if (e->call >= IPC_DEF_FIRST) {
		take_definition(c, source, (const struct ipc_def *)e);
		return;
	}
	journal_event(c->journal, source, e);
	uint64_t end;
	if (__builtin_add_overflow(e->start, e->duration, &end) || !e->thread) {
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, c->now);
		return;
	}
	struct thread *t = find_thread(c, source, e->thread);
	int err = t ? order_push(&c->order, &t->queue, e) : -ENOMEM;
	if (err == -ENOSPC)
		collector_lose(c, source, IPC_REASON_undefined, NULL, NULL, 1, c->now);
	else if (err)
		c->error = err;
	else if (e->flags & IPC_F_PAYLOAD)
		payload_keep(t, e);
}

void collector_watermark(struct collector *c, enum collector_source source, uint64_t ns)
{
	journal_put(c->journal, JOURNAL_WATERMARK, source, &ns, sizeof(ns));
	c->heard[source] = true;
	if (ns > c->watermark[source])
		c->watermark[source] = ns;
}

/* Handing on. */

static void define(struct collector *c, const struct timed *t)
{
	switch (t->def.call) {
	case IPC_DEF_IMAGE:
		join_image(c, t->source, &t->def, t->text, t->def.text);
		break;
	case IPC_DEF_THREAD:
		join_thread(c, t->source, &t->def);
		break;
	case IPC_DEF_OBJECT:
		channel_define(c, t->source, &t->def, t->text, t->def.text);
		break;
	case IPC_DEF_LOSS:
		join_loss(c, t->source, &t->def, t->text, t->def.text);
		break;
	case IPC_DEF_GONE:
		life_gone(c, t->source, &t->def);
		break;
	case IPC_DEF_SOCKET:
		socket_define(c, t->source, &t->def, (const uint8_t *)t->text, t->def.text);
		break;
	case IPC_DEF_ADDRESS:
		address_define(c, t->source, &t->def, (const uint8_t *)t->text, t->def.text);
		break;
	case TIMED_TOTAL:
		total_take(c, t->source, (const struct collector_total *)t->text);
		break;
	}
}

static void write_endpoint(struct collector *c, const struct endpoint *ep)
{
	const struct store_sampled pages = { ep->data.channel_id, ep->data.process_id, ep->pages_read,
					     ep->pages_written };
	store_endpoint(c->store, &ep->data);
	if (ep->sampled)
		store_sampled(c->store, &pages);
}

static void write_row(struct collector *c, struct row *row)
{
	switch (row->kind) {
	case ROW_PROCESS:
		store_process(c->store, &((struct process *)row)->data);
		break;
	case ROW_THREAD:
		store_thread(c->store, &((struct thread *)row)->data);
		break;
	case ROW_CHANNEL:
		store_channel(c->store, &((struct channel *)row)->data);
		break;
	case ROW_ENDPOINT:
		write_endpoint(c, (struct endpoint *)row);
		break;
	case ROW_EDGE:
		rollup_write(c, (struct edge *)row);
		break;
	case ROW_LOSS:
		store_loss(c->store, &((struct loss *)row)->data);
		break;
	}
}

static void write_dirty(struct collector *c)
{
	while (c->dirty) {
		struct row *row = c->dirty;
		c->dirty = row->next_dirty;
		row->dirty = false;
		row->written = true;
		write_row(c, row);
	}
}

static void commit(struct collector *c)
{
	life_settle_execs(c, false);
	total_join_all(c);
	KIND_EACH(commit, c, false);
	settle_closed(c, false);
	write_dirty(c);
	settle_release(c);
	int err = store_commit(c->store, c->now);
	if (err && !c->error)
		c->error = err;
	c->commit_ns = clock_ns();
}

static uint64_t horizon(const struct collector *c)
{
	uint64_t ns = UINT64_MAX;
	bool heard = false;
	for (int i = 0; i < COLLECTOR_SOURCES; i++) {
		heard |= c->heard[i];
		if (c->heard[i] && c->watermark[i] < ns)
			ns = c->watermark[i];
	}
	return heard ? ns : 0;
}

/* Hands on the next record that ended at or before `limit`. False: there is none. */
static bool hand_on(struct collector *c, uint64_t limit)
{
	uint64_t end = UINT64_MAX;
	if (c->order.queued - c->order.parked > ORDER_QUEUED_MAX || c->timeds > TIMED_MAX)
		limit = UINT64_MAX;
	struct order_queue *q = order_first(&c->order, &end);
	struct timed *t = c->timeds ? c->timed[0] : NULL;
	if (t && (!q || t->time < end || (t->time == end && t->def.call != IPC_DEF_GONE))) {
		if (t->time > limit)
			return false;
		if (t->time > c->now)
			c->now = t->time;
		define(c, timed_pop(c));
		free(t);
		return true;
	}
	if (!q || end > limit)
		return false;
	struct thread *thread = (struct thread *)((char *)q - offsetof(struct thread, queue));
	struct ipc_event e;
	order_pop(&c->order, &e);
	bool late = end < c->now;
	if (!late)
		c->now = end;
	event_handle(c, thread, &e, late);
	return true;
}

/* What is not in the file yet, and how large it will be, can only be estimated: so near the limit it is
 * written first. The rest is for what closing adds: statistics, and what is known of each process only then.
 */
static bool is_full(struct collector *c)
{
	const int64_t room = c->size_max - REST - (int64_t)c->rows[ROW_PROCESS] * REST_PROCESS;

	if (store_size(c->store) + NEAR < room)
		return false;
	commit(c);
	return store_size(c->store) >= room;
}

static void hand_on_all(struct collector *c, uint64_t limit)
{
	for (unsigned int n = 1; !c->error && !c->full && hand_on(c, limit); n++) {
		if (n % 256 == 0 && store_pending(c->store) >= COMMIT_ROWS)
			commit(c);
		if (n % 64 == 0 && c->size_max)
			c->full = is_full(c);
	}
}

int collector_step(struct collector *c)
{
	uint64_t limit = horizon(c);
	journal_put(c->journal, JOURNAL_STEP, 0, NULL, 0);
	journal_mark(c->journal);
	hand_on_all(c, limit);
	c->full = c->full || (c->size_max && is_full(c));
	if (limit > c->now && limit != UINT64_MAX && !c->full)
		c->now = limit;
	if (!c->error && clock_ns() - c->commit_ns >= COMMIT_NS)
		commit(c);
	return c->error;
}

/* Resuming. */

static void resume_leftover(struct collector *c, uint64_t key)
{
	void **place = key ? table_put(&c->leftovers, key) : NULL;
	if (place)
		*place = c;
}

static void resume_meta(struct collector *c, const char *text, size_t size)
{
	const char *value = memchr(text, '\0', size);
	if (value && text[size - 1] == '\0' && ++value < text + size)
		collector_meta(c, text, value);
}

static void resume_loss(struct collector *c, enum collector_source source, const struct journal_loss *l,
			size_t text)
{
	const char *comm = text ? (const char *)(l + 1) : NULL;
	if ((uint32_t)l->reason < IPC_REASONS && (!comm || comm[text - 1] == '\0'))
		collector_loss(c, source, (enum ipc_reason)l->reason, l->pid, comm, l->count);
}

/* The file may be damaged. */
static bool is_whole(enum journal_op op, const void *data, size_t size)
{
	const struct ipc_def *d = data;
	const struct collector_lost *lost = data;
	const struct collector_count *count = data;
	switch (op) {
	case JOURNAL_EVENT:
		return size == IPC_SLOT;
	case JOURNAL_DEFINITION:
		return size >= sizeof(*d) && size == sizeof(*d) + d->text && d->call >= IPC_DEF_FIRST;
	case JOURNAL_SELECT:
		return size == 2 * sizeof(uint64_t);
	case JOURNAL_LEFTOVER:
	case JOURNAL_WATERMARK:
	case JOURNAL_BYTES:
		return size == sizeof(uint64_t);
	case JOURNAL_META:
		return size > 0;
	case JOURNAL_LOSS:
		return size >= sizeof(struct journal_loss);
	case JOURNAL_LOST:
		return size == sizeof(*lost) && lost->reason < IPC_REASONS &&
		       lost->mechanism < IPC_MECHANISMS;
	case JOURNAL_TOTAL:
		return size == sizeof(uint64_t) + sizeof(struct collector_total);
	case JOURNAL_COUNTED:
		return size == sizeof(*count) && ipc_object_mechanism(count->object) < IPC_MECHANISMS;
	default:
		return true;
	}
}

void collector_resume_op(struct collector *c, enum journal_op op, unsigned int of, const void *data,
			 size_t size)
{
	const uint64_t *word = data;
	if (of >= COLLECTOR_SOURCES || !is_whole(op, data, size))
		return;
	switch (op) {
	case JOURNAL_EVENT:
	case JOURNAL_DEFINITION:
		collector_record(c, of, data);
		break;
	case JOURNAL_SELECT:
		collector_select(c, word[0], word[1]);
		break;
	case JOURNAL_BYTES:
		collector_bytes(c, (uint32_t)word[0], word[0] >> 32);
		break;
	case JOURNAL_LEFTOVER:
		resume_leftover(c, word[0]);
		break;
	case JOURNAL_META:
		resume_meta(c, data, size);
		break;
	case JOURNAL_LOSS:
		resume_loss(c, of, data, size - sizeof(struct journal_loss));
		break;
	case JOURNAL_LOST:
		collector_lost(c, of, data);
		break;
	case JOURNAL_TOTAL:
		collector_total(c, of, word[0], (const void *)(word + 1));
		break;
	case JOURNAL_COUNTED:
		collector_counted(c, of, data);
		break;
	case JOURNAL_WATERMARK:
		collector_watermark(c, of, word[0]);
		break;
	case JOURNAL_STEP:
		collector_step(c);
		break;
	default:
		break;
	}
}

unsigned int collector_running(const struct collector *c)
{
	return c->running;
}

/* Ending. */

static void drop_undefined(struct collector *c)
{
	for (uint32_t i = 0; c->threads.slots && i <= c->threads.mask; i++) {
		struct thread *t = c->threads.slots[i].value;
		if (!t)
			continue;
		uint32_t n = order_drop(&c->order, &t->queue);
		if (n && !c->error && !c->full)
			collector_lose(c, t->source, IPC_REASON_undefined, NULL, NULL, n, c->now);
		/* Of an exec that was not announced: another thread's may have come first. */
		bool void_note = t->process && t->process->data.end_ns;
		if (t->note.reason && !void_note && !c->error)
			collector_lose(c, t->source, t->note.reason, t->process, t->note.comm, t->note.count,
				       t->note.time);
		payload_forget(c, t, true);
		free(t->cache);
		t->cache = NULL; /* the thread's end will free it too */
	}
}

/* Whether an edge is exact may depend on what its channel has left at the end. */
static void finish_edges(struct collector *c)
{
	for (struct channel *ch = c->channels; ch; ch = ch->next)
		for (struct edge *e = ch->inexact ? ch->edges : NULL; e; e = e->next)
			collector_dirty(c, &e->row);
}

static void free_all(struct collector *c)
{
	for (struct channel *ch = c->channels; ch; ch = ch->next) {
		datagram_free(ch->queue);
		datagram_free(ch->passed);
		for (struct edge *e = ch->edges; e; e = e->next)
			latency_free(&e->latency);
	}
	for (struct process *p = c->processes; p; p = p->next)
		free(p->fds);
	while (c->timeds)
		free(timed_pop(c));
	packet_close(c);
	order_free(&c->order);
	struct table *tables[] = { &c->threads, &c->images, &c->lives,	   &c->objects,	 &c->endpoints,
				   &c->edges,	&c->lanes,  &c->losses,	   &c->texts,	 &c->addresses,
				   &c->pairs,	&c->names,  &c->connects,  &c->outsides, &c->places,
				   &c->flows,	&c->epolls, &c->leftovers, &c->touched,	 &c->defined };
	for (unsigned int i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		free(tables[i]->slots);
	while (c->pool) {
		struct pool_block *next = c->pool->next;
		free(c->pool);
		c->pool = next;
	}
	free(c->timed);
	free(c->dropped);
	free(c);
}

int collector_close(struct collector *c, uint64_t end_ns)
{
	char end[24];
	hand_on_all(c, UINT64_MAX);
	if (c->full)
		end_ns = c->now;
	else if (end_ns > c->now)
		c->now = end_ns;
	drop_undefined(c);
	total_close(c);
	KIND_EACH(commit, c, true);
	life_close(c);
	settle_closed(c, true);
	finish_edges(c);
	snprintf(end, sizeof(end), "%llu", (unsigned long long)end_ns);
	store_meta(c->store, "end_ns", end);
	write_dirty(c);
	if (c->drops) /* bytes that were not seen to be sent or received have shifted the others */
		store_doubt_channels(c->store, c->dropped, c->drops);
	store_unwritten(c->store, end_ns);
	int err = store_close(c->store);
	if (c->error)
		err = c->error;
	journal_remove(c->journal);
	free_all(c);
	return err;
}
