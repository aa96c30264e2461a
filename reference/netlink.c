// SPDX-License-Identifier: BSD-2-Clause
/*
 * netlink: clients ask a server, each with a socket of the protocol that is left to users, by port id; and
 * each client asks the kernel for the network interfaces (0 in the ledger). Nothing is lost: who sends to a
 * full socket waits.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

enum { LARGEST = 1 << 15 };

static int open_socket(int protocol, struct sockaddr_nl *name)
{
	socklen_t length = sizeof(*name);
	*name = (struct sockaddr_nl){ .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0 || bind(fd, (struct sockaddr *)name, sizeof(*name)) ||
	    getsockname(fd, (struct sockaddr *)name, &length)) {
		perror("netlink");
		return -1;
	}
	return fd;
}

static void make_key(int fd, const char *protocol, const struct sockaddr_nl *name, char *key, size_t size)
{
	unsigned long long netns = 0;
	socklen_t length = sizeof(netns);
	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &netns, &length);
	snprintf(key, size, "netlink:%llu:%s:%u", netns, protocol, name->nl_pid);
}

static int ask_kernel(FILE *ledger)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg body;
	} question = { { sizeof(question), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, { 0 } };
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_Alignas(struct nlmsghdr) static char answer[1 << 16];
	const struct nlmsghdr *head = (const void *)answer;
	struct sockaddr_nl own;
	unsigned long messages = 0, bytes = 0;
	char key[64];
	int fd = open_socket(NETLINK_ROUTE, &own);
	if (fd < 0 || sendto(fd, &question, sizeof(question), 0, (const struct sockaddr *)&kernel,
			     sizeof(kernel)) != (ssize_t)sizeof(question))
		return 1;
	do {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		if (n < (ssize_t)sizeof(*head) || head->nlmsg_type == NLMSG_ERROR) {
			fprintf(stderr, "netlink: the kernel does not tell the interfaces\n");
			return 1;
		}
		messages++;
		bytes += (unsigned long)n;
	} while (head->nlmsg_type != NLMSG_DONE);
	make_key(fd, "route", &own, key, sizeof(key));
	old_ledger(ledger, getpid(), 0, "netlink", key, 1, sizeof(question));
	old_ledger(ledger, 0, getpid(), "netlink", key, messages, bytes);
	return close(fd) ? 1 : 0;
}

static int ask(const struct sockaddr_nl *server, uint32_t client, const struct old_options *o, FILE *ledger)
{
	_Alignas(struct old_head) static char message[LARGEST];
	const struct old_head *head = (const void *)message;
	struct sockaddr_nl own;
	char key[64];
	int fd = open_socket(NETLINK_USERSOCK, &own);
	if (fd < 0)
		return 1;
	for (unsigned long i = 0; i < o->messages; i++) {
		old_fill(message, o->size, client, (uint32_t)i);
		if (sendto(fd, message, o->size, 0, (const struct sockaddr *)server, sizeof(*server)) < 0 ||
		    recv(fd, message, sizeof(message), 0) != (ssize_t)o->size) {
			perror("netlink");
			return 1;
		}
		if (!old_intact(message, o->size) || head->writer != client || head->number != i) {
			fprintf(stderr, "netlink: answer %lu is wrong\n", i);
			return 1;
		}
	}
	make_key(fd, "usersock", &own, key, sizeof(key));
	old_ledger(ledger, head->pid, getpid(), "netlink", key, o->messages, o->messages * o->size);
	return close(fd) || ask_kernel(ledger) ? 1 : 0;
}

static int answer(int fd, const struct sockaddr_nl *own, const struct old_options *o, FILE *ledger)
{
	_Alignas(struct old_head) static char message[LARGEST];
	const struct old_head *head = (const void *)message;
	unsigned long messages[OLD_TASKS_MAX] = { 0 };
	pid_t pids[OLD_TASKS_MAX] = { 0 };
	char key[64];

	for (unsigned long i = 0; i < o->clients * o->messages; i++) {
		struct sockaddr_nl client;
		socklen_t length = sizeof(client);
		if (recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&client, &length) !=
			    (ssize_t)o->size ||
		    !old_intact(message, o->size) || head->writer >= o->clients ||
		    head->number != messages[head->writer]) {
			fprintf(stderr, "netlink: question %lu is damaged or out of order\n", i);
			return 1;
		}
		pids[head->writer] = head->pid;
		messages[head->writer]++;
		old_fill(message, o->size, head->writer, head->number);
		if (sendto(fd, message, o->size, 0, (struct sockaddr *)&client, sizeof(client)) < 0) {
			perror("netlink");
			return 1;
		}
	}
	make_key(fd, "usersock", own, key, sizeof(key));
	for (unsigned long i = 0; i < o->clients; i++)
		old_ledger(ledger, pids[i], getpid(), "netlink", key, messages[i], messages[i] * o->size);
	return close(fd) ? 1 : 0;
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .messages = 1000, .size = 64, .clients = 2 };
	struct sockaddr_nl own;
	int usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	if (o.size > LARGEST) {
		fprintf(stderr, "netlink: --size is %d at most\n", LARGEST);
		return 2;
	}
	int server = open_socket(NETLINK_USERSOCK, &own);
	if (server < 0)
		return 1;
	for (uint32_t i = 0; i < o.clients; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0) {
			close(server);
			_exit(ask(&own, i, &o, ledger));
		}
	}
	int failed = answer(server, &own, &o, ledger);
	return old_wait((unsigned int)o.clients) || failed ? 1 : 0;
}

const struct reference reference_netlink = {
	.name = "netlink",
	.summary = "clients that question a server and the kernel: --messages --size --clients",
	.old = run,
};
