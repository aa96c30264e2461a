/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks on files: who owns them, and when the kernel releases them. A lock belongs to an open file
 * description, until its last descriptor is closed, or to a process, until it closes any descriptor of the
 * file. flock and fcntl do not see each other's locks: a matcher for each.
 */
#ifndef IPC_LOCK_H
#define IPC_LOCK_H

#include "model.h"

/* A call that locked or unlocked, or failed; its row is stored. */
void lock_operation(struct collector *c, const struct ipc_event *e, const struct match_call *call,
		    bool releases);
/* A descriptor was copied or closed. */
void lock_control(struct collector *c, struct endpoint *ep, const struct ipc_event *e);
/* The child has all that its parent has; once for each child. */
void lock_fork(struct collector *c, struct life *child);
/* The program of the process is another now. */
void lock_exec(struct collector *c, struct life *l, uint64_t time);
/* The process ends at `time`. `seen`: when it did so is known. */
void lock_end(struct collector *c, struct life *l, uint64_t time, bool seen);
void lock_settle(struct channel *ch);

#endif
