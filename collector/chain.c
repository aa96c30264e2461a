// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a thread works on: its context. The request that it received last; after a reply, what it had asked
 * for; what a message on any other channel brought along. A request that it sends belongs to that. Who sends
 * the reply in the end has worked on the request, so what it asked for meanwhile, of which nothing better is
 * known, belongs to it too.
 *
 * Contexts are never changed, only replaced; those of what is over by then are dropped when spans are written
 * (span_write.c), since only the last part of a reply tells when that was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "span.h"

struct context *context_take(struct context *c)
{
	if (c)
		c->references++;
	return c;
}

void context_drop(struct context *c)
{
	while (c && !--c->references) {
		struct context *from = c->from;
		free(c);
		c = from;
	}
}

static uint32_t more_notes(struct spans *s)
{
	uint32_t room = s->note_room ? s->note_room * 2 : 1024;
	struct note *notes = realloc(s->notes, room * sizeof(*notes));

	if (!notes) {
		s->error = -ENOMEM;
		return 0;
	}
	s->notes = notes;
	s->note_room = room;
	return room;
}

static void put_hops(struct spans *s, uint32_t span, const struct context *c)
{
	for (unsigned int hop = c->hops; c->hops && !s->error; c = c->from, hop--) {
		sqlite3_bind_int64(s->put_hop, 1, span);
		sqlite3_bind_int64(s->put_hop, 2, hop);
		sqlite3_bind_int64(s->put_hop, 3, c->message);
		sqlite3_bind_int64(s->put_hop, 4, c->channel);
		sqlite3_bind_int64(s->put_hop, 5, c->exact);
		spans_row(s, s->put_hop);
	}
}

uint32_t chain_note(struct spans *s, int64_t start, const struct context *parent)
{
	uint32_t number = s->noted + 1;

	if (number >= s->note_room && !more_notes(s))
		return 0; /* note 0 is of nothing: what is written there is never read */
	s->noted = number;
	s->notes[number] = (struct note){ .start = start, .over = NEVER, .exact = true };
	if (parent) {
		s->notes[number].parent = parent->span;
		s->notes[number].exact = parent->exact;
		put_hops(s, number, parent);
	}
	return number;
}

static void become(struct span_thread *t, struct context *c)
{
	t->polled = false;
	context_drop(t->context);
	t->context = c;
	t->recents = 0;
}

void chain_set(struct spans *s, uint32_t thread, uint32_t span, struct context *from)
{
	struct context *c = spans_new(s, 1, sizeof(*c));

	if (!c)
		return;
	*c = (struct context){ .references = 1, .span = span, .exact = true, .from = context_take(from) };
	become(&s->threads[thread], c);
}

void chain_restore(struct spans *s, uint32_t thread, struct context *c)
{
	struct span_thread *t = &s->threads[thread];

	t->polled = false;
	if (c == t->context)
		return;
	context_take(c);
	context_drop(t->context);
	t->context = c;
}

void chain_forget(struct spans *s, uint32_t thread)
{
	chain_restore(s, thread, NULL);
}

static bool is_over(const struct spans *s, const struct context *c, int64_t now)
{
	int64_t over = s->notes[c->span].over;

	return over != NEVER && over < now;
}

static struct context *guess(struct spans *s, struct context model)
{
	struct context *c = spans_new(s, 1, sizeof(*c));

	if (!c)
		return NULL;
	*c = model;
	c->references = 1;
	c->exact = false;
	context_take(c->from);
	return c;
}

/*
 * One thread may work on several requests at a time. What it sends first through a connection belongs to what
 * it made that for; else to what it received last. But where it has looked meanwhile what there is to do, or
 * has answered that one, it is only likely.
 */
struct context *chain_of(struct spans *s, uint32_t thread, uint32_t channel, int64_t now)
{
	const struct span_thread *t = &s->threads[thread];
	struct context *c = s->channels[channel].connects;

	s->channels[channel].connects = NULL;
	if (c && !is_over(s, c, now))
		return c;
	context_drop(c);
	c = t->context;
	if (t->servings && (!c || is_over(s, c, now)))
		return guess(s, (struct context){ .span = t->serving[t->servings - 1] });
	if (c && t->polled && t->servings > 1)
		return guess(s, *c);
	return context_take(c);
}

void chain_connects(struct spans *s, uint32_t thread, uint32_t channel)
{
	context_drop(s->channels[channel].connects);
	s->channels[channel].connects = context_take(s->threads[thread].context);
}

void chain_serves(struct spans *s, uint32_t thread, uint32_t span)
{
	struct span_thread *t = &s->threads[thread];

	chain_served(s, thread, span);
	if (t->servings == SERVING_MAX)
		memmove(t->serving, t->serving + 1, --t->servings * sizeof(t->serving[0]));
	t->serving[t->servings++] = span;
}

void chain_served(struct spans *s, uint32_t thread, uint32_t span)
{
	struct span_thread *t = &s->threads[thread];

	for (uint32_t i = t->servings; i > 0; i--)
		if (t->serving[i - 1] == span) {
			memmove(t->serving + i - 1, t->serving + i,
				(t->servings-- - i) * sizeof(t->serving[0]));
			return;
		}
}

/* It receives, and waits for no reply: what wanted none is done. */
void chain_waits(struct spans *s, uint32_t thread)
{
	const struct span_thread *t = &s->threads[thread];

	if (t->context && !t->open && s->notes[t->context->span].oneway)
		chain_forget(s, thread);
}

static struct context *hop(struct spans *s, const struct arrival *a)
{
	struct context *c = spans_new(s, 1, sizeof(*c));

	if (c)
		*c = (struct context){
			.references = 1,
			.span = a->context->span,
			.from = context_take(a->context),
			.message = a->message,
			.channel = a->channel,
			.hops = a->context->hops + 1,
			.exact = a->exact && a->context->exact,
		};
	return c;
}

/*
 * A message that is no part of an exchange. A semaphore also counts what is free: who is in the middle of
 * something, and did not get that by the same semaphore, goes on with it.
 */
void chain_hand_over(struct spans *s, const struct arrival *a, uint32_t thread, bool counter)
{
	struct span_thread *t = &s->threads[thread];
	struct context *had = t->context;
	bool brings = a->context && !is_over(s, a->context, a->sent) && a->context->hops < HOPS_MAX;

	if (counter && had && !is_over(s, had, a->sent) && had->channel != a->channel)
		return;
	if (brings && had && had->span == a->context->span)
		return;
	if (brings)
		become(t, hop(s, a));
	else
		chain_forget(s, thread);
}

void chain_sent_request(struct spans *s, uint32_t thread, uint32_t span)
{
	struct span_thread *t = &s->threads[thread];

	if (t->context && t->context->exact)
		return;
	if (t->recents == RECENT_MAX)
		memmove(t->recent, t->recent + 1, --t->recents * sizeof(t->recent[0]));
	t->recent[t->recents++] = span;
}

void chain_sent_reply(struct spans *s, uint32_t thread, const struct exchange *x)
{
	struct span_thread *t = &s->threads[thread];

	for (uint32_t i = 0; i < t->recents; i++) {
		struct note *n = &s->notes[t->recent[i]];
		if (x->requested == NEVER || n->start < x->requested || n->parent == x->number ||
		    t->recent[i] <= x->number)
			continue;
		n->parent = x->number;
		n->exact = false;
		n->inferred = true;
	}
	t->recents = 0;
}
