// SPDX-License-Identifier: BSD-2-Clause
/*
 * Requests and replies from the turns alone: a request is the run of messages one way, its reply the run
 *back.
 *
 *	calls    --r1-->         --r2--> --r3-->
 *	answers          <--p1--                 <--p2--
 *
 * Which request is answered the server's view tells: of those whose bytes it has received by then. A client
 * that sends its next request before it has the reply (pipelined), and threads that share a channel
 * (multiplexed), make several exchanges that overlap. They are told apart by the threads at the server, or by
 * what it had received when it answered. Those that neither tells apart become one: nothing is ever paired by
 * counting.
 */
#include <errno.h>
#include <stdlib.h>

#include "span.h"

static uint32_t span_of(const struct context *c)
{
	return c ? c->span : 0;
}

void exchange_returned(struct spans *s, struct exchange *x)
{
	if (!x->returned && x->src_thread)
		s->threads[x->src_thread].open--;
	x->returned = true;
}

void exchange_release(struct spans *s, struct exchange *x)
{
	if (--x->references)
		return;
	exchange_returned(s, x);
	chain_served(s, x->dst_thread, x->number);
	if (x->answered || x->told)
		span_write(s, x);
	told_free(x->told);
	context_drop(x->parent);
	free(x);
}

static void leave(struct spans *s, struct conversation *c, struct exchange *x)
{
	TAILQ_REMOVE(&c->exchanges, x, link);
	--*(x->answered ? &c->answered : &c->unanswered);
	exchange_release(s, x);
}

/* Those that are over, the oldest of what is sent one way only, and of replies that nobody reads yet. */
static void retire(struct spans *s, struct conversation *c)
{
	struct exchange *next;

	for (struct exchange *x = TAILQ_FIRST(&c->exchanges); x; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->answered ? x->references == 1 || c->answered > ANSWERED_MAX
				: c->unanswered > UNANSWERED_MAX)
			leave(s, c, x);
	}
}

static void doubt(struct exchange *x)
{
	x->pipelined = true;
	x->exact = false;
}

struct exchange *exchange_new(struct spans *s, const struct arrival *a)
{
	struct exchange *x = spans_new(s, 1, sizeof(*x));

	if (!x)
		return NULL;
	*x = (struct exchange){
		.number = chain_note(s, a->sent, a->context),
		.references = 1,
		.src_thread = a->thread,
		.src = a->process,
		.channel = a->channel,
		.start = a->sent,
		.requested = NEVER,
		.replied = NEVER,
		.end = NEVER,
		.parent = context_take(a->context),
		.exact = true,
	};
	TAILQ_INIT(&x->pieces);
	return x;
}

static struct exchange *begin(struct spans *s, struct conversation *c, const struct arrival *a)
{
	struct exchange *x = exchange_new(s, a), *other;

	if (!x)
		return NULL;
	x->conversation = c;
	x->exact = !c->guessed;
	retire(s, c);
	TAILQ_FOREACH (other, &c->exchanges, link) {
		doubt(other);
		doubt(x);
	}
	TAILQ_INSERT_TAIL(&c->exchanges, x, link);
	c->unanswered++;
	if (x->src_thread) {
		s->threads[x->src_thread].open++;
		chain_sent_request(s, x->src_thread, x->number);
	}
	return x;
}

/* The rest of a request of which the server has answered the first part: it was another one. */
static void split(struct spans *s, struct exchange *x, struct arrival *from)
{
	struct exchange *rest = begin(s, x->conversation, from);
	struct arrival *a = from, *next;

	if (!rest)
		return;
	doubt(x);
	doubt(rest);
	for (; a; a = next) {
		next = TAILQ_NEXT(a, piece);
		TAILQ_REMOVE(&x->pieces, a, piece);
		TAILQ_INSERT_TAIL(&rest->pieces, a, piece);
		x->request_bytes -= a->bytes;
		rest->request_bytes += a->bytes;
		a->exchange = rest;
		rest->references++;
		x->references--; /* the conversation's stays */
	}
}

/* What the server read all at once, or in one thread, is one request to us. */
static void merge(struct spans *s, struct exchange *into, struct exchange *x)
{
	struct arrival *a;

	doubt(into);
	s->notes[x->number].parent = into->number;
	s->notes[x->number].exact = false;
	into->request_bytes += x->request_bytes;
	into->request_received += x->request_received;
	if (x->requested > into->requested)
		into->requested = x->requested;
	while ((a = TAILQ_FIRST(&x->pieces))) {
		TAILQ_REMOVE(&x->pieces, a, piece);
		TAILQ_INSERT_TAIL(&into->pieces, a, piece);
		a->exchange = into;
		into->references++;
		x->references--;
	}
	leave(s, x->conversation, x);
}

static struct exchange *numbered(struct conversation *c, uint32_t number)
{
	struct exchange *x;

