// SPDX-License-Identifier: BSD-2-Clause
/* See reply.h. */
#include "reply.h"

#include <stdlib.h>
#include <string.h>

static void take_out(struct reply_list *l, uint32_t i)
{
	l->count--;
	memmove(&l->items[i], &l->items[i + 1], (l->count - i) * sizeof(*l->items));
}

/* The oldest with this number, or of those without one; `count` of the list: none. */
static uint32_t find(const struct reply_list *l, const struct reply_item *of)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (l->items[i].numbered == of->numbered &&
		    (!of->numbered || l->items[i].number == of->number))
			return i;
	return l->count;
}

/* Returns whether an older one had to go. */
static bool add(struct reply_list *l, const struct reply_item *item)
{
	bool full = l->count == REPLY_WAITING_MAX;

	if (full)
		take_out(l, 0);
	if (l->count == l->room) {
		uint32_t room = l->room ? l->room * 2 : 4;
		struct reply_item *items = realloc(l->items, room * sizeof(*items));
		if (!items)
			return true;
		l->items = items;
		l->room = room;
	}
	l->items[l->count++] = *item;
	return full;
}

/* A reply that was sent before the call began is none of it. */
static void drop_earlier(struct reply_list *replies, uint64_t start)
{
	for (uint32_t i = 0; i < replies->count;)
		if (replies->items[i].end < start)
			take_out(replies, i);
		else
			i++;
}

uint64_t reply_call(struct reply_queue *q, const struct reply_item *call)
{
	drop_earlier(&q->replies, call->start);
	if (!call->numbered && call->start < q->lost)
		return 0; /* its reply may be one of those */
	uint32_t i = find(&q->replies, call);
	if (i == q->replies.count) {
		/* A number that is used again: the earlier call is over. */
		uint32_t old = call->numbered ? find(&q->calls, call) : q->calls.count;
		if (old < q->calls.count)
			take_out(&q->calls, old);
		q->forgotten += add(&q->calls, call);
		return 0;
	}
	uint64_t row = q->replies.items[i].row;
	take_out(&q->replies, i);
	return row;
}

uint64_t reply_reply(struct reply_queue *q, const struct reply_item *reply)
{
	uint32_t i = find(&q->calls, reply);
	if (i == q->calls.count) {
		add(&q->replies, reply);
		return 0;
	}
	uint64_t row = q->calls.items[i].row;
	take_out(&q->calls, i);
	return row;
}

/* Replies that wait stay: their calls, sent before them, may be told yet. */
void reply_lose(struct reply_queue *q, uint64_t until)
{
	struct reply_list *l = &q->calls;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < l->count; i++)
		if (l->items[i].numbered)
			l->items[kept++] = l->items[i];
	l->count = kept;
	if (until > q->lost)
		q->lost = until;
}

void reply_free(struct reply_queue *q)
{
	free(q->calls.items);
	free(q->replies.items);
	*q = (struct reply_queue){ 0 };
}
