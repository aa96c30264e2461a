// SPDX-License-Identifier: BSD-2-Clause
/* What the programs of sockets share: the keys of their channels, and a conversation over connections. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

void old_unix_key(int fd, char *key, size_t size)
{
	struct stat st = { 0 };
	fstat(fd, &st);
	snprintf(key, size, "unix:[%lu]", (unsigned long)st.st_ino);
}

static bool is_before(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
	uint32_t a_ip = ntohl(a->sin_addr.s_addr), b_ip = ntohl(b->sin_addr.s_addr);
	return a_ip != b_ip ? a_ip < b_ip : ntohs(a->sin_port) < ntohs(b->sin_port);
}

void old_ip_key(int fd, const struct sockaddr_in *peer, char *key, size_t size)
{
	struct sockaddr_in own = { 0 };
	socklen_t own_length = sizeof(own), netns_length, type_length;
	unsigned long long netns = 0;
	int type = 0;
	char low[INET_ADDRSTRLEN], high[INET_ADDRSTRLEN];

	getsockname(fd, (struct sockaddr *)&own, &own_length);
	netns_length = sizeof(netns);
	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &netns, &netns_length);
	type_length = sizeof(type);
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length);
	const struct sockaddr_in *a = is_before(&own, peer) ? &own : peer, *b = a == peer ? &own : peer;
	snprintf(key, size, "%s:%llu:%s:%u-%s:%u", type == SOCK_STREAM ? "tcp" : "udp", netns,
		 inet_ntop(AF_INET, &a->sin_addr, low, sizeof(low)), ntohs(a->sin_port),
		 inet_ntop(AF_INET, &b->sin_addr, high, sizeof(high)), ntohs(b->sin_port));
}

static void write_ledger(const struct old_talk *t, int fd, pid_t from, unsigned long messages)
{
	char key[128];
	t->key(fd, key, sizeof(key));
	old_ledger(t->ledger, from, getpid(), t->mechanism, key, messages, messages * t->options->size);
}

/* The next message of the other side, in its order. As old_read(). */
static int receive(const struct old_talk *t, int fd, void *message, unsigned long number)
{
	const struct old_head *head = message;
	int more = old_read(fd, message, t->options->size);
	if (more > 0 && (!old_intact(message, t->options->size) || head->number != number)) {
		fprintf(stderr, "%s: message %lu is damaged or out of order\n", t->mechanism, number);
		return -1;
	}
	return more;
}

static int ask(const struct old_talk *t, uint32_t client)
{
	_Alignas(struct old_head) static char message[OLD_SIZE_MAX];
	const struct old_head *head = (const void *)message;
	int fd = t->connect(t->address);
	if (fd < 0) {
		perror(t->mechanism);
		return 1;
	}
	for (unsigned long i = 0; i < t->options->messages; i++) {
		old_fill(message, t->options->size, client, (uint32_t)i);
		if (old_write(fd, message, t->options->size) < 0 || receive(t, fd, message, i) <= 0)
			return 1;
		if (head->writer != client) {
			fprintf(stderr, "%s: client %u has the answer for %u\n", t->mechanism, client,
				head->writer);
			return 1;
		}
	}
	write_ledger(t, fd, head->pid, t->options->messages);
	return close(fd) ? 1 : 0;
}

static int answer(const struct old_talk *t, int fd)
{
	_Alignas(struct old_head) static char message[OLD_SIZE_MAX];
	const struct old_head *head = (const void *)message;
	unsigned long messages = 0;
	pid_t client = 0;
	int more;

	while ((more = receive(t, fd, message, messages)) > 0) {
		client = head->pid;
		old_fill(message, t->options->size, head->writer, (uint32_t)messages++);
		if (old_write(fd, message, t->options->size) < 0)
			return 1;
	}
	if (more < 0 || messages != t->options->messages) {
		fprintf(stderr, "%s: %lu questions came\n", t->mechanism, messages);
		return 1;
	}
	write_ledger(t, fd, client, messages);
	return close(fd) ? 1 : 0;
}

static int serve(const struct old_talk *t)
{
	for (unsigned long i = 0; i < t->options->clients; i++) {
		int fd = accept(t->listener, NULL, NULL);
		pid_t pid = fd < 0 ? -1 : fork();
		if (pid < 0) {
			perror(t->mechanism);
			return 1;
		}
		if (pid == 0) {
			close(t->listener);
			_exit(answer(t, fd));
		}
		close(fd);
	}
	return old_wait((unsigned int)t->options->clients) ? 1 : 0;
}

int old_converse(const struct old_talk *t)
{
	for (unsigned long i = 0; i <= t->options->clients; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0 && i == 0)
			_exit(serve(t));
		if (pid == 0) {
			close(t->listener);
			_exit(ask(t, (uint32_t)i - 1));
		}
	}
	close(t->listener);
	return old_wait((unsigned int)t->options->clients + 1) ? 1 : 0;
}
