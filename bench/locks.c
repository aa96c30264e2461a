// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a semaphore and a lock cost while nobody has to wait: a post and a wait, a lock and an unlock, of
 *objects in shared memory and of a mutex of the process's own, in a pinned process. Prints for each pair the
 *minimum and the median, in ns, of many short repetitions.
 *
 *	locks CPU [REPETITIONS [CALLS]]
 */
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "measure.h"

static struct shared {
	sem_t sem;
	pthread_mutex_t mutex, private_mutex;
} * s;

static void sem_pair(void)
{
	sem_post(&s->sem);
	sem_wait(&s->sem);
}

static void mutex_pair(void)
{
	pthread_mutex_lock(&s->mutex);
	pthread_mutex_unlock(&s->mutex);
}

static void private_pair(void)
{
	pthread_mutex_lock(&s->private_mutex);
	pthread_mutex_unlock(&s->private_mutex);
}

static void repeat(const char *name, void (*pair)(void), unsigned int repetitions, unsigned int calls)
{
	double *values = calloc(repetitions, sizeof(*values));
	if (!values)
		exit(1);
	for (unsigned int i = 0; i < repetitions; i++) {
		uint64_t start = now_ns();
		for (unsigned int j = 0; j < calls; j++)
			pair();
		values[i] = (double)(now_ns() - start) / calls;
	}
	print_values(name, values, repetitions);
	free(values);
}

int main(int argc, char **argv)
{
	unsigned int repetitions = argc > 2 ? (unsigned int)atoi(argv[2]) : 2000;
	unsigned int calls = argc > 3 ? (unsigned int)atoi(argv[3]) : 2000;
	pthread_mutexattr_t shared;
	pin(argc > 1 ? atoi(argv[1]) : 0);
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	if (s == MAP_FAILED || sem_init(&s->sem, 1, 0) || pthread_mutex_init(&s->mutex, &shared) ||
	    pthread_mutex_init(&s->private_mutex, NULL))
		return 1;
	repeat("sem", sem_pair, repetitions, calls);
	repeat("mutex", mutex_pair, repetitions, calls);
	repeat("private", private_pair, repetitions, calls);
	return 0;
}
