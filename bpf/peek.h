/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Reading kernel objects that we hold as bare addresses (an array's elements: the verifier knows no type). */
#ifndef IPC_BPF_PEEK_H
#define IPC_BPF_PEEK_H

#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

const volatile _Bool fast_reads; /* the kernel has bpf_rdonly_cast: a read costs 1 ns instead of 26 */

extern void *bpf_rdonly_cast(void *object, __u32 btf_id) __ksym __weak;

/* Member of a kernel object that we hold as a bare address. */
#define PEEK(type, address, member)                                                                          \
	({                                                                                                   \
		struct type *object_ = (void *)(address);                                                    \
		typeof(object_->member) value_;                                                              \
		if (fast_reads) {                                                                            \
			object_ = bpf_rdonly_cast(object_, bpf_core_type_id_kernel(struct type));            \
			value_ = object_->member;                                                            \
			barrier(); /* not one load for pointers of two kinds */                              \
		} else {                                                                                     \
			bpf_core_read(&value_, sizeof(value_), &object_->member);                            \
		}                                                                                            \
		value_;                                                                                      \
	})

/* A member of a task that is a pointer. Where the verifier trusts the pointer to the task, it looks for
 * types of several names in all of the kernel's at each such load: that was half of the time it took. */
#define OF_TASK(task, member)                                                                                \
	({                                                                                                   \
		struct task_struct *task_ = (task);                                                          \
		if (fast_reads)                                                                              \
			task_ = bpf_rdonly_cast(task_, bpf_core_type_id_kernel(struct task_struct));         \
		task_->member;                                                                               \
	})

/* Where in a struct pid's numbers that of the level stands, in bytes. Linux 6.1 adds to a pointer only what
 * it knows to be bounded. */
static __always_inline __u64 in_numbers(__u64 level)
{
	__asm__ volatile("%0 &= 63" : "+r"(level));
	return level * bpf_core_type_size(struct upid);
}

/* A function that the verifier looks at once and by itself, not again at each call: it takes numbers and
 * pointers to memory of ours (initialized, perhaps NULL as far as it can tell) and returns a number. What a
 * read or a write of a pipe goes through may have its body in an inline function too, of this name and _here:
 * a return costs up to 10 ns where the kernel guards returns. */
#define SEPARATE __noinline

#endif
