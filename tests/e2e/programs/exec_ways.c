// SPDX-License-Identifier: BSD-2-Clause
/* exec_ways PROGRAM: has a child execute it by each of the functions for that, and writes six bytes to it. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void execute(int way, const char *name, const char *path)
{
	char *argv[] = { (char *)name, NULL };
	switch (way) {
	case 0:
		execve(path, argv, environ);
		break;
	case 1:
		execv(path, argv);
		break;
	case 2:
		execvp(name, argv);
		break;
	case 3:
		execvpe(name, argv, environ);
		break;
	case 4:
		execl(path, name, NULL);
		break;
	case 5:
		execlp(name, name, NULL);
		break;
	case 6:
		execle(path, name, NULL, environ);
		break;
	case 7:
		fexecve(open(path, O_RDONLY | O_CLOEXEC), argv, environ);
		break;
	case 8:
		execveat(AT_FDCWD, path, argv, environ, 0);
		break;
	}
	_exit(1);
}

static pid_t spawn(int way, const char *name, const char *path, int input, int other)
{
	pid_t pid;
	posix_spawn_file_actions_t actions;
	char *argv[] = { (char *)name, NULL };
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, 0);
	posix_spawn_file_actions_addclose(&actions, other);
	int error = way ? posix_spawnp(&pid, name, &actions, NULL, argv, environ)
			: posix_spawn(&pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return error ? -1 : pid;
}

static pid_t start(int way, const char *name, const char *path, int input, int other)
{
	if (way >= 9)
		return spawn(way - 9, name, path, input, other);
	pid_t pid = fork();
	if (!pid) {
		dup2(input, 0);
		close(other);
		execute(way, name, path);
	}
	return pid;
}

int main(int argc, char **argv)
{
	char path[256];
	if (argc != 2)
		return 2;
	snprintf(path, sizeof(path), "/usr/bin/%s", argv[1]);
	for (int way = 0; way < 11; way++) {
		int fd[2], status;
		if (pipe2(fd, O_CLOEXEC))
			return 1;
		pid_t pid = start(way, argv[1], path, fd[0], fd[1]);
		close(fd[0]);
		if (pid < 0 || write(fd[1], "hello\n", 6) != 6)
			return 1;
		close(fd[1]);
		if (waitpid(pid, &status, 0) != pid || status) {
			fprintf(stderr, "way %d: %x\n", way, status);
			return 1;
		}
	}
	pid_t pid;
	char *none[] = { "none", NULL };
	printf("%d %d\n", posix_spawn(&pid, "/nonexistent", NULL, NULL, none, environ),
	       execl("/nonexistent", "x", NULL));
	return 0;
}
