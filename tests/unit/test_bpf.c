// SPDX-License-Identifier: BSD-2-Clause
/* The eBPF source against real children: pipes, FIFOs, processes, threads, signals. */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "bpf_record.h"
#include "bpf_work.h"

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

static void expect_own_cgroup(const char *path)
{
	char line[512], own[600];
	FILE *f = fopen("/proc/self/cgroup", "r");

	snprintf(own, sizeof(own), "0::%s\n", path);
	while (fgets(line, sizeof(line), f) && strncmp(line, "0::", 3))
		;
	fclose(f);
	assert_string_equal(line, own);
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
	static const char text[] = "true\0/usr/bin/true", args[] = "true a b  c";
	const char *cgroup = d->text + sizeof(text);
	assert_memory_equal(d->text, text, sizeof(text));
	expect_own_cgroup(cgroup);
	assert_string_equal(cgroup + strlen(cgroup) + 1, args);
	assert_int_equal(d->def.text, sizeof(text) + strlen(cgroup) + 1 + sizeof(args));
	assert_int_equal(d->def.image.ns_pid, child);
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
	expect(&a, wait4, process_id(y), y, SIGTERM, 0, NONE);
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

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe),  cmocka_unit_test(test_fifo),    cmocka_unit_test(test_splice),
		cmocka_unit_test(test_dup),   cmocka_unit_test(test_exec),    cmocka_unit_test(test_killed),
		cmocka_unit_test(test_spawn), cmocka_unit_test(test_threads), cmocka_unit_test(test_signals),
		cmocka_unit_test(test_flood), cmocka_unit_test(test_alien),   cmocka_unit_test(test_inside),
		cmocka_unit_test(test_ends),
	};

	if (argc == 3) {
		folder = argv[2];
		map_facts();
		_exit(work(works, argv[1])); /* nothing of a sanitizer runs at the end */
	}
	return run_cases(tests, sizeof(tests) / sizeof(tests[0]));
}
