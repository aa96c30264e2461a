/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring of messages in shared memory. Memory tells nobody that something was written, and keeps nobody from
 * writing too: who shares it must synchronise. The ring does so in one of three ways (--variant):
 * process-shared semaphores, a process-shared mutex with conditions, or the futex that both are made of.
 */
#ifndef IPC_RING_REFERENCE_H
#define IPC_RING_REFERENCE_H

#include "reference.h"

enum ring_variant { RING_SEMAPHORE, RING_MUTEX, RING_FUTEX };

struct ring;

/* How much memory it takes. */
size_t ring_size(const struct reference_run *run);
/* Makes it in zeroed memory, before others have it. Returns 0, or -1 after a line on stderr. */
int ring_init(struct reference_run *run, struct ring *ring, enum ring_variant variant);
/* Of a producer and a consumer, all of it: they begin when all have come. */
int ring_produce(struct reference_run *run, struct ring *ring);
int ring_consume(struct reference_run *run, struct ring *ring);

#endif
