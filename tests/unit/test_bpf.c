// SPDX-License-Identifier: BSD-2-Clause
/*
 * The eBPF source against real children. The test is its own target: a case forks, is attached, executes
 * itself with the case's name, does a known piece of work and notes what only it can know (inodes, pids) in
 * shared memory. Every record that the collector would have got is then compared with what was done.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf_work.h"
#include "source.h"
#include "tables.h"

enum { RECORDS_MAX = 1 << 19, DEFS_MAX = 256 };

/* ---- what the source tells ---- */

struct definition {
	struct ipc_def def;
	char text[IPC_TEXT_MAX];
};

static struct ipc_event *events;
static struct definition *defs;
static unsigned int n_events, n_defs;
static uint64_t lost[IPC_REASONS];
static uint64_t dropped_sends, dropped_recvs, dropped_sent, dropped_received;
static uint64_t watermark;

void collector_record(struct collector *c, enum collector_source source, const struct ipc_event *slots)
{
	(void)c;
	assert_int_equal(source, COLLECTOR_BPF);
	if (slots->call < IPC_DEF_FIRST) {
		assert_true(n_events < RECORDS_MAX);
		assert_true(slots->start + slots->duration > watermark);
		events[n_events++] = *slots;
		return;
	}
	const struct ipc_def *def = (const struct ipc_def *)slots;
	assert_true(n_defs < DEFS_MAX);
	memset(&defs[n_defs], 0, sizeof(defs[n_defs]));
	memcpy(&defs[n_defs++], def, sizeof(*def) + def->text);
}

void collector_loss(struct collector *c, enum collector_source source, enum ipc_reason reason, int pid,
		    const char *comm, uint64_t count)
{
	(void)c, (void)source, (void)pid, (void)comm;
	lost[reason] += count;
}

void collector_overflow(struct collector *c, enum collector_source source, uint32_t image, uint64_t object,
			uint64_t sends, uint64_t recvs, uint64_t bytes_sent, uint64_t bytes_received)
{
	(void)c, (void)source;
	assert_int_not_equal(image, 0);
	assert_int_equal(ipc_object_mechanism(object), IPC_MECH_pipe);
	dropped_sends += sends;
	dropped_recvs += recvs;
	dropped_sent += bytes_sent;
	dropped_received += bytes_received;
}

void collector_watermark(struct collector *c, enum collector_source source, uint64_t ns)
{
	(void)c, (void)source;
	assert_true(ns >= watermark);
	watermark = ns;
}

/* ---- recording a case ---- */

static int target; /* pid of the case's first process */

static void become_target(int go, const char *name)
{
	char byte, self[256] = {};
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (read(go, &byte, 1) != 1)
		_exit(96);
	close_range(3, ~0U, 0);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) > 0)
		execl(self, "test_bpf", name, folder, NULL);
	_exit(96);
}

/* Runs the case under the source; polls while it runs unless `blind`. Returns its status. */
static int record_status(const char *name, bool blind)
{
	struct source *s = NULL;
	char error[512] = "";
	int go[2], status;

	n_events = n_defs = 0;
	watermark = 0;
	dropped_sends = dropped_recvs = dropped_sent = dropped_received = 0;
	memset(lost, 0, sizeof(lost));
	memset(facts, 0, FACTS * sizeof(*facts));
	if (source_bpf.open(&s, error, sizeof(error)))
		fail_msg("%s", error);
	make_pipe(go, 0);
	target = fork();
	if (!target)
		become_target(go[0], name);
	assert_int_equal(source_bpf.attach(s, target), 0);
	assert_int_equal(write(go[1], "x", 1), 1);
	while (waitpid(target, &status, WNOHANG) == 0) {
		if (!blind)
			assert_true(source_bpf.poll(s, NULL, false) >= 0);
		usleep(1000);
	}
	assert_true(source_bpf.poll(s, NULL, true) >= 0);
	assert_true(watermark == UINT64_MAX);
	source_bpf.close(s);
	close(go[0]);
	close(go[1]);
	return status;
}

static void record(const char *name)
{
	assert_int_equal(record_status(name, false), 0);
}

/* ---- comparing ---- */

