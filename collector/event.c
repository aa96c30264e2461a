// SPDX-License-Identifier: BSD-2-Clause
/*
 * One event, in its place in the order: finds its channel and endpoint, keeps descriptors and totals, stores
 * the row, and hands sends and receives to the matcher.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "delivery.h"
#include "futex.h"
#include "lock.h"
#include "passing.h"
#include "process_vm.h"
#include "pty.h"
#include "queue.h"
#include "region.h"
#include "sem.h"
#include "socket.h"
#include "sync.h"
#include "tables.h"
#include "wake.h"

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
	if (e->flags & IPC_F_SECOND)
		return call->verb == IPC_VERB_map ? IPC_VERB_unmap : IPC_VERB_send;
	if (passing_takes(e))
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

/* What a row says about where an event belongs. */
struct place {
	struct endpoint *endpoint; /* NULL: no channel */
	uint32_t lane;
	uint8_t verb;
};

/* What a send and a receive are called on such a channel. */
static uint8_t shown_verb(const struct channel *ch, uint8_t verb)
{
	bool counts = ch && (ch->counts || sync_is(ch->data.mechanism));
	if (!ch || (!counts && !ch->is_lock) || (verb != IPC_VERB_send && verb != IPC_VERB_recv))
		return verb;
	if (verb == IPC_VERB_send)
		return ch->is_lock ? IPC_VERB_unlock : IPC_VERB_post;
	return ch->is_lock ? IPC_VERB_lock : IPC_VERB_wait;
}

static uint32_t lane_of(struct collector *c, struct thread *t, const struct ipc_event *e,
			const struct place *p)
{
	const struct channel *ch = p->endpoint ? p->endpoint->channel : NULL;
	bool has_fd = ch && e->object && ch->data.mechanism != IPC_MECH_process &&
		      ch->data.mechanism != IPC_MECH_sysv_msg && ch->data.mechanism != IPC_MECH_sysv_sem &&
		      !sync_is(ch->data.mechanism);
	struct store_lane key = {
		.thread_id = t->data.id,
		.endpoint_id = p->endpoint ? p->endpoint->shared->data.id : 0,
		.fd = has_fd ? (int32_t)(uint32_t)e->arg0 : -1,
		.call = e->call,
		.flags = e->flags,
		.verb = shown_verb(ch, p->verb),
		.source = source_names[t->source],
	};
	return event_lane(c, &key, p->endpoint);
}

/* The channel of an event on a process; its effects on processes happen here too. */
static struct channel *process_channel(struct collector *c, struct thread *t, const struct ipc_event *e,
				       uint8_t verb)
{
	switch (verb) {
	case IPC_VERB_spawn:
		return life_spawn(c, t->process, e);
	case IPC_VERB_wait:
		return life_wait(c, t->source, e);
	case IPC_VERB_exit:
		return life_exit(c, t->process, e);
	case IPC_VERB_exec:
		return life_exec(c, t, e);
	default:
		return NULL;
	}
}

/* A new object, whatever the number stood for before. */
static bool makes(const struct channel *ch, const struct ipc_event *e)
{
	switch (e->call) {
	case IPC_CALL_pipe:
	case IPC_CALL_pipe2:
		return !(e->flags & IPC_F_PART);
	case IPC_CALL_socket:
	case IPC_CALL_socketpair:
	case IPC_CALL_accept:
	case IPC_CALL_accept4:
	case IPC_CALL_eventfd:
	case IPC_CALL_eventfd2:
	case IPC_CALL_io_uring_setup:
		return true;
	case IPC_CALL_pidfd_open:
	case IPC_CALL_clone_pidfd:
		return wake_is_stale(ch);
	case IPC_CALL_shmget:
	case IPC_CALL_msgget:
	case IPC_CALL_semget:
	case IPC_CALL_semop:
	case IPC_CALL_semtimedop:
	case IPC_CALL_semctl_setval:
	case IPC_CALL_semctl_setall:
		return ch->closed_ns && e->start >= ch->closed_ns;
	default:
		return pty_makes(ch, e);
	}
}

