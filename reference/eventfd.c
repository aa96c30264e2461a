// SPDX-License-Identifier: BSD-2-Clause
/*
 * eventfd: a counter. Several may post to it and one waits, which gets all that was posted meanwhile; or
 * several wait, each of which takes one at a time, as of a semaphore (EFD_SEMAPHORE). A message is a post
 * that was waited for, without bytes. A post blocks only where the counter would exceed 2^64 - 2.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "reference.h"

static int counter;

static int open_counter(struct reference_run *run)
{
	counter = eventfd(0, EFD_CLOEXEC | (run->options.consumers > 1 ? EFD_SEMAPHORE : 0) |
				     (run->options.nonblocking ? EFD_NONBLOCK : 0));
	return counter < 0 ? reference_failed(run, "eventfd") : 0;
}

static int produce(struct reference_run *run)
{
	while (reference_turn(run)) {
		if (eventfd_write(counter, 1))
			return reference_failed(run, "eventfd_write");
		reference_sent(run, run->to, 0);
	}
	return 0;
}

/* Each unit is one post. Who posted it a counter does not tell, unless there is one producer only. */
static int consume(struct reference_run *run)
{
	while (reference_more(run)) {
		uint64_t value;
		if (eventfd_read(counter, &value)) {
			if (errno != EAGAIN)
				return reference_failed(run, "eventfd_read");
			if (reference_poll(run, counter, POLLIN))
				return -1;
			continue;
		}
		reference_received(run, 0);
		run->taken += value;
		reference_came(run, run->options.producers == 1 ? reference_producer(0) : REFERENCE_ANYONE,
			       value, 0);
	}
	return 0;
}

static int close_counter(struct reference_run *run)
{
	(void)run;
	return close(counter);
}

const struct reference reference_eventfd = {
	.name = "eventfd",
	.summary = "posts to a counter, and who waits for them",
	.capacity = "bounded",
	.order = "none",
	.direction = "both ways",
	.when_full = "poster waits",
	.synchronisation = "none",
	.relationship = "a common ancestor",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.open = open_counter,
	.produce = produce,
	.consume = consume,
	.close = close_counter,
};
