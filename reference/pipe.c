// SPDX-License-Identifier: BSD-2-Clause
/*
 * pipe: a stream between processes with a common ancestor, the shell's `(a & b) | c`. Several writers and
 * readers share one pipe: what is written in one piece of at most PIPE_BUF bytes stays in one piece, and a
 * reader that asks for exactly one message gets exactly one.
 */
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reference.h"

struct tally {
	pid_t pid;
	unsigned long messages;
	uint32_t last;
};

static int write_messages(int fd, uint32_t writer, const struct reference_options *o)
{
	_Alignas(struct reference_head) static char message[REFERENCE_SIZE_MAX];
	for (unsigned long i = 0; i < o->messages; i++) {
		reference_fill(message, o->size, writer, (uint32_t)i);
		if (reference_write(fd, message, o->size) < 0)
			return 1;
	}
	return 0;
}

/* Takes a message into the count of its writer. A writer's messages come in the order in which it sent them.
 */
static int take(struct tally *tally, const struct reference_head *head, const struct reference_options *o)
{
	if (!reference_intact(head, o->size) || head->writer >= o->writers) {
		fprintf(stderr, "pipe: a damaged message\n");
		return -1;
	}
	struct tally *t = &tally[head->writer];
	if (t->messages && head->number <= t->last) {
		fprintf(stderr, "pipe: writer %u: message %u after %u\n", head->writer, head->number,
			t->last);
		return -1;
	}
	*t = (struct tally){ .pid = head->pid, .messages = t->messages + 1, .last = head->number };
	return 0;
}

static int read_messages(int fd, const struct reference_options *o, FILE *ledger)
{
	_Alignas(struct reference_head) static char message[REFERENCE_SIZE_MAX];
	struct tally tally[REFERENCE_TASKS_MAX] = { 0 };
	struct stat st;
	char key[64];
	int more;

	while ((more = reference_read(fd, message, o->size)) > 0)
		if (take(tally, (const void *)message, o))
			return 1;
	if (more < 0 || fstat(fd, &st))
		return 1;
	snprintf(key, sizeof(key), "pipe:[%lu]", (unsigned long)st.st_ino);
	for (unsigned long i = 0; i < o->writers; i++) {
		if (o->readers == 1 && tally[i].messages != o->messages) {
			fprintf(stderr, "pipe: writer %lu: %lu messages came\n", i, tally[i].messages);
			return 1;
		}
		if (tally[i].messages)
			reference_ledger(ledger, tally[i].pid, getpid(), "pipe", key, tally[i].messages,
					 tally[i].messages * o->size);
	}
	return 0;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct reference_options o = { .messages = 1000, .size = 64, .writers = 2, .readers = 1 };
	int ends[2], usage = reference_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (o.size > PIPE_BUF && o.writers * o.readers > 1) {
		fprintf(stderr, "pipe: several writers or readers need --size of at most %d\n", PIPE_BUF);
		return 2;
	}
	if (pipe(ends)) {
		perror("pipe");
		return 1;
	}
	for (uint32_t i = 0; i < o.readers + o.writers; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid > 0)
			continue;
		bool reads = i < o.readers;
		close(ends[reads]); /* or the readers would never see the end of the file */
		_exit(reads ? read_messages(ends[0], &o, ledger)
			    : write_messages(ends[1], i - (uint32_t)o.readers, &o));
	}
	close(ends[0]);
	close(ends[1]);
	return reference_wait((unsigned int)(o.readers + o.writers)) ? 1 : 0;
}

const struct reference reference_pipe = {
	.name = "pipe",
	.summary = "writers and readers that share one pipe: --messages --size --writers --readers",
	.run = run,
};
