// SPDX-License-Identifier: BSD-2-Clause
/*
 * The matcher of datagrams (datagram.h). Sends wait in lanes: lane 0 has those of unknown source, the others
 * are chosen by the source's port (IPv4) or address, so that a receive that knows where its datagram came
 * from looks at a few sends, and in the common case at one.
 *
 * Where order does not tell, a receive that could be of several sends takes the first; the others are
 * `tainted`: one of them may be what it took. The send that it did take is `loose`: it may in truth still
 * wait. When the last tainted one has been taken there were as many receives as sends, and all is certain
 * again.
 *
 * If memory runs out a call is left out of the matching, and the queue doubtful.
 */
#include <stdlib.h>
#include <sys/queue.h>

#include "datagram.h"
#include "event.h"
#include "stream.h"
#include "table.h"

enum {
	LANES = 32,
	SOCKETS_MAX = 64,
	ASKED_MAX = 64, /* receives that are asked whether they were robbed; older ones count as if */
};

struct sent {
	struct datagram d;
	TAILQ_ENTRY(sent) in_lane;  /* by start */
	TAILQ_ENTRY(sent) in_order; /* as they came, of those that wait or of those set aside */
	uint64_t took, passed;	    /* sockets, a bit each: received it; received a later one of its flow */
	uint64_t until;		    /* end of the latest receive that passed it */
	bool aside, tainted;
};

TAILQ_HEAD(sents, sent);

struct lane {
	struct sents sends;
	/* of what was sent since the lane was empty: */
	struct endpoint *sender; /* the only one, and it has one source; or NULL */
	bool uniform;		 /* all are of one flow and size */
};

struct got {
	struct datagram d;
	bool robbed;		    /* another may have taken what it is of, */
	struct endpoint *robbed_of; /* which this one sent; NULL: several */
	TAILQ_ENTRY(got) in_order;  /* by end */
};

TAILQ_HEAD(gots, got);

/* A message that may have to be taken back. */
struct pair {
	struct datagram send, receive;
	uint64_t handle;
	uint64_t max_end; /* the latest end of its calls and of all in front of it */
	uint64_t loose;	  /* epoch in which it became so, 0: never */
	bool exact;
	bool ordered; /* order told which it is, */
	bool crowded; /* but for those of other threads at the same time */
	bool passed;  /* the send had been passed before it was taken */
};

struct datagram_queue {
	const struct datagram_sink *sink;
	void *context;
	struct lane lanes[LANES];
	uint32_t lanes_used; /* a bit each: has sends */
	struct sents waiting, aside;
	struct gots receives;
	uint32_t waiting_count, aside_count, receives_count, tainted;
	uint64_t aside_until; /* the latest of all `until` */
	struct match_ring pairs;
	uint64_t paired;	       /* pairs so far */
	uint64_t epoch;		       /* ends when nothing is tainted any more: nothing is loose then */
	uint64_t first_loose;	       /* the number of a pair: those before it are not */
	uint64_t ordered_until;	       /* end of the latest receive whose send order told */
	uint64_t sockets[SOCKETS_MAX]; /* that received */
	uint32_t socket_count;
	uint32_t thread;	 /* the first that received */
	struct endpoint *sender; /* the first that sent */
	bool several_senders;
	bool unordered;		       /* order does not tell any more */
	uint64_t source;	       /* of the latest send */
	bool several_sources, highest; /* highest: a receive took the highest */
	uint64_t largest;	       /* bytes of what was sent */
	uint64_t offer_from;	       /* earliest start of what is new to the receives that wait */
	bool reliable;		       /* something was sent that the kernel does not drop */
	bool doubtful;
};

/* What a receive takes, and how certain that is. */
struct verdict {
	struct sent *best;
	bool ordered; /* see struct pair */
	bool rival;   /* the sender is not certain */
	bool vague;   /* the send is not certain */
};

static struct pair *pair_at(const struct datagram_queue *q, uint32_t i)
{
	return ring_at(&q->pairs, sizeof(struct pair), i);
}

/* Pairs are numbered from 1. */
static uint64_t number_of(const struct datagram_queue *q, uint32_t i)
{
	return q->paired - (q->pairs.count - 1 - i);
}

/* What can be what. */

static bool is_ipv4(uint64_t address)
{
	return address >> 56 == IPC_ADDRESS_IPV4;
}

static bool is_wildcard(uint64_t ipv4)
{
	return !(ipv4 >> 16 & 0xffffffff);
}