	TAILQ_FOREACH (x, &c->exchanges, link)
		if (x->number == number)
			return x;
	return NULL;
}

/* One that is being answered already. */
static struct exchange *answered_by(struct conversation *c, uint32_t thread)
{
	struct exchange *x, *latest = NULL;

	TAILQ_FOREACH_REVERSE (x, &c->exchanges, exchanges, link) {
		if (!x->answered)
			continue;
		if (x->dst_thread == thread)
			return x;
		if (!latest)
			latest = x;
	}
	return latest;
}

static bool waits(const struct exchange *x)
{
	return !x->answered && x->requests_received;
}

static struct exchange *merge_all(struct spans *s, struct conversation *c, uint32_t thread)
{
	struct exchange *into = NULL, *next;

	for (struct exchange *x = TAILQ_FIRST(&c->exchanges); x; x = next) {
		next = TAILQ_NEXT(x, link);
		if (!waits(x) || (thread && x->dst_thread != thread))
			continue;
		if (into)
			merge(s, into, x);
		else
			into = x;
	}
	return into;
}

/* Which exchange a reply by this thread belongs to. NULL: to none, a greeting. */
static struct exchange *answers(struct spans *s, struct conversation *c, uint32_t thread)
{
	const struct context *context = s->threads[thread].context;
	struct exchange *x, *only = NULL, *own = NULL, *handed = numbered(c, span_of(context));
	unsigned int all = 0, mine = 0;

	TAILQ_FOREACH (x, &c->exchanges, link) {
		if (!waits(x))
			continue;
		all++;
		only = x;
		if (x->dst_thread != thread)
			continue;
		mine++;
		own = x;
	}
	if (handed && mine <= 1 && (context->exact || all > 1))
		return handed;
	if (mine > 1)
		return merge_all(s, c, thread);
	if (own)
		return own;
	if (all > 1)
		return merge_all(s, c, 0);
	return all ? only : answered_by(c, thread);
}

static struct exchange *reply(struct spans *s, struct conversation *c, const struct arrival *a)
{
	struct exchange *x = answers(s, c, a->thread);

	if (!x)
		return NULL;
	if (!TAILQ_EMPTY(&x->pieces))
		split(s, x, TAILQ_FIRST(&x->pieces));
	if (!x->answered) {
		x->answered = true;
		chain_served(s, x->dst_thread, x->number);
		x->replied = a->sent;
		c->unanswered--;
		c->answered++;
	}
	x->dst = a->process;
	x->reply_bytes += a->send_bytes;
	s->notes[x->number].over = a->sent;
	chain_sent_reply(s, a->thread, x);
	return x;
}

static struct exchange *request(struct spans *s, struct conversation *c, const struct arrival *a)
{
	struct exchange *x = TAILQ_LAST(&c->exchanges, exchanges);

	if (!x || x->answered || x->src_thread != a->thread || span_of(x->parent) != span_of(a->context))
		x = begin(s, c, a);
	if (x)
		x->request_bytes += a->send_bytes;
	return x;
}

struct exchange *turn_sent(struct spans *s, struct conversation *c, const struct arrival *a)
{
	struct exchange *x;

	if (c->calls < 0)
		c->calls = (int8_t)a->way;
	x = a->way == c->calls ? request(s, c, a) : reply(s, c, a);
	if (x)
		x->references++;
	return x;
}

static void request_received(struct spans *s, struct arrival *a, uint32_t thread, uint32_t process,
			     int64_t end)
{
	struct exchange *x = a->exchange;
	struct note *n;

	if (a->is_piece && x->conversation->messages && x->requests_received && x->dst_thread != thread)
		split(s, x, a); /* another thread took it: it is a request of its own */
	x = a->exchange;
	if (a->is_piece)
		TAILQ_REMOVE(&x->pieces, a, piece);
	a->is_piece = false;
	x->requests_received++;
	x->request_received += a->bytes;
	x->requested = end;
	x->dst_thread = thread;
	x->dst = process;
	n = &s->notes[x->number];
	n->message = a->message;
	n->channel = a->channel;
	n->exact &= a->exact;
	chain_set(s, thread, x->number, NULL);
	chain_serves(s, thread, x->number);
}

void turn_received(struct spans *s, struct arrival *a, uint32_t thread, uint32_t process, int64_t end)
{
	struct exchange *x = a->exchange;

	if (!x)
		return;
	x->exact &= a->exact;
	if (a->way == a->conversation->calls) {
		request_received(s, a, thread, process, end);
		return;
	}
	x->reply_received += a->bytes;
	x->src = process;
	x->end = end;
	exchange_returned(s, x);
	chain_restore(s, thread, x->parent);
}

void turn_close(struct spans *s, struct conversation *c)
{
	while (!TAILQ_EMPTY(&c->exchanges))
		leave(s, c, TAILQ_FIRST(&c->exchanges));
}
