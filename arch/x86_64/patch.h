/* SPDX-License-Identifier: BSD-2-Clause */
/* Rewriting libc's system-call sites (sites.h). */
#ifndef IPC_PATCH_H
#define IPC_PATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "scan.h"
#include "sites.h"

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

/* What differs between processes. It lies in memory of the process's own, in front of the stubs. */
struct patch_table {
	const uint8_t *kinds; /* a byte per descriptor below 4,096: calls on one whose byte is 1 are of no
				 interest */
	uintptr_t pending;    /* from %fs to a word: where it is 0 nothing is done behind a system call */
	const void *entry, *leave, *late, *enable, *disable[SITE_RESULTS]; /* stubs.S */
};

/* Where the stubs begin: libc's own functions, from its load address. 0: none found. */
struct patch_head {
	uint32_t enable, disable;
};

struct patch_plan {
	const struct scan_libc *libc; /* writable */
	const struct ipc_site *sites;
	size_t count;
	/* By system-call number, not 0: the first argument is a descriptor, nothing else is done to
	 * descriptors. */
	const uint8_t *filtered;
	const struct patch_table *table; /* where it will be when the stubs run: only its address counts */
	const uint8_t *disable[SITE_RESULTS]; /* what the calls of disable become calls of */
};

enum {
	PATCH_PAGE = 4096,
	PATCH_STUB_MAX = 112, /* bytes of code for a site, both ends of it */
	/* The stubs of a prepared libc stand so far below its text. */
	PATCH_DISTANCE = 256 << 20,
};

static inline uintptr_t patch_page_down(uintptr_t address)
{
	return address & ~(uintptr_t)(PATCH_PAGE - 1);
}

/* Bytes of memory for the stubs of so many sites. */
static inline size_t patch_size(size_t sites)
{
	return patch_page_down(sizeof(struct patch_head) + sites * PATCH_STUB_MAX + PATCH_PAGE - 1);
}

/* Where the stubs of a prepared libc stand. */
static inline uint8_t *patch_stubs(const struct scan_libc *libc)
{
	return (uint8_t *)(patch_page_down((uintptr_t)libc->text) - PATCH_DISTANCE);
}

/* Whether the plan can be carried out; fills `head`, from a libc that is not patched. Returns 0 or -EINVAL.
 */
int patch_check(const struct patch_plan *plan, struct patch_head *head);

/* Patches libc's text and writes the stubs. Returns their size. */
size_t patch_generate(const struct patch_plan *plan, const struct patch_head *head, uint8_t *stubs);

/* Writes a jump to a function of the table. Returns the place behind it. */
uint8_t *patch_jump_to_disable(uint8_t *at, const struct patch_table *table, enum site_result result);

/*
 * A libc prepared once for all processes (prepare.c): a copy of libc's file, at the same offsets, with its
 * text patched, and the stubs in the place of what stands behind the text. The calls of disable go to
 * instructions in libc's own procedure linkage table that are never executed: there is unwind information for
 * these, and they stand at the same distance in every process.
 */

/* `libc` is the copy: its text and PATCH_DISTANCE below it the memory of the stubs are writable, its first
 * segment is readable. Returns 0; -EINVAL, -ENOENT: not with this libc. */
int patch_prepare(const struct scan_libc *libc, const struct ipc_site *sites, size_t count,
		  const uint8_t *filtered);

/* What the shim has for the stubs. */
struct patch_filter {
	const uint8_t *kinds;	 /* as in the table */
	const uint8_t *numbers;	 /* as `filtered` in the plan */
	const uint32_t *pending; /* a word in thread-local storage */
};

/*
 * Both only while the process has one thread. They return 0, or -errno: nothing was changed. patch_map puts
 * the file `fd` of a prepared libc over this process's text (-EPERM, -EACCES: it may not be executed;
 * -EEXIST: something is where the stubs should be). patch_in_place makes the text writable for a moment and
 * generates everything here (-EACCES, -EPERM: that is forbidden).
 */
int patch_map(const struct scan_libc *libc, long fd, const struct patch_filter *filter);
int patch_in_place(const struct scan_libc *libc, const struct ipc_site *sites, size_t count,
		   const struct patch_filter *filter);

/* Whether this instruction is the shim's or a stub's. */
bool patch_is_ours(uintptr_t code);

#endif
