// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shared memory in the collector: processes that map, unmap, protect, fork and end at random, and who knows
 * from each one's own calls in which times it could read and write; edges and mappings must be what follows
 * from that.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"

enum { PROCESSES = 12, PAGES = 16, SPANS = 4000, STEPS = 150, RUNS = 300, READ = 1, WRITE = 2, INODE = 900 };

/* Each page of each process: what it may do there, and since when. */
static struct page {
	uint8_t protection;
	uint64_t since;
} pages[PROCESSES][PAGES];
static enum { ABSENT, SILENT, TOLD, ENDED } states[PROCESSES];
static uint64_t forked[PROCESSES];

/* The times in which a process could do something: from, until. */
static struct span {
	int process;
	uint8_t protection;
	uint64_t from, until;
} spans[SPANS];
static size_t span_count;

static unsigned int seed;

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand_r(&seed) / 5 % n;
}

static int pid_of(int process)
{
	return 10 + process;
}

static void close_page(int process, int page, uint64_t until)
{
	struct page *p = &pages[process][page];
	assert_true(span_count < SPANS);
	if (p->protection)
		spans[span_count++] = (struct span){ process, p->protection, p->since, until };
	p->protection = 0;
}

static void memory_event(int process, enum ipc_call_id call, int page, int count, uint8_t protection,
			 uint64_t start, uint64_t finish)
{
	struct ipc_event e = {
		.start = start,
		.duration = finish - start,
		.object = ipc_object(IPC_MECH_memfd, INODE),
		.arg0 = ipc_arg0((uint32_t)-1, protection),
		.arg1 = (uint64_t)count * 4096,
		.thread = (uint32_t)pid_of(process),
		.call = call,
		.tag = (uint32_t)page,
	};
	tell(&e);
}

/* A child makes itself known with its first call, long after its fork. */
static void introduce(int process)
{
	struct ipc_def d = { .call = IPC_DEF_IMAGE };
	int pid = pid_of(process);
	states[process] = TOLD;
	d.image = (struct ipc_def_image){ .image = pid,
					  .pid = pid,
					  .ppid = 1,
					  .via = process ? IPC_VIA_FORK : IPC_VIA_START,
					  .spawn_time = forked[process] };
	define(d, NULL, 0);
	thread(pid, pid, pid);
	now++;
	for (int i = 0; i < PAGES; i++)
		if (pages[process][i].protection)
			memory_event(process, IPC_CALL_map_inherit, i, 1, pages[process][i].protection, now,
				     now);
}

static void map(int process, int page)
{
	uint8_t protection = (uint8_t)(1 + below(3));
	if (pages[process][page].protection)
		return;
	now += 10;
	memory_event(process, IPC_CALL_mmap, page, 1, protection, now - 5, now);
	pages[process][page] = (struct page){ protection, now };
}

static void unmap(int process, int page)
{
	if (!pages[process][page].protection)
		return;
	now += 10;
	memory_event(process, IPC_CALL_munmap, page, 1, pages[process][page].protection, now - 5, now);
	close_page(process, page, now - 5);
}

static void protect(int process, int page)
{
	uint8_t protection = (uint8_t)(1 + below(3));
	if (!pages[process][page].protection || pages[process][page].protection == protection)
		return;
	now += 10;
	memory_event(process, IPC_CALL_mprotect, page, 1, protection, now - 5, now);
	close_page(process, page, now);
	pages[process][page] = (struct page){ protection, now };
}

static void fork_to(int parent, int child)
{
	if (states[child] != ABSENT)
		return;
	now += 10;
	states[child] = SILENT;
	forked[child] = now;
	for (int i = 0; i < PAGES; i++)
		pages[child][i] = (struct page){ pages[parent][i].protection, now };
}

static void leave(int process)
{
	now += 10;
	for (int i = 0; i < PAGES; i++)
		close_page(process, i, now);
	states[process] = ENDED;
	event_at((uint32_t)pid_of(process), IPC_CALL_exit_group, now, now, pid_object(pid_of(process)), 0, 0,
		 0);
}

