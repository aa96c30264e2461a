/* SPDX-License-Identifier: BSD-2-Clause */
/* record --source=both --verify: what two traces of one run, by the two sources, do not have in common. */
#ifndef IPC_VERIFY_H
#define IPC_VERIFY_H

#include <stdio.h>

#include "options.h"

/* The name of the second trace: `path` with .`source` before its suffix, if it has one. Returns a string to
 * free, or NULL: out of memory. */
char *verify_path(const char *path, const char *source);

/* Compares the trace that the shim made with the one that eBPF made, writes a row for each difference, or one
 * line. Of `o`: format. Returns 0: they agree; 1: they differ, or cannot be compared (said on stderr). */
int verify_show(FILE *out, const char *shim, const char *bpf, const struct options *o);

#endif
