// SPDX-License-Identifier: BSD-2-Clause
/*
 * The names by which programs reach libc's calls (preload/names/names.def) against what libc exports: none
 * that makes a call of common/calls.def is forgotten, in any of its spellings, and each row's call is in that
 * table.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "arena.h"
#include "scan.h"
#include "tables.h"

enum { EXPORTS_MAX = 8192, VERSION = 0x7fff };

static const char *const names[] = {
#define NAME(name, ...) #name,
#define SPECIAL(name)	#name,
#include "names/names.def"
#undef NAME
#undef SPECIAL
};

/* Functions that share a call's number, or a name's spelling, with one that is meant; and exit, which is told
 * by a function that is registered with on_exit. */
static const char *const others[] = {
	"tcdrain",
	"tcgetattr", /* other operations of ioctl */
	"exit",
};

static struct export
{
	const char *name;
	uintptr_t address, size;
}
exports[EXPORTS_MAX];
static size_t exported;
static struct scan_libc libc;
static struct ipc_site sites[ARENA_SITES_MAX];
static size_t count;

static bool is_in(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(name, list[i]))
			return true;
	return false;
}

static bool is_covered(const char *name)
{
	return is_in(name, names, sizeof(names) / sizeof(*names)) ||
	       is_in(name, others, sizeof(others) / sizeof(*others));
}

/* The version that libc keeps for itself, or 0. */
static ElfW(Half) private_version(const ElfW(Verdef) * def, const char *strings)
{
	for (; def; def = def->vd_next ? (const void *)((const char *)def + def->vd_next) : NULL) {
		const ElfW(Verdaux) *aux = (const void *)((const char *)def + def->vd_aux);
		if (!strcmp(strings + aux->vda_name, "GLIBC_PRIVATE"))
			return def->vd_ndx;
	}
	return 0;
}

static size_t symbols_in(const uint32_t *hash)
{
	const uint32_t *buckets = hash + 4 + hash[2] * 2, *chain = buckets + hash[0];
	uint32_t last = 0;
	for (uint32_t i = 0; i < hash[0]; i++)
		last = buckets[i] > last ? buckets[i] : last;
	while (!(chain[last - hash[1]] & 1))
		last++;
	return last + 1;
}

static int read_libc(void **state)
{
	(void)state;
	struct link_map *map;
	const void *part[DT_NUM] = { 0 }, *hash = NULL, *versions = NULL, *definitions = NULL;
	assert_int_equal(dlinfo(dlopen("libc.so.6", RTLD_NOW), RTLD_DI_LINKMAP, &map), 0);
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
		uintptr_t value = d->d_un.d_ptr; /* ld.so has relocated some of them */
		const void *at = (const void *)(value < map->l_addr ? map->l_addr + value : value);
		if (d->d_tag < DT_NUM)
			part[d->d_tag] = at;
		hash = d->d_tag == DT_GNU_HASH ? at : hash;
		versions = d->d_tag == DT_VERSYM ? at : versions;
		definitions = d->d_tag == DT_VERDEF ? at : definitions;
	}
	const ElfW(Sym) *symbol = part[DT_SYMTAB];
	ElfW(Half) hidden = private_version(definitions, part[DT_STRTAB]);
	for (size_t i = 0, n = symbols_in(hash); i < n; i++) {
		bool function = ELF64_ST_TYPE(symbol[i].st_info) == STT_FUNC && symbol[i].st_shndx;
		if (!function || (((const ElfW(Half) *)versions)[i] & VERSION) == hidden)
			continue;
		assert_true(exported < EXPORTS_MAX);
		exports[exported++] = (struct export){ (const char *)part[DT_STRTAB] + symbol[i].st_name,
						       map->l_addr + symbol[i].st_value, symbol[i].st_size };
	}
	assert_true(exported > 1000);
	assert_int_equal(scan_describe(&libc, map->l_addr), 0);
	count = scan_sites(&libc, sites, ARENA_SITES_MAX);
	assert_true(count > 100);
	return 0;
}

/* Every name of a function with a place where such a call is made. */
static void functions_that_make_a_call(void **state)
{
	(void)state;
	unsigned int found = 0;
	for (size_t i = 0; i < exported; i++)
		for (size_t k = 0; k < count; k++) {
			const struct export *e = &exports[i];
			if (libc.base + sites[k].offset - e->address >= e->size)
				continue;
			found++;
			if (!is_covered(e->name))
				fail_msg("%s makes system call %u", e->name, sites[k].nr);
		}
	assert_true(found > 100);
}

/* Without what the variants of a name have more. */
static void plain(const char *name, char out[static 64])
{
	static const char *const ends[] = { "_chk", "_2", "64", "64v2" };
	snprintf(out, 64, "%s", name + strspn(name, "_"));
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		size_t n = strlen(out), k = strlen(ends[i]);
		if (n > k && !strcmp(out + n - k, ends[i]))
			out[n - k] = '\0';
	}
}

static void spellings(void **state)
{
	(void)state;
	char ours[64], theirs[64];
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		plain(names[i], ours);
		for (size_t k = 0; k < exported; k++) {
			plain(exports[k].name, theirs);
			if (!strcmp(ours, theirs) && !is_covered(exports[k].name))
				fail_msg("%s is another name of %s", exports[k].name, names[i]);
		}
	}
}

/* A function that is called as the call is. */
static void names_of_calls(void **state)
{
	(void)state;
	unsigned int found = 0;
	for (int i = 0; i < IPC_CALLS; i++) {
		char name[64];
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(ipc_call_names[i], ":"), ipc_call_names[i]);
		for (size_t k = 0; ipc_calls[i].nr != IPC_NO_NR && k < exported; k++) {
			if (strcmp(exports[k].name, name))
				continue;
			found++;
			if (!is_covered(name))
				fail_msg("%s is a call, and no name", name);
		}
	}
	assert_true(found > 50);
}

static void rows(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		long nr;
	} made[] = {
#define NAME(name, gives, nr, ...) { #name, nr },
#define SPECIAL(name)
#include "names/names.def"
#undef NAME
#undef SPECIAL
	};
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		bool listed = false;
		for (int k = 0; k < IPC_CALLS && !listed; k++)
			listed = ipc_calls[k].nr == made[i].nr;
		if (!listed)
			fail_msg("%s makes system call %ld, which is not in calls.def", made[i].name,
				 made[i].nr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_that_make_a_call),
		cmocka_unit_test(spellings),
		cmocka_unit_test(names_of_calls),
		cmocka_unit_test(rows),
	};
	return cmocka_run_group_tests(tests, read_libc, NULL);
}
