// SPDX-License-Identifier: BSD-2-Clause
/*
 * A program that has a pthread_mutex_lock of its own, which asks the dynamic linker for the real one, and
 * asks for others by name and version: the two pthread_cond_wait that libc has must stay two.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/mman.h>

static int calls;

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	static int (*real)(pthread_mutex_t *);
	if (!real)
		real = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
	calls++;
	return real(mutex);
}

int main(void)
{
	struct {
		pthread_mutex_t mutex;
		sem_t sem;
	} *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attributes;
	Dl_info old;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (s == MAP_FAILED || pthread_mutex_init(&s->mutex, &attributes) || sem_init(&s->sem, 1, 0))
		return 1;
	for (int i = 0; i < 10; i++) {
		pthread_mutex_lock(&s->mutex);
		pthread_mutex_unlock(&s->mutex);
	}
	int (*post)(sem_t *) = (int (*)(sem_t *))dlsym(RTLD_DEFAULT, "sem_post");
	int (*wait)(sem_t *) = (int (*)(sem_t *))dlsym(RTLD_NEXT, "sem_wait");
	if (!post || !wait || post(&s->sem) || wait(&s->sem))
		return 1;
	void *first = dlvsym(RTLD_DEFAULT, "pthread_cond_wait", "GLIBC_2.2.5");
	void *second = dlvsym(RTLD_DEFAULT, "pthread_cond_wait", "GLIBC_2.3.2");
	if (!first || !second || first == second || !dladdr(first, &old))
		return 1;
	printf("%d calls, the old one is in %s\n", calls, old.dli_fname);
	return 0;
}
