// SPDX-License-Identifier: BSD-2-Clause
/*
 * See talk.h. The offsets of a way are those of the channel's own count of what its halves sent and what was
 * received of it: whatever was dropped or had no payload, the place of each event is known.
 */
#include "talk.h"

#include <stdlib.h>
#include <string.h>

#include "socket.h"
#include "way.h"

enum {
	TALKS_MAX = 1 << 16, /* beyond it the one that was used least lately is forgotten */
	KEPT_MAX = 64 << 20, /* bytes that wait in all windows */
	MARKS_MAX = 256,     /* events whose bytes wait in a window */
	BAD_MAX = 64,	     /* so often in a row not understood: it is no talk of this protocol */
	MISSED = IPC_RECOGNISE_TRIES + 1, /* tries, where the source still tells: it knows what this is */
};

/* Which way. */

static bool can_talk(const struct channel *ch)
{
	unsigned int m = ch->data.mechanism;
	return m == IPC_MECH_pipe || m == IPC_MECH_fifo || (m >= IPC_MECH_unix_stream && m <= IPC_MECH_udp);
}

/* The half that sends what was received from `ch`; NULL: not known. */
static struct channel *sender_of(struct channel *ch)
{
	return way_is_only(ch) ? ch : ch->peer;
}

static bool can_send(const struct endpoint *ep)
{
	return ep->open_writers || ep->client;
}

/* Whoever sends from there is in the trace: each send of theirs comes as an event, sooner or later. */
static bool is_told(const struct channel *from)
{
	bool traced = from->loose;
	for (const struct endpoint *ep = from->endpoints; ep; ep = ep->next_of_channel) {
		if (can_send(ep) && ep->process->untraced)
			return false;
		traced |= can_send(ep);
	}
	return traced && from->endpoints;
}

static bool is_told_datagram(const struct collector *c, const struct act *a)
{
	const struct channel *ch = a->endpoint->channel, *to;
	if (socket_is_inside(ch))
		return true;
	to = ch->other ? socket_bound(c, ch, ch->other, a->event->start) : NULL;
	return to && to->endpoints;
}

/* Whether the event is the one to read these bytes by. */
static bool is_read(const struct collector *c, const struct act *a)
{
	struct channel *ch = a->endpoint->channel, *from = sender_of(ch);
	if (a->sends)
		return true;
	if (ch->data.mechanism == IPC_MECH_udp)
		return !is_told_datagram(c, a);
	return !from || (!is_told(from) && (!ch->is_stream || from->received > from->sent));
}

/* The offset of the event's first byte, as far as it is known. */
static uint64_t offset_of(const struct act *a, const struct way *w, uint64_t moved)
{
	struct channel *ch = a->endpoint->channel;
	const struct channel *from = a->sends ? ch : sender_of(ch);
	if (!from || !ch->is_stream)
		return w->window.moved;
	return (a->sends ? from->sent : from->received) - moved;
}

/* From the first to the last. */

static void begin_way(struct talk *t, struct way *w)
{
	w->talk = t;
	w->window.side = (struct proto_side){
		.conversation = &t->conversation,
		.other = &t->ways[w == t->ways].window.side,
		.noted = way_noted,
		.context = w,
	};
}

static void close_way(struct collector *c, struct way *w)
{
	c->talks.kept -= w->window.have;
	way_end_message(c, w, w->open.end ? w->open.end : w->window.moved);
	window_lose(&w->window);
	free(w->marks);
	free(w->early);
	reply_free(&w->calls);
}

static void close_talk(struct collector *c, struct talk *t)
{
	const struct protocol *p = protocols[t->conversation.protocol];
	for (unsigned int i = 0; i < 2; i++) {
		close_way(c, &t->ways[i]);
		if (t->halves[i])
			t->halves[i]->talk = NULL;
	}
	if (p->close)
		p->close(&t->conversation);
	TAILQ_REMOVE(&c->talks.list, t, used);
	c->talks.count--;
	free(t);
}

