/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the pass that finds spans knows: private to spans.c, span_load.c, turn.c, told.c, chain.c and
 *span_write.c.
 *
 *	event --lane--> thread, node (a descriptor of an endpoint) --> conversation (two ways)
 *	conversation: exchanges, in the order of their requests
 *	exchange --number--> note: what is left of it when its row is written
 *
 * Events come in the order of their moments: sends as they begin, receives as they end. A send makes an
 * arrival for each receive that took of it, which that receive then meets. Every exchange is numbered as it
 * begins, so a parent's number is below its children's. One that never gets a reply is no span, but a step on
 * the way from one span to another.
 *
 * Times are nanoseconds since meta.start_ns; NEVER: none.
 */
#ifndef IPC_SPAN_H
#define IPC_SPAN_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "calls.h"
#include "table.h"

#define NEVER INT64_MIN

enum {
	UNANSWERED_MAX = 64, /* requests of a conversation that may still get a reply */
	ANSWERED_MAX = 256,  /* requests of a conversation whose reply waits to be received */
	RECENT_MAX = 32,     /* requests of a thread whose parent may still become known */
	HOPS_MAX = 32,	     /* between two spans */
	SERVING_MAX = 16,    /* of those that one thread works on at a time, the latest */
};

/* What a thread works on. Shared by who it was handed on to. */
struct context {
	uint32_t references, span;
	struct context *from; /* whose hop this was; NULL: the thread got the request itself */
	int64_t message;      /* id in `messages`, 0: it has no row */
	uint32_t channel, hops;
	bool exact;
};

enum lane_kind { LANE_OTHER, LANE_SEND, LANE_RECEIVE, LANE_FORGET, LANE_CONNECT, LANE_POLL };

struct span_lane {
	uint32_t thread, process, channel, node;
	uint8_t kind; /* enum lane_kind */
};

struct span_thread {
	struct context *context;
	uint32_t process;
	uint32_t inherits;			 /* the thread that called exec; 0: none, or it is done */
	uint32_t open;				 /* requests that it sent and has no reply to yet */
	uint32_t serving[SERVING_MAX], servings; /* that it got and has not answered, latest last */
	uint32_t recent[RECENT_MAX], recents;	 /* that it sent, latest last, see chain_sent_reply() */
	bool polled;				 /* since it got its context */
};

/* A descriptor of an endpoint. */
struct node {
	uint32_t channel, process;
	int8_t side; /* of a socket: 0 who calls, 1 who answers, -1: not known yet */
};

struct span_channel {
	uint8_t mechanism;
	bool outside; /* one side only is in the trace */
	bool told;    /* its messages are: told.c */
	bool lock;    /* a semaphore that the same threads take and give back */
	bool counted; /* a semaphore whose messages have no rows: `units` were given and not yet taken */
	struct conversation *conversation; /* of a socket, NULL: it is used one way only */
	struct context *connects;	   /* in which it was connected, until the first request */
	struct flow *flows;		   /* of others: by who sends to whom */
	TAILQ_HEAD(, exchange) calls;	   /* where it is told: that are not over */
	uint32_t open;			   /* how many */
	struct arrivals *units;
	uint64_t unit_count, first_units; /* first: that were there before any was given */
	uint32_t other; /* of one that has one side only: the process at the other one, 0: not known */
};

/* What one process sends to another through a channel, where there is a way back. */
struct flow {
	struct flow *next;
	uint32_t src, dst;
	struct conversation *conversation;
	uint8_t way;
};

/* What is told of an exchange. */
struct told {
	char *kind, *name, *status, *trace_id, *parent_span;
	int failed;		  /* -1: not known */
	uint32_t bus;		  /* the channel of the bus that it goes through, or 0 */
	int64_t row, received_by; /* received_by: the event */
	bool wants_reply;
	uint64_t key; /* of a call that is found by its number, 0: it is not */
};

struct exchange {
	TAILQ_ENTRY(exchange) link;
	struct conversation *conversation;
	uint32_t number, references; /* the conversation's, and one for each arrival that is under way */
	uint32_t src_thread, dst_thread, src, dst, channel;
	int64_t start, requested, replied, end; /* requested: the end of the receive of its last byte */
	int64_t request_bytes, request_received, reply_bytes, reply_received;
	int64_t requests, requests_received; /* messages */
	TAILQ_HEAD(, arrival) pieces;	     /* of the request, that were not yet received */
	struct context *parent;
	struct told *told;			   /* NULL: found from the turns */
	bool exact, pipelined, answered, returned; /* returned: of the reply something was received */
};

struct conversation {
	struct conversation *next;
	TAILQ_HEAD(exchanges, exchange) exchanges;
	unsigned int unanswered, answered;
	int8_t calls;  /* the way that requests go; -1: not known yet */
	bool messages; /* its mechanism keeps their boundaries */
	bool guessed;  /* of several channels that go one way each these two need not belong together */
};