static bool address_fits(uint64_t a, uint64_t b)
{
	if (!a || !b || a == b)
		return true;
	return is_ipv4(a) && is_ipv4(b) && (uint16_t)a == (uint16_t)b && (is_wildcard(a) || is_wildcard(b));
}

/* A UNIX socket is a place of its own, and there are several ways to write its path. */
static bool reaches(uint64_t destination, uint64_t own)
{
	return destination >> 56 == IPC_ADDRESS_UNIX || address_fits(destination, own);
}

static bool could_be(const struct datagram *s, const struct datagram *r)
{
	if (s->call.start > r->call.end || !address_fits(s->local, r->remote) ||
	    !reaches(s->remote, r->local))
		return false;
	if (s->call.bytes != r->call.bytes)
		return r->full && s->call.bytes > r->call.bytes;
	return !s->tag || !r->tag || s->tag == r->tag;
}

/* It could be, and not for want of knowing better. */
static bool tags_agree(const struct datagram *s, const struct datagram *r)
{
	return s->tag && s->tag == r->tag && s->call.bytes == r->call.bytes;
}

static bool same_flow(const struct datagram *a, const struct datagram *b)
{
	return a->call.endpoint == b->call.endpoint && a->socket == b->socket && a->remote == b->remote;
}

/* Where a receive can be of both, it makes no difference to any other which of the two it took. */
static bool same(const struct datagram *a, const struct datagram *b)
{
	return same_flow(a, b) && a->local == b->local && a->call.bytes == b->call.bytes && a->tag == b->tag;
}

/* Which of the two the kernel took first is not known. */
static bool overlap(const struct datagram *a, const struct datagram *b)
{
	return a->call.start <= b->call.end && b->call.start <= a->call.end &&
	       a->call.thread != b->call.thread;
}

static uint64_t socket_bit(struct datagram_queue *q, uint64_t socket)
{
	uint32_t i = 0;
	while (i < q->socket_count && q->sockets[i] != socket)
		i++;
	if (i == q->socket_count && i < SOCKETS_MAX)
		q->sockets[q->socket_count++] = socket;
	return 1ULL << (i < SOCKETS_MAX ? i : SOCKETS_MAX - 1);
}

/* Lanes. */

static uint32_t lane_of(uint64_t source)
{
	if (!source)
		return 0;
	return 1 + table_mix(is_ipv4(source) ? (uint16_t)source : source) % (LANES - 1);
}

/* The lanes, a bit each, that may have what came from this source. */
static uint32_t lanes_of(const struct datagram_queue *q, uint64_t source)
{
	return source ? q->lanes_used & (1u << lane_of(source) | 1) : q->lanes_used;
}

/* The first of the lanes, taken off the set. */
static const struct lane *next_lane(const struct datagram_queue *q, uint32_t *set)
{
	const struct lane *lane = &q->lanes[__builtin_ctz(*set)];
	*set &= *set - 1;
	return lane;
}

static void lane_add(struct datagram_queue *q, struct sent *s)
{
	uint32_t number = lane_of(s->d.local);
	struct lane *lane = &q->lanes[number];
	struct sent *before = TAILQ_LAST(&lane->sends, sents);
	if (!before) {
		lane->sender = s->d.call.endpoint;
		lane->uniform = true;
	} else {
		if (!same_flow(&before->d, &s->d) || before->d.call.bytes != s->d.call.bytes)
			lane->uniform = false;
		if (lane->sender != s->d.call.endpoint || before->d.local != s->d.local)
			lane->sender = NULL;
	}
	while (before && before->d.call.start > s->d.call.start)
		before = TAILQ_PREV(before, sents, in_lane);
	if (before)
		TAILQ_INSERT_AFTER(&lane->sends, before, s, in_lane);
	else
		TAILQ_INSERT_HEAD(&lane->sends, s, in_lane);
	q->lanes_used |= 1u << number;
}

static void lane_drop(struct datagram_queue *q, struct sent *s)
{
	uint32_t number = lane_of(s->d.local);
	TAILQ_REMOVE(&q->lanes[number].sends, s, in_lane);
	if (TAILQ_EMPTY(&q->lanes[number].sends))
		q->lanes_used &= ~(1u << number);
}

/* Where a send is: it waits, is set aside, is gone. */

static void taint(struct datagram_queue *q, struct sent *s)
{
	q->tainted += !s->tainted;
	s->tainted = true;
}

