// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a call costs: one byte written to and read from a pipe, one byte sent and received over a UNIX socket
 * pair, one byte read from a regular file and one from /dev/zero, and a call that does nothing, in a pinned
 * process; and a request of HTTP written to and read from a pipe, and sent and received over a UNIX socket
 *pair, with one thread and with two. Prints for each the minimum and the median, in ns, of many short
 *repetitions.
 *
 *	calls CPU [REPETITIONS [CALLS]]
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "measure.h"

static int pipe_pair(const int *fd)
{
	char byte = 'x';
	return write(fd[1], &byte, 1) == 1 && read(fd[0], &byte, 1) == 1;
}

static int socket_pair(const int *fd)
{
	char byte = 'x';
	return send(fd[0], &byte, 1, 0) == 1 && recv(fd[1], &byte, 1, 0) == 1;
}

static const char request[] = "GET /index.html HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
static char answer[sizeof(request)];

static int http_pipe(const int *fd)
{
	return write(fd[1], request, sizeof(request) - 1) > 0 && read(fd[0], answer, sizeof(answer)) > 0;
}

static int http_socket(const int *fd)
{
	return send(fd[0], request, sizeof(request) - 1, 0) > 0 && recv(fd[1], answer, sizeof(answer), 0) > 0;
}

static void *stay(void *fd)
{
	char byte;
	return read(*(int *)fd, &byte, 1) ? fd : NULL;
}

static int file_read(const int *fd)
{
	char byte;
	return pread(fd[0], &byte, 1, 0) == 1;
}

static int zero_read(const int *fd)
{
	char byte;
	return read(fd[0], &byte, 1) == 1;
}

static int no_call(const int *fd)
{
	return syscall(SYS_getppid) >= fd[0];
}

static void repeat(const char *name, int (*operation)(const int *), const int *fd, unsigned int repetitions,
		   unsigned int calls)
{
	double *values = calloc(repetitions, sizeof(*values));
	if (!values)
		exit(1);
	for (unsigned int i = 0; i < repetitions; i++) {
		uint64_t start = now_ns();
		for (unsigned int j = 0; j < calls; j++)
			if (!operation(fd))
				exit(1);
		values[i] = (double)(now_ns() - start) / calls;
	}
	print_values(name, values, repetitions);
	free(values);
}

int main(int argc, char **argv)
{
	int ends[2], sockets[2], http_ends[2], http_sockets[2], quiet[2], none = 0;
	pthread_t other;
	int file = open("/proc/self/exe", O_RDONLY), zero = open("/dev/zero", O_RDONLY);
	unsigned int repetitions = argc > 2 ? (unsigned int)atoi(argv[2]) : 2000;
	unsigned int calls = argc > 3 ? (unsigned int)atoi(argv[3]) : 200;
	pin(argc > 1 ? atoi(argv[1]) : 0);
	if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) || file < 0 || zero < 0 ||
	    pipe(http_ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, http_sockets) || pipe(quiet))
		return 1;
	repeat("pipe", pipe_pair, ends, repetitions, calls);
	repeat("socket", socket_pair, sockets, repetitions, calls);
	repeat("file", file_read, &file, repetitions, calls);
	repeat("zero", zero_read, &zero, repetitions, calls);
	repeat("getppid", no_call, &none, repetitions, calls);
	repeat("http-pipe", http_pipe, http_ends, repetitions, calls);
	repeat("http-socket", http_socket, http_sockets, repetitions, calls);
	if (pthread_create(&other, NULL, stay, quiet))
		return 1;
	repeat("http-pipe-threads", http_pipe, http_ends, repetitions, calls);
	repeat("http-socket-threads", http_socket, http_sockets, repetitions, calls);
	close(quiet[1]);
	pthread_join(other, NULL);
	return 0;
}
