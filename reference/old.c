// SPDX-License-Identifier: BSD-2-Clause
/* The list of reference programs, and what they share: options, checked messages, the ledger. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

static int parse_number(const char *text, unsigned long *value, unsigned long min, unsigned long max)
{
	char *end;
	errno = 0;
	*value = strtoul(text, &end, 10);
	return errno || end == text || *end || *text == '-' || *value < min || *value > max ? -1 : 0;
}

int old_parse(struct old_options *o, int argc, char **argv)
{
	const struct {
		const char *name;
		unsigned long *value, min, max;
	} known[] = {
		{ "messages", &o->messages, 1, 1000000000 },
		{ "size", &o->size, OLD_SIZE_MIN, OLD_SIZE_MAX },
		{ "writers", &o->writers, 1, OLD_TASKS_MAX },
		{ "readers", &o->readers, 1, OLD_TASKS_MAX },
		{ "clients", &o->clients, 1, OLD_TASKS_MAX },
		{ "children", &o->children, 1, 8 },
		{ "depth", &o->depth, 1, 4 },
	};
	enum { KNOWN = sizeof(known) / sizeof(known[0]) };
	struct option options[KNOWN + 1] = { 0 };
	unsigned int n = 0;
	for (unsigned int i = 0; i < KNOWN; i++)
		if (*known[i].value)
			options[n++] = (struct option){ known[i].name, required_argument, NULL, (int)i };

	int index;
	optind = 0; /* getopt may have been used before us */
	while ((index = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (index >= KNOWN)
			return 2;
		if (parse_number(optarg, known[index].value, known[index].min, known[index].max)) {
			fprintf(stderr, "%s: --%s takes a number from %lu to %lu\n", argv[0],
				known[index].name, known[index].min, known[index].max);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[optind]);
		return 2;
	}
	return 0;
}

/* FNV-1a over the message, its own field counted as 0. */
static uint32_t checksum(const void *message, size_t size)
{
	struct old_head head;
	uint32_t hash = 2166136261;
	memcpy(&head, message, sizeof(head));
	head.checksum = 0;
	for (size_t i = 0; i < size; i++) {
		const unsigned char *from = i < sizeof(head) ? (void *)&head : message;
		hash = (hash ^ from[i]) * 16777619;
	}
	return hash;
}

void old_fill(void *message, size_t size, uint32_t writer, uint32_t number)
{
	struct old_head *head = message;
	unsigned char *bytes = message;
	*head = (struct old_head){ .writer = writer, .pid = getpid(), .number = number };
	for (size_t i = sizeof(*head); i < size; i++)
		bytes[i] = (unsigned char)(number + i * 7);
	head->checksum = checksum(message, size);
}

bool old_intact(const void *message, size_t size)
{
	const struct old_head *head = message;
	return head->checksum == checksum(message, size);
}

void old_ledger(FILE *ledger, pid_t src, pid_t dst, const char *mechanism, const char *key,
		unsigned long messages, unsigned long bytes)
{
	fprintf(ledger, "%d %d %s %s %lu %lu\n", src, dst, mechanism, key, messages, bytes);
	fflush(ledger);
}

int old_read(int fd, void *buffer, size_t size)
{
	for (size_t have = 0; have < size;) {
		ssize_t n = read(fd, (char *)buffer + have, size - have);
		if (n == 0 && have == 0)
			return 0;
		if (n == 0 || (n < 0 && errno != EINTR)) {
			fprintf(stderr, "read: %s\n", n ? strerror(errno) : "ended inside a message");
			return -1;
		}
		have += n > 0 ? (size_t)n : 0;
	}
	return 1;
}

int old_write(int fd, const void *buffer, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)buffer + done, size - done);
		if (n < 0 && errno != EINTR) {
			perror("write");
			return -1;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	return 1;
}

unsigned int old_wait(unsigned int n)
{
	unsigned int failed = 0;
	while (n--) {
		int status = 0;
		if (waitpid(-1, &status, 0) < 0 || status != 0)
			failed++;
	}
	return failed;
}
