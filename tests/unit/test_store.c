// SPDX-License-Identifier: BSD-2-Clause
/*
 * The store, seen from outside: what is given to it must come back through the public views, as the stock
 * SQLite reads them from the file. Expected values are worked out by hand, or by a model that keeps what it
 * gave in plain arrays.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"
#include "event.h"
#include "folder.h"
#include "histogram.h"
#include "store.h"
#include "tables.h"

#define START 5000000000000ULL
#define MS    1000000ULL

/* ---- helpers ---- */

static sqlite3 *reader_open(void)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	sqlite3_busy_timeout(db, 1000);
	return db;
}

/* The same, of the file at rest. */
static void check_file(const char *sql, const char *expected)
{
	sqlite3 *db = reader_open();

	check(db, sql, expected);
	sqlite3_close(db);
}

static int64_t ask_number(sqlite3 *db, const char *sql)
{
	char *got = ask(db, sql);
	int64_t number = strtoll(got, NULL, 10);

	free(got);
	return number;
}

static struct store *open_store(void)
{
	struct store *s;

	unlink(path);
	assert_int_equal(store_open(&s, path, START), 0);
	return s;
}

/* Processes 1 (writer, pid 101) and 2 (reader, pid 102), channel 1 (a pipe), endpoints and lanes 1 and 2.
 * Process 3 (pid 103) reads by lane 3. */
static struct store *open_scene(void)
{
	struct store *s = open_store();

	for (uint32_t i = 1; i <= 3; i++) {
		char comm[] = "p0";

		comm[1] += i;
		store_process(s, &(struct store_process){ .id = i,
							  .pid = 100 + i,
							  .comm = comm,
							  .exit_status = -1,
							  .start_ns = START });
		store_thread(s, &(struct store_thread){ .id = i, .process_id = i, .tid = 200 + i });
		store_endpoint(s, &(struct store_endpoint){ .id = i,
							    .channel_id = 1,
							    .process_id = i,
							    .role = i == 1 ? "writer" : "reader" });
		assert_int_equal(
			store_lane(s, &(struct store_lane){ .thread_id = i,
							    .endpoint_id = i,
							    .fd = i == 1,
							    .call = i == 1 ? IPC_CALL_write : IPC_CALL_read,
							    .verb = i == 1 ? IPC_VERB_send : IPC_VERB_recv,
							    .source = "shim" }),
			i);
	}
	store_channel(s, &(struct store_channel){ .id = 1, .mechanism = IPC_MECH_pipe, .key = "pipe:[7]" });
	return s;
}

/* Times are relative to START here. */
static uint64_t event(struct store *s, uint32_t lane, uint64_t start, uint64_t end, int64_t result,
		      bool linkable)
{
	return store_event(s, &(struct store_event){ START + start, end - start, lane, result }, linkable);
}

static bool exists(const char *suffix)
{
	char name[80];

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return access(name, F_OK) == 0;
}

/* ---- the contract ---- */

/* Section 9 of the design, word by word. */
static const char *const contract[][2] = {
	{ "meta", "key, value" },
	{ "hosts", "id, name, boot_id, kernel" },
	{ "processes",
	  "id, host_id, pid, ppid, parent_id, prev_id, comm, exe, cmdline, uid, cgroup, start_ns, end_ns, "
	  "exit_status, source, coverage, ns_pid, container" },
	{ "threads", "id, process_id, tid, name, start_ns, end_ns" },
	{ "channels", "id, mechanism, key, name, scope, first_ns, last_ns, bytes_sent, bytes_received, "
		      "partial, lost, nonblocking" },
	{ "endpoints", "id, channel_id, process_id, role, sends, receives, bytes_sent, bytes_received, "
		       "first_ns, last_ns, send_dur_ns, receive_dur_ns" },
	{ "events", "id, ts_ns, dur_ns, process_id, pid, tid, comm, call, verb, mechanism, channel_id, fd, "
		    "bytes, errno, "
		    "flags, part, source" },
	{ "messages",
	  "id, mechanism, channel_id, src_id, src_pid, src_tid, src_comm, dst_id, dst_pid, dst_tid, "
	  "dst_comm, "
	  "sent_ns, received_ns, latency_ns, send_blocked_ns, queued_ns, recv_blocked_ns, bytes, send_event, "
	  "recv_event, exact, protocol_id" },
	{ "edges", "src_id, src_pid, src_comm, dst_id, dst_pid, dst_comm, mechanism, channel_id, messages, "
		   "bytes, pages, "
		   "first_ns, last_ns, latency_min_ns, latency_p50_ns, latency_p90_ns, latency_p99_ns, "
		   "latency_max_ns, "
		   "exact, partial, pages_both" },
	{ "waits",
	  "id, process_id, pid, tid, comm, channel_id, mechanism, call, start_ns, dur_ns, woken_by_id, "
	  "seen" },
	{ "sampled", "channel_id, process_id, pages_read, pages_written" },
	{ "losses",
	  "kind, source, reason, process_id, comm, count, first_ns, last_ns, mechanism, processor" },
	{ "spans",
	  "id, trace_id, span_id, parent_id, kind, name, src_id, dst_id, channel_id, start_ns, end_ns, "
	  "server_ns, status, failed, exact, pipelined, src_tid, dst_tid, request_bytes, reply_bytes" },
	{ "span_links", "span_id, parent_id, hop, message_id, channel_id, exact" },
	{ "aggregates",
	  "start_ns, process_id, pid, comm, endpoint_id, channel_id, mechanism, call, verb, calls, "
	  "errors, bytes, dur_sum_ns, dur_min_ns, dur_p50_ns, dur_p90_ns, dur_p99_ns, dur_max_ns, "
	  "histogram" },
};

static void test_columns(void **state)
{
	(void)state;
	assert_int_equal(store_close(open_store()), 0);
	for (size_t i = 0; i < sizeof(contract) / sizeof(contract[0]); i++) {
		char sql[128], expected[512];

		snprintf(sql, sizeof(sql), "SELECT group_concat(name, ', ') FROM pragma_table_info('%s')",
			 contract[i][0]);
		snprintf(expected, sizeof(expected), "%s\n", contract[i][1]);
		check_file(sql, expected);
	}
}

