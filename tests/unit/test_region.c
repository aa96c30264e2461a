// SPDX-License-Identifier: BSD-2-Clause
/*
 * The shim's table of shared mappings against the kernel: random calls on memory, shared and private, whole
 * and in part, by one thread and by several; then /proc/self/maps is the truth.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../preload/maps.c"
#include "../../preload/region.c"

enum { PAGES = 64, SIZE = 4096, ROUNDS = 8000, THREADS = 4 };

/* What region.c needs of the rest of the shim. */
struct shim shim;
__thread struct shim_thread shim_self;
static __thread uint32_t events;

void sample_now(struct shim_thread *t)
{
	(void)t;
}

void sample_arm(struct shim_thread *t)
{
	(void)t;
}

bool sample_is_memory(struct shim_thread *t, long fd)
{
	return t && fd >= 0;
}

uint32_t shim_number(struct shim_thread *t)
{
	(void)t;
	return 0;
}

void shim_dropped(const struct ipc_event *e)
{
	(void)e;
	events++;
}

void shim_lost(enum ipc_reason reason)
{
	fail_msg("lost: %d", reason);
}

uint64_t descriptor_define(struct shim_thread *t, enum ipc_mechanism mechanism,
			   const struct ipc_def_object *def, const char *name, size_t length)
{
	(void)t, (void)name, (void)length;
	return ipc_object(mechanism, def->inode);
}

size_t descriptor_path(long fd, char *path)
{
	char link[40];
	snprintf(link, sizeof(link), "/proc/self/fd/%ld", fd);
	ssize_t n = readlink(link, path, SHIM_PATH);
	return n > 0 ? (size_t)n : 0;
}

struct ipc_def_object descriptor_file(long fd, const struct stat *st)
{
	(void)fd;
	return (struct ipc_def_object){ .inode = st->st_ino,
					.dev_major = major(st->st_dev),
					.dev_minor = minor(st->st_dev) };
}

uint64_t queue_object(struct shim_thread *t, enum ipc_mechanism mechanism, int id)
{
	(void)t;
	return ipc_object(mechanism, (uint32_t)id);
}

void queue_tell(struct shim_thread *t, uint64_t object)
{
	(void)t, (void)object;
}

uint32_t queue_namespace(struct shim_thread *t)
{
	(void)t;
	return 1;
}

void hook_leave_queue(struct shim_thread *t, const struct pending *p, long result)
{
	(void)t, (void)p, (void)result;
}

