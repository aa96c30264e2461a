// SPDX-License-Identifier: BSD-2-Clause
/*
 * signal_channel NAME: processes that send each other signals, and print who received whose: "edge FROM TO
 * MESSAGES" (FROM 0: the kernel), "lost PID SIGNALS" that were merged with others, "failed ERRNO" of a call.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 50, MEMBERS = 3, FLAGS = SA_SIGINFO | SA_RESTART | SA_NODEFER | SA_ONSTACK };

static volatile sig_atomic_t count;
static volatile int sender;

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

static void edge(int from, int to, int messages)
{
	printf("edge %d %d %d\n", from, to, messages);
}

static void counts(int number)
{
	(void)number;
	count++;
}

static void counts_with_sender(int number, siginfo_t *info, void *context)
{
	must(number == info->si_signo && context);
	sender = info->si_pid;
	count++;
}

static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
	must(!sigaction(number, &action, NULL));
}

static sigset_t set_of(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	return set;
}

static void block(int number)
{
	sigset_t set = set_of(number);
	must(!pthread_sigmask(SIG_BLOCK, &set, NULL));
}

/* Waits, with the signal blocked, until so many have been handled. */
static void until(int number, int wanted)
{
	sigset_t all;
	must(!sigprocmask(SIG_BLOCK, NULL, &all));
	sigdelset(&all, number);
	while (count < wanted)
		sigsuspend(&all);
}

static pid_t start(void)
{
	fflush(stdout);
	pid_t pid = fork();
	must(pid >= 0);
	return pid;
}

static int join(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid);
	return status;
}

static siginfo_t wait_info(int number)
{
	siginfo_t info;
	sigset_t set = set_of(number);
	int got;
	while ((got = sigwaitinfo(&set, &info)) < 0 && errno == EINTR)
		;
	must(got == number);
	return info;
}

/* Each waits for the other's before it sends the next. */
static void handlers(void)
{
	pid_t parent = getpid();
	block(SIGUSR1);
	handle(SIGUSR1, counts, 0);
	pid_t child = start();
	for (int i = 1; i <= ROUNDS; i++) {
		if (child)
			must(!kill(child, SIGUSR1));
		until(SIGUSR1, i);
		if (!child)
			must(!kill(parent, SIGUSR1));
	}
	if (!child)
		_exit(0);
	must(!join(child));
	edge(parent, child, ROUNDS);
	edge(child, parent, ROUNDS);
}

static atomic_int thread_tid;

static void *waits_for_signals(void *arg)
{
	thread_tid = gettid();
	while (count < *(const int *)arg)
		usleep(500);
	return NULL;
}

/* Every way to send one to oneself. */
static void self(void)
{
	static const int total = 12;
	union sigval value = { .sival_int = 42 };
	pthread_t other, own = pthread_self();
	int number = SIGRTMIN + 3, fd = pidfd_open(getpid(), 0);
	struct sigaction action = { .sa_sigaction = counts_with_sender, .sa_flags = SA_SIGINFO };
	must(!sigaction(number, &action, NULL) && !sigaction(SIGUSR1, &action, NULL) && fd >= 0);
	must(!pthread_create(&other, NULL, waits_for_signals, (void *)&total));
	while (!thread_tid)
		usleep(100);
	must(!raise(number) && !kill(getpid(), number) && !pthread_kill(own, number));
	must(!pthread_kill(other, number) && !tgkill(getpid(), thread_tid, number));
	must(!syscall(SYS_tkill, gettid(), number) && !sigqueue(getpid(), number, value));
	must(!pthread_sigqueue(own, number, value) && !pthread_sigqueue(other, number, value));
	must(!pidfd_send_signal(fd, number, NULL, 0) && !setpgid(0, 0));
	must(!syscall(SYS_kill, getpid(), number));
	must(!kill(getpid(), 0)); /* none */
	must(!gsignal(SIGUSR1));
	pthread_join(other, NULL);
	must(count == total && sender == getpid());
	edge(getpid(), getpid(), total);
}

/* Of several that are pending only one is received. */
static void merged(void)
{
	block(SIGUSR1);
	block(SIGUSR2);
	pid_t child = start();
	if (!child) {
		for (int i = 0; i < ROUNDS; i++) {
			must(wait_info(SIGUSR2).si_pid == getppid());
			must(wait_info(SIGUSR1).si_pid == getppid());
			must(!kill(getppid(), SIGUSR2));
		}
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		must(!kill(child, SIGUSR1) && !kill(child, SIGUSR1) && !kill(child, SIGUSR1));
		must(!kill(child, SIGUSR2));
		wait_info(SIGUSR2);
	}
	must(!join(child));
	edge(getpid(), child, 2 * ROUNDS);
	edge(child, getpid(), ROUNDS);
	printf("lost %d %d\n", child, 2 * ROUNDS);
}

