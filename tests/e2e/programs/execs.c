// SPDX-License-Identifier: BSD-2-Clause
/*
 * Executes itself as often as the first argument says. `race`, as the second: while two threads talk to
 * themselves over a pipe, two others try to be first.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char **arguments;

static void *again(void *unused)
{
	char number[16];
	snprintf(number, sizeof(number), "%d", atoi(arguments[1]) - 1);
	execl(arguments[0], arguments[0], number, arguments[2], NULL);
	perror("exec");
	exit(1);
	return unused;
}

static void *talk(void *unused)
{
	int ends[2];
	char byte = 'x';
	if (pipe2(ends, O_CLOEXEC))
		return NULL;
	while (write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1)
		;
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	arguments = argv;
	if (argc < 2 || !atoi(argv[1]))
		return puts("the end") < 0;
	for (int i = 0; argc > 2 && i < 4; i++)
		pthread_create(&thread, NULL, i < 2 ? talk : again, NULL);
	if (argc > 2)
		pause();
	again(NULL);
}
