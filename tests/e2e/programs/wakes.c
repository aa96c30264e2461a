// SPDX-License-Identifier: BSD-2-Clause
/*
 * wakes NAME: waits with timerfds, inotify instances and pidfds, and prints what it got: "edge MECHANISM FROM
 * TO MESSAGES BYTES" (from 0: the kernel), "failed MECHANISM ERRNO" of a call that failed, and "name
 * MECHANISM NAME" of its channels.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 20, MS = 1000000, PATIENCE = 30 };

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static void edge(const char *mechanism, int from, int to, int messages, long bytes)
{
	if (messages)
		printf("edge %s %d %d %d %ld\n", mechanism, from, to, messages, bytes);
}

static void failed(const char *mechanism, int error)
{
	must(errno == error);
	printf("failed %s %d\n", mechanism, error);
}

static pid_t start(void)
{
	fflush(stdout);
	pid_t pid = fork();
	must(pid >= 0);
	alarm(PATIENCE);
	return pid;
}

/* The same, and waits until it runs. */
static pid_t start_running(void)
{
	int ends[2];
	char byte = 0;
	must(!pipe(ends));
	pid_t pid = start();
	must(pid ? read(ends[0], &byte, 1) == 1 : write(ends[1], &byte, 1) == 1);
	close(ends[0]);
	close(ends[1]);
	return pid;
}

/* What a child has printed is out before its end. */
static void end(void)
{
	fflush(stdout);
	_exit(0);
}

static void join(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid && !status);
}

static void rest(long ms)
{
	struct timespec t = { 0, ms * MS };
	while (nanosleep(&t, &t))
		;
}

/* Timers. */

static void set(int fd, long first_ms, long every_ms)
{
	struct itimerspec t = { { 0, every_ms * MS }, { 0, first_ms * MS } };
	must(!timerfd_settime(fd, 0, &t, NULL));
}

static uint64_t expired(int fd)
{
	uint64_t n = 0;
	must(read(fd, &n, sizeof(n)) == sizeof(n));
	return n;
}

/* Expirations that are missed come in one read. */
static void interval(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0), reads = 0;
	must(fd >= 0);
	set(fd, 2, 2);
	for (uint64_t n = 0; n < ROUNDS; reads++) {
		n += expired(fd);
		if (reads % 2)
			rest(7);
	}
	uint64_t n;
	struct iovec parts[2] = { { &n, 4 }, { (char *)&n + 4, 4 } };
	must(readv(fd, parts, 2) == 8 && n);
	edge("timerfd", 0, getpid(), reads + 1, 0);
	close(fd);
}

static void nonblocking(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	uint64_t n;
	must(fd >= 0);
	must(read(fd, &n, 8) < 0);
	failed("timerfd", EAGAIN);
	must(read(fd, &n, 4) < 0);
	failed("timerfd", EINVAL);
	set(fd, 1, 0);
	struct pollfd p = { fd, POLLIN, 0 };
	must(poll(&p, 1, -1) == 1 && p.revents == POLLIN);
	must(expired(fd) == 1);
	must(read(fd, &n, 8) < 0);
	failed("timerfd", EAGAIN);
	struct itimerspec wrong = { { 0, 0 }, { 0, -1 } };
	must(timerfd_settime(fd, 0, &wrong, NULL) < 0);
	failed("timerfd", EINVAL);
	edge("timerfd", 0, getpid(), 1, 0);
}

static void nothing(int signal)
{
	(void)signal;
}

/* A read that a signal interrupts, and one in which the process is killed. */
static void interrupted(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t n;
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = nothing }, NULL);
	must(fd >= 0);
	ualarm(20000, 0);
	must(read(fd, &n, 8) < 0);
	failed("timerfd", EINTR);
	pid_t child = start_running();
	if (!child)
		expired(fd);
	rest(30);
	must(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
}

