// SPDX-License-Identifier: BSD-2-Clause
/*
 * The collector against a simulated kernel that knows the truth.
 *
 * A schedule is a random number's: processes with threads write to and read from one pipe (or FIFO) of a
 * small capacity. Every step takes one thread one state further: into its call, through the kernel's atomic
 * moment, out of the call. So each call's entry and return lie around moments that only the simulation knows,
 * and blocked calls last long. Every byte carries the number of the write that sent it. The events then
 * go to the collector in a random interleaving of the threads, and what it says is compared with the truth:
 *  - endpoints: calls and bytes, always;
 *  - each message and edge that says it is exact;
 *  - one sending and one receiving thread: every message is exact;
 *  - no byte twice, none lost.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "collector.h"
#include "fake_store.h"
#include "tables.h"

enum {
	PROCS_MAX = 12,
	THREADS_MAX = 24,
	CALLS_MAX = 4000,
	STREAM_MAX = 1 << 16,
	FD_READ = 3,
	FD_WRITE = 4,
	SECONDS = 12, /* for all seeds */
};

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

static bool chance(uint32_t percent)
{
	return rnd(100) < percent;
}

enum state { IDLE, WRITING, READING, RETURNING, OVER };

struct call {
	uint64_t start, end;
	int32_t asked, done; /* done: bytes moved (or -errno) */
	int proc, thread;
	bool write, inside;
	uint32_t taken[PROCS_MAX]; /* of a write: bytes by each process */
};

struct sim_thread {
	enum state state;
	int proc, call, left; /* calls it still wants to make */
	uint32_t number;
};

struct sim_proc {
	int pid;
	uint32_t image;
	bool reads, writes, holds_read, holds_write, dead, killed;
	uint64_t sends, receives, sent, received;
};

struct record {
	struct ipc_event event;
	uint64_t end;
	int thread; /* -1: definition without order */
};

static struct sim {
	struct call calls[CALLS_MAX];
	int call_count;
	struct sim_proc procs[PROCS_MAX];
	int proc_count;
	struct sim_thread threads[THREADS_MAX];
	int thread_count;
	struct record records[CALLS_MAX + 400];
	int record_count;
	int bytes[STREAM_MAX]; /* the stream: each byte's call */
	uint32_t head, tail;
	uint32_t capacity, atomic;
	uint64_t now, object;
	uint32_t ids;
	bool fifo, kills, stops;
	unsigned int jitter;
} sim;

static void tick(void)
{
	sim.now += 1 + rnd(sim.jitter);
}

static struct record *add(int thread)
{
	struct record *r = &sim.records[sim.record_count++];
	assert_true(sim.record_count < CALLS_MAX + 400);
	*r = (struct record){ .thread = thread, .end = sim.now };
	return r;
}

static void add_event(int thread, uint64_t start, enum ipc_call_id call, int64_t result, int fd,
		      unsigned int mode, unsigned int flags)
{
	struct record *r = add(thread);
	r->event = (struct ipc_event){
		.start = start,
		.duration = sim.now - start,
		.object = sim.object,
		.result = result,
		.arg0 = ipc_arg0(fd, mode),
		.thread = sim.threads[thread].number,
		.call = call,
		.flags = flags,
	};
}

static void define(int thread, struct ipc_def d)
{
	struct record *r = add(thread);
	d.time = sim.now;
	memcpy(&r->event, &d, sizeof(d));
}

static int new_thread(int proc)
{
	int t = sim.thread_count++;
	struct sim_thread *thread = &sim.threads[t];
	*thread = (struct sim_thread){ .proc = proc, .number = ++sim.ids, .call = -1 };
	struct ipc_def d = { .call = IPC_DEF_THREAD, .thread = thread->number };
	d.thread_def.image = sim.procs[proc].image;
	d.thread_def.tid = sim.procs[proc].pid + (t ? 0 : 0) + 1000 * t;
	define(t, d);
	return t;
}

