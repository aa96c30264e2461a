// SPDX-License-Identifier: BSD-2-Clause
/*
 * fds NAME: processes that pass descriptors to each other, and say what they did: "end PID PASSED RECEIVED"
 * of each, "edge FROM TO N" of who passed how many to whom, "lost N", and "pipe FROM TO BYTES" of what went
 * through the pipes that were passed.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 30, MANY = 3, ENDS = 8, KINDS = 6 };

struct end {
	pid_t pid;
	long passed, received;
};
static struct end *ends; /* shared */
static struct end *me;

static void must_(int good, int line)
{
	if (good)
		return;
	dprintf(2, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static void begin(int number)
{
	me = &ends[number];
	me->pid = getpid();
}

static void join(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid && !status);
}

/* A message of one byte, with room for MANY descriptors. */
struct message {
	struct msghdr head;
	struct iovec iov;
	char byte;
	union {
		char bytes[CMSG_SPACE(MANY * sizeof(int))];
		struct cmsghdr align;
	} control;
};

static void prepare(struct message *m, size_t room)
{
	memset(m, 0, sizeof(*m));
	m->byte = 'm';
	m->iov = (struct iovec){ &m->byte, 1 };
	m->head.msg_iov = &m->iov;
	m->head.msg_iovlen = 1;
	m->head.msg_control = m->control.bytes;
	m->head.msg_controllen = room;
}

static void load(struct message *m, const int *fds, size_t n)
{
	prepare(m, CMSG_SPACE(n * sizeof(int)));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m->head);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
}

static int unload(const struct message *m, int *fds)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m->head);
	if (!c)
		return 0;
	int n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(c), (size_t)n * sizeof(int));
	return n;
}

static void pass(int s, const int *fds, int n)
{
	struct message m;
	load(&m, fds, (size_t)n);
	must(sendmsg(s, &m.head, 0) == 1);
	me->passed += n;
}

static int receive(int s, int *fds, int flags)
{
	struct message m;
	prepare(&m, sizeof(m.control.bytes));
	must(recvmsg(s, &m.head, flags) == 1);
	int n = unload(&m, fds);
	if (!(flags & MSG_PEEK))
		me->received += n;
	return n;
}

