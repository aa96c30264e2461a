/* SPDX-License-Identifier: BSD-2-Clause */
/* What the traced programs of test_bpf_queue.c do. */
#ifndef IPC_BPF_QUEUE_WORK_H
#define IPC_BPF_QUEUE_WORK_H

#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "bpf_target.h"

enum { /* facts */
       PID,
       IPCNS,
       ID,
       KEY,
       DEVICE,
       INODE,
       EVENTFD,
       EVENTFD_2,
       EVENTFD_3,
};

static void check(bool well)
{
	if (!well)
		_exit(99);
}

static void do_nothing(int signal)
{
	(void)signal;
}

/* ---- System V ---- */

enum { ROOM = 8192 };

static struct {
	long type;
	char text[ROOM];
} message;

static bool post(int id, long type, size_t size, int flags)
{
	message.type = type;
	return !msgsnd(id, &message, size, flags);
}

static void note_namespace(void)
{
	struct stat st;

	check(!stat("/proc/self/ns/ipc", &st));
	facts[IPCNS] = st.st_ino;
}

static int work_sysv(void)
{
	note_namespace();
	facts[KEY] = 0x1f000000 | getpid();
	int id = msgget(facts[KEY], IPC_CREAT | IPC_EXCL | 0600);
	check(id >= 0 && msgget(facts[KEY], IPC_CREAT | IPC_EXCL | 0600) < 0);
	facts[ID] = id;
	check(msgget(facts[KEY], 0) == id);
	if (!fork_noted(PID))
		_exit(!post(id, 7, 10, 0) || !post(id, 3, 0, 0) || !post(id, 7, 5, 0));
	reap(facts[PID]);
	check(msgrcv(id, &message, ROOM, 3, 0) == 0);
	check(msgrcv(id, &message, ROOM, 1, MSG_COPY | IPC_NOWAIT) == 5);
	check(msgrcv(id, &message, 5, 0, 0) < 0 && errno == E2BIG);
	check(msgrcv(id, &message, 4, 0, MSG_NOERROR) == 4 && message.type == 7);
	check(msgrcv(id, &message, 6, -9, MSG_NOERROR) == 5);
	check(msgrcv(id, &message, ROOM, 0, IPC_NOWAIT) < 0 && errno == ENOMSG);
	check(post(id, 1, ROOM, 0) && post(id, 0x123456789a, ROOM, 0));
	check(!post(id, 1, 1, IPC_NOWAIT) && errno == EAGAIN);
	check(!post(id, 0, 1, 0) && errno == EINVAL);
	check(!post(-1, 1, 1, 0) && errno == EINVAL);
	check(!msgctl(id, IPC_RMID, NULL));
	check(msgctl(id, IPC_RMID, NULL) && errno == EINVAL);
	return 0;
}

/* Waits that end otherwise than by a message. */
static int work_private(void)
{
	struct sigaction act = { .sa_handler = do_nothing };
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	int id = msgget(IPC_PRIVATE, 0600);

	note_namespace();
	facts[ID] = id;
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	check(msgrcv(id, &message, ROOM, 0, 0) < 0 && errno == EINTR);
	if (!fork_noted(PID))
		_exit(msgrcv(id, &message, ROOM, 0, 0) >= 0 || errno != EIDRM);
	await_blocked(facts[PID]);
	check(!msgctl(id, IPC_RMID, NULL));
	reap(facts[PID]);
	return 0;
}

/* A queue that was made outside the trace. */
static int work_found(void)
{
	int id = atoi(getenv("QUEUE"));

	note_namespace();
	if (!fork_noted(PID))
		_exit(msgrcv(id, &message, ROOM, 0, 0) >= 0);
	await_blocked(facts[PID]);
	kill(facts[PID], SIGKILL);
	reap(facts[PID]);
	check(post(id, 2, 20, 0));
	return 0;
}

static int work_isolated(void)
{
	check(!unshare(CLONE_NEWIPC));
	note_namespace();
	facts[ID] = msgget(IPC_PRIVATE, 0600);
	return 0;
}

/* ---- POSIX ---- */

static mqd_t open_queue(char name[32], int flags)
{
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 100 };
	struct stat st;

	snprintf(name, 32, "/ipctrace.%d", getpid());
	mqd_t q = mq_open(name, O_CREAT | O_EXCL | flags, 0600, &attr);
	check(q >= 0 && !fstat(q, &st));
	facts[DEVICE] = st.st_dev;
	facts[INODE] = st.st_ino;
	return q;
}

