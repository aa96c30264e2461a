/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The matcher of datagrams: which receive took which send. A queue stands for one place where datagrams wait:
 * one UNIX socket, or all UDP sockets of one network namespace and port (the kernel's choice among those that
 * share a port is not observable). Each send is one message, each receive takes one, whole.
 *
 *	sends, by start    [s1][s2][s3] ...        a receive takes the first that it can be:
 *	receives, by end   [r1][r2] ...            destination, source, size, tag
 *
 * A receive can be of a send if the send began before the receive ended; the send's destination is the receiver's
 * local address or that is a wildcard; its source is the one the receive reports; the tags are equal where both
 * are known; and the sizes are equal, or the receive's buffer was full and smaller. The kernel keeps the order
 * of one sender's datagrams to one socket, and may drop any of them in silence: what a sender sent to the same
 * destination, and ended, before a send that is received from it, was lost (unless the place has several sockets
 * that may still receive it). A send to a group (multicast, broadcast) may be received once by each socket.
 *
 * A message is exact if no other datagram in the queue could have been it, or all that could are of the same
 * sending process and size. Calls come ordered by their end, so a receive may come before its send: it waits for
 * DATAGRAM_PATIENCE_NS.
 */
#ifndef IPC_DATAGRAM_H
#define IPC_DATAGRAM_H

#include "match.h"

enum { DATAGRAM_PATIENCE_NS = 1000000000, DATAGRAM_WAITING_MAX = 1 << 16 };

struct datagram {
	struct match_call call;
	uint64_t local;	 /* send: source address; receive: the socket's own (ipc_address()), 0: not known, any */
	uint64_t remote; /* send: destination; receive: source as reported or connected, 0: not known, any */
	uint64_t socket; /* object of the caller's socket */
	uint32_t tag;	 /* 0: not known */
	bool full;	 /* receive: filled its buffer, may have been longer */
	bool group;	 /* send: to a multicast or broadcast address */
	bool silent;	 /* send: the kernel may drop it without telling (udp) */
};

struct datagram_sink {
	/* `m` as of a stream; `receive` is who took it. Returns what doubt() shall be given. */
	uint64_t (*message)(void *context, const struct match_message *m);
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
/* Someone unseen sends or receives there too: nothing is exact any more. */
void datagram_doubt(struct datagram_queue *q);
/* Gives up what waits for longer than it may, at this time. */
void datagram_expire(struct datagram_queue *q, uint64_t now);
/* Nothing more will come. */
void datagram_settle(struct datagram_queue *q);
void datagram_free(struct datagram_queue *q);

#endif
