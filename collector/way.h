/* SPDX-License-Identifier: BSD-2-Clause */
/* One way of a talk, from the parser's notes to rows. Private to talk.c and note.c. */
#ifndef IPC_WAY_H
#define IPC_WAY_H

#include "reply.h"
#include "socket.h"
#include "talk.h"
#include "window.h"

enum { EARLY_MAX = 8 };

/* An event: its first byte's offset, and whose it is. */
struct mark {
	uint64_t offset, event, start, end;
	uint32_t process;
};

/* The latest message, where it goes on behind what was moved so far. */
struct open_message {
	uint64_t row;	     /* 0: there is none */
	uint64_t start, end; /* end 0: where the next one begins */
	uint64_t last_event;
};

/* A datagram that was read as it was received, of whose sender nothing was known yet: the event of its send
 * may come later all the same, and has its row then. */
struct early {
	uint64_t row, call, number;
	enum proto_kind kind;
};

struct way {
	struct window window; /* the first: a side is a window is a way */
	struct talk *talk;
	struct mark now;    /* the present event */
	struct mark *marks; /* those before it whose bytes are kept, the oldest first */
	uint32_t mark_count, mark_room;
	const struct endpoint *endpoint; /* of the present event */
	uint32_t told;			 /* of it, the first bytes, that were told */
	uint32_t last_thread;
	uint64_t last_end;    /* of the latest event, of that thread */
	uint64_t doubt_until; /* before this offset events overlapped */
	bool sent;	      /* it is read as it is sent */
	bool gap;	      /* messages are missing before the next one */
	struct early *early;  /* the latest EARLY_MAX, or NULL */
	uint32_t earlies;     /* so many were there ever */
	struct open_message open;
	struct reply_queue calls; /* that go this way, with their replies */
};

struct talk {
	struct proto_conversation conversation;
	struct way ways[2];
	struct channel *halves[2]; /* who sends this way; NULL: not known */
	unsigned int bad;
	uint64_t first_row; /* of `protocol_messages`, 0: none */
	TAILQ_ENTRY(talk) used;
};

/* What is sent into it is received from it. */
static inline bool way_is_only(const struct channel *ch)
{
	return ch->peer ? ch->peer == ch : socket_has_inbox(ch) || !ch->socket;
}

/* note.c */

/* A proto_noted: `context` is the way. */
void way_noted(struct proto_side *side, const struct proto_note *note);
/* What went on is over, at this offset. */
void way_end_message(struct collector *c, struct way *w, uint64_t end);
/* Counts a loss of the process whose event it is. */
void way_lose(struct collector *c, const struct way *w, enum ipc_reason reason, uint64_t count);

#endif