struct arrival {
	STAILQ_ENTRY(arrival) next; /* of the same receive, or of the same semaphore */
	TAILQ_ENTRY(arrival) piece;
	bool is_piece, exact;
	uint8_t way;
	uint32_t thread, channel; /* of who sent it */
	uint32_t process;
	int64_t event, message, bytes, sent, send_bytes; /* event: the send */
	struct exchange *exchange;			 /* NULL: of none */
	struct conversation *conversation;
	struct context *context; /* the sender's */
};

STAILQ_HEAD(arrivals, arrival);

/* Of every exchange, by number. */
struct note {
	int64_t start, over; /* over: when the last part of its reply was sent; NEVER: there was none */
	int64_t message;     /* that handed it over */
	uint32_t parent, channel;
	bool told;	      /* it is a span, whether it was answered or not */
	bool oneway;	      /* nobody waits for it: it is over when the thread waits for the next */
	bool exact, inferred; /* inferred: the parent is, from whom the thread answered next */
};

struct event {
	int64_t id, start, end, bytes, link;
	const struct span_lane *lane;
	bool linked;
};

struct spans {
	sqlite3 *db;
	int error; /* the first failure, -errno */
	int64_t start_ns;
	struct span_lane *lanes;
	struct span_thread *threads;
	struct node *nodes;
	struct span_channel *channels;
	uint32_t lane_count, thread_count, node_count, channel_count;
	struct conversation *conversations;
	struct table arrivals; /* by the receive's event */
	struct note *notes;
	uint32_t noted, note_room;
	struct table call_rows, call_numbers; /* calls that are not over */
	sqlite3_stmt *event_lane, *links_of, *put_span, *put_hop, *told_first, *told_last;
	bool has_links;
};

/* spans.c */
void spans_fail(struct spans *s);			 /* of SQLite */
void *spans_new(struct spans *s, size_t n, size_t size); /* zeroed; NULL: s->error is set */
sqlite3_stmt *spans_prepare(struct spans *s, const char *sql);
bool spans_row(struct spans *s, sqlite3_stmt *stmt); /* false: no more, or a failure */
void spans_exec(struct spans *s, const char *sql);
int64_t spans_number(struct spans *s, const char *sql); /* the first of its first row; 0: there is none */

/* Of a receive: the way that its bytes came, of one of whose sender nothing is known. */
uint8_t way_from_outside(struct spans *s, const struct event *e);

/* span_load.c: reads what does not change, and finds the conversations. False: there can be no spans. */
bool spans_load(struct spans *s);
void spans_unload(struct spans *s);
/* The conversation of what a process sends to another (0: to anybody, if there is but one) through a channel
 * that is no socket, or NULL. */
struct flow *flow_of(const struct spans *s, uint32_t channel, uint32_t src, uint32_t dst);

/* turn.c */
/* A part of a request, or of a reply. Returns the exchange it is of, with a reference, or NULL. */
struct exchange *turn_sent(struct spans *s, struct conversation *c, const struct arrival *a);
/* The thread received it; `end`: of the receive. */
void turn_received(struct spans *s, struct arrival *a, uint32_t thread, uint32_t process, int64_t end);
void turn_close(struct spans *s, struct conversation *c);
/* One that the send begins, in no list yet; NULL: s->error is set. */
struct exchange *exchange_new(struct spans *s, const struct arrival *a);
void exchange_release(struct spans *s, struct exchange *x);
void exchange_returned(struct spans *s, struct exchange *x);

/* told.c: likewise, where messages were told. `arrives`: somebody received it, or will; `a` is the send. */
bool told_open(struct spans *s);
void told_sent(struct spans *s, const struct event *e, const struct arrival *a, bool arrives);
void told_received(struct spans *s, const struct event *e, const struct arrival *a);
void told_received_outside(struct spans *s, const struct event *e);
void told_close(struct spans *s);
void told_free(struct told *t);

/* chain.c */
uint32_t chain_note(struct spans *s, int64_t start, const struct context *parent);
struct context *context_take(struct context *c);
void context_drop(struct context *c);
void chain_set(struct spans *s, uint32_t thread, uint32_t span, struct context *from);
void chain_restore(struct spans *s, uint32_t thread, struct context *c);
void chain_forget(struct spans *s, uint32_t thread);
/* What the thread sends now belongs to; the caller drops it. NULL: to nothing. */
struct context *chain_of(struct spans *s, uint32_t thread, uint32_t channel, int64_t now);
void chain_connects(struct spans *s, uint32_t thread, uint32_t channel);
/* It got a request; it answers it. */
void chain_serves(struct spans *s, uint32_t thread, uint32_t span);
void chain_served(struct spans *s, uint32_t thread, uint32_t span);
void chain_waits(struct spans *s, uint32_t thread);
void chain_hand_over(struct spans *s, const struct arrival *a, uint32_t thread, bool counter);
void chain_sent_request(struct spans *s, uint32_t thread, uint32_t span);
void chain_sent_reply(struct spans *s, uint32_t thread, const struct exchange *x);

/* span_write.c */
void span_write_open(struct spans *s);
void span_write(struct spans *s, const struct exchange *x);
void span_write_close(struct spans *s);

#endif
