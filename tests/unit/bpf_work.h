/* SPDX-License-Identifier: BSD-2-Clause */
/* What the traced programs of test_bpf.c do. */
#ifndef IPC_BPF_WORK_H
#define IPC_BPF_WORK_H

#include <pthread.h>
#include <spawn.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#include "bpf_target.h"

enum { FLOOD = 200000 };

static int work_pipe(void)
{
	char buffer[4096] = {};
	int p[2];

	make_pipe(p, 0);
	facts[0] = inode_of(p[0]);
	if (!fork_noted(1)) {
		close(p[0]);
		for (int i = 0; i < 10; i++)
			if (write(p[1], buffer, 1000) != 1000)
				_exit(99);
		_exit(3);
	}
	close(p[1]);
	reap(facts[1]);
	while (read(p[0], buffer, sizeof(buffer)) > 0)
		;
	return 0;
}

static int work_fifo(void)
{
	char path[256], buffer[100] = {};

	snprintf(path, sizeof(path), "%s/fifo", folder);
	if (mkfifo(path, 0600))
		return 99;
	if (!fork_noted(0)) {
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		if (write(fd, "hello", 5) != 5)
			_exit(99);
		_exit(0);
	}
	int fd = open(path, O_RDONLY);
	reap(facts[0]);
	if (read(fd, buffer, sizeof(buffer)) != 5 || read(fd, buffer, sizeof(buffer)) != 0)
		return 99;
	return 0;
}

static int work_splice(void)
{
	char path[256], buffer[3000] = {};
	struct iovec iov[2] = { { buffer, 60 }, { buffer + 60, 40 } };
	int a[2], b[2];

	snprintf(path, sizeof(path), "%s/file", folder);
	int file = open(path, O_RDWR | O_CREAT, 0600);
	if (write(file, buffer, sizeof(buffer)) != sizeof(buffer) || lseek(file, 0, SEEK_SET))
		return 99;
	make_pipe(a, O_CLOEXEC);
	make_pipe(b, O_CLOEXEC);
	facts[0] = inode_of(a[0]);
	facts[1] = inode_of(b[0]);
	if (sendfile(a[1], file, NULL, 3000) != 3000 || tee(a[0], b[1], 3000, 0) != 3000 ||
	    splice(a[0], NULL, b[1], NULL, 2000, 0) != 2000 || vmsplice(b[1], iov, 2, 0) != 100)
		return 99;
	close(a[1]);
	if (splice(a[0], NULL, b[1], NULL, 5000, 0) != 1000 || splice(a[0], NULL, b[1], NULL, 5000, 0))
		return 99;
	return writev(b[1], iov, 2) != 100 || readv(b[0], iov, 2) != 100;
}

static int work_dup(void)
{
	int p[2];

	make_pipe(p, O_NONBLOCK);
	facts[0] = inode_of(p[0]);
	facts[1] = dup(p[0]);
	dup2(p[0], 20);
	dup2(p[0], p[0]);
	dup3(p[1], 21, O_CLOEXEC);
	dup2(p[1], 20);
	fcntl(p[0], F_DUPFD, 30);
	fcntl(p[1], F_DUPFD_CLOEXEC, 31);
	fcntl(p[1], F_GETFL);
	close(20);
	close(99);
	syscall(SYS_close_range, 28, 40, CLOSE_RANGE_CLOEXEC);
	syscall(SYS_close_range, 28, 40, 0);
	syscall(SYS_close_range, 40, 28, 0);
	return 0;
}

static int work_exec(void)
{
	char *argv[] = { "true", "a b", "", "c", NULL };
	int p[2];

	if (!fork_noted(0)) {
		make_pipe(p, 0);
		dup3(p[1], 40, O_CLOEXEC);
		dup2(p[1], 255);
		facts[1] = inode_of(p[0]);
		execv("/nonexistent", argv);
		execv("/bin/true", argv);
		_exit(99);
	}
	reap(facts[0]);
	return 0;
}

static int work_killed(void)
{
	static char buffer[200000];
	int p[2], q[2];
	siginfo_t info;

	make_pipe(p, 0);
	make_pipe(q, 0);
	facts[0] = inode_of(p[0]);
	facts[1] = inode_of(q[0]);
	facts[2] = fcntl(p[1], F_GETPIPE_SZ);
	if (!fork_noted(3))
		_exit(write(p[1], buffer, sizeof(buffer)) != 0);
	await_blocked(facts[3]);
	kill(facts[3], SIGKILL);
	waitid(P_PID, facts[3], &info, WEXITED | WNOWAIT);
	waitid(P_PID, facts[3], &info, WEXITED);
	if (!fork_noted(4))
		_exit(read(q[0], buffer, sizeof(buffer)) != 0);
	await_blocked(facts[4]);
	kill(facts[4], SIGTERM);
	waitpid(facts[4], NULL, WUNTRACED); /* nobody asks how it ended */
	return 0;
}

