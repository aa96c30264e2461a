// SPDX-License-Identifier: BSD-2-Clause
/*
 * The functions that programs call instead of libc's: semaphores, mutexes, read-write locks, conditions,
 * barriers, spin locks. An object that is private to its process is passed on at once, by one bit that libc
 * keeps in it.
 *
 * Of a call that may wait libc's own attempt is tried first (trywait, trylock): where it succeeds nobody
 * waited, and a counter is all that is kept. Where it does not, libc's function itself decides what
 * happens, and the call becomes an event.
 *
 * Some of these functions are cancellation points, and what unwinds a cancelled thread passes through their
 * frames. Nothing else of the shim stands between.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <unistd.h>

#include "sync.h"
#include "text.h"

#define PUBLIC __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

enum {
	MUTEX_SHARED = 128,   /* bits of a mutex's __kind */
	MUTEX_CEILING = 64,   /* to try it changes the caller's priority */
	MUTEX_ROBUST = 16,    /* libc's trylock of one that nobody can repair any more locks it for ever */
	MUTEX_HELD = 0x7ffff, /* bits of its __lock */
	COND_SHARED = 1,      /* of a condition's __wrefs */
	NSEC_PER_SEC = 1000000000,
};

/* All functions here have up to four arguments that fit a register and return an int; what a function
 * does not take does it no harm. */
typedef int (*function)(const volatile void *, long, long, long);

INLINE function next(enum sync_symbol symbol)
{
	void *f = symbols_next[symbol];
	return (function)(__builtin_expect(f != NULL, 1) ? f : symbols_find(symbol));
}

/* The same once an entry is known: all were found before. */
INLINE function known(enum sync_symbol symbol)
{
	return (function)symbols_next[symbol];
}

/* A kind of call: what it is on, what libc calls it, and how to try it without waiting. */
struct kind {
	uint8_t mechanism;
	uint16_t call;
	enum sync_symbol real, attempt;
	bool shares; /* a lock that others may hold too: who had it last does not change */
};

INLINE bool is_sem(struct kind k)
{
	return k.mechanism == IPC_MECH_posix_sem;
}

INLINE bool is_lock(struct kind k)
{
	return k.mechanism == IPC_MECH_mutex || k.mechanism == IPC_MECH_rwlock ||
	       k.mechanism == IPC_MECH_spin;
}

INLINE bool acquired(struct kind k, int result)
{
	return result == 0 || (k.mechanism == IPC_MECH_mutex && result == EOWNERDEAD);
}

INLINE int error_of(struct kind k, int result)
{
	return is_sem(k) && result ? errno : result;
}

static bool cancels; /* some thread was cancelled: the quick way would not notice */

PUBLIC int pthread_cancel(pthread_t thread)
{
	int (*real)(pthread_t) = (void *)next(SYNC_pthread_cancel);
	__atomic_store_n(&cancels, true, __ATOMIC_SEQ_CST);
	return real(thread);
}

/* --- what comes in --- */

/* Who had the object before the caller, who has it now. */
INLINE uint32_t take_over(struct kind k, struct arena_sync_object *slot, uint32_t self)
{
	uint32_t from = atomic_load_explicit(&slot->holder, memory_order_relaxed);
	if (is_lock(k) && !k.shares && from != self)
		atomic_store_explicit(&slot->holder, self, memory_order_relaxed);
	return from;
}

/* Whom a wait was for: readers count for a writer too. */
INLINE uint32_t waker_of(struct kind k, const struct arena_sync_object *slot, uint32_t from)
{
	return k.mechanism == IPC_MECH_rwlock && !k.shares
		       ? atomic_load_explicit(&slot->releaser, memory_order_relaxed)
		       : from;
}

/* Counts the receive that has just happened. The process itself is who its own line receives from. */
INLINE uint32_t receive(struct kind k, struct sync_entry *e)
{
	struct arena_sync_line *own = e->own, *other;
	if (__builtin_expect(!e->slot || !own, 0))
		return sync_count_receive(e, e->slot ? take_over(k, e->slot, shim_self.sync->image) : 0);
	uint32_t from = take_over(k, e->slot, own->from);
	if (from == own->from)
		arch_local_inc64(&own->receives);
	else if ((other = e->other) && other->from == from)
		arch_local_inc64(&other->receives);
	else
		sync_count_receive(e, from);
	return waker_of(k, e->slot, from);
}

