// SPDX-License-Identifier: BSD-2-Clause
/*
 * A connection begins with lines of text ("AUTH EXTERNAL 30", "OK 0123...", at least 80 bits that must match;
 * 40 where a NUL stands in front); what comes later begins with a message's head: 47 of its first 128 bits
 * must match, 76 of its first 160. Programs that read a head by itself read those 128 bits.
 */
#include "recognise.h"
#include "dbus.h"

/* The bytes of `word` are at `*at`, which then goes behind them. */
static bool take(const uint8_t **at, const uint8_t *end, const char *word)
{
	const uint8_t *p = *at;
	for (; *word; word++, p++)
		if (p == end || *p != (uint8_t)*word)
			return false;
	*at = p;
	return true;
}

static bool is_mechanism(const uint8_t *at, const uint8_t *end)
{
	return (take(&at, end, "EXTERNAL") || take(&at, end, "DBUS_COOKIE_SHA1") ||
		take(&at, end, "ANONYMOUS")) &&
	       at != end && (*at == ' ' || *at == '\r');
}

/* SMTP, POP3 and Redis have lines with AUTH too. */
static bool is_client(const uint8_t *at, const uint8_t *end)
{
	bool nul = at != end && !*at;
	at += nul;
	return (take(&at, end, "AUTH ") && (nul || is_mechanism(at, end))) ||
	       (nul && take(&at, end, "AUTH\r\n"));
}

static bool is_server(const uint8_t *at, const uint8_t *end)
{
	if (take(&at, end, "REJECTED "))
		return is_mechanism(at, end);
	take(&at, end, "DATA\r\n");
	if (!take(&at, end, "OK "))
		return false;
	for (unsigned int i = 0; i < 32; i++, at++)
		if (at == end || !((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f')))
			return false;
	return take(&at, end, "\r\n");
}

static bool is_message(const uint8_t *at, size_t size)
{
	if (size < DBUS_FIXED || (at[0] != 'l' && at[0] != 'B') || at[1] < DBUS_CALL || at[1] > DBUS_SIGNAL ||
	    at[2] > 7 || at[3] != DBUS_VERSION)
		return false;
	uint32_t body = dbus_u32(at + 4, at[0]), serial = dbus_u32(at + 8, at[0]);
	uint32_t fields = dbus_u32(at + 12, at[0]);
	if (body > DBUS_MESSAGE_MAX || !serial || fields < 8 || fields > UINT16_MAX)
		return false;
	at += DBUS_FIXED;
	return size < DBUS_FIXED + 4 || (at[0] && at[0] < DBUS_FIELDS && at[1] == 1 &&
					 at[2] == (uint8_t)DBUS_FIELD_TYPES[at[0]] && !at[3]);
}

bool ipc_is_dbus(const uint8_t *bytes, size_t size, bool stream)
{
	const uint8_t *end = bytes + size;
	return stream && (is_message(bytes, size) || is_client(bytes, end) || is_server(bytes, end));
}
