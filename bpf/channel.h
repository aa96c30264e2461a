/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which channel is behind a descriptor of the calling task: a pipe or a socket by its inode, a FIFO or a
 * POSIX message queue by a hash of device, inode and generation (defined once, with its path or its name), an
 * eventfd by its id, anything else is none. */
#ifndef IPC_BPF_CHANNEL_H
#define IPC_BPF_CHANNEL_H

#include "socket.h"

enum { DESCRIPTORS_MAX = 1 << 20 };

/* Objects that have been defined. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} defined SEC(".maps");

static __u64 hash56(__u64 a, __u64 b)
{
	__u64 h = (a ^ 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ h >> 29 ^ b) * 0x94d049bb133111ebULL;
	return (h ^ h >> 32) * 0x9e3779b97f4a7c15ULL >> 8;
}

static __noinline int define_file(struct file *file, __u64 object)
{
	struct scratch *s = scratch_get();
	__u8 one = 1;

	if (!s || bpf_map_update_elem(&defined, &object, &one, BPF_NOEXIST))
		return 0;
	struct inode *inode = PEEK(file, file, f_inode);
	__u32 dev = PEEK(super_block, PEEK(inode, inode, i_sb), s_dev);
	_Bool is_fifo = ipc_object_mechanism(object) == IPC_MECH_fifo; /* a queue has no folders */
	__u32 text = append_path(s, 0, path_of(file, is_fifo ? PATH_DEPTH : 1));
	__builtin_memset(&s->def, 0, sizeof(s->def));
	s->def.call = IPC_DEF_OBJECT;
	s->def.object.object = object;
	s->def.object.inode = PEEK(inode, inode, i_ino);
	s->def.object.generation = PEEK(inode, inode, i_generation);
	s->def.object.dev_major = dev >> MINOR_BITS;
	s->def.object.dev_minor = dev & ((1 << MINOR_BITS) - 1);
	define(&s->def, text & (2 * PATH_ROOM - 1));
	return 0;
}

static __always_inline __u64 file_object(struct file *file, __u32 mechanism)
{
	struct inode *inode = PEEK(file, file, f_inode);
	__u64 dev = PEEK(super_block, PEEK(inode, inode, i_sb), s_dev);
	__u64 generation = PEEK(inode, inode, i_generation);
	__u64 object = ipc_object(mechanism, hash56(PEEK(inode, inode, i_ino), dev << 32 | generation));
	if (!bpf_map_lookup_elem(&defined, &object))
		define_file(file, object);
	return object;
}

/* The subject's table of descriptors. */
static __u64 descriptors(void)
{
	return (__u64)PEEK(files_struct, OF_SUBJECT(files), fdt);
}

/* The subject's file of this number, 0: none. The current task's without a read that is not needed. */
static __always_inline struct file *file_of(__u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file = 0;

	if (walking()) {
		__u64 table = descriptors();
		if (fd < PEEK(fdtable, table, max_fds))
			bpf_probe_read_kernel(&file, sizeof(file), PEEK(fdtable, table, fd) + fd);
		return file;
	}
	struct fdtable *table = task->files->fdt;
	if (fd < table->max_fds)
		bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return file;
}

static __always_inline __u64 fifo_or_pipe(struct file *file, struct inode *inode)
{
	if (PEEK(super_block, PEEK(inode, inode, i_sb), s_magic) == PIPEFS_MAGIC)
		return ipc_object(IPC_MECH_pipe, PEEK(inode, inode, i_ino));
	return file_object(file, IPC_MECH_fifo);
}

static __always_inline __u64 socket_object(struct inode *inode, struct end *end)
{
	struct socket *socket = (void *)inode - bpf_core_field_offset(struct socket_alloc, vfs_inode);

	end->sk = PEEK(socket, socket, sk);
	return end->sk ? ipc_object(socket_mechanism(end->sk), PEEK(inode, inode, i_ino)) : 0;
}

