// SPDX-License-Identifier: BSD-2-Clause
/* flood CALLS [SECONDS [THREADS [PIPES]]]: so many writes, and as many reads, of one byte on a pipe, and
 * again on a socket pair, by each of the threads, all on the same; then on each of so many pipes one of each.
 * Then it sleeps. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS_MAX = 16 };

static int in, out;
static long calls, threads;

static void *transfer(void *unused)
{
	char byte = 'x';

	for (long n = calls; n; n--)
		if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
			_exit(1);
	return unused;
}

static void flood(const int *fds)
{
	pthread_t others[THREADS_MAX];

	in = fds[0];
	out = fds[1];
	for (int i = 1; i < threads; i++)
		if (pthread_create(&others[i], NULL, transfer, NULL))
			_exit(1);
	transfer(NULL);
	for (int i = 1; i < threads; i++)
		pthread_join(others[i], NULL);
	close(in);
	close(out);
}

int main(int argc, char **argv)
{
	int fds[2], pair[2];

	calls = argc > 1 ? atol(argv[1]) : 0;
	threads = argc > 3 ? atol(argv[3]) : 1;
	if (threads > THREADS_MAX || pipe(fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 1;
	flood(fds);
	flood(pair);
	calls = threads = 1;
	for (long n = argc > 4 ? atol(argv[4]) : 0; n; n--) {
		if (pipe(fds))
			return 1;
		flood(fds);
	}
	if (argc > 2)
		sleep(atoi(argv[2]));
	return 0;
}
