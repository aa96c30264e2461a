/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Merges the threads' events into one order by end time.
 *
 * Each thread's events come in order, so a queue per thread and a heap of the queues' heads are enough. An
 * event is popped when the watermark has passed its end: then every event that ended before it has been
 * popped. Queues are made of blocks from a free list: no allocation per event once warm. A thread that is
 * not yet defined is parked: it queues, but is not in the heap.
 */
#ifndef IPC_ORDER_H
#define IPC_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

enum {
	ORDER_BLOCK = 63,	    /* events: with its link a block has 4 KiB */
	ORDER_PARKED_MAX = 1 << 20, /* events of undefined threads: as many as an arena holds */
	ORDER_QUEUED_MAX = 1 << 20, /* 64 MiB of events; beyond it the watermark is not waited for */
};

struct order_block;

struct order_queue {
	struct order_block *first, *last;
	uint32_t head, tail; /* next to pop in `first`, next free in `last` */
	uint32_t count;
	bool parked;
};

struct order {
	struct order_slot *heap; /* of queues that have events and are not parked */
	uint32_t heaped, room;
	uint32_t queued, parked; /* events */
	struct order_block *spare;
};

static inline uint64_t order_end(const struct ipc_event *e)
{
	return e->start + e->duration;
}

/* Copies the event into the queue. Returns 0, -ENOMEM, or -ENOSPC: too many parked. */
int order_push(struct order *o, struct order_queue *q, const struct ipc_event *e);

/* The thread of a parked queue is known now. Returns 0 or -ENOMEM. */
int order_unpark(struct order *o, struct order_queue *q);

/* The queue with the oldest head, or NULL; `end` gets that head's end. */
struct order_queue *order_first(const struct order *o, uint64_t *end);

/* Moves the head of order_first() to `e`; its thread and seq are 0. */
void order_pop(struct order *o, struct ipc_event *e);

/* Frees a queue's blocks; it must be parked, empty, or the whole order be over. Returns the events it had. */
uint32_t order_drop(struct order *o, struct order_queue *q);
void order_free(struct order *o);

#endif
