// SPDX-License-Identifier: BSD-2-Clause
/*
 * waits: takes the ends of its children in every way that does not ask how it was, between stops that are no
 * end, and prints "pid" and the pid of each.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int good)
{
	if (good)
		return;
	perror("waits");
	exit(1);
}

static long waitid_(int by, long id, int options)
{
	return syscall(SYS_waitid, by, id, NULL, options, NULL);
}

int main(void)
{
	for (int how = 0; how < 5; how++) {
		pid_t child = fork();
		must(child >= 0);
		if (!child) {
			raise(0);
			raise(SIGSTOP);
			_exit(how);
		}
		long fd = syscall(SYS_pidfd_open, child, 0);
		must(fd >= 0);
		if (how % 2)
			must(waitpid(child, NULL, WUNTRACED) == child);
		else
			must(!waitid_(P_PID, child, WSTOPPED | WEXITED));
		must(!waitid_(P_PID, child, WEXITED | WNOHANG) && !kill(child, SIGCONT));
		must(!waitid_(P_PIDFD, fd, WEXITED | WNOWAIT));
		switch (how) {
		case 0:
			must(waitpid(child, NULL, 0) == child);
			break;
		case 1:
			must(waitpid(-1, NULL, WUNTRACED | WCONTINUED) == child);
			break;
		case 2:
			must(!waitid_(P_PID, child, WEXITED));
			break;
		case 3:
			must(!waitid_(P_PIDFD, fd, WEXITED | WSTOPPED));
			break;
		case 4: /* nobody is told who it was */
			must(!waitid_(P_ALL, 0, WEXITED));
			continue;
		}
		close((int)fd);
		printf("%d %d\n", child, how);
	}
	return 0;
}
