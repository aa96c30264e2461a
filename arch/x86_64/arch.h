/* SPDX-License-Identifier: BSD-2-Clause */
/* What depends on the processor, x86-64: raw system calls, the time-stamp counter, local arithmetic. */
#ifndef IPC_ARCH_H
#define IPC_ARCH_H

#include <asm/unistd.h>
#include <elf.h>
#include <stdint.h>
#include <ucontext.h>

/* What a program's file must say that the shim can be in: the machine, and glibc's dynamic linker. */
enum { ARCH_MACHINE = EM_X86_64 };
#define ARCH_INTERPRETER "/lib64/ld-linux-x86-64.so.2"

static inline long arch_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define ARCH_PICK(_1, _2, _3, _4, _5, _6, _7, n, ...) n
/* raw_syscall(nr, up to 6 arguments): the kernel's own result, -errno on failure; errno untouched. */
#define raw_syscall(...)	ARCH_PICK(__VA_ARGS__, RAW6, RAW5, RAW4, RAW3, RAW2, RAW1, RAW0)(__VA_ARGS__)
#define RAW0(nr)		arch_syscall(nr, 0, 0, 0, 0, 0, 0)
#define RAW1(nr, a)		arch_syscall(nr, (long)(a), 0, 0, 0, 0, 0)
#define RAW2(nr, a, b)		arch_syscall(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define RAW3(nr, a, b, c)	arch_syscall(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define RAW4(nr, a, b, c, d)	arch_syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define RAW5(nr, a, b, c, d, e) arch_syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define RAW6(nr, a, b, c, d, e, f)                                                                           \
	arch_syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline uint64_t arch_ticks(void)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (uint64_t)hi << 32 | lo;
}

/* Adds and returns the value before, in one instruction: atomic against this thread's own signal handlers. */
static inline uint32_t arch_local_add(uint32_t *p, uint32_t n)
{
	__asm__ volatile("xaddl %0, %1" : "+r"(n), "+m"(*p)::"memory", "cc");
	return n;
}

/* Adds in one instruction, likewise. */
static inline void arch_local_inc(uint32_t *p)
{
	__asm__ volatile("incl %0" : "+m"(*p)::"memory", "cc");
}

static inline void arch_local_inc64(uint64_t *p)
{
	__asm__ volatile("incq %0" : "+m"(*p)::"memory", "cc");
}

static inline void arch_local_dec64(uint64_t *p)
{
	__asm__ volatile("decq %0" : "+m"(*p)::"memory", "cc");
}

static inline void arch_local_dec(uint32_t *p)
{
	__asm__ volatile("decl %0" : "+m"(*p)::"memory", "cc");
}

/* Copies without vector registers. */
static inline void arch_copy(void *to, const void *from, uint64_t size)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
}

/* What libc addresses thread-local storage by; 0: the thread has an empty block in its place. */
static inline uintptr_t arch_thread_pointer(void)
{
	uintptr_t fs;
	__asm__("mov %%fs:0, %0" : "=r"(fs));
	return fs;
}

/* The instruction that a signal handler interrupted. */
static inline uintptr_t arch_interrupted(const ucontext_t *context)
{
	return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

/* Whether a debugger has put a breakpoint there. */
static inline int arch_is_breakpoint(uintptr_t code)
{
	return *(const uint8_t *)code == 0xcc;
}

#endif
