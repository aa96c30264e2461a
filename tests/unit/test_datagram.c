// SPDX-License-Identifier: BSD-2-Clause
/*
 * The matcher of datagrams against a simulated kernel that knows the truth.
 *
 * A schedule is a random number's: threads of several processes send to and receive from one place, which is
 * one socket that never drops (UNIX), a queue with priorities, or one or more sockets that drop in silence
 * what does not fit into their buffers (UDP). Every step takes one thread one state further: into its call,
 * through the kernel's atomic moment, out of the call. Schedules differ in what the matcher is told: tags,
 * the senders' addresses, the source of what was received. What it says is compared with the truth:
 *  - a message that says it is exact names the right sender;
 *  - each receive is one message, or unmatched; each send is one message (to a group: one for each socket at
 *    most), or vanished;
 *  - one sending and one receiving thread: every message is exact;
 *  - with tags and addresses known and no two datagrams alike: every pairing is right, and nothing else
 * vanished.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datagram.h"
#include "event.h"

enum {
	PROCS = 6,
	THREADS = 10,
	SOCKETS = 3,
	SOURCES = 6,
	CALLS_MAX = 700,
	BUFFER_MAX = 16,
	SCHEDULES = 3000
};

struct endpoint {
	int proc;
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

enum state { IDLE, INSIDE, RETURNING };

struct call {
	struct datagram d;
	bool sends, ended;
	uint64_t content;
	int truth;     /* of a receive: the call that sent it */
	bool received; /* of a send: by someone whose call has ended */
	/* what the matcher said: */
	int said, messages;
	unsigned int by; /* of a send: sockets, a bit each */
	bool exact, unmatched, vanished;
};

struct sim_thread {
	enum state state;
	bool sends;
	int proc, socket, call;
};

/* A receiving socket, or a sending one. */
struct sim_socket {
	uint64_t address, told; /* told: the address, or 0 */
	int queue[BUFFER_MAX];
	uint32_t head, count, room;
};

static struct sim {
	struct call calls[CALLS_MAX];
	int call_count;
	struct sim_thread threads[THREADS];
	int thread_count;
	struct sim_socket sockets[SOCKETS], sources[SOURCES];
	uint32_t socket_count, source_count;
	struct endpoint endpoints[PROCS][SOURCES + SOCKETS];
	uint64_t now;
	uint32_t jitter, sizes, contents, priorities_used;
	bool silent, tags, sources_told, sources_reported, sticky, groups, small_buffers, priorities;
} sim;

static struct datagram_queue *queue;

static uint64_t ipv4(uint32_t ip, uint16_t port)
{
	return (uint64_t)IPC_ADDRESS_IPV4 << 56 | (uint64_t)ip << 16 | port;
}

static const uint64_t place_port = 53, localhost = 0x7f000001;

/* What the matcher says. */

static uint64_t on_message(void *context, const struct match_message *m)
{
	struct call *s = &sim.calls[m->send_event], *r = &sim.calls[m->recv_event];
	(void)context;
	assert_true(s->sends && s->ended && !r->sends && r->ended);
	assert_int_equal(r->messages++, 0);
	assert_false(r->unmatched || s->vanished);
	assert_true(s->d.group || !s->messages);
	assert_false(s->by & 1u << r->d.socket);
	s->by |= 1u << r->d.socket;
	s->messages++;
	r->said = (int)m->send_event;
	r->exact = m->exact;
	assert_int_equal(m->bytes, r->d.call.bytes);
	assert_int_equal(m->sent, s->d.call.start);
	assert_int_equal(m->received, r->d.call.end);
	assert_ptr_equal(m->src, s->d.call.endpoint);
	assert_ptr_equal(m->dst, r->d.call.endpoint);
	assert_int_equal(m->src_thread, s->d.call.thread);
	return m->recv_event;
}

static void on_doubt(void *context, const struct match_message *m, uint64_t handle)
{
	struct call *r = &sim.calls[handle];
	(void)context;
	assert_int_equal(m->recv_event, handle);
	assert_int_equal(m->send_event, r->said);
	assert_true(r->exact && !m->exact);
	r->exact = false;
}

static void on_unmatched(void *context, const struct match_call *receive)
{
	struct call *r = &sim.calls[receive->event];
	(void)context;
	assert_false(r->messages || r->unmatched);
	r->unmatched = true;
}

static void on_vanished(void *context, const struct datagram *send)
{
	struct call *s = &sim.calls[send->call.event];
	(void)context;
	assert_false(s->messages || s->vanished);
	s->vanished = true;
}

