// SPDX-License-Identifier: BSD-2-Clause
/* A child that stops, goes on, and exits or is killed, and a parent that waits for all that without asking
 * for a status. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int condition)
{
	if (!condition)
		exit(1);
}

static void life(int ends)
{
	pid_t pid = fork();
	if (!pid) {
		raise(SIGSTOP);
		if (!ends)
			pause();
		_exit(0);
	}
	must(waitpid(pid, NULL, WUNTRACED) == pid);
	must(!ptrace(PTRACE_SEIZE, pid, 0, 0) && !kill(pid, SIGCONT));
	must(!ptrace(PTRACE_INTERRUPT, pid, 0, 0) && waitpid(pid, NULL, 0) == pid);
	must(!ptrace(PTRACE_DETACH, pid, 0, 0));
	if (!ends)
		must(!kill(pid, SIGKILL));
	must(waitpid(pid, NULL, 0) == pid);
	printf("%d\n", pid);
}

int main(void)
{
	life(1);
	life(0);
	return 0;
}
