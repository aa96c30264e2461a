/* SPDX-License-Identifier: BSD-2-Clause */
/* What recognisers of protocols in text share. Inside of traced processes: no libc, loops only. */
#ifndef IPC_RECOGNISE_TEXT_H
#define IPC_RECOGNISE_TEXT_H

#include "recognise.h"

/* Whether the bytes begin with `text`, which has its letters in lower case, whatever the case of theirs. */
static inline bool text_begins(const uint8_t *bytes, size_t size, const char *text)
{
	for (size_t i = 0; text[i]; i++) {
		if (i >= size)
			return false;
		uint8_t c = bytes[i];
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != (uint8_t)text[i])
			return false;
	}
	return true;
}

/* How many of the first bytes are blank, ends of lines included. */
static inline size_t text_blanks(const uint8_t *bytes, size_t size)
{
	size_t i = 0;
	while (i < size && (bytes[i] == ' ' || bytes[i] == '\t' || bytes[i] == '\r' || bytes[i] == '\n'))
		i++;
	return i;
}

#endif
