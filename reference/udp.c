// SPDX-License-Identifier: BSD-2-Clause
/*
 * udp: a server with one socket on a port of the loopback interface, and clients that send it several
 * questions before they wait for the answers. What does not fit into a socket's buffer is dropped in silence,
 * so there are never more datagrams under way than do fit; then nothing is lost on the loopback interface.
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

enum {
	LARGEST = 1472,	     /* what an Ethernet frame holds */
	FOOTPRINT = 4096,    /* of one datagram in the buffer, with room to spare */
	BUFFER = 200 * 1024, /* the kernel doubles it */
	WINDOW = 16,	     /* questions that a client has open */
};

struct tally {
	pid_t pid;
	unsigned long messages;
	struct sockaddr_in address;
};

static int open_socket(void)
{
	struct timeval patience = { .tv_sec = 10 }; /* a lost datagram shall be an error, not a hang */
	int size = BUFFER, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) {
		perror("udp");
		return -1;
	}
	return fd;
}

static unsigned long window_of(const struct old_options *o)
{
	unsigned long fits = BUFFER / FOOTPRINT / o->clients;
	return fits < 1 ? 1 : fits < WINDOW ? fits : WINDOW;
}

static void write_ledger(FILE *ledger, int fd, pid_t from, const struct sockaddr_in *address,
			 unsigned long messages, unsigned long bytes)
{
	char key[128];
	old_ip_key(fd, address, key, sizeof(key));
	old_ledger(ledger, from, getpid(), "udp", key, messages, bytes);
}

/* Sends the questions and hears the answers, in the same order. Returns 0, or 1 after a line on stderr. */
static int converse(int fd, uint32_t client, const struct old_options *o, pid_t *server)
{
	_Alignas(struct old_head) char message[LARGEST];
	const struct old_head *head = (const void *)message;
	unsigned long asked = 0, window = window_of(o);

	for (unsigned long i = 0; i < o->messages; i++) {
		for (; asked < o->messages && asked < i + window; asked++) {
			old_fill(message, o->size, client, (uint32_t)asked);
			if (send(fd, message, o->size, 0) < 0) {
				perror("udp");
				return 1;
			}
		}
		if (recv(fd, message, sizeof(message), 0) != (ssize_t)o->size ||
		    !old_intact(message, o->size) || head->writer != client || head->number != i) {
			fprintf(stderr, "udp: answer %lu is lost or wrong\n", i);
			return 1;
		}
		*server = head->pid;
	}
	return 0;
}

static int ask(const struct sockaddr_in *address, uint32_t client, const struct old_options *o, FILE *ledger)
{
	pid_t server = 0;
	int fd = open_socket();
	if (fd < 0)
		return 1;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address))) {
		perror("udp");
		return 1;
	}
	if (converse(fd, client, o, &server))
		return 1;
	write_ledger(ledger, fd, server, address, o->messages, o->messages * o->size);
	return close(fd) ? 1 : 0;
}

static int answer(int fd, const struct old_options *o, FILE *ledger)
{
	_Alignas(struct old_head) char message[LARGEST];
	const struct old_head *head = (const void *)message;
	struct tally tally[OLD_TASKS_MAX] = { 0 };

	for (unsigned long i = 0; i < o->clients * o->messages; i++) {
		struct sockaddr_in from;
		socklen_t length = sizeof(from);
		if (recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&from, &length) !=
			    (ssize_t)o->size ||
		    !old_intact(message, o->size) || head->writer >= o->clients ||
		    head->number != tally[head->writer].messages) {
			fprintf(stderr, "udp: question %lu is lost or wrong\n", i);
			return 1;
		}
		struct tally *t = &tally[head->writer];
		*t = (struct tally){ .pid = head->pid, .messages = t->messages + 1, .address = from };
		old_fill(message, o->size, head->writer, head->number);
		if (sendto(fd, message, o->size, 0, (struct sockaddr *)&from, length) < 0) {
			perror("udp");
			return 1;
		}
	}
	for (unsigned long i = 0; i < o->clients; i++)
		write_ledger(ledger, fd, tally[i].pid, &tally[i].address, tally[i].messages,
			     tally[i].messages * o->size);
	return close(fd) ? 1 : 0;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64, .clients = 2 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (o.size > LARGEST) {
		fprintf(stderr, "udp: --size is %d at most\n", LARGEST);
		return 2;
	}
	int server = open_socket();
	if (server < 0 || bind(server, (struct sockaddr *)&address, length) ||
	    getsockname(server, (struct sockaddr *)&address, &length)) {
		perror("udp");
		return 1;
	}
	for (unsigned long i = 0; i <= o.clients; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0 && i == 0)
			_exit(answer(server, &o, ledger));
		if (pid == 0) {
			close(server);
			_exit(ask(&address, (uint32_t)i - 1, &o, ledger));
		}
	}
	close(server);
	return old_wait((unsigned int)o.clients + 1) ? 1 : 0;
}

const struct reference reference_udp = {
	.name = "udp",
	.summary = "clients that question a server at a port: --messages --size --clients",
	.old = run,
};
