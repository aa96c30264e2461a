// SPDX-License-Identifier: BSD-2-Clause
/*
 * Spans of small traces that are made by hand. A thread's number is its process's, and one digit more. Times
 * count from the begin of the recording.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"
#include "calls.h"
#include "folder.h"
#include "recognise.h"
#include "spans.h"
#include "store.h"

#define START 5000000000000ULL

enum { PROCESSES = 8, THREADS = 80, CHANNELS = 12 };

/* What is being made. */
static struct made {
	struct store *s;
	struct store_endpoint ends[CHANNELS][PROCESSES];
	uint64_t edges[CHANNELS][PROCESSES][PROCESSES];
	uint16_t mechanisms[CHANNELS];
	uint32_t lanes[THREADS][CHANNELS][2][4]; /* by side, for those that have one */
	uint32_t endpoints;
} m;

static void begin(void)
{
	unlink(path);
	memset(&m, 0, sizeof(m));
	assert_int_equal(store_open(&m.s, path, START), 0);
	for (uint32_t p = 1; p < PROCESSES; p++)
		store_process(m.s, &(struct store_process){ .id = p, .pid = 100 + p, .exit_status = -1 });
	for (uint32_t t = 10; t < THREADS; t++)
		store_thread(m.s, &(struct store_thread){ .id = t, .process_id = t / 10, .tid = t });
}

static void channel(uint32_t id, enum ipc_mechanism mechanism)
{
	m.mechanisms[id] = mechanism;
	store_channel(m.s, &(struct store_channel){ .id = id, .mechanism = mechanism, .key = "-" });
}

static struct store_endpoint *end_of(uint32_t thread, uint32_t ch, const char *role)
{
	struct store_endpoint *e = &m.ends[ch][thread / 10];

	if (!e->id)
		*e = (struct store_endpoint){
			.id = ++m.endpoints, .channel_id = ch, .process_id = thread / 10, .role = "peer"
		};
	if (role)
		e->role = role;
	return e;
}

static uint32_t lane(uint32_t thread, uint32_t ch, enum ipc_call_id call, enum ipc_verb verb, int fd)
{
	uint32_t *id = &m.lanes[thread][ch][verb == IPC_VERB_send || verb == IPC_VERB_post][fd];

	if (!*id || call == IPC_CALL_connect || call == IPC_CALL_poll)
		*id = store_lane(m.s, &(struct store_lane){ .thread_id = thread,
							    .endpoint_id = end_of(thread, ch, NULL)->id,
							    .fd = fd,
							    .call = call,
							    .verb = verb,
							    .source = "shim" });
	return *id;
}

static bool is_counter(uint32_t ch)
{
	return m.mechanisms[ch] == IPC_MECH_eventfd || m.mechanisms[ch] == IPC_MECH_sysv_sem ||
	       m.mechanisms[ch] == IPC_MECH_posix_sem;
}

static uint64_t sent(uint32_t thread, uint32_t ch, uint64_t start, uint64_t end, int64_t bytes)
{
	struct store_endpoint *e = end_of(thread, ch, NULL);
	uint32_t l = lane(thread, ch, IPC_CALL_write, is_counter(ch) ? IPC_VERB_post : IPC_VERB_send, 0);

	e->sends++;
	e->bytes_sent += (uint64_t)bytes;
	return store_event(m.s, &(struct store_event){ START + start, end - start, l, bytes }, true);
}

static uint64_t received(uint32_t thread, uint32_t ch, uint64_t start, uint64_t end, int64_t bytes)
{
	struct store_endpoint *e = end_of(thread, ch, NULL);
	uint32_t l = lane(thread, ch, IPC_CALL_read, is_counter(ch) ? IPC_VERB_wait : IPC_VERB_recv, 0);

	e->receives++;
	e->bytes_received += (uint64_t)bytes;
	return store_event(m.s, &(struct store_event){ START + start, end - start, l, bytes }, true);
}

static void join(uint32_t from, uint32_t to, uint32_t ch, uint64_t send, uint64_t recv, uint64_t bytes,
		 bool exact)
{
	m.edges[ch][from / 10][to / 10]++;
	store_link(m.s, send, recv, bytes, exact);
}

