// SPDX-License-Identifier: BSD-2-Clause
/*
 * sync NAME: processes that use semaphores, locks, conditions and barriers in shared memory, and print what
 * happened: "sends MECHANISM PID N", "receives MECHANISM PID N" and "edge MECHANISM FROM TO N".
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	ROUNDS = 2000,
	PROCESSES = 5,
	MEETINGS = 30,
	THREADS = 64,
	SHORT_THREADS = 10000,
	SHORT_PROCESSES = 1500,
	NSEC = 1000000000
};
enum mechanism { SEM, MUTEX, RWLOCK, COND, BARRIER, SPIN, MECHANISMS };

static const char *const names[] = { "posix_sem", "mutex", "rwlock", "cond", "barrier", "spin" };

/* Shared memory: the objects, and the truth. Process 0 is the first one. */
struct shared {
	sem_t sem, other_sem;
	pthread_mutex_t mutex;
	pthread_rwlock_t rwlock;
	pthread_cond_t cond;
	pthread_barrier_t barrier;
	int came_last[MEETINGS]; /* to the barrier, + 1 */
	pthread_spinlock_t spin;
	int ready, turn;
	int last; /* who had the lock last, + 1 */
	pid_t pid[PROCESSES];
	long sends[MECHANISMS][PROCESSES], receives[MECHANISMS][PROCESSES];
	long edges[MECHANISMS][PROCESSES][PROCESSES];
};

static struct shared *s;
static int self; /* number of the process */

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static void sent(enum mechanism m)
{
	__atomic_fetch_add(&s->sends[m][self], 1, __ATOMIC_RELAXED);
}

static void received(enum mechanism m)
{
	__atomic_fetch_add(&s->receives[m][self], 1, __ATOMIC_RELAXED);
}

static void edge(enum mechanism m, int from, long n)
{
	__atomic_fetch_add(&s->edges[m][from][self], n, __ATOMIC_RELAXED);
}

/* With the lock held: who had it before. */
static void took(enum mechanism m)
{
	received(m);
	if (s->last)
		edge(m, s->last - 1, 1);
	s->last = self + 1;
}

static pid_t start(int number)
{
	fflush(stdout);
	pid_t pid = fork();
	must(pid >= 0);
	if (!pid) {
		self = number;
		s->pid[number] = getpid();
	}
	return pid;
}

static void join(pid_t pid, int status)
{
	int found;
	must(waitpid(pid, &found, 0) == pid);
	must(found == status);
}

static void run_in(int processes, void (*work)(void))
{
	pid_t pids[PROCESSES];
	for (int i = 1; i < processes; i++)
		if (!(pids[i] = start(i))) {
			work();
			exit(0);
		}
	work();
	for (int i = 1; i < processes; i++)
		join(pids[i], 0);
}

static void make_mutex(int type, int robust)
{
	pthread_mutexattr_t a;
	must(!pthread_mutexattr_init(&a));
	must(!pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED));
	must(!pthread_mutexattr_settype(&a, type));
	must(!pthread_mutexattr_setrobust(&a, robust));
	must(!pthread_mutex_init(&s->mutex, &a));
}

static void lock_mutex(void)
{
	must(!pthread_mutex_lock(&s->mutex));
	took(MUTEX);
}

static void unlock_mutex(void)
{
	sent(MUTEX);
	must(!pthread_mutex_unlock(&s->mutex));
}

static struct timespec soon(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += 5000000;
	if (t.tv_nsec >= NSEC) {
		t.tv_sec++;
		t.tv_nsec -= NSEC;
	}
	return t;
}

static void tell(void)
{
	for (int m = 0; m < MECHANISMS; m++)
		for (int to = 0; to < PROCESSES; to++) {
			if (s->sends[m][to])
				printf("sends %s %d %ld\n", names[m], s->pid[to], s->sends[m][to]);
			if (s->receives[m][to])
				printf("receives %s %d %ld\n", names[m], s->pid[to], s->receives[m][to]);
			for (int from = 0; from < PROCESSES; from++)
				if (s->edges[m][from][to])
					printf("edge %s %d %d %ld\n", names[m], s->pid[from], s->pid[to],
					       s->edges[m][from][to]);
		}
}

/* --- mutexes --- */

static void mutex_work(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		lock_mutex();
		if (i % 100 == 0)
			sched_yield();
		unlock_mutex();
	}
}

