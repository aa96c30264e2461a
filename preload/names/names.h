/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim by symbol interposition: where no code may be changed, the program calls these functions in libc's
 * place. Each calls the hooks of a system-call site before and after libc's own function, which does all the
 * rest: cancellation, fork handlers, errno. What libc calls inside itself is not seen (libc-internal).
 *
 * Only SHIM_SYMBOLS has these; programs whose libc is patched get the other library, and never come here.
 * While `shim.by_names` is false each function is libc's.
 *
 * Cancelled threads are unwound through these frames. While libc's function runs, nothing else of the shim
 * stands in the stack.
 */
#ifndef IPC_NAMES_H
#define IPC_NAMES_H

#include <asm/unistd.h>
#include <errno.h>
#include <stdbool.h>

#include "hooks.h"

#define PUBLIC __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

enum name {
#define NAME(name, ...) NAME_##name,
#define SPECIAL(name)	NAME_##name,
#include "names.def"
#undef NAME
#undef SPECIAL
	NAMES
};

/* All have arguments that fit registers; what a function does not take does it no harm. */
typedef long (*name_function)(long, long, long, long, long, long);

extern void *names_next[NAMES];
/* Looks it up now; never NULL: instead of one that is missing, one that fails with ENOSYS. */
void *names_find(enum name name);

/* libc's, or that of whoever comes before libc. */
INLINE name_function name_next(enum name name)
{
	void *f = names_next[name];
	return (name_function)(__builtin_expect(f != NULL, 1) ? f : names_find(name));
}

enum gives { INT, LONG, NOTHING };

/* As the kernel would have said it. */
INLINE long name_result(enum gives gives, long result)
{
	switch (gives) {
	case INT:
		return (int)result == -1 ? -(long)errno : (int)result;
	case LONG:
		return result == -1 ? -(long)errno : result;
	default:
		return 0;
	}
}

/* Whether a call is none that the hooks look at: what is not communication costs this. */
INLINE bool name_passes(long nr, long first)
{
	return !shim.by_names || (hook_filtered[nr] && (uint32_t)first < DESCRIPTORS &&
				  descriptor_kinds[(uint32_t)first] == DESCRIPTOR_OTHER);
}

INLINE void name_returns(long result, uintptr_t frame, long nr, long first)
{
	if (shim_self.depth)
		hook_return(result, frame, nr, first);
}

/* The same around one that is no row. */
INLINE void name_begins(struct hook_registers *r, uintptr_t frame)
{
	if (shim.by_names)
		hook_entry(r, frame);
}

/* A function that stands for libc's of that name. */
#define OWN(type, name, ...)                                                                                 \
	PUBLIC type own_##name(__VA_ARGS__) __asm__(#name);                                                  \
	PUBLIC type own_##name(__VA_ARGS__)

#define FRAME ((uintptr_t)__builtin_frame_address(0))

/* Before functions that return twice, called by their stubs (arch/<machine>/names/), which go on at the
 * address that is returned. */
void *names_before_vfork(const long arg[6], uintptr_t stack);
void *names_before_clone(const long arg[6], uintptr_t stack);
void *names_before_syscall(const long arg[6], uintptr_t stack);

#endif
