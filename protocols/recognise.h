/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * Which protocol is it? Used by the sources too, inside of traced processes: no libc, no state, nothing but
 * these bytes.
 */
#ifndef IPC_RECOGNISE_H
#define IPC_RECOGNISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ipc_protocol {
	IPC_PROTO_none,
#define PROTOCOL(name, over) IPC_PROTO_##name,
#include "protocols.def"
#undef PROTOCOL
	IPC_PROTOCOLS
};

enum {
	/* So much of a message decides, and no more is needed: a recogniser that sees less may say no. */
	IPC_RECOGNISE_BYTES = 256,
	/* Messages in each direction of a channel's end that are looked at; if none of them began like a
	 * protocol, nothing more of it is. */
	IPC_RECOGNISE_TRIES = 4,
};

/* Each: whether a message of the protocol, or a connection of it, begins with these `size` bytes (`stream`:
 * of a byte stream; else they are the whole datagram, or its first IPC_RECOGNISE_BYTES). */
#define PROTOCOL(name, over) bool ipc_is_##name(const uint8_t *bytes, size_t size, bool stream);
#include "protocols.def"
#undef PROTOCOL

/* The first of the table that takes it, or IPC_PROTO_none. */
enum ipc_protocol ipc_recognise(const uint8_t *bytes, size_t size, bool stream);

#endif
