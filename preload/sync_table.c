// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is known of semaphores and locks, and where their calls are counted (sync.h, arena.h). Nothing here is
 * called while the program waits. What changes a thread's page runs with signals blocked: a handler may post
 * to a semaphore at any instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "signals.h"
#include "sync.h"
#include "text.h"

enum {
	PAGE = 4096,
	MEMORY = (sizeof(struct sync_thread) + PAGE - 1) / PAGE * PAGE, /* a thread's */
	PROBES = 64,
};

bool sync_private;
static struct arena_sync *counts; /* NULL: not mapped (yet) */
static bool objects_known;	  /* libc's look as we know them */

/* Adds one in one instruction: a handler may add to the same. */
static void count(uint64_t *counter)
{
	arch_local_inc64(counter);
}

/* --- objects and lines in the arena --- */

static uint64_t mixed(uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ b * 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
	return h ^ h >> 32;
}

static struct arena_sync_object *find_slot(uint64_t object)
{
	for (uint64_t i = 0, h = mixed(object, 0); i < PROBES; i++) {
		struct arena_sync_object *slot = &counts->object[(h + i) % ARENA_SYNC_OBJECTS];
		uint64_t found = atomic_load_explicit(&slot->object, memory_order_acquire);
		if (found == object ||
		    (!found &&
		     (atomic_compare_exchange_strong(&slot->object, &found, object) || found == object)))
			return slot;
	}
	return NULL;
}

static bool is_line(const struct arena_sync_line *l, uint32_t image, uint32_t slot, uint32_t from)
{
	return l->image == image && l->slot == slot && l->from == from;
}

/* The line is the thread's own from now on. */
static void own_line(struct sync_thread *s, struct arena_sync_line *l, uint32_t slot, uint32_t from)
{
	if (!l->image) {
		l->slot = slot;
		l->from = from;
		l->first = shim_now();
		atomic_store_explicit(&l->image, s->image, memory_order_release);
	}
	l->next = s->lines;
	s->lines = (uint32_t)(l - counts->line) + 1;
}

static bool take_line(struct sync_thread *s, struct arena_sync_line *l, uint32_t slot, uint32_t from)
{
	uint32_t nobody = 0;
	if (atomic_load_explicit(&l->owner, memory_order_relaxed) ||
	    (l->image && !is_line(l, s->image, slot, from)) ||
	    !atomic_compare_exchange_strong(&l->owner, &nobody, s->number))
		return false;
	if (!l->image || is_line(l, s->image, slot, from))
		return true;
	atomic_store_explicit(&l->owner, 0, memory_order_release); /* another was faster, and has left it */
	return false;
}

static struct arena_sync_line *probe(struct sync_thread *s, uint64_t h, uint32_t slot, uint32_t from)
{
	for (uint64_t i = 0; i < PROBES; i++) {
		struct arena_sync_line *l = &counts->line[(h + i) % ARENA_SYNC_LINES];
		if (l->owner == s->number && is_line(l, s->image, slot, from))
			return l;
	}
	for (uint64_t i = 0; i < PROBES; i++) {
		struct arena_sync_line *l = &counts->line[(h + i) % ARENA_SYNC_LINES];
		if (take_line(s, l, slot, from)) {
			own_line(s, l, slot, from);
			return l;
		}
	}
	return NULL;
}

/* The thread's counters of what it receives from one image, or NULL. All threads of a process look for a line
 * in the same places, so that they find what ended threads left; where too many do so, each in places of its
 * own. */
static struct arena_sync_line *find_line(struct sync_thread *s, const struct arena_sync_object *object,
					 uint32_t from)
{
	uint32_t slot = (uint32_t)(object - counts->object);
	uint64_t h = mixed((uint64_t)s->image << 32 | slot, from);
	if (!shim.ring.header->sync_lines)
		atomic_store_explicit(&shim.ring.header->sync_lines, 1, memory_order_relaxed);
	struct arena_sync_line *l = probe(s, h, slot, from);
	return l ? l : probe(s, mixed(h, s->number), slot, from);
}

/* --- a thread's page --- */

