// SPDX-License-Identifier: BSD-2-Clause
/* Closes every descriptor that it did not open, as daemons do, in three ways; then goes on to use pipes. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_all(int way)
{
	if (way == 0)
		closefrom(3);
	else if (way == 1)
		close_range(3, ~0U, 0);
	else
		for (int fd = 3; fd < 4096; fd++)
			close(fd);
}

static int talk(void)
{
	char buffer[64];
	int ends[2], status;
	long total = 0;
	if (pipe(ends))
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		close_range(0, ~0U, 0);
		_exit(write(ends[1], "", 1) == -1 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	if (status)
		return -1;
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 100; i++)
			if (write(ends[1], "12345", 5) != 5)
				_exit(1);
		_exit(0);
	}
	close(ends[1]);
	for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0;)
		total += n;
	waitpid(pid, &status, 0);
	close(ends[0]);
	return status ? -1 : (int)total;
}

int main(void)
{
	int total = 0;
	for (int way = 0; way < 3; way++) {
		close_all(way);
		total += talk();
	}
	printf("%d\n", total);
	fflush(stdout);
	close_range(0, ~0U, 0);
	return talk() == 500 ? 0 : 1;
}