static void close_all(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

/* One of each kind of descriptor, in turn. */
static int make(int kind)
{
	int pair[2], fd = -1;
	switch (kind % KINDS) {
	case 0:
		must(!pipe(pair));
		close(pair[0]);
		return pair[1];
	case 1:
		must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		close(pair[0]);
		return pair[1];
	case 2:
		fd = eventfd(0, 0);
		break;
	case 3:
		fd = open("/dev/null", O_RDONLY);
		break;
	case 4:
		fd = timerfd_create(CLOCK_MONOTONIC, 0);
		break;
	default:
		fd = open("/etc/passwd", O_RDONLY);
		break;
	}
	must(fd >= 0);
	return fd;
}

static void pass_many(int s)
{
	for (int i = 0; i < ROUNDS; i++) {
		int fds[MANY], n = i % MANY + 1;
		for (int k = 0; k < n; k++)
			fds[k] = make(i + k);
		pass(s, fds, n);
		close_all(fds, n);
	}
}

static void receive_many(int s)
{
	int fds[MANY];
	for (int i = 0; i < ROUNDS; i++) {
		must(receive(s, fds, 0) == i % MANY + 1);
		close_all(fds, i % MANY + 1);
	}
}

static void edge(const struct end *from, const struct end *to, long n)
{
	printf("edge %d %d %ld\n", from->pid, to->pid, n);
}

/* Both ways through a pair. */
static void through_pair(int type)
{
	int pair[2];
	must(!socketpair(AF_UNIX, type, 0, pair));
	pid_t child = fork();
	if (!child) {
		begin(1);
		close(pair[0]);
		receive_many(pair[1]);
		pass_many(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	pass_many(pair[0]);
	receive_many(pair[0]);
	join(child);
	edge(&ends[0], &ends[1], ends[1].received);
	edge(&ends[1], &ends[0], ends[0].received);
}

static void stream(void)
{
	through_pair(SOCK_STREAM);
}

static void seqpacket(void)
{
	through_pair(SOCK_SEQPACKET);
}

static void dgram(void)
{
	through_pair(SOCK_DGRAM);
}

static socklen_t name_of(struct sockaddr_un *name)
{
	*name = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(name->sun_path + 1, 64, "fds-%d", getpid()));
}

/* A server that is connected to. */
static void named(void)
{
	struct sockaddr_un name;
	socklen_t size = name_of(&name);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	must(!bind(listener, (struct sockaddr *)&name, size) && !listen(listener, 5));
	for (int i = 1; i <= 2; i++) {
		pid_t child = fork();
		if (!child) {
			begin(i);
			int s = socket(AF_UNIX, SOCK_STREAM, 0);
			must(!connect(s, (struct sockaddr *)&name, size));
			pass_many(s);
			receive_many(s);
			_exit(0);
		}
		int s = accept(listener, NULL, NULL);
		receive_many(s);
		pass_many(s);
		join(child);
		close(s);
		edge(&ends[i], &ends[0], ends[i].passed);
		edge(&ends[0], &ends[i], ends[i].received);
	}
}

/* Two clients send to one bound socket, at the same time; what they pass tells who it was. */
static void senders(void)
{
	struct sockaddr_un name;
	socklen_t size = name_of(&name);
	int server = socket(AF_UNIX, SOCK_DGRAM, 0), fds[MANY];
	must(!bind(server, (struct sockaddr *)&name, size));
	pid_t child[2];
	for (int i = 0; i < 2; i++) {
		child[i] = fork();
		if (!child[i]) {
			begin(i + 1);
			int s = socket(AF_UNIX, SOCK_DGRAM, 0);
			must(!connect(s, (struct sockaddr *)&name, size));
			fds[0] = open(i ? "/dev/null" : "/dev/zero", O_RDONLY);
			for (int k = 0; k < ROUNDS; k++)
				pass(s, fds, 1);
			_exit(0);
		}
	}
	for (int k = 0; k < 2 * ROUNDS; k++) {
		must(receive(server, fds, 0) == 1);
		close(fds[0]);
	}
	for (int i = 0; i < 2; i++) {
		join(child[i]);
		edge(&ends[i + 1], &ends[0], ROUNDS);
	}
}

/* Several messages by one call. */
static void mmsg(void)
{
	int pair[2], fds[MANY];
	must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	pid_t child = fork();
	if (!child) {
		begin(1);
		for (int i = 0; i < ROUNDS;) {
			struct message m[4];
			struct mmsghdr v[4] = { 0 };
			for (int k = 0; k < 4; k++) {
				prepare(&m[k], sizeof(m[k].control.bytes));
				v[k].msg_hdr = m[k].head;
			}
			int n = recvmmsg(pair[1], v, 4, MSG_WAITFORONE, NULL);
			must(n > 0);
			for (int k = 0; k < n; k++, i++) {
				m[k].head = v[k].msg_hdr;
				int got = unload(&m[k], fds);
				me->received += got;
				close_all(fds, got);
			}
		}
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i += 2) {
		struct message m[2];
		struct mmsghdr v[2] = { 0 };
		for (int k = 0; k < 2; k++) {
			fds[0] = make(i + k);
			fds[1] = make(i + k + 1);
			load(&m[k], fds, (size_t)k + 1);
			v[k].msg_hdr = m[k].head;
		}
		must(sendmmsg(pair[0], v, 2, 0) == 2);
		me->passed += 3;
	}
	join(child);
	edge(&ends[0], &ends[1], ROUNDS / 2 * 3);
}

/* What is looked at first is received once. */
static void peeked(void)
{
	int pair[2], fds[MANY];
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid_t child = fork();
	if (!child) {
		begin(1);
		for (int i = 0; i < ROUNDS; i++) {
			must(receive(pair[1], fds, MSG_PEEK) == 2);
			close_all(fds, 2);
			must(receive(pair[1], fds, 0) == 2);
			close_all(fds, 2);
		}
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		fds[0] = make(i);
		fds[1] = make(i + 1);
		pass(pair[0], fds, 2);
	}
	join(child);
	edge(&ends[0], &ends[1], 2 * ROUNDS);
}

/* Too little room, none at all, and a plain read: the kernel drops what has no place. */
static void truncated(void)
{
	int pair[2], fds[MANY];
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid_t child = fork();
	if (!child) {
		struct message m;
		char byte;
		begin(1);
		prepare(&m, CMSG_SPACE(sizeof(int)) - 4);
		m.head.msg_controllen = CMSG_LEN(sizeof(int));
		must(recvmsg(pair[1], &m.head, 0) == 1 && m.head.msg_flags & MSG_CTRUNC);
		me->received += unload(&m, fds);
		must(me->received == 1);
		prepare(&m, 0);
		must(recvmsg(pair[1], &m.head, 0) == 1 && m.head.msg_flags & MSG_CTRUNC);
		must(read(pair[1], &byte, 1) == 1);
		must(receive(pair[1], fds, 0) == 1);
		must(read(pair[1], &byte, 1) == 1);
		_exit(0);
	}
	for (int i = 0; i < 5; i++) {
		int n = i == 3 ? 1 : MANY;
		for (int k = 0; k < n; k++)
			fds[k] = make(i + k);
		pass(pair[0], fds, n);
	}
	join(child);
	edge(&ends[0], &ends[1], 2);
	printf("lost %d\n", 2 + MANY + MANY + MANY);
}

/* Nobody ever reads what the last message brings. */
static void unread(void)
{
	int pair[2], fds[MANY];
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid_t child = fork();
	if (!child) {
		begin(1);
		close(pair[0]);
		must(receive(pair[1], fds, 0) == 1);
		_exit(0);
	}
	fds[0] = make(0);
	fds[1] = make(1);
	pass(pair[0], fds, 1);
	pass(pair[0], fds, 2);
	join(child);
	edge(&ends[0], &ends[1], 1);
}

/* The receiver uses what it got: it is an end of the same channel. */
static void used(void)
{
	enum { PIPE, SOCKET, FIFO, COUNTER, QUEUE, USED };
	static const char *const names[] = { "pipe", "unix_stream", "fifo", "eventfd", "posix_mq" };
	int pair[2], near[USED], far[USED], ends_of[2], fds[MANY];
	char buffer[8192], name[64];
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid_t child = fork();
	if (!child) {
		begin(1);
		for (int i = 0; i < USED; i++) {
			must(receive(pair[1], fds, 0) == 1);
			if (i == QUEUE)
				must(!mq_send(fds[0], "used", 4, 0));
			else
				must(write(fds[0], "used for", 8) == 8);
		}
		_exit(0);
	}
	must(!pipe(ends_of));
	near[PIPE] = ends_of[0];
	far[PIPE] = ends_of[1];
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends_of));
	near[SOCKET] = ends_of[0];
	far[SOCKET] = ends_of[1];
	snprintf(name, sizeof(name), "fds-%d.fifo", getpid());
	must(!mkfifo(name, 0600));
	near[FIFO] = open(name, O_RDWR);
	far[FIFO] = open(name, O_WRONLY);
	unlink(name);
	near[COUNTER] = far[COUNTER] = eventfd(0, 0);
	snprintf(name, sizeof(name), "/fds-%d", getpid());
	near[QUEUE] = far[QUEUE] = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
	must(near[FIFO] >= 0 && near[QUEUE] >= 0);
	mq_unlink(name);
	for (int i = 0; i < USED; i++) {
		pass(pair[0], &far[i], 1);
		must(i == QUEUE ? mq_receive(near[i], buffer, sizeof(buffer), NULL) == 4
				: read(near[i], buffer, 8) == 8);
		printf("used %s %d %d\n", names[i], child, me->pid);
	}
	join(child);
	edge(&ends[0], &ends[1], USED);
}

