// SPDX-License-Identifier: BSD-2-Clause
/*
 * Preloaded: says in the file $COUNT_SEMS what each process did to process-shared semaphores, a line for each
 * unit: `PID post` or `PID wait`. Opened anew each time, since programs close what they do not know.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* libc keeps behind the value whether a semaphore is one process's own. */
static int is_shared(const sem_t *sem)
{
	int32_t shared;
	memcpy(&shared, (const char *)sem + sizeof(uint64_t), sizeof(shared));
	return shared != 0;
}

static void say(int shared, const char *what)
{
	int error = errno;
	const char *path = getenv("COUNT_SEMS");
	int fd = path && shared ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
	if (fd >= 0) {
		char line[32];
		ssize_t length = snprintf(line, sizeof(line), "%d %s\n", (int)getpid(), what);
		if (write(fd, line, length) != length)
			abort();
		close(fd);
	}
	errno = error;
}

/* Said before: whoever is woken may end all. */
int sem_post(sem_t *sem)
{
	int (*next)(sem_t *) = dlsym(RTLD_NEXT, "sem_post");
	say(is_shared(sem), "post");
	return next(sem);
}

static int waited(const sem_t *sem, int result)
{
	say(!result && is_shared(sem), "wait");
	return result;
}

int sem_wait(sem_t *sem)
{
	int (*next)(sem_t *) = dlsym(RTLD_NEXT, "sem_wait");
	return waited(sem, next(sem));
}

int sem_trywait(sem_t *sem)
{
	int (*next)(sem_t *) = dlsym(RTLD_NEXT, "sem_trywait");
	return waited(sem, next(sem));
}

int sem_timedwait(sem_t *sem, const struct timespec *end)
{
	int (*next)(sem_t *, const struct timespec *) = dlsym(RTLD_NEXT, "sem_timedwait");
	return waited(sem, next(sem, end));
}

int sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *end)
{
	int (*next)(sem_t *, clockid_t, const struct timespec *) = dlsym(RTLD_NEXT, "sem_clockwait");
	return waited(sem, next(sem, clock, end));
}