/* The latest pair before index i whose send has been taken, but may in truth be this receive's. */
static const struct pair *next_loose(const struct datagram_queue *q, const struct datagram *r, uint32_t *i)
{
	while (*i > 0 && number_of(q, *i - 1) >= q->first_loose) {
		const struct pair *p = pair_at(q, --*i);
		if (p->loose == q->epoch && could_be(&p->send, r) &&
		    (!p->send.group || p->receive.socket == r->socket))
			return p;
	}
	return NULL;
}

/* What is loose will not be so any more: what it could be that waits for its send. */
static void remember_robbery(struct datagram_queue *q, struct got *g)
{
	const struct pair *p;
	for (uint32_t i = q->pairs.count; (p = next_loose(q, &g->d, &i));) {
		struct endpoint *sender = p->send.call.endpoint;
		g->robbed_of = !g->robbed || g->robbed_of == sender ? sender : NULL;
		g->robbed = true;
	}
}

static void new_epoch(struct datagram_queue *q)
{
	uint32_t asked = 0;
	struct got *g;
	TAILQ_FOREACH_REVERSE (g, &q->receives, gots, in_order) {
		if (asked++ < ASKED_MAX) {
			remember_robbery(q, g);
			continue;
		}
		if (g->robbed && !g->robbed_of)
			break; /* and so are all that are older */
		g->robbed = true;
		g->robbed_of = NULL;
	}
	q->epoch++;
	q->first_loose = UINT64_MAX;
}

static void wait_for_receive(struct datagram_queue *q, struct sent *s)
{
	lane_add(q, s);
	TAILQ_INSERT_TAIL(&q->waiting, s, in_order);
	q->waiting_count++;
}

static void unlink_send(struct datagram_queue *q, struct sent *s)
{
	if (s->aside) {
		TAILQ_REMOVE(&q->aside, s, in_order);
		q->aside_count--;
	} else {
		TAILQ_REMOVE(&q->waiting, s, in_order);
		q->waiting_count--;
		lane_drop(q, s);
	}
}

static void forget(struct datagram_queue *q, struct sent *s)
{
	unlink_send(q, s);
	if (s->tainted && !--q->tainted)
		new_epoch(q);
	free(s);
}

static void give_up(struct datagram_queue *q, struct sent *s)
{
	if (!s->took)
		q->sink->vanished(q->context, &s->d);
	forget(q, s);
}

static void set_aside(struct datagram_queue *q, struct sent *s)
{
	unlink_send(q, s);
	s->aside = true;
	TAILQ_INSERT_TAIL(&q->aside, s, in_order);
	if (++q->aside_count > DATAGRAM_ASIDE_MAX)
		give_up(q, TAILQ_FIRST(&q->aside));
}

/* Another socket may have what is set aside, or a receive that was under way when it was passed. */
static bool look_aside(const struct datagram_queue *q, const struct datagram *r)
{
	return q->aside_count && (q->socket_count > 1 || r->call.start < q->aside_until);
}

static bool is_aside_for(const struct sent *s, const struct datagram *r, uint64_t bit)
{
	return !(s->took & bit) && (!(s->passed & bit) || r->call.start < s->until) && could_be(&s->d, r);
}

/* Choosing. */

/* By the number of its source; what came while the receive was under way found nothing else there. */
static struct sent *higher(struct sent *a, struct sent *b, const struct datagram *r)
{
	bool a_waited = a->d.call.start < r->call.start, b_waited = b->d.call.start < r->call.start;
	if (a_waited != b_waited)
		return a_waited ? a : b;
	if (a_waited && a->d.local != b->d.local)
		return a->d.local > b->d.local ? a : b;
	return b->d.call.start < a->d.call.start ? b : a;
}

static struct sent *better(struct sent *a, struct sent *b, const struct datagram *r)
{
	if (!a || !b)
		return a ? a : b;
	if (r->highest)
		return higher(a, b, r);
	if (tags_agree(&a->d, r) != tags_agree(&b->d, r))
		return tags_agree(&a->d, r) ? a : b;
	return b->d.call.start < a->d.call.start ? b : a;
}

/*
 * Of sends that are the same and overlap, the one that ended first: what stays behind may still come whenever
 * the other could.
 */
static struct sent *first_ended(struct sent *best, const struct datagram *r)
{
	for (struct sent *s = best; (s = TAILQ_NEXT(s, in_lane)) && s->d.call.start <= best->d.call.end;)
		if (s->d.call.end < best->d.call.end && same(&s->d, &best->d) && could_be(&s->d, r))
			best = s;
	return best;
}