/* The columns that docs/schema.md documents for a table, in the form of `contract`. */
static void documented(const char *docs, const char *table, char *out)
{
	char heading[64];
	const char *at;

	snprintf(heading, sizeof(heading), "\n## %s\n", table);
	at = strstr(docs, heading);
	assert_non_null(at);
	at = strstr(at, "| column |");
	assert_non_null(at);
	at = strstr(at, "\n| `");
	*out = 0;
	while (at && !strncmp(at, "\n| `", 4)) {
		const char *end = strchr(at + 4, '`');

		out += sprintf(out, "%.*s", (int)(end - at - 4), at + 4);
		at = strchr(at + 1, '\n');
		if (!strncmp(at, "\n| `", 4))
			out += sprintf(out, ", ");
	}
	strcpy(out, "\n");
}

static void test_documentation(void **state)
{
	static const char *const tables[] = {
		"bus_names",  "bus_messages",	   "meta",     "hosts",	   "mechanisms",
		"calls",      "processes",	   "threads",  "channels", "endpoints",
		"events",     "messages",	   "edges",    "waits",	   "losses",
		"aggregates", "mappings",	   "sampled",  "regions",  "spans",
		"span_links", "protocol_messages", "payloads", "passed"
	};
	char count[16];
	static char docs[65536];
	FILE *f = fopen("docs/schema.md", "r");

	(void)state;
	if (!f)
		skip(); /* not run from the top of the tree */
	docs[fread(docs, 1, sizeof(docs) - 1, f)] = 0;
	fclose(f);
	assert_int_equal(store_close(open_store()), 0);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		char sql[128], columns[1024];

		documented(docs, tables[i], columns);
		snprintf(sql, sizeof(sql), "SELECT group_concat(name, ', ') FROM pragma_table_info('%s')",
			 tables[i]);
		check_file(sql, columns);
	}
	snprintf(count, sizeof(count), "%zu\n", sizeof(tables) / sizeof(tables[0]));
	check_file("SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT GLOB "
		   "'*_rows' "
		   "AND name NOT GLOB 'sqlite_*' AND name NOT IN ('links', 'wakes', 'lanes')",
		   count);
}

static void test_identity(void **state)
{
	struct utsname name;
	char boot_id[64], expected[256];
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");

	(void)state;
	assert_non_null(fgets(boot_id, sizeof(boot_id), f));
	fclose(f);
	boot_id[strcspn(boot_id, "\n")] = 0;
	uname(&name);
	assert_int_equal(store_close(open_store()), 0);
	check_file("PRAGMA application_id", "1229996884\n"); /* "IPCT" read as a big-endian number */
	check_file("PRAGMA user_version", "4\n");
	check_file("PRAGMA page_size", "16384\n");
	check_file("SELECT key, value FROM meta ORDER BY key",
		   "schema_version|4\nspans|built\nstart_ns|5000000000000\n");
	snprintf(expected, sizeof(expected), "1|%s|%s|%s\n", name.nodename, boot_id, name.release);
	check_file("SELECT * FROM hosts", expected);
}

static void test_lookup_tables(void **state)
{
	char expected[64];

	(void)state;
	assert_int_equal(store_close(open_store()), 0);
	snprintf(expected, sizeof(expected), "%d|0|%d\n", IPC_MECHANISMS, IPC_MECHANISMS - 1);
	check_file("SELECT count(*), min(id), max(id) FROM mechanisms", expected);
	check_file("SELECT * FROM mechanisms WHERE name IN ('pipe', 'unix_stream')",
		   "1|pipe|indirect|stream|offset|host|many|BOTH|bounded\n4|unix_stream|direct|stream|"
		   "offset|host|two|BOTH|bounded\n");
	snprintf(expected, sizeof(expected), "%d\n", IPC_CALLS);
	check_file("SELECT count(*) FROM calls", expected);
	snprintf(expected, sizeof(expected), "%d|%d|-|-|close|FD(0)|NONE|NONE|CLOSES\n", IPC_CALL_close,
		 ipc_calls[IPC_CALL_close].nr);
	check_file("SELECT id, nr, op_arg, op_value, verb, object, object2, size, effect FROM calls "
		   "WHERE name = 'close'",
		   expected);
	snprintf(expected, sizeof(expected), "1|%d|open|RET|COPIES\n", F_DUPFD_CLOEXEC);
	check_file(
		"SELECT op_arg, op_value, verb, object, effect FROM calls WHERE name = 'fcntl:dupfd_cloexec'",
		expected);
	check_file("SELECT nr IS NULL FROM calls WHERE name = 'inherit'", "1\n");
}

/* ---- rows ---- */

static void test_processes(void **state)
{
	struct store *s = open_store();
	struct store_process p = {
		.id = 2,
		.parent_id = 1,
		.prev_id = 1,
		.pid = 42,
		.ppid = 41,
		.comm = "ls",
		.exe = "/bin/ls",
		.cmdline = "ls /usr",
		.cgroup = "/lxc/web",
		.uid = 1000,
		.start_ns = START + 5,
		.end_ns = START + 9,
		.exit_status = 256,
		.source = "shim",
		.coverage = "full",
		.ns_pid = 2,
	};

	(void)state;
	store_process(
		s,
		&(struct store_process){
			.id = 1, .pid = 42, .ppid = 7, .start_ns = START, .exit_status = -1, .cgroup = "" });
	store_process(s, &p);
	store_thread(s, &(struct store_thread){
				.id = 1, .process_id = 2, .tid = 43, .name = "w", .start_ns = START });
	assert_int_equal(store_commit(s, START), 0);
	check_file("SELECT * FROM processes",
		   "1|1|42|7|-|-|-|-|-|0|-|5000000000000|-|-|-|-|-|-\n"
		   "2|1|42|41|1|1|ls|/bin/ls|ls "
		   "/usr|1000|/lxc/web|5000000000005|5000000000009|256|shim|full|2|web\n");
	p.comm = "ls2"; /* given again: replaced */
	store_process(s, &p);
	store_thread(s, &(struct store_thread){ 1, 2, 43, "w", START, START + 3 });
	assert_int_equal(store_close(s), 0);
	check_file("SELECT comm FROM processes WHERE id = 2", "ls2\n");
	check_file("SELECT * FROM threads", "1|2|43|w|5000000000000|5000000000003\n");
}

