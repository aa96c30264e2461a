// SPDX-License-Identifier: BSD-2-Clause
/*
 * sysv_msg: a server and clients that know one key. All use one queue: questions have type 1, an answer the
 * pid of the client that it is for.
 */
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

enum { LARGEST = 8192, ROOM = 16384 /* of a message, and of a queue, by default */, QUESTION = 1 };

struct message {
	long type;
	_Alignas(struct old_head) char text[LARGEST];
};

static int find_queue(key_t key)
{
	int id = msgget(key, 0);
	if (id < 0)
		perror("msgget");
	return id;
}

static void write_ledger(FILE *ledger, int id, pid_t from, unsigned long messages, unsigned long bytes)
{
	char key[64];
	struct stat ns = { 0 };
	stat("/proc/self/ns/ipc", &ns);
	snprintf(key, sizeof(key), "sysv_msg:%lu:%d", (unsigned long)ns.st_ino, id);
	old_ledger(ledger, from, getpid(), "sysv_msg", key, messages, bytes);
}

static int ask(key_t key, uint32_t client, const struct old_options *o, FILE *ledger)
{
	static struct message m;
	const struct old_head *head = (const void *)m.text;
	int id = find_queue(key);
	for (unsigned long i = 0; i < o->messages; i++) {
		m.type = QUESTION;
		old_fill(m.text, o->size, client, (uint32_t)i);
		if (msgsnd(id, &m, o->size, 0) || msgrcv(id, &m, LARGEST, getpid(), 0) != (ssize_t)o->size) {
			perror("sysv_msg");
			return 1;
		}
		if (!old_intact(m.text, o->size) || head->writer != client || head->number != i) {
			fprintf(stderr, "sysv_msg: answer %lu is wrong\n", i);
			return 1;
		}
	}
	write_ledger(ledger, id, head->pid, o->messages, o->messages * o->size);
	return 0;
}

static int answer(key_t key, const struct old_options *o, FILE *ledger)
{
	static struct message m;
	const struct old_head *head = (const void *)m.text;
	unsigned long messages[OLD_TASKS_MAX] = { 0 };
	pid_t pid[OLD_TASKS_MAX];
	int id = find_queue(key);

	for (unsigned long i = 0; i < o->clients * o->messages; i++) {
		if (msgrcv(id, &m, LARGEST, QUESTION, 0) != (ssize_t)o->size ||
		    !old_intact(m.text, o->size) || head->writer >= o->clients ||
		    head->number != messages[head->writer]) {
			fprintf(stderr, "sysv_msg: question %lu is damaged or out of order\n", i);
			return 1;
		}
		pid[head->writer] = head->pid;
		messages[head->writer]++;
		m.type = head->pid;
		old_fill(m.text, o->size, head->writer, head->number);
		if (msgsnd(id, &m, o->size, 0)) {
			perror("msgsnd");
			return 1;
		}
	}
	for (unsigned long i = 0; i < o->clients; i++)
		write_ledger(ledger, id, pid[i], messages[i], messages[i] * o->size);
	return 0;
}

static int talk(key_t key, const struct old_options *o, FILE *ledger)
{
	for (unsigned long i = 0; i <= o->clients; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0)
			_exit(i ? ask(key, (uint32_t)i - 1, o, ledger) : answer(key, o, ledger));
	}
	return old_wait((unsigned int)o->clients + 1) ? 1 : 0;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64, .clients = 2 };
	key_t key = 0x49000000 + getpid();
	int id, failed, usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (o.size > LARGEST || o.clients * o.size > ROOM) { /* an answer must find room */
		fprintf(stderr, "sysv_msg: --size is %d at most, times --clients %d\n", LARGEST, ROOM);
		return 2;
	}
	id = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
	if (id < 0) {
		perror("msgget");
		return 1;
	}
	failed = talk(key, &o, ledger);
	msgctl(id, IPC_RMID, NULL);
	return failed;
}

const struct reference reference_sysv_msg = {
	.name = "sysv_msg",
	.summary = "clients that question a server, by type: --messages --size --clients",
	.old = run,
};