static struct sent *best_of_lane(const struct lane *lane, const struct datagram *r)
{
	struct sent *s, *best = NULL;
	TAILQ_FOREACH (s, &lane->sends, in_lane) {
		if (s->d.call.start > r->call.end)
			break;
		if (!could_be(&s->d, r))
			continue;
		if (r->highest) {
			best = better(best, s, r);
			continue;
		}
		if (!r->tag || tags_agree(&s->d, r))
			return first_ended(s, r);
		best = best ? best : s;
	}
	return best;
}

static struct sent *choose(struct datagram_queue *q, const struct datagram *r, uint64_t bit)
{
	struct sent *s, *best = NULL;
	for (uint32_t set = lanes_of(q, r->remote); set;)
		best = better(best, best_of_lane(next_lane(q, &set), r), r);
	if (!look_aside(q, r))
		return best;
	TAILQ_FOREACH (s, &q->aside, in_order)
		if (is_aside_for(s, r, bit) && (!best || r->tag || s->d.group || r->call.start < s->until))
			best = better(best, s, r);
	return best;
}

/* Judging. */

/* The receive could be of `other` as well. */
static void weigh(struct verdict *v, const struct datagram *other)
{
	const struct datagram *best = &v->best->d;
	if (v->ordered) {
		v->rival |= other->call.thread != best->call.thread;
		return;
	}
	v->rival |= other->call.endpoint != best->call.endpoint;
	v->vague |= !same(other, best);
}

/* All of a lane of one sender that could be of the receive are the same as `best`. */
static bool are_same(const struct lane *lane, const struct datagram *best, const struct datagram *r)
{
	const struct datagram *first = &TAILQ_FIRST(&lane->sends)->d;
	if (first->local != best->local)
		return false;
	return (r->tag && !r->full) || (lane->uniform && (!best->tag || tags_agree(best, r)));
}

static void weigh_lane(struct verdict *v, const struct lane *lane, const struct datagram *r)
{
	const struct datagram *best = &v->best->d;
	struct sent *s;
	if (!v->ordered && lane->sender == best->call.endpoint && are_same(lane, best, r))
		return;
	TAILQ_FOREACH (s, &lane->sends, in_lane) {
		if (s->d.call.start > (v->ordered ? best->call.end : r->call.end))
			break;
		if (s != v->best && could_be(&s->d, r))
			weigh(v, &s->d);
	}
}

/* What was sent at the same time and has been taken. */
static void weigh_overlapping(const struct datagram_queue *q, struct verdict *v, const struct datagram *r)
{
	uint64_t start = v->best->d.call.start;
	for (uint32_t i = q->pairs.count; i-- > 0 && pair_at(q, i)->max_end >= start;) {
		const struct datagram *taken = &pair_at(q, i)->send;
		if (taken->call.end >= start && could_be(taken, r))
			weigh(v, taken);
	}
}

static void weigh_loose(const struct datagram_queue *q, struct verdict *v, const struct datagram *r)
{
	const struct pair *p;
	for (uint32_t i = q->pairs.count; (p = next_loose(q, r, &i));) {
		weigh(v, &p->send);
		v->vague = true; /* even of the same flow: it is older */
	}
}

/* Any of these may be what the receive took, or what another took instead of the one that it took. */
static void taint_all(struct datagram_queue *q, const struct datagram *r, uint64_t bit)
{
	struct sent *s;
	TAILQ_FOREACH (s, &q->waiting, in_order)
		if (could_be(&s->d, r))
			taint(q, s);
	if (look_aside(q, r))
		TAILQ_FOREACH (s, &q->aside, in_order)
			if (is_aside_for(s, r, bit))
				taint(q, s);
}

static struct verdict judge(struct datagram_queue *q, struct sent *best, const struct got *g, uint64_t bit)
{
	const struct datagram *r = &g->d;
	struct verdict v = { .best = best, .ordered = !best->d.silent && !q->unordered };
	v.vague = g->robbed;
	v.rival = g->robbed && g->robbed_of != best->d.call.endpoint;
	struct sent *s;
	for (uint32_t set = lanes_of(q, r->remote); set;)
		weigh_lane(&v, next_lane(q, &set), r);
	if (look_aside(q, r)) {
		TAILQ_FOREACH (s, &q->aside, in_order) {
			if (s == best || !is_aside_for(s, r, bit))
				continue;
			weigh(&v, &s->d);
			v.vague = true; /* even of the same flow: it is older */
		}
	}
	if (v.ordered)
		weigh_overlapping(q, &v, r);
	else if (q->tainted)
		weigh_loose(q, &v, r);
	if (!v.ordered && r->call.start < q->ordered_until)
		v.rival = v.vague = true; /* it may be before one of those */
	if (!v.ordered && (v.rival || v.vague || best->tainted))
		taint_all(q, r, bit);
	return v;
}

