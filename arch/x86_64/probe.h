/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a probe can stand (x86-64). */
#ifndef IPC_ARCH_PROBE_H
#define IPC_ARCH_PROBE_H

#include <stddef.h>
#include <string.h>

/* How many bytes behind its beginning a function of libc is probed: usually 0. The kernel puts no probe on a
 * locked instruction, which pthread_spin_lock begins with, so it stands on the next one: that runs once more
 * each time the lock is tried again. */
static inline size_t probe_place(const void *code)
{
	static const unsigned char decrement[] = { 0xf0, 0xff, 0x0f }; /* lock decl (%rdi) */

	return memcmp(code, decrement, sizeof(decrement)) ? 0 : sizeof(decrement);
}

#endif
