// SPDX-License-Identifier: BSD-2-Clause
/*
 * Children that forbid themselves one system call each, of all that there are, and then do a bit of
 * everything. First argument: `kill`, `trap` or `refuse`, what the filter does. Prints how each child ended:
 * nothing but its own calls may end it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 460 };

extern char **environ;
static int *did; /* shared: a bit for each part that went well */
static int memory_fd;
static pid_t self; /* asked before anything is forbidden: kill(-1) is for everybody */

static void part(int number, int well)
{
	*did |= (!!well) << number;
}

static void forbid(int number, unsigned int action)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		abort();
}

static void on_signal(int number)
{
	char byte = (char)number;
	part(0, write(-1, &byte, 1) == -1);
}

static void descriptors(void)
{
	int ends[2], pair[2];
	char byte = 'x';
	part(1, !pipe(ends) && write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1);
	part(2, dup2(ends[1], 900) == 900 && write(900, &byte, 1) == 1 && !close(900));
	part(3, !socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && send(pair[0], &byte, 1, 0) == 1 &&
			recv(pair[1], &byte, 1, 0) == 1);
	struct pollfd ready = { .fd = ends[0], .events = POLLIN };
	part(4, poll(&ready, 1, 0) == 1);
	eventfd_t value;
	int counter = eventfd(1, 0);
	part(5, counter >= 0 && !eventfd_read(counter, &value));
	part(6, timerfd_create(CLOCK_MONOTONIC, 0) >= 0);
	part(7, inotify_init1(0) >= 0);
	part(8, fcntl(memory_fd, F_SETLK, &(struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_CUR }) == 0);
}

/* The listener and the client in one thread: the kernel does not wait for the accept. */
static void connection(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(sa_family_t); /* the kernel gives it a name */
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	char byte = 'x';
	bind(listener, (struct sockaddr *)&name, length);
	listen(listener, 1);
	length = sizeof(name);
	getsockname(listener, (struct sockaddr *)&name, &length);
	if (connect(client, (struct sockaddr *)&name, length))
		return;
	int server = accept(listener, NULL, NULL);
	part(9, server >= 0 && write(client, &byte, 1) == 1 && read(server, &byte, 1) == 1);
}

static void objects(void)
{
	struct {
		long type;
		char text[4];
	} message = { 1, "abc" };
	int queue = msgget(IPC_PRIVATE, 0600), sems = semget(IPC_PRIVATE, 2, 0600);
	int segment = shmget(IPC_PRIVATE, 4096, 0600);
	part(10, queue >= 0 && !msgsnd(queue, &message, 3, 0) && msgrcv(queue, &message, 3, 0, 0) == 3);
	struct sembuf post = { 1, 1, 0 };
	part(11, sems >= 0 && !semop(sems, &post, 1));
	void *attached = shmat(segment, NULL, 0);
	part(12, attached != (void *)-1);
	shmdt(attached);
	msgctl(queue, IPC_RMID, NULL);
	semctl(sems, 0, IPC_RMID);
	shmctl(segment, IPC_RMID, NULL);
	char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (memory == MAP_FAILED)
		return;
	part(13,
	     !sem_init((sem_t *)memory, 1, 1) && !sem_wait((sem_t *)memory) && !sem_post((sem_t *)memory));
	part(14, !munmap(memory + 4096, 4096));
}

static void *thread(void *socket)
{
	part(15, write(*(int *)socket, "x", 1) == 1);
	return NULL;
}

static void processes(int forbidden)
{
	int ends[2], status;
	pthread_t other;
	char *arguments[] = { "/bin/true", NULL };
	pid_t pid;
	if (pipe(ends))
		return;
	/* Whether its end is waited for by a futex depends on who is first. */
	if (forbidden != SYS_futex && !pthread_create(&other, NULL, thread, &ends[1]))
		pthread_join(other, NULL);
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	part(16, self > 0 && !kill(self, SIGUSR1));
	pid = fork();
	if (!pid)
		_exit(write(ends[1], "x", 1) == 1 ? 3 : 4);
	part(17, pid > 0 && waitpid(pid, &status, 0) == pid && status == 3 << 8);
	part(18, !posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ) &&
			 waitpid(pid, &status, 0) == pid && !status);
}

static void child(int number, unsigned int action)
{
	self = getpid();
	forbid(number, action);
	descriptors();
	connection();
	objects();
	processes(number);
	_exit(0);
}

int main(int argc, char **argv)
{
	unsigned int action = SECCOMP_RET_ERRNO | EPERM;
	int status;
	did = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (argc != 2 || did == MAP_FAILED)
		return 1;
	if (!strcmp(argv[1], "kill"))
		action = SECCOMP_RET_KILL_PROCESS;
	else if (!strcmp(argv[1], "trap"))
		action = SECCOMP_RET_TRAP;
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	memory_fd = memfd_create("memory", 0);
	if (ftruncate(memory_fd, 8192))
		return 1;
	for (int number = 0; number < CALLS; number++) {
		if (number == SYS_exit_group || number == SYS_exit)
			continue; /* libc tries for ever */
		*did = 0;
		pid_t pid = fork();
		if (!pid) {
			alarm(20);
			child(number, action);
		}
		waitpid(pid, &status, 0);
		printf("%d: %x %x\n", number, status, *did);
	}
	return 0;
}
