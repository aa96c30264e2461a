// SPDX-License-Identifier: BSD-2-Clause
/*
 * How many events a second go through the collector into the trace file, with their messages: what one core
 * of the recorder can take behind the arena's drain. Prints the figure (of processor time) and the file's
 * bytes per event.
 *
 *	bench_collector FILE [flood|ping|crowd|wide|server [EVENTS]]
 *
 * flood: one pipe. ping: two processes and two pipes, turn by turn. crowd: four writers, one reader. wide: 64
 * pipes in turn. server: the same, and the reader waits for each message in epoll.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collector.h"
#include "measure.h"

enum { POLL = 20000 }; /* events between two watermarks */

static struct collector *c;
static uint64_t now;
static uint64_t fed;

/* Of this process: other work shares the machine. */
static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void define_process(uint32_t number)
{
	struct ipc_def image[1] = { { .time = now, .call = IPC_DEF_IMAGE } };
	struct ipc_def thread[1] = { { .time = now, .call = IPC_DEF_THREAD, .thread = 100 + number } };
	image->image = (struct ipc_def_image){ .image = number, .pid = 1000 + number, .ppid = 1 };
	thread->thread_def.image = number;
	thread->thread_def.tid = 1000 + number;
	collector_record(c, COLLECTOR_SHIM, (struct ipc_event *)image);
	collector_record(c, COLLECTOR_SHIM, (struct ipc_event *)thread);
}

static void feed(const struct ipc_event *e)
{
	collector_record(c, COLLECTOR_SHIM, e);
	if (++fed % POLL)
		return;
	collector_watermark(c, COLLECTOR_SHIM, now - 1000);
	if (collector_step(c))
		exit(1);
}

static void event(uint32_t process, enum ipc_call_id call, uint64_t start, uint64_t duration, uint32_t pipe,
		  uint64_t result, bool writes, unsigned int flags)
{
	struct ipc_event e = {
		.start = start,
		.duration = duration,
		.object = ipc_object(IPC_MECH_pipe, 5000 + pipe),
		.result = (int64_t)result,
		.arg0 = ipc_arg0(2 * pipe + writes, writes ? O_WRONLY : O_RDONLY),
		.thread = 100 + process,
		.call = call,
		.flags = flags,
	};
	feed(&e);
}

static void make_pipe(uint32_t pipe, uint32_t writer, uint32_t writers, uint32_t reader)
{
	event(reader, IPC_CALL_pipe2, now, 1, pipe, 0, false, 0);
	event(reader, IPC_CALL_pipe2, now, 1, pipe, 0, true, IPC_F_PART);
	event(reader, IPC_CALL_close, now + 2, 1, pipe, 0, true, 0);
	for (uint32_t i = 0; i < writers; i++)
		event(writer + i, IPC_CALL_inherit, now + 1, 0, pipe, 0, true, 0);
	now += 10;
}

static void polled(uint32_t process, enum ipc_call_id call, uint32_t pipe, int64_t result)
{
	struct ipc_event e = {
		.start = now,
		.duration = 1,
		.object = call == IPC_CALL_epoll_add ? ipc_object(IPC_MECH_pipe, 5000 + pipe) : 0,
		.result = result,
		.arg0 = ipc_arg0(2 * pipe, 0),
		.arg1 = 2 * pipe,
		.thread = 100 + process,
		.call = call,
		.tag = 3,
	};
	feed(&e);
}

/* A write, and the read that waited for it. */
static void message(uint32_t from, uint32_t to, uint32_t pipe, uint64_t i)
{
	uint64_t bytes = 1 + i % 200;
	event(from, IPC_CALL_write, now, 300 + i % 100, pipe, bytes, true, 0);
	event(to, IPC_CALL_read, now - 100, 700 + i % 100, pipe, bytes, false, 0);
	now += 850;
}

int main(int argc, char **argv)
{
	const char *load = argc > 2 ? argv[2] : "flood";
	uint64_t events = argc > 3 ? strtoull(argv[3], NULL, 0) : 10000000;
	bool ping = !strcmp(load, "ping"), crowd = !strcmp(load, "crowd"), server = !strcmp(load, "server");
	uint32_t pipes = server || !strcmp(load, "wide") ? 64 : ping ? 2 : 1;
	struct stat st;
	if (argc < 2)
		return 2;
	remove(argv[1]);
	if (collector_open(&c, argv[1]))
		return 1;
	now = now_ns();
	for (uint32_t p = 1; p <= 5; p++)
		define_process(p);
	for (uint32_t p = 0; p < pipes; p++)
		make_pipe(p, ping && p ? 1 : 2, crowd ? 4 : 1, ping && p ? 2 : 1);
	for (uint32_t p = 0; server && p < pipes; p++)
		polled(1, IPC_CALL_epoll_add, p, 0);
	double start = cpu_seconds();
	for (uint64_t i = 0; fed < events; i++) {
		message(ping && i % 2 ? 1 : 2 + (crowd ? i % 4 : 0), ping && i % 2 ? 2 : 1, i % pipes, i);
		if (server)
			polled(1, IPC_CALL_epoll_wait, i % pipes, 1);
	}
	collector_watermark(c, COLLECTOR_SHIM, now);
	int err = collector_step(c);
	double seconds = cpu_seconds() - start;
	if (collector_close(c, now) || err || stat(argv[1], &st))
		return 1;
	printf("%s: %.2f million events/s (%.0f ns each), %.1f bytes/event\n", load, events / seconds / 1e6,
	       seconds * 1e9 / events, (double)st.st_size / events);
	return 0;
}
