/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Paths of open files as their process sees them: put together from the directory entries, over mounts, up to
 * the process's root. Scratch memory is per processor: the programs run with preemption off. */
#ifndef IPC_BPF_NAME_H
#define IPC_BPF_NAME_H

#include "emit.h"

enum { PATH_DEPTH = 48, PATH_ROOM = 1024, NAME_ROOM = 256, ADDRESS_ROOM = 128 };

/* Of a socket, by its sock's address: what was told of it last. Another inode: the address is used again. */
struct told {
	__u64 inode;
	__u64 peer; /* UNIX: address of the sock at the other end */
	/* It found no room: what only the call knew that it was told by. */
	__u64 listener;
	__u32 state;
	_Bool untold;
};

struct scratch {
	struct ipc_def def; /* and its text, just behind */
	char text[IPC_TEXT_MAX + PATH_ROOM];
	char path[PATH_ROOM + NAME_ROOM];
	char name[NAME_ROOM];
	struct told told;
	/* the climb from a file to the root */
	struct dentry *dentry;
	struct mount *mount;
	struct path root;
	__u32 start; /* of what stands in `path` so far */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2); /* a walk may be interrupted by the other programs, and has its own */
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static struct scratch *scratch_get(void)
{
	__u32 which = walking();
	return bpf_map_lookup_elem(&scratch, &which);
}

static int climb_step(__u32 i, void *unused)
{
	struct scratch *s = scratch_get();
	if (!s)
		return 1;
	struct dentry *parent = PEEK(dentry, s->dentry, d_parent);
	struct dentry *root = PEEK(mount, s->mount, mnt.mnt_root);

	if (s->dentry == s->root.dentry &&
	    (void *)s->mount + bpf_core_field_offset(struct mount, mnt) == (void *)s->root.mnt)
		return 1;
	if (s->dentry == root) {
		struct mount *up = PEEK(mount, s->mount, mnt_parent);
		if (up == s->mount)
			return 1;
		s->dentry = PEEK(mount, s->mount, mnt_mountpoint);
		s->mount = up;
		return 0;
	}
	__u32 len = PEEK(dentry, s->dentry, d_name.len);
	if (s->dentry == parent || len >= NAME_ROOM || len + 1 > s->start)
		return 1;
	__u32 start = (s->start - len - 1) & (PATH_ROOM - 1);
	s->path[start] = '/';
	bpf_probe_read_kernel(&s->path[start + 1], len & (NAME_ROOM - 1),
			      PEEK(dentry, s->dentry, d_name.name));
	s->start = start;
	s->dentry = parent;
	return 0;
}

/* Writes the path that `file` was opened by, over mounts, into scratch->path up to PATH_ROOM: its last
 * `depth` names. Returns where it starts. */
static __noinline __u32 path_of(struct file *file, __u32 depth)
{
	struct scratch *s = scratch_get();
	if (!s)
		return PATH_ROOM;
	s->dentry = PEEK(file, file, f_path.dentry);
	s->mount = (void *)PEEK(file, file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt);
	struct fs_struct *fs = OF_SUBJECT(fs);
	s->root.mnt = PEEK(fs_struct, fs, root.mnt);
	s->root.dentry = PEEK(fs_struct, fs, root.dentry);
	s->start = PATH_ROOM;
	bpf_loop(depth, climb_step, 0, 0);
	return s->start;
}

/* Appends scratch->path from `start`, ended by a NUL, to the text at `at`. Returns the text's new length. */
static __u32 append_path(struct scratch *s, __u32 at, __u32 start)
{
	__u32 len = (PATH_ROOM - start) & (PATH_ROOM - 1);
	at &= 2 * PATH_ROOM - 1;
	start &= PATH_ROOM - 1;
	bpf_probe_read_kernel(&s->text[at], len, &s->path[start]);
	s->text[at + len] = 0;
	return at + len + 1;
}

#endif
