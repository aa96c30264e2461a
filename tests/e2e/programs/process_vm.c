// SPDX-License-Identifier: BSD-2-Clause
/*
 * process_vm OUTSIDE: reads and writes the memory of other processes in every way, and prints "moved FROM TO
 * CALLS BYTES" and "failed ERRNO". OUTSIDE is the pid of a process that is not traced, or 0.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 1000 };

static char memory[SIZE] = "parent";
static long word = 1;

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static void moved(pid_t from, pid_t to, int calls, long bytes)
{
	printf("moved %d %d %d %ld\n", from, to, calls, bytes);
}

static pid_t start(void)
{
	fflush(stdout);
	pid_t pid = fork();
	must(pid >= 0);
	if (!pid) {
		strcpy(memory, "child");
		word = 2;
		must(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		raise(SIGSTOP);
		_exit(strcmp(memory, "CHILD") || word != 3);
	}
	must(waitpid(pid, NULL, WUNTRACED) == pid);
	return pid;
}

static void vectors(pid_t child)
{
	char here[SIZE];
	struct iovec local = { here, SIZE }, whole = { memory, SIZE };
	struct iovec two[] = { { memory, 10 }, { memory + 100, 20 } };
	must(process_vm_readv(child, &local, 1, &whole, 1, 0) == SIZE && !strcmp(here, "child"));
	must(process_vm_readv(child, &local, 1, two, 2, 0) == 30);
	struct iovec bad[] = { { memory, 50 }, { NULL, 50 } };
	must(process_vm_readv(child, &local, 1, bad, 2, 0) == 50); /* as far as it came */
	moved(child, getpid(), 3, SIZE + 30 + 50);
	strcpy(here, "CHILD");
	local.iov_len = 6;
	must(process_vm_writev(child, &local, 1, &whole, 1, 0) == 6);
	moved(getpid(), child, 1, 6);
	must(process_vm_readv(child, &local, 1, &bad[1], 1, 0) == -1 && errno == EFAULT);
	printf("failed %d\n", errno);
}

static void words(pid_t child)
{
	errno = 0;
	must(ptrace(PTRACE_PEEKDATA, child, &word, NULL) == 2 && !errno);
	must(ptrace(PTRACE_PEEKTEXT, child, &word, NULL) == 2 && !errno);
	ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, regs.rip), NULL);
	must(!errno);
	moved(child, getpid(), 3, 3 * sizeof(long));
	must(!ptrace(PTRACE_POKEDATA, child, &word, 4));
	must(!ptrace(PTRACE_POKETEXT, child, &word, 3));
	must(!ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[7]), 0));
	moved(getpid(), child, 3, 3 * sizeof(long));
	must(ptrace(PTRACE_PEEKDATA, child, 8, NULL) == -1 && (errno == EIO || errno == EFAULT));
	printf("failed %d\n", errno);
}

static pid_t tid;
static int ready[2], done[2];

static void *other_thread(void *unused)
{
	char c;
	(void)unused;
	tid = (pid_t)syscall(SYS_gettid);
	must(write(ready[1], &tid, sizeof(tid)) == sizeof(tid));
	must(read(done[0], &c, 1) == 1);
	return NULL;
}

/* Named by one of its threads. */
static void by_thread(void)
{
	char here[SIZE];
	must(!pipe(ready) && !pipe(done));
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		pthread_t thread;
		must(!pthread_create(&thread, NULL, other_thread, NULL) && !pthread_join(thread, NULL));
		_exit(0);
	}
	must(read(ready[0], &tid, sizeof(tid)) == sizeof(tid));
	struct iovec local = { here, SIZE }, whole = { memory, SIZE };
	must(process_vm_readv(tid, &local, 1, &whole, 1, 0) == SIZE);
	moved(child, getpid(), 1, SIZE);
	must(write(done[1], here, 1) == 1);
	must(waitpid(child, NULL, 0) == child);
}

int main(int argc, char **argv)
{
	must(argc == 2);
	pid_t outside = atoi(argv[1]), child = start();
	int status;
	vectors(child);
	words(child);
	must(!ptrace(PTRACE_CONT, child, NULL, NULL) && waitpid(child, &status, 0) == child && !status);
	struct iovec own = { memory, SIZE };
	must(process_vm_readv(child, &own, 1, &own, 1, 0) == -1 && errno == ESRCH);
	printf("failed %d\n", errno);
	must(process_vm_readv(getpid(), &own, 1, &own, 1, 0) == SIZE); /* is no communication */
	by_thread();
	if (outside) {
		unsigned long entry[2] = { 0 };
		FILE *f;
		char path[64], line[256];
		snprintf(path, sizeof(path), "/proc/%d/maps", outside);
		must((f = fopen(path, "r")) && fgets(line, sizeof(line), f) &&
		     sscanf(line, "%lx", &entry[1]) == 1);
		fclose(f);
		struct iovec here = { entry, 4 }, there = { (void *)entry[1], 4 };
		must(process_vm_readv(outside, &here, 1, &there, 1, 0) == 4);
		moved(outside, getpid(), 1, 4);
	}
	return 0;
}
