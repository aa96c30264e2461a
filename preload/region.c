// SPDX-License-Identifier: BSD-2-Clause
/*
 * The shared mappings of the process, in a table that readers and writers use without a lock.
 *
 * An entry does not change while it is LIVE, but for its protection: what is left of a mapping that a call
 * cuts is entries of their own, there before the old one goes. What a call is about to unmap is GOING before
 * the call: another thread may be given the same addresses as soon as the kernel has done it. `word` holds
 * the state and, above it, a number that changes with each use, so that a reader knows that it read one
 * mapping.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/sysmacros.h>

#include "hooks.h"
#include "maps.h"
#include "queue.h"
#include "region.h"
#include "sample.h"
#include "text.h"
#include "transient.h"

enum {
	REGIONS = 1024,
	PAGE_SHIFT = 12,
	RETRIES = 8,
	STATE = 7,
	USE = 8, /* step of the number above the state */
};
enum state { FREE, TAKEN, LIVE, SPLITTING, GOING };

struct entry {
	_Atomic uint32_t word;
	const struct pending *owner; /* while GOING: the call; only its thread looks */
	struct region region;
};

uint32_t region_epoch;
static struct entry table[REGIONS];
static _Atomic uint32_t used;				/* entries beyond were never taken */
static _Atomic uintptr_t lowest = UINTPTR_MAX, highest; /* of all that were ever shared */

static uintptr_t page_up(uintptr_t at)
{
	const uintptr_t rest = ((uintptr_t)1 << PAGE_SHIFT) - 1;
	return (at + rest) & ~rest;
}

static void change(void)
{
	__atomic_fetch_add(&region_epoch, 1, __ATOMIC_ACQ_REL);
}

/* The entry's word if it may be used, and what it holds; else 0. */
static uint32_t read_entry(const struct entry *e, struct region *out)
{
	uint32_t word = atomic_load_explicit(&e->word, memory_order_acquire);
	if ((word & STATE) != LIVE && (word & STATE) != SPLITTING)
		return 0;
	*out = e->region;
	atomic_thread_fence(memory_order_acquire);
	uint32_t after = atomic_load_explicit(&e->word, memory_order_relaxed);
	return word / USE == after / USE ? word : 0;
}

/* False: someone else has changed it meanwhile. */
static bool set_state(struct entry *e, uint32_t word, enum state state)
{
	uint32_t next = (word & ~(uint32_t)STATE) | state;
	if (state == FREE)
		next += USE;
	return atomic_compare_exchange_strong(&e->word, &word, next);
}

static void raise_to(_Atomic uintptr_t *limit, uintptr_t value)
{
	uintptr_t old = atomic_load(limit);
	while (old < value && !atomic_compare_exchange_weak(limit, &old, value))
		;
}

static void lower_to(_Atomic uintptr_t *limit, uintptr_t value)
{
	uintptr_t old = atomic_load(limit);
	while (old > value && !atomic_compare_exchange_weak(limit, &old, value))
		;
}

static void add(const struct region *r)
{
	for (uint32_t i = 0; i < REGIONS; i++) {
		struct entry *e = &table[i];
		uint32_t word = atomic_load(&e->word), count = atomic_load(&used);
		if ((word & STATE) != FREE || !set_state(e, word, TAKEN))
			continue;
		while (count <= i && !atomic_compare_exchange_weak(&used, &count, i + 1))
			;
		e->region = *r;
		lower_to(&lowest, r->start);
		raise_to(&highest, r->end);
		atomic_store_explicit(&e->word, (word & ~(uint32_t)STATE) | LIVE, memory_order_release);
		change();
		return;
	}
	shim_lost(IPC_REASON_many_maps);
}

static bool look(uintptr_t address, struct region *out)
{
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++)
		if (read_entry(&table[i], out) && address >= out->start && address < out->end)
			return true;
	return false;
}

bool region_find(struct shim_thread *t, uintptr_t address, struct region *out)
{
	(void)t;
	for (int i = 0; i < RETRIES; i++) {
		if (address < atomic_load(&lowest) || address >= atomic_load(&highest))
			return false;
		uint32_t epoch = __atomic_load_n(&region_epoch, __ATOMIC_ACQUIRE);
		if (look(address, out))
			return true;
		if (epoch == __atomic_load_n(&region_epoch, __ATOMIC_ACQUIRE))
			break;
	}
	return false;
}

