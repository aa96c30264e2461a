// SPDX-License-Identifier: BSD-2-Clause
/*
 * Split patch: the instruction before a `syscall` and the one behind it become jumps to stubs, the `syscall`
 * itself stays where it is. So a blocked call has an untouched stack and libc's own address, and restarts,
 * signal returns, seccomp by address, vfork and clone are none of our business.
 *
 * The stubs stand in one private mapping within 2 GiB of libc. Each executes the instruction that its jump
 * replaced, at the end, with every register as it was. Between __pthread_enable_asynccancel and
 * __pthread_disable_asynccancel no generated code ever runs: it cannot be unwound through.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "arch.h"
#include "patch.h"
#include "sites.h"

enum {
	STUB_MAX = 112, /* bytes of code for a site, both ends of it */
	LOADS_MAX = 64, /* bytes from a call of enable to its system call */
	PAGE = 4096,
	MIB = 1 << 20,
	REACH_MIB = 1900, /* how far from libc's text a 32-bit jump is sure to reach */
};

extern const uint8_t stub_entry[], stub_return[], stub_late[], stub_enable[], stub_disable[],
	stub_disable_rbx[], stub_disable_rbp[], stub_disable_error[];
void (*patch_enable)(void), (*patch_disable)(void); /* libc's own */
void patch_return_libc(long result, uintptr_t stack);

struct patch {
	uint8_t *at; /* where the next stub's code goes */
	const struct patch_filter *filter;
	uint32_t pending; /* offset of the thread-local word from %fs */
};

/* At the end of a cancellable call the kernel's result is gone: -1 (of an int or a long), and errno. */
void patch_return_libc(long result, uintptr_t stack)
{
	if (result == -1 || result == 0xffffffffL)
		result = -(long)*__errno_location();
	hook_return(result, stack, HOOK_ANY_CALL, 0);
}

static void put(struct patch *p, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*p->at++ = (uint8_t)bytes[i];
}
#define PUT(p, bytes) put(p, bytes, sizeof(bytes) - 1)

static void put32(struct patch *p, uint32_t value)
{
	put(p, (const char *)&value, 4);
}

static void put64(struct patch *p, uintptr_t value)
{
	put(p, (const char *)&value, 8);
}

static void put_jump(struct patch *p, const uint8_t *to)
{
	PUT(p, "\xe9");
	put32(p, (uint32_t)(to - (p->at + 4)));
}

/* Starts a jump over code of unknown length; land() ends it. */
static uint8_t *put_branch(struct patch *p, uint8_t opcode)
{
	*p->at++ = opcode;
	return p->at++;
}

static void land(struct patch *p, uint8_t *branch)
{
	*branch = (uint8_t)(p->at - (branch + 1));
}

/* lea -128(%rsp),%rsp | call function | lea 128(%rsp),%rsp */
static void put_call(struct patch *p, const uint8_t *function)
{
	PUT(p, "\x48\x8d\x64\x24\x80\xe8");
	put32(p, (uint32_t)(function - (p->at + 4)));
	PUT(p, "\x48\x8d\xa4\x24\x80\x00\x00\x00");
}

/* cmpl $0,%fs:pending */
static void put_pending_test(struct patch *p)
{
	PUT(p, "\x64\x83\x3c\x25");
	put32(p, p->pending);
	PUT(p, "\x00");
}

/* Leaves the stub's slow path where kinds[%edi] is 1: jumps to what `out` gets. %rax and %r11 are free. */
static void put_filter(struct patch *p, uint8_t **out)
{
	PUT(p, "\x89\xf8\x3d\xff\x0f\x00\x00"); /* mov %edi,%eax | cmp $4095,%eax */
	uint8_t *slow = put_branch(p, 0x77);	/* ja */
	PUT(p, "\x49\xbb");			/* movabs $kinds,%r11 */
	put64(p, (uintptr_t)p->filter->kinds);
	PUT(p, "\x41\x80\x3c\x03\x01"); /* cmpb $1,(%r11,%rax) */
	*out = put_branch(p, 0x74);	/* je */
	land(p, slow);
}

