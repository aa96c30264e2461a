// SPDX-License-Identifier: BSD-2-Clause
/* flood CALLS [SECONDS]: so many writes, and as many reads, of one byte on a pipe, and again on a socket pair; then it
 * sleeps. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void flood(int in, int out, long calls)
{
	char byte = 'x';

	while (calls--)
		if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
			_exit(1);
	close(in);
	close(out);
}

int main(int argc, char **argv)
{
	long calls = argc > 1 ? atol(argv[1]) : 0;
	int fds[2], pair[2];

	if (pipe(fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 1;
	flood(fds[0], fds[1], calls);
	flood(pair[0], pair[1], calls);
	if (argc > 2)
		sleep(atoi(argv[2]));
	return 0;
}
