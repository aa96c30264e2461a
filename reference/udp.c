// SPDX-License-Identifier: BSD-2-Clause
/*
 * udp: consumers have a port of the loopback interface each, to which producers send. The kernel drops what
 * does not fit into a socket's buffer in silence, so that consumers answer now and then and producers wait
 * for it; then nothing is lost on the loopback interface.
 */
#include "reference.h"

static const struct reference_sockets sockets = {
	.family = AF_INET,
	.type = SOCK_DGRAM,
	.name = reference_ip_name,
	.silent = true,
};

static int open_sockets(struct reference_run *run)
{
	return reference_open_sockets(run, &sockets);
}

const struct reference reference_udp = {
	.name = "udp",
	.summary = "ports to which producers send, and answers that keep them from sending too much",
	.capacity = "bounded",
	.order = "no promise",
	.direction = "both ways",
	.largest = 65507,
	.when_full = "message is lost",
	.synchronisation = "none",
	.relationship = "none: they know an address",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.refuses = reference_refuse_datagrams,
	.open = open_sockets,
	.produce = reference_produce_datagrams,
	.consume = reference_consume_datagrams,
	.leave = reference_leave_sockets,
};
