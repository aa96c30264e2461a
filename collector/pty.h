/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pseudo-terminals: two halves, as of a connected socket, one row. What one half sends is a byte stream
 * (match.h) as long as the line discipline lets it through as it is. From the first send on that it may have
 * edited (echo, line ends, erased characters, signals), or of which a flush may have dropped something, that
 * direction is approximate for good: bytes sent and received are different things then.
 *
 *	sends, by start    [s1 ...][s2 ..][s3 .....]
 *	receives, by end   [r1 ........][r2 ..][r3 ...]
 *
 * Of an edited direction a receive takes bytes from the oldest sends that began before its end. What it has
 * more than these (echo, carriage returns) belongs to the last one taken from. What those have more that
 *ended before a receive that could have taken more, is gone. Messages have the bytes that were received, and
 *none is exact; where one process only sends, who talked to whom is certain all the same.
 */
#ifndef IPC_COLLECTOR_PTY_H
#define IPC_COLLECTOR_PTY_H

#include "model.h"

struct pty {
	struct channel *master, *slave;
	uint32_t edits, before;		  /* IPC_PTY_EDITS_*: now, and until `since` */
	uint64_t since;			  /* the end of the call that set them */
	uint64_t master_sent, slave_sent; /* the latest end of their sends */
};

/* The half that an object stands for, with its other half. */
struct channel *pty_half(struct collector *c, uint64_t object);
/* Whether the event makes a new pseudo-terminal. */
bool pty_makes(const struct channel *ch, const struct ipc_event *e);
void pty_opened(struct channel *ch, const struct ipc_event *e);
/* An ioctl. */
void pty_control(struct collector *c, struct channel *ch, const struct ipc_event *e);
/* A send or receive: false: it is of the byte stream. */
bool pty_transfer(struct collector *c, const struct ipc_event *e, const struct match_call *call, bool sends);
/* A receive of which the stream knows no send. False: it was no edited one. */
bool pty_unmatched(struct channel *from, const struct match_call *receive);
/* Nothing more will come of what this half sends. */
void pty_settle(struct channel *ch);
/* Nobody in the trace has the other side. */
bool pty_is_outside(const struct channel *ch);
void pty_role(struct collector *c, struct endpoint *ep);

#endif
