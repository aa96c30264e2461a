// SPDX-License-Identifier: BSD-2-Clause
/* The eBPF source against real children: the first bytes of what their calls moved, and of which channels
 * they are told. */
#include "bpf_record.h"
#include "bpf_payload_work.h"
#include "payloads.h"
#include "state.h"

/* The payload of an event: it stands before it, and nothing of its thread between. NULL: none. */
static const struct definition *payload_of(unsigned int event)
{
	const struct ipc_event *e = &events[event];

	if (!(e->flags & IPC_F_PAYLOAD))
		return NULL;
	for (unsigned int i = defs_before[event]; i-- > 0;) {
		const struct ipc_def *d = &defs[i].def;
		if (d->thread != e->thread)
			continue;
		assert_int_equal(d->call, IPC_DEF_PAYLOAD);
		assert_true(d->payload.object == e->object && d->payload.start == e->start);
		return &defs[i];
	}
	fail_msg("an event without its payload");
	return NULL;
}

/* The next send or receive of the target's; its payload in *payload. Returns its call, or 0: there is none.
 */
static unsigned int next_move(unsigned int *at, const struct definition **payload)
{
	uint32_t thread = thread_of(target, 0, 0);

	for (; *at < n_events; (*at)++) {
		const struct ipc_event *e = &events[*at];
		unsigned int verb = ipc_calls[e->call].verb;
		if (e->thread != thread ||
		    (verb != IPC_VERB_send && verb != IPC_VERB_recv && verb != IPC_VERB_by_end) ||
		    is_besides(e) || e->result <= 0)
			continue;
		*payload = payload_of((*at)++);
		return e->call;
	}
	return 0;
}

struct moved {
	unsigned int call;
	const char *text; /* NULL: no payload */
};

#define MOVED(call, text)                                                                                    \
	{                                                                                                    \
		IPC_CALL_##call, text                                                                        \
	}

static void expect_moved(const struct moved *moved, size_t n)
{
	const struct definition *d;
	unsigned int at = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int call = next_move(&at, &d);
		const char *text = moved[i].text;
		if (call != moved[i].call || !d != !text || (d && d->def.text != strlen(text)) ||
		    (d && memcmp(d->text, text, strlen(text))))
			fail_msg("move %zu: %s \"%s\", wanted %s \"%s\"", i, ipc_call_names[call],
				 d ? d->text : "", ipc_call_names[moved[i].call], text ? text : "");
	}
	assert_int_equal(next_move(&at, &d), 0);
}

static void record_captured(const char *name, unsigned int bytes)
{
	window = 0;
	capture = bytes;
	record(name);
}

#define EXPECT_MOVED(...)                                                                                    \
	do {                                                                                                 \
		static const struct moved all[] = { __VA_ARGS__ };                                           \
		expect_moved(all, sizeof(all) / sizeof(all[0]));                                             \
	} while (0)

#define STREAM                                                                                               \
	MOVED(sendto, "send"), MOVED(recvfrom, NULL), MOVED(recvfrom, "send"), MOVED(sendmsg, "sendmsg"),    \
		MOVED(recvmsg, "sendmsg"), MOVED(write, "write"), MOVED(read, "write")

static void test_pipe(void **state)
{
	(void)state;
	record_captured("pipe", 100);
	EXPECT_MOVED(MOVED(write, "write"), MOVED(read, "write"), MOVED(writev, "writev"),
		     MOVED(readv, "writev"), MOVED(pwritev2, "writev"), MOVED(preadv2, "writev"),
		     MOVED(vmsplice, "vmsplice"), MOVED(read, "vms"), MOVED(read, "plice"),
		     MOVED(sendfile, NULL), MOVED(splice, NULL));
	record_captured("pipe", 3);
	EXPECT_MOVED(MOVED(write, "wri"), MOVED(read, "wri"), MOVED(writev, "wri"), MOVED(readv, "wri"),
		     MOVED(pwritev2, "wri"), MOVED(preadv2, "wri"), MOVED(vmsplice, "vms"),
		     MOVED(read, "vms"), MOVED(read, "pli"), MOVED(sendfile, NULL), MOVED(splice, NULL));
}

static void test_unix(void **state)
{
	(void)state;
	record_captured("unix", 100);
	EXPECT_MOVED(STREAM, STREAM);
}

static void test_tcp(void **state)
{
	(void)state;
	record_captured("tcp", 100);
	EXPECT_MOVED(STREAM, MOVED(sendto, "lost"), MOVED(recvfrom, NULL));
}

static void test_udp(void **state)
{
	(void)state;
	record_captured("udp", 100);
	EXPECT_MOVED(MOVED(sendto, "sendto"), MOVED(recvfrom, "sendto"), MOVED(sendto, "truncated"),
		     MOVED(recvfrom, "trun"), MOVED(sendmmsg, "one"), MOVED(sendmmsg, "three"),
		     MOVED(recvmmsg, "one"), MOVED(recvmmsg, "three"));
}

/* Of each of two long messages so many bytes are told, of which so many are the last. */
static void expect_long(unsigned int size, unsigned int tail)
{
	const struct definition *d;
	unsigned int at = 0;

	for (int i = 0; i < 2; i++) {
		assert_int_not_equal(next_move(&at, &d), 0);
		assert_int_equal(d->def.text, size);
		assert_int_equal(d->def.payload.tail, tail);
		for (unsigned int k = 0; k < size; k++) {
			unsigned int place = k < size - tail ? k : LONG - size + k;
			assert_int_equal((unsigned char)d->text[k], place % 251 + 1);
		}
	}
}

