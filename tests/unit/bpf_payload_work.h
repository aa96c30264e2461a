/* SPDX-License-Identifier: BSD-2-Clause */
/* What the traced programs of test_bpf_payload.c do. Most messages say by which call they are sent. */
#ifndef IPC_BPF_PAYLOAD_WORK_H
#define IPC_BPF_PAYLOAD_WORK_H

#include <mqueue.h>
#include <netinet/in.h>
#include <sys/msg.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "bpf_target.h"

enum { LONG = 5000, MANY_MESSAGES = 40, FLOOD = 300 };

static char buffer[LONG];

static void check(bool well)
{
	if (!well)
		_exit(99);
}

/* Sends the text by one call, and receives it by another. */
#define PUT(call) check((call) > 0)
#define GET(call) (memset(buffer, 0, sizeof(buffer)), check((call) > 0))

static struct iovec piece(const char *text)
{
	return (struct iovec){ (char *)text, strlen(text) };
}

/* Three places for what is received, the second of no bytes. */
static void places(struct iovec iov[3])
{
	iov[0] = (struct iovec){ buffer, 2 };
	iov[1] = (struct iovec){ NULL, 0 };
	iov[2] = (struct iovec){ buffer + 1000, 1000 };
}

static int work_pipe(void)
{
	struct iovec out[3] = { piece("wri"), piece(""), piece("tev") }, in[3], whole = piece("vmsplice");
	char path[256];
	int p[2];

	snprintf(path, sizeof(path), "%s/file", folder);
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(write(file, "0123456789", 10) == 10 && lseek(file, 0, SEEK_SET) == 0);
	places(in);
	make_pipe(p, O_NONBLOCK);
	PUT(write(p[1], "write", 5));
	GET(read(p[0], buffer, 100));
	PUT(writev(p[1], out, 3));
	GET(readv(p[0], in, 3));
	PUT(pwritev2(p[1], out, 3, -1, 0));
	GET(preadv2(p[0], in, 3, -1, 0));
	PUT(vmsplice(p[1], &whole, 1, 0));
	GET(read(p[0], buffer, 3));
	GET(read(p[0], buffer, 100));
	check(read(p[0], buffer, 100) < 0 && write(p[1], "", 0) == 0);
	PUT(sendfile(p[1], file, NULL, 10));
	GET(splice(p[0], NULL, open("/dev/null", O_WRONLY), NULL, 10, 0));
	return 0;
}

static void work_stream(int a, int b)
{
	struct iovec out[3] = { piece("send"), piece(""), piece("msg") }, in[3];
	struct msghdr h = { .msg_iov = out, .msg_iovlen = 3 };

	places(in);
	PUT(send(a, "send", 4, 0));
	GET(recv(b, buffer, 100, MSG_PEEK));
	GET(recv(b, buffer, 100, 0));
	PUT(sendmsg(a, &h, 0));
	h.msg_iov = in;
	GET(recvmsg(b, &h, 0));
	PUT(write(a, "write", 5));
	GET(read(b, buffer, 100));
	check(recv(b, buffer, 100, MSG_DONTWAIT) < 0);
}

