/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Shared memory: what a process maps, and what it does to memory near to which it has mapped any. Told is the
 * call (raw.h); the kernel is asked only for what no argument says.
 */
#ifndef IPC_BPF_REGION_H
#define IPC_BPF_REGION_H

#include "queue.h"
#include "raw.h"

#include <linux/mman.h>

enum {
	PAGE = 4096,
	LOOKS_MAX = 4096, /* for one mapping after the other, or while somebody changes them */
	UNTOLD = 0xff,	  /* no protection */
	ZERO_DEVICE = 1 << MINOR_BITS | 5,
	VM_MAYSHARE_ = 0x80, /* mapped MAP_SHARED, whatever the file was opened for */
	NR_EBUSY = 16,
	NR_EIDRM = 43,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2); /* as of name.h's scratch */
	__type(key, __u32);
	__type(value, struct raw);
} raws SEC(".maps");

/* The mechanism of files that were mapped, by their hash. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} memories SEC(".maps");

static __always_inline __u64 segment_object(__u32 ipcns, __u32 id)
{
	return ipc_object(IPC_MECH_sysv_shm, (__u64)(ipcns & 0xffffff) << 32 | id);
}

/* Empty, or NULL. */
static struct raw *raw_get(void)
{
	__u32 which = walking();
	struct raw *r = bpf_map_lookup_elem(&raws, &which);
	if (r)
		__builtin_memset(r, 0, sizeof(*r));
	return r;
}

/* The state that the threads of a process have in common. */
static __always_inline struct task_state *process_state(void)
{
	return bpf_task_storage_get(&tasks, bpf_get_current_task_btf()->group_leader, 0, 0);
}

/* What was found at an address may not be there any more. */
SEPARATE int begin_epoch(void)
{
	struct task_state *process = process_state();

	if (process)
		process->epoch++;
	return 0;
}

/* As a definition: what follows would be wrong without it. */
static void send_raw(struct raw *r, const struct task_state *t, struct task_struct *task, __u16 call)
{
	begin_epoch();
	r->event.thread = t->thread;
	r->event.call = call;
	r->event.flags = has_threads(task) ? IPC_F_THREADS : 0;
	r->image = t->image;
	r->pid = task->tgid;
	if (!r->event.start)
		r->event.start = now();
	if (bpf_ringbuf_output(&ring, r, sizeof(*r), BPF_RB_NO_WAKEUP))
		count_lost(IPC_REASON_dropped);
}

/* ---- which memory it is ---- */

/* What has no folder is called by what made it. */
static __always_inline __u32 name_unlinked(struct scratch *s, struct dentry *dentry, __u32 *text)
{
	const __u64 sysv = 0x56535953, memfd = 0x3a64666d656d; /* "SYSV", "memfd:" */
	__u64 name = 0;

	s->text[0] = '/';
	long n = bpf_probe_read_kernel_str(&s->text[1], NAME_ROOM, PEEK(dentry, dentry, d_name.name));
	bpf_probe_read_kernel(&name, sizeof(name), &s->text[1]);
	*text = n > 0 ? n & (NAME_ROOM - 1) : 0;
	if ((name & 0xffffffff) == sysv)
		return IPC_MECH_sysv_shm;
	if ((name & 0xffffffffffff) == memfd)
		return IPC_MECH_memfd;
	__builtin_memcpy(s->text, "anonymous", 10);
	*text = sizeof("anonymous") - 1;
	return IPC_MECH_mmap;
}

static __always_inline __u32 name_linked(struct scratch *s, struct file *file, __u32 *text)
{
	const __u64 folder = 0x6d68732f7665642f; /* "/dev/shm" */
	__u64 begin = 0;

	*text = append_path(s, 0, path_of(file, PATH_DEPTH)) - 1;
	bpf_probe_read_kernel(&begin, sizeof(begin), s->text);
	return begin == folder && s->text[8] == '/' ? IPC_MECH_posix_shm : IPC_MECH_mmap;
}

/* The object of a file that is memory, defined; of a System V segment only its mechanism and id. */
SEPARATE __u64 memory_object(__u64 address)
{
	struct file *file = (void *)address;
	struct scratch *s = scratch_get();
	struct inode *inode = PEEK(file, file, f_inode);
	struct dentry *dentry = PEEK(file, file, f_path.dentry);
	__u64 hash = file_hash(inode);
	__u32 text = 0;

	const __u8 *known = bpf_map_lookup_elem(&memories, &hash);
	if (known)
		return ipc_object(*known, hash);
	if (!s)
		return 0;
	__u8 mechanism = PEEK(dentry, dentry, d_parent) == dentry ? name_unlinked(s, dentry, &text)
								  : name_linked(s, file, &text);
	if (mechanism == IPC_MECH_sysv_shm)
		return ipc_object(mechanism, PEEK(inode, inode, i_ino));
	bpf_map_update_elem(&memories, &hash, &mechanism, BPF_ANY);
	if (!define_inode(s, inode, ipc_object(mechanism, hash), text))
		bpf_map_delete_elem(&memories, &hash);
	return ipc_object(mechanism, hash);
}

