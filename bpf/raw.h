/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the eBPF programs tell of memory and only their loader understands: the call as the program made it.
 * An address may mean several mappings, which the programs cannot look up: the loader keeps each process's
 * table of them, in the order in which these records stand in the ring, and makes the events of it
 * (regions.h). A futex is an event already, but its object has the word's address for a number, and arg0 the
 * image in its high half.
 */
#ifndef IPC_BPF_RAW_H
#define IPC_BPF_RAW_H

#include "event.h"

/* In the place of an event's call, above the call itself. */
enum raw_kind {
	RAW_BEGIN = 0x1000, /* before the kernel can have done it */
	RAW_END = 0x2000,
	RAW_SEEN = 0x3000,   /* before the end of one that failed: a shared mapping that is there */
	RAW_FORK = 0x4000,   /* `thread` and `image` are the child's */
	RAW_GONE = 0x5000,   /* the process has ended */
	RAW_ADOPT = 0x6000,  /* a mapping that a process had when the recording began */
	RAW_ADVICE = 0x7000, /* madvise(MADV_DONTFORK, MADV_DOFORK) went well */
	RAW_KINDS = 0x8000,
	RAW_CALL = 0x0fff,
};

/* `arg` are the call's; the rest is 0 where its kind has none. */
struct raw {
	struct ipc_event event; /* `object` of the memory, `arg0` the descriptor; end: times, result */
	__u64 arg[6];
	/* A mapping: BEGIN of a file that is to be mapped, and END of what is mapped now and only the kernel
	 * knows (0: not to be told), SEEN, ADOPT. */
	__u64 start, end, offset, inode;
	__u32 dev_major, dev_minor;
	__u32 image, parent;
	__u32 ipcns; /* of a System V segment: inode of its namespace */
	__s32 pid;
	__u8 protection;
	__u8 shares; /* FORK: the child works on its parent's memory; mmap: on memory that can be shared */
	__u8 reserved[6];
};

static inline _Bool raw_is(__u32 call)
{
	return call >= RAW_BEGIN && call < RAW_KINDS;
}

#endif
