/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message queues of System V and POSIX: one channel each, whose messages datagram.h matches by type or
 * priority. A System V queue has no descriptors: it lives from its msgget to its removal.
 */
#ifndef IPC_QUEUE_H
#define IPC_QUEUE_H

#include "model.h"

/* Remembers which queues hold messages now: nobody knows who sent those. */
void queue_look_around(struct collector *c);
/* The channel's definition: it may be such a queue. */
void queue_define(struct collector *c, struct channel *ch, const struct ipc_def *d);
void queue_transfer(struct collector *c, const struct ipc_event *e, const struct match_call *call,
		    bool sends);
/* In each part one process received all that was sent: whose it was is certain, whatever its order. */
bool queue_drained(const struct channel *ch);
/* A System V queue was found or removed. */
void queue_control(struct collector *c, struct channel *ch, const struct ipc_event *e);
/* No end is open, or it was removed: gives up what cannot be received any more. `all`: nor will anything. */
void queue_settle(struct channel *ch, bool all);

#endif