/* A message: sent at `at`, received by `by`, of ten bytes. Returns the send's event. */
static uint64_t message(uint32_t from, uint32_t to, uint32_t ch, uint64_t at, uint64_t by)
{
	int64_t bytes = is_counter(ch) ? 0 : 10;
	uint64_t s = sent(from, ch, at, at + 1, bytes), r = received(to, ch, at, by, bytes);

	join(from, to, ch, s, r, (uint64_t)bytes, true);
	return s;
}

static void finish(void)
{
	for (uint32_t c = 1; c < CHANNELS; c++)
		for (uint32_t p = 1; p < PROCESSES; p++) {
			if (m.ends[c][p].id)
				store_endpoint(m.s, &m.ends[c][p]);
			for (uint32_t q = 1; q < PROCESSES; q++)
				if (m.edges[c][p][q])
					store_edge(m.s, &(struct store_edge){ .src_id = p,
									      .dst_id = q,
									      .channel_id = c,
									      .messages = m.edges[c][p][q] });
		}
	assert_int_equal(store_close(m.s), 0);
}

static void check_file(const char *sql, const char *expected)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	check(db, sql, expected);
	sqlite3_close(db);
}

/* Each span, by its begin: threads, begin and end, the begin of its parent, and what is not certain. */
static void check_spans(const char *expected)
{
	finish();
	check_file(
		"SELECT s.src_tid, s.dst_tid, s.start_ns - 5000000000000, s.end_ns - 5000000000000,"
		" (SELECT p.start_ns - 5000000000000 FROM spans p WHERE p.span_id = s.parent_id"
		"  AND p.trace_id = s.trace_id),"
		" trim(CASE WHEN s.exact THEN '' ELSE '~ ' END || CASE WHEN s.pipelined THEN 'p' ELSE '' END)"
		" FROM spans s ORDER BY s.start_ns, s.id",
		expected);
}

static void socket_between(uint32_t client, uint32_t server, uint32_t ch)
{
	channel(ch, IPC_MECH_unix_stream);
	end_of(client, ch, "client");
	end_of(server, ch, "server");
}

/* ---- exchanges ---- */

static void test_one_socket(void **state)
{
	(void)state;
	begin();
	socket_between(10, 20, 1);
	message(10, 20, 1, 10, 20);
	message(20, 10, 1, 50, 60);
	message(10, 20, 1, 100, 110);
	message(20, 10, 1, 120, 130);
	check_spans("10|20|10|60|-|\n10|20|100|130|-|\n");
	check_file("SELECT kind, name, src_id, dst_id, channel_id, server_ns, status, failed, request_bytes,"
		   " reply_bytes, length(trace_id), length(span_id) FROM spans",
		   "exchange|-|1|2|1|30|-|-|10|10|32|16\nexchange|-|1|2|1|10|-|-|10|10|"
		   "32|16\n");
	check_file("SELECT count(DISTINCT trace_id), count(DISTINCT span_id) FROM spans", "2|2\n");
}

static void test_greeting(void **state)
{
	(void)state;
	begin();
	socket_between(10, 20, 1);
	message(20, 10, 1, 1, 5);
	message(10, 20, 1, 10, 20);
	message(20, 10, 1, 50, 60);
	check_spans("10|20|10|60|-|\n");
}

static void test_two_pipes(void **state)
{
	(void)state;
	begin();
	channel(1, IPC_MECH_pipe);
	channel(2, IPC_MECH_pipe);
	message(10, 20, 1, 10, 20);
	message(20, 10, 2, 50, 60);
	message(10, 20, 1, 90, 95);
	message(20, 10, 2, 96, 99);
	check_spans("10|20|10|60|-|\n10|20|90|99|-|\n");
}

/* Which of the two ways back is that of the replies is a guess. */
static void test_three_pipes(void **state)
{
	(void)state;
	begin();
	channel(1, IPC_MECH_pipe);
	channel(2, IPC_MECH_pipe);
	channel(3, IPC_MECH_pipe);
	message(10, 20, 1, 10, 20);
	message(20, 10, 2, 50, 60);
	message(20, 10, 3, 70, 80); /* standard error */
	message(10, 20, 1, 90, 95);
	message(20, 10, 2, 96, 99);
	check_spans("10|20|10|60|-|~\n10|20|90|99|-|~\n");
}

