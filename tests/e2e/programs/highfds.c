// SPDX-License-Identifier: BSD-2-Clause
/*
 * Ends of pipes and sockets under the highest numbers that it may have, up to a million, and around 4,096:
 * written, read, polled, copied, passed, inherited by fork and by exec, closed by range. Prints the highest
 * number that it used on stderr.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int check(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
	return ok;
}

static int move(int fd, int to)
{
	check(dup2(fd, to) == to, "dup2");
	close(fd);
	return to;
}

static void reap(void)
{
	int status;
	check(wait(&status) > 0 && !status, "child");
}

/* `out` has 5 bytes for whoever holds `in`. */
static void take(int in)
{
	char buffer[8];
	struct pollfd poll_in = { .fd = in, .events = POLLIN };
	struct epoll_event event = { .events = EPOLLIN, .data.fd = in };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	check(poll(&poll_in, 1, -1) == 1 && !epoll_ctl(epoll, EPOLL_CTL_ADD, in, &event), "poll");
	check(epoll_wait(epoll, &event, 1, -1) == 1 && event.data.fd == in, "epoll");
	check(read(in, buffer, sizeof(buffer)) == 5 && !memcmp(buffer, "12345", 5), "read");
	close(epoll);
}

static void talk(int top)
{
	int pipes[2], sockets[2];
	check(!pipe(pipes) && !socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), "pipe");
	int in = move(pipes[0], top), out = move(pipes[1], top - 1);
	int one = move(sockets[0], top - 2), other = move(sockets[1], top - 3);
	if (!fork()) {
		check(write(out, "12345", 5) == 5 && send(one, "12345", 5, 0) == 5, "write");
		_exit(0);
	}
	take(in);
	take(other);
	reap();
	int copy = fcntl(out, F_DUPFD_CLOEXEC, top - 4);
	check(copy >= 0 && write(copy, "12345", 5) == 5, "copy");
	take(in);
	check(!close_range((unsigned int)top - 3, (unsigned int)top, 0), "close_range");
	check(write(out, "x", 1) == -1, "closed");
	close(copy);
}

/* The same program again, which gets both ends. */
static void hand_over(const char *self, int top)
{
	int pipes[2];
	char number[16];
	check(!pipe(pipes), "pipe");
	move(pipes[0], top);
	move(pipes[1], top - 1);
	sprintf(number, "%d", top);
	if (!fork()) {
		execl(self, self, number, NULL);
		_exit(1);
	}
	reap();
	take(top);
	check(!close_range((unsigned int)top - 1, (unsigned int)top, 0), "close_range");
}

static int pass(int socket, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = "", byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (fd < 0) {
		check(recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1, "recvmsg");
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
		return fd;
	}
	*header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
				    .cmsg_level = SOL_SOCKET,
				    .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	check(sendmsg(socket, &message, 0) == 1, "sendmsg");
	return fd;
}

static void pass_on(int top)
{
	int pipes[2], sockets[2];
	check(!pipe(pipes) && !socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), "pipe");
	int in = move(pipes[0], top), one = move(sockets[0], top - 1), other = move(sockets[1], top - 2);
	if (!fork()) {
		int out = pass(other, -1);
		check(write(out, "12345", 5) == 5, "passed");
		_exit(0);
	}
	pass(one, pipes[1]);
	close(pipes[1]);
	take(in);
	reap();
	closefrom(top - 2);
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	if (argc > 1) {
		check(write(atoi(argv[1]) - 1, "12345", 5) == 5, "handed over");
		return 0;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	struct rlimit million = { 1000001, 1000001 }, most = { limit.rlim_max, limit.rlim_max };
	if (setrlimit(RLIMIT_NOFILE, &million))
		check(!setrlimit(RLIMIT_NOFILE, &most), "setrlimit");
	getrlimit(RLIMIT_NOFILE, &limit);
	int tops[] = { 4094, 4096, 4098, 6000, 65535, (int)limit.rlim_cur - 1 };
	for (unsigned int i = 0; i < sizeof(tops) / sizeof(*tops); i++) {
		if (tops[i] >= (int)limit.rlim_cur)
			continue;
		talk(tops[i]);
		hand_over(argv[0], tops[i]);
		pass_on(tops[i]);
	}
	fprintf(stderr, "%d\n", (int)limit.rlim_cur - 1);
	return 0;
}
