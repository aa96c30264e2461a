/* SPDX-License-Identifier: BSD-2-Clause */
/* What a cgroup's path says of the container that it belongs to. */
#ifndef IPC_CONTAINER_H
#define IPC_CONTAINER_H

#include <stddef.h>

/*
 * The id of the innermost container: the 64 hexadecimal digits that Docker, containerd, CRI-O and Podman give
 * it (docker-ID.scope, /docker/ID, cri-containerd-ID.scope, libpod-ID.scope, below kubepods or not), or the
 * name that it has with LXC (lxc/NAME, lxc.payload.NAME). Points into `cgroup`; NULL: it says nothing of one.
 */
const char *container_of_cgroup(const char *cgroup, size_t *length);

#endif