/* The n-th definition of this kind about pid (image, gone) or of image (thread); NULL: none. */
static const struct definition *find(unsigned int kind, uint32_t id, int n)
{
	for (unsigned int i = 0; i < n_defs; i++) {
		const struct ipc_def *d = &defs[i].def;
		uint32_t is = kind == IPC_DEF_THREAD   ? d->thread_def.image
			      : kind == IPC_DEF_GONE   ? (uint32_t)d->gone.pid
			      : kind == IPC_DEF_LOSS   ? (uint32_t)d->loss.pid
			      : kind == IPC_DEF_OBJECT ? 0
						       : (uint32_t)d->image.pid;
		if (d->call == kind && is == id && n-- == 0)
			return &defs[i];
	}
	return NULL;
}

static const struct ipc_def_image *image_of(uint64_t pid, int n)
{
	const struct definition *d = find(IPC_DEF_IMAGE, pid, n);
	if (!d)
		fail_msg("no image %d of %d", n, (int)pid);
	return &d->def.image;
}

static uint32_t thread_of(uint64_t pid, int image, int n)
{
	const struct definition *d = find(IPC_DEF_THREAD, image_of(pid, image)->image, n);
	if (!d)
		fail_msg("no thread %d of %d", n, (int)pid);
	return d->def.thread;
}

/* Walks the events of one thread in their order. */
struct cursor {
	uint32_t thread;
	unsigned int at;
	uint64_t end;
};

static struct cursor cursor_of(uint64_t pid, int image, int thread)
{
	return (struct cursor){ .thread = thread_of(pid, image, thread) };
}

static const struct ipc_event *next(struct cursor *c)
{
	while (c->at < n_events && events[c->at].thread != c->thread)
		c->at++;
	return c->at < n_events ? &events[c->at++] : NULL;
}

static const struct ipc_event *expect_(struct cursor *c, int line, unsigned int call, uint64_t object,
				       int64_t result, uint64_t arg0, uint64_t arg1, unsigned int flags)
{
	const struct ipc_event *e = next(c);

	if (!e)
		fail_msg("line %d: no further event, wanted %s", line, ipc_call_names[call]);
	if (e->call != call || e->object != object || e->result != result || e->arg0 != arg0 ||
	    e->arg1 != arg1 || e->flags != flags)
		fail_msg("line %d: %s object %lx result %ld arg0 %lx arg1 %lx flags %x, wanted %s %lx %ld "
			 "%lx %lx %x",
			 line, ipc_call_names[e->call], (long)e->object, (long)e->result, (long)e->arg0,
			 (long)e->arg1, e->flags, ipc_call_names[call], (long)object, (long)result,
			 (long)arg0, (long)arg1, flags);
	assert_true(e->start + e->duration >= c->end);
	assert_true(e->start + 30000000000ULL > c->end);
	c->end = e->start + e->duration;
	return e;
}
#define expect(cursor, call, ...) expect_(cursor, __LINE__, IPC_CALL_##call, __VA_ARGS__)

static void expect_exit(struct cursor *c, uint64_t pid, int code, unsigned int flags)
{
	expect(c, exit_group, ipc_object(IPC_MECH_process, pid), 0, code << 8, 0, flags);
	assert_null(next(c));
	assert_null(find(IPC_DEF_GONE, pid, 0));
}

static uint64_t r(unsigned int fd)
{
	return ipc_arg0(fd, O_RDONLY);
}

static uint64_t w(unsigned int fd)
{
	return ipc_arg0(fd, O_WRONLY);
}

static uint64_t pipe_id(uint64_t inode)
{
	assert_true(inode != 0);
	return ipc_object(IPC_MECH_pipe, inode);
}

static uint64_t process_id(uint64_t pid)
{
	return ipc_object(IPC_MECH_process, pid);
}

enum {
	NONE = 0,
	PART = IPC_F_PART,
	SECOND = IPC_F_SECOND,
	MANY = IPC_F_THREADS,
	FORK_FLAGS = 0x01200011, /* glibc's fork: CHILD_SETTID, CHILD_CLEARTID, SIGCHLD */
};

static void expect_pipe(struct cursor *c, uint64_t object, int fd)
{
	expect(c, pipe2, object, 0, r(fd), 0, NONE);
	expect(c, pipe2, object, 0, w(fd + 1), 0, PART);
}

static void expect_inherited(struct cursor *c, uint64_t object, int fd)
{
	expect(c, inherit, object, fd, r(fd), 0, NONE);
	expect(c, inherit, object, fd + 1, w(fd + 1), 0, NONE);
}

