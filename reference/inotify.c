// SPDX-License-Identifier: BSD-2-Clause
/*
 * inotify: a spool folder. Producers put files into a consumer's folder, and it learns of each from the
 * kernel, which does not tell who made it. Several events come in one read: that is one message. When more
 * than /proc/sys/fs/inotify/max_queued_events wait, the kernel drops them and says so (IN_Q_OVERFLOW).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reference.h"

enum { ROOM = 1 << 16, USUAL_SIZE = 64, PATH_ROOM = 200 };

static int watches[REFERENCE_TASKS_MAX];
static char folders[REFERENCE_TASKS_MAX][PATH_ROOM];

static const char *refuse(const struct reference_options *o)
{
	return o->size_min != USUAL_SIZE || o->size_max != USUAL_SIZE ? "an event is as large as a name"
								      : NULL;
}

static int open_folders(struct reference_run *run)
{
	if (reference_make_folder(run))
		return -1;
	for (unsigned int i = 0; i < run->options.consumers; i++) {
		snprintf(folders[i], PATH_ROOM, "%s", reference_path(i));
		watches[i] = inotify_init1(IN_CLOEXEC | (run->options.nonblocking ? IN_NONBLOCK : 0));
		if (mkdir(folders[i], 0700) || watches[i] < 0 ||
		    inotify_add_watch(watches[i], folders[i], IN_CLOSE_WRITE) < 0)
			return reference_failed(run, "inotify");
	}
	return 0;
}

static int produce(struct reference_run *run)
{
	char path[PATH_ROOM + 32];
	for (unsigned long i = 0; reference_turn(run); i++) {
		snprintf(path, sizeof(path), "%s/%u-%lu", folders[run->consumer], run->index, i);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || close(fd))
			return reference_failed(run, path);
	}
	return 0;
}

/* Takes each file that a read told of out of the folder. */
static int take(struct reference_run *run, const char *bytes, ssize_t size)
{
	char path[PATH_ROOM + NAME_MAX];
	for (ssize_t at = 0; at < size; run->taken++) {
		const struct inotify_event *e = (const void *)(bytes + at);
		if (e->mask != IN_CLOSE_WRITE)
			return reference_wrong(run, "an event %#x that was not asked for", e->mask);
		snprintf(path, sizeof(path), "%s/%s", folders[run->index], e->name);
		if (unlink(path))
			return reference_failed(run, path);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	return 0;
}

static int consume(struct reference_run *run)
{
	_Alignas(struct inotify_event) static char bytes[ROOM];
	int fd = watches[run->index];
	while (reference_more(run)) {
		ssize_t n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EAGAIN) {
			if (reference_poll(run, fd, POLLIN))
				return -1;
			continue;
		}
		if (n <= 0)
			return reference_failed(run, "read");
		reference_received(run, (uint64_t)n);
		reference_came(run, REFERENCE_OUTSIDE, 1, (uint64_t)n);
		if (take(run, bytes, n))
			return -1;
	}
	return close(fd);
}

static int close_folders(struct reference_run *run)
{
	for (unsigned int i = 0; i < run->options.consumers; i++)
		rmdir(folders[i]);
	return reference_remove_folder(run);
}

const struct reference reference_inotify = {
	.name = "inotify",
	.summary = "a folder that files are put into, and who is told",
	.capacity = "bounded",
	.order = "as it happened",
	.direction = "one way",
	.when_full = "events are lost",
	.synchronisation = "none",
	.relationship = "none: they know a path",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING,
	.refuses = refuse,
	.open = open_folders,
	.produce = produce,
	.consume = consume,
	.close = close_folders,
};