static const struct datagram_sink sink = { on_message, on_doubt, on_unmatched, on_vanished };

/* The kernel. */

static void tick(void)
{
	sim.now += 1 + rnd(sim.jitter);
}

static void begin_call(struct sim_thread *t)
{
	int number = sim.call_count++;
	struct call *c = &sim.calls[number];
	struct sim_socket *socket = t->sends ? &sim.sources[t->socket] : &sim.sockets[t->socket];
	int socket_number = t->sends ? SOCKETS + t->socket : t->socket;
	t->call = number;
	t->state = INSIDE;
	*c = (struct call){ .sends = t->sends, .truth = -1, .said = -1 };
	c->d.call = (struct match_call){
		.start = sim.now,
		.event = number,
		.endpoint = &sim.endpoints[t->proc][socket_number],
		.thread = 1 + (t - sim.threads),
	};
	c->d.socket = socket_number;
	c->d.local = socket->told;
	c->d.silent = sim.silent;
	c->d.call.bytes = sim.small_buffers ? rnd(40) : 1000; /* a receive's room */
	if (!t->sends)
		return;
	c->content = sim.contents ? rnd(sim.contents) : (uint64_t)number;
	c->d.call.bytes = 10 * rnd(sim.sizes);
	if (sim.tags)
		c->d.tag = ipc_tag((__u64[6]){ c->content }, c->d.call.bytes);
	if (sim.priorities)
		c->d.local = 1 + rnd(sim.priorities_used);
	c->d.group = sim.groups && chance(50);
	uint64_t to = sim.sockets[rnd(sim.socket_count)].address;
	c->d.remote = c->d.group		? ipv4(0xe0000001, place_port)
		      : (to >> 16 & 0xffffffff) ? to
						: ipv4(localhost, place_port);
}

static bool takes(const struct sim_socket *socket, const struct call *c)
{
	return socket->address == c->d.remote || !(socket->address >> 16 & 0xffffffff);
}

static bool enqueue(struct sim_socket *socket, int call)
{
	if (socket->count == socket->room)
		return false;
	uint32_t last = socket->head + socket->count++;
	for (; sim.priorities && last != socket->head; last--) {
		int before = socket->queue[(last - 1) % BUFFER_MAX];
		if (sim.calls[before].d.local >= sim.calls[call].d.local)
			break;
		socket->queue[last % BUFFER_MAX] = before;
	}
	socket->queue[last % BUFFER_MAX] = call;
	return true;
}

static void do_send(struct sim_thread *t)
{
	struct call *c = &sim.calls[t->call];
	uint32_t first = sim.sticky ? (uint32_t)t->socket : rnd(SOCKETS);
	bool done = false;
	for (uint32_t i = 0; i < sim.socket_count && !done; i++) {
		struct sim_socket *socket = &sim.sockets[(first + i) % sim.socket_count];
		if (!takes(socket, c))
			continue;
		if (!enqueue(socket, t->call) && !sim.silent)
			return;
		done = !c->d.group;
	}
	t->state = RETURNING;
}

static void do_receive(struct sim_thread *t)
{
	struct call *c = &sim.calls[t->call];
	struct sim_socket *socket = &sim.sockets[t->socket];
	if (!socket->count)
		return;
	c->truth = socket->queue[socket->head++ % BUFFER_MAX];
	socket->count--;
	struct call *s = &sim.calls[c->truth];
	uint64_t room = c->d.call.bytes;
	c->d.full = s->d.call.bytes >= room;
	c->d.call.bytes = c->d.full ? room : s->d.call.bytes;
	c->d.remote = sim.sources_reported ? sim.sources[s->d.socket - SOCKETS].address : 0;
	if (sim.priorities) {
		c->d.highest = !sim.sources_reported || chance(10);
		c->d.remote = c->d.highest ? 0 : s->d.local;
	}
	if (sim.tags)
		c->d.tag = ipc_tag((__u64[6]){ s->content }, c->d.call.bytes);
	t->state = RETURNING;
}

static void end_call(struct sim_thread *t)
{
	struct call *c = &sim.calls[t->call];
	c->d.call.end = sim.now;
	c->ended = true;
	t->state = IDLE;
	if (c->sends) {
		datagram_send(queue, &c->d);
	} else {
		sim.calls[c->truth].received = true;
		datagram_receive(queue, &c->d);
	}
}

