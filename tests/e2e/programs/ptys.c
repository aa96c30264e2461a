// SPDX-License-Identifier: BSD-2-Clause
/*
 * ptys NAME: processes that talk through pseudo-terminals, and say what they did: "end PID SENDS RECEIVES
 * SENT RECEIVED" of each, "edge FROM TO MESSAGES BYTES EXACT" of what is certain about who sent to whom,
 * "channels N" and "index N".
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { ROUNDS = 40, BIGGEST = 700, ENDS = 8, BUFFER = 1 << 16 };

extern char **environ;

/* What each process did, told by itself. */
struct end {
	pid_t pid;
	long sends, receives, sent, received;
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

static long put(int fd, const void *bytes, size_t size)
{
	long n = write(fd, bytes, size);
	if (n > 0) {
		me->sends++;
		me->sent += n;
	}
	return n;
}

static long get(int fd, void *bytes, size_t size)
{
	long n = read(fd, bytes, size);
	if (n > 0) {
		me->receives++;
		me->received += n;
	}
	return n;
}

static void put_all(int fd, const char *text)
{
	must(put(fd, text, strlen(text)) == (long)strlen(text));
}

/* Reads exactly so many bytes, `chunk` at most at a time. */
static void get_all(int fd, long size, long chunk)
{
	char buffer[BUFFER];
	while (size > 0) {
		long n = get(fd, buffer, (size_t)(size < chunk ? size : chunk));
		must(n > 0);
		size -= n;
	}
}

/* Reads until the text has come. */
static void get_until(int fd, const char *text)
{
	char seen[BUFFER + 1];
	long have = 0;
	do {
		long n = get(fd, seen + have, (size_t)(BUFFER - have));
		must(n > 0);
		have += n;
		seen[have] = 0;
	} while (!strstr(seen, text));
}

static void make_raw(int fd, int how)
{
	struct termios t;
	must(!tcgetattr(fd, &t));
	cfmakeraw(&t);
	must(!tcsetattr(fd, how, &t));
}

static void join(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid);
	must(!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

static void edge(pid_t from, pid_t to, long messages, long bytes)
{
	printf("edge %d %d %ld %ld 1\n", from, to, messages, bytes);
}

/* What one has sent is what the other has received, and nobody else took part. */
static void edges_between(const struct end *a, const struct end *b)
{
	must(a->sent == b->received && b->sent == a->received);
	if (a->sends)
		edge(a->pid, b->pid, a->sends, a->sent);
	if (b->sends)
		edge(b->pid, a->pid, b->sends, b->sent);
}

static void index_of(int master)
{
	unsigned int index;
	must(!ioctl(master, TIOCGPTN, &index));
	printf("index %u\n", index);
}

/* Both sides send messages of all sizes and read them in pieces; sizes depend on the round. */
static void talk(int fd, bool first)
{
	static char bytes[BIGGEST];
	for (int i = 1; i <= ROUNDS; i++) {
		long size = i * 37 % BIGGEST + 1, back = i * 91 % BIGGEST + 1;
		memset(bytes, i, sizeof(bytes));
		if (first)
			must(put(fd, bytes, (size_t)size) == size);
		get_all(fd, first ? back : size, i % 3 ? BIGGEST : 64);
		if (!first)
			must(put(fd, bytes, (size_t)back) == back);
	}
}

static void raw(void)
{
	int master, slave;
	must(!openpty(&master, &slave, NULL, NULL, NULL));
	make_raw(slave, TCSAFLUSH);
	index_of(master);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		begin(1);
		close(master);
		talk(slave, false);
		_exit(0);
	}
	talk(master, true); /* which holds the slave, or might read EIO in place of what came last */
	close(slave);
	join(child);
	edges_between(&ends[0], &ends[1]);
}

/* Holds the slave too: once its last holder has closed it the master may read EIO in place of what came
 * before. */
static int hold(int master)
{
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	must(slave >= 0);
	return slave;
}

/* The slave is opened by its name; the master makes it raw; writes and reads by several buffers. */
static void named(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	char name[64];
	must(master >= 0 && !grantpt(master) && !unlockpt(master) && !ptsname_r(master, name, sizeof(name)));
	make_raw(master, TCSANOW);
	index_of(master);
	fflush(stdout);
	pid_t child = fork();
	struct iovec two[] = { { "several ", 8 }, { "buffers", 7 } };
	if (!child) {
		begin(1);
		close(master);
		int slave = open(name, O_RDWR | O_NOCTTY);
		must(slave >= 0);
		talk(slave, false);
		must(writev(slave, two, 2) == 15);
		me->sends++;
		me->sent += 15;
		get_all(slave, 3, 3); /* else the master might read EIO first */
		_exit(0);
	}
	talk(master, true);
	get_all(master, 15, 15);
	put_all(master, "end");
	join(child);
	edges_between(&ends[0], &ends[1]);
}

/* As a shell finds it: echo, lines, carriage returns, an erased character, the end of file. */
static void cooked(void)
{
	int master;
	fflush(stdout);
	pid_t child = forkpty(&master, NULL, NULL, NULL);
	if (!child) {
		char line[256];
		long n;
		begin(1);
		put_all(1, "ready\n");
		while ((n = get(0, line, sizeof(line))) > 0)
			must(put(1, line, (size_t)n) == n);
		put_all(1, "gone\n");
		_exit(0);
	}
	index_of(master);
	int slave = hold(master);
	get_until(master, "ready\r\n");
	for (int i = 0; i < ROUNDS; i++) {
		put_all(master, "hellp\177o\n");
		get_until(master, "hello\r\n");
	}
	put_all(master, "\004");
	get_until(master, "gone\r\n");
	close(slave);
	join(child);
	printf("edge %d %d -1 %ld 0\n", ends[0].pid, child, ends[1].received);
	printf("edge %d %d -1 %ld 0\n", child, ends[0].pid, ends[0].received);
}

/* Echo alone: the other side never writes. */
static void echo(void)
{
	int master, slave;
	must(!openpty(&master, &slave, NULL, NULL, NULL));
	index_of(master);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		begin(1);
		close(master);
		get_all(slave, 5, 100);
		_exit(0);
	}
	put_all(master, "echo\n");
	get_all(master, 6, 100);
	join(child);
	printf("edge %d %d 1 5 0\n", ends[0].pid, child);
}

