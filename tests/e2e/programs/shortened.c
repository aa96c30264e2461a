// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writes a file's mapping to a pipe, more than it holds. Once it is full the child shortens the file, then
 * reads: the kernel finds no more to write, and none of what it has written is in memory any more.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static int full; /* bytes in the pipe */

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	_exit(1);
}

static void shorten(int file, int in)
{
	static char bytes[65536];
	for (int n = 0; n < full; usleep(100))
		must(!ioctl(in, FIONREAD, &n), "ioctl");
	must(!ftruncate(file, 0), "ftruncate");
	while (read(in, bytes, sizeof(bytes)) > 0)
		;
	_exit(0);
}

int main(void)
{
	int ends[2], status, file = memfd_create("shortened", 0);
	must(!pipe(ends), "pipe");
	full = fcntl(ends[1], F_GETPIPE_SZ);
	size_t size = 2 * (size_t)full;
	must(full > 0 && !ftruncate(file, (off_t)size), "ftruncate");
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	must(map != MAP_FAILED, "mmap");
	memset(map, 'x', size);
	pid_t child = fork();
	must(child >= 0, "fork");
	if (!child) {
		close(ends[1]);
		shorten(file, ends[0]);
	}
	close(ends[0]);
	must(write(ends[1], map, size) == full, "write");
	close(ends[1]);
	must(waitpid(child, &status, 0) == child && !status, "the child");
	return 0;
}