static void test_two_mechanisms(void **state)
{
	(void)state;
	begin();
	channel(1, IPC_MECH_pipe);
	channel(2, IPC_MECH_posix_mq);
	message(20, 10, 2, 10, 20);
	message(10, 20, 1, 50, 60);
	check_spans("20|10|10|60|-|\n");
	begin();
	channel(1, IPC_MECH_pipe);
	channel(2, IPC_MECH_posix_mq);
	channel(3, IPC_MECH_fifo);
	message(20, 10, 2, 10, 20);
	message(10, 20, 1, 50, 60);
	message(10, 20, 3, 70, 80); /* it might be of either */
	check_spans("");
}

static void test_one_way(void **state)
{
	(void)state;
	begin();
	channel(1, IPC_MECH_pipe);
	channel(2, IPC_MECH_pipe);
	message(10, 20, 1, 10, 20);
	message(10, 20, 1, 30, 40);
	message(20, 30, 2, 50, 60);
	check_spans("");
	check_file("SELECT value FROM meta WHERE key = 'spans'", "built\n");
}

static void test_a_queue_with_types(void **state)
{
	(void)state;
	begin();
	channel(1, IPC_MECH_sysv_msg);
	message(10, 30, 1, 10, 20);
	message(20, 30, 1, 21, 22);
	message(30, 10, 1, 30, 40);
	message(30, 20, 1, 41, 50);
	check_spans("10|30|10|40|-|\n20|30|21|50|-|\n");
}

/* Both ends were inherited: who sends first calls. */
static void test_a_socket_pair(void **state)
{
	(void)state;
	begin();
	channel(1, IPC_MECH_unix_stream);
	message(20, 10, 1, 10, 20);
	message(10, 20, 1, 30, 40);
	check_spans("20|10|10|40|-|\n");
}

static void test_in_pieces(void **state)
{
	uint64_t s, r;

	(void)state;
	begin();
	socket_between(10, 20, 1);
	message(10, 20, 1, 10, 20);
	message(10, 20, 1, 21, 30);
	s = sent(20, 1, 40, 42, 10); /* which two receives take */
	r = received(10, 1, 41, 45, 4);
	join(20, 10, 1, s, r, 4, true);
	r = received(10, 1, 46, 50, 6);
	join(20, 10, 1, s, r, 6, true);
	message(20, 10, 1, 60, 70);
	check_spans("10|20|10|70|-|\n");
	check_file("SELECT server_ns, request_bytes, reply_bytes FROM spans", "10|20|20\n");
}

static void test_approximate(void **state)
{
	uint64_t s, r;

	(void)state;
	begin();
	socket_between(10, 20, 1);
	s = sent(10, 1, 10, 12, 10);
	r = received(20, 1, 5, 20, 10);
	join(10, 20, 1, s, r, 10, false);
	message(20, 10, 1, 30, 40);
	check_spans("10|20|10|40|-|~\n");
}

/* The server answers the first before it has read the second. */
static void test_pipelined(void **state)
{
	uint64_t s, r;

	(void)state;
	begin();
	socket_between(10, 20, 1);
	message(10, 20, 1, 10, 20);
	s = sent(10, 1, 22, 24, 10);
	message(20, 10, 1, 30, 60);
	r = received(20, 1, 40, 45, 10);
	join(10, 20, 1, s, r, 10, true);
	message(20, 10, 1, 50, 70);
	check_spans("10|20|10|60|-|~ p\n10|20|22|70|-|~ p\n");
}

/* Threads share a socket. At the server other threads take the requests and answer in another order. */
static void test_multiplexed(void **state)
{
	(void)state;
	begin();
	socket_between(10, 20, 1);
	message(10, 20, 1, 10, 20);
	message(11, 21, 1, 22, 30);
	message(21, 11, 1, 40, 50);
	message(20, 10, 1, 60, 70);
	check_spans("10|20|10|70|-|~ p\n11|21|22|50|-|~ p\n");
}

/* One thread takes both and answers: nobody can tell which is which. */
static void test_indistinguishable(void **state)
{
	(void)state;
	begin();
	socket_between(10, 20, 1);
	message(10, 20, 1, 10, 20);
	message(11, 20, 1, 22, 30);
	message(20, 11, 1, 40, 50);
	message(20, 10, 1, 60, 70);
	check_spans("10|20|10|70|-|~ p\n");
}

