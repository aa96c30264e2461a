// SPDX-License-Identifier: BSD-2-Clause
/*
 * Locks on files (lock.h). flock and OFD locks belong to an open file description. The kernel tells no number
 * of those: each gets one of ours when it is made, which copies and fork children share.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "hooks.h"
#include "lock.h"
#include "readable.h"
#include "text.h"

enum { POSIX_FILES = 32 };

struct slot {
	uint64_t object;      /* 0: not known, nobody locked it */
	uint32_t description; /* 0: it came in a way that is not followed */
	uint32_t image;	      /* that opened it */
};

/* A file on which the process has, or had, locks that any close of the file ends. Of more than there is room
 * for the close is not told: that the lock ended is seen when another has it. */
struct posix_file {
	uint64_t object, device, inode;
	uint32_t image;
};

static struct slot slots[DESCRIPTORS];
static long slots_end; /* above all that are known */
static uint32_t descriptions;
static struct posix_file posix_files[POSIX_FILES];
static uint32_t posix_count; /* of all that were ever put there */

static bool is_vfork_child(const struct shim_thread *t)
{
	return t->spawn_call && t->spawn_pid;
}

static struct slot *slot_of(long fd)
{
	return fd >= 0 && fd < DESCRIPTORS ? &slots[fd] : NULL;
}

static struct slot *use_slot(long fd)
{
	struct slot *s = slot_of(fd);
	if (s && fd >= slots_end)
		slots_end = fd + 1;
	return s;
}

/* A vfork child has this memory, but descriptors of its own. */
static void changed_in_vfork_child(struct shim_thread *t, long fd)
{
	if (is_vfork_child(t) && fd >= 0 && fd < 64)
		t->spawn_changed |= 1ULL << fd;
}

static _Atomic uint32_t *locked_at(uint32_t description)
{
	return &shim.ring.header->locked[description / 4 % ARENA_LOCKED];
}

static uint32_t tag_of(long fd)
{
	const struct slot *s = slot_of(fd);
	return s && s->description ? s->description : IPC_LOCK_INHERITED;
}

static uint64_t identify(struct shim_thread *t, long fd)
{
	struct stat st;
	char path[SHIM_PATH];
	if (raw_syscall(__NR_fstat, fd, &st))
		return 0;
	struct ipc_def_object file = descriptor_file(fd, &st);
	return descriptor_define(t, IPC_MECH_file_lock, &file, path, descriptor_path(fd, path));
}

/* The object of a descriptor that somebody locked; 0: nobody did. */
static uint64_t locked_object(struct shim_thread *t, long fd)
{
	struct slot *s = slot_of(fd);
	if (!s)
		return 0;
	if (!s->object && s->description &&
	    atomic_load_explicit(locked_at(s->description), memory_order_relaxed) == s->description)
		s->object = identify(t, fd);
	return s->object;
}

/* Who opened what was locked: since then all between that program and this process may have it. */
static void tell_origin(struct shim_thread *t, long fd, const struct slot *s)
{
	struct ipc_event e = { .start = shim_now(),
			       .object = s->object,
			       .result = fd,
			       .arg0 = (uint32_t)fd,
			       .arg1 = s->image,
			       .thread = shim_number(t),
			       .call = IPC_CALL_inherit,
			       .tag = s->description };
	shim_emit(t, &e);
}

static void learn(struct shim_thread *t, long fd, struct slot *s, uint64_t object)
{
	s->object = object;
	if (!s->description)
		return;
	if (s->image != shim_image(t))
		tell_origin(t, fd, s);
	atomic_store_explicit(locked_at(s->description), s->description, memory_order_relaxed);
}

bool lock_enter(struct shim_thread *t, long fd, struct pending *p)
{
	struct slot *s = is_vfork_child(t) ? NULL : use_slot((int)fd);
	p->arg0 = (uint32_t)fd;
	p->object = s ? s->object : 0;
	if (p->object)
		return true;
	p->object = identify(t, (int)fd);
	if (s && p->object)
		learn(t, (int)fd, s, p->object);
	return p->object;
}

