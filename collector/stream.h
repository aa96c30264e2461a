/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What waits in a stream, and what has been matched lately: private to match.c and doubt.c (but for the rings
 * themselves). Three rings:
 * sends and receives that wait, and the window of messages that may still be taken back (doubt.c).
 */
#ifndef IPC_STREAM_H
#define IPC_STREAM_H

#include <stddef.h>
#include <stdlib.h>

#include "match.h"

#define SEVERAL UINT32_MAX /* threads of one process received; no thread has this number */

struct match_share {
	struct endpoint *dst; /* NULL: none yet */
	uint64_t bytes, event;
	uint64_t start, end; /* of the first and last receive */
	uint32_t thread;     /* or SEVERAL */
	bool exact;
	struct match_share *next;
};

struct send {
	uint64_t start, end, event, left;
	uint64_t max_end; /* of this one and all in front of it */
	struct endpoint *src;
	uint32_t thread;
	bool doubt;
	struct match_share share; /* the first; further ones are chained */
};

struct receive {
	uint64_t start, first_end, end; /* of the first call, the first, the last (see join_run) */
	uint64_t event, left, calls, admitted;
	struct endpoint *endpoint;
	uint32_t thread;
	bool doubt, placed;
};

struct past {
	struct match_message message;
	uint64_t send_end, max_end, handle;
	uint64_t recv_start, cut; /* cut: the latest when it was matched */
	uint32_t dst_thread;
};

/* Rings of items of one size. */

bool ring_grow(struct match_ring *r, size_t size);

static inline void *ring_at(const struct match_ring *r, size_t size, uint32_t i)
{
	return (char *)r->items + size * ((r->head + i) & (r->room - 1));
}

static inline struct send *send_at(const struct match_stream *st, uint32_t i)
{
	return ring_at(&st->sends, sizeof(struct send), i);
}

static inline struct receive *receive_at(const struct match_stream *st, uint32_t i)
{
	return ring_at(&st->receives, sizeof(struct receive), i);
}

static inline struct past *past_at(const struct match_stream *st, uint32_t i)
{
	return ring_at(&st->window, sizeof(struct past), i);
}

static inline struct receive *given_up_at(const struct match_stream *st, uint32_t i)
{
	return ring_at(&st->given_up, sizeof(struct receive), i);
}

static inline bool ring_add(struct match_ring *r, size_t size)
{
	if (r->count == r->room && !ring_grow(r, size))
		return false;
	r->count++;
	return true;
}

static inline void ring_drop(struct match_ring *r)
{
	r->head = (r->head + 1) & (r->room - 1);
	r->count--;
}

static inline void ring_free(struct match_ring *r)
{
	free(r->items);
	*r = (struct match_ring){ 0 };
}

/* The latest end of a thread other than this one. */
static inline uint64_t latest_of_others(const struct match_latest *l, uint32_t thread)
{
	return thread == l->thread ? l->other_end : l->end;
}

/* doubt.c: all times are those of the call that contradicts; a thread's own calls contradict nothing. */

/* Keeps a message that may have to be taken back. */
void doubt_remember(struct match_stream *st, struct past p);
/* Messages of sends of other threads that ended after `end`. */
void doubt_sends(struct match_stream *st, uint64_t end, uint32_t thread);
/* Messages, and shares of sends not yet used up, of receives of other threads that ended after `end`. */
void doubt_receives(struct match_stream *st, uint64_t end, uint32_t thread);
/* A send that began at `start` was in the stream when what followed it was matched: cuts since then were
 * none. */
void doubt_cuts(struct match_stream *st, uint64_t start);

#endif
