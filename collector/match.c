// SPDX-License-Identifier: BSD-2-Clause
/*
 * The byte-stream matcher (match.h). Sends and receives wait in two rings, the oldest in front; bytes are
 * taken from the front of one by the front of the other. What a process has taken of a send is a share; a
 * send's shares become messages when its last byte is taken.
 * If memory runs out a call is left out of the matching, and the stream doubtful.
 */
#include <stdlib.h>

#include "stream.h"

struct unfinished {
	struct send send;
	struct unfinished *next;
};

static void now(struct match_stream *st, uint64_t end)
{
	if (end > st->now)
		st->now = end;
}

static void latest_add(struct match_latest *l, uint64_t end, uint32_t thread)
{
	if (thread == l->thread || !l->thread) {
		l->thread = thread;
		if (end > l->end)
			l->end = end;
	} else if (end > l->end) {
		*l = (struct match_latest){ .end = end, .other_end = l->end, .thread = thread };
	} else if (end > l->other_end) {
		l->other_end = end;
	}
}

/* Shares and messages. */

static void share_add(struct match_stream *st, struct send *s, const struct receive *r, uint64_t bytes)
{
	struct match_share *share = &s->share;
	while (share->dst && share->dst != r->endpoint && share->next)
		share = share->next;
	if (share->dst && share->dst != r->endpoint) {
		struct match_share *more = st->spare;
		if (more)
			st->spare = more->next;
		else if (!(more = malloc(sizeof(*more))))
			return;
		more->dst = NULL;
		more->next = NULL;
		share->next = more;
		share = more;
	}
	if (!share->dst)
		*share = (struct match_share){
			.dst = r->endpoint, .start = r->start, .thread = r->thread, .exact = true
		};
	if (r->start < share->start)
		share->start = r->start;
	share->bytes += bytes;
	share->event = r->event;
	share->end = r->end;
	share->exact &= !r->doubt;
	if (share->thread != r->thread)
		share->thread = SEVERAL;
}

/* Tells of the shares of a send and frees them. */
static void tell(struct match_stream *st, struct send *s)
{
	bool exact = !s->doubt && !st->doubtful;
	for (struct match_share *share = &s->share; share; share = share->next)
		exact &= share->exact || !share->dst;
	for (struct match_share *share = &s->share; share && share->dst; share = share->next) {
		struct past p = {
			.send_end = s->end,
			.recv_start = share->start,
			.cut = st->cut,
			.dst_thread = share->thread,
		};
		p.message = (struct match_message){
			.send_event = s->event,
			.recv_event = share->event,
			.sent = s->start,
			.received = share->end,
			.bytes = share->bytes,
			.src = s->src,
			.dst = share->dst,
			.src_thread = s->thread,
			.exact = exact,
		};
		p.handle = st->sink->message(st->context, &p.message);
		doubt_remember(st, p);
	}
	while (s->share.next) {
		struct match_share *share = s->share.next;
		s->share.next = share->next;
		share->next = st->spare;
		st->spare = share;
	}
}

static void finish_send(struct match_stream *st)
{
	struct send *s = send_at(st, 0);
	tell(st, s);
	latest_add(&st->sent, s->end, s->thread);
	ring_drop(&st->sends);
}

static void forget_oldest(struct match_stream *st)
{
	st->doubtful = true;
	st->sink->partial(st->context);
	finish_send(st);
}

/* Receiving. */

/* The receive takes its first byte, of a send that began at `first`. */
static void place(struct match_stream *st, struct receive *r, uint64_t first)
{
	uint64_t latest = latest_of_others(&st->received, r->thread);
	for (struct unfinished *u = st->unfinished; u; u = u->next)
		if (u->send.start < first)
			first = u->send.start; /* it may have put more into the stream than was seen */
	if (first >= st->received.end) {
		st->cut = first;
	} else if (latest > r->start && latest > first) {
		r->doubt = true;
		doubt_receives(st, r->start > st->cut ? r->start : st->cut, r->thread);
	}
	r->placed = true;
}

static void take(struct match_stream *st, struct receive *r)
{
	while (r->left && st->sends.count) {
		struct send *s = send_at(st, 0);
		if (s->start > (r->placed ? r->end : r->first_end))
			return;
		if (!r->placed)
			place(st, r, s->start);
		if (s->start > st->sent_start)
			st->sent_start = s->start;
		uint64_t bytes = r->left < s->left ? r->left : s->left;
		share_add(st, s, r, bytes);
		r->left -= bytes;
		s->left -= bytes;
		if (!s->left)
			finish_send(st);
	}
}

