/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks on files (flock, fcntl). The kernel releases them at a close: so which descriptors they were taken
 * through is remembered, and the close of such a one is told. A descriptor that nobody locked costs a look.
 */
#ifndef IPC_LOCK_H
#define IPC_LOCK_H

#include "shim.h"

/* The calls that lock and unlock. */
static inline bool lock_is(const struct ipc_call *row)
{
	return row->verb == IPC_VERB_recv && row->size == IPC_SIZE_NONE &&
	       IPC_OBJ_KIND(row->object) == IPC_OBJ_KIND_FD;
}

/* Before such a call: its object. False: it cannot be told. */
bool lock_enter(struct shim_thread *t, long fd, struct pending *p);

/* Before a call that closes the descriptor: the object of locks that may end with it, into `p`; and after it.
 */
void lock_closing(struct shim_thread *t, long fd, struct pending *p);
void lock_closed(struct shim_thread *t, const struct pending *p);

/* The same of one of several, at once. */
void lock_close(struct shim_thread *t, long fd);

/* A call made the descriptor, as a copy of `from` or (negative) anew. */
void lock_made(struct shim_thread *t, const struct pending *p, long fd, long from);

/* What was known of the descriptor is no longer so. */
void lock_forget(long fd);

enum { LOCK_TEXT_MAX = 256 };

/* Before an exec: tells which locked descriptors will be closed by it, and writes what others stand for: text
 * for the next program's lock_inherit(). */
void lock_exec(struct shim_thread *t, char text[LOCK_TEXT_MAX]);
void lock_inherit(const char *text);

#endif
