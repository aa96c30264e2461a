// SPDX-License-Identifier: BSD-2-Clause
/*
 * Split patch: the instruction before a `syscall` and the one behind it become jumps to stubs, the `syscall`
 * itself stays where it is. So a blocked call has an untouched stack and libc's own address, and restarts,
 * signal returns, seccomp by address, vfork and clone are none of our business.
 *
 * The stubs stand within 2 GiB of libc, behind the table through which they reach all that differs between
 * processes: the code is the same in all that have the same libc. Each executes the instruction that its jump
 * replaced, at the end, with every register as it was. Between __pthread_enable_asynccancel and
 * __pthread_disable_asynccancel no generated code ever runs: it cannot be unwound through.
 */
#include <errno.h>
#include <stdbool.h>

#include "patch.h"
#include "tables.h"

enum {
	LOADS_MAX = 64, /* bytes from a call of enable to its system call */
};

struct patch {
	uint8_t *at; /* where the next stub's code goes */
	const struct patch_plan *plan;
	const uint8_t *enable; /* libc's own function */
};

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

/* The displacement of an operand that is a word of the table, at the end of an instruction. */
static void put_table(struct patch *p, size_t offset)
{
	const uint8_t *word = (const uint8_t *)p->plan->table + offset;
	put32(p, (uint32_t)(word - (p->at + 4)));
}
#define PUT_TABLE(p, member) put_table(p, offsetof(struct patch_table, member))

/* lea -128(%rsp),%rsp | call *function | lea 128(%rsp),%rsp; the function is a word of the table */
static void put_call(struct patch *p, size_t function)
{
	PUT(p, "\x48\x8d\x64\x24\x80\xff\x15");
	put_table(p, function);
	PUT(p, "\x48\x8d\xa4\x24\x80\x00\x00\x00");
}

/* mov pending,%r11 | cmpl $0,%fs:(%r11) */
static void put_pending_test(struct patch *p)
{
	PUT(p, "\x4c\x8b\x1d");
	PUT_TABLE(p, pending);
	PUT(p, "\x64\x41\x83\x3b\x00");
}

/* Leaves the stub's slow path where kinds[%edi] is 1: jumps to what `out` gets. %rax and %r11 are free. */
static void put_filter(struct patch *p, uint8_t **out)
{
	PUT(p, "\x89\xf8\x3d\xff\x0f\x00\x00"); /* mov %edi,%eax | cmp $4095,%eax */
	uint8_t *slow = put_branch(p, 0x77);	/* ja */
	PUT(p, "\x4c\x8b\x1d");			/* mov kinds,%r11 */
	PUT_TABLE(p, kinds);
	PUT(p, "\x41\x80\x3c\x03\x01"); /* cmpb $1,(%r11,%rax) */
	*out = put_branch(p, 0x74);	/* je */
	land(p, slow);
}

static bool is_filtered(const struct patch *p, const struct ipc_site *site)
{
	return site->nr < IPC_NUMBERS && p->plan->filtered[site->nr];
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
		if (is_filtered(p, site))
			put_filter(p, &out);
		PUT(p, "\xb8"); /* mov $nr,%eax */
		put32(p, site->nr | (site->kind == SITE_PRE || site->kind == SITE_EXIT ? HOOK_NO_RETURN : 0));
	}
	put_call(p, offsetof(struct patch_table, entry));
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
	put_call(p, offsetof(struct patch_table, leave));
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
	put_call(p, offsetof(struct patch_table, late));
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
	if (is_filtered(p, site))
		put_filter(p, &filtered);
	uint8_t *slow = p->at;
	put_loads(p, call);
	PUT(p, "\xb8");
	put32(p, site->nr);
	PUT(p, "\xff\x25"); /* jmp *enable */
	PUT_TABLE(p, enable);
	if (filtered) { /* behind the call its number is not known any more */
		land(p, filtered);
		put_pending_test(p);
		pending = put_branch(p, 0x75); /* jne */
		*pending = (uint8_t)(slow - (pending + 1));
		put_jump(p, p->enable);
	}
	return start;
}

static const uint8_t *call_target(const uint8_t *call)
{
	int32_t distance;
	__builtin_memcpy(&distance, call + 1, 4);
	return call + 5 + distance;
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
		retarget(at, p->plan->disable[site->aux]);
		break;
	case SITE_NONE:
		break;
	}
}

uint8_t *patch_jump_to_disable(uint8_t *at, const struct patch_table *table, enum site_result result)
{
	const struct patch_plan plan = { .table = table };
	struct patch p = { .at = at, .plan = &plan };
	PUT(&p, "\xff\x25"); /* jmp *disable */
	put_table(&p, offsetof(struct patch_table, disable) + result * sizeof(table->disable[0]));
	return p.at;
}

/* The first call found of each of the two functions tells where they are. */
int patch_check(const struct patch_plan *plan, struct patch_head *head)
{
	const struct scan_libc *libc = plan->libc;
	*head = (struct patch_head){ 0 };
	for (size_t i = 0; i < plan->count; i++) {
		const struct ipc_site *site = &plan->sites[i];
		const uint8_t *at = (const uint8_t *)libc->base + site->offset;
		if (at < libc->text + 16 || at > libc->text_end - 32 ||
		    (site->kind == SITE_DISABLE && (uint8_t)site->aux >= SITE_RESULTS))
			return -EINVAL;
		if (site->kind == SITE_ENABLE && !head->enable)
			head->enable = (uint32_t)((uintptr_t)call_target(at) - libc->base);
		if (site->kind == SITE_DISABLE && !head->disable)
			head->disable = (uint32_t)((uintptr_t)call_target(at) - libc->base);
	}
	return plan->count && plan->count <= ARENA_SITES_MAX ? 0 : -EINVAL;
}

size_t patch_generate(const struct patch_plan *plan, const struct patch_head *head, uint8_t *stubs)
{
	struct patch p = { .at = stubs + sizeof(*head),
			   .plan = plan,
			   .enable = (const uint8_t *)plan->libc->base + head->enable };
	*(struct patch_head *)stubs = *head;
	for (size_t i = 0; i < plan->count; i++)
		patch_site(&p, &plan->sites[i], (uint8_t *)plan->libc->base + plan->sites[i].offset);
	return (size_t)(p.at - stubs);
}
