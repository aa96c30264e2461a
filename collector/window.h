/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One way of a conversation: what its parser (protocols/protocol.h) has still to look at.
 *
 *	0             at            at + have    start          moved
 *	| done with   | kept        | not seen   | this call's  |
 *
 * What a call moves is told with its first bytes, or none of them, and perhaps with its last. Where bytes are
 * missing that the parser wanted to see, it loses its place (`middle`), and is next given what a call moves
 * from its first byte on.
 */
#ifndef IPC_WINDOW_H
#define IPC_WINDOW_H

#include "protocol.h"

struct window {
	struct proto_side side;
	uint64_t moved; /* bytes that went this way */
	uint64_t at;	/* the parser's place; beyond `moved`: what comes up to there it need not see */
	uint8_t *kept;	/* `have` bytes from `at` on, which it could not take yet: at most PROTO_WINDOW */
	uint32_t have;
};

/* Beyond these messages end whose end is not to be believed. */
#define WINDOW_FAR ((int64_t)1 << 48)

/* A call moved `moved` bytes; `size` of them are `bytes`: the first ones, and behind them the last `tail`.
 * side.noted is called while `at` stands for the first byte of the parser's window. Returns whether the
 * parser lost its place that it had: what was there is not understood. */
bool window_feed(struct window *w, uint64_t moved, const uint8_t *bytes, size_t size, size_t tail);

/* Gives up what is kept; what comes next begins anew. */
void window_lose(struct window *w);

#endif
