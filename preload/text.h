/* SPDX-License-Identifier: BSD-2-Clause */
/* The few string functions that the shim needs without libc (whose own use vector registers). */
#ifndef IPC_TEXT_H
#define IPC_TEXT_H

#include <stdbool.h>
#include <stddef.h>

static inline size_t text_length(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

static inline bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* Behind `prefix` in `s`, or NULL: s does not start so. */
static inline const char *text_after(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return NULL;
	return s;
}

/* Copies as much of `s` as fits before `end`, without its NUL. Returns the place behind it. */
static inline char *text_put(char *at, const char *end, const char *s)
{
	while (at < end && *s)
		*at++ = *s++;
	return at;
}

/* Writes a number in decimal; `at` has room for 20 characters. Returns the place behind it. */
static inline char *text_put_number(char *at, unsigned long n)
{
	char digits[20];
	int k = 0;
	do
		digits[k++] = (char)('0' + n % 10);
	while (n /= 10);
	while (k)
		*at++ = digits[--k];
	return at;
}

/* Writes the path of a descriptor of the caller's, with its NUL; `at` has room for 40 characters. */
static inline void text_put_fd_path(char *at, unsigned int fd)
{
	at = text_put(at, (char *)-1, "/proc/self/fd/");
	*text_put_number(at, fd) = '\0';
}

#endif
