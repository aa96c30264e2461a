/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a source tells, in few words, and what came of it: for tests of the collector with a store in memory
 * (fake_store.h). The including file has cmocka in scope.
 */
#ifndef TEST_RECORDS_H
#define TEST_RECORDS_H

#include <fcntl.h>
#include <stdio.h>

#include "collector.h"
#include "fake_store.h"
#include "tables.h"

enum { PIPE = 77, R = O_RDONLY, W = O_WRONLY };

static struct collector *c;
static uint64_t now;
static enum collector_source teller; /* the shim, unless the test says otherwise */

/* What a source tells. A process's image and its main thread have the number of its pid, an image after an
 * exec has pid + 1000 * n, further threads what the test gives. */

static inline void tell(const struct ipc_event *e)
{
	collector_record(c, teller, e);
}

static inline void define(struct ipc_def d, const char *text, size_t length)
{
	union {
		struct ipc_def def;
		struct ipc_event slots[6];
	} record = { .def = d };
	if (!d.time)
		record.def.time = ++now;
	record.def.text = length;
	if (length)
		memcpy(&record.slots[1], text, length);
	tell(record.slots);
}

static inline void thread(uint32_t number, uint32_t image, int tid)
{
	struct ipc_def d = { .call = IPC_DEF_THREAD, .thread = number };
	d.thread_def.image = image;
	d.thread_def.tid = tid;
	define(d, NULL, 0);
}

static inline void image_text(uint32_t number, int pid, int ppid, enum ipc_via via, const char *text,
			      size_t length)
{
	struct ipc_def d = { .call = IPC_DEF_IMAGE };
	d.image = (struct ipc_def_image){ .image = number, .pid = pid, .ppid = ppid, .via = via };
	define(d, text, length);
	thread(number, number, pid);
}

static inline void process(int pid, int ppid, enum ipc_via via)
{
	image_text(pid, pid, ppid, via, NULL, 0);
}

static inline void loss_of_next(uint32_t thread_number, enum ipc_reason reason, const char *text,
				bool followed)
{
	struct ipc_def d = { .call = IPC_DEF_LOSS, .thread = thread_number };
	d.loss.reason = reason;
	d.loss.count = 1;
	d.loss.followed = followed;
	define(d, text, strlen(text));
}

static inline void loss(uint32_t thread_number, enum ipc_reason reason, const char *text)
{
	loss_of_next(thread_number, reason, text, false);
}

static inline void gone(int pid, int status)
{
	struct ipc_def d = { .call = IPC_DEF_GONE };
	d.gone.pid = pid;
	d.gone.status = status;
	define(d, NULL, 0);
}

static inline void event_at(uint32_t thread_number, enum ipc_call_id call, uint64_t start, uint64_t end,
			    uint64_t object, int64_t result, uint64_t arg0, unsigned int flags)
{
	struct ipc_event e = {
		.start = start,
		.duration = end - start,
		.object = object,
		.result = result,
		.arg0 = arg0,
		.thread = thread_number,
		.call = call,
		.flags = flags,
	};
	tell(&e);
	if (end > now)
		now = end;
}

static inline uint64_t pipe_object(void)
{
	return ipc_object(IPC_MECH_pipe, PIPE);
}

static inline uint64_t pid_object(int pid)
{
	return ipc_object(IPC_MECH_process, pid);
}

static inline void on_pipe(uint32_t thread_number, enum ipc_call_id call, uint64_t start, uint64_t end,
			   int64_t result, unsigned int mode, unsigned int flags)
{
	event_at(thread_number, call, start, end, pipe_object(), result, ipc_arg0(mode == W ? 4 : 3, mode),
		 flags);
}

static inline void do_write(uint32_t thread_number, uint64_t start, uint64_t end, int64_t bytes)
{
	on_pipe(thread_number, IPC_CALL_write, start, end, bytes, W, 0);
}

static inline void do_read(uint32_t thread_number, uint64_t start, uint64_t end, int64_t bytes)
{
	on_pipe(thread_number, IPC_CALL_read, start, end, bytes, R, 0);
}

static inline void hold(uint32_t thread_number, unsigned int mode)
{
	now++;
	on_pipe(thread_number, IPC_CALL_inherit, now, now, 0, mode, 0);
}

static inline void let_go(uint32_t thread_number, unsigned int mode)
{
	now++;
	on_pipe(thread_number, IPC_CALL_close, now, now, 0, mode, 0);
}

static inline void spawn(int parent, int child)
{
	uint64_t start = ++now;
	now += 5;
	event_at(parent, IPC_CALL_clone, start, now, pid_object(child), child, 0, 0);
}

