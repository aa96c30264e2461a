/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The producer's side of the arena (ring.h): windows, claims, the pool, the overflow table.
 *
 * A window is 64 KiB of address space that shows one chunk. It is made by duplicating the header's mapping
 * and moved with remap_file_pages(2): after ring_attach() no path and no descriptor is needed. Who uses a
 * window is one word, taken by compare-and-swap: 0 nobody, POOLED, SHRINKING, else the ring_thread. Only its
 * user may move a window or write through it. There is no lock: a handler that jumps out of a claim at any
 * instruction leaves at worst a window (taken back at the same thread's next claim) or a chunk (freed when
 * the process ends).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "ring.h"
#include "signals.h"

enum {
	WINDOWS_MAX = 1024,
	WINDOWS_SPARE = 16, /* kept mapped beyond those in use, so that most claims make no system call */
	WINDOWS_SPARE_LIMITED = 2, /* where the target's address space is limited */
	REFUSALS_MAX = 64,	   /* system calls for windows that failed; then no more are made */
	POOL_ROOM = 64,		   /* a chunk with less room than this is not worth pooling */
	OVERFLOW_PROBES = 64,
	NESTED_MAX = 1024, /* records of a handler that are refused for lack of room */
	YIELDS = 4,
	SLEEP_MIN_NS = 50000,
	SLEEP_MAX_NS = 200000,
};

#define NO_CHUNK  UINT32_MAX
#define POOLED	  ((uintptr_t)1)
#define SHRINKING ((uintptr_t)2)

struct window {
	_Atomic uintptr_t user;
	struct ipc_event *_Atomic slots; /* NULL: nothing is mapped */
	_Atomic uint32_t chunk;		 /* that it shows; NO_CHUNK: unknown */
};

/* Private memory of the process: a fork child has a copy. */
struct ring_windows {
	uint32_t chunks; /* of the arena, checked at attach */
	uint32_t spare;
	uint64_t chunk_offset, sync_offset;
	_Atomic uint32_t refusals;
	_Atomic uint32_t tired; /* a wait for a window was in vain: the next claim does not wait */
	_Atomic uint32_t used;	/* entries of `window` that were ever used */
	struct window window[WINDOWS_MAX];
};

/* What the thread's call in progress is, carried from one chunk's control block to the next. */
struct inside {
	uint32_t call, thread, flags;
	uint64_t start, object, arg0, arg1;
};

/* How a claim ended: WAIT_*: the recorder may help soon, by freeing any chunk or one that we already map. */
enum claim { CLAIMED, WAIT_CHUNK, WAIT_WINDOW, NEVER };

static inline bool failed(long result)
{
	return result < 0 && result > -4096;
}

static inline uint64_t owner_word(const struct ring_process *p, enum arena_state state)
{
	return (uint64_t)(uint32_t)p->pid << 32 | state;
}

/* --- attach --- */

static bool header_makes_sense(const struct arena_header *h, uint64_t file_size)
{
	static const char magic[8] = ARENA_MAGIC;
	for (unsigned int i = 0; i < sizeof(magic); i++)
		if (h->magic[i] != magic[i])
			return false;
	return h->version == ARENA_VERSION && h->chunks > 0 && h->chunks <= ARENA_CHUNKS_MAX &&
	       h->sites <= ARENA_SITES_MAX && h->control_offset >= sizeof(*h) &&
	       h->control_offset < h->chunk_offset && h->control_offset % ARENA_PAGE == 0 &&
	       h->chunk_offset % ARENA_PAGE == 0 && h->chunk_offset >= CHUNK_BYTES &&
	       h->chunk_offset - h->control_offset >= h->chunks * sizeof(struct arena_control) &&
	       h->chunk_offset < h->sync_offset &&
	       h->sync_offset - h->chunk_offset == (uint64_t)h->chunks * CHUNK_BYTES &&
	       h->sync_offset < h->size && h->size - h->sync_offset == sizeof(struct arena_sync) &&
	       h->size == file_size;
}