uint32_t region_count(void)
{
	return atomic_load(&used);
}

bool region_get(uint32_t at, struct region *out)
{
	return (read_entry(&table[at], out) & STATE) == LIVE;
}

void region_set_sampling(uint32_t at, enum region_sampling sampling)
{
	__atomic_store_n(&table[at].region.sampling, (uint8_t)sampling, __ATOMIC_RELAXED);
}

static bool overlaps(const struct region *r, uintptr_t start, uintptr_t end)
{
	return r->start < end && r->end > start;
}

static bool touches(uintptr_t start, uintptr_t size)
{
	struct region r;
	uintptr_t end = start + size;
	if (start >= atomic_load_explicit(&highest, memory_order_relaxed) ||
	    end <= atomic_load_explicit(&lowest, memory_order_relaxed))
		return false;
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++)
		if (read_entry(&table[i], &r) && overlaps(&r, start, end))
			return true;
	return false;
}

static bool replaces(long flags)
{
	return flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE);
}

bool region_concerned(uint16_t call, const struct hook_registers *r)
{
	uintptr_t start = (uintptr_t)r->arg[0], size = (uintptr_t)r->arg[1];
	switch (call) {
	case IPC_CALL_mmap:
		return r->arg[3] & MAP_SHARED || (replaces(r->arg[3]) && touches(start, size));
	case IPC_CALL_mremap:
		return touches(start, size ? size : 1) ||
		       (r->arg[3] & MREMAP_FIXED && touches((uintptr_t)r->arg[4], (uintptr_t)r->arg[2]));
	case IPC_CALL_munmap:
	case IPC_CALL_mprotect:
	case IPC_CALL_pkey_mprotect:
	case IPC_CALL_msync:
		return touches(start, size);
	default:
		return true;
	}
}

/* Makes `at` the border of two entries, where it is within one. */
static void split(uintptr_t at)
{
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++) {
		struct region left, right;
		uint32_t word = read_entry(&table[i], &left);
		if (!word || at <= left.start || at >= left.end || !set_state(&table[i], word, SPLITTING))
			continue;
		right = left;
		left.end = right.start = at;
		right.offset += at - left.start;
		add(&left);
		add(&right);
		set_state(&table[i], (word & ~(uint32_t)STATE) | SPLITTING, FREE);
		change();
		return;
	}
}

/* The call is about to unmap what lies here. */
static void go(const struct pending *p, struct entry *e, uint32_t word)
{
	if (!set_state(e, word, GOING))
		return;
	e->owner = p;
	change();
}

static void go_range(const struct pending *p, uintptr_t start, uintptr_t size)
{
	struct region r;
	uintptr_t end = page_up(start + size);
	if (page_up(start) != start || end < start || !touches(start, size))
		return;
	split(start);
	split(end);
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++) {
		uint32_t word = read_entry(&table[i], &r);
		if (word && r.start >= start && r.end <= end)
			go(p, &table[i], word);
	}
}

/* All that is left of what shmat attached at `start`. */
static void go_attached(const struct pending *p, uintptr_t start)
{
	struct region r;
	uint64_t object = 0;
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++) {
		uint32_t word = read_entry(&table[i], &r);
		if (!word || ipc_object_mechanism(r.object) != IPC_MECH_sysv_shm ||
		    r.start - r.offset != start || (object && object != r.object))
			continue;
		object = r.object;
		go(p, &table[i], word);
	}
}

static bool is_going(const struct entry *e, const struct pending *p)
{
	return (atomic_load_explicit(&e->word, memory_order_acquire) & STATE) == GOING && e->owner == p;
}

static struct ipc_event region_event(struct shim_thread *t, const struct pending *p, const struct region *r,
				     long result, uint16_t flags)
{
	struct ipc_event e = hook_event(t, p, result < 0 ? result : 0);
	e.object = r->object;
	e.arg0 = ipc_arg0((uint32_t)p->arg0, r->protection);
	e.arg1 = r->end - r->start;
	e.tag = (uint32_t)(r->offset >> PAGE_SHIFT);
	e.flags = flags;
	return e;
}