static void step(struct sim_thread *t)
{
	switch (t->state) {
	case IDLE:
		if (sim.call_count < CALLS_MAX && chance(60))
			begin_call(t);
		break;
	case INSIDE:
		if (t->sends)
			do_send(t);
		else
			do_receive(t);
		break;
	case RETURNING:
		if (chance(70))
			end_call(t);
		break;
	}
	tick();
}

/* A schedule. */

static void setup_sockets(void)
{
	bool apart = sim.silent && chance(20); /* each bound to an address of its own */
	sim.socket_count = sim.silent && chance(40) ? 2 + rnd(SOCKETS - 1) : 1;
	sim.source_count = 1 + rnd(SOURCES);
	for (uint32_t i = 0; i < sim.socket_count; i++) {
		struct sim_socket *s = &sim.sockets[i];
		*s = (struct sim_socket){ .address = ipv4(apart ? localhost + i : 0, place_port) };
		s->told = s->address;
		s->room = 1 + rnd(BUFFER_MAX);
	}
	for (uint32_t i = 0; i < sim.source_count; i++) {
		struct sim_socket *s = &sim.sources[i];
		*s = (struct sim_socket){ .address = ipv4(localhost, 1000 + i) };
		s->told = !sim.sources_told ? 0 : chance(50) ? s->address : ipv4(0, 1000 + i);
	}
}

static void setup_threads(int senders, int receivers)
{
	sim.thread_count = senders + receivers;
	for (int i = 0; i < sim.thread_count; i++)
		sim.threads[i] = (struct sim_thread){
			.sends = i < senders,
			.proc = rnd(PROCS),
			.socket = i < senders ? rnd(sim.source_count) : rnd(sim.socket_count),
		};
}

static void simulate(void)
{
	memset(&sim, 0, sizeof(sim));
	sim.now = 1000000;
	sim.jitter = chance(50) ? 2 : chance(80) ? 1 + rnd(1000) : 1 + rnd(100000);
	sim.silent = chance(60);
	sim.tags = chance(50);
	sim.sources_told = chance(60);
	sim.sources_reported = chance(60);
	sim.sticky = chance(60);
	sim.groups = sim.silent && chance(15);
	sim.small_buffers = chance(25);
	sim.sizes = 1 + rnd(4);
	sim.contents = chance(60) ? 0 : 1 + rnd(4);
	sim.priorities = !sim.silent && chance(50);
	sim.priorities_used = 1 + rnd(4);
	setup_sockets();
	bool simple = chance(20);
	setup_threads(simple ? 1 : 1 + rnd(4), simple ? 1 : 1 + rnd(chance(50) ? 1 : 4));

	uint32_t senders_share = chance(50) ? 0 : rnd(60); /* more turns for senders: full buffers */
	for (int steps = 200 + rnd(2500); steps; steps--) {
		struct sim_thread *t = &sim.threads[rnd(sim.thread_count)];
		if (!t->sends && chance(senders_share))
			continue;
		for (int burst = 1 + rnd(4); burst; burst--)
			step(t);
		if (chance(2))
			datagram_expire(queue, sim.now);
	}
	for (int i = 0; i < sim.thread_count; i++)
		if (sim.threads[i].state == RETURNING) {
			end_call(&sim.threads[i]);
			tick();
		}
}

/* Comparison. */

static struct tally {
	uint64_t schedule, messages, exact, doubtful, wrong, unmatched, vanished;
} tally;

static bool one_pair(void)
{
	int sender = -1, receiver = -1;
	for (int i = 0; i < sim.call_count; i++) {
		const struct call *c = &sim.calls[i];
		int *who = c->sends ? &sender : &receiver;
		if (*who >= 0 && *who != (int)c->d.call.thread)
			return false;
		*who = c->d.call.thread;
	}
	return true;
}

static void check_receive(const struct call *r, bool certain)
{
	assert_int_equal(r->messages + r->unmatched, 1);
	tally.unmatched += r->unmatched;
	tally.messages += r->messages;
	tally.exact += r->exact;
	if (r->messages) {
		bool wrong = sim.calls[r->said].d.call.endpoint != sim.calls[r->truth].d.call.endpoint;
		tally.wrong += wrong;
		if (wrong && r->exact)
			fail_msg("the receive at %llu is said to be of %d, exactly, and is of %d",
				 (unsigned long long)r->d.call.start, r->said, r->truth);
	}
	if (certain)
		assert_int_equal(r->said, r->truth);
}

