// SPDX-License-Identifier: BSD-2-Clause
/*
 * locks NAME FOLDER: processes that lock files, and print what became of it: "edge FROM TO N" for who took
 * the lock over from whom, "locks PID N" and "unlocks PID N" of each, the kernel's releases too, "failed
 * ERRNO" of a call that failed. They take turns by signs, bytes of shared memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCS = 8, RECORDS = 4, SIGNS = 16, FAILED = 32, ROUNDS = 300 };

static struct {
	pid_t pid[PROCS];
	int edges[PROCS][PROCS], locks[PROCS], unlocks[PROCS], failed[FAILED], failures, procs;
	int last[RECORDS]; /* who released it, 1 + the number */
	volatile char sign[SIGNS];
} * all;

static int me;
static char path[256];

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static void show(int sign)
{
	__atomic_store_n(&all->sign[sign], 1, __ATOMIC_RELEASE);
}

static void await(int sign)
{
	while (!__atomic_load_n(&all->sign[sign], __ATOMIC_ACQUIRE))
		usleep(500);
}

/* Time enough for another to be asleep in its call. */
static void nap(void)
{
	usleep(20000);
}

static pid_t start(void)
{
	int number = ++all->procs;
	fflush(stdout);
	pid_t pid = fork();
	must(pid >= 0);
	if (!pid) {
		me = number;
		all->pid[me] = getpid();
	}
	return pid;
}

static void join(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid && !status);
}

static int open_file(int flags)
{
	int fd = open(path, O_RDWR | O_CREAT | flags, 0600);
	must(fd >= 0);
	return fd;
}

/* How: 'f'lock, 'p'osix, 'o'fd. What: 's'hared, 'x' exclusive, 'u'nlock; capital: does not wait. */
static int call(char how, int fd, char what, int record)
{
	int no_wait = what == 'S' || what == 'X';
	struct flock l = { .l_whence = SEEK_SET, .l_start = record * 10, .l_len = record >= 0 ? 10 : 0 };
	if (record < 0)
		l.l_start = 0;
	what |= 0x20;
	l.l_type = what == 's' ? F_RDLCK : what == 'x' ? F_WRLCK : F_UNLCK;
	if (how == 'f')
		return flock(fd, (what == 's'	? LOCK_SH
				  : what == 'x' ? LOCK_EX
						: LOCK_UN) |
					 (no_wait ? LOCK_NB : 0));
	if (how == 'p')
		return fcntl(fd, no_wait || what == 'u' ? F_SETLK : F_SETLKW, &l);
	return fcntl(fd, no_wait || what == 'u' ? F_OFD_SETLK : F_OFD_SETLKW, &l);
}

/* The lock is taken over from process `from`, or (-1) from nobody else. */
static void lock(char how, int fd, char what, int from)
{
	must(!call(how, fd, what, -1));
	__atomic_fetch_add(&all->locks[me], 1, __ATOMIC_RELAXED);
	if (from >= 0)
		__atomic_fetch_add(&all->edges[from][me], 1, __ATOMIC_RELAXED);
}

static void released(int who)
{
	__atomic_fetch_add(&all->unlocks[who], 1, __ATOMIC_RELAXED);
}

static void unlock(char how, int fd)
{
	must(!call(how, fd, 'u', -1));
	released(me);
}

static void fails(char how, int fd, char what, int error)
{
	must(call(how, fd, what, -1) == -1 && errno == error);
	all->failed[__atomic_fetch_add(&all->failures, 1, __ATOMIC_RELAXED)] = error;
}

/* Everybody at once; who was the last the lock itself protects. */
static void crowd(char how, int records)
{
	pid_t pids[4];
	for (int i = 0; i < 4; i++) {
		if ((pids[i] = start()))
			continue;
		int fd = open_file(0);
		for (int n = 0; n < ROUNDS; n++) {
			int r = rand() % records;
			must(!call(how, fd, 'x', records > 1 ? r : -1));
			all->locks[me]++;
			if (all->last[r] && all->last[r] != me + 1)
				__atomic_fetch_add(&all->edges[all->last[r] - 1][me], 1, __ATOMIC_RELAXED);
			if (n % 7 == 0)
				usleep(100);
			all->last[r] = me + 1;
			must(!call(how, fd, 'u', records > 1 ? r : -1));
			all->unlocks[me]++;
		}
		_exit(0);
	}
	for (int i = 0; i < 4; i++)
		join(pids[i]);
}

