// SPDX-License-Identifier: BSD-2-Clause
/* Pseudo-terminals and descriptors that are passed: events in, channels and edges out (records.h). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <termios.h>

#include "records.h"

enum {
	TERMINAL = 10,
	SHELL = 20,
	OTHER = 30,
	INDEX = 7,
	DEVICE = 23,
	MASTER_FD = 3,
	SLAVE_FD = 4,
	ASKED = 1024
};

static const char *const key = "pty:pts/7";

static uint64_t master(void)
{
	return ipc_pty_object(DEVICE, INDEX | IPC_PTY_MASTER);
}

static uint64_t slave(void)
{
	return ipc_pty_object(DEVICE, INDEX);
}

static void does_at(uint32_t pid, enum ipc_call_id call, uint64_t object, uint64_t start, uint64_t end_ns,
		    int64_t result, uint64_t arg1, unsigned int flags)
{
	int fd = object == master() ? MASTER_FD : SLAVE_FD;
	struct ipc_event e = {
		.start = start,
		.duration = end_ns - start,
		.object = object,
		.result = result,
		.arg0 = ipc_arg0(fd, O_RDWR),
		.arg1 = arg1,
		.thread = pid,
		.call = call,
		.flags = flags,
	};
	tell(&e);
	if (end_ns > now)
		now = end_ns;
}

static void does(uint32_t pid, enum ipc_call_id call, uint64_t object, int64_t result, uint64_t arg1)
{
	does_at(pid, call, object, now + 1, now + 3, result, arg1, 0);
}

static void sends(uint32_t pid, uint64_t object, int64_t bytes)
{
	does(pid, IPC_CALL_write, object, bytes, (uint64_t)bytes);
}

static void receives(uint32_t pid, uint64_t object, int64_t bytes)
{
	does(pid, IPC_CALL_read, object, bytes, ASKED);
}

static void set(enum ipc_call_id call, uint64_t edits)
{
	now += 20000000;
	does(SHELL, call, slave(), 0, edits);
}

/* The terminal holds the master, the shell and another process the slave. */
static void terminal(void)
{
	begin();
	process(TERMINAL, 1, IPC_VIA_START);
	does(TERMINAL, IPC_CALL_openat, master(), MASTER_FD, 0);
	process(SHELL, TERMINAL, IPC_VIA_FORK);
	process(OTHER, TERMINAL, IPC_VIA_FORK);
	does(SHELL, IPC_CALL_openat, slave(), SLAVE_FD, 0);
	does(OTHER, IPC_CALL_openat, slave(), SLAVE_FD, 0);
}

static void expect_edge(int src, int dst, const char *where, uint64_t count, uint64_t bytes, bool exact)
{
	const struct store_edge *e = edge(src, dst, where);
	assert_int_equal(e->messages, count);
	assert_int_equal(e->bytes, bytes);
	assert_int_equal(e->exact, exact);
}

static size_t edges_on(unsigned int mechanism)
{
	size_t n = 0;
	for (size_t i = 0; i < fake.edges_count; i++)
		n += fake.channels[fake.edges[i].channel_id].mechanism == mechanism;
	return n;
}

/* Both directions are streams of their own. */
static void test_raw(void **state)
{
	(void)state;
	terminal();
	set(IPC_CALL_ioctl_tcsets, 0);
	sends(SHELL, slave(), 100);
	sends(TERMINAL, master(), 7);
	receives(TERMINAL, master(), 60);
	receives(TERMINAL, master(), 40);
	sends(OTHER, slave(), 5);
	receives(TERMINAL, master(), 5);
	receives(SHELL, slave(), 7);
	end();
	expect_edge(SHELL, TERMINAL, key, 1, 100, true);
	expect_edge(OTHER, TERMINAL, key, 1, 5, true);
	expect_edge(TERMINAL, SHELL, key, 1, 7, true);
	assert_int_equal(edges_on(IPC_MECH_pty), 3);
	assert_string_equal(channel(key, 0)->name, "/dev/pts/7");
	assert_string_equal(endpoint(TERMINAL, key)->role, "master");
	assert_string_equal(endpoint(SHELL, key)->role, "slave");
	assert_int_equal(channel(key, 0)->bytes_sent, 112);
}

