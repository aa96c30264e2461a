// SPDX-License-Identifier: BSD-2-Clause
/*
 * sampled_load KIND SECONDS: processes hammer shared memory, and everything must be as it would be if nobody
 * looked: blocks with checksums, atomic additions that must add up, a ring with futexes, pages that are
 * protected, unmapped, moved, mapped twice, cut off. Prints "good" and nothing that depends on chance.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, BLOCKS = 24, WORKERS = 3, RING = 16, OWN = 8 };

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	_exit(1);
}
#define must(good) must_(good, __LINE__)

/* The whole of it is shared; each worker alone writes its own pages, all read all. */
struct block {
	uint64_t serial, word[PAGE / 8 - 2], sum;
};
struct world {
	_Atomic uint64_t added[WORKERS], total;
	char fill[PAGE - 8 * (WORKERS + 1)];
	_Atomic uint32_t head, tail;
	uint64_t slot[RING];
	char fill2[PAGE - 8 * (RING + 1)];
	struct block block[WORKERS][BLOCKS]; /* seqlock by `serial`: odd while it is written */
	uint64_t own[WORKERS][OWN][PAGE / 8];
};

static struct world *world, *again; /* the same memory, mapped twice */
static time_t end;
static int beat; /* a pipe to make calls on, that are looked at in */
static uint64_t seed;

