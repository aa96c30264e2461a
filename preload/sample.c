// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which pages of shared memory were touched (sample.h). The kernel drops its page-table entries of a mapping
 * (MADV_DONTNEED), which takes nothing from the memory, and watches it for writes (userfaultfd, write-protect
 * that the kernel resolves itself). Whatever is touched has an entry afterwards, and PAGEMAP_SCAN says which
 * of these were written.
 *
 * What must never happen is that private memory is dropped: its contents would be gone. madvise(2) goes by
 * address, and another thread might put private memory there at any moment. So it is called where no other
 * task can change the process's memory: it has a single thread, nobody shares its memory, no handler runs,
 * and the kernel has just said that the mapping still is what it was. Of a process that ever had several
 * threads, or shared all its memory, only writes are seen: that takes no more than the scan, which changes
 * nothing, wherever it goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#include "hooks.h"
#include "maps.h"
#include "pages.h"
#include "region.h"
#include "sample.h"
#include "signals.h"

enum {
	PAGE_SHIFT = 12,
	RUNS = 128,	    /* that one question answers */
	RUNS_TOLD = 512,    /* of one sample */
	FEWEST = 64,	    /* of a process that may have fewer descriptors we take none */
	OURS = 16,	    /* descriptors below the limit, or below this one: */
	HIGHEST = 1024,	    /* higher numbers would make the process's table large */
	MANY = 64,	    /* mappings */
	REST = 10,	    /* times as long as a sample took the next one waits at least */
	ALONE = 3,	    /* links of /proc/self/task where there is one thread */
	COLD = 20,	    /* MADV_COLD */
	TMPFS = 0x01021994, /* of statfs(2) */
};

/* A descriptor that stays open. The program may close it, and use its number for something else. */
struct held {
	long fd;
	uint64_t device, inode;
};

uint64_t sample_last, sample_pause;
static _Atomic bool busy;
static struct held watch = { .fd = -1 }, pagemap = { .fd = -1 };
static bool several;		     /* other tasks may change our memory, or once could */
static bool told_unopened;	     /* counted: the descriptors cannot be had */
static struct pages_run found[RUNS]; /* of who is busy */

void sample_start(void)
{
	shim.sample_interval = shim.ring.header->sample_interval;
	sample_pause = shim.sample_interval;
	sample_last = shim_now();
}

void sample_shared_memory(void)
{
	several = true;
}

static void lose(struct shim_thread *t)
{
	define_loss(t, IPC_REASON_unsampled, "");
}

bool sample_is_memory(struct shim_thread *t, long fd)
{
	struct statfs fs;
	if (!shim.sample_interval)
		return false;
	bool is = !raw_syscall(__NR_fstatfs, fd, &fs) && fs.f_type == TMPFS;
	if (!is)
		lose(t);
	return is;
}

/* Descriptors. */

static bool is_still(const struct held *h)
{
	struct stat st;
	return h->fd >= 0 && !raw_syscall(__NR_fstat, h->fd, &st) && st.st_dev == h->device &&
	       st.st_ino == h->inode;
}

static void let_go(struct held *h)
{
	if (is_still(h))
		raw_syscall(__NR_close, h->fd);
	h->fd = -1;
}

/* Moves it to a high number. */
static bool hold(struct held *h, long fd)
{
	struct stat st;
	struct rlimit limit;
	h->fd = -1;
	if (fd < 0)
		return false;
	if (!raw_syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit)) {
		uint64_t end = limit.rlim_cur < HIGHEST ? limit.rlim_cur : HIGHEST;
		if (end >= FEWEST)
			h->fd = raw_syscall(__NR_fcntl, fd, F_DUPFD_CLOEXEC, end - OURS);
	}
	raw_syscall(__NR_close, fd);
	if (h->fd < 0 || raw_syscall(__NR_fstat, h->fd, &st))
		return false;
	h->device = st.st_dev;
	h->inode = st.st_ino;
	return true;
}

