/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Semaphores, locks, conditions and barriers. Their endpoints and edges come from what the shim counted
 * (collector_counted), their events only tell of calls that waited: who, for how long, for whom.
 *
 * A lock and a barrier know who gave what to whom. A semaphore's units and a condition's signals are all
 * alike: what the shim noted, the last to give, is only likely. But where one process alone gave, each
 * receive was from it; and where one alone received, all that the others gave to a semaphore went there.
 */
#ifndef IPC_SYNC_MATCH_H
#define IPC_SYNC_MATCH_H

#include "model.h"

static inline bool sync_is(unsigned int mechanism)
{
	return mechanism >= IPC_MECH_posix_sem && mechanism <= IPC_MECH_spin;
}

/* Counts that wait for the definition of their images are taken; at the end the others are rejected. */
void sync_take(struct collector *c, bool end);
/* A call that waited, tried or gave (with --sync=all); its row is stored here. */
void sync_event(struct collector *c, const struct ipc_event *e, struct endpoint *ep, uint32_t lane);
/* A semaphore was made, opened or closed. */
void sync_control(struct collector *c, const struct ipc_event *e, struct endpoint *ep);
/* Whether the edges of the channel are what happened. */
bool sync_exact(const struct channel *ch);
/* The recording is over: what was received and never given came from outside. */
void sync_close(struct collector *c);

#endif
