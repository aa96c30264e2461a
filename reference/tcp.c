// SPDX-License-Identifier: BSD-2-Clause
/*
 * tcp: a server on a port of the loopback interface that the kernel chooses, and clients that connect to it:
 * a stream in each direction.
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

static int connect_to(const void *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 || connect(fd, address, sizeof(struct sockaddr_in)) ? -1 : fd;
}

static void key_of(int fd, char *key, size_t size)
{
	struct sockaddr_in peer = { 0 };
	socklen_t length = sizeof(peer);
	getpeername(fd, (struct sockaddr *)&peer, &length);
	old_ip_key(fd, &peer, key, size);
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64, .clients = 2 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	struct old_talk t = {
		.mechanism = "tcp",
		.options = &o,
		.ledger = ledger,
		.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
		.address = &address,
		.connect = connect_to,
		.key = key_of,
	};
	if (t.listener < 0 || bind(t.listener, (struct sockaddr *)&address, length) ||
	    listen(t.listener, OLD_TASKS_MAX) ||
	    getsockname(t.listener, (struct sockaddr *)&address, &length)) {
		perror("tcp");
		return 1;
	}
	return old_converse(&t);
}

const struct reference reference_tcp = {
	.name = "tcp",
	.summary = "clients that question a server at a port: --messages --size --clients",
	.old = run,
};