static bool open_all(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = PAGES_FEATURES };
	let_go(&watch);
	let_go(&pagemap);
	return hold(&watch, raw_syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)) &&
	       !raw_syscall(__NR_ioctl, watch.fd, UFFDIO_API, &api) &&
	       hold(&pagemap, raw_syscall(__NR_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
}

/* What was watched until the program closed them is watched anew; what was touched meanwhile is not known. */
static bool is_open(struct shim_thread *t)
{
	bool good = is_still(&watch) && is_still(&pagemap);
	if (good || open_all()) {
		told_unopened = false;
		return true;
	}
	let_go(&watch);
	let_go(&pagemap);
	if (!told_unopened)
		lose(t);
	told_unopened = true;
	return false;
}

void sample_fork_child(void)
{
	if (!shim.sample_interval)
		return;
	let_go(&watch); /* it watches the parent */
	let_go(&pagemap);
	busy = several = false;
	sample_last = shim_now();
	for (uint32_t i = 0, n = region_count(); i < n; i++) {
		struct region r;
		if (region_get(i, &r) && r.sampling == REGION_SAMPLED)
			region_set_sampling(i, REGION_NEW);
	}
}

/* One mapping. */

static uint64_t length(const struct region *r)
{
	return r->end - r->start;
}

/* Not locked, nor huge pages, nor a device: the kernel refuses to take those for unused. (What it does with
 * others, to one page, is harmless, whatever is there.) */
static bool is_plain(const struct region *r)
{
	return !raw_syscall(__NR_madvise, r->start, 1UL << PAGE_SHIFT, COLD);
}

static bool protect(const struct region *r)
{
	struct uffdio_writeprotect w = { { r->start, length(r) }, UFFDIO_WRITEPROTECT_MODE_WP };
	return !raw_syscall(__NR_ioctl, watch.fd, UFFDIO_WRITEPROTECT, &w);
}

/* Nothing has been touched since, from here to there. */
static bool begin_anew(const struct region *r, uint64_t start, uint64_t end)
{
	if (several)
		return is_plain(r);
	return !raw_syscall(__NR_madvise, start, end - start, MADV_DONTNEED) && protect(r);
}

static void unwatch(const struct region *r)
{
	struct uffdio_range range = { r->start, length(r) };
	raw_syscall(__NR_ioctl, watch.fd, UFFDIO_UNREGISTER, &range);
}

static void give_up(struct shim_thread *t, uint32_t i, const struct region *r)
{
	unwatch(r);
	region_set_sampling(i, REGION_UNSAMPLED);
	lose(t);
}

static struct ipc_event event_of(struct shim_thread *t, const struct region *r, uint16_t call, uint64_t start)
{
	return (struct ipc_event){ .start = start,
				   .object = r->object,
				   .arg0 = ipc_arg0((uint32_t)-1, r->protection),
				   .thread = shim_number(t),
				   .call = call };
}

static void tell_sampled(struct shim_thread *t, const struct region *r)
{
	struct ipc_event e = event_of(t, r, IPC_CALL_shm_sampled, shim_now());
	e.arg1 = length(r);
	e.tag = (uint32_t)(r->offset >> PAGE_SHIFT);
	e.result = several;
	shim_emit(t, &e);
}

static void arm(struct shim_thread *t, uint32_t i, const struct region *r)
{
	struct uffdio_register watched = { .range = { r->start, length(r) },
					   .mode = UFFDIO_REGISTER_MODE_WP };
	if (!is_plain(r) || raw_syscall(__NR_ioctl, watch.fd, UFFDIO_REGISTER, &watched)) {
		region_set_sampling(i, REGION_UNSAMPLED);
		lose(t);
		return;
	}
	if (!protect(r) || !begin_anew(r, r->start, r->end)) {
		give_up(t, i, r);
		return;
	}
	if (r->offset + length(r) > (uint64_t)IPC_PAGES_MAX << PAGE_SHIFT)
		lose(t);
	if (r->sampling == REGION_SAMPLED)
		lose(t); /* since the program closed what it was watched by */
	region_set_sampling(i, REGION_SAMPLED);
	tell_sampled(t, r);
}

static void tell(struct shim_thread *t, const struct region *r, const struct pages_run *run, uint64_t since)
{
	bool written = run->categories & PAGES_WRITTEN;
	uint64_t first = (run->start - r->start + r->offset) >> PAGE_SHIFT;
	uint64_t count = (run->end - run->start) >> PAGE_SHIFT;
	if (first + count > IPC_PAGES_MAX)
		return;
	struct ipc_event e = event_of(t, r, written ? IPC_CALL_shm_write : IPC_CALL_shm_read, since);
	e.arg1 = ipc_pages(first, count);
	shim_emit(t, &e);
}

void sample_stop(struct shim_thread *t)
{
	struct region r;
	if (!shim.sample_interval)
		return;
	if (!shim.no_ioctl)
		sample_now(t);
	shim.sample_interval = 0;
	for (uint32_t i = 0, n = region_count(); i < n && is_still(&watch); i++)
		if (region_get(i, &r) && r.sampling == REGION_SAMPLED)
			unwatch(&r);
	let_go(&watch);
	let_go(&pagemap);
	lose(t);
}

/* Tells what was touched; `left`: how many runs may still be told. */
static void look(struct shim_thread *t, uint32_t i, const struct region *r, uint64_t since, uint32_t *left)
{
	struct pages_scan scan = { .size = sizeof(scan),
				   .flags = PAGES_CHECK | (several ? PAGES_PROTECT : 0),
				   .start = r->start,
				   .end = r->end,
				   .out = (uintptr_t)found,
				   .out_length = RUNS,
				   .category_mask = several ? PAGES_WRITTEN | PAGES_PRESENT : PAGES_PRESENT,
				   .return_mask = PAGES_PRESENT | PAGES_WRITTEN };
	bool untold = false;
	for (; scan.start < r->end; scan.start = scan.walk_end) {
		long n = raw_syscall(__NR_ioctl, pagemap.fd, PAGES_SCAN, &scan);
		if (n == -EPERM) {
			arm(t, i, r);
			return;
		}
		if (n < 0 || (n && !begin_anew(r, found[0].start, found[n - 1].end))) {
			give_up(t, i, r);
			return;
		}
		for (long k = 0; k < n; k++) {
			untold |= !*left;
			if (*left && (*left)--)
				tell(t, r, &found[k], since);
		}
	}
	if (untold)
		lose(t);
}

/* Whether another task can change our memory while we look. */
static void look_around(struct shim_thread *t)
{
	struct stat st;
	if (several)
		return;
	several = raw_syscall(__NR_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0) || st.st_nlink != ALONE;
	if (several)
		lose(t);
	for (uint32_t i = 0, n = region_count(); several && i < n; i++) {
		struct region r;
		if (region_get(i, &r) && r.sampling == REGION_SAMPLED)
			tell_sampled(t, &r);
	}
}

static void visit(struct shim_thread *t)
{
	uint32_t left = RUNS_TOLD;
	uint64_t since = sample_last, mask;
	__atomic_store_n(&sample_last, shim_now(), __ATOMIC_RELAXED);
	if (!is_open(t))
		return;
	look_around(t);
	long maps = maps_open(&mask);
	for (uint32_t i = 0, n = region_count(); i < n; i++) {
		struct region r;
		if (!region_get(i, &r) || r.sampling == REGION_UNSAMPLED || !region_is_there(&r, maps))
			continue;
		if (r.sampling == REGION_NEW)
			arm(t, i, &r);
		else
			look(t, i, &r, since, &left);
	}
	maps_close(maps, mask);
}

/* With many mappings a sample takes long: the program shall have most of the time all the same. (Where few
 * take long, that was the processor's other work.) */
static void rest(void)
{
	uint64_t pause = region_count() > MANY ? REST * (shim_now() - sample_last) : 0;
	__atomic_store_n(&sample_pause, pause > shim.sample_interval ? pause : shim.sample_interval,
			 __ATOMIC_RELAXED);
}

/* Whether there is something to look at. */
static bool any(bool only_new)
{
	struct region r;
	for (uint32_t i = 0, n = region_count(); i < n; i++)
		if (region_get(i, &r) && r.sampling && (!only_new || r.sampling == REGION_NEW))
			return true;
	return false;
}

static void sample(struct shim_thread *t, bool only_new)
{
	if (!shim.sample_interval || !recording() || !shim_number(t) || t->spawn_call || !any(only_new))
		return;
	if (shim.no_ioctl) {
		sample_stop(t);
		return;
	}
	uint64_t mask = signals_block();
	if (!atomic_exchange(&busy, true)) {
		visit(t);
		rest();
		busy = false;
	}
	signals_restore(mask);
}

void sample_now(struct shim_thread *t)
{
	sample(t, false);
}

/* All are looked at then, so that their time begins at one moment. */
void sample_arm(struct shim_thread *t)
{
	sample(t, true);
}
