/* SPDX-License-Identifier: BSD-2-Clause */
/* How values look: for people (63 B, 1.2 ms, 4.1 MiB), and as JSON. */
#ifndef IPC_UNITS_H
#define IPC_UNITS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum unit {
	UNIT_TEXT,
	UNIT_ANY, /* as it is: nobody knows what it is */
	UNIT_NUMBER,
	UNIT_BYTES,
	UNIT_DURATION, /* nanoseconds */
	UNIT_TIME,     /* nanoseconds of CLOCK_MONOTONIC; people see seconds since the recording began */
	UNIT_ID,     /* hexadecimal digits; people see the first ID_DIGITS, which nearly always are enough */
	UNIT_BAR,    /* text that is never shortened */
	UNIT_STATUS, /* as wait(2) gives it; people see the exit status or the signal's name */
};

enum { ID_DIGITS = 8 };

/* Writes `value` as people read it. Returns the length, as snprintf. */
int unit_format(char *out, size_t size, enum unit unit, int64_t value, uint64_t start_ns);

/* Length of the UTF-8 character at `s` (of `n` bytes, at least 1), or 0: not valid. */
size_t utf8_length(const char *s, size_t n);

/* Writes `n` bytes as a JSON string with its quotes. A byte that is not valid UTF-8 becomes U+FFFD, control
 * characters are escaped. */
void json_string(FILE *out, const char *s, size_t n);

/* `n` bytes as a string to free that is safe on a terminal: control characters, those that change the
 * direction of writing, and bytes that are not valid UTF-8 stand as \xNN. NULL: out of memory. */
char *text_printable(const char *s, size_t n);

/* Columns that a printable string takes on a terminal: of some characters none, of others two. */
size_t text_width(const char *s);

/* Bytes at the beginning of a printable string that take at most `width` columns; whole characters, with all
 * that is written over the last of them. */
size_t text_within(const char *s, size_t width);

#endif
