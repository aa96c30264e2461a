// SPDX-License-Identifier: BSD-2-Clause
/* The eBPF source against real children: message queues and eventfds. The truth is what msgget, fstat, /proc
 * and the calls themselves told the children. */
#include <sys/sysmacros.h>

#include "bpf_record.h"
#include "bpf_queue_work.h"

static uint64_t rw(unsigned int fd)
{
	return ipc_arg0(fd, O_RDWR);
}

/* The n-th definition of an object. */
static void expect_object(int n, uint64_t object, uint64_t inode, uint64_t generation, const char *text)
{
	const struct definition *d = find(IPC_DEF_OBJECT, 0, n);

	assert_non_null(d);
	assert_true(d->def.object.object == object);
	assert_int_equal(d->def.object.inode, inode);
	assert_int_equal(d->def.object.generation, generation);
	assert_string_equal(d->text, text);
	assert_int_equal(d->def.text, *text ? strlen(text) + 1 : 0);
}

static void expect_no_more(int n)
{
	assert_null(find(IPC_DEF_OBJECT, 0, n));
}

/* ---- System V ---- */

static const uint64_t no_fd = 0xffffffff;

static uint64_t sysv_id(uint64_t id)
{
	assert_true(facts[IPCNS] > 0);
	return ipc_object(IPC_MECH_sysv_msg, (facts[IPCNS] & 0xffffff) << 32 | id);
}

static void test_sysv(void **state)
{
	(void)state;
	record("sysv");
	uint64_t child = facts[PID], q = sysv_id(facts[ID]);
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(child, 0, 0);
	char text[32];

	expect(&a, msgget, q, facts[ID], no_fd, 0, NONE);
	expect(&a, msgget, q, facts[ID], no_fd, 0, NONE);
	expect(&a, clone, process_id(child), child, FORK_FLAGS, 0, NONE);
	expect(&b, msgsnd, q, 10, no_fd, 7, NONE);
	expect(&b, msgsnd, q, 0, no_fd, 3, NONE);
	expect(&b, msgsnd, q, 5, no_fd, 7, NONE);
	expect_exit(&b, child, 0, NONE);
	expect(&a, wait4, process_id(child), child, 0, 0, NONE);
	expect(&a, msgrcv, q, 0, no_fd, 3, NONE);
	expect(&a, msgrcv, q, 5, no_fd, 7, IPC_F_PEEK);
	expect(&a, msgrcv, q, -E2BIG, no_fd, 0, NONE);
	expect(&a, msgrcv, q, 4, no_fd, 7, IPC_F_FULL);
	expect(&a, msgrcv, q, 5, no_fd, 7, NONE);
	expect(&a, msgrcv, q, -ENOMSG, no_fd, 0, NONE);
	expect(&a, msgsnd, q, ROOM, no_fd, 1, NONE);
	expect(&a, msgsnd, q, ROOM, no_fd, 0x123456789a, NONE);
	expect(&a, msgsnd, q, -EAGAIN, no_fd, 0, IPC_F_NONBLOCK);
	expect(&a, msgsnd, q, -EINVAL, no_fd, 0, NONE);
	expect(&a, msgctl_rmid, q, 0, no_fd, 0, NONE);
	expect_exit(&a, target, 0, NONE);
	snprintf(text, sizeof(text), "key 0x%08x", (int)facts[KEY]);
	expect_object(0, q, facts[ID], facts[IPCNS], text);
	expect_object(1, q, facts[ID], facts[IPCNS], text);
	expect_no_more(2);
}

static void test_private(void **state)
{
	(void)state;
	record("private");
	uint64_t child = facts[PID], q = sysv_id(facts[ID]);
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(child, 0, 0);

	expect(&a, msgget, q, facts[ID], no_fd, 0, NONE);
	const struct ipc_event *waited = expect(&a, msgrcv, q, -EINTR, no_fd, 0, NONE);
	assert_true(waited->duration > 15000000);
	expect(&a, clone, process_id(child), child, FORK_FLAGS, 0, NONE);
	expect(&a, msgctl_rmid, q, 0, no_fd, 0, NONE);
	expect(&a, wait4, process_id(child), child, 0, 0, NONE);
	expect_exit(&a, target, 0, NONE);
	expect(&b, msgrcv, q, -EIDRM, no_fd, 0, NONE);
	expect_exit(&b, child, 0, NONE);
	expect_object(0, q, facts[ID], facts[IPCNS], "private");
}