/* Copies and fork children have the same timer; a program started by exec does not know that. */
static void shared(const char *self)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0), copy = dup(fd),
	    other = timerfd_create(CLOCK_REALTIME, 0);
	must(fd >= 0 && copy >= 0 && other >= 0 && dup2(fd, 77) == 77);
	for (int i = 0; i < 3; i++) {
		set(fd, 1, 0);
		must(expired(i == 1 ? copy : i == 2 ? 77 : fd) == 1);
	}
	pid_t child = start();
	if (!child) {
		set(copy, 1, 0);
		must(expired(copy) == 1);
		set(other, 1, 0);
		must(expired(other) == 1);
		edge("timerfd", 0, getpid(), 2, 0);
		end();
	}
	join(child);
	edge("timerfd", 0, getpid(), 3, 0);
	child = start();
	if (!child) {
		close(copy);
		close(77);
		close(other);
		char number[16];
		snprintf(number, sizeof(number), "%d", fd);
		execl(self, self, "executed", number, NULL);
		must(0);
	}
	join(child);
	/* A child of vfork knows what its parent has. */
	char number[] = "50", *argv[] = { (char *)self, "executed", number, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	must(!posix_spawn_file_actions_adddup2(&actions, fd, 50));
	must(!posix_spawn_file_actions_addclose(&actions, fd) &&
	     !posix_spawn_file_actions_addclose(&actions, copy));
	must(!posix_spawn_file_actions_addclose(&actions, 77) &&
	     !posix_spawn_file_actions_addclose(&actions, other));
	fflush(stdout);
	must(!posix_spawn(&child, self, &actions, NULL, argv, environ));
	join(child);
}

static void executed(int fd)
{
	set(fd, 1, 0);
	must(expired(fd) == 1);
	edge("timerfd", 0, getpid(), 1, 0);
}

/* inotify. */

static void touch(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	must(fd >= 0);
	close(fd);
}

static int events_in(const char *bytes, ssize_t n)
{
	int count = 0;
	for (ssize_t at = 0; at < n; count++)
		at += sizeof(struct inotify_event) + ((const struct inotify_event *)(bytes + at))->len;
	return count;
}

static void watch(void)
{
	char dir[] = "wakes-XXXXXX", bytes[4096], name[64];
	must(mkdtemp(dir) != NULL);
	int fd = inotify_init1(IN_NONBLOCK), old = inotify_init();
	must(fd >= 0 && old >= 0);
	must(inotify_add_watch(fd, "/no/such/path", IN_CREATE) < 0);
	failed("inotify", ENOENT);
	must(inotify_add_watch(fd, dir, IN_CREATE | IN_DELETE) >= 0);
	must(inotify_add_watch(fd, "/", IN_DELETE_SELF) >= 0);
	printf("name inotify %s, /\n", dir);
	printf("name inotify -\n");
	must(read(fd, bytes, sizeof(bytes)) < 0);
	failed("inotify", EAGAIN);
	int reads = 0;
	long sum = 0;
	for (int i = 0; i < ROUNDS; i++, reads++) { /* the two events come in one read */
		snprintf(name, sizeof(name), "%s/file-%d", dir, i);
		touch(name);
		unlink(name);
		ssize_t n = read(fd, bytes, sizeof(bytes));
		must(n > 0 && events_in(bytes, n) == 2);
		sum += n;
	}
	snprintf(name, sizeof(name), "%s/a file of a name that is too long", dir);
	touch(name);
	must(read(fd, bytes, 4) < 0);
	failed("inotify", EINVAL);
	struct pollfd p = { fd, POLLIN, 0 };
	must(poll(&p, 1, -1) == 1);
	ssize_t n = read(fd, bytes, sizeof(bytes));
	must(n > 0 && events_in(bytes, n) == 1);
	edge("inotify", 0, getpid(), reads + 1, sum + n);
	unlink(name);
	rmdir(dir);
}

