/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System V semaphores: a channel each, a stream of units like an eventfd's, that begins empty. It has no
 * descriptors: it lives from its semget to the removal of its set.
 */
#ifndef IPC_SEM_H
#define IPC_SEM_H

#include "model.h"

/* Remembers which sets exist now: who posted to those, and who holds them, is not known. */
void sem_look_around(struct collector *c);
/* The channel's definition: its set may be one of those. */
void sem_define(struct collector *c, struct channel *ch, const struct ipc_def *d);
/* A set was found or removed. */
void sem_control(struct collector *c, struct channel *ch, const struct ipc_event *e);
/* Before an operation is matched: what it does besides moving units. */
void sem_operation(struct collector *c, struct endpoint *ep, const struct ipc_event *e);
/* The process ends at `time`: the kernel takes back what it did with SEM_UNDO. `seen`: when it did so is
 * known. */
void sem_undo(struct collector *c, struct life *l, uint64_t time, bool seen);

#endif
