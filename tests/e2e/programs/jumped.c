// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads of a pipe that a handler jumps out of, each followed from the same frame by a call that has nothing
 * to do with the pipe. Then a read that a handler on an alternate stack, above the read's frame, interrupts.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf jump;
static int pipe_fds[2], other[2];

static void leave(int number)
{
	siglongjmp(jump, number);
}

static void note(int number)
{
	(void)number;
	if (write(other[1], "note", 4) != 4)
		_exit(1);
}

static __attribute__((noinline)) long get(int fd, char *to, size_t size)
{
	long n = read(fd, to, size);
	__asm__ volatile("");
	return n;
}

static __attribute__((noinline)) long call(long number)
{
	long n = syscall(number);
	__asm__ volatile("");
	return n;
}

static void soon(void)
{
	setitimer(ITIMER_REAL, &(struct itimerval){ .it_value.tv_usec = 20000 }, NULL);
}

int main(void)
{
	char buffer[256], alternate[65536];
	int file = open("/proc/self/exe", O_RDONLY);
	if (pipe(pipe_fds) || pipe(other) || get(file, buffer, 99) != 99)
		return 1;
	signal(SIGALRM, leave);
	if (!sigsetjmp(jump, 1)) {
		soon();
		get(pipe_fds[0], buffer, 100);
	}
	long n = get(file, buffer, 77);
	if (!sigsetjmp(jump, 1)) {
		soon();
		get(pipe_fds[0], buffer, 100);
	}
	call(SYS_gettid);

	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	struct sigaction action = { .sa_handler = note, .sa_flags = SA_ONSTACK | SA_RESTART };
	sigaltstack(&stack, NULL);
	sigaction(SIGALRM, &action, NULL);
	if (fork() == 0) {
		usleep(100000);
		_exit(write(pipe_fds[1], "0123456789", 10) != 10);
	}
	soon();
	printf("%ld %ld\n", n, get(pipe_fds[0], buffer, 100));
	wait(NULL);
	return 0;
}