/* Maps the file's header and control blocks, looks whether they are that, and how far they reach. */
static long map_file(long fd, struct ring_windows *windows)
{
	const uint64_t usual = arena_chunk_offset(ARENA_CHUNKS_DEFAULT);
	struct stat st;
	long ret = raw_syscall(__NR_fstat, fd, &st);
	if (failed(ret))
		return ret;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(struct arena_header))
		return -EPROTO;
	long map = raw_syscall(__NR_mmap, 0, usual, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (failed(map))
		return map;
	const struct arena_header *h = (const void *)map;
	windows->chunks = h->chunks;
	windows->chunk_offset = h->chunk_offset;
	windows->sync_offset = h->sync_offset;
	ret = header_makes_sense(h, st.st_size) ? map : -EPROTO;
	if (!failed(ret) && windows->chunk_offset != usual)
		ret = raw_syscall(__NR_mremap, map, usual, windows->chunk_offset, MREMAP_MAYMOVE, 0);
	if (failed(ret))
		raw_syscall(__NR_munmap, map, usual);
	return ret;
}

static uint32_t spare_windows(void)
{
	struct rlimit64 limit;
	long ret = raw_syscall(__NR_prlimit64, 0, RLIMIT_AS, 0, &limit);
	return !failed(ret) && limit.rlim_cur == RLIM64_INFINITY ? WINDOWS_SPARE : WINDOWS_SPARE_LIMITED;
}