static void test_found(void **state)
{
	int id = msgget(IPC_PRIVATE, 0600);
	char text[16];

	(void)state;
	snprintf(text, sizeof(text), "%d", id);
	setenv("QUEUE", text, 1);
	record("found");
	msgctl(id, IPC_RMID, NULL);
	uint64_t child = facts[PID], q = sysv_id(id);
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(child, 0, 0);

	expect(&a, clone, process_id(child), child, FORK_FLAGS, 0, NONE);
	expect(&a, wait4, process_id(child), child, SIGKILL, 0, NONE);
	expect(&a, msgsnd, q, 20, no_fd, 2, NONE);
	expect_exit(&a, target, 0, NONE);
	expect(&b, msgrcv, q, 0, no_fd, 0, IPC_F_INSIDE);
	assert_null(next(&b));
	expect_object(0, q, id, facts[IPCNS], "");
	expect_no_more(1);
}

static void test_isolated(void **state)
{
	struct stat st;

	(void)state;
	record("isolated");
	struct cursor a = cursor_of(target, 0, 0);

	assert_int_equal(stat("/proc/self/ns/ipc", &st), 0);
	assert_int_not_equal(st.st_ino, facts[IPCNS]);
	expect(&a, msgget, sysv_id(facts[ID]), facts[ID], no_fd, 0, NONE);
	expect_exit(&a, target, 0, NONE);
	expect_object(0, sysv_id(facts[ID]), facts[ID], facts[IPCNS], "private");
}

/* ---- POSIX ---- */

/* Its object, as the only definition names it. */
static uint64_t posix_id(void)
{
	const struct definition *d = find(IPC_DEF_OBJECT, 0, 0);
	char name[32];

	assert_non_null(d);
	uint64_t object = d->def.object.object;
	snprintf(name, sizeof(name), "/ipctrace.%d", target);
	expect_object(0, object, facts[INODE], d->def.object.generation, name);
	expect_no_more(1);
	assert_int_equal(ipc_object_mechanism(object), IPC_MECH_posix_mq);
	assert_int_equal(d->def.object.dev_major, major(facts[DEVICE]));
	assert_int_equal(d->def.object.dev_minor, minor(facts[DEVICE]));
	return object;
}

static void test_posix(void **state)
{
	(void)state;
	record("posix");
	uint64_t q = posix_id(), fd = ipc_arg0(3, O_RDWR | O_NONBLOCK), blocked = facts[PID];
	struct cursor a = cursor_of(target, 0, 0);

	expect(&a, mq_open, q, 3, fd, 0, NONE);
	expect(&a, mq_timedsend, q, 5, fd, 1, NONE);
	expect(&a, mq_timedsend, q, 0, fd, 10, NONE);
	expect(&a, mq_timedsend, q, -EAGAIN, fd, 0, IPC_F_NONBLOCK);
	expect(&a, mq_timedsend, q, -EMSGSIZE, fd, 0, NONE);
	expect(&a, mq_open, q, 4, r(4), 0, NONE);
	expect(&a, dup2, q, 20, r(20), 0, NONE);
	uint64_t child = next(&a)->result; /* clone */
	expect(&a, wait4, process_id(child), child, 0, 0, NONE);
	expect(&a, mq_timedreceive, q, -EAGAIN, fd, 0, IPC_F_NONBLOCK);
	expect(&a, poll, q, 1, fd, POLLOUT, NONE);
	expect(&a, mq_notify, q, 0, fd, 0, NONE);
	expect(&a, close, q, 0, r(4), 0, NONE);
	expect(&a, clone, process_id(blocked), blocked, FORK_FLAGS, 0, NONE);
	expect(&a, wait4, process_id(blocked), blocked, SIGKILL, 0, NONE);
	expect_exit(&a, target, 0, NONE);

	struct cursor b = cursor_of(child, 0, 0), c = cursor_of(blocked, 0, 0);
	expect(&b, inherit, q, 3, fd, 0, NONE);
	expect(&b, inherit, q, 4, r(4), 0, NONE);
	expect(&b, inherit, q, 20, r(20), 0, NONE);
	expect(&b, mq_timedreceive, q, 0, r(4), 10, NONE);
	expect(&b, mq_timedreceive, q, 5, r(20), 0, NONE);
	expect_exit(&b, child, 0, NONE);
	expect(&c, inherit, q, 3, fd, 0, NONE);
	expect(&c, inherit, q, 20, r(20), 0, NONE);
	expect(&c, mq_timedreceive, q, 0, r(20), 0, IPC_F_INSIDE);
	assert_null(next(&c));
}

