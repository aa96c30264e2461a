/* SPDX-License-Identifier: BSD-2-Clause */
/* What the recorder does with its own libc, once, for the shims of all processes that have the same. */
#ifndef IPC_LIBC_FILE_H
#define IPC_LIBC_FILE_H

#include "arena.h"

/* Looks for libc's system calls and puts them into the arena's header, and a prepared libc
 * (arch/<machine>/patch.h) into the folder. Where it cannot, the shims do it for themselves. */
void libc_file_offer(struct arena_header *h, int folder);

#endif
