/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's types as far as the eBPF programs touch them: names only, libbpf finds the offsets in the
 * running kernel's BTF when it loads the programs. Written by hand, so that the build needs no BTF and this
 * list shows what we depend on.
 */
#ifndef IPC_BPF_KERNEL_H
#define IPC_BPF_KERNEL_H

#include <linux/types.h>

#include "bpf_regs.h" /* of arch/<machine>/ */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct super_block {
	__u32 s_dev; /* 12 bits of major number, 20 of minor */
	unsigned long s_magic;
};

struct inode {
	__u16 i_mode;
	__u32 i_generation;
	unsigned long i_ino;
	struct super_block *i_sb;
};

struct qstr {
	union {
		struct {
			__u32 hash;
			__u32 len;
		};
	};
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	unsigned int f_flags;
	struct path f_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};

struct files_struct {
	struct fdtable *fdt;
};

struct mm_struct {
	unsigned long arg_start, arg_end;
	struct file *exe_file;
};

struct signal_struct {
	atomic_t live; /* threads that have not come to their end */
	int nr_threads;
	int group_exit_code;
	unsigned int flags;
};

typedef struct {
	__u32 val;
} kuid_t;

struct cred {
	kuid_t euid;
};

struct fs_struct {
	struct path root;
};

struct task_struct {
	struct thread_info thread_info;
	struct fs_struct *fs;
	struct mm_struct *mm;
	struct files_struct *files;
	struct signal_struct *signal;
	const struct cred *cred;
	struct task_struct *real_parent, *group_leader;
	int pid, tgid, exit_code;
	char comm[16];
};

struct bpf_iter__task {
	struct task_struct *task;
};

#pragma clang attribute pop

enum {
	S_IFMT = 0170000,
	S_IFIFO = 0010000,
	PIPEFS_MAGIC = 0x50495045,
	MINOR_BITS = 20,
	SIGNAL_GROUP_EXIT = 0x4,
	/* results that only the kernel sees: the call goes on after a signal, or becomes EINTR */
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
};

#endif
