/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recorder's hold on the arena (common/arena.h): its file, its memory, its end.
 *
 * The file has its full size from the start, but memory only for the chunks that were offered: a chunk's
 * pages are allocated before any target may touch them, so that a full /dev/shm never kills a target. The
 * folder is locked while the recorder lives; what a killed recorder left stays for `ipctrace recover`
 * (session.h), or is removed by the next recorder where there is nothing to recover.
 */
#ifndef IPC_ARENA_FILE_H
#define IPC_ARENA_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"

struct arena_file {
	char folder[64], path[128];
	int folder_fd, fd;
	struct arena_header *header;
	struct arena_control *controls;
	unsigned char *slots; /* of all chunks */
	struct arena_sync *sync;
	uint32_t chunks;    /* of the arena */
	uint32_t allocated; /* those with memory behind them */
	bool exhausted;	    /* no more can be had */
};

struct source;

/* The shim's (drain.c). */
struct arena_file *shim_arena(struct source *shim);

/* What the shim's arena has if nobody says how much, and at least. */
enum { ARENA_BYTES_MIN = 1 << 20 };

/* Makes folder and file, maps it, fills the constants of the header and offers the first chunks. `bytes`:
 * room for events, 0: the usual; less than ARENA_BYTES_MIN is that. On failure returns -errno, writes one
 * line to `error` and leaves nothing behind. */
int arena_file_open(struct arena_file *a, enum arena_clock kind, size_t bytes, char *error,
		    size_t error_size);

struct session;

/* Maps what a killed recorder left, with as many chunks allocated as had memory then. Nothing that stands in
 * it is believed. The session's lock, and its folder, are the arena's from now on. Returns 0 or -errno, with
 * nothing changed. */
int arena_file_resume(struct arena_file *a, struct session *s, uint32_t allocated);

/* The first chunks, which have memory from the start. */
uint32_t arena_file_first(uint32_t chunks);

/* Doubles the chunks that have memory, up to the arena's size, if the file system has plenty. */
void arena_file_grow(struct arena_file *a);

/* Gives a chunk to the targets. */
void arena_file_offer(struct arena_file *a, uint32_t chunk);

/* Lets go of everything but the folder, and leaves it as it is. */
void arena_file_leave(struct arena_file *a);

/* Removes the file, and gives back its memory except for chunks that a living target still owns. */
void arena_file_close(struct arena_file *a);

#endif
