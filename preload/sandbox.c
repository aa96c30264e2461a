// SPDX-License-Identifier: BSD-2-Clause
/*
 * Runs a seccomp filter for each system call of our own, before it is installed. A filter that looks at more
 * than the number and the machine (arguments, the caller's address), or that computes in a way that filters
 * hardly do, is taken for one that stops us.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "readable.h"
#include "sandbox.h"

static const uint16_t ours[] = {
	__NR_faccessat,	  __NR_clock_gettime,
	__NR_close,	  __NR_fcntl,
	__NR_fgetxattr,	  __NR_fstat,
	__NR_fstatfs,	  __NR_getdents64,
	__NR_getegid,	  __NR_geteuid,
	__NR_getgid,	  __NR_getpid,
	__NR_getppid,	  __NR_getpeername,
	__NR_getsockname, __NR_getsockopt,
	__NR_gettid,	  __NR_getuid,
	__NR_madvise,	  __NR_mmap,
	__NR_mprotect,	  __NR_mremap,
	__NR_munmap,	  __NR_nanosleep,
	__NR_newfstatat,  __NR_open,
	__NR_openat,	  __NR_prctl,
	__NR_pread64,	  __NR_prlimit64,
	__NR_readlinkat,  __NR_sched_yield,
	__NR_sigaltstack, __NR_remap_file_pages,
	__NR_statx,	  __NR_rt_sigprocmask,
	__NR_lseek,	  __NR_futex,
};

/* To ask sock_diag who is at the other end; without them we do not ask. */
static const uint16_t questions[] = { __NR_socket, __NR_sendto, __NR_recvfrom };

struct machine {
	uint32_t a, x, memory[BPF_MEMWORDS];
};

/* Loads, stores and moves. False: not one that we understand. */
static bool run_data(struct machine *m, const struct sock_filter *f, uint32_t number)
{
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		if (f->k == offsetof(struct seccomp_data, nr))
			m->a = number;
		else if (f->k == offsetof(struct seccomp_data, arch))
			m->a = AUDIT_ARCH_X86_64;
		else
			return false;
		return true;
	case BPF_LD | BPF_IMM:
		m->a = f->k;
		return true;
	case BPF_LDX | BPF_IMM:
		m->x = f->k;
		return true;
	case BPF_LD | BPF_MEM:
		m->a = m->memory[f->k % BPF_MEMWORDS];
		return true;
	case BPF_LDX | BPF_MEM:
		m->x = m->memory[f->k % BPF_MEMWORDS];
		return true;
	case BPF_ST:
		m->memory[f->k % BPF_MEMWORDS] = m->a;
		return true;
	case BPF_STX:
		m->memory[f->k % BPF_MEMWORDS] = m->x;
		return true;
	case BPF_MISC | BPF_TAX:
		m->x = m->a;
		return true;
	case BPF_MISC | BPF_TXA:
		m->a = m->x;
		return true;
	case BPF_ALU | BPF_AND | BPF_K:
		m->a &= f->k;
		return true;
	default:
		return false;
	}
}

/* How many instructions to pass over. */
static uint32_t run_jump(const struct machine *m, const struct sock_filter *f)
{
	uint32_t with = BPF_SRC(f->code) == BPF_X ? m->x : f->k;
	bool taken = false;
	switch (BPF_OP(f->code)) {
	case BPF_JA:
		return f->k;
	case BPF_JEQ:
		taken = m->a == with;
		break;
	case BPF_JGT:
		taken = m->a > with;
		break;
	case BPF_JGE:
		taken = m->a >= with;
		break;
	case BPF_JSET:
		taken = m->a & with;
		break;
	}
	return taken ? f->jt : f->jf;
}

static bool lets_pass(const struct sock_fprog *program, uint32_t number)
{
	struct machine m = { 0 };
	for (uint64_t i = 0; i < program->len; i++) {
		const struct sock_filter *f = &program->filter[i];
		if (BPF_CLASS(f->code) == BPF_JMP) {
			i += run_jump(&m, f);
		} else if (BPF_CLASS(f->code) == BPF_RET) {
			uint32_t action = (BPF_RVAL(f->code) == BPF_A ? m.a : f->k) & SECCOMP_RET_ACTION_FULL;
			return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG ||
			       action == SECCOMP_RET_ERRNO;
		} else if (!run_data(&m, f, number)) {
			return false;
		}
	}
	return false;
}

static bool stops(const struct sock_fprog *program, const uint16_t *numbers, unsigned int count)
{
	if (!readable(program, sizeof(*program)) ||
	    !readable(program->filter, program->len * sizeof(*program->filter)))
		return false;
	for (unsigned int i = 0; i < count; i++)
		if (!lets_pass(program, numbers[i]))
			return true;
	return false;
}

bool sandbox_stops_us(const struct sock_fprog *program)
{
	return stops(program, ours, sizeof(ours) / sizeof(*ours));
}

bool sandbox_stops_exec(const struct sock_fprog *program)
{
	static const uint16_t exec[] = { __NR_execve };
	return stops(program, exec, 1);
}

bool sandbox_stops_semctl(const struct sock_fprog *program)
{
	static const uint16_t semctl[] = { __NR_semctl };
	return stops(program, semctl, 1);
}

bool sandbox_stops_ioctl(const struct sock_fprog *program)
{
	static const uint16_t ioctl[] = { __NR_ioctl };
	return stops(program, ioctl, 1);
}

bool sandbox_stops_timers(const struct sock_fprog *program)
{
	static const uint16_t timers[] = { __NR_timer_create, __NR_timer_settime, __NR_timer_delete };
	return stops(program, timers, 3);
}

bool sandbox_stops_copies(const struct sock_fprog *program)
{
	static const uint16_t copies[] = { __NR_process_vm_readv };
	return stops(program, copies, 1);
}

bool sandbox_stops_sampling(const struct sock_fprog *program)
{
	static const uint16_t sampling[] = { __NR_userfaultfd, __NR_ioctl };
	return stops(program, sampling, 2);
}

bool sandbox_stops_questions(const struct sock_fprog *program)
{
	return stops(program, questions, sizeof(questions) / sizeof(*questions));
}