/* libc's own function, which will most likely wait. */
static __attribute__((noinline)) int wait_for(struct kind k, const volatile void *o, long a, long b)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	struct sync_entry *e = sync_find(k.mechanism, o);
	struct pending p;
	if (!e)
		return next(k.real)(o, a, b, 0);
	hook_enter_library(&shim_self, k.call, e->object, frame);
	int result = next(k.real)(o, a, b, 0), error = error_of(k, result);
	e = sync_find(k.mechanism, o); /* handlers may have used its place for another */
	uint32_t waker = e && acquired(k, result) ? receive(k, e) : 0;
	if (!hook_leave_library(&shim_self, frame, &p) || !e)
		return result;
	if (is_lock(k) && waker)
		e->flags |= SYNC_HELD;
	sync_tell(k.call, p.object, p.start, error, waker, 0);
	return result;
}

/* After an attempt that is not the usual success. */
static __attribute__((noinline)) void attempted(struct kind k, const volatile void *o, uint64_t start,
						int result)
{
	int error = error_of(k, result);
	struct sync_entry *e = sync_find(k.mechanism, o);
	if (e && acquired(k, result))
		receive(k, e);
	if (e && (e->flags & SYNC_ALL || result == EOWNERDEAD))
		sync_tell(k.call, e->object, start, error, 0, 0);
	if (is_sem(k) && result)
		errno = error;
}

/* After the attempt that comes first: it may have succeeded in an unusual way. */
static __attribute__((noinline)) int attempt_failed(struct kind k, int result, int saved,
						    const volatile void *o, long a, long b)
{
	if (acquired(k, result)) {
		attempted(k, o, shim_now(), result);
		return result;
	}
	if (is_sem(k))
		errno = saved;
	return wait_for(k, o, a, b);
}

/* How to find out whether a call has to wait. */
enum how {
	TRY,  /* by libc's own attempt, which differs from the call only in that it does not wait */
	FREE, /* that differs in more; but the lock looks free */
	WAIT,
};

static __attribute__((noinline)) int acquire_slowly(struct kind k, const volatile void *o, long a, long b,
						    enum how how)
{
	if (!sync_find(k.mechanism, o))
		return next(k.real)(o, a, b, 0);
	if (how == WAIT)
		return wait_for(k, o, a, b);
	uint64_t start = shim_now();
	if (is_sem(k))
		next(SYNC_pthread_testcancel)(NULL, 0, 0, 0); /* which the attempt is not, but the call */
	int saved = errno, result = next(how == TRY ? k.attempt : k.real)(o, a, b, 0);
	if (result && how == TRY)
		return attempt_failed(k, result, saved, o, a, b);
	attempted(k, o, start, result);
	return result;
}

INLINE int acquire(struct kind k, const volatile void *o, long a, long b, enum how how)
{
	struct sync_entry *e = sync_known(k.mechanism, o);
	if (k.mechanism == IPC_MECH_spin && e && e->flags & SYNC_IGNORED)
		return next(k.real)(o, a, b, 0);
	if (__builtin_expect(!e || e->flags || how != TRY || (is_sem(k) && cancels), 0))
		return acquire_slowly(k, o, a, b, how);
	int saved = is_sem(k) ? *shim_self.sync->error : 0;
	int result = known(k.attempt)(o, 0, 0, 0);
	if (__builtin_expect(result != 0, 0))
		return attempt_failed(k, result, saved, o, a, b);
	receive(k, e);
	return 0;
}

/* A call that does not wait. */
INLINE int try(struct kind k, const volatile void *o)
{
	struct sync_entry *e = sync_known(k.mechanism, o);
	bool plain = e && !e->flags;
	uint64_t start = plain || (e && e->flags & SYNC_IGNORED) ? 0 : shim_now();
	int result = next(k.real)(o, 0, 0, 0);
	if (__builtin_expect(plain && result == 0, 1))
		receive(k, e);
	else if (!e || e->flags & ~(uint32_t)SYNC_IGNORED || acquired(k, result))
		attempted(k, o, start, result);
	return result;
}