/* Taking back. */

static struct match_message message_of(const struct pair *p)
{
	return (struct match_message){
		.send_event = p->send.call.event,
		.recv_event = p->receive.call.event,
		.sent = p->send.call.start,
		.received = p->receive.call.end,
		.bytes = p->receive.call.bytes,
		.src = p->send.call.endpoint,
		.dst = p->receive.call.endpoint,
		.src_thread = p->send.call.thread,
		.exact = p->exact,
	};
}

static void take_back(struct datagram_queue *q, struct pair *p)
{
	if (!p->exact)
		return;
	p->exact = false;
	struct match_message m = message_of(p);
	q->sink->doubt(q->context, &m, p->handle);
}

static void loosen(struct datagram_queue *q, uint32_t i)
{
	pair_at(q, i)->loose = q->epoch;
	if (number_of(q, i) < q->first_loose)
		q->first_loose = number_of(q, i);
}

static bool contest(struct datagram_queue *q, const struct datagram *s, const struct pair *except);

static bool is_passed_by(const struct datagram *s, const struct pair *p)
{
	return s->call.end < p->send.call.start && same_flow(s, &p->send);
}

/* The receive of the pair was not certain: what it passed was there for others. */
static void call_back(struct datagram_queue *q, const struct pair *p)
{
	for (uint32_t i = q->pairs.count; i-- > 0;) {
		const struct pair *other = pair_at(q, i);
		if (!other->passed || other->loose == q->epoch || !is_passed_by(&other->send, p))
			continue;
		loosen(q, i);
		contest(q, &other->send, other);
	}
	struct sent *s = TAILQ_FIRST(&q->aside);
	while (s) {
		if (!s->passed || !is_passed_by(&s->d, p)) {
			s = TAILQ_NEXT(s, in_order);
			continue;
		}
		s->passed = 0;
		taint(q, s);
		if (s->took) { /* by other sockets: it stays */
			s->until = q->aside_until = UINT64_MAX;
		} else {
			unlink_send(q, s);
			s->aside = false;
			wait_for_receive(q, s);
		}
		if (s->d.call.start < q->offer_from)
			q->offer_from = s->d.call.start;
		contest(q, &s->d, p);
		s = TAILQ_FIRST(&q->aside);
	}
}

/*
 * Pairs, but `except`, whose receive could be of `s` and for which order does not tell: they are not certain
 * any more, and so what they took may be what another receive took. Returns whether there are any.
 */
static bool contest(struct datagram_queue *q, const struct datagram *s, const struct pair *except)
{
	bool any = false;
	for (uint32_t i = q->pairs.count; i-- > 0;) {
		struct pair *p = pair_at(q, i);
		if (p->max_end < s->call.start)
			break;
		if (p == except || (p->ordered && !(q->unordered && overlap(s, &p->send))) ||
		    !could_be(s, &p->receive) ||
		    (!p->loose && same(s, &p->send) && s->call.start >= p->send.call.start) ||
		    (s->group && except && except->receive.socket != p->receive.socket))
			continue;
		any = true;
		if (s->call.endpoint != p->send.call.endpoint)
			take_back(q, p);
		if (p->loose == q->epoch)
			continue;
		loosen(q, i);
		contest(q, &p->send, p);
		call_back(q, p);
	}
	return any;
}

/* Order has told of the pair, and is contradicted. */
static void disorder(struct datagram_queue *q, uint32_t i)
{
	if (q->several_senders)
		take_back(q, pair_at(q, i));
	if (!q->unordered || pair_at(q, i)->loose == q->epoch)
		return;
	loosen(q, i);
	contest(q, &pair_at(q, i)->send, pair_at(q, i));
}

/* Pairs that order has told, and whose send turns out to be at the same time as `s`. Returns whether there
 * are any. */
static bool crowd(struct datagram_queue *q, const struct datagram *s)
{
	bool any = false;
	for (uint32_t i = q->pairs.count; i-- > 0;) {
		struct pair *p = pair_at(q, i);
		if (p->max_end < s->call.start)
			break;
		if (!p->ordered || p->send.call.end < s->call.start ||
		    p->send.call.thread == s->call.thread || !could_be(s, &p->receive))
			continue;
		any = p->crowded = true;
		disorder(q, i);
	}
	return any;
}

