/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutual exclusion: producers and consumers share a ring in memory and a lock, and whoever holds the lock may
 * use the ring. Who finds it full, or empty, lets go and comes again: a lock alone cannot tell when it is
 * worth it. A message is a hand-over: who had the lock before, a word under the lock tells.
 */
#ifndef IPC_REFERENCE_LOCKS_H
#define IPC_REFERENCE_LOCKS_H

#include "reference.h"

/* The lock, in `memory` of at least LOCKS_SIZE bytes. Each returns 0, or an error number; EBUSY: somebody
 * else has it
 * (--nonblocking). */
struct locks_kind {
	int (*make)(void *memory);
	int (*lock)(void *memory, bool writes, bool nonblocking);
	int (*unlock)(void *memory);
	int (*destroy)(void *memory);
	bool shares; /* consumers only read, side by side, and all get every record */
};

enum { LOCKS_SIZE = 128 };

int locks_open(struct reference_run *run, const struct locks_kind *kind);
int locks_produce(struct reference_run *run);
int locks_consume(struct reference_run *run);
int locks_close(struct reference_run *run);
/* A word under the lock knows it always. */
bool locks_is_exact(const struct reference_options *o);

#endif