static void test_client_outside(void **state)
{
	(void)state;
	begin();
	channel(1, IPC_MECH_tcp);
	end_of(20, 1, "server");
	received(20, 1, 5, 20, 10);
	sent(20, 1, 50, 55, 30);
	received(20, 1, 60, 70, 10);
	sent(20, 1, 80, 85, 30);
	m.edges[1][7][2] = m.edges[1][2][7] = 2;
	check_spans("-|20|20|55|-|\n-|20|70|85|-|\n");
	check_file("SELECT src_id, dst_id, server_ns FROM spans", "7|2|30\n7|2|10\n");
}

static void test_server_outside(void **state)
{
	(void)state;
	begin();
	channel(1, IPC_MECH_tcp);
	end_of(10, 1, "client");
	sent(10, 1, 10, 12, 10);
	received(10, 1, 13, 40, 10);
	m.edges[1][7][1] = m.edges[1][1][7] = 1;
	check_spans("10|-|10|40|-|\n");
	check_file("SELECT src_id, dst_id, server_ns FROM spans", "1|7|-\n");
}

/* ---- trees ---- */

static void test_five_deep(void **state)
{
	(void)state;
	begin();
	for (uint32_t i = 1; i <= 5; i++)
		socket_between(i * 10, (i + 1) * 10, i);
	for (uint32_t i = 1; i <= 5; i++)
		message(i * 10, (i + 1) * 10, i, i * 10, i * 10 + 5);
	for (uint32_t i = 5; i >= 1; i--)
		message((i + 1) * 10, i * 10, i, 200 - i * 10, 205 - i * 10);
	message(10, 20, 1, 300, 310); /* what was before is over */
	message(20, 10, 1, 320, 330);
	message(20, 30, 2, 340, 350);
	message(30, 20, 2, 360, 370);
	check_spans(
		"10|20|10|195|-|\n20|30|20|185|10|\n30|40|30|175|20|\n40|50|40|165|30|\n50|60|50|155|40|\n"
		"10|20|300|330|-|\n20|30|340|370|-|\n");
	check_file("SELECT count(DISTINCT trace_id) FROM spans", "3\n");
}

/* A thread of process 2 receives, another one asks process 3 and answers. */
static void hand_over(enum ipc_mechanism mechanism, const char *expected)
{
	begin();
	socket_between(10, 20, 1);
	channel(2, mechanism);
	socket_between(21, 30, 3);
	message(10, 20, 1, 10, 20);
	message(20, 21, 2, 22, 25);
	message(21, 30, 3, 30, 35);
	message(30, 21, 3, 40, 45);
	message(21, 10, 1, 50, 60);
	check_spans(expected);
}

static void test_hand_over(void **state)
{
	static const enum ipc_mechanism all[] = { IPC_MECH_pipe, IPC_MECH_eventfd, IPC_MECH_sysv_sem,
						  IPC_MECH_posix_mq };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		hand_over(all[i], "10|20|10|60|-|\n21|30|30|45|10|\n");
		check_file("SELECT l.hop, l.message_id IN (SELECT id FROM messages WHERE channel_id = 2), "
			   "l.channel_id,"
			   " l.exact, l.span_id = s.span_id, l.parent_id = s.parent_id FROM span_links l, "
			   "spans s"
			   " WHERE s.parent_id IS NOT NULL",
			   "1|1|2|1|1|1\n");
	}
}

/* Posts and waits of semaphores in memory have events, and no messages. */
static void test_hand_over_by_semaphore(void **state)
{
	(void)state;
	begin();
	socket_between(10, 20, 1);
	channel(2, IPC_MECH_posix_sem);
	socket_between(21, 30, 3);
	message(10, 20, 1, 10, 20);
	sent(20, 2, 22, 23, 0);
	received(21, 2, 5, 25, 0);
	m.edges[2][2][2] = 1;
	message(21, 30, 3, 30, 35);
	message(30, 21, 3, 40, 45);
	message(21, 10, 1, 50, 60);
	check_spans("10|20|10|60|-|\n21|30|30|45|10|\n");
	check_file("SELECT hop, message_id, channel_id, exact FROM span_links", "1|-|2|1\n");
}

