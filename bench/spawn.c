// SPDX-License-Identifier: BSD-2-Clause
/*
 * What it costs to start a process: posix_spawn of /bin/true and the wait for its end. Prints the minimum and
 * the median in us.
 *
 *	spawn CPU [TIMES]
 */
#include <spawn.h>
#include <sys/wait.h>

#include "measure.h"

extern char **environ;

int main(int argc, char **argv)
{
	char *const command[] = { "true", NULL };
	unsigned int times = argc > 2 ? (unsigned int)atoi(argv[2]) : 500;
	double *values = calloc(times, sizeof(*values));
	pin(argc > 1 ? atoi(argv[1]) : 0);
	for (unsigned int i = 0; i < times; i++) {
		uint64_t start = now_ns();
		int status;
		pid_t pid;
		if (posix_spawn(&pid, "/bin/true", NULL, NULL, command, environ) ||
		    waitpid(pid, &status, 0) != pid || status)
			return 1;
		values[i] = (double)(now_ns() - start) / 1000;
	}
	print_values("spawn", values, times);
	return 0;
}