static void check(void)
{
	bool simple = one_pair();
	bool certain =
		sim.tags && sim.sources_told && sim.sources_reported && !sim.contents && !sim.small_buffers;
	for (int i = 0; i < sim.call_count; i++) {
		const struct call *c = &sim.calls[i];
		if (!c->ended)
			continue;
		if (!c->sends) {
			check_receive(c, certain);
			assert_true(!simple || c->exact || c->unmatched);
			continue;
		}
		assert_true(c->vanished == !c->messages);
		tally.vanished += c->vanished;
		if (certain)
			assert_int_equal(c->vanished, !c->received);
	}
}

static void dump(void)
{
	print_message("silent %d tags %d told %d reported %d sticky %d groups %d small %d priorities %d "
		      "sockets %u\n",
		      sim.silent, sim.tags, sim.sources_told, sim.sources_reported, sim.sticky, sim.groups,
		      sim.small_buffers, sim.priorities, sim.socket_count);
	for (int i = 0; i < sim.call_count; i++) {
		const struct call *c = &sim.calls[i];
		if (c->ended)
			print_message("%3d: %6llu .. %6llu  %s socket %d endpoint %p thread %u: %llu bytes, "
				      "tag %x%s",
				      i, (unsigned long long)c->d.call.start - 1000000,
				      (unsigned long long)c->d.call.end - 1000000, c->sends ? "send" : "recv",
				      (int)c->d.socket, (void *)c->d.call.endpoint, c->d.call.thread,
				      (unsigned long long)c->d.call.bytes, c->d.tag,
				      c->d.full ? ", full" : "");
		if (c->ended && !c->sends)
			print_message(", of %d, said %s%d", c->truth, c->exact ? "" : "~", c->said);
		if (c->ended)
			print_message("%s\n", c->vanished ? ", vanished" : "");
	}
}

static void test_simulated_kernel(void **state)
{
	(void)state;
	const char *one = getenv("SEED");
	const char *more = getenv("SCHEDULES");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1;
	uint64_t last = one ? first : more ? strtoull(more, NULL, 10) : SCHEDULES;
	for (uint64_t n = first; n <= last; n++) {
		tally.schedule = n;
		seed = n * 7919;
		for (int i = 0; i < 4; i++)
			rnd(2);
		queue = datagram_new(&sink, NULL);
		assert_non_null(queue);
		simulate();
		datagram_free(queue);
		if (one)
			dump();
		check();
	}
	print_message(
		"%llu schedules: %llu messages, %llu exact, %llu of another sender; %llu vanished, %llu "
		"unmatched\n",
		(unsigned long long)(last - first + 1), (unsigned long long)tally.messages,
		(unsigned long long)tally.exact, (unsigned long long)tally.wrong,
		(unsigned long long)tally.vanished, (unsigned long long)tally.unmatched);
}

/* By hand: what a schedule does not reach. The sink counts. */

static struct counted {
	uint64_t messages, exact, unmatched, vanished, last_vanished;
} counted;

static uint64_t count_message(void *context, const struct match_message *m)
{
	(void)context;
	counted.messages++;
	counted.exact += m->exact;
	return 0;
}

static void count_doubt(void *context, const struct match_message *m, uint64_t handle)
{
	(void)context, (void)m, (void)handle;
	counted.exact--;
}

static void count_unmatched(void *context, const struct match_call *receive)
{
	(void)context, (void)receive;
	counted.unmatched++;
}

static void count_vanished(void *context, const struct datagram *send)
{
	(void)context;
	counted.vanished++;
	counted.last_vanished = send->call.event;
}

static const struct datagram_sink counting = { count_message, count_doubt, count_unmatched, count_vanished };

/* The calls of one process and thread for each side; they take one tick each. */
static struct datagram of(int proc, uint64_t number, uint64_t bytes)
{
	static struct endpoint endpoints[PROCS];
	return (struct datagram){
		.call = { .start = 2 * number,
			  .end = 2 * number + 1,
			  .bytes = bytes,
			  .event = number,
			  .endpoint = &endpoints[proc],
			  .thread = 1 + proc },
		.socket = proc,
		.silent = true,
	};
}

static void begin(void)
{
	counted = (struct counted){ 0 };
	queue = datagram_new(&counting, NULL);
	assert_non_null(queue);
}

static void send_one(int proc, uint64_t number, uint64_t bytes)
{
	struct datagram d = of(proc, number, bytes);
	datagram_send(queue, &d);
}

