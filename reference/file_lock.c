// SPDX-License-Identifier: BSD-2-Clause
/*
 * file_lock: a counter in a file that several processes add to, one at a time. Whoever has the lock reads it,
 * adds one and writes it back; without the lock two could read the same number, and one addition were lost.
 * Producers and consumers do the same. A message is a hand-over: the lock that one process releases and
 * another acquires next.
 *
 * Three kinds of locks, all advisory (who does not ask for them is not stopped): flock's belongs to what open
 * made, POSIX's to the process, on a range of bytes, and ends with any close of the file; an OFD lock has
 * ranges and belongs to what open made.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "reference.h"

enum variant { FLOCK, POSIX, OFD };

struct content {
	unsigned long count;
	pid_t last; /* who added to it */
};

static char path[] = "/tmp/ipctrace-file-lock-XXXXXX";

static int open_file(struct reference_run *run)
{
	static const char new_path[] = "/tmp/ipctrace-file-lock-XXXXXX";
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = new_path[i];
	int fd = mkstemp(path);
	const struct content none = { 0 };
	if (fd < 0 || write(fd, &none, sizeof(none)) != sizeof(none) || close(fd))
		return reference_failed(run, path);
	return 0;
}

static int change(const struct reference_run *run, int fd, int type)
{
	struct flock all = { .l_type = (short)type, .l_whence = SEEK_SET };
	bool waits = type != F_UNLCK && !run->options.nonblocking;
	switch (run->options.variant) {
	case FLOCK:
		return flock(fd, (type == F_UNLCK ? LOCK_UN : LOCK_EX) | (waits ? 0 : LOCK_NB));
	case POSIX:
		return fcntl(fd, waits ? F_SETLKW : F_SETLK, &all);
	default:
		return fcntl(fd, waits ? F_OFD_SETLKW : F_OFD_SETLK, &all);
	}
}

static int lock(struct reference_run *run, int fd)
{
	while (change(run, fd, F_WRLCK)) {
		if (errno != EAGAIN && errno != EACCES)
			return reference_failed(run, "lock");
		reference_pause();
	}
	reference_received(run, 0);
	return 0;
}

static int unlock(struct reference_run *run, int fd)
{
	if (change(run, fd, F_UNLCK))
		return reference_failed(run, "unlock");
	reference_sent(run, REFERENCE_ANYONE, 0);
	return 0;
}

static int add_one(struct reference_run *run, int fd)
{
	struct content c;
	if (lock(run, fd))
		return -1;
	if (pread(fd, &c, sizeof(c), 0) != sizeof(c))
		return reference_failed(run, "read");
	if (c.last && c.last != getpid())
		reference_came(run, (unsigned int)c.last, 1, 0);
	c.count++;
	c.last = getpid();
	if (pwrite(fd, &c, sizeof(c), 0) != sizeof(c))
		return reference_failed(run, "write");
	if (unlock(run, fd))
		return -1;
	sched_yield(); /* so that others have their turn */
	return 0;
}

static int produce(struct reference_run *run)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), failed = fd < 0 ? reference_failed(run, path) : 0;
	while (!failed && reference_turn(run))
		failed = add_one(run, fd);
	return failed || close(fd);
}

static int consume(struct reference_run *run)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), failed = fd < 0 ? reference_failed(run, path) : 0;
	while (!failed && reference_more(run)) {
		failed = add_one(run, fd);
		run->taken++;
	}
	return failed || close(fd);
}

static int close_file(struct reference_run *run)
{
	const struct reference_options *o = &run->options;
	unsigned long sent = o->messages * o->producers - (o->kill ? o->messages - o->messages / 2 : 0);
	struct content c;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, &c, sizeof(c)) != sizeof(c) || close(fd) || unlink(path))
		return reference_failed(run, path);
	return c.count == 2 * sent ? 0 : reference_wrong(run, "%lu additions, not %lu", c.count, 2 * sent);
}

static bool is_exact(const struct reference_options *o)
{
	(void)o;
	return true;
}

static const char *const variants[] = { "flock", "posix", "ofd", NULL };

const struct reference reference_file_lock = {
	.name = "file_lock",
	.summary = "a counter in a file, changed by one process at a time",
	.capacity = "zero",
	.order = "none",
	.direction = "both ways",
	.when_full = "caller waits",
	.synchronisation = "it is one",
	.relationship = "none: they know a path",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.variants = variants,
	.exact = is_exact,
	.open = open_file,
	.produce = produce,
	.consume = consume,
	.close = close_file,
};