/* A handler that is called as fast as it can be. */
static void flood(void)
{
	atomic_int *handled = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(handled != MAP_FAILED);
	block(SIGTERM);
	handle(SIGUSR1, counts, 0);
	pid_t child = start();
	if (!child) {
		must(!kill(getppid(), SIGTERM));
		wait_info(SIGTERM);
		*handled = count;
		_exit(0);
	}
	wait_info(SIGTERM);
	for (int i = 0; i < 100 * ROUNDS; i++)
		must(!kill(child, SIGUSR1));
	usleep(10000);
	must(!kill(child, SIGTERM) && !join(child));
	edge(child, getpid(), 1);
	edge(getpid(), child, *handled + 1);
	printf("lost %d %d\n", child, 100 * ROUNDS - *handled);
}

/* Real-time signals: all of them, in order, with their values. */
static void queued(void)
{
	int number = SIGRTMIN + 1;
	block(number);
	pid_t child = start();
	if (!child) {
		struct timespec none = { 0 }, long_time = { 10, 0 };
		siginfo_t info;
		sigset_t set = set_of(number);
		for (int i = 0; i < ROUNDS; i++) {
			must(sigtimedwait(&set, &info, &long_time) == number);
			must(info.si_value.sival_int == i && info.si_pid == getppid());
		}
		must(sigtimedwait(&set, NULL, &none) < 0 && errno == EAGAIN);
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++)
		must(!sigqueue(child, number, (union sigval){ .sival_int = i }));
	must(!join(child));
	edge(getpid(), child, ROUNDS);
	printf("failed %d\n", EAGAIN);
}

