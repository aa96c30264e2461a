/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How x86-64 hands a system call its arguments, and how it tells a 32-bit caller; struct epoll_event. */
#ifndef IPC_BPF_REGS_H
#define IPC_BPF_REGS_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pt_regs {
	unsigned long r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, sp;
};

struct thread_info {
	__u32 status;
};
#pragma clang attribute pop

struct user_epoll_event {
	__u32 events;
	__u64 data;
} __attribute__((packed));

enum { TS_COMPAT = 0x0002, STACK_BYTES = 16384 /* of a task in the kernel */ };

static __always_inline __u64 regs_arg(const struct pt_regs *regs, unsigned int n)
{
	switch (n) {
	case 0:
		return regs->di;
	case 1:
		return regs->si;
	case 2:
		return regs->dx;
	case 3:
		return regs->r10;
	case 4:
		return regs->r8;
	default:
		return regs->r9;
	}
}

/* The number of the system call that the task is in; -1: in none. */
static __always_inline long regs_nr(const struct pt_regs *regs)
{
	return regs->orig_ax;
}

/* Of a function: its arguments when it begins, its result and where its stack was when it has returned. */
static __always_inline __u64 regs_parameter(const struct pt_regs *regs, unsigned int n)
{
	return n == 0 ? regs->di : n == 1 ? regs->si : n == 2 ? regs->dx : regs->cx;
}

static __always_inline __u64 regs_result(const struct pt_regs *regs)
{
	return regs->ax;
}

static __always_inline __u64 regs_stack_of_call(const struct pt_regs *regs)
{
	return regs->sp - sizeof(long); /* the return address has been taken */
}

/* Of a task: that it entered the kernel by a system call; else an interrupt or a fault brought it there. */
static __always_inline _Bool regs_of_call(const struct pt_regs *regs)
{
	return regs->orig_ax != (unsigned long)-1;
}

/* The number and the arguments are those of another table of system calls (int 0x80, a 32-bit program). */
static __always_inline _Bool regs_compat(const struct thread_info *info)
{
	return info->status & TS_COMPAT;
}

#endif
