// SPDX-License-Identifier: BSD-2-Clause
/* JSON-RPC 2.0: what is recognised, its two framings on a stream, and the part of JSON that they need. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "json.h"
#include "split.h"

static bool is(const char *text)
{
	return ipc_is_jsonrpc((const uint8_t *)text, strlen(text), true);
}

static void objects_batches_and_heads_are_recognised(void **state)
{
	(void)state;
	assert_true(is("{\"jsonrpc\":\"2.0\",\"method\""));
	assert_true(is(" \n{ \"id\": 1, \"jsonrpc\" : \"2.0\""));
	assert_true(is("[{\"method\":\"x\",\"jsonrpc\":\"2.0\"}]"));
	assert_true(is("Content-Length: 60\r\n\r\n{\"jsonrpc\""));
	assert_true(is("content-type: x\r\nContent-Length: 60\r\n\r\n{\"jsonrpc\""));
	assert_true(is("Content-Length: 60\r\n\r\n"));
}

static void other_texts_are_not(void **state)
{
	static const char *const others[] = {
		"",
		"{",
		"{\"method\":\"x\"}",
		"\"jsonrpc\"",
		"Content-Length: 60",
		"Content-Type: text/plain\r\n\r\n",
		"Content-Length: 60\r\n\r\n{\"seq\":1,\"type\":\"request\"",
		"Content-Length: 60\r\n\r\nx\"jsonrpc\"",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(is(others[i]));
	assert_false(ipc_is_jsonrpc((const uint8_t *)"{\"jsonrpc\":\"2.0\"}", 17, false));
}

#define CALL_1	"{\"jsonrpc\":\"2.0\",\"method\":\"add\",\"params\":[1,{\"id\":7}],\"id\":1}"
#define REPLY_1 "{\"id\":1, \"result\" : { \"error\": {\"code\":5} }, \"jsonrpc\":\"2.0\"}"
#define EVENT                                                                                                \
	"{ \"method\" : \"log\\/it\" ,\n \"params\":{\"method\":\"no }]{[ \\\"\"}, \"jsonrpc\": \"2.0\" }"
#define CALL_TEXT "{\"jsonrpc\":\"2.0\",\"id\":\"a-1\",\"method\":\"t\\u0065xt\"}"
#define REPLY_TEXT                                                                                           \
	"{\"jsonrpc\":\"2.0\",\"id\":\"a-1\",\"error\":{\"message\":\"x\",\"data\":{\"code\":1},\"code\":-"  \
	"32601}}"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

static uint64_t text_id(const char *text)
{
	uint64_t h = 0xcbf29ce484222325;
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3;
	return h;
}

static size_t expected_size;
static char expected[4096];

static void expect_none(void)
{
	expected_size = 0;
	expected[0] = 0;
}

static void expect(int side, size_t at, size_t bytes, size_t body, const char *rest)
{
	expected_size += (size_t)snprintf(expected + expected_size, sizeof(expected) - expected_size,
					  "%d %zu+%zu/%zu %s\n", side, at, bytes, body, rest);
}

static void expect_id(int side, size_t at, size_t bytes, size_t body, const char *kind, const char *id,
		      const char *rest)
{
	char text[256];
	snprintf(text, sizeof(text), "%s #%" PRIu64 "%s", kind, text_id(id), rest);
	expect(side, at, bytes, body, text);
}

#define SIZE(text) (sizeof(text) - 1)

static void lines_are_calls_replies_and_notifications(void **state)
{
	static const struct turn turns[] = {
		TURN(0, CALL_1 "\n"),
		TURN(1, REPLY_1 "\n"),
		TURN(0, EVENT "\r\n" CALL_TEXT),
		TURN(1, REPLY_TEXT),
	};
	(void)state;
	expect_none();
	expect(0, 0, SIZE(CALL_1), SIZE(CALL_1), "call #1 add");
	expect(1, 0, SIZE(REPLY_1), SIZE(REPLY_1), "reply #1");
	expect(0, SIZE(CALL_1) + 1, SIZE(EVENT), SIZE(EVENT), "oneway log/it");
	expect_id(0, SIZE(CALL_1 EVENT) + 3, SIZE(CALL_TEXT), SIZE(CALL_TEXT), "call", "\"a-1\"", " text");
	expect_id(1, SIZE(REPLY_1) + 1, SIZE(REPLY_TEXT), SIZE(REPLY_TEXT), "reply", "\"a-1\"",
		  " =-32601 failed");
	ASSERT_NOTES(IPC_PROTO_jsonrpc, turns, expected);
}

#define HEAD(n) "Content-Length: " STRING(n) "\r\n\r\n"
#define TYPED(n)                                                                                             \
	"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:" STRING(n) "\r\n\r\n"

static void messages_behind_a_head_are_too(void **state)
{
	static const struct turn turns[] = {
		TURN(0, HEAD(61) CALL_1 TYPED(78) EVENT),
		TURN(1, HEAD(61) REPLY_1),
		TURN(1, HEAD(2) "{}" HEAD(0) HEAD(62) " " REPLY_1),
	};
	size_t second = SIZE(HEAD(61) REPLY_1), third = second + SIZE(HEAD(2) "{}" HEAD(0));
	(void)state;
	assert_int_equal(SIZE(CALL_1), 61);
	assert_int_equal(SIZE(EVENT), 78);
	assert_int_equal(SIZE(REPLY_1), 61);
	expect_none();
	expect(0, 0, SIZE(HEAD(61) CALL_1), 61, "call #1 add");
	expect(0, SIZE(HEAD(61) CALL_1), SIZE(TYPED(78) EVENT), 78, "oneway log/it");
	expect(1, 0, second, 61, "reply #1");
	expect(1, third, SIZE(HEAD(62)) + 62, 62, "reply #1");
	ASSERT_NOTES(IPC_PROTO_jsonrpc, turns, expected);
}

static void each_of_a_batch_is_a_message(void **state)
{
	static const struct turn turns[] = {
		TURN(0, "[" CALL_1 ", " EVENT "]\n"),
		TURN(1, HEAD(65) "[ " REPLY_1 " ]"),
		TURN(0, "[]\n"),
	};
	(void)state;
	expect_none();
	expect(0, 1, SIZE(CALL_1), SIZE(CALL_1), "call #1 add");
	expect(0, SIZE("[" CALL_1 ", "), SIZE(EVENT), SIZE(EVENT), "oneway log/it");
	expect(1, SIZE(HEAD(65) "[ "), SIZE(REPLY_1), SIZE(REPLY_1), "reply #1");
	ASSERT_NOTES(IPC_PROTO_jsonrpc, turns, expected);
}

static void odd_ids_and_errors_are_told_apart(void **state)
{
	static const struct turn turns[] = {
		TURN(0, "{\"id\":null,\"method\":\"a\"}"),
		TURN(0, "{\"id\":-3,\"method\":\"a\"}"),
		TURN(0, "{\"id\":18446744073709551616,\"method\":\"a\"}"),
		TURN(1, "{\"id\":null,\"error\":{\"code\":-32700}}"),
		TURN(1, "{\"id\":2,\"error\":null,\"result\":1}"),
		TURN(1, "{\"id\":2,\"error\":\"text\"}"),
		TURN(1, "{\"seq\":2,\"type\":\"x\"}"),
	};
	(void)state;
	expect_none();
	expect_id(0, 0, 24, 24, "call", "null", " a");
	expect_id(0, 24, 22, 22, "call", "-3", " a");
	expect_id(0, 46, 40, 40, "call", "18446744073709551616", " a");
	expect_id(1, 0, 35, 35, "reply", "null", " =-32700 failed");
	expect(1, 35, 32, 32, "reply #2");
	expect(1, 67, 23, 23, "reply #2 failed");
	ASSERT_NOTES(IPC_PROTO_jsonrpc, turns, expected);
}

enum { LONG = 10000 };

/* An object of which the middle is long, and who follows it, at most SIZE_MAX bytes at a time. */
static void give_long(const char *before, const char *behind, size_t at_a_time)
{
	char text[2 * LONG];
	size_t size = 0;
	size += (size_t)sprintf(text, "%s", before);
	memset(text + size, '}', LONG);
	size += LONG;
	size += (size_t)sprintf(text + size, "%s", behind);
	begin_talk(IPC_PROTO_jsonrpc);
	for (size_t i = 0; i < size; i += at_a_time)
		move(0, text + i, at_a_time < size - i ? at_a_time : size - i);
	end_conversation();
	assert_int_equal(lost, 0);
}

