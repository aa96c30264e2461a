// SPDX-License-Identifier: BSD-2-Clause
/*
 * Messages of one byte at full speed, from one process to another, for some seconds. Prints how many.
 *
 *	flood SECONDS
 */
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

int main(int argc, char **argv)
{
	uint64_t end = now_ns() + (uint64_t)(argc > 1 ? atoi(argv[1]) : 10) * 1000000000;
	unsigned long sent = 0;
	int ends[2], status;
	char byte = 'x';
	if (pipe(ends))
		return 1;
	if (fork() == 0) {
		close(ends[1]);
		while (read(ends[0], &byte, 1) == 1)
			;
		_exit(0);
	}
	close(ends[0]);
	do {
		for (int i = 0; i < 1000; i++)
			sent += write(ends[1], &byte, 1) == 1;
	} while (now_ns() < end);
	close(ends[1]);
	wait(&status);
	printf("flood %lu %d\n", sent, status);
	return 0;
}