static int new_proc(int parent)
{
	static int pid = 1000;
	int p = sim.proc_count++;
	sim.procs[p] = (struct sim_proc){ .pid = ++pid, .image = ++sim.ids };
	struct ipc_def d = { .call = IPC_DEF_IMAGE };
	d.image = (struct ipc_def_image){
		.image = sim.procs[p].image,
		.parent = parent < 0 ? 0 : sim.procs[parent].image,
		.pid = sim.procs[p].pid,
		.ppid = parent < 0 ? 1 : sim.procs[parent].pid,
		.via = parent < 0 ? IPC_VIA_START : IPC_VIA_FORK,
	};
	define(-1, d);
	return p;
}

static int holders(bool write)
{
	int n = 0;
	for (int i = 0; i < sim.proc_count; i++)
		n += write ? sim.procs[i].holds_write : sim.procs[i].holds_read;
	return n;
}

static void vanish(void)
{
	if (!holders(true) && !holders(false))
		sim.head = sim.tail;
}

static void close_end(int thread, bool write)
{
	struct sim_proc *p = &sim.procs[sim.threads[thread].proc];
	if (!(write ? p->holds_write : p->holds_read))
		return;
	uint64_t start = sim.now;
	tick();
	if (write)
		p->holds_write = false;
	else
		p->holds_read = false;
	vanish();
	tick();
	add_event(thread, start, IPC_CALL_close, 0, write ? FD_WRITE : FD_READ, write ? O_WRONLY : O_RDONLY,
		  0);
	tick();
}

static void exit_proc(int thread)
{
	struct sim_proc *p = &sim.procs[sim.threads[thread].proc];
	add_event(thread, sim.now, IPC_CALL_exit_group, 0, 0, 0, 0);
	struct record *r = &sim.records[sim.record_count - 1];
	r->event.object = ipc_object(IPC_MECH_process, p->pid);
	r->event.arg0 = 0;
	p->dead = true;
	tick();
	p->holds_read = p->holds_write = false;
	vanish();
}

/* The parent makes the pipe; its children inherit both ends. */
static void setup_pipe(int writers, int readers)
{
	int parent = new_proc(-1), t = new_thread(parent);
	uint64_t start = sim.now;
	tick();
	add_event(t, start, IPC_CALL_pipe2, 0, FD_READ, O_RDONLY, 0);
	add_event(t, start, IPC_CALL_pipe2, 0, FD_WRITE, O_WRONLY, IPC_F_PART);
	sim.procs[parent].holds_read = sim.procs[parent].holds_write = true;
	for (int i = 0; i < writers + readers; i++) {
		tick();
		int p = new_proc(parent), ct = new_thread(p);
		struct sim_proc *proc = &sim.procs[p];
		proc->holds_read = proc->holds_write = true;
		proc->writes = i < writers;
		proc->reads = i >= writers;
		tick();
		add_event(ct, sim.now, IPC_CALL_inherit, 0, FD_READ, O_RDONLY, 0);
		tick();
		add_event(ct, sim.now, IPC_CALL_inherit, 0, FD_WRITE, O_WRONLY, 0);
		if (!chance(15))
			close_end(ct, !proc->writes);
		while (sim.thread_count < THREADS_MAX - 8 && chance(20))
			new_thread(p);
	}
	if (chance(80)) {
		close_end(t, true);
		close_end(t, false);
	}
}

static void open_end(int thread, bool write)
{
	uint64_t start = sim.now;
	struct sim_proc *p = &sim.procs[sim.threads[thread].proc];
	tick();
	if (write)
		p->holds_write = true;
	else
		p->holds_read = true;
	tick();
	add_event(thread, start, IPC_CALL_openat, 3, write ? FD_WRITE : FD_READ, write ? O_WRONLY : O_RDONLY,
		  0);
	tick();
}

static void setup_fifo(int writers, int readers)
{
	for (int i = 0; i < writers + readers; i++) {
		tick();
		int p = new_proc(-1), t = new_thread(p);
		sim.procs[p].writes = i < writers;
		sim.procs[p].reads = i >= writers;
		open_end(t, i < writers);
		while (sim.thread_count < THREADS_MAX - 8 && chance(20))
			new_thread(p);
	}
}

