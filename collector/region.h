/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared memory: a channel each, without messages. Who could write to it while another could read it is an
 * edge: that is certain, and all that can be known without looking at each access.
 */
#ifndef IPC_COLLECTOR_REGION_H
#define IPC_COLLECTOR_REGION_H

#include "model.h"

static inline bool region_is(unsigned int mechanism)
{
	return mechanism >= IPC_MECH_sysv_shm && mechanism <= IPC_MECH_mmap;
}

/* Something was mapped, unmapped, protected or removed. */
void region_event(struct collector *c, struct endpoint *ep, const struct ipc_event *e, uint8_t verb);
/* The process ends, or executes another program: it has no mappings any more. */
void region_process_end(struct collector *c, struct process *p, uint64_t time);

#endif
