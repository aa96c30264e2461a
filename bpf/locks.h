/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Semaphores and locks in shared memory (--uprobes): a probe at the beginning of each of libc's functions and
 * one at its end. Counted as the shim counts them (preload/sync.c): endpoints and edges come from counters
 * here, events only from calls that waited, that is to say: went to the kernel to wait, or tried a spin lock
 * more than once.
 *
 * These programs may be interrupted by others on their processor: they use no memory of the processor's.
 */
#ifndef IPC_BPF_LOCKS_H
#define IPC_BPF_LOCKS_H

#include "futex.h"
#include "library.h"

enum {
	LOCK_OBJECTS_MAX = 1 << 16,
	LOCK_COUNTS_MAX = 1 << 17,
	LOCK_NAME_ROOM = 64,
	NR_EOWNERDEAD = 130,
	NR_ENOTRECOVERABLE = 131,
	NR_ETIMEDOUT = 110,
	NR_EPERM = 1,
	BARRIER_SERIAL = -1,
	O_CREAT_ = 0100,
};

__u32 sync_mode; /* enum arena_sync_mode; set by the loader when it likes */

/* Which object is at an address, as far as it is known. */
struct lock_at {
	__u64 address;
	__u32 image, mechanism;
};

struct lock_known {
	__u64 object; /* 0: not shared */
	__u32 epoch;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LOCK_OBJECTS_MAX);
	__type(key, struct lock_at);
	__type(value, struct lock_known);
} locks_at SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LOCK_OBJECTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct lock_slot);
} lock_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LOCK_COUNTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lock_count_key);
	__type(value, struct lock_count);
} lock_counts SEC(".maps");

/* ---- which object ---- */

static __always_inline __u32 lock_mechanism(__u32 call)
{
	if (call <= IPC_CALL_sem_post)
		return IPC_MECH_posix_sem;
	if (call <= IPC_CALL_pthread_mutex_unlock)
		return IPC_MECH_mutex;
	if (call <= IPC_CALL_pthread_rwlock_unlock)
		return IPC_MECH_rwlock;
	if (call <= IPC_CALL_pthread_cond_broadcast)
		return IPC_MECH_cond;
	return call == IPC_CALL_pthread_barrier_wait ? IPC_MECH_barrier : IPC_MECH_spin;
}

/* Whether processes may share it, by what libc keeps in it; if the program has not touched the page yet, and
 * of a spin lock, its memory has to say. */
static __always_inline _Bool may_be_shared(__u32 mechanism, __u64 address)
{
	if (mechanism == IPC_MECH_spin)
		return 1;
	__u32 at = mechanism == IPC_MECH_posix_sem ? SEM_SHARED_AT
		   : mechanism == IPC_MECH_mutex   ? MUTEX_SHARED_AT
		   : mechanism == IPC_MECH_rwlock  ? RWLOCK_SHARED_AT
		   : mechanism == IPC_MECH_cond	   ? COND_SHARED_AT
						   : BARRIER_SHARED_AT;
	__u32 bits = mechanism == IPC_MECH_mutex  ? MUTEX_SHARED_BIT
		     : mechanism == IPC_MECH_cond ? COND_SHARED_BIT
						  : 0xff;
	__u32 word;

	return bpf_probe_read_user(&word, sizeof(word), (void *)(address + at)) || word & bits;
}

/* Tells of the object, with the name that the program gave it, at `name`; 0: none. Returns whether there was
 * room. */
static __noinline int define_lock(struct inode *inode, __u64 object, __u64 offset, __u64 name)
{
	struct {
		struct ipc_def def;
		char text[LOCK_NAME_ROOM];
	} d = {};
	__u32 dev = PEEK(super_block, PEEK(inode, inode, i_sb), s_dev);
	long text = 0;

	d.def.call = IPC_DEF_OBJECT;
	d.def.object.object = object;
	d.def.object.inode = PEEK(inode, inode, i_ino);
	d.def.object.generation = offset;
	d.def.object.dev_major = dev >> MINOR_BITS;
	d.def.object.dev_minor = dev & ((1 << MINOR_BITS) - 1);
	if (name)
		text = bpf_probe_read_user_str(d.text, sizeof(d.text), (void *)name);
	return define(&d.def, text > 0 ? text & (LOCK_NAME_ROOM - 1) : 0);
}

