// SPDX-License-Identifier: BSD-2-Clause
/* HTTP/1.x (RFC 9112): a request line of a method that is in use, or a status line. */
#include "text.h"

/* Of RFC 9110, 5789, 4918, 3253, 5323 and 5842, and what caches and UPnP use. */
static const char methods[] = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH "
			      "PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH MKCALENDAR "
			      "PURGE NOTIFY SUBSCRIBE UNSUBSCRIBE ";

/* The length of the method that the bytes begin with, its space included, or 0. */
static size_t method(const uint8_t *bytes, size_t size)
{
	for (const char *m = methods; *m;) {
		size_t n = 0;
		while (n < size && (uint8_t)m[n] == bytes[n] && m[n] != ' ')
			n++;
		if (n < size && m[n] == ' ' && bytes[n] == ' ')
			return n + 1;
		while (*m++ != ' ')
			;
	}
	return 0;
}

/* "HTTP/1.1" and the like. */
static bool version(const uint8_t *bytes, size_t size)
{
	static const char wanted[] = "HTTP/1.";
	size_t i = 0;
	while (wanted[i] && i < size && bytes[i] == (uint8_t)wanted[i])
		i++;
	return !wanted[i] && i < size && bytes[i] >= '0' && bytes[i] <= '9';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool reply(const uint8_t *bytes, size_t size)
{
	return version(bytes, size) && size >= 13 && bytes[8] == ' ' && is_digit(bytes[9]) &&
	       is_digit(bytes[10]) && is_digit(bytes[11]) &&
	       (bytes[12] == ' ' || bytes[12] == '\r' || bytes[12] == '\n');
}

bool ipc_is_http(const uint8_t *bytes, size_t size, bool stream)
{
	if (!stream)
		return false;
	size_t i = method(bytes, size), target = i;
	if (!i)
		return reply(bytes, size);
	while (i < size && bytes[i] > ' ' && bytes[i] != 0x7f)
		i++;
	if (i == size) /* a target longer than what is looked at */
		return size >= IPC_RECOGNISE_BYTES;
	if (i == target || bytes[i] != ' ')
		return false;
	/* The version may be cut off as the target may. */
	return version(bytes + i + 1, size - i - 1) || (size >= IPC_RECOGNISE_BYTES && size - i <= 8);
}