static void attach(struct talk *t, struct channel *ch, unsigned int way)
{
	ch->talk = t;
	ch->way = way;
	t->halves[way] = ch;
}

static struct talk *begin(struct collector *c, struct channel *ch, enum ipc_protocol protocol)
{
	struct talk *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	if (!c->talks.count++)
		TAILQ_INIT(&c->talks.list);
	t->conversation.protocol = protocol;
	t->conversation.stream = ch->is_stream;
	begin_way(t, &t->ways[0]);
	begin_way(t, &t->ways[1]);
	attach(t, ch, 0);
	TAILQ_INSERT_TAIL(&c->talks.list, t, used);
	if (c->talks.count > TALKS_MAX)
		close_talk(c, TAILQ_FIRST(&c->talks.list)); /* its next message is looked at anew */
	return t;
}

/* The talk of the event's half: that of its peer, or a new one if a message begins like a protocol. */
static struct talk *talk_of(struct collector *c, const struct act *a)
{
	struct channel *ch = a->endpoint->channel, *peer = ch->peer;
	const struct payload *p = a->payload;
	uint8_t *tries = &ch->tries[a->sends];
	if (ch->talk)
		return ch->talk;
	if (peer && peer != ch && peer->talk && !peer->talk->halves[!peer->way]) {
		attach(peer->talk, ch, !peer->way);
		return ch->talk;
	}
	if (!p || *tries == IPC_RECOGNISE_TRIES || !is_read(c, a))
		return NULL;
	if (*tries < IPC_RECOGNISE_TRIES)
		++*tries;
	size_t size = payload_head(p) < IPC_RECOGNISE_BYTES ? payload_head(p) : IPC_RECOGNISE_BYTES;
	enum ipc_protocol protocol = ipc_recognise(p->bytes, size, ch->is_stream);
	return protocol == IPC_PROTO_none ? NULL : begin(c, ch, protocol);
}

/* Events. */

/* Some of what went this way until `until`, calls or replies, is not known. */
static void lose(struct way *w, uint64_t until)
{
	w->gap = true;
	reply_lose(&w->calls, 0);
	reply_lose(&((struct way *)w->window.side.other)->calls, until);
}

/* The event is not where the way had come to: others between are missing. */
static void go_to(struct collector *c, struct way *w, uint64_t offset, uint64_t start)
{
	if (w->window.moved == offset)
		return;
	if (w->window.side.begun)
		lose(w, start);
	c->talks.kept -= w->window.have;
	w->window.moved = offset;
	window_lose(&w->window);
}

/* What overlapped in time may have gone in another order. */
static void check_order(struct way *w, const struct act *a, uint64_t moved)
{
	uint64_t end = order_end(a->event);
	if (a->event->start < w->last_end && a->call.thread != w->last_thread && w->talk->conversation.stream)
		w->doubt_until = w->now.offset + moved;
	if (end < w->last_end)
		return;
	w->last_end = end;
	w->last_thread = a->call.thread;
}

/* The event's bytes wait with those in front of it, or nothing waits. */
static void keep_mark(struct way *w)
{
	if (!w->window.have) {
		free(w->marks);
		w->marks = NULL;
		w->mark_count = w->mark_room = 0;
		return;
	}
	if (w->mark_count == w->mark_room) {
		uint32_t room = w->mark_room ? w->mark_room * 2 : 2;
		struct mark *marks = room <= MARKS_MAX ? realloc(w->marks, room * sizeof(*marks)) : NULL;
		if (!marks)
			return; /* its bytes are the last mark's then */
		w->marks = marks;
		w->mark_room = room;
	}
	w->marks[w->mark_count++] = w->now;
}

