// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which descriptors are ends of a channel. The kernel is asked once per descriptor; every hooked call that
 * can change a descriptor's meaning forgets or sets it. The stubs read descriptor_kinds without any call, so
 * a descriptor that is no channel costs one look.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/stat.h>

#include "lock.h"
#include "payload.h"
#include "pty.h"
#include "queue.h"
#include "socket.h"
#include "text.h"

enum {
	FIRST_DESCRIPTORS = 256,
	TOLD = 1024,		  /* objects remembered as defined */
	QUEUE_MAGIC = 0x19800202, /* of the mqueue file system */
	QUEUE_SIZE = 80,	  /* that every file in it has, and not a block */
};

uint8_t descriptor_kinds[DESCRIPTORS];
struct descriptor descriptor_table[DESCRIPTORS];
static bool remember_none;
static uint64_t pipe_device; /* st_dev of pipes: one per boot */

/* A vfork child shares this memory but not its parent's descriptors: it remembers nothing, and what it closes
 * its parent still has. */
static bool is_vfork_child(const struct shim_thread *t)
{
	return t->spawn_call && t->spawn_pid;
}

void descriptor_keep(const struct shim_thread *t, long fd, const struct descriptor *d)
{
	if (fd < 0 || fd >= DESCRIPTORS || is_vfork_child(t) || remember_none)
		return;
	if (d)
		descriptor_table[fd] = *d;
	atomic_signal_fence(memory_order_release);
	uint8_t kind = DESCRIPTOR_OTHER;
	if (d && (socket_keeps_messages(d->object) || queue_has_words(d->object)))
		kind = DESCRIPTOR_MESSAGES;
	else if (d)
		kind = payload_kind(d);
	__atomic_store_n(&descriptor_kinds[fd], kind, __ATOMIC_RELEASE);
}

/* That something is no channel a vfork child forgets too: the stubs believe it, and it is soon asked again.
 */
void descriptor_forget(const struct shim_thread *t, long fd)
{
	if (fd < 0 || fd >= DESCRIPTORS || (is_vfork_child(t) && descriptor_kinds[fd] >= DESCRIPTOR_STREAM))
		return;
	descriptor_kinds[fd] = DESCRIPTOR_UNKNOWN;
	if (!is_vfork_child(t))
		lock_forget(fd);
}

void descriptor_remember_none(void)
{
	remember_none = true;
	for (int fd = 0; fd < DESCRIPTORS; fd++)
		descriptor_kinds[fd] = DESCRIPTOR_UNKNOWN;
}

bool descriptor_remembered(long fd, struct descriptor *out)
{
	if (fd < 0 || fd >= DESCRIPTORS || descriptor_kinds[fd] < DESCRIPTOR_STREAM)
		return false;
	*out = descriptor_table[fd];
	return true;
}

bool descriptor_known(struct shim_thread *t, long fd, struct descriptor *out)
{
	return is_vfork_child(t) ? descriptor_find(t, fd, out) : descriptor_remembered(fd, out);
}

static bool is_pipe(long fd, const struct stat *st)
{
	struct statfs fs;
	if (pipe_device && st->st_dev == pipe_device)
		return true;
	if (raw_syscall(__NR_fstatfs, fd, &fs) || fs.f_type != PIPEFS_MAGIC)
		return false;
	pipe_device = st->st_dev;
	return true;
}

/* What cannot be one by its size and device is not asked further. */
static bool is_queue(long fd, const struct stat *st)
{
	struct statfs fs;
	return S_ISREG(st->st_mode) && st->st_size == QUEUE_SIZE && !st->st_blocks && !(st->st_dev >> 8) &&
	       !raw_syscall(__NR_fstatfs, fd, &fs) && fs.f_type == QUEUE_MAGIC;
}

static uint64_t mix(uint64_t h, uint64_t value) /* FNV-1a over the value's bytes */
{
	for (int i = 0; i < 8; i++, value >>= 8)
		h = (h ^ (value & 0xff)) * 0x100000001b3ULL;
	return h;
}

/* The name of a queue in the path of its descriptor: behind wherever its file system is mounted, and without
 * what the kernel adds once it is unlinked. */
