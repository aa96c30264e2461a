// SPDX-License-Identifier: BSD-2-Clause
/*
 * One event, in its place in the order: finds its channel and endpoint, keeps descriptors and totals, stores
 * the row, and hands sends and receives to the matcher.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "kind.h"
#include "socket.h"
#include "tables.h"
#include "talk.h"

const char *const source_names[] = { [COLLECTOR_SHIM] = "shim", [COLLECTOR_BPF] = "bpf" };

enum { ERRNO_MAX = 4095 };

static bool same_lane(const struct store_lane *a, const struct store_lane *b)
{
	return a->thread_id == b->thread_id && a->endpoint_id == b->endpoint_id && a->fd == b->fd &&
	       a->call == b->call && a->flags == b->flags && a->verb == b->verb;
}

static uint64_t lane_hash(const struct store_lane *key)
{
	return table_hash((uint64_t)key->thread_id << 32 | key->endpoint_id,
			  ((uint64_t)(uint32_t)key->fd << 32 | (uint32_t)key->call << 16 | key->flags) ^
				  (uint64_t)key->verb << 58);
}

uint32_t event_lane(struct collector *c, const struct store_lane *key, struct endpoint *ep)
{
	void **place = table_put(&c->lanes, lane_hash(key));
	if (!place)
		return 0;
	for (struct lane *l = *place; l; l = l->next)
		if (same_lane(&l->key, key))
			return l->id;
	struct lane *l = collector_new(c, sizeof(*l));
	if (!l)
		return 0;
	*l = (struct lane){ .key = *key, .id = store_lane(c->store, key), .next = *place };
	*place = l;
	if (ep) {
		l->next_of_endpoint = ep->lanes;
		ep->lanes = l;
	}
	return l->id;
}

uint64_t event_unseen(struct collector *c, struct endpoint *ep, enum ipc_call_id call, uint16_t flags,
		      enum ipc_verb verb, uint64_t time)
{
	bool sends = verb != IPC_VERB_recv;
	struct store_lane lane = {
		.thread_id = ep->process->main->data.id,
		.endpoint_id = ep->data.id,
		.fd = -1,
		.call = call,
		.flags = flags,
		.verb = verb,
		.source = ep->process->data.source,
	};
	struct store_event row = { time, 0, event_lane(c, &lane, ep), 0 };
	endpoint_seen(c, ep, time, time);
	endpoint_role(c, ep, sends ? ROLE_WRITER : ROLE_READER);
	return store_event(c->store, &row, sends);
}

void event_forget_lanes(struct collector *c, struct endpoint *ep)
{
	while (ep->lanes) {
		struct lane *l = ep->lanes;
		uint64_t hash = lane_hash(&l->key);
		struct lane *first = table_get(&c->lanes, hash), **link = &first;
		ep->lanes = l->next_of_endpoint;
		while (*link != l)
			link = &(*link)->next;
		*link = l->next;
		if (first)
			*table_put(&c->lanes, hash) = first;
		else
			table_remove(&c->lanes, hash);
		collector_free(c, l, sizeof(*l));
	}
}

static uint8_t verb_of(const struct ipc_event *e)
{
	const struct ipc_call *call = &ipc_calls[e->call];
	const struct channel_kind *kind = kind_of(e->object);
	if (e->flags & IPC_F_SECOND)
		return call->verb == IPC_VERB_map ? IPC_VERB_unmap : IPC_VERB_send;
	if (kind->takes && kind->takes(e))
		return IPC_VERB_recv;
	if (call->verb != IPC_VERB_by_end)
		return call->verb;
	return (e->arg0 >> 32 & O_ACCMODE) == O_RDONLY ? IPC_VERB_recv : IPC_VERB_send;
}

static bool makes_sense(const struct ipc_event *e)
{
	if (e->call == IPC_CALL_none || e->call == IPC_CALL_start || e->call >= IPC_CALLS)
		return false;
	if (ipc_object_mechanism(e->object) >= IPC_MECHANISMS)
		return false;
	return e->result >= -ERRNO_MAX &&
	       (ipc_calls[e->call].size == IPC_SIZE_NONE || e->result <= MOVED_MAX);
}

/* What a send and a receive are called on such a channel. */
static uint8_t shown_verb(const struct channel *ch, uint8_t verb)
{
	if (!ch || (!ch->counts && !ch->is_lock) || (verb != IPC_VERB_send && verb != IPC_VERB_recv))
		return verb;
	if (verb == IPC_VERB_send)
		return ch->is_lock ? IPC_VERB_unlock : IPC_VERB_post;
	return ch->is_lock ? IPC_VERB_lock : IPC_VERB_wait;
}

