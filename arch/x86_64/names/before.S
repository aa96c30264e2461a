/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of libc that return twice, or that a child returns from on another stack: only what is before them is
 * seen, and libc's own is jumped to with the stack and all arguments as they were (preload/names/children.c).
 */
	.text

/* Arguments in their registers; %rax: how many vector registers a variadic function's caller has used. */
	.macro before name, function
	.globl \name
	.type \name, @function
\name:
	.cfi_startproc
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	sub	$64, %rsp
	mov	%rdi, 0(%rsp)
	mov	%rsi, 8(%rsp)
	mov	%rdx, 16(%rsp)
	mov	%rcx, 24(%rsp)
	mov	%r8, 32(%rsp)
	mov	%r9, 40(%rsp)
	mov	%rax, 48(%rsp)
	mov	%rsp, %rdi
	lea	16(%rbp), %rsi
	call	\function
	mov	%rax, %r11
	mov	0(%rsp), %rdi
	mov	8(%rsp), %rsi
	mov	16(%rsp), %rdx
	mov	24(%rsp), %rcx
	mov	32(%rsp), %r8
	mov	40(%rsp), %r9
	mov	48(%rsp), %rax
	leave
	.cfi_def_cfa %rsp, 8
	jmp	*%r11
	.cfi_endproc
	.size \name, .-\name
	.endm

	before vfork, names_before_vfork
	before clone, names_before_clone
	.globl __vfork, __clone
	.set __vfork, vfork
	.set __clone, clone

	.hidden syscall_spawns
	before syscall_spawns, names_before_syscall

/* clone, vfork and clone3 (56, 58, 435) */
	.globl syscall
	.type syscall, @function
syscall:
	cmp	$56, %rdi
	je	syscall_spawns
	cmp	$58, %rdi
	je	syscall_spawns
	cmp	$435, %rdi
	je	syscall_spawns
	jmp	names_syscall
	.size syscall, .-syscall

	.section .note.GNU-stack,"",@progbits
