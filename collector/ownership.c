// SPDX-License-Identifier: BSD-2-Clause
/* The matcher of locks (ownership.h). If memory runs out a call is left out of the matching. */
#include <stdlib.h>
#include <string.h>

#include "ownership.h"

/* Bytes that were acquired by one call and, if `released`, released by one. */
struct ownership_piece {
	struct ownership_range range;
	uint64_t owner;
	struct match_call acquired, release;
	bool shared, released;
	bool over; /* another has them: only the release is missing */
};

/* What an acquisition excludes, and so takes over. */
struct part {
	struct ownership_range range;
	uint64_t owner;
	struct match_call release;
	bool released;
	bool doubtful; /* another process may have released these bytes later */
	bool told;
};

struct ownership_wait {
	struct match_call call;
	struct ownership_range range;
	struct part *parts;
	uint32_t count, room;
};

static bool overlap(struct ownership_range a, struct ownership_range b)
{
	return a.first <= b.last && b.first <= a.last;
}

static struct ownership_range common(struct ownership_range a, struct ownership_range b)
{
	return (struct ownership_range){ a.first > b.first ? a.first : b.first,
					 a.last < b.last ? a.last : b.last };
}

/* `a` without `b`, which it overlaps, in up to two pieces. */
static int without(struct ownership_range a, struct ownership_range b, struct ownership_range out[2])
{
	int n = 0;
	if (a.first < b.first)
		out[n++] = (struct ownership_range){ a.first, b.first - 1 };
	if (a.last > b.last)
		out[n++] = (struct ownership_range){ b.last + 1, a.last };
	return n;
}

/* Room for one more item behind the last. */
static void *add(void **items, uint32_t *count, uint32_t *room, size_t size)
{
	if (*count == *room) {
		uint32_t more = *room ? *room * 2 : 4;
		void *grown = realloc(*items, more * size);
		if (!grown)
			return NULL;
		*items = grown;
		*room = more;
	}
	return (char *)*items + (*count)++ * size;
}

static void add_part(struct ownership_wait *w, struct part part)
{
	struct part *p = add((void **)&w->parts, &w->count, &w->room, sizeof(part));
	if (p)
		*p = part;
}

static void add_piece(struct ownership *o, struct ownership_piece piece)
{
	struct ownership_piece *p = add((void **)&o->pieces, &o->piece_count, &o->piece_room, sizeof(piece));
	if (p)
		*p = piece;
}

static void drop_piece(struct ownership *o, uint32_t i)
{
	memmove(&o->pieces[i], &o->pieces[i + 1], (--o->piece_count - i) * sizeof(*o->pieces));
}

struct acquisition {
	struct ownership *o;
	const struct match_call *call;
	uint64_t owner;
	bool shared;
	struct ownership_wait wait;
};

/* Gives `take` what of the range is in no piece that `skips` says yes to. */
static void for_rest(struct acquisition *a, struct ownership_range range,
		     bool (*skips)(const struct acquisition *, const struct ownership_piece *),
		     void (*take)(struct acquisition *, struct ownership_range))
{
	struct ownership_range rest[2];
	for (uint32_t i = 0; i < a->o->piece_count; i++) {
		const struct ownership_piece *p = &a->o->pieces[i];
		if (!overlap(p->range, range) || !skips(a, p))
			continue;
		int pieces = without(range, p->range, rest);
		for (int k = 0; k < pieces; k++)
			for_rest(a, rest[k], skips, take);
		return;
	}
	take(a, range);
}

/* Messages. */

/* Whether some of the range is in none of the parts. */
static bool is_left(const struct part *parts, uint32_t n, struct ownership_range range)
{
	struct ownership_range rest[2];
	for (; n; parts++, n--) {
		if (!overlap(parts->range, range))
			continue;
		int pieces = without(range, parts->range, rest);
		for (int k = 0; k < pieces; k++)
			if (is_left(parts + 1, n - 1, rest[k]))
				return true;
		return false;
	}
	return true;
}

static int latest_first(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	return (x->release.end < y->release.end) - (x->release.end > y->release.end);
}

/* Whether it matters which of them was the later: not where both are of one process and of all that is
 * acquired. */
static bool differ(const struct ownership_wait *w, const struct part *a, const struct part *b)
{
	bool all = a->range.first == w->range.first && a->range.last == w->range.last &&
		   b->range.first == w->range.first && b->range.last == w->range.last;
	return a->release.event != b->release.event && overlap(a->range, b->range) &&
	       (a->release.endpoint != b->release.endpoint || !all);
}

/* Calls that overlap leave the order open. */
static void find_doubts(struct ownership_wait *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		for (uint32_t k = 0; k < w->count; k++) {
			const struct match_call *a = &w->parts[i].release, *b = &w->parts[k].release;
			w->parts[i].doubtful |= a->end > b->start && b->end > a->start &&
						differ(w, &w->parts[i], &w->parts[k]);
		}
}

/* Of a release of the process itself, which is not told, and another's the other counts as the later: so that
 * something says that it is not certain. */
