// SPDX-License-Identifier: BSD-2-Clause
/*
 * unix_stream: consumers listen at paths, as databases and session managers do; every producer connects to
 * each of them. A connection is a stream: it keeps the order of the bytes and no boundaries.
 */
#include "reference.h"

static const struct reference_sockets sockets = {
	.family = AF_UNIX,
	.type = SOCK_STREAM,
	.name = reference_path_name,
};

static int open_sockets(struct reference_run *run)
{
	return reference_make_folder(run) || reference_open_sockets(run, &sockets);
}

const struct reference reference_unix_stream = {
	.name = "unix_stream",
	.summary = "consumers that listen at paths, producers that connect to them",
	.capacity = "bounded",
	.order = "as written",
	.direction = "both ways",
	.when_full = "writer waits",
	.synchronisation = "none",
	.relationship = "none: they know a path",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.open = open_sockets,
	.produce = reference_produce_connections,
	.consume = reference_consume_connections,
	.leave = reference_leave_sockets,
	.close = reference_remove_folder,
};