/* The object at this address; 0: it is in memory that is not shared. */
static __noinline __u64 find_lock(__u32 image, __u32 mechanism, __u64 address, __u64 name)
{
	struct task_state *process = process_state();
	struct lock_at at = { .address = address, .image = image, .mechanism = mechanism };
	struct look l = { .at = address };
	__u8 one = 1;

	if (!process || !touches(process, address, 1))
		return 0;
	struct lock_known *known = bpf_map_lookup_elem(&locks_at, &at), new = { .epoch = process->epoch };
	if (known && known->epoch == new.epoch && !name)
		return known->object;
	bpf_loop(LOOKS_MAX, look_step, &l, 0);
	if (l.end && l.file && l.flags & VM_MAYSHARE_) {
		struct inode *inode = PEEK(file, l.file, f_inode);
		__u64 offset = l.offset + (address - l.start);
		new.object = ipc_object(mechanism, hash56(file_hash(inode), offset));
		if ((!bpf_map_update_elem(&defined, &new.object, &one, BPF_NOEXIST) || name) &&
		    !define_lock(inode, new.object, offset, name)) {
			bpf_map_delete_elem(&defined, &new.object); /* told when it is found again */
			return new.object;
		}
	}
	bpf_map_update_elem(&locks_at, &at, &new, BPF_ANY);
	return new.object;
}

static __always_inline struct lock_slot *slot_of(__u64 object)
{
	struct lock_slot new = {}, *slot = bpf_map_lookup_elem(&lock_slots, &object);

	if (slot)
		return slot;
	bpf_map_update_elem(&lock_slots, &object, &new, BPF_NOEXIST);
	return bpf_map_lookup_elem(&lock_slots, &object);
}

/* ---- counting ---- */

/* Not counted: the endpoint is, as one whose events were dropped. */
static __always_inline void count_uncounted(__u32 image, __u64 object, _Bool sends)
{
	struct ipc_event e = { .object = object, .result = 1 }; /* it did something */

	e.call = sends ? IPC_CALL_sem_post : IPC_CALL_sem_wait;
	count_total(&e, image, bpf_ktime_get_ns(), 1);
}

static __noinline int count_lock(__u32 image, __u64 object, __u32 from, _Bool sends)
{
	struct lock_count_key key = { .object = object, .image = image, .from = from };
	struct lock_count new = {}, *count = bpf_map_lookup_elem(&lock_counts, &key);

	if (!count) {
		new.first = bpf_ktime_get_ns();
		bpf_map_update_elem(&lock_counts, &key, &new, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&lock_counts, &key);
	}
	if (!count)
		count_uncounted(image, object, sends);
	else if (sends)
		__sync_fetch_and_add(&count->sends, 1);
	else
		__sync_fetch_and_add(&count->receives, 1);
	return 0;
}

static __always_inline _Bool is_lock(__u32 mechanism)
{
	return mechanism == IPC_MECH_mutex || mechanism == IPC_MECH_rwlock || mechanism == IPC_MECH_spin;
}

/* Of a read-write lock: with others. */
static __always_inline _Bool shares(__u32 call)
{
	return call >= IPC_CALL_pthread_rwlock_rdlock && call <= IPC_CALL_pthread_rwlock_clockrdlock;
}

/* Counts what the call has just received. Returns who ended the wait, if it waited. */
static __noinline __u32 receive_lock(const struct task_state *t, __u64 object, __u32 call)
{
	struct lock_slot *slot = slot_of(object);
	__u32 mechanism = lock_mechanism(call), from = slot ? slot->holder : 0, waker = from;

	if (slot && is_lock(mechanism) && !shares(call)) {
		slot->holder = t->image;
		slot->held = t->thread;
		if (mechanism == IPC_MECH_rwlock)
			waker = slot->releaser;
	}
	count_lock(t->image, object, from, 0);
	return waker;
}

/* ---- events ---- */

static __always_inline int tell_lock(const struct task_state *t, const struct frame *f, __s64 result,
				     __u64 value, __u16 flags)
{
	struct ipc_event e = { .start = f->start, .object = f->object, .result = result, .arg1 = value };

	e.arg0 = ipc_arg0(NO_DESCRIPTOR, 0);
	e.thread = t->thread;
	e.call = f->call;
	e.flags = flags;
	return emit(&e, t->image);
}

/* ---- a function begins ---- */

/* Before it is done: who gets it must know who gave it. */
static __always_inline void give_lock(const struct task_state *t, struct frame *f)
{
	struct lock_slot *slot = slot_of(f->object);
	__u32 mechanism = lock_mechanism(f->call);

	if (!slot)
		return;
	if (mechanism == IPC_MECH_rwlock)
		slot->releaser = t->image;
	else if (!is_lock(mechanism))
		slot->holder = t->image;
	if (slot->held == t->thread) {
		f->waited = slot->waited;
		slot->held = slot->waited = 0;
	}
}

