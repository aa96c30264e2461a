// SPDX-License-Identifier: BSD-2-Clause
/* Calls libc by each of the names that it has for one call: with underscores, with 64, fortified. All on
 * pipes and sockets of its own, so that an observer of system calls can tell how much went where. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static char buffer[256];
static struct iovec vector = { buffer, 10 };

/* libc's other names, which its headers do not declare. */
#define OTHER(result, name, ...) extern result name(__VA_ARGS__)
OTHER(ssize_t, __read, int, void *, size_t);
OTHER(ssize_t, __write, int, const void *, size_t);
OTHER(ssize_t, __read_chk, int, void *, size_t, size_t);
OTHER(ssize_t, __pread_chk, int, void *, size_t, off_t, size_t);
OTHER(ssize_t, __pread64_chk, int, void *, size_t, off_t, size_t);
OTHER(ssize_t, __pread64, int, void *, size_t, off_t);
OTHER(ssize_t, __pwrite64, int, const void *, size_t, off_t);
OTHER(ssize_t, __send, int, const void *, size_t, int);
OTHER(ssize_t, __recv_chk, int, void *, size_t, size_t, int);
OTHER(ssize_t, __recvfrom_chk, int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
OTHER(int, __pipe, int *);
OTHER(int, __open, const char *, int, ...);
OTHER(int, __open64, const char *, int, ...);
OTHER(int, __open_2, const char *, int);
OTHER(int, __open64_2, const char *, int);
OTHER(int, __openat_2, int, const char *, int);
OTHER(int, __openat64_2, int, const char *, int);
OTHER(int, __close, int);
OTHER(int, __dup2, int, int);
OTHER(int, __fcntl, int, int, ...);
OTHER(int, __poll, struct pollfd *, nfds_t, int);
OTHER(int, __poll_chk, struct pollfd *, nfds_t, int, size_t);
OTHER(int, __ppoll_chk, struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
OTHER(int, __select, int, fd_set *, fd_set *, fd_set *, struct timeval *);
OTHER(pid_t, __fork, void);
OTHER(pid_t, __waitpid, pid_t, int *, int);

/* Each of these is one write of the size that it gives, and is met by one of the receives. */
static void bytes(void)
{
	int fd[2];
	must(!__pipe(fd));
	must(__write(fd[1], buffer, 11) == 11 && __read(fd[0], buffer, 100) == 11);
	must(syscall(SYS_write, fd[1], buffer, 12) == 12 &&
	     __read_chk(fd[0], buffer, 100, sizeof(buffer)) == 12);
	must(writev(fd[1], &vector, 1) == 10 && syscall(SYS_read, fd[0], buffer, 100) == 10);
	must(pwritev2(fd[1], &vector, 1, -1, 0) == 10 && preadv2(fd[0], &vector, 1, -1, 0) == 10);
	must(pwritev64v2(fd[1], &vector, 1, -1, 0) == 10 && preadv64v2(fd[0], &vector, 1, -1, 0) == 10);
	must(pwrite64(fd[1], buffer, 1, 0) < 0 && errno == ESPIPE);
	must(__pwrite64(fd[1], buffer, 1, 0) < 0 && __pread64(fd[0], buffer, 1, 0) < 0);
	must(__pread_chk(fd[0], buffer, 1, 0, sizeof(buffer)) < 0 && pwritev64(fd[1], &vector, 1, 0) < 0);
	must(__pread64_chk(fd[0], buffer, 1, 0, sizeof(buffer)) < 0 && preadv64(fd[0], &vector, 1, 0) < 0);
	must(!__close(fd[0]) && !close(fd[1]));
}

static void sockets(void)
{
	int fd[2];
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	must(__send(fd[0], buffer, 13, 0) == 13 && __recv_chk(fd[1], buffer, 100, sizeof(buffer), 0) == 13);
	must(send(fd[0], buffer, 14, 0) == 14);
	must(__recvfrom_chk(fd[1], buffer, 100, sizeof(buffer), 0, NULL, NULL) == 14);
	must(!close(fd[0]) && !close(fd[1]));
}

static void waits(void)
{
	int fd[2];
	struct timespec none = { 0 };
	struct timeval zero = { 0 };
	fd_set set;
	must(!pipe(fd) && write(fd[1], buffer, 1) == 1);
	struct pollfd p = { fd[0], POLLIN, 0 };
	must(__poll(&p, 1, 0) == 1 && __poll_chk(&p, 1, 0, sizeof(p)) == 1);
	must(__ppoll_chk(&p, 1, &none, NULL, sizeof(p)) == 1);
	FD_ZERO(&set);
	FD_SET(fd[0], &set);
	must(__select(fd[0] + 1, &set, NULL, NULL, &zero) == 1);
	must(!close(fd[0]) && !close(fd[1]));
}

/* Through descriptors that were opened and copied by other names; and what is known of a number ends with
 * fclose. */
static void descriptors(void)
{
	const char *null = "/dev/null";
	const int opened[] = { __open(null, O_RDWR),	     __open64(null, O_RDWR),
			       __open_2(null, O_RDWR),	     __open64_2(null, O_RDWR),
			       open64(null, O_RDWR),	     openat64(-1, null, O_RDWR),
			       __openat_2(-1, null, O_RDWR), __openat64_2(-1, null, O_RDWR),
			       creat64(null, 0600) };
	int fd[2], number = 100;
	must(!pipe(fd));
	for (size_t i = 0; i < sizeof(opened) / sizeof(*opened); i++)
		must(opened[i] >= 0 && write(opened[i], buffer, 1) == 1 && !close(opened[i]));
	must(__dup2(fd[1], number) == number && write(number, buffer, 15) == 15 &&
	     read(fd[0], buffer, 100) == 15);
	int copy = __fcntl(fd[1], F_DUPFD, 200), other = fcntl64(fd[0], F_DUPFD, 300);
	must(write(copy, buffer, 16) == 16 && read(other, buffer, 100) == 16);
	FILE *f = fdopen(dup(fd[1]), "w"); /* libc gives its number to a file that it opens itself */
	int own = fileno(f);
	must(!fclose(f) && (f = fopen(null, "w")) && fileno(f) == own && write(own, buffer, 17) == 17);
	must(!fclose(f) && !close(number) && !close_range(200, 400, 0) && !close(fd[0]) && !close(fd[1]));
}

static void children(void)
{
	int fd[2], status;
	must(!pipe(fd));
	pid_t pid = __fork();
	if (!pid) {
		must(write(fd[1], buffer, 18) == 18);
		_Exit(3);
	}
	must(read(fd[0], buffer, 100) == 18 && __waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
	must(!close(fd[0]) && !close(fd[1]));
}

static void counters(void)
{
	eventfd_t value;
	int fd = eventfd(0, 0);
	must(fd >= 0 && !eventfd_write(fd, 5) && !eventfd_read(fd, &value) && value == 5 && !close(fd));
}

static volatile sig_atomic_t handled;

static void handler(int number)
{
	handled += number;
}

/* The program's handler is what it is told of, whichever function it asks. */
static void handlers(void)
{
	struct sigaction old;
	must(signal(SIGUSR1, handler) == SIG_DFL && signal(SIGUSR1, handler) == handler);
	must(!sigaction(SIGUSR1, NULL, &old) && old.sa_handler == handler);
	printf("flags %x\n", old.sa_flags);
	fflush(stdout);
	must(!raise(SIGUSR1) && !kill(getpid(), SIGUSR1) && handled == 2 * SIGUSR1);
	must(sysv_signal(SIGUSR1, handler) == handler && !raise(SIGUSR1) && handled == 3 * SIGUSR1);
	must(!sigaction(SIGUSR1, NULL, &old) && old.sa_handler == SIG_DFL);
	must(signal(SIGUSR1, SIG_IGN) == SIG_DFL && signal(SIGUSR1, SIG_DFL) == SIG_IGN);
}

int main(void)
{
	bytes();
	sockets();
	waits();
	descriptors();
	children();
	counters();
	handlers();
	return 0;
}