static void test_pipe(void **state)
{
	(void)state;
	record("pipe");
	uint64_t p = pipe_id(facts[0]), child = facts[1];
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(child, 0, 0);

	expect_pipe(&a, p, 3);
	const struct ipc_event *spawn = expect(&a, clone, process_id(child), child, FORK_FLAGS, 0, NONE);
	expect(&a, close, p, 0, w(4), 0, NONE);
	expect(&a, wait4, process_id(child), child, 3 << 8, 0, NONE);
	expect(&a, read, p, 4096, r(3), 4096, NONE);
	expect(&a, read, p, 4096, r(3), 4096, NONE);
	expect(&a, read, p, 1808, r(3), 4096, NONE);
	expect(&a, read, p, 0, r(3), 4096, IPC_F_EOF);
	expect_exit(&a, target, 0, NONE);

	expect_inherited(&b, p, 3);
	expect(&b, close, p, 0, r(3), 0, NONE);
	for (int i = 0; i < 10; i++)
		expect(&b, write, p, 1000, w(4), 1000, NONE);
	expect_exit(&b, child, 3, NONE);

	const struct ipc_def_image *first = image_of(target, 0), *forked = image_of(child, 0);
	assert_int_equal(first->via, IPC_VIA_START);
	assert_int_equal(first->ppid, getpid());
	assert_int_equal(first->uid, getuid());
	assert_int_equal(first->prev | first->parent, 0);
	assert_int_equal(forked->via, IPC_VIA_FORK);
	assert_int_equal(forked->parent, first->image);
	assert_int_equal(forked->ppid, target);
	assert_true(forked->spawn_time == spawn->start);
	assert_int_equal(n_events, 2 + 1 + 1 + 1 + 4 + 1 + 2 + 1 + 10 + 1);
	assert_int_equal(n_defs, 4);
}

static void test_fifo(void **state)
{
	char path[256];
	struct stat st;

	(void)state;
	record("fifo");
	snprintf(path, sizeof(path), "%s/fifo", folder);
	assert_int_equal(stat(path, &st), 0);
	const struct definition *d = find(IPC_DEF_OBJECT, 0, 0);
	assert_non_null(d);
	assert_null(find(IPC_DEF_OBJECT, 0, 1));
	assert_true(d->def.object.inode == st.st_ino);
	assert_int_equal(d->def.object.dev_major, major(st.st_dev));
	assert_int_equal(d->def.object.dev_minor, minor(st.st_dev));
	assert_string_equal(d->text, path);
	uint64_t o = d->def.object.object, child = facts[0];
	assert_int_equal(ipc_object_mechanism(o), IPC_MECH_fifo);

	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(child, 0, 0);
	expect(&a, clone, process_id(child), child, FORK_FLAGS, 0, NONE);
	expect(&a, openat, o, 3, r(3), 0, NONE);
	expect(&a, wait4, process_id(child), child, 0, 0, NONE);
	expect(&a, read, o, 5, r(3), 100, NONE);
	expect(&a, read, o, 0, r(3), 100, IPC_F_EOF);
	expect_exit(&a, target, 0, NONE);
	expect(&b, openat, o, 3, w(3), 0, NONE);
	expect(&b, write, o, 5, w(3), 5, NONE);
	expect_exit(&b, child, 0, NONE);
}

static void test_splice(void **state)
{
	(void)state;
	record("splice");
	uint64_t p = pipe_id(facts[0]), q = pipe_id(facts[1]);
	struct cursor a = cursor_of(target, 0, 0);

	expect_pipe(&a, p, 4);
	expect_pipe(&a, q, 6);
	expect(&a, sendfile, p, 3000, w(5), 3000, SECOND);
	expect(&a, tee, p, 3000, r(4), 3000, IPC_F_PEEK);
	expect(&a, tee, q, 3000, w(7), 3000, SECOND | PART);
	expect(&a, splice, p, 2000, r(4), 2000, NONE);
	expect(&a, splice, q, 2000, w(7), 2000, SECOND | PART);
	expect(&a, vmsplice, q, 100, w(7), 0, NONE);
	expect(&a, close, p, 0, w(5), 0, NONE);
	expect(&a, splice, p, 1000, r(4), 5000, NONE);
	expect(&a, splice, q, 1000, w(7), 5000, SECOND | PART);
	expect(&a, splice, p, 0, r(4), 5000, IPC_F_EOF);
	expect(&a, splice, q, 0, w(7), 5000, SECOND | PART);
	expect(&a, writev, q, 100, w(7), 0, NONE);
	expect(&a, readv, q, 100, r(6), 0, NONE);
	expect_exit(&a, target, 0, NONE);
}

