// SPDX-License-Identifier: BSD-2-Clause
/* Copies its input to its output. With arguments it executes them instead, in a child. */
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char buffer[4096];
	int status = 0;

	if (argc > 1) {
		pid_t pid = fork();
		if (!pid) {
			execvp(argv[1], argv + 1);
			_exit(127);
		}
		return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 1;
	}
	for (ssize_t n; (n = read(0, buffer, sizeof(buffer))) > 0;)
		if (write(1, buffer, n) != n)
			return 1;
	return 0;
}