static char *queue_name(char *path, size_t *length, const struct stat *st)
{
	size_t end = *length, start;
	const size_t added = sizeof(" (deleted)") - 1;
	if (!st->st_nlink && end > added)
		end -= added;
	for (start = end; start > 0 && path[start] != '/'; start--)
		;
	*length = end - start;
	return path + start;
}

/* Inodes are used again at once, so birth counts too. */
struct ipc_def_object descriptor_file(long fd, const struct stat *st)
{
	struct statx x = { 0 };
	raw_syscall(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_BTIME, &x);
	return (struct ipc_def_object){
		.inode = st->st_ino,
		.generation = (uint64_t)x.stx_btime.tv_sec * 1000000000 + x.stx_btime.tv_nsec,
		.dev_major = (uint32_t)(st->st_dev >> 8 & 0xfff),
		.dev_minor = (uint32_t)((st->st_dev & 0xff) | (st->st_dev >> 12 & 0xfff00)),
	};
}

size_t descriptor_path(long fd, char *path)
{
	char link[40];
	text_put_fd_path(link, (unsigned int)fd);
	long n = raw_syscall(__NR_readlinkat, AT_FDCWD, link, path, SHIM_PATH);
	return n > 0 ? (size_t)n : 0;
}

static uint64_t hashed(enum ipc_mechanism mechanism, const struct ipc_def_object *object)
{
	uint64_t device = (uint64_t)object->dev_major << 32 | object->dev_minor;
	uint64_t hash = mix(mix(mix(0xcbf29ce484222325ULL, device), object->inode), object->generation);
	return ipc_object(mechanism, hash ^ hash >> 56);
}

/* False: there was no room for it. */
static bool tell_object(struct shim_thread *t, uint64_t id, const struct ipc_def_object *object,
			const char *name, size_t length)
{
	struct ipc_def def = {
		.time = shim_now(), .thread = shim_number(t), .call = IPC_DEF_OBJECT, .object = *object
	};
	def.object.object = id;
	return shim_define(t, &def, name, length);
}

uint64_t descriptor_define(struct shim_thread *t, enum ipc_mechanism mechanism,
			   const struct ipc_def_object *object, const char *name, size_t length)
{
	uint64_t id = hashed(mechanism, object);
	tell_object(t, id, object, name, length);
	return id;
}

uint64_t descriptor_define_once(struct shim_thread *t, enum ipc_mechanism mechanism,
				const struct ipc_def_object *object, const char *name, size_t length)
{
	static uint64_t told[TOLD];
	uint64_t id = hashed(mechanism, object), *place = &told[(id ^ id >> 32) % TOLD];
	bool known = __atomic_load_n(place, __ATOMIC_RELAXED) == id && !length;
	if (!known && tell_object(t, id, object, name, length))
		__atomic_store_n(place, id, __ATOMIC_RELAXED);
	return id;
}

/* The object of a fifo or a POSIX queue. */
static uint64_t file_object(struct shim_thread *t, long fd, const struct stat *st,
			    enum ipc_mechanism mechanism)
{
	struct ipc_def_object object = descriptor_file(fd, st);
	char path[SHIM_PATH], *name = path;
	size_t length = descriptor_path(fd, path);
	if (length && mechanism == IPC_MECH_posix_mq)
		name = queue_name(path, &length, st);
	return descriptor_define(t, mechanism, &object, name, length);
}

/* 0: no channel. */
static uint64_t object_of(struct shim_thread *t, long fd, const struct stat *st)
{
	if (S_ISSOCK(st->st_mode))
		return ipc_object(socket_mechanism(fd), st->st_ino);
	if (!(st->st_mode & S_IFMT)) /* an anonymous inode */
		return counter_object(t, fd);
	if (S_ISCHR(st->st_mode))
		return pty_object(fd, st);
	if (!S_ISFIFO(st->st_mode) && !is_queue(fd, st))
		return 0;
	shim_number(t);
	if (!S_ISFIFO(st->st_mode))
		return file_object(t, fd, st, IPC_MECH_posix_mq);
	return is_pipe(fd, st) ? ipc_object(IPC_MECH_pipe, st->st_ino)
			       : file_object(t, fd, st, IPC_MECH_fifo);
}

