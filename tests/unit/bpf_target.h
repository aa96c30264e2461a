/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The traced side of the tests of the eBPF source: each is its own target and does a known piece of work.
 * What only it can know (inodes, pids, addresses) it notes in shared memory. A work that did not go as
 * planned returns 99.
 */
#ifndef IPC_BPF_TARGET_H
#define IPC_BPF_TARGET_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	FACTS = 64,
	NAMES = 32,
	PAYLOADS = FACTS - 1, /* the one that the recorder notes: how many it has got */
};

struct name {
	socklen_t length;
	uint8_t bytes[124];
};

#define SHARED (FACTS * sizeof(*facts) + NAMES * sizeof(*names))
static uint64_t *facts;
static struct name *names; /* behind the facts */
static const char *folder;

struct work {
	const char *name;
	int (*run)(void);
};

static inline uint64_t inode_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) ? 0 : st.st_ino;
}

static inline void make_pipe(int p[2], int flags)
{
	if (pipe2(p, flags))
		_exit(99);
}

static inline pid_t fork_noted(int fact)
{
	pid_t pid = fork();
	if (pid)
		facts[fact] = pid;
	return pid;
}

static inline void reap(pid_t pid)
{
	int status;
	waitpid(pid, &status, 0);
}

static inline void await_blocked(int pid)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (;;) {
		FILE *f = fopen(path, "re");
		char *state = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
		fclose(f);
		if (state && state[2] == 'S')
			return;
		usleep(1000);
	}
}

static int work(const struct work *works, const char *name)
{
	alarm(20);
	for (; works->name; works++)
		if (!strcmp(works->name, name))
			return works->run();
	return 98;
}

static void map_facts(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/facts", folder);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, SHARED))
		exit(97);
	facts = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	names = (struct name *)(facts + FACTS);
	close(fd);
	if (facts == MAP_FAILED)
		exit(97);
}

#endif