static void of_long_messages_the_beginning_tells(void **state)
{
	static const size_t sizes[] = { 1, 100, 4095, 4096, 4097, 2 * LONG };
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		give_long("{\"id\":1,\"method\":\"a\",\"params\":\"", "\"}\n{\"id\":2,\"method\":\"b\"}",
			  sizes[i]);
		assert_string_equal(told, "0 0+0/0 call #1 a\n0 10034+21/21 call #2 b\n");
		give_long("{\"method\":\"a\",\"params\":\"", "\",\"id\":1}\n", sizes[i]);
		assert_string_equal(told, "0 0+10033/10033 call #1 a\n");
		give_long("{\"method\":\"a\",\"params\":\"", "\"}\n", sizes[i]);
		assert_string_equal(told, "0 0+10026/10026 oneway a\n");
		give_long("Content-Length: 10023\r\n\r\n{\"result\":\"", "\",\"id\":1234}", sizes[i]);
		assert_string_equal(told, "0 0+10048/10023 reply #1234\n");
		give_long("Content-Length: 10041\r\n\r\n{\"id\":1,\"error\":{\"code\":7, \"message\":\"",
			  "\"}}\n", sizes[i]);
		assert_string_equal(told, "0 0+10066/10041 reply #1 =7 failed\n");
		give_long("[{\"id\":1,\"method\":\"a\"},{\"id\":3,\"result\":\"",
			  "\"}]\n{\"id\":2,\"method\":\"b\"}", sizes[i]);
		assert_string_equal(told, "0 1+21/21 call #1 a\n0 23+10020/10020 reply #3\n"
					  "0 10045+21/21 call #2 b\n");
	}
}

