/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two variables that bring the shim into a new program: LD_PRELOAD (ours last, whoever else is there
 * keeps the order) and IPCTRACE (the arena's path, the image before the exec, and locks). The shim takes both
 * out of the program's environment before its main, and puts them back at exec.
 */
#ifndef IPC_ENVIRONMENT_H
#define IPC_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Beside each other: the shim, and the shim with libc's names (preload/names/), for where no code is changed.
 */
#define SHIM_PLAIN   "libipctrace.so"
#define SHIM_SYMBOLS "libipctrace-symbols.so"

enum { SHIM_SPAWNED = '+' }; /* before the image's number */

struct environment {
	const char *shim;  /* absolute path of libipctrace.so */
	const char *arena; /* absolute path of the arena's file */
	uint32_t image;	   /* image before the exec, 0: none */
	bool spawned;	   /* it is the parent's: the program is executed by a child that has none */
	const char *more;  /* what else the next shim shall know, or NULL; no ':' in it */
};

/* Whether the functions below may look at `envp`; else the exec is going to fail with EFAULT.
 * Async-signal-safe. */
bool environment_is_readable(char *const *envp);

/* Whether an exec with this `envp` belongs to a recorder: ours are taken out of a traced program's
 * environment, so there they are those of a recorder that it started itself. Async-signal-safe. */
bool environment_is_traced(char *const *envp);

/* Bytes that environment_write() needs for this `envp` (NULL: empty). */
size_t environment_size(char *const *envp, const struct environment *e);

/* Writes into `memory` (8-byte aligned) the array `envp` with our two variables, NULL-terminated, and the
 * strings that are ours. Points into envp's strings. Async-signal-safe. */
char **environment_write(void *memory, char *const *envp, const struct environment *e);

#endif