static void act(void)
{
	int process = (int)below(PROCESSES), page = (int)below(PAGES);
	if (states[process] == ABSENT || states[process] == ENDED)
		return;
	if (states[process] == SILENT) {
		introduce(process);
		return;
	}
	switch (below(8)) {
	case 0:
	case 1:
		map(process, page);
		break;
	case 2:
	case 3:
		unmap(process, page);
		break;
	case 4:
		protect(process, page);
		break;
	case 5:
		if (process)
			leave(process);
		break;
	default:
		fork_to(process, (int)below(PROCESSES));
		break;
	}
	if (below(4) == 0)
		step();
}

static bool overlap(const struct span *a, const struct span *b)
{
	return a->from < b->until && b->from < a->until;
}

static bool shared(int writer, int reader)
{
	for (size_t i = 0; i < span_count; i++)
		for (size_t k = 0; k < span_count; k++)
			if (spans[i].process == writer && spans[i].protection & WRITE &&
			    spans[k].process == reader && spans[k].protection & READ &&
			    overlap(&spans[i], &spans[k]))
				return true;
	return false;
}

static bool has_edge(int src, int dst)
{
	for (size_t i = 0; i < fake.edges_count; i++)
		if (fake.processes[fake.edges[i].src_id].pid == pid_of(src) &&
		    fake.processes[fake.edges[i].dst_id].pid == pid_of(dst) && fake.edges[i].shares)
			return fake.edges[i].exact && !fake.edges[i].messages;
	return false;
}

static size_t mappings_as(const struct span *s)
{
	static const char *const names[] = { "none", "r", "w", "rw" };
	size_t n = 0;
	for (size_t i = 1; i < fake.mappings_count; i++) {
		const struct store_mapping *m = &fake.mappings[i];
		n += fake.processes[m->process_id].pid == pid_of(s->process) && m->start_ns == s->from &&
		     m->end_ns == s->until && !strcmp(m->protection, names[s->protection]);
	}
	return n;
}

static void run(unsigned int number)
{
	struct ipc_def d = { .call = IPC_DEF_OBJECT };
	seed = number;
	span_count = 0;
	memset(pages, 0, sizeof(pages));
	memset(states, 0, sizeof(states));
	begin();
	d.object = (struct ipc_def_object){ .object = ipc_object(IPC_MECH_memfd, INODE),
					    .inode = INODE,
					    .dev_minor = 1 };
	introduce(0);
	define(d, "/memfd:x", 8);
	for (int i = 0; i < STEPS; i++)
		act();
	for (int i = 0; i < PROCESSES; i++) {
		if (states[i] == SILENT)
			introduce(i);
		if (states[i] == TOLD)
			leave(i);
	}
	end();
	for (int i = 0; i < PROCESSES; i++)
		for (int k = 0; k < PROCESSES; k++)
			if (i != k && has_edge(i, k) != shared(i, k))
				fail_msg("run %u: edge %d -> %d: %d, truth %d", number, i, k, has_edge(i, k),
					 shared(i, k));
	size_t rows = fake.mappings_count ? fake.mappings_count - 1 : 0;
	assert_int_equal(rows, span_count);
	for (size_t i = 0; i < span_count; i++)
		assert_true(mappings_as(&spans[i]) >= 1);
}

static void who_could_is_who_has_an_edge(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < RUNS; i++)
		run(i);
}

