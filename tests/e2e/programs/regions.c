// SPDX-License-Identifier: BSD-2-Clause
/*
 * regions NAME: processes that map shared memory, and print the truth: "edge FROM TO" of who could write
 * while the other had it mapped readable, "mapping PID BYTES OFFSET PROTECTION" of every mapping as it was,
 * "channel KEY NAME", "failed ERRNO" of a call on shared memory that failed, "by WORD" how the processes
 * synchronised.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, R = PROT_READ, W = PROT_WRITE, RW = R | W };

static void must_(int good, int line)
{
	if (good)
		return;
	fprintf(stderr, "line %d: %s\n", line, strerror(errno));
	exit(1);
}
#define must(good) must_(good, __LINE__)

/* A process that says when it is there and then waits to be told to go on. */
struct task {
	pid_t pid;
	int said, told;
};
static struct task self;

static struct task start(void (*work)(void))
{
	int said[2], told[2];
	must(!pipe(said) && !pipe(told));
	fflush(stdout);
	struct task t = { fork(), said[0], told[1] };
	must(t.pid >= 0);
	if (t.pid)
		return t;
	self = (struct task){ getpid(), said[1], told[0] };
	work();
	fflush(stdout);
	_exit(0);
}

static void pass(void)
{
	char c = 0;
	fflush(stdout);
	must(write(self.said, &c, 1) == 1 && read(self.told, &c, 1) == 1);
}

static void await(struct task t)
{
	char c;
	must(read(t.said, &c, 1) == 1);
}

static void let(struct task t)
{
	must(write(t.told, "", 1) == 1);
}

static void join(struct task t)
{
	int status;
	must(waitpid(t.pid, &status, 0) == t.pid && !status);
}

static void edge(pid_t from, pid_t to)
{
	printf("edge %d %d\n", from, to);
}

static void both(pid_t one, pid_t other)
{
	edge(one, other);
	edge(other, one);
}

static void mapping(pid_t pid, size_t bytes, off_t offset, const char *protection)
{
	printf("mapping %d %zu %ld %s\n", pid, bytes, (long)offset, protection);
}

static void failed(int error)
{
	must(errno == error);
	printf("failed %d\n", error);
}

static void file_channel(const char *kind, int fd, const char *name)
{
	struct stat st;
	must(!fstat(fd, &st));
	printf("channel %s:%u:%u:%lu %s\n", kind, major(st.st_dev), minor(st.st_dev), st.st_ino, name);
}

/* The truth of what has no descriptor: what the kernel says is mapped there. */
static void mapped_channel(const char *kind, const void *at, const char *name)
{
	char line[512];
	FILE *f = fopen("/proc/self/maps", "re");
	must(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, inode;
		unsigned int major, minor;
		must(sscanf(line, "%lx-%*x %*s %*x %x:%x %lu", &start, &major, &minor, &inode) == 4);
		if (start == (unsigned long)at)
			printf("channel %s:%u:%u:%lu %s\n", kind, major, minor, inode, name);
	}
	fclose(f);
}

static int fd; /* of the memory */

static void make(size_t size)
{
	fd = memfd_create("truth", 0);
	must(fd >= 0 && !ftruncate(fd, (off_t)size));
	file_channel("memfd", fd, "/memfd:truth");
}

static char *map(int protection)
{
	char *p = mmap(NULL, PAGE, protection, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED);
	mapping(getpid(), PAGE, 0,
		protection == RW  ? "rw"
		: protection == R ? "r"
		: protection	  ? "w"
				  : "none");
	return p;
}

static void hold_rw(void)
{
	char *p = map(RW);
	pass();
	munmap(p, PAGE);
}

static void hold_r(void)
{
	char *p = map(R);
	pass();
	munmap(p, PAGE);
}

/* One after the other: nobody shares it. */
static void after(void)
{
	make(PAGE);
	for (int i = 0; i < 3; i++) {
		struct task t = start(hold_rw);
		await(t);
		let(t);
		join(t);
	}
}

