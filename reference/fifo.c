// SPDX-License-Identifier: BSD-2-Clause
/*
 * fifo: a stream between two processes that know nothing of each other but a path. Opening blocks until the
 * other side has opened too; the reader sees the end of the file when the writer has closed.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

static int write_messages(const char *path, const struct old_options *o)
{
	_Alignas(struct old_head) static char message[OLD_SIZE_MAX];
	int fd = open(path, O_WRONLY);
	if (fd < 0) {
		perror(path);
		return 1;
	}
	for (unsigned long i = 0; i < o->messages; i++) {
		old_fill(message, o->size, 0, (uint32_t)i);
		if (old_write(fd, message, o->size) < 0)
			return 1;
	}
	return close(fd) ? 1 : 0;
}

static int read_messages(const char *path, const struct old_options *o, FILE *ledger)
{
	_Alignas(struct old_head) static char message[OLD_SIZE_MAX];
	const struct old_head *head = (const void *)message;
	unsigned long messages = 0;
	struct stat st;
	char key[96];
	int more, fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st)) {
		perror(path);
		return 1;
	}
	while ((more = old_read(fd, message, o->size)) > 0) {
		if (!old_intact(message, o->size) || head->number != messages) {
			fprintf(stderr, "fifo: message %lu is damaged or out of order\n", messages);
			return 1;
		}
		messages++;
	}
	if (more < 0 || messages != o->messages) {
		fprintf(stderr, "fifo: %lu messages came\n", messages);
		return 1;
	}
	snprintf(key, sizeof(key), "fifo:%u:%u:%lu", major(st.st_dev), minor(st.st_dev),
		 (unsigned long)st.st_ino);
	old_ledger(ledger, head->pid, getpid(), "fifo", key, messages, messages * o->size);
	return close(fd) ? 1 : 0;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64 };
	char dir[] = "/tmp/ipctrace-fifo-XXXXXX", path[sizeof(dir) + 8];
	int failed = 1, usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	snprintf(path, sizeof(path), "%s/fifo", dir);
	if (mkfifo(path, 0600)) {
		perror(path);
		goto out;
	}
	pid_t reader = fork();
	if (reader == 0)
		_exit(read_messages(path, &o, ledger));
	pid_t writer = fork();
	if (writer == 0)
		_exit(write_messages(path, &o));
	failed = reader < 0 || writer < 0 || old_wait(2) ? 1 : 0;
	unlink(path);
out:
	rmdir(dir);
	return failed;
}

const struct reference reference_fifo = {
	.name = "fifo",
	.summary = "a writer and a reader that meet at a path: --messages --size",
	.old = run,
};