/* The wait releases the mutex. */
static __always_inline void release_mutex(const struct task_state *t, struct frame *f, __u64 address)
{
	if (!may_be_shared(IPC_MECH_mutex, address))
		return;
	f->mutex = find_lock(t->image, IPC_MECH_mutex, address, 0);
	if (!f->mutex)
		return;
	struct lock_slot *slot = slot_of(f->mutex);
	if (slot)
		slot->held = slot->waited = 0;
	count_lock(t->image, f->mutex, t->image, 1);
}

/* Everybody takes a number. */
static __always_inline void arrive(const struct task_state *t, struct frame *f, __u64 address)
{
	struct lock_slot *slot = slot_of(f->object);
	__u32 n = 0;

	if (!slot)
		return;
	if (!bpf_probe_read_user(&n, sizeof(n), (void *)(address + BARRIER_COUNT_AT)))
		slot->members = n;
	n = slot->members;
	if (!n)
		return;
	__u32 number = __sync_fetch_and_add(&slot->arrivals, 1), round = number / n & 1;
	f->value = round;
	f->made = number % n == n - 1;
	if (f->made)
		slot->last[round] = t->image;
}

static __always_inline _Bool waits_for_condition(__u32 call)
{
	return call >= IPC_CALL_pthread_cond_wait && call <= IPC_CALL_pthread_cond_clockwait;
}

/* The frame whose return address stands there; NULL: there is none. */
static __always_inline struct frame *frame_at(struct task_struct *task, __u64 stack)
{
	struct frames *f = bpf_task_storage_get(&library_calls, task, 0, 0);

	for (int i = 0; f && i < FRAMES_MAX; i++)
		if (f->frame[i].stack == stack)
			return &f->frame[i];
	return 0;
}

/* A spin lock's function has two peculiarities: that which acquires comes here each time it tries, and
 * pthread_spin_init is the same code as the release. Returns whether the call is to be left alone. */
static __always_inline _Bool is_no_beginning(__u32 call, __u64 object, __u64 stack)
{
	if (call == IPC_CALL_pthread_spin_lock) {
		struct frame *f = frame_at(bpf_get_current_task_btf(), stack);
		if (f)
			f->waited = 1;
		return f;
	}
	if (call != IPC_CALL_pthread_spin_unlock)
		return 0;
	struct lock_slot *slot = slot_of(object);
	return slot && !slot->held;
}

/* A place for the call; those of calls that were left by a jump are free. NULL: there are too many. */
static __always_inline struct frame *push_frame(__u64 stack)
{
	struct frames *f = bpf_task_storage_get(&library_calls, bpf_get_current_task_btf(), 0,
						BPF_LOCAL_STORAGE_GET_F_CREATE);
	int at = 0;

	if (!f)
		return 0;
	for (int i = 0; i < FRAMES_MAX; i++) {
		if (f->frame[i].stack > stack)
			at = i + 1;
		else
			f->frame[i].stack = 0;
	}
	return at < FRAMES_MAX ? &f->frame[at] : 0;
}

static __always_inline int library_begins(const struct pt_regs *regs, __u64 cookie)
{
	struct task_state *t = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);
	__u32 call = cookie & LIBRARY_CALL, mechanism = lock_mechanism(call);
	_Bool named = call == IPC_CALL_sem_open;
	__u64 address = regs_parameter(regs, 0), object = 0;

	if (!t || !t->image)
		return 0;
	if (call == IPC_CALL_sem_init
		    ? !regs_parameter(regs, 1)
		    : !named && !(cookie & LIBRARY_BARRIER_INIT) && !may_be_shared(mechanism, address))
		return 0;
	if (!named && !(object = find_lock(t->image, mechanism, address, 0)))
		return 0;
	if (is_no_beginning(call, object, regs->sp))
		return 0;
	struct frame *f = push_frame(regs->sp);
	if (!f)
		return 0;
	*f = (struct frame){ .start = bpf_ktime_get_ns(), .object = object, .call = call };
	if (call == IPC_CALL_sem_init) {
		f->value = (__u32)regs_parameter(regs, 2);
	} else if (named) {
		f->mutex = address;
		f->made = regs_parameter(regs, 1) & O_CREAT_ ? 1 : 0;
		f->value = (__u32)regs_parameter(regs, 3);
	} else if (cookie & LIBRARY_BARRIER_INIT) {
		struct lock_slot *slot = slot_of(object);
		if (slot) {
			slot->arrivals = 0;
			slot->members = regs_parameter(regs, 2);
		}
		return 0;
	} else if (call == IPC_CALL_pthread_barrier_wait) {
		arrive(t, f, address);
	} else if (waits_for_condition(call)) {
		release_mutex(t, f, regs_parameter(regs, 1));
	} else if (row_of(call)->verb == IPC_VERB_send) {
		give_lock(t, f);
	}
	f->stack = regs->sp;
	return 0;
}