static uint64_t chance(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static int is_over(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec >= end;
}

/* A call that is recorded. */
static void call(void)
{
	char c = 'x';
	ssize_t n = write(beat, &c, 1);
	must(n == 1 || errno == EAGAIN);
	if (n < 0) {
		char all[4096];
		must(read(beat - 1, all, sizeof(all)) > 0 || errno == EAGAIN);
	}
}

static void write_block(struct block *b)
{
	uint64_t sum = 0;
	atomic_thread_fence(memory_order_seq_cst);
	__atomic_store_n(&b->serial, b->serial + 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < PAGE / 8 - 2; i++)
		sum += __atomic_load_n(&b->word[i], __ATOMIC_RELAXED) * 0 + (b->word[i] = chance());
	b->sum = sum;
	__atomic_store_n(&b->serial, b->serial + 1, __ATOMIC_SEQ_CST);
}

static void check_block(struct block *b)
{
	uint64_t sum = 0, before = __atomic_load_n(&b->serial, __ATOMIC_SEQ_CST);
	for (int i = 0; i < PAGE / 8 - 2; i++)
		sum += __atomic_load_n(&b->word[i], __ATOMIC_RELAXED);
	uint64_t told = __atomic_load_n(&b->sum, __ATOMIC_RELAXED);
	atomic_thread_fence(memory_order_seq_cst);
	if (before % 2 || before != __atomic_load_n(&b->serial, __ATOMIC_SEQ_CST))
		return;
	must(sum == told);
}

static void wait_for(_Atomic uint32_t *word, uint32_t value)
{
	const struct timespec limit = { .tv_nsec = 20000000 };
	syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}

/* Worker 0 produces numbers in order, worker 1 takes them. */
static void produce(uint64_t *next)
{
	uint32_t head = atomic_load(&world->head), tail = atomic_load(&world->tail);
	if (head - tail == RING) {
		wait_for(&world->tail, tail);
		return;
	}
	world->slot[head % RING] = ++*next * 0x9e3779b97f4a7c15;
	atomic_store(&world->head, head + 1);
	syscall(SYS_futex, &world->head, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void consume(uint64_t *next)
{
	uint32_t head = atomic_load(&world->head), tail = atomic_load(&world->tail);
	if (head == tail) {
		wait_for(&world->head, head);
		return;
	}
	must(again->slot[tail % RING] == ++*next * 0x9e3779b97f4a7c15);
	atomic_store(&world->tail, tail + 1);
	syscall(SYS_futex, &world->tail, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Its own pages: what it wrote there is there, whatever was done to the mapping. */
static uint64_t mine[OWN];

static void check_own(int me)
{
	for (int i = 0; i < OWN; i++)
		for (int k = 0; k < PAGE / 8; k += 73)
			must(world->own[me][i][k] == mine[i] && again->own[me][i][k] == mine[i]);
}

static void disturb(int me)
{
	int i = (int)(chance() % OWN);
	void *page = world->own[me][i];
	mine[i] = chance();
	for (int k = 0; k < PAGE / 8; k++)
		world->own[me][i][k] = mine[i];
	switch (chance() % 4) {
	case 0: /* protected, and not */
		must(!mprotect(page, PAGE, PROT_READ));
		must(*(uint64_t *)page == mine[i]);
		must(!mprotect(page, PAGE, PROT_READ | PROT_WRITE));
		break;
	case 1: { /* a second one of the same, moved, unmapped; then private memory there */
		char *copy = mremap(page, 0, PAGE, MREMAP_MAYMOVE);
		must(copy != MAP_FAILED && *(uint64_t *)copy == mine[i]);
		char *moved =
			mremap(copy, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, copy - 4L * PAGE * 1024);
		must(moved != MAP_FAILED && *(uint64_t *)moved == mine[i]);
		must(!munmap(moved, PAGE));
		uint64_t *private = mmap(moved, PAGE, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		must(private != MAP_FAILED);
		*private = mine[i];
		call();
		must(*private == mine[i] && !munmap(private, PAGE));
		break;
	}
	case 2: { /* a child has it too */
		pid_t pid = fork();
		must(pid >= 0);
		if (!pid) {
			must(*(uint64_t *)page == mine[i]);
			atomic_fetch_add(&world->total, 0);
			_exit(0);
		}
		int status;
		must(waitpid(pid, &status, 0) == pid && !status);
		break;
	}
	case 3:
		must(!msync((void *)((uintptr_t)page & -PAGE), PAGE, MS_SYNC));
		break;
	}
	check_own(me);
}

static void work(int me)
{
	uint64_t next = 0, added = 0;
	seed = 88172645463325252 + (uint64_t)me * 7919;
	for (int round = 0; round % 64 || !is_over(); round++) {
		for (int i = 0; i < 5; i++, added++) {
			atomic_fetch_add(&world->total, 1);
			atomic_fetch_add(&again->added[me], 1);
		}
		write_block(&world->block[me][chance() % BLOCKS]);
		check_block(&again->block[chance() % WORKERS][chance() % BLOCKS]);
		if (me == 0)
			produce(&next);
		if (me == 1)
			consume(&next);
		if (round % 16 == 0)
			disturb(me);
		call();
	}
	check_own(me);
	must(atomic_load(&world->added[me]) == added);
}

static sigjmp_buf back;

static void on_bus(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

/* A file that is cut off: what is behind its end is a SIGBUS, and what comes back is zero. */
static void cut(void)
{
	int fd = memfd_create("cut", 0);
	volatile char *at;
	const struct sigaction action = { .sa_handler = on_bus };
	must(fd >= 0 && !ftruncate(fd, 8L * PAGE) && !sigaction(SIGBUS, &action, NULL));
	at = mmap(NULL, 8L * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(at != MAP_FAILED);
	for (int round = 0; round < 50; round++) {
		at[5 * PAGE] = 5;
		at[PAGE] = (char)round;
		call();
		must(!ftruncate(fd, 2L * PAGE));
		call();
		volatile int faulted = 1;
		if (!sigsetjmp(back, 1)) {
			(void)at[5 * PAGE];
			faulted = 0;
		}
		must(faulted && at[PAGE] == (char)round);
		must(!ftruncate(fd, 8L * PAGE) && at[5 * PAGE] == 0);
	}
	must(!munmap((void *)at, 8L * PAGE) && !close(fd));
}

static void *stir(void *unused)
{
	for (int i = 0; i < 2000; i++) {
		char *p = mmap(NULL, 4L * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		must(p != MAP_FAILED);
		p[0] = 1;
		must(!munmap(p, 4L * PAGE));
		p = mmap(NULL, 4L * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(p != MAP_FAILED);
		for (int k = 0; k < 4; k++)
			p[k * PAGE] = (char)(i | 1);
		call();
		for (int k = 0; k < 4; k++)
			must(p[k * PAGE] == (char)(i | 1));
		must(!munmap(p, 4L * PAGE));
	}
	return unused;
}

/* Threads that map shared and private memory at the same addresses. */
static void threads(void)
{
	pthread_t thread[3];
	for (int i = 0; i < 3; i++)
		must(!pthread_create(&thread[i], NULL, stir, NULL));
	for (int i = 0; i < 3; i++)
		must(!pthread_join(thread[i], NULL));
}

static int make(const char *kind)
{
	char name[64];
	snprintf(name, sizeof(name), "/ipctrace-test-%d", getpid());
	int fd = !strcmp(kind, "memfd") ? memfd_create("load", 0)
					: shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	must(fd >= 0 && (!strcmp(kind, "memfd") || !shm_unlink(name)));
	must(!ftruncate(fd, sizeof(struct world)));
	return fd;
}

static void *map(int fd, int id)
{
	void *at = id >= 0 ? shmat(id, NULL, 0)
			   : mmap(NULL, sizeof(struct world), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(at != (void *)-1);
	return at;
}

int main(int argc, char **argv)
{
	int fd = -1, id = -1, fds[2], status;
	struct timespec now;
	must(argc > 2 && !pipe2(fds, O_NONBLOCK));
	beat = fds[1];
	must(beat == fds[0] + 1);
	if (!strcmp(argv[1], "sysv"))
		id = shmget(IPC_PRIVATE, sizeof(struct world), 0600);
	else
		fd = make(argv[1]);
	world = map(fd, id);
	again = map(fd, id);
	must(id < 0 || !shmctl(id, IPC_RMID, NULL));
	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + atoi(argv[2]);
	pid_t pid[WORKERS + 2];
	for (int i = 0; i < WORKERS + 2; i++) {
		pid[i] = fork();
		must(pid[i] >= 0);
		if (pid[i])
			continue;
		if (i < WORKERS)
			work(i);
		else if (i == WORKERS)
			cut();
		else
			threads();
		_exit(0);
	}
	for (int i = 0; i < WORKERS + 2; i++)
		must(waitpid(pid[i], &status, 0) == pid[i] && !status);
	uint64_t sum = 0;
	for (int i = 0; i < WORKERS; i++)
		sum += atomic_load(&world->added[i]);
	must(sum == atomic_load(&world->total));
	for (int i = 0; i < WORKERS; i++)
		for (int k = 0; k < BLOCKS; k++)
			check_block(&world->block[i][k]);
	puts("good");
	return 0;
}
