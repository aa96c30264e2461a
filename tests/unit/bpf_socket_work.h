/* SPDX-License-Identifier: BSD-2-Clause */
/* What the traced programs of test_bpf_socket.c do. */
#ifndef IPC_BPF_SOCKET_WORK_H
#define IPC_BPF_SOCKET_WORK_H

#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "bpf_target.h"
#include "event.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum { /* facts */
       INODE = 0,
       PID = 20,
       COOKIE = 30, /* of the network namespace */
       VALUE = 40,
};

union address {
	struct sockaddr any;
	struct sockaddr_un un;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static void check(bool well)
{
	if (!well)
		_exit(99);
}

/* Its inode as fact i, its two addresses as names 2 i and 2 i + 1. */
static void note(int i, int fd)
{
	socklen_t size = sizeof(facts[COOKIE]);
	struct name *own = &names[2 * i], *other = own + 1;

	facts[INODE + i] = inode_of(fd);
	own->length = other->length = sizeof(own->bytes);
	check(!getsockname(fd, (struct sockaddr *)own->bytes, &own->length));
	if (getpeername(fd, (struct sockaddr *)other->bytes, &other->length))
		other->length = 0;
	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &facts[COOKIE], &size);
}

static int socket_at(int type, const union address *a, socklen_t length)
{
	int on = 1, fd = socket(a->any.sa_family, type, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	check(fd >= 0 && !bind(fd, &a->any, length));
	return fd;
}

static void connect_to(int fd, int other)
{
	union address a;
	socklen_t length = sizeof(a);

	check(!getsockname(other, &a.any, &length));
	check(!connect(fd, &a.any, length));
}

static union address named(const char *name)
{
	union address a = { .un = { .sun_family = AF_UNIX } };
	snprintf(a.un.sun_path, sizeof(a.un.sun_path), "%s/%s", folder, name);
	return a;
}

static union address abstract(char which)
{
	union address a = { .un = { .sun_family = AF_UNIX } };
	memcpy(a.un.sun_path + 1, folder, strlen(folder));
	a.un.sun_path[0] = '\0';
	a.un.sun_path[1] = which;
	return a;
}

static socklen_t abstract_length(void)
{
	return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(folder);
}

static union address ipv4(void)
{
	return (union address){ .in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } } };
}

static union address ipv6(void)
{
	return (union address){ .in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT } };
}

/* Descriptor 3 listens, 4 is accepted; the child's is 4. Inodes and names: 0 listener, 1 server, 2 client. */
static void serve(int type, const union address *a, socklen_t length)
{
	char buffer[100];
	int listener = socket_at(type, a, length);

	check(!listen(listener, 5));
	note(0, listener);
	if (!fork_noted(PID)) {
		int c = socket(a->any.sa_family, type, 0);
		connect_to(c, listener);
		note(2, c);
		check(send(c, "hello", 5, 0) == 5 && read(c, buffer, 100) == 3);
		_exit(0);
	}
	int s = accept(listener, NULL, NULL);
	check(read(s, buffer, 100) == 5);
	note(1, s);
	check(write(s, "bye", 3) == 3);
	reap(facts[PID]);
	check(recv(s, buffer, 100, 0) == 0);
}

static int work_named(void)
{
	union address a = named("stream");
	serve(SOCK_STREAM, &a, sizeof(a.un));
	unlink(a.un.sun_path);
	return 0;
}

static int work_abstract(void)
{
	union address a = abstract('s');
	serve(SOCK_SEQPACKET, &a, abstract_length());
	return 0;
}

static int work_tcp(void)
{
	union address a = ipv4();
	serve(SOCK_STREAM, &a, sizeof(a.in));
	return 0;
}

static int work_tcp6(void)
{
	union address a = ipv6();
	serve(SOCK_STREAM, &a, sizeof(a.in6));
	return 0;
}