/* First cooked, then raw: what it has edited once stays approximate, the other direction is exact. */
static void later(void)
{
	int master, slave;
	must(!openpty(&master, &slave, NULL, NULL, NULL));
	index_of(master);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		begin(1);
		close(master);
		put_all(slave, "cooked\n");
		get_all(slave, 1, 1);
		talk(slave, false);
		_exit(0);
	}
	get_all(master, 8, 100);
	make_raw(master, TCSADRAIN);
	put_all(master, "x");
	talk(master, true);
	join(child);
	edge(ends[0].pid, child, ends[0].sends, ends[0].sent);
	printf("edge %d %d -1 %ld 0\n", child, ends[0].pid, ends[0].received);
}

/* First raw, then cooked. */
static void back(void)
{
	int master, slave;
	struct termios cooked_mode;
	must(!openpty(&master, &slave, NULL, NULL, NULL) && !tcgetattr(slave, &cooked_mode));
	make_raw(slave, TCSANOW);
	index_of(master);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		begin(1);
		close(master);
		talk(slave, false);
		get_until(slave, "go\n");
		put_all(slave, "line\n");
		_exit(0);
	}
	talk(master, true);
	must(!tcsetattr(master, TCSANOW, &cooked_mode));
	put_all(master, "go\r");
	get_until(master, "line\r\n");
	join(child);
	printf("edge %d %d -1 %ld 0\n", ends[0].pid, child, ends[1].received);
	printf("edge %d %d -1 %ld 0\n", child, ends[0].pid, ends[0].received);
}