/* Two that read what one has written; it waits for both, and takes over from the later. */
static void readers(char how)
{
	int fd = open_file(0);
	pid_t pids[2];
	lock(how, fd, 'x', -1);
	for (int i = 0; i < 2; i++) {
		if ((pids[i] = start()))
			continue;
		int own = open_file(0);
		show(i);
		lock(how, own, 's', 0);
		show(2 + i);
		await(4 + i);
		unlock(how, own);
		if (!i) {
			lock(how, own, 's', -1); /* again: nothing new to take over */
			unlock(how, own);
		}
		_exit(0);
	}
	await(0);
	await(1);
	nap();
	unlock(how, fd);
	await(2);
	await(3);
	fails(how, fd, 'X', EAGAIN);
	show(4);
	join(pids[0]);
	show(5);
	lock(how, fd, 'x', 2);
	unlock(how, fd);
	join(pids[1]);
}

static pid_t waiter(char how, int from, int sign)
{
	pid_t pid = start();
	if (pid)
		return pid;
	for (int i = 3; i < 16; i++)
		close(i);
	int fd = open_file(0);
	show(sign);
	lock(how, fd, 'x', from);
	unlock(how, fd);
	_exit(0);
}

/* The last descriptor of a description; any descriptor of the file. */
static void closes(void)
{
	int a = open_file(0), b = dup(a);
	lock('f', a, 'x', -1);
	pid_t pid = waiter('f', 0, 0);
	await(0);
	close(a);
	nap();
	must(!kill(pid, 0));
	released(0);
	close(b);
	join(pid);

	a = open_file(0);
	b = open_file(0);
	lock('p', a, 'x', -1);
	pid = waiter('p', 0, 1);
	await(1);
	nap();
	released(0);
	close(b);
	join(pid);

	a = open_file(0);
	lock('o', a, 'x', 2);
	pid = waiter('o', 0, 2);
	await(2);
	nap();
	released(0);
	must(dup2(1, a) == a);
	join(pid);
}

/* A child and its parent have one description: what the one locked the other unlocks. */
static void shared_by_fork(void)
{
	int fd = open_file(0);
	lock('f', fd, 'x', -1);
	pid_t other = waiter('f', 2, 0);
	await(0);
	pid_t child = start();
	if (!child) {
		nap();
		unlock('f', fd);
		_exit(0);
	}
	join(child);
	join(other);

	/* The parent's close is not the last. */
	lock('o', fd, 'x', -1);
	child = start();
	if (!child) {
		await(1);
		nap();
		released(me);
		_exit(0);
	}
	close(fd);
	other = waiter('o', 3, 1);
	join(child);
	join(other);
}

/* The kernel releases what a process leaves behind. */
static void left(void)
{
	for (int i = 0; i < 3; i++) {
		char how = "fpo"[i];
		int ready = 2 * i, asked = ready + 1;
		pid_t holder = start();
		if (!holder) {
			lock(how, open_file(0), 'x', i == 2 ? 4 : -1);
			released(me);
			show(ready);
			await(asked);
			nap();
			if (i)
				raise(SIGKILL);
			_exit(0);
		}
		await(ready);
		pid_t other = waiter(how, all->procs, asked);
		must(waitpid(holder, NULL, 0) == holder);
		join(other);
	}
}