static uint32_t lane_of(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	const struct channel *ch = a->endpoint ? a->endpoint->channel : NULL;
	struct store_lane key = {
		.thread_id = a->thread->data.id,
		.endpoint_id = ch ? a->endpoint->shared->data.id : 0,
		.fd = ch && e->object && !ch->kind->without_fd ? (int32_t)(uint32_t)e->arg0 : -1,
		.call = e->call,
		.flags = e->flags,
		.verb = shown_verb(ch, a->verb),
		.source = source_names[a->thread->source],
	};
	return event_lane(c, &key, a->endpoint);
}

static struct channel *find_channel(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	const struct channel_kind *kind = kind_of(e->object);
	if (a->verb == IPC_VERB_wait && ipc_calls[e->call].object != IPC_OBJ_CHILD)
		return wait_channel(c, a->thread->process, e);
	return kind->find ? kind->find(c, a) : channel_at(c, e);
}

static void find_place(struct collector *c, struct act *a)
{
	a->verb = verb_of(a->event);
	struct channel *ch = find_channel(c, a);
	if (ch)
		a->endpoint = endpoint_of(c, a->thread->process, ch);
	if (a->endpoint || !c->left_out)
		a->lane = lane_of(c, a);
}

/* What tells where an event belongs; of epoll the user data does. */
static struct lane_key lane_key(const struct ipc_event *e)
{
	return (struct lane_key){
		.object = e->object,
		.arg0 = e->arg0,
		.data = e->object ? 0 : e->arg1,
		.tag = e->object ? 0 : e->tag,
		.call = e->call,
		.flags = e->flags,
	};
}

static bool same_key(const struct lane_key *a, const struct lane_key *b)
{
	return a->object == b->object && a->arg0 == b->arg0 && a->data == b->data && a->tag == b->tag &&
	       a->call == b->call && a->flags == b->flags;
}

/* Makes it, or makes it anew, twice as large. */
static void widen_cache(struct thread *t)
{
	t->cached_lanes = t->cache ? 2 * t->cached_lanes : CACHED_LANES;
	t->cache_misses = 0;
	free(t->cache);
	t->cache = calloc(t->cached_lanes, sizeof(*t->cache));
}

static struct cached_lane *cache_slot(struct thread *t, const struct lane_key *key)
{
	if (!t->cache)
		widen_cache(t);
	if (!t->cache)
		return NULL;
	uint64_t mixed =
		table_mix(key->object ^ key->arg0 << 7 ^ (uint64_t)key->call << 48 ^ key->data << 16);
	return &t->cache[mixed & (t->cached_lanes - 1)];
}

/* Sends, receives and waits whose channel is that of their object, or of their user data, and no other. */
static bool is_cacheable(const struct act *a)
{
	const struct channel *ch = a->endpoint ? a->endpoint->channel : NULL;
	if (!ch)
		return false;
	if (a->verb == IPC_VERB_wait)
		return !ch->kind->find_object;
	return (ch->is_stream || !ch->kind->find) && (a->verb == IPC_VERB_send || a->verb == IPC_VERB_recv);
}

/* Like find_place(), by the thread's cache where it can be. */
static void cached_place(struct collector *c, struct act *a)
{
	const struct lane_key key = lane_key(a->event);
	struct cached_lane *slot = cache_slot(a->thread, &key);
	if (slot && slot->epoch == c->epoch && slot->lane && same_key(&slot->key, &key)) {
		a->endpoint = slot->endpoint;
		a->lane = slot->lane;
		a->verb = slot->verb;
		return;
	}
	find_place(c, a);
	if (!slot || !is_cacheable(a))
		return;
	*slot = (struct cached_lane){ key, c->epoch, a->lane, a->endpoint, a->verb };
	if (++a->thread->cache_misses > 16 * a->thread->cached_lanes &&
	    a->thread->cached_lanes < CACHED_LANES_MAX)
		widen_cache(a->thread);
}

/* A descriptor's number is no bytes, nor is what a counter has. */
static uint64_t bytes_of(const struct channel *ch, const struct ipc_event *e)
{
	return ch->counts || ch->kind->no_bytes ? 0 : (uint64_t)e->result;
}

/* What a thread submits through a ring need not be carried out in that order: to the matchers each operation
 * is of a thread of its own. */
static uint32_t party_of(struct collector *c, const struct act *a)
{
	return a->event->flags & IPC_F_RING ? 1U << 31 | (c->operations++ & INT32_MAX >> 1)
					    : a->thread->data.id;
}

