// SPDX-License-Identifier: BSD-2-Clause
/* posix_spawn and posix_spawnp with file actions: children that vfork made, with our pipe as their stdout. */
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(void)
{
	char *const argv[] = { "seq", "1", "1000", NULL };
	for (int i = 0; i < 10; i++) {
		int ends[2], status;
		pid_t pid;
		posix_spawn_file_actions_t actions;
		if (pipe(ends))
			return 1;
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_addclose(&actions, ends[0]);
		posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
		posix_spawn_file_actions_addclose(&actions, ends[1]);
		if (i % 2 ? posix_spawnp(&pid, "seq", &actions, NULL, argv, environ)
			  : posix_spawn(&pid, "/usr/bin/seq", &actions, NULL, argv, environ))
			return 1;
		posix_spawn_file_actions_destroy(&actions);
		close(ends[1]);
		char buffer[1000];
		long total = 0;
		for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0;)
			total += n;
		close(ends[0]);
		if (waitpid(pid, &status, 0) != pid || status)
			return 1;
		printf("%ld\n", total);
	}
	return 0;
}