static void test_channels(void **state)
{
	struct store *s = open_store();

	(void)state;
	store_channel(s, &(struct store_channel){ 1, IPC_MECH_fifo, "fifo:1:2", "/tmp/f", START, START + 7,
						  90, 80, 6, true });
	store_channel(s, &(struct store_channel){ .id = 2, .mechanism = IPC_MECH_tcp, .key = "tcp:k" });
	store_endpoint(
		s, &(struct store_endpoint){ 1, 1, 3, "writer", 4, 5, 6, 7, START + 1, START + 2, 70, 80 });
	assert_int_equal(store_close(s), 0);
	check_file("SELECT * FROM channels",
		   "1|fifo|fifo:1:2|/tmp/f|host|5000000000000|5000000000007|90|80|1|6|0\n"
		   "2|tcp|tcp:k|-|network|-|-|0|0|0|0|0\n");
	check_file("SELECT * FROM endpoints", "1|1|3|writer|4|5|6|7|5000000000001|5000000000002|70|80\n");
}

static void test_edges(void **state)
{
	struct store *s = open_scene();
	struct store_edge e = { 1,  2,	1,  10,	  20,	0,     START, START + 1, 11, 12,
				13, 14, 15, true, true, false, false, false,	 7,  false };

	(void)state;
	store_edge(s, &e);
	e.dst_id = 1;
	store_edge(s, &e);
	e.messages = 77; /* the same key: replaced */
	e.exact = false;
	e.partial = e.sampled = true;
	e.pages = 5;
	store_edge(s, &e);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT * FROM edges ORDER BY dst_id",
		   "1|101|p1|1|101|p1|pipe|1|77|20|5|5000000000000|5000000000001|11|12|13|14|15|0|1|7\n"
		   "1|101|p1|2|102|p2|pipe|1|10|20|-|5000000000000|5000000000001|11|12|13|14|15|1|0|-\n");
}

/* To or from somebody outside: how long it took is not known. */
static void test_edge_without_latency(void **state)
{
	struct store *s = open_scene();

	(void)state;
	store_process(s, &(struct store_process){ .id = 9,
						  .comm = "10.0.0.7:443",
						  .uid = STORE_NO_UID,
						  .exit_status = -1,
						  .source = "shim",
						  .coverage = "remote" });
	store_edge(s, &(struct store_edge){
			      .src_id = 1, .dst_id = 9, .channel_id = 1, .messages = 3, .bytes = 4 });
	assert_int_equal(store_close(s), 0);
	check_file("SELECT dst_pid, dst_comm, messages, bytes, latency_min_ns, latency_p50_ns, "
		   "latency_max_ns FROM edges",
		   "-|10.0.0.7:443|3|4|-|-|-\n");
	check_file("SELECT pid, ppid, uid FROM processes WHERE id = 9", "-|-|-\n");
}

/* Two rows of channels, and of endpoints, turn out to be one. */
static void test_rows_become_one(void **state)
{
	struct store *s = open_store();
	struct store_lane lane = { .thread_id = 1,
				   .endpoint_id = 2,
				   .fd = 3,
				   .call = IPC_CALL_write,
				   .verb = IPC_VERB_send,
				   .source = "shim" };

	(void)state;
	for (uint32_t id = 1; id <= 2; id++) {
		store_channel(s, &(struct store_channel){ .id = id, .mechanism = IPC_MECH_tcp, .key = "k" });
		store_endpoint(s, &(struct store_endpoint){
					  .id = id, .channel_id = id, .process_id = 1, .role = "peer" });
	}
	store_lane(s, &lane);
	store_commit(s, START);
	store_passed(s, 3, 2); /* once it was another's number */
	store_passed(s, 5, 2);
	store_passed(s, 6, 0);
	store_channel_gone(s, 2);
	store_passed_channel(s, 2, 1, 5);
	store_endpoint_gone(s, 2);
	store_lane_endpoint(s, 1, 1);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT group_concat(id) FROM channels", "1\n");
	check_file("SELECT group_concat(id) FROM endpoints", "1\n");
	check_file("SELECT id, endpoint_id FROM lanes", "1|1\n");
	check_file("SELECT * FROM passed", "3|2|-\n5|1|-\n6|-|-\n");
}

static void test_losses(void **state)
{
	struct store *s = open_store();
	struct store_loss l = { IPC_REASON_dropped, "bpf", "cat", 4, 10, START, START + 1, IPC_MECH_pipe, 2 };

	(void)state;
	store_loss(s, &l);
	l.count = 12; /* a total, not an increment */
	store_loss(s, &l);
	l.processor = 3;
	store_loss(s, &l);
	l = (struct store_loss){ .reason = IPC_REASON_setuid, .source = "shim", .comm = "sudo", .count = 1 };
	l.processor = STORE_NO_PROCESSOR;
	store_loss(s, &l);
	l = (struct store_loss){ .reason = IPC_REASON_unmatched,
				 .count = 2,
				 .processor = STORE_NO_PROCESSOR };
	store_loss(s, &l);
	l.count = 3;
	store_loss(s, &l);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT * FROM losses ORDER BY reason, processor",
		   "lost|bpf|dropped|4|cat|12|5000000000000|5000000000001|pipe|2\n"
		   "lost|bpf|dropped|4|cat|12|5000000000000|5000000000001|pipe|3\n"
		   "not_covered|shim|setuid|-|sudo|1|-|-|-|-\n"
		   "uncertain||unmatched|-|-|3|-|-|-|-\n");
}

