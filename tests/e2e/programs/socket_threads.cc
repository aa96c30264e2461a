// SPDX-License-Identifier: BSD-2-Clause
// Threads that are cancelled while they wait on sockets in every way there is, beside threads that send and
// receive, under a storm of signals whose handler sends. Prints how many destructors ran and the bytes moved.
#include <arpa/inet.h>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static const int WAYS = 8, ROUNDS = 60, SENDS = 10000;
static std::atomic<int> started, destroyed, handled;
static int alarms[2];

// A cancellation must not begin in a destructor.
struct Uncancelled {
	int old;
	Uncancelled() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old); }
	~Uncancelled() { pthread_setcancelstate(old, nullptr); }
};

struct Descriptor {
	int fd;
	~Descriptor()
	{
		Uncancelled here;
		close(fd);
		destroyed++;
	}
};

static void on_alarm(int)
{
	char c = 'h';
	if (send(alarms[0], &c, 1, MSG_DONTWAIT) == 1)
		handled++;
}

static void *wait_forever(void *way)
{
	int pair[2];
	char b[10];
	if (socketpair(AF_UNIX, (long)way % 2 ? SOCK_DGRAM : SOCK_STREAM, 0, pair))
		abort();
	Descriptor one{ pair[0] }, other{ pair[1] }, epoll{ epoll_create1(0) };
	fd_set set;
	pollfd polled = { one.fd, POLLIN, 0 };
	epoll_event event{};
	iovec iov = { b, sizeof(b) };
	mmsghdr message{};
	sockaddr_storage address;
	socklen_t size = sizeof(address);

	FD_ZERO(&set);
	FD_SET(one.fd, &set);
	event.events = EPOLLIN;
	epoll_ctl(epoll.fd, EPOLL_CTL_ADD, one.fd, &event);
	message.msg_hdr.msg_iov = &iov;
	message.msg_hdr.msg_iovlen = 1;
	started++;
	for (;;)
		switch ((long)way) {
		case 0: recv(one.fd, b, sizeof(b), 0); break;
		case 1: recvfrom(one.fd, b, sizeof(b), 0, (sockaddr *)&address, &size); break;
		case 2: recvmsg(one.fd, &message.msg_hdr, 0); break;
		case 3: recvmmsg(one.fd, &message, 1, 0, nullptr); break;
		case 4: select(one.fd + 1, &set, nullptr, nullptr, nullptr); FD_SET(one.fd, &set); break;
		case 5: pselect(one.fd + 1, &set, nullptr, nullptr, nullptr, nullptr); FD_SET(one.fd, &set); break;
		case 6: poll(&polled, 1, -1); break;
		case 7: epoll_wait(epoll.fd, &event, 1, -1); break;
		}
}

static bool ready(int fd)
{
	fd_set set;
	timeval limit = { 5, 0 };
	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, nullptr, nullptr, &limit) > 0;
}

static void *pump(void *number)
{
	int pair[2];
	long sum = 0;
	char b[100];
	if (socketpair(AF_UNIX, (long)number % 2 ? SOCK_DGRAM : SOCK_STREAM, 0, pair))
		abort();
	for (int i = 0; i < SENDS; i++) {
		if (send(pair[0], "abcdef", 1 + i % 6, 0) != 1 + i % 6)
			abort();
		while (i % 20 == 0 && !ready(pair[1]))
			;
		ssize_t n;
		while ((n = recv(pair[1], b, sizeof(b), 0)) < 0)
			;
		sum += n;
	}
	return (void *)sum;
}

int main()
{
	struct sigaction action{};
	itimerval storm = { { 0, 200 }, { 0, 200 } }, calm{};
	pthread_t pumps[4], waiting[WAYS];
	long sum = 0;
	int got = 0;
	char b;

	socketpair(AF_UNIX, SOCK_DGRAM, 0, alarms);
	action.sa_handler = on_alarm;
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, nullptr);
	setitimer(ITIMER_REAL, &storm, nullptr);
	for (long i = 0; i < 4; i++)
		pthread_create(&pumps[i], nullptr, pump, (void *)i);
	sigset_t storms; // not into those that are cancelled: a handler cannot be unwound from its every instruction
	sigemptyset(&storms);
	sigaddset(&storms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &storms, nullptr);
	for (int round = 1; round <= ROUNDS; round++) {
		for (long way = 0; way < WAYS; way++)
			pthread_create(&waiting[way], nullptr, wait_forever, (void *)way);
		while (started < round * WAYS)
			sched_yield();
		usleep(round % 3 ? 500 : 1);
		for (pthread_t thread : waiting)
			pthread_cancel(thread);
		for (pthread_t thread : waiting)
			pthread_join(thread, nullptr);
	}
	for (pthread_t thread : pumps) {
		void *moved;
		pthread_join(thread, &moved);
		sum += (long)moved;
	}
	setitimer(ITIMER_REAL, &calm, nullptr);
	pthread_sigmask(SIG_UNBLOCK, &storms, nullptr);
	while (recv(alarms[1], &b, 1, MSG_DONTWAIT) == 1)
		got++;
	printf("%d of %d destructors, %ld bytes, %s\n", destroyed.load(), 3 * WAYS * ROUNDS, sum,
	       got == handled ? "every signal's byte" : "bytes of signals lost");
	return 0;
}
