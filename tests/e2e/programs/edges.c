/* SPDX-License-Identifier: BSD-2-Clause */
/* Socket calls and waits with memory that leads nowhere, may not be written, or ends at the border of a page:
 * the kernel's answers, and no byte behind the border is looked at. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };
static void *volatile nowhere = (void *)8;
static volatile int negative = -1;

/* `size` zeroed bytes, behind which nothing may be touched. */
static __attribute__((noipa)) void *edge(size_t size)
{
	char *map = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED || mprotect(map + 2 * PAGE, PAGE, PROT_NONE))
		abort();
	return map + 2 * PAGE - size;
}

static void tell(const char *what, long result)
{
	printf("%s %ld %d\n", what, result, result < 0 ? errno : 0);
	fflush(stdout);
}

/* The compiler would warn of one set that is given twice. */
static __attribute__((noipa)) int choose(int most, void *in, void *out, void *except)
{
	struct timeval now = { 0 };
	return select(most, in, out, except, &now);
}

/* A datagram socket bound to a port of its own on the loopback device. */
static int udp(struct sockaddr_in *own)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socklen_t size = sizeof(*own);
	*own = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	if (bind(fd, (struct sockaddr *)own, size) || getsockname(fd, (struct sockaddr *)own, &size))
		abort();
	return fd;
}

static void addresses(void)
{
	struct sockaddr_in to, from;
	int in = udp(&to), out = udp(&from);
	for (socklen_t room = 0; room <= 16; room += 4) {
		void *name = edge(room);
		socklen_t *size = edge(sizeof(*size));
		char *b = edge(3);
		*size = room;
		sendto(out, "abc", 3, 0, (struct sockaddr *)&to, sizeof(to));
		tell("recvfrom", recvfrom(in, b, 3, 0, name, size));
		tell("size", *size);
		struct iovec *iov = edge(sizeof(*iov));
		struct msghdr *h = edge(sizeof(*h));
		*iov = (struct iovec){ b, 3 };
		*h = (struct msghdr){
			.msg_name = name, .msg_namelen = room, .msg_iov = iov, .msg_iovlen = 1
		};
		sendto(out, "abc", 3, 0, (struct sockaddr *)&to, sizeof(to));
		tell("recvmsg", recvmsg(in, h, 0));
		tell("size", h->msg_namelen);
		struct mmsghdr *m = edge(2 * sizeof(*m));
		for (int i = 0; i < 2; i++) {
			m[i].msg_hdr = (struct msghdr){
				.msg_name = name, .msg_namelen = room, .msg_iov = iov, .msg_iovlen = 1
			};
			sendto(out, "abc", 3, 0, (struct sockaddr *)&to, sizeof(to));
		}
		tell("recvmmsg", recvmmsg(in, m, 2, 0, NULL));
		tell("size", m[1].msg_hdr.msg_namelen);
	}
	struct sockaddr_in *name = edge(sizeof(*name));
	*name = to;
	for (int i = 0; i < 4; i++)
		tell("sendto", sendto(out, edge(i), i, 0, (struct sockaddr *)name, sizeof(*name)));
	char b[8];
	tell("nowhere", recvfrom(in, b, 8, 0, (struct sockaddr *)name, nowhere));
	tell("nowhere", recvfrom(in, b, 8, 0, NULL, nowhere));
	tell("nowhere", recvfrom(in, b, 8, 0, nowhere, nowhere));
	tell("nothing", recvfrom(in, b, 8, 0, NULL, NULL));
	tell("sendto nowhere", sendto(out, "x", 1, 0, nowhere, 16));
	tell("sendto nowhere", sendto(out, nowhere, 1, 0, (struct sockaddr *)&to, 16));
	tell("connect nowhere", connect(out, nowhere, 16));
	tell("bind nowhere", bind(out, nowhere, 16));
	tell("short", connect(out, (struct sockaddr *)&to, 1));
	struct sockaddr *none = edge(sizeof(sa_family_t));
	none->sa_family = AF_UNSPEC;
	tell("connect", connect(out, (struct sockaddr *)name, sizeof(*name)));
	tell("disconnect", connect(out, none, sizeof(sa_family_t)));
	tell("again", connect(out, (struct sockaddr *)name, sizeof(*name)));
	close(in);
	close(out);
}