/* Through memory: nothing was seen of it, but who answers has worked on it. */
static void test_hand_over_unseen(void **state)
{
	(void)state;
	begin();
	socket_between(10, 20, 1);
	socket_between(21, 30, 3);
	message(10, 20, 1, 10, 20);
	message(21, 30, 3, 30, 35);
	message(30, 21, 3, 40, 45);
	message(21, 10, 1, 50, 60);
	check_spans("10|20|10|60|-|\n21|30|30|45|10|~\n");
}

/* A message of somebody who works on nothing brings nothing; and what is over is not handed on. */
static void test_hand_over_of_nothing(void **state)
{
	(void)state;
	begin();
	socket_between(10, 20, 1);
	channel(2, IPC_MECH_eventfd);
	socket_between(21, 30, 3);
	message(10, 20, 1, 10, 20);
	message(20, 10, 1, 30, 40);
	message(20, 21, 2, 50, 55);
	message(21, 30, 3, 60, 65);
	message(30, 21, 3, 70, 75);
	check_spans("10|20|10|40|-|\n21|30|60|75|-|\n");
}

/* A semaphore that each thread takes and gives back brings nothing along. */
static void test_a_lock(void **state)
{
	(void)state;
	begin();
	socket_between(10, 20, 1);
	socket_between(11, 21, 2);
	channel(3, IPC_MECH_sysv_sem);
	socket_between(21, 30, 4);
	message(10, 20, 1, 10, 20);
	message(11, 21, 2, 11, 21);
	message(20, 20, 3, 22, 23);
	message(20, 21, 3, 24, 26);
	message(21, 20, 3, 27, 28);
	message(21, 30, 4, 30, 35);
	message(30, 21, 4, 40, 45);
	message(21, 11, 2, 50, 60);
	message(20, 10, 1, 50, 60);
	check_spans("10|20|10|60|-|\n11|21|11|60|-|\n21|30|30|45|11|\n");
}

/* One thread, two requests at a time: a reply brings back what it was asked for. */
static void test_event_loop(void **state)
{
	(void)state;
	begin();
	socket_between(10, 20, 1);
	socket_between(11, 20, 2);
	for (uint32_t c = 3; c <= 6; c++)
		socket_between(20, 30, c);
	message(10, 20, 1, 10, 20);
	message(20, 30, 3, 21, 25);
	message(11, 20, 2, 26, 30);
	message(20, 30, 4, 31, 35);
	message(30, 20, 3, 40, 45);
	message(20, 30, 5, 46, 50);
	message(30, 20, 4, 51, 55);
	message(20, 11, 2, 56, 60);
	message(30, 20, 5, 61, 65);
	message(20, 10, 1, 66, 70);
	check_spans("10|20|10|70|-|\n20|30|21|45|10|\n11|20|26|60|-|\n20|30|31|55|26|\n20|30|46|65|10|\n");
}

/* A connection that was begun for one request, and is used when another one has come. */
static void test_connected_for(void **state)
{
	uint32_t l;

	(void)state;
	begin();
	socket_between(10, 20, 1);
	socket_between(11, 20, 2);
	socket_between(20, 30, 3);
	message(10, 20, 1, 10, 20);
	l = lane(20, 3, IPC_CALL_connect, IPC_VERB_control, 1);
	store_event(m.s, &(struct store_event){ START + 21, 1, l, -115 }, false); /* EINPROGRESS */
	message(11, 20, 2, 26, 30);
	message(20, 30, 3, 31, 35);
	message(30, 20, 3, 40, 45);
	message(20, 10, 1, 46, 50);
	message(20, 11, 2, 51, 60);
	check_spans("10|20|10|50|-|\n11|20|26|60|-|\n20|30|31|45|10|\n");
}

/* It has looked what there is to do, and has two requests: which of them it goes on with is a guess. */
static void test_which_of_two(void **state)
{
	uint32_t l;

	(void)state;
	begin();
	socket_between(10, 20, 1);
	socket_between(11, 20, 2);
	socket_between(20, 30, 3);
	message(10, 20, 1, 10, 20);
	message(11, 20, 2, 21, 25);
	l = lane(20, 3, IPC_CALL_poll, IPC_VERB_wait, 1);
	store_event(m.s, &(struct store_event){ START + 26, 1, l, 1 }, false);
	message(20, 30, 3, 31, 35);
	message(30, 20, 3, 40, 45);
	message(20, 10, 1, 46, 50);
	message(20, 11, 2, 51, 60);
	check_spans("10|20|10|50|-|\n11|20|21|60|-|\n20|30|31|45|21|~\n");
}

