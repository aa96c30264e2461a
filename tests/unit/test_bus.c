// SPDX-License-Identifier: BSD-2-Clause
/*
 * The pass that resolves a bus of D-Bus, on small traces that are made by hand. Process 1 is the daemon, 2 to
 * 4 are connected to it, each through the channel of its number, as :1.2 to :1.4; a thread's number is its
 * process's. Times count from the begin of the recording.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"
#include "bus.h"
#include "calls.h"
#include "recognise.h"
#include "store.h"

#define START 5000000000000ULL

enum { BUS = 1, CLIENT, SERVICE, OTHER, PROCESSES = OTHER };

static char dir[] = "/tmp/test_bus.XXXXXX";
static char path[64];
static struct store *s;
static sqlite3 *db;
static uint64_t messages;
static uint64_t offsets[PROCESSES + 1][2]; /* of a channel: what the client, what the daemon has sent */

/* Both ends of a connection: lanes 4c to 4c + 3 are the client's sends and receives, the daemon's likewise.
 */
static void connection(uint32_t c, const char *coverage)
{
	store_process(s, &(struct store_process){ .id = c,
						  .pid = 100 + (int32_t)c,
						  .comm = c == BUS ? "bus" : "client",
						  .source = "shim",
						  .coverage = coverage });
	store_thread(s, &(struct store_thread){ .id = c, .process_id = c, .tid = 100 + (int32_t)c });
	if (c == BUS)
		return;
	store_channel(s, &(struct store_channel){
				 .id = c, .mechanism = IPC_MECH_unix_stream, .key = "k", .name = "/bus" });
	for (uint32_t i = 0; i < 2; i++)
		store_endpoint(s, &(struct store_endpoint){ .id = 2 * c + i,
							    .channel_id = c,
							    .process_id = i ? BUS : c,
							    .role = i ? "server" : "client" });
}

static void begin(const char *service)
{
	snprintf(path, sizeof(path), "%s/trace.db", dir);
	unlink(path);
	messages = 0;
	memset(offsets, 0, sizeof(offsets));
	assert_int_equal(store_open(&s, path, START), 0);
	for (uint32_t c = BUS; c <= PROCESSES; c++)
		connection(c, c == SERVICE ? service : "full");
}

static uint64_t event(uint32_t c, bool daemons, enum ipc_verb verb, uint64_t start, uint64_t end,
		      int64_t bytes)
{
	uint32_t lane = store_lane(
		s, &(struct store_lane){ .thread_id = daemons ? BUS : c,
					 .endpoint_id = 2 * c + daemons,
					 .fd = 3,
					 .call = verb == IPC_VERB_send ? IPC_CALL_sendmsg : IPC_CALL_recvmsg,
					 .verb = verb,
					 .source = "shim" });
	return store_event(s, &(struct store_event){ START + start, end - start, lane, bytes }, true);
}

/* Sent by one end of connection `c` at `at`, for 2 ns; received `by`, for 2 ns until then. Returns the send.
 */
static uint64_t move(uint32_t c, bool daemons, uint64_t at, uint64_t by, int64_t bytes)
{
	uint64_t send = event(c, daemons, IPC_VERB_send, at, at + 2, bytes);

	if (by)
		store_link(s, send, event(c, !daemons, IPC_VERB_recv, by - 2, by, bytes), (uint64_t)bytes,
			   true);
	return send;
}

/* A message of D-Bus in the events `first` to `last`. */
static uint64_t says(uint32_t c, bool daemons, uint64_t first, uint64_t last, uint64_t bytes,
		     struct store_protocol more)
{
	more.id = ++messages;
	more.protocol = IPC_PROTO_dbus;
	more.kind = more.kind ? more.kind : "call";
	more.channel_id = c;
	more.process_id = daemons ? BUS : c;
	more.sent = more.exact = true;
	more.first_event = first;
	more.last_event = last;
	more.offset = offsets[c][daemons];
	more.bytes = bytes;
	offsets[c][daemons] += bytes;
	store_protocol(s, &more);
	return more.id;
}

#define OWN(c) ((const char *const[]){ NULL, NULL, ":1.2", ":1.3", ":1.4" }[c])
static uint64_t says_at_once(uint32_t c, bool daemons, uint64_t event, uint64_t bytes,
			     struct store_protocol more)
{
	return says(c, daemons, event, event, bytes, more);
}

