/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recorder's side of the tests of the eBPF source: a case forks, is attached, executes itself with the
 * case's name (bpf_target.h), and every record that the collector would have got is compared with what was
 * done.
 */
#ifndef IPC_BPF_RECORD_H
#define IPC_BPF_RECORD_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf_target.h"
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
static unsigned int *defs_before; /* of each event: how many definitions stood in front of it */
static unsigned int n_events, n_defs;
static uint64_t lost[IPC_REASONS], lost_of[IPC_MECHANISMS];
static uint64_t dropped_sends, dropped_recvs, dropped_sent, dropped_received, dropped_ns;
static uint64_t watermark;

/* The memory that the cases and their recorder have in common (facts) is not what they are about. */
static bool is_memory(const struct ipc_event *slots)
{
	const struct ipc_def *def = (const struct ipc_def *)slots;
	bool defines = slots->call == IPC_DEF_OBJECT;
	unsigned int mechanism = ipc_object_mechanism(defines ? def->object.object : slots->object);

	return (slots->call < IPC_DEF_FIRST || defines) && mechanism >= IPC_MECH_sysv_shm &&
	       mechanism <= IPC_MECH_mmap;
}

void collector_record(struct collector *c, enum collector_source source, const struct ipc_event *slots)
{
	(void)c;
	assert_int_equal(source, COLLECTOR_BPF);
	if (is_memory(slots))
		return;
	if (slots->call < IPC_DEF_FIRST) {
		assert_true(n_events < RECORDS_MAX);
		assert_true(slots->start + slots->duration > watermark);
		defs_before[n_events] = n_defs;
		events[n_events++] = *slots;
		return;
	}
	const struct ipc_def *def = (const struct ipc_def *)slots;
	assert_true(n_defs < DEFS_MAX);
	memset(&defs[n_defs], 0, sizeof(defs[n_defs]));
	memcpy(&defs[n_defs++], def, sizeof(*def) + def->text);
	facts[PAYLOADS] += def->call == IPC_DEF_PAYLOAD;
}

void collector_loss(struct collector *c, enum collector_source source, enum ipc_reason reason, int pid,
		    const char *comm, uint64_t count)
{
	(void)c, (void)source, (void)pid, (void)comm;
	lost[reason] += count;
}

void collector_lost(struct collector *c, enum collector_source source, const struct collector_lost *l)
{
	(void)c, (void)source;
	assert_true(l->count > 0 && l->first_ns <= l->last_ns);
	assert_in_range(l->processor, 0, sysconf(_SC_NPROCESSORS_CONF) - 1);
	lost[l->reason] += l->count;
	lost_of[l->mechanism] += l->count;
}

void collector_total(struct collector *c, enum collector_source source, uint64_t time,
		     const struct collector_total *t)
{
	(void)c, (void)source, (void)time;
	bool sends = t->verb == IPC_VERB_send;
	assert_int_not_equal(t->image, 0);
	assert_int_equal(ipc_object_mechanism(t->object), IPC_MECH_pipe);
	assert_true(t->dropped && t->calls >= t->moved && t->moved_ns <= t->ns && t->min_ns <= t->max_ns);
	*(sends ? &dropped_sends : &dropped_recvs) += t->moved;
	*(sends ? &dropped_sent : &dropped_received) += t->bytes;
	dropped_ns += t->ns;
}

void collector_counted(struct collector *c, enum collector_source source, const struct collector_count *n)
{
	(void)c, (void)source, (void)n;
}

void collector_watermark(struct collector *c, enum collector_source source, uint64_t ns)
{
	(void)c, (void)source;
	assert_true(ns >= watermark);
	watermark = ns;
}

/* ---- recording a case ---- */

