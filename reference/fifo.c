// SPDX-License-Identifier: BSD-2-Clause
/*
 * fifo: a pipe for processes that know nothing of each other but a path. Opening blocks until the other side
 * has opened too, and what is left is gone with the last end: so the parent holds the FIFO open for as long
 * as others come and go, and consumers know how many messages to expect instead of waiting for the end.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reference.h"

static int held = -1;

static int mode(const struct reference_run *run)
{
	return run->options.nonblocking ? O_NONBLOCK : 0;
}

static int open_fifo(struct reference_run *run)
{
	if (reference_make_folder(run))
		return -1;
	if (mkfifo(reference_path(0), 0600))
		return reference_failed(run, "mkfifo");
	held = open(reference_path(0), O_RDWR); /* Linux lets one process open both ends, without waiting */
	return held < 0 ? reference_failed(run, "open") : 0;
}

static int produce(struct reference_run *run)
{
	close(held);
	int fd = open(reference_path(0), O_WRONLY | mode(run));
	return fd < 0 ? reference_failed(run, "open") : reference_produce_stream(run, fd);
}

static int consume(struct reference_run *run)
{
	close(held);
	int fd = open(reference_path(0), O_RDONLY | mode(run));
	if (fd < 0)
		return reference_failed(run, "open");
	while (reference_more(run))
		if (reference_take_message(run, fd) <= 0)
			return -1;
	return close(fd);
}

static int close_fifo(struct reference_run *run)
{
	return close(held) || reference_remove_folder(run);
}

const struct reference reference_fifo = {
	.name = "fifo",
	.summary = "producers and consumers that meet at a path",
	.capacity = "bounded",
	.order = "as written",
	.direction = "one way",
	.when_full = "writer waits",
	.synchronisation = "none",
	.relationship = "none: they know a path",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.refuses = reference_refuse_shared_stream,
	.open = open_fifo,
	.produce = produce,
	.consume = consume,
	.close = close_fifo,
};