/* Further behind than any window reaches: it is counted, and is not taken for one without a reply. */
static void an_id_that_is_never_seen_makes_no_notification(void **state)
{
	static const char *const begins[] = {
		"{\"method\":\"a\",\"params\":\"", "[{\"result\":\"",
		"Content-Length: 70033\r\n\r\n{\"method\":\"a\",\"params\":\""
	};
	static const char *const ends[] = { "\",\"id\":1}", "\",\"id\":1}]", "\",\"id\":1}" };
	static const char next[] = "{\"id\":2,\"method\":\"b\"}";
	static char middle[1000];
	(void)state;
	memset(middle, 'x', sizeof(middle));
	for (size_t i = 0; i < 3; i++) {
		begin_talk(IPC_PROTO_jsonrpc);
		move(0, begins[i], strlen(begins[i]));
		for (int k = 0; k < 70; k++)
			move(0, middle, sizeof(middle));
		move(0, ends[i], strlen(ends[i]));
		assert_string_equal(told, "");
		assert_int_equal(lost, 1);
		move(0, next, SIZE(next));
		end_conversation();
		assert_non_null(strstr(told, "+21/21 call #2 b\n"));
		assert_int_equal(lost, 1);
	}
}

/* A call moves the message `before`, 10,000 times `fill`, `behind`, of which 3,072 bytes and 1,024 are seen.
 */
static void give_ends(const char *before, char fill, const char *behind)
{
	char text[2 * LONG];
	size_t size = strlen(before), end = strlen(behind);
	memcpy(text, before, size);
	memset(text + size, fill, LONG);
	memcpy(text + size + LONG, behind, end);
	begin_talk(IPC_PROTO_jsonrpc);
	move_ends(0, text, size + LONG + end, 3072, 1024);
	end_conversation();
}

#define LONG_HEAD "Content-Length: 11000\r\n\r\n"