/* --- what goes out --- */

/* Before it is done: who gets it must know who gave it. */
INLINE void give(struct kind k, struct arena_sync_object *slot, uint32_t self)
{
	_Atomic uint32_t *last = k.mechanism == IPC_MECH_rwlock ? &slot->releaser : &slot->holder;
	bool tells = k.mechanism == IPC_MECH_rwlock || !is_lock(k);
	if (tells && atomic_load_explicit(last, memory_order_relaxed) != self)
		atomic_store_explicit(last, self, memory_order_relaxed);
}

static __attribute__((noinline)) int release_slowly(struct kind k, const volatile void *o)
{
	struct sync_entry *e = sync_find(k.mechanism, o);
	if (!e)
		return next(k.real)(o, 0, 0, 0);
	bool tells = e->flags & (SYNC_ALL | SYNC_HELD);
	uint64_t start = tells ? shim_now() : 0;
	if (e->flags & SYNC_AGAIN) {
		receive(k, e);
		shim_self.sync->waits = NULL;
	}
	e->flags &= ~(uint32_t)(SYNC_HELD | SYNC_AGAIN);
	if (e->slot)
		give(k, e->slot, shim_self.sync->image);
	int result = next(k.real)(o, 0, 0, 0), error = error_of(k, result);
	e = sync_find(k.mechanism, o);
	if (e && !result)
		sync_count_send(e);
	if (e && tells)
		sync_tell(k.call, e->object, start, error, 0, 0);
	if (is_sem(k) && result)
		errno = error;
	return result;
}

INLINE int release(struct kind k, const volatile void *o)
{
	struct sync_entry *e = sync_known(k.mechanism, o);
	if (k.mechanism == IPC_MECH_spin && e && e->flags & SYNC_IGNORED)
		return next(k.real)(o, 0, 0, 0);
	if (__builtin_expect(!e || e->flags, 0))
		return release_slowly(k, o);
	struct arena_sync_line *own = e->own;
	give(k, e->slot, own->from);
	int result = known(k.real)(o, 0, 0, 0);
	if (__builtin_expect(!result, 1))
		arch_local_inc64(&own->sends);
	return result;
}