static void tell(struct shim_thread *t, const struct pending *p, const struct region *r, long result,
		 uint16_t flags)
{
	struct ipc_event e = region_event(t, p, r, result, flags);
	shim_emit(t, &e);
}

static bool is_same_file(const struct region *r, const struct mapped *m)
{
	bool sysv = ipc_object_mechanism(r->object) == IPC_MECH_sysv_shm;
	return m->shared && m->inode == (sysv ? (uint32_t)r->inode : r->inode) &&
	       m->dev_major == r->dev_major && m->dev_minor == r->dev_minor;
}

bool region_is_there(const struct region *r, long maps)
{
	struct mapped m;
	for (uintptr_t at = r->start; at < r->end; at = (uintptr_t)m.end)
		if (!maps_ask(maps, at, &m) || m.start > at || !is_same_file(r, &m) ||
		    at - m.start + m.offset != at - r->start + r->offset)
			return false;
	return true;
}

/* Makes `r` what lies between `start` and `end` of what the kernel says is mapped. */
static void clip(struct region *r, const struct mapped *m, uintptr_t start, uintptr_t end)
{
	r->start = m->start > start ? m->start : start;
	r->end = m->end < end ? m->end : end;
	r->offset = m->offset + (r->start - m->start);
	r->protection = m->protection;
}

/* Puts what the kernel says is there of a mapping in the entry's place. Where it cannot be asked the mapping
 * is taken for there. Returns whether all of it is. */
static bool renew(struct entry *e, long maps)
{
	struct region r = e->region, left = r;
	struct mapped m;
	uint32_t word = atomic_load(&e->word);
	bool known = maps_ask(maps, r.start, &m), whole = !known && maps < 0;
	if (known && is_same_file(&r, &m)) {
		clip(&left, &m, r.start, r.end);
		whole = left.start == r.start && left.end == r.end && left.offset == r.offset;
	}
	e->owner = NULL;
	if (whole) {
		set_state(e, word, LIVE);
		return true;
	}
	uintptr_t reached = r.start; /* the kernel may have all of it in parts (MADV_DONTFORK) */
	for (; known && m.start < r.end; known = maps_ask(maps, m.end, &m)) {
		clip(&left, &m, r.start, r.end);
		if (!is_same_file(&r, &m))
			continue;
		add(&left);
		if (left.start == reached && left.offset - r.offset == left.start - r.start)
			reached = left.end;
	}
	set_state(e, word, FREE);
	return reached == r.end;
}

/* Of a call that failed some may have been done. */
static bool is_left(struct entry *e)
{
	uint64_t mask;
	long maps = maps_open(&mask);
	bool whole = renew(e, maps);
	maps_close(maps, mask);
	return whole;
}

/* What was going has gone, or is there still where the call failed. `flags`: of the first event. */
static void finish(struct shim_thread *t, const struct pending *p, long result, uint16_t flags)
{
	bool takes_only = ipc_calls[p->call].verb == IPC_VERB_unmap;
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++) {
		struct entry *e = &table[i];
		if (!is_going(e, p))
			continue;
		struct region r = e->region;
		bool left = result < 0 && is_left(e);
		if (result >= 0) {
			e->owner = NULL;
			set_state(e, atomic_load(&e->word), FREE);
		}
		change();
		if (left && (p->call == IPC_CALL_mmap || p->late))
			continue;
		tell(t, p, &r, left ? result : 0, flags | (takes_only || left ? 0 : IPC_F_SECOND));
		flags = IPC_F_PART;
	}
}

/* A mapping that is there already tells the object: its inode cannot be another's meanwhile. */
static bool is_known(struct region *r)
{
	struct region other;
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++)
		if (read_entry(&table[i], &other) && other.inode == r->inode &&
		    other.dev_major == r->dev_major && other.dev_minor == r->dev_minor) {
			r->object = other.object;
			return true;
		}
	return false;
}