/* What one endpoint did in a second; then its row turns out to be another one's. */
static void test_aggregates(void **state)
{
	struct store *s = open_store();
	uint32_t histogram[IPC_BUCKETS] = { [0] = 1, [3] = 2 };
	struct store_aggregate a = { .process_id = 1,
				     .endpoint_id = 2,
				     .call = IPC_CALL_write,
				     .verb = IPC_VERB_send,
				     .start_ns = START + 5,
				     .calls = 3,
				     .errors = 1,
				     .bytes = 20,
				     .ns = 300,
				     .min_ns = 10,
				     .max_ns = 190,
				     .p50_ns = 100,
				     .p90_ns = 180,
				     .p99_ns = 190 };

	(void)state;
	a.histogram = histogram;
	store_process(s, &(struct store_process){ .id = 1, .pid = 100, .comm = "cat" });
	store_channel(s, &(struct store_channel){ .id = 7, .mechanism = IPC_MECH_pipe, .key = "k" });
	store_endpoint(
		s, &(struct store_endpoint){ .id = 3, .channel_id = 7, .process_id = 1, .role = "writer" });
	store_aggregate(s, &a);
	store_aggregate_endpoint(s, 2, 3);
	a.endpoint_id = 0;
	a.histogram = (uint32_t[IPC_BUCKETS]){ 0 };
	store_aggregate(s, &a);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT * FROM aggregates ORDER BY endpoint_id",
		   "5000000000005|1|100|cat|-|-|-|write|send|3|1|20|300|10|100|180|190|190|{}\n"
		   "5000000000005|1|100|cat|3|7|pipe|write|send|3|1|20|300|10|100|180|190|190|"
		   "{\"0\":1,\"192\":2}\n");
}

static void test_meta(void **state)
{
	struct store *s = open_store();

	(void)state;
	store_meta(s, "command", "ls");
	store_meta(s, "command", "sh -c 'ls'");
	assert_int_equal(store_close(s), 0);
	check_file("SELECT value FROM meta WHERE key = 'command'", "sh -c 'ls'\n");
}

static void test_events(void **state)
{
	struct store *s = open_scene();
	struct store_lane none = {
		.thread_id = 2, .fd = -1, .call = IPC_CALL_execve, .verb = IPC_VERB_exec, .source = "bpf"
	};
	struct store_lane part = { .thread_id = 1,
				   .endpoint_id = 1,
				   .fd = 9,
				   .call = IPC_CALL_splice,
				   .verb = IPC_VERB_send,
				   .flags = IPC_F_PART | IPC_F_THREADS,
				   .source = "bpf" };
	struct store_lane opens = { .thread_id = 1,
				    .endpoint_id = 1,
				    .fd = 9,
				    .call = IPC_CALL_pipe2,
				    .verb = IPC_VERB_open,
				    .source = "shim" };
	struct store_lane full = { .thread_id = 1,
				   .endpoint_id = 1,
				   .fd = 9,
				   .call = IPC_CALL_write,
				   .verb = IPC_VERB_send,
				   .flags = IPC_F_NONBLOCK,
				   .source = "shim" };

	(void)state;
	assert_int_equal(store_lane(s, &none), 4);
	assert_int_equal(store_lane(s, &part), 5);
	assert_int_equal(store_lane(s, &opens), 6);
	assert_int_equal(store_lane(s, &full), 7);
	assert_int_equal(event(s, 1, 10, 13, 100, true), 1);
	assert_int_equal(event(s, 2, 20, 24, -EAGAIN, false), 2);
	assert_int_equal(event(s, 4, 30, 30, -ENOENT, false), 3);
	assert_int_equal(event(s, 5, 40, 1000000000040, 70000, false), 4);
	assert_int_equal(event(s, 6, -5, 5, 12, false), 5); /* before the recording began; moves no bytes */
	assert_int_equal(event(s, 7, 50, 51, -EAGAIN, false), 6);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT * FROM events",
		   "1|5000000000010|3|1|101|201|p1|write|send|pipe|1|1|100|0|0|0|shim\n"
		   "2|5000000000020|4|2|102|202|p2|read|recv|pipe|1|0|0|11|0|0|shim\n"
		   "3|5000000000030|0|2|102|202|p2|execve|exec|-|-|-|0|2|0|0|bpf\n"
		   "4|5000000000040|1000000000000|1|101|201|p1|splice|send|pipe|1|9|70000|0|68|1|bpf\n"
		   "5|4999999999995|10|1|101|201|p1|pipe2|open|pipe|1|9|0|0|0|0|shim\n"
		   "6|5000000000050|1|1|101|201|p1|write|send|pipe|1|9|0|11|1|0|shim\n");
	check_file("SELECT nonblocking FROM channels WHERE id = 1", "1\n");
}

/* ---- links ---- */

#define MESSAGE                                                                                              \
	"SELECT id, src_pid, dst_pid, bytes, send_event, recv_event, exact FROM messages ORDER BY "          \
	"send_event, recv_event"

static void test_link(void **state)
{
	struct store *s = open_scene();
	uint64_t send = event(s, 1, 10, 20, 5, true), recv = event(s, 2, 12, 30, 5, false);

	(void)state;
	store_link(s, send, recv, 5, true);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT * FROM messages",
		   "1|pipe|1|1|101|201|p1|2|102|202|p2|5000000000010|5000000000030|20|10|0|0|5|1|2|1|-\n");
	check_file("SELECT count(*) FROM links", "0\n");
}

static void test_link_backwards_and_approximate(void **state)
{
	struct store *s = open_scene();
	uint64_t recv = event(s, 2, 1, 30, 5, false), send, other;

	(void)state;
	event(s, 2, 1, 2, 0, false);
	send = event(s, 1, 10, 20, 5, true);
	store_link(s, send, recv, 5, false);
	send = event(s, 1, 40, 50, 6, true);
	other = event(s, 2, 41, 60, 6, false);
	store_link(s, send, other, 6, false);
	send = event(s, 1, 70, 80, 7, true);
	store_link(s, send, recv, 7, true);
	assert_int_equal(store_close(s), 0);
	check_file(MESSAGE, "3|101|102|5|3|1|0\n4|101|102|6|4|5|0\n6|101|102|7|6|1|1\n");
	check_file("SELECT count(*) FROM links", "0\n");
}

static void test_late_link(void **state)
{
	struct store *s = open_scene();
	uint64_t send = event(s, 1, 10, 20, 5, true), recv;

	(void)state;
	assert_int_equal(store_commit(s, START + 500 * MS), 0);
	check_file("SELECT count(*) FROM events", "1\n");
	recv = event(s, 2, 600 * MS, 601 * MS, 5, false);
	store_link(s, send, recv, 5, false);
	assert_int_equal(store_close(s), 0);
	check_file(MESSAGE, "-1|101|102|5|1|2|0\n");
	check_file("SELECT mechanism, channel_id, latency_ns, queued_ns FROM messages",
		   "pipe|1|600999990|599999980\n");
}

