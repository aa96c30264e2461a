/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and removing the arena's file, see arena_file.h. */
#include "arena_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libc_file.h"
#include "session.h"

enum {
	FIRST_CHUNKS = 128, /* 8 MiB: what one fast producer fills between two polls of an idle recorder */
	GROW_CHUNKS = 128,  /* at once: fresh memory takes time, and meanwhile nothing is drained */
	BLOCK_US = 1000000, /* a loaded machine may keep the recorder waiting for so long */
};

/* --- the folder --- */

/* Of a recorder that was killed, with nothing that could be recovered. */
static void remove_if_stale(void *context, struct session *s)
{
	(void)context;
	char *trace;
	bool journal = session_journal(s, &trace);
	if (s->findable && !journal && !trace && session_claim(s, false))
		session_remove(s);
	free(trace);
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
		snprintf(a->folder, sizeof(a->folder), SESSION_PREFIX "%s", name);
		if (mkdir(a->folder, 0700))
			return -errno;
		a->folder_fd = open(a->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (a->folder_fd >= 0 && !flock(a->folder_fd, LOCK_EX) && !stat(a->folder, &st))
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

struct layout {
	uint64_t control, chunk, sync, size;
};

static struct layout layout_of(uint32_t chunks)
{
	uint64_t chunk = arena_chunk_offset(chunks), sync = chunk + (uint64_t)chunks * CHUNK_BYTES;
	return (struct layout){ arena_control_offset(), chunk, sync, sync + sizeof(struct arena_sync) };
}

uint32_t arena_file_first(uint32_t chunks)
{
	return chunks < FIRST_CHUNKS ? chunks : FIRST_CHUNKS;
}

static int map_file(struct arena_file *a)
{
	const struct layout l = layout_of(a->chunks);
	unsigned char *map = mmap(NULL, l.size, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	madvise(map, l.size, MADV_DONTDUMP);
	a->header = (struct arena_header *)map;
	a->controls = (struct arena_control *)(map + l.control);
	a->slots = map + l.chunk;
	a->sync = (struct arena_sync *)(map + l.sync);
	return 0;
}

static int allocate_file(struct arena_file *a)
{
	const struct layout l = layout_of(a->chunks);
	int ret = size_file(a, l.size);
	if (ret)
		return ret;
	a->allocated = arena_file_first(a->chunks);
	if (fallocate(a->fd, 0, 0, (off_t)(l.chunk + (uint64_t)a->allocated * CHUNK_BYTES)) ||
	    fallocate(a->fd, 0, (off_t)l.sync, sizeof(struct arena_sync)))
		return -errno;
	return map_file(a);
}

int arena_file_resume(struct arena_file *a, struct session *s, uint32_t allocated)
{
	struct stat st;
	*a = (struct arena_file){ .folder_fd = -1, .chunks = s->chunks, .allocated = allocated };
	if (!a->chunks || a->chunks > ARENA_CHUNKS_MAX || allocated > a->chunks)
		return -EPROTO;
	a->fd = openat(s->folder_fd, s->arena, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (a->fd < 0)
		return -errno;
	int ret = fstat(a->fd, &st)				      ? -errno
		  : (uint64_t)st.st_size != layout_of(a->chunks).size ? -EPROTO
								      : map_file(a);
	if (ret) {
		close(a->fd);
		return ret;
	}
	strcpy(a->folder, s->folder);
	a->folder_fd = s->folder_fd;
	s->folder_fd = -1;
	return 0;
}

void arena_file_grow(struct arena_file *a)
{
	struct statvfs fs;
	uint32_t more = a->allocated < GROW_CHUNKS ? a->allocated : GROW_CHUNKS;
	if (more > a->chunks - a->allocated)
		more = a->chunks - a->allocated;
	uint64_t offset =
		(uint64_t)(a->slots - (unsigned char *)a->header) + (uint64_t)a->allocated * CHUNK_BYTES;
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
	const struct layout l = layout_of(a->chunks);
	h->version = ARENA_VERSION;
	h->chunks = a->chunks;
	h->control_offset = l.control;
	h->chunk_offset = l.chunk;
	h->sync_offset = l.sync;
	h->size = l.size;
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
		return "free some space there, or enlarge it: mount -o remount,size=256m /dev/shm";
	case EFBIG:
		return "the limit on file sizes is too small: ulimit -f unlimited";
	case ENOENT:
		return "mount it: mount -t tmpfs tmpfs /dev/shm";
	case EACCES:
	case EPERM:
	case EROFS:
		return "it must be writable for you: chmod 1777 /dev/shm";
	default:
		return "it needs 10 MiB of shared memory there";
	}
}

static uint32_t chunks_of(size_t bytes)
{
	size_t chunks = (bytes < ARENA_BYTES_MIN ? ARENA_BYTES_MIN : bytes) / CHUNK_BYTES;
	return !bytes			   ? ARENA_CHUNKS_DEFAULT
	       : chunks > ARENA_CHUNKS_MAX ? ARENA_CHUNKS_MAX
					   : (uint32_t)chunks;
}

int arena_file_open(struct arena_file *a, enum arena_clock kind, size_t bytes, char *error, size_t error_size)
{
	*a = (struct arena_file){ .folder_fd = -1, .fd = -1, .chunks = chunks_of(bytes) };
	session_each(remove_if_stale, NULL);
	int ret = make_folder(a);
	if (!ret)
		ret = make_file(a);
	if (!ret)
		ret = allocate_file(a);
	if (!ret) {
		fill_header(a, kind);
		return 0;
	}
	snprintf(error, error_size, "cannot make the trace buffer in /dev/shm: %s; %s", strerror(-ret),
		 remedy(-ret));
	arena_file_close(a);
	return ret;
}

/* Programs that go on may still map the file. Free chunks are taken out of their reach first, so that none is
 * written to after its memory is gone; the chunk that a thread owns keeps its memory, and so do counters that
 * are in use. */
static void retire_chunks(struct arena_file *a)
{
	uint64_t slots = (uint64_t)(a->slots - (unsigned char *)a->header);
	for (uint32_t chunk = 0; chunk < a->allocated; chunk++) {
		uint64_t nobody = 0;
		if (atomic_compare_exchange_strong(&a->controls[chunk].owner, &nobody, ARENA_CLOSED))
			fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  (off_t)(slots + (uint64_t)chunk * CHUNK_BYTES), CHUNK_BYTES);
	}
	if (!atomic_load(&a->header->sync_lines))
		fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)((unsigned char *)a->sync - (unsigned char *)a->header), sizeof(*a->sync));
}

void arena_file_leave(struct arena_file *a)
{
	if (a->header)
		munmap(a->header, layout_of(a->chunks).size);
	if (a->fd >= 0)
		close(a->fd);
	*a = (struct arena_file){ .folder_fd = -1, .fd = -1 };
}

void arena_file_close(struct arena_file *a)
{
	if (a->header) {
		atomic_store(&a->header->stop, 1);
		retire_chunks(a);
		munmap(a->header, layout_of(a->chunks).size);
	}
	if (a->fd >= 0)
		close(a->fd);
	if (a->folder_fd >= 0) {
		session_empty(a->folder_fd, a->folder);
		close(a->folder_fd);
	}
	*a = (struct arena_file){ .folder_fd = -1, .fd = -1 };
}
