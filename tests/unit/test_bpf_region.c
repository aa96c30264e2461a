// SPDX-License-Identifier: BSD-2-Clause
/* The loader's table of shared mappings: raw records as the eBPF programs send them, and the events that they
 * make. (tests/e2e/test_regions.py has the programs and the kernel.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "../../bpf/regions.c"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, R = PROT_READ, IMAGE = 7, THREAD = 8, EVENTS = 64 };
enum { FILE_OBJECT = 100, BASE = 0x10000 };

static struct ipc_event events[EVENTS];
static unsigned int count, read_to, defs, lost;
static struct ipc_def last;
static struct regions *rs;

void collector_record(struct collector *c, enum collector_source source, const struct ipc_event *slots)
{
	assert_null(c);
	assert_int_equal(source, COLLECTOR_BPF);
	if (slots->call >= IPC_DEF_FIRST) {
		memcpy(&last, slots, sizeof(last));
		defs++;
		return;
	}
	assert_true(count < EVENTS);
	events[count++] = *slots;
}

void collector_loss(struct collector *c, enum collector_source source, enum ipc_reason reason, int pid,
		    const char *comm, uint64_t n)
{
	(void)c, (void)source, (void)reason, (void)pid, (void)comm;
	lost += (unsigned int)n;
}

static struct raw raw(uint32_t image, uint32_t thread, uint32_t call)
{
	return (struct raw){ .event = { .object = ipc_object(IPC_MECH_memfd, FILE_OBJECT),
					.arg0 = (uint32_t)-1,
					.thread = thread,
					.call = (uint16_t)call },
			     .image = image,
			     .shares = (call & RAW_CALL) == IPC_CALL_mmap };
}

static void give(struct raw r, enum raw_kind kind, uint32_t call)
{
	r.event.call = (uint16_t)(kind | call);
	regions_raw(rs, NULL, &r);
}

/* A call that begins, and ends with this result. */
static void call(enum ipc_call_id id, int64_t result, const uint64_t arg[6])
{
	struct raw r = raw(IMAGE, THREAD, id);

	memcpy(r.arg, arg, sizeof(r.arg));
	r.inode = 55;
	if (ipc_calls[id].verb != IPC_VERB_control) /* they unmap nothing */
		give(r, RAW_BEGIN, id);
	r.inode = 0;
	r.event.result = result;
	give(r, RAW_END, id);
}
#define call(id, result, ...) call(IPC_CALL_##id, result, (const uint64_t[6]){ __VA_ARGS__ })

static void map(uint64_t at, uint64_t pages, uint64_t offset)
{
	call(mmap, (int64_t)at, at, pages * PAGE, RW, MAP_SHARED | MAP_FIXED, 3, offset * PAGE);
}

/* The next event; `page` and `pages` of the file. */
static void expect_(int line, enum ipc_call_id id, uint64_t page, uint64_t pages, uint8_t protection,
		    uint16_t flags, int64_t result)
{
	const struct ipc_event *e = &events[read_to++];

	if (read_to > count || e->call != id || e->tag != page || e->arg1 != pages * PAGE ||
	    (uint8_t)(e->arg0 >> 32) != protection || e->flags != flags || e->result != result ||
	    e->object != ipc_object(IPC_MECH_memfd, FILE_OBJECT) || e->seq)
		fail_msg("line %d: event %u of %u: call %u page %u bytes %llu protection %llx flags %x "
			 "result %lld",
			 line, read_to, count, e->call, e->tag, e->arg1, e->arg0 >> 32, e->flags, e->result);
}
#define expect(id, ...) expect_(__LINE__, IPC_CALL_##id, __VA_ARGS__)

static int begin_test(void **state)
{
	(void)state;
	count = read_to = defs = lost = 0;
	rs = regions_new();
	return !rs;
}

static int end_test(void **state)
{
	(void)state;
	regions_free(rs);
	assert_int_equal(read_to, count);
	assert_int_equal(lost, 0);
	return 0;
}