static void mutex(void)
{
	make_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
	run_in(4, mutex_work);
}

/* Each kind of failure leaves the counts as they are, and errno. */
static void failures(void)
{
	struct timespec t = soon(), bad = { 0, NSEC };
	make_mutex(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED);
	lock_mutex();
	errno = 77;
	must(pthread_mutex_lock(&s->mutex) == EDEADLK && errno == 77);
	pid_t child = start(1);
	if (!child) {
		must(pthread_mutex_trylock(&s->mutex) == EBUSY);
		must(pthread_mutex_timedlock(&s->mutex, &t) == ETIMEDOUT);
		must(pthread_mutex_timedlock(&s->mutex, &bad) == EINVAL);
		must(pthread_mutex_unlock(&s->mutex) == EPERM);
		must(pthread_mutex_clocklock(&s->mutex, 99, &t) == EINVAL);
		must(errno == 77);
		exit(0);
	}
	join(child, 0);
	unlock_mutex();
	must(!sem_init(&s->sem, 1, 0));
	must(sem_trywait(&s->sem) == -1 && errno == EAGAIN);
	t = soon();
	must(sem_timedwait(&s->sem, &t) == -1 && errno == ETIMEDOUT);
	must(sem_timedwait(&s->sem, &bad) == -1 && errno == EINVAL);
	must(!sem_post(&s->sem));
	sent(SEM);
	must(sem_timedwait(&s->sem, &bad) == -1 && errno == EINVAL);
	errno = 77;
	must(!sem_wait(&s->sem) && errno == 77);
	received(SEM);
	edge(SEM, self, 1);
	must(!sem_init(&s->other_sem, 1, INT_MAX));
	must(sem_post(&s->other_sem) == -1 && errno == EOVERFLOW);
}

static void recursion(void)
{
	make_mutex(PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
	for (int i = 0; i < 3; i++)
		lock_mutex();
	for (int i = 0; i < 3; i++)
		unlock_mutex();
	must(!pthread_mutex_trylock(&s->mutex));
	took(MUTEX);
	unlock_mutex();
}

/* Owners that are killed: the lock goes to the next one, until one does not repair it. */
static void robust(void)
{
	make_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
	for (int i = 1; i < 3; i++) {
		pid_t child = start(i);
		if (!child) {
			lock_mutex();
			s->ready = i;
			pause();
		}
		while (__atomic_load_n(&s->ready, __ATOMIC_ACQUIRE) != i)
			usleep(1000);
		kill(child, SIGKILL);
		if (i == 1) /* waits for the death, or not */
			join(child, SIGKILL);
		must(pthread_mutex_lock(&s->mutex) == EOWNERDEAD);
		took(MUTEX);
		if (i == 1)
			must(!pthread_mutex_consistent(&s->mutex));
		unlock_mutex();
		if (i == 2)
			join(child, SIGKILL);
	}
	must(pthread_mutex_lock(&s->mutex) == ENOTRECOVERABLE);
	must(pthread_mutex_trylock(&s->mutex) == ENOTRECOVERABLE);
}

static void *thread_work(void *arg)
{
	for (int i = 0; i < 100; i++) {
		lock_mutex();
		unlock_mutex();
	}
	return arg;
}

static void threads_work(void)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		must(!pthread_create(&threads[i], NULL, thread_work, NULL));
	for (int i = 0; i < THREADS; i++)
		must(!pthread_join(threads[i], NULL));
}

static void threads(void)
{
	make_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
	run_in(2, threads_work);
}

static void *short_work(void *arg)
{
	lock_mutex();
	unlock_mutex();
	return arg;
}

static void short_threads(void)
{
	pthread_t thread;
	make_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
	for (int i = 0; i < SHORT_THREADS; i++) {
		must(!pthread_create(&thread, NULL, short_work, NULL));
		must(!pthread_join(thread, NULL));
	}
}

static void killed_work(void)
{
	for (;;) {
		must(!pthread_mutex_lock(&s->mutex) || !pthread_mutex_consistent(&s->mutex));
		received(MUTEX);
		sent(MUTEX);
		must(!pthread_mutex_unlock(&s->mutex));
	}
}

/* Killed at any instruction: what was counted before is there. */
static void killed(void)
{
	make_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
	for (int i = 1; i < PROCESSES; i++) {
		pid_t child = start(i);
		if (!child)
			killed_work();
		while (__atomic_load_n(&s->sends[MUTEX][i], __ATOMIC_RELAXED) < 1000)
			usleep(500);
		kill(child, SIGKILL);
		join(child, SIGKILL);
	}
}

