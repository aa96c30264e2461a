// SPDX-License-Identifier: BSD-2-Clause
/* A writer that is killed while it is blocked: what it had written before, and what the pipe took of the
 * write that never returned, arrive. Prints the writer's pid, then the bytes that came. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void writer(int fd)
{
	static char big[1 << 20];
	for (int i = 0; i < 10; i++)
		if (write(fd, big, 100) != 100)
			_exit(1);
	if (write(fd, big, sizeof(big)))
		_exit(2);
}

int main(void)
{
	static char buffer[4096];
	int ends[2], status;
	long total = 0;
	if (pipe(ends))
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		writer(ends[1]);
	}
	close(ends[1]);
	usleep(300000); /* it has filled the pipe by now */
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0;)
		total += n;
	printf("%d %ld\n", pid, total);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 1;
}
