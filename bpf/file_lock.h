/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Locks on files: the calls that lock and unlock, and the kernel's own releases: where what was opened is
 * closed for the last time, or a process closes the file, by whatever call or end and whoever has copies of
 * the descriptor. An open file description is told by its struct file.
 */
#ifndef IPC_BPF_FILE_LOCK_H
#define IPC_BPF_FILE_LOCK_H

#include "queue.h"

#include <linux/fs.h>

enum { LOCKED_MAX = 16384, FILE_BITS = 6, NR_EACCES = 13, LOCK_SH_ = 1, LOCK_UN_ = 8 };

struct user_flock {
	__s16 type, whence;
	__s32 pad;
	__s64 start, length;
};

/* Who owns locks on a file: its description, or the descriptors of a process. */
struct lock_owner {
	__u64 owner, inode;
};

/* Those that have locked it, and the thread that did so last. That they unlocked it again changes nothing:
 * an address that is used again means a new owner, without locks as the old one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LOCKED_MAX);
	__type(key, struct lock_owner);
	__type(value, __u32);
} locked SEC(".maps");

static __always_inline _Bool locks_file(const struct ipc_call *row)
{
	return row->verb == IPC_VERB_recv && row->size == IPC_SIZE_NONE &&
	       IPC_OBJ_KIND(row->object) == IPC_OBJ_KIND_FD;
}

/* The number of a description: the kernel's slabs begin at multiples of 64 bytes. */
static __always_inline __u32 description_tag(__u64 file)
{
	__u32 tag = (file >> FILE_BITS) * 0x9e3779b1U;
	return tag > IPC_LOCK_INHERITED ? tag : ~tag;
}

static __noinline int enter_lock(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	__u32 fd = regs_arg(regs, 0);
	struct file *file = file_of(fd);

	if (!file)
		return 0;
	t->object = file_object(file, IPC_MECH_file_lock);
	t->object2 = 0;
	t->arg0 = fd;
	t->file = (__u64)file;
	t->call = call;
	t->start = bpf_ktime_get_ns();
	return 0;
}

static __always_inline void put_range(struct ipc_event *e, __u64 first, __u64 length, _Bool shared)
{
	e->arg0 |= length <= 0xffffffff ? length << 32 : 0;
	e->arg1 = (first & ~IPC_LOCK_SHARED) | (shared ? IPC_LOCK_SHARED : 0);
}

static __always_inline void put_record(struct ipc_event *e, struct file *file, const struct user_flock *lock)
{
	struct inode *inode = PEEK(file, file, f_inode);
	__s64 first = lock->start, length = lock->length;

	if (lock->whence == SEEK_CUR)
		first += PEEK(file, file, f_pos);
	else if (lock->whence == SEEK_END)
		first += PEEK(inode, inode, i_size);
	if (length < 0) {
		first += length;
		length = -length;
	}
	put_range(e, first, length, lock->type == F_RDLCK);
	if (lock->type == F_UNLCK)
		e->flags |= IPC_F_SECOND;
}

static __noinline int leave_lock(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	struct ipc_event e = event_of(t, result);
	struct file *file = (void *)t->file;
	struct lock_owner key = { t->file, (__u64)PEEK(file, file, f_inode) };
	struct user_flock lock;
	__u32 how = regs_arg(regs, 1);

	e.arg0 = t->arg0;
	e.tag = description_tag(t->file);
	if (t->call == IPC_CALL_fcntl_setlk || t->call == IPC_CALL_fcntl_setlkw) {
		key.owner = (__u64)OF_TASK(bpf_get_current_task_btf(), files);
		e.tag = 0;
	}
	if (t->call == IPC_CALL_flock) {
		put_range(&e, 0, 0, how & LOCK_SH_);
		e.flags = how & LOCK_UN_ ? IPC_F_SECOND : 0;
	} else if (!bpf_probe_read_user(&lock, sizeof(lock), (void *)regs_arg(regs, 2))) {
		put_record(&e, file, &lock);
	}
	if (result == -NR_EAGAIN || result == -NR_EACCES)
		e.flags |= IPC_F_NONBLOCK;
	if (!result && !(e.flags & IPC_F_SECOND))
		bpf_map_update_elem(&locked, &key, &e.thread, BPF_ANY);
	return emit(&e, t->image);
}

/* The kernel has released what the owner had; `t` is the task that it did so in, or 0: one that is not
 * tracked, as some have the descriptor that it was sent to. */
static __noinline int tell_released(struct task_state *t, struct file *file, __u64 owner)
{
	struct lock_owner key = { owner, (__u64)PEEK(file, file, f_inode) };
	const __u32 *thread = bpf_map_lookup_elem(&locked, &key);
	struct ipc_event e = { .arg0 = NO_DESCRIPTOR, .call = IPC_CALL_close, .flags = IPC_F_UNDO };

	if (!thread)
		return 0;
	e.thread = *thread;
	if (t && t->image) {
		e.thread = t->nr == IPC_NO_NR && t->older ? t->older : t->thread; /* an exec closed it */
		e.start = t->unlock_start;
	}
	if (!e.start)
		e.flags |= IPC_F_NO_START;
	e.object = file_object(file, IPC_MECH_file_lock);
	e.tag = owner == (__u64)file ? description_tag(owner) : 0;
	bpf_map_delete_elem(&locked, &key);
	return emit(&e, 0);
}

#endif
