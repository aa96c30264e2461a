// SPDX-License-Identifier: BSD-2-Clause
/*
 * eventfd: a counter. Several may post to it and one waits, which gets all that was posted meanwhile; or one
 * posts and several wait, each of which takes one at a time, as of a semaphore. A message is a post that was
 * waited for, without bytes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "reference.h"

enum { FIRST = 3 /* what a counter has from the start: its maker's */ };

static void write_ledger(FILE *ledger, int fd, pid_t from, pid_t to, unsigned long messages)
{
	char path[64], line[128], key[64];
	unsigned long id = 0;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "eventfd-id: %lu", &id);
	if (f)
		fclose(f);
	snprintf(key, sizeof(key), "eventfd:%lu", id);
	reference_ledger(ledger, from, to, "eventfd", key, messages, 0);
}

static int post(int fd, unsigned long messages)
{
	for (unsigned long i = 0; i < messages; i++)
		if (eventfd_write(fd, 1)) {
			perror("eventfd_write");
			return 1;
		}
	return close(fd) ? 1 : 0;
}

/* Until it has so many. */
static int wait_for(int fd, uint64_t units)
{
	while (units) {
		uint64_t value;
		if (eventfd_read(fd, &value)) {
			perror("eventfd_read");
			return 1;
		}
		if (!value || value > units) {
			fprintf(stderr, "eventfd: more came than was posted\n");
			return 1;
		}
		units -= value;
	}
	return close(fd) ? 1 : 0;
}

/* Starts a process that posts (or waits for) so many. */
static pid_t start(int (*work)(int, unsigned long), int fd, unsigned long n)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(work(fd, n));
	if (pid < 0)
		perror("fork");
	return pid;
}

static int post_to_one(const struct reference_options *o, FILE *ledger)
{
	int fd = eventfd(FIRST, EFD_CLOEXEC);
	unsigned int started = 0;
	pid_t reader = start(wait_for, fd, FIRST + o->writers * o->messages);
	started += reader > 0;
	write_ledger(ledger, fd, getpid(), reader, 1);
	for (unsigned long i = 0; i < o->writers; i++) {
		pid_t writer = start(post, fd, o->messages);
		started += writer > 0;
		write_ledger(ledger, fd, writer, reader, o->messages);
	}
	close(fd);
	return reference_wait(started) || started != o->writers + 1 ? 1 : 0;
}

static int wait_for_one(const struct reference_options *o, FILE *ledger)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	unsigned int started = 0;
	pid_t writer = start(post, fd, o->readers * o->messages);
	started += writer > 0;
	for (unsigned long i = 0; i < o->readers; i++) {
		pid_t reader = start(wait_for, fd, o->messages);
		started += reader > 0;
		write_ledger(ledger, fd, writer, reader, o->messages);
	}
	close(fd);
	return reference_wait(started) || started != o->readers + 1 ? 1 : 0;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct reference_options o = { .messages = 1000, .writers = 1, .readers = 1 };
	int usage = reference_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (o.writers > 1 && o.readers > 1) {
		fprintf(stderr, "eventfd: --writers or --readers, not both\n");
		return 2;
	}
	return o.readers > 1 ? wait_for_one(&o, ledger) : post_to_one(&o, ledger);
}

const struct reference reference_eventfd = {
	.name = "eventfd",
	.summary = "posts, and who waits for them: --messages --writers or --readers",
	.run = run,
};
