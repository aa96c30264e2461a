// SPDX-License-Identifier: BSD-2-Clause
/*
 * Two processes on one processor that send one byte to and fro through two pipes. Prints the minimum and the
 * median, in ns, of a round trip (four calls, two switches), over batches.
 *
 *	pingpong CPU [BATCHES [ROUND_TRIPS]]
 */
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

static int pass(int in, int out)
{
	char byte;
	return read(in, &byte, 1) == 1 && write(out, &byte, 1) == 1;
}

int main(int argc, char **argv)
{
	unsigned int batches = argc > 2 ? (unsigned int)atoi(argv[2]) : 500;
	unsigned int trips = argc > 3 ? (unsigned int)atoi(argv[3]) : 200;
	double *values = calloc(batches, sizeof(*values));
	int there[2], back[2];
	pin(argc > 1 ? atoi(argv[1]) : 0);
	if (!values || pipe(there) || pipe(back))
		return 1;
	if (fork() == 0) {
		close(there[1]);
		while (pass(there[0], back[1]))
			;
		_exit(0);
	}
	close(there[0]);
	if (write(there[1], "x", 1) != 1)
		return 1;
	for (unsigned int i = 0; i < batches; i++) {
		uint64_t start = now_ns();
		for (unsigned int j = 0; j < trips; j++)
			if (!pass(back[0], there[1]))
				return 1;
		values[i] = (double)(now_ns() - start) / trips;
	}
	close(there[1]);
	wait(NULL);
	print_values("pingpong", values, batches);
	return 0;
}