static void test_dup(void **state)
{
	(void)state;
	record("dup");
	uint64_t p = pipe_id(facts[0]), n = (uint64_t)O_NONBLOCK << 32;
	struct cursor a = cursor_of(target, 0, 0);

	expect(&a, pipe2, p, 0, r(3) | n, 0, NONE);
	expect(&a, pipe2, p, 0, w(4) | n, 0, PART);
	expect(&a, dup, p, facts[1], r(facts[1]) | n, 0, NONE);
	expect(&a, dup2, p, 20, r(20) | n, 0, NONE);
	expect(&a, dup3, p, 21, w(21) | n, 0, NONE);
	expect(&a, close, p, 0, r(20) | n, 0, PART);
	expect(&a, dup2, p, 20, w(20) | n, 0, NONE);
	expect(&a, fcntl_dup, p, 30, r(30) | n, 0, NONE);
	expect(&a, fcntl_dup_cloexec, p, 31, w(31) | n, 0, NONE);
	expect(&a, close, p, 0, w(20) | n, 0, NONE);
	expect(&a, close_range, p, 0, r(30) | n, 0, NONE);
	expect(&a, close_range, p, 0, w(31) | n, 0, PART);
	expect_exit(&a, target, 0, NONE);
}

static void test_exec(void **state)
{
	(void)state;
	record("exec");
	uint64_t child = facts[0], p = pipe_id(facts[1]);
	struct cursor b = cursor_of(child, 0, 0), c = cursor_of(child, 1, 0);

	expect_pipe(&b, p, 3);
	expect(&b, dup3, p, 40, w(40), 0, NONE);
	expect(&b, dup2, p, 255, w(255), 0, NONE);
	expect(&b, execve, process_id(child), 0, 0, 0, IPC_F_ENTRY);
	expect(&b, execve, process_id(child), -ENOENT, 0, 0, NONE);
	expect(&b, execve, process_id(child), 0, 0, 0, IPC_F_ENTRY);
	assert_null(next(&b));
	expect_inherited(&c, p, 3);
	expect(&c, inherit, p, 255, w(255), 0, NONE);
	expect_exit(&c, child, 0, NONE);

	const struct definition *d = find(IPC_DEF_IMAGE, child, 1);
	assert_int_equal(d->def.image.via, IPC_VIA_EXEC);
	assert_int_equal(d->def.image.prev, image_of(child, 0)->image);
	static const char text[] = "true\0/usr/bin/true\0\0true a b  c";
	assert_int_equal(d->def.text, sizeof(text));
	assert_memory_equal(d->text, text, sizeof(text));
	char exe[256] = {};
	const struct definition *first = find(IPC_DEF_IMAGE, target, 0);
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_string_equal(first->text, program_invocation_short_name);
	assert_string_equal(first->text + strlen(first->text) + 1, exe);
	assert_null(find(IPC_DEF_IMAGE, child, 2));
}

static void test_killed(void **state)
{
	(void)state;
	record("killed");
	uint64_t p = pipe_id(facts[0]), q = pipe_id(facts[1]), x = facts[3], y = facts[4];
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(x, 0, 0), c = cursor_of(y, 0, 0);

	expect_pipe(&a, p, 3);
	expect_pipe(&a, q, 5);
	expect(&a, clone, process_id(x), x, FORK_FLAGS, 0, NONE);
	expect(&a, waitid, process_id(x), x, SIGKILL, 0, NONE);
	expect(&a, clone, process_id(y), y, FORK_FLAGS, 0, NONE);
	expect(&a, wait4, process_id(y), y, -1, 0, NONE);
	expect_exit(&a, target, 0, NONE);

	struct cursor *both[] = { &b, &c };
	for (int i = 0; i < 2; i++) {
		expect_inherited(both[i], p, 3);
		expect(both[i], inherit, q, 5, r(5), 0, NONE);
		expect(both[i], inherit, q, 6, w(6), 0, NONE);
	}
	expect(&b, write, p, facts[2], w(4), 200000, NONE); /* the kernel answers to the dead */
	assert_null(next(&b));
	expect(&c, read, q, 0, r(5), 200000, IPC_F_INSIDE);
	assert_null(next(&c));
	assert_int_equal(find(IPC_DEF_GONE, x, 0)->def.gone.status, SIGKILL);
	assert_int_equal(find(IPC_DEF_GONE, y, 0)->def.gone.status, SIGTERM);
}

