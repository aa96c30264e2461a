/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls with pointers that lead nowhere: the kernel's answer is EFAULT, and the program goes on. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result)
{
	printf("%s %ld %d\n", what, result, result < 0 ? errno : 0);
	fflush(stdout);
}

enum { PAGE = 4096 };

/* The last bytes of memory: what lies behind them must not be looked at. */
static char *edge(size_t bytes)
{
	char *pages = mmap(NULL, 2L * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED || munmap(pages + PAGE, PAGE))
		exit(1);
	return pages + PAGE - bytes;
}

static void system_v_queue(char *nowhere)
{
	int queue = msgget(IPC_PRIVATE, 0600);
	long *type = (long *)edge(sizeof(long));
	*type = 5;
	tell("msgsnd", msgsnd(queue, nowhere, 5, 0));
	tell("msgsnd of a type only", msgsnd(queue, type, 1, IPC_NOWAIT));
	tell("msgsnd of nothing", msgsnd(queue, type, 0, 0));
	tell("msgrcv", msgrcv(queue, nowhere, 5, 0, 0));
	tell("msgsnd of nothing", msgsnd(queue, type, 0, 0));
	tell("msgrcv of nothing", msgrcv(queue, type, 0, 0, MSG_NOERROR));
	tell("no queue", msgsnd(-1, nowhere, 5, 0));
	tell("msgctl", msgctl(queue, IPC_STAT, (void *)nowhere));
	tell("remove", msgctl(queue, IPC_RMID, (void *)nowhere));
}

static void posix_queue(char *nowhere)
{
	struct mq_attr sizes = { .mq_maxmsg = 4, .mq_msgsize = 8 };
	char name[40], buffer[8];
	snprintf(name, sizeof(name), "/badpointers.%d", getpid());
	mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &sizes);
	mq_unlink(name);
	tell("mq_open", syscall(SYS_mq_open, nowhere, (long)O_RDWR, 0L, 0L));
	tell("mq_send", mq_send(queue, nowhere, 5, 1));
	tell("mq_send of nothing", mq_send(queue, nowhere, 0, 1));
	tell("mq_receive", mq_receive(queue, nowhere, 8, NULL));
	tell("a time", mq_timedsend(queue, "word", 4, 3, (const struct timespec *)nowhere));
	mq_send(queue, "word", 4, 3);
	tell("a priority", mq_receive(queue, buffer, sizeof(buffer), (unsigned int *)nowhere));
	mq_send(queue, "word", 4, 3);
	tell("at the edge", mq_receive(queue, edge(8), 8, (unsigned int *)edge(4)));
	tell("mq_notify", syscall(SYS_mq_notify, queue, nowhere));
	mq_close(queue);
}

static void semaphores(char *nowhere)
{
	int set = semget(IPC_PRIVATE, 2, 0600);
	struct sembuf *one = (struct sembuf *)edge(sizeof(*one));
	unsigned short *values = (unsigned short *)edge(2 * sizeof(*values));
	*one = (struct sembuf){ .sem_num = 1, .sem_op = 1 };
	values[0] = values[1] = 4;
	tell("semop", semop(set, (struct sembuf *)nowhere, 1));
	tell("semop at the edge", semop(set, one, 1));
	tell("semop over the edge", semop(set, one, 2));
	tell("semop of nothing", semop(set, one, 0));
	tell("semop of too many", semop(set, one, 1 << 30));
	tell("a time", semtimedop(set, one, 1, (const struct timespec *)nowhere));
	one->sem_num = 60000;
	tell("no such semaphore", semop(set, one, 1));
	tell("setall", semctl(set, 0, SETALL, nowhere));
	tell("setall at the edge", semctl(set, 0, SETALL, values));
	tell("setval", semctl(set, 60000, SETVAL, 1));
	tell("setval of too much", semctl(set, 0, SETVAL, 1 << 20));
	tell("no set", semop(-1, (struct sembuf *)nowhere, 1));
	tell("remove", semctl(set, 0, IPC_RMID, nowhere));
}

static void counter(char *nowhere)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t *units = (uint64_t *)edge(sizeof(*units));
	struct iovec parts[] = { { units, 4 }, { (char *)units + 4, 4 }, { nowhere, 8 } };
	*units = 3;
	tell("post", write(fd, nowhere, 8));
	tell("post 3", write(fd, units, 8));
	tell("wait", read(fd, nowhere, 8));
	tell("nothing left", read(fd, units, 8));
	tell("post in parts", writev(fd, parts, 3));
	tell("post 3", write(fd, units, 8));
	tell("wait in parts", readv(fd, parts, 3));
	parts[0] = (struct iovec){ units, 8 };
	parts[1] = (struct iovec){ nowhere, 8 };
	tell("post once", writev(fd, parts, 2));
	tell("vector", writev(fd, (const struct iovec *)nowhere, 2));
	close(fd);
}

int main(void)
{
	char *volatile null = NULL, *volatile nowhere = (char *)8;
	char *args[] = { "true", NULL }, *strings[] = { nowhere, NULL };
	int fds[2];
	if (pipe(fds))
		return 1;
	tell("path", execve(nowhere, args, args + 1));
	tell("null", execve(null, args, args + 1));
	tell("environment", execve("/bin/true", args, (char **)nowhere));
	tell("strings", execve("/bin/true", args, strings));
	tell("arguments", execve("/bin/true", (char **)nowhere, NULL));
	tell("absent", execve("/nonexistent", args, (char **)nowhere));
	tell("clone3", syscall(SYS_clone3, nowhere, 88L));
	tell("pipe2", syscall(SYS_pipe2, nowhere, 0L));
	tell("open", syscall(SYS_openat, -100L, nowhere, 0L));
	tell("write", write(fds[1], nowhere, 5));
	if (fork() == 0)
		_exit(3);
	system_v_queue(nowhere);
	posix_queue(nowhere);
	semaphores(nowhere);
	counter(nowhere);
	tell("wait4", syscall(SYS_wait4, -1L, nowhere, 0L, 0L));
	return EXIT_SUCCESS;
}
