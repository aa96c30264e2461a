/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bounded buffer. Producers and consumers share a ring of slots in memory. Semaphores tell how many slots
 * are full, how many are free, and which producer and which consumer may move its end of the ring. One
 * producer and one consumer do without the latter two. Who moves an end waits and posts meanwhile: the units
 * are taken in the order of the slots, so that a slot tells whose unit it was. A message is a post that was
 * waited for, without bytes; what a semaphore was made with is its maker's.
 */
#ifndef IPC_REFERENCE_BUFFER_H
#define IPC_REFERENCE_BUFFER_H

#include "reference.h"

enum {
	BUFFER_SLOTS = 8,
	BUFFER_FULL = 0,
	BUFFER_FREE,
	BUFFER_PRODUCERS,
	BUFFER_CONSUMERS,
	BUFFER_SEMAPHORES
};

/* The semaphores. Each returns 0, or -1 after a line on stderr; wait 1 where that would block
 * (--nonblocking). */
struct buffer_semaphores {
	int (*post)(struct reference_run *run, int semaphore);
	int (*wait)(struct reference_run *run, int semaphore);
	bool first_at_once; /* the units that a semaphore was made with are one message, however many */
};

/* In the parent. `first` gets the values that the semaphores begin with. */
int buffer_open(struct reference_run *run, const struct buffer_semaphores *semaphores,
		unsigned short first[BUFFER_SEMAPHORES]);
int buffer_produce(struct reference_run *run);
int buffer_consume(struct reference_run *run);
int buffer_close(struct reference_run *run);
/* One producer and one consumer: whose units whose waits took can be known. */
bool buffer_is_exact(const struct reference_options *o);

#endif
