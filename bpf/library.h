/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the eBPF programs (locks.h) and their loader (library.c) both know of libc's semaphores and locks, and
 * of what is counted of them.
 */
#ifndef IPC_BPF_LIBRARY_H
#define IPC_BPF_LIBRARY_H

#include <linux/types.h>

/* Where an object says whether processes share it, and by which bits. Of a barrier: how many must come. */
enum {
	SEM_SHARED_AT = 8,
	MUTEX_SHARED_AT = 16,
	RWLOCK_SHARED_AT = 28,
	COND_SHARED_AT = 36,
	BARRIER_SHARED_AT = 12,
	BARRIER_COUNT_AT = 8,
	MUTEX_SHARED_BIT = 128,
	COND_SHARED_BIT = 1,
};

/* In the cookie of a probe, above the call: which function it is of several that make up the call. */
enum {
	LIBRARY_CALL = 0xffff,
	LIBRARY_BARRIER_INIT = 1 << 16,
};

/* By object. */
struct lock_slot {
	__u32 holder;	/* image that posted, signalled, or had the lock (for writing), last; 0: none */
	__u32 releaser; /* of a read-write lock: image that released it last */
	/* of barriers: how often it was arrived at, who arrived last in even and in odd rounds,
	 * how many must come */
	__u32 arrivals, last[2];
	__u32 members;
	__u32 doubtful; /* somebody else takes part */
	__u32 held;	/* of a lock: by this thread, for itself alone */
	__u32 waited;	/* the one who has it had to wait: its release is told too */
};

struct lock_count_key {
	__u64 object;
	__u32 image, from; /* who gave what the image received; 0: nobody known */
};

struct lock_count {
	__u64 sends, receives, first;
};

#endif