/* A send that two processes took, and one (a tee) that two processes took whole. */
static void test_several_receivers(void **state)
{
	struct store *s = open_scene();
	uint64_t send = event(s, 1, 10, 20, 10, true), one = event(s, 2, 12, 30, 4, false),
		 two = event(s, 3, 13, 31, 6, false), whole = event(s, 1, 40, 50, 8, true);

	(void)state;
	store_link(s, send, one, 4, true);
	store_link(s, send, two, 6, false);
	store_link(s, whole, one, 8, true);
	store_link(s, whole, two, 8, true);
	assert_int_equal(store_close(s), 0);
	check_file(MESSAGE,
		   "-1|101|102|4|1|2|1\n-2|101|103|6|1|3|0\n4|101|102|8|4|2|1\n-3|101|103|8|4|3|1\n");
}

/* A link that was given as exact is taken back: while its row waits, when it is written, and in `links`. */
static void test_doubt(void **state)
{
	struct store *s = open_scene();
	uint64_t send[4], recv[4], link[4], part[2];

	(void)state;
	for (int i = 0; i < 4; i++) {
		send[i] = event(s, 1, 10 + i, 20, 5, true);
		recv[i] = event(s, 2, 12 + i, 30, 5, false);
		link[i] = store_link(s, send[i], recv[i], 5, true);
		if (i == 1)
			assert_int_equal(store_commit(s, START), 0);
	}
	part[0] = store_link(s, send[3], recv[1], 2, true);
	part[1] = store_link(s, send[3], recv[2], 3, true);
	store_doubt(s, send[0], link[0]);
	store_doubt(s, send[2], link[2]);
	store_doubt(s, send[2], link[2]);
	store_doubt(s, send[3], part[1]);
	assert_int_not_equal(part[0], part[1]);
	assert_int_equal(store_close(s), 0);
	check_file(MESSAGE, "1|101|102|5|1|2|0\n3|101|102|5|3|4|1\n5|101|102|5|5|6|0\n"
			    "-1|101|102|2|7|4|1\n-2|101|102|3|7|6|0\n7|101|102|5|7|8|1\n");
}

/* Spawn and exit: messages of 0 bytes; whatever the event's result is. */
static void test_zero_bytes(void **state)
{
	struct store *s = open_store();
	uint32_t parent, child, leave, wait;
	uint64_t e[4];

	(void)state;
	for (uint32_t i = 1; i <= 2; i++) {
		store_process(
			s, &(struct store_process){ .id = i, .pid = 100 + i, .comm = i == 1 ? "sh" : "ls" });
		store_thread(s, &(struct store_thread){ .id = i, .process_id = i, .tid = 100 + i });
		store_endpoint(s, &(struct store_endpoint){
					  .id = i, .channel_id = 1, .process_id = i, .role = "both" });
	}
	store_channel(
		s, &(struct store_channel){ .id = 1, .mechanism = IPC_MECH_process, .key = "process:102" });
	parent = store_lane(s, &(struct store_lane){ 1, 1, -1, IPC_CALL_fork, 0, IPC_VERB_spawn, "shim" });
	child = store_lane(s, &(struct store_lane){ 2, 2, -1, IPC_CALL_start, 0, IPC_VERB_recv, "shim" });
	leave = store_lane(s,
			   &(struct store_lane){ 2, 2, -1, IPC_CALL_exit_group, 0, IPC_VERB_exit, "shim" });
	wait = store_lane(s, &(struct store_lane){ 1, 1, -1, IPC_CALL_wait4, 0, IPC_VERB_wait, "shim" });
	e[0] = event(s, parent, 10, 60, 102, true);
	e[1] = event(s, child, 50, 50, 0, false);
	e[2] = event(s, leave, 900, 900, 0, true);
	e[3] = event(s, wait, 70, 950, 0, false);
	store_link(s, e[0], e[1], 0, true);
	store_link(s, e[2], e[3], 0, true);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT mechanism, src_comm, dst_comm, bytes, latency_ns, exact FROM messages ORDER BY "
		   "send_event",
		   "process|sh|ls|0|40|1\nprocess|ls|sh|0|50|1\n");
	check_file("SELECT * FROM waits", "4|1|101|101|sh|1|process|wait4|5000000000070|880|2|-\n");
	check_file("SELECT sum(bytes) FROM events", "0\n");
}

/* docs/schema.md, "Latency": sender from s0 to s1, receiver from r0 to r1. */
static void test_latency_parts(void **state)
{
	static const struct {
		uint64_t s0, s1, r0, r1;
		const char *expected; /* latency, send_blocked, queued, recv_blocked */
	} cases[] = {
		{ 100, 110, 200, 230, "130|10|90|0\n" }, /* taken later */
		{ 100, 110, 40, 130, "30|10|0|60\n" },	 /* the receiver was waiting */
		{ 100, 500, 300, 450, "350|350|0|0\n" }, /* the sender outlives the receive */
		{ 100, 500, 300, 600, "500|400|0|0\n" }, /* they overlap */
		{ 100, 100, 100, 100, "0|0|0|0\n" },
		{ 100, 200, 200, 201, "101|100|0|0\n" }, /* one ends as the other begins */
		{ 100, 900, 50, 800, "700|700|0|50\n" }, /* the receive around the send's start */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct store *s = open_scene();
		uint64_t send = event(s, 1, cases[i].s0, cases[i].s1, 1, true),
			 recv = event(s, 2, cases[i].r0, cases[i].r1, 1, false);

		store_link(s, send, recv, 1, true);
		assert_int_equal(store_close(s), 0);
		check_file("SELECT latency_ns, send_blocked_ns, queued_ns, recv_blocked_ns FROM messages",
			   cases[i].expected);
		check_file("SELECT received_ns - sent_ns = latency_ns, send_blocked_ns + queued_ns <= "
			   "latency_ns FROM messages",
			   "1|1\n");
	}
}

