// SPDX-License-Identifier: BSD-2-Clause
/*
 * unix_dgram: every process has one socket at a path of its own, and producers send to those of the
 * consumers. No connections, no end: a consumer must know how many messages to expect. Nothing is lost: who
 * sends to a full queue waits.
 */
#include "reference.h"

static const struct reference_sockets sockets = {
	.family = AF_UNIX,
	.type = SOCK_DGRAM,
	.name = reference_path_name,
};

static int open_sockets(struct reference_run *run)
{
	return reference_make_folder(run) || reference_open_sockets(run, &sockets);
}

const struct reference reference_unix_dgram = {
	.name = "unix_dgram",
	.summary = "sockets at paths, to which producers send messages",
	.capacity = "bounded",
	.order = "as sent",
	.direction = "both ways",
	.largest = 1 << 16, /* with the usual buffer, in which it must fit as a whole */
	.when_full = "sender waits",
	.synchronisation = "none",
	.relationship = "none: they know a path",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.open = open_sockets,
	.produce = reference_produce_datagrams,
	.consume = reference_consume_datagrams,
	.leave = reference_leave_sockets,
	.close = reference_remove_folder,
};
