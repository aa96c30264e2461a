/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recorder's hold on the arena (common/arena.h): its file, its memory, its end.
 *
 * The file has its full size from the start, but memory only for the chunks that were offered: a chunk's
 * pages are allocated before any target may touch them, so that a full /dev/shm never kills a target. The
 * folder is locked while the recorder lives; folders that a killed recorder left are removed by the next one.
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
	unsigned char *chunks;
	struct arena_sync *sync;
	uint32_t allocated; /* chunks with memory behind them */
	bool exhausted;	    /* no more can be had */
};

struct source;

/* The shim's (drain.c). */
struct arena_file *shim_arena(struct source *shim);

/* Makes folder and file, maps it, fills the constants of the header and offers the first chunks. On failure
 * returns -errno, writes one line to `error` and leaves nothing behind. */
int arena_file_open(struct arena_file *a, enum arena_clock kind, char *error, size_t error_size);

/* Doubles the chunks that have memory, up to the arena's size, if the file system has plenty. */
void arena_file_grow(struct arena_file *a);

/* Gives a chunk to the targets. */
void arena_file_offer(struct arena_file *a, uint32_t chunk);

/* Removes the file, and gives back its memory except for chunks that a living target still owns. */
void arena_file_close(struct arena_file *a);

#endif