static void test_child(void **state)
{
	uint64_t s, r;

	(void)state;
	begin();
	socket_between(10, 20, 1);
	channel(2, IPC_MECH_process);
	socket_between(30, 40, 3);
	message(10, 20, 1, 10, 20);
	s = store_event(
		m.s,
		&(struct store_event){ START + 22, 3, lane(20, 2, IPC_CALL_clone, IPC_VERB_spawn, 0), 130 },
		true);
	r = store_event(
		m.s, &(struct store_event){ START + 24, 0, lane(30, 2, IPC_CALL_read, IPC_VERB_recv, 0), 0 },
		true);
	store_link(m.s, s, r, 0, true);
	message(30, 40, 3, 30, 35);
	message(40, 30, 3, 40, 45);
	message(20, 10, 1, 50, 60);
	check_spans("10|20|10|60|-|\n30|40|30|45|10|\n");
}

/* Its ids are the same whenever they are made, and other traces have others. */
static void test_again(void **state)
{
	char *first, *again;
	sqlite3 *db;

	(void)state;
	hand_over(IPC_MECH_pipe, "10|20|10|60|-|\n21|30|30|45|10|\n");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	first = ask(db, "SELECT trace_id, span_id, parent_id FROM spans");
	assert_int_equal(spans_build(db, 3), 0);
	check(db, "SELECT value FROM meta WHERE key = 'spans'", "deferred\n");
	assert_int_equal(spans_build(db, 0), 0);
	check(db, "SELECT value FROM meta WHERE key = 'spans'", "built\n");
	again = ask(db, "SELECT trace_id, span_id, parent_id FROM spans");
	assert_string_equal(first, again);
	free(again);
	assert_int_equal(sqlite3_exec(db, "UPDATE meta SET value = value + 1 WHERE key = 'start_ns'", NULL,
				      NULL, NULL),
			 0);
	assert_int_equal(spans_build(db, 0), 0);
	again = ask(db, "SELECT trace_id, span_id, parent_id FROM spans");
	assert_string_not_equal(first, again);
	free(first);
	free(again);
	sqlite3_close(db);
}

/* What was recorded stays as it is, and they can be found later. */
static void test_a_full_disk(void **state)
{
	sqlite3 *db;

	(void)state;
	begin();
	socket_between(10, 20, 1);
	for (uint64_t i = 0; i < 2000; i++) {
		message(10, 20, 1, 100 * i + 10, 100 * i + 20);
		message(20, 10, 1, 100 * i + 30, 100 * i + 40);
	}
	finish();
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "DELETE FROM spans; VACUUM; PRAGMA max_page_count = 1", NULL, NULL, NULL),
		0);
	assert_int_equal(spans_build(db, 0), -ENOSPC);
	check(db,
	      "SELECT value, (SELECT count(*) FROM spans), (SELECT count(*) FROM messages) FROM meta WHERE "
	      "key = 'spans'",
	      "deferred|0|4000\n");
	sqlite3_close(db);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(spans_build(db, 0), 0);
	check(db, "SELECT value, (SELECT count(*) FROM spans) FROM meta WHERE key = 'spans'", "built|2000\n");
	sqlite3_close(db);
}

/* ---- what parsers tell ---- */

struct told {
	uint64_t id, event;
	const char *kind, *name;
	uint64_t number;
	uint32_t channel, process;
	uint64_t call;
	bool sent;
	const char *status;
	bool traced;
};

static void tell(const struct told *t)
{
	uint8_t trace[16] = { 0xab }, parent[8] = { 0xcd };

	store_protocol(m.s, &(struct store_protocol){ .id = t->id,
						      .protocol = IPC_PROTO_jsonrpc,
						      .kind = t->kind,
						      .channel_id = t->channel,
						      .process_id = t->process,
						      .sent = t->sent,
						      .numbered = t->number,
						      .exact = true,
						      .first_event = t->event,
						      .last_event = t->event,
						      .bytes = 10,
						      .number = t->number,
						      .name = t->name,
						      .status = t->status,
						      .failed = t->status != NULL,
						      .trace_id = t->traced ? trace : NULL,
						      .parent_id = t->traced ? parent : NULL,
						      .call = t->call });
}

