// SPDX-License-Identifier: BSD-2-Clause
/*
 * sampled NAME: processes that read and write shared memory, and print the truth: "touched PID READ WRITTEN"
 * of each, "edge FROM TO PAGES", "data good" once all is as it must be.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 32 };

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static char *memory;
static int told[4][2]; /* pipes that say whose turn it is */

static void turn(int who)
{
	char c;
	must(read(told[who][0], &c, 1) == 1);
}

static void next(int who)
{
	must(write(told[who][1], "", 1) == 1);
}

static pid_t start(void (*work)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid)
		return pid;
	work();
	_exit(0);
}

static void join(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid && status == 0);
}

static void touch(int first, int last, int writes)
{
	for (int i = first; i <= last; i++) {
		volatile char *at = memory + (long)i * PAGE + 17;
		if (writes)
			*at = (char)i;
		else
			must(*at == 0 || *at == (char)i);
	}
}

static void a(void)
{
	turn(0);
	touch(0, 9, 1);
	next(1);
	turn(0);
}

static void b(void)
{
	turn(1);
	touch(3, 5, 0);
	next(2);
	turn(1);
}

static void c(void)
{
	turn(2);
	touch(20, 20, 0);
	next(3);
	turn(2);
}

/* A writes pages 0-9, then B reads 3-5, then C reads 20. */
static void who(void)
{
	void (*const work[])(void) = { a, b, c };
	const int read[] = { 0, 3, 1 }, written[] = { 10, 0, 0 };
	pid_t pid[3];
	for (int i = 0; i < 4; i++)
		must(!pipe(told[i]));
	for (int i = 0; i < 3; i++)
		pid[i] = start(work[i]);
	next(0);
	turn(3);
	for (int i = 0; i < 3; i++)
		next(i);
	printf("touched %d 0 0\n", getpid());
	for (int i = 0; i < 3; i++) {
		join(pid[i]);
		printf("touched %d %d %d\n", pid[i], read[i], written[i]);
		printf("edge %d %d 0\nedge %d %d 0\n", getpid(), pid[i], pid[i], getpid());
		for (int k = 0; k < 3; k++)
			if (k != i)
				printf("edge %d %d %d\n", pid[i], pid[k], i == 0 && k == 1 ? 3 : 0);
	}
}

static void *map(const char *how, size_t size)
{
	int fd = -1;
	if (!strcmp(how, "sysv")) {
		int id = shmget(IPC_PRIVATE, size, 0600);
		must(id >= 0);
		void *at = shmat(id, NULL, 0);
		must(!shmctl(id, IPC_RMID, NULL) && at != (void *)-1);
		return at;
	}
	if (!strcmp(how, "posix")) {
		char name[64];
		snprintf(name, sizeof(name), "/ipctrace-test-%d", getpid());
		fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
		must(fd >= 0 && !shm_unlink(name));
	} else if (!strcmp(how, "memfd")) {
		fd = memfd_create("sampled", 0);
	}
	must(fd < 0 || !ftruncate(fd, (off_t)size));
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
	must(at != MAP_FAILED);
	if (fd >= 0)
		close(fd);
	return at;
}

/* A process that writes some pages, does something, and writes more; another one reads them all. */
static void (*between)(void);

static void writes(void)
{
	turn(0);
	touch(0, 3, 1);
	between();
	touch(4, 6, 1);
	next(1);
	turn(0);
}

static void reads(void)
{
	turn(1);
	touch(0, 6, 0);
	next(3);
	turn(1);
}

static void two(int pages)
{
	for (int i = 0; i < 4; i++)
		must(!pipe(told[i]));
	pid_t writer = start(writes), reader = start(reads);
	next(0);
	turn(3);
	next(0);
	next(1);
	join(writer);
	join(reader);
	printf("edge %d %d %d\n", writer, reader, pages);
}

/* All descriptors but those that it needs. */
static void close_all(void)
{
	next(2); /* what was written before is told at the latest in the calls that are made here */
	usleep(20000);
	next(2);
	must(!close_range(told[3][1] + 1, ~0U, 0));
	for (int i = 0; i < 3; i++)
		next(2);
	must(dup2(1, 1010) == 1010 && !close(1010));
	usleep(20000);
	next(2);
}

static void fork_one(void)
{
	pid_t pid = fork();
	must(pid >= 0);
	if (!pid) {
		usleep(20000);
		next(2);
		_exit(0);
	}
	join(pid);
}

static void *sleeps(void *unused)
{
	turn(2);
	return unused;
}

/* From here on only what it writes is seen. */
static void thread(void)
{
	pthread_t other;
	must(!pthread_create(&other, NULL, sleeps, NULL));
	usleep(20000);
	next(2);
	must(!pthread_join(other, NULL));
}

static void lock(void)
{
	usleep(20000);
	next(2);
	must(!mlock(memory, PAGES * PAGE));
	usleep(20000);
	next(2);
	must(!munlock(memory, PAGES * PAGE));
}

/* The program watches the memory itself: it can, as if nobody else did. */
static void own(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .range = { (uintptr_t)memory, PAGES * PAGE },
					 .mode = UFFDIO_REGISTER_MODE_MISSING };
	next(2);
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	must(fd >= 0 && !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &range) && !close(fd));
}

/* None of these is sampled, and all are as they are otherwise. */
static void refused(const char *folder)
{
	char name[4096], *at[4];
	snprintf(name, sizeof(name), "%s/file", folder);
	int file = open(name, O_RDWR | O_CREAT, 0600), memfd = memfd_create("refused", 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", memfd);
	must(file >= 0 && memfd >= 0 && !ftruncate(file, PAGE) && !ftruncate(memfd, PAGE));
	int readonly = open(name, O_RDONLY);
	at[0] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	at[1] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_LOCKED, memfd, 0);
	at[2] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, readonly, 0);
	at[3] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd, 0);
	for (int i = 0; i < 4; i++)
		must(at[i] != MAP_FAILED);
	must(!pipe(told[0]));
	at[0][0] = at[1][0] = 1;
	at[3][0] = 7;
	for (int i = 0; i < 100; i++) {
		next(0);
		must(at[0][0] == 1 && at[1][0] == 1 && at[2][0] == 1 && at[3][0] == 7);
		usleep(100);
	}
}

/* Where it found no descriptor: none is taken from it. */
static void few_descriptors(void)
{
	int fd[16], n = 0;
	const struct rlimit limit = { 12, 12 };
	must(!setrlimit(RLIMIT_NOFILE, &limit));
	memory = map("anonymous", PAGE);
	while (n < 16 && (fd[n] = dup(0)) >= 0)
		n++;
	must(n < 16 && errno == EMFILE);
	for (int i = 0; i < n; i++)
		must(fd[i] < 12 && !close(fd[i]));
	printf("%d\n", n);
}

static const struct {
	const char *name;
	void (*between)(void);
	int pages;
} pairs[] = { { "closed", close_all, 7 },
	      { "forked", fork_one, 7 },
	      { "threaded", thread, 7 },
	      { "locked", lock, 4 },
	      { "own", own, 4 } };

int main(int argc, char **argv)
{
	must(argc > 2);
	if (!strcmp(argv[1], "refused"))
		refused(argv[2]);
	else if (!strcmp(argv[1], "few"))
		few_descriptors();
	else
		memory = map(argv[2], PAGES * PAGE);
	if (!strcmp(argv[1], "who"))
		who();
	for (unsigned int i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (!strcmp(argv[1], pairs[i].name)) {
			between = pairs[i].between;
			two(pairs[i].pages);
		}
	puts("data good");
	return 0;
}
