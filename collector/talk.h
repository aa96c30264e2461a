/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is said through a channel (protocols/protocol.h): from the payloads of its events to rows of
 * `protocol_messages`.
 *
 * A talk is what goes both ways between two halves of a channel; a pipe has one way only. Each way is read
 * once: where the sender is in the trace as it sent it, else as it was received.
 */
#ifndef IPC_TALK_H
#define IPC_TALK_H

#include "kind.h"
#include "payload.h"

/* The event moved something; its row is stored. Of a channel that has no talk: only with a payload, or
 * where one is missing. */
void talk_moved(struct collector *c, const struct act *a);

/* Nothing more goes through this half. */
void talk_end(struct collector *c, struct channel *ch);

/* Their rows are one now: that of `keep`. */
void talk_merge(struct collector *c, const struct channel *keep, const struct channel *gone);

#endif
