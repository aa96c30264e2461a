// SPDX-License-Identifier: BSD-2-Clause
/*
 * posix_mq: writers and a reader that know one name. Every message has a priority; the reader gets the
 * highest first, and those of one writer and priority in their order.
 */
#include <fcntl.h>
#include <mqueue.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

enum { LARGEST = 8192 /* of a message, by default */, PRIORITIES = 4 };

struct tally {
	pid_t pid;
	unsigned long messages;
	uint32_t next[PRIORITIES]; /* numbers of the messages to come */
};

static int write_messages(const char *name, uint32_t writer, const struct old_options *o)
{
	_Alignas(struct old_head) static char message[LARGEST];
	mqd_t queue = mq_open(name, O_WRONLY);
	for (unsigned long i = 0; i < o->messages; i++) {
		old_fill(message, o->size, writer, (uint32_t)i);
		if (mq_send(queue, message, o->size, i % PRIORITIES)) {
			perror("mq_send");
			return 1;
		}
	}
	return mq_close(queue) ? 1 : 0;
}

static bool is_next(struct tally *t, const struct old_head *head, unsigned int priority)
{
	if (priority >= PRIORITIES || head->number != t->next[priority])
		return false;
	t->pid = head->pid;
	t->messages++;
	t->next[priority] += PRIORITIES;
	return true;
}

static void write_ledger(FILE *ledger, mqd_t queue, const struct tally *t, unsigned long size)
{
	struct stat st = { 0 };
	char key[96];
	fstat(queue, &st);
	snprintf(key, sizeof(key), "posix_mq:%u:%u:%lu", major(st.st_dev), minor(st.st_dev),
		 (unsigned long)st.st_ino);
	old_ledger(ledger, t->pid, getpid(), "posix_mq", key, t->messages, t->messages * size);
}

static int read_messages(const char *name, const struct old_options *o, FILE *ledger)
{
	_Alignas(struct old_head) static char message[LARGEST];
	const struct old_head *head = (const void *)message;
	struct tally tally[OLD_TASKS_MAX] = { 0 };
	mqd_t queue = mq_open(name, O_RDONLY);

	for (unsigned long w = 0; w < o->writers; w++)
		for (uint32_t i = 0; i < PRIORITIES; i++)
			tally[w].next[i] = i;
	for (unsigned long i = 0; i < o->writers * o->messages; i++) {
		unsigned int priority;
		if (mq_receive(queue, message, sizeof(message), &priority) != (ssize_t)o->size ||
		    !old_intact(message, o->size) || head->writer >= o->writers ||
		    !is_next(&tally[head->writer], head, priority)) {
			fprintf(stderr, "posix_mq: message %lu is damaged or out of order\n", i);
			return 1;
		}
	}
	for (unsigned long w = 0; w < o->writers; w++)
		write_ledger(ledger, queue, &tally[w], o->size);
	return mq_close(queue) ? 1 : 0;
}

static int talk(const char *name, const struct old_options *o, FILE *ledger)
{
	for (unsigned long i = 0; i <= o->writers; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0)
			_exit(i ? write_messages(name, (uint32_t)i - 1, o) : read_messages(name, o, ledger));
	}
	return old_wait((unsigned int)o->writers + 1) ? 1 : 0;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64, .writers = 1 };
	struct mq_attr attr = { .mq_maxmsg = 10, .mq_msgsize = LARGEST };
	char name[64];
	int failed, usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (o.size > LARGEST) {
		fprintf(stderr, "posix_mq: --size is %d at most\n", LARGEST);
		return 2;
	}
	snprintf(name, sizeof(name), "/ipctrace-%d", getpid());
	mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	if (queue < 0) {
		perror(name);
		return 1;
	}
	mq_close(queue);
	failed = talk(name, &o, ledger);
	mq_unlink(name);
	return failed;
}

const struct reference reference_posix_mq = {
	.name = "posix_mq",
	.summary = "writers and a reader, by priority: --messages --size --writers",
	.old = run,
};