/* One mapping of eight pages: a hole in it, its head protected, its tail moved on. */
static void a_mapping_goes_in_parts(void **state)
{
	static const struct {
		uint64_t bytes, offset, from, until;
		const char *protection;
	} truth[] = {
		{ 4096, 8192, 1010, 1020, "rw" },
		{ 4096, 0, 1010, 1035, "rw" },
		{ 4096, 0, 1035, 1100, "r" },
		{ 4096, 4096, 1010, 1100, "rw" },
		{ 5 * 4096, 3 * 4096, 1010, 1100, "rw" },
	};
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	now = 1000;
	memory_event(0, IPC_CALL_mmap, 0, 8, READ | WRITE, 1005, 1010);
	memory_event(0, IPC_CALL_munmap, 2, 1, READ | WRITE, 1020, 1025);
	memory_event(0, IPC_CALL_mprotect, 0, 1, READ, 1030, 1035);
	now = 1099;
	exits(10, 10, 0);
	end();
	for (size_t k = 0; k < sizeof(truth) / sizeof(*truth); k++) {
		size_t n = 0;
		for (size_t i = 1; i < fake.mappings_count; i++) {
			const struct store_mapping *m = &fake.mappings[i];
			n += m->bytes == truth[k].bytes && m->offset == truth[k].offset &&
			     m->start_ns == truth[k].from && m->end_ns == truth[k].until &&
			     !strcmp(m->protection, truth[k].protection);
		}
		assert_int_equal(n, 1);
	}
	assert_int_equal(fake.mappings_count, 1 + sizeof(truth) / sizeof(*truth));
}

static size_t mappings_with(uint64_t offset, uint64_t bytes, const char *protection, uint64_t until)
{
	size_t n = 0;
	for (size_t i = 1; i < fake.mappings_count; i++) {
		const struct store_mapping *m = &fake.mappings[i];
		n += m->offset == offset * 4096 && m->bytes == bytes * 4096 && m->end_ns == until &&
		     !strcmp(m->protection, protection);
	}
	return n;
}

/* The same part is mapped twice: whichever was cut, all of it goes. */
static void alike_mappings_go_in_parts(void **state)
{
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	memory_event(0, IPC_CALL_mmap, 0, 4, READ, 1005, 1010);
	memory_event(0, IPC_CALL_mmap, 2, 4, READ, 1015, 1020);
	memory_event(0, IPC_CALL_munmap, 2, 2, READ, 1030, 1035);
	memory_event(0, IPC_CALL_munmap, 0, 4, READ, 1040, 1045);
	memory_event(0, IPC_CALL_munmap, 4, 2, READ, 1050, 1055);
	now = 1099;
	exits(10, 10, 0);
	end();
	for (size_t i = 1; i < fake.mappings_count; i++)
		assert_true(fake.mappings[i].end_ns < 1100);
	assert_int_equal(mappings_with(2, 2, "r", 1030), 1);
	assert_int_equal(mappings_with(4, 2, "r", 1050), 1);
}

/* Of two that are not alike the one changes that had what the event says. */
static void the_right_one_is_protected(void **state)
{
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	memory_event(0, IPC_CALL_mmap, 0, 1, READ, 1005, 1010);
	memory_event(0, IPC_CALL_mmap, 0, 1, READ | WRITE, 1015, 1020);
	memory_event(0, IPC_CALL_mprotect, 0, 1, (uint8_t)0, 1030, 1035);
	struct ipc_event e = { .start = 1040,
			       .duration = 5,
			       .object = ipc_object(IPC_MECH_memfd, INODE),
			       .arg0 = ipc_arg0((uint32_t)-1, ipc_protection(WRITE, READ | WRITE)),
			       .arg1 = 4096,
			       .thread = (uint32_t)pid_of(0),
			       .call = IPC_CALL_mprotect };
	tell(&e);
	now = 1099;
	exits(10, 10, 0);
	end();
	assert_int_equal(mappings_with(0, 1, "rw", 1045), 1);
	assert_int_equal(mappings_with(0, 1, "w", 1100), 1);
	assert_int_equal(mappings_with(0, 1, "none", 1100), 1);
}