static void begin_call(int t)
{
	struct sim_thread *thread = &sim.threads[t];
	struct sim_proc *p = &sim.procs[thread->proc];
	if (thread->left <= 0 || sim.call_count == CALLS_MAX) {
		thread->state = OVER;
		return;
	}
	thread->left--;
	thread->call = sim.call_count++;
	struct call *call = &sim.calls[thread->call];
	bool write = p->writes && (!p->reads || chance(50));
	*call = (struct call){ .start = sim.now, .write = write, .proc = thread->proc, .thread = t };
	call->asked = 1 + rnd(chance(80) ? sim.atomic : chance(70) ? sim.capacity : sim.capacity * 4);
	thread->state = write ? WRITING : READING;
}

static void do_write(struct sim_thread *thread, struct call *call)
{
	uint32_t room = sim.capacity - (sim.tail - sim.head), want = call->asked - call->done;
	if (!holders(false)) {
		if (!call->done)
			call->done = -EPIPE;
		thread->state = RETURNING;
		return;
	}
	if ((uint32_t)call->asked <= sim.atomic && room < want)
		return;
	for (; room && want; room--, want--, call->done++)
		sim.bytes[sim.tail++ % STREAM_MAX] = call - sim.calls;
	if (!want)
		thread->state = RETURNING;
}

static void do_read(struct sim_thread *thread, struct call *call)
{
	if (sim.head == sim.tail && holders(true))
		return;
	for (; sim.head != sim.tail && call->done < call->asked; call->done++)
		sim.calls[sim.bytes[sim.head++ % STREAM_MAX]].taken[thread->proc]++;
	thread->state = RETURNING;
}

static void end_call(int t)
{
	struct sim_thread *thread = &sim.threads[t];
	struct call *call = &sim.calls[thread->call];
	struct sim_proc *p = &sim.procs[thread->proc];
	call->end = sim.now;
	thread->state = IDLE;
	add_event(t, call->start, call->write ? IPC_CALL_write : IPC_CALL_read, call->done,
		  call->write ? FD_WRITE : FD_READ, call->write ? O_WRONLY : O_RDONLY,
		  !call->write && !call->done ? IPC_F_EOF : 0);
	if (call->done > 0 && call->write) {
		p->sends++;
		p->sent += call->done;
	} else if (call->done > 0) {
		p->receives++;
		p->received += call->done;
	} else {
		thread->left = 0;
	}
}

static bool proc_over(int proc)
{
	for (int t = 0; t < sim.thread_count; t++)
		if (sim.threads[t].proc == proc && sim.threads[t].state != OVER)
			return false;
	return true;
}

static void step_thread(int t)
{
	struct sim_thread *thread = &sim.threads[t];
	struct sim_proc *p = &sim.procs[thread->proc];
	if (p->dead)
		return;
	switch (thread->state) {
	case IDLE:
		if (chance(60))
			begin_call(t);
		break;
	case WRITING:
		do_write(thread, &sim.calls[thread->call]);
		break;
	case READING:
		do_read(thread, &sim.calls[thread->call]);
		break;
	case RETURNING:
		if (chance(70))
			end_call(t);
		break;
	case OVER:
		if (!proc_over(thread->proc))
			break;
		if (chance(50))
			close_end(t, p->writes);
		exit_proc(t);
		break;
	}
}

/* Tells of the calls that the threads of a process are inside of. */
static void tell_inside(int proc)
{
	for (int t = 0; t < sim.thread_count; t++) {
		struct sim_thread *thread = &sim.threads[t];
		if (thread->proc != proc || thread->state < WRITING || thread->state > RETURNING)
			continue;
		struct call *call = &sim.calls[thread->call];
		call->inside = true;
		call->end = sim.now;
		add_event(t, call->start, call->write ? IPC_CALL_write : IPC_CALL_read, 0,
			  call->write ? FD_WRITE : FD_READ, call->write ? O_WRONLY : O_RDONLY, IPC_F_INSIDE);
		tick();
	}
}

