/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that are passed: one message each. Those that go through a UNIX socket have a channel beside
 * the socket's, with the ends of those who pass and receive; they are matched as datagrams are, by order and
 * by what they stand for, and the kernel may drop them: where the receiver had no room, or read the message
 * in another way. Those that pidfd_getfd takes have a channel per process that they are taken from.
 */
#ifndef IPC_PASSING_H
#define IPC_PASSING_H

#include "model.h"

/* A send or receive on a socket by this thread: what was passed with it follows. */
void passing_carried(struct collector *c, struct thread *t, struct channel *ch);
/* The channel of such an event. */
struct channel *passing_channel(struct collector *c, const struct thread *t, const struct ipc_event *e);
/* The same of an event that was dropped, as far as its object tells. */
struct channel *passing_of(struct collector *c, uint64_t object);
/* Whether the event is one of a descriptor that pidfd_getfd has taken. */
bool passing_takes(const struct ipc_event *e);
void passing_transfer(struct collector *c, const struct thread *t, const struct ipc_event *e,
		      const struct match_call *call, bool sends);
/* Nothing more will be received of what this half of a socket has sent. */
void passing_settle(struct channel *ch);

#endif
