// SPDX-License-Identifier: BSD-2-Clause
/* What a parser notes becomes rows of `protocol_messages` (way.h): which events moved it, and which call a
 * reply answers. */
#include <stdlib.h>
#include <string.h>

#include "way.h"

enum { TEXTS = 8 };

/* Any bytes, as a text: cut between two characters. */
static const char *text_of(const struct proto_text *t, char out[PROTO_TEXT_MAX + 1])
{
	size_t n = t->size;
	if (!t->at)
		return NULL;
	if (n > PROTO_TEXT_MAX)
		for (n = PROTO_TEXT_MAX; n && ((unsigned char)t->at[n] & 0xc0) == 0x80;)
			n--;
	memcpy(out, t->at, n);
	out[n] = '\0';
	for (char *nul = memchr(out, '\0', n); nul; nul = memchr(nul, '\0', n - (size_t)(nul - out)))
		*nul = '?';
	return out;
}

static const struct mark *mark_at(const struct way *w, uint64_t offset)
{
	if (offset >= w->now.offset || !w->mark_count)
		return &w->now;
	uint32_t i = w->mark_count;
	while (i > 1 && w->marks[i - 1].offset > offset)
		i--;
	return &w->marks[i - 1];
}

void way_end_message(struct collector *c, struct way *w, uint64_t end)
{
	struct open_message *m = &w->open;
	if (m->row)
		store_protocol_end(c->store, m->row, m->last_event, end > m->start ? end - m->start : 0);
	m->row = 0;
}

/* What the note of a datagram leaves out is in none of its bytes that were told. */
static void whole_datagram(struct store_protocol *row, const struct way *w, uint64_t told)
{
	uint64_t moved = w->window.moved - w->now.offset;
	if (row->bytes && row->bytes != told)
		return;
	row->bytes = moved;
	row->body += moved - told;
}

void way_lose(struct collector *c, const struct way *w, enum ipc_reason reason, uint64_t count)
{
	const struct process *p = w->endpoint->process;
	collector_lose(c, p->source, reason, p, p->data.comm, count, w->now.end);
}

static void answer_early(struct way *w, uint64_t reply, uint64_t call)
{
	for (uint32_t i = 0; w->early && i < EARLY_MAX; i++)
		if (w->early[i].row == reply)
			w->early[i].call = call;
}

/* Returns the row of a reply's call, 0: not known (yet). */
static uint64_t join(struct collector *c, struct way *w, const struct proto_note *note, uint64_t row)
{
	struct way *other = (struct way *)w->window.side.other;
	const struct mark *first = mark_at(w, w->window.at + note->offset);
	const struct reply_item item = { row, note->id, first->start, first->end, note->numbered };
	if (way_is_only(w->endpoint->channel))
		return 0;
	if (note->kind == PROTO_REPLY)
		return reply_reply(&other->calls, &item);
	uint64_t reply = note->kind == PROTO_CALL ? reply_call(&w->calls, &item) : 0;
	if (reply) {
		store_protocol_call(c->store, reply, row);
		answer_early(other, reply, row);
	}
	if (w->calls.forgotten)
		way_lose(c, w, IPC_REASON_unjoined, w->calls.forgotten);
	w->calls.forgotten = 0;
	return 0;
}

static void be_early(struct way *w, const struct proto_note *note, const struct store_protocol *row)
{
	if (!w->early)
		w->early = calloc(EARLY_MAX, sizeof(*w->early));
	if (w->early)
		w->early[w->earlies++ % EARLY_MAX] =
			(struct early){ row->id, row->call, note->id, note->kind };
}

/* The row that it has already; NULL: none. */
static struct early *early_of(const struct way *w, const struct proto_note *note)
{
	for (uint32_t i = 0; w->early && i < EARLY_MAX; i++)
		if (w->early[i].row && w->early[i].number == note->id && w->early[i].kind == note->kind)
			return &w->early[i];
	return NULL;
}

/* Gives the message its number, and a reply its call. */
static void identify(struct collector *c, struct way *w, const struct proto_note *note,
		     struct store_protocol *row)
{
	bool datagram = !w->window.side.conversation->stream;
	struct early *early = datagram && w->sent ? early_of(w, note) : NULL;
	if (early) {
		row->id = early->row;
		row->call = early->call;
		early->row = 0;
		return;
	}
	row->id = ++c->talks.rows;
	row->call = join(c, w, note, row->id);
	if (datagram && !w->sent)
		be_early(w, note, row);
}

/* What is known of a message further to its texts. */
static struct store_protocol row_of(const struct way *w, const struct proto_note *note)
{
	static const char *const kinds[PROTO_KINDS] = { "call", "reply", "oneway", "signal" };
	uint64_t start = w->window.at + note->offset;
	const struct mark *first = mark_at(w, start);
	struct store_protocol row = {
		.protocol = w->window.side.conversation->protocol,
		.kind = kinds[note->kind],
		.channel_id = w->endpoint->channel->shared->data.id,
		.process_id = first->process,
		.sent = w->sent,
		.first_event = first->event,
		.offset = start,
		.bytes = note->bytes,
		.body = note->body,
		.numbered = note->numbered,
		.number = note->id,
		.serial = note->serial,
		.failed = note->failed,
		.fds = note->fds,
		.trace_id = note->traced ? note->trace_id : NULL,
		.parent_id = note->traced ? note->parent_id : NULL,
		.exact = !w->gap && start >= w->doubt_until && !note->doubtful,
	};
	if (!w->window.side.conversation->stream)
		whole_datagram(&row, w, w->told);
	return row;
}

/* The message begins at `start`, and ends at `end`, 0: where the next one begins. */
static void place(struct collector *c, struct way *w, struct store_protocol *row)
{
	uint64_t start = row->offset, end = row->bytes ? start + row->bytes : 0;
	bool whole = end && end <= w->window.moved;
	if (start > w->now.offset)
		w->open.last_event = w->now.event;
	way_end_message(c, w, start);
	row->last_event = whole ? mark_at(w, end - 1)->event : w->now.event;
	if (!whole)
		w->open = (struct open_message){ row->id, start, end, w->now.event };
}

void way_noted(struct proto_side *side, const struct proto_note *note)
{
	struct way *w = side->context;
	struct talk *t = w->talk;
	struct collector *c = w->endpoint->channel->collector;
	char texts[TEXTS][PROTO_TEXT_MAX + 1];
	struct store_protocol row = row_of(w, note);
	row.name = text_of(&note->name, texts[0]);
	row.status = text_of(&note->status, texts[1]);
	row.sender = text_of(&note->sender, texts[2]);
	row.destination = text_of(&note->destination, texts[3]);
	row.path = text_of(&note->path, texts[4]);
	row.interface = text_of(&note->interface, texts[5]);
	row.member = text_of(&note->member, texts[6]);
	row.signature = text_of(&note->signature, texts[7]);
	identify(c, w, note, &row);
	place(c, w, &row);
	store_protocol(c->store, &row);
	w->gap = false;
	t->bad = 0;
	if (!t->first_row)
		t->first_row = row.id;
}
