// SPDX-License-Identifier: BSD-2-Clause
/* Asks the kernel for its network interfaces, from a socket that is not bound: with its first send it is. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg body;
	} question = { { sizeof(question), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, { 0 } };
	_Alignas(struct nlmsghdr) char answer[1 << 16];
	const struct nlmsghdr *head = (const void *)answer;
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	if (fd < 0 || write(fd, &question, sizeof(question)) != sizeof(question))
		return 1;
	do
		if (read(fd, answer, sizeof(answer)) < (ssize_t)sizeof(*head))
			return 1;
	while (head->nlmsg_type != NLMSG_DONE);
	return close(fd);
}