static void put_own_last(struct ownership_wait *w)
{
	for (uint32_t i = 0; i < w->count; i++) {
		struct part *own = &w->parts[i];
		if (!own->doubtful || own->release.endpoint != w->call.endpoint)
			continue;
		own->release.end = 0;
		for (uint32_t k = 0; k < w->count; k++)
			w->parts[k].doubtful |= overlap(w->parts[k].range, own->range);
	}
}

static bool is_told(const struct ownership_wait *w, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++)
		if (w->parts[k].told && w->parts[k].release.event == w->parts[i].release.event)
			return true;
	return false;
}

static bool is_missed(const struct ownership_wait *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		if (w->parts[i].release.start > w->call.end)
			return true;
	return false;
}

/* With one of its bytes a release is not certain as a whole. */
static bool is_certain(const struct ownership_wait *w, const struct part *part)
{
	for (uint32_t i = 0; i < w->count; i++)
		if (w->parts[i].doubtful && w->parts[i].release.event == part->release.event)
			return false;
	return true;
}

static void tell(const struct ownership *o, const struct ownership_wait *w, const struct part *p)
{
	struct match_message m = { .send_event = p->release.event,
				   .recv_event = w->call.event,
				   .sent = p->release.start,
				   .received = w->call.end,
				   .src = p->release.endpoint,
				   .dst = w->call.endpoint,
				   .src_thread = p->release.thread,
				   .exact = !o->forgetful && is_certain(w, p) };
	o->sink->message(o->context, &m);
}

/* Every release is known. */
static void resolve(const struct ownership *o, struct ownership_wait *w)
{
	bool missed = is_missed(w);
	if (missed)
		o->sink->unmatched(o->context, &w->call);
	find_doubts(w);
	put_own_last(w);
	if (w->count)
		qsort(w->parts, w->count, sizeof(*w->parts), latest_first);
	for (uint32_t i = 0; i < w->count && !missed; i++) {
		struct part *p = &w->parts[i];
		p->told = p->release.endpoint != w->call.endpoint && !is_told(w, i) &&
			  is_left(w->parts, i, p->range);
		if (p->told)
			tell(o, w, p);
	}
	free(w->parts);
}

static bool is_ready(const struct ownership_wait *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		if (!w->parts[i].released)
			return false;
	return true;
}

static void drop_wait(struct ownership *o, uint32_t i)
{
	memmove(&o->waits[i], &o->waits[i + 1], (--o->wait_count - i) * sizeof(*o->waits));
}

static void give_up(struct ownership *o, uint32_t i)
{
	o->sink->unmatched(o->context, &o->waits[i].call);
	free(o->waits[i].parts);
	drop_wait(o, i);
}

/* Releases. */

/* Where the piece overlaps the range it is over: gone or, where its release is missing, marked. */
static void end_piece(struct ownership *o, uint32_t i, struct ownership_range range)
{
	struct ownership_range rest[2];
	struct ownership_piece piece = o->pieces[i];
	int pieces = without(piece.range, range, rest);
	o->pieces[i].over = true;
	o->pieces[i].range = common(piece.range, range);
	for (int k = 0; k < pieces; k++) {
		piece.range = rest[k];
		add_piece(o, piece);
	}
}

static void release_parts(struct ownership_wait *w, const struct match_call *call, uint64_t owner,
			  struct ownership_range range)
{
	struct ownership_range rest[2];
	for (uint32_t i = 0, n = w->count; i < n; i++) {
		struct part part = w->parts[i];
		if (part.released || part.owner != owner || !overlap(part.range, range))
			continue;
		int pieces = without(part.range, range, rest);
		w->parts[i].range = common(part.range, range);
		w->parts[i].released = true;
		w->parts[i].release = *call;
		for (int k = 0; k < pieces; k++) {
			part.range = rest[k];
			add_part(w, part);
		}
	}
}

/* Of what a process shared and released again and again only the last is of interest. */
static void end_earlier(struct ownership *o, const struct ownership_piece *later)
{
	for (uint32_t i = 0, n = o->piece_count; i < n; i++) {
		const struct ownership_piece *p = &o->pieces[i];
		if (p->released && p->release.end <= later->release.start && p->shared &&
		    overlap(p->range, later->range) && p->acquired.endpoint == later->acquired.endpoint &&
		    p->release.endpoint == later->release.endpoint)
			end_piece(o, i, later->range);
	}
}

static void release_piece(struct ownership *o, uint32_t i, const struct match_call *call,
			  struct ownership_range range)
{
	struct ownership_range rest[2];
	struct ownership_piece piece = o->pieces[i];
	int pieces = without(piece.range, range, rest);
	piece.range = common(piece.range, range);
	piece.release = *call;
	if (piece.shared && !piece.over)
		end_earlier(o, &piece);
	o->pieces[i].range = piece.range;
	o->pieces[i].released = true;
	o->pieces[i].release = *call;
	for (int k = 0; k < pieces; k++) {
		piece.range = rest[k];
		add_piece(o, piece);
	}
}

static void drop_over(struct ownership *o)
{
	for (uint32_t i = o->piece_count; i-- > 0;)
		if (o->pieces[i].released && o->pieces[i].over)
			drop_piece(o, i);
}