/* pidfds. */

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void await(int fd, int how)
{
	struct pollfd p = { fd, POLLIN, 0 };
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 0x1234567890 }, got;
	fd_set set;
	int epoll;
	switch (how % 3) {
	case 0:
		must(poll(&p, 1, -1) == 1);
		break;
	case 1:
		epoll = epoll_create1(0);
		must(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) && epoll_wait(epoll, &got, 1, -1) == 1);
		close(epoll);
		break;
	case 2:
		FD_ZERO(&set);
		FD_SET(fd, &set);
		must(select(fd + 1, &set, NULL, NULL, NULL) == 1);
		break;
	}
}

/* A child that ends after a while: by exit, or killed. */
static pid_t mortal(int killed)
{
	pid_t child = start_running();
	if (!child) {
		if (killed)
			pause();
		rest(50);
		_exit(0);
	}
	return child;
}

static void one_end(int killed)
{
	pid_t child = mortal(killed);
	int fd = pidfd_of(child);
	must(fd >= 0);
	struct pollfd p = { fd, POLLIN, 0 };
	must(!poll(&p, 1, 1));
	if (killed)
		must(!kill(child, SIGKILL));
	for (int how = 0; how < 3; how++) /* it is one message all the same */
		await(fd, how);
	edge("pidfd", child, getpid(), 1, 0);
	must(waitpid(child, NULL, 0) == child);
}

/* Several processes see the end of one that is no child of theirs. */
static void several(void)
{
	pid_t child = mortal(0), watchers[3];
	int fd = pidfd_of(child);
	for (int i = 0; i < 3; i++) {
		watchers[i] = start();
		if (!watchers[i]) {
			await(i ? pidfd_of(child) : fd, i);
			edge("pidfd", child, getpid(), 1, 0);
			end();
		}
	}
	for (int i = 0; i < 3; i++)
		join(watchers[i]);
	siginfo_t info;
	must(!waitid(P_PIDFD, (id_t)fd, &info, WEXITED) && info.si_pid == child);
	must(pidfd_of(child) < 0 && errno == ESRCH);
}

/* Descriptors that clone and clone3 give. */
static void cloned(void)
{
	for (int i = 0; i < 2; i++) {
		int fd = -1;
		struct clone_args args = { .flags = CLONE_PIDFD,
					   .pidfd = (uintptr_t)&fd,
					   .exit_signal = SIGCHLD };
		fflush(stdout);
		pid_t child = (pid_t)(i ? syscall(SYS_clone3, &args, sizeof(args))
					: syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0));
		must(child >= 0);
		if (!child) {
			rest(20);
			_exit(0);
		}
		await(fd, 1);
		edge("pidfd", child, getpid(), 1, 0);
		join(child);
	}
}

/* A descriptor that came over a socket. */
static void received(void)
{
	int pair[2];
	must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	pid_t child = mortal(0), waiter = start();
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte = 0;
	struct iovec one = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &one, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	if (!waiter) {
		must(recvmsg(pair[1], &m, 0) == 1);
		await(*(int *)CMSG_DATA(&control.header), 0);
		edge("pidfd", child, getpid(), 1, 0);
		end();
	}
	control.header = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	*(int *)CMSG_DATA(&control.header) = pidfd_of(child);
	must(sendmsg(pair[0], &m, 0) == 1);
	join(waiter);
	must(waitpid(child, NULL, 0) == child);
}

static void ended(void)
{
	one_end(0);
}

static void killed(void)
{
	one_end(1);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{ "interval", interval },
		{ "nonblocking", nonblocking },
		{ "interrupted", interrupted },
		{ "watch", watch },
		{ "ended", ended },
		{ "killed", killed },
		{ "several", several },
		{ "cloned", cloned },
		{ "received", received },
	};

	alarm(PATIENCE);
	if (argc == 3)
		executed(atoi(argv[2]));
	else if (argc == 2 && !strcmp(argv[1], "shared"))
		shared(argv[0]);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc == 2 && !strcmp(argv[1], all[i].name))
			all[i].run();
	return 0;
}