static enum ipc_mechanism mechanism_of(const char *path, size_t length)
{
	char text[sizeof("/dev/shm/")];
	*text_put(text, text + (length < sizeof(text) - 1 ? length : sizeof(text) - 1), path) = '\0';
	if (text_after(text, "/dev/shm/"))
		return IPC_MECH_posix_shm;
	return text_after(text, "/memfd:") ? IPC_MECH_memfd : IPC_MECH_mmap;
}

static void identify_file(struct shim_thread *t, long fd, const struct stat *st, struct region *r)
{
	char path[SHIM_PATH];
	struct ipc_def_object file = descriptor_file(fd, st);
	r->dev_major = file.dev_major;
	r->dev_minor = file.dev_minor;
	r->inode = file.inode;
	if (is_known(r))
		return;
	size_t length = descriptor_path(fd, path);
	const size_t added = sizeof(" (deleted)") - 1;
	enum ipc_mechanism mechanism = mechanism_of(path, length);
	if (!st->st_nlink && length > added)
		length -= added;
	r->object = descriptor_define(t, mechanism, &file, path, length);
}

static bool ask(uintptr_t address, struct mapped *m)
{
	uint64_t mask;
	long maps = maps_open(&mask);
	bool found = maps_ask(maps, address, m);
	maps_close(maps, mask);
	if (!found)
		shim_lost(IPC_REASON_no_identity);
	return found;
}

/* Memory whose file only the kernel knows. */
static bool identify_anonymous(struct shim_thread *t, struct region *r)
{
	static const char name[] = "anonymous";
	struct mapped m;
	if (!ask(r->start, &m))
		return false;
	const struct ipc_def_object file = { .inode = m.inode,
					     .dev_major = m.dev_major,
					     .dev_minor = m.dev_minor };
	r->end = m.end;
	r->inode = m.inode;
	r->dev_major = m.dev_major;
	r->dev_minor = m.dev_minor;
	r->object = descriptor_define(t, IPC_MECH_mmap, &file, name, sizeof(name) - 1);
	return true;
}

/* Devices are no memory that processes share by their file: each may give another to each. But /dev/zero
 * gives anonymous memory. */
static bool identify(struct shim_thread *t, const struct pending *p, long result, struct region *r)
{
	struct stat st;
	long fd = (int)p->arg[4];
	bool anonymous = p->arg[3] & MAP_ANONYMOUS;
	if (!anonymous) {
		if (raw_syscall(__NR_fstat, fd, &st))
			return false;
		anonymous = S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5);
	}
	r->sampling = REGION_NEW;
	if (anonymous)
		return result >= 0 && identify_anonymous(t, r);
	if (!S_ISREG(st.st_mode))
		return false;
	if (result >= 0 && !sample_is_memory(t, fd))
		r->sampling = REGION_UNSAMPLED;
	r->offset = (uint64_t)p->arg[5];
	identify_file(t, fd, &st, r);
	return true;
}

static void return_mmap(struct shim_thread *t, const struct pending *p, long result)
{
	uintptr_t start = result < 0 ? 0 : (uintptr_t)result;
	struct region r = { .start = start,
			    .end = start + page_up((uintptr_t)p->arg[1]),
			    .protection = (uint8_t)p->arg[2] };
	bool shared = p->arg[3] & MAP_SHARED && identify(t, p, result, &r);
	if (shared)
		tell(t, p, &r, result, 0);
	finish(t, p, result, shared ? IPC_F_PART : 0);
	if (shared && result >= 0)
		add(&r);
}

static void return_attach(struct shim_thread *t, const struct pending *p, long result)
{
	struct region r = { .object = p->object };
	struct mapped m;
	if (result == -EINVAL || result == -EIDRM || result == -ENOSYS ||
	    (result >= 0 && !ask((uintptr_t)result, &m)))
		return;
	queue_tell(t, p->object);
	if (result < 0) {
		tell(t, p, &r, result, 0);
		return;
	}
	r.start = (uintptr_t)m.start;
	r.end = (uintptr_t)m.end;
	r.protection = m.protection;
	r.sampling = REGION_NEW;
	r.dev_major = m.dev_major;
	r.dev_minor = m.dev_minor;
	r.inode = (uint64_t)queue_namespace(t) << 32 | (uint32_t)p->arg[0];
	go_range(p, r.start, r.end - r.start); /* SHM_REMAP: how much was not known before */
	tell(t, p, &r, 0, 0);
	finish(t, p, 0, IPC_F_PART);
	add(&r);
}