static void together(void (*one)(void), void (*other)(void), void (*tell)(pid_t, pid_t))
{
	struct task a = start(one);
	await(a);
	struct task b = start(other);
	await(b);
	tell(a.pid, b.pid);
	let(a);
	let(b);
	join(a);
	join(b);
}

static void back(pid_t one, pid_t other)
{
	edge(other, one);
}

static void nobody(pid_t one, pid_t other)
{
	(void)one, (void)other;
}

static void readonly(void)
{
	make(PAGE);
	together(hold_rw, hold_r, edge);
	together(hold_r, hold_r, nobody);
	printf("by none\n"); /* they talk to the parent only */
}

/* Was writable, but no more when the other came; and becomes so again. */
static void hold_protected(void)
{
	char *p = map(RW);
	must(!mprotect(p, PAGE, R));
	mapping(getpid(), PAGE, 0, "r");
	pass();
	must(!mprotect(p, PAGE, RW));
	mapping(getpid(), PAGE, 0, "rw");
	pass();
	must(!munmap(p, PAGE));
}

static void protected_(void)
{
	make(PAGE);
	struct task a = start(hold_protected);
	await(a);
	together(hold_r, hold_r, nobody); /* while it cannot write */
	struct task b = start(hold_r);
	await(b);
	let(a);
	await(a);
	edge(a.pid, b.pid);
	let(b);
	join(b);
	let(a);
	join(a);
}

static void no_access(void)
{
	char *p = mmap(NULL, PAGE, PROT_NONE, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED);
	mapping(getpid(), PAGE, 0, "none");
	pass();
	munmap(p, PAGE);
}

static void none(void)
{
	make(PAGE);
	together(hold_rw, no_access, nobody);
}