static void forget_oldest(struct ownership *o)
{
	uint32_t released = 0, oldest = 0;
	for (uint32_t i = o->piece_count; i-- > 0;)
		if (o->pieces[i].released) {
			released++;
			oldest = i;
		}
	if (released > OWNERSHIP_RELEASED_MAX) {
		drop_piece(o, oldest);
		o->forgetful = true;
	}
}

void ownership_release(struct ownership *o, const struct match_call *call, uint64_t owner,
		       struct ownership_range range)
{
	for (uint32_t i = 0; i < o->wait_count;) {
		struct ownership_wait *w = &o->waits[i];
		release_parts(w, call, owner, range);
		if (!is_ready(w)) {
			i++;
			continue;
		}
		struct ownership_wait ready = *w;
		drop_wait(o, i);
		resolve(o, &ready);
	}
	for (uint32_t i = 0, n = o->piece_count; i < n; i++) {
		const struct ownership_piece *p = &o->pieces[i];
		if (p->owner == owner && !p->released && overlap(p->range, range))
			release_piece(o, i, call, range);
	}
	drop_over(o);
	if (o->piece_count > OWNERSHIP_RELEASED_MAX)
		forget_oldest(o);
}

/* Acquisitions. */

static bool has_already(const struct acquisition *a, const struct ownership_piece *p)
{
	return p->owner == a->owner && !p->released && !p->over && p->shared == a->shared;
}

/* What the process shares, or has shared since it was last anyone's alone. */
static bool shared_before(const struct acquisition *a, const struct ownership_piece *p)
{
	return p->shared && !p->over && p->acquired.endpoint == a->call->endpoint;
}

static void excludes(struct acquisition *a, struct ownership_range range)
{
	for (uint32_t i = 0; i < a->o->piece_count; i++) {
		const struct ownership_piece *p = &a->o->pieces[i];
		if (p->over || (p->shared && a->shared) || (p->owner == a->owner && !p->released) ||
		    !overlap(p->range, range))
			continue;
		add_part(&a->wait, (struct part){ .range = common(p->range, range),
						  .owner = p->owner,
						  .release = p->release,
						  .released = p->released });
	}
}

static void takes_over(struct acquisition *a, struct ownership_range range)
{
	if (a->shared)
		for_rest(a, range, shared_before, excludes);
	else
		excludes(a, range);
}

static void has_now(struct acquisition *a, struct ownership_range range)
{
	struct ownership *o = a->o;
	for (uint32_t i = 0, n = o->piece_count; i < n; i++) {
		const struct ownership_piece *p = &o->pieces[i];
		if (!a->shared && !p->over && overlap(p->range, range))
			end_piece(o, i, range);
	}
	add_piece(o, (struct ownership_piece){
			     .range = range, .owner = a->owner, .acquired = *a->call, .shared = a->shared });
}

static void acquire(struct acquisition *a, struct ownership_range range)
{
	takes_over(a, range);
	ownership_release(a->o, a->call, a->owner, range); /* what it had otherwise */
	has_now(a, range);
}

static void keep_wait(struct ownership *o, const struct ownership_wait *wait)
{
	if (o->wait_count == OWNERSHIP_WAITING_MAX)
		give_up(o, 0);
	struct ownership_wait *w = add((void **)&o->waits, &o->wait_count, &o->wait_room, sizeof(*wait));
	if (w)
		*w = *wait;
	else
		free(wait->parts);
}

void ownership_acquire(struct ownership *o, const struct match_call *call, uint64_t owner,
		       struct ownership_range range, bool shared)
{
	struct acquisition a = { o, call, owner, shared, { .call = *call, .range = range } };
	for_rest(&a, range, has_already, acquire);
	drop_over(o);
	if (is_ready(&a.wait))
		resolve(o, &a.wait);
	else
		keep_wait(o, &a.wait);
}

/* Questions. */

bool ownership_has(const struct ownership *o, uint64_t owner)
{
	return ownership_has_so(o, owner, true) || ownership_has_so(o, owner, false);
}

bool ownership_has_so(const struct ownership *o, uint64_t owner, bool shared)
{
	for (uint32_t i = 0; i < o->piece_count; i++)
		if (o->pieces[i].owner == owner && !o->pieces[i].released && o->pieces[i].shared == shared)
			return true;
	return false;
}

uint64_t ownership_missed(const struct ownership *o, uint64_t owner)
{
	uint64_t first = UINT64_MAX;
	for (uint32_t i = 0; i < o->wait_count; i++)
		for (uint32_t k = 0; k < o->waits[i].count; k++)
			if (o->waits[i].parts[k].owner == owner && !o->waits[i].parts[k].released &&
			    o->waits[i].call.end < first)
				first = o->waits[i].call.end;
	return first;
}

void ownership_settle(struct ownership *o)
{
	while (o->wait_count)
		give_up(o, 0);
	free(o->waits);
	free(o->pieces);
	o->waits = NULL;
	o->pieces = NULL;
	o->piece_count = o->piece_room = o->wait_room = 0;
}
