// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who woke whom. A wake-up ended so many waits as its call says, of those that were under way then:
 *
 *	wake-up          [s ..]                    s.start < r.end and r.start < s.end
 *	wait     [r .........]
 *
 * What it wakes stays with nobody: later waits cannot have it. A wait takes from the oldest wake-up that can
 * have ended it, on its own word first; on another only where waiters may have been moved between the two.
 * That is exact where all wake-ups that could be it come from one process.
 */
#include <stdlib.h>

#include "kind.h"
#include "stream.h"

enum {
	WAKES_MAX = 1024, /* remembered */
	WAITS_MAX = 1024, /* whose wake-up has not been seen yet */
	GIVEN_MAX = 256,  /* messages that may still be taken back */
};
#define PATIENCE_NS 1000000000ULL /* for the return of the call that woke */

struct wake_up {
	struct match_call call; /* bytes: how many of those that it woke have not been found */
	bool several;		/* it woke more than one */
	bool doubtful;		/* some that were found may be another's */
};

struct given {
	struct match_message message;
	uint64_t handle;
};

/* Words that waiters may have been moved between share one. */
struct futex_words {
	struct futex_words *joined;	       /* what it has become a part of, or NULL */
	struct match_ring wakes, waits, given; /* by their ends */
	uint64_t forgotten; /* the latest end of a wake-up that is not remembered any more */
	/* The call that woke last, 0: none. It may have woken on another word too, which is told next: until
	 * then nobody who waits there takes what it woke here. */
	uint64_t open_start;
	uint32_t open_thread;
};

static struct wake_up *wake_at(const struct futex_words *w, uint32_t i)
{
	return ring_at(&w->wakes, sizeof(struct wake_up), i);
}

static struct match_call *wait_at(const struct futex_words *w, uint32_t i)
{
	return ring_at(&w->waits, sizeof(struct match_call), i);
}

static struct given *given_at(const struct futex_words *w, uint32_t i)
{
	return ring_at(&w->given, sizeof(struct given), i);
}

static struct futex_words *words_of(struct collector *c, struct channel *ch)
{
	if (!ch->words && !(ch->words = collector_new(c, sizeof(*ch->words))))
		return NULL;
	while (ch->words->joined)
		ch->words = ch->words->joined;
	return ch->words;
}

static const struct process *waker(const struct wake_up *s)
{
	return s->call.endpoint->process;
}

static bool may_have_woken(const struct wake_up *s, const struct match_call *r)
{
	return s->call.start < r->end && r->start < s->call.end;
}

/* Whether no other wake-up could have ended this wait. One whose waits are all certain could not; and one of
 * the same process makes no difference, unless it may have woken a second thread of the waiter's too, which
 * would be the same message. */
static bool is_certain(const struct futex_words *w, const struct wake_up *s, const struct match_call *r)
{
	bool threads = r->endpoint->process->thread_count > 1;
	if (r->start < w->forgotten)
		return false;
	for (uint32_t i = w->wakes.count; i-- > 0 && wake_at(w, i)->call.end > r->start;) {
		const struct wake_up *x = wake_at(w, i);
		bool same = waker(x) == waker(s) && !(threads && (x->several || s->several));
		if (x != s && !same && (x->call.bytes || x->doubtful) && may_have_woken(x, r))
			return false;
	}
	return true;
}

/* A send is one message to each process that it reached. */
static bool is_told(const struct futex_words *w, const struct wake_up *s, const struct match_call *r)
{
	for (uint32_t i = w->given.count; s->several && i-- > 0;) {
		const struct match_message *m = &given_at(w, i)->message;
		if (m->send_event == s->call.event && m->dst == r->endpoint)
			return true;
	}
	return false;
}

static void give(struct futex_words *w, struct wake_up *s, const struct match_call *r)
{
	struct given g = { .message = {
				   .send_event = s->call.event,
				   .recv_event = r->event,
				   .sent = s->call.start,
				   .received = r->end,
				   .src = s->call.endpoint,
				   .dst = r->endpoint,
				   .src_thread = s->call.thread,
				   .exact = is_certain(w, s, r),
			   } };
	s->call.bytes--;
	s->doubtful |= !g.message.exact;
	if (is_told(w, s, r))
		return;
	g.handle = rollup_sink.message(s->call.endpoint->channel, &g.message);
	if (w->given.count == GIVEN_MAX)
		ring_drop(&w->given);
	if (ring_add(&w->given, sizeof(g)))
		*given_at(w, w->given.count - 1) = g;
}

static bool is_open(const struct futex_words *w, const struct match_call *s)
{
	return w->open_start && s->start == w->open_start && s->thread == w->open_thread;
}

/* The oldest that can have ended the wait, on its own word if there is one. */
static struct wake_up *find_wake(const struct futex_words *w, const struct match_call *r)
{
	struct wake_up *own = NULL, *other = NULL;
	for (uint32_t i = w->wakes.count; i-- > 0 && wake_at(w, i)->call.end > r->start;) {
		struct wake_up *s = wake_at(w, i);
		if (!s->call.bytes || !may_have_woken(s, r))
			continue;
		if (s->call.endpoint->channel == r->endpoint->channel)
			own = s;
		else if (!is_open(w, &s->call))
			other = s;
	}
	return own ? own : other;
}