/* What is received is more than what was sent (line ends), or less (erased). Bytes are those received, of the
 * last who wrote; none is exact. */
static void test_cooked(void **state)
{
	(void)state;
	terminal();
	sends(SHELL, slave(), 10);
	receives(TERMINAL, master(), 12);
	sends(OTHER, slave(), 20);
	receives(TERMINAL, master(), 15);
	receives(TERMINAL, master(), 8);
	sends(TERMINAL, master(), 9);
	receives(SHELL, slave(), 4); /* a line of what was 9 keys */
	sends(TERMINAL, master(), 3);
	receives(SHELL, slave(), 3);
	end();
	expect_edge(SHELL, TERMINAL, key, 1, 12, false);
	expect_edge(OTHER, TERMINAL, key, 1, 23, false);
	expect_edge(TERMINAL, SHELL, key, 2, 7, false);
	assert_int_equal(endpoint(TERMINAL, key)->bytes_sent, 12);
	assert_int_equal(endpoint(TERMINAL, key)->bytes_received, 35);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* The receive is seen before its send has returned; echo comes before anything was written. */
static void test_order(void **state)
{
	(void)state;
	terminal();
	sends(TERMINAL, master(), 5);
	receives(TERMINAL, master(), 6); /* echo */
	does_at(TERMINAL, IPC_CALL_read, master(), now + 10, now + 20, 11, ASKED, 0);
	does_at(SHELL, IPC_CALL_write, slave(), now - 5, now + 5, 10, 10, 0);
	end();
	expect_edge(SHELL, TERMINAL, key, 1, 17, false);
}

/* A direction is edited from the first send on that may be; the other one is not concerned. */
static void test_turns(void **state)
{
	(void)state;
	terminal();
	set(IPC_CALL_ioctl_tcsets, IPC_PTY_EDITS_OUTPUT);
	sends(TERMINAL, master(), 9);
	receives(SHELL, slave(), 9);
	sends(SHELL, slave(), 9);
	receives(TERMINAL, master(), 10);
	set(IPC_CALL_ioctl_tcsets2, 0);
	sends(SHELL, slave(), 9);
	receives(TERMINAL, master(), 9);
	end();
	expect_edge(TERMINAL, SHELL, key, 1, 9, true);
	expect_edge(SHELL, TERMINAL, key, 2, 19, false);

	/* Echo goes to the one who wrote; packet mode puts bytes before. */
	terminal();
	set(IPC_CALL_ioctl_tcsetsw, IPC_PTY_ECHOES);
	sends(TERMINAL, master(), 4);
	receives(SHELL, slave(), 4);
	sends(SHELL, slave(), 4);
	receives(TERMINAL, master(), 8);
	end();
	expect_edge(TERMINAL, SHELL, key, 1, 4, true);
	expect_edge(SHELL, TERMINAL, key, 1, 8, false);

	terminal();
	set(IPC_CALL_ioctl_tcsets, 0);
	does(TERMINAL, IPC_CALL_ioctl_tiocpkt, master(), 0, 1);
	sends(SHELL, slave(), 4);
	receives(TERMINAL, master(), 5);
	end();
	expect_edge(SHELL, TERMINAL, key, 1, 5, false);
}

/* What a flush, or a change, meets on its way is not certain; what was read before is. */
static void test_flush(void **state)
{
	(void)state;
	for (int unread = 0; unread < 2; unread++) {
		terminal();
		set(IPC_CALL_ioctl_tcsets, 0);
		sends(TERMINAL, master(), 10);
		if (!unread)
			receives(SHELL, slave(), 10);
		now += 20000000;
		does(SHELL, IPC_CALL_ioctl_tcflsh, slave(), 0, TCIFLUSH);
		sends(TERMINAL, master(), 20);
		receives(SHELL, slave(), 20);
		sends(SHELL, slave(), 1);
		receives(TERMINAL, master(), 1);
		end();
		expect_edge(TERMINAL, SHELL, key, unread ? 1 : 2, unread ? 20 : 30, !unread);
		expect_edge(SHELL, TERMINAL, key, 1, 1, true);
	}
	for (int late = 0; late < 2; late++) { /* the start of the ioctl was not seen: it may overlap */
		terminal();
		set(IPC_CALL_ioctl_tcsets, 0);
		sends(SHELL, slave(), 10);
		receives(TERMINAL, master(), 10);
		does_at(SHELL, IPC_CALL_ioctl_tcsets, slave(), now + 5, now + 5, 0, IPC_PTY_EDITS_OUTPUT,
			late ? IPC_F_NO_START : 0);
		sends(TERMINAL, master(), 2);
		receives(OTHER, slave(), 2);
		end();
		expect_edge(SHELL, TERMINAL, key, 1, 10, true); /* told before */
		expect_edge(TERMINAL, OTHER, key, 1, 2, true);
	}
}

/* Opening the master makes a new one; the slave's settings are those of a new terminal. */
static void test_again(void **state)
{
	(void)state;
	terminal();
	set(IPC_CALL_ioctl_tcsets, 0);
	sends(SHELL, slave(), 5);
	receives(TERMINAL, master(), 5);
	does(SHELL, IPC_CALL_close, slave(), 0, 0);
	does(OTHER, IPC_CALL_close, slave(), 0, 0);
	does(TERMINAL, IPC_CALL_close, master(), 0, 0);
	does(OTHER, IPC_CALL_openat, master(), MASTER_FD, 0);
	does(SHELL, IPC_CALL_ioctl_ptpeer, slave(), SLAVE_FD, 0);
	sends(SHELL, slave(), 5);
	receives(OTHER, master(), 6);
	end();
	expect_edge(SHELL, TERMINAL, key, 1, 5, true);
	expect_edge(SHELL, OTHER, key, 1, 6, false);
	assert_int_equal(channel(key, 0)->bytes_sent, 5);
	assert_int_equal(channel(key, 1)->bytes_sent, 5);
}

/* The terminal is outside the trace. */
static void test_outside(void **state)
{
	(void)state;
	begin();
	process(SHELL, 1, IPC_VIA_START);
	does(SHELL, IPC_CALL_inherit, slave(), SLAVE_FD, 0);
	sends(SHELL, slave(), 5);
	sends(SHELL, slave(), 6);
	receives(SHELL, slave(), 3);
	end();
	assert_int_equal(edges_on(IPC_MECH_pty), 2);
	const struct store_process *p = row_of(0, 0);
	assert_string_equal(p->comm, "terminal");
	assert_string_equal(p->coverage, "untraced");
	expect_edge(SHELL, 0, key, 2, 11, true);
	expect_edge(0, SHELL, key, 1, 3, true);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* ---- descriptors that are passed ---- */

enum { LEFT = 501, RIGHT = 502, FIRST = 601, SECOND = 602 };
static const char *const passing_key = "fd_passing:[501]-[502]";

static uint64_t end_of_pair(int inode)
{
	return ipc_object(IPC_MECH_unix_stream, inode);
}

static void are_a_pair(int left, int right)
{
	for (int inode = left; inode <= right; inode++) {
		struct ipc_def d = { .call = IPC_DEF_SOCKET, .thread = SHELL };
		d.socket.object = end_of_pair(inode);
		d.socket.peer = left + right - inode;
		d.socket.state = IPC_SOCKET_PAIR;
		define(d, "\0\0", 2);
	}
}

static void pair(void)
{
	begin();
	process(SHELL, 1, IPC_VIA_START);
	process(OTHER, SHELL, IPC_VIA_FORK);
	are_a_pair(LEFT, RIGHT);
	does(SHELL, IPC_CALL_socketpair, end_of_pair(LEFT), MASTER_FD, 0);
	does(SHELL, IPC_CALL_socketpair, end_of_pair(RIGHT), SLAVE_FD, 0);
	does(OTHER, IPC_CALL_inherit, end_of_pair(RIGHT), SLAVE_FD, 0);
}

/* A message of one byte with the descriptors of these files, of which y and z are sockets. */
static void carries(uint32_t pid, int inode, bool sending, const char *files, unsigned int flags)
{
	uint64_t start = now + 1, end_ns = now + 3;
	does_at(pid, sending ? IPC_CALL_sendmsg : IPC_CALL_recvmsg, end_of_pair(inode), start, end_ns, 1, 1,
		flags);
	for (; *files; files++) {
		struct ipc_event e = {
			.start = start,
			.duration = end_ns - start,
			.object = ipc_object(IPC_MECH_fd_passing, inode),
			.result = *files - 'a', /* descriptor 0 too */
			.arg0 = ipc_arg0(MASTER_FD, 0),
			.arg1 = *files >= 'y' ? end_of_pair(FIRST + *files - 'y') : 0,
			.thread = pid,
			.call = sending ? IPC_CALL_sendmsg_passed : IPC_CALL_recvmsg_passed,
			.flags = IPC_F_PART | flags,
			.tag = *files,
		};
		tell(&e);
	}
}

static void test_passed(void **state)
{
	(void)state;
	pair();
	carries(SHELL, LEFT, true, "ab", 0);
	carries(OTHER, RIGHT, false, "ab", IPC_F_PEEK);
	carries(OTHER, RIGHT, false, "ab", 0);
	carries(OTHER, RIGHT, true, "c", 0);
	carries(SHELL, LEFT, false, "c", 0);
	end();
	expect_edge(SHELL, OTHER, passing_key, 2, 0, true);
	expect_edge(OTHER, SHELL, passing_key, 1, 0, true);
	assert_int_equal(endpoint(SHELL, passing_key)->sends, 2);
	assert_int_equal(endpoint(OTHER, passing_key)->receives, 2);
	assert_int_equal(channel(passing_key, 0)->lost, 0);
	assert_int_equal(edges_on(IPC_MECH_fd_passing), 2);
}

/* What a descriptor is an end of is told at both ends; of two sockets that turn out to be one connection too.
 */
static void test_what_was_passed(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		pair();
		if (!late)
			are_a_pair(FIRST, SECOND);
		does(SHELL, IPC_CALL_socketpair, end_of_pair(FIRST), SLAVE_FD + 1, 0);
		does(SHELL, IPC_CALL_socketpair, end_of_pair(SECOND), SLAVE_FD + 2, 0);
		carries(SHELL, LEFT, true, "yaz", 0);
		carries(OTHER, RIGHT, false, "yaz", 0);
		if (late)
			are_a_pair(FIRST, SECOND);
		end();
		uint32_t id = channel("unix:[601]-[602]", 0)->id;
		assert_int_equal(fake.passed_count, 6);
		for (int i = 0; i < 6; i++) {
			assert_int_equal(fake.passed[i].channel, i % 3 == 1 ? 0 : id);
			assert_int_equal(fake.lanes[fake.events[fake.passed[i].event].lane].call,
					 i < 3 ? IPC_CALL_sendmsg_passed : IPC_CALL_recvmsg_passed);
		}
	}
}

/* No room for all, for none; at the end too. What lies in the socket unread is not lost. */
static void test_dropped(void **state)
{
	(void)state;
	for (int unread = 0; unread < 2; unread++) {
		pair();
		carries(SHELL, LEFT, true, "abc", 0);
		carries(OTHER, RIGHT, false, "a", IPC_F_TRUNCATED);
		carries(SHELL, LEFT, true, "d", 0);
		carries(OTHER, RIGHT, false, "", 0);
		carries(SHELL, LEFT, true, "e", 0);
		carries(OTHER, RIGHT, false, "e", 0);
		carries(SHELL, LEFT, true, "fg", 0);
		if (!unread)
			carries(OTHER, RIGHT, false, "", 0);
		end();
		expect_edge(SHELL, OTHER, passing_key, 2, 0, true);
		assert_int_equal(channel(passing_key, 0)->lost, unread ? 3 : 5);
	}
}

/* Events that were dropped count all the same. */
static void test_overflow(void **state)
{
	(void)state;
	pair();
	carries(SHELL, LEFT, true, "a", 0);
	carries(OTHER, RIGHT, false, "a", 0);
	struct collector_total total = { .dropped = true, .verb = IPC_VERB_send, .moved = 5 };
	total.image = SHELL;
	total.object = ipc_object(IPC_MECH_fd_passing, LEFT);
	collector_total(c, COLLECTOR_SHIM, now, &total);
	total = (struct collector_total){ .dropped = true, .verb = IPC_VERB_recv, .moved = 4 };
	total.image = OTHER;
	total.object = ipc_object(IPC_MECH_fd_passing, RIGHT);
	collector_total(c, COLLECTOR_SHIM, now, &total);
	end();
	assert_int_equal(endpoint(SHELL, passing_key)->sends, 6);
	assert_int_equal(endpoint(OTHER, passing_key)->receives, 5);
	expect_edge(SHELL, OTHER, passing_key, 1, 0, false);
}

/* pidfd_getfd: the other process made no call. */
static void test_taken(void **state)
{
	(void)state;
	for (int known = 0; known < 2; known++) {
		pair();
		does(OTHER, IPC_CALL_pidfd_getfd,
		     ipc_object(IPC_MECH_fd_passing, IPC_PASSING_PID | (known ? SHELL : 77)), 0, 0);
		end();
		assert_int_equal(endpoint(OTHER, known ? "fd_passing:pid:20" : "fd_passing:pid:77")->receives,
				 1);
		assert_int_equal(lost(IPC_REASON_unmatched), !known);
		if (known)
			expect_edge(SHELL, OTHER, "fd_passing:pid:20", 1, 0, true);
	}
}

/* Whatever comes, in whatever order: nothing breaks. */
static void test_noise(void **state)
{
	(void)state;
	const enum ipc_call_id calls[] = {
		IPC_CALL_read,		 IPC_CALL_write,	  IPC_CALL_openat,
		IPC_CALL_close,		 IPC_CALL_ioctl_tcsets,	  IPC_CALL_ioctl_tcsetsf,
		IPC_CALL_ioctl_tcflsh,	 IPC_CALL_ioctl_tiocpkt,  IPC_CALL_ioctl_ptpeer,
		IPC_CALL_inherit,	 IPC_CALL_sendmsg,	  IPC_CALL_recvmsg,
		IPC_CALL_sendmsg_passed, IPC_CALL_recvmsg_passed, IPC_CALL_pidfd_getfd,
		IPC_CALL_socketpair,
	};
	srand(1);
	for (int round = 0; round < 30; round++) {
		fake.pending = round % 2 ? 10 : 0;
		pair();
		for (int i = 0; i < 3000; i++) {
			const uint64_t objects[] = { master(),
						     slave(),
						     end_of_pair(LEFT),
						     end_of_pair(RIGHT),
						     ipc_object(IPC_MECH_fd_passing, LEFT),
						     ipc_object(IPC_MECH_fd_passing, RIGHT),
						     ipc_object(IPC_MECH_fd_passing, IPC_PASSING_PID | SHELL),
						     ipc_object(IPC_MECH_fd_passing, 9) };
			uint64_t start = now > 500 ? now - rand() % 500 : now;
			does_at(rand() % 2 ? SHELL : OTHER, calls[rand() % 16], objects[rand() % 8], start,
				start + rand() % 200, rand() % 12 - 2, rand() % 9,
				rand() % 10 ? 0 : 1 << rand() % 13);
			now += rand() % 64 ? rand() % 10 : rand() % 1500000000;
			if (rand() % 300 == 0)
				step();
		}
		end();
	}
	fake.pending = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_cooked),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_passed),
		cmocka_unit_test(test_what_was_passed),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_noise),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