static __always_inline __u64 eventfd_object(struct file *file)
{
	const __u64 wanted = 0x6466746e6576655b; /* "[eventfd", and then "]" */
	struct dentry *dentry = PEEK(file, file, f_path.dentry);
	__u64 name;

	if (!bpf_core_field_exists(struct eventfd_ctx, id) || PEEK(dentry, dentry, d_name.len) != 9 ||
	    bpf_probe_read_kernel(&name, sizeof(name), PEEK(dentry, dentry, d_name.name)) || name != wanted)
		return 0;
	return ipc_object(IPC_MECH_eventfd, PEEK(eventfd_ctx, PEEK(file, file, private_data), id));
}

static __always_inline __u64 queue_or_eventfd(struct file *file, struct inode *inode)
{
	switch (PEEK(super_block, PEEK(inode, inode, i_sb), s_magic)) {
	case MQUEUE_MAGIC:
		return file_object(file, IPC_MECH_posix_mq);
	case ANON_INODE_MAGIC:
		return eventfd_object(file);
	}
	return 0;
}

/* The object behind the caller's descriptor, 0: no channel. */
SEPARATE __u64 classify(__u32 fd, struct end *end)
{
	if (!end)
		return 0;
	end->object = 0;
	end->sk = 0;
	struct file *file = file_of(fd);
	if (!file)
		return 0;
	struct inode *inode = PEEK(file, file, f_inode);
	__u32 type = PEEK(inode, inode, i_mode) & S_IFMT, flags = PEEK(file, file, f_flags);
	if (flags & O_PATH)
		return 0;
	if (type == S_IFIFO)
		end->object = fifo_or_pipe(file, inode);
	else if (type == S_IFSOCK)
		end->object = socket_object(inode, end);
	else if (type == S_IFREG || !type) /* anonymous inodes have either by the kernel's version */
		end->object = queue_or_eventfd(file, inode);
	if (!is_in(looked_at, end->object))
		return end->object = 0;
	end->arg0 = ipc_arg0(fd, flags & (O_ACCMODE | O_NONBLOCK));
	return end->object;
}

/* Likewise; a socket that is seen for the first time is told. */
SEPARATE __u64 find_end(__u32 fd, struct end *end, __u32 thread)
{
	if (!end)
		return 0;
	if (classify(fd, end) && end->sk && !socket_is_known(end))
		define_socket(end, thread, 0, 0);
	return end->object;
}

struct walk {
	__u32 first, image, thread;
	__u16 call, flags;
	unsigned long word;
};

static int walk_step(__u32 i, struct walk *w)
{
	__u32 fd = w->first + i;
	struct end end = {};

	if (i == 0 || fd % 64 == 0)
		bpf_probe_read_kernel(&w->word, sizeof(w->word),
				      PEEK(fdtable, descriptors(), open_fds) + fd / 64);
	if (!(w->word >> (fd & 63) & 1) || !find_end(fd, &end, w->thread))
		return 0;
	struct ipc_event e = { .object = end.object, .arg0 = end.arg0, .call = w->call, .thread = w->thread };
	if (w->call == IPC_CALL_inherit) {
		e.result = fd;
	} else {
		e.flags = w->flags;
		w->flags = IPC_F_PART;
	}
	emit(&e, w->image);
	return 0;
}

static __noinline int walk(struct task_state *t, __u16 call, __u32 first, __u32 last)
{
	__u32 max = PEEK(fdtable, descriptors(), max_fds);
	struct walk w = { .first = first, .image = t->image, .thread = t->thread, .call = call };

	if (max == 0 || first >= max || last < first)
		return 0;
	if (last >= max)
		last = max - 1;
	__u32 n = last - first + 1;
	bpf_loop(n < DESCRIPTORS_MAX ? n : DESCRIPTORS_MAX, walk_step, &w, 0);
	return 0;
}

#endif