static void test_waits(void **state)
{
	struct store *s = open_scene();
	uint64_t first = event(s, 1, 100, 110, 2, true), second, recv = event(s, 2, 40, 130, 5, false), third;

	(void)state;
	second = event(s, 3, 105, 115, 3, true); /* one receive took both: one wait, ended by the first */
	store_link(s, second, recv, 3, true);
	store_link(s, first, recv, 2, true);
	third = event(s, 1, 200, 210, 9, true);
	store_link(s, third, event(s, 2, 205, 300, 9, false), 9, true); /* did not wait */
	assert_int_equal(store_close(s), 0);
	check_file("SELECT * FROM waits", "2|2|102|202|p2|1|pipe|read|5000000000040|90|1|-\n");
	check_file("SELECT count(*) FROM messages", "3\n");
}

/* ---- holding back, order ---- */

static void test_hold_back(void **state)
{
	struct store *s = open_scene();
	sqlite3 *db = reader_open();
	uint64_t send, recv;

	(void)state;
	event(s, 2, 1, 2, 0, false);
	send = event(s, 1, 10 * MS, 20 * MS, 5, true);
	recv = event(s, 2, 30 * MS, 31 * MS, 5, false);
	assert_int_equal(store_commit(s, START + 40 * MS), 0);
	check(db, "SELECT count(*) FROM events", "1\n"); /* what stands before the held row is out */
	assert_int_equal(store_commit(s, START + 219 * MS), 0);
	check(db, "SELECT count(*) FROM events", "1\n");
	assert_int_equal(store_commit(s, START + 220 * MS), 0); /* 200 ms after its end */
	check(db, "SELECT count(*) FROM events", "3\n");
	store_link(s, send, recv, 5, true);
	send = event(s, 1, 230 * MS, 231 * MS, 6, true);
	recv = event(s, 2, 230 * MS, 232 * MS, 6, false);
	store_link(s, send, recv, 6, true); /* linked: out with the next commit */
	assert_int_equal(store_commit(s, START + 233 * MS), 0);
	check(db, "SELECT max(id) FROM events", "5\n");
	check(db, MESSAGE, "-1|101|102|5|2|3|1\n4|101|102|6|4|5|1\n");
	sqlite3_close(db);
	assert_int_equal(store_close(s), 0);
}

/* A send that is never received holds back at most some 262,144 rows, whatever the time. */
static void test_hold_back_is_bounded(void **state)
{
	struct store *s = open_scene();
	uint64_t send = event(s, 1, 1, 2, 5, true), last = 0;
	sqlite3 *db;

	(void)state;
	for (int i = 0; i < 300000; i++)
		last = event(s, 2, 3, 4, 1, false);
	store_link(s, send, last, 5, true);
	assert_int_equal(store_commit(s, START + 4), 0);
	db = reader_open();
	check(db, "SELECT count(*), max(id) FROM events", "300001|300001\n");
	check(db, MESSAGE, "-1|101|102|5|1|300001|1\n");
	sqlite3_close(db);
	assert_int_equal(store_close(s), 0);
}

/* All held, and far more than the ring takes: ids stay those that were given out. */
static void test_flood_of_unmatched(void **state)
{
	struct store *s = open_scene();

	(void)state;
	for (uint64_t i = 1; i <= 600000; i++)
		assert_int_equal(event(s, 1, i, i + 1, i, true), i);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT count(*), sum(bytes = id AND ts_ns = id + 5000000000000) FROM events",
		   "600000|600000\n");
}

static void test_pending(void **state)
{
	struct store *s = open_scene();

	(void)state;
	assert_int_equal(store_commit(s, START), 0);
	assert_int_equal(store_pending(s), 0);
	for (int i = 0; i < 10; i++)
		event(s, 2, 1, 2, 0, i & 1);
	assert_int_equal(store_pending(s), 10);
	assert_int_equal(store_commit(s, START), 0);
	assert_int_equal(store_pending(s), 0);
	assert_int_equal(store_close(s), 0);
}

/* Any mix of events, links and commits against plain arrays. */
struct given {
	uint64_t start, dur, send, recv, bytes;
	int64_t result;
	uint32_t lane;
	bool exact;
};

static struct given given[20000], linked[60000];

static void random_run(unsigned int seed)
{
	struct store *s = open_scene();
	unsigned int events = 0, links = 0;
	uint64_t now = 1000;
	sqlite3 *db;

	srandom(seed);
	while (events < 19990) {
		struct given *g = &given[++events];

		*g = (struct given){ .start = now, .dur = random() % 100000, .lane = 1 + random() % 3 };
		g->result = random() % 8 ? random() % 5000 : -(random() % 100);
		now += random() % 400000;
		assert_int_equal(event(s, g->lane, g->start, g->start + g->dur, g->result, random() % 2),
				 events);
		if (random() % 3 && events > 10) {
			struct given *l = &linked[links++];

			l->send = events - random() % (random() % 20 ? 10 : events);
			l->recv = events - random() % 10;
			l->bytes = random() % 3 && given[l->send].result > 0 ? given[l->send].result
									     : random() % 100;
			l->exact = random() % 2;
			store_link(s, l->send, l->recv, l->bytes, l->exact);
		}
		if (random() % 200 == 0)
			assert_int_equal(store_commit(s, START + now), 0);
	}
	assert_int_equal(store_close(s), 0);

	db = reader_open();
	sqlite3_exec(db,
		     "CREATE TEMP TABLE given(id, start, dur, lane, result);"
		     "CREATE TEMP TABLE linked(send, recv, bytes, exact, latency)",
		     NULL, NULL, NULL);
	for (unsigned int i = 1; i <= events; i++) {
		char *sql =
			sqlite3_mprintf("INSERT INTO given VALUES (%u, %lld, %llu, %u, %lld)", i,
					START + given[i].start, given[i].dur, given[i].lane, given[i].result);

		assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
		sqlite3_free(sql);
	}
	for (unsigned int i = 0; i < links; i++) {
		const struct given *l = &linked[i], *a = &given[l->send], *b = &given[l->recv];
		char *sql = sqlite3_mprintf("INSERT INTO linked VALUES (%llu, %llu, %llu, %d, %lld)", l->send,
					    l->recv, l->bytes, l->exact, b->start + b->dur - a->start);

		assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
		sqlite3_free(sql);
	}
	check(db,
	      "SELECT * FROM (SELECT id, ts_ns, dur_ns, process_id, CASE WHEN errno THEN -errno ELSE bytes "
	      "END FROM events"
	      " EXCEPT SELECT * FROM given)",
	      "");
	check(db, "SELECT (SELECT count(*) FROM events) = (SELECT count(*) FROM given)", "1\n");
	/* as multisets: sorted, row for row */
	check(db,
	      "WITH a AS (SELECT row_number() OVER (ORDER BY send_event, recv_event, bytes, exact) AS n, "
	      "send_event, "
	      "recv_event, bytes, exact, latency_ns FROM messages), b AS (SELECT row_number() OVER (ORDER BY "
	      "send, "
	      "recv, bytes, exact) AS n, * FROM linked) SELECT * FROM a EXCEPT SELECT * FROM b",
	      "");
	check(db, "SELECT (SELECT count(*) FROM messages) = (SELECT count(*) FROM linked)", "1\n");
	check(db, "SELECT count(*) = count(DISTINCT id) FROM messages", "1\n");
	check(db,
	      "SELECT count(*) > 1000, (SELECT count(*) > 1000 FROM event_rows WHERE link IS NOT NULL) FROM "
	      "links",
	      "1|1\n"); /* the run went both ways */
	sqlite3_close(db);
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 3; seed++)
		random_run(seed);
}