static void a_call_touches_what_lies_there(void **state)
{
	(void)state;
	map(BASE, 4, 0);
	expect(mmap, 0, 4, RW, 0, 0);
	call(munmap, 0, BASE + PAGE, PAGE - 1);
	expect(munmap, 1, 1, RW, 0, 0);
	call(mprotect, 0, BASE, 4 * PAGE, R);
	expect(mprotect, 0, 1, R, 0, 0);
	expect(mprotect, 2, 2, R, IPC_F_PART, 0);
	assert_int_equal(events[read_to - 1].arg0 >> 40, RW + 1);
	call(msync, 0, BASE + 3 * PAGE, PAGE);
	expect(msync, 3, 1, R, 0, 0);
	map(BASE + 3 * PAGE, 2, 8);
	expect(mmap, 8, 2, RW, 0, 0);
	expect(mmap, 3, 1, R, IPC_F_PART | IPC_F_SECOND, 0);
	call(munmap, 0, BASE, 100 * PAGE);
	expect(munmap, 0, 1, R, 0, 0);
	expect(munmap, 2, 1, R, IPC_F_PART, 0);
	expect(munmap, 8, 2, RW, IPC_F_PART, 0);
	call(munmap, 0, BASE, 100 * PAGE);
}

static void what_moves_is_there_all_the_time(void **state)
{
	(void)state;
	map(BASE, 2, 0);
	expect(mmap, 0, 2, RW, 0, 0);
	call(mremap, 0x80000, BASE, 2 * PAGE, 5 * PAGE, MREMAP_MAYMOVE);
	expect(mremap, 0, 5, RW, 0, 0);
	expect(mremap, 0, 2, RW, IPC_F_PART | IPC_F_SECOND, 0);
	call(mremap, 0x80000, 0x80000, 5 * PAGE, PAGE);
	expect(mremap, 0, 1, RW, 0, 0);
	expect(mremap, 0, 5, RW, IPC_F_PART | IPC_F_SECOND, 0);
	call(mremap, 0x90000, 0x80000, 0, PAGE, MREMAP_MAYMOVE);
	expect(mremap, 0, 1, RW, 0, 0);
	call(munmap, 0, 0x80000, PAGE);
	expect(munmap, 0, 1, RW, 0, 0);
	call(munmap, 0, 0x90000, PAGE);
	expect(munmap, 0, 1, RW, 0, 0);
}

/* Another thread is given the addresses before the call that unmapped them ends. */
static void addresses_are_used_again_at_once(void **state)
{
	struct raw r = raw(IMAGE, 9, IPC_CALL_munmap);

	(void)state;
	map(BASE, 1, 0);
	expect(mmap, 0, 1, RW, 0, 0);
	r.arg[0] = BASE;
	r.arg[1] = PAGE;
	give(r, RAW_BEGIN, IPC_CALL_munmap);
	call(mmap, BASE, 0, PAGE, R, MAP_SHARED, 3, 5 * PAGE);
	expect(mmap, 5, 1, R, 0, 0);
	give(r, RAW_END, IPC_CALL_munmap);
	expect(munmap, 0, 1, RW, 0, 0);
	call(munmap, 0, BASE, PAGE);
	expect(munmap, 5, 1, R, 0, 0);
}

/* What a call that failed has left is seen. */
static void a_failure_takes_what_is_not_seen(void **state)
{
	struct raw r = raw(IMAGE, THREAD, IPC_CALL_mmap), seen = raw(IMAGE, THREAD, IPC_CALL_mmap);

	(void)state;
	map(BASE, 1, 0);
	map(BASE + 2 * PAGE, 1, 2);
	read_to = count;
	r.arg[0] = BASE;
	r.arg[1] = 3 * PAGE;
	r.arg[3] = MAP_PRIVATE | MAP_FIXED;
	r.shares = 0;
	give(r, RAW_BEGIN, IPC_CALL_mmap);
	seen.start = BASE + 2 * PAGE;
	seen.end = seen.start + PAGE;
	give(seen, RAW_SEEN, IPC_CALL_mmap);
	r.event.result = -12;
	give(r, RAW_END, IPC_CALL_mmap);
	expect(mmap, 0, 1, RW, IPC_F_SECOND, 0);
	call(munmap, 0, BASE, 3 * PAGE);
	expect(munmap, 2, 1, RW, 0, 0);
}

