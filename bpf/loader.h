/* SPDX-License-Identifier: BSD-2-Clause */
/* What the source `auto` needs of the eBPF source beyond source.h. */
#ifndef IPC_LOADER_H
#define IPC_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source;

/* Whether it is worth trying to load the programs: 0, or -errno and one line (cause and remedy) in `error`.
 */
int bpf_check(char *error, size_t error_size);

/* Attaches the programs, if they are not yet, and tracks the thread `tid` of the pid namespace with the inode
 * `pid_ns` from its next exec on, in the name of a program that follows `image` of the other source. `image`
 * 0: it is not tracked after all. Returns 0, or -errno (-ESRCH: there is no such thread). */
int bpf_follow(struct source *s, uint32_t pid_ns, uint32_t tid, uint32_t image);

#endif
