// SPDX-License-Identifier: BSD-2-Clause
/*
 * pipe: a stream between processes with a common ancestor, the shell's `(a & b) | c`. Several producers and
 * consumers share one pipe: what is written in one piece of at most PIPE_BUF bytes stays in one piece, and
 * who asks for exactly one message gets exactly one.
 */
#include <fcntl.h>
#include <unistd.h>

#include "reference.h"

static int ends[2];

static int open_pipe(struct reference_run *run)
{
	if (pipe2(ends, run->options.nonblocking ? O_NONBLOCK : 0))
		return reference_failed(run, "pipe2");
	return 0;
}

static int produce(struct reference_run *run)
{
	close(ends[0]);
	return reference_produce_stream(run, ends[1]);
}

static int consume(struct reference_run *run)
{
	close(ends[1]); /* or there would never be an end of the file */
	return reference_consume_stream(run, ends[0]);
}

static int leave(struct reference_run *run)
{
	(void)run;
	return close(ends[0]) || close(ends[1]);
}

const struct reference reference_pipe = {
	.name = "pipe",
	.summary = "producers and consumers that share one pipe",
	.capacity = "bounded",
	.order = "as written",
	.direction = "one way",
	.when_full = "writer waits",
	.synchronisation = "none",
	.relationship = "a common ancestor",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.refuses = reference_refuse_shared_stream,
	.open = open_pipe,
	.produce = produce,
	.consume = consume,
	.leave = leave,
};
