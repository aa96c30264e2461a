/* SPDX-License-Identifier: BSD-2-Clause */
/* The shared objects that belong to the running program. */
#ifndef IPC_BESIDE_H
#define IPC_BESIDE_H

/* The path of one of this name: beside the program, or where it is installed. Returns malloc'ed memory or
 * NULL. */
char *find_beside(const char *name);

#endif
