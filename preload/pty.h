/* SPDX-License-Identifier: BSD-2-Clause */
/* Pseudo-terminals: which end of which one a descriptor is, and what an ioctl makes of it. */
#ifndef IPC_PTY_H
#define IPC_PTY_H

#include <sys/stat.h>

#include "hooks.h"

/* The object of a descriptor of a character device, or 0: it is no end of a pseudo-terminal. */
uint64_t pty_object(long fd, const struct stat *st);

/* What the ioctl that has succeeded says of its terminal (event.h). */
uint64_t pty_told(const struct pending *p);

#endif
