// SPDX-License-Identifier: BSD-2-Clause
/* HTTP/1.x: what is recognised, and conversations however their bytes come. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "split.h"

static bool is(const char *text)
{
	return ipc_is_http((const uint8_t *)text, strlen(text), true);
}

static void request_and_status_lines_are_recognised(void **state)
{
	char longer[IPC_RECOGNISE_BYTES + 1];
	(void)state;
	assert_true(is("GET / HTTP/1.1\r\n"));
	assert_true(is("OPTIONS * HTTP/1.0\n"));
	assert_true(is("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n"));
	assert_true(is("HTTP/1.1 200 OK\r\n"));
	assert_true(is("HTTP/1.0 404\r\n"));
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "GET /", 5);
	assert_true(ipc_is_http((const uint8_t *)longer, IPC_RECOGNISE_BYTES, true));
	memcpy(longer + IPC_RECOGNISE_BYTES - 4, " HTT", 4);
	assert_true(ipc_is_http((const uint8_t *)longer, IPC_RECOGNISE_BYTES, true));
}

static void what_only_looks_like_it_is_not(void **state)
{
	static const char *const others[] = {
		"",
		"G",
		"GET ",
		"GET / ",
		"GET  HTTP/1.1\r\n",
		"GET / HTTP/2.0\r\n",
		"GET key\r\n",
		"GETX / HTTP/1.1\r\n",
		"HTTP/1.1 20\r\n",
		"HTTP/1.1 2000\r\n",
		"HTTP/2 200 OK\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"get / HTTP/1.1\r\n",
		"*3\r\n$3\r\nGET\r\n",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(is(others[i]));
	assert_false(ipc_is_http((const uint8_t *)"GET / HTTP/1.1\r\n", 16, false));
}

static void calls_and_replies_are_named(void **state)
{
	static const struct turn turns[] = {
		TURN(0, "GET /a/b?secret=1#x HTTP/1.1\r\nHost: h\r\n\r\n"),
		TURN(1, "HTTP/1.1 200 OK\r\ncontent-LENGTH:  5 \r\nX: y\r\n\r\nhello"),
		TURN(0, "POST /c HTTP/1.1\nContent-Length: 3\n\nabc"),
		TURN(1, "HTTP/1.1 404 Not Found\nContent-Length: 0\n\n"),
		TURN(0, "\r\nDELETE /d HTTP/1.0\r\n\r\n"),
		TURN(1, "HTTP/1.0 500\r\n\r\nuntil the end HTTP/1.1 200 OK\r\n\r\n"),
	};
	(void)state;
	ASSERT_NOTES(IPC_PROTO_http, turns,
		     "0 0+41/0 call GET /a/b\n"
		     "1 0+51/5 reply =200\n"
		     "0 41+39/3 call POST /c\n"
		     "1 51+42/0 reply =404 failed\n"
		     "0 82+22/0 call DELETE /d\n"
		     "1 93+0/0 reply =500 failed\n");
}

static void targets_of_all_forms_lose_query_and_user(void **state)
{
	static const struct turn turns[] = {
		TURN(0, "GET http://me:pw@h.example:80/p?q HTTP/1.1\r\n\r\n"),
		TURN(0, "GET http://h/?q HTTP/1.1\r\n\r\n"),
		TURN(0, "OPTIONS * HTTP/1.1\r\n\r\n"),
		TURN(0, "GET /see?http://u@v/ HTTP/1.1\r\n\r\n"),
		TURN(0, "CONNECT h.example:443 HTTP/1.1\r\n\r\n"),
	};
	(void)state;
	ASSERT_NOTES(IPC_PROTO_http, turns,
		     "0 0+46/0 call GET http://h.example:80/p\n"
		     "0 46+28/0 call GET http://h/\n"
		     "0 74+22/0 call OPTIONS *\n"
		     "0 96+33/0 call GET /see\n"
		     "0 129+34/0 call CONNECT h.example:443\n");
}

static void chunks_and_trailers_are_passed_over(void **state)
{
	static const struct turn turns[] = {
		TURN(0, "PUT /x HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 99\r\n\r\n"
			"5;a=b\r\nGET /\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
			"GET /y HTTP/1.1\r\n\r\n"),
		TURN(1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\nHTTP/1.1 204 "
			"None\r\n\r\n"),
	};
	(void)state;
	ASSERT_NOTES(IPC_PROTO_http, turns,
		     "0 0+0/0 call PUT /x\n"
		     "0 120+19/0 call GET /y\n"
		     "1 0+0/0 reply =200\n"
		     "1 54+21/0 reply =204\n");
}

static void replies_to_head_have_no_body(void **state)
{
	static const struct turn turns[] = {
		TURN(0, "HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nHEAD /c HTTP/1.1\r\n\r\n"),
		TURN(1, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
			"1\r\n\r\n!"
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 304 "
			"OK\r\nContent-Length: 7\r\n\r\n"),
	};
	(void)state;
	ASSERT_NOTES(IPC_PROTO_http, turns,
		     "0 0+20/0 call HEAD /a\n"
		     "0 20+19/0 call GET /b\n"
		     "0 39+20/0 call HEAD /c\n"
		     "1 0+41/0 reply =200\n"
		     "1 41+39/1 reply =200\n"
		     "1 80+47/0 reply =200\n"
		     "1 127+38/0 reply =304\n");
}

#define JSON "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

/* As it may be where the client's call of the system returns later than the server's. */
static void replies_may_be_seen_before_their_requests(void **state)
{
	static const struct turn turns[] = {
		TURN(1, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!"),
		TURN(0, "GET /a HTTP/1.1\r\n\r\n"),
		TURN(1,
		     JSON "Content-Length: 43\r\n\r\n{\"jsonrpc\":\"2.0\",\"error\":{\"code\":5},\"id\":1}"),
		TURN(0, "POST /r HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n"
			"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":1}"),
		TURN(0, "HEAD /b HTTP/1.1\r\n\r\n"),
		TURN(1, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
		TURN(0, "GET /c HTTP/1.1\r\n\r\n"),
		TURN(1, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
	};
	(void)state;
	ASSERT_NOTES(IPC_PROTO_http, turns,
		     "1 0+39/1 reply =200\n0 0+19/0 call GET /a\n"
		     "1 39+114/43 reply =5 failed\n0 19+109/37 call m at /r by jsonrpc\n"
		     "0 128+20/0 call HEAD /b\n1 153+41/0 reply =200\n"
		     "0 148+19/0 call GET /c\n1 194+38/0 reply =404 failed\n");
}

static void interim_replies_are_none(void **state)
{
	static const struct turn turns[] = {
		TURN(0, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
		TURN(1, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"),
		TURN(0, "ab"),
		TURN(1, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
	};
	(void)state;
	ASSERT_NOTES(IPC_PROTO_http, turns,
		     "0 0+62/2 call POST /\n"
		     "1 56+43/0 reply =201\n");
}

static void behind_a_hole_the_next_is_found(void **state)
{
	static const char sized[] = "POST /a HTTP/1.1\r\nContent-Length: 30\r\n\r\n"
				    "012345678901234567890123456789"
				    "GET /b HTTP/1.1\r\n\r\n";
	static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				      "1e\r\n012345678901234567890123456789\r\n0\r\n\r\n"
				      "HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n";
	(void)state;
	wherever_the_hole(IPC_PROTO_http, sized, sizeof(sized) - 1, 40, 70);
	wherever_the_hole(IPC_PROTO_http, chunked, sizeof(chunked) - 1, 51, 81);
}

static void another_protocol_ends_it(void **state)
{
	static const struct turn upgrade[] = {
		TURN(0, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
		TURN(1, "HTTP/1.1 101 Switching\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
		TURN(0, "GET /no HTTP/1.1\r\n\r\n"),
	};
	static const struct turn tunnel[] = {
		TURN(0, "CONNECT h:1 HTTP/1.1\r\n\r\n"),
		TURN(1, "HTTP/1.1 407 Who\r\nContent-Length: 2\r\n\r\nno"),
		TURN(0, "CONNECT h:1 HTTP/1.1\r\n\r\n"),
		TURN(1, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
		TURN(0, "GET /no HTTP/1.1\r\n\r\n"),
		TURN(1, "HTTP/1.1 200 OK\r\n\r\n"),
	};
	(void)state;
	ASSERT_NOTES(IPC_PROTO_http, upgrade, "0 0+40/0 call GET /ws\n1 0+26/0 reply =101\n");
	ASSERT_NOTES(IPC_PROTO_http, tunnel,
		     "0 0+24/0 call CONNECT h:1\n"
		     "1 0+41/2 reply =407 failed\n"
		     "0 24+24/0 call CONNECT h:1\n"
		     "1 41+38/0 reply =200\n");
}

static void traceparents_are_read(void **state)
{
	static const struct turn turns[] = {
		TURN(0, "GET / HTTP/1.1\r\nTraceParent: "
			"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"),
		TURN(0, "GET / HTTP/1.1\r\nTraceparent:\r\n "
			"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n\r\n"),
		TURN(0, "GET / HTTP/1.1\r\ntraceparent: "
			"00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n\r\n"),
		TURN(0, "GET / HTTP/1.1\r\ntraceparent: "
			"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"),
		TURN(0, "GET / HTTP/1.1\r\ntraceparent: "
			"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7\r\n\r\n"),
	};
	(void)state;
	ASSERT_NOTES(IPC_PROTO_http, turns,
		     "0 0+88/0 call GET / traced 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7\n"
		     "0 88+90/0 call GET / traced 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7\n"
		     "0 178+88/0 call GET /\n"
		     "0 266+88/0 call GET /\n"
		     "0 354+85/0 call GET /\n");
}

static void json_rpc_in_bodies_names_the_calls(void **state)
{
	static const struct turn turns[] = {
		TURN(0, "POST /rpc?k HTTP/1.1\r\nContent-Type: application/json; "
			"charset=utf-8\r\nContent-Length: 42\r\n\r\n"
			"{\"jsonrpc\":\"2.0\", \"method\":\"add\", \"id\":1 }"),
		TURN(1, JSON "Content-Length: 36\r\n\r\n{\"jsonrpc\":\"2.0\",\"result\":3,\"id\":1 }"),
		TURN(0, "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 39\r\n\r\n"
			"{\"jsonrpc\":\"2.0\",\"method\":\"sub\",\"id\":2}"),
		TURN(1, JSON "Content-Length: 51\r\n\r\n{\"jsonrpc\":\"2.0\",\"error\":{ \"code\": -32601 "
			     "},\"id\":2}"),
		TURN(0, "POST /rpc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 73\r\n\r\n"
			"[{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":3},{\"jsonrpc\":\"2.0\",\"method\":"
			"\"b\\/c\"}]"),
		TURN(1, "HTTP/1.1 204 None\r\n\r\n"),
		TURN(0, "POST /other HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n"
			"{\"method\":12}"),
	};
	(void)state;
	ASSERT_NOTES(IPC_PROTO_http, turns,
		     "0 0+133/42 call add at /rpc by jsonrpc\n"
		     "1 0+107/36 reply =200\n"
		     "0 133+113/39 call sub at /rpc by jsonrpc\n"
		     "1 107+122/51 reply =-32601 failed\n"
		     "0 246+147/73 call a, b/c at /rpc by jsonrpc\n"
		     "1 229+21/0 reply =204\n"
		     "0 393+89/13 call POST /other\n");
}

static void what_is_none_is_bad_until_the_next_begins(void **state)
{
	(void)state;
	begin_talk(IPC_PROTO_http);
	move(0, "GET / HTTP/1.1\r\n\r\n\x01\x02\x03\n", 22);
	move(0, "rest of it, no line\n", 20);
	assert_int_equal(lost, 1);
	move(0, "GET /again HTTP/1.1\r\n\r\n", 23);
	assert_string_equal(told, "0 0+18/0 call GET /\n0 42+23/0 call GET /again\n");
	move(0, "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 57);
	assert_int_equal(lost, 2);
	move(0, "GET / HTTP/1.1\r\n\r\n", 18);
	move(0, "POST / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n", 41);
	assert_int_equal(lost, 3);
	end_conversation();
}

static void after_missing_bytes_the_next_head_is_found(void **state)
{
	(void)state;
	begin_talk(IPC_PROTO_http);
	move(0, "GET /a HTTP/1.1\r\n\r\n", 19);
	move(1, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", 41);
	move_unseen(1, 5000); /* of the body: nothing is lost */
	move(0, "GET /b HTTP/1.1\r\n\r\n", 19);
	move(1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nxx", 54);
	move_unseen(1, 9000);
	move(0, "HEAD /c HTTP/1.1\r\n\r\n", 20);
	move(1, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", 38);
	move(1, "HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n", 38);
	end_conversation();
	assert_int_equal(lost, 1);
	assert_string_equal(told,
			    "0 0+19/0 call GET /a\n1 0+5041/5000 reply =200\n"
			    "0 19+19/0 call GET /b\n1 5041+0/0 reply =200\n"
			    "0 38+20/0 call HEAD /c\n1 14095+38/0 reply =200\n1 14133+38/0 reply =202\n");
}

static void a_head_larger_than_the_window_is_given_up(void **state)
{
	static char field[PROTO_WINDOW];
	(void)state;
	memset(field, 'x', sizeof(field));
	begin_talk(IPC_PROTO_http);
	move(0, "GET / HTTP/1.1\r\nX: ", 19);
	move(0, field, sizeof(field) - 20);
	assert_int_equal(lost, 0);
	move(0, "xxx", 3);
	assert_int_equal(lost, 1);
	end_conversation();
	assert_string_equal(told, "");
}

/* More requests in flight than are remembered: those behind them are still counted. */
static void many_requests_may_wait_for_their_replies(void **state)
{
	enum { MANY = 300 };
	(void)state;
	begin_talk(IPC_PROTO_http);
	for (int i = 0; i < MANY; i++)
		move(0, "GET / HTTP/1.1\r\n\r\n", 18);
	for (int i = 0; i < MANY; i++)
		move(1, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40);
	move(0, "HEAD / HTTP/1.1\r\n\r\n", 19);
	move(1, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n",
	     75);
	end_conversation();
	assert_int_equal(lost, 0);
	assert_non_null(strstr(told, "1 12038+37/0 reply =404 failed\n"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_and_status_lines_are_recognised),
		cmocka_unit_test(what_only_looks_like_it_is_not),
		cmocka_unit_test(calls_and_replies_are_named),
		cmocka_unit_test(targets_of_all_forms_lose_query_and_user),
		cmocka_unit_test(chunks_and_trailers_are_passed_over),
		cmocka_unit_test(replies_to_head_have_no_body),
		cmocka_unit_test(replies_may_be_seen_before_their_requests),
		cmocka_unit_test(interim_replies_are_none),
		cmocka_unit_test(behind_a_hole_the_next_is_found),
		cmocka_unit_test(another_protocol_ends_it),
		cmocka_unit_test(traceparents_are_read),
		cmocka_unit_test(json_rpc_in_bodies_names_the_calls),
		cmocka_unit_test(what_is_none_is_bad_until_the_next_begins),
		cmocka_unit_test(after_missing_bytes_the_next_head_is_found),
		cmocka_unit_test(a_head_larger_than_the_window_is_given_up),
		cmocka_unit_test(many_requests_may_wait_for_their_replies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