static struct channel *find_channel(struct collector *c, struct thread *t, const struct ipc_event *e,
				    uint8_t verb)
{
	unsigned int mechanism = ipc_object_mechanism(e->object);
	if (verb == IPC_VERB_wait && ipc_calls[e->call].object != IPC_OBJ_CHILD)
		return wait_channel(c, t->process, e);
	if (mechanism == IPC_MECH_process || mechanism == IPC_MECH_none)
		return process_channel(c, t, e, verb);
	if (mechanism == IPC_MECH_signal)
		return signal_channel(c, t->process, e->object, verb == IPC_VERB_send);
	if (mechanism == IPC_MECH_process_vm)
		return process_vm_channel(c, t->process, e);
	if (mechanism == IPC_MECH_fd_passing)
		return passing_channel(c, t, e);
	struct channel *ch = channel_of(c, e->object);
	if (ch && ch->created && e->result >= 0 && makes(ch, e))
		ch = channel_renew(c, ch, e->object);
	if (ch && ch->socket)
		ch = socket_event(c, t, ch, e, verb);
	return ch;
}

static struct place find_place(struct collector *c, struct thread *t, const struct ipc_event *e)
{
	struct place p = { .verb = verb_of(e) };
	struct channel *ch = find_channel(c, t, e, p.verb);
	if (ch)
		p.endpoint = endpoint_of(c, t->process, ch);
	p.lane = lane_of(c, t, e, &p);
	return p;
}

static struct cached_lane *cache_slot(struct thread *t, const struct ipc_event *e)
{
	if (!t->cache && !(t->cache = calloc(CACHED_LANES, sizeof(*t->cache))))
		return NULL;
	return &t->cache[table_mix(e->object ^ e->arg0 << 7 ^ (uint64_t)e->call << 48) % CACHED_LANES];
}

/* Like find_place(), by the thread's cache where sends and receives are concerned. */
static struct place cached_place(struct collector *c, struct thread *t, const struct ipc_event *e)
{
	struct cached_lane *slot = cache_slot(t, e);
	if (slot && slot->object == e->object && slot->arg0 == e->arg0 && slot->call == e->call &&
	    slot->flags == e->flags && slot->epoch == c->epoch && slot->lane)
		return (struct place){ slot->endpoint, slot->lane, slot->verb };
	struct place p = find_place(c, t, e);
	if (slot && p.endpoint &&
	    (p.endpoint->channel->is_stream || p.endpoint->channel->is_queue ||
	     p.endpoint->channel->counts) &&
	    (p.verb == IPC_VERB_send || p.verb == IPC_VERB_recv))
		*slot = (struct cached_lane){ e->object, e->arg0, e->call,    e->flags,
					      c->epoch,	 p.lane,  p.endpoint, p.verb };
	return p;
}

/* A descriptor's number is no bytes, nor is what a counter has. */
static uint64_t bytes_of(const struct channel *ch, const struct ipc_event *e)
{
	bool none = ch->counts || ch->data.mechanism == IPC_MECH_fd_passing ||
		    ch->data.mechanism == IPC_MECH_timerfd;
	return none ? 0 : (uint64_t)e->result;
}