static void unmatched(const struct match_call *r)
{
	rollup_inexact(r->endpoint->channel->collector, r->endpoint->channel);
	rollup_sink.unmatched(r->endpoint->channel, r, 1);
}

static void give_up(struct futex_words *w, uint64_t now)
{
	while (w->waits.count && (w->waits.count > WAITS_MAX || wait_at(w, 0)->end + PATIENCE_NS < now)) {
		unmatched(wait_at(w, 0));
		ring_drop(&w->waits);
	}
}

static void doubt_wake(struct futex_words *w, uint64_t event)
{
	for (uint32_t i = w->wakes.count; i-- > 0;)
		wake_at(w, i)->doubtful |= wake_at(w, i)->call.event == event;
}

/* A wake-up that was under way while these waits were given to other processes' may have been theirs. */
static void contradict(struct futex_words *w, const struct wake_up *s)
{
	for (uint32_t i = w->given.count; i-- > 0 && given_at(w, i)->message.received > s->call.start;) {
		struct given *g = given_at(w, i);
		if (!g->message.exact || g->message.src->process == waker(s))
			continue;
		g->message.exact = false;
		doubt_wake(w, g->message.send_event);
		rollup_sink.doubt(g->message.src->channel, &g->message, g->handle);
	}
}

static void keep_wake(struct futex_words *w, const struct wake_up *new)
{
	if (w->wakes.count == WAKES_MAX) {
		w->forgotten = wake_at(w, 0)->call.end;
		ring_drop(&w->wakes);
	}
	if (!ring_add(&w->wakes, sizeof(*new)))
		return;
	uint32_t i = w->wakes.count - 1;
	for (; i && wake_at(w, i - 1)->call.end > new->call.end; i--)
		*wake_at(w, i) = *wake_at(w, i - 1);
	*wake_at(w, i) = *new;
}

static void keep_wait(struct futex_words *w, const struct match_call *new)
{
	if (!ring_add(&w->waits, sizeof(*new)))
		return;
	uint32_t i = w->waits.count - 1;
	for (; i && wait_at(w, i - 1)->end > new->end; i--)
		*wait_at(w, i) = *wait_at(w, i - 1);
	*wait_at(w, i) = *new;
}

/* What waits takes what it can, in its order. */
static void run(struct futex_words *w)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < w->waits.count; i++) {
		struct match_call *r = wait_at(w, i);
		struct wake_up *s = find_wake(w, r);
		if (s)
			give(w, s, r);
		else
			*wait_at(w, kept++) = *r;
	}
	w->waits.count = kept;
}

/* The last call has woken nobody else. */
static void close_call(struct futex_words *w)
{
	if (!w->open_start)
		return;
	w->open_start = 0;
	run(w);
}

/* A wake-up that woke someone, or a wait that ended. */
static void futex_transfer(struct collector *c, const struct act *a)
{
	const struct match_call *call = &a->call;
	struct futex_words *w = words_of(c, call->endpoint->channel);
	if (!w)
		return;
	if (!a->sends || !is_open(w, call))
		close_call(w);
	if (a->sends) {
		struct wake_up s = { .call = *call, .several = call->bytes > 1 };
		w->open_start = call->start;
		w->open_thread = call->thread;
		contradict(w, &s);
		keep_wake(w, &s);
	} else {
		keep_wait(w, call);
	}
	run(w);
	give_up(w, call->end);
}

/* Wake-ups of one of these words may have ended waits on the other. */
static void futex_moved(struct collector *c, struct channel *to, uint64_t from)
{
	struct channel *ch = ipc_object_mechanism(from) == IPC_MECH_futex ? channel_of(c, from) : NULL;
	struct futex_words *w = words_of(c, to), *old = ch ? words_of(c, ch) : NULL;
	if (!w || !old || w == old)
		return;
	for (uint32_t i = 0; i < old->wakes.count; i++)
		keep_wake(w, wake_at(old, i));
	for (uint32_t i = 0; i < old->waits.count; i++)
		keep_wait(w, wait_at(old, i));
	for (uint32_t i = 0; i < old->given.count && w->given.count < GIVEN_MAX; i++)
		if (ring_add(&w->given, sizeof(struct given)))
			*given_at(w, w->given.count - 1) = *given_at(old, i);
	if (old->forgotten > w->forgotten)
		w->forgotten = old->forgotten;
	old->joined = w;
	free(old->wakes.items);
	free(old->waits.items);
	free(old->given.items);
	run(w);
}

static void futex_control(struct collector *c, const struct act *a)
{
	if (a->event->call == IPC_CALL_futex_moved)
		futex_moved(c, a->endpoint->channel, a->event->arg1);
}

static bool futex_moves(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return e->result >= 0 && e->arg1 && !(e->flags & IPC_F_INSIDE);
}

static void futex_settle(struct channel *ch, bool all)
{
	(void)all;
	struct futex_words *w = ch->words;
	if (!w || w->joined)
		return;
	close_call(w);
	give_up(w, UINT64_MAX);
	free(w->wakes.items);
	free(w->waits.items);
	free(w->given.items);
	w->wakes = w->waits = w->given = (struct match_ring){ 0 };
}

const struct channel_kind futex_kind = {
	.defined_key = key_word,
	.moves = futex_moves,
	.transfer = futex_transfer,
	.control = futex_control,
	.settle = futex_settle,
	.counts = true,
};