static void test_long(void **state)
{
	(void)state;
	record_captured("long", LONG);
	expect_long(IPC_TEXT_MAX, 0);
	window = IPC_TEXT_MAX;
	capture = 0;
	record("long");
	expect_long(IPC_TEXT_MAX, 1024);
	capture = 3500;
	record("long");
	expect_long(IPC_TEXT_MAX, 596);
	window = 100;
	capture = 0;
	record("long");
	expect_long(100, 25);
}

static void test_queues(void **state)
{
	const struct definition *d;
	unsigned int at = 0;

	(void)state;
	record_captured("queues", 100);
	for (unsigned int i = 0, sends = 0; i < n_events; i++)
		if (events[i].flags & IPC_F_PAYLOAD) {
			const char *text = sends++ < 2 ? "sysv" : "posix";
			assert_int_equal(payload_of(i)->def.text, strlen(text));
			assert_memory_equal(payload_of(i)->text, text, strlen(text));
			at++;
		}
	assert_int_equal(at, 4);
	window = 100;
	capture = 0;
	record("queues");
	at = 0;
	while (next_move(&at, &d))
		assert_null(d);
}

/* Of each direction the first so many messages have payloads, the others none. */
static void expect_told(unsigned int sends, unsigned int receives)
{
	unsigned int at = 0, call, moved[2] = {};
	const struct definition *d;

	while ((call = next_move(&at, &d))) {
		bool send = ipc_calls[call].verb == IPC_VERB_send;
		if (!d != (moved[send]++ >= (send ? sends : receives)))
			fail_msg("%s %u of %u, %u", ipc_call_names[call], moved[send], sends, receives);
	}
	assert_int_equal(moved[0], MANY_MESSAGES);
	assert_int_equal(moved[1], MANY_MESSAGES);
}

static void test_unknown(void **state)
{
	(void)state;
	window = 100;
	capture = 0;
	assert_int_equal(record_status("unknown", true), 0);
	expect_told(4, 4);
	record("denied");
	expect_told(4, 4);
	record_captured("unknown", 0);
	assert_int_equal(facts[PAYLOADS], 0);
}

static void test_known(void **state)
{
	(void)state;
	window = 100;
	capture = 0;
	record("known");
	expect_told(MANY_MESSAGES, MANY_MESSAGES);
	record("one_way");
	expect_told(MANY_MESSAGES, MANY_MESSAGES);
}

static void test_fifo(void **state)
{
	unsigned int at = 0, call, told = 0;
	const struct definition *d;

	(void)state;
	window = 100;
	capture = 0;
	assert_int_equal(record_status("fifo", true), 0);
	while ((call = next_move(&at, &d)))
		told += d != NULL;
	assert_int_equal(told, 2 * (4 + 4));
}

/* Nobody reads the ring: the payloads, which would fill it twice, leave room for all events. */
static void test_flood(void **state)
{
	unsigned int moved = 0, told = 0;

	(void)state;
	window = 0;
	capture = IPC_TEXT_MAX;
	ring_bytes = 1 << 20;
	assert_int_equal(record_status("flood", true), 0);
	ring_bytes = 0;
	for (unsigned int i = 0; i < n_events; i++) {
		moved += events[i].result == LONG;
		assert_true(events[i].result != LONG || events[i].flags & IPC_F_PAYLOAD);
	}
	for (unsigned int i = 0; i < n_defs; i++)
		told += defs[i].def.call == IPC_DEF_PAYLOAD;
	assert_int_equal(moved, 2 * FLOOD);
	assert_in_range(told, 50, FLOOD);
	assert_int_equal(lost[IPC_REASON_dropped], 0);
}

/* What is said of a stream is not taken for the one that was opened after it. */
static void test_rounds(void **state)
{
	static struct judged table[JUDGED_SETS * JUDGED_WAYS];
	struct {
		struct ipc_def def;
		char text[8];
	} told = { .def = { .text = 7, .payload = { .object = pipe_id(1) } }, .text = "nothing" };
	struct judged *j = &table[judged_set(pipe_id(1)) + 1];

	(void)state;
	*j = (struct judged){ .object = pipe_id(1), .tries = { 4, 3 }, .round = 7 };
	told.def.payload.judge = judge_note(j, false);
	j->round++;
	payloads_judge(table, &told.def);
	assert_false(j->denied[0] || j->denied[1] || j->known);
	told.def.payload.judge = judge_note(j, true);
	payloads_judge(table, &told.def);
	assert_false(j->denied[0] || j->denied[1] || j->known);
	told.def.payload.judge = judge_note(j, false);
	payloads_judge(table, &told.def);
	assert_true(j->denied[0] && !j->denied[1] && !j->known);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe),	cmocka_unit_test(test_unix),  cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_udp),	cmocka_unit_test(test_long),  cmocka_unit_test(test_queues),
		cmocka_unit_test(test_unknown), cmocka_unit_test(test_known), cmocka_unit_test(test_fifo),
		cmocka_unit_test(test_rounds),	cmocka_unit_test(test_flood),
	};

	if (argc == 3) {
		folder = argv[2];
		map_facts();
		_exit(work(works, argv[1])); /* nothing of a sanitizer runs at the end */
	}
	return run_cases(tests, sizeof(tests) / sizeof(tests[0]));
}
