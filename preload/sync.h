/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Semaphores, locks, conditions and barriers: library calls that make no system call while nobody has to
 * wait. sync.c has the functions that programs call instead of libc's, sync_table.c what is known of an
 * object and where it is counted (arena.h), symbols.c libc's own functions.
 *
 * A call that did not have to wait is counted and leaves no event. Each thread keeps in memory of its own
 * which counters belong to which address. A fork child finds that page wiped, so that it never adds to its
 * parent's; while a child shares our memory the page is put aside.
 */
#ifndef IPC_SYNC_H
#define IPC_SYNC_H

#include "hooks.h"
#include "region.h"

#define SYNC_SYMBOLS(X)                                                                                      \
	X(sem_init)                                                                                          \
	X(sem_open)                                                                                          \
	X(sem_close)                                                                                         \
	X(sem_unlink)                                                                                        \
	X(sem_wait)                                                                                          \
	X(sem_trywait)                                                                                       \
	X(sem_timedwait)                                                                                     \
	X(sem_clockwait)                                                                                     \
	X(sem_post)                                                                                          \
	X(pthread_mutex_lock)                                                                                \
	X(pthread_mutex_trylock)                                                                             \
	X(pthread_mutex_timedlock)                                                                           \
	X(pthread_mutex_clocklock)                                                                           \
	X(pthread_mutex_unlock)                                                                              \
	X(pthread_rwlock_rdlock)                                                                             \
	X(pthread_rwlock_tryrdlock)                                                                          \
	X(pthread_rwlock_timedrdlock)                                                                        \
	X(pthread_rwlock_clockrdlock)                                                                        \
	X(pthread_rwlock_wrlock)                                                                             \
	X(pthread_rwlock_trywrlock)                                                                          \
	X(pthread_rwlock_timedwrlock)                                                                        \
	X(pthread_rwlock_clockwrlock)                                                                        \
	X(pthread_rwlock_unlock)                                                                             \
	X(pthread_cond_wait)                                                                                 \
	X(pthread_cond_timedwait)                                                                            \
	X(pthread_cond_clockwait)                                                                            \
	X(pthread_cond_signal)                                                                               \
	X(pthread_cond_broadcast)                                                                            \
	X(pthread_barrier_init)                                                                              \
	X(pthread_barrier_wait)                                                                              \
	X(pthread_spin_lock)                                                                                 \
	X(pthread_spin_trylock)                                                                              \
	X(pthread_spin_unlock)                                                                               \
	X(pthread_cancel)                                                                                    \
	X(pthread_testcancel)                                                                                \
	X(dlmopen)

enum sync_symbol {
#define X(name) SYNC_##name,
	SYNC_SYMBOLS(X)
#undef X
		SYNC_SYMBOLS_COUNT
};

/* The function that the program would call without us, as the dynamic linker would find it; NULL before
 * symbols_find() or where there is none. */
extern void *symbols_next[SYNC_SYMBOLS_COUNT];
/* Looks it up now. Never NULL: instead of one that is missing, one that returns ENOSYS. */
void *symbols_find(enum sync_symbol symbol);

enum {
	SYNC_BITS = 10,
	SYNC_ENTRIES = 1 << SYNC_BITS,
	SYNC_IGNORED = 1 << 0,	/* in private memory: not recorded */
	SYNC_ALL = 1 << 1,	/* each call is an event */
	SYNC_HELD = 1 << 2,	/* acquired by an event: so is its release */
	SYNC_AGAIN = 1 << 3,	/* a mutex that a cancelled pthread_cond_wait has acquired again */
	SYNC_UNCOUNTED = 1 << 4 /* there was no room for its counters */
};

/* What a thread knows of the object at an address. Without flags `slot` and `own` may be used at once. */
struct sync_entry {
	uint64_t tag;	/* address, and the mechanism above it; 0: empty */
	uint32_t epoch; /* of the mappings that it was found by */
	uint32_t flags;
	struct arena_sync_object *slot;
	struct arena_sync_line *own;   /* where its sends count, and what it received from itself */
	struct arena_sync_line *other; /* what it received from somebody else lately, or NULL */
	uint64_t object;
};

/* Memory of its own, of which only what is used is touched; all zero: nothing is known yet. */
struct sync_thread {
	uint32_t number, image;
	int *error;	   /* the thread's errno */
	uint32_t lines;	   /* that the thread owns: line + 1 */
	const void *waits; /* mutex of the pthread_cond_wait under way */
	struct sync_entry entry[SYNC_ENTRIES];
};

extern bool sync_private; /* private objects are recorded too */

static inline uint64_t sync_tag(unsigned int mechanism, const volatile void *address)
{
	return (uint64_t)mechanism << 56 | (uintptr_t)address;
}

static inline struct sync_entry *sync_place(struct sync_thread *s, uint64_t tag)
{
	return &s->entry[tag * 0x9e3779b97f4a7c15ULL >> (64 - SYNC_BITS)];
}

/* The object's entry, if it is known; it may have flags. */
static inline struct sync_entry *sync_known(unsigned int mechanism, const volatile void *address)
{
	struct sync_thread *s = shim_self.sync;
	uint64_t tag = sync_tag(mechanism, address);
	if (__builtin_expect(!s, 0))
		return NULL;
	struct sync_entry *e = sync_place(s, tag);
	__asm__("" : "+r"(e)); /* else its parts are kept in registers, which are saved around each call */
	return __builtin_expect(e->tag == tag && e->epoch == region_epoch, 1) ? e : NULL;
}

/* The object's entry, looked up if need be. NULL: it is not recorded. Valid until the next look-up. */
struct sync_entry *sync_find(unsigned int mechanism, const volatile void *address);

/* Of a semaphore that was opened by name. */
struct sync_entry *sync_find_named(const void *address, const char *name);
/* The object of a semaphore that is the file `path`, 0: there is none, or nothing is recorded. */
uint64_t sync_object_of_file(const char *path, const char *name);

/* Counts a receive from `from`; returns `from`. */
uint32_t sync_count_receive(struct sync_entry *e, uint32_t from);
void sync_count_send(struct sync_entry *e);

/* Tells of a call as an event that began at `start`: of one that waited with who ended it. */
void sync_tell(uint16_t call, uint64_t object, uint64_t start, int error, uint32_t waker, uint16_t flags);
/* The same of a semaphore that was made with this value, or opened (`made` false). */
void sync_tell_made(uint16_t call, uint64_t object, uint64_t start, uint64_t value, bool made);

/* Learns how libc's objects look; without that they are not recorded. */
void sync_start(void);
/* The thread ends: another may go on with its counters. */
void sync_thread_end(struct shim_thread *t);

#endif
