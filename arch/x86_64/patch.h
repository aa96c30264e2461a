/* SPDX-License-Identifier: BSD-2-Clause */
/* Rewriting libc's system-call sites (sites.h). */
#ifndef IPC_PATCH_H
#define IPC_PATCH_H

#include <stddef.h>
#include <stdint.h>

#include "scan.h"

/* What the stubs hand to the hooks: the argument registers as the call had them. hook_entry may change them.
 */
enum {
	HOOK_NO_RETURN = 1 << 16, /* in `nr`: no hook_return will follow */
	HOOK_ANY_CALL = 1 << 17,  /* as `nr`: not known */
};

struct hook_registers {
	long arg[6]; /* of a system call */
	long nr;
};

/*
 * Written in hooks.c, called by the stubs at each site: before the system call and after it. `stack` names
 * the frame: it is the same before and after one call. `result` is the kernel's, `nr` the number (or
 * HOOK_ANY_CALL) and `first` the first argument of the call that returns. Async-signal-safe; errno and vector
 * registers stay as they are.
 */
void hook_entry(struct hook_registers *r, uintptr_t stack);
void hook_return(long result, uintptr_t stack, long nr, long first);
/* Both at once, after a call whose entry has no stub; `nr` of `r` is the result. */
void hook_late(struct hook_registers *r, uintptr_t stack, long nr);

/* Numbers of the system calls whose first argument is a descriptor and that do nothing else to descriptors:
 * their stubs look into `kinds` (a byte per descriptor below 4,096) first, and do nothing where it is 1. */
struct patch_filter {
	const uint8_t *kinds;
	const uint8_t *numbers; /* 512 bytes, not 0: filtered */
};

/*
 * Patches the sites. Only while the process has one thread. `pending` lies in thread-local storage: the
 * stubs behind a system call do nothing where it is 0. Returns 0, or -errno: nothing was changed
 * (-EACCES, -EPERM: memory may not be made writable and executable).
 */
int patch_libc(const struct scan_libc *libc, const struct ipc_site *sites, size_t count,
	       const struct patch_filter *filter, const uint32_t *pending);

#endif
