// SPDX-License-Identifier: BSD-2-Clause
/* What the programs of sockets share: connections, and datagrams (reference.h). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "reference.h"

enum {
	BUFFER = 200 * 1024, /* what SO_RCVBUF may be; the kernel doubles it */
	OVERHEAD = 2048,     /* of a datagram in it, with room to spare */
	WINDOW = 16,
};

static const struct reference_sockets *sockets;
static struct socket {
	int fd;
	struct sockaddr_storage name;
	socklen_t length;
} ends[REFERENCE_TASKS_MAX]; /* of the consumers */

static int make_socket(const struct reference_run *run, unsigned int number, struct socket *s)
{
	int size = BUFFER;
	s->length = sockets->name(number, &s->name);
	s->fd = socket(sockets->family, sockets->type | SOCK_CLOEXEC, sockets->protocol);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&s->name, s->length) ||
	    (sockets->silent && setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size))))
		return reference_failed(run, "socket");
	s->length = sizeof(s->name);
	return getsockname(s->fd, (struct sockaddr *)&s->name, &s->length);
}

/* What is received or sent, not the connection's beginning. */
static int set_mode(const struct reference_run *run, int fd)
{
	return run->options.nonblocking ? fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) : 0;
}

int reference_open_sockets(struct reference_run *run, const struct reference_sockets *of)
{
	sockets = of;
	for (unsigned int i = 0; i < run->options.consumers; i++) {
		if (make_socket(run, i, &ends[i]))
			return -1;
		if ((of->type == SOCK_STREAM || of->type == SOCK_SEQPACKET) &&
		    listen(ends[i].fd, REFERENCE_TASKS_MAX))
			return reference_failed(run, "listen");
	}
	return 0;
}

/* Closes those of the consumers but one. */
static void close_others(const struct reference_run *run, unsigned int but)
{
	for (unsigned int i = 0; i < run->options.consumers; i++)
		if (i != but)
			close(ends[i].fd);
}

int reference_leave_sockets(struct reference_run *run)
{
	close_others(run, REFERENCE_TASKS_MAX);
	return 0;
}

/* Connections */

/* Sends one packet, whole. */
static int send_packet(struct reference_run *run, int fd, const struct reference_head *m)
{
	while (send(fd, m, m->size, 0) < 0) {
		if (errno != EAGAIN)
			return reference_failed(run, "send");
		if (reference_poll(run, fd, POLLOUT))
			return -1;
	}
	reference_sent(run, run->to, m->size);
	return 0;
}

/* Receives and takes one packet: 1, 0 at the connection's end, -1. */
static int take_packet(struct reference_run *run, int fd)
{
	ssize_t n;
	while ((n = recv(fd, reference_buffer(run), REFERENCE_SIZE_MAX, 0)) < 0) {
		if (errno != EAGAIN)
			return reference_failed(run, "recv");
		if (reference_poll(run, fd, POLLIN))
			return -1;
	}
	if (n == 0)
		return 0;
	reference_received(run, (uint64_t)n);
	return reference_take(run, reference_buffer(run), (size_t)n) ? -1 : 1;
}

int reference_produce_connections(struct reference_run *run)
{
	int fds[REFERENCE_TASKS_MAX];
	const struct reference_head *m;
	close_others(run, REFERENCE_TASKS_MAX);
	for (unsigned int i = 0; i < run->options.consumers; i++) {
		fds[i] = socket(sockets->family, sockets->type | SOCK_CLOEXEC, sockets->protocol);
		if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&ends[i].name, ends[i].length) ||
		    set_mode(run, fds[i]))
			return reference_failed(run, "connect");
	}
	while ((m = reference_next(run))) {
		int fd = fds[run->consumer];
		if (sockets->type == SOCK_STREAM ? reference_write(run, fd, m, m->size)
						 : send_packet(run, fd, m))
			return -1;
	}
	for (unsigned int i = 0; i < run->options.consumers; i++)
		close(fds[i]);
	return 0;
}

int reference_consume_connections(struct reference_run *run)
{
	struct pollfd fds[REFERENCE_TASKS_MAX];
	unsigned int open = (unsigned int)run->options.producers;
	close_others(run, run->index);
	for (unsigned int i = 0; i < open; i++) {
		fds[i] = (struct pollfd){ .fd = accept(ends[run->index].fd, NULL, NULL), .events = POLLIN };
		if (fds[i].fd < 0 || set_mode(run, fds[i].fd))
			return reference_failed(run, "accept");
	}
	close(ends[run->index].fd);
	while (open > 0) {
		if (poll(fds, open, -1) < 0)
			return reference_failed(run, "poll");
		for (unsigned int i = open; i-- > 0;) {
			int fd = fds[i].fd, more = 1;
			if (fds[i].revents)
				more = sockets->type == SOCK_STREAM ? reference_take_message(run, fd)
								    : take_packet(run, fd);
			if (more < 0)
				return -1;
			if (more == 0) {
				close(fd);
				fds[i] = fds[--open];
			}
		}
	}
	return 0;
}

