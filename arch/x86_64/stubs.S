/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the generated stubs (patch.c) call. They come from the middle of a libc function, so every register
 * but the flags is kept; the stub has stepped over the red zone before it calls.
 *
 * stub_disable (of three kinds) is the one function here that stands in a backtrace while a thread may be
 * cancelled (it calls __pthread_disable_asynccancel), so it has exact unwind information; the others must not be
 * unwound through and have none.
 */
#include "handlers.h"

	.text

/* struct hook_registers: 6 arguments, the number */
#define FRAME 56

	.macro save_registers
	mov	%rdi, 0(%rsp)
	mov	%rsi, 8(%rsp)
	mov	%rdx, 16(%rsp)
	mov	%r10, 24(%rsp)
	mov	%r8, 32(%rsp)
	mov	%r9, 40(%rsp)
	mov	%rax, 48(%rsp)
	.endm
	.macro restore_arguments
	mov	0(%rsp), %rdi
	mov	8(%rsp), %rsi
	mov	16(%rsp), %rdx
	mov	24(%rsp), %r10
	mov	32(%rsp), %r8
	mov	40(%rsp), %r9
	.endm

/* %rax the number; return address, 128 bytes of red zone, then the site's stack pointer */
	.globl stub_entry
	.hidden stub_entry
	.type stub_entry, @function
stub_entry:
	push	%rbp
	mov	%rsp, %rbp
	push	%rcx
	sub	$FRAME, %rsp
	and	$-16, %rsp
	save_registers
	mov	%rsp, %rdi
	lea	144(%rbp), %rsi
	call	hook_entry
	restore_arguments
	mov	48(%rsp), %rax
	mov	-8(%rbp), %rcx
	leave
	ret
	.size stub_entry, .-stub_entry

/* %rax the result, %ecx the number; stack as above */
	.globl stub_return
	.hidden stub_return
	.type stub_return, @function
stub_return:
	push	%rbp
	mov	%rsp, %rbp
	sub	$FRAME, %rsp
	and	$-16, %rsp
	save_registers
	mov	%ecx, %edx
	mov	%rdi, %rcx
	mov	%rax, %rdi
	lea	144(%rbp), %rsi
	call	hook_return
	restore_arguments
	mov	48(%rsp), %rax
	leave
	ret
	.size stub_return, .-stub_return

/* The same, of a call whose entry was not seen: its arguments are still there */
	.globl stub_late
	.hidden stub_late
	.type stub_late, @function
stub_late:
	push	%rbp
	mov	%rsp, %rbp
	sub	$FRAME, %rsp
	and	$-16, %rsp
	save_registers
	mov	%rsp, %rdi
	mov	%ecx, %edx
	lea	144(%rbp), %rsi
	call	hook_late
	restore_arguments
	mov	48(%rsp), %rax
	leave
	ret
	.size stub_late, .-stub_late

/* Jumped to in place of a call of __pthread_enable_asynccancel; %rax the number. Ordinary call conventions,
 * the return address is the site's. */
	.globl stub_enable
	.hidden stub_enable
	.type stub_enable, @function
stub_enable:
	push	%rbp
	mov	%rsp, %rbp
	push	%rcx
	sub	$FRAME, %rsp
	and	$-16, %rsp
	save_registers
	mov	%rsp, %rdi
	lea	16(%rbp), %rsi
	call	hook_entry
	restore_arguments
	mov	-8(%rbp), %rcx
	leave
	jmp	*patch_enable(%rip)
	.size stub_enable, .-stub_enable

/* Called in place of __pthread_disable_asynccancel, straight from libc: until that function has run, a
 * cancellation may unwind from any instruction here. The cancellable function's result is in %rax, in %rbx or %rbp
 * (%rax may be errno then), or known to be -1; errno says why where it is -1. %rdi is the argument of disable. */
	.macro disable name, result
	.globl \name
	.hidden \name
	.type \name, @function
\name:
	.cfi_startproc
	mov	shim_self@gottpoff(%rip), %r11
	cmpl	$0, %fs:(%r11)		/* shim_self.depth */
	jne	1f
	jmp	*patch_disable(%rip)
1:
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	push	%rcx
	sub	$FRAME, %rsp
	and	$-16, %rsp
	save_registers
	call	*patch_disable(%rip)
	mov	\result, %rdi
	lea	16(%rbp), %rsi
	call	patch_return_libc
	restore_arguments
	mov	48(%rsp), %rax
	mov	-8(%rbp), %rcx
	leave
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size \name, .-\name
	.endm
	disable stub_disable, 48(%rsp)
	disable stub_disable_rbx, %rbx
	disable stub_disable_rbp, 0(%rbp)
	disable stub_disable_error, $-1

/*
 * What the kernel calls in place of the program's signal handlers, one stub for each of action_handlers[]
 * (preload/action.c): records, and jumps to the program's handler with every register and the stack as the
 * kernel gave them.
 */
	.globl stub_handlers
	.hidden stub_handlers
	.balign 16
stub_handlers:
	.set handler, 0
	.rept ARCH_HANDLERS
	.balign ARCH_HANDLER_STUB
	call	stub_delivered
	jmp	*(action_handlers + 8 * handler)(%rip)
	.set handler, handler + 1
	.endr

	.type stub_delivered, @function
stub_delivered:
	push	%rbp
	mov	%rsp, %rbp
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	and	$-16, %rsp
	call	action_delivered
	test	%al, %al
	mov	-8(%rbp), %rax
	mov	-16(%rbp), %rcx
	mov	-24(%rbp), %rdx
	mov	-32(%rbp), %rsi
	mov	-40(%rbp), %rdi
	mov	-48(%rbp), %r8
	mov	-56(%rbp), %r9
	mov	-64(%rbp), %r10
	mov	-72(%rbp), %r11
	leave
	jnz	2f
	ret
2:	lea	8(%rsp), %rsp		/* not to the handler */
	ret
	.size stub_delivered, .-stub_delivered

	.section .note.GNU-stack,"",@progbits
