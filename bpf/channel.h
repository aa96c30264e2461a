/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which channel is behind a descriptor of the calling task: a pipe or a socket by its inode, a FIFO or a
 * POSIX message queue by a hash of device, inode and generation (defined once, with its path or its name), an
 * eventfd by its id, an end of a pseudo-terminal by its index, anything else is none. */
#ifndef IPC_BPF_CHANNEL_H
#define IPC_BPF_CHANNEL_H

#include "pty.h"
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

/* Of a file, with `text` bytes in scratch->text. Returns whether there was room. */
static _Bool define_inode(struct scratch *s, struct inode *inode, __u64 object, __u32 text)
{
	__u32 dev = PEEK(super_block, PEEK(inode, inode, i_sb), s_dev);

	__builtin_memset(&s->def, 0, sizeof(s->def));
	s->def.call = IPC_DEF_OBJECT;
	s->def.object.object = object;
	s->def.object.inode = PEEK(inode, inode, i_ino);
	s->def.object.generation = PEEK(inode, inode, i_generation);
	s->def.object.dev_major = dev >> MINOR_BITS;
	s->def.object.dev_minor = dev & ((1 << MINOR_BITS) - 1);
	return define(&s->def, text & (2 * PATH_ROOM - 1));
}

static __noinline int define_file(struct file *file, __u64 object)
{
	struct scratch *s = scratch_get();
	__u8 one = 1;

	if (!s || bpf_map_update_elem(&defined, &object, &one, BPF_NOEXIST))
		return 0;
	_Bool is_queue = ipc_object_mechanism(object) == IPC_MECH_posix_mq; /* has no folders */
	__u32 text = append_path(s, 0, path_of(file, is_queue ? 1 : PATH_DEPTH));
	if (!define_inode(s, PEEK(file, file, f_inode), object, text))
		bpf_map_delete_elem(&defined, &object);
	return 0;
}

static __always_inline __u64 file_hash(struct inode *inode)
{
	__u64 dev = PEEK(super_block, PEEK(inode, inode, i_sb), s_dev);
	__u64 generation = PEEK(inode, inode, i_generation);

	return hash56(PEEK(inode, inode, i_ino), dev << 32 | generation);
}

static __always_inline __u64 file_object(struct file *file, __u32 mechanism)
{
	__u64 object = ipc_object(mechanism, file_hash(PEEK(file, file, f_inode)));
	if (!bpf_map_lookup_elem(&defined, &object))
		define_file(file, object);
	return object;
}

/* The subject's table of descriptors. */
static __u64 descriptors(void)
{
	return (__u64)PEEK(files_struct, OF_SUBJECT(files), fdt);
}

/* The current task's file of this number, 0: none. */
static __always_inline struct file *own_file(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = OF_TASK(task, files)->fdt;

	if (fd >= table->max_fds)
		return 0;
	return (void *)PEEK(list_head, table->fd + fd, next); /* a pointer's type that BTF has */
}

/* The subject's. */
static __always_inline struct file *file_of(__u32 fd)
{
	struct file *file = 0;

	if (!walking())
		return own_file(bpf_get_current_task_btf(), fd);
	__u64 table = descriptors();
	if (fd < PEEK(fdtable, table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), PEEK(fdtable, table, fd) + fd);
	return file;
}

static __always_inline _Bool is_pipe(struct inode *inode)
{
	return (PEEK(inode, inode, i_mode) & S_IFMT) == S_IFIFO &&
	       PEEK(super_block, PEEK(inode, inode, i_sb), s_magic) == PIPEFS_MAGIC;
}

static __always_inline __u64 fifo_or_pipe(struct file *file, struct inode *inode)
{
	if (is_pipe(inode))
		return ipc_object(IPC_MECH_pipe, PEEK(inode, inode, i_ino));
	return file_object(file, IPC_MECH_fifo);
}

static __always_inline __u64 socket_object(struct inode *inode, struct end *end)
{
	struct socket *socket = (void *)inode - bpf_core_field_offset(struct socket_alloc, vfs_inode);

	end->sk = PEEK(socket, socket, sk);
	return end->sk ? ipc_object(socket_mechanism(end->sk), PEEK(inode, inode, i_ino)) : 0;
}

/* Timerfds and inotify instances have no number in the kernel: here is ours, by the address of what the file
 * stands for. That may be another one's later: then its maker tells so. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} numbers SEC(".maps");

__u64 last_number;

static __always_inline __u64 numbered_object(struct file *file, __u32 mechanism)
{
	__u64 key = (__u64)PEEK(file, file, private_data), next;
	const __u64 *number = bpf_map_lookup_elem(&numbers, &key);

	if (number)
		return ipc_object(mechanism, *number);
	next = __sync_fetch_and_add(&last_number, 1) + 1;
	bpf_map_update_elem(&numbers, &key, &next, BPF_ANY);
	return ipc_object(mechanism, next);
}

static __always_inline __u64 pid_object(struct pid *pid)
{
	return ipc_object(IPC_MECH_pidfd, PEEK(pid, pid, numbers[0].nr));
}

/* By the first eight letters of its name. */
static __noinline __u64 anonymous_object(struct file *file, __u64 name)
{
	switch (name) {
	case 0x6466746e6576655b: /* "[eventfd" */
		if (!bpf_core_field_exists(struct eventfd_ctx, id))
			return 0;
		return ipc_object(IPC_MECH_eventfd, PEEK(eventfd_ctx, PEEK(file, file, private_data), id));
	case 0x646672656d69745b: /* "[timerfd" */
		return numbered_object(file, IPC_MECH_timerfd);
	case 0x00796669746f6e69: /* "inotify" */
		return numbered_object(file, IPC_MECH_inotify);
	case 0x005d64666469705b: /* "[pidfd]" */
		return pid_object(PEEK(file, file, private_data));
	case 0x6e6972755f6f695b: /* "[io_urin" */
		return ipc_object(IPC_MECH_io_uring, PEEK(inode, PEEK(file, file, f_inode), i_ino));
	case 0x666c616e6769735b: /* "[signalf": it gives each process its own */
		return ipc_object(IPC_MECH_signal, 0);
	}
	return 0;
}

