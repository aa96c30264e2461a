// SPDX-License-Identifier: BSD-2-Clause
/*
 * rings WHAT: two processes talk by operations submitted through rings of io_uring; each says at its end what
 * it has sent and received: "moved PID MECHANISM sends bytes receives bytes".
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGES = 20, SIZE = 100, BUFFERS = 8 };

static struct io_uring ring;
static struct io_uring_cqe last;
static unsigned long sends, sent, receives, received;
static char data[65536];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct io_uring_sqe *next(void)
{
	struct io_uring_sqe *q = io_uring_get_sqe(&ring);
	if (!q)
		fail("entry");
	return q;
}

static int one_result(void)
{
	struct io_uring_cqe *done;
	if (io_uring_wait_cqe(&ring, &done))
		fail("io_uring_wait_cqe");
	last = *done;
	io_uring_cqe_seen(&ring, done);
	return last.res;
}

/* Where a kernel thread polls, what is counted is what it has not said yet that it took: any number. */
static int result(void)
{
	int submitted = io_uring_submit(&ring);
	if (submitted < 0 || (submitted != 1 && !(ring.flags & IORING_SETUP_SQPOLL)))
		fail("io_uring_submit");
	return one_result();
}

static void count_sent(int n)
{
	if (n < 0)
		fail("send");
	sends++;
	sent += n;
}

/* Whether there was something. */
static int count_received(int n)
{
	if (n < 0)
		fail("receive");
	receives += n > 0;
	received += n;
	return n > 0;
}

static void make_ring(unsigned int flags)
{
	int err = io_uring_queue_init(32, &ring, flags);
	if (err) {
		fprintf(stderr, "io_uring_queue_init: %s\n", strerror(-err));
		exit(3);
	}
}

static void tell(const char *mechanism)
{
	printf("moved %d %s %lu %lu %lu %lu\n", getpid(), mechanism, sends, sent, receives, received);
	fflush(stdout);
}

static size_t size_of(int i)
{
	return SIZE + 37 * i;
}

/* 0 in the child. */
static pid_t split(void)
{
	fflush(stdout);
	pid_t child = fork();
	if (child < 0)
		fail("fork");
	return child;
}

static int join(const char *mechanism)
{
	int status;
	if (wait(&status) < 0 || status)
		return 1;
	tell(mechanism);
	return 0;
}

static void close_by_ring(int fd)
{
	io_uring_prep_close(next(), fd);
	if (result())
		fail("close");
}

/* A pipe: one operation at a time. */
static int by_pipe(unsigned int flags)
{
	int ends[2];
	if (pipe(ends))
		fail("pipe");
	if (!split()) {
		close(ends[1]);
		make_ring(flags);
		do
			io_uring_prep_read(next(), ends[0], data, sizeof(data), -1);
		while (count_received(result()));
		tell("pipe");
		return 0;
	}
	close(ends[0]);
	make_ring(flags);
	for (int i = 0; i < MESSAGES; i++) {
		if (i % 2) {
			struct iovec v[] = { { data, 10 }, { data, size_of(i) - 10 } };
			io_uring_prep_writev(next(), ends[1], v, 2, -1);
			count_sent(result());
		} else {
			io_uring_prep_write(next(), ends[1], data, size_of(i), -1);
			count_sent(result());
		}
	}
	close_by_ring(ends[1]);
	return join("pipe");
}

/* Several at a time, more than there is room for. */
static int by_batch(void)
{
	int ends[2];
	if (pipe(ends))
		fail("pipe");
	if (!split()) {
		close(ends[1]);
		make_ring(0);
		usleep(50000);
		do
			io_uring_prep_read(next(), ends[0], data, sizeof(data), -1);
		while (count_received(result()));
		tell("pipe");
		return 0;
	}
	close(ends[0]);
	make_ring(0);
	for (int i = 0; i < MESSAGES; i++)
		io_uring_prep_write(next(), ends[1], data, 5000, -1);
	if (io_uring_submit(&ring) != MESSAGES)
		fail("io_uring_submit");
	for (int i = 0; i < MESSAGES; i++)
		count_sent(one_result());
	close(ends[1]);
	return join("pipe");
}

