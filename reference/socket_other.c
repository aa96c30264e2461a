// SPDX-License-Identifier: BSD-2-Clause
/*
 * socket_other: UDP-Lite, as a protocol without a mechanism of its own that needs no privilege; used as udp.c
 * does. Of such sockets the volume is known, not who is at the other end.
 */
#include <netinet/in.h>

#include "reference.h"

static const struct reference_sockets sockets = {
	.family = AF_INET,
	.type = SOCK_DGRAM,
	.protocol = IPPROTO_UDPLITE,
	.name = reference_ip_name,
	.silent = true,
};

static int open_sockets(struct reference_run *run)
{
	return reference_open_sockets(run, &sockets);
}

const struct reference reference_socket_other = {
	.name = "socket_other",
	.summary = "UDP-Lite: ports to which producers send",
	.capacity = "bounded",
	.order = "no promise",
	.direction = "both ways",
	.largest = 65507,
	.when_full = "message is lost",
	.synchronisation = "none",
	.relationship = "none: they know an address",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING | REFERENCE_SIZES | REFERENCE_VOLUME,
	.refuses = reference_refuse_datagrams,
	.open = open_sockets,
	.produce = reference_produce_datagrams,
	.consume = reference_consume_datagrams,
	.leave = reference_leave_sockets,
};
