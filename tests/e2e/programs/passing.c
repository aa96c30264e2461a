/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread accepts one UNIX connection after the other, under a storm of signals whose handler opens a
 * descriptor and at times jumps out, while another thread forks: every descriptor has the number that it
 * should have, and children have those of the process. Prints what was wrong. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 4000, FORKS = 300, FORK_LIMIT = 16 };
static sigjmp_buf back;
static volatile sig_atomic_t jumping, odd, handled;
static int first; /* free descriptor */
static volatile int done;

static void on_alarm(int number)
{
	(void)number;
	int fd = dup(0);
	odd += fd > first + 2; /* the client's socket and the accepted one are open, at most */
	close(fd);
	if (jumping && ++handled % 2)
		siglongjmp(back, 1);
}

static int count_open(void)
{
	int n = 0;
	for (int fd = 0; fd < FORK_LIMIT; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void *fork_often(void *unused)
{
	int wrong = 0;
	for (int i = 0; i < FORKS; i++) {
		int status;
		pid_t child = fork();
		if (child == 0)
			_exit(count_open());
		while (waitpid(child, &status, 0) < 0)
			;
		wrong += WEXITSTATUS(status) > first + 2;
	}
	done = 1;
	printf("children: %d\n", wrong);
	return unused;
}

int main(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(name);
	struct itimerval storm = { { 0, 100 }, { 0, 100 } }, calm = { 0 };
	pthread_t thread;
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t));
	getsockname(listener, (struct sockaddr *)&name, &size);
	listen(listener, 100);
	first = dup(0);
	close(first);
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &storm, NULL);
	for (volatile int i = 0; i < ROUNDS; i++) {
		int client = socket(AF_UNIX, SOCK_STREAM, 0);
		connect(client, (struct sockaddr *)&name, size);
		if (!sigsetjmp(back, 1)) {
			jumping = 1;
			close(accept(listener, NULL, NULL));
		}
		jumping = 0;
		close_range(first, ~0U, 0);
	}
	setitimer(ITIMER_REAL, &calm, NULL);
	int last = dup(0);
	printf("handlers: %d, left: %d\n", odd, last - first);
	close(last);
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_create(&thread, NULL, fork_often, NULL);
	while (!done) {
		int client = socket(AF_UNIX, SOCK_STREAM, 0);
		connect(client, (struct sockaddr *)&name, size);
		close(accept(listener, NULL, NULL));
		close(client);
		close(eventfd(0, 0));
	}
	pthread_join(thread, NULL);
	return EXIT_SUCCESS;
}
