/* SPDX-License-Identifier: BSD-2-Clause */
/* What ipc_site.kind and .aux mean on x86-64. Each patch replaces exactly one instruction by one of the same
 * length, the kernel still sees the original address. `offset` is the place of the `syscall` instruction
 * unless said otherwise. */
#ifndef IPC_SITES_H
#define IPC_SITES_H

enum site_kind {
	SITE_NONE,
	SITE_MOV,  /* mov $nr,%eax | syscall | aux bytes that keep %rax | cmp $-409x,%rax or %eax: mov and cmp
		    * become jumps */
	SITE_XOR,  /* xor %eax,%eax | syscall | cmp | ja | ret | padding: a short jump through the padding */
	SITE_LATE, /* mov %r9d,%eax | syscall | cmp: only the cmp has room for a jump: entry and return are
		    * both seen there */
	SITE_PRE,  /* mov $nr,%eax | syscall: only the entry (fork-like calls that return twice) */
	SITE_ANY,  /* syscall(2): mov 8(%rsp),%r9 | syscall | cmp: the number is in %rax */
	SITE_EXIT, /* offset is of a 5-byte mov on the way to exit or exit_group */
	SITE_ENABLE,  /* offset is of `call __pthread_enable_asynccancel` before a system call */
	SITE_DISABLE, /* offset is of `call __pthread_disable_asynccancel` after it; aux: where the result is
		       */
};

enum site_result { SITE_RESULT_RAX, SITE_RESULT_RBX, SITE_RESULT_ERRNO, SITE_RESULT_RBP, SITE_RESULTS };

#endif
