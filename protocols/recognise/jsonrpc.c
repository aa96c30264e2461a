// SPDX-License-Identifier: BSD-2-Clause
/*
 * JSON-RPC 2.0: an object, or an array of them, that has "jsonrpc" near its beginning; in front of it there
 * may be the header of language servers, which some write by itself.
 */
#include "text.h"

/* The blank line's end behind header lines of which the first is one of the two that there are, or 0. */
static size_t header(const uint8_t *bytes, size_t size)
{
	if (!text_begins(bytes, size, "content-length:") && !text_begins(bytes, size, "content-type:"))
		return 0;
	for (size_t i = 0; i + 3 < size; i++) {
		if (bytes[i] == '\r' && bytes[i + 1] == '\n' && bytes[i + 2] == '\r' && bytes[i + 3] == '\n')
			return i + 4;
	}
	return 0;
}

static bool has_member(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '"' && text_begins(bytes + i, size - i, "\"jsonrpc\""))
			return true;
	}
	return false;
}

bool ipc_is_jsonrpc(const uint8_t *bytes, size_t size, bool stream)
{
	if (!stream)
		return false;
	size_t i = header(bytes, size);
	if (i && i == size)
		return text_begins(bytes, size, "content-length:");
	i += text_blanks(bytes + i, size - i);
	return i < size && (bytes[i] == '{' || bytes[i] == '[') && has_member(bytes + i, size - i);
}
