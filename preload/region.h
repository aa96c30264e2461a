/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shared mappings of the traced process: which memory is shared, and what with. Kept by the hooks of
 * mmap, shmat and their kin; everything here is async-signal-safe, takes no lock and may be called by any
 * thread.
 */
#ifndef IPC_REGION_H
#define IPC_REGION_H

#include "patch.h"
#include "shim.h"

/* Whether its pages are looked at (sample.c). */
enum region_sampling {
	REGION_UNSAMPLED, /* never: it is not in memory alone, or the kernel would not */
	REGION_NEW,	  /* not yet */
	REGION_SAMPLED,
};

struct region {
	uintptr_t start, end;
	uint64_t object;
	/* Device and inode of the memory's file, the same in every process. Of System V memory the inode is
	 * its id and, above, the ipc namespace's inode. */
	uint32_t dev_major, dev_minor;
	uint64_t inode, offset; /* offset: of `start` in the file */
	uint8_t protection;	/* PROT_READ, PROT_WRITE */
	uint8_t sampling;	/* enum region_sampling */
};

/* The shared mapping that holds this address. False: private memory, or none that is known. */
bool region_find(struct shim_thread *t, uintptr_t address, struct region *out);

/* Changes whenever a mapping comes, goes or is replaced: what was found before, or not found, may be wrong
 * then. */
extern uint32_t region_epoch;

/* All mappings, one after the other: `at` counts from 0. False: this one is none, or is about to go. */
bool region_get(uint32_t at, struct region *out);
uint32_t region_count(void);
void region_set_sampling(uint32_t at, enum region_sampling sampling);
/* Whether the kernel says so too, of all of it. */
bool region_is_there(const struct region *r, long maps);

/* Whether a call on memory makes or touches a shared mapping: what does not costs this look. */
bool region_concerned(uint16_t call, const struct hook_registers *r);

/* What libc maps and unmaps without a call that could be seen: told as the mmap that it was, of this file;
 * and before and after it perhaps unmaps. */
void region_mapped(struct shim_thread *t, const char *path, const void *address, uint64_t size);
void region_may_go(struct shim_thread *t, const void *address, uint64_t size, struct pending *p);
void region_went(struct shim_thread *t, const struct pending *p);

/* In a fork child: tells of each mapping that it has, and forgets those that it has not. */
void region_inherit(struct shim_thread *t);

#endif
