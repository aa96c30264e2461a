// SPDX-License-Identifier: BSD-2-Clause
/*
 * The prepared libc is a file of its own and no part of the arena, which every traced process may write:
 * nobody may put code into others.
 */
#include "libc_file.h"

#include <dlfcn.h>
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

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 and later */
#endif

enum { HUGE = 2 << 20 };

/* libc's file in memory. Not the libc that we run: that is patched already when we are traced ourselves. */
struct libc_file {
	void *memory;
	size_t size;
	struct scan_libc libc; /* the text lies at the same offset in both */
};

static bool map_libc(struct libc_file *f)
{
	Dl_info info;
	struct stat st;
	int fd =
		dladdr((void *)gnu_get_libc_version, &info) ? open(info.dli_fname, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return false;
	f->size = fstat(fd, &st) ? 0 : (size_t)st.st_size;
	f->memory = f->size ? mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	close(fd);
	if (f->memory == MAP_FAILED)
		return false;
	if (!scan_describe(&f->libc, (uintptr_t)f->memory) &&
	    f->libc.text_end <= (const uint8_t *)f->memory + f->size)
		return true;
	munmap(f->memory, f->size);
	return false;
}

/* Reserves address space in which the copy will stand at `*base`, with room below for the stubs. */
static void *reserve(size_t size, unsigned char **base)
{
	void *memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t behind = (uintptr_t)memory + PATCH_DISTANCE + HUGE - 1;
	*base = (unsigned char *)(behind & ~(uintptr_t)(HUGE - 1));
	return memory;
}

static int map_part(void *at, size_t size, int fd, size_t offset)
{
	void *got = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
	return got == MAP_FAILED ? -errno : 0;
}

/* In huge pages, if the kernel has some: writing them takes a fifth of the time, and mapping their parts
 * half. A huge page is made around one that is there. */
static int write_copy(int fd, const struct libc_file *f, unsigned char *base, size_t size)
{
	bool huge = true;
	for (size_t at = 0; huge && at < size; at += HUGE)
		huge = !fallocate(fd, 0, (off_t)at, ARENA_PAGE);
	if (huge && !madvise(base, size, MADV_COLLAPSE))
		memcpy(base, f->memory, f->size);
	else if (write(fd, f->memory, f->size) != (ssize_t)f->size)
		return -ENOSPC;
	return 0;
}

/* Makes the copy and patches it; the part that the stubs take is mapped a second time at their distance. */
static int make_copy(int fd, const struct libc_file *f, const struct arena_header *h)
{
	size_t size = (f->size + HUGE - 1) / HUGE * HUGE, stubs = patch_size(h->sites);
	size_t behind = arena_page_align((uintptr_t)f->libc.text_end - f->libc.base);
	uint8_t first_row[IPC_NUMBERS] = { 0 }, filtered[IPC_NUMBERS] = { 0 };
	struct scan_libc copy;
	struct statvfs fs;
	unsigned char *base;
	/* the file system belongs to everybody: at most half of what is left */
	if (fstatvfs(fd, &fs) || fs.f_flag & ST_NOEXEC || size > (uint64_t)fs.f_bavail * fs.f_frsize / 2 ||
	    behind + stubs > arena_page_align(f->size) || ftruncate(fd, (off_t)size))
		return -ENOSPC;
	void *memory = reserve(PATCH_DISTANCE + HUGE + size, &base);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	int ret = map_part(base, size, fd, 0);
	if (!ret)
		ret = write_copy(fd, f, base, size);
	if (!ret)
		ret = scan_describe(&copy, (uintptr_t)base);
	if (!ret)
		ret = map_part(patch_stubs(&copy), stubs, fd, behind);
	ipc_index_calls(first_row, filtered);
	if (!ret)
		ret = patch_prepare(&copy, h->site, h->sites, filtered);
	munmap(memory, PATCH_DISTANCE + HUGE + size);
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