int ring_attach(struct ring_process *p, const char *path, int32_t pid)
{
	long fd = raw_syscall(__NR_open, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
	if (failed(fd))
		return fd;
	long ret = raw_syscall(__NR_mmap, 0, sizeof(struct ring_windows), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (failed(ret))
		goto out;
	struct ring_windows *windows = (struct ring_windows *)ret;
	ret = map_file(fd, windows);
	if (failed(ret)) {
		raw_syscall(__NR_munmap, windows, sizeof(*windows));
		goto out;
	}
	raw_syscall(__NR_madvise, ret, windows->chunk_offset, MADV_DONTDUMP);
	windows->spare = spare_windows();
	p->header = (struct arena_header *)ret;
	p->controls = (struct arena_control *)(ret + p->header->control_offset);
	p->windows = windows;
	p->pid = pid;
	ret = 0;
out:
	raw_syscall(__NR_close, fd);
	return ret;
}

/* --- windows --- */

static bool window_take(struct window *w, uintptr_t from, uintptr_t user)
{
	return atomic_load_explicit(&w->user, memory_order_relaxed) == from &&
	       atomic_compare_exchange_strong(&w->user, &from, user);
}

static void window_leave(struct window *w)
{
	atomic_store_explicit(&w->user, 0, memory_order_release);
}

static uint32_t windows_used(struct ring_windows *windows)
{
	uint32_t used = atomic_load_explicit(&windows->used, memory_order_acquire);
	return used < WINDOWS_MAX ? used : WINDOWS_MAX;
}

static uint32_t windows_mapped(struct ring_windows *windows, bool unused)
{
	uint32_t mapped = 0;
	for (uint32_t i = 0; i < windows_used(windows); i++)
		mapped += windows->window[i].slots && (!unused || !windows->window[i].user);
	return mapped;
}

/* Takes an unused window: one that is mapped, or an entry where none is yet. */
static struct window *window_find(struct ring_windows *windows, bool mapped, uintptr_t user)
{
	for (uint32_t i = 0; i < windows_used(windows); i++) {
		struct window *w = &windows->window[i];
		if (!window_take(w, 0, user))
			continue;
		if ((w->slots != NULL) == mapped)
			return w;
		window_leave(w);
	}
	if (mapped || windows_used(windows) == WINDOWS_MAX)
		return NULL;
	uint32_t i = atomic_fetch_add(&windows->used, 1);
	return i < WINDOWS_MAX && window_take(&windows->window[i], 0, user) ? &windows->window[i] : NULL;
}

static bool window_refused(struct ring_windows *windows)
{
	atomic_fetch_add_explicit(&windows->refusals, 1, memory_order_relaxed);
	return false;
}

/* Makes the window show `chunk`. A window that could not be moved is given up: nobody knows what is there. */
static bool window_point(struct ring_process *p, struct window *w, uint32_t chunk)
{
	uint64_t page = (p->windows->chunk_offset + (uint64_t)chunk * CHUNK_BYTES) / ARENA_PAGE;
	if (!w->slots) {
		long map = raw_syscall(__NR_mremap, p->header, 0, CHUNK_BYTES, MREMAP_MAYMOVE, 0);
		if (failed(map))
			return window_refused(p->windows);
		w->slots = (struct ipc_event *)map;
	}
	w->chunk = NO_CHUNK; /* a fork may come here */
	/* Most processes touch little of their first window: only the later ones are populated. */
	int flags = w == p->windows->window ? MAP_NONBLOCK : 0;
	if (failed(raw_syscall(__NR_remap_file_pages, w->slots, CHUNK_BYTES, 0, page, flags))) {
		w->slots = NULL;
		return window_refused(p->windows);
	}
	raw_syscall(__NR_madvise, w->slots, CHUNK_BYTES, MADV_DONTDUMP);
	w->chunk = chunk;
	return true;
}

struct arena_sync *ring_map_sync(struct ring_process *p)
{
	const size_t size = sizeof(struct arena_sync);
	long map = raw_syscall(__NR_mremap, p->header, 0, size, MREMAP_MAYMOVE, 0);
	if (failed(map))
		return NULL;
	uint64_t page = p->windows->sync_offset / ARENA_PAGE;
	if (failed(raw_syscall(__NR_remap_file_pages, map, size, 0, page, MAP_NONBLOCK))) {
		raw_syscall(__NR_munmap, map, size);
		return NULL;
	}
	raw_syscall(__NR_madvise, map, size, MADV_DONTDUMP);
	return (struct arena_sync *)map;
}

void ring_shrink(struct ring_process *p)
{
	struct ring_windows *windows = p->windows;
	if (!windows)
		return;
	windows->spare = WINDOWS_SPARE_LIMITED;
	for (struct window *w; (w = window_find(windows, true, SHRINKING)); window_leave(w)) {
		struct ipc_event *slots = w->slots;
		w->chunk = NO_CHUNK;
		w->slots = NULL;
		raw_syscall(__NR_munmap, slots, CHUNK_BYTES);
	}
}

/* --- chunks --- */

static void hint_clear(struct arena_header *h, uint32_t chunk)
{
	atomic_fetch_and(&h->free_map[chunk / 64], ~(1ULL << chunk % 64));
}

/* The thread's control block is set at once: a handler that jumps out of the claim cannot make us forget. */
static bool chunk_take(struct ring_process *p, struct ring_thread *t, uint32_t chunk)
{
	uint64_t nobody = 0;
	struct arena_control *control = &p->controls[chunk];
	if (atomic_load_explicit(&control->owner, memory_order_relaxed) != 0 ||
	    !atomic_compare_exchange_strong(&control->owner, &nobody, owner_word(p, ARENA_OWNED)))
		return false;
	t->control = control;
	hint_clear(p->header, chunk);
	return true;
}

static void chunk_give_back(struct ring_process *p, struct ring_thread *t, uint32_t chunk)
{
	t->control = NULL;
	atomic_store_explicit(&p->controls[chunk].owner, 0, memory_order_release);
	atomic_fetch_or(&p->header->free_map[chunk / 64], 1ULL << chunk % 64);
}

static uint32_t chunk_find(struct ring_process *p, struct ring_thread *t)
{
	struct arena_header *h = p->header;
	for (uint32_t word = 0; word < (p->windows->chunks + 63) / 64; word++) {
		uint64_t map = atomic_load_explicit(&h->free_map[word], memory_order_relaxed);
		for (; map; map &= map - 1) {
			uint32_t chunk = word * 64 + __builtin_ctzll(map);
			if (chunk >= p->windows->chunks)
				break;
			if (chunk_take(p, t, chunk))
				return chunk;
			hint_clear(h, chunk); /* somebody's: spare the others the attempt */
		}
	}
	return NO_CHUNK;
}

static struct inside inside_read(const struct arena_control *control)
{
	if (!control || control->call == IPC_CALL_none)
		return (struct inside){ 0 };
	return (struct inside){ control->call,	 control->thread, control->flags, control->start,
				control->object, control->arg0,	  control->arg1 };
}

static void inside_write(struct arena_control *control, const struct inside *i)
{
	control->thread = i->thread;
	control->flags = i->flags;
	control->start = i->start;
	control->object = i->object;
	control->arg0 = i->arg0;
	control->arg1 = i->arg1;
	atomic_signal_fence(memory_order_release);
	control->call = i->call;
}

/* Nothing of the thread is in use afterwards. The chunk goes to the recorder. */
static void close_chunk(struct ring_process *p, struct ring_thread *t)
{
	struct arena_control *control = t->control;
	t->slots = NULL;
	t->control = NULL; /* before the chunk is anybody else's */
	atomic_signal_fence(memory_order_seq_cst);
	for (uint32_t i = 0; i < windows_used(p->windows); i++)
		if (p->windows->window[i].user == (uintptr_t)t)
			window_leave(&p->windows->window[i]);
	uint64_t owned = owner_word(p, ARENA_OWNED);
	if (!control || control->owner != owned)
		return;
	control->call = IPC_CALL_none;
	atomic_store_explicit(&control->ending, 0, memory_order_relaxed);
	atomic_compare_exchange_strong(&control->owner, &owned, owner_word(p, ARENA_CLOSED));
}

/* From here on the thread has a chunk: `slots` last, a handler may already use it. */
static void enter(struct ring_thread *t, struct window *w, uint32_t chunk, uint32_t base, uint32_t next)
{
	t->next = next;
	t->base = base;
	t->chunk = chunk;
	atomic_signal_fence(memory_order_seq_cst);
	t->slots = w->slots;
}

static void enter_fresh(struct ring_process *p, struct ring_thread *t, struct window *w, uint32_t chunk,
			const struct inside *inside)
{
	struct arena_control *control = t->control;
	uint32_t claim = atomic_fetch_add(&p->header->claims, 1);
	uint32_t base = (claim + 1) * CHUNK_SLOTS + 1;
	atomic_store_explicit(&control->ending, 0, memory_order_relaxed);
	inside_write(control, inside);
	control->image = p->image;
	atomic_store_explicit(&control->base, base, memory_order_release);
	enter(t, w, chunk, base, 0);
}

/* --- claim --- */

/* A thread that never had a chunk goes on in one that an ended thread left. (Others may not: the recorder
 * drains in the order of claims, and this one is older than what they wrote last.) */
static bool claim_pooled(struct ring_process *p, struct ring_thread *t)
{
	for (unsigned int e = 0; t->base == 0 && e < sizeof(p->pool) / sizeof(p->pool[0]); e++) {
		uint64_t entry = atomic_load_explicit(&p->pool[e], memory_order_relaxed);
		if (!entry || !(entry = atomic_exchange(&p->pool[e], 0)))
			continue;
		uint32_t chunk = (entry >> 32) - 1;
		t->control = &p->controls[chunk];
		for (uint32_t i = 0; i < windows_used(p->windows); i++) {
			struct window *w = &p->windows->window[i];
			if (w->chunk != chunk || !window_take(w, POOLED, (uintptr_t)t))
				continue;
			enter(t, w, chunk, t->control->base, (uint32_t)entry);
			return true;
		}
		close_chunk(p, t);
	}
	return false;
}

/* A chunk that one of our unused windows already shows costs no system call. */
static bool claim_mapped(struct ring_process *p, struct ring_thread *t, const struct inside *inside)
{
	for (uint32_t i = 0; i < windows_used(p->windows); i++) {
		struct window *w = &p->windows->window[i];
		uint32_t chunk = atomic_load_explicit(&w->chunk, memory_order_relaxed);
		if (!w->slots || chunk == NO_CHUNK ||
		    atomic_load_explicit(&p->controls[chunk].owner, memory_order_relaxed) != 0 ||
		    !window_take(w, 0, (uintptr_t)t))
			continue;
		chunk = w->chunk;
		if (w->slots && chunk != NO_CHUNK && chunk_take(p, t, chunk)) {
			enter_fresh(p, t, w, chunk, inside);
			return true;
		}
		window_leave(w);
	}
	return false;
}

/* Any free chunk, in a new window while there are few, else in one that is moved; if need be the other way.
 */
static enum claim claim_moved(struct ring_process *p, struct ring_thread *t, const struct inside *inside)
{
	struct ring_windows *windows = p->windows;
	bool refused = windows->refusals >= REFUSALS_MAX;
	uint32_t chunk = refused ? NO_CHUNK : chunk_find(p, t);
	if (!refused && chunk == NO_CHUNK)
		return WAIT_CHUNK;
	bool move = windows_mapped(windows, false) >= windows->spare;
	for (int attempt = 0; !refused && attempt < 2; attempt++, move = !move) {
		struct window *w = window_find(windows, move, (uintptr_t)t);
		if (!w)
			continue;
		if (window_point(p, w, chunk)) {
			enter_fresh(p, t, w, chunk, inside);
			return CLAIMED;
		}
		window_leave(w);
	}
	if (!refused)
		chunk_give_back(p, t, chunk);
	return windows_mapped(windows, true) && !windows->tired ? WAIT_WINDOW : NEVER;
}

static enum claim claim_any(struct ring_process *p, struct ring_thread *t, const struct inside *inside)
{
	if (claim_pooled(p, t) || claim_mapped(p, t, inside))
		return CLAIMED;
	return claim_moved(p, t, inside);
}

uint64_t ring_monotonic_ns(void)
{
	struct timespec now;
	raw_syscall(__NR_clock_gettime, CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void pause_before(unsigned int attempt)
{
	long ns = SLEEP_MIN_NS * (long)(attempt < 2 * YIELDS ? 1 + attempt - YIELDS : YIELDS);
	struct timespec pause = { .tv_nsec = ns < SLEEP_MAX_NS ? ns : SLEEP_MAX_NS };
	if (attempt < YIELDS)
		raw_syscall(__NR_sched_yield);
	else
		raw_syscall(__NR_nanosleep, &pause, 0);
}

static bool given_up(const struct arena_header *h)
{
	return atomic_load_explicit(&h->full, memory_order_relaxed) ||
	       atomic_load_explicit(&h->stop, memory_order_relaxed);
}

static bool claim_wait(struct ring_process *p, struct ring_thread *t, const struct inside *inside)
{
	struct arena_header *h = p->header;
	uint64_t start = ring_monotonic_ns(), waited = 0, bound = (uint64_t)h->block_us * 1000;
	enum claim got = WAIT_CHUNK;
	if (!bound) {
		atomic_store_explicit(&h->full, 1, memory_order_relaxed);
		return false;
	}
	for (unsigned int attempt = 0; got != CLAIMED && waited < bound && !given_up(h); attempt++) {
		pause_before(attempt);
		uint64_t mask = signals_block();
		got = claim_any(p, t, inside);
		signals_restore(mask);
		waited = ring_monotonic_ns() - start;
	}
	if (got == WAIT_CHUNK)
		atomic_store_explicit(&h->full, 1, memory_order_relaxed);
	p->windows->tired = got == WAIT_WINDOW;
	atomic_fetch_add_explicit(&h->blocked_ns, waited, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->blocked_claims, 1, memory_order_relaxed);
	return got == CLAIMED;
}

/* No handler runs in the middle of it: its records would find no chunk. They may while we wait. */
bool ring_claim(struct ring_process *p, struct ring_thread *t)
{
	if (!t->control && given_up(p->header))
		return false;
	uint64_t mask = signals_block();
	struct inside inside = inside_read(t->base ? t->control : NULL);
	close_chunk(p, t);
	enum claim got = given_up(p->header) ? NEVER : claim_any(p, t, &inside);
	signals_restore(mask);
	return got == CLAIMED || (got != NEVER && claim_wait(p, t, &inside));
}

/* --- the end of a thread, fork --- */

static bool pool_put(struct ring_process *p, struct ring_thread *t)
{
	uint64_t entry = (uint64_t)(t->chunk + 1) << 32 | t->next;
	for (unsigned int e = 0; e < sizeof(p->pool) / sizeof(p->pool[0]); e++) {
		uint64_t empty = 0;
		if (atomic_compare_exchange_strong(&p->pool[e], &empty, entry))
			return true;
	}
	return false;
}

void ring_release(struct ring_process *p, struct ring_thread *t)
{
	if (!p->windows)
		return;
	struct window *mine = NULL;
	for (uint32_t i = 0; t->slots && i < windows_used(p->windows); i++)
		if (p->windows->window[i].user == (uintptr_t)t && p->windows->window[i].slots == t->slots)
			mine = &p->windows->window[i];
	if (mine && t->next + POOL_ROOM <= CHUNK_SLOTS) {
		t->control->call = IPC_CALL_none;
		t->slots = NULL;
		atomic_store(&mine->user, POOLED);
		if (pool_put(p, t))
			t->control = NULL;
		else
			window_leave(mine);
	}
	close_chunk(p, t);
}

/* Puts zeroed memory of our own where a mapping of the arena is. */
static void divorce(void *memory, size_t size)
{
	raw_syscall(__NR_mmap, memory, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0);
}

/* A handler forked in the middle of a record, which the child too will finish when the handler returns: let
 * it end in memory of the child's own. */
static void divert_record(struct ring_process *p, struct ring_thread *t)
{
	for (uint32_t i = 0; i < windows_used(p->windows); i++)
		if (p->windows->window[i].slots == t->slots)
			p->windows->window[i].slots = NULL;
	divorce(t->slots, CHUNK_BYTES);
	t->control = (struct arena_control *)t->slots;
	t->next = CHUNK_SLOTS;
}

/* A handler forked in the middle of a claim: the child would take over its parent's. It records nothing. */
static void divert_claim(struct ring_process *p)
{
	atomic_fetch_add(&p->header->lost[IPC_REASON_dropped], 1);
	for (uint32_t i = 0; i < windows_used(p->windows); i++)
		if (p->windows->window[i].slots)
			divorce(p->windows->window[i].slots, CHUNK_BYTES);
	divorce(p->header, p->windows->chunk_offset);
	p->header->stop = 1;
}

void ring_fork_child(struct ring_process *p, struct ring_thread *t, int32_t pid)
{
	p->pid = pid;
	p->unseen = 0;
	for (unsigned int e = 0; e < sizeof(p->pool) / sizeof(p->pool[0]); e++)
		atomic_store_explicit(&p->pool[e], 0, memory_order_relaxed);
	if (!p->windows)
		return;
	if (t->busy && t->slots) {
		divert_record(p, t);
	} else {
		if (t->busy)
			divert_claim(p);
		t->slots = NULL;
		t->control = NULL;
	}
	t->base = 0;
	for (uint32_t i = 0; i < windows_used(p->windows); i++)
		window_leave(&p->windows->window[i]);
}

/* A handler's record nests below the one that it interrupted, unless it runs on the alternate stack, which
 * may lie anywhere. A program that jumped out and makes all its later records in deeper frames looks the
 * same: so many records in a handler that never ends are not believed. (`next` counts on while there is no
 * room.) */
bool ring_abandoned(struct ring_thread *t, uintptr_t here)
{
	stack_t alternate;
	if ((!t->slots || t->next >= CHUNK_SLOTS) && ++t->next > CHUNK_SLOTS + NESTED_MAX)
		return true;
	if (failed(raw_syscall(__NR_sigaltstack, 0, &alternate)))
		return false;
	bool now = alternate.ss_flags & SS_ONSTACK;
	bool then = t->stack - (uintptr_t)alternate.ss_sp < alternate.ss_size;
	return now == then ? here >= t->stack : then;
}

/* --- overflow --- */

static uint64_t overflow_key(uint32_t image, uint64_t object)
{
	uint64_t h = object ^ (uint64_t)image * 0x9e3779b97f4a7c15;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93;
	return (h ^ h >> 32) | 1ULL << 63;
}

void ring_unseen(struct ring_process *p, const struct ipc_def_image *def, uint64_t time, const char *comm)
{
	struct arena_unseen *u = p->header->unseen;
	for (uint32_t i = 0; !p->unseen && i < ARENA_UNSEEN; i++) {
		uint32_t nobody = 0;
		if (!atomic_compare_exchange_strong(&u[i].image, &nobody, def->image))
			continue;
		u[i].time = time;
		u[i].def = *def;
		for (unsigned int at = 0; at < sizeof(u[i].comm); at++)
			u[i].comm[at] = at && !u[i].comm[at - 1] ? '\0' : comm[at];
		u[i].comm[sizeof(u[i].comm) - 1] = '\0';
		atomic_store_explicit(&u[i].whole, 1, memory_order_release);
		p->unseen = i + 1;
	}
}

void ring_seen(struct ring_process *p)
{
	struct arena_unseen *u = &p->header->unseen[p->unseen - 1];
	if (!p->unseen)
		return;
	p->unseen = 0;
	atomic_store_explicit(&u->whole, 0, memory_order_relaxed);
	atomic_store_explicit(&u->image, 0, memory_order_release);
}

static struct arena_overflow *overflow_find(struct ring_process *p, uint64_t object)
{
	uint64_t key = overflow_key(p->image, object);
	for (uint64_t i = 0; i < OVERFLOW_PROBES; i++) {
		struct arena_overflow *o = &p->header->overflow[(key + i) % ARENA_OVERFLOW];
		uint64_t found = atomic_load_explicit(&o->key, memory_order_relaxed);
		if (found == 0 && atomic_compare_exchange_strong(&o->key, &found, key)) {
			o->object = object;
			o->image = p->image;
			atomic_thread_fence(memory_order_release);
			o->whole = 1;
			return o;
		}
		if (found == key)
			return o;
	}
	return NULL;
}

bool ring_overflow(struct ring_process *p, uint64_t object, bool sends, uint64_t bytes, uint64_t time)
{
	struct arena_overflow *o = overflow_find(p, object);
	if (!o)
		return false;
	atomic_fetch_add_explicit(sends ? &o->sends : &o->recvs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(sends ? &o->bytes_sent : &o->bytes_received, bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(sends ? &o->sent_time : &o->received_time, time, memory_order_relaxed);
	return true;
}