/* ---- the file ---- */

static void test_reader_beside_writer(void **state)
{
	struct store *s = open_scene();
	sqlite3 *db = reader_open();

	(void)state;
	for (int round = 1; round <= 20; round++) {
		for (int i = 0; i < 1000; i++) {
			uint64_t send = event(s, 1, i, i + 1, 1, true);

			store_link(s, send, event(s, 2, i, i + 2, 1, false), 1, true);
		}
		assert_int_equal(ask_number(db, "SELECT count(*) FROM messages"), 1000 * (round - 1));
		assert_int_equal(store_commit(s, START), 0);
		assert_int_equal(ask_number(db, "SELECT count(*) FROM messages"), 1000 * round);
	}
	assert_true(exists("-wal"));
	sqlite3_close(db);
	assert_int_equal(store_close(s), 0);
}

static void test_plain_file_after_close(void **state)
{
	struct store *s = open_scene();
	struct stat st;

	(void)state;
	event(s, 1, 1, 2, 3, true);
	assert_int_equal(store_close(s), 0);
	assert_false(exists("-wal"));
	assert_false(exists("-shm"));
	assert_false(exists("-journal"));
	check_file("PRAGMA journal_mode", "delete\n");
	check_file("PRAGMA integrity_check", "ok\n");
	check_file("SELECT count(*) > 0 FROM sqlite_stat1", "1\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

/* A viewer that stays on the file: nothing fails, nothing is missing, and the WAL goes with the viewer. */
static void test_close_beside_reader(void **state)
{
	struct store *s = open_scene();
	sqlite3 *db = reader_open();

	(void)state;
	check(db, "SELECT count(*) FROM events", "0\n");
	event(s, 1, 1, 2, 3, true);
	assert_int_equal(store_close(s), 0);
	check(db, "SELECT count(*) FROM events", "1\n");
	sqlite3_close(db);
	assert_false(exists("-wal"));
	check_file("SELECT count(*) FROM events", "1\n");
}

/* A recorder that commits 500 events, takes one more, and is killed. */
static void record_and_die(void)
{
	struct store *s;
	int status;
	pid_t pid;

	unlink(path);
	pid = fork();
	if (pid == 0) {
		if (store_open(&s, path, START))
			_exit(1);
		for (int i = 0; i < 500; i++)
			event(s, 1, i, i + 1, 1, false);
		if (store_commit(s, START))
			_exit(2);
		event(s, 1, 1, 2, 1, false);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(exists("-wal"));
}

/* What was committed before a kill is there, and what it left does not disturb the next recording. */
static void test_killed(void **state)
{
	struct store *s;

	(void)state;
	record_and_die();
	unlink(path); /* and only that: the WAL stays */
	s = open_store();
	event(s, 1, 1, 2, 1, false);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT count(*) FROM events", "1\n");

	record_and_die();
	check_file("SELECT count(*) FROM events", "500\n");
	assert_false(exists("-wal"));
}

static void test_doubt_channels(void **state)
{
	struct store *s = open_scene();
	uint32_t dropped[] = { 1, 7 };
	uint64_t send;

	(void)state;
	store_endpoint(
		s, &(struct store_endpoint){ .id = 4, .channel_id = 2, .process_id = 1, .role = "writer" });
	store_lane(s, &(struct store_lane){ .thread_id = 1, .endpoint_id = 4, .verb = IPC_VERB_send });
	send = event(s, 4, 1, 2, 5, true);
	store_link(s, send, event(s, 2, 3, 4, 5, false), 5, true);
	send = event(s, 1, 11, 12, 5, true);
	store_link(s, send, event(s, 2, 13, 14, 5, false), 5, true);
	assert_int_equal(store_commit(s, UINT64_MAX / 2), 0);
	send = event(s, 1, 21, 22, 5, true);
	store_link(s, send, event(s, 2, 23, 24, 2, false), 2, true);
	store_link(s, send, event(s, 3, 25, 26, 3, false), 3, true);
	store_doubt_channels(s, dropped, 2);
	assert_int_equal(store_close(s), 0);
	check_file("SELECT sent_ns - 5000000000000, bytes, exact FROM messages ORDER BY 1, 2",
		   "1|5|1\n11|5|0\n21|2|0\n21|3|0\n");
}

static void test_vacuum_keeps_links(void **state)
{
	struct store *s = open_scene();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t send = event(s, 1, i, i + 1, 1, true);

		store_link(s, send, event(s, 2, i, i + 2 + i, 1, false), 1, true);
	}
	assert_int_equal(store_close(s), 0);
	check_file("VACUUM", "");
	check_file("SELECT count(*), sum(recv_event = send_event + 1), sum(latency_ns) FROM messages",
		   "1000|1000|501500\n");
}

static void test_open_errors(void **state)
{
	static const char *const odd[] = { ":memory:", "file:x?mode=memory", " " };
	struct store *s;
	struct stat st;
	char cwd[512];
	int fd;

	(void)state;
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	assert_int_equal(store_open(&s, path, START), -EEXIST);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, cwd, sizeof(cwd)), 8);
	assert_memory_equal(cwd, "precious", 8);
	close(fd);
	assert_int_equal(store_open(&s, "/nonexistent/x", START), -ENOENT);
	assert_int_equal(store_open(&s, "/dev/null/x", START), -ENOTDIR);
	assert_int_equal(store_open(&s, "", START), -ENOENT);

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(dir), 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		assert_int_equal(store_open(&s, odd[i], START), 0);
		assert_int_equal(store_close(s), 0);
		assert_int_equal(stat(odd[i], &st), 0);
		assert_true(st.st_size > 0);
		assert_int_equal(unlink(odd[i]), 0);
	}
	assert_int_equal(chdir(cwd), 0);
}