static struct sync_thread *make_page(void)
{
	long page = raw_syscall(__NR_mmap, NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
	if (page < 0 && page > -PAGE)
		return NULL;
	if (raw_syscall(__NR_madvise, page, MEMORY, MADV_WIPEONFORK)) {
		raw_syscall(__NR_munmap, page, MEMORY);
		return NULL;
	}
	return (struct sync_thread *)page;
}

/* The thread's page, ready to be used, or NULL: nothing is recorded now. */
static struct sync_thread *page_of(struct shim_thread *t)
{
	uint32_t number = shim_number(t); /* a fork child first makes itself known */
	if (!number || t->spawn_call)
		return NULL;
	if (!counts)
		counts = ring_map_sync(&shim.ring);
	if (!t->sync_page)
		t->sync_page = make_page();
	if (!counts || !t->sync_page)
		return NULL;
	t->sync_page->number = number;
	t->sync_page->error = &errno;
	t->sync_page->image = shim.ring.image;
	return t->sync = t->sync_page;
}

static uint64_t define(struct shim_thread *t, unsigned int mechanism, uintptr_t address,
		       const struct region *r, const char *name)
{
	struct ipc_def_object object = { .inode = (uint32_t)shim.ring.pid, .generation = address };
	if (r) {
		object.inode = r->inode;
		object.generation = r->offset + (address - r->start);
		object.dev_major = r->dev_major;
		object.dev_minor = r->dev_minor;
	}
	return descriptor_define_once(t, mechanism, &object, name, text_length(name));
}

static void fill(struct shim_thread *t, struct sync_thread *s, struct sync_entry *e, unsigned int mechanism,
		 uintptr_t address, const char *name)
{
	struct region r;
	uint32_t epoch = __atomic_load_n(&region_epoch, __ATOMIC_ACQUIRE);
	bool shared = region_find(t, address, &r);
	*e = (struct sync_entry){ .epoch = epoch, .flags = SYNC_IGNORED };
	if ((shared || sync_private) && shim_wants(mechanism)) {
		e->flags = shim.ring.header->sync & ARENA_SYNC_ALL ? SYNC_ALL : 0;
		e->flags |= s->waits == (const void *)address ? SYNC_AGAIN : 0;
		e->object = define(t, mechanism, address, shared ? &r : NULL, name);
		e->slot = find_slot(e->object);
		e->own = e->slot ? find_line(s, e->slot, s->image) : NULL;
		e->flags |= e->own ? 0 : SYNC_UNCOUNTED;
	}
	e->tag = sync_tag(mechanism, (const void *)address);
}

/* A call that nothing is known of: there is no memory for it. */
static void miss(struct shim_thread *t, uintptr_t address)
{
	struct region r;
	bool no_memory = recording() && objects_known && !t->spawn_call;
	if (no_memory && (sync_private || region_find(t, address, &r)))
		shim_lost(IPC_REASON_no_arena);
}

static struct sync_entry *find(unsigned int mechanism, const volatile void *address, const char *name)
{
	struct shim_thread *t = &shim_self;
	struct sync_thread *s = recording() && objects_known ? page_of(t) : NULL;
	if (!s) {
		miss(t, (uintptr_t)address);
		return NULL;
	}
	struct sync_entry *e = sync_known(mechanism, address);
	if (!e || (*name && !(e->flags & SYNC_IGNORED))) {
		uint64_t mask = signals_block();
		e = sync_place(s, sync_tag(mechanism, address));
		fill(t, s, e, mechanism, (uintptr_t)address, name);
		signals_restore(mask);
	}
	return e->flags & SYNC_IGNORED ? NULL : e;
}

struct sync_entry *sync_find(unsigned int mechanism, const volatile void *address)
{
	return find(mechanism, address, "");
}

struct sync_entry *sync_find_named(const void *address, const char *name)
{
	return find(IPC_MECH_posix_sem, address, name);
}

uint64_t sync_object_of_file(const char *path, const char *name)
{
	struct shim_thread *t = &shim_self;
	struct stat st;
	if (!recording() || !shim_wants(IPC_MECH_posix_sem) || !page_of(t) ||
	    raw_syscall(__NR_newfstatat, AT_FDCWD, path, &st, 0))
		return 0;
	struct ipc_def_object object = { .inode = st.st_ino,
					 .dev_major = major(st.st_dev),
					 .dev_minor = minor(st.st_dev) };
	return descriptor_define(t, IPC_MECH_posix_sem, &object, name, text_length(name));
}

/* Private to the thread that ends, which runs no handler any more. */
void sync_thread_end(struct shim_thread *t)
{
	struct sync_thread *s = t->sync_page;
	if (!s)
		return;
	for (uint32_t i = 0, l = s->lines; i < ARENA_SYNC_LINES && l && l <= ARENA_SYNC_LINES; i++) {
		struct arena_sync_line *line = &counts->line[l - 1];
		l = line->next;
		atomic_store_explicit(&line->owner, 0, memory_order_release);
	}
	t->sync = t->sync_page = NULL;
	raw_syscall(__NR_munmap, s, MEMORY);
}

/* --- counting --- */

/* The slow way: whoever it came from, and where there is no room for a counter. */
uint32_t sync_count_receive(struct sync_entry *e, uint32_t from)
{
	struct sync_thread *s = shim_self.sync;
	struct arena_sync_line *l = e->own;
	if (l && from != s->image) {
		l = e->other;
		if (!l || l->from != from) {
			uint64_t mask = signals_block();
			l = e->other = find_line(s, e->slot, from);
			signals_restore(mask);
		}
	}
	if (l)
		count(&l->receives);
	else if (!ring_overflow(&shim.ring, e->object, false, 0, 0))
		shim_lost(IPC_REASON_uncounted);
	return from;
}

void sync_count_send(struct sync_entry *e)
{
	if (e->own)
		count(&e->own->sends);
	else if (!ring_overflow(&shim.ring, e->object, true, 0, 0))
		shim_lost(IPC_REASON_uncounted);
}

/* --- events --- */

static struct ipc_event event_of(struct shim_thread *t, uint16_t call, uint64_t object, uint64_t start)
{
	return (struct ipc_event){ .start = start,
				   .object = object,
				   .arg0 = ipc_arg0((uint32_t)-1, 0),
				   .thread = shim_number(t),
				   .call = call };
}

void sync_tell(uint16_t call, uint64_t object, uint64_t start, int error, uint32_t waker, uint16_t flags)
{
	struct shim_thread *t = &shim_self;
	struct ipc_event e = event_of(t, call, object, start);
	e.result = -error;
	e.arg1 = waker;
	e.flags = flags;
	shim_emit(t, &e);
}

void sync_tell_made(uint16_t call, uint64_t object, uint64_t start, uint64_t value, bool made)
{
	struct shim_thread *t = &shim_self;
	struct ipc_event e = event_of(t, call, object, start);
	e.arg1 = value;
	e.tag = made;
	shim_emit(t, &e);
}

/* --- the beginning --- */

/* libc's sem_t: its value, how many wait, and whether it is shared between processes. */
static bool sem_is_known(void)
{
	int (*init)(void *, int, unsigned int) = symbols_next[SYNC_sem_init];
	uint32_t shared[sizeof(sem_t) / 4], alone[sizeof(sem_t) / 4];
	return init && !init(shared, 1, 7) && !init(alone, 0, 7) && shared[0] == 7 && alone[0] == 7 &&
	       shared[2] && !alone[2];
}

/* libc's pthread_barrier_t: how many must come is its third word. */
static bool barrier_is_known(void)
{
	int (*init)(void *, void *, unsigned int) = symbols_next[SYNC_pthread_barrier_init];
	uint32_t barrier[8];
	return init && !init(barrier, NULL, 3) && barrier[2] == 3 && !barrier[3];
}

void sync_start(void)
{
	sync_private = shim.ring.header->sync & ARENA_SYNC_PRIVATE;
	for (int i = 0; i < SYNC_SYMBOLS_COUNT; i++)
		symbols_find(i);
	objects_known = sem_is_known() && barrier_is_known();
}
