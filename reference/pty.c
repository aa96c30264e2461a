// SPDX-License-Identifier: BSD-2-Clause
/*
 * pty: a pseudo-terminal, as terminal windows, sshd and script(1) use it: who holds the master plays the
 * terminal, a program finds an ordinary terminal in the slave. Here consumers are terminals and producers
 * programs, one pseudo-terminal for each pair.
 *
 * A terminal edits what goes through: lines, echo, line ends. Data gets through unharmed only in raw mode.
 * Once the last slave is closed the master reads what is left, and then EIO instead of an end of the file.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "reference.h"

enum { PAIRS_MAX = 256 };

static int masters[REFERENCE_TASKS_MAX][REFERENCE_TASKS_MAX]; /* by consumer and producer */

static const char *refuses(const struct reference_options *o)
{
	return o->producers * o->consumers > PAIRS_MAX ? "a pseudo-terminal for each pair: too many" : NULL;
}

static int open_master(const struct reference_run *run)
{
	struct termios mode;
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || grantpt(fd) || unlockpt(fd) || tcgetattr(fd, &mode))
		return reference_failed(run, "posix_openpt");
	cfmakeraw(&mode);
	if (tcsetattr(fd, TCSANOW, &mode) ||
	    (run->options.nonblocking && fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK)))
		return reference_failed(run, "tcsetattr");
	return fd;
}

static int open_masters(struct reference_run *run)
{
	for (unsigned int i = 0; i < run->options.consumers; i++)
		for (unsigned int k = 0; k < run->options.producers; k++)
			if ((masters[i][k] = open_master(run)) < 0)
				return -1;
	return 0;
}

static int open_slave(const struct reference_run *run, int master)
{
	char name[32];
	int fd = -1;
	if (!ptsname_r(master, name, sizeof(name)))
		fd = open(name,
			  O_WRONLY | O_NOCTTY | O_CLOEXEC | (run->options.nonblocking ? O_NONBLOCK : 0));
	return fd < 0 ? reference_failed(run, "open") : fd;
}

static void close_masters(const struct reference_run *run, unsigned int but)
{
	for (unsigned int i = 0; i < run->options.consumers; i++)
		for (unsigned int k = 0; k < run->options.producers && i != but; k++)
			close(masters[i][k]);
}

static int leave(struct reference_run *run)
{
	close_masters(run, REFERENCE_TASKS_MAX);
	return 0;
}

static int produce(struct reference_run *run)
{
	int slaves[REFERENCE_TASKS_MAX];
	const struct reference_head *m;
	for (unsigned int i = 0; i < run->options.consumers; i++)
		if ((slaves[i] = open_slave(run, masters[i][run->index])) < 0)
			return -1;
	close_masters(run, REFERENCE_TASKS_MAX);
	while ((m = reference_next(run)))
		if (reference_write(run, slaves[run->consumer], m, m->size))
			return -1;
	return 0;
}

/* It counts what it takes: there is no end of the file. */
static int consume(struct reference_run *run)
{
	struct pollfd fds[REFERENCE_TASKS_MAX];
	bool hung_up[REFERENCE_TASKS_MAX] = {};
	unsigned int n = (unsigned int)run->options.producers;
	close_masters(run, run->index);
	for (unsigned int i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = masters[run->index][i], .events = POLLIN };
	while (reference_more(run)) {
		if (poll(fds, n, -1) < 0)
			return reference_failed(run, "poll");
		for (unsigned int i = 0; i < n; i++) {
			if (fds[i].revents & POLLIN && reference_take_message(run, fds[i].fd) < 0)
				return -1;
			if (fds[i].revents & POLLIN || !(fds[i].revents & POLLHUP))
				continue;
			/* It may have written and closed between the kernel's look for data and for that. */
			if (hung_up[i])
				fds[i].fd = -1;
			hung_up[i] = true;
		}
	}
	return 0;
}

const struct reference reference_pty = {
	.name = "pty",
	.summary = "programs on terminals in raw mode, and who plays the terminal",
	.capacity = "bounded",
	.order = "as written",
	.direction = "both ways",
	.when_full = "writer waits",
	.synchronisation = "none",
	.relationship = "none: they know a path",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.refuses = refuses,
	.open = open_masters,
	.produce = produce,
	.consume = consume,
	.leave = leave,
};
