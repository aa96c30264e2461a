// SPDX-License-Identifier: BSD-2-Clause
/* Hands one end of a pipe to a program by posix_spawn, whose child closes both; then closes its own. */
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	char *args[] = { "echo", "hello", NULL }, buffer[64];
	posix_spawn_file_actions_t actions;
	long n, total = 0;
	pid_t child;
	int fds[2];
	if (pipe(fds) || posix_spawn_file_actions_init(&actions))
		return 1;
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	posix_spawn_file_actions_addclose(&actions, fds[0]);
	posix_spawn_file_actions_addclose(&actions, fds[1]);
	if (posix_spawn(&child, "/bin/echo", &actions, NULL, args, environ))
		return 1;
	close(fds[1]);
	while ((n = read(fds[0], buffer, sizeof(buffer))) > 0)
		total += n;
	close(fds[0]);
	printf("%ld\n", total);
	return waitpid(child, NULL, 0) != child;
}
