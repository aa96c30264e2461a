// SPDX-License-Identifier: BSD-2-Clause
/*
 * remaps THREADS SEED CALLS: random calls on memory, shared and private, whole and in part, by one thread or
 * by several, and forks. Prints what the kernel says is there at last, of each page of shared memory: "PID
 * MAJOR:MINOR:INODE OFFSET PROTECTION"; and of each child, which does nothing else.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 64, SIZE = 4096, ROUNDS = 2000, THREADS_MAX = 8 };

struct area {
	char *start;
	unsigned int seed;
};

static int file, segment;
static unsigned long calls; /* which of them, a bit each */

static unsigned int below(struct area *a, unsigned int n)
{
	return (unsigned int)rand_r(&a->seed) % n;
}

/* By addresses that any thread may be given again at once. */
static void come_and_go(struct area *a)
{
	size_t size = SIZE * (1 + below(a, 4));
	int rw = PROT_READ | PROT_WRITE;
	char *at = mmap(NULL, 2 * SIZE, rw, MAP_SHARED, file, 0);

	at = mremap(at, 2 * SIZE, size, MREMAP_MAYMOVE);
	munmap(at, size);
	at = mmap(NULL, size, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(at, size);
}

static void do_something(struct area *a)
{
	unsigned int first = below(a, PAGES - 8), pages = 1 + below(a, 8);
	char *at = a->start + first * SIZE, *to = a->start + below(a, PAGES - 8) * SIZE;
	size_t size = pages * SIZE;
	int protection = (int)below(a, 4), fixed = MAP_SHARED | MAP_FIXED;

	unsigned int what = below(a, 12);
	switch (calls >> what & 1 ? what : 12) {
	case 0:
		mmap(at, size, protection, fixed, file, first * SIZE);
		break;
	case 1:
		mmap(at, size, protection, fixed | MAP_ANONYMOUS, -1, 0);
		break;
	case 2:
		mmap(at, size, protection, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
		break;
	case 3:
		munmap(at, size - below(a, 2));
		break;
	case 4: /* fails at a hole, after the first part */
		mprotect(at, size, protection);
		break;
	case 5: /* to another place; or refused where they overlap */
		mremap(at, SIZE, SIZE * (1 + below(a, 7)), MREMAP_MAYMOVE | MREMAP_FIXED, to);
		break;
	case 6:
		mremap(at, size, SIZE * (1 + below(a, pages)), 0);
		break;
	case 7: /* a second one of the same */
		mremap(at, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		break;
	case 8:
		shmat(segment, to, SHM_REMAP);
		shmdt(shmat(segment, NULL, 0));
		break;
	case 9: /* a failure that unmaps nothing, or does */
		mmap(at, size, protection, fixed, -1, 0);
		break;
	case 10:
		madvise(at, size, below(a, 2) ? MADV_DONTFORK : MADV_DOFORK);
		break;
	case 11:
		come_and_go(a);
	}
}

static void *work(void *area)
{
	for (int i = 0; i < ROUNDS; i++)
		do_something(area);
	return NULL;
}

/* Far from all that the kernel places: nobody else gets memory in its holes. */
static struct area area(unsigned int i, unsigned int seed)
{
	uintptr_t at = 0x200000000000 + ((uintptr_t)i << 32);
	return (struct area){
		mmap((void *)at, (PAGES + 8) * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), seed
	};
}

static void print_maps(void)
{
	unsigned long start, end, offset, inode;
	unsigned int major, minor;
	char line[512], can[5];
	FILE *f = fopen("/proc/self/maps", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, can, &offset, &major, &minor,
			   &inode) == 7 &&
		    can[3] == 's' && !strstr(line, "/dev/shm/ipctrace-"))
			for (; start < end; start += SIZE, offset += SIZE)
				printf("%d %u:%u:%lu %lu %s%s\n", getpid(), major, minor, inode, offset,
				       can[0] == 'r' ? "r" : "", can[1] == 'w' ? "w" : "");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int threads = argc == 4 ? atoi(argv[1]) : 0;
	struct area areas[THREADS_MAX];
	pthread_t ids[THREADS_MAX];

	calls = argc == 4 ? strtoul(argv[3], NULL, 0) : 0;
	file = memfd_create("remaps", 0);
	segment = shmget(IPC_PRIVATE, 3 * SIZE, 0600);
	if (threads < 1 || threads > THREADS_MAX || file < 0 || segment < 0 || ftruncate(file, PAGES * SIZE))
		return 1;
	for (int i = 0; i < threads; i++)
		areas[i] = area((unsigned int)i, (unsigned int)(atoi(argv[2]) + i));
	for (int i = 1; i < threads; i++)
		pthread_create(&ids[i], NULL, work, &areas[i]);
	work(&areas[0]);
	for (int i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	shmctl(segment, IPC_RMID, NULL);
	pid_t child = fork();
	print_maps();
	return child ? wait(NULL) != child : 0;
}
