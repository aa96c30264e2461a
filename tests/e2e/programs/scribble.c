// SPDX-License-Identifier: BSD-2-Clause
/* SEED ROUNDS: writes nonsense over what it has mapped of the recorder's shared memory, while it talks to its
 * children through pipes and locks a mutex that it shares with them. Prints how many bytes came through. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 3, AREAS = 64 };

struct area {
	uint64_t *at;
	size_t words;
};

static struct area areas[AREAS];
static unsigned int found;

/* All of it that may be written: the header and the control blocks, chunks, counts of locks. */
static void find_areas(void)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	found = 0;
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		char mode[8];
		if (strstr(line, "/dev/shm/ipctrace-") &&
		    sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && mode[1] == 'w' && mode[3] == 's' &&
		    found < AREAS)
			areas[found++] = (struct area){ (uint64_t *)from, (to - from) / 8 };
	}
	if (maps)
		fclose(maps);
}

static uint64_t word(void)
{
	uint64_t any = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();
	switch (random() % 5) {
	case 0:
		return any;
	case 1:
		return any & 0xff;
	case 2:
		return (uint64_t)getpid() << 32 | (any & 3);
	case 3:
		return UINT64_MAX;
	default:
		return 1ULL << any % 64;
	}
}

static void scribble(unsigned int words)
{
	for (unsigned int i = 0; found && i < words; i++) {
		const struct area *a = &areas[random() % found];
		/* Its first words are the beginning of the header, or of a chunk. */
		a->at[(size_t)random() % (random() % 4 ? a->words : a->words < 64 ? a->words : 64)] = word();
	}
}

static void child(int in, int out, pthread_mutex_t *mutex)
{
	char buffer[100];
	for (ssize_t n; (n = read(in, buffer, sizeof(buffer))) > 0;) {
		pthread_mutex_lock(mutex);
		pthread_mutex_unlock(mutex);
		if (write(out, buffer, (size_t)n) != n)
			_exit(1);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int there[2], back[2];
	long total = 0, rounds = argc > 2 ? atol(argv[2]) : 100;
	char buffer[100] = "";
	pthread_mutex_t *mutex =
		mmap(NULL, sizeof(*mutex), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t shared;
	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	if (mutex == MAP_FAILED || pthread_mutex_init(mutex, &shared) || pipe(there) || pipe(back))
		return 1;
	unsigned int seed = (unsigned int)atol(argv[1]);
	srandom(seed);
	for (int i = 0; i < CHILDREN; i++) {
		if (!fork()) {
			close(there[1]);
			child(there[0], back[1], mutex);
		}
	}
	for (long i = 0; i < rounds; i++) {
		if (i % 20 == 0)
			find_areas();
		scribble(random() % 30);
		pthread_mutex_lock(mutex);
		pthread_mutex_unlock(mutex);
		size_t size = 1 + (size_t)rand_r(&seed) % sizeof(buffer);
		if (write(there[1], buffer, size) != (ssize_t)size)
			return 1;
		for (size_t got = 0; got < size;) {
			ssize_t n = read(back[0], buffer, sizeof(buffer));
			if (n <= 0)
				return 1;
			got += (size_t)n;
		}
		total += (long)size;
	}
	close(there[1]);
	for (int i = 0; i < CHILDREN; i++)
		wait(NULL);
	printf("%ld\n", total);
	return 0;
}
