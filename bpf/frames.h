/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The calls of libc's functions that a thread is inside, of which a signal handler may make more. */
#ifndef IPC_BPF_FRAMES_H
#define IPC_BPF_FRAMES_H

#include "emit.h"

enum { FRAMES_MAX = 4 };

struct frame {
	__u64 stack; /* where the return address is; 0: unused */
	__u64 start, object;
	__u64 mutex; /* that a condition's wait has released; sem_open: the name */
	__u64 value; /* sem_init, sem_open: the first one; barrier: its number */
	__u16 call;
	__u8 waited;
	__u8 made; /* sem_open may make it */
};

struct frames {
	struct frame frame[FRAMES_MAX]; /* the innermost last */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct frames);
} library_calls SEC(".maps");

_Bool sees_library; /* the probes are there (locks.h): set by the loader */

/* Whether the thread makes a system call for one of those; `waits`: to wait for it. */
static __noinline _Bool is_the_librarys(_Bool waits)
{
	if (!sees_library)
		return 0;
	struct frames *f = bpf_task_storage_get(&library_calls, bpf_get_current_task_btf(), 0, 0);
	for (int i = FRAMES_MAX - 1; f && i >= 0; i--)
		if (f->frame[i].stack) {
			f->frame[i].waited |= waits;
			return 1;
		}
	return 0;
}

#endif