/* A read that took bytes and whose return nobody saw: not simulated. */
static bool in_finished_read(int proc)
{
	for (int t = 0; t < sim.thread_count; t++) {
		struct sim_thread *thread = &sim.threads[t];
		if ((proc < 0 || thread->proc == proc) && thread->state == RETURNING &&
		    !sim.calls[thread->call].write && !sim.procs[thread->proc].dead)
			return true;
	}
	return false;
}

static void kill_proc(int proc)
{
	struct sim_proc *p = &sim.procs[proc];
	if (p->dead || !p->writes || in_finished_read(proc))
		return;
	p->dead = p->killed = true;
	p->holds_read = p->holds_write = false;
	vanish();
	tell_inside(proc);
	tick();
	struct ipc_def d = { .call = IPC_DEF_GONE };
	d.gone.pid = p->pid;
	d.gone.status = 9;
	define(-1, d);
}

static bool all_dead(void)
{
	for (int i = 0; i < sim.proc_count; i++)
		if ((sim.procs[i].reads || sim.procs[i].writes) && !sim.procs[i].dead)
			return false;
	return true;
}

static void run_kernel(int first_proc)
{
	int calls = 1 + rnd(60);
	for (int t = 0; t < sim.thread_count; t++)
		if (sim.threads[t].proc >= first_proc)
			sim.threads[t].left =
				sim.procs[sim.threads[t].proc].writes ? (int)rnd(calls) : (int)rnd(calls * 4);
	int steps = 300 + rnd(6000);
	for (int i = 0; i < steps && !all_dead() && sim.call_count < CALLS_MAX; i++) {
		tick();
		int t = rnd(sim.thread_count);
		for (int burst = 1 + rnd(4); burst > 0; burst--) {
			if (sim.procs[sim.threads[t].proc].reads || sim.procs[sim.threads[t].proc].writes)
				step_thread(t);
			tick();
		}
		if (sim.kills && rnd(400) == 0)
			kill_proc(sim.threads[t].proc);
	}
}

/* The recording ends: every call under way is told. */
static void stop_kernel(void)
{
	while (in_finished_read(-1)) {
		tick();
		for (int t = 0; t < sim.thread_count; t++)
			if (sim.threads[t].state == RETURNING && !sim.procs[sim.threads[t].proc].dead)
				end_call(t);
	}
	for (int p = 0; p < sim.proc_count; p++)
		if (!sim.procs[p].dead)
			tell_inside(p);
}

/* The next generation of openers of the same FIFO, once the last has closed it. */
static void simulate(void)
{
	memset(&sim, 0, offsetof(struct sim, bytes));
	sim.head = sim.tail = sim.ids = 0;
	sim.record_count = 0;
	sim.now = 1000000;
	sim.capacity = 8 << rnd(6);
	sim.atomic = sim.capacity / (1 + rnd(4));
	sim.jitter = chance(50) ? 2 : chance(80) ? 1 + rnd(1000) : 1 + rnd(10000000);
	sim.kills = chance(20);
	sim.fifo = chance(30);
	bool simple = chance(25);
	int writers = simple ? 1 : 1 + rnd(3), readers = simple ? 1 : 1 + rnd(3);
	if (!sim.fifo) {
		sim.object = ipc_object(IPC_MECH_pipe, 4242);
		setup_pipe(writers, readers);
		run_kernel(0);
	}
	for (int rounds = sim.fifo ? 1 + rnd(3) : 0; rounds; rounds--) {
		int first = sim.proc_count;
		sim.object = ipc_object(IPC_MECH_fifo, 99);
		if (first + writers + readers > PROCS_MAX || sim.thread_count > THREADS_MAX / 2)
			break;
		setup_fifo(writers, readers);
		run_kernel(first);
	}
	stop_kernel();
}

/* Delivery: each thread's records in their order, the threads interleaved at random, in rounds that end with
 * a watermark. */

static struct collector *collector;

static bool deliver_next(int thread, int *next, uint64_t must)
{
	for (int i = *next; i < sim.record_count; i++) {
		struct record *r = &sim.records[i];
		if (r->thread != thread)
			continue;
		if (r->end > must && !chance(30))
			return false;
		struct ipc_event slots[2] = { r->event };
		collector_record(collector, COLLECTOR_SHIM, slots);
		*next = i + 1;
		return true;
	}
	*next = sim.record_count;
	return false;
}

