// SPDX-License-Identifier: BSD-2-Clause
/* Streams over descriptors, blocking or not, and a folder to meet in (reference.h). */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "reference.h"

enum { PATIENCE_MS = 30000 };

static char folder[32];

const char *reference_refuse_shared_stream(const struct reference_options *o)
{
	if (o->producers > 1 && o->size_max > PIPE_BUF)
		return "what several producers write stays in one piece only up to PIPE_BUF (4096) bytes";
	if (o->consumers > 1 && (o->size_max > PIPE_BUF || o->size_min != o->size_max))
		return "several consumers find a message's end only if all have one size, at most PIPE_BUF";
	return NULL;
}

int reference_poll(const struct reference_run *run, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, PATIENCE_MS) ? 0 : reference_wrong(run, "nothing happened for a long time");
}

void reference_pause(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
}

int reference_write(struct reference_run *run, int fd, const void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)data + done, size - done);
		if (n < 0 && errno == EAGAIN && reference_poll(run, fd, POLLOUT))
			return -1;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return reference_failed(run, "write");
		if (n > 0) {
			reference_sent(run, run->to, (uint64_t)n);
			done += (size_t)n;
		}
	}
	return 0;
}

int reference_read(struct reference_run *run, int fd, void *data, size_t size)
{
	for (size_t have = 0; have < size;) {
		ssize_t n = read(fd, (char *)data + have, size - have);
		if (n == 0 && have == 0)
			return 0;
		if (n == 0)
			return reference_wrong(run, "the stream ended inside a message");
		if (n < 0 && errno == EAGAIN && reference_poll(run, fd, POLLIN))
			return -1;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return reference_failed(run, "read");
		if (n > 0) {
			reference_received(run, (uint64_t)n);
			have += (size_t)n;
		}
	}
	return 1;
}

static int read_message(struct reference_run *run, int fd)
{
	const struct reference_options *o = &run->options;
	struct reference_head *head = reference_buffer(run);
	if (o->size_min == o->size_max)
		return reference_read(run, fd, head, o->size_max);
	int more = reference_read(run, fd, head, sizeof(*head));
	if (more <= 0)
		return more;
	if (head->size < sizeof(*head) || head->size > o->size_max)
		return reference_wrong(run, "a message of %u bytes", head->size);
	if (head->size > sizeof(*head) && reference_read(run, fd, head + 1, head->size - sizeof(*head)) <= 0)
		return reference_wrong(run, "the stream ended inside a message");
	return 1;
}

int reference_produce_stream(struct reference_run *run, int fd)
{
	const struct reference_head *m;
	while ((m = reference_next(run)))
		if (reference_write(run, fd, m, m->size))
			return -1;
	return close(fd);
}

int reference_take_message(struct reference_run *run, int fd)
{
	const struct reference_options *o = &run->options;
	const struct reference_head *m = reference_buffer(run);
	int more = read_message(run, fd);
	if (more > 0 && reference_take(run, m, o->size_min == o->size_max ? o->size_max : m->size))
		return -1;
	return more;
}

int reference_consume_stream(struct reference_run *run, int fd)
{
	int more;
	while ((more = reference_take_message(run, fd)) > 0)
		;
	return more < 0 ? -1 : close(fd);
}

int reference_make_folder(struct reference_run *run)
{
	snprintf(folder, sizeof(folder), "/tmp/ipctrace-XXXXXX");
	return mkdtemp(folder) ? 0 : reference_failed(run, folder);
}

const char *reference_path(unsigned int number)
{
	static char path[48];
	snprintf(path, sizeof(path), "%s/%u", folder, number);
	return path;
}

int reference_remove_folder(struct reference_run *run)
{
	for (unsigned int i = 0; i < run->options.consumers + run->options.producers; i++)
		unlink(reference_path(i)); /* not every one is used */
	return rmdir(folder) ? reference_failed(run, folder) : 0;
}
