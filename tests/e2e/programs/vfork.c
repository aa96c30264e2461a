// SPDX-License-Identifier: BSD-2-Clause
/* vfork: a child that borrows its parent's memory writes, then exits or becomes another program. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	volatile int sum = 0, i;
	int ends[2];
	char buffer[64];
	if (pipe(ends))
		return 1;
	for (i = 0; i < 200; i++) {
		int status;
		pid_t pid = vfork();
		if (pid == 0) {
			ssize_t n = write(ends[1], "vfork", 5);
			if (i % 2 == 0)
				_exit(n == 5 ? 7 : 1);
			dup2(ends[1], 1);
			execl("/bin/echo", "echo", "hi", NULL);
			_exit(1);
		}
		ssize_t n = read(ends[0], buffer, 5);
		if (i % 2)
			n += read(ends[0], buffer, 3);
		if (waitpid(pid, &status, 0) != pid)
			return 1;
		sum += (int)n + WEXITSTATUS(status);
	}
	printf("%d\n", sum);
	return 0;
}