/* As SEPARATE functions take it: no pointer to the verifier. */
static __always_inline __u64 number_of(struct file *file)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &file);
	return number;
}

static void set_file(struct raw *r, struct file *file)
{
	struct inode *inode = PEEK(file, file, f_inode);
	__u32 dev = PEEK(super_block, PEEK(inode, inode, i_sb), s_dev);

	r->inode = PEEK(inode, inode, i_ino);
	r->dev_major = dev >> MINOR_BITS;
	r->dev_minor = dev & ((1 << MINOR_BITS) - 1);
	r->event.object = memory_object(number_of(file));
}

/* Not devices: each may give another memory to each. */
static __always_inline _Bool is_memory_file(struct inode *inode)
{
	return (PEEK(inode, inode, i_mode) & S_IFMT) == S_IFREG &&
	       PEEK(super_block, PEEK(inode, inode, i_sb), s_magic) != ANON_INODE_MAGIC;
}

/* `*file` becomes NULL where its memory is anonymous. */
static __always_inline _Bool is_memory(__u32 fd, struct file **file)
{
	*file = file_of(fd);
	if (!*file)
		return 0;
	struct inode *inode = PEEK(file, *file, f_inode);
	if (is_memory_file(inode))
		return 1;
	*file = 0;
	return (PEEK(inode, inode, i_mode) & S_IFMT) == S_IFCHR && PEEK(inode, inode, i_rdev) == ZERO_DEVICE;
}

/* ---- what the kernel has mapped ---- */

struct look {
	__u64 at, until;
	__u64 start, end, offset, flags, file; /* of what is mapped at `at`; end 0: nothing */
};

static long look_at(struct task_struct *task, struct vm_area_struct *vma, struct look *l)
{
	l->start = vma->vm_start;
	l->end = vma->vm_end;
	l->offset = (__u64)vma->vm_pgoff * PAGE;
	l->flags = vma->vm_flags;
	l->file = (__u64)PEEK(vm_area_struct, vma, vm_file);
	return 0;
}

/* While another thread changes its mappings the kernel does not say: tried again. */
static int look_step(__u32 i, struct look *l)
{
	return bpf_find_vma(bpf_get_current_task_btf(), l->at, look_at, l, 0) != -NR_EBUSY;
}

/* The end of a call that made a mapping whose extent or file nobody knows. */
static __noinline int set_mapped(struct raw *r, __u64 address)
{
	struct look l = { .at = address };

	bpf_loop(LOOKS_MAX, look_step, &l, 0);
	if (!l.end || !l.file)
		return 0;
	r->start = l.start;
	r->end = l.end;
	r->offset = l.offset;
	r->protection = l.flags & (PROT_READ | PROT_WRITE | PROT_EXEC);
	__u64 object = r->event.object;
	set_file(r, (struct file *)l.file);
	if (object)
		r->event.object = object;
	return 0;
}

static void send_seen(const struct task_state *t, __u64 start, __u64 end, __u8 protection)
{
	struct raw *r = raw_get();

	if (!r)
		return;
	r->start = start;
	r->end = end;
	r->protection = protection;
	send_raw(r, t, bpf_get_current_task_btf(), RAW_SEEN | t->call);
}

struct seen {
	struct look look;
	struct task_state *t;
};

static int seen_step(__u32 i, struct seen *s)
{
	struct look *l = &s->look;

	l->end = 0;
	long err = bpf_find_vma(bpf_get_current_task_btf(), l->at, look_at, l, 0);
	if (err == -NR_EBUSY)
		return 0;
	if (l->end && l->flags & VM_MAYSHARE_)
		send_seen(s->t, l->start, l->end, l->flags & (PROT_READ | PROT_WRITE | PROT_EXEC));
	l->at = l->end ?: l->at + PAGE;
	return l->at >= l->until;
}

/* The call failed, but may have done some. What cannot be looked at is taken for there. */
static __noinline int tell_seen(struct task_state *t, __u64 start, __u64 size)
{
	struct seen s = { .look = { .at = start, .until = start + size }, .t = t };

	bpf_loop(LOOKS_MAX, seen_step, &s, 0);
	if (s.look.at < s.look.until)
		send_seen(t, s.look.at, s.look.until, UNTOLD);
	return 0;
}

/* ---- calls ---- */

/* Whether the process ever had shared memory here. */
static __always_inline _Bool touches(const struct task_state *process, __u64 start, __u64 size)
{
	return start < process->shared_end && start + size > process->shared_start;
}