/* Process-wide locks. */

static struct posix_file *posix_file(uint32_t image, uint64_t object)
{
	for (uint32_t i = 0; i < posix_count && i < POSIX_FILES; i++)
		if (posix_files[i].image == image && posix_files[i].object == object)
			return &posix_files[i];
	return NULL;
}

static void remember_posix(struct shim_thread *t, long fd, uint64_t object)
{
	struct stat st;
	uint32_t image = shim_image(t);
	if (posix_file(image, object) || raw_syscall(__NR_fstat, fd, &st))
		return;
	uint32_t i = arch_local_add(&posix_count, 1) % POSIX_FILES;
	posix_files[i] = (struct posix_file){ object, st.st_dev, st.st_ino, image };
}

static uint64_t posix_object(struct shim_thread *t, long fd)
{
	struct stat st;
	shim_number(t); /* a fork child first makes itself known: it has no such locks */
	uint32_t image = shim_image(t), mine = 0;
	for (uint32_t i = 0; i < posix_count && i < POSIX_FILES; i++)
		mine += posix_files[i].image == image;
	if (!mine || raw_syscall(__NR_fstat, fd, &st))
		return 0;
	for (uint32_t i = 0; i < posix_count && i < POSIX_FILES; i++) {
		const struct posix_file *f = &posix_files[i];
		if (f->image == image && f->device == st.st_dev && f->inode == st.st_ino)
			return f->object;
	}
	return 0;
}

/* Descriptors. */

void lock_forget(long fd)
{
	struct slot *s = slot_of(fd);
	if (s)
		*s = (struct slot){ 0 };
}

void lock_closing(struct shim_thread *t, long fd, struct pending *p)
{
	changed_in_vfork_child(t, (int)fd);
	p->lock = locked_object(t, (int)fd);
	if (!p->lock && posix_count)
		p->lock = posix_object(t, (int)fd);
	p->lock_fd = (uint32_t)fd;
	p->lock_tag = tag_of((int)fd);
}

void lock_closed(struct shim_thread *t, const struct pending *p)
{
	struct posix_file *f = posix_count ? posix_file(shim_image(t), p->lock) : NULL;
	struct ipc_event e = hook_event(t, p, 0);
	if (f)
		f->image = 0;
	e.object = p->lock;
	e.arg0 = p->lock_fd;
	e.tag = p->lock_tag;
	e.flags = p->object || p->call != IPC_CALL_close ? IPC_F_PART : 0;
	e.call = IPC_CALL_close;
	shim_emit(t, &e);
}

void lock_close(struct shim_thread *t, long fd)
{
	struct pending p = { .start = shim_now() };
	lock_closing(t, fd, &p);
	if (p.lock)
		lock_closed(t, &p);
}

void lock_made(struct shim_thread *t, const struct pending *p, long fd, long from)
{
	changed_in_vfork_child(t, (int)fd);
	struct slot *s = is_vfork_child(t) ? NULL : use_slot((int)fd);
	const struct slot *source = slot_of((int)from);
	if (!s)
		return;
	if (from < 0) {
		uint32_t n = shim_image(t) * 0x85ebca6bU ^ arch_local_add(&descriptions, 1) * 0x9e3779b1U;
		*s = (struct slot){ .description = (n | 2) & ~1U, .image = shim_image(t) };
		return;
	}
	locked_object(t, (int)from);
	*s = source ? *source : (struct slot){ 0 };
	if (!s->object)
		return;
	struct ipc_event e = hook_event(t, p, fd);
	e.object = s->object;
	e.arg0 = (uint32_t)fd;
	e.tag = tag_of(fd);
	e.flags = p->object ? IPC_F_PART : 0;
	shim_emit(t, &e);
}

static void tell_exec(struct shim_thread *t, long fd)
{
	struct ipc_event e = { .start = shim_now(),
			       .object = slots[fd].object,
			       .arg0 = (uint32_t)fd,
			       .thread = shim_number(t),
			       .call = IPC_CALL_close,
			       .flags = IPC_F_ENTRY,
			       .tag = tag_of(fd) };
	shim_emit(t, &e);
}

