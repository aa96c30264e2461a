// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch.h"
#include "pages.h"
#include "sampling.h"

enum { PAGE = 4096 };
#define MEASURED_NS 2000000
#define NS_PER_MS   1000000ULL

static int scan(int pagemap, uintptr_t page)
{
	struct pages_run run;
	struct pages_scan s = { .size = sizeof(s),
				.flags = PAGES_CHECK,
				.start = page,
				.end = page + PAGE,
				.out = (uintptr_t)&run,
				.out_length = 1,
				.category_mask = PAGES_PRESENT,
				.return_mask = PAGES_WRITTEN };
	int n = ioctl(pagemap, PAGES_SCAN, &s);
	if (n < 0)
		return -errno;
	return n == 1 && run.categories == PAGES_WRITTEN ? 0 : -EOPNOTSUPP;
}

/* A page is watched and written. */
static int try_page(int watch, int pagemap, volatile char *page)
{
	struct uffdio_api api = { .api = UFFD_API, .features = PAGES_FEATURES };
	struct uffdio_register watched = { .range = { (uintptr_t)page, PAGE },
					   .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect protect = { { (uintptr_t)page, PAGE }, UFFDIO_WRITEPROTECT_MODE_WP };
	if (ioctl(watch, UFFDIO_API, &api) || ioctl(watch, UFFDIO_REGISTER, &watched) ||
	    ioctl(watch, UFFDIO_WRITEPROTECT, &protect))
		return -errno;
	*page = 1;
	return scan(pagemap, (uintptr_t)page);
}

static int try_with(int watch, int pagemap)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	int err = try_page(watch, pagemap, page);
	munmap(page, PAGE);
	return err;
}

int sampling_check(void)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return -errno;
	int watch = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	int err = watch < 0 ? -errno : try_with(watch, pagemap);
	if (watch >= 0)
		close(watch);
	close(pagemap);
	return err;
}

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t sampling_interval(enum arena_clock clock, unsigned int ms)
{
	const struct timespec pause = { .tv_nsec = MEASURED_NS };
	if (clock != ARENA_CLOCK_TSC)
		return ms * NS_PER_MS;
	uint64_t ns = now_ns(), ticks = arch_ticks();
	nanosleep(&pause, NULL);
	ticks = arch_ticks() - ticks;
	ns = now_ns() - ns;
	return (uint64_t)((double)ticks / (double)ns * ms * NS_PER_MS);
}
