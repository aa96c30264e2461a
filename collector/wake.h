/* SPDX-License-Identifier: BSD-2-Clause */
/* Timerfds, inotify instances and pidfds: what the kernel tells a process that waits. */
#ifndef IPC_WAKE_H
#define IPC_WAKE_H

#include "model.h"

/* Whether nobody but the kernel sends through it. */
static inline bool wake_from_kernel(const struct channel *ch)
{
	return ch->data.mechanism == IPC_MECH_timerfd || ch->data.mechanism == IPC_MECH_inotify;
}

/* A descriptor was opened. */
void wake_opened(struct collector *c, struct endpoint *ep, const struct ipc_event *e);

/* An inotify instance watches `path` too. */
void wake_name(struct collector *c, struct channel *ch, const char *path, size_t length);

/* The pid that a pidfd stands for was given to another process than when it was opened. */
bool wake_is_stale(const struct channel *ch);

/* A wait, stored as `event`, told that the pidfd is readable: the process has ended. */
void wake_ended(struct collector *c, struct endpoint *ep, const struct ipc_event *e, uint64_t event);

/* The edges from the kernel and from processes outside the trace; at the close. */
void wake_write(struct collector *c, const struct channel *ch);

#endif