#define KIND(mechanism_, call_, attempt_)                                                                    \
	((struct kind){ IPC_MECH_##mechanism_, IPC_CALL_##call_, SYNC_##call_, SYNC_##attempt_, false })
#define SHARES(mechanism_, call_, attempt_)                                                                  \
	((struct kind){ IPC_MECH_##mechanism_, IPC_CALL_##call_, SYNC_##call_, SYNC_##attempt_, true })

/* libc looks at these before it tries. */
INLINE bool is_time(const struct timespec *t)
{
	return t && t->tv_nsec >= 0 && t->tv_nsec < NSEC_PER_SEC;
}

INLINE bool is_clock(clockid_t clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}

/* --- semaphores --- */

INLINE bool sem_passes(const sem_t *sem)
{
	return !((const int *)sem)[2] && !sync_private; /* as sync_start() has found */
}

PUBLIC int sem_init(sem_t *sem, int pshared, unsigned int value)
{
	uint64_t start = shim.ready ? shim_now() : 0;
	int result = next(SYNC_sem_init)(sem, pshared, value, 0);
	if (result || sem_passes(sem))
		return result;
	struct sync_entry *e = sync_find(IPC_MECH_posix_sem, sem);
	if (e && e->slot && value)
		atomic_store(&e->slot->holder, shim_self.sync->image);
	if (e)
		sync_tell_made(IPC_CALL_sem_init, e->object, start, value, true);
	return result;
}

/* Where libc keeps the semaphore of this name. */
static const char *sem_path(const char *name, char path[static SHIM_PATH])
{
	const char *end = path + SHIM_PATH - 1;
	while (*name == '/')
		name++;
	*text_put(text_put(path, end, "/dev/shm/sem."), end, name) = '\0';
	return path;
}

static bool sem_exists(const char *name)
{
	char path[SHIM_PATH];
	return !raw_syscall(__NR_faccessat, AT_FDCWD, sem_path(name, path), F_OK);
}

/* libc's is variadic; on this machine arguments that were not given may be passed on. */
PUBLIC sem_t *sem_open(const char *name, int flags, ...)
{
	sem_t *(*real)(const char *, int, ...) = (void *)next(SYNC_sem_open);
	va_list list;
	va_start(list, flags);
	mode_t mode = va_arg(list, mode_t);
	unsigned int value = va_arg(list, unsigned int);
	va_end(list);
	bool made = flags & O_CREAT && shim.ready && !sem_exists(name);
	uint64_t start = shim.ready ? shim_now() : 0;
	sem_t *sem = real(name, flags, mode, value);
	if (shim.by_names && sem != SEM_FAILED) {
		char path[SHIM_PATH];
		region_mapped(&shim_self, sem_path(name, path), sem, sizeof(*sem));
	}
	struct sync_entry *e = sem == SEM_FAILED ? NULL : sync_find_named(sem, name);
	if (!e)
		return sem;
	if (made && e->slot && value)
		atomic_store(&e->slot->holder, shim_self.sync->image);
	sync_tell_made(IPC_CALL_sem_open, e->object, start, made ? value : 0, made);
	return sem;
}

PUBLIC int sem_close(sem_t *sem)
{
	struct sync_entry *e = sync_find(IPC_MECH_posix_sem, sem);
	uint64_t start = e ? shim_now() : 0, object = e ? e->object : 0;
	struct pending p;
	bool may_go = shim.by_names && recording();
	if (may_go)
		region_may_go(&shim_self, sem, sizeof(*sem), &p);
	int result = next(SYNC_sem_close)(sem, 0, 0, 0);
	if (may_go)
		region_went(&shim_self, &p);
	if (object)
		sync_tell(IPC_CALL_sem_close, object, start, result ? errno : 0, 0, 0);
	return result;
}

PUBLIC int sem_unlink(const char *name)
{
	char path[SHIM_PATH];
	uint64_t object = shim.ready ? sync_object_of_file(sem_path(name, path), name) : 0;
	uint64_t start = object ? shim_now() : 0;
	int result = next(SYNC_sem_unlink)(name, 0, 0, 0);
	if (object)
		sync_tell(IPC_CALL_sem_unlink, object, start, result ? errno : 0, 0, 0);
	return result;
}

PUBLIC int sem_wait(sem_t *sem)
{
	if (sem_passes(sem))
		return next(SYNC_sem_wait)(sem, 0, 0, 0);
	return acquire(KIND(posix_sem, sem_wait, sem_trywait), sem, 0, 0, TRY);
}

PUBLIC int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict time)
{
	if (sem_passes(sem))
		return next(SYNC_sem_timedwait)(sem, (long)time, 0, 0);
	return acquire(KIND(posix_sem, sem_timedwait, sem_trywait), sem, (long)time, 0,
		       is_time(time) ? TRY : WAIT);
}

PUBLIC int sem_clockwait(sem_t *restrict sem, clockid_t clock, const struct timespec *restrict time)
{
	if (sem_passes(sem))
		return next(SYNC_sem_clockwait)(sem, clock, (long)time, 0);
	return acquire(KIND(posix_sem, sem_clockwait, sem_trywait), sem, clock, (long)time,
		       is_clock(clock) && is_time(time) ? TRY : WAIT);
}

PUBLIC int sem_trywait(sem_t *sem)
{
	if (sem_passes(sem))
		return next(SYNC_sem_trywait)(sem, 0, 0, 0);
	return try(KIND(posix_sem, sem_trywait, sem_trywait), sem);
}

PUBLIC int sem_post(sem_t *sem)
{
	if (sem_passes(sem))
		return next(SYNC_sem_post)(sem, 0, 0, 0);
	return release(KIND(posix_sem, sem_post, sem_post), sem);
}

/* --- mutexes --- */

INLINE bool mutex_passes(const pthread_mutex_t *m)
{
	return !(m->__data.__kind & MUTEX_SHARED) && !sync_private;
}

INLINE enum how mutex_how(const pthread_mutex_t *m, bool valid)
{
	if (__builtin_expect(!(m->__data.__kind & (MUTEX_CEILING | MUTEX_ROBUST)), 1))
		return valid ? TRY : WAIT;
	return m->__data.__lock & MUTEX_HELD ? WAIT : FREE;
}

PUBLIC int pthread_mutex_lock(pthread_mutex_t *m)
{
	if (mutex_passes(m))
		return next(SYNC_pthread_mutex_lock)(m, 0, 0, 0);
	return acquire(KIND(mutex, pthread_mutex_lock, pthread_mutex_trylock), m, 0, 0, mutex_how(m, true));
}

PUBLIC int pthread_mutex_timedlock(pthread_mutex_t *restrict m, const struct timespec *restrict time)
{
	if (mutex_passes(m))
		return next(SYNC_pthread_mutex_timedlock)(m, (long)time, 0, 0);
	return acquire(KIND(mutex, pthread_mutex_timedlock, pthread_mutex_trylock), m, (long)time, 0,
		       mutex_how(m, is_time(time)));
}

PUBLIC int pthread_mutex_clocklock(pthread_mutex_t *restrict m, clockid_t clock,
				   const struct timespec *restrict time)
{
	if (mutex_passes(m))
		return next(SYNC_pthread_mutex_clocklock)(m, clock, (long)time, 0);
	return acquire(KIND(mutex, pthread_mutex_clocklock, pthread_mutex_trylock), m, clock, (long)time,
		       mutex_how(m, is_clock(clock) && is_time(time)));
}

PUBLIC int pthread_mutex_trylock(pthread_mutex_t *m)
{
	if (mutex_passes(m))
		return next(SYNC_pthread_mutex_trylock)(m, 0, 0, 0);
	return try(KIND(mutex, pthread_mutex_trylock, pthread_mutex_trylock), m);
}

PUBLIC int pthread_mutex_unlock(pthread_mutex_t *m)
{
	if (mutex_passes(m))
		return next(SYNC_pthread_mutex_unlock)(m, 0, 0, 0);
	return release(KIND(mutex, pthread_mutex_unlock, pthread_mutex_unlock), m);
}

/* --- read-write locks --- */

INLINE bool rwlock_passes(const pthread_rwlock_t *l)
{
	return !l->__data.__shared && !sync_private;
}

#define RWLOCK(kind, try_, name, tryname, timedname, clockname)                                              \
	PUBLIC int name(pthread_rwlock_t *l)                                                                 \
	{                                                                                                    \
		if (rwlock_passes(l))                                                                        \
			return next(SYNC_##name)(l, 0, 0, 0);                                                \
		return acquire(kind(rwlock, name, tryname), l, 0, 0, TRY);                                   \
	}                                                                                                    \
	PUBLIC int tryname(pthread_rwlock_t *l)                                                              \
	{                                                                                                    \
		if (rwlock_passes(l))                                                                        \
			return next(SYNC_##tryname)(l, 0, 0, 0);                                             \
		return try_(kind(rwlock, tryname, tryname), l);                                              \
	}                                                                                                    \
	PUBLIC int timedname(pthread_rwlock_t *restrict l, const struct timespec *restrict time)             \
	{                                                                                                    \
		if (rwlock_passes(l))                                                                        \
			return next(SYNC_##timedname)(l, (long)time, 0, 0);                                  \
		return acquire(kind(rwlock, timedname, tryname), l, (long)time, 0,                           \
			       is_time(time) ? TRY : WAIT);                                                  \
	}                                                                                                    \
	PUBLIC int clockname(pthread_rwlock_t *restrict l, clockid_t clock,                                  \
			     const struct timespec *restrict time)                                           \
	{                                                                                                    \
		if (rwlock_passes(l))                                                                        \
			return next(SYNC_##clockname)(l, clock, (long)time, 0);                              \
		return acquire(kind(rwlock, clockname, tryname), l, clock, (long)time,                       \
			       is_clock(clock) && is_time(time) ? TRY : WAIT);                               \
	}

RWLOCK(SHARES, try, pthread_rwlock_rdlock, pthread_rwlock_tryrdlock, pthread_rwlock_timedrdlock,
       pthread_rwlock_clockrdlock)
RWLOCK(KIND, try, pthread_rwlock_wrlock, pthread_rwlock_trywrlock, pthread_rwlock_timedwrlock,
       pthread_rwlock_clockwrlock)

PUBLIC int pthread_rwlock_unlock(pthread_rwlock_t *l)
{
	if (rwlock_passes(l))
		return next(SYNC_pthread_rwlock_unlock)(l, 0, 0, 0);
	return release(KIND(rwlock, pthread_rwlock_unlock, pthread_rwlock_unlock), l);
}

/* --- conditions --- */

INLINE bool cond_passes(const pthread_cond_t *c)
{
	return !(c->__data.__wrefs & COND_SHARED) && !sync_private;
}

#define MUTEX KIND(mutex, pthread_mutex_lock, pthread_mutex_trylock)

/* The wait releases the mutex. A cancelled wait has acquired it again, and we will not know before it is
 * released (SYNC_AGAIN). */
static bool cond_releases(pthread_mutex_t *m)
{
	struct sync_entry *e = mutex_passes(m) ? NULL : sync_find(IPC_MECH_mutex, m);
	if (!e)
		return false;
	sync_count_send(e);
	e->flags &= ~(uint32_t)SYNC_HELD;
	e->flags |= SYNC_AGAIN;
	shim_self.sync->waits = m;
	return true;
}

static void cond_acquires(pthread_mutex_t *m, int result)
{
	struct sync_entry *e = sync_find(IPC_MECH_mutex, m);
	if (shim_self.sync)
		shim_self.sync->waits = NULL;
	if (!e)
		return;
	e->flags &= ~(uint32_t)SYNC_AGAIN;
	if ((result == EPERM || result == EINVAL) && e->own) /* it was not released */
		arch_local_dec64(&e->own->sends);
	else if (result != ENOTRECOVERABLE)
		receive(MUTEX, e);
}

static int cond_wait(struct kind k, pthread_cond_t *c, pthread_mutex_t *m, long a, long b)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	struct sync_entry *e = cond_passes(c) ? NULL : sync_find(IPC_MECH_cond, c);
	struct pending p;
	uint64_t object = e ? e->object : 0;
	bool releases = cond_releases(m);
	if (object)
		hook_enter_library(&shim_self, k.call, object, frame);
	int result = next(k.real)(c, (long)m, a, b);
	if (releases)
		cond_acquires(m, result);
	if (!object || !hook_leave_library(&shim_self, frame, &p) || !(e = sync_find(IPC_MECH_cond, c)))
		return result;
	uint32_t waker = result ? 0 : receive(k, e);
	sync_tell(k.call, object, p.start, result, waker, 0);
	return result;
}

PUBLIC int pthread_cond_wait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m)
{
	if (cond_passes(c) && mutex_passes(m))
		return next(SYNC_pthread_cond_wait)(c, (long)m, 0, 0);
	return cond_wait(KIND(cond, pthread_cond_wait, pthread_cond_wait), c, m, 0, 0);
}

PUBLIC int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m,
				  const struct timespec *restrict time)
{
	if (cond_passes(c) && mutex_passes(m))
		return next(SYNC_pthread_cond_timedwait)(c, (long)m, (long)time, 0);
	return cond_wait(KIND(cond, pthread_cond_timedwait, pthread_cond_wait), c, m, (long)time, 0);
}

PUBLIC int pthread_cond_clockwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, clockid_t clock,
				  const struct timespec *restrict time)
{
	if (cond_passes(c) && mutex_passes(m))
		return next(SYNC_pthread_cond_clockwait)(c, (long)m, clock, (long)time);
	return cond_wait(KIND(cond, pthread_cond_clockwait, pthread_cond_wait), c, m, clock, (long)time);
}

PUBLIC int pthread_cond_signal(pthread_cond_t *c)
{
	if (cond_passes(c))
		return next(SYNC_pthread_cond_signal)(c, 0, 0, 0);
	return release(KIND(cond, pthread_cond_signal, pthread_cond_signal), c);
}

PUBLIC int pthread_cond_broadcast(pthread_cond_t *c)
{
	if (cond_passes(c))
		return next(SYNC_pthread_cond_broadcast)(c, 0, 0, 0);
	return release(KIND(cond, pthread_cond_broadcast, pthread_cond_broadcast), c);
}

/* --- barriers --- */

/* As libc keeps it: how many must come, and whether it is shared. */
struct barrier {
	uint32_t in, round, count;
	int shared;
};

INLINE bool barrier_passes(const pthread_barrier_t *b)
{
	return !((const struct barrier *)b)->shared && !sync_private;
}

PUBLIC int pthread_barrier_init(pthread_barrier_t *restrict b, const pthread_barrierattr_t *restrict attr,
				unsigned int n)
{
	int result = next(SYNC_pthread_barrier_init)(b, (long)attr, n, 0);
	struct sync_entry *e = result || barrier_passes(b) ? NULL : sync_find(IPC_MECH_barrier, b);
	if (e && e->slot)
		atomic_store(&e->slot->arrivals, 0);
	return result;
}

/* Everybody takes a number, by which the last one of a round is known before it lets the others go. libc
 * tells who was the last to come: where that is another, numbers do not tell the order. Before the next round
 * but one is over, all of this one have read who ended it. */
static int barrier_wait(struct kind k, pthread_barrier_t *b, struct sync_entry *e)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	struct pending p;
	struct arena_sync_object *slot = e->slot;
	uint64_t object = e->object;
	uint32_t n = ((const struct barrier *)b)->count;
	hook_enter_library(&shim_self, k.call, object, frame);
	uint32_t number = atomic_fetch_add(&slot->arrivals, 1), round = n ? number / n & 1 : 0;
	bool last = n && number % n == n - 1;
	if (last)
		atomic_store(&slot->last[round], shim_self.sync->image);
	int result = next(k.real)(b, 0, 0, 0);
	uint32_t waker = atomic_load(&slot->last[round]);
	bool ended = result == PTHREAD_BARRIER_SERIAL_THREAD;
	if (ended != last)
		atomic_store(&slot->doubtful, 1);
	e = sync_find(k.mechanism, b);
	if (!hook_leave_library(&shim_self, frame, &p) || !e)
		return result;
	if (ended)
		sync_count_send(e);
	else
		sync_count_receive(e, waker);
	if (!ended || e->flags & SYNC_ALL)
		sync_tell(k.call, object, p.start, 0, ended ? 0 : waker, ended ? IPC_F_SECOND : 0);
	return result;
}

PUBLIC int pthread_barrier_wait(pthread_barrier_t *b)
{
	const struct kind k = KIND(barrier, pthread_barrier_wait, pthread_barrier_wait);
	struct sync_entry *e = barrier_passes(b) ? NULL : sync_find(IPC_MECH_barrier, b);
	if (!e || !e->slot)
		return next(SYNC_pthread_barrier_wait)(b, 0, 0, 0);
	return barrier_wait(k, b, e);
}

/* --- spin locks: whether one is shared only its memory tells --- */

PUBLIC int pthread_spin_lock(pthread_spinlock_t *s)
{
	return acquire(KIND(spin, pthread_spin_lock, pthread_spin_trylock), s, 0, 0, TRY);
}

PUBLIC int pthread_spin_trylock(pthread_spinlock_t *s)
{
	return try(KIND(spin, pthread_spin_trylock, pthread_spin_trylock), s);
}

PUBLIC int pthread_spin_unlock(pthread_spinlock_t *s)
{
	return release(KIND(spin, pthread_spin_unlock, pthread_spin_unlock), s);
}

/* What libc calls some of them besides. */
#define ALIAS(name) PUBLIC extern __typeof__(name) __##name __attribute__((alias(#name), nothrow, nonnull))
ALIAS(pthread_mutex_lock);
ALIAS(pthread_mutex_trylock);
ALIAS(pthread_mutex_unlock);
ALIAS(pthread_rwlock_rdlock);
ALIAS(pthread_rwlock_tryrdlock);
ALIAS(pthread_rwlock_wrlock);
ALIAS(pthread_rwlock_trywrlock);
ALIAS(pthread_rwlock_unlock);