/* Its end is where its head says; the rest of its 11,000 bytes are blanks, and another one follows. */
static void give_framed_ends(const char *before, char fill, const char *behind, const char *expect_first)
{
	static const char next[] = HEAD(21) "{\"id\":2,\"method\":\"b\"}";
	char head[1000], rest[LONG];
	size_t blanks = 11000 - strlen(before) - LONG - strlen(behind);
	snprintf(head, sizeof(head), LONG_HEAD "%*s%s", (int)blanks - 200, "", before);
	snprintf(rest, sizeof(rest), "%s%200s%s", behind, "", next);
	give_ends(head, fill, rest);
	snprintf(expected, sizeof(expected), "%s0 %zu+%zu/21 call #2 b\n", expect_first,
		 SIZE(LONG_HEAD) + 11000, SIZE(next));
	assert_string_equal(told, expected);
	assert_int_equal(lost, !*expect_first);
}

static void behind_a_hole_a_message_with_a_head_is_read_from_its_end(void **state)
{
	(void)state;
	give_framed_ends("{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":{\"x\":\"", '}', "\"},\"id\":5}",
			 "0 0+11025/11000 call #5 a\n");
	give_framed_ends("{\"params\":\"", '{', "\",\"method\":\"a\",\"x\":\"\\\"\",\"id\":5}",
			 "0 0+11025/11000 call #5 a\n");
	give_framed_ends("{\"params\":[", ',', "{\"id\":[\"\\\\\"]}],\n\"method\" :\"a\" , \"id\":5 }",
			 "0 0+11025/11000 call #5 a\n");
	give_framed_ends("{\"result\":[\"", '\\', "\"],\"jsonrpc\":\"2.0\",\"id\":7}\n",
			 "0 0+11025/11000 reply #7\n");
	give_framed_ends("{\"method\":\"open\",\"params\":{\"text\":\"", ',', "\"}}",
			 "0 0+11025/11000 oneway open\n");
	/* Something else may stand in between. */
	give_framed_ends("{\"method\":\"a\",\"params\":\"", 'x', "\"}", "");
	give_framed_ends("{\"method\":\"a\",\"x\":[", ' ', "]}", "");
	give_framed_ends("{\"method\":\"a\",\"params\":{}", ' ', ",\"x\":\"\"}", "");
	give_framed_ends("{\"method\":\"a\",\"params\":[{", 'x', "{\"id\":1}", "");
	give_framed_ends("{\"method\":\"a\",\"params\":[{", 'x', "\"id\":1", "");
	give_framed_ends("[{\"method\":\"a\",\"params\":[{", 'x', "}],\"id\":1}]", "");
}

static void wherever_it_is_nothing_wrong_is_told(void **state)
{
	static const char text[] = HEAD(61) CALL_1 HEAD(61) REPLY_1 HEAD(63) "[" CALL_1 "]" HEAD(78) EVENT;
	(void)state;
	wherever_the_hole(IPC_PROTO_jsonrpc, text, SIZE(text), SIZE(text), 0);
}

static bool doubtful;

static void note_doubt(struct proto_side *side, const struct proto_note *note)
{
	doubtful = note->doubtful;
	say_note(side, note);
}

/* It may be another message's. */
static void behind_a_hole_the_end_of_a_line_is_doubtful(void **state)
{
	static const struct {
		const char *before, *behind, *told;
		bool doubtful;
	} cases[] = {
		{ "{\"method\":\"a\",\"params\":[", "],\"id\":5}\n", "0 0+0/0 call #5 a\n", true },
		{ "{\"result\":[", "],\"jsonrpc\":\"2.0\",\"id\":7}", "0 0+0/0 reply #7\n", true },
		{ "{\"id\":7,\"result\":[", "],\"id\":8}", "0 0+0/0 reply #7\n", false },
		{ "{\"method\":\"a\",\"params\":[", "]}\n", "0 0+0/0 oneway a\n", true },
		{ "{\"method\":\"a\",\"params\":\"", "\"}\n", "", false },
		{ "{\"method\":\"a\",\"params\":[", "]}\n{\"result\":3,\"id\":5}\n", "", false },
		{ "{\"method\":\"a\",\"params\":[", "]", "", false },
	};
	char text[2 * LONG];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t size = (size_t)snprintf(text, sizeof(text), "%s%*s%s", cases[i].before, LONG, "",
					       cases[i].behind);
		begin_talk(IPC_PROTO_jsonrpc);
		ways[THERE].side.noted = note_doubt;
		doubtful = false;
		move_ends(0, text, size, 3072, 1024);
		end_conversation();
		assert_string_equal(told, cases[i].told);
		assert_int_equal(doubtful, cases[i].doubtful);
		assert_int_equal(lost, 1 + !*cases[i].told);
	}
}

