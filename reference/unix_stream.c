// SPDX-License-Identifier: BSD-2-Clause
/*
 * unix_stream: a server that listens at a path, as databases and session managers do, and clients that
 * connect to it: a stream in each direction.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

static int connect_to(const void *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 || connect(fd, address, sizeof(struct sockaddr_un)) ? -1 : fd;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64, .clients = 2 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/ipctrace-unix-XXXXXX";
	int failed = 1, usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", dir);
	struct old_talk t = {
		.mechanism = "unix_stream",
		.options = &o,
		.ledger = ledger,
		.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
		.address = &address,
		.connect = connect_to,
		.key = old_unix_key,
	};
	if (t.listener < 0 || bind(t.listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(t.listener, OLD_TASKS_MAX))
		perror(address.sun_path);
	else
		failed = old_converse(&t);
	unlink(address.sun_path);
	rmdir(dir);
	return failed;
}

const struct reference reference_unix_stream = {
	.name = "unix_stream",
	.summary = "clients that question a server at a path: --messages --size --clients",
	.old = run,
};