/* A flush takes away what nobody has read. */
static void flushed(void)
{
	int master, slave;
	must(!openpty(&master, &slave, NULL, NULL, NULL));
	make_raw(slave, TCSANOW);
	index_of(master);
	fflush(stdout);
	put_all(master, "never read");
	usleep(50000);
	must(!tcflush(slave, TCIFLUSH));
	pid_t child = fork();
	if (!child) {
		begin(1);
		close(master);
		talk(slave, false);
		_exit(0);
	}
	talk(master, true);
	join(child);
	printf("edge %d %d -1 %ld 0\n", ends[0].pid, child, ends[1].received);
	edge(child, ends[0].pid, ends[1].sends, ends[1].sent);
}

/* The number of a pseudo-terminal is used again. */
static void again(void)
{
	for (int i = 0; i < 3; i++) {
		int master, slave;
		char byte = 'x';
		must(!openpty(&master, &slave, NULL, NULL, NULL));
		make_raw(slave, TCSANOW);
		if (!i)
			index_of(master);
		must(put(master, &byte, 1) == 1 && get(slave, &byte, 1) == 1);
		close(slave);
		close(master);
	}
	for (int i = 0; i < 3; i++)
		edge(me->pid, me->pid, 1, 1);
	printf("channels 3\n");
}

/* The standard output of a program that posix_spawn starts; it reads nothing of us. */
static void spawned(void)
{
	int master, slave;
	must(!openpty(&master, &slave, NULL, NULL, NULL));
	make_raw(slave, TCSANOW);
	index_of(master);
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, slave, 1);
	posix_spawn_file_actions_addclose(&actions, slave);
	posix_spawn_file_actions_addclose(&actions, master);
	char *argv[] = { "printf", "spawned", NULL };
	pid_t child;
	must(!posix_spawn(&child, "/usr/bin/printf", &actions, NULL, argv, environ));
	get_all(master, 7, 7);
	close(slave);
	join(child);
	ends[1] = (struct end){ child, 1, 0, 7, 0 };
	edge(child, me->pid, 1, 7);
}

/* /dev/tty is the controlling terminal's slave. */
static void tty(void)
{
	int master;
	struct termios t;
	must(!tcgetattr(0, &t) || errno == ENOTTY);
	fflush(stdout);
	pid_t child = forkpty(&master, NULL, NULL, NULL);
	if (!child) {
		begin(1);
		make_raw(0, TCSANOW);
		int fd = open("/dev/tty", O_RDWR);
		must(fd >= 0);
		talk(fd, false);
		_exit(0);
	}
	index_of(master);
	int slave = hold(master);
	do
		must(!tcgetattr(master, &t));
	while (t.c_lflag & ICANON && !usleep(1000));
	talk(master, true);
	close(slave);
	join(child);
	edges_between(&ends[0], &ends[1]);
}

/* Two write one after the other, one reads. */
static void several(void)
{
	int master, slave, turn[2];
	char byte = 0;
	must(!openpty(&master, &slave, NULL, NULL, NULL) && !pipe(turn));
	make_raw(slave, TCSANOW);
	index_of(master);
	fflush(stdout);
	pid_t child[2];
	for (int i = 0; i < 2; i++) {
		child[i] = fork();
		if (!child[i]) {
			begin(i + 1);
			close(master);
			for (int k = 0; k < ROUNDS; k++) {
				must(read(turn[0], &byte, 1) == 1);
				put_all(slave, "my turn");
				must(write(turn[1], &byte, 1) == 1);
				sched_yield();
			}
			_exit(0);
		}
	}
	must(write(turn[1], &byte, 1) == 1);
	get_all(master, 2 * ROUNDS * 7, 10);
	for (int i = 0; i < 2; i++) {
		join(child[i]);
		edge(child[i], me->pid, ROUNDS, ROUNDS * 7);
	}
}

