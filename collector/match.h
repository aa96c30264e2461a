/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The matcher of one byte stream: which receive took which bytes of which send.
 *
 *	sends, by start     [s1 ........][s2 ...][s3 ..]          position in the stream
 *	receives, by end    [r1 ...][r2 ......][r3 ...]   ->  messages (s1,r1) (s1,r2) (s2,r2) ...
 *
 * Calls come ordered by their end. Kernel order is not observable where calls of different threads overlap
 * in time. Sends are placed by start, receives by end, and a message is exact only if
 *  - no send of another thread overlaps its send: each earlier send is earlier in the stream, whatever the
 *    order among them, so the send's position is certain; and
 *  - no receive of another thread could have taken its bytes instead. A receive can have been before one that
 *    ended earlier only if it started before that end, and if the stream then had more than its turn's
 *    bytes: if the send of its first byte began later, all that was sent was taken by those before. Where
 *    that holds for all threads is a cut: no doubt reaches back over it.
 * A call that was under way for long is seen only when it ends: what it contradicts is taken back (doubt),
 * from a window of the last MATCH_WINDOW messages.
 *
 * Independent of the store and of processes: a sink is told what was found.
 */
#ifndef IPC_MATCH_H
#define IPC_MATCH_H

#include <stdbool.h>
#include <stdint.h>

enum {
	MATCH_WINDOW = 1024,		/* messages that may still be taken back */
	MATCH_SENDS_MAX = 1 << 17,	/* not yet received; beyond it the oldest is forgotten */
	MATCH_SENDS_UNREAD = 1 << 13,	/* the same where no one was ever seen to receive */
	MATCH_RECVS_MAX = 1 << 16,	/* waiting for a send that has not ended */
	MATCH_UNFINISHED_MAX = 1024,	/* sends that never returned; beyond it the oldest is settled */
	MATCH_PATIENCE_NS = 1000000000, /* how long one waits when a later send is already there */
};

#define MATCH_SEVERAL UINT64_MAX

struct endpoint; /* whose call: the matcher only compares */

struct match_call {
	uint64_t start, end, bytes;
	uint64_t event; /* the store's id */
	struct endpoint *endpoint;
	uint32_t thread; /* never 0 */
};

struct match_message {
	uint64_t send_event, recv_event;
	uint64_t sent, received; /* start of the send, end of the receive that took its last byte */
	uint64_t bytes;
	struct endpoint *src, *dst;
	uint32_t src_thread;
	bool exact;
};

struct match_sink {
	/* Returns what doubt() shall be given for this message. */
	uint64_t (*message)(void *context, const struct match_message *m);
	/* This message was given as exact and is not. */
	void (*doubt)(void *context, const struct match_message *m, uint64_t handle);
	/* `bytes` of the receive (of `calls` calls in a row) came from no send that is known. */
	void (*unmatched)(void *context, const struct match_call *receive, uint64_t calls);
	/* The unfinished send moved `send->bytes`, as far as receivers saw. Returns the store's id of its
	 * event; `send->event` is what match_unfinished() was given. */
	uint64_t (*inferred)(void *context, const struct match_call *send);
	/* Something was forgotten or cannot be attributed: the channel is partial. */
	void (*partial)(void *context);
};

struct match_ring {
	void *items;
	uint32_t head, count, room; /* room is a power of two or 0 */
};

/* The latest end so far, and the latest of any other thread than that one's. */
struct match_latest {
	uint64_t end, other_end;
	uint32_t thread;
};

struct match_stream {
	const struct match_sink *sink;
	void *context;
	/* kept up to date by the owner */
	uint64_t one_writer, one_reader; /* since when one thread only can send (receive), or MATCH_SEVERAL */
	bool had_writer, had_reader;	 /* someone in the trace held that end */
	bool doubtful;			 /* someone unseen sends or receives too: nothing is exact any more */
	/* the matcher's own */
	bool settling, unsure_position;
	struct match_ring sends, receives, window;
	struct match_ring given_up; /* receives whose send may still end */
	struct unfinished *unfinished;
	struct match_share *spare;
	struct match_latest sent, received; /* of what is matched */
	uint64_t sent_start;		    /* latest start of a send that was taken from */
	uint64_t cut;			    /* the latest cut: when its next send began */
	uint64_t now, admitted;
};

/* A zeroed stream is valid; set sink, context and the owner's flags. Every function may call the sink. */

/* A send that moved bytes. */
void match_send(struct match_stream *st, const struct match_call *call);
/* A send that never returned: its size is inferred from the receives. `bytes` is ignored. */
void match_unfinished(struct match_stream *st, const struct match_call *call);
/* A receive that moved bytes. */
void match_receive(struct match_stream *st, const struct match_call *call);
/* Someone unseen may have sent or received: no message is exact, lately and from now on. */
void match_doubt(struct match_stream *st);
/* The sends that wait are gone: a call that began at `start` emptied the channel. */
void match_clear(struct match_stream *st, uint64_t start);
/* Sends that have not been received in full. */
bool match_unread(const struct match_stream *st);
/* Nothing more will come: gives up what waits, tells of sends received in part, empties the stream. */
void match_settle(struct match_stream *st);
/* Frees memory that is not needed now; all of it after match_settle(). */
void match_trim(struct match_stream *st);

#endif