/* There is a second sender, from now on: what overlaps was exact for want of one. */
static void second_sender(struct datagram_queue *q, const struct datagram *s)
{
	q->several_senders = true;
	for (uint32_t i = 0; i < q->pairs.count; i++) {
		struct pair *p = pair_at(q, i);
		if (p->ordered && p->crowded && p->receive.call.end >= s->call.start)
			disorder(q, i);
	}
}

/*
 * Order tells as long as one thread receives, whole datagrams only: those of one size are then a queue of
 * their own.
 */
static void end_order(struct datagram_queue *q)
{
	struct sent *s;
	q->unordered = true;
	if (!q->reliable)
		return;
	TAILQ_FOREACH (s, &q->waiting, in_order)
		taint(q, s);
	for (uint32_t i = 0; i < q->pairs.count; i++)
		loosen(q, i);
	if (!q->tainted)
		new_epoch(q);
}

/* What order has told of receives that ended since then is not certain. */
static void unorder(struct datagram_queue *q, uint64_t since)
{
	for (uint32_t i = 0; i < q->pairs.count; i++) {
		struct pair *p = pair_at(q, i);
		if (!p->ordered || p->receive.call.end < since)
			continue;
		p->ordered = false;
		if (q->several_senders)
			take_back(q, p);
		loosen(q, i);
		contest(q, &p->send, p);
	}
}

/* A receive of which order has told may have cut it off. */
static bool was_cut_off(const struct datagram_queue *q, const struct datagram *s)
{
	for (uint32_t i = q->pairs.count; i-- > 0 && pair_at(q, i)->max_end >= s->call.start;) {
		const struct pair *p = pair_at(q, i);
		if (p->ordered && p->receive.call.bytes < s->call.bytes && could_be(s, &p->receive))
			return true;
	}
	return false;
}

/* A receive of which order has told may have taken it for its priority. */
static bool was_overtaken(struct datagram_queue *q, const struct datagram *s)
{
	q->several_sources |= q->source && q->source != s->local;
	q->source = s->local;
	return q->highest && q->several_sources && (!q->unordered || s->call.start <= q->ordered_until);
}

/* Taking. */

static void remember(struct datagram_queue *q, struct pair *p)
{
	if (q->pairs.count == DATAGRAM_WINDOW)
		ring_drop(&q->pairs);
	if (!ring_add(&q->pairs, sizeof(*p)))
		return;
	uint32_t last = q->pairs.count - 1;
	uint64_t send_end = p->send.call.end, receive_end = p->receive.call.end;
	p->max_end = send_end > receive_end ? send_end : receive_end;
	if (last && pair_at(q, last - 1)->max_end > p->max_end)
		p->max_end = pair_at(q, last - 1)->max_end;
	q->paired++;
	*pair_at(q, last) = *p;
}

/* The socket has received what was sent later: it will not get this one. */
static void pass(struct datagram_queue *q, struct sent *s, const struct datagram *r, uint64_t bit)
{
	s->passed |= bit;
	s->until = r->call.end;
	if (s->until > q->aside_until)
		q->aside_until = s->until;
	set_aside(q, s);
}

/*
 * Receives at the same time, or of several sockets, may have taken sends that are alike in any order: what
 * was sent before `best` may also be before one that such a receive has taken.
 */
static bool may_be_swapped(const struct datagram_queue *q, const struct datagram *best,
			   const struct datagram *r)
{
	if (q->socket_count == 1 && !q->unordered)
		return false;
	for (uint32_t i = q->pairs.count; i-- > 0;) {
		const struct pair *p = pair_at(q, i);
		if (same(&p->send, best) &&
		    (p->receive.socket != r->socket || p->receive.call.end > r->call.start))
			return true;
	}
	return false;
}