/* Killed in a write that waits for room: what it had sent arrives. */
static void killed(void)
{
	int master, slave;
	must(!openpty(&master, &slave, NULL, NULL, NULL));
	make_raw(slave, TCSANOW);
	index_of(master);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		static char much[1 << 20];
		begin(1);
		close(master);
		put(slave, much, sizeof(much));
		_exit(1);
	}
	close(slave);
	usleep(100000);
	must(!kill(child, SIGKILL));
	join(child);
	char buffer[512];
	while (get(master, buffer, sizeof(buffer)) > 0)
		;
	must(errno == EIO && me->received > 1000);
	ends[1] = (struct end){ child, 1, 0, me->received, 0 };
	printf("edge %d %d 1 %ld 0\n", child, me->pid, me->received);
}

/* In packet mode each read begins with a byte of the kernel's. */
static void packet(void)
{
	int master, slave, on = 1;
	must(!openpty(&master, &slave, NULL, NULL, NULL) && !ioctl(master, TIOCPKT, &on));
	make_raw(slave, TCSANOW);
	index_of(master);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		begin(1);
		close(master);
		for (int i = 0; i < ROUNDS; i++) {
			put_all(slave, "packet");
			get_all(slave, 1, 1);
		}
		_exit(0);
	}
	close(slave);
	for (int i = 0; i < ROUNDS; i++) {
		char buffer[64];
		for (long n = 0; n < 6;) {
			long got = get(master, buffer, sizeof(buffer));
			must(got > 0);
			n += got - 1;
		}
		put_all(master, "x");
	}
	join(child);
	edge(me->pid, child, ROUNDS, ROUNDS);
	printf("edge %d %d -1 %ld 0\n", child, me->pid, me->received);
}

static void *read_much(void *fd)
{
	get_all(*(int *)fd, 10000, 512);
	return NULL;
}

/* Two threads of one process, one at each end. */
static void threads(void)
{
	int master, slave;
	static char bytes[10000];
	pthread_t thread;
	must(!openpty(&master, &slave, NULL, NULL, NULL));
	make_raw(slave, TCSANOW);
	index_of(master);
	must(!pthread_create(&thread, NULL, read_much, &slave));
	must(write(master, bytes, sizeof(bytes)) == sizeof(bytes));
	must(!pthread_join(thread, NULL));
	me->sends++;
	me->sent += sizeof(bytes);
	edge(me->pid, me->pid, 1, sizeof(bytes));
}

/* What fails moves nothing. */
static void failing(void)
{
	int master, slave;
	char byte = 'x';
	must(!openpty(&master, &slave, NULL, NULL, NULL));
	make_raw(slave, TCSANOW);
	index_of(master);
	must(!fcntl(slave, F_SETFL, O_NONBLOCK));
	must(get(slave, &byte, 1) == -1 && errno == EAGAIN);
	must(put(master, &byte, 1) == 1);
	fcntl(slave, F_SETFL, 0);
	must(get(slave, &byte, 1) == 1);
	close(slave);
	must(get(master, &byte, 1) == -1 && errno == EIO);
	edge(me->pid, me->pid, 1, 1);
}

static const struct {
	const char *name;
	void (*run)(void);
} variants[] = {
	{ "raw", raw },		{ "named", named },	{ "cooked", cooked },	{ "echo", echo },
	{ "later", later },	{ "back", back },	{ "flushed", flushed }, { "again", again },
	{ "spawned", spawned }, { "tty", tty },		{ "several", several }, { "killed", killed },
	{ "packet", packet },	{ "threads", threads }, { "failing", failing },
};

int main(int argc, char **argv)
{
	ends = mmap(NULL, ENDS * sizeof(*ends), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(ends != MAP_FAILED);
	begin(0);
	for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++)
		if (argc == 2 && !strcmp(argv[1], variants[i].name)) {
			variants[i].run();
			for (int k = 0; k < ENDS && ends[k].pid; k++)
				printf("end %d %ld %ld %ld %ld\n", ends[k].pid, ends[k].sends,
				       ends[k].receives, ends[k].sent, ends[k].received);
			return 0;
		}
	return 2;
}