/* An IPv4 client of an IPv6 server; then one that nobody serves. */
static int work_mapped(void)
{
	union address a = { .in6 = { .sin6_family = AF_INET6 } }, b = ipv4();
	int listener = socket_at(SOCK_STREAM, &a, sizeof(a.in6)), c = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(a);

	check(!listen(listener, 5) && !getsockname(listener, &a.any, &length));
	b.in.sin_port = a.in6.sin6_port;
	check(!connect(c, &b.any, sizeof(b.in)));
	int s = accept(listener, NULL, NULL);
	note(0, listener);
	note(1, s);
	note(2, c);
	close(listener);
	int refused = socket(AF_INET, SOCK_STREAM, 0);
	facts[INODE + 3] = inode_of(refused);
	check(connect(refused, &b.any, sizeof(b.in)) && errno == ECONNREFUSED);
	return 0;
}

/* The client has gone when it is accepted. */
static int work_gone(void)
{
	union address a = named("gone");
	int listener = socket_at(SOCK_STREAM, &a, sizeof(a.un));

	check(!listen(listener, 5));
	if (!fork_noted(PID)) {
		int c = socket(AF_UNIX, SOCK_STREAM, 0);
		connect_to(c, listener);
		facts[INODE + 2] = inode_of(c);
		_exit(0);
	}
	reap(facts[PID]);
	facts[INODE + 1] = inode_of(accept(listener, NULL, NULL));
	unlink(a.un.sun_path);
	return 0;
}

