/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which call a reply answers: by their number, else in their order. As a call's send may return after that of
 * its reply, either may come first.
 */
#ifndef IPC_REPLY_H
#define IPC_REPLY_H

#include <stdbool.h>
#include <stdint.h>

enum { REPLY_WAITING_MAX = 1024 }; /* calls of one way of a talk; beyond it the oldest is forgotten */

/* A call or a reply. */
struct reply_item {
	uint64_t row;	     /* its id in the trace file */
	uint64_t number;     /* its call's, if numbered */
	uint64_t start, end; /* of the event that moved its first byte */
	bool numbered;
};

struct reply_list {
	struct reply_item *items; /* the oldest first */
	uint32_t count, room;
};

/* Calls one way, replies the other; zeroed at first. */
struct reply_queue {
	struct reply_list calls, replies;
	uint64_t forgotten; /* calls that were too many */
	uint64_t lost;	    /* until then replies may be missing: it is not told whose */
};

/* Returns the row of the reply that came before it, 0: none yet. */
uint64_t reply_call(struct reply_queue *q, const struct reply_item *call);

/* Returns the row of the call, 0: none yet. */
uint64_t reply_reply(struct reply_queue *q, const struct reply_item *reply);

/* Messages are missing: what is joined by order alone cannot be told any more. `until`: when the last of the
 * replies among them was sent, 0: they are calls. */
void reply_lose(struct reply_queue *q, uint64_t until);

void reply_free(struct reply_queue *q);

#endif
