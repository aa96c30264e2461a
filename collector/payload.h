/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes that an event moved (IPC_DEF_PAYLOAD), from when they are told until the event is handled in its
 * place in the order.
 *
 *	told, its event comes next -> kept, its event is in the order -> taken
 */
#ifndef IPC_PAYLOAD_H
#define IPC_PAYLOAD_H

#include "model.h"

struct payload {
	struct payload *next;
	uint64_t object, start;
	uint32_t size,
		tail; /* the last `tail` of the bytes are the last that were moved, the others the first */
	uint8_t bytes[];
};

/* So many of the bytes are the first that were moved. */
static inline uint32_t payload_head(const struct payload *p)
{
	return p->size - p->tail;
}

/* Of a thread. */
struct payloads {
	struct payload *told; /* the newest in front: one, and one more for each signal handler around it */
	struct payload *kept, **last;
};

/* Told by thread `t`. */
void payload_define(struct collector *c, struct thread *t, const struct ipc_def *d, const uint8_t *bytes);

/* The event, which has IPC_F_PAYLOAD, is in the order now. */
void payload_keep(struct thread *t, const struct ipc_event *e);

/* That of such an event; NULL: lost. The caller frees it with payload_free(). */
struct payload *payload_take(struct thread *t, const struct ipc_event *e);
void payload_free(struct collector *c, struct payload *p);

/* The thread tells nothing any more; `all`: nor is what it told of interest. */
void payload_forget(struct collector *c, struct thread *t, bool all);

#endif
