// SPDX-License-Identifier: BSD-2-Clause
/*
 * sampled NAME: processes that read and write shared memory, and print the truth: "touched PID READ WRITTEN"
 * of each, "edge FROM TO PAGES", "data good" once all is as it must be.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
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

int main(int argc, char **argv)
{
	must(argc > 2);
	memory = map(argv[2], PAGES * PAGE);
	if (!strcmp(argv[1], "who"))
		who();
	puts("data good");
	return 0;
}
