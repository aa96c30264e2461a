/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and removing the arena's file, see arena_file.h. */
#include "arena_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libc_file.h"

#define SHM    "/dev/shm"
#define PREFIX "ipctrace-"

enum {
	FIRST_CHUNKS = 128, /* 8 MiB: what one fast producer fills between two polls of an idle recorder */
	GROW_CHUNKS = 128,  /* at once: fresh memory takes time, and meanwhile nothing is drained */
	BLOCK_US = 1000000, /* a loaded machine may keep the recorder waiting for so long */
};

/* --- the folder --- */

static void empty_folder(int folder)
{
	DIR *dir = fdopendir(dup(folder));
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (entry->d_name[0] != '.')
			unlinkat(folder, entry->d_name, 0);
	if (dir)
		closedir(dir);
}

/* A folder of ours whose lock is free belonged to a recorder that was killed. */
static void remove_if_stale(int shm, const char *name)
{
	struct stat st;
	int folder = openat(shm, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return;
	if (!fstat(folder, &st) && st.st_uid == geteuid() && !flock(folder, LOCK_EX | LOCK_NB)) {
		empty_folder(folder);
		unlinkat(shm, name, AT_REMOVEDIR);
	}
	close(folder);
}

static void remove_stale_folders(void)
{
	DIR *shm = opendir(SHM);
	for (struct dirent *entry; shm && (entry = readdir(shm));)
		if (!strncmp(entry->d_name, PREFIX, strlen(PREFIX)))
			remove_if_stale(dirfd(shm), entry->d_name);
	if (shm)
		closedir(shm);
}

static int random_name(char name[static 17])
{
	uint64_t random;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	snprintf(name, 17, "%016llx", (unsigned long long)random);
	return 0;
}

/* Another recorder may take the new folder for a stale one before it is locked: then it is gone, try again.
 */
static int make_folder(struct arena_file *a)
{
	char name[17];
	struct stat st;
	for (int attempt = 0; attempt < 8; attempt++) {
		if (random_name(name))
			return -EIO;
		snprintf(a->folder, sizeof(a->folder), SHM "/" PREFIX "%s", name);
		if (mkdir(a->folder, 0700))
			return -errno;
		a->folder_fd = open(a->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (a->folder_fd >= 0 && !flock(a->folder_fd, LOCK_EX | LOCK_NB) && !stat(a->folder, &st))
			return fchmod(a->folder_fd, 0711) ? -errno : 0;
		if (a->folder_fd >= 0)
			close(a->folder_fd);
		a->folder_fd = -1;
	}
	return -EAGAIN;
}

static int make_file(struct arena_file *a)
{
	char name[17];
	if (random_name(name))
		return -EIO;
	snprintf(a->path, sizeof(a->path), "%s/%s", a->folder, name);
	a->fd = openat(a->folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (a->fd < 0)
		return -errno;
	return fchmod(a->fd, 0666) ? -errno : 0; /* a target may change its user; only it knows the name */
}

/* --- memory --- */

/* Beyond the user's file size limit the kernel would kill us. */
static int size_file(struct arena_file *a, uint64_t size)
{
	struct rlimit limit;
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < size)
		return -EFBIG;
	return ftruncate(a->fd, size) ? -errno : 0;
}

static int map_file(struct arena_file *a)
{
	uint64_t control = arena_control_offset(), chunk = arena_chunk_offset(ARENA_CHUNKS_DEFAULT);
	uint64_t sync = chunk + (uint64_t)ARENA_CHUNKS_DEFAULT * CHUNK_BYTES;
	uint64_t size = sync + sizeof(struct arena_sync);
	int ret = size_file(a, size);
	if (ret)
		return ret;
	if (fallocate(a->fd, 0, 0, chunk + (uint64_t)FIRST_CHUNKS * CHUNK_BYTES) ||
	    fallocate(a->fd, 0, (off_t)sync, sizeof(struct arena_sync)))
		return -errno;
	unsigned char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	madvise(map, size, MADV_DONTDUMP);
	a->header = (struct arena_header *)map;
	a->controls = (struct arena_control *)(map + control);
	a->chunks = map + chunk;
	a->sync = (struct arena_sync *)(map + sync);
	a->allocated = FIRST_CHUNKS;
	a->header->control_offset = control;
	a->header->chunk_offset = chunk;
	a->header->sync_offset = sync;
	a->header->size = size;
	return 0;
}

void arena_file_grow(struct arena_file *a)
{
	struct statvfs fs;
	uint32_t more = a->allocated < GROW_CHUNKS ? a->allocated : GROW_CHUNKS;
	if (more > ARENA_CHUNKS_DEFAULT - a->allocated)
		more = ARENA_CHUNKS_DEFAULT - a->allocated;
	uint64_t offset = (uint64_t)((unsigned char *)a->chunks - (unsigned char *)a->header) +
			  (uint64_t)a->allocated * CHUNK_BYTES;
	uint64_t size = (uint64_t)more * CHUNK_BYTES;
	if (a->exhausted || !more)
		return;
	/* the file system belongs to everybody: at most half of what is left */
	if (fstatvfs(a->fd, &fs) || size > (uint64_t)fs.f_bavail * fs.f_frsize / 2 ||
	    fallocate(a->fd, 0, offset, size)) {
		a->exhausted = true;
		return;
	}
	for (; more; more--)
		arena_file_offer(a, a->allocated++);
}

void arena_file_offer(struct arena_file *a, uint32_t chunk)
{
	struct arena_control *control = &a->controls[chunk];
	atomic_store(&control->base, 0);
	atomic_store(&control->ask, ARENA_ASK_NONE);
	atomic_store(&control->owner, 0);
	atomic_fetch_or(&a->header->free_map[chunk / 64], 1ULL << chunk % 64);
}

/* --- the header --- */

static void fill_header(struct arena_file *a, enum arena_clock kind)
{
	struct arena_header *h = a->header;
	h->version = ARENA_VERSION;
	h->chunks = ARENA_CHUNKS_DEFAULT;
	h->clock = kind;
	h->block_us = BLOCK_US;
	h->mechanisms = ~0ULL;
	libc_file_offer(h, a->folder_fd);
	for (uint32_t chunk = 0; chunk < a->allocated; chunk++)
		arena_file_offer(a, chunk);
	memcpy(h->magic, ARENA_MAGIC, sizeof(h->magic));
}

static const char *remedy(int error)
{
	switch (error) {
	case ENOSPC:
		return "free some space there, or enlarge it: mount -o remount,size=256m " SHM;
	case EFBIG:
		return "the limit on file sizes is too small: ulimit -f unlimited";
	case ENOENT:
		return "mount it: mount -t tmpfs tmpfs " SHM;
	case EACCES:
	case EPERM:
	case EROFS:
		return "it must be writable for you: chmod 1777 " SHM;
	default:
		return "it needs 10 MiB of shared memory there";
	}
}

int arena_file_open(struct arena_file *a, enum arena_clock kind, char *error, size_t error_size)
{
	*a = (struct arena_file){ .folder_fd = -1, .fd = -1 };
	remove_stale_folders();
	int ret = make_folder(a);
	if (!ret)
		ret = make_file(a);
	if (!ret)
		ret = map_file(a);
	if (!ret) {
		fill_header(a, kind);
		return 0;
	}
	snprintf(error, error_size, "cannot make the trace buffer in " SHM ": %s; %s", strerror(-ret),
		 remedy(-ret));
	arena_file_close(a);
	return ret;
}

/* Programs that go on may still map the file. Free chunks are taken out of their reach first, so that none is
 * written to after its memory is gone; the chunk that a thread owns keeps its memory, and so do counters that
 * are in use. */
static void retire_chunks(struct arena_file *a)
{
	uint64_t chunks = (uint64_t)(a->chunks - (unsigned char *)a->header);
	for (uint32_t chunk = 0; chunk < a->allocated; chunk++) {
		uint64_t nobody = 0;
		if (atomic_compare_exchange_strong(&a->controls[chunk].owner, &nobody, ARENA_CLOSED))
			fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  chunks + (uint64_t)chunk * CHUNK_BYTES, CHUNK_BYTES);
	}
	if (!atomic_load(&a->header->sync_lines))
		fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)((unsigned char *)a->sync - (unsigned char *)a->header), sizeof(*a->sync));
}

void arena_file_close(struct arena_file *a)
{
	if (a->header) {
		atomic_store(&a->header->stop, 1);
		retire_chunks(a);
		munmap(a->header, (unsigned char *)(a->sync + 1) - (unsigned char *)a->header);
	}
	if (a->fd >= 0)
		close(a->fd);
	if (a->folder_fd >= 0) {
		empty_folder(a->folder_fd);
		rmdir(a->folder);
		close(a->folder_fd);
	}
	*a = (struct arena_file){ .folder_fd = -1, .fd = -1 };
}