static void headers(void)
{
	int pair[2], dgram[2];
	char b[8];
	struct iovec iov = { b, sizeof(b) }, bad = { nowhere, 8 }, many[3] = { { b, 1 }, { b, 1 }, { b, 1 } };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr *m = edge(3 * sizeof(*m));
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, dgram);
	tell("sendmsg", sendmsg(pair[0], nowhere, 0));
	tell("recvmsg", recvmsg(pair[0], nowhere, 0));
	tell("sendmmsg", sendmmsg(pair[0], nowhere, 1, 0));
	tell("recvmmsg", recvmmsg(pair[0], nowhere, 1, 0, NULL));
	h.msg_iov = nowhere;
	tell("iov", sendmsg(pair[0], &h, 0));
	tell("iov", recvmsg(pair[0], &h, 0));
	h.msg_iov = &bad;
	tell("base", sendmsg(pair[0], &h, 0));
	tell("base", recvmsg(pair[0], &h, 0));
	h.msg_iov = many;
	h.msg_iovlen = 2000;
	tell("many", sendmsg(pair[0], &h, 0));
	h = (struct msghdr){ .msg_iov = NULL, .msg_iovlen = 0 };
	tell("none", sendmsg(dgram[0], &h, 0));
	tell("none", recvmsg(dgram[1], &h, 0));
	h = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1, .msg_control = nowhere, .msg_controllen = 64 };
	tell("control", sendmsg(pair[0], &h, 0));
	h.msg_controllen = 64;
	write(pair[1], "y", 1);
	tell("control", recvmsg(pair[0], &h, 0));
	/* the second of three fails */
	for (int i = 0; i < 3; i++)
		m[i].msg_hdr = (struct msghdr){ .msg_iov = i == 1 ? &bad : &iov, .msg_iovlen = 1 };
	tell("middle", sendmmsg(dgram[0], m, 3, 0));
	m[1].msg_hdr.msg_iov = &iov;
	tell("border", sendmmsg(dgram[0], m, 4, 0));
	tell("rest", recvmmsg(dgram[1], m, 4, 0, NULL));
	tell("zero", sendmmsg(dgram[0], m, 0, 0));
	tell("zero", recvmmsg(dgram[0], NULL, 0, 0, NULL));
	tell("writev", writev(pair[0], nowhere, 1));
	tell("readv", readv(pair[0], nowhere, 1));
	tell("preadv2", preadv2(pair[0], &iov, 1, -1, 0));
	tell("writev 0", writev(pair[0], nowhere, 0));
	tell("send", send(pair[0], nowhere, 8, 0));
	write(pair[1], "z", 1);
	tell("recv", recv(pair[0], nowhere, 8, 0));
	tell("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, nowhere));
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(dgram[i]);
	}
}

/* Descriptors in control data that has room for none, one or both. */
static void descriptors(void)
{
	int pair[2], dgram[2];
	char b[8];
	struct iovec iov = { b, sizeof(b) };
	struct msghdr h;
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, dgram);
	for (size_t room = 0; room <= CMSG_SPACE(2 * sizeof(int)); room += 4) {
		union {
			struct cmsghdr head;
			char space[CMSG_SPACE(2 * sizeof(int))];
		} c = { 0 };
		c.head = (struct cmsghdr){ CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&c.head), pair, 2 * sizeof(int));
		h = (struct msghdr){
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)
		};
		tell("give", sendmsg(dgram[0], &h, 0));
		void *control = edge(room);
		for (int i = 0; i < 2; i++) {
			h.msg_control = control;
			h.msg_controllen = room;
			tell("take", recvmsg(dgram[1], &h, i ? 0 : MSG_PEEK));
			tell("flags", h.msg_flags);
			tell("length", h.msg_controllen);
		}
		int next = dup(0);
		tell("next", next);
		for (int fd = dgram[1] + 1; fd <= next; fd++)
			close(fd);
	}
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(dgram[i]);
	}
}

static void accepts(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(at);
	int unix_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	tell("autobind", bind(unix_listener, (struct sockaddr *)&name, sizeof(sa_family_t)));
	socklen_t own = sizeof(name);
	getsockname(unix_listener, (struct sockaddr *)&name, &own);
	listen(unix_listener, 9);
	if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 20) ||
	    getsockname(listener, (struct sockaddr *)&at, &size))
		abort();
	for (int reset = 0; reset < 2; reset++)
		for (socklen_t room = 0; room <= 16; room += 8) {
			void *where = room ? edge(room) : nowhere;
			socklen_t *length = edge(sizeof(*length));
			*length = room;
			int client = socket(AF_INET, SOCK_STREAM, 0);
			tell("connect", connect(client, (struct sockaddr *)&at, sizeof(at)));
			if (reset) {
				setsockopt(client, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
					   sizeof(struct linger));
				close(client);
				usleep(1000);
			}
			int got = accept(listener, where, length);
			tell("accept", got);
			tell("length", *length);
			close(got);
			if (!reset)
				close(client);
			client = socket(AF_UNIX, SOCK_STREAM, 0);
			tell("unix", connect(client, (struct sockaddr *)&name, own));
			*length = room;
			if (reset)
				close(client);
			got = accept4(unix_listener, where, length, SOCK_CLOEXEC);
			tell("accept4", got);
			tell("length", *length);
			close(got);
			if (!reset)
				close(client);
		}
	int client = socket(AF_INET, SOCK_STREAM, 0);
	tell("connect", connect(client, (struct sockaddr *)&at, sizeof(at)));
	tell("bad length", accept(listener, (struct sockaddr *)&name, nowhere));
	tell("gone", accept(listener, NULL, NULL));
	client = socket(AF_INET, SOCK_STREAM, 0);
	tell("connect", connect(client, (struct sockaddr *)&at, sizeof(at)));
	tell("bad address", accept(listener, nowhere, edge(4)));
	close(listener);
	close(unix_listener);
}