/* Two calls at a time, the second is answered first. */
static void test_numbered_calls(void **state)
{
	uint64_t a, b, c, d, e;

	(void)state;
	begin();
	channel(1, IPC_MECH_pipe);
	channel(2, IPC_MECH_pipe);
	a = message(10, 20, 1, 10, 20);
	b = message(10, 20, 1, 21, 30);
	c = message(20, 10, 2, 40, 50);
	d = message(20, 10, 2, 60, 70);
	e = message(10, 20, 1, 80, 90);
	tell(&(struct told){ 1, a, "call", "one", 7, 1, 1, 0, true, NULL, false });
	tell(&(struct told){ 2, b, "call", "two", 8, 1, 1, 0, true, NULL, false });
	tell(&(struct told){ 3, c, "reply", NULL, 8, 2, 2, 0, true, "-32601", false });
	tell(&(struct told){ 4, d, "reply", NULL, 7, 2, 2, 0, true, NULL, false });
	tell(&(struct told){ 5, e, "oneway", "note", 0, 1, 1, 0, true, NULL, false });
	check_spans("10|20|10|70|-|p\n10|20|21|50|-|p\n10|20|80|90|-|\n");
	check_file("SELECT kind, name, status, failed, server_ns FROM spans",
		   "jsonrpc|one|-|0|40\njsonrpc|two|-32601|1|10\njsonrpc|note|-|-|-\n");
}

/* Both ends call, each numbers its own; the last reply is read in pieces. */
static void test_numbers_of_both(void **state)
{
	uint64_t a, b, c, d, r;

	(void)state;
	begin();
	channel(1, IPC_MECH_pipe);
	channel(2, IPC_MECH_pipe);
	a = message(10, 20, 1, 10, 20);
	b = message(20, 10, 2, 30, 40);
	c = message(10, 20, 1, 50, 60);
	d = sent(20, 2, 70, 72, 10);
	r = received(10, 2, 71, 75, 4);
	join(20, 10, 2, d, r, 4, true);
	r = received(10, 2, 76, 80, 6);
	join(20, 10, 2, d, r, 6, true);
	tell(&(struct told){ 1, a, "call", "there", 7, 1, 1, 0, true, NULL, false });
	tell(&(struct told){ 2, b, "call", "back", 7, 2, 2, 0, true, NULL, false });
	tell(&(struct told){ 3, c, "reply", NULL, 7, 1, 1, 0, true, "2", false });
	tell(&(struct told){ 4, d, "reply", NULL, 7, 2, 2, 0, true, "1", false });
	finish();
	check_file("SELECT name, status, server_ns, end_ns - 5000000000000 > 72,"
		   " parent_id = (SELECT span_id FROM spans WHERE name = 'there') FROM spans",
		   "there|1|50|1|-\nback|2|10|0|1\n");
}

/* A process of which only its own side is seen calls and is called, by the same number. */
static void test_numbers_outside(void **state)
{
	uint64_t a, b, c, d;

	(void)state;
	begin();
	channel(1, IPC_MECH_pipe);
	channel(2, IPC_MECH_pipe);
	a = sent(10, 1, 10, 11, 10);
	b = received(10, 2, 20, 30, 10);
	c = sent(10, 1, 40, 41, 10);
	d = received(10, 2, 50, 60, 10);
	tell(&(struct told){ 1, a, "call", "there", 7, 1, 1, 0, true, NULL, false });
	tell(&(struct told){ 2, b, "call", "back", 7, 2, 1, 0, false, NULL, false });
	tell(&(struct told){ 3, c, "reply", NULL, 7, 1, 1, 0, true, "2", false });
	tell(&(struct told){ 4, d, "reply", NULL, 7, 2, 1, 0, false, "1", false });
	finish();
	check_file("SELECT name, status, start_ns - 5000000000000, end_ns - 5000000000000 FROM spans",
		   "there|1|10|60\nback|2|30|41\n");
}