static struct match_call match_call_of(const struct thread *t, const struct ipc_event *e, struct endpoint *ep,
				       uint64_t event)
{
	uint64_t moved = ep->channel->counts ? e->arg1 : bytes_of(ep->channel, e);
	return (struct match_call){ e->start, order_end(e), moved, event, ep, t->data.id };
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
static void send_inside(struct collector *c, struct thread *t, const struct ipc_event *e,
			const struct place *p)
{
	struct inside *inside = collector_new(c, sizeof(*inside));
	if (!inside)
		return;
	inside->row = (struct store_event){ e->start, e->duration, p->lane, 0 };
	p->endpoint->channel->killed = true;
	collector_lose(c, t->source, IPC_REASON_killed, t->process, t->process->data.comm, 1, order_end(e));
	check_party(p->endpoint->channel, &p->endpoint->channel->stream, p->endpoint, true);
	struct match_call call = match_call_of(t, e, p->endpoint, (uint64_t)(uintptr_t)inside);
	match_unfinished(&p->endpoint->channel->stream, &call);
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
	ep->channel->sent += units(ep->channel, e, bytes);
	ep->channel->shared->data.bytes_sent += bytes;
}

static void count_receive(struct endpoint *ep, const struct ipc_event *e, uint64_t bytes)
{
	struct store_endpoint *row = &ep->shared->data;
	struct channel *from = ep->channel->peer;
	row->receives++;
	row->bytes_received += bytes;
	ep->channel->shared->data.bytes_received += bytes;
	if (!from)
		return;
	from->received += units(from, e, bytes);
	from->receivers += !ep->received;
	ep->received = true;
}

/* Whether a half whose peer is not known keeps what it sends: all of it while the peer may be about to be
 * known. */
static bool keeps_send(struct channel *ch, const struct ipc_event *e)
{
	bool young = e->start < ch->shared->data.first_ns + JOIN_PATIENCE_NS;
	bool soon = ch->known_there || young;
	ch->stream.had_reader |= soon;
	return ch->stream.sends.count < (soon ? SENDS_UNJOINED_SOON : SENDS_UNJOINED);
}

/* Into the stream, or out of it. */
static void match(struct collector *c, struct thread *t, const struct ipc_event *e, struct endpoint *ep,
		  bool sends, bool late, uint64_t event)
{
	struct channel *ch = ep->channel;
	if (!ch->peer && !sends) {
		ch->early = true;
		return;
	}
	if (sends && ch->socket && !(ch->peer && ch->peer->endpoints) && !keeps_send(ch, e)) {
		ch->early = ch->stream.doubtful = true;
		return;
	}
	struct match_stream *st = sends ? &ch->stream : &ch->peer->stream;
	struct match_call call = match_call_of(t, e, ep, event);
	if (ch->pty && pty_transfer(c, e, &call, sends))
		return;
	check_party(ch, st, ep, sends);
	if (late)
		check_late(c, t, st, e);
	if (e->flags & IPC_F_OOB)
		st->doubtful = true; /* urgent data is not in its place */
	if (!call.bytes) {
		if (!sends)
			match_doubt(st); /* the value is not told */
		return;
	}
	if (sends)
		match_send(st, &call);
	else
		match_receive(st, &call);
}

/* A send or receive that moved something. */
static void moved(struct collector *c, struct thread *t, const struct ipc_event *e, const struct place *p,
		  bool late)
{
	struct endpoint *ep = p->endpoint;
	struct channel *ch = ep->channel;
	bool sends = p->verb == IPC_VERB_send, packets = (ch->socket && !ch->is_stream) || ch->is_queue;
	bool passes = ch->data.mechanism == IPC_MECH_fd_passing;
	bool futex = ch->data.mechanism == IPC_MECH_futex;
	uint64_t bytes = bytes_of(ch, e);
	struct store_event row = { e->start, e->duration, p->lane, (int64_t)bytes };
	bool linkable = ch->is_stream || ch->is_lock || packets || passes || futex;
	uint64_t event = store_event(c->store, &row, sends && linkable);
	if (sends)
		count_send(ep, e, bytes);
	else
		count_receive(ep, e, bytes);
	struct match_call call = match_call_of(t, e, ep, event);
	if (futex)
		futex_transfer(c, &call, sends);
	else if (ch->is_stream)
		match(c, t, e, ep, sends, late, event);
	else if (ch->data.mechanism == IPC_MECH_file_lock)
		lock_operation(c, e, &call, sends);
	else if (ch->data.mechanism == IPC_MECH_process_vm)
		process_vm_transfer(c, ep, e, &call, sends);
	else if (passes)
		passing_transfer(c, t, e, &call, sends);
	else if (packets)
		(ch->is_queue ? queue_transfer : packet_transfer)(c, e, &call, sends);
}

static bool moves(const struct ipc_event *e, const struct place *p)
{
	if (e->flags & IPC_F_PEEK)
		return false;
	const struct channel *ch = p->endpoint->channel;
	if (ch->is_lock)
		return e->result == 0 && !(e->flags & IPC_F_INSIDE);
	if (ch->data.mechanism == IPC_MECH_sysv_sem)
		return e->result == 0 && e->arg1 && !(e->flags & IPC_F_INSIDE);
	if (ch->data.mechanism == IPC_MECH_futex)
		return e->result >= 0 && e->arg1 && !(e->flags & IPC_F_INSIDE);
	if (ch->data.mechanism == IPC_MECH_fd_passing)
		return e->result >= 0;
	if (e->result == 0 && ch->is_queue)
		return !(e->flags & IPC_F_INSIDE);
	if (e->result == 0 && ch->socket && !ch->is_stream)
		return packet_is_message(ch, e);
	return e->result > 0;
}

static void transfer(struct collector *c, struct thread *t, const struct ipc_event *e, const struct place *p,
		     bool late)
{
	bool sends = p->verb == IPC_VERB_send;
	endpoint_role(c, p->endpoint, sends ? ROLE_WRITER : ROLE_READER);
	if (p->endpoint->channel->socket)
		passing_carried(c, t, p->endpoint->channel);
	if (p->endpoint->channel->data.mechanism == IPC_MECH_sysv_sem)
		sem_operation(c, p->endpoint, e);
	if (moves(e, p)) {
		moved(c, t, e, p, late);
	} else if (sends && e->flags & IPC_F_INSIDE && p->endpoint->channel->is_stream) {
		send_inside(c, t, e, p);
	} else {
		struct store_event row = { e->start, e->duration, p->lane, e->result < 0 ? e->result : 0 };
		uint64_t event = store_event(c->store, &row, false);
		struct match_call call = match_call_of(t, e, p->endpoint, event);
		if (p->endpoint->channel->data.mechanism == IPC_MECH_file_lock)
			lock_operation(c, e, &call, sends);
	}
}

/* A counter that does not begin at 0: its maker posted that. */
static bool is_first_value(const struct ipc_event *e, const struct place *p)
{
	return (e->call == IPC_CALL_eventfd || e->call == IPC_CALL_eventfd2) && e->result >= 0 &&
	       p->endpoint && p->endpoint->channel->counts && e->arg1;
}

/* Every other event: on a process, or on a descriptor. */
static void effect(struct collector *c, struct thread *t, const struct ipc_event *e, const struct place *p)
{
	struct store_event row = { e->start, e->duration, p->lane, e->result < 0 ? e->result : 0 };
	bool first = is_first_value(e, p);
	bool links = p->verb == IPC_VERB_spawn || p->verb == IPC_VERB_exit || first;
	uint64_t event = store_event(c->store, &row, links && p->endpoint);
	if (e->call == IPC_CALL_futex_moved && p->endpoint)
		futex_moved(c, p->endpoint->channel, e->arg1);
	if (e->call == IPC_CALL_exit)
		thread_end(c, t, order_end(e));
	if (!p->endpoint || p->endpoint->channel->data.mechanism == IPC_MECH_signal)
		return;
	if (p->endpoint->channel->data.mechanism == IPC_MECH_process)
		life_stored(c, p->endpoint, e, p->verb, event);
	else if (p->endpoint->channel->data.mechanism == IPC_MECH_sysv_msg)
		queue_control(c, p->endpoint->channel, e);
	else if (p->endpoint->channel->data.mechanism == IPC_MECH_sysv_sem)
		sem_control(c, p->endpoint->channel, e);
	else if (p->endpoint->channel->data.mechanism == IPC_MECH_file_lock)
		lock_control(c, p->endpoint, e);
	else if (sync_is(p->endpoint->channel->data.mechanism))
		sync_control(c, e, p->endpoint);
	else if (p->endpoint->channel->data.mechanism == IPC_MECH_pidfd && p->verb == IPC_VERB_wait &&
		 e->result > 0)
		wake_ended(c, p->endpoint, e, event);
	else if (p->endpoint->channel->pty && p->verb == IPC_VERB_control)
		pty_control(c, p->endpoint->channel, e);
	else if (region_is(p->endpoint->channel->data.mechanism))
		region_event(c, p->endpoint, e, p->verb);
	else if (p->verb == IPC_VERB_open && e->result >= 0)
		fd_open(c, t->process, p->endpoint, e);
	else if (p->verb == IPC_VERB_close && e->result != -EBADF)
		fd_close(c, t->process, (uint32_t)e->arg0, order_end(e));
	if (first) {
		endpoint_role(c, p->endpoint, ROLE_WRITER);
		p->endpoint->channel->sent += e->arg1;
		match(c, t, e, p->endpoint, true, false, event);
	}
}

void event_handle(struct collector *c, struct thread *t, const struct ipc_event *e, bool late)
{
	if (!makes_sense(e)) {
		collector_lose(c, t->source, IPC_REASON_rejected, NULL, NULL, 1, e->start);
		return;
	}
	join_note(c, t, e);
	if (wait_register(c, t->process, e))
		return;
	struct place p = cached_place(c, t, e);
	if (!p.lane)
		return;
	if (p.endpoint)
		endpoint_seen(c, p.endpoint, e->start, order_end(e));
	bool transfers = p.verb == IPC_VERB_send || p.verb == IPC_VERB_recv;
	if (transfers && ipc_object_mechanism(e->object) == IPC_MECH_signal) {
		signal_event(c, t, e, p.endpoint, p.lane, p.verb == IPC_VERB_send);
		return;
	}
	if (transfers && sync_is(ipc_object_mechanism(e->object))) {
		if (p.endpoint)
			sync_event(c, e, p.endpoint, p.lane);
		return;
	}
	if (transfers && p.endpoint)
		transfer(c, t, e, &p, late);
	else
		effect(c, t, e, &p);
}
