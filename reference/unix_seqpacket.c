// SPDX-License-Identifier: BSD-2-Clause
/*
 * unix_seqpacket: connections that keep the messages apart; here at an abstract name, which leaves no file
 * behind and is gone with its last socket.
 */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

enum { LARGEST = 1 << 16 }; /* a message must fit into the socket's buffer as a whole */

struct name {
	struct sockaddr_un address;
	socklen_t length;
};

static int connect_to(const void *address)
{
	const struct name *name = address;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return fd < 0 || connect(fd, (const struct sockaddr *)&name->address, name->length) ? -1 : fd;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64, .clients = 2 };
	struct name name = { .address.sun_family = AF_UNIX };
	int usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (o.size > LARGEST) {
		fprintf(stderr, "unix_seqpacket: --size is %d at most\n", LARGEST);
		return 2;
	}
	int text = snprintf(name.address.sun_path + 1, sizeof(name.address.sun_path) - 1, "ipctrace-%d",
			    getpid());
	name.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)text);
	struct old_talk t = {
		.mechanism = "unix_seqpacket",
		.options = &o,
		.ledger = ledger,
		.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
		.address = &name,
		.connect = connect_to,
		.key = old_unix_key,
	};
	if (t.listener < 0 || bind(t.listener, (struct sockaddr *)&name.address, name.length) ||
	    listen(t.listener, OLD_TASKS_MAX)) {
		perror("unix_seqpacket");
		return 1;
	}
	return old_converse(&t);
}

const struct reference reference_unix_seqpacket = {
	.name = "unix_seqpacket",
	.summary = "clients that question a server at an abstract name: --messages --size --clients",
	.old = run,
};
