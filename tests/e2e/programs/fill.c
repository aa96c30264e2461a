// SPDX-License-Identifier: BSD-2-Clause
/* ROUNDS: says that it has begun, and waits for a 'g'. Then so many writes of 8 bytes into a pipe, each read
 * at once, and as many by a child. Prints its pid and the child's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void talk(const int *ends, long rounds)
{
	char bytes[8] = "";
	while (rounds--)
		if (write(ends[1], bytes, 8) != 8 || read(ends[0], bytes, 8) != 8)
			exit(1);
}

int main(int argc, char **argv)
{
	int ends[2];
	long rounds = argc == 2 ? atol(argv[1]) : 0;
	puts("begun");
	fflush(stdout);
	if (getchar() != 'g' || pipe(ends))
		return 1;
	talk(ends, rounds);
	pid_t pid = fork();
	if (!pid) {
		talk(ends, rounds);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	printf("%d %d\n", (int)getpid(), (int)pid);
	return 0;
}
