// SPDX-License-Identifier: BSD-2-Clause
/*
 * sems NAME: processes that post to System V semaphores and wait for them, and print who took whose units:
 * "edge FROM TO MESSAGES", "failed ERRNO" of a call that failed, and "channel KEY NAME" of what they used.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 30, SET = 3 };

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static void join(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid && !status);
}

static void edge(int from, int to, int messages)
{
	printf("edge %d %d %d\n", from, to, messages);
}

static void channels(int id, int number, const char *name)
{
	struct stat st;
	must(!stat("/proc/self/ns/ipc", &st));
	for (int i = 0; i < number; i++)
		printf("channel sysv_sem:%lu:%d#%d %s\n", st.st_ino, id, i, name);
}

static int change(int id, int number, int by, int flags)
{
	struct sembuf operation = { (unsigned short)number, (short)by, (short)flags };
	return semop(id, &operation, 1);
}

/* Whether so many processes wait until the semaphore is higher. */
static void wait_for_waiter(int id, int number)
{
	while (semctl(id, number, GETNCNT) != 1)
		usleep(1000);
	usleep(2000);
}

static int make(int n)
{
	int id = semget(IPC_PRIVATE, n, 0600);
	must(id >= 0);
	channels(id, n, "private");
	return id;
}

static pid_t start(void)
{
	fflush(stdout);
	pid_t pid = fork();
	must(pid >= 0);
	return pid;
}

/* One that dies holding the semaphore: what it took is posted again, by it. */
static void undo(void)
{
	int id = make(1);
	must(!semctl(id, 0, SETVAL, 1));
	pid_t child = start();
	if (!child) {
		must(!change(id, 0, -1, SEM_UNDO));
		wait_for_waiter(id, 0);
		_exit(0);
	}
	while (semctl(id, 0, GETVAL))
		usleep(1000);
	must(!change(id, 0, -1, 0));
	join(child);
	edge(getpid(), child, 1);
	edge(child, getpid(), 1);
	must(!semctl(id, 0, IPC_RMID));
}

/* What is taken with SEM_UNDO and given back leaves nothing to undo. */
static void given_back(void)
{
	int id = make(1);
	must(!semctl(id, 0, SETVAL, 1));
	pid_t child = start();
	if (!child) {
		for (int i = 0; i < ROUNDS; i++)
			must(!change(id, 0, -1, SEM_UNDO) && !change(id, 0, 1, SEM_UNDO));
		_exit(0);
	}
	join(child);
	must(!change(id, 0, -1, 0));
	edge(getpid(), child, 1);
	edge(child, child, ROUNDS - 1);
	edge(child, getpid(), 1);
	must(!semctl(id, 0, IPC_RMID));
}

/* A waiter that SETVAL wakes; before, SETVAL and SETALL took away what had been posted. */
static void set(void)
{
	unsigned short none[SET] = { 0 };
	int id = make(SET);
	must(!change(id, 1, 5, 0) && !semctl(id, 1, SETVAL, 0));
	must(!change(id, 1, 7, 0) && !semctl(id, 0, SETALL, none));
	pid_t child = start();
	if (!child) {
		must(!change(id, 1, -2, 0));
		_exit(0);
	}
	wait_for_waiter(id, 1);
	must(!semctl(id, 1, SETVAL, 2));
	join(child);
	edge(getpid(), child, 1);
	must(!semctl(id, 0, IPC_RMID));
}

/* Several operations in one call: all or none. */
static void several(void)
{
	struct sembuf give[] = { { 0, 1, 0 }, { 1, 2, 0 }, { 2, 0, 0 } };
	struct sembuf take[] = { { 0, -1, 0 }, { 1, -2, 0 } };
	int id = make(SET);
	pid_t child = start();
	if (!child) {
		for (int i = 0; i < ROUNDS; i++)
			must(!semop(id, take, 2));
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++)
		must(!semop(id, give, 3));
	join(child);
	edge(getpid(), child, 2 * ROUNDS);
	must(!semctl(id, 0, IPC_RMID));
}

/* Found by its key; one wait finds nothing, the other finds the set removed. */
static void removed(void)
{
	char name[32];
	key_t key = 0x5e000000 + getpid();
	int id = semget(key, 1, IPC_CREAT | IPC_EXCL | 0600);
	must(id >= 0);
	snprintf(name, sizeof(name), "key 0x%08x", key);
	channels(id, 1, name);
	must(change(id, 0, -1, IPC_NOWAIT) && errno == EAGAIN);
	printf("failed %d\n", EAGAIN);
	pid_t child = start();
	if (!child) {
		must(semget(key, 0, 0) == id);
		must(change(id, 0, -1, 0) && errno == EIDRM);
		_exit(0);
	}
	wait_for_waiter(id, 0);
	must(!semctl(id, 0, IPC_RMID));
	join(child);
	printf("failed %d\n", EIDRM);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{ "undo", undo },	{ "given_back", given_back }, { "set", set },
		{ "several", several }, { "removed", removed },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc == 2 && !strcmp(argv[1], all[i].name))
			all[i].run();
	return 0;
}
