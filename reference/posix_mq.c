// SPDX-License-Identifier: BSD-2-Clause
/*
 * posix_mq: one queue for all who know its name. Every message has a priority: consumers get the highest
 * first, and those of one priority in their order.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <unistd.h>

#include "reference.h"

enum { LARGEST = 8192, ROOM = 10 /* both by default */, PRIORITIES = 4 };

static char name[32];

static int open_queue(struct reference_run *run)
{
	struct mq_attr attr = { .mq_maxmsg = ROOM, .mq_msgsize = LARGEST };
	snprintf(name, sizeof(name), "/ipctrace-%d", getpid());
	mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	if (queue < 0)
		return reference_failed(run, name);
	return mq_close(queue);
}

static mqd_t open_again(struct reference_run *run, int flags)
{
	mqd_t queue = mq_open(name, flags | (run->options.nonblocking ? O_NONBLOCK : 0));
	if (queue < 0)
		reference_failed(run, name);
	return queue;
}

static int produce(struct reference_run *run)
{
	const struct reference_head *m;
	mqd_t queue = open_again(run, O_WRONLY);
	if (queue < 0)
		return -1;
	while ((m = reference_next(run))) {
		while (mq_send(queue, (const char *)m, m->size, m->number % PRIORITIES)) {
			if (errno != EAGAIN)
				return reference_failed(run, "mq_send");
			if (reference_poll(run, queue, POLLOUT))
				return -1;
		}
		reference_sent(run, run->to, m->size);
	}
	return mq_close(queue);
}

static int consume(struct reference_run *run)
{
	const struct reference_head *m = reference_buffer(run);
	mqd_t queue = open_again(run, O_RDONLY);
	if (queue < 0)
		return -1;
	while (reference_more(run)) {
		unsigned int priority;
		ssize_t n = mq_receive(queue, reference_buffer(run), LARGEST, &priority);
		if (n < 0 && errno != EAGAIN)
			return reference_failed(run, "mq_receive");
		if (n < 0) {
			if (reference_poll(run, queue, POLLIN))
				return -1;
			continue;
		}
		reference_received(run, (uint64_t)n);
		if (reference_take(run, m, (size_t)n) || priority != m->number % PRIORITIES)
			return reference_wrong(run, "a message of the wrong priority");
	}
	return mq_close(queue);
}

static int close_queue(struct reference_run *run)
{
	return mq_unlink(name) ? reference_failed(run, name) : 0;
}

const struct reference reference_posix_mq = {
	.name = "posix_mq",
	.summary = "a queue of messages that have priorities",
	.capacity = "bounded",
	.order = "by priority",
	.direction = "both ways",
	.largest = LARGEST,
	.when_full = "sender waits",
	.synchronisation = "none",
	.relationship = "none: they know a name",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_SIZES |
		    REFERENCE_UNORDERED,
	.open = open_queue,
	.produce = produce,
	.consume = consume,
	.close = close_queue,
};
