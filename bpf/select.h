/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who is recorded. Either everybody, or a tree: processes that the loader has given a state, and their
 * descendants, which get theirs at fork. Of these, processes of one name, or of one cgroup and those below
 * it, alone: that is judged when recording begins, and at each exec. In a tree one that is not selected has a
 * state without an image, for its descendants' sake; elsewhere it has none.
 */
#ifndef IPC_BPF_SELECT_H
#define IPC_BPF_SELECT_H

#include "name.h"

enum { CGROUP_DEPTH = 32 };

const volatile _Bool everybody;
const volatile _Bool alone;		    /* no descendants */
const volatile char chosen_comm[COMM_ROOM]; /* "": any */
const volatile __u64 chosen_cgroup;	    /* id in the unified hierarchy, 0: any */

__u32 settled; /* whoever ran already has been found, by a walk (attach.h): until then nobody else begins */

static __always_inline struct kernfs_node *above(struct kernfs_node *node)
{
	if (bpf_core_field_exists(struct kernfs_node, parent))
		return PEEK(kernfs_node, node, parent);
	return PEEK(kernfs_node___new, node, __parent);
}

static __noinline int is_below(struct kernfs_node *node, __u64 chosen)
{
	for (int i = 0; i < CGROUP_DEPTH && node; i++) {
		if (PEEK(kernfs_node, node, id) == chosen)
			return 1;
		node = above(node);
	}
	return 0;
}

static __noinline int is_selected(struct task_struct *task)
{
	char comm[COMM_ROOM];

	if (chosen_comm[0]) {
		bpf_probe_read_kernel(comm, sizeof(comm), task->comm);
		if (bpf_strncmp(comm, sizeof(comm), (const char *)chosen_comm))
			return 0;
	}
	return !chosen_cgroup || is_below(task->cgroups->dfl_cgrp->kn, chosen_cgroup);
}

/* Writes the path of the task's cgroup into scratch->path up to PATH_ROOM. Returns where it starts. */
static __noinline __u32 cgroup_path(struct scratch *s, struct task_struct *task)
{
	struct kernfs_node *node = task->cgroups->dfl_cgrp->kn;
	__u32 start = PATH_ROOM;

	for (int i = 0; i < CGROUP_DEPTH; i++) {
		struct kernfs_node *parent = above(node);
		if (!parent)
			break;
		long len = bpf_probe_read_kernel_str(s->name, NAME_ROOM, PEEK(kernfs_node, node, name));
		if (len <= 0 || len > start)
			break;
		start = (start - len) & (PATH_ROOM - 1); /* its NUL's place is the slash's */
		s->path[start] = '/';
		bpf_probe_read_kernel(&s->path[start + 1], (len - 1) & (NAME_ROOM - 1), s->name);
		node = parent;
	}
	if (start == PATH_ROOM)
		s->path[--start] = '/';
	return start;
}

#endif
