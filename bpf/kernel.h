/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's types as far as the eBPF programs touch them: names only, libbpf finds the offsets in the
 * running kernel's BTF when it loads the programs. Written by hand, so that the build needs no BTF and this
 * list shows what we depend on.
 */
#ifndef IPC_BPF_KERNEL_H
#define IPC_BPF_KERNEL_H

#include <linux/in.h>
#include <linux/in6.h>
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
	__u32 i_rdev; /* as s_dev */
	long long i_size;
	unsigned long i_ino;
	struct super_block *i_sb;
	void *i_private;
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
	void *private_data;
	long long f_pos;
};

struct eventfd_ctx {
	int id;
};

struct list_head {
	struct list_head *next;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};

struct files_struct {
	struct fdtable *fdt;
};

struct vm_area_struct {
	unsigned long vm_start, vm_end;
	unsigned long vm_flags;
	unsigned long vm_pgoff; /* in pages of 4 KiB */
	struct file *vm_file;
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

struct ns_common {
	unsigned int inum;
};

struct ipc_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct ipc_namespace *ipc_ns;
};

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	__u64 id;
};

struct kernfs_node___new { /* Linux 6.15 */
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp; /* of the unified hierarchy */
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state, flags;
	int on_cpu, exit_state;
	struct pid *thread_pid;
	struct css_set *cgroups;
	struct fs_struct *fs;
	struct mm_struct *mm;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	const struct cred *cred;
	struct task_struct *real_parent, *group_leader;
	void *stack;
	struct hlist_node pid_links[4];
	int pid, tgid, exit_code;
	char comm[16];
};

struct xarray {
	void *xa_head;
};

struct xa_node {
	unsigned char shift;
	void *slots[64];
};

struct idr {
	struct xarray idr_rt;
	unsigned int idr_base;
};

struct pid_namespace {
	struct ns_common ns;
	struct idr idr; /* struct pid, by number */
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;	    /* of the innermost namespace that it is in */
	struct hlist_head tasks[4]; /* its thread is the first of the first */
	struct upid numbers[1];	    /* one for each level */
};

struct net {
	__u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	unsigned short skc_family;
	unsigned char skc_state;
	int skc_bound_dev_if;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common; /* the first member, as every kind of socket begins with its sock */
	struct socket *sk_socket;	/* 0: no descriptor (yet, or any more) */
	__u16 sk_protocol, sk_type;
	struct pid *sk_peer_pid;
};

struct inet_sock {
	__be16 inet_sport;
};

struct sockaddr_un {
	__u16 sun_family;
};

struct unix_address {
	int len;
	struct sockaddr_un name[];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct netlink_sock {
	unsigned int portid, dst_portid;
};

struct socket {
	struct sock *sk;
};

struct socket_alloc {
	struct socket socket; /* the first member */
	struct inode vfs_inode;
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct io_ring_ctx {
	unsigned int flags;
	__u32 *sq_array; /* of the entries' places, where the ring has it */
	struct io_uring_sqe *sq_sqes;
	unsigned int cached_sq_head, sq_entries; /* of the queue: behind the entry that is looked at */
};

struct io_kiocb {
	struct file *file; /* while it is carried out */
	__u8 opcode;
	struct io_ring_ctx *ctx;
};

struct sigaction {
	void *sa_handler;
};

struct k_sigaction {
	struct sigaction sa;
};

struct kernel_siginfo; /* begins as struct siginfo does, which is told to user space as it is */
struct tty_driver {
	int major; /* of its devices */
};

struct tty_struct {
	int index;
	struct tty_driver *driver;
	struct tty_struct *link; /* the other end of a pseudo-terminal */
	void *driver_data;	 /* of a master: struct pts_fs_info */
};

struct tty_file_private {
	struct tty_struct *tty;
};

struct pts_fs_info {
	struct super_block *sb;
};

struct file_lock_core {
	void *flc_owner;
	unsigned int flc_flags;
	struct file *flc_file;
};

struct file_lock {
	struct file_lock_core c;
};

struct file_lock___old { /* before Linux 6.9 */
	void *fl_owner;
	unsigned int fl_flags;
	struct file *fl_file;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_vma {
	struct task_struct *task;
	struct vm_area_struct *vma;
};

#pragma clang attribute pop

enum {
	S_IFMT = 0170000,
	S_IFIFO = 0010000,
	S_IFCHR = 0020000,
	S_IFREG = 0100000,
	S_IFSOCK = 0140000,
	PIPEFS_MAGIC = 0x50495045,
	MQUEUE_MAGIC = 0x19800202,
	ANON_INODE_MAGIC = 0x09041934,
	PID_FS_MAGIC = 0x50494446, /* of pidfds since Linux 6.9 */
	MINOR_BITS = 20,
	TTYAUX_MAJOR = 5,
	UNIX98_PTY_SLAVE_MAJOR = 136,
	UNIX98_PTY_LAST_MAJOR = 143,
	FL_CLOSE = 64,
	SIGNAL_GROUP_EXIT = 0x4,
	PF_EXITING = 0x4, /* of a task */
	PF_IO_WORKER = 0x10,
	PF_KTHREAD = 0x00200000,
	PF_NO_PROGRAM = PF_KTHREAD | PF_IO_WORKER, /* the kernel's own threads */
	TASK_ASLEEP = 0x3,
	TASK_NEW = 0x800, /* still being made */
	AF_UNIX = 1,
	AF_INET = 2,
	AF_INET6 = 10,
	AF_NETLINK = 16,
	SOCK_STREAM = 1,
	SOCK_DGRAM = 2,
	TCP_LISTEN = 10, /* skc_state of UNIX sockets too */
	SOCK_DEAD = 0,	 /* a bit of skc_flags: closed */
	MSG_OOB = 0x1,
	MSG_PEEK = 0x2,
	MSG_CTRUNC = 0x8,
	MSG_TRUNC = 0x20,
	MSG_ERRQUEUE = 0x2000,
	SOL_SOCKET = 1,
	SCM_RIGHTS = 1,
	MSG_NOERROR = 010000, /* of msgrcv */
	MSG_COPY = 040000,
	/* results that only the kernel sees: the call goes on after a signal, or becomes EINTR */
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
};

#endif
