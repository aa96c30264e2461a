/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel (Linux 6.7 and later) is asked about pages that were read or written: as linux/fs.h and
 * linux/userfaultfd.h have it in later versions than we may be built with.
 */
#ifndef IPC_PAGES_H
#define IPC_PAGES_H

#include <linux/types.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

/* Writes are noted by the kernel alone, nobody waits for us; pages that are not there yet, and shared memory,
 * take part. */
#define PAGES_FEATURES                                                                                       \
	(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | 1 << 13 /* WP_UNPOPULATED */ | 1 << 15 /* WP_ASYNC */)

struct pages_scan {
	__u64 size, flags, start, end, walk_end;
	__u64 out, out_length; /* struct pages_run */
	__u64 max_pages, category_inverted, category_mask, category_anyof_mask, return_mask;
};

struct pages_run {
	__u64 start, end, categories;
};

enum {
	PAGES_PROTECT = 1 << 0, /* flags: what is found is watched for writes anew */
	PAGES_CHECK = 1 << 1,	/* fail where nothing is watched */
	PAGES_WRITTEN = 1 << 1, /* categories */
	PAGES_PRESENT = 1 << 3,
};

#define PAGES_SCAN _IOWR('f', 16, struct pages_scan)

#endif