/*
 * Datagrams. Where the kernel drops what does not fit, a consumer answers each window of messages of one
 * producer with one of four bytes, if more are to come, and the producer waits for it.
 */

static unsigned long window_of(const struct reference_run *run)
{
	unsigned long each = run->options.producers * (2 * run->options.size_max + OVERHEAD);
	unsigned long fits = 2UL * BUFFER / each;
	return !sockets->silent ? ULONG_MAX : fits < 1 ? 1 : fits < WINDOW ? fits : WINDOW;
}

const char *reference_refuse_datagrams(const struct reference_options *o)
{
	if (o->producers * (2 * o->size_max + OVERHEAD) > 2UL * BUFFER)
		return "one message of each producer would not fit into a socket's buffer";
	return NULL;
}

static int send_to(struct reference_run *run, int fd, const void *data, size_t size, const struct socket *to)
{
	while (sendto(fd, data, size, 0, (const struct sockaddr *)&to->name, to->length) < 0) {
		if (errno != EAGAIN)
			return reference_failed(run, "sendto");
		reference_pause(); /* poll tells nothing of the other end's queue */
	}
	return 0;
}

/* Returns the size, or -1. */
static ssize_t receive_from(struct reference_run *run, int fd, void *data, size_t size, struct socket *from)
{
	ssize_t n;
	do {
		from->length = sizeof(from->name);
		n = recvfrom(fd, data, size, 0, (struct sockaddr *)&from->name, &from->length);
		if (n < 0 && errno != EAGAIN)
			return reference_failed(run, "recvfrom");
		if (n < 0 && reference_poll(run, fd, POLLIN))
			return -1;
	} while (n < 0);
	reference_received(run, (uint64_t)n);
	return n;
}

int reference_produce_datagrams(struct reference_run *run)
{
	unsigned long window = window_of(run), sent[REFERENCE_TASKS_MAX] = { 0 };
	struct socket own, from;
	const struct reference_head *m;
	close_others(run, REFERENCE_TASKS_MAX);
	if (make_socket(run, (unsigned int)run->options.consumers + run->index, &own) ||
	    set_mode(run, own.fd))
		return -1;
	while ((m = reference_next(run))) {
		uint32_t answer;
		if (send_to(run, own.fd, m, m->size, &ends[run->consumer]))
			return -1;
		reference_sent(run, run->to, m->size);
		if (++sent[run->consumer] % window ||
		    sent[run->consumer] == reference_share(run, run->index, run->consumer))
			continue;
		if (receive_from(run, own.fd, &answer, sizeof(answer), &from) != (ssize_t)sizeof(answer))
			return reference_wrong(run, "no answer");
		reference_came(run, run->to, 1, sizeof(answer));
	}
	return close(own.fd);
}

int reference_consume_datagrams(struct reference_run *run)
{
	const struct reference_head *m = reference_buffer(run);
	unsigned long window = window_of(run), taken[REFERENCE_TASKS_MAX] = { 0 };
	int fd = ends[run->index].fd;
	close_others(run, run->index);
	if (set_mode(run, fd))
		return reference_failed(run, "fcntl");
	while (reference_more(run)) {
		struct socket from;
		ssize_t n = receive_from(run, fd, reference_buffer(run), REFERENCE_SIZE_MAX, &from);
		if (n < 0 || reference_take(run, m, (size_t)n))
			return -1;
		if (++taken[m->producer] % window ||
		    taken[m->producer] == reference_share(run, m->producer, run->index))
			continue;
		uint32_t answer = m->number;
		if (send_to(run, fd, &answer, sizeof(answer), &from))
			return -1;
		reference_sent(run, (unsigned int)m->pid, sizeof(answer));
	}
	return close(fd);
}

/* Names */

socklen_t reference_ip_name(unsigned int number, struct sockaddr_storage *name)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	(void)number;
	memcpy(name, &in, sizeof(in));
	return sizeof(in);
}

socklen_t reference_path_name(unsigned int number, struct sockaddr_storage *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", reference_path(number));
	memcpy(name, &un, sizeof(un));
	return sizeof(un);
}