/* Whose memory it is that the kernel says is mapped. */
static bool find_file(const struct mapped *m, struct region *r)
{
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++) {
		*r = table[i].region;
		if ((atomic_load(&table[i].word) & STATE) >= LIVE && is_same_file(r, m))
			return true;
	}
	return false;
}

/* Adds and tells what the kernel says is mapped here. */
static uint16_t learn(struct shim_thread *t, const struct pending *p, uintptr_t start, uintptr_t size,
		      uint16_t flags)
{
	uint64_t mask;
	struct mapped m;
	struct region r;
	uintptr_t end = page_up(start + size);
	long maps = maps_open(&mask);
	for (uintptr_t at = start; maps_ask(maps, at, &m) && m.start < end; at = m.end) {
		if (!find_file(&m, &r))
			continue;
		clip(&r, &m, start, end);
		r.sampling = r.sampling ? REGION_NEW : REGION_UNSAMPLED;
		add(&r);
		tell(t, p, &r, 0, flags);
		flags = IPC_F_PART;
	}
	maps_close(maps, mask);
	return flags;
}

/* May have moved several mappings, or have made a second one of the same memory. */
static void return_mremap(struct shim_thread *t, const struct pending *p, long result)
{
	uint16_t flags = 0;
	if (result >= 0)
		flags = learn(t, p, (uintptr_t)result, (uintptr_t)p->arg[2], 0);
	if (result >= 0 && p->arg[3] & MREMAP_DONTUNMAP)
		flags = learn(t, p, (uintptr_t)p->arg[0], (uintptr_t)p->arg[1], flags);
	finish(t, p, result, flags);
}

/* Of a call that failed, some may have been done. */
static void return_mprotect(struct shim_thread *t, const struct pending *p, long result)
{
	uintptr_t start = (uintptr_t)p->arg[0], end = page_up(start + (uintptr_t)p->arg[1]);
	uint8_t protection = (uint8_t)p->arg[2];
	uint16_t part = 0;
	split(start);
	split(end);
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++) {
		struct region r;
		struct mapped m;
		if (!read_entry(&table[i], &r) || r.start < start || r.end > end)
			continue;
		long done = result && ask(r.start, &m) && m.protection == protection ? 0 : result;
		struct ipc_event e = region_event(t, p, &r, done, part);
		e.arg0 = ipc_arg0((uint32_t)p->arg0, ipc_protection(protection, r.protection));
		if (!done)
			__atomic_store_n(&table[i].region.protection, protection, __ATOMIC_RELAXED);
		shim_emit(t, &e);
		part = IPC_F_PART;
	}
}

static void return_msync(struct shim_thread *t, const struct pending *p, long result)
{
	struct region r;
	uintptr_t start = (uintptr_t)p->arg[0], end = page_up(start + (uintptr_t)p->arg[1]);
	uint16_t part = 0;
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++) {
		if (!read_entry(&table[i], &r) || !overlaps(&r, start, end))
			continue;
		r.offset += start > r.start ? start - r.start : 0;
		r.start = start > r.start ? start : r.start;
		r.end = end < r.end ? end : r.end;
		tell(t, p, &r, result, part);
		part = IPC_F_PART;
	}
}

static void return_memfd(struct shim_thread *t, const struct pending *p, long fd)
{
	struct stat st;
	struct region r = { 0 };
	if (fd < 0 || raw_syscall(__NR_fstat, fd, &st))
		return;
	identify_file(t, fd, &st, &r);
	struct ipc_event e = hook_event(t, p, fd);
	e.object = r.object;
	e.arg0 = ipc_arg0((uint32_t)fd, 0);
	shim_emit(t, &e);
}

