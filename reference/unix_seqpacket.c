// SPDX-License-Identifier: BSD-2-Clause
/*
 * unix_seqpacket: connections that keep the messages apart; here at abstract names, which leave no file
 * behind and are gone with their last socket.
 */
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "reference.h"

static pid_t parent;

static socklen_t abstract_name(unsigned int number, struct sockaddr_storage *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int text = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "ipctrace-%d-%u", parent, number);
	memcpy(name, &un, sizeof(un));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)text);
}

static const struct reference_sockets sockets = {
	.family = AF_UNIX,
	.type = SOCK_SEQPACKET,
	.name = abstract_name,
};

static int open_sockets(struct reference_run *run)
{
	parent = getpid();
	return reference_open_sockets(run, &sockets);
}

const struct reference reference_unix_seqpacket = {
	.name = "unix_seqpacket",
	.summary = "connections at abstract names that keep messages apart",
	.capacity = "bounded",
	.order = "as sent",
	.direction = "both ways",
	.largest = 1 << 16, /* with the usual buffer, in which it must fit as a whole */
	.when_full = "sender waits",
	.synchronisation = "none",
	.relationship = "none: they know a name",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.open = open_sockets,
	.produce = reference_produce_connections,
	.consume = reference_consume_connections,
	.leave = reference_leave_sockets,
};
