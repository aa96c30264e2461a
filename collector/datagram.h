/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The matcher of datagrams: which receive took which send. A queue stands for one place where datagrams wait:
 * one UNIX socket, or all UDP sockets of one network namespace and port (the kernel's choice among those that
 * share a port is not observable). Each send is one message, each receive takes one, whole.
 *
 *	sends, by start    [s1][s2][s3] ...        a receive takes the first that it can be:
 *	receives, by end   [r1][r2] ...            destination, source, size, tag
 *
 * A receive can be of a send if
 *  - the send began before the receive ended;
 *  - the send's destination is the receiver's own address or that is a wildcard, and its source is the one
 *    that the receive reports;
 *  - the sizes are equal and so are the tags, where both are known; or the buffer was full and smaller.
 *
 * A send to a group (multicast, broadcast) is received once by each socket at most. The kernel keeps the
 * order of one sender's datagrams to one socket and may drop any of them in silence: what it sent to there,
 * and ended, before a send that is certainly received is lost, unless another socket, or another thread's
 * receive that was under way, turns out to have it.
 *
 * In a queue with priorities these stand for the source. A receive that reports none takes the highest of
 * what was sent before it was entered or, if nothing was, the first that came.
 *
 * A message has the bytes that were received; it is exact if its sending process is certain:
 *  - where the kernel never drops and one thread receives whole datagrams, order tells: no send of another
 *    thread that could be it overlaps its send, or one process sends only;
 *  - otherwise no send of another process could be it, neither one that waits or counts as lost nor one that
 *    another receive took without being certain of it.
 * Calls come ordered by their end. So a receive may come before its send: it waits for as long as
 * DATAGRAM_PATIENCE_NS. And a send may come after a receive that it could be: that message is taken back
 * (doubt), from a window of the latest DATAGRAM_WINDOW.
 */
#ifndef IPC_DATAGRAM_H
#define IPC_DATAGRAM_H

#include "match.h"

enum {
	DATAGRAM_PATIENCE_NS = 1000000000,
	DATAGRAM_WAITING_MAX = 1 << 16, /* sends, and receives; beyond it the oldest is given up */
	DATAGRAM_ASIDE_MAX = 1024,	/* sends that only another socket or thread can have received */
	DATAGRAM_WINDOW = 1024,		/* messages that may still be taken back */
};

struct datagram {
	struct match_call call;
	/* Addresses as ipc_address() has them; 0: not known, or any (so a wildcard of IPv6, whose port cannot
	 * be told from its hash). */
	uint64_t local;	 /* send: the source; receive: the socket's own */
	uint64_t remote; /* send: the destination; receive: the source as reported or connected */
	uint64_t socket; /* object of the caller's socket */
	uint32_t tag;	 /* 0: not known */
	bool full;	 /* receive: filled its buffer, may have been longer */
	bool highest;	 /* receive: of unknown source, takes the highest that waits */
	bool group;	 /* send: to a multicast or broadcast address */
	bool silent;	 /* send: the kernel may drop it without telling (udp) */
};

struct datagram_sink {
	/* `m` as of a stream. Returns what doubt() shall be given. */
	uint64_t (*message)(void *context, const struct match_message *m);
	/* This message was given as exact and is not. */
	void (*doubt)(void *context, const struct match_message *m, uint64_t handle);
	/* No known send is what was received. */
	void (*unmatched)(void *context, const struct match_call *receive);
	/* Nobody in the trace received it: dropped by the kernel, or never read. */
	void (*vanished)(void *context, const struct datagram *send);
};

struct datagram_queue;

/* NULL: out of memory. Freed by datagram_free(), which settles first. */
struct datagram_queue *datagram_new(const struct datagram_sink *sink, void *context);
/* A send that succeeded (also of 0 bytes). */
void datagram_send(struct datagram_queue *q, const struct datagram *send);
/* A receive that succeeded. */
void datagram_receive(struct datagram_queue *q, const struct datagram *receive);
/* Nothing waits in it. */
bool datagram_idle(const struct datagram_queue *q);
/* Someone unseen sends or receives there too: nothing is exact any more. */
void datagram_doubt(struct datagram_queue *q);
/* Gives up what waits for longer than it may, at this time. */
void datagram_expire(struct datagram_queue *q, uint64_t now);
/* Calls of endpoints that are gone are forgotten: what waits is given up, what was told stays as it is.
 * False: nothing is left. */
bool datagram_forget(struct datagram_queue *q, bool (*gone)(const struct endpoint *));
/* Nothing more will come. */
void datagram_settle(struct datagram_queue *q);
void datagram_free(struct datagram_queue *q);

#endif
