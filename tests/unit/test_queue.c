// SPDX-License-Identifier: BSD-2-Clause
/* Message queues and counters: definitions and events in, channels and edges out (records.h). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/stat.h>

#include "records.h"

enum { SERVER = 10, A = 20, B = 30, ID = 98304, NS = 0xf0000001, INODE = 900, FD = 5, COUNTER = 41 };

static const char *const key = "sysv_msg:4026531841:98304";

/* ---- what a source tells ---- */

static uint64_t sysv(void)
{
	return ipc_object(IPC_MECH_sysv_msg, ID | (uint64_t)(NS & 0xffffff) << 32);
}

static uint64_t posix(void)
{
	return ipc_object(IPC_MECH_posix_mq, 0x1234);
}

static uint64_t counter(void)
{
	return ipc_object(IPC_MECH_eventfd, COUNTER);
}

static void define_queue(uint64_t object, uint64_t inode, uint64_t generation, const char *name)
{
	struct ipc_def d = { .call = IPC_DEF_OBJECT };
	d.object = (struct ipc_def_object){
		.object = object, .inode = inode, .generation = generation, .dev_minor = 19
	};
	define(d, name, strlen(name));
}

static void does_at(uint32_t thread_number, enum ipc_call_id call, uint64_t object, uint64_t start,
		    uint64_t end_ns, int64_t result, uint64_t arg1, unsigned int flags)
{
	struct ipc_event e = {
		.start = start,
		.duration = end_ns - start,
		.object = object,
		.result = result,
		.arg0 = ipc_object_mechanism(object) == IPC_MECH_sysv_msg ? 0 : ipc_arg0(FD, O_RDWR),
		.arg1 = arg1,
		.thread = thread_number,
		.call = call,
		.flags = flags,
	};
	tell(&e);
	if (end_ns > now)
		now = end_ns;
}

static void does(uint32_t thread_number, enum ipc_call_id call, uint64_t object, int64_t result,
		 uint64_t arg1)
{
	does_at(thread_number, call, object, now + 1, now + 3, result, arg1, 0);
}

static void snd(uint32_t thread_number, uint64_t type, int64_t bytes)
{
	does(thread_number, IPC_CALL_msgsnd, sysv(), bytes, type);
}

static void rcv(uint32_t thread_number, uint64_t type, int64_t bytes)
{
	does(thread_number, IPC_CALL_msgrcv, sysv(), bytes, type);
}

/* Type as the kernel's argument: priority + 1. */
static void mq_send_to(uint32_t thread_number, uint64_t type, int64_t bytes)
{
	does(thread_number, IPC_CALL_mq_timedsend, posix(), bytes, type);
}

static void mq_receive_from(uint32_t thread_number, uint64_t type, int64_t bytes)
{
	does(thread_number, IPC_CALL_mq_timedreceive, posix(), bytes, type);
}

static void posts(uint32_t thread_number, uint64_t value)
{
	does(thread_number, IPC_CALL_write, counter(), 8, value);
}

static void takes(uint32_t thread_number, uint64_t value)
{
	does(thread_number, IPC_CALL_read, counter(), 8, value);
}

static void three_processes(void)
{
	begin();
	process(SERVER, 1, IPC_VIA_START);
	process(A, SERVER, IPC_VIA_FORK);
	process(B, SERVER, IPC_VIA_FORK);
}

static void found(void)
{
	define_queue(sysv(), ID, NS, "key 0x1234abcd");
	does(SERVER, IPC_CALL_msgget, sysv(), ID, 0);
}

static void opened(uint32_t thread_number, enum ipc_call_id call, uint64_t object, uint64_t value)
{
	does(thread_number, call, object, FD, value);
}

/* ---- what came of it ---- */

static void expect_edge(int src, int dst, const char *where, uint64_t count, uint64_t bytes, bool exact)
{
	const struct store_edge *e = edge(src, dst, where);
	assert_int_equal(e->messages, count);
	assert_int_equal(e->bytes, bytes);
	assert_int_equal(e->exact, exact);
}

static const struct store_lane *lane_of_call(enum ipc_call_id call)
{
	for (size_t i = 1; i < fake.lanes_count; i++)
		if (fake.lanes[i].call == call)
			return &fake.lanes[i];
	fail_msg("no lane of %s", ipc_call_names[call]);
	return NULL;
}

