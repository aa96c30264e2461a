/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that go from one process to another: with a message of a UNIX socket, or taken by pidfd_getfd.
 */
#ifndef IPC_PASSING_H
#define IPC_PASSING_H

#include <sys/socket.h>

#include "hooks.h"

/* Those that went with a message that was sent. */
void passing_sent(struct shim_thread *t, const struct pending *p, const struct msghdr *h);

/* Those that came with a message; they are open now. `flags` as the call was given them. */
void passing_received(struct shim_thread *t, const struct pending *p, const struct msghdr *h, int flags);

/* Likewise, where the socket itself is not looked at. */
void passing_opened(struct shim_thread *t, const struct pending *p, const struct msghdr *h);

/* The one that pidfd_getfd has made. */
void passing_taken(struct shim_thread *t, const struct pending *p, long fd);

#endif