static void removed_memory_is_new_by_the_same_id(void **state)
{
	const uint64_t object = ipc_object(IPC_MECH_sysv_shm, 7);
	(void)state;
	begin();
	process(10, 1, IPC_VIA_START);
	for (int i = 0; i < 2; i++) {
		now += 10;
		event_at(10, IPC_CALL_shmget, now, now, object, 7, 0, 0);
		event_at(10, IPC_CALL_shmat, now + 1, now + 2, object, 0, ipc_arg0((uint32_t)-1, 3), 0);
		event_at(10, IPC_CALL_shmdt, now + 1, now + 2, object, 0, ipc_arg0((uint32_t)-1, 3), 0);
		event_at(10, IPC_CALL_shmctl_rmid, now + 1, now + 2, object, 0, 0, 0);
	}
	end();
	assert_ptr_not_equal(channel("sysv_shm:7", 0), channel("sysv_shm:7", 1));
}

static const struct store_edge *edge_of(int src, int dst)
{
	for (size_t i = 0; i < fake.edges_count; i++)
		if (fake.processes[fake.edges[i].src_id].pid == pid_of(src) &&
		    fake.processes[fake.edges[i].dst_id].pid == pid_of(dst)) {
			assert_true(fake.edges[i].sampled && !fake.edges[i].exact);
			return &fake.edges[i];
		}
	fail();
	return NULL;
}

/* Samples at random; a page went from one to another if it was written in an interval that began before the
 * end of one in which it was read. */
static void pages_that_went(unsigned int number)
{
	enum { SAMPLERS = 4, SAMPLED = 200, TOUCHED = 300 };
	static struct {
		uint64_t written[TOUCHED], read[TOUCHED], again[TOUCHED]; /* first, last, last written */
	} truth[SAMPLERS];
	uint64_t since[SAMPLERS];
	seed = number;
	memset(truth, 0, sizeof(truth));
	begin();
	for (int i = 0; i < SAMPLERS; i++) {
		process(pid_of(i), 1, IPC_VIA_START);
		memory_event(i, IPC_CALL_mmap, 0, TOUCHED, READ | WRITE, now, now + 1);
		memory_event(i, IPC_CALL_shm_sampled, 0, TOUCHED, READ | WRITE, now, now + 1);
		since[i] = now += 2;
	}
	for (int step = 0; step < SAMPLED; step++) {
		int who = (int)below(SAMPLERS);
		bool writes = below(2);
		unsigned int first = below(TOUCHED), count = 1 + below(TOUCHED - first);
		struct ipc_event e = { .start = since[who],
				       .duration = now - since[who],
				       .object = ipc_object(IPC_MECH_memfd, INODE),
				       .arg0 = ipc_arg0((uint32_t)-1, READ | WRITE),
				       .arg1 = ipc_pages(first, count),
				       .thread = (uint32_t)pid_of(who),
				       .call = writes ? IPC_CALL_shm_write : IPC_CALL_shm_read };
		tell(&e);
		for (unsigned int i = first; i < first + count; i++) {
			if (writes && !truth[who].written[i])
				truth[who].written[i] = since[who];
			if (writes)
				truth[who].again[i] = now;
			else
				truth[who].read[i] = now;
		}
		since[who] = now;
		now += below(20);
	}
	for (int i = 0; i < SAMPLERS; i++)
		exits(pid_of(i), pid_of(i), 0);
	end();
	for (int a = 0; a < SAMPLERS; a++)
		for (int b = 0; b < SAMPLERS; b++) {
			uint64_t n = 0, both = 0;
			for (int i = 0; a != b && i < TOUCHED; i++) {
				uint64_t from = truth[a].written[i];
				bool went = from && from < truth[b].read[i];
				n += went;
				both += from && !went && from < truth[b].again[i];
			}
			if (a == b)
				continue;
			assert_int_equal(edge_of(a, b)->pages, n);
			assert_int_equal(edge_of(a, b)->pages_both, both);
		}
}

static void pages_go_from_who_wrote_to_who_read(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < RUNS; i++)
		pages_that_went(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_could_is_who_has_an_edge),
		cmocka_unit_test(a_mapping_goes_in_parts),
		cmocka_unit_test(alike_mappings_go_in_parts),
		cmocka_unit_test(the_right_one_is_protected),
		cmocka_unit_test(removed_memory_is_new_by_the_same_id),
		cmocka_unit_test(pages_go_from_who_wrote_to_who_read),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