/* More processes, one after the other, than there is room for at one time. */
static void processes(void)
{
	make_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
	for (int i = 0; i < SHORT_PROCESSES; i++) {
		pid_t child = start(1);
		if (!child) {
			lock_mutex();
			unlock_mutex();
			_exit(0);
		}
		join(child, 0);
	}
	s->pid[1] = 0; /* all of them */
}

/* --- semaphores --- */

static void pair(void)
{
	must(!sem_init(&s->sem, 1, 0));
	must(!sem_init(&s->other_sem, 1, 0));
	pid_t child = start(1);
	for (int i = 0; i < ROUNDS; i++) {
		if (child)
			must(!sem_post(&s->sem));
		must(!sem_wait(child ? &s->other_sem : &s->sem));
		if (!child)
			must(!sem_post(&s->other_sem));
		sent(SEM);
		received(SEM);
		edge(SEM, !self, 1);
	}
	if (!child)
		exit(0);
	join(child, 0);
}

static void several_posters(void)
{
	must(!sem_init(&s->sem, 1, 7));
	pid_t pids[4];
	for (int n = 1; n < 4; n++)
		if (!(pids[n] = start(n))) {
			for (int i = 0; i < n * 100; i++) {
				must(!sem_post(&s->sem));
				sent(SEM);
			}
			exit(0);
		}
	for (int i = 0; i < 607; i++) {
		must(!sem_wait(&s->sem));
		received(SEM);
	}
	edge(SEM, 0, 7);
	for (int n = 1; n < 4; n++) {
		join(pids[n], 0);
		edge(SEM, n, n * 100);
	}
}

static void several_waiters(void)
{
	must(!sem_init(&s->sem, 1, 0));
	pid_t pids[4];
	for (int n = 1; n < 4; n++)
		if (!(pids[n] = start(n))) {
			for (int i = 0; i < n * 100; i++) {
				must(!sem_wait(&s->sem));
				received(SEM);
			}
			edge(SEM, 0, n * 100);
			exit(0);
		}
	for (int i = 0; i < 605; i++) {
		must(!sem_post(&s->sem));
		sent(SEM);
	}
	for (int n = 1; n < 4; n++)
		join(pids[n], 0);
}

static void many_work(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		must(!sem_wait(&s->sem));
		received(SEM);
		must(!sem_post(&s->sem));
		sent(SEM);
	}
}

/* Many to many: who took whose unit nobody can know. */
static void many(void)
{
	must(!sem_init(&s->sem, 1, 2));
	run_in(4, many_work);
}

static void named(void)
{
	char name[32];
	snprintf(name, sizeof(name), "/ipctrace-%d", getpid());
	sem_t *sem = sem_open(name, O_CREAT | O_EXCL, 0600, 2);
	must(sem != SEM_FAILED);
	pid_t child = start(1);
	if (!child) {
		must(sem_close(sem) == 0);
		sem = sem_open(name, O_CREAT, 0600, 99);
		must(sem != SEM_FAILED);
		for (int i = 0; i < 5; i++) {
			must(!sem_wait(sem));
			received(SEM);
		}
		edge(SEM, 0, 5);
		exit(0);
	}
	for (int i = 0; i < 3; i++) {
		must(!sem_post(sem));
		sent(SEM);
	}
	join(child, 0);
	must(!sem_unlink(name) && !sem_close(sem));
	printf("name posix_sem %s\n", name);
}

static void on_alarm(int signal)
{
	(void)signal;
	must(!sem_post(&s->sem));
	sent(SEM);
}

/* Posts by a handler that interrupts the posts and waits of its own thread. */
static void handler(void)
{
	struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { 0 };
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	must(!sem_init(&s->sem, 1, 0));
	must(!sigaction(SIGALRM, &action, NULL));
	must(!setitimer(ITIMER_REAL, &often, NULL));
	for (int i = 0; i < 300000; i++) {
		must(!sem_post(&s->sem));
		sent(SEM);
		while (sem_wait(&s->sem))
			must(errno == EINTR);
		received(SEM);
	}
	must(!setitimer(ITIMER_REAL, &never, NULL));
	while (!sem_trywait(&s->sem))
		received(SEM);
	edge(SEM, 0, s->receives[SEM][0]);
}

