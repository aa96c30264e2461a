// SPDX-License-Identifier: BSD-2-Clause
/* Getting the patched text and its stubs into this process, see patch.h. */
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "arch.h"
#include "patch.h"

enum {
	PAGE = PATCH_PAGE,
	MIB = 1 << 20,
	REACH_MIB = 1900, /* how far from libc's text a 32-bit jump is sure to reach */
};

extern const uint8_t stub_entry[], stub_return[], stub_late[], stub_enable[], stub_disable[],
	stub_disable_rbx[], stub_disable_rbp[], stub_disable_error[];
/* libc's own. In a page that the dynamic linker has written to already. */
__attribute__((section(".data"))) void (*patch_enable)(void), (*patch_disable)(void);
void patch_return_libc(long result, uintptr_t stack);

static const uint8_t *const disable_stubs[SITE_RESULTS] = {
	[SITE_RESULT_RAX] = stub_disable,
	[SITE_RESULT_RBX] = stub_disable_rbx,
	[SITE_RESULT_ERRNO] = stub_disable_error,
	[SITE_RESULT_RBP] = stub_disable_rbp,
};

/* At the end of a cancellable call the kernel's result is gone: -1 (of an int or a long), and errno. */
void patch_return_libc(long result, uintptr_t stack)
{
	if (result == -1 || result == 0xffffffffL)
		result = -(long)*__errno_location();
	hook_return(result, stack, HOOK_ANY_CALL, 0);
}

/* The stubs in this process. */
static struct {
	uintptr_t start;
	size_t size;
} stubs_here;

bool patch_is_ours(uintptr_t code)
{
	extern const uint8_t __ehdr_start[] __attribute__((visibility("hidden")));
	extern const uint8_t etext[] __attribute__((visibility("hidden")));
	return code - stubs_here.start < stubs_here.size ||
	       (code >= (uintptr_t)__ehdr_start && code < (uintptr_t)etext);
}

static bool failed(long result)
{
	return result < 0 && result > -PAGE;
}

static uintptr_t text_start(const struct scan_libc *libc)
{
	return patch_page_down((uintptr_t)libc->text);
}

static uintptr_t text_end(const struct scan_libc *libc)
{
	return patch_page_down((uintptr_t)libc->text_end + PAGE - 1);
}

/* Before the first stub runs; `stubs`: bytes of them, behind the table. */
static void fill_table(const struct scan_libc *libc, const struct patch_head *head,
		       const struct patch_filter *filter, struct patch_table *table, size_t stubs)
{
	patch_enable = (void (*)(void))(libc->base + head->enable);
	patch_disable = (void (*)(void))(libc->base + head->disable);
	table->kinds = filter->kinds;
	table->pending = (uintptr_t)filter->pending - arch_thread_pointer();
	table->entry = stub_entry;
	table->leave = stub_return;
	table->late = stub_late;
	table->enable = stub_enable;
	for (int i = 0; i < SITE_RESULTS; i++)
		table->disable[i] = disable_stubs[i];
	stubs_here.start = (uintptr_t)table + PAGE;
	stubs_here.size = stubs;
}

/* --- a prepared libc --- */

/* Maps `size` bytes at a place that is free. Kernels before 4.17 take the place for a hint. */
static long map_free(uintptr_t at, size_t size, int prot, int flags)
{
	long got = raw_syscall(__NR_mmap, at, size, prot,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | flags, -1, 0);
	if (failed(got) || (uintptr_t)got == at)
		return got;
	raw_syscall(__NR_munmap, got, size);
	return -EEXIST;
}

int patch_map(const struct scan_libc *libc, long fd, const struct patch_filter *filter)
{
	uintptr_t text = text_start(libc), end = text_end(libc);
	uintptr_t stubs = (uintptr_t)patch_stubs(libc), table = stubs - PAGE;
	const size_t size = patch_size(ARENA_SITES_MAX);
	const int prot = PROT_READ | PROT_EXEC, flags = MAP_PRIVATE | MAP_FIXED;
	long got = map_free(table, PAGE + size, PROT_READ | PROT_WRITE, 0);
	if (failed(got))
		return (int)got;
	got = raw_syscall(__NR_mmap, stubs, size, prot, flags, fd, end - libc->base);
	if (!failed(got)) {
		fill_table(libc, (const struct patch_head *)stubs, filter, (struct patch_table *)table, size);
		got = raw_syscall(__NR_mmap, text, end - text, prot, flags, fd, text - libc->base);
	}
	if (failed(got))
		raw_syscall(__NR_munmap, table, PAGE + size);
	return failed(got) ? (int)got : 0;
}

/* --- in place --- */

static bool in_reach(uintptr_t from, uintptr_t to)
{
	return to - from < (uintptr_t)REACH_MIB * MIB || from - to < (uintptr_t)REACH_MIB * MIB;
}

/* Maps memory for the table and the stubs where a jump reaches libc. The kernel puts a new mapping just below
 * the libraries; only where that is too far are places near libc tried one by one. */
static long map_near(const struct scan_libc *libc, size_t size)
{
	const int prot = PROT_READ | PROT_WRITE | PROT_EXEC;
	long got = raw_syscall(__NR_mmap, 0, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (failed(got) || in_reach((uintptr_t)got, (uintptr_t)libc->text))
		return got;
	raw_syscall(__NR_munmap, got, size);
	got = -EEXIST;
	for (uintptr_t mib = 1; mib < REACH_MIB && got == -EEXIST; mib += mib < 64 ? 1 : 32)
		got = map_free(patch_page_down(libc->base - mib * MIB), size, prot, MAP_POPULATE);
	return got;
}

int patch_in_place(const struct scan_libc *libc, const struct ipc_site *sites, size_t count,
		   const struct patch_filter *filter)
{
	struct patch_head head;
	struct patch_plan plan = {
		.libc = libc, .sites = sites, .count = count, .filtered = filter->numbers
	};
	uintptr_t text = text_start(libc), end = text_end(libc);
	int ret = patch_check(&plan, &head);
	if (ret)
		return ret;
	for (int i = 0; i < SITE_RESULTS; i++) {
		plan.disable[i] = disable_stubs[i];
		if (!in_reach((uintptr_t)libc->text, (uintptr_t)disable_stubs[i]))
			return -ERANGE;
	}
	size_t size = PAGE + patch_size(count);
	long table = map_near(libc, size);
	if (failed(table))
		return (int)table;
	long error = raw_syscall(__NR_mprotect, text, end - text, PROT_READ | PROT_WRITE | PROT_EXEC);
	if (error) {
		raw_syscall(__NR_munmap, table, size);
		return (int)error;
	}
	plan.table = (struct patch_table *)table;
	fill_table(libc, &head, filter, (struct patch_table *)table, size - PAGE);
	patch_generate(&plan, &head, (uint8_t *)table + PAGE);
	raw_syscall(__NR_mprotect, text, end - text, PROT_READ | PROT_EXEC);
	raw_syscall(__NR_mprotect, table, size, PROT_READ | PROT_EXEC);
	return 0;
}