static bool give_up(const struct match_stream *st, const struct receive *r)
{
	if (st->settling || st->receives.count > MATCH_RECVS_MAX || (!st->had_writer && !st->unfinished))
		return true;
	return st->sends.count >= MATCH_SENDS_MAX / 2 ||
	       (st->sends.count && st->now > r->end + MATCH_PATIENCE_NS);
}

/* No finished send covers the rest of the receive, and none will. */
static void leave_uncovered(struct match_stream *st, struct receive *r)
{
	struct unfinished *u = st->unfinished;
	while (u && u->send.start > r->end)
		u = u->next;
	if (!r->placed)
		place(st, r, u ? u->send.start : 0);
	if (u) {
		share_add(st, &u->send, r, r->left);
		return;
	}
	struct match_call call = { r->start, r->end, r->left, r->event, r->endpoint, r->thread };
	match_doubt(st);
	r->doubt = true;
	if (st->given_up.count == MATCH_WINDOW)
		ring_drop(&st->given_up);
	if (ring_add(&st->given_up, sizeof(struct receive)))
		*given_up_at(st, st->given_up.count - 1) = *r;
	st->sink->unmatched(st->context, &call, r->calls);
}

static void run(struct match_stream *st)
{
	while (st->receives.count) {
		struct receive *r = receive_at(st, 0);
		take(st, r);
		if (r->left) {
			if (!give_up(st, r))
				return;
			leave_uncovered(st, r);
		}
		latest_add(&st->received, r->end, r->thread);
		ring_drop(&st->receives);
	}
}

/*
 * Receives of one thread that follow each other with no send ending between them, the first of them still
 * waiting, wait for the same send: one that is under way. (Were they for two, these would overlap and the
 * messages be doubtful.) They become one receive, so that a huge write costs no memory while it goes on.
 */
static bool join_run(struct match_stream *st, const struct match_call *call)
{
	if (!st->receives.count)
		return false;
	struct receive *r = receive_at(st, st->receives.count - 1);
	if (r->thread != call->thread || r->endpoint != call->endpoint || r->admitted != st->admitted ||
	    call->end < r->end)
		return false;
	r->end = call->end;
	r->event = call->event;
	r->left += call->bytes;
	r->calls++;
	return true;
}

void match_receive(struct match_stream *st, const struct match_call *call)
{
	now(st, call->end);
	if (!join_run(st, call)) {
		if (!ring_add(&st->receives, sizeof(struct receive))) {
			st->doubtful = true;
			return;
		}
		uint32_t i = st->receives.count - 1;
		for (; i && !receive_at(st, i - 1)->placed && receive_at(st, i - 1)->end > call->end; i--)
			*receive_at(st, i) = *receive_at(st, i - 1);
		*receive_at(st, i) = (struct receive){
			.start = call->start,
			.first_end = call->end,
			.end = call->end,
			.event = call->event,
			.left = call->bytes,
			.calls = 1,
			.admitted = st->admitted,
			.endpoint = call->endpoint,
			.thread = call->thread,
		};
	}
	run(st);
}

/* Sending. */

static void mark_overlap(struct send *a, struct send *b)
{
	if (a->thread != b->thread)
		a->doubt = b->doubt = true;
}

/* Marks what the new send at `i` overlaps among those that wait, and keeps max_end. */
static void mark_overlaps(struct match_stream *st, uint32_t i)
{
	struct send *s = send_at(st, i);
	s->max_end = s->end;
	if (i && send_at(st, i - 1)->max_end > s->end)
		s->max_end = send_at(st, i - 1)->max_end;
	for (uint32_t j = i; j-- > 0 && send_at(st, j)->max_end > s->start;)
		if (send_at(st, j)->end > s->start)
			mark_overlap(send_at(st, j), s);
	for (uint32_t j = i + 1; j < st->sends.count; j++) {
		struct send *later = send_at(st, j);
		if (later->start < s->end)
			mark_overlap(later, s);
		if (later->max_end < s->max_end)
			later->max_end = s->max_end;
	}
}

/* A send that was under way while later ones were already received. */
static void contradict(struct match_stream *st, struct send *s)
{
	if (latest_of_others(&st->sent, s->thread) > s->start) {
		s->doubt = true;
		doubt_sends(st, s->start, s->thread);
	}
	if (s->start < st->sent_start)
		doubt_cuts(st, s->start);
}