static void what_is_none_is_bad_until_the_next_begins(void **state)
{
	static const char *const others[] = {
		"{\"id\" 1}\n", "hello\n", "Content-Length: x\r\n\r\n", "Content-Length: 3\r\n\r\nxxx",
		"[1, 2]",	"{1:2}",
	};
	(void)state;
	begin_talk(IPC_PROTO_jsonrpc);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		begin_talk(IPC_PROTO_jsonrpc);
		move(0, others[i], strlen(others[i]));
		assert_int_equal(lost, 1);
		move(0, "hello\n", 6);
		assert_string_equal(told, "");
		move(0, "{\"id\":1,\"method\":\"a\"}", 21);
		assert_non_null(strstr(told, "+21/21 call #1 a\n"));
		end_conversation();
	}
}

static void after_missing_bytes_the_next_one_is_found(void **state)
{
	(void)state;
	begin_talk(IPC_PROTO_jsonrpc);
	move(0, "{\"id\":1,\"method", 15);
	move_unseen(0, 5000);
	move(0, "rest\"}", 6);
	move(0, "{\"id\":2,\"method\":\"b\"}", 21);
	end_conversation();
	assert_int_equal(lost, 1);
	assert_string_equal(told, "0 5021+21/21 call #2 b\n");
}

/* However deep: nothing is nested in the scanner. */
static void depth_costs_nothing(void **state)
{
	static uint8_t open[PROTO_WINDOW];
	struct json_place place = { 0 };
	(void)state;
	memset(open, '[', sizeof(open));
	assert_int_equal(json_skip(&place, open, sizeof(open)), sizeof(open));
	assert_int_equal(place.depth, sizeof(open));
	memset(open, ']', sizeof(open));
	assert_int_equal(json_skip(&place, open, sizeof(open)), sizeof(open));
	assert_int_equal(place.depth, 0);
}

static void escapes_are_read_where_they_fit(void **state)
{
	static const struct {
		const char *quoted, *text;
	} cases[] = {
		{ "\"plain\"", "plain" },
		{ "\"a\\/b\\\\c\\\"\"", "a/b\\c\"" },
		{ "\"\\u0041\\u00e9\\n\"", "A\\u00e9\\n" },
		{ "\"\\u00\"", "\\u00" },
		{ "\"\\u002fx\"", "/x" },
		{ "\"\"", "" },
	};
	char buffer[PROTO_TEXT_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct proto_text quoted = { cases[i].quoted, strlen(cases[i].quoted) };
		struct proto_text text = json_text(quoted, buffer);
		assert_int_equal(text.size, strlen(cases[i].text));
		assert_memory_equal(text.at, cases[i].text, text.size);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_batches_and_heads_are_recognised),
		cmocka_unit_test(other_texts_are_not),
		cmocka_unit_test(lines_are_calls_replies_and_notifications),
		cmocka_unit_test(messages_behind_a_head_are_too),
		cmocka_unit_test(each_of_a_batch_is_a_message),
		cmocka_unit_test(odd_ids_and_errors_are_told_apart),
		cmocka_unit_test(of_long_messages_the_beginning_tells),
		cmocka_unit_test(an_id_that_is_never_seen_makes_no_notification),
		cmocka_unit_test(behind_a_hole_a_message_with_a_head_is_read_from_its_end),
		cmocka_unit_test(wherever_it_is_nothing_wrong_is_told),
		cmocka_unit_test(behind_a_hole_the_end_of_a_line_is_doubtful),
		cmocka_unit_test(what_is_none_is_bad_until_the_next_begins),
		cmocka_unit_test(after_missing_bytes_the_next_one_is_found),
		cmocka_unit_test(depth_costs_nothing),
		cmocka_unit_test(escapes_are_read_where_they_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
