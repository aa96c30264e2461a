// SPDX-License-Identifier: BSD-2-Clause
/*
 * Children that share memory with their parent in every way that clone offers, each on a stack of its own:
 * CLONE_VM alone (the parent runs on beside it), with CLONE_FILES, with CLONE_VFORK; and without CLONE_VM.
 * Each writes to a pipe, some execute a program, while other threads of the parent talk too. Prints what
 * came.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK = 65536, ROUNDS = 25, BESIDE = 2 };

static int ends[2];
static atomic_int stop;

static int writes(void *text)
{
	return write(ends[1], text, 5) == 5 ? 7 : 1;
}

static int writes_often(void *text)
{
	for (int i = 0; i < 100; i++)
		if (write(ends[1], text, 5) != 5)
			return 1;
	return 7;
}

static int executes(void *unused)
{
	dup2(ends[1], 1);
	execl("/bin/echo", "echo", "exec", NULL);
	(void)unused;
	return 1;
}

static void *beside(void *unused)
{
	int own[2];
	long moved = 0;
	char byte;
	if (pipe2(own, 0))
		return NULL;
	while (!stop)
		moved += write(own[1], "x", 1) == 1 && read(own[0], &byte, 1) == 1;
	(void)unused;
	return (void *)moved;
}

static long take(long wanted)
{
	char buffer[4096];
	long total = 0;
	while (total < wanted) {
		ssize_t n = read(ends[0], buffer, sizeof(buffer));
		if (n <= 0)
			exit(2);
		total += n;
	}
	return total;
}

static long child(int (*work)(void *), int flags, long bytes, int status)
{
	int ended;
	char *stack =
		mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	pid_t pid = clone(work, stack + STACK, flags | SIGCHLD, "12345");
	if (pid < 0)
		exit(3);
	long got = take(bytes);
	if (waitpid(pid, &ended, 0) != pid || WEXITSTATUS(ended) != status)
		exit(4);
	munmap(stack, STACK);
	return got;
}

int main(int argc, char **argv)
{
	pthread_t threads[BESIDE];
	int others = argc > 1 ? atoi(argv[1]) : 0;
	void *moved;
	long total = 0;
	if (pipe(ends))
		return 1;
	for (int i = 0; i < others; i++)
		pthread_create(&threads[i], NULL, beside, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		total += child(writes, CLONE_VM | CLONE_VFORK, 5, 7);
		total += child(executes, CLONE_VM | CLONE_VFORK, 5, 0);
		total += child(writes, CLONE_VM, 5, 7);
		total += child(writes_often, CLONE_VM, 500, 7);
		total += child(writes_often, CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND, 500, 7);
		total += child(executes, CLONE_VM, 5, 0);
		total += child(writes_often, 0, 500, 7);
		total += child(executes, 0, 5, 0);
	}
	stop = 1;
	for (int i = 0; i < others; i++) {
		pthread_join(threads[i], &moved);
		if (!moved)
			return 5;
	}
	printf("%ld\n", total);
	return 0;
}