/* Replaces `length` bytes at `from` by a jump to `to`. */
static void redirect(uint8_t *from, const uint8_t *to, size_t length)
{
	struct patch p = { .at = from };
	put_jump(&p, to);
	while (p.at < from + length)
		*p.at++ = 0x90;
}

/* The stub before a call: `original` are the bytes of the instruction that it replaces. */
static uint8_t *put_entry(struct patch *p, const struct ipc_site *site, const uint8_t *original,
			  size_t length, const uint8_t *back)
{
	uint8_t *start = p->at, *out = NULL;
	if (site->kind != SITE_ANY) {
		if (site->nr < 512 && p->filter->numbers[site->nr])
			put_filter(p, &out);
		PUT(p, "\xb8"); /* mov $nr,%eax */
		put32(p, site->nr | (site->kind == SITE_PRE || site->kind == SITE_EXIT ? HOOK_NO_RETURN : 0));
	}
	put_call(p, stub_entry);
	if (out)
		land(p, out);
	put(p, (const char *)original, length);
	put_jump(p, back);
	return start;
}

static size_t compare_length(const uint8_t *compare) /* of %eax, or of %rax */
{
	return compare[0] == 0x3d ? 5 : 6;
}

/* The stub behind a call says which call it is: a filtered one must not be taken for one that a handler
 * jumped out of, from the same frame. */
static uint8_t *put_return(struct patch *p, const struct ipc_site *site, const uint8_t *compare)
{
	uint8_t *start = p->at;
	size_t length = compare_length(compare);
	put_pending_test(p);
	uint8_t *out = put_branch(p, 0x74); /* je */
	PUT(p, "\xb9");			    /* mov $nr,%ecx */
	put32(p, site->kind == SITE_ANY ? (uint32_t)HOOK_ANY_CALL : site->nr);
	put_call(p, stub_return);
	land(p, out);
	put(p, (const char *)compare, length);
	put_jump(p, compare + length);
	return start;
}

/* The stub behind a call whose entry has none. */
static uint8_t *put_late(struct patch *p, const struct ipc_site *site, const uint8_t *compare)
{
	uint8_t *start = p->at;
	PUT(p, "\xb9"); /* mov $nr,%ecx */
	put32(p, site->nr);
	put_call(p, stub_late);
	put(p, (const char *)compare, 6);
	put_jump(p, compare + 6);
	return start;
}

/* The length of an instruction that loads an argument of a system call from a register that functions keep,
 * or with zero; 0: it is another one. */
static size_t load_length(const uint8_t *at)
{
	enum { RBX = 3, RBP = 5, R12 = 12, RDX = 2, RSI = 6, RDI = 7 };
	if (at[0] == 0x45 && at[1] == 0x31) /* xor %r8d,%r8d; xor %r9d,%r9d */
		return at[2] == 0xc0 || at[2] == 0xc9 ? 3 : 0;
	uint8_t rex = (at[0] & 0xf0) == 0x40 ? at[0] : 0;
	const uint8_t *mov = at + !!rex;
	if (mov[0] != 0x89 || mov[1] >> 6 != 3)
		return 0;
	int from = (mov[1] >> 3 & 7) | (rex & 4) << 1, to = (mov[1] & 7) | (rex & 1) << 3;
	bool kept = from == RBX || from == RBP || from >= R12;
	return kept && (to == RDI || to == RSI || to == RDX) ? (size_t)(mov + 2 - at) : 0;
}

/* mov d(%rsp),%r10 (the fourth argument of a system call), of 4 or 8 bytes. */
static bool loads_r10(const uint8_t *at)
{
	return (at[0] == 0x44 || at[0] == 0x4c) && at[1] == 0x8b && at[2] == 0x54 && at[3] == 0x24;
}