static int work_spawn(void)
{
	char *argv[] = { "true", NULL };
	pid_t pid;

	pid = vfork();
	if (!pid)
		_exit(7);
	facts[0] = pid;
	reap(pid);
	if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, argv + 1))
		return 99;
	facts[1] = pid;
	reap(pid);
	waitpid(-1, NULL, WNOHANG); /* ECHILD */
	return 0;
}

static int shared_pipe[2];

static void *write_and_end(void *unused)
{
	facts[1] = gettid();
	return write(shared_pipe[1], "x", 1) == 1 ? NULL : unused;
}

static void *exit_all(void *unused)
{
	(void)unused;
	facts[2] = gettid();
	await_blocked(getpid());
	_exit(5);
}

static int work_threads(void)
{
	char path[64], byte;
	pthread_t thread;

	if (!fork_noted(3))
		_exit(0);
	reap(facts[3]);
	make_pipe(shared_pipe, 0);
	facts[0] = inode_of(shared_pipe[0]);
	pthread_create(&thread, NULL, write_and_end, NULL);
	pthread_join(thread, NULL);
	snprintf(path, sizeof(path), "/proc/self/task/%d", (int)facts[1]);
	while (!access(path, F_OK)) /* joined is not yet gone */
		usleep(1000);
	if (read(shared_pipe[0], &byte, 1) != 1)
		return 99;
	pthread_create(&thread, NULL, exit_all, NULL);
	return read(shared_pipe[0], &byte, 1);
}

static void do_nothing(int signal)
{
	(void)signal;
}

static int work_signals(void)
{
	struct sigaction act = { .sa_handler = do_nothing };
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	struct timespec later = { .tv_nsec = 100000000 };
	int p[2], n[2];
	char byte;

	make_pipe(p, 0);
	make_pipe(n, O_NONBLOCK);
	facts[0] = inode_of(p[0]);
	facts[1] = inode_of(n[0]);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	if (read(p[0], &byte, 1) != -1 || errno != EINTR)
		return 99;
	act.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &act, NULL);
	if (!fork_noted(2)) {
		nanosleep(&later, NULL);
		_exit(write(p[1], "x", 1) != 1);
	}
	setitimer(ITIMER_REAL, &soon, NULL);
	if (read(p[0], &byte, 1) != 1)
		return 99;
	reap(facts[2]);
	signal(SIGPIPE, SIG_IGN);
	if (read(n[0], &byte, 1) != -1 || close(n[0]) || write(n[1], "x", 1) != -1)
		return 99;
	return 0;
}

static int work_flood(void)
{
	char buffer[7];
	int p[2];

	make_pipe(p, 0);
	for (int i = 0; i < FLOOD; i++)
		if (write(p[1], buffer, sizeof(buffer)) != sizeof(buffer) ||
		    read(p[0], buffer, sizeof(buffer)) < 0)
			return 99;
	return 0;
}

static int work_alien(void)
{
	long pid;
	/* getpid is 20 in the 32-bit table, writev in ours */
	__asm__ volatile("int $0x80" : "=a"(pid) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	return pid != getpid();
}

static void *exec_true(void *unused)
{
	char *argv[] = { "true", NULL };

	(void)unused;
	execv("/bin/true", argv);
	_exit(99);
}

static void *end_last(void *unused)
{
	(void)unused;
	usleep(50000);
	syscall(SYS_exit, 0);
	return NULL;
}

/* Ends of processes other than by exit_group of their only thread. */
static int work_ends(void)
{
	pthread_t thread;

	if (!fork_noted(0))
		syscall(SYS_exit, 4);
	reap(facts[0]);
	if (!fork_noted(1)) {
		pthread_create(&thread, NULL, exec_true, NULL);
		pthread_join(thread, NULL);
	}
	reap(facts[1]);
	if (!fork_noted(2)) {
		pthread_create(&thread, NULL, end_last, NULL);
		syscall(SYS_exit, 5);
	}
	int status;
	waitpid(facts[2], &status, 0);
	facts[4] = status;
	if (!fork_noted(3)) {
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(facts[3], &status, WUNTRACED);
	kill(facts[3], SIGCONT);
	reap(facts[3]);
	return 0;
}

static int work_inside(void)
{
	char byte;
	int p[2];

	make_pipe(p, 0);
	facts[0] = inode_of(p[0]);
	if (!fork_noted(1))
		_exit(read(p[0], &byte, 1) != 1);
	await_blocked(facts[1]);
	return 0;
}

static const struct work works[] = {
	{ "pipe", work_pipe },	     { "fifo", work_fifo },
	{ "splice", work_splice },   { "dup", work_dup },
	{ "exec", work_exec },	     { "killed", work_killed },
	{ "spawn", work_spawn },     { "threads", work_threads },
	{ "signals", work_signals }, { "flood", work_flood },
	{ "alien", work_alien },     { "inside", work_inside },
	{ "ends", work_ends },	     {},
};

#endif