static size_t edges_on(unsigned int mechanism)
{
	size_t n = 0;
	for (size_t i = 0; i < fake.edges_count; i++)
		n += fake.channels[fake.edges[i].channel_id].mechanism == mechanism;
	return n;
}

/* ---- System V ---- */

/* A server takes type 1, and answers each client by its pid: all through one queue, all of one size. */
static void test_types(void **state)
{
	(void)state;
	three_processes();
	found();
	for (int round = 0; round < 3; round++) {
		snd(A, 1, 40);
		snd(B, 1, 40);
		rcv(SERVER, 1, 40);
		rcv(SERVER, 1, 40);
		snd(SERVER, B, 40);
		snd(SERVER, A, 40);
		rcv(A, A, 40);
		rcv(B, B, 40);
	}
	end();
	expect_edge(A, SERVER, key, 3, 120, true);
	expect_edge(B, SERVER, key, 3, 120, true);
	expect_edge(SERVER, A, key, 3, 120, true);
	expect_edge(SERVER, B, key, 3, 120, true);
	assert_int_equal(edges_on(IPC_MECH_sysv_msg), 4);
	assert_string_equal(channel(key, 0)->name, "key 0x1234abcd");
	assert_int_equal(channel(key, 0)->bytes_received, 480);
	assert_string_equal(endpoint(SERVER, key)->role, "both");
	assert_int_equal(endpoint(A, key)->sends, 3);
	assert_int_equal(lane_of_call(IPC_CALL_msgsnd)->fd, -1);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* Within a type order tells; an empty message is one; what is looked at stays; what is cut off is found. */
static void test_order(void **state)
{
	(void)state;
	three_processes();
	found();
	uint64_t first = now + 1;
	snd(A, 7, 0);
	snd(A, 7, 100);
	snd(B, 9, 0);
	does_at(SERVER, IPC_CALL_msgrcv, sysv(), now + 1, now + 2, 100, 7, IPC_F_PEEK);
	uint64_t nine = now + 1;
	rcv(SERVER, 9, 0);
	uint64_t seven = now + 1;
	rcv(SERVER, 7, 0);
	does_at(SERVER, IPC_CALL_msgrcv, sysv(), now + 1, now + 2, 60, 7, IPC_F_FULL);
	does_at(SERVER, IPC_CALL_msgrcv, sysv(), now + 1, now + 2, -EAGAIN, 0, IPC_F_NONBLOCK);
	end();
	expect(first, seven, 0, true);
	expect(first + 6, nine, 0, true);
	expect_edge(A, SERVER, key, 2, 60, true);
	assert_int_equal(endpoint(SERVER, key)->receives, 3);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* Two senders at the same time: who was first is not known, but one process had it all. */
static void test_overlap(void **state)
{
	(void)state;
	three_processes();
	found();
	uint64_t t = now + 10;
	does_at(A, IPC_CALL_msgsnd, sysv(), t, t + 10, 8, 1, 0);
	does_at(B, IPC_CALL_msgsnd, sysv(), t + 5, t + 12, 8, 1, 0);
	does_at(SERVER, IPC_CALL_msgrcv, sysv(), t + 20, t + 22, 8, 1, 0);
	step();
	uint64_t second = t + 30;
	does_at(SERVER, IPC_CALL_msgrcv, sysv(), second, second + 2, 8, 1, 0);
	end();
	expect(t, t + 20, 8, false);
	expect(t + 5, second, 8, false);
	expect_edge(A, SERVER, key, 1, 8, true);
	expect_edge(B, SERVER, key, 1, 8, true);

	/* Two took of it: whose is whose is not known. What is of another type is. */
	three_processes();
	found();
	t = now + 10;
	does_at(A, IPC_CALL_msgsnd, sysv(), t, t + 10, 8, 1, 0);
	does_at(B, IPC_CALL_msgsnd, sysv(), t + 5, t + 12, 8, 1, 0);
	rcv(SERVER, 1, 8);
	rcv(B, 1, 8);
	snd(SERVER, 2, 8);
	rcv(A, 2, 8);
	end();
	assert_int_equal(messages(), 3);
	expect_edge(A, SERVER, key, 1, 8, false);
	expect(now - 5, now - 2, 8, true);
}

/* A receive whose send nobody saw: somebody outside sends too. */
static void test_outside(void **state)
{
	(void)state;
	three_processes();
	found();
	snd(A, 1, 8);
	rcv(SERVER, 1, 8);
	rcv(SERVER, 1, 8);
	end();
	expect_edge(A, SERVER, key, 1, 8, false);
	assert_int_equal(lost(IPC_REASON_unmatched), 1);
	assert_true(channel(key, 0)->partial);
}

/* A removed queue's number is used again; the descriptors of the process are not concerned. */
static void test_removed(void **state)
{
	(void)state;
	three_processes();
	hold(A, R);
	found();
	snd(A, 1, 8);
	does(A, IPC_CALL_msgctl_rmid, sysv(), 0, 0);
	now += 3000000000;
	step();
	found();
	snd(B, 1, 16);
	rcv(SERVER, 1, 16);
	end();
	assert_int_equal(channel(key, 0)->bytes_sent, 8);
	assert_int_equal(channel(key, 1)->bytes_sent, 16);
	expect_edge(B, SERVER, key, 1, 16, true);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* What a queue held before the recording nobody can tell from what is sent to it now. */
static void test_left_over(void **state)
{
	(void)state;
	struct {
		long type;
		char text[8];
	} message = { 1, "before" };
	struct stat ns;
	char own[64];
	int id = msgget(IPC_PRIVATE, 0600);
	if (id < 0 || stat("/proc/self/ns/ipc", &ns))
		skip();
	assert_int_equal(msgsnd(id, &message, sizeof(message.text), 0), 0);
	three_processes();
	msgctl(id, IPC_RMID, NULL);
	uint64_t object = ipc_object(IPC_MECH_sysv_msg, (uint32_t)id | (ns.st_ino & 0xffffff) << 32);
	snprintf(own, sizeof(own), "sysv_msg:%llu:%d", (unsigned long long)ns.st_ino, id);
	define_queue(object, id, ns.st_ino, "private");
	does(A, IPC_CALL_msgsnd, object, 8, 1);
	does(B, IPC_CALL_msgrcv, object, 8, 1);
	does(B, IPC_CALL_msgrcv, object, 8, 1);
	end();
	expect_edge(A, B, own, 1, 8, false);
	assert_true(channel(own, 0)->partial);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);

	id = msgget(IPC_PRIVATE, 0600);
	msgsnd(id, &message, sizeof(message.text), 0);
	three_processes();
	msgctl(id, IPC_RMID, NULL);
	object = ipc_object(IPC_MECH_sysv_msg, (uint32_t)id | (ns.st_ino & 0xffffff) << 32);
	snprintf(own, sizeof(own), "sysv_msg:%llu:%d", (unsigned long long)ns.st_ino, id);
	define_queue(object, id, ns.st_ino, "private");
	does(A, IPC_CALL_msgsnd, object, 8, 1); /* stays in it: what was taken is the older one */
	does(B, IPC_CALL_msgrcv, object, 8, 1);
	end();
	expect_edge(A, B, own, 1, 8, false);
}

/* Types without end, and queues without end: neither takes memory without end. */
static void test_many(void **state)
{
	(void)state;
	size_t before = 0;
	three_processes();
	fake.pending = 1 << 20;
	found();
	for (uint64_t i = 0; i < 200000; i++) {
		snd(A, 1000 + i, 8);
		rcv(SERVER, 1000 + i, 8);
		if (i % 1000 == 0)
			step();
		if (i == 100000)
			before = mallinfo2().uordblks;
	}
	fake.pending = 0;
	assert_in_range(mallinfo2().uordblks, 0, before + 60000000); /* the store's rows */
	end();
	expect_edge(A, SERVER, key, 200000, 1600000, true);
}

/* ---- POSIX ---- */

static const char *const mq_key = "posix_mq:0:19:900";

static void queue_open_to_all(void)
{
	three_processes();
	define_queue(posix(), INODE, 0, "/queue");
	opened(SERVER, IPC_CALL_mq_open, posix(), 0);
	opened(A, IPC_CALL_mq_open, posix(), 0);
	opened(B, IPC_CALL_mq_open, posix(), 0);
}

static void test_priorities_told(void **state)
{
	(void)state;
	queue_open_to_all();
	uint64_t low = now + 1;
	mq_send_to(A, 1, 8);
	uint64_t high = now + 1;
	mq_send_to(B, 32, 8);
	uint64_t first = now + 1;
	mq_receive_from(SERVER, 32, 8);
	uint64_t second = now + 1;
	mq_receive_from(SERVER, 1, 8);
	end();
	expect(high, first, 8, true);
	expect(low, second, 8, true);
	expect_edge(A, SERVER, mq_key, 1, 8, true);
	assert_string_equal(channel(mq_key, 0)->name, "/queue");
	assert_int_equal(lane_of_call(IPC_CALL_mq_timedsend)->fd, FD);
}

/* The highest first; of equal ones the oldest. One sender: all is exact. */
static void test_priorities_not_told(void **state)
{
	(void)state;
	queue_open_to_all();
	static const unsigned int priority[] = { 1, 3, 2, 3, 33 }, order[] = { 4, 1, 3, 2, 0 };
	uint64_t sent[5], got[5];
	for (int i = 0; i < 5; i++) {
		sent[i] = now + 1;
		mq_send_to(A, priority[i], 8);
	}
	for (int i = 0; i < 5; i++) {
		got[i] = now + 1;
		mq_receive_from(SERVER, 0, 8);
	}
	/* Nothing is there: the first that comes, whatever follows it. */
	uint64_t start = now + 1, one = start + 10, other = start + 20;
	does_at(A, IPC_CALL_mq_timedsend, posix(), one, one + 2, 8, 1, 0);
	does_at(A, IPC_CALL_mq_timedsend, posix(), other, other + 2, 8, 9, 0);
	does_at(SERVER, IPC_CALL_mq_timedreceive, posix(), start, start + 30, 8, 0, 0);
	mq_receive_from(SERVER, 0, 8);
	end();
	for (int i = 0; i < 5; i++)
		expect(sent[order[i]], got[i], 8, true);
	expect(one, start, 8, true);
	expect_edge(A, SERVER, mq_key, 7, 56, true);
}

/* Two senders, one priority: order tells, until one of another priority may have been there. */
static void test_priority_late(void **state)
{
	(void)state;
	queue_open_to_all();
	mq_send_to(A, 1, 8);
	mq_receive_from(SERVER, 0, 8);
	uint64_t t = now + 10;
	does_at(A, IPC_CALL_mq_timedsend, posix(), t, t + 2, 8, 1, 0);
	does_at(SERVER, IPC_CALL_mq_timedreceive, posix(), t + 10, t + 20, 8, 0, 0);
	step();
	does_at(B, IPC_CALL_mq_timedsend, posix(), t + 5, t + 30, 8, 9, 0);
	end();
	assert_int_equal(messages(), 2);
	expect(t, t + 10, 8, false);
	expect_edge(A, SERVER, mq_key, 2, 16, false);

	/* Others have come in between. */
	queue_open_to_all();
	t = now + 10;
	does_at(A, IPC_CALL_mq_timedsend, posix(), t, t + 2, 8, 1, 0);
	does_at(SERVER, IPC_CALL_mq_timedreceive, posix(), t + 10, t + 20, 8, 0, 0);
	step();
	does_at(A, IPC_CALL_mq_timedsend, posix(), t + 22, t + 24, 8, 2, 0);
	step();
	does_at(B, IPC_CALL_mq_timedsend, posix(), t + 5, t + 30, 8, 9, 0);
	end();
	expect(t, t + 10, 8, false);
}

/* It keeps what it holds while nobody has it open. */
static void test_kept(void **state)
{
	(void)state;
	queue_open_to_all();
	mq_send_to(A, 1, 8);
	for (int pid = SERVER; pid <= B; pid += 10)
		does(pid, IPC_CALL_close, posix(), 0, 0);
	now += 3000000000;
	step();
	opened(SERVER, IPC_CALL_mq_open, posix(), 0);
	mq_receive_from(SERVER, 1, 8);
	end();
	expect_edge(A, SERVER, mq_key, 1, 8, true);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* ---- eventfd ---- */

static const char *const counter_key = "eventfd:41";

static void counter_for_all(uint64_t value)
{
	three_processes();
	opened(SERVER, IPC_CALL_eventfd2, counter(), value);
	does(A, IPC_CALL_inherit, counter(), 0, 0);
	does(B, IPC_CALL_inherit, counter(), 0, 0);
}

/* A wait takes all that was posted, by whomever; units are no bytes. */
static void test_counter(void **state)
{
	(void)state;
	counter_for_all(0);
	posts(A, 1);
	posts(B, 2);
	posts(A, 1);
	takes(SERVER, 4);
	does(SERVER, IPC_CALL_read, counter(), -EAGAIN, 0);
	posts(B, 0);
	end();
	expect_edge(A, SERVER, counter_key, 2, 0, true);
	expect_edge(B, SERVER, counter_key, 1, 0, true);
	assert_int_equal(endpoint(SERVER, counter_key)->receives, 1);
	assert_int_equal(endpoint(B, counter_key)->sends, 2);
	assert_int_equal(endpoint(B, counter_key)->bytes_sent, 0);
	assert_string_equal(endpoint(B, counter_key)->role, "writer");
	assert_string_equal(endpoint(SERVER, counter_key)->role, "reader");
	assert_int_equal(channel(counter_key, 0)->bytes_sent, 0);
	assert_int_equal(lane_of_call(IPC_CALL_write)->verb, IPC_VERB_post);
	assert_int_equal(lane_of_call(IPC_CALL_read)->verb, IPC_VERB_wait);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* One at a time, of a counter that begins with 2. */
static void test_semaphore(void **state)
{
	(void)state;
	counter_for_all(2);
	posts(A, 3);
	for (int i = 0; i < 5; i++)
		takes(i % 2 ? B : SERVER, 1);
	end();
	expect_edge(SERVER, SERVER, counter_key, 1, 0, true);
	expect_edge(SERVER, B, counter_key, 1, 0, true);
	expect_edge(A, SERVER, counter_key, 1, 0, true);
	expect_edge(A, B, counter_key, 1, 0, true);
	assert_int_equal(endpoint(SERVER, counter_key)->sends, 0);
	assert_string_equal(endpoint(SERVER, counter_key)->role, "both");
	assert_int_equal(endpoint(SERVER, counter_key)->receives, 3);
}

/* A number is used again at once. One that was there before is not known. */
static void test_counter_again(void **state)
{
	(void)state;
	counter_for_all(0);
	posts(A, 1);
	for (int pid = SERVER; pid <= B; pid += 10)
		does(pid, IPC_CALL_close, counter(), 0, 0);
	opened(B, IPC_CALL_eventfd, counter(), 0);
	posts(B, 1);
	takes(B, 1);
	end();
	expect_edge(B, B, counter_key, 1, 0, true);
	assert_non_null(channel(counter_key, 1));
	assert_int_equal(edges_on(IPC_MECH_eventfd), 1);

	three_processes();
	does(A, IPC_CALL_inherit, counter(), 0, 0);
	posts(A, 1);
	takes(A, 1);
	end();
	expect_edge(A, A, counter_key, 1, 0, false);
}

/* ---- System V semaphores ---- */

enum { SEMS = 7 };

static const char *const sem_key = "sysv_sem:4026531841:7#2";

static uint64_t sem(void)
{
	return ipc_sem_object(NS, SEMS, 2);
}

static void made(void)
{
	three_processes();
	define_queue(ipc_sem_object(NS, SEMS, 0), SEMS, NS, "private");
	does(SERVER, IPC_CALL_semget, ipc_sem_object(NS, SEMS, 0), SEMS, 0);
	define_queue(sem(), SEMS, NS, "");
}

static void changes(uint32_t process_number, int64_t by, unsigned int flags)
{
	does_at(process_number, IPC_CALL_semop, sem(), now + 1, now + 3, 0, by < 0 ? -by : by,
		flags | (by > 0 ? IPC_F_SECOND : 0));
}

static void test_posts(void **state)
{
	(void)state;
	made();
	changes(A, 3, 0);
	changes(B, -1, 0);
	changes(B, 0, 0);
	changes(SERVER, -2, 0);
	end();
	expect_edge(A, B, sem_key, 1, 0, true);
	expect_edge(A, SERVER, sem_key, 1, 0, true);
	assert_string_equal(channel(sem_key, 0)->name, "private");
	assert_int_equal(endpoint(B, sem_key)->receives, 1);
}

/* What was left is gone; a wait that the new value ended comes before it. */
static void test_set(void **state)
{
	(void)state;
	made();
	changes(A, 5, 0);
	does(SERVER, IPC_CALL_semctl_setval, sem(), 0, 0);
	does_at(B, IPC_CALL_semop, sem(), now + 1, now + 30, 0, 2, 0);
	does_at(SERVER, IPC_CALL_semctl_setval, sem(), now - 10, now + 1, 0, 2, 0);
	end();
	assert_int_equal(edges_on(IPC_MECH_sysv_sem), 1);
	expect_edge(SERVER, B, sem_key, 1, 0, true);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* An exit posts what the process took; SETVAL forgets that; of one that was killed it is not known when. */
static void test_undo(void **state)
{
	(void)state;
	made();
	changes(SERVER, 1, 0);
	changes(A, -1, IPC_F_UNDO);
	exits(A, A, 0);
	now += 100;
	changes(B, -1, 0);
	end();
	expect_edge(SERVER, A, sem_key, 1, 0, true);
	expect_edge(A, B, sem_key, 1, 0, true);

	made();
	changes(SERVER, 1, 0);
	changes(A, -1, IPC_F_UNDO);
	does(SERVER, IPC_CALL_semctl_setval, sem(), 0, 1);
	exits(A, A, 0);
	changes(B, -1, 0);
	end();
	assert_int_equal(edges_on(IPC_MECH_sysv_sem), 2);
	expect_edge(SERVER, B, sem_key, 1, 0, true);
	assert_int_equal(endpoint(A, sem_key)->sends, 0);

	made();
	changes(SERVER, 1, 0);
	changes(A, -1, IPC_F_UNDO);
	changes(B, -1, 0);
	gone(A, 9);
	end();
	expect_edge(A, B, sem_key, 1, 0, false);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* A set that was there before may have been posted to by anybody. */
static void test_sem_left_over(void **state)
{
	(void)state;
	struct stat ns;
	char own[64];
	int id = semget(IPC_PRIVATE, 1, 0600);
	if (id < 0 || stat("/proc/self/ns/ipc", &ns))
		skip();
	three_processes();
	semctl(id, 0, IPC_RMID);
	uint64_t object = ipc_sem_object((uint32_t)ns.st_ino, (uint32_t)id, 0);
	snprintf(own, sizeof(own), "sysv_sem:%llu:%d#0", (unsigned long long)ns.st_ino, id);
	define_queue(object, id, ns.st_ino, "");
	does(B, IPC_CALL_semop, object, 0, 1);
	end();
	assert_true(channel(own, 0)->partial);
	assert_int_equal(lost(IPC_REASON_unmatched), 0);
}

/* The id is used again: a new channel, which begins empty. */
static void test_sem_again(void **state)
{
	(void)state;
	made();
	changes(A, 1, 0);
	does(SERVER, IPC_CALL_semctl_rmid, ipc_sem_object(NS, SEMS, 0), 0, 0);
	does(SERVER, IPC_CALL_semget, ipc_sem_object(NS, SEMS, 0), SEMS, 0);
	changes(B, 1, 0);
	changes(B, -1, 0);
	end();
	assert_int_equal(edges_on(IPC_MECH_sysv_sem), 1);
	expect_edge(B, B, sem_key, 1, 0, true);
}

/* ---- noise ---- */

static void test_noise(void **state)
{
	static const enum ipc_call_id calls[] = {
		IPC_CALL_msgget,  IPC_CALL_msgsnd,	 IPC_CALL_msgrcv,	   IPC_CALL_msgctl_rmid,
		IPC_CALL_mq_open, IPC_CALL_mq_timedsend, IPC_CALL_mq_timedreceive, IPC_CALL_eventfd2,
		IPC_CALL_read,	  IPC_CALL_write,	 IPC_CALL_close,	   IPC_CALL_inherit,
		IPC_CALL_semget,  IPC_CALL_semop,	 IPC_CALL_semctl_setval,   IPC_CALL_semctl_rmid,
	};
	static const uint64_t value[] = { 0, 1, 2, 40, UINT64_MAX };
	(void)state;
	srand(1);
	for (unsigned int round = 0; round < 200; round++) {
		three_processes();
		fake.pending = 1 << 20;
		uint64_t objects[] = { sysv(), posix(), counter(), sem() };
		for (unsigned int i = 0; i < 1500; i++) {
			uint64_t object = objects[rand() % 4], start = now > 200 ? now - rand() % 100 : now;
			if (rand() % 50 == 0)
				define_queue(object, rand() % 3, rand() % 3, "x");
			does_at(10 + 10 * (rand() % 3), calls[rand() % 16], object, start,
				start + rand() % 200, rand() % 12 - 2, value[rand() % 5],
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
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_left_over),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_priorities_told),
		cmocka_unit_test(test_priorities_not_told),
		cmocka_unit_test(test_priority_late),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_counter),
		cmocka_unit_test(test_semaphore),
		cmocka_unit_test(test_counter_again),
		cmocka_unit_test(test_posts),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_undo),
		cmocka_unit_test(test_sem_left_over),
		cmocka_unit_test(test_sem_again),
		cmocka_unit_test(test_noise),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