static void test_spawn(void **state)
{
	(void)state;
	record("spawn");
	uint64_t x = facts[0], y = facts[1];
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(x, 0, 0), c = cursor_of(y, 0, 0);
	struct cursor d = cursor_of(y, 1, 0);

	expect(&a, vfork, process_id(x), x, CLONE_VM | CLONE_VFORK, 0, NONE);
	expect(&a, wait4, process_id(x), x, 7 << 8, 0, NONE);
	expect(&a, clone3, process_id(y), y, CLONE_VM | CLONE_VFORK, 0, NONE);
	expect(&a, wait4, process_id(y), y, 0, 0, NONE);
	expect_exit(&a, target, 0, NONE);
	expect_exit(&b, x, 7, NONE);
	expect(&c, execve, process_id(y), 0, 0, 0, IPC_F_ENTRY);
	assert_null(next(&c));
	expect_exit(&d, y, 0, NONE);
	assert_string_equal(find(IPC_DEF_IMAGE, y, 1)->text, "true");
}

static void test_threads(void **state)
{
	(void)state;
	assert_int_equal(record_status("threads", false), 5 << 8);
	uint64_t p = pipe_id(facts[0]);
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(target, 0, 1), c = cursor_of(target, 0, 2);
	uint32_t image = image_of(target, 0)->image;

	expect(&a, clone, process_id(facts[3]), facts[3], FORK_FLAGS, 0, NONE);
	expect(&a, wait4, process_id(facts[3]), facts[3], 0, 0, NONE);
	expect_pipe(&a, p, 3);
	expect(&a, read, p, 1, r(3), 1, NONE);
	assert_int_equal(find(IPC_DEF_THREAD, image, 0)->def.thread_def.tid, target);
	assert_int_equal(find(IPC_DEF_THREAD, image, 1)->def.thread_def.tid, facts[1]);
	assert_int_equal(find(IPC_DEF_THREAD, image, 2)->def.thread_def.tid, facts[2]);
	expect(&b, write, p, 1, w(4), 1, MANY);
	assert_null(next(&b));
	expect(&a, read, p, 0, r(3), 1, IPC_F_INSIDE);
	assert_null(next(&a));
	expect_exit(&c, target, 5, MANY);
}

static void test_signals(void **state)
{
	(void)state;
	record("signals");
	uint64_t p = pipe_id(facts[0]), n = pipe_id(facts[1]), nonblock = (uint64_t)O_NONBLOCK << 32;
	uint64_t child = facts[2];
	struct cursor a = cursor_of(target, 0, 0);

	expect_pipe(&a, p, 3);
	expect(&a, pipe2, n, 0, r(5) | nonblock, 0, NONE);
	expect(&a, pipe2, n, 0, w(6) | nonblock, 0, PART);
	expect(&a, read, p, -EINTR, r(3), 1, NONE);
	expect(&a, clone, process_id(child), child, FORK_FLAGS, 0, NONE);
	const struct ipc_event *e = expect(&a, read, p, 1, r(3), 1, NONE);
	assert_true(e->duration > 50000000);
	expect(&a, wait4, process_id(child), child, 0, 0, NONE);
	expect(&a, read, n, -EAGAIN, r(5) | nonblock, 1, IPC_F_NONBLOCK);
	expect(&a, close, n, 0, r(5) | nonblock, 0, NONE);
	expect(&a, write, n, -EPIPE, w(6) | nonblock, 1, NONE);
	expect_exit(&a, target, 0, NONE);
}

/* What the ring has no room for stays exact per endpoint. */
static void test_flood(void **state)
{
	uint64_t sends = 0, recvs = 0, sent = 0, received = 0;

	(void)state;
	assert_int_equal(record_status("flood", true), 0);
	for (unsigned int i = 0; i < n_events; i++) {
		if (events[i].call == IPC_CALL_write)
			sends++, sent += events[i].result;
		else if (events[i].call == IPC_CALL_read)
			recvs++, received += events[i].result;
	}
	assert_true(dropped_sends > 1000);
	assert_int_equal(lost[IPC_REASON_dropped], dropped_sends + dropped_recvs + 1); /* and exit_group */
	assert_int_equal(sends + dropped_sends, FLOOD);
	assert_int_equal(recvs + dropped_recvs, FLOOD);
	assert_int_equal(sent + dropped_sent, FLOOD * 7);
	assert_int_equal(received + dropped_received, FLOOD * 7);
}