/* What was sent before `best`, which has certainly been received. */
static void pass_earlier(struct datagram_queue *q, struct sent *best, const struct datagram *r, uint64_t bit)
{
	struct sent *first = TAILQ_FIRST(&q->lanes[lane_of(best->d.local)].sends), *s = first, *next;
	bool asked = false;
	if (best->aside || !best->d.silent)
		return;
	while (!same(&s->d, &best->d)) /* it may be this one instead */
		s = TAILQ_NEXT(s, in_lane);
	uint64_t start = s->d.call.start;
	for (s = first; s != best; s = next) {
		next = TAILQ_NEXT(s, in_lane);
		if (s->d.call.end >= start || !same_flow(&s->d, &best->d))
			continue;
		if (!asked && may_be_swapped(q, &best->d, r))
			return;
		asked = true;
		pass(q, s, r, bit);
	}
	/* What other senders sent so long ago, if there is no other socket. */
	while (q->socket_count == 1 && (s = TAILQ_FIRST(&q->waiting)) &&
	       s->d.call.end + DATAGRAM_PATIENCE_NS < start && reaches(s->d.remote, r->local))
		pass(q, s, r, bit);
}

static void take(struct datagram_queue *q, const struct verdict *v, const struct datagram *r, uint64_t bit)
{
	struct sent *s = v->best;
	struct pair p = {
		.send = s->d, .receive = *r, .ordered = v->ordered, .crowded = v->ordered && v->rival
	};
	p.exact = !q->doubtful && !(v->rival && q->several_senders);
	struct match_message m = message_of(&p);
	p.handle = q->sink->message(q->context, &m);
	p.passed = s->passed;
	if (v->ordered && r->call.end > q->ordered_until)
		q->ordered_until = r->call.end;
	if (!v->rival && !v->vague)
		pass_earlier(q, s, r, bit);
	remember(q, &p);
	if (!v->ordered && (v->rival || v->vague || s->tainted) && q->pairs.count)
		loosen(q, q->pairs.count - 1);
	s->took |= bit;
	if (!s->d.group)
		forget(q, s);
	else if (!s->aside)
		set_aside(q, s);
}

static bool attempt(struct datagram_queue *q, const struct got *g)
{
	uint64_t bit = socket_bit(q, g->d.socket);
	struct sent *best = choose(q, &g->d, bit);
	bool cut_off = g->d.full && g->d.call.bytes < q->largest;
	q->highest |= g->d.highest;
	if (!q->unordered && (cut_off || (g->d.highest && q->several_sources)))
		end_order(q);
	if (!best)
		return false;
	struct verdict v = judge(q, best, g, bit);
	take(q, &v, &g->d, bit);
	return true;
}

/* Receives that wait. */

static void got_drop(struct datagram_queue *q, struct got *g)
{
	TAILQ_REMOVE(&q->receives, g, in_order);
	q->receives_count--;
	free(g);
}

static void leave_unmatched(struct datagram_queue *q)
{
	struct got *g = TAILQ_FIRST(&q->receives);
	q->sink->unmatched(q->context, &g->d.call);
	got_drop(q, g);
}

/* Offers what is new to the receives that ended since it began. */
static void offer(struct datagram_queue *q)
{
	struct got *g = TAILQ_LAST(&q->receives, gots), *next;
	if (!g || g->d.call.end < q->offer_from)
		return;
	while ((next = TAILQ_PREV(g, gots, in_order)) && next->d.call.end >= q->offer_from)
		g = next;
	for (; g; g = next) {
		next = TAILQ_NEXT(g, in_order);
		if (attempt(q, g))
			got_drop(q, g);
	}
}

/* The interface. */

struct datagram_queue *datagram_new(const struct datagram_sink *sink, void *context)
{
	struct datagram_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->sink = sink;
	q->context = context;
	for (int i = 0; i < LANES; i++)
		TAILQ_INIT(&q->lanes[i].sends);
	TAILQ_INIT(&q->waiting);
	TAILQ_INIT(&q->aside);
	TAILQ_INIT(&q->receives);
	new_epoch(q);
	return q;
}

void datagram_send(struct datagram_queue *q, const struct datagram *send)
{
	struct sent *s = calloc(1, sizeof(*s));
	if (!s) {
		datagram_doubt(q);
		return;
	}
	s->d = *send;
	q->reliable |= !send->silent;
	if (send->call.bytes > q->largest)
		q->largest = send->call.bytes;
	if (!q->sender)
		q->sender = send->call.endpoint;
	else if (q->sender != send->call.endpoint && !q->several_senders)
		second_sender(q, send);
	if (q->waiting_count == DATAGRAM_WAITING_MAX)
		give_up(q, TAILQ_FIRST(&q->waiting));
	wait_for_receive(q, s);
	bool overtaken = was_overtaken(q, send);
	if (q->reliable && (overtaken || was_cut_off(q, send))) {
		if (!q->unordered)
			end_order(q);
		unorder(q, send->call.start);
	}
	q->offer_from = send->call.start;
	bool crowded = q->reliable && crowd(q, send), contested = contest(q, send, NULL);
	if (contested || (crowded && q->unordered))
		taint(q, s);
	offer(q);
}

