// SPDX-License-Identifier: BSD-2-Clause
/*
 * Preparing a copy of libc for all processes, see patch.h. Run by the recorder.
 *
 * An entry of libc's procedure linkage table whose function is chosen when the program starts (IRELATIVE) is
 * never bound lazily, so the instructions for that are dead: room for a jump. The table has unwind
 * information, which says of the first of these instructions what is true of a function's first: the return
 * address is on top of the stack. With IBT (endbr64 in front) the whole entry is dead, since another is
 * called in its stead.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>

#include "patch.h"

enum {
	ENTRY = 16, /* bytes */
	HEAD = 256, /* of the text: the table stands first in it, or nearly */
};

struct relocations {
	const Elf64_Rela *first;
	size_t count;
};

/* Of the procedure linkage table. The file's first segment stands where its addresses say. */
static struct relocations plt_relocations(const struct scan_libc *libc)
{
	const Elf64_Ehdr *ehdr = (const void *)libc->base;
	const Elf64_Phdr *phdr = (const void *)(libc->base + ehdr->e_phoff);
	uint64_t at = 0, size = 0, text = (uintptr_t)libc->text - libc->base;
	for (int i = 0; i < ehdr->e_phnum; i++, phdr++) {
		const Elf64_Dyn *dynamic = (const void *)(libc->base + phdr->p_offset);
		for (; phdr->p_type == PT_DYNAMIC && dynamic->d_tag != DT_NULL; dynamic++) {
			at = dynamic->d_tag == DT_JMPREL ? dynamic->d_un.d_ptr : at;
			size = dynamic->d_tag == DT_PLTRELSZ ? dynamic->d_un.d_val : size;
		}
	}
	if (at % sizeof(uint64_t) || at >= text || size > text - at)
		return (struct relocations){ NULL, 0 };
	return (struct relocations){ (const void *)(libc->base + at), size / sizeof(Elf64_Rela) };
}

static uint32_t read32(const uint8_t *p)
{
	uint32_t value;
	__builtin_memcpy(&value, p, sizeof(value));
	return value;
}

/* The dead instructions of an entry, or NULL: it is none. They are `push $index` and a jump to the table's
 * start. */
static uint8_t *dead_instructions(uint8_t *entry, const uint8_t *start, uint32_t *index)
{
	bool ibt = read32(entry) == 0xfa1e0ff3;
	uint8_t *push = ibt ? entry + 4 : entry + 6;
	uint8_t *jump = ibt && push[5] == 0xf2 ? push + 6 : push + 5;
	if ((!ibt && (entry[0] != 0xff || entry[1] != 0x25)) || push[0] != 0x68 || jump[0] != 0xe9 ||
	    jump + 5 + (int32_t)read32(jump + 1) != start)
		return NULL;
	*index = read32(push + 1);
	return ibt ? entry : push;
}

/* The first entry, which pushes one word and jumps to another, or NULL. */
static uint8_t *find_table(const struct scan_libc *libc)
{
	for (size_t at = 0; at < HEAD; at += ENTRY) {
		uint8_t *entry = (uint8_t *)patch_page_down((uintptr_t)libc->text) + at;
		uint8_t *jump = entry[6] == 0xf2 ? entry + 7 : entry + 6;
		if (entry[0] == 0xff && entry[1] == 0x35 && jump[0] == 0xff && jump[1] == 0x25)
			return entry;
	}
	return NULL;
}

/* Turns dead instructions into jumps to the functions of the table that stand in for disable. */
static bool make_jumps(const struct scan_libc *libc, const struct patch_table *table, const uint8_t **jumps)
{
	struct relocations relocations = plt_relocations(libc);
	uint8_t *start = find_table(libc);
	int made = 0;
	for (size_t i = 0; start && i < relocations.count && made < SITE_RESULTS; i++) {
		uint32_t index;
		uint8_t *dead = dead_instructions(start + (i + 1) * ENTRY, start, &index);
		if (!dead || index >= relocations.count)
			break;
		if (ELF64_R_TYPE(relocations.first[index].r_info) != R_X86_64_IRELATIVE)
			continue;
		patch_jump_to_disable(dead, table, made);
		jumps[made++] = dead;
	}
	return made == SITE_RESULTS;
}

int patch_prepare(const struct scan_libc *libc, const struct ipc_site *sites, size_t count,
		  const uint8_t *filtered)
{
	struct patch_head head;
	uint8_t *stubs = patch_stubs(libc);
	struct patch_plan plan = { .libc = libc,
				   .sites = sites,
				   .count = count,
				   .filtered = filtered,
				   .table = (const void *)(stubs - PATCH_PAGE) };
	int ret = patch_check(&plan, &head);
	if (!ret && !make_jumps(libc, plan.table, plan.disable))
		ret = -ENOENT;
	if (!ret)
		patch_generate(&plan, &head, stubs);
	return ret;
}