static void *sits(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* Waiting where libc allows for cancellation; and without asking who it was. */
static void threads(void)
{
	block(SIGUSR1);
	pid_t child = start();
	if (!child) {
		pthread_t other;
		int got;
		sigset_t set = set_of(SIGUSR1);
		must(!pthread_create(&other, NULL, sits, NULL));
		for (int i = 0; i < ROUNDS; i++) {
			if (i % 2)
				must(!sigwait(&set, &got) && got == SIGUSR1);
			else
				must(sigwaitinfo(&set, NULL) == SIGUSR1);
			must(!kill(getppid(), SIGUSR1));
		}
		pthread_cancel(other);
		pthread_join(other, NULL);
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		must(!kill(child, SIGUSR1));
		wait_info(SIGUSR1);
	}
	must(!join(child));
	edge(getpid(), child, ROUNDS);
	edge(child, getpid(), ROUNDS);
}

static void descriptor(void)
{
	int number = SIGRTMIN + 2;
	sigset_t set = set_of(number);
	struct signalfd_siginfo info[4];
	struct iovec pieces[] = { { info, 100 }, { (char *)info + 100, 2 * sizeof(info[0]) - 100 } };
	block(number);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	must(fd >= 0 && read(fd, info, sizeof(info)) < 0 && errno == EAGAIN);
	printf("failed %d\n", EAGAIN);
	pid_t child = start();
	if (!child) { /* the descriptor gives each process its own */
		struct pollfd p = { fd, POLLIN, 0 };
		for (int got = 0; got < 5; got++)
			must(poll(&p, 1, 10000) == 1 && read(fd, info, sizeof(info[0])) == sizeof(info[0]) &&
			     info[0].ssi_pid == (uint32_t)getppid() && info[0].ssi_int == got);
		_exit(0);
	}
	for (int i = 0; i < 5; i++)
		must(!sigqueue(child, number, (union sigval){ .sival_int = i }));
	must(!join(child));
	for (int i = 0; i < 5; i++)
		must(!sigqueue(getpid(), number, (union sigval){ .sival_int = i }));
	must(read(fd, info, 3 * sizeof(info[0])) == 3 * sizeof(info[0]) && info[2].ssi_int == 2);
	must(readv(fd, pieces, 2) == 2 * sizeof(info[0]) && info[1].ssi_int == 4);
	must(!close(fd));
	edge(getpid(), child, 5);
	edge(getpid(), getpid(), 5);
}

/* Signals that end a process; and a handler that leaves by a jump. */
static sigjmp_buf jump;

static void jumps(int number)
{
	siglongjmp(jump, number);
}

static void deaths(void)
{
	static const int numbers[] = { SIGKILL, SIGTERM, SIGUSR1 };
	for (int i = 0; i < 3; i++) {
		pid_t child = start();
		if (!child) {
			raise(0);
			for (;;)
				pause();
		}
		usleep(20000);
		must(!kill(child, numbers[i]) && join(child) == numbers[i]);
		edge(getpid(), child, 1);
	}
	pid_t child = start();
	if (!child)
		abort();
	must(WTERMSIG(join(child)) == SIGABRT);
	edge(child, child, 1);
	handle(SIGUSR1, jumps, 0);
	for (int i = 0; i < ROUNDS; i++)
		if (!sigsetjmp(jump, 1))
			raise(SIGUSR1);
	edge(getpid(), getpid(), ROUNDS);
}

/* What the kernel makes. */
static void kernels(void)
{
	struct itimerval soon = { .it_value = { 0, 2000 } };
	static char stack[16384];
	const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	int ends[2];
	handle(SIGALRM, counts, 0);
	handle(SIGPIPE, counts, 0);
	block(SIGALRM);
	must(!setitimer(ITIMER_REAL, &soon, NULL));
	until(SIGALRM, 1);
	must(!pipe(ends) && !close(ends[0]) && write(ends[1], "", 1) < 0 && errno == EPIPE && count == 2);
	must(!sigaltstack(&alternate, NULL));
	handle(SIGSEGV, jumps, SA_ONSTACK);
	for (int i = 0; i < ROUNDS; i++)
		if (!sigsetjmp(jump, 1))
			*(volatile char *)8 = 1;
	edge(0, getpid(), 2 + ROUNDS);
}

/* To a process group: a message to each of it. */
static void group(void)
{
	pid_t children[MEMBERS];
	int answer = SIGRTMIN;
	block(SIGUSR1);
	block(answer);
	must(!setpgid(0, 0));
	for (int i = 0; i < MEMBERS; i++)
		if (!(children[i] = start())) {
			wait_info(SIGUSR1);
			must(!kill(getppid(), answer));
			for (;;)
				pause();
		}
	must(!kill(0, SIGUSR1));
	wait_info(SIGUSR1);
	for (int i = 0; i < MEMBERS; i++)
		edge(wait_info(answer).si_pid, getpid(), 1);
	handle(SIGTERM, counts, 0);
	must(!killpg(0, SIGTERM) && count == 1);
	edge(getpid(), getpid(), 2);
	for (int i = 0; i < MEMBERS; i++) {
		must(join(children[i]) == SIGTERM);
		edge(getpid(), children[i], 2);
	}
}

static void errors(void)
{
	must(kill(INT32_MAX, SIGUSR1) && errno == ESRCH && kill(getpid(), 100) && errno == EINVAL);
	must(sigqueue(getpid(), -1, (union sigval){ 0 }) && errno == EINVAL);
	printf("failed %d\nfailed %d\nfailed %d\n", ESRCH, EINVAL, EINVAL);
	handle(SIGUSR1, SIG_IGN, 0); /* what is ignored nobody receives */
	must(!raise(SIGUSR1) && !kill(getpid(), SIGCHLD) && !kill(getpid(), SIGUSR1));
}

/* What a program is told of its own handlers. */
static void check_told(int number, void *handler, int flags)
{
	struct sigaction old;
	must(!sigaction(number, NULL, &old));
	must((void *)old.sa_handler == handler && (old.sa_flags & FLAGS) == flags);
}

static void *changes(void *arg)
{
	for (int i = 0; i < 20 * ROUNDS; i++)
		handle(SIGUSR2, i % 2 ? (void (*)(int))arg : counts, i % 2 ? SA_SIGINFO : 0);
	return NULL;
}

static void hidden(void)
{
	struct sigaction action = { .sa_sigaction = counts_with_sender, .sa_flags = FLAGS }, old;
	pthread_t other;
	must(!sigaction(SIGUSR1, &action, &old) && old.sa_handler == SIG_DFL && !(old.sa_flags & FLAGS));
	check_told(SIGUSR1, counts_with_sender, FLAGS);
	must(signal(SIGUSR1, counts) == (void *)counts_with_sender && signal(SIGUSR1, counts) == counts);
	check_told(SIGUSR1, counts, SA_RESTART);
	pid_t child = vfork();
	if (!child) {
		must(!sigaction(SIGUSR1, NULL, &old) && old.sa_handler == counts);
		signal(SIGUSR1, SIG_DFL);
		must(!sigaction(SIGUSR1, NULL, &old) && old.sa_handler == SIG_DFL);
		_exit(0);
	}
	must(!join(child));
	check_told(SIGUSR1, counts, SA_RESTART);
	child = start();
	if (!child) {
		check_told(SIGUSR1, counts, SA_RESTART);
		_exit(0);
	}
	must(!join(child));
	handle(SIGUSR1, counts, SA_RESETHAND);
	check_told(SIGUSR1, counts, 0);
	must(!raise(SIGUSR1) && count == 1);
	check_told(SIGUSR1, SIG_DFL, 0);
	child = vfork(); /* whose handlers are its own */
	if (!child) {
		signal(SIGUSR1, SIG_IGN);
		_exit(0);
	}
	must(!join(child));
	check_told(SIGUSR1, SIG_DFL, 0);
	must(syscall(SYS_rt_sigaction, SIGUSR1, 8, NULL, 8) && errno == EFAULT);
	must(syscall(SYS_rt_sigaction, SIGUSR1, NULL, 8, 8) && errno == EFAULT);
	must(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4) && errno == EINVAL);
	must(sigaction(SIGKILL, &action, NULL) && errno == EINVAL);
	/* Two threads change it while it comes: each is called as it asked to be. */
	handle(SIGUSR2, counts, 0);
	must(!pthread_create(&other, NULL, changes, counts_with_sender));
	for (int i = 0; i < 20 * ROUNDS; i++) {
		handle(SIGUSR2, counts, 0);
		must(!raise(SIGUSR2));
	}
	pthread_join(other, NULL);
	must(count == 20 * ROUNDS + 1);
	edge(getpid(), getpid(), 20 * ROUNDS + 1);
}

