// SPDX-License-Identifier: BSD-2-Clause
/*
 * Finds libc's system-call sites by their byte patterns. No disassembler: each pattern is long enough to
 * verify itself, and what does not match is left alone.
 *
 * A cancellable function has its system call twice: once for a single-threaded process, and once between
 * calls of __pthread_enable_asynccancel and __pthread_disable_asynccancel. Nothing may be hooked between
 * those two (a cancellation there unwinds the stack), so there the two calls are the sites. Both functions
 * are nameless in a stripped libc: they are the commonest targets of a call just before and just after a
 * system call.
 */
#include <elf.h>
#include <stdbool.h>

#include "calls.h"
#include "scan.h"
#include "sites.h"
#include "tables.h"
#include <asm/unistd.h>

enum {
	CALL_LENGTH = 5,
	BEFORE = 56, /* bytes from the call of enable to its system call: the arguments are loaded again */
	ERROR = 24,  /* bytes from where an error is dealt with to the call of disable there */
	AFTER = 48,  /* bytes from the system call to the call of disable */
	TARGETS_MAX = 256, /* distinct call targets around system calls that are counted */
	TARGET_MIN = 10,   /* fewer calls than this: not the cancellation functions */
};

static uint32_t read32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool matches(const uint8_t *p, const char *pattern, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != (uint8_t)pattern[i])
			return false;
	return true;
}

int scan_describe(struct scan_libc *libc, uintptr_t base)
{
	const Elf64_Ehdr *ehdr = (const void *)base;
	if (!matches(ehdr->e_ident, ELFMAG, SELFMAG) || ehdr->e_ident[EI_CLASS] != ELFCLASS64)
		return -8 /* ENOEXEC */;
	*libc = (struct scan_libc){ .base = base };
	const Elf64_Phdr *phdr = (const void *)(base + ehdr->e_phoff);
	for (int i = 0; i < ehdr->e_phnum; i++, phdr++) {
		if (phdr->p_type == PT_LOAD && phdr->p_flags & PF_X) {
			libc->text = (const uint8_t *)(base + phdr->p_vaddr);
			libc->text_end = libc->text + phdr->p_memsz;
		}
		if (phdr->p_type != PT_NOTE)
			continue;
		const uint8_t *note = (const uint8_t *)(base + phdr->p_vaddr), *end = note + phdr->p_memsz;
		while (note + 12 <= end) {
			uint32_t name = (read32(note) + 3) & ~3u, size = read32(note + 4);
			const uint8_t *id = note + 12 + name;
			if (read32(note + 8) == NT_GNU_BUILD_ID && size <= sizeof(libc->build_id) &&
			    id + size <= end) {
				for (uint32_t k = 0; k < size; k++)
					libc->build_id[k] = id[k];
				libc->build_id_len = size;
			}
			note = id + ((size + 3) & ~3u);
		}
	}
	return libc->text ? 0 : -8;
}

/* The futex calls that libc makes itself are part of its locks: only those by syscall(2) are looked at. */
static bool wanted(uint32_t nr)
{
	for (int i = 0; i < IPC_CALLS; i++)
		if (ipc_calls[i].nr == nr && nr != IPC_NO_NR &&
		    IPC_OBJ_KIND(ipc_calls[i].object) != IPC_OBJ_KIND_WORD)
			return true;
	return false;
}

static bool is_compare(const uint8_t *p) /* cmp $-4096,%rax or cmp $-4095,%rax */
{
	return p[0] == 0x48 && p[1] == 0x3d && p[2] <= 1 && matches(p + 3, "\xf0\xff\xff", 3);
}

static bool is_short_compare(const uint8_t *p) /* the same of %eax */
{
	return p[0] == 0x3d && p[1] <= 1 && matches(p + 2, "\xf0\xff\xff", 3);
}

/* How many bytes behind a system call are of instructions that copy its result, change the copy and set %edx
 * to zero: so that the result still is in %rax. */
