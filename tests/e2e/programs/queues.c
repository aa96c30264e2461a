// SPDX-License-Identifier: BSD-2-Clause
/*
 * queues NAME: processes that talk over message queues and eventfds, and print who moved what to whom:
 * "edge MECHANISM FROM TO MESSAGES BYTES", and "channel KEY NAME" of what they used.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 30, WORKERS = 3, ROOM = 1000, REPLY = 1000 };

static struct {
	long type;
	char text[ROOM];
} message;

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static void join(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid && !status);
}

static void edge(const char *mechanism, int from, int to, int messages, int bytes)
{
	printf("edge %s %d %d %d %d\n", mechanism, from, to, messages, bytes);
}

static void sysv_channel(int id, const char *name)
{
	struct stat st;
	must(!stat("/proc/self/ns/ipc", &st));
	printf("channel sysv_msg:%lu:%d %s\n", st.st_ino, id, name);
}

static void post(int id, long type, size_t size)
{
	message.type = type;
	must(!msgsnd(id, &message, size, 0));
}

/* Takes its type's messages, answers with a type of its own; ends when the queue is removed. */
static void worker(int id, int i)
{
	for (;;) {
		long size = msgrcv(id, &message, ROOM, i + 1, 0);
		if (size < 0)
			exit(errno != EIDRM && errno != EINVAL);
		post(id, REPLY + i, size / 2);
	}
}

static void types(void)
{
	char name[32];
	key_t key = 0x2a000000 | getpid();
	int id = msgget(key, IPC_CREAT | IPC_EXCL | 0600), workers[WORKERS];

	must(id >= 0 && msgget(key, 0) == id);
	snprintf(name, sizeof(name), "key 0x%08x", key);
	sysv_channel(id, name);
	fflush(stdout);
	for (int i = 0; i < WORKERS; i++)
		if (!(workers[i] = fork()))
			worker(id, i);
	for (int k = 0; k < ROUNDS; k++)
		for (int i = 0; i < WORKERS; i++)
			post(id, i + 1, 10 * (i + 1));
	for (int k = 0; k < ROUNDS; k++)
		for (int i = 0; i < WORKERS; i++)
			must(msgrcv(id, &message, ROOM, REPLY + i, 0) == 5 * (i + 1));
	must(msgrcv(id, &message, ROOM, 0, IPC_NOWAIT) < 0 && errno == ENOMSG);
	must(!msgctl(id, IPC_RMID, NULL));
	for (int i = 0; i < WORKERS; i++) {
		join(workers[i]);
		edge("sysv_msg", getpid(), workers[i], ROUNDS, ROUNDS * 10 * (i + 1));
		edge("sysv_msg", workers[i], getpid(), ROUNDS, ROUNDS * 5 * (i + 1));
	}
}

/* Empty messages, a look that takes nothing, one that is cut. */
static void edges_of_sysv(void)
{
	int id = msgget(IPC_PRIVATE, 0600), child;

	must(id >= 0);
	sysv_channel(id, "private");
	fflush(stdout);
	if (!(child = fork())) {
		post(id, 5, 0);
		post(id, 6, 100);
		post(id, 6, 50);
		exit(0);
	}
	join(child);
	must(msgrcv(id, &message, ROOM, 1, MSG_COPY | IPC_NOWAIT) == 100);
	must(msgrcv(id, &message, ROOM, 5, 0) == 0);
	must(msgrcv(id, &message, 50, 0, 0) < 0 && errno == E2BIG);
	must(msgrcv(id, &message, 40, 0, MSG_NOERROR) == 40);
	must(msgrcv(id, &message, 50, -6, MSG_NOERROR) == 50);
	must(!msgctl(id, IPC_RMID, NULL));
	edge("sysv_msg", child, getpid(), 3, 90);
}

/* What is taken out of its order: the lowest type up to a limit, any but one type. */
static void selection(void)
{
	int id = msgget(IPC_PRIVATE, 0600), first, second;

	must(id >= 0);
	sysv_channel(id, "private");
	fflush(stdout);
	if (!(first = fork())) {
		post(id, 3, 30);
		post(id, 2, 20);
		exit(0);
	}
	join(first);
	if (!(second = fork())) {
		post(id, 1, 1);
		post(id, 4, 4);
		post(id, 1, 2);
		exit(0);
	}
	join(second);
	must(msgrcv(id, &message, ROOM, -3, 0) == 1 && message.type == 1);
	must(msgrcv(id, &message, ROOM, 3, MSG_EXCEPT) == 20 && message.type == 2);
	must(msgrcv(id, &message, ROOM, -3, 0) == 2 && message.type == 1);
	must(msgrcv(id, &message, ROOM, 3, MSG_EXCEPT) == 4 && message.type == 4);
	must(msgrcv(id, &message, ROOM, 3, MSG_EXCEPT | IPC_NOWAIT) < 0);
	printf("failed %d\n", errno);
	must(msgrcv(id, &message, ROOM, -3, 0) == 30);
	must(!msgctl(id, IPC_RMID, NULL));
	edge("sysv_msg", first, getpid(), 2, 50);
	edge("sysv_msg", second, getpid(), 3, 7);
}