static __always_inline __u64 queue_or_anonymous(struct file *file, struct inode *inode)
{
	struct dentry *dentry;
	__u64 name;

	switch (PEEK(super_block, PEEK(inode, inode, i_sb), s_magic)) {
	case MQUEUE_MAGIC:
		return file_object(file, IPC_MECH_posix_mq);
	case PID_FS_MAGIC:
		return pid_object(PEEK(inode, inode, i_private));
	case ANON_INODE_MAGIC:
		dentry = PEEK(file, file, f_path.dentry);
		if (!bpf_probe_read_kernel(&name, sizeof(name), PEEK(dentry, dentry, d_name.name)))
			return anonymous_object(file, name);
	}
	return 0;
}

/* An inotify instance watches another path from now on: that is its name. */
static __noinline int define_watch(__u64 object, __u64 path)
{
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	__builtin_memset(&s->def, 0, sizeof(s->def));
	s->def.call = IPC_DEF_OBJECT;
	s->def.object.object = object;
	long text = bpf_probe_read_user_str(s->text, PATH_ROOM, (void *)path);
	if (text > 0)
		define(&s->def, text & (2 * PATH_ROOM - 1));
	return 0;
}

static __always_inline __u64 set_end(struct end *end, __u64 object, __u32 fd, __u32 flags)
{
	end->object = is_in(looked_at, object) ? object : 0;
	end->arg0 = ipc_arg0(fd, flags & (O_ACCMODE | O_NONBLOCK));
	return end->object;
}

static __always_inline __u64 describe_end(struct file *file, __u32 fd, struct end *end)
{
	__u64 object = 0;

	end->object = 0;
	end->sk = 0;
	if (!file)
		return 0;
	struct inode *inode = PEEK(file, file, f_inode);
	__u32 type = PEEK(inode, inode, i_mode) & S_IFMT, flags = PEEK(file, file, f_flags);
	if (flags & O_PATH)
		return 0;
	if (type == S_IFIFO)
		object = fifo_or_pipe(file, inode);
	else if (type == S_IFSOCK)
		object = socket_object(inode, end);
	else if (type == S_IFCHR)
		object = pty_object(file, inode);
	else if (type == S_IFREG || !type) /* anonymous inodes have either by the kernel's version */
		object = queue_or_anonymous(file, inode);
	return set_end(end, object, fd, flags);
}

/* The object of an open file, 0: no channel. `fd`: the descriptor that the call was given. */
SEPARATE __u64 classify_file(__u64 file, __u32 fd, struct end *end)
{
	return end ? describe_end((struct file *)file, fd, end) : 0;
}

/* The object behind the caller's descriptor, 0: no channel. */
SEPARATE __u64 classify(__u32 fd, struct end *end)
{
	return end ? describe_end(file_of(fd), fd, end) : 0;
}

/* Likewise; a socket that is seen for the first time is told. */
SEPARATE __u64 find_end(__u32 fd, struct end *end, __u32 thread)
{
	if (!end)
		return 0;
	if (describe_end(file_of(fd), fd, end) && end->sk && !socket_is_known(end))
		define_socket(end, thread, 0, 0);
	return end->object;
}

/* The same for what most calls are on, a pipe of the current task's, at once and without a call; 0: ask
 * find_end(). Not where reading is dear: there it would be done twice for all else. */
static __always_inline __u64 find_pipe(struct task_struct *task, __u32 fd, struct end *end)
{
	struct file *file = fast_reads && !walking() ? own_file(task, fd) : 0;

	if (!file)
		return 0;
	struct inode *inode = PEEK(file, file, f_inode);
	__u32 flags = PEEK(file, file, f_flags);
	if (flags & O_PATH || !is_pipe(inode))
		return 0;
	return set_end(end, ipc_object(IPC_MECH_pipe, PEEK(inode, inode, i_ino)), fd, flags);
}

struct walk {
	__u32 first, image, thread;
	__u16 call, flags;
	unsigned long word;
};

/* Apart: an event's room on the stack is not below what finds the channel. */
static __noinline int tell_walked(struct walk *w, const struct end *end, __u32 fd)
{
	struct ipc_event e = {
		.object = end->object, .arg0 = end->arg0, .call = w->call, .thread = w->thread
	};

	if (w->call == IPC_CALL_inherit) {
		e.result = fd;
	} else {
		e.flags = w->flags;
		w->flags = IPC_F_PART;
	}
	return emit(&e, w->image);
}

static int walk_step(__u32 i, struct walk *w)
{
	__u32 fd = w->first + i;
	struct end end = {};

	if (i == 0 || fd % 64 == 0)
		bpf_probe_read_kernel(&w->word, sizeof(w->word),
				      PEEK(fdtable, descriptors(), open_fds) + fd / 64);
	if (!(w->word >> (fd & 63) & 1) || !find_end(fd, &end, w->thread))
		return 0;
	tell_walked(w, &end, fd);
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
