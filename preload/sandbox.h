/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether recording may go on under a seccomp filter. */
#ifndef IPC_SANDBOX_H
#define IPC_SANDBOX_H

#include <linux/filter.h>
#include <stdbool.h>

/* Whether the filter stops, or may stop, the process at one of the system calls that the shim makes, here or
 * in a program that is executed later. A refusal (SECCOMP_RET_ERRNO) is harmless: it is counted like any
 * other. False too where the filter cannot be read: it will not be installed. Async-signal-safe. */
bool sandbox_stops_us(const struct sock_fprog *program);

/* The same of the system calls that ask sock_diag, without which recording can go on. */
bool sandbox_stops_questions(const struct sock_fprog *program);

/* The same of execve. */
bool sandbox_stops_exec(const struct sock_fprog *program);

/* The same of semctl. */
bool sandbox_stops_semctl(const struct sock_fprog *program);

/* The same of what watches shared memory. */
bool sandbox_stops_sampling(const struct sock_fprog *program);

/* To ask the kernel what is mapped at an address, or which pseudo-terminal something is. */
bool sandbox_stops_ioctl(const struct sock_fprog *program);

/* A timer by which a thread is cancelled a moment later. */
bool sandbox_stops_timers(const struct sock_fprog *program);

/* To let the kernel copy memory that may be unmapped meanwhile. */
bool sandbox_stops_copies(const struct sock_fprog *program);

#endif
