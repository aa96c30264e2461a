// SPDX-License-Identifier: BSD-2-Clause
/*
 * The functions that the program would call if we had none of that name: the next definition in the dynamic
 * linker's order, as dlsym(RTLD_NEXT) would find it. By hand, since the program may call them before anything
 * is set up, and may have a dlsym of its own. Of several versions the default one: pthread_cond_* has an
 * older one for programs of 2002, which never come here (exports.map).
 */
#include <errno.h>
#include <link.h>

#include "sync.h"
#include "text.h"

enum { HIDDEN_VERSION = 0x8000 };

void *symbols_next[SYNC_SYMBOLS_COUNT];

static const char *const names[] = {
#define X(name) [SYNC_##name] = #name,
	SYNC_SYMBOLS(X)
#undef X
};

/* What the dynamic section of a library says. */
struct library {
	const ElfW(Sym) * symbols;
	const char *strings;
	const ElfW(Half) * versions; /* NULL: it has none */
	const uint32_t *hash;	     /* the GNU kind, NULL: it has none */
};

static struct library describe(const struct link_map *map)
{
	struct library l = { 0 };
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
		uintptr_t at = d->d_un.d_ptr < map->l_addr ? d->d_un.d_ptr + map->l_addr : d->d_un.d_ptr;
		if (d->d_tag == DT_SYMTAB)
			l.symbols = (const ElfW(Sym) *)at;
		else if (d->d_tag == DT_STRTAB)
			l.strings = (const char *)at;
		else if (d->d_tag == DT_VERSYM)
			l.versions = (const ElfW(Half) *)at;
		else if (d->d_tag == DT_GNU_HASH)
			l.hash = (const uint32_t *)at;
	}
	return l;
}

static uint32_t hash_of(const char *name)
{
	uint32_t h = 5381;
	while (*name)
		h = h * 33 + (uint8_t)*name++;
	return h;
}

static bool is_wanted(const struct library *l, uint32_t i, const char *name)
{
	const ElfW(Sym) *s = &l->symbols[i];
	return s->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(s->st_info) == STT_FUNC &&
	       ELF64_ST_BIND(s->st_info) != STB_LOCAL && !(l->versions && l->versions[i] & HIDDEN_VERSION) &&
	       text_equal(l->strings + s->st_name, name);
}

/* The value of the symbol, 0: the library does not define it. */
static uintptr_t look_up(const struct library *l, const char *name)
{
	uint32_t h = hash_of(name);
	if (!l->hash || !l->symbols || !l->strings || !l->hash[0])
		return 0;
	uint32_t number = l->hash[0], first = l->hash[1], filters = l->hash[2];
	const uint64_t *filter = (const uint64_t *)(l->hash + 4);
	uint64_t word = filters ? filter[h / 64 % filters] : UINT64_MAX;
	if (!(word >> h % 64 & word >> (h >> l->hash[3]) % 64 & 1))
		return 0;
	const uint32_t *buckets = (const uint32_t *)(filter + filters), *chain = buckets + number;
	uint32_t i = buckets[h % number];
	if (i < first)
		return 0;
	for (;; i++) {
		if ((chain[i - first] | 1) == (h | 1) && is_wanted(l, i, name))
			return l->symbols[i].st_value;
		if (chain[i - first] & 1)
			return 0;
	}
}

static long missing(void)
{
	return ENOSYS;
}

void *symbols_look_up(const char *name)
{
	extern ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));
	const struct link_map *map = _r_debug.r_map;
	while (map && map->l_ld != _DYNAMIC)
		map = map->l_next;
	for (map = map ? map->l_next : NULL; map; map = map->l_next) {
		struct library l = describe(map);
		uintptr_t value = look_up(&l, name);
		if (value)
			return (void *)(map->l_addr + value);
	}
	return NULL;
}

void *symbols_find(enum sync_symbol symbol)
{
	void *found = symbols_look_up(names[symbol]);
	if (!found)
		return (void *)missing;
	return symbols_next[symbol] = found;
}
