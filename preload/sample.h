/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who reads and writes which pages of shared memory (--shm-sample). Looked at inside calls that the program
 * makes anyway, by one thread at a time. Async-signal-safe.
 */
#ifndef IPC_SAMPLE_H
#define IPC_SAMPLE_H

#include "shim.h"

void sample_start(void);
/* Tells what was touched since the last sample, and begins anew. */
void sample_now(struct shim_thread *t);
/* Looks at the mappings that are new from now on. */
void sample_arm(struct shim_thread *t);
/* The parent's descriptors are of no use here, and harmful. */
void sample_fork_child(void);
/* Someone else, no thread, shares all our memory from now on. */
void sample_shared_memory(void);
/* A sandbox forbids it, or the program is about to watch memory itself. */
void sample_stop(struct shim_thread *t);
/* Whether this file, which was just mapped, is in memory alone; counts it where it is not. */
bool sample_is_memory(struct shim_thread *t, long fd);

extern uint64_t sample_last;  /* when the last one was */
extern uint64_t sample_pause; /* and how long after it the next one is due */

static inline void sample_when_due(struct shim_thread *t)
{
	if (__builtin_expect(shim.sample_interval != 0, 0) &&
	    shim_now() - __atomic_load_n(&sample_last, __ATOMIC_RELAXED) >=
		    __atomic_load_n(&sample_pause, __ATOMIC_RELAXED))
		sample_now(t);
}

#endif