static void test_mounted(void **state)
{
	(void)state;
	record("mounted");
	struct cursor a = cursor_of(target, 0, 0);

	expect(&a, openat, posix_id(), 3, rw(3), 0, NONE);
	expect_exit(&a, target, 0, NONE);
}

/* ---- eventfd ---- */

static uint64_t eventfd_id(int fact)
{
	return ipc_object(IPC_MECH_eventfd, facts[fact]);
}

static void test_eventfd(void **state)
{
	(void)state;
	record("eventfd");
	uint64_t child = facts[PID], x = eventfd_id(EVENTFD), timer = ipc_own_object(IPC_MECH_timerfd, 0, 1);
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(child, 0, 0);

	expect(&a, eventfd2, x, 3, rw(3), 5, NONE);
	expect(&a, timerfd_create, timer, 5, rw(5), 0, NONE);
	expect(&a, write, x, 8, rw(3), 7, NONE);
	expect(&a, read, x, 8, rw(3), 12, NONE);
	expect(&a, writev, x, 16, rw(3), 0x100000007, NONE);
	assert_int_equal(expect(&a, epoll_add, x, 0, rw(3), 42, NONE)->tag, 4);
	expect(&a, epoll_wait, 0, 1, 0, 42, NONE);
	expect(&a, clone, process_id(child), child, FORK_FLAGS, 0, NONE);
	expect(&a, wait4, process_id(child), child, 0, 0, NONE);
	expect(&a, read, x, -EINVAL, rw(3), 0, NONE);
	expect(&a, timerfd_settime, timer, 0, rw(5), 0, NONE);
	expect(&a, read, timer, 8, rw(5), 1, NONE);
	expect(&a, close, x, 0, rw(3), 0, NONE);
	expect(&a, eventfd, eventfd_id(EVENTFD_2), 3, rw(3), 0, NONE);
	expect_exit(&a, target, 0, NONE);
	expect(&b, inherit, x, 3, rw(3), 0, NONE);
	expect(&b, inherit, timer, 5, rw(5), 0, NONE);
	expect(&b, readv, x, 8, rw(3), 0x100000007, NONE);
	expect_exit(&b, child, 0, NONE);
}

static void test_semaphore(void **state)
{
	(void)state;
	record("semaphore");
	uint64_t child = facts[PID], x = eventfd_id(EVENTFD), y = eventfd_id(EVENTFD_2),
		 fd = ipc_arg0(3, O_RDWR | O_NONBLOCK);
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(child, 0, 0);

	assert_true(x != y);
	expect(&a, eventfd2, x, 3, fd, 2, NONE);
	expect(&a, read, x, 8, fd, 1, NONE);
	expect(&a, read, x, 8, fd, 1, NONE);
	expect(&a, read, x, -EAGAIN, fd, 0, IPC_F_NONBLOCK);
	expect(&a, write, x, 8, fd, UINT64_MAX - 1, NONE);
	expect(&a, write, x, -EAGAIN, fd, 0, IPC_F_NONBLOCK);
	expect(&a, eventfd2, y, 4, rw(4), 0, NONE);
	expect(&b, inherit, x, 3, fd, 0, NONE);
	expect(&b, inherit, y, 4, rw(4), 0, NONE);
	expect(&b, read, y, 0, rw(4), 0, IPC_F_INSIDE);
	assert_null(next(&b));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sysv),	cmocka_unit_test(test_private),
		cmocka_unit_test(test_found),	cmocka_unit_test(test_isolated),
		cmocka_unit_test(test_posix),	cmocka_unit_test(test_mounted),
		cmocka_unit_test(test_eventfd), cmocka_unit_test(test_semaphore),
	};

	if (argc == 3) {
		folder = argv[2];
		map_facts();
		_exit(work(works, argv[1])); /* nothing of a sanitizer runs at the end */
	}
	return run_cases(tests, sizeof(tests) / sizeof(tests[0]));
}