static struct match_call match_call_of(const struct act *a)
{
	const struct ipc_event *e = a->event;
	const struct channel *ch = a->endpoint->channel;
	uint64_t moved = ch->counts ? e->arg1 : bytes_of(ch, e);
	return (struct match_call){
		e->start, order_end(e), moved, 0, a->endpoint, party_of(ch->collector, a)
	};
}

/* A party that is not known to hold the channel open uses it: take nothing for granted. */
static void check_party(struct channel *ch, struct match_stream *st, const struct endpoint *ep, bool sends)
{
	if (ch->settled)
		st->doubtful = true;
	if (sends ? ep->open_writers : ep->open_readers)
		return;
	ch->loose = true;
	if (sends)
		st->had_writer = true;
	else
		st->had_reader = true;
	channel_parties(ch);
}

static void check_late(struct collector *c, const struct thread *t, const struct match_stream *st,
		       const struct ipc_event *e)
{
	if (st->one_writer != MATCH_SEVERAL && st->one_reader != MATCH_SEVERAL)
		return;
	collector_lose(c, t->source, IPC_REASON_late, t->process, t->process->data.comm, 1, e->start);
}

/* A write that never returned: its row waits for its size. */
static void send_inside(struct collector *c, struct act *a)
{
	const struct ipc_event *e = a->event;
	const struct process *p = a->thread->process;
	struct channel *ch = a->endpoint->channel;
	struct inside *inside = collector_new(c, sizeof(*inside));
	if (!inside)
		return;
	inside->row = (struct store_event){ e->start, e->duration, a->lane, 0 };
	ch->killed = true;
	collector_lose(c, a->thread->source, IPC_REASON_killed, p, p->data.comm, 1, order_end(e));
	check_party(ch, &ch->stream, a->endpoint, true);
	a->call.event = (uint64_t)(uintptr_t)inside;
	match_unfinished(&ch->stream, &a->call);
}

static uint64_t units(const struct channel *ch, const struct ipc_event *e, uint64_t bytes)
{
	return ch->counts ? e->arg1 : bytes;
}

static void count_send(struct endpoint *ep, const struct ipc_event *e, uint64_t bytes)
{
	struct store_endpoint *row = &ep->shared->data;
	row->sends++;
	row->bytes_sent += bytes;
	row->send_dur_ns += e->duration;
	ep->channel->sent += units(ep->channel, e, bytes);
	ep->channel->shared->data.bytes_sent += bytes;
}

static void count_receive(struct endpoint *ep, const struct ipc_event *e, uint64_t bytes)
{
	struct store_endpoint *row = &ep->shared->data;
	struct channel *from = ep->channel->peer;
	row->receives++;
	row->bytes_received += bytes;
	row->receive_dur_ns += e->duration;
	ep->channel->shared->data.bytes_received += bytes;
	if (!from)
		return;
	from->received += units(from, e, bytes);
	from->receivers += !ep->received;
	ep->received = true;
}

/* The send is about to wait for a receive. */
static bool is_kept(struct channel *ch, const struct ipc_event *e)
{
	return !ch->kind->keeps || (ch->peer && ch->peer->endpoints) || ch->kind->keeps(ch, e);
}

void event_stream(struct collector *c, const struct act *a)
{
	struct channel *ch = a->endpoint->channel;
	if (!ch->peer && !a->sends) {
		ch->early = true;
		return;
	}
	if (a->sends && !is_kept(ch, a->event)) {
		ch->early = ch->stream.doubtful = true;
		return;
	}
	struct match_stream *st = a->sends ? &ch->stream : &ch->peer->stream;
	if (ch->kind->edits && ch->kind->edits(c, a))
		return;
	check_party(ch, st, a->endpoint, a->sends);
	if (a->late)
		check_late(c, a->thread, st, a->event);
	if (a->event->flags & IPC_F_OOB)
		st->doubtful = true; /* urgent data is not in its place */
	if (!a->call.bytes) {
		if (!a->sends)
			match_doubt(st); /* the value is not told */
		return;
	}
	if (a->sends)
		match_send(st, &a->call);
	else
		match_receive(st, &a->call);
}

/* The kernel told who ended the wait. */
static void woken(struct collector *c, const struct act *a, uint64_t event)
{
	uint32_t image = a->event->woken_by;
	if (!image || a->thread->source != COLLECTOR_BPF || !a->endpoint)
		return;
	const struct process *p = image_of(c, image);
	if (p)
		store_wake(c->store, event, p->data.id, STORE_SEEN);
	else if (image == IPC_WOKEN_INDIRECTLY || image == IPC_WOKEN_FROM_OUTSIDE)
		store_wake(c->store, event, 0,
			   image == IPC_WOKEN_INDIRECTLY ? STORE_SEEN_INDIRECT : STORE_SEEN_OUTSIDE);
}