/* Of an exec the locks stay, but for those of descriptors that it closes. */
static void execs(void)
{
	for (int i = 0; i < 2; i++) {
		int ready = 2 * i;
		pid_t holder = start();
		if (!holder) {
			lock('f', open_file(i ? O_CLOEXEC : 0), 'x', i ? 2 : -1);
			released(me);
			show(ready);
			await(ready + 1);
			nap();
			execlp("sleep", "sleep", "0.1", NULL);
			_exit(1);
		}
		await(ready);
		pid_t other = waiter('f', all->procs, ready + 1);
		join(holder);
		join(other);
	}
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Calls that fail take nothing. */
static void failures(void)
{
	struct sigaction act = { .sa_handler = on_alarm };
	int fd = open_file(0), again = open_file(0);
	lock('f', fd, 'x', -1);
	fails('f', again, 'X', EWOULDBLOCK);
	fails('f', again, 'S', EWOULDBLOCK);
	sigaction(SIGALRM, &act, NULL);
	ualarm(20000, 0);
	fails('f', again, 'x', EINTR);
	unlock('f', fd);
	lock('f', fd, 'x', -1);
	lock('f', fd, 'x', -1); /* which it has */
	unlock('f', fd);
	unlock('f', fd); /* which it has not */

	must(!call('p', fd, 'x', 0));
	all->locks[0]++;
	pid_t child = start();
	if (!child) {
		must(!call('p', fd, 'x', 1));
		all->locks[me]++;
		show(0);
		must(call('p', fd, 'X', 0) == -1 && (errno == EAGAIN || errno == EACCES));
		all->failed[__atomic_fetch_add(&all->failures, 1, __ATOMIC_RELAXED)] = errno;
		must(!call('p', fd, 'x', 0)); /* when the other has given up */
		all->locks[me]++;
		all->edges[0][me]++;
		released(me); /* by its exit */
		_exit(0);
	}
	await(0);
	nap();
	must(call('p', fd, 'x', 1) == -1 && errno == EDEADLK);
	all->failed[__atomic_fetch_add(&all->failures, 1, __ATOMIC_RELAXED)] = errno;
	must(!call('p', fd, 'u', 0));
	released(0);
	join(child);
}

/* From shared to exclusive and back. */
static void conversions(char how)
{
	int fd = open_file(0);
	lock(how, fd, 's', -1);
	pid_t child = start();
	if (!child) {
		int own = open_file(0);
		lock(how, own, 's', -1);
		show(0);
		nap();
		unlock(how, own);
		await(1);
		show(2);
		lock(how, own, 's', 0); /* when the other shares it again */
		show(3);
		unlock(how, own);
		_exit(0);
	}
	await(0);
	lock(how, fd, 'x', 1);
	show(1);
	await(2);
	nap();
	lock(how, fd, 's', -1);
	await(3);
	unlock(how, fd);
	join(child);
}

/* Bytes in the middle of others. */
static void ranges(char how)
{
	int fd = open_file(0);
	must(!ftruncate(fd, 100));
	lock(how, fd, 'x', -1);
	pid_t child = start();
	if (!child) {
		int own = open_file(0);
		show(0);
		must(!call(how, own, 'x', 2));
		all->locks[me]++;
		all->edges[0][me]++;
		show(1);
		await(2);
		struct flock end = { .l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -30, .l_len = -10 };
		must(!fcntl(own, how == 'p' ? F_SETLKW : F_OFD_SETLKW, &end)); /* 60 to 69 */
		all->locks[me]++;
		all->edges[0][me]++;
		must(!call(how, own, 'u', -1));
		released(me);
		_exit(0);
	}
	await(0);
	nap();
	must(!call(how, fd, 'u', 2));
	released(0);
	await(1);
	fails(how, fd, 'X', EAGAIN); /* all of it */
	show(2);
	nap();
	must(!call(how, fd, 'u', 6));
	released(0);
	join(child);
	lock(how, fd, 'x', 1); /* 20 to 29 and 60 to 69 it had not */
	unlock(how, fd);
}

/* A lock on a FIFO is none of what goes through it. */
static void fifo(void)
{
	char c = 'x';
	must(!mkfifo(path, 0600));
	int fd = open_file(0);
	lock('f', fd, 'x', -1);
	pid_t child = start();
	if (!child) {
		int own = open_file(0);
		show(0);
		lock('f', own, 'x', 0);
		must(read(own, &c, 1) == 1);
		unlock('f', own);
		_exit(0);
	}
	await(0);
	nap();
	must(write(fd, &c, 1) == 1);
	unlock('f', fd);
	join(child);
}

static int files[2];

static void *other_thread(void *how)
{
	show(0);
	lock(*(char *)how, files[1], 'x', -1);
	unlock(*(char *)how, files[1]);
	return NULL;
}

/* Threads of one process: no message, but a wait. */
static void threads(char how)
{
	pthread_t thread;
	files[0] = open_file(0);
	files[1] = open_file(0);
	lock(how, files[0], 'x', -1);
	must(!pthread_create(&thread, NULL, other_thread, &how));
	await(0);
	nap();
	unlock(how, files[0]);
	must(!pthread_join(thread, NULL));
	pid_t child = waiter(how, 0, 1);
	join(child);
}

/* Who dies waiting never had it. */
static void killed(char how)
{
	int fd = open_file(0);
	lock(how, fd, 'x', -1);
	pid_t child = start();
	if (!child) {
		int own = open_file(0);
		show(0);
		call(how, own, 'x', -1);
		_exit(1);
	}
	await(0);
	nap();
	must(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	child = waiter(how, 0, 1);
	await(1);
	nap();
	unlock(how, fd);
	join(child);
}

/* A child that had the description before it was locked has the lock too. */
static void forked_before(void)
{
	int fd = open_file(0);
	pid_t child = start();
	if (!child) {
		await(1);
		nap();
		released(me);
		_exit(0);
	}
	lock('f', fd, 'x', -1);
	pid_t other = waiter('f', 1, 0);
	await(0);
	close(fd);
	nap();
	show(1);
	join(child);
	join(other);
}

/* Sends the descriptor (0 and above), or returns the one that came. */
static int pass(int s, int fd)
{
	char byte = 0;
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	if (fd >= 0)
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	must((fd >= 0 ? sendmsg(s, &m, 0) : recvmsg(s, &m, 0)) == 1);
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

/* So has who was sent it. */
static void sent(void)
{
	int ends[2];
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	pid_t child = start();
	if (!child) {
		int got = pass(ends[0], -1);
		show(0);
		await(1);
		nap();
		released(me);
		close(got);
		_exit(0);
	}
	int fd = open_file(0);
	lock('o', fd, 'x', -1);
	pass(ends[1], fd);
	await(0);
	close(fd);
	pid_t other = waiter('o', 1, 1);
	join(child);
	join(other);
}

static void run(const char *name)
{
	const char *dash = strchr(name, '-');
	char how = dash ? dash[1] : 0;
	if (!strncmp(name, "crowd", 5))
		crowd(how, 1);
	else if (!strncmp(name, "records", 7))
		crowd(how, RECORDS);
	else if (!strncmp(name, "readers", 7))
		readers(how);
	else if (!strncmp(name, "conversions", 11))
		conversions(how);
	else if (!strncmp(name, "ranges", 6))
		ranges(how);
	else if (!strcmp(name, "closes"))
		closes();
	else if (!strcmp(name, "shared_by_fork"))
		shared_by_fork();
	else if (!strcmp(name, "left"))
		left();
	else if (!strcmp(name, "execs"))
		execs();
	else if (!strcmp(name, "failures"))
		failures();
	else if (!strcmp(name, "fifo"))
		fifo();
	else if (!strncmp(name, "threads", 7))
		threads(how);
	else if (!strncmp(name, "killed", 6))
		killed(how);
	else if (!strcmp(name, "forked_before"))
		forked_before();
	else if (!strcmp(name, "sent"))
		sent();
	else
		must(0);
}

int main(int argc, char **argv)
{
	must(argc == 3);
	snprintf(path, sizeof(path), "%s/%s.lock", argv[2], argv[1]);
	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(all != MAP_FAILED);
	all->pid[0] = getpid();
	unlink(path);
	run(argv[1]);
	for (int i = 0; i <= all->procs; i++)
		printf("locks %d %d\nunlocks %d %d\n", all->pid[i], all->locks[i], all->pid[i],
		       all->unlocks[i]);
	for (int i = 0; i <= all->procs; i++)
		for (int k = 0; k <= all->procs; k++)
			if (all->edges[i][k])
				printf("edge %d %d %d\n", all->pid[i], all->pid[k], all->edges[i][k]);
	for (int i = 0; i < all->failures; i++)
		printf("failed %d\n", all->failed[i]);
	return unlink(path);
}
