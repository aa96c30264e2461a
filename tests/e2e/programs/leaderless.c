// SPDX-License-Identifier: BSD-2-Clause
/*
 * The first thread ends at once and the others go on, as is allowed: two that talk over a pipe for a while;
 * first argument `exec`: at the end one of them executes a program, while the others are at it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 200, BYTES = 1000 };

static int ends[2];
static atomic_int done;
static int executes;

static void *writes(void *unused)
{
	static char bytes[BYTES];
	for (int i = 0; i < ROUNDS; i++) {
		if (write(ends[1], bytes, BYTES) != BYTES)
			return unused;
		usleep(1000);
	}
	if (executes) {
		while (!done)
			usleep(1000);
		execl("/bin/echo", "echo", "executed", NULL);
	}
	close(ends[1]);
	return unused;
}

static void *reads(void *unused)
{
	char buffer[BYTES];
	long total = 0;
	for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0 || executes;) {
		total += n;
		if (total == ROUNDS * BYTES)
			done = 1;
	}
	printf("%ld\n", total);
	fflush(stdout);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	executes = argc > 1 && !strcmp(argv[1], "exec");
	if (pipe(ends) || pthread_create(&thread, NULL, writes, NULL) ||
	    pthread_create(&thread, NULL, reads, NULL))
		return 1;
	pthread_exit(NULL);
}