static const struct selection everything = { .mechanisms = ~0ULL };
static unsigned int window, capture, ring_bytes; /* settings */
static int target;				 /* pid of the case's first process */

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
static inline int record_status(const char *name, bool blind)
{
	struct source *s = NULL;
	const struct source_settings settings = {
		.what = &everything, .window = window, .capture = capture, .buffer = ring_bytes
	};
	char error[512] = "";
	int go[2], status;

	n_events = n_defs = 0;
	watermark = 0;
	dropped_sends = dropped_recvs = dropped_sent = dropped_received = dropped_ns = 0;
	memset(lost, 0, sizeof(lost));
	memset(lost_of, 0, sizeof(lost_of));
	memset(facts, 0, SHARED);
	if (source_bpf.open(&s, &settings, error, sizeof(error)))
		fail_msg("%s", error);
	make_pipe(go, 0);
	target = fork();
	if (!target)
		become_target(go[0], name);
	assert_int_equal(source_bpf.attach(s, target, &(enum ipc_reason){ 0 }), 0);
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

static inline void record(const char *name)
{
	assert_int_equal(record_status(name, false), 0);
}

/* ---- comparing ---- */

/* The n-th definition of this kind about pid (image, gone) or of image (thread); NULL: none. */
static inline const struct definition *find(unsigned int kind, uint32_t id, int n)
{
	for (unsigned int i = 0; i < n_defs; i++) {
		const struct ipc_def *d = &defs[i].def;
		uint32_t is = kind == IPC_DEF_THREAD   ? d->thread_def.image
			      : kind == IPC_DEF_GONE   ? (uint32_t)d->gone.pid
			      : kind == IPC_DEF_LOSS   ? (uint32_t)d->loss.pid
			      : kind == IPC_DEF_OBJECT ? 0
			      : kind == IPC_DEF_SOCKET ? (uint32_t)d->socket.object
						       : (uint32_t)d->image.pid;
		if (d->call == kind && is == id && n-- == 0)
			return &defs[i];
	}
	return NULL;
}

static inline const struct ipc_def_image *image_of(uint64_t pid, int n)
{
	const struct definition *d = find(IPC_DEF_IMAGE, pid, n);
	if (!d)
		fail_msg("no image %d of %d", n, (int)pid);
	return &d->def.image;
}

static inline uint32_t thread_of(uint64_t pid, int image, int n)
{
	const struct definition *d = find(IPC_DEF_THREAD, image_of(pid, image)->image, n);
	if (!d)
		fail_msg("no thread %d of %d", n, (int)pid);
	return d->def.thread;
}

/* Walks the events of one thread in their order, but for signals, which come when they like, and for what is
 * told besides of descriptors that are passed. */
struct cursor {
	uint32_t thread;
	unsigned int at;
	uint64_t end;
};

static inline struct cursor cursor_of(uint64_t pid, int image, int thread)
{
	return (struct cursor){ .thread = thread_of(pid, image, thread) };
}

static inline bool is_besides(const struct ipc_event *e)
{
	unsigned int mechanism = ipc_object_mechanism(e->object);
	return mechanism == IPC_MECH_signal || mechanism == IPC_MECH_fd_passing;
}

static inline const struct ipc_event *next(struct cursor *c)
{
	while (c->at < n_events && (events[c->at].thread != c->thread || is_besides(&events[c->at])))
		c->at++;
	return c->at < n_events ? &events[c->at++] : NULL;
}

static inline const struct ipc_event *expect_(struct cursor *c, int line, unsigned int call, uint64_t object,
					      int64_t result, uint64_t arg0, uint64_t arg1,
					      unsigned int flags)
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

static inline void expect_exit(struct cursor *c, uint64_t pid, int code, unsigned int flags)
{
	expect(c, exit_group, ipc_object(IPC_MECH_process, pid), 0, code << 8, 0, flags);
	assert_null(next(c));
	assert_null(find(IPC_DEF_GONE, pid, 0));
}

static inline uint64_t r(unsigned int fd)
{
	return ipc_arg0(fd, O_RDONLY);
}

static inline uint64_t w(unsigned int fd)
{
	return ipc_arg0(fd, O_WRONLY);
}

static inline uint64_t pipe_id(uint64_t inode)
{
	assert_true(inode != 0);
	return ipc_object(IPC_MECH_pipe, inode);
}

static inline uint64_t process_id(uint64_t pid)
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

static inline void expect_pipe(struct cursor *c, uint64_t object, int fd)
{
	expect(c, pipe2, object, 0, r(fd), 0, NONE);
	expect(c, pipe2, object, 0, w(fd + 1), 0, PART);
}

static int make_folder(void **state)
{
	static char path[] = /* a file system of its own: paths cross a mount */
		"/dev/shm/test_bpf.XXXXXX";

	(void)state;
	folder = mkdtemp(path);
	events = malloc(RECORDS_MAX * sizeof(*events));
	defs = malloc(DEFS_MAX * sizeof(*defs));
	defs_before = malloc(RECORDS_MAX * sizeof(*defs_before));
	if (!folder || !events || !defs || !defs_before)
		return -1;
	map_facts();
	return 0;
}

static int remove_folder(void **state)
{
	static const char *const files[] = { "/facts", "/fifo", "/file", "" };
	char path[256];

	(void)state;
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", folder, files[i]);
		remove(path);
	}
	free(events);
	free(defs);
	free(defs_before);
	return 0;
}

static int run_cases(const struct CMUnitTest *tests, size_t count)
{
	const struct source_settings settings = { .what = &everything };
	char error[512];
	struct source *s;

	int err = source_bpf.open(&s, &settings, error, sizeof(error));
	if (err == -EOPNOTSUPP || err == -EPERM) {
		printf("SKIP: %s\n", error);
		return 77;
	}
	if (!err)
		source_bpf.close(s);
	return _cmocka_run_group_tests("bpf", tests, count, make_folder, remove_folder);
}

#endif