/* Whether what is loaded into %r10 at `load` was stored from %rcx (the fourth argument of a function). */
static bool comes_from_rcx(const uint8_t *load, const uint8_t *call)
{
	for (const uint8_t *at = call - 4; at > call - LOADS_MAX / 2; at--)
		if (at[0] == 0x89 && at[1] == 0x4c && at[2] == 0x24 && at[3] == load[4])
			return true;
	return false;
}

/* Arguments that libc loads only behind its call of enable are loaded for the hook too. The registers are
 * free there: the call of a function is about to change them. */
static void put_loads(struct patch *p, const uint8_t *call)
{
	const uint8_t *at = call + 5;
	while (at < call + LOADS_MAX && !(at[0] == 0x0f && at[1] == 0x05)) {
		size_t n = load_length(at);
		put(p, (const char *)at, n);
		if (loads_r10(at) && comes_from_rcx(at, call))
			PUT(p, "\x49\x89\xca"); /* mov %rcx,%r10 */
		at += n ? n : 1;
	}
}

static uint8_t *put_enable(struct patch *p, const struct ipc_site *site, const uint8_t *call)
{
	uint8_t *start = p->at, *filtered = NULL, *pending;
	if (site->nr < 512 && p->filter->numbers[site->nr])
		put_filter(p, &filtered);
	uint8_t *slow = p->at;
	put_loads(p, call);
	PUT(p, "\xb8");
	put32(p, site->nr);
	PUT(p, "\x49\xbb"); /* movabs | jmp *%r11 */
	put64(p, (uintptr_t)stub_enable);
	PUT(p, "\x41\xff\xe3");
	if (filtered) { /* behind the call its number is not known any more */
		land(p, filtered);
		put_pending_test(p);
		pending = put_branch(p, 0x75); /* jne */
		*pending = (uint8_t)(slow - (pending + 1));
		put_jump(p, (const uint8_t *)patch_enable);
	}
	return start;
}

static const uint8_t *call_target(const uint8_t *call)
{
	int32_t distance;
	__builtin_memcpy(&distance, call + 1, 4);
	return call + 5 + distance;
}

static bool in_reach(const uint8_t *from, const uint8_t *to)
{
	return to - from < (long)REACH_MIB * MIB && from - to < (long)REACH_MIB * MIB;
}

static bool looks_right(const struct ipc_site *site, const uint8_t *at)
{
	switch (site->kind) {
	case SITE_EXIT:
		return at[0] == 0xbe || at[0] == 0xba;
	case SITE_ENABLE:
	case SITE_DISABLE:
		return at[0] == 0xe8;
	default:
		return at[0] == 0x0f && at[1] == 0x05;
	}
}

static void retarget(uint8_t *call, const uint8_t *to)
{
	int32_t distance = (int32_t)(to - (call + 5));
	__builtin_memcpy(call + 1, &distance, 4);
}

static void patch_site(struct patch *p, const struct ipc_site *site, uint8_t *at)
{
	if (!looks_right(site, at))
		return;
	switch ((enum site_kind)site->kind) {
	case SITE_MOV:
	case SITE_ANY:
		redirect(at + 2 + site->aux, put_return(p, site, at + 2 + site->aux),
			 compare_length(at + 2 + site->aux));
		redirect(at - 5, put_entry(p, site, at - 5, 5, at), 5);
		break;
	case SITE_XOR:
		redirect(at + 2, put_return(p, site, at + 2), 6);
		redirect(at + site->aux, put_entry(p, site, at - 2, 2, at), 5);
		at[-2] = 0xeb;
		at[-1] = (uint8_t)site->aux;
		break;
	case SITE_LATE:
		redirect(at + 2, put_late(p, site, at + 2), 6);
		break;
	case SITE_PRE:
		redirect(at - 5, put_entry(p, site, at - 5, 5, at), 5);
		break;
	case SITE_EXIT:
		redirect(at, put_entry(p, site, at, 5, at + 5), 5);
		break;
	case SITE_ENABLE:
		retarget(at, put_enable(p, site, at));
		break;
	case SITE_DISABLE:
		retarget(at, site->aux == SITE_RESULT_RBX     ? stub_disable_rbx
			     : site->aux == SITE_RESULT_RBP   ? stub_disable_rbp
			     : site->aux == SITE_RESULT_ERRNO ? stub_disable_error
							      : stub_disable);
		break;
	case SITE_NONE:
		break;
	}
}