/* Nobody says so, but it is another process's. */
static void taken(void)
{
	int ends_of[2], told[2];
	char buffer[64];
	must(!pipe(told));
	pid_t child = fork();
	if (!child) {
		begin(1);
		must(!pipe(ends_of) && write(told[1], ends_of, sizeof(ends_of)) == sizeof(ends_of));
		must(read(ends_of[0], buffer, sizeof(buffer)) == 5);
		_exit(0);
	}
	must(read(told[0], ends_of, sizeof(ends_of)) == sizeof(ends_of));
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, ends_of[1], 0);
	must(fd >= 0 && write(fd, "taken", 5) == 5);
	join(child);
	me->received = 1;
	ends[1].passed = 1;
	edge(&ends[1], me, 1);
	printf("used pipe %d %d\n", me->pid, child);
}

static const struct {
	const char *name;
	void (*run)(void);
} variants[] = {
	{ "stream", stream },	{ "seqpacket", seqpacket }, { "dgram", dgram },	  { "named", named },
	{ "senders", senders }, { "mmsg", mmsg },	    { "peeked", peeked }, { "truncated", truncated },
	{ "unread", unread },	{ "used", used },	    { "taken", taken },
};

int main(int argc, char **argv)
{
	ends = mmap(NULL, ENDS * sizeof(*ends), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(ends != MAP_FAILED);
	begin(0);
	for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++)
		if (argc == 2 && !strcmp(argv[1], variants[i].name)) {
			variants[i].run();
			for (int k = 0; k < ENDS; k++)
				if (ends[k].passed + ends[k].received)
					printf("end %d %ld %ld\n", ends[k].pid, ends[k].passed,
					       ends[k].received);
			return 0;
		}
	return 2;
}
