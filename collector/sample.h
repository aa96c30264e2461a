/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of shared memory were read and written, where it is sampled: a page went from one process to
 * another if this one read it in an interval that did not end before the first in which that one wrote it
 * began.
 */
#ifndef IPC_COLLECTOR_SAMPLE_H
#define IPC_COLLECTOR_SAMPLE_H

#include "model.h"

static inline bool sample_is(const struct ipc_event *e)
{
	return e->call == IPC_CALL_shm_read || e->call == IPC_CALL_shm_write ||
	       e->call == IPC_CALL_shm_sampled;
}

void sample_event(struct collector *c, struct endpoint *ep, const struct ipc_event *e);
/* What is known of the pages that went this way. */
void sample_edge(struct collector *c, struct edge *e);

#endif
