// SPDX-License-Identifier: BSD-2-Clause
/*
 * The prepared libc is a file of its own and no part of the arena, which every traced process may write:
 * nobody may put code into others.
 */
#include "libc_file.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "patch.h"
#include "prepared.h"
#include "tables.h"

/* libc's file in memory. Not the libc that we run: that is patched already when we are traced ourselves. */
struct libc_file {
	void *memory;
	size_t size;
	struct scan_libc libc;
};

/* Whether the text stands in the file where it will in memory. */
static bool is_laid_out(const struct libc_file *f)
{
	const Elf64_Ehdr *ehdr = f->memory;
	const Elf64_Phdr *phdr = (const void *)((const char *)f->memory + ehdr->e_phoff);
	for (int i = 0; i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD && phdr[i].p_flags & PF_X &&
		    phdr[i].p_offset != phdr[i].p_vaddr)
			return false;
	return f->libc.text_end <= (const uint8_t *)f->memory + f->size;
}

static bool map_libc(struct libc_file *f)
{
	Dl_info info;
	struct stat st;
	int fd =
		dladdr((void *)gnu_get_libc_version, &info) ? open(info.dli_fname, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return false;
	f->size = fstat(fd, &st) ? 0 : (size_t)st.st_size;
	/* Shared: a private mapping would have the breakpoints of others' uprobes, which no process survives
	 * that has them in a copy. */
	f->memory = f->size ? mmap(NULL, f->size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	close(fd);
	if (f->memory == MAP_FAILED)
		return false;
	if (!scan_describe(&f->libc, (uintptr_t)f->memory) && is_laid_out(f))
		return true;
	munmap(f->memory, f->size);
	return false;
}

static int map_part(void *at, size_t size, int fd, size_t offset)
{
	void *got = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
	return got == MAP_FAILED ? -errno : 0;
}

/* Patches the copy; the part that the stubs take is mapped a second time at their distance. */
static int patch_copy(int fd, const struct libc_file *f, const struct arena_header *h)
{
	size_t size = arena_page_align(f->size), stubs = patch_size(h->sites);
	size_t behind = arena_page_align((uintptr_t)f->libc.text_end - f->libc.base);
	uint8_t first_row[IPC_NUMBERS] = { 0 }, filtered[IPC_NUMBERS] = { 0 };
	struct scan_libc copy;
	if (behind + stubs > size)
		return -ENOEXEC;
	unsigned char *memory = mmap(NULL, PATCH_DISTANCE + size, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	ipc_index_calls(first_row, filtered);
	int ret = map_part(memory + PATCH_DISTANCE, size, fd, 0);
	if (!ret)
		ret = scan_describe(&copy, (uintptr_t)(memory + PATCH_DISTANCE));
	if (!ret)
		ret = map_part(patch_stubs(&copy), stubs, fd, behind);
	if (!ret)
		ret = patch_prepare(&copy, h->site, h->sites, filtered);
	munmap(memory, PATCH_DISTANCE + size);
	return ret;
}

static int make_copy(int fd, const struct libc_file *f, const struct arena_header *h)
{
	struct statvfs fs;
	/* the file system belongs to everybody: at most half of what is left */
	if (fstatvfs(fd, &fs) || fs.f_flag & ST_NOEXEC || f->size > (uint64_t)fs.f_bavail * fs.f_frsize / 2 ||
	    write(fd, f->memory, f->size) != (ssize_t)f->size)
		return -ENOSPC;
	int ret = patch_copy(fd, f, h);
	return ret || !fchmod(fd, 0444) ? ret : -errno;
}

static void prepare(const struct libc_file *f, const struct arena_header *h, int folder)
{
	char name[PREPARED_NAME];
	prepared_name(name, h->libc_build_id, h->libc_build_id_len);
	int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (make_copy(fd, f, h))
		unlinkat(folder, name, 0);
	close(fd);
}

void libc_file_offer(struct arena_header *h, int folder)
{
	struct libc_file f;
	if (!map_libc(&f))
		return;
	if (f.libc.build_id_len && f.libc.build_id_len <= sizeof(h->libc_build_id)) {
		memcpy(h->libc_build_id, f.libc.build_id, f.libc.build_id_len);
		h->libc_build_id_len = f.libc.build_id_len;
		h->sites = scan_sites(&f.libc, h->site, ARENA_SITES_MAX);
		prepare(&f, h, folder);
	}
	munmap(f.memory, f.size);
}