static size_t copies_length(const uint8_t *p)
{
	static const struct {
		char bytes[4];
		size_t length;
	} copies[] = {
		{ "\x89\xc2", 2 },     /* mov %eax,%edx */
		{ "\x89\xc5", 2 },     /* mov %eax,%ebp */
		{ "\x48\x89\xc5", 3 }, /* mov %rax,%rbp */
		{ "\x31\xd2", 2 },     /* xor %edx,%edx */
		{ "\xf7\xda", 2 },     /* neg %edx */
		{ "\xf7\xdd", 2 },     /* neg %ebp */
	};
	size_t n = 0, i = 0;
	while (i < sizeof(copies) / sizeof(copies[0])) {
		bool found = matches(p + n, copies[i].bytes, copies[i].length);
		n += found ? copies[i].length : 0;
		i = found ? 0 : i + 1;
	}
	return n;
}

/* The number of a system call that takes it from %r9d (tcsetattr), where it was put not far before, or -1. */
static long number_in_r9(const uint8_t *syscall)
{
	if (!matches(syscall - 3, "\x44\x89\xc8", 3)) /* mov %r9d,%eax */
		return -1;
	for (const uint8_t *p = syscall - 9; p > syscall - 64; p--)
		if (p[0] == 0x41 && p[1] == 0xb9 && read32(p + 2) < 1024) /* mov $nr,%r9d */
			return read32(p + 2);
	return -1;
}

/* The system-call number that the instruction before `syscall` loads, or -1. */
static long number_before(const uint8_t *syscall)
{
	if (syscall[-5] == 0xb8 && read32(syscall - 4) < 1024)
		return read32(syscall - 4);
	if (syscall[-2] == 0x31 && syscall[-1] == 0xc0)
		return 0;
	return -1;
}

/* The same between enable and disable, where other loads may stand between: the nearest mov $nr,%eax with a
 * small number. Only reads: nothing is patched there. */
static long number_before_in_window(const uint8_t *syscall)
{
	if (number_before(syscall) >= 0)
		return number_before(syscall);
	for (int i = 6; i < 28; i++)
		if (syscall[-i] == 0xb8 && read32(syscall - i + 1) < 1024)
			return read32(syscall - i + 1);
	return -1;
}

static const uint8_t *call_target(const uint8_t *call)
{
	return call + CALL_LENGTH + (int32_t)read32(call + 1);
}

struct scan {
	const struct scan_libc *libc;
	const uint8_t *enable, *disable;
	struct ipc_site *out;
	size_t max, count;
};

/* Where two bytes next follow each other, or NULL. Passes over eight places at once that the second is not
 * in: other processes' starts wait for this. */
static const uint8_t *next_pair(const uint8_t *p, const uint8_t *end, uint8_t first, uint8_t second)
{
	const uint64_t ones = UINT64_MAX / 255;
	while (p + 2 <= end) {
		uint64_t eight = 0;
		if (p + 9 <= end) {
			__builtin_memcpy(&eight, p + 1, sizeof(eight));
			eight ^= ones * second;
		}
		bool none = !((eight - ones) & ~eight & ones << 7); /* no byte of it is zero */
		for (int i = 0; !none && i < 8 && p + i + 2 <= end; i++)
			if (p[i] == first && p[i + 1] == second)
				return p + i;
		p += 8;
	}
	return NULL;
}

static const uint8_t *next_syscall(const uint8_t *p, const uint8_t *end)
{
	return next_pair(p, end, 0x0f, 0x05);
}

/* The nearest call of `target` (NULL: of anything in libc's text) that ends before `p` (step -1) or starts
 * behind it (step 1). The caller keeps BEFORE and AFTER bytes away from the ends of the text. */
static const uint8_t *near_call(const struct scan *s, const uint8_t *p, int step, const uint8_t *target)
{
	const uint8_t *lo = s->libc->text, *hi = s->libc->text_end;
	int first = step < 0 ? CALL_LENGTH : 2, last = step < 0 ? BEFORE : AFTER;
	for (int i = first; i <= last; i++) {
		const uint8_t *at = p + i * step;
		if (*at != 0xe8)
			continue;
		const uint8_t *to = call_target(at);
		if (target ? to == target : to >= lo && to < hi)
			return at;
	}
	return NULL;
}