/* Until the process waits in this system call. */
static void wait_until_in(pid_t pid, long number)
{
	char path[64];
	long now = -1;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	while (now != number) {
		FILE *f = fopen(path, "re");
		must(f != NULL);
		if (fscanf(f, "%ld", &now) != 1)
			now = -1;
		fclose(f);
		usleep(1000);
	}
}

/* A queue that is full, and removed while one waits to send and another to receive. */
static void removed(void)
{
	int id = msgget(IPC_PRIVATE, 0600), sender, receiver;
	struct msqid_ds ds;

	must(id >= 0 && !msgctl(id, IPC_STAT, &ds));
	sysv_channel(id, "private");
	ds.msg_qbytes = 100;
	must(!msgctl(id, IPC_SET, &ds));
	post(id, 1, 60);
	must(msgsnd(id, &message, 60, IPC_NOWAIT) < 0 && errno == EAGAIN);
	printf("failed %d\nfailed %d\nfailed %d\n", EAGAIN, EIDRM, EIDRM);
	fflush(stdout);
	if (!(sender = fork())) { /* the first waits until there is room, the second for ever */
		post(id, 2, 60);
		must(msgsnd(id, &message, 60, 0) < 0 && errno == EIDRM);
		exit(0);
	}
	wait_until_in(sender, SYS_msgsnd);
	must(msgrcv(id, &message, ROOM, 1, 0) == 60);
	if (!(receiver = fork())) {
		must(msgrcv(id, &message, ROOM, 7, 0) < 0 && errno == EIDRM);
		exit(0);
	}
	while (!msgctl(id, IPC_STAT, &ds) && ds.msg_lspid != sender)
		usleep(1000);
	wait_until_in(sender, SYS_msgsnd);
	wait_until_in(receiver, SYS_msgrcv);
	must(!msgctl(id, IPC_RMID, NULL));
	join(sender);
	join(receiver);
	edge("sysv_msg", getpid(), getpid(), 1, 60);
}

static mqd_t make_queue(int flags, const char *suffix)
{
	struct mq_attr attr = { .mq_maxmsg = 8, .mq_msgsize = ROOM };
	struct stat st;
	char name[32];

	snprintf(name, sizeof(name), "/queues.%d%s", getpid(), suffix);
	mqd_t q = mq_open(name, O_CREAT | O_EXCL | O_RDWR | flags, 0600, &attr);
	must(q >= 0 && !fstat(q, &st) && !mq_unlink(name));
	printf("channel posix_mq:%u:%u:%lu %s\n", major(st.st_dev), minor(st.st_dev), st.st_ino, name);
	fflush(stdout);
	return q;
}

/* Two senders, the highest priority first; a descriptor that an exec hands on. */
static void priorities(void)
{
	mqd_t q = make_queue(0, "");
	int first, second;
	unsigned int priority;

	if (!(first = fork())) {
		for (int i = 0; i < 4; i++)
			must(!mq_send(q, message.text, 10 + i, i));
		exit(0);
	}
	join(first);
	if (!(second = fork())) {
		must(!mq_send(q, message.text, 0, 31) && !mq_send(q, message.text, 1, 2));
		exit(0);
	}
	join(second);
	must(mq_receive(q, message.text, ROOM, &priority) == 0 && priority == 31);
	must(mq_receive(q, message.text, ROOM, NULL) == 13);
	must(mq_receive(q, message.text, ROOM, &priority) == 12 && priority == 2);
	must(mq_receive(q, message.text, ROOM, &priority) == 1);
	must(mq_receive(q, message.text, ROOM, NULL) == 11);
	must(mq_receive(q, message.text, ROOM, NULL) == 10);
	edge("posix_mq", first, getpid(), 4, 46);
	edge("posix_mq", second, getpid(), 2, 1);
	int kept = dup(q), taker;
	must(!mq_send(q, message.text, 77, 1));
	fflush(stdout);
	if (!(taker = fork())) {
		char fd[16];
		snprintf(fd, sizeof(fd), "%d", kept);
		execl("/proc/self/exe", "queues", "take", fd, NULL);
	}
	join(taker);
	edge("posix_mq", getpid(), taker, 1, 77);
}

static void take(int q)
{
	must(mq_receive(q, message.text, ROOM, NULL) == 77);
}

static void waiting(void)
{
	mqd_t q = make_queue(O_NONBLOCK, "w"), child;
	struct pollfd p = { .fd = q, .events = POLLIN };

	must(mq_receive(q, message.text, ROOM, NULL) < 0 && errno == EAGAIN);
	if (!(child = fork())) {
		usleep(20000);
		exit(mq_send(q, message.text, 8, 0));
	}
	must(poll(&p, 1, -1) == 1 && mq_receive(q, message.text, ROOM, NULL) == 8);
	join(child);
	edge("posix_mq", child, getpid(), 1, 8);
	while (!mq_send(q, message.text, ROOM, 0))
		;
	must(errno == EAGAIN);
}