long transient_file(const char *path, uint64_t *mask)
{
	*mask = 0;
	return raw_syscall(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

void transient_close(long fd, uint64_t mask)
{
	(void)mask;
	raw_syscall(__NR_close, fd);
}

/* A call as the hooks see it. */
static long call(uint16_t id, long a, long b, long c, long d, long e, long f)
{
	struct shim_thread *t = &shim_self;
	struct hook_registers r = { .arg = { a, b, c, d, e, f }, .nr = ipc_calls[id].nr };
	struct pending *p = &t->pending[0];
	*p = (struct pending){ .call = id, .arg = { a, b, c, d, e, f } };
	bool concerned = region_concerned(id, &r);
	if (concerned)
		hook_enter_region(t, id, &r, p);
	long result = raw_syscall(r.nr, a, b, c, d, e, f);
	if (concerned)
		hook_leave_region(t, p, result);
	return result;
}

/* Some pages that belong to one thread. */
struct area {
	uintptr_t start;
	unsigned int seed;
	int file;
};

static unsigned int below(struct area *a, unsigned int n)
{
	return (unsigned int)rand_r(&a->seed) / 7 % n;
}

static void do_something(struct area *a)
{
	static const int protections[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	unsigned int first = below(a, PAGES), pages = 1 + below(a, PAGES - first > 8 ? 8 : PAGES - first);
	long at = (long)(a->start + first * SIZE), size = pages * SIZE;
	long to = (long)(a->start + below(a, PAGES - 7) * SIZE), protection = protections[below(a, 3)];
	switch (below(a, 7)) {
	case 0:
		call(IPC_CALL_mmap, at, size, protection, MAP_SHARED | MAP_FIXED, a->file, first * SIZE);
		break;
	case 1:
		call(IPC_CALL_mmap, at, size, protection, MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
		break;
	case 2:
		call(IPC_CALL_mmap, at, size, protection, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
		break;
	case 3:
		call(IPC_CALL_munmap, at, size - below(a, 2), 0, 0, 0, 0);
		break;
	case 4:
		call(IPC_CALL_mprotect, at, size, protection, 0, 0, 0);
		break;
	case 5: /* to another place; or refused where they overlap, or it is several mappings */
		call(IPC_CALL_mremap, at, size, SIZE * (1 + below(a, 7)), MREMAP_MAYMOVE | MREMAP_FIXED, to,
		     0);
		break;
	case 6:
		call(IPC_CALL_mremap, at, size, SIZE * (1 + below(a, pages)), 0, 0, 0);
		break;
	}
}

static void compare(uintptr_t start, uintptr_t end)
{
	uint64_t mask;
	long maps = maps_open(&mask);
	for (uintptr_t at = start; at < end; at += SIZE) {
		struct mapped truth;
		struct region r;
		bool shared = ask_text(maps, at, &truth) && truth.start <= at && truth.shared;
		assert_int_equal(region_find(&shim_self, at, &r), shared);
		if (!shared)
			continue;
		assert_int_equal(r.protection, truth.protection);
		assert_int_equal(r.inode, truth.inode);
		assert_int_equal(r.dev_major, truth.dev_major);
		assert_int_equal(r.dev_minor, truth.dev_minor);
		assert_int_equal(r.offset + (at - r.start), truth.offset + (at - truth.start));
	}
	maps_close(maps, mask);
}

/* None works while another starts or ends: a sanitizer maps memory for a thread then, which the kernel may
 * put where an area has a hole and which the sanitizer takes away again from under what was mapped over it.
 */
static pthread_barrier_t all;

static void *work(void *argument)
{
	struct area *a = argument;
	pthread_barrier_wait(&all);
	for (int i = 0; i < ROUNDS; i++)
		do_something(a);
	pthread_barrier_wait(&all);
	return NULL;
}

static struct area area(unsigned int seed, int file)
{
	void *start = mmap(NULL, (PAGES + 8) * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(start, MAP_FAILED);
	return (struct area){ (uintptr_t)start, seed, file };
}

static int shared_file(void)
{
	int file = memfd_create("region", 0);
	assert_return_code(ftruncate(file, PAGES * SIZE), 0);
	return file;
}

static void one_thread_agrees_with_the_kernel(void **state)
{
	(void)state;
	int file = shared_file();
	struct area a = area(1, file);
	for (int i = 0; i < ROUNDS; i++) {
		do_something(&a);
		if (i % 100 == 0)
			compare(a.start, a.start + PAGES * SIZE);
	}
	call(IPC_CALL_munmap, (long)a.start, PAGES * SIZE, 0, 0, 0, 0);
	compare(a.start, a.start + PAGES * SIZE);
	close(file);
}

static void threads_agree_with_the_kernel(void **state)
{
	(void)state;
	pthread_t thread[THREADS];
	struct area a[THREADS];
	int file = shared_file();
	for (unsigned int i = 0; i < THREADS; i++)
		a[i] = area(10 + i, file);
	pthread_barrier_init(&all, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, work, &a[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < THREADS; i++)
		compare(a[i].start, a[i].start + PAGES * SIZE);
	for (int i = 0; i < THREADS; i++)
		call(IPC_CALL_munmap, (long)a[i].start, PAGES * SIZE, 0, 0, 0, 0);
	pthread_barrier_destroy(&all);
	close(file);
}

/* However the neighbours of a mapping change: what stays is always found. */
static void *cut(void *argument)
{
	long start = (long)argument;
	for (int i = 0; i < ROUNDS; i++) {
		call(IPC_CALL_mmap, start + 8 * SIZE, 8 * SIZE, PROT_READ,
		     MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
		call(IPC_CALL_mprotect, start + 8 * SIZE, SIZE, PROT_NONE, 0, 0, 0);
	}
	return NULL;
}

static void what_stays_is_always_found(void **state)
{
	(void)state;
	pthread_t thread;
	struct region r;
	long start = call(IPC_CALL_mmap, 0, 16 * SIZE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(start > 0);
	uint32_t lost = 0, first = region_epoch;
	pthread_create(&thread, NULL, cut, (void *)start);
	while (region_epoch - first < 2 * ROUNDS)
		for (int page = 0; page < 8; page++)
			lost += !region_find(&shim_self, (uintptr_t)(start + page * SIZE), &r);
	pthread_join(thread, NULL);
	assert_int_equal(lost, 0);
	call(IPC_CALL_munmap, start, 16 * SIZE, 0, 0, 0, 0);
	assert_false(region_find(&shim_self, (uintptr_t)start, &r));
}

static void private_memory_costs_no_event(void **state)
{
	(void)state;
	events = 0;
	long shared = call(IPC_CALL_mmap, 0, SIZE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(events, 1);
	long private = call(IPC_CALL_mmap, 0, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	call(IPC_CALL_mprotect, private, SIZE, PROT_NONE, 0, 0, 0);
	call(IPC_CALL_munmap, private, SIZE, 0, 0, 0, 0);
	call(IPC_CALL_munmap, shared + 1, SIZE, 0, 0, 0, 0); /* EINVAL */
	assert_int_equal(events, 1);
	call(IPC_CALL_munmap, shared, SIZE, 0, 0, 0, 0);
	assert_int_equal(events, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_agrees_with_the_kernel),
		cmocka_unit_test(threads_agree_with_the_kernel),
		cmocka_unit_test(what_stays_is_always_found),
		cmocka_unit_test(private_memory_costs_no_event),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