/* A path that fills its structure has no NUL. */
static void paths(void)
{
	struct sockaddr_un full = { .sun_family = AF_UNIX }, abstract = { .sun_family = AF_UNIX }, from;
	int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0),
	    c = socket(AF_UNIX, SOCK_DGRAM, 0);
	char x[4];
	memset(full.sun_path, 'p', sizeof(full.sun_path));
	memcpy(abstract.sun_path, "\0a\0b\0\0", 6);
	tell("bind", bind(a, (struct sockaddr *)&full, sizeof(full)));
	tell("abstract", bind(b, (struct sockaddr *)&abstract, sizeof(sa_family_t) + 6));
	struct sockaddr_un *exact = edge(sizeof(full));
	memcpy(exact, &full, sizeof(full));
	tell("sendto", sendto(b, "abc", 3, 0, (struct sockaddr *)exact, sizeof(full)));
	socklen_t size = sizeof(from);
	tell("recvfrom", recvfrom(a, x, 4, 0, (struct sockaddr *)&from, &size));
	tell("size", size);
	tell("answer", sendto(a, "abc", 3, 0, (struct sockaddr *)&from, size));
	struct sockaddr_un *room = edge(sizeof(full));
	size = sizeof(full);
	tell("recvfrom", recvfrom(b, x, 4, 0, (struct sockaddr *)room, &size));
	tell("size", size);
	unlink(full.sun_path);
	tell("unlinked", sendto(b, "abc", 3, 0, (struct sockaddr *)exact, sizeof(full)));
	tell("nameless", sendto(c, "abc", 3, 0, (struct sockaddr *)&abstract, sizeof(sa_family_t) + 6));
	size = sizeof(from);
	tell("recvfrom", recvfrom(b, x, 4, 0, (struct sockaddr *)&from, &size));
	tell("size", size);
	tell("too long", bind(c, (struct sockaddr *)&full, sizeof(full) + 1));
	close(a), close(b), close(c);
}

static void waits(void)
{
	int pair[2], epoll = epoll_create1(0);
	struct timespec no = { 0 };
	struct pollfd *p = edge(2 * sizeof(*p));
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	tell("poll", poll(nowhere, 1, 0));
	tell("poll none", poll(nowhere, 0, 0));
	p[0] = (struct pollfd){ pair[0], POLLOUT, 0 };
	p[1] = (struct pollfd){ 99, POLLOUT, 0 };
	tell("poll", poll(p, 2, 0));
	tell("ppoll", ppoll(p, 2, &no, NULL));
	tell("many", poll(p, 3, 0));
	tell("huge", poll(p, 1 << 30, 0));
	/* Sets of one word, while more descriptors are named than there are. */
	uint64_t *in = edge(8), *out = edge(8);
	for (int n = 0; n < 2; n++) {
		int most = n ? 1 << 20 : pair[1] + 1;
		*in = *out = 1ULL << pair[0];
		tell("select", choose(most, in, out, NULL));
		*in = 1ULL << pair[0] | 1ULL << pair[1];
		write(pair[1], "a", 1);
		/* One set twice: the readable ones are overwritten by the writable ones. */
		tell("same", choose(most, in, in, NULL));
		*in = 1ULL << pair[0];
		tell("overwritten", choose(most, in, NULL, in));
		*in = 1ULL << pair[0];
		tell("pselect", pselect(most, (void *)in, NULL, NULL, &no, NULL));
		char c;
		read(pair[0], &c, 1);
	}
	tell("select nowhere", choose(5, nowhere, NULL, NULL));
	tell("select negative", choose(-1, nowhere, NULL, NULL));
	tell("select none", choose(0, nowhere, NULL, NULL));
	struct epoll_event *e = edge(sizeof(*e));
	*e = (struct epoll_event){ EPOLLOUT, { .u64 = 7 } };
	tell("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], nowhere));
	tell("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], e));
	tell("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_MOD, pair[1], NULL));
	tell("epoll_wait", epoll_wait(epoll, e, 1, 0));
	tell("epoll_wait", epoll_wait(epoll, e, 100, 0));
	tell("epoll_wait", epoll_wait(epoll, nowhere, 1, 0));
	tell("epoll_wait", epoll_wait(epoll, e, negative, 0));
	tell("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_DEL, pair[0], NULL));
	close(epoll);
	close(pair[0]);
	close(pair[1]);
}

static void *everything(void *unused)
{
	addresses();
	headers();
	descriptors();
	accepts();
	paths();
	waits();
	return unused;
}

static void *rest(void *unused)
{
	pause();
	return unused;
}

int main(void)
{
	pthread_t thread;
	int status;
	/* A child has a table of no more descriptors than are open: that is what select looks at. */
	close_range(3, ~0U, 0);
	if (fork())
		return wait(&status) < 0 || status;
	everything(NULL);
	pthread_create(&thread, NULL, rest, NULL); /* libc's other way to make its calls */
	everything(NULL);
	return EXIT_SUCCESS;
}
