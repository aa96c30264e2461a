/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first bytes of what sends and receives moved, and the last ones of what a parser may look at
 * (IPC_DEF_PAYLOAD). Per descriptor it is decided whether they are told: of the first messages each way, for
 * ever where one of them began like a protocol, and of every message where the recording asks for that
 * (header->capture). What is remembered of a descriptor begins anew whenever it is made; threads may race on
 * it: at worst a message is told that need not be, or the other way round.
 */
#ifndef IPC_PAYLOAD_H
#define IPC_PAYLOAD_H

#include <sys/uio.h>

#include "shim.h"

/* Where in the program's memory the bytes of a call stand; of one on a struct msghdr not. */
struct vector {
	const struct iovec *iov;
	uint64_t count;
	bool known; /* the iovecs are ours, or were read before: they may be looked at here too */
};
struct vector payload_vector(const struct pending *p, struct iovec *one);

/* What is looked at of a descriptor that was just made: fills `looks` and `recognised`. */
void payload_begin(struct descriptor *d);

/* Of a stream, the byte in descriptor_kinds: transfers that are not looked at take the fast path. */
uint8_t payload_kind(const struct descriptor *d);

/* As shim_emit(), with bytes of what the event moved just before it where they are to be told. Either both
 * are recorded or none, but that a handler's event in the middle of another record may go without. */
void payload_emit(struct shim_thread *t, struct ipc_event *e, struct vector v);

#endif
