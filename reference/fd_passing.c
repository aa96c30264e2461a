// SPDX-License-Identifier: BSD-2-Clause
/*
 * fd_passing: open files that go from one process to another (SCM_RIGHTS), as inetd, sshd and Wayland do it:
 * a right to use something, given to a process that could not open it itself. Each message is one byte, since
 * a stream carries rights only with data, and one file, in which stands whose it is. One pair of sockets for
 * each pair of processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reference.h"

enum { PAIRS_MAX = 256 };

static int pairs[REFERENCE_TASKS_MAX][REFERENCE_TASKS_MAX][2]; /* by consumer and producer: its ends */

/* What stands in a file. */
struct content {
	uint32_t producer, number;
};

/* A message's one byte, and room for one descriptor, aligned as the standard wants it. */
struct letter {
	struct msghdr head;
	struct iovec iov;
	char byte;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
};

static const char *refuses(const struct reference_options *o)
{
	return o->producers * o->consumers > PAIRS_MAX ? "a pair of sockets for each pair: too many" : NULL;
}

static int open_pairs(struct reference_run *run)
{
	int type = SOCK_STREAM | SOCK_CLOEXEC | (run->options.nonblocking ? SOCK_NONBLOCK : 0);
	for (unsigned int i = 0; i < run->options.consumers; i++)
		for (unsigned int k = 0; k < run->options.producers; k++)
			if (socketpair(AF_UNIX, type, 0, pairs[i][k]))
				return reference_failed(run, "socketpair");
	return 0;
}

/* Closes all ends but those that this process uses: a consumer the first of its pairs, a producer the second
 * of its own. */
static void close_others(const struct reference_run *run)
{
	for (unsigned int i = 0; i < run->options.consumers; i++)
		for (unsigned int k = 0; k < run->options.producers; k++) {
			if (run->role != REFERENCE_CONSUMER || i != run->index)
				close(pairs[i][k][0]);
			if (run->role != REFERENCE_PRODUCER || k != run->index)
				close(pairs[i][k][1]);
		}
}

static int leave(struct reference_run *run)
{
	close_others(run);
	return 0;
}

static void prepare(struct letter *l)
{
	memset(l, 0, sizeof(*l));
	l->iov = (struct iovec){ &l->byte, sizeof(l->byte) };
	l->head = (struct msghdr){ .msg_iov = &l->iov,
				   .msg_iovlen = 1,
				   .msg_control = l->control.bytes,
				   .msg_controllen = sizeof(l->control.bytes) };
}

static int make_file(const struct reference_run *run, uint32_t number)
{
	const struct content content = { run->index, number };
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, &content, sizeof(content)) != (ssize_t)sizeof(content))
		return reference_failed(run, "a file");
	return fd;
}

/* The kernel limits how many descriptors of a user may be under way (ETOOMANYREFS). */
static int pass(struct reference_run *run, int to, int fd)
{
	struct letter l;
	prepare(&l);
	struct cmsghdr *c = CMSG_FIRSTHDR(&l.head);
	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
			       .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	while (sendmsg(to, &l.head, 0) < 0) {
		if (errno == ETOOMANYREFS)
			reference_pause();
		else if (errno != EAGAIN)
			return reference_failed(run, "sendmsg");
		else if (reference_poll(run, to, POLLOUT))
			return -1;
	}
	reference_sent(run, run->to, 0);
	return close(fd); /* the message has it now */
}

static int produce(struct reference_run *run)
{
	uint32_t numbers[REFERENCE_TASKS_MAX] = { 0 };
	close_others(run);
	while (reference_turn(run)) {
		int fd = make_file(run, numbers[run->consumer]++);
		if (fd < 0 || pass(run, pairs[run->consumer][run->index][1], fd))
			return -1;
	}
	return 0;
}

/* 1, 0 at the end, -1. */
static int receive(struct reference_run *run, int from, unsigned int producer, uint32_t number)
{
	struct letter l;
	struct content content;
	int fd;
	ssize_t n;
	prepare(&l);
	while ((n = recvmsg(from, &l.head, MSG_CMSG_CLOEXEC)) < 0) {
		if (errno != EAGAIN)
			return reference_failed(run, "recvmsg");
		if (reference_poll(run, from, POLLIN))
			return -1;
	}
	if (n == 0)
		return 0;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&l.head);
	if (!c || c->cmsg_type != SCM_RIGHTS || l.head.msg_flags & MSG_CTRUNC)
		return reference_wrong(run, "a message without its descriptor");
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	reference_received(run, 0);
	if (pread(fd, &content, sizeof(content), 0) != (ssize_t)sizeof(content) ||
	    content.producer != producer || content.number != number)
		return reference_wrong(run, "another file than producer %u has sent", producer);
	run->taken++;
	reference_came(run, reference_producer(producer), 1, 0);
	return close(fd) ? -1 : 1;
}

static int consume(struct reference_run *run)
{
	struct pollfd fds[REFERENCE_TASKS_MAX];
	uint32_t numbers[REFERENCE_TASKS_MAX] = { 0 };
	unsigned int n = (unsigned int)run->options.producers, open = n;
	close_others(run);
	for (unsigned int i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = pairs[run->index][i][0], .events = POLLIN };
	while (open > 0) {
		if (poll(fds, n, -1) < 0)
			return reference_failed(run, "poll");
		for (unsigned int i = 0; i < n; i++) {
			int more = fds[i].revents ? receive(run, fds[i].fd, i, numbers[i]++) : 1;
			if (more < 0)
				return -1;
			if (more == 0) {
				close(fds[i].fd);
				fds[i] = (struct pollfd){ .fd = -1 };
				open--;
			}
		}
	}
	return 0;
}

const struct reference reference_fd_passing = {
	.name = "fd_passing",
	.summary = "open files that go from producers to consumers",
	.capacity = "bounded",
	.order = "as sent",
	.direction = "both ways",
	.when_full = "sender waits",
	.synchronisation = "none",
	.relationship = "none: they have a UNIX socket",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.refuses = refuses,
	.open = open_pairs,
	.produce = produce,
	.consume = consume,
	.leave = leave,
};