static void receive_one(int proc, uint64_t number, uint64_t bytes)
{
	struct datagram d = of(proc, number, bytes);
	datagram_receive(queue, &d);
}

static void test_bounds(void **state)
{
	(void)state;
	enum { MANY = 3 * DATAGRAM_WAITING_MAX };
	begin();
	for (uint64_t i = 0; i < MANY; i++)
		send_one(0, i, 10);
	assert_int_equal(counted.vanished, MANY - DATAGRAM_WAITING_MAX);
	assert_int_equal(counted.last_vanished, MANY - DATAGRAM_WAITING_MAX - 1); /* the oldest first */
	datagram_free(queue);
	assert_int_equal(counted.vanished, MANY);
	begin();
	for (uint64_t i = 0; i < MANY; i++)
		receive_one(1, i, 10);
	assert_int_equal(counted.unmatched, MANY - DATAGRAM_WAITING_MAX);
	datagram_free(queue);
	assert_int_equal(counted.unmatched, MANY);
}

/* In order: however many wait, each takes one look. */
static void test_backlog(void **state)
{
	(void)state;
	enum { MANY = DATAGRAM_WAITING_MAX };
	clock_t start = clock();
	begin();
	for (uint64_t i = 0; i < MANY; i++)
		send_one(0, i, 10);
	for (uint64_t i = 0; i < MANY; i++)
		receive_one(1, MANY + i, 10);
	assert_int_equal(counted.exact, MANY);
	assert_true(clock() - start < CLOCKS_PER_SEC);
	datagram_free(queue);
	assert_int_equal(counted.vanished, 0);
}

static void test_patience(void **state)
{
	(void)state;
	begin();
	receive_one(1, 10, 10);
	datagram_expire(queue, DATAGRAM_PATIENCE_NS);
	assert_int_equal(counted.unmatched, 0);
	struct datagram late = of(0, 9, 10);
	late.call.end = DATAGRAM_PATIENCE_NS;
	datagram_send(queue, &late);
	assert_int_equal(counted.exact, 1);
	receive_one(1, 11, 10);
	datagram_expire(queue, DATAGRAM_PATIENCE_NS + 100);
	assert_int_equal(counted.unmatched, 1);
	datagram_free(queue);
	assert_int_equal(counted.vanished, 0);
}

/* What is lost between two that arrive; told after a while, or at the end. */
static void test_lost(void **state)
{
	(void)state;
	begin();
	for (uint64_t i = 0; i < 5; i++)
		send_one(0, i, i);
	receive_one(1, 10, 3);
	datagram_expire(queue, DATAGRAM_PATIENCE_NS);
	assert_int_equal(counted.vanished, 0);
	datagram_expire(queue, DATAGRAM_PATIENCE_NS + 100);
	assert_int_equal(counted.vanished, 3);
	datagram_settle(queue);
	assert_int_equal(counted.vanished, 4);
	assert_int_equal(counted.exact, 1);
	datagram_free(queue);
}

static void test_doubt(void **state)
{
	(void)state;
	begin();
	send_one(0, 1, 10);
	receive_one(1, 2, 10);
	assert_int_equal(counted.exact, 1);
	datagram_doubt(queue);
	assert_int_equal(counted.exact, 0);
	send_one(0, 3, 10);
	receive_one(1, 4, 10);
	assert_int_equal(counted.messages, 2);
	assert_int_equal(counted.exact, 0);
	datagram_free(queue);
}

/* Each member of a group gets it once, also the one that looks later. */
static void test_group(void **state)
{
	(void)state;
	begin();
	for (uint64_t i = 0; i < 3; i++) {
		struct datagram d = of(0, i, 10);
		d.group = true;
		datagram_send(queue, &d);
	}
	for (uint64_t i = 0; i < 3; i++)
		receive_one(1, 10 + i, 10);
	for (uint64_t i = 0; i < 4; i++)
		receive_one(2, 20 + i, 10);
	assert_int_equal(counted.messages, 6);
	datagram_free(queue);
	assert_int_equal(counted.unmatched, 1);
	assert_int_equal(counted.vanished, 0);
}

int main(int argc, char **argv)
{
	(void)argc;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_doubt),
		cmocka_unit_test(test_group),
		cmocka_unit_test(test_simulated_kernel),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (failed)
		print_message("see what happened: SEED=%llu %s\n", (unsigned long long)tally.schedule,
			      argv[0]);
	return failed;
}
