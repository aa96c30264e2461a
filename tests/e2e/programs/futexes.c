// SPDX-License-Identifier: BSD-2-Clause
/*
 * futexes NAME: processes that wait on words in shared memory and wake each other by the bare system call,
 * and print who woke whom: "edge FROM TO MESSAGES", "waits PID NUMBER" and "wakes PID NUMBER" of the calls
 * that did, "failed ERRNO" of a wait that failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	ROUNDS = 200,
	WAITERS = 3,
	SIZE = 8192,
	MS = 1000000,
	PATIENCE = 30,
	WAITV = 449,
	WAKE2 = 454,
	WAIT2 = 455,
	REQUEUE2 = 456
};

struct words {
	_Atomic uint32_t a, b, woken, seen[WAITERS];
	pthread_mutex_t mutex;
	int counter;
};

static struct words *w;
static long waits, wakes;

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static void *shared(void)
{
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED);
	return p;
}

static void edge(int from, int to, long messages)
{
	if (messages)
		printf("edge %d %d %ld\n", from, to, messages);
}

static void totals(void)
{
	if (waits)
		printf("waits %d %ld\n", getpid(), waits);
	if (wakes)
		printf("wakes %d %ld\n", getpid(), wakes);
	waits = wakes = 0;
	fflush(stdout);
}

static pid_t start(void)
{
	totals();
	pid_t pid = fork();
	must(pid >= 0);
	alarm(PATIENCE);
	return pid;
}

static void end(void)
{
	totals();
	_exit(0);
}

static void join(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid && !status);
}

static void rest(long ms)
{
	struct timespec t = { 0, ms * MS };
	while (nanosleep(&t, &t))
		;
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const void *fourth, void *second,
		  uint32_t last)
{
	return syscall(SYS_futex, word, op, value, fourth, second, last);
}

/* How many are about to sleep on a word stands one page behind it. */
static _Atomic uint32_t *sleepers(_Atomic uint32_t *word)
{
	return (_Atomic uint32_t *)((char *)word + SIZE / 2);
}

static void wait_for_sleepers(_Atomic uint32_t *word, uint32_t n)
{
	while (*sleepers(word) < n)
		rest(1);
	rest(30);
	*sleepers(word) = 0;
}

static int sleeps(_Atomic uint32_t *word, uint32_t value)
{
	++*sleepers(word);
	long result = futex(word, FUTEX_WAIT, value, NULL, NULL, 0);
	waits += !result;
	if (result)
		printf("failed %d\n", errno);
	return (int)result;
}

static long wake(_Atomic uint32_t *word, int n)
{
	long woken = futex(word, FUTEX_WAKE, (uint32_t)n, NULL, NULL, 0);
	must(woken >= 0);
	wakes += woken > 0;
	return woken;
}

/* Wakes `n`, once they all sleep. */
static void wake_all(_Atomic uint32_t *word, int n)
{
	wait_for_sleepers(word, (uint32_t)n);
	must(wake(word, n) == n);
}

/* Two that hand a word to and fro. Who comes too late does not sleep, and nobody is woken then. */
static long turns(uint32_t mine)
{
	long woken = 0;
	for (int i = 0; i < ROUNDS; i++) {
		while (w->a % 2 != mine) {
			uint32_t now = w->a;
			if (now % 2 != mine)
				sleeps(&w->a, now);
		}
		w->a++;
		woken += wake(&w->a, 1);
	}
	return woken;
}

static void pingpong(void)
{
	pid_t parent = getpid(), child = start();
	if (!child) {
		edge(getpid(), parent, turns(1));
		end();
	}
	edge(parent, child, turns(0));
	join(child);
}

/* Each of several is woken alone, then all at once. */
static void several(void)
{
	pid_t children[WAITERS];
	for (int i = 0; i < WAITERS; i++) {
		children[i] = start();
		if (!children[i]) {
			must(!sleeps(&w->seen[i], 0));
			must(!sleeps(&w->a, 0));
			++*sleepers(&w->b);
			must(!futex(&w->b, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1U << i));
			waits++;
			end();
		}
	}
	for (int i = 0; i < WAITERS; i++)
		wake_all(&w->seen[i], 1);
	wake_all(&w->a, WAITERS);
	wait_for_sleepers(&w->b, WAITERS);
	must(futex(&w->b, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 2) == 1);
	must(futex(&w->b, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 5) == 2);
	wakes += 2;
	for (int i = 0; i < WAITERS; i++) {
		join(children[i]);
		edge(getpid(), children[i], 3);
	}
}

/* One is woken; the others are moved to another word, where another process wakes them. */
static void requeue(void)
{
	pid_t children[WAITERS], first = 0;
	for (int i = 0; i < WAITERS; i++) {
		children[i] = start();
		if (!children[i]) {
			must(!sleeps(&w->a, 0));
			w->seen[w->woken++] = (uint32_t)getpid();
			end();
		}
	}
	wait_for_sleepers(&w->a, WAITERS);
	*sleepers(&w->b) = WAITERS - 1;
	must(futex(&w->a, FUTEX_CMP_REQUEUE, 1, (void *)(uintptr_t)INT_MAX, &w->b, 0) == WAITERS);
	wakes++;
	while (!w->seen[0])
		rest(1);
	first = (pid_t)w->seen[0];
	pid_t waker = start();
	if (!waker) {
		wake_all(&w->b, WAITERS - 1);
		end();
	}
	for (int i = 0; i < WAITERS; i++) {
		join(children[i]);
		edge(children[i] == first ? getpid() : waker, children[i], 1);
	}
	join(waker);
}

