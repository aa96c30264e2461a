/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel says of a socket of the traced process, and telling it (IPC_DEF_SOCKET). */
#ifndef IPC_SOCKET_H
#define IPC_SOCKET_H

#include "shim.h"

/* What the call that made or changed the socket knows of it, zeroed: nothing. */
struct socket_origin {
	uint32_t state;	   /* IPC_SOCKET_* */
	uint64_t listener; /* inode */
	uint64_t peer;	   /* inode of the other end, where the call made both */
	const void
		*name; /* struct sockaddr of the other side, for when the kernel does not tell it any more */
	uint32_t length;
};

/* The mechanism of a socket. */
enum ipc_mechanism socket_mechanism(long fd);

/* A UDP or netlink socket that has no port yet: it gets one with its first send. */
bool socket_is_unbound(long fd);

void socket_define(struct shim_thread *t, long fd, uint64_t object, const struct socket_origin *origin);

/* The 64 bits that stand for an address (event.h), explained by a definition where they are a hash. `length`
 * bytes at `name` can be read; 0: none. */
uint64_t socket_address(struct shim_thread *t, const void *name, uint32_t length);

static inline bool socket_is(uint64_t object)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	return mechanism >= IPC_MECH_unix_stream && mechanism <= IPC_MECH_netlink;
}

/* Whether what goes through it keeps the boundaries of messages. */
static inline bool socket_keeps_messages(uint64_t object)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_unix_dgram || mechanism == IPC_MECH_unix_seqpacket ||
	       (mechanism >= IPC_MECH_udp && mechanism <= IPC_MECH_netlink);
}

/* Whether each of its messages has an address of its own. */
static inline bool socket_has_addresses(uint64_t object)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_unix_dgram ||
	       (mechanism >= IPC_MECH_udp && mechanism <= IPC_MECH_netlink);
}

/* Whether its mechanism does not say what it is. */
static inline bool socket_needs_kind(uint64_t object)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_socket_other || mechanism == IPC_MECH_netlink;
}

/* Whether it gets its address with its first send. */
static inline bool socket_binds_late(uint64_t object)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_udp || mechanism == IPC_MECH_netlink;
}

#endif