bool descriptor_made(struct shim_thread *t, long fd, struct descriptor *out)
{
	struct stat st;
	out->epoll = 0;
	out->object = 0;
	fd = (int)fd;
	if (fd < 0 || raw_syscall(__NR_fstat, fd, &st))
		return false;
	out->object = object_of(t, fd, &st);
	if (!out->object || !shim_wants(ipc_object_mechanism(out->object))) {
		descriptor_keep(t, fd, NULL);
		return false;
	}
	long flags = raw_syscall(__NR_fcntl, fd, F_GETFL);
	out->flags = flags < 0 ? 0 : (uint32_t)flags;
	out->unbound = socket_binds_late(out->object) && socket_is_unbound(fd);
	payload_begin(out);
	return true;
}

bool descriptor_find(struct shim_thread *t, long fd, struct descriptor *out)
{
	fd = (int)fd;
	if (fd >= 0 && fd < DESCRIPTORS && descriptor_kinds[fd] == DESCRIPTOR_OTHER)
		return false;
	if (!is_vfork_child(t) && descriptor_remembered(fd, out))
		return true;
	if (!descriptor_made(t, fd, out))
		return false;
	if (socket_is(out->object) && fd < DESCRIPTORS) /* those beyond are not remembered: asked each time */
		socket_define(t, fd, out->object, &(struct socket_origin){ 0 });
	descriptor_keep(t, fd, out);
	return true;
}

static void inherit(struct shim_thread *t, long fd, const struct descriptor *d)
{
	struct ipc_event e = { .start = shim_now(),
			       .object = d->object,
			       .result = fd,
			       .arg0 = ipc_arg0((uint32_t)fd, d->flags),
			       .thread = shim_number(t),
			       .call = IPC_CALL_inherit };
	shim_emit(t, &e);
}

struct entry { /* of getdents64 */
	uint64_t ino, off;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* All of them, but for those that inherit_first() has seen. */
static void inherit_listed(struct shim_thread *t)
{
	char buffer[2048] __attribute__((aligned(8)));
	long dir = raw_syscall(__NR_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n;
	if (dir < 0)
		return;
	while ((n = raw_syscall(__NR_getdents64, dir, buffer, sizeof(buffer))) > 0) {
		for (const struct entry *e = (const void *)buffer; (const char *)e < buffer + n;
		     e = (const void *)((const char *)e + e->length)) {
			struct descriptor d;
			long fd = 0;
			for (const char *p = e->name; *p >= '0' && *p <= '9'; p++)
				fd = fd * 10 + (*p - '0');
			bool seen = fd < DESCRIPTORS && descriptor_kinds[fd] != DESCRIPTOR_UNKNOWN;
			if (e->name[0] != '.' && fd != dir && !seen && descriptor_find(t, fd, &d))
				inherit(t, fd, &d);
		}
	}
	raw_syscall(__NR_close, dir);
}

/* The kernel says how many descriptors are open (Linux 6.2 and later; 0 before): most often they are the
 * first ones, and looking at each is far cheaper than listing them. */
static bool inherit_first(struct shim_thread *t)
{
	struct stat st;
	if (raw_syscall(__NR_newfstatat, AT_FDCWD, "/proc/self/fd", &st, 0) || !st.st_size)
		return false;
	for (long fd = 0; fd < FIRST_DESCRIPTORS && st.st_size; fd++) {
		struct descriptor d;
		if (descriptor_find(t, fd, &d))
			inherit(t, fd, &d);
		if (descriptor_kinds[fd] != DESCRIPTOR_UNKNOWN)
			st.st_size--;
	}
	return !st.st_size;
}

void descriptor_inherit(struct shim_thread *t, bool new_program)
{
	if (new_program) {
		if (!inherit_first(t))
			inherit_listed(t);
		return;
	}
	const uint64_t *eight = (const uint64_t *)descriptor_kinds;
	for (long i = 0; i < DESCRIPTORS; i++) {
		if (i % 8 == 0 && !eight[i / 8]) {
			i += 7;
			continue;
		}
		struct descriptor d;
		if (descriptor_remembered(i, &d))
			inherit(t, i, &d);
	}
}