static __always_inline void extend(struct task_state *process, __u64 start, __u64 end)
{
	if (!process)
		return;
	if (!process->shared_end || start < process->shared_start)
		process->shared_start = start;
	if (end > process->shared_end)
		process->shared_end = end;
}

static __always_inline _Bool replaces(__u64 flags)
{
	return flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE);
}

static __always_inline _Bool is_concerned(const struct pt_regs *regs, __u32 call)
{
	__u64 start = regs_arg(regs, 0), size = regs_arg(regs, 1);
	const struct task_state *process = process_state();

	if (!process || !process->shared_end)
		return 0;
	if (call == IPC_CALL_shmdt || (call == IPC_CALL_mremap && !size))
		size = 1;
	return touches(process, start, size) ||
	       (call == IPC_CALL_mremap && regs_arg(regs, 3) & MREMAP_FIXED &&
		touches(process, regs_arg(regs, 4), regs_arg(regs, 2)));
}

static __always_inline struct raw *raw_of(const struct task_state *t, const struct pt_regs *regs)
{
	struct raw *r = raw_get();

	if (!r)
		return 0;
	for (int i = 0; i < 6; i++)
		r->arg[i] = regs_arg(regs, i);
	r->event.object = t->object;
	r->event.arg0 = t->arg0;
	r->event.start = t->start;
	r->ipcns = t->ipcns;
	return r;
}

static void begin_call(struct task_state *t, __u32 call)
{
	t->object = t->object2 = 0;
	t->asked = t->asked && call == IPC_CALL_mmap;
	t->arg0 = NO_DESCRIPTOR;
	t->call = call;
	t->start = bpf_ktime_get_ns();
}

static __noinline int enter_change(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	if (!is_concerned(regs, call))
		return 0;
	begin_call(t, call);
	struct raw *r = raw_of(t, regs);
	if (r && row_of(call)->verb != IPC_VERB_control)
		send_raw(r, t, bpf_get_current_task_btf(), RAW_BEGIN | call);
	return 0;
}

static __noinline int enter_map(struct task_state *t, const struct pt_regs *regs)
{
	__u64 flags = regs_arg(regs, 3);
	__u32 fd = flags & MAP_ANONYMOUS ? NO_DESCRIPTOR : regs_arg(regs, 4);
	struct file *file = 0;

	t->asked = flags & MAP_SHARED && (flags & MAP_ANONYMOUS || is_memory(fd, &file));
	if (!t->asked && (!replaces(flags) || !is_concerned(regs, IPC_CALL_mmap)))
		return 0;
	begin_call(t, IPC_CALL_mmap);
	t->arg0 = fd;
	struct raw *r = raw_of(t, regs);
	if (!r)
		return 0;
	r->shares = t->asked;
	if (t->asked && file)
		set_file(r, file);
	t->object = r->event.object;
	send_raw(r, t, bpf_get_current_task_btf(), RAW_BEGIN | IPC_CALL_mmap);
	return 0;
}

/* Those that are on a System V segment, or make one or a memfd. */
static __noinline int enter_segment(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	struct task_struct *task = bpf_get_current_task_btf();

	begin_call(t, call);
	t->ipcns = OF_TASK(task, nsproxy)->ipc_ns->ns.inum;
	if (call == IPC_CALL_shmat || call == IPC_CALL_shmctl_rmid)
		t->object = segment_object(t->ipcns, regs_arg(regs, 0));
	return 0;
}

static __always_inline int enter_region(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	switch (call) {
	case IPC_CALL_mmap:
		return regs_arg(regs, 3) & (MAP_SHARED | MAP_FIXED) ? enter_map(t, regs) : 0;
	case IPC_CALL_shmget:
	case IPC_CALL_shmat:
	case IPC_CALL_shmctl_rmid:
	case IPC_CALL_memfd_create:
		return enter_segment(t, regs, call);
	}
	return enter_change(t, regs, call);
}

static __noinline int leave_memfd(struct task_state *t, __s64 result)
{
	struct file *file = result < 0 ? 0 : file_of(result);

	if (!file)
		return 0;
	t->object = memory_object(number_of(file));
	struct ipc_event e = event_of(t, result);
	e.arg0 = ipc_arg0(result, 0);
	return emit(&e, t->image);
}

static __noinline int leave_segment(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	_Bool makes = t->call == IPC_CALL_shmget;

	if (result < 0)
		return 0;
	if (makes)
		t->object = segment_object(t->ipcns, result);
	define_queue(t, makes, regs_arg(regs, 0));
	struct ipc_event e = event_of(t, result);
	e.arg0 = NO_DESCRIPTOR;
	return emit(&e, t->image);
}