/* Files and buffers that the ring knows by number. */
static int by_number(void)
{
	int ends[2];
	struct iovec v = { data, sizeof(data) };
	if (pipe(ends))
		fail("pipe");
	pid_t child = split();
	make_ring(0);
	if (io_uring_register_files(&ring, &ends[!!child], 1) || io_uring_register_buffers(&ring, &v, 1))
		fail("register");
	close(ends[0]);
	close(ends[1]);
	for (int i = 0; i < MESSAGES || !child; i++) {
		struct io_uring_sqe *q = next();
		if (child)
			io_uring_prep_write_fixed(q, 0, data, size_of(i), -1, 0);
		else
			io_uring_prep_read_fixed(q, 0, data, sizeof(data), -1, 0);
		q->flags |= IOSQE_FIXED_FILE;
		if (child)
			count_sent(result());
		else if (!count_received(result()))
			break;
	}
	io_uring_queue_exit(&ring);
	if (child)
		return join("pipe");
	tell("pipe");
	return 0;
}

static void send_all(int fd)
{
	for (int i = 0; i < MESSAGES; i++) {
		struct iovec v = { data, size_of(i) };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
		if (i % 2)
			io_uring_prep_sendmsg(next(), fd, &m, 0);
		else
			io_uring_prep_send(next(), fd, data, size_of(i), 0);
		count_sent(result());
	}
	io_uring_prep_shutdown(next(), fd, SHUT_WR);
	if (result())
		fail("shutdown");
}

static void receive_all(int fd)
{
	for (int i = 0;; i++) {
		struct iovec v = { data, sizeof(data) };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
		if (i % 2)
			io_uring_prep_recvmsg(next(), fd, &m, 0);
		else
			io_uring_prep_recv(next(), fd, data, sizeof(data), 0);
		if (!count_received(result()))
			return;
	}
}

static int by_pair(int type, const char *mechanism)
{
	int ends[2];
	if (socketpair(AF_UNIX, type, 0, ends))
		fail("socketpair");
	pid_t child = split();
	close(ends[child != 0]);
	make_ring(0);
	if (child) {
		send_all(ends[0]);
		return join(mechanism);
	}
	receive_all(ends[1]);
	tell(mechanism);
	return 0;
}

/* A connection that is made, accepted and used through rings. */
static int by_tcp(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(a);
	int server = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(server, (void *)&a, sizeof(a)) || listen(server, 5) ||
	    getsockname(server, (void *)&a, &length))
		fail("listen");
	pid_t child = split();
	make_ring(0);
	if (child) {
		io_uring_prep_accept(next(), server, NULL, NULL, 0);
		int fd = result();
		if (fd < 0)
			fail("accept");
		receive_all(fd);
		close_by_ring(fd);
		return join("tcp");
	}
	close(server);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	io_uring_prep_connect(next(), fd, (void *)&a, sizeof(a));
	if (result())
		fail("connect");
	send_all(fd);
	tell("tcp");
	return 0;
}

static int by_udp(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(a);
	int server = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(server, (void *)&a, sizeof(a)) || getsockname(server, (void *)&a, &length))
		fail("bind");
	pid_t child = split();
	make_ring(0);
	if (child) {
		for (int i = 0; i < MESSAGES; i++) {
			struct iovec v = { data, sizeof(data) };
			struct msghdr m = {
				.msg_iov = &v, .msg_iovlen = 1, .msg_name = &a, .msg_namelen = length
			};
			io_uring_prep_recvmsg(next(), server, &m, 0);
			count_received(result());
		}
		return join("udp");
	}
	close(server);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < MESSAGES; i++) {
		struct iovec v = { data, size_of(i) };
		struct msghdr m = {
			.msg_iov = &v, .msg_iovlen = 1, .msg_name = &a, .msg_namelen = sizeof(a)
		};
		io_uring_prep_sendmsg(next(), fd, &m, 0);
		count_sent(result());
	}
	tell("udp");
	return 0;
}