/* Wakes on two words in one call. */
static void wake_op(void)
{
	pid_t children[WAITERS];
	for (int i = 0; i < WAITERS; i++) {
		children[i] = start();
		if (!children[i]) {
			must(!sleeps(i ? &w->b : &w->a, 0));
			end();
		}
	}
	wait_for_sleepers(&w->a, 1);
	wait_for_sleepers(&w->b, WAITERS - 1);
	long op = FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0);
	must(futex(&w->a, FUTEX_WAKE_OP, 1, (void *)2, &w->b, (uint32_t)op) == WAITERS);
	wakes += 2; /* a wake-up of each word */
	for (int i = 0; i < WAITERS; i++) {
		join(children[i]);
		edge(getpid(), children[i], 1);
	}
}

static void nothing(int signal)
{
	(void)signal;
}

/* Waits that end otherwise, and a waiter that is killed. */
static void failing(void)
{
	struct timespec soon = { 0, 10 * MS };
	must(futex(&w->a, FUTEX_WAIT, 0, &soon, NULL, 0) < 0 && errno == ETIMEDOUT);
	printf("failed %d\n", errno);
	must(sleeps(&w->a, 1) < 0 && errno == EAGAIN);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = nothing }, NULL);
	ualarm(20000, 0);
	must(sleeps(&w->a, 0) < 0 && errno == EINTR);
	must(!wake(&w->a, 1));
	*sleepers(&w->a) = 0;
	pid_t child = start();
	if (!child)
		sleeps(&w->a, 0);
	wait_for_sleepers(&w->a, 1);
	must(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	must(!wake(&w->a, 1));
}

static void *wait_once(void *word)
{
	++*sleepers(word);
	must(!futex(word, FUTEX_WAIT, 0, NULL, NULL, 0));
	return NULL;
}

/* Threads of one process. */
static void threads(void)
{
	pthread_t thread[WAITERS];
	for (int i = 0; i < WAITERS; i++)
		must(!pthread_create(&thread[i], NULL, wait_once, &w->a));
	wait_for_sleepers(&w->a, WAITERS);
	must(wake(&w->a, 1) == 1);
	must(wake(&w->a, WAITERS) == WAITERS - 1);
	for (int i = 0; i < WAITERS; i++)
		pthread_join(thread[i], NULL);
	waits += WAITERS;
	edge(getpid(), getpid(), 2);
}

/* Words in private memory, calls that say that they are private, and libc's own. */
static void private(void)
{
	static _Atomic uint32_t mine;
	struct timespec soon = { 0, 1 * MS };
	must(futex(&mine, FUTEX_WAIT, 0, &soon, NULL, 0) < 0);
	must(futex(&w->a, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &soon, NULL, 0) < 0);
	must(!futex(&w->a, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
	pthread_mutexattr_t shared_mutex;
	pthread_mutexattr_init(&shared_mutex);
	pthread_mutexattr_setpshared(&shared_mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&w->mutex, &shared_mutex);
	pid_t child = start();
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&w->mutex);
		rest(1);
		w->counter++;
		pthread_mutex_unlock(&w->mutex);
	}
	if (!child)
		end();
	join(child);
	must(w->counter == 40);
}

/* Two that wake one after the other; memory of System V and of a file. */
static void memory(void)
{
	char name[] = "/dev/shm/futexes-XXXXXX";
	int fd = mkstemp(name), id = shmget(IPC_PRIVATE, SIZE, 0600);
	must(fd >= 0 && id >= 0 && !ftruncate(fd, 2 * SIZE));
	struct words *places[2] = { mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, SIZE),
				    shmat(id, NULL, 0) };
	must(places[0] != MAP_FAILED && places[1] != (void *)-1);
	shmctl(id, IPC_RMID, NULL);
	for (int i = 0; i < 2; i++) {
		pid_t child = start();
		if (!child) {
			must(!sleeps(&places[i]->b, 0) && !sleeps(&places[i]->b, 0));
			end();
		}
		wake_all(&places[i]->b, 1);
		pid_t other = start();
		if (!other) { /* at another address */
			char *again = i ? shmat(id, NULL, 0)
					: mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			wake_all(&((struct words *)(again + (i ? 0 : SIZE)))->b, 1);
			end();
		}
		join(other);
		join(child);
		edge(getpid(), child, 1);
		edge(other, child, 1);
	}
	unlink(name);
}

/* The newer calls, where the kernel has them. */
static void newer(void)
{
	pid_t child = start();
	if (!child) {
		struct futex_waitv list[2] = { { 0, (uintptr_t)&w->a, FUTEX_32, 0 },
					       { 0, (uintptr_t)&w->b, FUTEX_32, 0 } };
		++*sleepers(&w->b);
		long got = syscall(WAITV, list, 2, 0, NULL, 0);
		must(got == 1 || (got < 0 && errno == ENOSYS));
		waits += got == 1;
		++*sleepers(&w->woken);
		if (got == 1 && !syscall(WAIT2, &w->woken, 0UL, 0xffffffffUL, FUTEX_32, NULL, 0))
			waits++;
		end();
	}
	wait_for_sleepers(&w->b, 1);
	long woken = wake(&w->b, 1);
	wait_for_sleepers(&w->woken, 1);
	long second = syscall(WAKE2, &w->woken, 0xffffffffUL, 1, FUTEX_32);
	wakes += second > 0;
	join(child);
	edge(getpid(), child, woken + (second > 0 ? second : 0));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{ "pingpong", pingpong }, { "several", several }, { "requeue", requeue },
		{ "wake_op", wake_op },	  { "failing", failing }, { "threads", threads },
		{ "private", private },	  { "memory", memory },	  { "newer", newer },
	};

	alarm(PATIENCE);
	w = shared();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc == 2 && !strcmp(argv[1], all[i].name))
			all[i].run();
	totals();
	return 0;
}