static int work_pair(void)
{
	char buffer[100];
	int s[2];

	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	note(0, s[0]);
	note(1, s[1]);
	check(write(s[0], "hello", 5) == 5);
	check(recv(s[1], buffer, 2, MSG_PEEK) == 2 && recv(s[1], buffer, 100, 0) == 5);
	check(send(s[0], "x", 1, MSG_OOB) == 1 && recv(s[1], buffer, 1, MSG_OOB) == 1);
	check(recv(s[1], buffer, 100, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	check(!shutdown(s[0], SHUT_WR) && read(s[1], buffer, 100) == 0);
	check(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	note(2, s[0]);
	note(3, s[1]);
	check(send(s[0], "hello", 5, 0) == 5 && recv(s[1], buffer, 3, MSG_TRUNC) == 5);
	check(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	note(4, s[0]);
	note(5, s[1]);
	check(send(s[0], "", 0, 0) == 0 && read(s[1], buffer, 100) == 0);
	return 0;
}

static int work_unix_dgram(void)
{
	union address a = named("a"), b = abstract('b'), from;
	int x = socket_at(SOCK_DGRAM, &a, sizeof(a.un));
	int y = socket_at(SOCK_DGRAM, &b, abstract_length());
	int z = socket(AF_UNIX, SOCK_DGRAM, 0);
	socklen_t length = sizeof(from);
	char buffer[100];

	note(0, x);
	note(1, y);
	note(2, z);
	check(sendto(x, "hello", 5, 0, &b.any, abstract_length()) == 5);
	check(recvfrom(y, buffer, 100, 0, &from.any, &length) == 5);
	check(sendto(y, "hello", 5, 0, &a.any, sizeof(a.un)) == 5);
	length = sizeof(from);
	check(recvfrom(x, buffer, 100, 0, &from.any, &length) == 5);
	check(sendto(z, "hello", 5, 0, &a.any, sizeof(a.un)) == 5);
	length = sizeof(from);
	check(recvfrom(x, buffer, 5, 0, &from.any, &length) == 5 && length == 0);
	connect_to(z, x);
	note(2, z);
	check(write(z, "hello", 5) == 5 && recv(x, buffer, 3, 0) == 3);
	unlink(a.un.sun_path);
	return 0;
}

static void exchange_datagrams(union address *a, socklen_t size)
{
	int x = socket_at(SOCK_DGRAM, a, size), y = socket(a->any.sa_family, SOCK_DGRAM, 0);
	socklen_t length = size;
	char buffer[100], content[60];

	memset(content, 'c', sizeof(content));
	check(!getsockname(x, &a->any, &length));
	note(0, x);
	note(1, y);
	facts[VALUE] = ipc_address((const uint8_t *)a, size);
	a->in.sin_port = 0;
	check(sendto(y, content, 1, 0, &a->any, size) < 0); /* it has a port all the same */
	check(!getsockname(x, &a->any, &length));
	check(sendto(y, content, 60, 0, &a->any, size) == 60);
	note(2, y);
	length = size;
	check(recvfrom(x, buffer, 100, 0, &a->any, &length) == 60);
	facts[VALUE + 1] = ipc_address((const uint8_t *)a, size);
	check(sendto(x, "", 0, 0, &a->any, size) == 0 && recv(y, buffer, 100, 0) == 0);
	connect_to(y, x);
	note(3, y);
	check(write(y, content, 7) == 7 && recv(x, buffer, 7, 0) == 7);
	check(write(y, content, 8) == 8 && recv(x, buffer, 7, MSG_TRUNC) == 8);
	check(write(y, content, 48) == 48 && read(x, buffer, 0) == 0 && read(x, buffer, 100) == 48);
}

static int work_udp(void)
{
	union address a = ipv4();
	exchange_datagrams(&a, sizeof(a.in));
	return 0;
}

static int work_udp6(void)
{
	union address a = ipv6();
	exchange_datagrams(&a, sizeof(a.in6));
	return 0;
}

/* The content of each message in two pieces. */
static struct mmsghdr message(struct iovec iov[2], char *content, size_t first, size_t second,
			      union address *a)
{
	iov[0] = (struct iovec){ content, first };
	iov[1] = (struct iovec){ content + first, second };
	return (struct mmsghdr){ .msg_hdr = { .msg_iov = iov,
					      .msg_iovlen = 2,
					      .msg_name = a,
					      .msg_namelen = a ? sizeof(a->in) : 0 } };
}

static int work_several(void)
{
	union address a = ipv4(), from[3];
	int x = socket_at(SOCK_DGRAM, &a, sizeof(a.in)), y = socket_at(SOCK_DGRAM, &a, sizeof(a.in));
	struct iovec iov[3][2];
	char content[3][200];
	socklen_t length = sizeof(a);

	memset(content, 'c', sizeof(content));
	check(!getsockname(x, &a.any, &length));
	facts[VALUE] = ipc_address((const uint8_t *)&a, sizeof(a.in));
	note(0, x);
	note(1, y);
	struct mmsghdr out[3] = { message(iov[0], content[0], 10, 20, &a),
				  message(iov[1], content[1], 47, 100, &a),
				  message(iov[2], content[2], 0, 1, &a) };
	check(sendmmsg(y, out, 3, 0) == 3);
	length = sizeof(a);
	check(!getsockname(y, &a.any, &length));
	facts[VALUE + 1] = ipc_address((const uint8_t *)&a, sizeof(a.in));
	struct mmsghdr in[3] = { message(iov[0], content[0], 50, 20, &from[0]),
				 message(iov[1], content[1], 90, 30, NULL),
				 message(iov[2], content[2], 3, 100, &from[2]) };
	check(recvmmsg(x, in, 3, 0, NULL) == 3);
	connect_to(y, x);
	check(writev(y, iov[2], 2) == 103 && readv(x, iov[2], 2) == 103);
	return 0;
}

static void send_descriptors(int fd, const int *passed, size_t n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
	struct iovec iov = { control, 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *c = (struct cmsghdr *)control;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	h.msg_controllen = CMSG_SPACE(n * sizeof(int));
	memcpy(CMSG_DATA(c), passed, n * sizeof(int));
	check(sendmsg(fd, &h, 0) == 1);
}

/* A pipe, a file and a socket in one message, then a pipe in each of two. */
static int work_passed(void)
{
	char control[2][256], byte[2];
	int s[2], p[2];

	check(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	note(0, s[0]);
	note(1, s[1]);
	make_pipe(p, 0);
	facts[INODE + 2] = inode_of(p[0]);
	int null = open("/dev/null", O_RDONLY);
	int all[] = { p[0], null, s[0] };
	send_descriptors(s[0], all, 3);
	send_descriptors(s[0], all, 1);
	send_descriptors(s[0], all, 1);
	struct iovec iov = { byte, 2 };
	struct mmsghdr in[2] = { { .msg_hdr = { .msg_iov = &iov,
						.msg_iovlen = 1,
						.msg_control = control[0],
						.msg_controllen = sizeof(control[0]) } } };
	check(recvmsg(s[1], &in[0].msg_hdr, 0) == 1);
	in[1] = in[0];
	in[1].msg_hdr.msg_control = control[1];
	in[0].msg_hdr.msg_controllen = in[1].msg_hdr.msg_controllen = sizeof(control[0]);
	check(recvmmsg(s[1], in, 2, 0, NULL) == 2);
	check(write(11, "x", 1) < 0); /* a copy of the pipe's read end */
	return 0;
}

static int work_waits(void)
{
	struct epoll_event e = { .events = EPOLLIN, .data = { .u64 = 0x123456789abcULL } }, out[4];
	struct timeval none = { 0 };
	fd_set in, writes;
	int s[2], p[2];

	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	make_pipe(p, 0);
	facts[INODE] = inode_of(s[0]);
	facts[INODE + 1] = inode_of(s[1]);
	facts[INODE + 2] = inode_of(p[0]);
	int null = open("/dev/null", O_RDWR);
	struct pollfd fds[] = { { .fd = s[0], .events = POLLIN },
				{ .fd = null, .events = POLLIN },
				{ .fd = s[1], .events = POLLOUT },
				{ .fd = 999, .events = POLLIN },
				{ .fd = -1 },
				{ .fd = p[1], .events = POLLOUT } };
	check(poll(fds, 1, 0) == 0);
	check(poll(fds, 6, -1) == 4);
	check(write(s[1], "x", 1) == 1 && write(p[1], "x", 1) == 1);
	check(dup2(s[0], 130) == 130);
	FD_ZERO(&in);
	FD_ZERO(&writes);
	FD_SET(s[0], &in);
	FD_SET(s[1], &in);
	FD_SET(p[0], &in);
	FD_SET(130, &in);
	FD_SET(130, &writes);
	FD_SET(null, &writes);
	check(syscall(SYS_select, 131, &in, &writes, NULL, &none) == 5);
	int ep = epoll_create1(0);
	check(!epoll_ctl(ep, EPOLL_CTL_ADD, s[0], &e));
	e.data.u64 = 77;
	check(!epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
	check(!epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e)); /* nothing new */
	e.data.u64 = 78;
	check(!epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e));
	check(epoll_wait(ep, out, 4, -1) == 2);
	check(!epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	check(epoll_pwait(ep, out, 4, -1, NULL) == 1);
	return 0;
}

/* A blocked receive that never returns, on a socket that was inherited. */
static int work_inside_socket(void)
{
	char byte;
	int s[2];

	check(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	facts[INODE] = inode_of(s[0]);
	if (!fork_noted(PID))
		_exit(recv(s[0], &byte, 1, 0) != 1);
	await_blocked(facts[PID]);
	kill(facts[PID], SIGKILL);
	reap(facts[PID]);
	return 0;
}

/* Over a TCP connection, without a copy. */
static int work_spliced(void)
{
	union address a = ipv4();
	int listener = socket_at(SOCK_STREAM, &a, sizeof(a.in)), c = socket(AF_INET, SOCK_STREAM, 0), p[2];
	char path[256], buffer[3000] = {};

	check(!listen(listener, 1));
	connect_to(c, listener);
	int s = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	note(0, c);
	note(1, s);
	make_pipe(p, 0);
	facts[INODE + 2] = inode_of(p[0]);
	snprintf(path, sizeof(path), "%s/file", folder);
	int file = open(path, O_RDWR | O_CREAT, 0600);
	check(write(file, buffer, 3000) == 3000 && lseek(file, 0, SEEK_SET) == 0);
	check(sendfile(c, file, NULL, 3000) == 3000);
	check(splice(s, NULL, p[1], NULL, 3000, 0) == 3000);
	return 0;
}

static const struct work works[] = {
	{ "named", work_named },     { "abstract", work_abstract },
	{ "tcp", work_tcp },	     { "tcp6", work_tcp6 },
	{ "mapped", work_mapped },   { "gone", work_gone },
	{ "pair", work_pair },	     { "unix_dgram", work_unix_dgram },
	{ "udp", work_udp },	     { "udp6", work_udp6 },
	{ "several", work_several }, { "passed", work_passed },
	{ "waits", work_waits },     { "inside_socket", work_inside_socket },
	{ "spliced", work_spliced }, {},
};

#endif
