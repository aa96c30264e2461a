/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether memory that the program names may be read. The kernel answers EFAULT to a bad pointer; we, who look
 * at what it points to before the kernel does, would crash. Raw system calls only: async-signal-safe.
 */
#ifndef IPC_READABLE_H
#define IPC_READABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "arch.h"

enum { READABLE_PAGE = 4096, READABLE_WORD = 8, NO_SUCH_OPERATION = 99 };

/* By the last word of the page: a null pointer would not be looked at. The kernel copies the mask before it
 * looks at the operation, and changes nothing. */
static inline bool readable_page(uintptr_t at)
{
	return raw_syscall(__NR_rt_sigprocmask, NO_SUCH_OPERATION,
			   (at | (READABLE_PAGE - 1)) - (READABLE_WORD - 1), 0, READABLE_WORD) != -EFAULT;
}

static inline bool readable(const void *memory, uint64_t size)
{
	uintptr_t at = (uintptr_t)memory, end = at + size;
	if (end < at)
		return false;
	for (; at < end; at = (at | (READABLE_PAGE - 1)) + 1)
		if (!readable_page(at))
			return false;
	return true;
}

/* The first `max` characters of a string, or all of it. `page`, 0 at first, tells the last one found good. */
static inline bool readable_string(const char *s, uint64_t max, uintptr_t *page)
{
	for (uint64_t i = 0; i < max; i++) {
		uintptr_t here = (uintptr_t)&s[i] / READABLE_PAGE + 1;
		if (here != *page && !readable_page((uintptr_t)&s[i]))
			return false;
		*page = here;
		if (!s[i])
			break;
	}
	return true;
}

#endif