/* Larger by mremap; a part goes, and what is left in front and behind stays. */
static void hold_grown(void)
{
	char *p = map(RW), *q = mremap(p, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
	must(q != MAP_FAILED);
	must(!munmap(q + PAGE, PAGE));
	mapping(getpid(), PAGE, 0, "rw");
	mapping(getpid(), PAGE, PAGE, "rw");
	mapping(getpid(), 2 * PAGE, 2 * PAGE, "rw");
	pass();
	must(!munmap(q, 4 * PAGE));
}

static void grown(void)
{
	make(4 * PAGE);
	together(hold_grown, hold_r, edge);
}

/* A private mapping replaces the shared one; another shared one comes in the place of the private one. */
static void hold_replaced(void)
{
	char *p = map(RW);
	must(mmap(p, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	pass();
	must(mmap(p, PAGE, R, MAP_SHARED | MAP_FIXED, fd, 0) == p);
	mapping(getpid(), PAGE, 0, "r");
	pass();
	must(!munmap(p, PAGE));
}

static void replaced(void)
{
	make(PAGE);
	struct task a = start(hold_replaced), b;
	await(a);
	b = start(hold_rw);
	await(b);
	let(a);
	await(a);
	edge(b.pid, a.pid);
	let(a);
	let(b);
	join(a);
	join(b);
}

static void only_pass(void)
{
	mapping(getpid(), PAGE, 0, "rw");
	pass();
}

/* A child has what its parent has, but for what is kept from it. */
static void inherit(void)
{
	char *p = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *kept = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED && kept != MAP_FAILED && !madvise(kept, PAGE, MADV_DONTFORK));
	mapping(getpid(), PAGE, 0, "rw");
	mapping(getpid(), PAGE, 0, "rw");
	mapped_channel("mmap", p, "anonymous");
	mapped_channel("mmap", kept, "anonymous");
	struct task a = start(only_pass), b;
	await(a);
	both(getpid(), a.pid);
	b = start(only_pass);
	await(b);
	both(getpid(), b.pid);
	both(a.pid, b.pid);
	let(a);
	let(b);
	join(a);
	join(b);
	printf("by pipe\n");
}

/* A child that makes no call for long has its memory since its fork. */
static void late(void)
{
	make(PAGE);
	char *p = map(RW);
	fflush(stdout);
	pid_t pid = fork();
	must(pid >= 0);
	if (!pid) {
		usleep(50000);
		_exit(p[0]);
	}
	must(!munmap(p, PAGE));
	mapping(pid, PAGE, 0, "rw");
	both(getpid(), pid);
	join((struct task){ .pid = pid });
}

static void execute(void)
{
	map(RW);
	pass();
	char said[16], told[16];
	snprintf(said, sizeof(said), "%d", self.said);
	snprintf(told, sizeof(told), "%d", self.told);
	fflush(stdout);
	execl("/proc/self/exe", "regions", "idle", said, told, NULL);
	must(0);
}

/* What it executes has none of it. */
static void exec_(void)
{
	make(PAGE);
	struct task a = start(execute), b;
	await(a);
	b = start(hold_rw);
	await(b);
	both(a.pid, b.pid);
	let(a);
	await(a); /* the other program */
	let(b);
	join(b);
	b = start(hold_rw);
	await(b);
	let(a);
	let(b);
	join(a);
	join(b);
}

static void killed(void)
{
	int status;
	make(PAGE);
	struct task a = start(hold_rw), b = start(hold_rw);
	await(a);
	await(b);
	both(a.pid, b.pid);
	kill(a.pid, SIGKILL);
	must(waitpid(a.pid, &status, 0) == a.pid && WIFSIGNALED(status));
	struct task c = start(hold_r);
	await(c);
	edge(b.pid, c.pid);
	let(b);
	let(c);
	join(b);
	join(c);
}

static int id;

static void attach_r(void)
{
	void *p = shmat(id, NULL, SHM_RDONLY);
	must(p != (void *)-1);
	mapping(getpid(), 2 * PAGE, 0, "r");
	pass();
	must(!shmdt(p));
}

static void sysv(void)
{
	struct stat st;
	id = shmget(0x1234abcd, PAGE + 1, IPC_CREAT | 0600);
	must(id >= 0 && !stat("/proc/self/ns/ipc", &st));
	printf("channel sysv_shm:%lu:%d key 0x1234abcd\n", st.st_ino, id);
	char *p = shmat(id, NULL, 0);
	must(p != (void *)-1);
	mapping(getpid(), 2 * PAGE, 0, "rw");
	struct task t = start(attach_r);
	/* The child inherits what its parent has attached. */
	mapping(t.pid, 2 * PAGE, 0, "rw");
	await(t);
	both(getpid(), t.pid);
	must(!shmdt(p));
	must(shmdt(p) == -1 && errno == EINVAL);
	must(!shmctl(id, IPC_RMID, NULL));
	let(t);
	join(t);
	printf("by pipe\n");
	must(shmat(id, NULL, 0) == (void *)-1);
}

/* The same key again is other memory. */
static void again(void)
{
	sysv();
	sysv();
}

static void errors(void)
{
	make(PAGE);
	char *p = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(mmap(p, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0) == p && !munmap(p + PAGE, PAGE));
	mapping(getpid(), PAGE, 0, "rw");
	must(munmap(p + 1, PAGE) == -1 && errno == EINVAL);
	int readable = open("/proc/self/exe", O_RDONLY);
	must(mmap(NULL, PAGE, RW, MAP_SHARED, readable, 0) == MAP_FAILED);
	failed(EACCES);
	must(mprotect(p, 2 * PAGE, R) == -1 && errno == ENOMEM);
	mapping(getpid(), PAGE, 0, "r"); /* it got so far */
	must(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == MAP_FAILED);
	failed(EINVAL);
	must(!munmap(p, PAGE));
	must(mmap(NULL, PAGE, R, MAP_SHARED, -1, 0) == MAP_FAILED && errno == EBADF);
	file_channel("mmap", readable, "/proc/self/exe");
	int device = open("/dev/zero", O_RDWR); /* anonymous memory by another name */
	p = mmap(NULL, PAGE, RW, MAP_SHARED, device, 0);
	must(p != MAP_FAILED);
	mapping(getpid(), PAGE, 0, "rw");
	mapped_channel("mmap", p, "anonymous");
	must(!munmap(p, PAGE));
}

static void kinds(void)
{
	char name[40], path[] = "/tmp/regions-XXXXXX";
	snprintf(name, sizeof(name), "/regions-%d", getpid());
	fd = shm_open(name, O_CREAT | O_RDWR, 0600);
	must(fd >= 0 && !ftruncate(fd, PAGE));
	char place[60];
	snprintf(place, sizeof(place), "/dev/shm%s", name);
	file_channel("posix_shm", fd, place);
	together(hold_rw, hold_r, edge);
	must(!shm_unlink(name));
	must(!close(fd));
	fd = mkstemp(path);
	must(fd >= 0 && !ftruncate(fd, PAGE));
	file_channel("mmap", fd, path);
	together(hold_r, hold_rw, back); /* the reader comes first */
	must(!unlink(path));
}

enum { MANY = 1100, ROUNDS = 200, THREADS = 4 };

/* More than are followed: that is said. */
static void many(void)
{
	char *p[MANY];
	make(PAGE);
	for (int i = 0; i < MANY; i++)
		p[i] = map(i % 2 ? RW : R);
	for (int i = 0; i < MANY; i++)
		must(!munmap(p[i], PAGE));
}

static void *map_often(void *unused)
{
	for (int i = 0; i < ROUNDS; i++) {
		char *p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
		must(p != MAP_FAILED && !munmap(p, PAGE));
		p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
		must(p != MAP_FAILED && !munmap(p, PAGE));
	}
	return unused;
}

static void threads(void)
{
	pthread_t thread[THREADS];
	make(PAGE);
	for (int i = 0; i < THREADS; i++)
		must(!pthread_create(&thread[i], NULL, map_often, NULL));
	for (int i = 0; i < THREADS; i++)
		must(!pthread_join(thread[i], NULL));
	for (int i = 0; i < THREADS * ROUNDS; i++)
		mapping(getpid(), PAGE, 0, "rw");
}

static volatile int handled;

static void handle(int number)
{
	char *p = mmap(NULL, PAGE, R, MAP_SHARED, fd, 0);
	(void)number;
	must(p != MAP_FAILED && !munmap(p, PAGE));
	handled++;
}

/* Signals come in the midst of calls, and their handlers map and unmap too. */
static void handlers(void)
{
	struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { 0 };
	make(PAGE);
	signal(SIGALRM, handle);
	must(!setitimer(ITIMER_REAL, &often, NULL));
	for (int i = 0; i < 10; i++) {
		map_often(NULL);
		for (int k = 0; k < ROUNDS; k++)
			mapping(getpid(), PAGE, 0, "rw");
	}
	must(!setitimer(ITIMER_REAL, &never, NULL));
	int n = handled;
	for (int i = 0; i < n; i++)
		mapping(getpid(), PAGE, 0, "r");
}

/* Under a filter that kills who asks the kernel what is mapped. */
static void sandboxed(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { 4, code };
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
	char *p = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED);
	mapped_channel("mmap", p, "anonymous");
	mapping(getpid(), PAGE, 0, "rw");
	must(!pkey_mprotect(p, PAGE, R, -1));
	mapping(getpid(), PAGE, 0, "r");
	must(!munmap(p, PAGE));
}

static const struct {
	const char *name;
	void (*run)(void);
} all[] = {
	{ "after", after },	{ "readonly", readonly }, { "protected", protected_ },
	{ "none", none },	{ "grown", grown },	  { "replaced", replaced },
	{ "inherit", inherit }, { "exec", exec_ },	  { "late", late },
	{ "killed", killed },	{ "sysv", sysv },	  { "again", again },
	{ "errors", errors },	{ "kinds", kinds },	  { "many", many },
	{ "threads", threads }, { "handlers", handlers }, { "sandboxed", sandboxed },
};

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "idle")) {
		self = (struct task){ getpid(), atoi(argv[2]), atoi(argv[3]) };
		pass();
		return 0;
	}
	for (size_t i = 0; argc == 2 && i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(all[i].name, argv[1])) {
			all[i].run();
			return 0;
		}
	return 2;
}
