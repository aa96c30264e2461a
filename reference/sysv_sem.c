// SPDX-License-Identifier: BSD-2-Clause
/*
 * sysv_sem: the bounded buffer. Each writer shares a few slots of memory with the one reader, and two
 * semaphores of one set tell how many of them are full and how many are free. A message is a post that was
 * waited for, without bytes: what the set was made with is its maker's.
 */
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reference.h"

enum { SLOTS = 8, FULL = 0, FREE = 1, KINDS };

static int change(int id, unsigned long number, short by)
{
	struct sembuf operation = { .sem_num = (unsigned short)number, .sem_op = by };
	int failed = semop(id, &operation, 1);
	if (failed)
		perror("semop");
	return failed;
}

static int write_slots(int id, unsigned long writer, unsigned long *slots, unsigned long messages)
{
	for (unsigned long i = 0; i < messages; i++) {
		if (change(id, writer * KINDS + FREE, -1))
			return 1;
		slots[i % SLOTS] = i;
		if (change(id, writer * KINDS + FULL, 1))
			return 1;
	}
	return 0;
}

static int read_slots(int id, unsigned long (*slots)[SLOTS], const struct reference_options *o)
{
	for (unsigned long i = 0; i < o->writers * o->messages; i++) {
		unsigned long writer = i % o->writers, number = i / o->writers;
		if (change(id, writer * KINDS + FULL, -1))
			return 1;
		if (slots[writer][number % SLOTS] != number) {
			fprintf(stderr, "sysv_sem: slot %lu is wrong\n", number);
			return 1;
		}
		if (change(id, writer * KINDS + FREE, 1))
			return 1;
	}
	return 0;
}

static void write_ledger(FILE *ledger, int id, unsigned long number, pid_t from, pid_t to,
			 unsigned long messages)
{
	char key[64];
	struct stat ns = { 0 };
	stat("/proc/self/ns/ipc", &ns);
	snprintf(key, sizeof(key), "sysv_sem:%lu:%d#%lu", (unsigned long)ns.st_ino, id, number);
	if (messages)
		reference_ledger(ledger, from, to, "sysv_sem", key, messages, 0);
}

static int set_all(int id, unsigned long writers)
{
	unsigned short values[REFERENCE_TASKS_MAX * KINDS] = { 0 };
	for (unsigned long i = 0; i < writers; i++)
		values[i * KINDS + FREE] = SLOTS;
	int failed = semctl(id, 0, SETALL, values);
	if (failed)
		perror("semctl");
	return failed;
}

static int fill_and_empty(int id, const struct reference_options *o, FILE *ledger)
{
	unsigned long(*slots)[SLOTS] = mmap(NULL, o->writers * sizeof(*slots), PROT_READ | PROT_WRITE,
					    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int started = 0;
	if (slots == MAP_FAILED || set_all(id, o->writers))
		return 1;
	pid_t reader = fork();
	if (reader == 0)
		_exit(read_slots(id, slots, o));
	started += reader > 0;
	for (unsigned long i = 0; i < o->writers; i++) {
		pid_t writer = fork();
		if (writer == 0)
			_exit(write_slots(id, i, slots[i], o->messages));
		started += writer > 0;
		write_ledger(ledger, id, i * KINDS + FULL, writer, reader, o->messages);
		write_ledger(ledger, id, i * KINDS + FREE, getpid(), writer, 1);
		write_ledger(ledger, id, i * KINDS + FREE, reader, writer,
			     o->messages > SLOTS ? o->messages - SLOTS : 0);
	}
	return reference_wait(started) || started != o->writers + 1 ? 1 : 0;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct reference_options o = { .messages = 1000, .writers = 1 };
	int id, failed, usage = reference_parse(&o, argc, argv);
	if (usage)
		return usage;
	id = semget(IPC_PRIVATE, (int)o.writers * KINDS, 0600);
	if (id < 0) {
		perror("semget");
		return 1;
	}
	failed = fill_and_empty(id, &o, ledger);
	semctl(id, 0, IPC_RMID);
	return failed;
}

const struct reference reference_sysv_sem = {
	.name = "sysv_sem",
	.summary = "a bounded buffer for each writer: --messages --writers",
	.run = run,
};
