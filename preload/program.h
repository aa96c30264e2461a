/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether the shim can enter a program, judged from its file before the exec. */
#ifndef IPC_PROGRAM_H
#define IPC_PROGRAM_H

#include "calls.h"

/* Reads the program at `path` relative to `dirfd` (AT_FDCWD: the working directory), following `#!` lines.
 * IPC_REASON_none: the shim can enter it, or the exec will fail anyway. Else why it cannot: static_exe,
 * setuid, other_arch, other_libc. Raw system calls only: async-signal-safe, leaves no descriptor. */
enum ipc_reason program_check(int dirfd, const char *path);

#endif
