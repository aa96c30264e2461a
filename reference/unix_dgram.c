// SPDX-License-Identifier: BSD-2-Clause
/*
 * unix_dgram: a server and clients, each with one socket at a path of its own. No connections: the server
 * sends each answer to the path that the question came from. Nothing is lost: who sends to a full queue
 * waits.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

enum { LARGEST = 1 << 16 }; /* a message must fit into the socket's buffer as a whole */

struct tally {
	pid_t pid;
	unsigned long messages;
};

static void name_socket(struct sockaddr_un *name, const char *dir, unsigned long number)
{
	*name = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(name->sun_path, sizeof(name->sun_path), "%s/%lu", dir, number);
}

/* Socket 0 is the server's. */
static int open_socket(const char *dir, unsigned long number)
{
	struct sockaddr_un name;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	name_socket(&name, dir, number);
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name))) {
		perror(name.sun_path);
		return -1;
	}
	return fd;
}

static void write_ledger(FILE *ledger, int fd, pid_t from, unsigned long messages, unsigned long bytes)
{
	char key[64];
	old_unix_key(fd, key, sizeof(key));
	old_ledger(ledger, from, getpid(), "unix_dgram", key, messages, bytes);
}

static int ask(const char *dir, uint32_t client, const struct old_options *o, FILE *ledger)
{
	_Alignas(struct old_head) static char message[LARGEST];
	const struct old_head *head = (const void *)message;
	struct sockaddr_un server;
	int fd = open_socket(dir, client + 1);
	name_socket(&server, dir, 0);
	if (fd < 0)
		return 1;
	for (unsigned long i = 0; i < o->messages; i++) {
		old_fill(message, o->size, client, (uint32_t)i);
		if (sendto(fd, message, o->size, 0, (struct sockaddr *)&server, sizeof(server)) < 0 ||
		    recv(fd, message, sizeof(message), 0) != (ssize_t)o->size) {
			perror("unix_dgram");
			return 1;
		}
		if (!old_intact(message, o->size) || head->writer != client || head->number != i) {
			fprintf(stderr, "unix_dgram: answer %lu is wrong\n", i);
			return 1;
		}
	}
	write_ledger(ledger, fd, head->pid, o->messages, o->messages * o->size);
	return close(fd) ? 1 : 0;
}

static int answer(int fd, const struct old_options *o, FILE *ledger)
{
	_Alignas(struct old_head) static char message[LARGEST];
	const struct old_head *head = (const void *)message;
	struct tally tally[OLD_TASKS_MAX] = { 0 };

	for (unsigned long i = 0; i < o->clients * o->messages; i++) {
		struct sockaddr_un client;
		socklen_t length = sizeof(client);
		if (recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&client, &length) !=
			    (ssize_t)o->size ||
		    !old_intact(message, o->size) || head->writer >= o->clients ||
		    head->number != tally[head->writer].messages) {
			fprintf(stderr, "unix_dgram: question %lu is damaged or out of order\n", i);
			return 1;
		}
		tally[head->writer].pid = head->pid;
		tally[head->writer].messages++;
		old_fill(message, o->size, head->writer, head->number);
		if (sendto(fd, message, o->size, 0, (struct sockaddr *)&client, length) < 0) {
			perror("unix_dgram");
			return 1;
		}
	}
	for (unsigned long i = 0; i < o->clients; i++)
		write_ledger(ledger, fd, tally[i].pid, tally[i].messages, tally[i].messages * o->size);
	return close(fd) ? 1 : 0;
}

static int talk(const char *dir, const struct old_options *o, FILE *ledger)
{
	int server = open_socket(dir, 0); /* before there is a client */
	if (server < 0)
		return 1;
	for (uint32_t i = 0; i < o->clients; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0) {
			close(server);
			_exit(ask(dir, i, o, ledger));
		}
	}
	int failed = answer(server, o, ledger);
	return old_wait((unsigned int)o->clients) || failed ? 1 : 0;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64, .clients = 2 };
	char dir[] = "/tmp/ipctrace-dgram-XXXXXX";
	int usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (o.size > LARGEST) {
		fprintf(stderr, "unix_dgram: --size is %d at most\n", LARGEST);
		return 2;
	}
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	int failed = talk(dir, &o, ledger);
	for (unsigned long i = 0; i <= o.clients; i++) {
		struct sockaddr_un name;
		name_socket(&name, dir, i);
		unlink(name.sun_path);
	}
	rmdir(dir);
	return failed;
}

const struct reference reference_unix_dgram = {
	.name = "unix_dgram",
	.summary = "clients that question a server, each at a path: --messages --size --clients",
	.old = run,
};