/* One receive for all messages, into buffers that the kernel chooses. */
static int by_one_receive(void)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		fail("socketpair");
	pid_t child = split();
	close(ends[child != 0]);
	make_ring(0);
	if (child) {
		for (int i = 0; i < MESSAGES; i++) {
			count_sent(write(ends[0], data, SIZE));
			usleep(2000);
		}
		close(ends[0]);
		return join("unix_stream");
	}
	io_uring_prep_provide_buffers(next(), data, 1000, BUFFERS, 1, 0);
	if (result() < 0)
		fail("provide");
	struct io_uring_sqe *q = next();
	io_uring_prep_recv_multishot(q, ends[1], NULL, 0, 0);
	q->flags |= IOSQE_BUFFER_SELECT;
	q->buf_group = 1;
	q->user_data = 7;
	io_uring_submit(&ring);
	while (one_result() > 0 || last.user_data != 7) {
		if (last.user_data != 7)
			continue;
		if (!(last.flags & IORING_CQE_F_MORE))
			fail("multishot");
		count_received(last.res);
		io_uring_prep_provide_buffers(next(), data, 1000, 1, 1,
					      last.flags >> IORING_CQE_BUFFER_SHIFT);
		io_uring_submit(&ring);
	}
	tell("unix_stream");
	return 0;
}

/* Splices and polls: from one pipe, when there is something, into another. */
static int by_splice(void)
{
	int first[2], second[2];
	if (pipe(first) || pipe(second))
		fail("pipe");
	if (!split()) {
		close(first[1]);
		close(second[0]);
		make_ring(0);
		for (;;) {
			io_uring_prep_poll_add(next(), first[0], POLLIN);
			if (result() <= 0)
				fail("poll");
			io_uring_prep_splice(next(), first[0], -1, second[1], -1, 65536, 0);
			int n = result();
			if (!count_received(n))
				break;
			count_sent(n);
		}
		tell("pipe");
		return 0;
	}
	close(first[0]);
	close(second[1]);
	for (int i = 0; i < MESSAGES; i++) {
		count_sent(write(first[1], data, size_of(i)));
		count_received(read(second[0], data, sizeof(data)));
	}
	close(first[1]);
	return join("pipe");
}

static int by_eventfd(void)
{
	int fd = eventfd(0, EFD_SEMAPHORE);
	uint64_t one = 1;
	pid_t child = split();
	make_ring(0);
	for (int i = 0; i < MESSAGES; i++) {
		if (child) {
			io_uring_prep_write(next(), fd, &one, sizeof(one), -1);
			sends += result() > 0;
		} else {
			io_uring_prep_read(next(), fd, &one, sizeof(one), -1);
			receives += result() > 0;
		}
	}
	if (child)
		return join("eventfd");
	tell("eventfd");
	return 0;
}

/* A write whose completion is not wanted. */
static int skipped(void)
{
	int ends[2];
	if (pipe(ends))
		fail("pipe");
	make_ring(0);
	struct io_uring_sqe *q = next();
	io_uring_prep_write(q, ends[1], data, SIZE, -1);
	q->flags |= IOSQE_CQE_SKIP_SUCCESS;
	return io_uring_submit(&ring) != 1 || read(ends[0], data, sizeof(data)) != SIZE;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "pipe"))
		return by_pipe(0);
	if (!strcmp(what, "sqpoll"))
		return by_pipe(IORING_SETUP_SQPOLL);
	if (!strcmp(what, "batch"))
		return by_batch();
	if (!strcmp(what, "number"))
		return by_number();
	if (!strcmp(what, "unix_stream"))
		return by_pair(SOCK_STREAM, what);
	if (!strcmp(what, "unix_seqpacket"))
		return by_pair(SOCK_SEQPACKET, what);
	if (!strcmp(what, "tcp"))
		return by_tcp();
	if (!strcmp(what, "udp"))
		return by_udp();
	if (!strcmp(what, "one_receive"))
		return by_one_receive();
	if (!strcmp(what, "splice"))
		return by_splice();
	if (!strcmp(what, "skipped"))
		return skipped();
	return strcmp(what, "eventfd") ? 2 : by_eventfd();
}
