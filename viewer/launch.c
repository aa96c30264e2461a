// SPDX-License-Identifier: BSD-2-Clause
/*
 * The order of things in the child: it waits at the gate with all signals blocked, takes back the mask and
 * the one disposition that the parent had to change, and execs. A signal that came meanwhile is delivered
 * then.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"

static void run_child(const struct launch *l, int gate, int failure, char **argv, char **envp)
{
	char byte;

	close(l->gate); /* else we would keep our own gate from closing when the recorder dies */
	if (read(gate, &byte, 1) != 1)
		_exit(125);
	sigaction(SIGCHLD, &l->child, NULL);
	sigprocmask(SIG_SETMASK, &l->mask, NULL);
	execvpe(argv[0], argv, envp);
	int err = errno;
	(void)!write(failure, &err, sizeof(err));
	_exit(125);
}

static void take_signals(struct launch *l)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &l->mask);
	/* Ignored, it would take away the child's status. */
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, &l->child);
	l->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

int launch_begin(struct launch *l, char **argv, char **envp)
{
	int gate[2] = { -1, -1 }, failure[2] = { -1, -1 }, err = 0;

	*l = (struct launch){ .signals = -1, .other = -1 };
	take_signals(l);
	if (l->signals < 0 || pipe2(gate, O_CLOEXEC) || pipe2(failure, O_CLOEXEC))
		err = -errno;
	l->gate = gate[1];
	l->failure = failure[0];
	if (!err) {
		l->pid = fork();
		if (!l->pid)
			run_child(l, gate[0], failure[1], argv, envp);
		err = l->pid < 0 ? -errno : 0;
	}
	close(gate[0]);
	close(failure[1]);
	if (err) {
		close(gate[1]);
		close(failure[0]);
		close(l->signals);
	}
	return err;
}

int launch_nothing(struct launch *l)
{
	*l = (struct launch){ .ended = true, .other = -1 };
	take_signals(l);
	return l->signals < 0 ? -errno : 0;
}

int launch_run(struct launch *l)
{
	int err = 0;

	if (write(l->gate, "", 1) != 1)
		err = EPIPE; /* killed while it waited: told by its status */
	close(l->gate);
	/* Ends without a word when the exec succeeds, or when a signal ends the child before it. */
	ssize_t n = read(l->failure, &err, sizeof(err));
	close(l->failure);
	if (n != sizeof(err))
		return 0;
	waitpid(l->pid, NULL, 0);
	return -err;
}

void launch_abandon(struct launch *l)
{
	close(l->gate);
	close(l->failure);
	waitpid(l->pid, NULL, 0);
}

/* Whether our process group is the one that the terminal listens to. */
static bool in_foreground(void)
{
	int tty = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool foreground = tty >= 0 && tcgetpgrp(tty) == getpgrp();

	if (tty >= 0)
		close(tty);
	return foreground;
}

/* Stops us by `sig`, and comes back when somebody continues us. */
static void stop_by(int sig)
{
	sigset_t one;
	struct sigaction old;

	sigemptyset(&one);
	sigaddset(&one, sig);
	sigaction(sig, &(struct sigaction){ .sa_handler = SIG_DFL }, &old);
	kill(getpid(), sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	sigprocmask(SIG_BLOCK, &one, NULL);
	sigaction(sig, &old, NULL);
}

static void take_status(struct launch *l, int status)
{
	if (WIFEXITED(status) || WIFSIGNALED(status)) {
		l->ended = true;
		l->status = status;
	}
}

/* The command was stopped by `sig`: whoever waits for us must see us stopped, and then continue us. But
 * SIGSTOP in the background comes from somebody who holds and continues the command alone (cpulimit): would
 * we stop, nobody would wake us. */
static void follow_stop(struct launch *l, int sig)
{
	sigset_t cont;
	int status;

	if (sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU && (sig != SIGSTOP || !in_foreground()))
		return;
	if (sig == SIGSTOP)
		raise(SIGSTOP);
	else
		stop_by(sig);
	/* Continued, there is a SIGCONT, which is not the command's own; a group without a shell never
	 * stopped. */
	sigemptyset(&cont);
	sigaddset(&cont, SIGCONT);
	if (sigtimedwait(&cont, NULL, &(struct timespec){ 0 }) < 0)
		return;
	if (waitpid(l->pid, &status, WNOHANG | WCONTINUED) == l->pid)
		take_status(l, status);
	else
		kill(l->pid, SIGCONT); /* only we were continued */
}

static void reap(struct launch *l)
{
	int status;

	while (!l->ended && waitpid(l->pid, &status, WNOHANG | WUNTRACED) == l->pid) {
		take_status(l, status);
		if (WIFSTOPPED(status))
			follow_stop(l, WSTOPSIG(status));
	}
}

/* Whether the kernel sent `sig` to all of the terminal's foreground group, and so to the command too. */
static bool of_terminal(int sig)
{
	switch (sig) {
	case SIGINT:
	case SIGQUIT:
	case SIGHUP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
	case SIGCONT:
	case SIGWINCH:
		return true;
	default:
		return false;
	}
}

static bool for_command(const struct launch *l, const struct signalfd_siginfo *si)
{
	if (si->ssi_code <= 0) /* sent by a process; our own are SIGPIPEs */
		return si->ssi_pid != (uint32_t)getpid();
	return si->ssi_signo != SIGCHLD && (l->ended || !of_terminal(si->ssi_signo));
}

static void pass_on(struct launch *l, const struct signalfd_siginfo *si)
{
	int sig = si->ssi_signo;

	if (!for_command(l, si))
		return;
	if (l->ended)
		l->interrupted |= sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT;
	else if (si->ssi_code == SI_QUEUE)
		sigqueue(l->pid, sig, (union sigval){ .sival_ptr = (void *)(uintptr_t)si->ssi_ptr });
	else
		kill(l->pid, sig);
}

void launch_wait(struct launch *l, int timeout_ms)
{
	struct pollfd p[] = { { .fd = l->signals, .events = POLLIN }, { .fd = l->other, .events = POLLIN } };
	struct signalfd_siginfo si;

	if (poll(p, 2, timeout_ms) <= 0 || !p[0].revents)
		return;
	while (read(l->signals, &si, sizeof(si)) == sizeof(si))
		pass_on(l, &si);
	reap(l);
}

void launch_end_like(const struct launch *l)
{
	int sig = WTERMSIG(l->status);
	sigset_t one;

	if (WIFEXITED(l->status))
		exit(WEXITSTATUS(l->status));
	/* The command's core is dumped, ours would overwrite it. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
	prctl(PR_SET_DUMPABLE, 0);
	fflush(NULL);
	sigaction(sig, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	kill(getpid(), sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	exit(128 + sig);
}

int launch_reserve_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static char *resolve_in(const char *folder, size_t n, const char *name)
{
	struct stat st;
	char *path;

	if (asprintf(&path, "%.*s%s%s", (int)n, folder, n ? "/" : "", name) < 0)
		return NULL;
	if (!stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK))
		return path;
	free(path);
	return NULL;
}

char *launch_resolve(const char *name)
{
	const char *path = getenv("PATH");
	char *found = NULL;

	if (strchr(name, '/'))
		return strdup(name);
	for (path = path ? path : "/bin:/usr/bin"; !found; path++) {
		size_t n = strcspn(path, ":");
		found = resolve_in(path, n, name);
		path += n;
		if (!*path)
			break;
	}
	return found;
}