static void test_no_reply(void **state)
{
	uint64_t a;

	(void)state;
	begin();
	socket_between(10, 20, 1);
	a = message(10, 20, 1, 10, 20);
	message(20, 10, 1, 30, 40); /* which no parser understood */
	tell(&(struct told){ 1, a, "call", "one", 7, 1, 1, 0, true, NULL, false });
	check_spans("10|20|10|-|-|\n");
}

/* The id that a call carries is the whole tree's; who called from outside is its parent. */
static void test_traceparent(void **state)
{
	uint64_t a, b, c, d;

	(void)state;
	begin();
	channel(1, IPC_MECH_tcp);
	end_of(20, 1, "server");
	socket_between(20, 30, 2);
	a = received(20, 1, 5, 20, 10);
	b = message(20, 30, 2, 30, 35);
	c = message(30, 20, 2, 40, 45);
	d = sent(20, 1, 50, 55, 10);
	tell(&(struct told){ 1, a, "call", "outer", 0, 1, 2, 0, false, NULL, true });
	tell(&(struct told){ 2, b, "call", "inner", 0, 2, 2, 0, true, NULL, true });
	tell(&(struct told){ 3, c, "reply", NULL, 0, 2, 3, 2, true, NULL, false });
	tell(&(struct told){ 4, d, "reply", NULL, 0, 1, 2, 1, true, NULL, false });
	check_spans("-|20|20|55|-|\n20|30|30|45|20|\n");
	check_file(
		"SELECT name, trace_id, parent_id = (SELECT span_id FROM spans WHERE name = 'outer'), name = "
		"'inner' OR"
		" parent_id = 'cd00000000000000' FROM spans",
		"outer|ab000000000000000000000000000000|0|1\ninner|ab000000000000000000000000000000|1|1\n");
}

/* A call's own id, as who asks knows it; of those that carry the same, as through a proxy, the first one's.
 */
static void test_ids_of_calls(void **state)
{
	uint64_t a, b, c, d;

	(void)state;
	begin();
	socket_between(10, 20, 1);
	socket_between(20, 30, 2);
	a = message(10, 20, 1, 10, 20);
	b = message(20, 30, 2, 30, 35);
	c = message(30, 20, 2, 40, 45);
	d = message(20, 10, 1, 50, 55);
	tell(&(struct told){ 1, a, "call", "outer", 0, 1, 1, 0, true, NULL, true });
	tell(&(struct told){ 2, b, "call", "inner", 0, 2, 2, 0, true, NULL, true });
	tell(&(struct told){ 3, c, "reply", NULL, 0, 2, 3, 2, true, NULL, false });
	tell(&(struct told){ 4, d, "reply", NULL, 0, 1, 2, 1, true, NULL, false });
	check_spans("10|20|10|55|-|\n20|30|30|45|10|\n");
	check_file("SELECT name, span_id = 'cd00000000000000', parent_id FROM spans",
		   "outer|1|-\ninner|0|cd00000000000000\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_socket),
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_two_pipes),
		cmocka_unit_test(test_three_pipes),
		cmocka_unit_test(test_two_mechanisms),
		cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_a_queue_with_types),
		cmocka_unit_test(test_a_socket_pair),
		cmocka_unit_test(test_in_pieces),
		cmocka_unit_test(test_approximate),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_multiplexed),
		cmocka_unit_test(test_indistinguishable),
		cmocka_unit_test(test_client_outside),
		cmocka_unit_test(test_server_outside),
		cmocka_unit_test(test_five_deep),
		cmocka_unit_test(test_hand_over),
		cmocka_unit_test(test_hand_over_by_semaphore),
		cmocka_unit_test(test_hand_over_unseen),
		cmocka_unit_test(test_hand_over_of_nothing),
		cmocka_unit_test(test_a_lock),
		cmocka_unit_test(test_event_loop),
		cmocka_unit_test(test_connected_for),
		cmocka_unit_test(test_which_of_two),
		cmocka_unit_test(test_child),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_a_full_disk),
		cmocka_unit_test(test_numbered_calls),
		cmocka_unit_test(test_numbers_of_both),
		cmocka_unit_test(test_numbers_outside),
		cmocka_unit_test(test_no_reply),
		cmocka_unit_test(test_traceparent),
		cmocka_unit_test(test_ids_of_calls),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