struct target {
	const uint8_t *address;
	unsigned int count;
};

/* The commonest target, but for `other`, of the calls just before or after system calls. */
static const uint8_t *commonest(const struct scan *s, int step, const uint8_t *other)
{
	struct target targets[TARGETS_MAX];
	size_t n = 0, best = 0;
	const uint8_t *end = s->libc->text_end - 64;
	for (const uint8_t *p = s->libc->text + 64; (p = next_syscall(p, end)); p += 2) {
		if (number_before(p) < 0 || !is_compare(p + 2))
			continue;
		const uint8_t *call = near_call(s, p, step, NULL);
		if (!call || call_target(call) == other)
			continue;
		size_t i = 0;
		while (i < n && targets[i].address != call_target(call))
			i++;
		if (i == TARGETS_MAX)
			continue;
		if (i == n)
			targets[n++] = (struct target){ call_target(call), 0 };
		if (++targets[i].count > targets[best].count)
			best = i;
	}
	return n && targets[best].count >= TARGET_MIN ? targets[best].address : NULL;
}

static void add(struct scan *s, const uint8_t *at, uint32_t nr, enum site_kind kind, int aux)
{
	if (s->count < s->max)
		s->out[s->count++] = (struct ipc_site){ (uint32_t)((uintptr_t)at - s->libc->base),
							(uint16_t)nr, (uint8_t)kind, (int8_t)aux };
}

/* Whether the system call at `p` runs between enable and disable; then `*call` is the call of enable. */
static bool in_window(const struct scan *s, const uint8_t *p, const uint8_t **call)
{
	if (!s->enable || !s->disable)
		return false;
	*call = near_call(s, p, -1, s->enable);
	return *call != NULL;
}

static bool is_padding(const uint8_t *p) /* a no-operation of five bytes or more */
{
	return matches(p, "\x66\x2e\x0f\x1f\x84", 5) || matches(p, "\x0f\x1f\x44\x00\x00", 5) ||
	       matches(p, "\x0f\x1f\x80\x00\x00", 5) || matches(p, "\x0f\x1f\x84\x00\x00", 5) ||
	       matches(p, "\x66\x0f\x1f\x44\x00", 5) || matches(p, "\x66\x66\x2e\x0f\x1f", 5);
}

/* The call of disable that a function makes apart where its system call failed (preadv2, pwritev2), or NULL.
 * `p` is behind the system call. */
static const uint8_t *disable_after_error(const struct scan *s, const uint8_t *p)
{
	p += copies_length(p);
	if (!is_compare(p) || p[6] != 0x77) /* ja rel8 */
		return NULL;
	const uint8_t *error = p + 8 + (int8_t)p[7];
	for (int i = 0; i <= ERROR; i++)
		if (error[i] == 0xe8 && call_target(error + i) == s->disable)
			return error + i;
	return NULL;
}

enum result { RESULT_UNKNOWN, RESULT_RAX, RESULT_RBX, RESULT_RBP };

/* Where the result is kept over the call of disable, which may be reached with an error too: stored from %rax
 * just before, or in %rbx or %rbp. */
static enum result result_before(const uint8_t *p, const uint8_t *call)
{
	for (; p + 2 <= call; p++) {
		if (p[0] == 0x89 && (p[1] == 0x04 || p[1] == 0x44) && p[2] == 0x24)
			return RESULT_RAX; /* mov %rax,d(%rsp) or %eax */
		if ((p[0] == 0x89 && p[1] == 0xc3) || (p[0] == 0x63 && p[1] == 0xd8))
			return RESULT_RBX; /* mov %eax,%ebx or movslq %eax,%rbx */
		if (p[0] == 0x89 && p[1] == 0xc5)
			return RESULT_RBP; /* mov %rax,%rbp or %eax,%ebp */
	}
	return RESULT_UNKNOWN;
}