void datagram_receive(struct datagram_queue *q, const struct datagram *receive)
{
	if (!q->thread)
		q->thread = receive->call.thread;
	if (!q->unordered && q->thread != receive->call.thread)
		end_order(q);
	if (q->unordered && receive->call.start < q->ordered_until)
		unorder(q, receive->call.start);
	struct got new = { .d = *receive };
	if (attempt(q, &new))
		return;
	struct got *g = malloc(sizeof(*g));
	if (!g) {
		q->sink->unmatched(q->context, &receive->call);
		return;
	}
	*g = new;
	TAILQ_INSERT_TAIL(&q->receives, g, in_order);
	if (++q->receives_count > DATAGRAM_WAITING_MAX)
		leave_unmatched(q);
}

bool datagram_idle(const struct datagram_queue *q)
{
	return !q->waiting_count && !q->aside_count && !q->receives_count;
}

void datagram_doubt(struct datagram_queue *q)
{
	if (q->doubtful)
		return;
	q->doubtful = true;
	for (uint32_t i = 0; i < q->pairs.count; i++)
		take_back(q, pair_at(q, i));
}

void datagram_expire(struct datagram_queue *q, uint64_t now)
{
	struct got *g;
	struct sent *s, *next;
	while ((g = TAILQ_FIRST(&q->receives)) && g->d.call.end + DATAGRAM_PATIENCE_NS < now)
		leave_unmatched(q);
	for (s = TAILQ_FIRST(&q->aside); s && s->until + DATAGRAM_PATIENCE_NS < now; s = next) {
		next = TAILQ_NEXT(s, in_order);
		if (!s->took)
			give_up(q, s);
	}
}

static bool forget_sends(struct datagram_queue *q, struct sents *sends, bool (*gone)(const struct endpoint *))
{
	struct sent *next;
	for (struct sent *s = TAILQ_FIRST(sends); s; s = next) {
		next = TAILQ_NEXT(s, in_order);
		if (gone(s->d.call.endpoint))
			give_up(q, s);
	}
	return !TAILQ_EMPTY(sends);
}

static bool forget_receives(struct datagram_queue *q, bool (*gone)(const struct endpoint *))
{
	struct got *next;
	for (struct got *g = TAILQ_FIRST(&q->receives); g; g = next) {
		next = TAILQ_NEXT(g, in_order);
		if (g->robbed_of && gone(g->robbed_of))
			g->robbed_of = NULL;
		if (gone(g->d.call.endpoint)) {
			q->sink->unmatched(q->context, &g->d.call);
			got_drop(q, g);
		}
	}
	return !TAILQ_EMPTY(&q->receives);
}

/* What was matched still counts where others are judged, as of an endpoint like no other. */
static bool forget_pairs(struct datagram_queue *q, bool (*gone)(const struct endpoint *))
{
	bool left = false;
	for (uint32_t i = 0; i < q->pairs.count; i++) {
		struct pair *p = pair_at(q, i);
		struct endpoint **ends[] = { &p->send.call.endpoint, &p->receive.call.endpoint };
		for (int k = 0; k < 2; k++) {
			if (*ends[k] && gone(*ends[k])) {
				*ends[k] = NULL;
				p->exact = false; /* it cannot be taken back */
			}
			left |= *ends[k] != NULL;
		}
	}
	return left;
}

bool datagram_forget(struct datagram_queue *q, bool (*gone)(const struct endpoint *))
{
	bool left = forget_sends(q, &q->waiting, gone);
	left |= forget_sends(q, &q->aside, gone);
	left |= forget_receives(q, gone);
	left |= forget_pairs(q, gone);
	if (q->sender && gone(q->sender)) {
		q->sender = NULL;
		q->several_senders = true;
	}
	return left;
}

void datagram_settle(struct datagram_queue *q)
{
	while (!TAILQ_EMPTY(&q->receives))
		leave_unmatched(q);
	while (!TAILQ_EMPTY(&q->aside))
		give_up(q, TAILQ_FIRST(&q->aside));
	while (!TAILQ_EMPTY(&q->waiting))
		give_up(q, TAILQ_FIRST(&q->waiting));
	free(q->pairs.items);
	q->pairs = (struct match_ring){ 0 };
}

void datagram_free(struct datagram_queue *q)
{
	if (!q)
		return;
	datagram_settle(q);
	free(q);
}
