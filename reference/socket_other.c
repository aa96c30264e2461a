// SPDX-License-Identifier: BSD-2-Clause
/*
 * socket_other: UDP-Lite, as one that needs no privilege: two processes on the loopback interface, one asks,
 * the other answers. Such sockets have volume only, so that the ledger says what each sent to and received
 * from somebody outside (0).
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

enum { LARGEST = 1 << 15 };

static void write_ledger(FILE *ledger, int fd, const struct old_options *o)
{
	struct stat st = { 0 };
	char key[64];
	fstat(fd, &st);
	snprintf(key, sizeof(key), "socket_other:[%lu]", (unsigned long)st.st_ino);
	old_ledger(ledger, getpid(), 0, "socket_other", key, o->messages, o->messages * o->size);
	old_ledger(ledger, 0, getpid(), "socket_other", key, o->messages, o->messages * o->size);
}

static int talk(int fd, const struct sockaddr_in *to, bool asks, const struct old_options *o, FILE *ledger)
{
	_Alignas(struct old_head) static char message[LARGEST];
	const struct old_head *head = (const void *)message;
	for (unsigned long i = 0; i < 2 * o->messages; i++) {
		if ((i % 2 == 0) == asks) {
			old_fill(message, o->size, asks, (uint32_t)(i / 2));
			if (sendto(fd, message, o->size, 0, (const struct sockaddr *)to, sizeof(*to)) < 0) {
				perror("socket_other");
				return 1;
			}
		} else if (recv(fd, message, sizeof(message), 0) != (ssize_t)o->size ||
			   !old_intact(message, o->size) || head->number != i / 2) {
			fprintf(stderr, "socket_other: message %lu is damaged or out of order\n", i);
			return 1;
		}
	}
	write_ledger(ledger, fd, o);
	return 0;
}

static int open_socket(struct sockaddr_in *name)
{
	socklen_t length = sizeof(*name);
	*name = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDPLITE);
	if (fd < 0 || bind(fd, (struct sockaddr *)name, sizeof(*name)) ||
	    getsockname(fd, (struct sockaddr *)name, &length)) {
		fprintf(stderr, "socket_other: UDP-Lite, which this program uses, is not to be had: %s\n",
			strerror(errno));
		return -1;
	}
	return fd;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64 };
	struct sockaddr_in asker, answerer;
	int usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (o.size > LARGEST) {
		fprintf(stderr, "socket_other: --size is %d at most\n", LARGEST);
		return 2;
	}
	int a = open_socket(&asker), b = a < 0 ? -1 : open_socket(&answerer);
	pid_t pid = b < 0 ? -1 : fork();
	if (pid < 0)
		return 1;
	if (pid == 0)
		_exit(talk(b, &asker, false, &o, ledger));
	int failed = talk(a, &answerer, true, &o, ledger);
	return old_wait(1) || failed ? 1 : 0;
}

const struct reference reference_socket_other = {
	.name = "socket_other",
	.summary = "two processes that talk by UDP-Lite: --messages --size",
	.old = run,
};
