// SPDX-License-Identifier: BSD-2-Clause
/*
 * A storm of signals: four threads talk to themselves through a pipe each, one more signals them as fast as
 * it can. Their handlers, on the thread's stack or on one of their own, write to a pipe, one handler within
 * another, and some jump out of a read that blocks. Prints how much each pipe moved, and on stderr how many
 * bytes the handlers wrote.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 20000, JUMPS = 50 };

static int handlers[2], blocked[2];
static atomic_long handled;
static atomic_int running = THREADS;
static _Thread_local volatile sig_atomic_t may_jump;
static _Thread_local sigjmp_buf again;

static void on_signal(int number)
{
	int error = errno;
	if (write(handlers[1], "hand", number == SIGUSR1 ? 3 : 4) > 0)
		handled += number == SIGUSR1 ? 3 : 4;
	if (number == SIGUSR1)
		raise(SIGUSR2);
	errno = error;
	if (may_jump && number == SIGUSR1) {
		may_jump = 0;
		siglongjmp(again, 1);
	}
}

static void *drain(void *unused)
{
	static char buffer[65536];
	long total = 0;
	for (ssize_t n; (n = read(handlers[0], buffer, sizeof(buffer))) > 0;)
		total += n;
	(void)unused;
	return (void *)total;
}

static void own_stack(int yes)
{
	enum { SIZE = 65536 };
	stack_t stack = { .ss_sp = malloc(SIZE), .ss_size = SIZE };
	if (yes)
		sigaltstack(&stack, NULL);
}

static void jump_out(void)
{
	volatile int jumps = 0;
	char byte;
	sigsetjmp(again, 1);
	if (jumps++ == JUMPS)
		return;
	may_jump = 1;
	while (read(blocked[0], &byte, 1) < 0) /* nobody writes there */
		may_jump = 1;
}

static void *talk(void *number)
{
	int own[2];
	long moved = 0;
	char byte;
	own_stack((long)number % 2);
	if (pipe(own))
		return NULL;
	for (int i = 0; i < ROUNDS; i++)
		moved += write(own[1], "x", 1) == 1 && read(own[0], &byte, 1) == 1;
	jump_out();
	for (int i = 0; i < ROUNDS; i++)
		moved += write(own[1], "x", 1) == 1 && read(own[0], &byte, 1) == 1;
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	running--;
	return (void *)moved;
}

int main(void)
{
	struct sigaction plain = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction nested = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK };
	pthread_t threads[THREADS], drainer;
	void *moved;
	if (pipe(handlers) || pipe(blocked))
		return 1;
	fcntl(handlers[1], F_SETFL, O_NONBLOCK);
	sigaction(SIGUSR2, &plain, NULL);
	sigaction(SIGUSR1, &nested, NULL);
	pthread_create(&drainer, NULL, drain, NULL);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, talk, (void *)i);
	while (running)
		for (int i = 0; i < THREADS; i++) {
			pthread_kill(threads[i], SIGUSR1);
			sched_yield();
		}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &moved);
		printf("%ld\n", (long)moved);
	}
	close(handlers[1]);
	pthread_join(drainer, &moved);
	printf("handlers: %s\n", (long)moved == handled ? "all" : "not all");
	fprintf(stderr, "%ld\n", (long)handled);
	return 0;
}
