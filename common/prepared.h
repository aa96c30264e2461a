/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The prepared libc's name in the arena's folder: made from libc's build id, so that who finds the file has
 * the libc that it is a copy of.
 */
#ifndef IPC_PREPARED_H
#define IPC_PREPARED_H

#include <stddef.h>
#include <stdint.h>

enum { PREPARED_ID_MAX = 32, PREPARED_NAME = sizeof("libc-.so") + 2 * PREPARED_ID_MAX };

static inline void prepared_name(char name[static PREPARED_NAME], const uint8_t *build_id, size_t length)
{
	static const char before[] = "libc-", behind[] = ".so", digits[] = "0123456789abcdef";
	size_t n = 0;
	for (const char *p = before; *p; p++)
		name[n++] = *p;
	for (size_t i = 0; i < length && i < PREPARED_ID_MAX; i++) {
		name[n++] = digits[build_id[i] >> 4];
		name[n++] = digits[build_id[i] & 15];
	}
	for (size_t i = 0; i < sizeof(behind); i++)
		name[n++] = behind[i];
}

#endif
