// SPDX-License-Identifier: BSD-2-Clause
/*
 * One thread writes to a pipe from memory that another one unmaps and maps again all the time, and a third
 * reads into such memory. The kernel says EFAULT where the memory is gone; nothing else may happen.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CALLS = 1000, PAGE = 4096 };

static int ends[2];
static char *memory; /* a page to write from, one to read into */
static atomic_bool done;

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	_exit(1);
}

static void map(char *page)
{
	void *at = mmap(page, PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
	must(at == page, "mmap");
}

static void *flap(void *nothing)
{
	while (!done) {
		must(!munmap(memory, 2 * PAGE), "munmap");
		map(memory);
		map(memory + PAGE);
	}
	return nothing;
}

static void *take(void *nothing)
{
	char byte;
	for (ssize_t n = 1; n;) {
		n = read(ends[0], memory + PAGE, PAGE);
		if (n < 0)
			n = read(ends[0], &byte, 1); /* so that the pipe never stays full */
		must(n >= 0 || errno == EFAULT, "read");
	}
	return nothing;
}

int main(void)
{
	pthread_t flapper, taker;
	memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(memory != MAP_FAILED && !pipe(ends), "pipe");
	must(!pthread_create(&flapper, NULL, flap, NULL) && !pthread_create(&taker, NULL, take, NULL),
	     "threads");
	for (int written = 0; written < CALLS;) {
		if (write(ends[1], memory, 3000) > 0)
			written++;
		else
			must(errno == EFAULT && !sched_yield(), "write");
	}
	close(ends[1]);
	pthread_join(taker, NULL);
	done = true;
	pthread_join(flapper, NULL);
	return 0;
}
