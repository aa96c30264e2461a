/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers that /proc tells. Raw system calls only, leaves no descriptor. */
#ifndef IPC_PROC_H
#define IPC_PROC_H

#include <stdbool.h>
#include <stdint.h>

enum { PROC_PATH = 40 };

/* The path of what /proc tells of an open descriptor. */
void proc_fdinfo_path(char path[PROC_PATH], long fd);

/* The number behind `label`, as "\nPid:", near the begin of the file at `path`. False: there is none. */
bool proc_number(const char *path, const char *label, uint64_t *number);

#endif