/* ---- it ends ---- */

/* sem_* leave it where only the program looks. */
static __always_inline __s64 error_of_lock(__u32 call, __s32 result)
{
	if (lock_mechanism(call) != IPC_MECH_posix_sem || !result)
		return -(__s64)result;
	return call == IPC_CALL_sem_trywait					  ? -NR_EAGAIN
	       : call == IPC_CALL_sem_timedwait || call == IPC_CALL_sem_clockwait ? -NR_ETIMEDOUT
	       : call == IPC_CALL_sem_wait					  ? -NR_EINTR
										  : -NR_EINVAL;
}

static __always_inline int tell_made(const struct task_state *t, struct frame *f)
{
	struct lock_slot *slot = f->made && f->value ? slot_of(f->object) : 0;
	struct ipc_event e = { .start = f->start, .object = f->object };

	if (slot)
		slot->holder = t->image;
	e.arg0 = ipc_arg0(NO_DESCRIPTOR, 0);
	e.arg1 = f->made ? f->value : 0;
	e.tag = f->made;
	e.thread = t->thread;
	e.call = f->call;
	return emit(&e, t->image);
}

static __always_inline int end_sem_open(const struct task_state *t, struct frame *f, __u64 address)
{
	__u8 one = 1;

	if (!address)
		return 0;
	f->object = find_lock(t->image, IPC_MECH_posix_sem, address, f->mutex);
	if (!f->object)
		return 0;
	/* Who is the first to open one that O_CREAT may make is taken for who made it. */
	__u64 key = ~f->object;
	f->made = f->made && !bpf_map_update_elem(&defined, &key, &one, BPF_NOEXIST);
	return tell_made(t, f);
}

static __always_inline int end_barrier(const struct task_state *t, struct frame *f, __s32 result)
{
	struct lock_slot *slot = slot_of(f->object);
	_Bool ended = result == BARRIER_SERIAL;
	__u32 waker = slot ? slot->last[f->value & 1] : 0;

	if (slot && ended != f->made)
		slot->doubtful = 1;
	count_lock(t->image, f->object, ended ? t->image : waker, ended);
	if (ended && !(sync_mode & 1))
		return 0;
	return tell_lock(t, f, 0, ended ? 0 : waker, ended ? IPC_F_SECOND : 0);
}

static __always_inline int end_condition(const struct task_state *t, struct frame *f, __s32 result)
{
	if (f->mutex)
		receive_lock(t, f->mutex, IPC_CALL_pthread_mutex_lock);
	return tell_lock(t, f, -(__s64)result, result ? 0 : receive_lock(t, f->object, f->call), 0);
}

static __always_inline int end_acquire(const struct task_state *t, struct frame *f, __s32 result)
{
	_Bool dead = lock_mechanism(f->call) == IPC_MECH_mutex && result == NR_EOWNERDEAD;
	__u32 waker = !result || dead ? receive_lock(t, f->object, f->call) : 0;
	struct lock_slot *slot = f->waited ? slot_of(f->object) : 0;

	if (slot && slot->held == t->thread)
		slot->waited = 1;
	if (!f->waited && !dead && !(sync_mode & 1))
		return 0;
	return tell_lock(t, f, error_of_lock(f->call, result), f->waited ? waker : 0, 0);
}

static __always_inline int library_ends(const struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);
	__u64 stack = regs_stack_of_call(regs);
	struct frame *f = frame_at(task, stack);
	__s32 result = regs_result(regs);

	if (!t || !t->image || !f)
		return 0;
	f->stack = 0;
	if (f->call == IPC_CALL_sem_open)
		return end_sem_open(t, f, regs_result(regs));
	if (!f->object)
		return 0;
	if (f->call == IPC_CALL_sem_init) {
		f->made = 1;
		return result ? 0 : tell_made(t, f);
	}
	if (f->call == IPC_CALL_sem_close)
		return tell_lock(t, f, error_of_lock(f->call, result), 0, 0);
	if (f->call == IPC_CALL_pthread_barrier_wait)
		return end_barrier(t, f, result);
	if (waits_for_condition(f->call))
		return end_condition(t, f, result);
	if (row_of(f->call)->verb == IPC_VERB_recv)
		return end_acquire(t, f, result);
	if (!result)
		count_lock(t->image, f->object, t->image, 1);
	return f->waited || sync_mode & 1 ? tell_lock(t, f, error_of_lock(f->call, result), 0, 0) : 0;
}

#endif
