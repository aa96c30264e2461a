/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trace file's name while a recording begins. An older trace of the name stands aside until it is certain
 * that the command runs; only then does it replace FILE.old. Invariants: what is no trace is never renamed
 * nor overwritten; a trace still being recorded is left alone (its recorder holds a flock on it, which ends
 * with the recorder however that ends); whatever happens, the older trace survives under one of its names.
 */
#ifndef IPC_ROTATE_H
#define IPC_ROTATE_H

#include <stdbool.h>

#include <stddef.h>

struct rotation {
	const char *path;
	char *old;   /* FILE.old */
	char *aside; /* where the older trace waits; NULL: there was none */
	int folder;  /* lock that lets recordings begin one after the other; -1: none */
	int file;    /* holds the lock on the new trace; -1: none yet */
};

/* Makes `path` (kept, not copied) free for a new trace. Returns 0, or -errno with a line in `error`; after a
 * failure nothing has changed and nothing is held. */
int rotation_begin(struct rotation *r, const char *path, char *error, size_t error_size);

/* The new trace exists: marks it as being recorded, lets other recordings begin. */
void rotation_created(struct rotation *r);

/* The command runs: the older trace becomes FILE.old. */
void rotation_keep(struct rotation *r);

/* The command does not run: removes the new trace, if there is one, and brings the older one back. */
void rotation_undo(struct rotation *r);

/* Whether a recorder has the lock on this file, which another descriptor of ours may be open on. */
bool rotation_is_recorded(int fd);

/* Takes the recorder's lock on this file, for as long as it is open. Others may be looking at it just now:
 * waits for some seconds. Returns 0 or -errno. */
int rotation_lock(int fd);

/* The trace is complete, and closed by everybody else in this process. */
void rotation_end(struct rotation *r);

#endif
