// SPDX-License-Identifier: BSD-2-Clause
/*
 * pipe: a stream between processes with a common ancestor, the shell's `(a & b) | c`. Several producers and
 * consumers share one pipe: what is written in one piece of at most PIPE_BUF bytes stays in one piece, and
 * who asks for exactly one message gets exactly one.
 */
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "reference.h"

static int ends[2];

static const char *refuses(const struct reference_options *o)
{
	if (o->producers > 1 && o->size_max > PIPE_BUF)
		return "what several producers write stays in one piece only up to PIPE_BUF (4096) bytes";
	if (o->consumers > 1 && (o->size_max > PIPE_BUF || o->size_min != o->size_max))
		return "several consumers find a message's end only if all have one size, at most PIPE_BUF";
	return NULL;
}

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
	.when_full = "the writer waits",
	.synchronisation = "none",
	.relationship = "common ancestor",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.refuses = refuses,
	.open = open_pipe,
	.produce = produce,
	.consume = consume,
	.leave = leave,
};
