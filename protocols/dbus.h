/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * What recogniser and parser of D-Bus share. Source of the format: the D-Bus specification, "Message Format"
 * and "Authentication Protocol".
 */
#ifndef IPC_DBUS_H
#define IPC_DBUS_H

#include "bytes.h"

enum {
	DBUS_FIXED = 16, /* bytes of a message up to its header fields */
	DBUS_CALL = 1,
	DBUS_RETURN,
	DBUS_ERROR,
	DBUS_SIGNAL,
	DBUS_NO_REPLY = 1, /* flag */
	DBUS_VERSION = 1,
	DBUS_ARRAY_MAX = 1 << 26,
	DBUS_MESSAGE_MAX = 1 << 27,
	DBUS_FIELDS = 10, /* codes of header fields that are known: 1 to 9 */
};

/* The type of each known header field. */
#define DBUS_FIELD_TYPES "\0osssussgu"

static inline uint32_t dbus_u32(const uint8_t *at, uint8_t order)
{
	return order == 'B' ? bytes_be32(at) : bytes_le32(at);
}

#endif
