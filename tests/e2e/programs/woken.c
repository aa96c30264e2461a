// SPDX-License-Identifier: BSD-2-Clause
/*
 * woken: calls that have to wait, each until a process ends that which is known. Says of each, when it has
 * ended: "woken MECHANISM CALL PID BY" and what the trace calls whom it was by. BY 0: not a process of ours.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char data[1 << 17];

static void check(long result)
{
	if (result >= 0)
		return;
	perror("woken");
	exit(1);
}

/* A child that does it after so many milliseconds and ends. */
#define LATER(ms, what)                                                                                      \
	({                                                                                                   \
		pid_t child_ = fork();                                                                       \
		check(child_);                                                                               \
		if (!child_) {                                                                               \
			usleep((ms)*1000);                                                                   \
			check(what);                                                                         \
			_exit(0);                                                                            \
		}                                                                                            \
		child_;                                                                                      \
	})

static void tell(const char *mechanism, const char *call, pid_t by, const char *seen)
{
	printf("woken %s %s %d %d %s\n", mechanism, call, getpid(), by, seen);
}

static void reap(int n)
{
	while (n--)
		check(wait(NULL));
}

static void pipes(void)
{
	int p[2];
	check(pipe(p));
	pid_t first = LATER(50, write(p[1], "1", 1)), second = LATER(150, write(p[1], "2", 1));
	check(read(p[0], data, 10));
	tell("pipe", "read", first, "process");
	check(read(p[0], data, 10));
	tell("pipe", "read", second, "process");
	reap(2);
	pid_t reader = LATER(50, read(p[0], data, sizeof(data)));
	check(write(p[1], data, 70000));
	tell("pipe", "write", reader, "process");
	reap(1);
	check(read(p[0], data, sizeof(data)));
	struct pollfd f = { p[0], POLLIN, 0 };
	pid_t writer = LATER(50, write(p[1], "3", 1));
	check(poll(&f, 1, -1));
	tell("pipe", "poll", writer, "process");
	reap(1);
	check(read(p[0], data, 10));
	int ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 77 };
	check(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
	writer = LATER(50, write(p[1], "4", 1));
	check(epoll_wait(ep, &e, 1, -1));
	tell("pipe", "epoll_wait", writer, "process");
	reap(1);
	check(read(p[0], data, 10));
	check(poll(&f, 1, 20)); /* nobody: no row */
}

static void counters(void)
{
	uint64_t n = 1;
	int fd = eventfd(0, 0), set = semget(IPC_PRIVATE, 1, 0600);
	struct sembuf up = { 0, 1, 0 }, down = { 0, -1, 0 };
	pid_t by = LATER(50, write(fd, &n, sizeof(n)));
	check(read(fd, &n, sizeof(n)));
	tell("eventfd", "read", by, "process");
	reap(1);
	by = LATER(50, semop(set, &up, 1));
	check(semop(set, &down, 1));
	tell("sysv_sem", "semop", by, "process");
	reap(1);
	check(semctl(set, 0, IPC_RMID));
	int *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	by = LATER(50, syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0));
	check(syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0));
	tell("futex", "futex", by, "process");
	reap(1);
}

static void queues(void)
{
	struct {
		long type;
		char text[8];
	} m = { 1, "x" };
	int queue = msgget(IPC_PRIVATE, 0600);
	pid_t by = LATER(50, msgsnd(queue, &m, 1, 0));
	check(msgrcv(queue, &m, 8, 0, 0));
	tell("sysv_msg", "msgrcv", by, "process");
	reap(1);
	check(msgctl(queue, IPC_RMID, NULL));
}

static void sockets(void)
{
	struct sockaddr_un u = { .sun_family = AF_UNIX };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(a);
	int pair[2], server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid_t by = LATER(50, write(pair[1], "x", 1));
	check(read(pair[0], data, 1));
	tell("unix_stream", "read", by, "process");
	reap(1);
	snprintf(u.sun_path + 1, 30, "ipctrace-woken-%d", getpid());
	check(bind(server, (void *)&u, sizeof(u)));
	check(listen(server, 5));
	by = LATER(50, connect(client, (void *)&u, sizeof(u)));
	check(accept(server, NULL, NULL));
	tell("unix_stream", "accept", by, "process");
	reap(1);
	/* What passes the network's layers wakes from a soft interrupt: the message says by whom. */
	server = socket(AF_INET, SOCK_STREAM, 0);
	check(bind(server, (void *)&a, sizeof(a)));
	check(listen(server, 5));
	check(getsockname(server, (void *)&a, &length));
	client = socket(AF_INET, SOCK_STREAM, 0);
	check(connect(client, (void *)&a, sizeof(a)));
	int end = accept(server, NULL, NULL);
	by = LATER(50, write(client, "x", 1));
	check(read(end, data, 1));
	tell("tcp", "read", by, "indirect");
	reap(1);
}

static void ends_and_outsiders(const char *fifo)
{
	int p[2], status;
	check(pipe(p));
	pid_t by = LATER(50, 0);
	check(waitpid(by, &status, 0));
	tell("process", "wait4", by, "process");
	by = LATER(50, close(p[1]));
	close(p[1]);
	check(read(p[0], data, 1)); /* until the other end is closed */
	tell("pipe", "read", by, "process");
	reap(1);
	if (!fifo)
		return;
	int fd = open(fifo, O_RDWR);
	check(fd);
	puts("now");
	check(read(fd, data, 1));
	tell("fifo", "read", 0, "outside");
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	pipes();
	counters();
	queues();
	sockets();
	ends_and_outsiders(argc > 1 ? argv[1] : NULL);
	return 0;
}