/* Bytes of it may have been taken by receives that were given up. */
static void take_given_up(struct match_stream *st, struct send *s)
{
	uint32_t count = st->given_up.count;
	if (!count || given_up_at(st, count - 1)->end < s->start)
		return;
	for (uint32_t i = 0; i < count && s->left; i++) {
		struct receive *r = given_up_at(st, i);
		uint64_t bytes = r->left < s->left ? r->left : s->left;
		if (!bytes || r->end < s->start)
			continue;
		share_add(st, s, r, bytes);
		r->left -= bytes;
		s->left -= bytes;
	}
	while (st->given_up.count && !given_up_at(st, 0)->left)
		ring_drop(&st->given_up);
}

void match_send(struct match_stream *st, const struct match_call *call)
{
	now(st, call->end);
	st->admitted++;
	struct send new = {
		.start = call->start,
		.end = call->end,
		.event = call->event,
		.left = call->bytes,
		.src = call->endpoint,
		.thread = call->thread,
		.doubt = st->unsure_position,
	};
	contradict(st, &new);
	take_given_up(st, &new);
	if (!new.left) {
		tell(st, &new);
		return;
	}
	if (st->sends.count >= (st->had_reader ? MATCH_SENDS_MAX : MATCH_SENDS_UNREAD))
		forget_oldest(st);
	if (!ring_add(&st->sends, sizeof(struct send))) {
		st->doubtful = true;
		return;
	}
	uint32_t i = st->sends.count - 1;
	for (; i && send_at(st, i - 1)->start > call->start; i--)
		*send_at(st, i) = *send_at(st, i - 1);
	*send_at(st, i) = new;
	mark_overlaps(st, i);
	run(st);
}

/* The oldest: nothing more is taken from it. */
static void finish_unfinished(struct match_stream *st)
{
	struct unfinished *u = st->unfinished;
	st->unfinished = u->next;
	struct match_call call = {
		u->send.start, u->send.end, 0, u->send.event, u->send.src, u->send.thread
	};
	for (struct match_share *s = &u->send.share; s && s->dst; s = s->next)
		call.bytes += s->bytes;
	u->send.event = st->sink->inferred(st->context, &call);
	tell(st, &u->send);
	free(u);
}

void match_unfinished(struct match_stream *st, const struct match_call *call)
{
	struct unfinished *u = calloc(1, sizeof(*u));
	if (!u) {
		st->doubtful = true;
		return;
	}
	now(st, call->end);
	st->admitted++;
	u->send = (struct send){
		.start = call->start,
		.end = call->end,
		.event = call->event,
		.src = call->endpoint,
		.thread = call->thread,
		.doubt = true,
	};
	contradict(st, &u->send);
	for (uint32_t i = 0; i < st->sends.count; i++)
		if (send_at(st, i)->end > call->start)
			mark_overlap(send_at(st, i), &u->send);
	u->send.left = UINT64_MAX;
	take_given_up(st, &u->send);
	st->unsure_position = true;
	struct unfinished **last = &st->unfinished;
	unsigned int waiting = 1;
	for (; *last; waiting++)
		last = &(*last)->next;
	*last = u;
	if (waiting > MATCH_UNFINISHED_MAX)
		finish_unfinished(st);
	run(st);
}

void match_doubt(struct match_stream *st)
{
	st->doubtful = true;
	doubt_sends(st, 0, 0);
}

void match_clear(struct match_stream *st, uint64_t start)
{
	if (st->sends.count && send_at(st, st->sends.count - 1)->max_end > start)
		match_doubt(st);
	while (st->sends.count)
		finish_send(st);
}

bool match_unread(const struct match_stream *st)
{
	return st->sends.count;
}

void match_settle(struct match_stream *st)
{
	st->settling = true;
	run(st);
	while (st->unfinished)
		finish_unfinished(st);
	while (st->sends.count)
		finish_send(st);
	st->settling = st->unsure_position = false;
	st->given_up.count = 0;
}

void match_trim(struct match_stream *st)
{
	if (!st->sends.count)
		ring_free(&st->sends);
	if (!st->receives.count)
		ring_free(&st->receives);
	if (!st->sends.count && !st->receives.count)
		ring_free(&st->window);
	ring_free(&st->given_up);
	while (st->spare) {
		struct match_share *next = st->spare->next;
		free(st->spare);
		st->spare = next;
	}
}