static int work_posix(void)
{
	char name[32], room[100];
	unsigned int priority;
	mqd_t q = open_queue(name, O_RDWR | O_NONBLOCK);
	struct pollfd p = { .fd = q, .events = POLLIN | POLLOUT };

	check(!mq_send(q, "hello", 5, 0) && !mq_send(q, "", 0, 9));
	check(mq_send(q, "x", 1, 1) && errno == EAGAIN);
	check(mq_send(q, room, 101, 1) && errno == EMSGSIZE);
	mqd_t in = mq_open(name, O_RDONLY);
	check(dup2(in, 20) == 20);
	if (!fork_noted(PID)) {
		check(mq_receive(in, room, 100, &priority) == 0 && priority == 9);
		check(mq_receive(20, room, 100, NULL) == 5);
		_exit(0);
	}
	reap(facts[PID]);
	check(mq_receive(q, room, 100, NULL) < 0 && errno == EAGAIN);
	check(read(q, room, 100) > 0 && write(q, room, 8) < 0);
	check(poll(&p, 1, -1) == 1 && p.revents == POLLOUT);
	check(!mq_notify(q, NULL) && !mq_close(in));
	if (!fork_noted(PID))
		_exit(mq_receive(20, room, 100, NULL) >= 0);
	await_blocked(facts[PID]);
	kill(facts[PID], SIGKILL);
	reap(facts[PID]);
	return mq_unlink(name);
}

/* Through its file system. */
static int work_mounted(void)
{
	char path[128];
	struct stat st;

	check(!unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	check(!mount("none", folder, "mqueue", 0, NULL));
	snprintf(path, sizeof(path), "%s/ipctrace.%d", folder, getpid());
	int fd = open(path, O_CREAT | O_RDWR, 0600);
	check(fd == 3 && !fstat(fd, &st));
	facts[DEVICE] = st.st_dev;
	facts[INODE] = st.st_ino;
	return unlink(path);
}

/* ---- eventfd ---- */

static void note_eventfd(int fact, int fd)
{
	char path[64], line[128];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(path, "re");
	check(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "eventfd-id: %lu", &facts[fact]);
	fclose(f);
}

static int work_eventfd(void)
{
	uint64_t words[3] = { 7, 0x100000000 };
	struct iovec iov[2] = { { words, 8 }, { words + 1, 8 } };
	int e = eventfd(5, 0), ep = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec now = { .it_value = { .tv_nsec = 1 } };
	struct epoll_event ready = { .events = EPOLLIN, .data = { .u64 = 42 } };

	note_eventfd(EVENTFD, e);
	check(write(e, words, 8) == 8 && read(e, words + 2, 8) == 8 && words[2] == 12);
	check(writev(e, iov, 2) == 16);
	check(!epoll_ctl(ep, EPOLL_CTL_ADD, e, &ready) && epoll_wait(ep, &ready, 1, -1) == 1);
	if (!fork_noted(PID)) {
		iov[1] = (struct iovec){ (char *)words + 4, 4 };
		iov[0].iov_len = 4;
		_exit(readv(e, iov, 2) != 8 || words[0] != 0x100000007);
	}
	reap(facts[PID]);
	check(read(e, words, 7) < 0 && errno == EINVAL);
	check(!timerfd_settime(timer, 0, &now, NULL) && read(timer, words, 8) == 8);
	close(e);
	e = syscall(SYS_eventfd, 0);
	check(e == 3);
	note_eventfd(EVENTFD_2, e);
	return 0;
}

static int work_semaphore(void)
{
	uint64_t word = 1;
	int e = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);

	note_eventfd(EVENTFD, e);
	check(read(e, &word, 8) == 8 && word == 1 && read(e, &word, 8) == 8 && word == 1);
	check(read(e, &word, 8) < 0 && errno == EAGAIN);
	word = UINT64_MAX - 1;
	check(write(e, &word, 8) == 8 && write(e, &word, 8) < 0 && errno == EAGAIN);
	int blocks = eventfd(0, 0);
	note_eventfd(EVENTFD_2, blocks);
	if (!fork_noted(PID))
		_exit(read(blocks, &word, 8) >= 0);
	await_blocked(facts[PID]);
	kill(facts[PID], SIGKILL);
	reap(facts[PID]);
	return 0;
}

static const struct work works[] = {
	{ "sysv", work_sysv },	       { "private", work_private },	{ "found", work_found },
	{ "isolated", work_isolated }, { "posix", work_posix },		{ "mounted", work_mounted },
	{ "eventfd", work_eventfd },   { "semaphore", work_semaphore }, {},
};

#endif
