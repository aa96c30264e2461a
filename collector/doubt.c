// SPDX-License-Identifier: BSD-2-Clause
/*
 * Taking back what a call contradicts that ended after it was decided (match.h). A window holds the latest
 * messages, oldest first; `max_end` of each is the latest end in it so far, so that a walk from the newest
 * back knows when to stop.
 */
#include <stdlib.h>
#include <string.h>

#include "stream.h"

bool ring_grow(struct match_ring *r, size_t size)
{
	uint32_t room = r->room ? r->room * 2 : 8;
	char *items = malloc(size * room);
	if (!items)
		return false;
	for (uint32_t i = 0; i < r->count; i++)
		memcpy(items + size * i, ring_at(r, size, i), size);
	free(r->items);
	*r = (struct match_ring){ .items = items, .count = r->count, .room = room };
	return true;
}

/* With one share of a send all are doubtful: what it has too much another has too little. */
static void lose_certainty(struct match_stream *st, uint32_t i)
{
	uint64_t event = past_at(st, i)->message.send_event;
	while (i && past_at(st, i - 1)->message.send_event == event)
		i--;
	for (; i < st->window.count && past_at(st, i)->message.send_event == event; i++) {
		struct past *p = past_at(st, i);
		if (!p->message.exact)
			continue;
		p->message.exact = false;
		st->sink->doubt(st->context, &p->message, p->handle);
	}
}

void doubt_sends(struct match_stream *st, uint64_t end, uint32_t thread)
{
	for (uint32_t i = st->window.count; i-- > 0;) {
		struct past *p = past_at(st, i);
		if (p->max_end <= end)
			break;
		if (p->send_end > end && p->message.src_thread != thread)
			lose_certainty(st, i);
	}
}

void doubt_receives(struct match_stream *st, uint64_t end, uint32_t thread)
{
	for (uint32_t i = 0; i < st->sends.count && send_at(st, i)->start <= st->sent_start; i++)
		for (struct match_share *s = &send_at(st, i)->share; s; s = s->next)
			if (s->dst && s->end > end && s->thread != thread)
				s->exact = false;
	for (uint32_t i = st->window.count; i-- > 0;) {
		struct past *p = past_at(st, i);
		if (p->max_end <= end)
			break;
		if (p->message.received > end && p->dst_thread != thread)
			lose_certainty(st, i);
	}
}

void doubt_cuts(struct match_stream *st, uint64_t start)
{
	uint64_t reach = start, valid = 0;
	for (uint32_t i = 0; i < st->sends.count && send_at(st, i)->start <= st->sent_start; i++)
		for (struct match_share *s = &send_at(st, i)->share; s; s = s->next)
			if (s->dst && s->end > start && s->start < reach)
				reach = s->start;
	for (uint32_t i = st->window.count; i-- > 0 && !valid;) {
		struct past *p = past_at(st, i);
		if (p->message.received > start && p->recv_start < reach)
			reach = p->recv_start;
		if (p->cut <= start)
			valid = p->cut;
	}
	if (st->cut > start)
		st->cut = valid;
	struct receive *current = st->receives.count && receive_at(st, 0)->placed ? receive_at(st, 0) : NULL;
	if (!st->received.other_end && (!current || current->thread == st->received.thread))
		return; /* one thread receives: its order is certain */
	if (current)
		current->doubt = true;
	doubt_receives(st, reach > valid ? reach : valid, 0);
}

void doubt_remember(struct match_stream *st, struct past p)
{
	if (p.message.sent >= st->one_writer && p.recv_start >= st->one_reader)
		return; /* nothing can contradict it */
	if (st->window.count == MATCH_WINDOW)
		ring_drop(&st->window);
	if (!ring_add(&st->window, sizeof(struct past)))
		return;
	uint32_t last = st->window.count - 1;
	p.max_end = p.send_end > p.message.received ? p.send_end : p.message.received;
	if (last && past_at(st, last - 1)->max_end > p.max_end)
		p.max_end = past_at(st, last - 1)->max_end;
	*past_at(st, last) = p;
}
