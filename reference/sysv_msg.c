// SPDX-License-Identifier: BSD-2-Clause
/*
 * sysv_msg: one queue for all who know its key. Each producer's messages have a type of their own; consumers
 * take what comes first. The queue keeps messages whole and in their order.
 */
#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "reference.h"

enum { LARGEST = 8192 }; /* by default */

static int queue;
static struct {
	long type;
	_Alignas(struct reference_head) char text[LARGEST];
} message;

static int open_queue(struct reference_run *run)
{
	queue = msgget(IPC_PRIVATE, 0600);
	return queue < 0 ? reference_failed(run, "msgget") : 0;
}

static int mode(const struct reference_run *run)
{
	return run->options.nonblocking ? IPC_NOWAIT : 0;
}

static int produce(struct reference_run *run)
{
	const struct reference_head *m;
	message.type = 1 + (long)run->index;
	while ((m = reference_next(run))) {
		memcpy(message.text, m, m->size);
		while (msgsnd(queue, &message, m->size, mode(run))) {
			if (errno != EAGAIN)
				return reference_failed(run, "msgsnd");
			reference_pause();
		}
		reference_sent(run, run->to, m->size);
	}
	return 0;
}

static int consume(struct reference_run *run)
{
	const struct reference_head *m = (const void *)message.text;
	while (reference_more(run)) {
		ssize_t n = msgrcv(queue, &message, LARGEST, 0, mode(run));
		if (n < 0 && errno != ENOMSG)
			return reference_failed(run, "msgrcv");
		if (n < 0) {
			reference_pause();
			continue;
		}
		reference_received(run, (uint64_t)n);
		if (reference_take(run, m, (size_t)n) || message.type != 1 + (long)m->producer)
			return reference_wrong(run, "a message of the wrong type");
	}
	return 0;
}

static int close_queue(struct reference_run *run)
{
	return msgctl(queue, IPC_RMID, NULL) ? reference_failed(run, "msgctl") : 0;
}

const struct reference reference_sysv_msg = {
	.name = "sysv_msg",
	.summary = "a queue of messages that have types",
	.capacity = "bounded",
	.order = "as sent",
	.direction = "both ways",
	.largest = LARGEST,
	.when_full = "sender waits",
	.synchronisation = "none",
	.relationship = "none: they know a key",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.open = open_queue,
	.produce = produce,
	.consume = consume,
	.close = close_queue,
};