/* Descriptors that are ends of a channel are not locked, but for exceptions that do without. */
void lock_exec(struct shim_thread *t, char text[LOCK_TEXT_MAX])
{
	char *at = text, *const end = text + LOCK_TEXT_MAX - sizeof(";4095,4294967295,4294967295");
	for (long fd = 0; fd < slots_end; fd++) {
		bool changed = is_vfork_child(t) && fd < 64 && t->spawn_changed >> fd & 1;
		const struct slot *s = &slots[fd];
		if (changed || !(s->object || (s->description && descriptor_kinds[fd] == DESCRIPTOR_OTHER)))
			continue;
		long flags = raw_syscall(__NR_fcntl, fd, F_GETFD);
		if (s->object && flags & FD_CLOEXEC)
			tell_exec(t, fd);
		if (flags < 0 || flags & FD_CLOEXEC || !s->description || at > end)
			continue;
		*at++ = ';';
		at = text_put_number(at, (unsigned long)fd);
		*at++ = ',';
		at = text_put_number(at, s->description);
		*at++ = ',';
		at = text_put_number(at, s->image);
	}
	*at = '\0';
}

static const char *take_number(const char *p, uint32_t *number)
{
	for (*number = 0; *p >= '0' && *p <= '9'; p++)
		*number = *number * 10 + (uint32_t)(*p - '0');
	return *p == ',' ? p + 1 : p;
}

void lock_inherit(const char *text)
{
	while (*text == ';') {
		struct slot slot = { 0 };
		uint32_t fd;
		text = take_number(take_number(take_number(text + 1, &fd), &slot.description), &slot.image);
		struct slot *s = fd < DESCRIPTORS ? use_slot(fd) : NULL;
		if (s)
			*s = slot;
	}
}

/* The call has returned. */

static void put_range(struct ipc_event *e, uint64_t first, uint64_t length, bool shared)
{
	e->arg0 |= length <= UINT32_MAX ? length << 32 : 0;
	e->arg1 = (first & ~IPC_LOCK_SHARED) | (shared ? IPC_LOCK_SHARED : 0);
}

static int64_t base_of(long fd, const struct flock *lock)
{
	struct stat st;
	if (lock->l_whence == SEEK_CUR)
		return raw_syscall(__NR_lseek, fd, 0, SEEK_CUR);
	if (lock->l_whence == SEEK_END && !raw_syscall(__NR_fstat, fd, &st))
		return st.st_size;
	return 0;
}

static void put_lock(struct ipc_event *e, long fd, const struct flock *lock)
{
	int64_t first = base_of(fd, lock) + lock->l_start, length = lock->l_len;
	if (length < 0) {
		first += length;
		length = -length;
	}
	put_range(e, (uint64_t)first, (uint64_t)length, lock->l_type == F_RDLCK);
	if (lock->l_type == F_UNLCK)
		e->flags |= IPC_F_SECOND;
}

void hook_leave_lock(struct shim_thread *t, const struct pending *p, long result)
{
	struct ipc_event e = hook_event(t, p, result);
	const struct flock *lock = (const void *)p->arg[2];
	long fd = (int)p->arg[0];
	bool posix = p->call == IPC_CALL_fcntl_setlk || p->call == IPC_CALL_fcntl_setlkw;
	e.tag = posix ? 0 : tag_of(fd);
	if (p->call == IPC_CALL_flock) {
		put_range(&e, 0, 0, p->arg[1] & LOCK_SH);
		e.flags = p->arg[1] & LOCK_UN ? IPC_F_SECOND : 0;
	} else if (!result || readable(lock, sizeof(*lock))) {
		put_lock(&e, fd, lock);
	}
	if (result == -EAGAIN || result == -EACCES)
		e.flags |= IPC_F_NONBLOCK;
	if (posix && !result && !(e.flags & IPC_F_SECOND))
		remember_posix(t, fd, p->object);
	shim_emit(t, &e);
}
