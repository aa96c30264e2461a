// SPDX-License-Identifier: BSD-2-Clause
/* A timer's signal handler that writes to a pipe every 100 us while the main program writes to another one as
 * fast as it can; now and then the handler jumps out of what it interrupted. Prints what each wrote. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int quiet[2], busy[2];
static volatile sig_atomic_t handled, may_jump;
static sigjmp_buf again;

static void on_alarm(int signal)
{
	(void)signal;
	if (write(quiet[1], "hand", 4) == 4)
		handled++;
	if (may_jump && handled % 50 == 0)
		siglongjmp(again, 1);
}

static long drain(int fd)
{
	static char buffer[65536];
	long total = 0;
	for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;)
		total += n;
	return total;
}

static pid_t start_reader(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		close(busy[1]);
		close(quiet[1]);
		long from_main = drain(busy[0]), from_handler = drain(quiet[0]);
		_exit(from_main == 300000 && from_handler % 4 == 0 ? 0 : 1);
	}
	return pid;
}

int main(void)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval timer = { { 0, 100 }, { 0, 100 } };
	volatile int i = 0, jumps = 0;
	char byte;
	int status, blocked[2];

	if (pipe(quiet) || pipe(busy) || pipe(blocked))
		return 1;
	fcntl(quiet[1], F_SETPIPE_SZ, 1 << 20);
	fcntl(quiet[1], F_SETFL, O_NONBLOCK);
	pid_t pid = start_reader();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (; i < 300000; i++)
		if (write(busy[1], "x", 1) != 1)
			return 1;
	if (sigsetjmp(again, 1))
		jumps++;
	may_jump = jumps < 20;
	if (may_jump && read(blocked[0], &byte, 1))
		return 1; /* nobody writes there */
	timer = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &timer, NULL);
	close(busy[1]);
	close(quiet[1]);
	waitpid(pid, &status, 0);
	fprintf(stderr, "%d\n", (int)handled);
	printf("busy %d, jumps %d, reader %d\n", i, jumps, status);
	return 0;
}