static sigjmp_buf out;

static void jump(int signal)
{
	(void)signal;
	siglongjmp(out, 1);
}

/* A handler that leaves the wait for good; afterwards all is counted as before. */
static void jumped(void)
{
	struct itimerval once = { { 0, 0 }, { 0, 2000 } };
	struct sigaction action = { .sa_handler = jump };
	must(!sem_init(&s->sem, 1, 0));
	must(!sigaction(SIGALRM, &action, NULL));
	for (int i = 0; i < 20; i++) {
		if (!sigsetjmp(out, 1)) {
			must(!setitimer(ITIMER_REAL, &once, NULL));
			sem_wait(&s->sem);
			must(0);
		}
		must(!sem_post(&s->sem));
		sent(SEM);
		must(!sem_wait(&s->sem));
		received(SEM);
	}
	edge(SEM, 0, 20);
}

/* --- the others --- */

static void rwlock_work(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		bool write = i % 4 == self % 4;
		must(!(write ? pthread_rwlock_wrlock(&s->rwlock) : pthread_rwlock_rdlock(&s->rwlock)));
		received(RWLOCK);
		if (s->last) /* who wrote last */
			edge(RWLOCK, s->last - 1, 1);
		if (write)
			s->last = self + 1;
		sent(RWLOCK);
		must(!pthread_rwlock_unlock(&s->rwlock));
	}
}

static void rwlock(void)
{
	pthread_rwlockattr_t a;
	must(!pthread_rwlockattr_init(&a) && !pthread_rwlockattr_setpshared(&a, PTHREAD_PROCESS_SHARED));
	must(!pthread_rwlock_init(&s->rwlock, &a));
	run_in(3, rwlock_work);
	must(!pthread_rwlock_wrlock(&s->rwlock));
	received(RWLOCK);
	edge(RWLOCK, s->last - 1, 1);
	pid_t child = start(3);
	if (!child) {
		must(pthread_rwlock_tryrdlock(&s->rwlock) == EBUSY);
		exit(0);
	}
	join(child, 0);
	sent(RWLOCK);
	must(!pthread_rwlock_unlock(&s->rwlock));
}

static void spin_work(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		must(!pthread_spin_lock(&s->spin));
		took(SPIN);
		sent(SPIN);
		must(!pthread_spin_unlock(&s->spin));
	}
}

static void spin(void)
{
	must(!pthread_spin_init(&s->spin, PTHREAD_PROCESS_SHARED));
	run_in(3, spin_work);
}

static void make_cond(void)
{
	pthread_condattr_t a;
	must(!pthread_condattr_init(&a) && !pthread_condattr_setpshared(&a, PTHREAD_PROCESS_SHARED));
	must(!pthread_cond_init(&s->cond, &a));
	make_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
}

static void wait_for_turn(int turn)
{
	while (s->turn != turn) {
		sent(MUTEX);
		must(!pthread_cond_wait(&s->cond, &s->mutex));
		took(MUTEX);
		received(COND);
		edge(COND, 0, 1);
	}
}

/* The parent wakes the child, time and again; once nobody does. */
static void cond(void)
{
	make_cond();
	pid_t child = start(1);
	for (int i = 0; i < 200; i++) {
		lock_mutex();
		if (!child) {
			wait_for_turn(1);
			s->turn = 0;
			unlock_mutex();
			continue;
		}
		while (s->turn) {
			unlock_mutex();
			sched_yield();
			lock_mutex();
		}
		s->turn = 1;
		must(!(i % 2 ? pthread_cond_signal(&s->cond) : pthread_cond_broadcast(&s->cond)));
		sent(COND);
		unlock_mutex();
	}
	if (!child) {
		struct timespec t = soon();
		lock_mutex();
		sent(MUTEX);
		must(pthread_cond_timedwait(&s->cond, &s->mutex, &t) == ETIMEDOUT);
		took(MUTEX);
		unlock_mutex();
		exit(0);
	}
	join(child, 0);
}

static void clean_up(void *arg)
{
	(void)arg;
	took(MUTEX);
	unlock_mutex();
}

static void *cancelled_wait(void *arg)
{
	lock_mutex();
	pthread_cleanup_push(clean_up, NULL);
	sent(MUTEX);
	s->ready = 1;
	for (;;)
		pthread_cond_wait(&s->cond, &s->mutex);
	pthread_cleanup_pop(0);
	return arg;
}

