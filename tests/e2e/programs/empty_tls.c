// SPDX-License-Identifier: BSD-2-Clause
/* A child that shares memory with its waiting parent but has an empty block for thread-local storage, as
 * Chromium makes one to put itself into an empty folder: it writes, is hit by a signal that is handled, and
 * exits with 7. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void handle(int number)
{
	(void)number;
	write(1, "handled\n", 8);
}

static int child(void *unused)
{
	(void)unused;
	write(1, "child\n", 6);
	kill(getpid(), SIGUSR1);
	_exit(7);
}

int main(void)
{
	static char stack[65536] __attribute__((aligned(16))), storage[65536] __attribute__((aligned(16)));
	int status;

	signal(SIGUSR1, handle);
	pid_t pid = clone(child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_SETTLS | SIGCHLD, NULL,
			  NULL, storage + sizeof(storage) / 2);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	dprintf(1, "status %x\n", status);
	return 0;
}
