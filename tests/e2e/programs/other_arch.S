/* SPDX-License-Identifier: BSD-2-Clause */
/* A program of 32 bits without libc: ends with status 3. */
	.globl _start
_start:
	mov $1, %eax
	mov $3, %ebx
	int $0x80