/* shmat named no segment, as far as can be told. */
static __always_inline _Bool names_none(const struct task_state *t, __s64 result)
{
	return t->call == IPC_CALL_shmat &&
	       (result == -NR_EINVAL || result == -NR_EIDRM || result == -NR_ENOSYS);
}

/* What a call that went well mapped. */
static __always_inline void set_result(struct raw *r, const struct task_state *t, const struct pt_regs *regs,
				       __s64 result)
{
	__u64 size = regs_arg(regs, t->call == IPC_CALL_mremap ? 2 : 1);

	if (row_of(t->call)->verb != IPC_VERB_map || (t->call == IPC_CALL_mmap && !t->asked))
		return;
	if (t->call == IPC_CALL_shmat) {
		define_queue(t, 0, 0);
		size = 1;
	}
	if (t->call == IPC_CALL_shmat || (t->call == IPC_CALL_mmap && !t->object))
		set_mapped(r, result);
	extend(process_state(), result, r->end ?: result + size);
}

/* A call that changed mappings ends. */
static __noinline int leave_change(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	if (names_none(t, result))
		return 0;
	if (result < 0 && t->call != IPC_CALL_shmat && t->call != IPC_CALL_shmdt)
		tell_seen(t, regs_arg(regs, 0), regs_arg(regs, 1));
	if (result < 0 && t->call == IPC_CALL_mremap && regs_arg(regs, 3) & MREMAP_FIXED)
		tell_seen(t, regs_arg(regs, 4), regs_arg(regs, 2));
	struct raw *r = raw_of(t, regs);
	if (!r)
		return 0;
	if (result >= 0)
		set_result(r, t, regs, result);
	r->shares = t->asked;
	r->event.result = result;
	r->event.duration = bpf_ktime_get_ns() - t->start;
	send_raw(r, t, bpf_get_current_task_btf(), RAW_END | t->call);
	return 0;
}

static __always_inline int leave_region(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	switch (t->call) {
	case IPC_CALL_memfd_create:
		return leave_memfd(t, result);
	case IPC_CALL_shmget:
	case IPC_CALL_shmctl_rmid:
		return leave_segment(t, regs, result);
	}
	return leave_change(t, regs, result);
}

/* What children shall not have; taken at its word. */
static __always_inline int enter_advice(struct task_state *t, const struct pt_regs *regs)
{
	__u32 advice = regs_arg(regs, 2);

	if ((advice != MADV_DONTFORK && advice != MADV_DOFORK) || !is_concerned(regs, IPC_CALL_none))
		return 0;
	struct raw *r = raw_of(t, regs);
	if (r)
		send_raw(r, t, bpf_get_current_task_btf(), RAW_ADVICE);
	return 0;
}

/* ---- processes ---- */

/* `c` is the child's state, `p` that of the thread that forked it. */
static __noinline int fork_regions(struct task_state *p, struct task_state *c, struct task_struct *child,
				   _Bool shares)
{
	const struct task_state *process = process_state();

	if (!process || !process->shared_end)
		return 0;
	c->shared_start = process->shared_start;
	c->shared_end = process->shared_end;
	struct raw *r = raw_get();
	if (!r)
		return 0;
	r->event.arg0 = NO_DESCRIPTOR;
	r->parent = p->image;
	r->shares = shares;
	send_raw(r, c, child, RAW_FORK);
	return 0;
}

/* A mapping of a process that runs already; `t`: the process's state. */
static __noinline int adopt_region(struct task_state *t, struct task_struct *task, struct vm_area_struct *vma)
{
	struct file *file = vma->vm_file;
	__u64 start = vma->vm_start, end = vma->vm_end;

	if (!(vma->vm_flags & VM_MAYSHARE_) || !file || !is_memory_file(PEEK(file, file, f_inode)))
		return 0;
	struct raw *r = raw_get();
	if (!r)
		return 0;
	r->start = start;
	r->end = end;
	r->offset = (__u64)vma->vm_pgoff * PAGE;
	r->protection = vma->vm_flags & (PROT_READ | PROT_WRITE | PROT_EXEC);
	set_file(r, file);
	r->ipcns = OF_TASK(task, nsproxy)->ipc_ns->ns.inum;
	if (ipc_object_mechanism(r->event.object) == IPC_MECH_sysv_shm)
		r->event.object = segment_object(r->ipcns, r->inode);
	r->event.arg0 = NO_DESCRIPTOR;
	extend(t, start, end);
	send_raw(r, t, task, RAW_ADOPT);
	return 0;
}

/* The process ends. */
static void end_regions(const struct task_state *t, const struct task_state *process,
			struct task_struct *task)
{
	struct raw *r = process->shared_end ? raw_get() : 0;

	if (r)
		send_raw(r, t, task, RAW_GONE);
}

#endif
