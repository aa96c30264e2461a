// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <time.h>

#include "ask.h"
#include "signals.h"

enum { SLICE_NS = 50000000 }; /* how soon the recorder's death is noticed */
/* The first one that asks waits for the programs to be loaded: 0.4 s, several on a loaded machine. */
#define PATIENCE_NS 10000000000ULL

static bool may_hope(const struct arena_header *h)
{
	uint32_t assistant = atomic_load_explicit(&h->assistant, memory_order_acquire);
	return assistant && !(assistant & FUTEX_OWNER_DIED) &&
	       !atomic_load_explicit(&h->unanswered, memory_order_relaxed) &&
	       !atomic_load_explicit(&h->stop, memory_order_relaxed);
}

/* Where thread ids of ours mean something. */
static uint32_t pid_namespace(void)
{
	struct stat st;
	return raw_syscall(__NR_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &st, 0) ? 0 : (uint32_t)st.st_ino;
}

static void post(struct arena_header *h, uint32_t chunk)
{
	atomic_fetch_or(&h->asked[chunk / 64], 1ULL << chunk % 64);
	atomic_fetch_add(&h->asks, 1);
	raw_syscall(__NR_futex, &h->asks, FUTEX_WAKE, 1);
}

/* Until the answer comes, nobody is there to give it, or it takes too long. */
static void wait(const struct arena_header *h, const struct arena_control *control, enum arena_ask what)
{
	const struct timespec slice = { .tv_nsec = SLICE_NS };
	uint64_t end = ring_monotonic_ns() + PATIENCE_NS;
	while (atomic_load_explicit(&control->ask, memory_order_acquire) == what && may_hope(h) &&
	       ring_monotonic_ns() < end)
		raw_syscall(__NR_futex, &control->ask, FUTEX_WAIT, what, &slice);
}

/* The chunk is the thread's as long as it makes no record: no handler may run. */
static bool ask_for(struct arena_control *control, struct shim_thread *t, enum arena_ask what)
{
	struct arena_header *h = shim.ring.header;
	control->asking = shim_image(t);
	control->tid = (uint32_t)raw_syscall(__NR_gettid);
	control->pid_ns = pid_namespace();
	atomic_store_explicit(&control->ask, what, memory_order_release);
	post(h, (uint32_t)(control - shim.ring.controls));
	wait(h, control, what);
	uint32_t answer = atomic_exchange(&control->ask, ARENA_ASK_NONE);
	if (answer == what)
		atomic_store(&h->unanswered, 1);
	return answer == ARENA_ASK_GRANTED;
}

bool ask(struct shim_thread *t, enum arena_ask what)
{
	if (!may_hope(shim.ring.header))
		return false;
	uint64_t mask = signals_block();
	bool granted = t->ring.control && ask_for(t->ring.control, t, what);
	signals_restore(mask);
	return granted;
}
