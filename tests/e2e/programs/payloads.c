// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sends messages of all kinds of bytes in every way over every channel, and receives each in every way.
 *
 *	payloads plain | threads | fork
 *
 * threads: three threads at once, each over channels of its own. fork: a child receives.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIPE, FIFO, STREAM, DGRAM, SEQPACKET, TCP, UDP, KINDS, SIZE = 50, MANY = 3, SENDS = 6, RECEIVES = 6 };

struct channel {
	int kind, in, out;
	_Alignas(8) char bytes[MANY][SIZE], got[MANY][SIZE];
};

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	_exit(1);
}

static void connect_inet(struct channel *c, int type)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(at);
	int server = socket(AF_INET, type, 0);
	must(!bind(server, (struct sockaddr *)&at, length), "bind");
	must(!getsockname(server, (struct sockaddr *)&at, &length), "getsockname");
	must(type == SOCK_DGRAM || !listen(server, 1), "listen");
	c->out = socket(AF_INET, type, 0);
	must(!connect(c->out, (struct sockaddr *)&at, length), "connect");
	c->in = type == SOCK_DGRAM ? server : accept(server, NULL, NULL);
	must(c->in >= 0, "accept");
}

static void open_fifo(struct channel *c)
{
	char path[64];
	snprintf(path, sizeof(path), "fifo-%d-%lx", getpid(), (unsigned long)pthread_self());
	must(!mkfifo(path, 0600), "mkfifo");
	c->in = open(path, O_RDONLY | O_NONBLOCK);
	c->out = open(path, O_WRONLY);
	must(c->in >= 0 && c->out >= 0, "open");
	must(!fcntl(c->in, F_SETFL, 0), "fcntl");
	unlink(path);
}

static void open_channel(struct channel *c, int kind)
{
	static const int types[] = {
		[STREAM] = SOCK_STREAM, [DGRAM] = SOCK_DGRAM, [SEQPACKET] = SOCK_SEQPACKET
	};
	int ends[2];
	c->kind = kind;
	if (kind == FIFO) {
		open_fifo(c);
		return;
	}
	if (kind == TCP || kind == UDP) {
		connect_inet(c, kind == TCP ? SOCK_STREAM : SOCK_DGRAM);
		return;
	}
	must(!(kind == PIPE ? pipe(ends) : socketpair(AF_UNIX, types[kind], 0, ends)), "a pair");
	c->in = ends[0];
	c->out = ends[1];
}

/* Two parts each, one of them empty. */
static void fill(struct mmsghdr *messages, struct iovec (*parts)[3], char (*bytes)[SIZE])
{
	memset(messages, 0, MANY * sizeof(*messages));
	for (int i = 0; i < MANY; i++) {
		parts[i][0] = (struct iovec){ bytes[i], 7 };
		parts[i][1] = (struct iovec){ NULL, 0 };
		parts[i][2] = (struct iovec){ bytes[i] + 7, SIZE - 7 };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = parts[i], .msg_iovlen = 3 };
	}
}

/* How many messages were sent, each of SIZE bytes; 0: the channel has no such way. */
static int send_by(struct channel *c, int way)
{
	struct mmsghdr messages[MANY];
	struct iovec parts[MANY][3];
	int n = SIZE;
	fill(messages, parts, c->bytes);
	if (way > 1 && c->kind <= FIFO)
		return 0;
	switch (way) {
	case 0:
		n = (int)write(c->out, c->bytes, SIZE);
		break;
	case 1:
		n = (int)writev(c->out, parts[0], 3);
		break;
	case 2:
		n = (int)send(c->out, c->bytes, SIZE, MSG_NOSIGNAL);
		break;
	case 3:
		n = (int)sendto(c->out, c->bytes, SIZE, 0, NULL, 0);
		break;
	case 4:
		n = (int)sendmsg(c->out, &messages[0].msg_hdr, 0);
		break;
	case 5:
		must(sendmmsg(c->out, messages, MANY, 0) == MANY, "sendmmsg");
		break;
	}
	must(n == SIZE, "a send");
	return way == 5 ? MANY : 1;
}

/* Whether there is such a way. The last one takes MANY messages. */
static int receive_by(struct channel *c, int way)
{
	struct mmsghdr messages[MANY];
	struct iovec parts[MANY][3];
	int n = SIZE;
	fill(messages, parts, c->got);
	if (way > 1 && c->kind <= FIFO)
		return 0;
	switch (way) {
	case 0:
		n = (int)read(c->in, c->got, SIZE);
		break;
	case 1:
		n = (int)readv(c->in, parts[0], 3);
		break;
	case 2:
		must(recv(c->in, c->got, SIZE, MSG_PEEK) == SIZE, "a peek");
		n = (int)recv(c->in, c->got, SIZE, c->kind == TCP ? MSG_TRUNC : 0);
		break;
	case 3:
		n = (int)recvfrom(c->in, c->got, SIZE, MSG_WAITALL, NULL, NULL);
		break;
	case 4:
		n = (int)recvmsg(c->in, &messages[0].msg_hdr, MSG_WAITALL);
		break;
	case 5:
		must(recvmmsg(c->in, messages, MANY, MSG_WAITALL, NULL) == MANY, "recvmmsg");
		break;
	}
	must(n == SIZE, "a receive");
	return 1;
}

static void renew(struct channel *c, int kind, int *number)
{
	for (int i = 0; i < MANY; i++) {
		for (int k = 0; k < SIZE; k++)
			c->bytes[i][k] = (char)(*number * 31 + k * 7);
		snprintf(c->bytes[i], SIZE, "%d:%d", kind, (*number)++);
	}
}

/* Each way of sending with each way of receiving. What takes several is given several, and the other way
 * round. */
static void work(struct channel *c, int sends, int receives)
{
	int number = 0;
	for (int way = 0; way < SENDS * RECEIVES; way++) {
		int by = way / RECEIVES, to = way % RECEIVES, count = 0,
		    wanted = to == RECEIVES - 1 ? MANY : 1;
		if (c->kind <= FIFO && (by > 1 || to > 1))
			continue;
		for (; sends && count < wanted; count += send_by(c, by))
			renew(c, c->kind, &number);
		count = by == SENDS - 1 || wanted == MANY ? MANY : 1;
		for (; receives && count > 0; count -= wanted)
			receive_by(c, to);
	}
}

static void *work_alone(void *nothing)
{
	struct channel c;
	(void)nothing;
	for (int kind = 0; kind < KINDS; kind++) {
		open_channel(&c, kind);
		work(&c, 1, 1);
		close(c.in);
		close(c.out);
	}
	return NULL;
}

static void work_in_child(void)
{
	struct channel c;
	int status;
	for (int kind = 0; kind < KINDS; kind++) {
		open_channel(&c, kind);
		must(write(c.out, "before", 6) == 6 && read(c.in, c.got, 6) == 6, "before");
		pid_t child = fork();
		must(child >= 0, "fork");
		if (!child) {
			work(&c, 0, 1);
			_exit(0);
		}
		work(&c, 1, 0);
		must(waitpid(child, &status, 0) == child && !status, "the child");
		close(c.in);
		close(c.out);
	}
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	pthread_t threads[3];
	if (!strcmp(mode, "plain")) {
		work_alone(NULL);
	} else if (!strcmp(mode, "fork")) {
		work_in_child();
	} else if (!strcmp(mode, "threads")) {
		for (int i = 0; i < 3; i++)
			must(!pthread_create(&threads[i], NULL, work_alone, NULL), "pthread_create");
		for (int i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
	} else {
		return 2;
	}
	return 0;
}