/* A send or receive that moved something. */
static void moved(struct collector *c, struct act *a)
{
	const struct ipc_event *e = a->event;
	const struct channel *ch = a->endpoint->channel;
	const struct channel_kind *kind = ch->kind;
	uint64_t bytes = bytes_of(ch, e);
	struct store_event row = { e->start, e->duration, a->lane, (int64_t)bytes };
	bool linkable = ch->is_stream || (kind->transfer && !kind->one_event);
	a->call.event = store_event(c->store, &row, a->sends && linkable);
	woken(c, a, a->call.event);
	if (a->sends)
		count_send(a->endpoint, e, bytes);
	else
		count_receive(a->endpoint, e, bytes);
	if (ch->is_stream)
		event_stream(c, a);
	else if (kind->transfer)
		kind->transfer(c, a);
	if (a->payload || ch->talk || a->unread)
		talk_moved(c, a);
}

static uint64_t store_plain(struct collector *c, const struct act *a, bool links)
{
	const struct ipc_event *e = a->event;
	struct store_event row = { e->start, e->duration, a->lane, e->result < 0 ? e->result : 0 };
	uint64_t event = store_event(c->store, &row, links);
	woken(c, a, event);
	return event;
}

static bool moves(const struct channel *ch, const struct ipc_event *e)
{
	if (e->flags & IPC_F_PEEK)
		return false;
	return ch->kind->moves ? ch->kind->moves(ch, e) : e->result > 0;
}

static void transfer(struct collector *c, struct act *a)
{
	const struct ipc_event *e = a->event;
	struct channel *ch = a->endpoint->channel;
	endpoint_role(c, a->endpoint, a->sends ? ROLE_WRITER : ROLE_READER);
	if (ch->kind->carries) {
		a->thread->carrier = ch;
		a->thread->carrier_release = c->releases;
	}
	if (ch->kind->before)
		ch->kind->before(c, a);
	a->call = match_call_of(a);
	if (moves(ch, e)) {
		moved(c, a);
	} else if (a->sends && e->flags & IPC_F_INSIDE && ch->is_stream) {
		send_inside(c, a);
	} else {
		a->call.event = store_plain(c, a, false);
		if (ch->kind->failed)
			ch->kind->failed(c, a);
	}
}

/* Every other event: on a process, or on a descriptor. */
static void effect(struct collector *c, struct act *a)
{
	const struct ipc_event *e = a->event;
	const struct channel_kind *kind = a->endpoint ? a->endpoint->channel->kind : NULL;
	uint64_t event = store_plain(c, a, kind && kind->links && kind->links(a));
	if (e->call == IPC_CALL_exit)
		thread_end(c, a->thread, order_end(e));
	if (!kind || kind->unfollowed)
		return;
	a->call = match_call_of(a);
	a->call.event = event;
	if (kind->control)
		kind->control(c, a);
	else
		fd_event(c, a);
}

static void handle(struct collector *c, struct thread *t, const struct ipc_event *e, bool late,
		   const struct payload *payload, bool unread)
{
	if (!makes_sense(e)) {
		collector_lose(c, t->source, IPC_REASON_rejected, NULL, NULL, 1, e->start);
		return;
	}
	join_note(c, t, e);
	if (e->flags & IPC_F_RING)
		join_concurrent(t->process);
	if (wait_register(c, t->process, e))
		return;
	struct act a = { .event = e, .thread = t, .late = late, .payload = payload, .unread = unread };
	cached_place(c, &a);
	if (!a.lane)
		return;
	if (a.endpoint)
		endpoint_seen(c, a.endpoint, e->start, order_end(e));
	a.sends = a.verb == IPC_VERB_send;
	bool transfers = a.sends || a.verb == IPC_VERB_recv;
	const struct channel_kind *kind = a.endpoint ? a.endpoint->channel->kind : kind_of(e->object);
	if (transfers && kind->transfer_all)
		kind->transfer_all(c, &a);
	else if (transfers && a.endpoint)
		transfer(c, &a);
	else
		effect(c, &a);
}

void event_handle(struct collector *c, struct thread *t, struct ipc_event *e, bool late)
{
	bool told = e->flags & IPC_F_PAYLOAD;
	struct payload *payload = told ? payload_take(t, e) : NULL;
	e->flags &= (uint16_t)~IPC_F_PAYLOAD;
	handle(c, t, e, late, payload, told && !payload);
	payload_free(c, payload);
}