static void deliver_round(int *next, uint64_t must)
{
	bool more[THREADS_MAX + 1];
	int open = sim.thread_count + 1;
	for (int i = 0; i <= sim.thread_count; i++)
		more[i] = true;
	while (open) {
		int i = rnd(sim.thread_count + 1);
		if (more[i] && !deliver_next(i - 1, &next[i], must)) {
			more[i] = false;
			open--;
		}
	}
	collector_watermark(collector, COLLECTOR_SHIM, must);
	assert_int_equal(collector_step(collector), 0);
}

static void deliver(void)
{
	int next[THREADS_MAX + 1] = { 0 };
	int rounds = 1 + rnd(30);
	assert_int_equal(collector_open(&collector, "x"), 0);
	for (int i = 1; i <= rounds; i++)
		deliver_round(next, i == rounds ? sim.now : sim.now / rounds * i);
	assert_int_equal(collector_close(collector, sim.now), 0);
}

/* Comparison. */

static struct tally {
	uint64_t last, seeds, messages, exact, simple, edges, exact_edges;
} tally;

static int proc_of_row(uint32_t process_id)
{
	for (int i = 0; i < sim.proc_count; i++)
		if (sim.procs[i].pid == fake.processes[process_id].pid)
			return i;
	fail_msg("process row %u has no process", process_id);
	return -1;
}

static int call_of_event(uint64_t event)
{
	for (int i = 0; i < sim.call_count; i++)
		if (sim.calls[i].start == fake.events[event].start_ns)
			return i;
	return -1;
}

static bool is_stream(uint32_t channel)
{
	unsigned int mechanism = fake.channels[channel].mechanism;
	return mechanism != IPC_MECH_process && mechanism != IPC_MECH_signal;
}

static void check_endpoints(void)
{
	for (size_t i = 1; i < fake.endpoints_count; i++) {
		const struct store_endpoint *e = &fake.endpoints[i];
		if (!is_stream(e->channel_id))
			continue;
		const struct sim_proc *p = &sim.procs[proc_of_row(e->process_id)];
		assert_int_equal(e->receives, p->receives);
		assert_int_equal(e->bytes_received, p->received);
		uint64_t inferred = 0, more = 0;
		for (int c = 0; c < sim.call_count; c++) {
			const struct call *call = &sim.calls[c];
			if (!call->inside || !call->write || &sim.procs[call->proc] != p)
				continue;
			for (int r = 0; r < sim.proc_count; r++)
				inferred += call->taken[r];
			more++;
		}
		assert_in_range(e->sends, p->sends, p->sends + more);
		if (!more)
			assert_int_equal(e->bytes_sent, p->sent);
		else
			assert_true(e->bytes_sent >= p->sent);
		(void)inferred;
	}
}

static const struct call *check_link(const struct fake_link *l)
{
	int send = call_of_event(l->send), recv = call_of_event(l->recv);
	assert_true(send >= 0 && recv >= 0);
	const struct call *s = &sim.calls[send], *r = &sim.calls[recv];
	assert_true(s->write && !r->write);
	assert_true(l->bytes > 0);
	tally.messages++;
	tally.exact += l->exact;
	if (l->exact && s->taken[r->proc] != l->bytes)
		fail_msg("send at %llu: said exactly %llu bytes by process %d, truth %u",
			 (unsigned long long)s->start, (unsigned long long)l->bytes, r->proc,
			 s->taken[r->proc]);
	return r;
}

static void check_links(bool simple)
{
	uint64_t received[PROCS_MAX] = { 0 }, all = 0, linked = 0;
	bool exact = true;
	for (size_t i = 1; i < fake.links_count; i++) {
		const struct fake_link *l = &fake.links[i];
		const struct store_lane *lane = &fake.lanes[fake.events[l->send].lane];
		if (!is_stream(fake.endpoints[lane->endpoint_id].channel_id))
			continue;
		received[check_link(l)->proc] += l->bytes;
		linked += l->bytes;
		exact &= l->exact;
	}
	for (int i = 0; i < sim.proc_count; i++) {
		all += sim.procs[i].received;
		assert_true(received[i] <= sim.procs[i].received);
	}
	assert_true(linked <= all);
	if (sim.jitter <=
	    1000) /* every sender is in the trace: nothing is unmatched, if one has the patience */
		assert_int_equal(linked, all);
	if (simple && !exact)
		fail_msg("one sender, one receiver, and not exact");
}

