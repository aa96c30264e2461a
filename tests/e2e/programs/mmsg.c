// SPDX-License-Identifier: BSD-2-Clause
/*
 * Calls that Python does not have: sendmmsg and recvmmsg over a pair of datagram sockets and over UDP,
 * recvmmsg with fewer messages than asked for, and MSG_ZEROCOPY over TCP with its notices read from the error
 * queue. A parent sends, a child receives and prints the sizes.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGES = 8, SIZE = 1000, BIG = 200000 };

static char buffers[MESSAGES][SIZE];
static char big[BIG];

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static void fill(struct mmsghdr *messages, struct iovec *parts, int step)
{
	memset(messages, 0, MESSAGES * sizeof(*messages));
	for (int i = 0; i < MESSAGES; i++) {
		parts[i] = (struct iovec){ buffers[i], step ? (size_t)(i * step) : SIZE };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
}

static void receive(int fd)
{
	struct mmsghdr messages[MESSAGES];
	struct iovec parts[MESSAGES];
	for (int left = 2 * MESSAGES; left > 0;) {
		fill(messages, parts, 0);
		int n = recvmmsg(fd, messages, MESSAGES, MSG_WAITFORONE, NULL);
		must(n > 0, "recvmmsg");
		for (int i = 0; i < n; i++)
			printf("%u ", messages[i].msg_len);
		left -= n;
	}
	printf("\n");
}

static void send_all(int fd)
{
	struct mmsghdr messages[MESSAGES];
	struct iovec parts[MESSAGES];
	for (int step = 10; step <= 20; step += 10) {
		fill(messages, parts, step);
		must(sendmmsg(fd, messages, MESSAGES, 0) == MESSAGES, "sendmmsg");
	}
}

static struct sockaddr_in own(int fd)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	must(!getsockname(fd, (struct sockaddr *)&address, &length), "getsockname");
	return address;
}

static int bound(int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type, 0);
	must(fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)), "bind");
	return fd;
}

static void in_child(void (*work)(int), int fd)
{
	fflush(stdout);
	if (fork() == 0) {
		work(fd);
		exit(0);
	}
}

static void join(void)
{
	int status;
	must(wait(&status) > 0 && !status, "child");
}

static void pair(int type)
{
	int fd[2];
	must(!socketpair(AF_UNIX, type, 0, fd), "socketpair");
	in_child(receive, fd[1]);
	send_all(fd[0]);
	join();
	close(fd[0]);
	close(fd[1]);
}

static void udp(void)
{
	int receiver = bound(SOCK_DGRAM), sender = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in address = own(receiver);
	must(!connect(sender, (struct sockaddr *)&address, sizeof(address)), "connect");
	in_child(receive, receiver);
	send_all(sender);
	join();
}

static void drain(int fd)
{
	long total = 0, n;
	while ((n = read(fd, big, sizeof(big))) > 0)
		total += n;
	printf("%ld\n", total);
}

static void accept_and_drain(int listener)
{
	int fd = accept(listener, NULL, NULL);
	must(fd >= 0, "accept");
	drain(fd);
}

static void zero_copy(void)
{
	int listener = bound(SOCK_STREAM), fd, one = 1;
	struct sockaddr_in address = own(listener);
	must(!listen(listener, 1), "listen");
	in_child(accept_and_drain, listener);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	must(!connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect");
	must(!setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)), "SO_ZEROCOPY");
	for (int i = 0; i < 5; i++) {
		long sent = send(fd, big, sizeof(big), MSG_ZEROCOPY);
		must(sent == sizeof(big), "send");
		char control[200];
		struct msghdr notice = { .msg_control = control, .msg_controllen = sizeof(control) };
		struct pollfd ready = { .fd = fd };
		must(poll(&ready, 1, 5000) == 1, "poll");
		must(recvmsg(fd, &notice, MSG_ERRQUEUE) == 0, "recvmsg");
	}
	close(fd);
	join();
}

int main(void)
{
	pair(SOCK_DGRAM);
	pair(SOCK_SEQPACKET);
	udp();
	zero_copy();
	return 0;
}