/* More handlers than can be watched are handled all the same. */
#define HANDLER(tens, ones)                                                                                  \
	static void handler_##tens##ones(int number)                                                         \
	{                                                                                                    \
		count += number == SIGUSR1 ? tens * 10 + ones : 0;                                           \
	}
#define TEN(with, tens)                                                                                      \
	with(tens, 0) with(tens, 1) with(tens, 2) with(tens, 3) with(tens, 4) with(tens, 5) with(tens, 6)    \
		with(tens, 7) with(tens, 8) with(tens, 9)
TEN(HANDLER, 1)
TEN(HANDLER, 2)
TEN(HANDLER, 3)
TEN(HANDLER, 4)
TEN(HANDLER, 5)
TEN(HANDLER, 6)
TEN(HANDLER, 7)
#define NAME(tens, ones) handler_##tens##ones,

static void many(void)
{
	static void (*const all[])(int) = { TEN(NAME, 1) TEN(NAME, 2) TEN(NAME, 3) TEN(NAME, 4) TEN(NAME, 5)
						    TEN(NAME, 6) TEN(NAME, 7) };
	int wanted = 0;
	for (int i = 0; i < 70; i++) {
		handle(SIGUSR1, all[i], 0);
		check_told(SIGUSR1, all[i], 0);
		must(!raise(SIGUSR1) && count == (wanted += i + 10));
	}
	edge(getpid(), getpid(), 64);
}