static void test_alien(void **state)
{
	(void)state;
	record("alien");
	struct cursor a = cursor_of(target, 0, 0);

	expect_exit(&a, target, 0, NONE);
	const struct definition *d = find(IPC_DEF_LOSS, target, 0);
	assert_non_null(d);
	assert_int_equal(d->def.loss.reason, IPC_REASON_other_arch);
	assert_int_equal(d->def.loss.count, 1);
}

static void test_ends(void **state)
{
	(void)state;
	record("ends");
	uint64_t x = facts[0], y = facts[1], z = facts[2];
	struct cursor a = cursor_of(x, 0, 0), b = cursor_of(y, 0, 1), c = cursor_of(y, 1, 0);
	struct cursor all = cursor_of(target, 0, 0);

	const uint64_t statuses[] = { 4 << 8, 0, facts[4], 0 };
	for (int i = 0; i < 4; i++) {
		expect(&all, clone, process_id(facts[i]), facts[i], FORK_FLAGS, 0, NONE);
		expect(&all, wait4, process_id(facts[i]), facts[i], statuses[i], 0, NONE);
	}
	expect_exit(&all, target, 0, NONE);
	assert_null(next(&a));
	assert_int_equal(find(IPC_DEF_GONE, x, 0)->def.gone.status, 4 << 8);
	expect(&b, execve, process_id(y), 0, 0, 0, IPC_F_ENTRY | MANY);
	assert_null(next(&b));
	expect_exit(&c, y, 0, NONE);
	uint32_t image = image_of(y, 1)->image;
	assert_int_equal(image_of(y, 1)->prev, image_of(y, 0)->image);
	assert_int_equal(find(IPC_DEF_THREAD, image, 0)->def.thread_def.tid, y);
	assert_null(find(IPC_DEF_THREAD, image, 1));
	assert_int_equal(find(IPC_DEF_GONE, z, 0)->def.gone.status, facts[4]);
	assert_null(find(IPC_DEF_GONE, z, 1));
}

static void test_inside(void **state)
{
	(void)state;
	record("inside");
	uint64_t p = pipe_id(facts[0]), child = facts[1];
	struct cursor b = cursor_of(child, 0, 0);

	if (child)
		kill(child, SIGKILL);
	expect_inherited(&b, p, 3);
	expect(&b, read, p, 0, r(3), 1, IPC_F_INSIDE);
	assert_null(next(&b));
}

static int make_folder(void **state)
{
	static char path[] = /* a file system of its own: paths cross a mount */
		"/dev/shm/test_bpf.XXXXXX";

	(void)state;
	folder = mkdtemp(path);
	events = malloc(RECORDS_MAX * sizeof(*events));
	defs = malloc(DEFS_MAX * sizeof(*defs));
	if (!folder || !events || !defs)
		return -1;
	map_facts();
	return 0;
}

static int remove_folder(void **state)
{
	static const char *const names[] = { "/facts", "/fifo", "/file", "" };
	char path[256];

	(void)state;
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", folder, names[i]);
		remove(path);
	}
	free(events);
	free(defs);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe),  cmocka_unit_test(test_fifo),    cmocka_unit_test(test_splice),
		cmocka_unit_test(test_dup),   cmocka_unit_test(test_exec),    cmocka_unit_test(test_killed),
		cmocka_unit_test(test_spawn), cmocka_unit_test(test_threads), cmocka_unit_test(test_signals),
		cmocka_unit_test(test_flood), cmocka_unit_test(test_alien),   cmocka_unit_test(test_inside),
		cmocka_unit_test(test_ends),
	};
	char error[512];
	struct source *s;

	if (argc == 3) {
		folder = argv[2];
		map_facts();
		_exit(work(argv[1])); /* nothing of a sanitizer runs at the end */
	}
	int err = source_bpf.open(&s, error, sizeof(error));
	if (err == -EOPNOTSUPP || err == -EPERM) {
		printf("SKIP: %s\n", error);
		return 77;
	}
	if (!err)
		source_bpf.close(s);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