/* Who is told of a message; whether it waits. */
static void notified(void)
{
	mqd_t q = make_queue(0, "n"), child;
	struct sigevent told = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct mq_attr attr = { .mq_flags = O_NONBLOCK };
	sigset_t set;
	int signal;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	must(!mq_notify(q, &told));
	if (!(child = fork())) {
		must(mq_notify(q, &told) < 0 && errno == EBUSY);
		exit(mq_send(q, message.text, 5, 0));
	}
	printf("failed %d\ncall mq_notify 3\ncall mq_getsetattr 2\n", EBUSY);
	join(child);
	must(!sigwait(&set, &signal) && signal == SIGUSR1);
	must(!mq_notify(q, NULL) && !mq_setattr(q, &attr, NULL));
	must(mq_receive(q, message.text, ROOM, NULL) == 5);
	must(mq_receive(q, message.text, ROOM, NULL) < 0 && errno == EAGAIN);
	printf("failed %d\n", errno);
	must(!mq_getattr(q, &attr) && attr.mq_flags == O_NONBLOCK);
	edge("posix_mq", child, getpid(), 1, 5);
}

static void eventfd_channel(int fd)
{
	char path[64], line[128];
	unsigned long id;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(path, "re");
	must(f != NULL);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "eventfd-id: %lu", &id) == 1)
			printf("channel eventfd:%lu\n", id);
	fclose(f);
	fflush(stdout);
}

static void add(int fd, uint64_t value)
{
	must(write(fd, &value, sizeof(value)) == sizeof(value));
}

static uint64_t wait_for(int fd)
{
	uint64_t value;
	must(read(fd, &value, sizeof(value)) == sizeof(value));
	return value;
}

static void eventfds(void)
{
	int sum = eventfd(0, 0), turns = eventfd(0, EFD_SEMAPHORE), ep = epoll_create1(0), child;
	struct epoll_event ready = { .events = EPOLLIN, .data.fd = sum };

	eventfd_channel(sum);
	eventfd_channel(turns);
	if (!(child = fork())) {
		for (int i = 0; i < ROUNDS; i++) {
			wait_for(turns);
			add(sum, 1 + i);
		}
		exit(0);
	}
	must(!epoll_ctl(ep, EPOLL_CTL_ADD, sum, &ready));
	for (int i = 0; i < ROUNDS; i++) {
		add(turns, 1);
		must(epoll_wait(ep, &ready, 1, -1) == 1 && wait_for(sum) == 1U + i);
	}
	join(child);
	edge("eventfd", getpid(), child, ROUNDS, 0);
	edge("eventfd", child, getpid(), ROUNDS, 0);
}

static void send_fds(int s, const int fds[2])
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
	struct iovec iov = { control, 1 };
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	*(struct cmsghdr *)control = (struct cmsghdr){ CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA((struct cmsghdr *)control), fds, 2 * sizeof(int));
	must(sendmsg(s, &h, 0) == 1);
}

static void receive_fds(int s, int fds[2])
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
	struct iovec iov = { message.text, 1 };
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	must(recvmsg(s, &h, 0) == 1);
	memcpy(fds, CMSG_DATA((struct cmsghdr *)control), 2 * sizeof(int));
}

/* To a child that was there before them. */
static void passed(void)
{
	int s[2], fds[2], child;

	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	if (!(child = fork())) {
		receive_fds(s[1], fds);
		must(mq_receive(fds[0], message.text, ROOM, NULL) == 33 && wait_for(fds[1]) == 5);
		exit(0);
	}
	fds[0] = make_queue(0, "p");
	fds[1] = eventfd(5, 0);
	eventfd_channel(fds[1]);
	must(!mq_send(fds[0], message.text, 33, 0));
	send_fds(s[0], fds);
	join(child);
	edge("posix_mq", getpid(), child, 1, 33);
	edge("eventfd", getpid(), child, 1, 0);
}

static int both[2];

static void *answer(void *unused)
{
	for (int i = 0; i < ROUNDS; i++)
		add(both[1], wait_for(both[0]));
	return unused;
}

static void threads(void)
{
	pthread_t thread;

	for (int i = 0; i < 2; i++)
		eventfd_channel(both[i] = eventfd(0, EFD_CLOEXEC));
	must(!pthread_create(&thread, NULL, answer, NULL));
	for (int i = 0; i < ROUNDS; i++) {
		add(both[0], 3);
		must(wait_for(both[1]) == 3);
	}
	pthread_join(thread, NULL);
	edge("eventfd", getpid(), getpid(), 2 * ROUNDS, 0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{ "types", types },	  { "edges", edges_of_sysv }, { "priorities", priorities },
		{ "waiting", waiting },	  { "eventfds", eventfds },   { "passed", passed },
		{ "threads", threads },	  { "selection", selection }, { "removed", removed },
		{ "notified", notified },
	};

	if (argc == 3)
		take(atoi(argv[2]));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc == 2 && !strcmp(argv[1], all[i].name))
			all[i].run();
	return 0;
}