#define SAYS(c, daemons, event, size, ...)                                                                   \
	says_at_once(c, daemons, event, size, (struct store_protocol){ __VA_ARGS__ })

/* Each is told its own name, for nothing. */
static void names(void)
{
	for (uint32_t c = CLIENT; c <= PROCESSES; c++)
		SAYS(c, true, move(c, true, 1, 4, 8), 8, .kind = "signal", .sender = "org.freedesktop.DBus",
		     .destination = OWN(c), .serial = 1);
}

static void resolve(void)
{
	assert_int_equal(store_close(s), 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	for (int i = 0; i < 2; i++) /* it can be done again */
		assert_int_equal(bus_resolve(db), 0);
}

static void end(void)
{
	sqlite3_close(db);
	unlink(path);
}

#define LOGICAL                                                                                              \
	"SELECT src_id, dst_id, sent_ns - 5000000000000, received_ns - 5000000000000, bytes, exact FROM "    \
	"messages WHERE mechanism = 'dbus' AND src_id <> 1 ORDER BY 3, 4"
#define EDGES                                                                                                \
	"SELECT src_id, dst_id, messages, bytes, latency_min_ns, latency_p50_ns, latency_p90_ns, "           \
	"latency_p99_ns, latency_max_ns, exact FROM edges WHERE mechanism = 'dbus' AND src_id <> 1"

/* The client's own send, the service's own read; what lies between is the bus's. */
static void test_call_through_a_bus(void **state)
{
	(void)state;
	begin("full");
	names();
	SAYS(CLIENT, false, move(CLIENT, false, 10, 20, 50), 50, .destination = ":1.3", .serial = 7);
	SAYS(SERVICE, true, move(SERVICE, true, 30, 45, 60), 60, .sender = ":1.2", .destination = ":1.3",
	     .serial = 7);
	resolve();
	check(db, LOGICAL, "2|3|10|45|60|1\n");
	check(db, EDGES, "2|3|1|60|35|35|35|35|35|1\n");
	check(db, "SELECT count(*), count(DISTINCT id), sum(id < 0) FROM messages", "9|9|4\n");
	check(db, "SELECT count(*) FROM waits", "0\n");
	end();
}

static void test_signal_to_several(void **state)
{
	(void)state;
	begin("full");
	names();
	SAYS(CLIENT, false, move(CLIENT, false, 10, 20, 50), 50, .kind = "signal", .serial = 7);
	for (uint32_t c = CLIENT; c <= OTHER; c++) /* the sender wants it too */
		SAYS(c, true, move(c, true, 20 + c, 40 + c, 60), 60, .kind = "signal", .sender = ":1.2",
		     .serial = 7);
	resolve();
	check(db, LOGICAL, "2|2|10|42|60|1\n2|3|10|43|60|1\n2|4|10|44|60|1\n");
	end();
}

/* One message in two sends, which the receiver reads at once and in parts; two messages in one send. */
static void test_pieces(void **state)
{
	(void)state;
	begin("full");
	names();
	uint64_t first = move(CLIENT, false, 10, 14, 30), last = move(CLIENT, false, 12, 16, 20);
	says(CLIENT, false, first, last, 50, (struct store_protocol){ .destination = ":1.3", .serial = 7 });
	first = event(SERVICE, true, IPC_VERB_send, 20, 22, 60);
	uint64_t part = event(SERVICE, false, IPC_VERB_recv, 30, 32, 40);
	last = event(SERVICE, false, IPC_VERB_recv, 40, 42, 20);
	store_link(s, first, part, 40, true);
	store_link(s, first, last, 20, true);
	SAYS(SERVICE, true, first, 60, .sender = ":1.2", .destination = ":1.3", .serial = 7);
	SAYS(CLIENT, false, move(CLIENT, false, 50, 52, 50), 50, .destination = ":1.3", .serial = 8);
	SAYS(CLIENT, false, move(CLIENT, false, 54, 56, 50), 50, .destination = ":1.3", .serial = 9);
	first = move(SERVICE, true, 60, 70, 120);
	SAYS(SERVICE, true, first, 60, .sender = ":1.2", .destination = ":1.3", .serial = 8);
	SAYS(SERVICE, true, first, 60, .sender = ":1.2", .destination = ":1.3", .serial = 9);
	resolve();
	check(db, LOGICAL, "2|3|10|42|60|1\n2|3|50|70|60|0\n2|3|54|70|60|1\n");
	check(db, EDGES, "2|3|3|180|16|20|32|32|32|0\n");
	end();
}

/* What the bus refused, and what was never read, came to nobody. */
static void test_not_delivered(void **state)
{
	(void)state;
	begin("full");
	names();
	SAYS(CLIENT, false, move(CLIENT, false, 10, 20, 50), 50, .destination = ":1.3", .serial = 7);
	SAYS(CLIENT, false, move(CLIENT, false, 30, 40, 50), 50, .destination = ":1.4", .serial = 8);
	SAYS(OTHER, true, move(OTHER, true, 50, 0, 60), 60, .sender = ":1.2", .destination = ":1.4",
	     .serial = 8);
	resolve();
	check(db, LOGICAL, "");
	check(db, EDGES, "");
	check(db, "SELECT src_id, dst_id FROM bus_messages WHERE id IN (4, 6)", "2|3\n2|4\n");
	end();
}

/* Who is not recorded gets what the other side says: an edge without latencies, and no messages. */
static void test_untraced(void **state)
{
	(void)state;
	begin("untraced");
	names();
	SAYS(CLIENT, false, move(CLIENT, false, 10, 20, 50), 50, .destination = ":1.3", .serial = 7);
	SAYS(SERVICE, true, move(SERVICE, true, 30, 0, 60), 60, .sender = ":1.2", .destination = ":1.3",
	     .serial = 7);
	resolve();
	check(db, LOGICAL, "");
	check(db, EDGES, "2|3|1|60|-|-|-|-|-|1\n");
	end();
}

static void test_percentiles(void **state)
{
	(void)state;
	begin("full");
	names();
	for (uint32_t i = 1; i <= 200; i++) { /* latencies 101 to 300, the greatest first */
		uint64_t at = 1000 * (uint64_t)i;
		SAYS(CLIENT, false, move(CLIENT, false, at, at + 9, 50), 50, .destination = ":1.3",
		     .serial = i);
		SAYS(SERVICE, true, move(SERVICE, true, at + 20, at + 301 - i, 60), 60, .sender = ":1.2",
		     .destination = ":1.3", .serial = i);
	}
	resolve();
	check(db, EDGES, "2|3|200|12000|101|200|280|298|300|1\n");
	end();
}

/* Several descriptors, of several messages in one send: the first message's first. */
static void test_passed(void **state)
{
	(void)state;
	begin("full");
	names();
	store_channel(s, &(struct store_channel){ .id = 9, .mechanism = IPC_MECH_fd_passing, .key = "p" });
	store_endpoint(s, &(struct store_endpoint){
				  .id = 9, .channel_id = 9, .process_id = CLIENT, .role = "peer" });
	uint64_t send = move(CLIENT, false, 10, 20, 100), next = move(CLIENT, false, 30, 40, 50);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t lane = store_lane(s, &(struct store_lane){ .thread_id = CLIENT,
								    .endpoint_id = 9,
								    .fd = 3,
								    .call = IPC_CALL_sendmsg_passed,
								    .verb = IPC_VERB_send,
								    .source = "shim" });
		store_passed(
			s,
			store_event(s, &(struct store_event){ START + (i < 3 ? 10 : 30), 2, lane, 0 }, false),
			i == 1 ? 0 : 20 + i);
	}
	SAYS(CLIENT, false, send, 50, .destination = ":1.3", .serial = 7, .fds = 2);
	SAYS(CLIENT, false, send, 50, .destination = ":1.3", .serial = 8, .fds = 1);
	SAYS(CLIENT, false, next, 50, .destination = ":1.3", .serial = 9);
	resolve();
	check(db, "SELECT channel_id, message_id FROM passed", "20|4\n-|4\n22|5\n23|-\n");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call_through_a_bus),
		cmocka_unit_test(test_signal_to_several),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_not_delivered),
		cmocka_unit_test(test_untraced),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_passed),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