static inline void exits(uint32_t thread_number, int pid, int status)
{
	now++;
	event_at(thread_number, IPC_CALL_exit_group, now, now, pid_object(pid), 0, status, 0);
}

static inline void waits(int parent, int child, int status)
{
	uint64_t start = ++now;
	now += 5;
	event_at(parent, IPC_CALL_wait4, start, now, pid_object(child), child, status, 0);
}

static inline void exec_entry(uint32_t thread_number, int pid)
{
	now++;
	event_at(thread_number, IPC_CALL_execve, now, now, pid_object(pid), 0, 0, IPC_F_ENTRY);
}

static inline void begin(void)
{
	now = 1000;
	assert_int_equal(collector_open(&c, "x"), 0);
}

static inline void step(void)
{
	collector_watermark(c, COLLECTOR_SHIM, now);
	assert_int_equal(collector_step(c), 0);
}

static inline void end(void)
{
	assert_int_equal(collector_close(c, now), 0);
}

/* Process 10 makes a pipe, 11 and 12 (13, 14) write to it, 21 (22) read it; 10 lets go of it. */
static inline void pipe_between(unsigned int writers, unsigned int readers)
{
	begin();
	process(10, 1, IPC_VIA_START);
	now++;
	on_pipe(10, IPC_CALL_pipe2, now, now, 0, R, 0);
	on_pipe(10, IPC_CALL_pipe2, now, now, 0, W, IPC_F_PART);
	for (unsigned int i = 0; i < writers + readers; i++) {
		int pid = i < writers ? 11 + i : 21 + i - writers;
		process(pid, 10, IPC_VIA_FORK);
		hold(pid, i < writers ? W : R);
	}
	let_go(10, R);
	let_go(10, W);
	now = 10000;
}

/* What came of it. */

static inline const struct store_process *row_of(int pid, unsigned int which)
{
	for (size_t i = 1; i < fake.processes_count; i++)
		if (fake.processes[i].pid == pid && !which--)
			return &fake.processes[i];
	fail_msg("no row %u of process %d", which, pid);
	return NULL;
}

static inline const struct store_channel *channel(const char *key, unsigned int which)
{
	for (size_t i = 1; i < fake.channels_count; i++)
		if (fake.channels[i].key && !strcmp(fake.channels[i].key, key) && !which--)
			return &fake.channels[i];
	fail_msg("no channel %s", key);
	return NULL;
}

static inline const struct store_endpoint *endpoint(int pid, const char *key)
{
	for (size_t i = 1; i < fake.endpoints_count; i++)
		if (fake.endpoints[i].id && fake.processes[fake.endpoints[i].process_id].pid == pid &&
		    !strcmp(fake.channels[fake.endpoints[i].channel_id].key, key))
			return &fake.endpoints[i];
	fail_msg("process %d has no end of %s", pid, key);
	return NULL;
}

static inline uint64_t lost(enum ipc_reason reason)
{
	uint64_t count = 0;
	for (size_t i = 0; i < fake.losses_count; i++)
		if (fake.losses[i].reason == reason)
			count += fake.losses[i].count;
	return count;
}

static inline const struct store_edge *edge(int src, int dst, const char *key)
{
	for (size_t i = 0; i < fake.edges_count; i++)
		if (fake.processes[fake.edges[i].src_id].pid == src &&
		    fake.processes[fake.edges[i].dst_id].pid == dst &&
		    !strcmp(fake.channels[fake.edges[i].channel_id].key, key))
			return &fake.edges[i];
	fail_msg("no edge %d -> %d over %s", src, dst, key);
	return NULL;
}

static inline bool on_stream(uint64_t event)
{
	const struct store_lane *lane = &fake.lanes[fake.events[event].lane];
	return fake.channels[fake.endpoints[lane->endpoint_id].channel_id].mechanism != IPC_MECH_process;
}

static inline size_t messages(void)
{
	size_t n = 0;
	for (size_t i = 1; i < fake.links_count; i++)
		n += on_stream(fake.links[i].send);
	return n;
}

/* The message from the send to the receive that began then. */
static inline void expect(uint64_t sent, uint64_t received, uint64_t bytes, bool exact)
{
	for (size_t i = 1; i < fake.links_count; i++) {
		const struct fake_link *l = &fake.links[i];
		if (fake.events[l->send].start_ns != sent || fake.events[l->recv].start_ns != received ||
		    !on_stream(l->send))
			continue;
		assert_int_equal(l->bytes, bytes);
		assert_int_equal(l->exact, exact);
		return;
	}
	fail_msg("no message %llu -> %llu", (unsigned long long)sent, (unsigned long long)received);
}

#endif