static int work_unix(void)
{
	int s[2];

	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	work_stream(s[0], s[1]);
	check(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	work_stream(s[0], s[1]);
	return 0;
}

static int bound(int type, struct sockaddr_in *a)
{
	socklen_t size = sizeof(*a);
	int fd = socket(AF_INET, type, 0);

	*a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	check(!bind(fd, (struct sockaddr *)a, size) && !getsockname(fd, (struct sockaddr *)a, &size));
	return fd;
}

/* What is thrown away is not in the buffer. */
static int work_tcp(void)
{
	struct sockaddr_in a;
	int listener = bound(SOCK_STREAM, &a), c = socket(AF_INET, SOCK_STREAM, 0);

	check(!listen(listener, 1) && !connect(c, (struct sockaddr *)&a, sizeof(a)));
	int s = accept(listener, NULL, NULL);
	work_stream(c, s);
	PUT(send(c, "lost", 4, 0));
	GET(recv(s, buffer, 4, MSG_TRUNC));
	return 0;
}

static int work_udp(void)
{
	struct sockaddr_in a, b;
	int x = bound(SOCK_DGRAM, &a), y = bound(SOCK_DGRAM, &b);
	struct iovec out[3] = { piece("one"), piece(""), piece("three") }, in[3];
	struct mmsghdr h[3] = {};

	check(!connect(y, (struct sockaddr *)&a, sizeof(a)));
	PUT(sendto(y, "sendto", 6, 0, (struct sockaddr *)&a, sizeof(a)));
	GET(recvfrom(x, buffer, 100, 0, NULL, NULL));
	PUT(send(y, "truncated", 9, 0));
	GET(recv(x, buffer, 4, MSG_TRUNC));
	for (int i = 0; i < 3; i++) {
		in[i] = (struct iovec){ buffer + 100 * i, 100 };
		h[i].msg_hdr = (struct msghdr){ .msg_iov = &out[i], .msg_iovlen = 1 };
	}
	check(sendmmsg(y, h, 3, 0) == 3);
	for (int i = 0; i < 3; i++)
		h[i].msg_hdr.msg_iov = &in[i];
	check(recvmmsg(x, h, 3, 0, NULL) == 3);
	return 0;
}

/* In pieces that are as long as no limit, and longer than all. */
static int work_long(void)
{
	static char text[LONG];
	struct iovec out[3] = { { text, 1 }, { text + 1, 4000 }, { text + 4001, 999 } };
	int p[2];

	for (int i = 0; i < LONG; i++)
		text[i] = i % 251 + 1;
	make_pipe(p, 0);
	PUT(writev(p[1], out, 3));
	GET(read(p[0], buffer, LONG));
	return 0;
}

static int work_queues(void)
{
	struct {
		long type;
		char text[100];
	} m = { .type = 7, .text = "sysv" };
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 100 };
	int id = msgget(IPC_PRIVATE, 0600);

	check(!msgsnd(id, &m, 4, 0));
	GET(msgrcv(id, &m, 100, 0, 0));
	check(!msgctl(id, IPC_RMID, NULL));
	mqd_t q = mq_open("/ipctrace-payload", O_CREAT | O_RDWR, 0600, &attr);
	check(!mq_unlink("/ipctrace-payload") && !mq_send(q, "posix", 5, 1));
	GET(mq_receive(q, buffer, 100, NULL));
	return 0;
}

static void move(int p[2], const char *text, int n)
{
	for (int i = 0; i < n; i++) {
		PUT(write(p[1], text, strlen(text)));
		GET(read(p[0], buffer, 100));
	}
}

/* Like nothing, at once. */
static int work_unknown(void)
{
	int p[2];

	make_pipe(p, 0);
	move(p, "nothing", MANY_MESSAGES);
	return 0;
}

/* The recorder has read so many payloads, and so judged them. */
static void await_judged(unsigned int n)
{
	while (*(volatile uint64_t *)&facts[PAYLOADS] < n)
		usleep(1000);
}

/* First like JSON, which is found to be none that we know. */
static int work_denied(void)
{
	int p[2];

	make_pipe(p, 0);
	move(p, "{\"a\": 1}", 4);
	await_judged(8);
	move(p, "{\"a\": 1}", MANY_MESSAGES - 4);
	return 0;
}

/* Begins as HTTP, and goes on as anything. */
static int work_known(void)
{
	int p[2];

	make_pipe(p, 0);
	move(p, "nothing", 1);
	move(p, "GET / HTTP/1.1\r\n\r\n", 1);
	move(p, "nothing", MANY_MESSAGES / 2 - 2);
	await_judged(MANY_MESSAGES);
	move(p, "nothing", MANY_MESSAGES / 2);
	return 0;
}

/* Only what comes the other way is known. */
static int work_one_way(void)
{
	int s[2], t[2];

	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	t[0] = s[1];
	t[1] = s[0];
	move(s, "GET / HTTP/1.1\r\n\r\n", 1);
	await_judged(2);
	move(t, "nothing", MANY_MESSAGES - 1);
	return 0;
}

/* A FIFO that is opened again is another stream. */
static int work_fifo(void)
{
	char path[256];
	int p[2];

	snprintf(path, sizeof(path), "%s/fifo", folder);
	check(!mkfifo(path, 0600));
	for (int i = 0; i < 2; i++) {
		p[0] = open(path, O_RDONLY | O_NONBLOCK);
		p[1] = open(path, O_WRONLY);
		move(p, "nothing", MANY_MESSAGES / 2);
		close(p[0]);
		close(p[1]);
	}
	return 0;
}

static int work_flood(void)
{
	int p[2];

	make_pipe(p, 0);
	for (int i = 0; i < FLOOD; i++)
		check(write(p[1], buffer, LONG) == LONG && read(p[0], buffer, LONG) == LONG);
	return 0;
}

static const struct work works[] = {
	{ "pipe", work_pipe },
	{ "unix", work_unix },
	{ "tcp", work_tcp },
	{ "udp", work_udp },
	{ "long", work_long },
	{ "queues", work_queues },
	{ "unknown", work_unknown },
	{ "denied", work_denied },
	{ "known", work_known },
	{ "one_way", work_one_way },
	{ "fifo", work_fifo },
	{ "flood", work_flood },
	{},
};

#endif
