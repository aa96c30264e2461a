// SPDX-License-Identifier: BSD-2-Clause
/*
 * netlink: producers send to consumers by port id, with sockets of the protocol that is left to users; and
 * each producer asks the kernel for the network interfaces. Nothing is lost: who sends to a full socket
 * waits.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

#include "reference.h"

static socklen_t port_name(unsigned int number, struct sockaddr_storage *name)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK }; /* the kernel chooses the port id */
	(void)number;
	memcpy(name, &nl, sizeof(nl));
	return sizeof(nl);
}

static const struct reference_sockets sockets = {
	.family = AF_NETLINK,
	.type = SOCK_RAW,
	.protocol = NETLINK_USERSOCK,
	.name = port_name,
};

static int open_sockets(struct reference_run *run)
{
	return reference_open_sockets(run, &sockets);
}

static int ask_kernel(struct reference_run *run)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg body;
	} question = { { sizeof(question), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, { 0 } };
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_Alignas(struct nlmsghdr) static char answer[1 << 16];
	const struct nlmsghdr *head = (const void *)answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || sendto(fd, &question, sizeof(question), 0, (const struct sockaddr *)&kernel,
			     sizeof(kernel)) != (ssize_t)sizeof(question))
		return reference_failed(run, "question to the kernel");
	reference_sent(run, REFERENCE_OUTSIDE, sizeof(question));
	do {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		if (n < (ssize_t)sizeof(*head) || head->nlmsg_type == NLMSG_ERROR)
			return reference_wrong(run, "the kernel does not tell the interfaces");
		reference_received(run, (uint64_t)n);
		reference_came(run, REFERENCE_OUTSIDE, 1, (uint64_t)n);
	} while (head->nlmsg_type != NLMSG_DONE);
	return close(fd);
}

static int produce(struct reference_run *run)
{
	return ask_kernel(run) || reference_produce_datagrams(run);
}

const struct reference reference_netlink = {
	.name = "netlink",
	.summary = "messages by port id, and a question to the kernel",
	.capacity = "bounded",
	.order = "as sent",
	.direction = "both ways",
	.largest = 1 << 16, /* with the usual buffer, in which it must fit as a whole */
	.when_full = "sender waits",
	.synchronisation = "none",
	.relationship = "none: they know a port id",
	.features = REFERENCE_PAIRS | REFERENCE_NONBLOCKING | REFERENCE_SIZES,
	.open = open_sockets,
	.produce = produce,
	.consume = reference_consume_datagrams,
	.leave = reference_leave_sockets,
};