/* Loads its last argument, a constant, behind the number: that instruction too has room for a jump. */
static bool is_signalfd(const uint8_t *syscall)
{
	return matches(syscall - 10, "\xb8\x21\x01\x00\x00\xba\x08\x00\x00\x00", 10);
}

static void add_syscall(struct scan *s, const uint8_t *p)
{
	static const char load_r9[] = "\x4c\x8b\x4c\x24\x08"; /* mov 8(%rsp),%r9 */
	if (matches(p - 5, load_r9, 5) && is_compare(p + 2)) {
		add(s, p, IPC_NO_NR, SITE_ANY, 0);
		return;
	}
	const uint8_t *call;
	if (in_window(s, p, &call)) {
		long nr = number_before_in_window(p);
		const uint8_t *after = near_call(s, p, 1, s->disable);
		enum result result = after ? result_before(p + 2, after) : RESULT_UNKNOWN;
		if (nr >= 0 && wanted(nr) && result) {
			add(s, call, nr, SITE_ENABLE, 0);
			add(s, after, nr, SITE_DISABLE,
			    result == RESULT_RBX   ? SITE_RESULT_RBX
			    : result == RESULT_RBP ? SITE_RESULT_RBP
						   : SITE_RESULT_RAX);
			const uint8_t *failed = disable_after_error(s, p + 2);
			if (failed && failed != after)
				add(s, failed, nr, SITE_DISABLE, SITE_RESULT_ERRNO);
		}
		return;
	}
	long nr = number_in_r9(p);
	if (nr >= 0 && wanted(nr) && is_compare(p + 2)) {
		add(s, p, nr, SITE_LATE, 0);
		return;
	}
	bool signalfd = is_signalfd(p);
	nr = signalfd ? __NR_signalfd4 : number_before(p);
	if (nr < 0 || !wanted(nr))
		return;
	const uint8_t *behind = p + 2 + copies_length(p + 2);
	if (p[-5] != 0xb8 && !signalfd) {
		/* cmp (6) | ja rel8 | ret | padding */
		if (is_compare(p + 2) && p[8] == 0x77 && p[10] == 0xc3 && is_padding(p + 11))
			add(s, p, nr, SITE_XOR, 11);
	} else if (is_compare(behind) || is_short_compare(behind)) {
		add(s, p, nr, SITE_MOV, (int)(behind - (p + 2)));
	} else if (nr == __NR_vfork || nr == __NR_clone || nr == __NR_clone3) {
		add(s, p, nr, SITE_PRE, 0);
	}
}

/* _exit keeps 231 in %esi over a loop, and 60 in %edx; a thread's end keeps 60 in %edx. */
static void add_exits(struct scan *s)
{
	const uint8_t *end = s->libc->text_end - 32;
	for (const uint8_t *p = s->libc->text + 8; (p = next_pair(p, end, 0xba, 0x3c)); p++) {
		if (!matches(p, "\xba\x3c\x00\x00\x00", 5))
			continue;
		if (matches(p - 5, "\xbe\xe7\x00\x00\x00", 5))
			add(s, p - 5, __NR_exit_group, SITE_EXIT, 0);
		for (int i = 5; i < 16; i++)
			if (matches(p + i, "\x31\xff\x89\xd0\x0f\x05\xeb\xf8", 8))
				add(s, p, __NR_exit, SITE_EXIT, 0);
	}
}

size_t scan_sites(const struct scan_libc *libc, struct ipc_site *out, size_t max)
{
	struct scan s = { .libc = libc, .out = out, .max = max };
	if (libc->text_end - libc->text < 4096)
		return 0;
	s.enable = commonest(&s, -1, NULL);
	s.disable = commonest(&s, 1, s.enable);
	const uint8_t *end = libc->text_end - 64;
	for (const uint8_t *p = libc->text + 64; (p = next_syscall(p, end)); p += 2)
		add_syscall(&s, p);
	add_exits(&s);
	return s.count;
}