/* Runs in a child, since it gives up what root may do. */
static int open_as_nobody(void)
{
	char name[64];
	struct store *s;

	if (geteuid() == 0 && setuid(65534))
		return 99;
	snprintf(name, sizeof(name), "%s/x", geteuid() == 65534 ? "/" : "/proc");
	return -store_open(&s, name, START);
}

static void test_no_permission(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(open_as_nobody());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (geteuid() == 0)
		assert_int_equal(WEXITSTATUS(status), EACCES);
	else
		assert_int_not_equal(WEXITSTATUS(status), 0);
}

/* ---- the disk is full ---- */

/* Feeds events until a commit fails with `expected`; exactly the committed ones can be read, before and
 * after. */
static struct rlimit old_limit = { RLIM_INFINITY, RLIM_INFINITY };

static void fill(int expected)
{
	struct store *s = open_scene();
	uint64_t count = 0, committed = 0;
	char rows[64];
	int err = 0;

	while (!err && count < 10000000) {
		for (int i = 0; i < 5000; i++) {
			uint64_t send = event(s, 1, count, count + 9, 1, true);

			store_link(s, send, event(s, 2, count, count + 20, 1, false), 1, true);
			count += 2;
		}
		err = store_commit(s, START);
		if (!err)
			committed = count;
	}
	assert_int_equal(err, expected);
	assert_true(committed > 0);
	assert_int_equal(store_dropped(s), count - committed);
	assert_int_equal(event(s, 1, 1, 2, 3, true), count + 1);
	store_link(s, 1, 2, 3, true);
	store_meta(s, "key", "lost");
	assert_int_equal(store_dropped(s), count + 1 - committed);
	assert_int_equal(store_commit(s, START), expected);

	snprintf(rows, sizeof(rows), "%llu|%llu\n", (unsigned long long)committed,
		 (unsigned long long)committed / 2);
	check_file("SELECT count(*), (SELECT count(*) FROM messages) FROM events", rows);
	setrlimit(RLIMIT_FSIZE, &old_limit);
	assert_int_equal(store_close(s), expected);
	assert_int_equal(exists("-wal"),
			 expected == -ENOSPC); /* where there is room again, the file is made whole */
	check_file("SELECT count(*), (SELECT count(*) FROM messages) FROM events", rows);
	check_file("PRAGMA integrity_check", "ok\n");
}

static int limit_file_size(void **state)
{
	struct rlimit small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old_limit);
	small = (struct rlimit){ 3 << 20, old_limit.rlim_max };
	return setrlimit(RLIMIT_FSIZE, &small);
}

static int unlimit_file_size(void **state)
{
	(void)state;
	return setrlimit(RLIMIT_FSIZE, &old_limit);
}

static void test_file_size_limit(void **state)
{
	(void)state;
	fill(-EIO);
}

static bool mounted;

/* *state: the size. In a mount namespace of our own, so that nothing stays mounted whatever happens. */
static int mount_small_disk(void **state)
{
	unlink(path);
	mounted = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		  mount("store", dir, "tmpfs", 0, *state) == 0;
	return 0;
}

static int unmount_small_disk(void **state)
{
	(void)state;
	return mounted ? umount2(dir, MNT_DETACH) : 0;
}

static void test_disk_full(void **state)
{
	(void)state;
	if (!mounted)
		skip();
	fill(-ENOSPC);
}

/* Nothing is left of a file that could not be begun. */
static void test_disk_full_at_once(void **state)
{
	struct store *s;

	(void)state;
	if (!mounted)
		skip();
	assert_int_equal(store_open(&s, path, START), -ENOSPC);
	assert_false(exists(""));
	assert_false(exists("-wal"));
	assert_false(exists("-shm"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_documentation),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_lookup_tables),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_channels),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_edge_without_latency),
		cmocka_unit_test(test_rows_become_one),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_aggregates),
		cmocka_unit_test(test_meta),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_link_backwards_and_approximate),
		cmocka_unit_test(test_late_link),
		cmocka_unit_test(test_several_receivers),
		cmocka_unit_test(test_doubt),
		cmocka_unit_test(test_doubt_channels),
		cmocka_unit_test(test_zero_bytes),
		cmocka_unit_test(test_latency_parts),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_hold_back),
		cmocka_unit_test(test_hold_back_is_bounded),
		cmocka_unit_test(test_flood_of_unmatched),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_reader_beside_writer),
		cmocka_unit_test(test_plain_file_after_close),
		cmocka_unit_test(test_close_beside_reader),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_vacuum_keeps_links),
		cmocka_unit_test(test_open_errors),
		cmocka_unit_test(test_no_permission),
		cmocka_unit_test_setup_teardown(test_file_size_limit, limit_file_size, unlimit_file_size),
		cmocka_unit_test_prestate_setup_teardown(test_disk_full, mount_small_disk, unmount_small_disk,
							 "size=4m"),
		cmocka_unit_test_prestate_setup_teardown(test_disk_full_at_once, mount_small_disk,
							 unmount_small_disk, "size=64k"),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