static void fork_to(uint32_t parent, uint32_t child, bool shares)
{
	struct raw r = raw(child, child + 1, 0);

	r.parent = parent;
	r.shares = shares;
	give(r, RAW_FORK, 0);
}

static void children_have_a_copy_or_the_same(void **state)
{
	struct raw r = raw(20, 21, IPC_CALL_munmap), advice = raw(IMAGE, THREAD, 0);

	(void)state;
	map(BASE, 2, 0);
	expect(mmap, 0, 2, RW, 0, 0);
	advice.arg[0] = BASE + PAGE;
	advice.arg[1] = PAGE;
	advice.arg[2] = MADV_DONTFORK;
	give(advice, RAW_ADVICE, 0);
	fork_to(IMAGE, 20, false);
	expect(map_inherit, 0, 1, RW, 0, 0);
	assert_int_equal(events[read_to - 1].thread, 21);
	fork_to(IMAGE, 30, true); /* it has no event of its own */
	give(raw(IMAGE, THREAD, 0), RAW_GONE, 0);
	assert_int_equal(regions_word(rs, NULL, IMAGE, BASE), 0);
	assert_true(regions_word(rs, NULL, 30, BASE + PAGE));
	r.arg[0] = BASE;
	r.arg[1] = 2 * PAGE;
	give(r, RAW_BEGIN, IPC_CALL_munmap);
	give(r, RAW_END, IPC_CALL_munmap);
	expect(munmap, 0, 1, RW, 0, 0);
	assert_true(regions_word(rs, NULL, 30, BASE));
	regions_gone(rs, 30);
	assert_int_equal(regions_word(rs, NULL, 30, BASE), 0);
}

/* What was there when the recording began; told again, or by a call that ended meanwhile, it is not new. */
static void what_runs_already_is_adopted(void **state)
{
	struct raw r = raw(IMAGE, THREAD, 0);

	(void)state;
	r.start = BASE;
	r.end = BASE + 2 * PAGE;
	r.offset = 4 * PAGE;
	r.protection = R;
	give(r, RAW_ADOPT, 0);
	expect(map_inherit, 4, 2, R, 0, 0);
	give(r, RAW_ADOPT, 0);
	call(munmap, 0, BASE + PAGE, PAGE);
	expect(munmap, 5, 1, R, 0, 0);
}

static void a_word_is_called_by_its_memory(void **state)
{
	struct ipc_event e = { .object = ipc_object(IPC_MECH_futex, BASE + PAGE + 8),
			       .arg1 = 1,
			       .seq = IMAGE };

	(void)state;
	e.call = IPC_CALL_futex;
	map(BASE, 2, 3);
	read_to = count;
	regions_futex(rs, NULL, &e);
	assert_int_equal(defs, 1);
	assert_true(last.object.object == events[read_to].object && last.object.generation == 4 * PAGE + 8);
	assert_true(last.object.region == ipc_object(IPC_MECH_memfd, FILE_OBJECT) && last.object.inode == 55);
	assert_int_equal(events[read_to++].seq, 0);
	e.object = ipc_object(IPC_MECH_futex, BASE + 2 * PAGE);
	regions_futex(rs, NULL, &e); /* in private memory */
	assert_int_equal(defs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_call_touches_what_lies_there, begin_test, end_test),
		cmocka_unit_test_setup_teardown(what_moves_is_there_all_the_time, begin_test, end_test),
		cmocka_unit_test_setup_teardown(addresses_are_used_again_at_once, begin_test, end_test),
		cmocka_unit_test_setup_teardown(a_failure_takes_what_is_not_seen, begin_test, end_test),
		cmocka_unit_test_setup_teardown(children_have_a_copy_or_the_same, begin_test, end_test),
		cmocka_unit_test_setup_teardown(what_runs_already_is_adopted, begin_test, end_test),
		cmocka_unit_test_setup_teardown(a_word_is_called_by_its_memory, begin_test, end_test),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
