// SPDX-License-Identifier: BSD-2-Clause
/* Every call that moves bytes through a pipe, every way to copy a descriptor, and the errors. A child reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static long total;

static void moved(ssize_t n)
{
	if (n > 0)
		total += n;
}

static void receive(int fd, int other)
{
	char a[7], b[100];
	struct iovec iov[2] = { { a, sizeof(a) }, { b, sizeof(b) } };
	int null = open("/dev/null", O_WRONLY);
	ssize_t n;
	long sum = 0;
	for (int i = 0; (n = i % 3 == 0	  ? read(fd, b, 33)
			     : i % 3 == 1 ? readv(fd, iov, 2)
					  : splice(fd, NULL, null, NULL, 50, 0)) > 0;
	     i++)
		sum += n;
	while ((n = preadv2(other, iov, 2, -1, 0)) > 0)
		sum += n;
	printf("received %ld\n", sum);
	fflush(stdout);
	_exit(0);
}

static void send_all(int fd, int other)
{
	char text[64] = "0123456789abcdefghijklmnopqrstuvwxyz";
	struct iovec iov[2] = { { text, 10 }, { text, 20 } };
	int inner[2], file = open("/etc/passwd", O_RDONLY);

	if (file < 0 || pipe2(inner, O_CLOEXEC | O_NONBLOCK))
		exit(1);
	moved(write(fd, text, 36));
	moved(writev(fd, iov, 2));
	moved(pwritev2(fd, iov, 2, -1, 0));
	moved(sendfile(fd, file, NULL, 100));
	moved(vmsplice(fd, iov, 2, 0));
	if (write(inner[1], text, 30) != 30)
		exit(1);
	moved(tee(inner[0], fd, 30, 0));
	moved(splice(inner[0], NULL, fd, NULL, 30, 0));
	if (read(inner[0], text, 1) >= 0 || errno != EAGAIN || pwrite(fd, text, 1, 0) >= 0 || errno != ESPIPE)
		exit(1);
	close(inner[0]);
	if (write(inner[1], text, 1) >= 0 || errno != EPIPE)
		exit(1);
	int copies[] = { dup(other), dup2(other, 100), dup3(other, 101, O_CLOEXEC),
			 fcntl(other, F_DUPFD, 200), fcntl(other, F_DUPFD_CLOEXEC, 300) };
	for (int i = 0; i < 5; i++)
		moved(write(copies[i], text, 5));
	close_range(100, 300, 0);
	if (write(101, text, 1) >= 0 || errno != EBADF)
		exit(1);
}

int main(void)
{
	int a[2], b[2], status;
	signal(SIGPIPE, SIG_IGN);
	if (pipe(a) || pipe2(b, O_CLOEXEC))
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		close(a[1]);
		close(b[1]);
		receive(a[0], b[0]);
	}
	close(a[0]);
	close(b[0]);
	send_all(a[1], b[1]);
	close_range(3, ~0U, 0);
	waitpid(pid, &status, 0);
	printf("sent %ld\n", total);
	return status ? 1 : 0;
}
