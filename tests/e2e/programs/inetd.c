/* SPDX-License-Identifier: BSD-2-Clause */
/* Two threads answer connections, while the main thread makes them and gives each to a child as its standard
 * input, by posix_spawn, vfork and fork. Prints how many children got what they sent, and the descriptor
 * number that they expected. */
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { CHILDREN = 150, SERVERS = 2, WELL = 33 };
static struct sockaddr_un name = { .sun_family = AF_UNIX };
static socklen_t size = sizeof(name);
static int listener;

static int connected(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&name, size))
		abort();
	return fd;
}

static void *serve(void *unused)
{
	char b[64];
	ssize_t n;
	do {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		n = recv(fd, b, sizeof(b), 0);
		send(fd, b, n, MSG_NOSIGNAL);
		close(fd);
	} while (n);
	return unused;
}

static int child(void)
{
	char b[8];
	send(0, "one", 3, 0);
	ssize_t n = recv(0, b, sizeof(b), 0);
	return 10 * open("/dev/null", O_RDONLY) + (int)n;
}

static pid_t start(int way, int fd, char **args)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	if (way == 0) {
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_adddup2(&actions, fd, 0);
		if (posix_spawn(&pid, args[0], &actions, NULL, args, environ))
			abort();
		return pid;
	}
	pid = way == 1 ? vfork() : fork();
	if (pid == 0) {
		dup2(fd, 0);
		execv(args[0], args);
		_exit(1);
	}
	return pid;
}

int main(int argc, char **argv)
{
	char *args[] = { argv[0], "child", NULL };
	pthread_t servers[SERVERS];
	int well = 0, status;
	if (argc > 1)
		return child();
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)) || listen(listener, 10) ||
	    getsockname(listener, (struct sockaddr *)&name, &size))
		return 1;
	for (int i = 0; i < SERVERS; i++)
		pthread_create(&servers[i], NULL, serve, NULL);
	for (int i = 0; i < CHILDREN; i++) {
		int fd = connected();
		pid_t pid = start(i % 3, fd, args);
		close(fd);
		waitpid(pid, &status, 0);
		well += WIFEXITED(status) && WEXITSTATUS(status) == WELL;
	}
	for (int i = 0; i < SERVERS; i++)
		close(connected());
	for (int i = 0; i < SERVERS; i++)
		pthread_join(servers[i], NULL);
	printf("%d\n", well);
	return EXIT_SUCCESS;
}