/* Maps memory for the stubs where a jump reaches libc and the shim. The kernel puts a new mapping just below
 * the libraries; only where that is too far are places near libc tried one by one. */
static uint8_t *map_stubs(const struct scan_libc *libc, size_t size)
{
	const int prot = PROT_READ | PROT_WRITE | PROT_EXEC,
		  flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
	for (uintptr_t mib = 0; mib < REACH_MIB; mib += mib < 64 ? 1 : 32) {
		uintptr_t hint = mib ? (libc->base - mib * MIB) & ~(uintptr_t)(PAGE - 1) : 0;
		long got = raw_syscall(__NR_mmap, hint, size, prot, flags | (mib ? MAP_FIXED_NOREPLACE : 0),
				       -1, 0);
		if (got < 0 && got > -PAGE && got != -EEXIST)
			return NULL;
		if (in_reach((const uint8_t *)got, libc->text) && in_reach((const uint8_t *)got, stub_entry))
			return (uint8_t *)got;
		if (got != -EEXIST)
			raw_syscall(__NR_munmap, got, size);
	}
	return NULL;
}

int patch_libc(const struct scan_libc *libc, const struct ipc_site *sites, size_t count,
	       const struct patch_filter *filter, const uint32_t *pending)
{
	uintptr_t lo = UINTPTR_MAX, hi = 0, text = (uintptr_t)libc->text, end = (uintptr_t)libc->text_end, fs;
	for (size_t i = 0; i < count; i++) {
		uintptr_t at = libc->base + sites[i].offset;
		if (at < text + 16 || at > end - 32)
			return -EINVAL;
		lo = at < lo ? at : lo;
		hi = at > hi ? at : hi;
		/* The first call found of each of the two functions tells where they are. */
		if (sites[i].kind == SITE_ENABLE)
			patch_enable = (void (*)(void))call_target((const uint8_t *)at);
		if (sites[i].kind == SITE_DISABLE)
			patch_disable = (void (*)(void))call_target((const uint8_t *)at);
	}
	if (!count)
		return -ENOENT;
	if (!in_reach(libc->text, stub_disable))
		return -ERANGE;
	lo = (lo - 16) & ~(uintptr_t)(PAGE - 1);
	hi = (hi + 32 + PAGE) & ~(uintptr_t)(PAGE - 1);
	size_t size = (count * STUB_MAX + PAGE - 1) & ~(size_t)(PAGE - 1);
	uint8_t *stubs = map_stubs(libc, size);
	if (!stubs)
		return -ENOMEM;
	long failed = raw_syscall(__NR_mprotect, lo, hi - lo, PROT_READ | PROT_WRITE | PROT_EXEC);
	if (failed) {
		raw_syscall(__NR_munmap, stubs, size);
		return (int)failed;
	}
	__asm__("mov %%fs:0, %0" : "=r"(fs));
	struct patch p = { .at = stubs, .filter = filter, .pending = (uint32_t)((uintptr_t)pending - fs) };
	for (size_t i = 0; i < count; i++)
		patch_site(&p, &sites[i], (uint8_t *)libc->base + sites[i].offset);
	raw_syscall(__NR_mprotect, lo, hi - lo, PROT_READ | PROT_EXEC);
	raw_syscall(__NR_mprotect, stubs, size, PROT_READ | PROT_EXEC);
	return 0;
}
