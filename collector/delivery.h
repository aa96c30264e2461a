/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals: a channel for each life of a pid. The receiver is told who sent what it received, so a message is
 * found by number and sender (and a real-time signal's value), never guessed from the order alone.
 */
#ifndef IPC_DELIVERY_H
#define IPC_DELIVERY_H

#include "model.h"

/* The channel of an event of `p` on this object: its own, or the target's. NULL: several targets, or one
 * that is not known. */
struct channel *signal_channel(struct collector *c, const struct process *p, uint64_t object, bool sends);

/* A send or a receive: stores and matches it. `ep` is NULL where signal_channel() was. */
void signal_event(struct collector *c, struct thread *t, const struct ipc_event *e, struct endpoint *ep,
		  uint32_t lane, bool sends);

/* The life ended with this status: by a signal, perhaps. */
void signal_ended(struct collector *c, struct life *l, int32_t status);

/* Nothing more will come for now: gives up what waits. */
void signal_settle(struct channel *ch);

#endif