void hook_enter_region(struct shim_thread *t, uint16_t call, const struct hook_registers *r,
		       struct pending *p)
{
	uintptr_t start = (uintptr_t)r->arg[0], size = (uintptr_t)r->arg[1];
	p->arg0 = ipc_arg0((uint32_t)-1, 0);
	sample_now(t); /* it may be about to go */
	switch (call) {
	case IPC_CALL_shmat:
	case IPC_CALL_shmctl_rmid:
		p->object = queue_object(t, IPC_MECH_sysv_shm, (int)r->arg[0]);
		break;
	case IPC_CALL_shmdt:
		go_attached(p, start);
		break;
	case IPC_CALL_mmap:
		p->arg0 = ipc_arg0(r->arg[3] & MAP_ANONYMOUS ? (uint32_t)-1 : (uint32_t)r->arg[4], 0);
		if (replaces(r->arg[3]))
			go_range(p, start, size);
		break;
	case IPC_CALL_munmap:
		go_range(p, start, size);
		break;
	case IPC_CALL_mremap:
		if (size)
			go_range(p, start, size);
		if (r->arg[3] & MREMAP_FIXED)
			go_range(p, (uintptr_t)r->arg[4], (uintptr_t)r->arg[2]);
		break;
	}
}

void hook_leave_region(struct shim_thread *t, const struct pending *p, long result)
{
	switch (p->call) {
	case IPC_CALL_shmget:
	case IPC_CALL_shmctl_rmid:
		hook_leave_queue(t, p, result);
		break;
	case IPC_CALL_shmat:
		return_attach(t, p, result);
		break;
	case IPC_CALL_mmap:
		return_mmap(t, p, result);
		break;
	case IPC_CALL_mremap:
		return_mremap(t, p, result);
		break;
	case IPC_CALL_mprotect:
	case IPC_CALL_pkey_mprotect:
		return_mprotect(t, p, result);
		break;
	case IPC_CALL_msync:
		return_msync(t, p, result);
		break;
	case IPC_CALL_memfd_create:
		return_memfd(t, p, result);
		break;
	default:
		finish(t, p, result, 0);
		break;
	}
	sample_arm(t);
}

void region_mapped(struct shim_thread *t, const char *path, const void *address, uint64_t size)
{
	struct region known;
	uint64_t mask;
	uintptr_t start = (uintptr_t)address >> PAGE_SHIFT << PAGE_SHIFT;
	if (!recording() || region_find(t, start, &known))
		return;
	long fd = transient_file(path, &mask);
	const struct pending p = { .start = shim_now(),
				   .arg0 = ipc_arg0((uint32_t)-1, 0),
				   .arg = { 0, (long)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0 },
				   .call = IPC_CALL_mmap };
	if (fd >= 0)
		hook_leave_region(t, &p, (long)start);
	transient_close(fd, mask);
}

void region_may_go(struct shim_thread *t, const void *address, uint64_t size, struct pending *p)
{
	(void)t;
	p->start = shim_now();
	p->object = p->arg1 = 0;
	p->arg0 = ipc_arg0((uint32_t)-1, 0);
	p->call = IPC_CALL_munmap;
	p->late = true;
	go_range(p, (uintptr_t)address >> PAGE_SHIFT << PAGE_SHIFT, size);
}

/* As after a call that failed: the kernel is asked. */
void region_went(struct shim_thread *t, const struct pending *p)
{
	if (recording())
		finish(t, p, -EINVAL, 0);
}

/* Some of it may be kept from children (MADV_DONTFORK), or another thread of the parent may have been about
 * to change it: the kernel knows. */
static void tell_inherited(struct shim_thread *t)
{
	struct region r;
	const struct pending p = { .start = shim_now(), .arg0 = (uint32_t)-1, .call = IPC_CALL_map_inherit };
	for (uint32_t i = 0, n = atomic_load(&used); i < n; i++)
		if (read_entry(&table[i], &r))
			tell(t, &p, &r, 0, 0);
}

void region_inherit(struct shim_thread *t)
{
	uint64_t mask;
	uint32_t n = atomic_load(&used);
	if (!n)
		return;
	long maps = maps_open(&mask);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t word = atomic_load(&table[i].word);
		if ((word & STATE) == TAKEN)
			set_state(&table[i], word, FREE);
		else if ((word & STATE) != FREE)
			renew(&table[i], maps);
	}
	maps_close(maps, mask);
	change();
	tell_inherited(t);
}
