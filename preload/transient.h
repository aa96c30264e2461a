/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors of our own that are open for some microseconds. No handler runs meanwhile: it would see a
 * number taken, and could jump out and leave the descriptor open. A child that another thread forks meanwhile
 * gets a copy, which it closes before anything else.
 */
#ifndef IPC_TRANSIENT_H
#define IPC_TRANSIENT_H

#include <stdint.h>

/* Open a file for reading, and a socket to ask sock_diag. Return the descriptor or -errno; transient_close()
 * follows in either case. */
long transient_file(const char *path, uint64_t *mask);
long transient_diag(uint64_t *mask);
void transient_close(long fd, uint64_t mask);

/* Closes the copies. */
void transient_fork_child(void);

#endif
