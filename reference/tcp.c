// SPDX-License-Identifier: BSD-2-Clause
/*
 * tcp: consumers listen at ports of the loopback interface that the kernel chooses; every producer connects
 * to each of them. A connection is a stream: it keeps the order of the bytes and no boundaries.
 */
#include "reference.h"

static const struct reference_sockets sockets = {
	.family = AF_INET,
	.type = SOCK_STREAM,
	.name = reference_ip_name,
};

static int open_sockets(struct reference_run *run)
{
	return reference_open_sockets(run, &sockets);
}

const struct reference reference_tcp = {
	.name = "tcp",
	.summary = "consumers that listen at ports, producers that connect to them",
	.capacity = "bounded",
	.order = "as written",
	.direction = "both ways",
	.when_full = "writer waits",
	.synchronisation = "none",
	.relationship = "none: they know an address",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.open = open_sockets,
	.produce = reference_produce_connections,
	.consume = reference_consume_connections,
	.leave = reference_leave_sockets,
};