static void check_edges(void)
{
	for (size_t i = 0; i < fake.edges_count; i++) {
		const struct store_edge *e = &fake.edges[i];
		if (!is_stream(e->channel_id))
			continue;
		int src = proc_of_row(e->src_id), dst = proc_of_row(e->dst_id);
		uint64_t messages = 0, bytes = 0;
		for (int c = 0; c < sim.call_count; c++) {
			messages += sim.calls[c].proc == src && sim.calls[c].taken[dst];
			bytes += sim.calls[c].proc == src ? sim.calls[c].taken[dst] : 0;
		}
		tally.edges++;
		tally.exact_edges += e->exact;
		if (!e->exact)
			continue;
		assert_int_equal(e->messages, messages);
		assert_int_equal(e->bytes, bytes);
	}
}

static void dump(void)
{
	for (int i = 0; i < sim.call_count; i++) {
		const struct call *c = &sim.calls[i];
		print_message("%5llu .. %5llu  process %d thread %d %s %d of %d%s",
			      (unsigned long long)c->start - 1000000, (unsigned long long)c->end - 1000000,
			      c->proc, c->thread, c->write ? "write" : "read", c->done, c->asked,
			      c->inside ? " inside" : "");
		for (int p = 0; p < sim.proc_count; p++)
			if (c->taken[p])
				print_message(", %u to %d", c->taken[p], p);
		print_message("\n");
	}
	for (size_t i = 1; i < fake.links_count; i++) {
		const struct fake_link *l = &fake.links[i];
		int send = call_of_event(l->send), recv = call_of_event(l->recv);
		if (send >= 0 && recv >= 0)
			print_message("%s%llu bytes %llu -> %llu\n", l->exact ? "" : "~",
				      (unsigned long long)l->bytes,
				      (unsigned long long)sim.calls[send].start - 1000000,
				      (unsigned long long)sim.calls[recv].start - 1000000);
	}
}

/* One thread that sends, one that receives, nobody killed. */
static bool is_simple(void)
{
	int writer = -1, reader = -1;
	for (int c = 0; c < sim.call_count; c++) {
		const struct call *call = &sim.calls[c];
		int *who = call->write ? &writer : &reader;
		if (call->inside && call->write)
			return false;
		if (*who >= 0 && *who != call->thread)
			return false;
		*who = call->thread;
	}
	return true;
}

static void test_simulated_kernel(void **state)
{
	(void)state;
	const char *one = getenv("SEED");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1, last = one ? first : 1000000;
	const char *seconds = getenv("SECONDS_MAX");
	time_t until = time(NULL) + (seconds ? atoi(seconds) : SECONDS);
	for (uint64_t n = first; n <= last && (one || n < 3000 || time(NULL) < until); n++) {
		tally.last = n;
		seed = n * 7919;
		for (int i = 0; i < 4; i++)
			rnd(2);
		simulate();
		deliver();
		bool simple = is_simple();
		tally.seeds++;
		tally.simple += simple;
		if (one)
			dump();
		check_endpoints();
		check_links(simple);
		check_edges();
	}
	print_message(
		"%llu schedules (%llu of one pair), %llu messages (%llu exact), %llu edges (%llu exact)\n",
		(unsigned long long)tally.seeds, (unsigned long long)tally.simple,
		(unsigned long long)tally.messages, (unsigned long long)tally.exact,
		(unsigned long long)tally.edges, (unsigned long long)tally.exact_edges);
}

int main(int argc, char **argv)
{
	(void)argc;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simulated_kernel),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (failed)
		print_message("see what happened: SEED=%llu %s\n", (unsigned long long)tally.last, argv[0]);
	fake_free();
	return failed;
}
