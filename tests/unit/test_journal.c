// SPDX-License-Identifier: BSD-2-Clause
/* The journal gives back what was put before its last mark, and nothing else, whatever the file has become.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal.h"

enum { EVENTS = 20000 };

static const char id[] = "0123456789abcdef";
static char path[128];

/* What came back. */
static struct {
	uint64_t events, words, marks, wrong;
} got;

static struct ipc_event event(uint64_t i)
{
	return (struct ipc_event){
		.start = 1000000000 + i * 777,
		.duration = i % 50 * 10,
		.object = ipc_object(1 + i % 3, 5000 + i % 7),
		.result = (int64_t)(i % 11) - 1,
		.arg0 = ipc_arg0((uint32_t)i % 9, 2),
		.arg1 = i % 100 == 0 ? i << 32 : 0,
		.thread = (uint32_t)(1 + i % 5),
		.call = (uint16_t)(i % 17),
		.tag = (uint32_t)(i % 2),
	};
}

static void take(void *context, enum journal_op op, unsigned int of, const void *data, size_t size)
{
	const struct ipc_event wanted = event(got.events);
	(void)context;
	switch (op) {
	case JOURNAL_EVENT:
		got.wrong += size != IPC_SLOT || of != got.events % 2 || memcmp(data, &wanted, IPC_SLOT);
		got.events++;
		break;
	case JOURNAL_NOTE:
		got.wrong += size != 8 || of != 3 || *(const uint64_t *)data != got.words;
		got.words++;
		break;
	default:
		got.marks += op == JOURNAL_MARK;
	}
}

static void put(struct journal *j, uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++) {
		struct ipc_event e = event(i);
		journal_event(j, i % 2, &e);
		if (i % 10 == 0)
			journal_put(j, JOURNAL_NOTE, 3, &(uint64_t){ i / 10 }, 8);
	}
}

static struct journal *make(void)
{
	struct journal *j;
	memset(&got, 0, sizeof(got));
	assert_int_equal(journal_open(&j, path, id, 77), 0);
	return j;
}

static int set_up(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "%s/journal-%d", getenv("TMPDIR") ?: "/tmp", (int)getpid());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void test_what_is_marked_comes_back(void **state)
{
	uint64_t start;
	struct stat st;
	(void)state;
	struct journal *j = make();
	put(j, 0, EVENTS);
	journal_mark(j);
	put(j, EVENTS, 30000); /* more than is kept back, but there is no mark behind it */
	assert_int_equal(journal_look(path, id, &start), 0);
	assert_int_equal(start, 77);
	assert_int_equal(journal_look(path, "another one.....", &start), -EPROTO);
	assert_int_equal(journal_read(path, take, NULL), 0);
	assert_int_equal(got.events, EVENTS);
	assert_int_equal(got.words, EVENTS / 10);
	assert_int_equal(got.wrong, 0);
	stat(path, &st);
	assert_int_equal(st.st_mode & 0777, 0600);
	journal_remove(j);
	assert_int_equal(access(path, F_OK), -1);
}

/* Nothing new, nothing written: an idle recorder does not fill the disk. */
static void test_idle_takes_no_room(void **state)
{
	struct stat before, after;
	(void)state;
	struct journal *j = make();
	put(j, 0, 10);
	journal_mark(j);
	stat(path, &before);
	for (uint64_t i = 0; i < 1000; i++) {
		journal_put(j, JOURNAL_WATERMARK, 0, &i, 8);
		journal_put(j, JOURNAL_STEP, 0, NULL, 0);
		journal_mark(j);
	}
	stat(path, &after);
	assert_int_equal(before.st_size, after.st_size);
	journal_remove(j);
}

static void test_any_cut_is_survived(void **state)
{
	struct stat st;
	(void)state;
	struct journal *j = make();
	for (uint64_t i = 0; i < 60; i++) {
		put(j, i, 1);
		if (i % 3 == 2)
			journal_mark(j);
	}
	stat(path, &st);
	for (off_t size = st.st_size; size > 0; size--) {
		assert_int_equal(truncate(path, size), 0);
		memset(&got, 0, sizeof(got));
		assert_int_equal(journal_read(path, take, NULL), 0);
		assert_int_equal(got.wrong, 0);
		assert_int_equal(got.events % 3, 0);
		assert_int_equal(got.events, 3 * got.marks);
	}
	journal_remove(j);
}

static void take_any(void *context, enum journal_op op, unsigned int of, const void *data, size_t size)
{
	unsigned char *sum = context;
	(void)of;
	assert_true(op < JOURNAL_OPS && size <= JOURNAL_DATA_MAX);
	for (size_t i = 0; i < size; i++)
		*sum ^= ((const unsigned char *)data)[i];
}

static void test_any_bytes_are_survived(void **state)
{
	unsigned char sum = 0;
	(void)state;
	struct journal *j = make();
	put(j, 0, 500);
	journal_mark(j);
	srandom(3);
	int fd = open(path, O_RDWR);
	for (int round = 0; round < 3000; round++) {
		unsigned char byte = (unsigned char)random();
		assert_int_equal(pwrite(fd, &byte, 1, 32 + random() % 4000), 1);
		assert_int_equal(journal_read(path, take_any, &sum), 0);
	}
	close(fd);
	journal_remove(j);
}

/* The recording goes on without. */
static void test_no_room(void **state)
{
	struct journal *j;
	(void)state;
	assert_int_equal(journal_open(&j, "/proc/nowhere/journal", id, 1), -ENOENT);
	journal_event(NULL, 0, &(struct ipc_event){ 0 });
	journal_put(NULL, JOURNAL_STEP, 0, NULL, 0);
	journal_mark(NULL);
	journal_remove(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_marked_comes_back),
		TEST(idle_takes_no_room),
		TEST(any_cut_is_survived),
		TEST(any_bytes_are_survived),
		TEST(no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