/* A cancelled wait has the mutex again. */
static void cond_cancelled(void)
{
	pthread_t thread;
	make_cond();
	must(!pthread_create(&thread, NULL, cancelled_wait, NULL));
	while (!__atomic_load_n(&s->ready, __ATOMIC_ACQUIRE))
		usleep(1000);
	usleep(5000);
	must(!pthread_cancel(thread) && !pthread_join(thread, NULL));
	lock_mutex();
	unlock_mutex();
}

/* The last to come ends the waits of the others. Whose turn it is to come last waits for the two before it,
 * whom libc counts in a barrier's first word: of those who come at the same time nobody else knows who was.
 */
static void barrier_work(void)
{
	bool was_last[MEETINGS];
	for (int i = 0; i < MEETINGS; i++) {
		while (self == i % 3 &&
		       __atomic_load_n((unsigned int *)&s->barrier, __ATOMIC_ACQUIRE) % 3 != 2)
			usleep(100);
		int result = pthread_barrier_wait(&s->barrier);
		must(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
		was_last[i] = result == PTHREAD_BARRIER_SERIAL_THREAD;
		if (was_last[i])
			__atomic_store_n(&s->came_last[i], 1 + self, __ATOMIC_RELEASE);
	}
	for (int i = 0; i < MEETINGS; i++) {
		int last;
		while (!(last = __atomic_load_n(&s->came_last[i], __ATOMIC_ACQUIRE)))
			usleep(100);
		if (was_last[i]) {
			sent(BARRIER);
			continue;
		}
		received(BARRIER);
		edge(BARRIER, last - 1, 1);
	}
}

static void barrier(void)
{
	pthread_barrierattr_t a;
	must(!pthread_barrierattr_init(&a) && !pthread_barrierattr_setpshared(&a, PTHREAD_PROCESS_SHARED));
	must(!pthread_barrier_init(&s->barrier, &a, 3));
	run_in(3, barrier_work);
}

/* Objects that no other process can use. */
static void private(void)
{
	static pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
	static pthread_rwlock_t rwlock_ = PTHREAD_RWLOCK_INITIALIZER;
	static pthread_spinlock_t spin_;
	static sem_t sem_;
	pid_t child = start(1);
	must(!sem_init(&sem_, 0, 1) && !pthread_spin_init(&spin_, PTHREAD_PROCESS_PRIVATE));
	for (int i = 0; i < 100; i++) {
		must(!pthread_mutex_lock(&mutex_) && !pthread_mutex_unlock(&mutex_));
		must(!pthread_rwlock_rdlock(&rwlock_) && !pthread_rwlock_unlock(&rwlock_));
		must(!pthread_spin_lock(&spin_) && !pthread_spin_unlock(&spin_));
		must(!sem_wait(&sem_) && !sem_post(&sem_));
		for (int m = 0; m < MECHANISMS; m++) {
			if (m == COND || m == BARRIER)
				continue;
			sent(m);
			received(m);
			if (m == SEM || ((m == MUTEX || m == SPIN) && i))
				edge(m, self, 1);
		}
	}
	if (!child)
		exit(0);
	join(child, 0);
}

/* The process may not map anything any more: nobody counts. */
static void no_memory(void)
{
	const struct rlimit none = { 0, 0 };
	must(!setrlimit(RLIMIT_AS, &none) && !sem_init(&s->sem, 1, 0));
	for (int i = 0; i < 10; i++)
		must(!sem_post(&s->sem) && !sem_wait(&s->sem));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{ "mutex", mutex },
		{ "failures", failures },
		{ "recursion", recursion },
		{ "robust", robust },
		{ "threads", threads },
		{ "short_threads", short_threads },
		{ "killed", killed },
		{ "processes", processes },
		{ "pair", pair },
		{ "several_posters", several_posters },
		{ "several_waiters", several_waiters },
		{ "many", many },
		{ "named", named },
		{ "handler", handler },
		{ "jumped", jumped },
		{ "rwlock", rwlock },
		{ "spin", spin },
		{ "cond", cond },
		{ "cond_cancelled", cond_cancelled },
		{ "barrier", barrier },
		{ "private", private },
		{ "no_memory", no_memory },
	};

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(s != MAP_FAILED);
	s->pid[0] = getpid();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc == 2 && !strcmp(argv[1], all[i].name))
			all[i].run();
	tell();
	return 0;
}