static void feed(struct collector *c, struct way *w, const struct payload *p, uint64_t moved)
{
	uint64_t end = w->now.offset + moved, kept = w->window.have;
	if (w->open.row && w->open.end && w->open.end <= end) {
		w->open.last_event = w->now.event;
		way_end_message(c, w, w->open.end);
	}
	bool lost = window_feed(&w->window, moved, p ? p->bytes : NULL, p ? p->size : 0, p ? p->tail : 0);
	uint32_t unknown = w->window.side.unknown;
	w->window.side.unknown = 0;
	c->talks.kept += w->window.have - kept;
	if (!lost && c->talks.kept > KEPT_MAX) {
		c->talks.kept -= w->window.have;
		window_lose(&w->window);
		lost = true;
	}
	if (lost || unknown)
		way_lose(c, w, IPC_REASON_unparsed, lost + unknown);
	if (w->window.side.middle || unknown)
		lose(w, w->now.end);
	w->talk->bad = lost ? w->talk->bad + 1 : w->talk->bad;
	w->open.last_event = w->now.event;
	keep_mark(w);
}

/* The other side has its turn: what went on until its next message is over. */
static void take_turn(struct collector *c, struct way *w)
{
	if (w->open.row && !w->open.end)
		way_end_message(c, w, w->window.moved);
}

static void read_event(struct collector *c, struct talk *t, struct way *w, const struct act *a)
{
	const struct payload *p = a->payload;
	uint64_t moved = (uint64_t)a->event->result;
	w->endpoint = a->endpoint;
	w->sent = a->sends;
	w->told = p ? payload_head(p) < moved ? payload_head(p) : moved : 0;
	go_to(c, w, offset_of(a, w, moved), a->event->start);
	w->now = (struct mark){ w->window.moved, a->call.event, a->event->start, order_end(a->event),
				a->endpoint->process->data.id };
	check_order(w, a, moved);
	take_turn(c, &t->ways[w == t->ways]);
	feed(c, w, p, moved);
	TAILQ_REMOVE(&c->talks.list, t, used);
	TAILQ_INSERT_TAIL(&c->talks.list, t, used);
}

/* It is no talk of this protocol, and none of another one. */
static void give_up(struct collector *c, struct talk *t)
{
	for (unsigned int i = 0; i < 2; i++)
		if (t->halves[i])
			memset(t->halves[i]->tries, IPC_RECOGNISE_TRIES, sizeof(t->halves[i]->tries));
	close_talk(c, t);
}

/* Of a channel whose first messages are still looked at it may be nothing that is missed. */
static void miss(struct collector *c, const struct act *a)
{
	const struct process *p = a->thread->process;
	struct channel *ch = a->endpoint->channel;
	uint8_t *tries = &ch->tries[a->sends];
	if (!ch->talk && !c->capture && *tries < IPC_RECOGNISE_TRIES) {
		++*tries;
		return;
	}
	if (!c->capture)
		*tries = MISSED;
	collector_lose(c, a->thread->source, IPC_REASON_payload_dropped, p, p->data.comm, 1, a->event->start);
}

void talk_moved(struct collector *c, const struct act *a)
{
	struct channel *ch = a->endpoint->channel;
	if (a->unread)
		miss(c, a);
	if (a->payload && c->capture)
		store_payload(c->store, a->call.event, a->payload->bytes,
			      payload_head(a->payload) < c->capture ? payload_head(a->payload) : c->capture);
	if (c->no_protocols || !can_talk(ch))
		return;
	struct talk *t = talk_of(c, a);
	if (!t || !is_read(c, a))
		return;
	read_event(c, t, &t->ways[ch->way ^ (!a->sends && !way_is_only(ch))], a);
	if (t->bad > BAD_MAX)
		give_up(c, t);
}

void talk_end(struct collector *c, struct channel *ch)
{
	struct talk *t = ch->talk;
	memset(ch->tries, 0, sizeof(ch->tries));
	if (!t)
		return;
	ch->talk = NULL;
	t->halves[ch->way] = NULL;
	if (!t->halves[!ch->way])
		close_talk(c, t);
}

void talk_merge(struct collector *c, const struct channel *keep, const struct channel *gone)
{
	for (const struct channel *h = gone->halves; h; h = h->next_half)
		if (h->talk && h->talk->first_row)
			store_protocol_channel(c->store, gone->data.id, keep->data.id, h->talk->first_row);
}