/* A handler on stacks that are larger and larger: whether it can run there. */
static void stacks(void)
{
	long least = sysconf(_SC_MINSIGSTKSZ);
	for (long more = 0; more < 6000; more += 200) {
		pid_t child = start();
		if (!child) {
			char *memory = mmap(NULL, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			stack_t alternate = { .ss_sp = memory + 4096, .ss_size = (size_t)(least + more) };
			must(!mprotect(memory + 4096, (1 << 16) - 4096, PROT_READ | PROT_WRITE));
			must(!sigaltstack(&alternate, NULL));
			handle(SIGSEGV, jumps, SA_ONSTACK);
			if (!sigsetjmp(jump, 1))
				*(volatile char *)8 = 1;
			_exit(0);
		}
		printf("%d\n", join(child));
	}
}

static void *kills(void *arg)
{
	must(!pthread_kill(*(const pthread_t *)arg, SIGTERM));
	return NULL;
}

/* Both sources know it by then. */
static void waits(void)
{
	raise(0);
	for (;;)
		pause();
}

/* What nobody but the kernel tells: a stop; a death of which the parent does not ask; that one was ignored,
 * and not merged with a later one; who did not take what was sent to all. */
static void unasked(void)
{
	pid_t child = start(), parent = getpid();
	if (!child)
		waits();
	usleep(20000);
	must(!kill(child, SIGSTOP) && waitpid(child, NULL, WUNTRACED) == child);
	must(!kill(child, SIGCONT) && !kill(child, SIGTERM) && waitpid(child, NULL, 0) == child);
	edge(parent, child, 2);
	if (!(child = start())) {
		ualarm(20000, 0);
		waits();
	}
	must(waitpid(child, NULL, 0) == child);
	edge(0, child, 1);
	if (!(child = start())) {
		pthread_t own = pthread_self(), other;
		must(!pthread_create(&other, NULL, kills, &own));
		waits();
	}
	must(waitpid(child, NULL, 0) == child);
	edge(child, child, 1);
	block(SIGUSR1);
	must(!setpgid(0, 0));
	if (!(child = start())) {
		handle(SIGUSR2, SIG_IGN, 0);
		must(!kill(parent, SIGUSR1));
		waits();
	}
	must(wait_info(SIGUSR1).si_pid == child);
	handle(SIGUSR2, SIG_IGN, 0);
	must(!kill(parent, SIGUSR2) && !kill(parent, SIGUSR2));
	handle(SIGUSR2, counts, 0);
	must(!kill(0, SIGUSR2) && count == 1);
	must(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	edge(child, parent, 1);
	edge(parent, parent, 1);
	edge(parent, child, 1);
}

/* All to all, as fast as they can: ordinary ones, which merge, and one of the queued for each. */
static struct {
	atomic_int ready, sent[MEMBERS], got[MEMBERS][MEMBERS];
	pid_t pid[MEMBERS];
} * storm_of;
static int self_index;

static void storm_handler(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	for (int i = 0; i < MEMBERS; i++)
		if (storm_of->pid[i] == info->si_pid)
			storm_of->got[i][self_index]++;
}

static void storm_member(void)
{
	int queued = SIGRTMIN + 1;
	struct sigaction action = { .sa_sigaction = storm_handler, .sa_flags = SA_SIGINFO };
	must(!sigaction(SIGUSR1, &action, NULL) && !sigaction(queued, &action, NULL));
	storm_of->ready++;
	while (storm_of->ready < MEMBERS)
		usleep(100);
	for (int i = 0; i < 20 * ROUNDS; i++)
		for (int to = 0; to < MEMBERS; to++) {
			must(!kill(storm_of->pid[to], SIGUSR1));
			storm_of->sent[to]++;
			while (sigqueue(storm_of->pid[to], queued, (union sigval){ .sival_int = i }))
				must(errno == EAGAIN && !usleep(100));
		}
	storm_of->ready++;
	while (storm_of->ready < 2 * MEMBERS)
		usleep(100);
}

static void storm(void)
{
	storm_of = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(storm_of != MAP_FAILED);
	for (self_index = 0; self_index < MEMBERS; self_index++) {
		pid_t child = start();
		storm_of->pid[self_index] = child ? child : getpid();
		if (!child) {
			storm_member();
			_exit(0);
		}
	}
	for (int i = 0; i < MEMBERS; i++)
		must(!join(storm_of->pid[i]));
	for (int to = 0; to < MEMBERS; to++) {
		int taken = 0;
		for (int from = 0; from < MEMBERS; from++) {
			edge(storm_of->pid[from], storm_of->pid[to], storm_of->got[from][to]);
			taken += storm_of->got[from][to];
		}
		printf("lost %d %d\n", storm_of->pid[to], storm_of->sent[to] + MEMBERS * 20 * ROUNDS - taken);
	}
}

/* Says its pid and waits for one from outside. */
static void outside(void)
{
	block(SIGUSR1);
	printf("pid %d\n", getpid());
	fflush(stdout);
	wait_info(SIGUSR1);
	must(!kill(getppid(), SIGURG)); /* the recorder, which ignores it */
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{ "handlers", handlers },     { "self", self },	      { "merged", merged },
		{ "flood", flood },	      { "queued", queued },   { "threads", threads },
		{ "deaths", deaths },	      { "group", group },     { "errors", errors },
		{ "descriptor", descriptor }, { "kernels", kernels }, { "hidden", hidden },
		{ "outside", outside },	      { "many", many },	      { "stacks", stacks },
		{ "unasked", unasked },	      { "storm", storm },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc == 2 && !strcmp(argv[1], all[i].name))
			all[i].run();
	return 0;
}
