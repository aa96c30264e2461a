// SPDX-License-Identifier: BSD-2-Clause
/* HTTP/2 and gRPC: conversations that libnghttp2's own client and server hold, however their bytes come. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "split.h"

enum { TURNS = 64, CLIENT = 0, SERVER = 1 };

/* A client and a server, and all that they have said. */
struct pair {
	nghttp2_session *sessions[2];
	struct turn turns[TURNS];
	size_t count;
};

static ssize_t no_bytes(nghttp2_session *session, const uint8_t *bytes, size_t size, int flags, void *context)
{
	(void)session, (void)bytes, (void)flags, (void)context;
	return (ssize_t)size;
}

/* Padding of some frames, so that it is there. */
static ssize_t pad(nghttp2_session *session, const nghttp2_frame *frame, size_t max, void *context)
{
	(void)session, (void)context;
	size_t wanted = frame->hd.length + (size_t)frame->hd.stream_id % 9;
	return (ssize_t)(wanted < max ? wanted : max);
}

static void pair_open(struct pair *p)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	nghttp2_settings_entry tables[] = { { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 20000 } };
	*p = (struct pair){ .count = 0 };
	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_callbacks_set_send_callback(callbacks, no_bytes);
	nghttp2_session_callbacks_set_select_padding_callback(callbacks, pad);
	nghttp2_option_new(&option);
	nghttp2_option_set_no_http_messaging(option, 1);
	nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
	nghttp2_option_set_max_deflate_dynamic_table_size(option, 20000);
	assert_int_equal(nghttp2_session_client_new2(&p->sessions[CLIENT], callbacks, NULL, option), 0);
	assert_int_equal(nghttp2_session_server_new2(&p->sessions[SERVER], callbacks, NULL, option), 0);
	assert_int_equal(nghttp2_submit_settings(p->sessions[CLIENT], 0, tables, 1), 0);
	assert_int_equal(nghttp2_submit_settings(p->sessions[SERVER], 0, tables, 1), 0);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
}

static void pair_close(struct pair *p)
{
	for (size_t i = 0; i < p->count; i++)
		free((void *)p->turns[i].bytes);
	nghttp2_session_del(p->sessions[CLIENT]);
	nghttp2_session_del(p->sessions[SERVER]);
}

/* All that a side has to say now, as one turn. */
static bool speak(struct pair *p, int side)
{
	uint8_t *said = NULL;
	const uint8_t *bytes;
	size_t size = 0;
	ssize_t n;
	while ((n = nghttp2_session_mem_send(p->sessions[side], &bytes)) > 0) {
		said = realloc(said, size + (size_t)n);
		memcpy(said + size, bytes, (size_t)n);
		size += (size_t)n;
	}
	assert_int_equal(n, 0);
	if (!size)
		return false;
	assert_true(p->count < TURNS);
	assert_int_equal(nghttp2_session_mem_recv(p->sessions[!side], said, size), size);
	p->turns[p->count++] = (struct turn){ side, said, size };
	return true;
}

static void speak_all(struct pair *p)
{
	for (bool any = true; any;) {
		any = speak(p, CLIENT);
		any |= speak(p, SERVER);
	}
}

/* What is sent of a body: so many bytes, then the end of the stream unless trailers come. */
struct body {
	size_t size;
	const char *status; /* of gRPC; NULL: no trailers */
};

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), 0 };
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *to, size_t size, uint32_t *flags,
			 nghttp2_data_source *source, void *context)
{
	struct body *body = source->ptr;
	size_t n = size < body->size ? size : body->size;
	(void)context;
	memset(to, 'x', n);
	body->size -= n;
	if (body->size)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (body->status) {
		nghttp2_nv trailers[] = { field("grpc-status", body->status), field("grpc-message", "why") };
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		assert_int_equal(nghttp2_submit_trailer(session, stream, trailers, 2), 0);
	}
	return (ssize_t)n;
}

static int32_t ask(struct pair *p, const char *method, const char *path, const char *type, const char *trace,
		   struct body *body)
{
	nghttp2_nv fields[] = {
		field(":method", method),	  field(":scheme", "http"),    field(":path", path),
		field(":authority", "h.example"), field("content-type", type), field("traceparent", trace),
	};
	nghttp2_data_provider provider = { .source.ptr = body, .read_callback = read_body };
	nghttp2_priority_spec priority;
	nghttp2_priority_spec_init(&priority, 0, 7, 0);
	int32_t stream = nghttp2_submit_request(p->sessions[CLIENT], *path == '/' ? &priority : NULL, fields,
						*trace ? 6 : 5, body ? &provider : NULL, NULL);
	assert_true(stream > 0);
	return stream;
}

static void answer(struct pair *p, int32_t stream, const char *status, struct body *body)
{
	nghttp2_nv fields[] = { field(":status", status), field("server", "test") };
	nghttp2_data_provider provider = { .source.ptr = body, .read_callback = read_body };
	assert_int_equal(
		nghttp2_submit_response(p->sessions[SERVER], stream, fields, 2, body ? &provider : NULL), 0);
}

/* The notes without their places. */
static const char *without_places(const char *notes)
{
	static char out[1 << 16];
	char *to = out;
	while (*notes) {
		const char *line = strchr(notes, '\n'), *kind = strchr(strchr(notes, ' ') + 1, ' ');
		to += sprintf(to, "%.1s%.*s", notes, (int)(line + 1 - kind), kind);
		notes = line + 1;
	}
	*to = 0;
	return out;
}

/* Divided everywhere, if it is not too long for that. */
static void assert_said(struct pair *p, const char *notes)
{
	static char whole[1 << 16];
	move_turns(IPC_PROTO_http2, p->turns, p->count, &unchanged);
	assert_string_equal(without_places(told), notes);
	assert_int_equal(lost, 0);
	strcpy(whole, told);
	assert_divided(IPC_PROTO_http2, p->turns, p->count, whole);
}

static bool is(const void *bytes, size_t size)
{
	return ipc_is_http2(bytes, size, true);
}

static void beginnings_of_connections_are_recognised(void **state)
{
	static const uint8_t none[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };
	static const uint8_t others[][15] = {
		{ 0, 0, 6, 4, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100 },
		{ 0, 0, 6, 4, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 100 },
		{ 0, 0, 5, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100 },
		{ 0, 0, 6, 4, 0, 0, 0, 0, 0, 9, 3, 0, 0, 0, 100 },
		{ 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
	};
	static const uint8_t four[20] = { 0, 0, 0, 4 }; /* numbers */
	static const uint8_t answered[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0 };
	struct pair p;
	(void)state;
	pair_open(&p);
	speak_all(&p);
	assert_true(is(p.turns[0].bytes, p.turns[0].size));
	assert_true(is(p.turns[0].bytes, 24));
	assert_true(is(p.turns[1].bytes, p.turns[1].size));
	pair_close(&p);
	assert_true(is(none, sizeof(none)));
	assert_true(is(answered, sizeof(answered)));
	assert_false(is(none, 8));
	assert_false(is(four, sizeof(four)));
	assert_false(is("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", 23));
	assert_false(is("", 0));
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(is(others[i], sizeof(others[i])));
	assert_false(ipc_is_http2(none, sizeof(none), false));
}

#define TRACE  "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define TRACED " traced 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7\n"

static void calls_and_replies_are_named(void **state)
{
	struct pair p;
	struct body asked = { 30, NULL }, answered = { 100, NULL };
	(void)state;
	pair_open(&p);
	int32_t first = ask(&p, "GET", "/a?secret", "x", "", NULL);
	int32_t second = ask(&p, "POST", "/b", "x", TRACE, &asked);
	speak_all(&p);
	answer(&p, second, "404", NULL);
	answer(&p, first, "200", &answered);
	speak_all(&p);
	int32_t third = ask(&p, "GET", "/a?secret", "x", "", NULL);
	speak_all(&p);
	answer(&p, third, "204", NULL);
	speak_all(&p);
	assert_said(&p,
		    "0 call #1 GET /a\n0 call #3 POST /b" TRACED "1 reply #3 =404 failed\n1 reply #1 =200\n"
		    "0 call #5 GET /a\n1 reply #5 =204\n");
	pair_close(&p);
}

static void calls_of_grpc_are_too(void **state)
{
	struct pair p;
	struct body asked[] = { { 30, NULL }, { 30, NULL }, { 30, NULL } };
	struct body answered[] = { { 10, "0" }, { 300, "5" }, { 1, "99" } };
	static const char *const paths[] = { "/pkg.Service/Get", "/pkg.Service/List", "/pkg.Service/Get" };
	(void)state;
	pair_open(&p);
	for (int i = 0; i < 3; i++) {
		int32_t stream = ask(&p, "POST", paths[i], "application/grpc+proto", "", &asked[i]);
		speak_all(&p);
		answer(&p, stream, "200", &answered[i]);
		speak_all(&p);
	}
	assert_said(&p, "0 call #1 /pkg.Service/Get\n1 reply #1 =OK\n0 call #3 /pkg.Service/List\n"
			"1 reply #3 =NOT_FOUND failed\n0 call #5 /pkg.Service/Get\n1 reply #5 =? failed\n");
	survive(IPC_PROTO_http2, p.turns, p.count);
	pair_close(&p);
}

/* All that a side has said, by one call. The hole may be in the DATA of the last message but its trailers. */
static void give_holes(const struct pair *p, int side, size_t data)
{
	uint8_t all[4096];
	size_t size = 0;
	for (size_t i = 0; i < p->count; i++) {
		if (p->turns[i].side != side)
			continue;
		assert_true(size + p->turns[i].size <= sizeof(all));
		memcpy(all + size, p->turns[i].bytes, p->turns[i].size);
		size += p->turns[i].size;
	}
	const uint8_t *x = memmem(all, size, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", data);
	assert_non_null(x);
	wherever_the_hole(IPC_PROTO_http2, all, size, (size_t)(x - all), (size_t)(x - all) + data);
}

static void behind_a_hole_trailers_are_found(void **state)
{
	struct pair p;
	struct body asked = { 30, NULL }, answered = { 30, "5" };
	(void)state;
	pair_open(&p);
	int32_t stream = ask(&p, "POST", "/s/a", "application/grpc", "", &asked);
	speak_all(&p);
	answer(&p, stream, "200", &answered);
	ask(&p, "POST", "/s/b", "application/grpc", "", NULL);
	speak_all(&p);
	give_holes(&p, CLIENT, 30);
	give_holes(&p, SERVER, 30);
	pair_close(&p);
}

/* All that the server says first: as it may be where the client's calls of the system return later. */
static void replies_may_be_seen_before_their_calls(void **state)
{
	struct pair p;
	struct body asked = { 30, NULL }, answered = { 10, "5" };
	(void)state;
	pair_open(&p);
	int32_t stream = ask(&p, "POST", "/s/m", "application/grpc", "", &asked);
	speak_all(&p);
	answer(&p, stream, "200", &answered);
	speak_all(&p);
	begin_talk(IPC_PROTO_http2);
	for (int side = SERVER; side >= CLIENT; side--) {
		for (size_t i = 0; i < p.count; i++) {
			if (p.turns[i].side == side)
				move(side, p.turns[i].bytes, p.turns[i].size);
		}
	}
	end_conversation();
	assert_string_equal(without_places(told), "1 reply #1 =NOT_FOUND failed\n0 call #1 /s/m\n");
	pair_close(&p);
}

static void resets_end_calls(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p);
	int32_t refused = ask(&p, "GET", "/a", "x", "", NULL), given_up = ask(&p, "GET", "/b", "x", "", NULL);
	speak_all(&p);
	nghttp2_submit_rst_stream(p.sessions[SERVER], 0, refused, NGHTTP2_REFUSED_STREAM);
	nghttp2_submit_rst_stream(p.sessions[CLIENT], 0, given_up, NGHTTP2_CANCEL);
	speak_all(&p);
	assert_said(&p, "0 call #1 GET /a\n0 call #3 GET /b\n1 reply #1 =REFUSED_STREAM failed\n");
	pair_close(&p);
}

static void interim_replies_and_pushed_ones_are_none(void **state)
{
	struct pair p;
	nghttp2_nv interim[] = { field(":status", "103"), field("link", "x") };
	nghttp2_nv pushed[] = { field(":method", "GET"), field(":scheme", "http"), field(":path", "/pushed"),
				field(":authority", "h.example") };
	(void)state;
	pair_open(&p);
	int32_t stream = ask(&p, "GET", "/a", "x", "", NULL);
	speak_all(&p);
	assert_int_equal(nghttp2_submit_headers(p.sessions[SERVER], 0, stream, NULL, interim, 2, NULL), 0);
	int32_t promised = nghttp2_submit_push_promise(p.sessions[SERVER], 0, stream, pushed, 4, NULL);
	assert_true(promised > 0);
	speak_all(&p);
	answer(&p, promised, "200", NULL);
	answer(&p, stream, "500", NULL);
	speak_all(&p);
	assert_said(&p, "0 call #1 GET /a\n1 reply #1 =500 failed\n");
	pair_close(&p);
}

static void a_connect_is_named_by_its_authority(void **state)
{
	struct pair p;
	nghttp2_nv fields[] = { field(":method", "CONNECT"), field(":authority", "h.example:443") };
	(void)state;
	pair_open(&p);
	assert_true(nghttp2_submit_request(p.sessions[CLIENT], NULL, fields, 2, NULL, NULL) > 0);
	speak_all(&p);
	assert_said(&p, "0 call #1 CONNECT h.example:443\n");
	pair_close(&p);
}

/* 40 KB of headers: three frames. And bodies of many frames, given piece by piece. */
static void large_headers_and_bodies_are_taken(void **state)
{
	static char large[40000];
	static const size_t sizes[] = { 997, 4096, 16393, 50000 };
	struct pair p;
	struct body answered = { 60000, NULL };
	(void)state;
	for (size_t i = 0; i < sizeof(large) - 1; i++)
		large[i] = (char)('!' + i * 7 % 90);
	pair_open(&p);
	ask(&p, "GET", "/a", large, "", NULL);
	int32_t second = ask(&p, "GET", "/b", "x", "", NULL);
	speak_all(&p);
	answer(&p, second, "200", &answered);
	answer(&p, 1, "201", NULL);
	speak_all(&p);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		begin_talk(IPC_PROTO_http2);
		for (size_t t = 0; t < p.count; t++) {
			for (size_t at = 0, left; (left = p.turns[t].size - at);
			     at += left < sizes[s] ? left : sizes[s])
				move(p.turns[t].side, (const uint8_t *)p.turns[t].bytes + at,
				     left < sizes[s] ? left : sizes[s]);
		}
		end_conversation();
		assert_int_equal(lost, 0);
		assert_string_equal(without_places(told),
				    "0 call #1 GET /a\n0 call #3 GET /b\n1 reply #1 =201\n1 reply #3 =200\n");
	}
	pair_close(&p);
}

static void after_missing_bytes_no_name_is_guessed(void **state)
{
	struct pair p;
	(void)state;
	pair_open(&p);
	speak_all(&p);
	size_t begun = p.count;
	for (int i = 0; i < 4; i++) {
		int32_t stream = ask(&p, "GET", i % 2 ? "/a" : "/b", "x", "", NULL);
		speak_all(&p);
		answer(&p, stream, "404", NULL);
		speak_all(&p);
	}
	begin_talk(IPC_PROTO_http2);
	for (size_t i = 0; i < p.count; i++) {
		const struct turn *t = &p.turns[i];
		if (i == begun + 2)
			move_unseen(CLIENT, 1);
		move(t->side, t->bytes, t->size);
	}
	end_conversation();
	assert_int_equal(lost, 1);
	assert_string_equal(without_places(told),
			    "0 call #1 GET /b\n1 reply #1 =404 failed\n0 call #3\n1 reply #3 =404 failed\n"
			    "0 call #5\n1 reply #5 =404 failed\n0 call #7\n1 reply #7 =404 failed\n");
	pair_close(&p);
}

static void frames_are_found_again(void **state)
{
	static const uint8_t error[] = { 0, 0, 1, 1, 5, 0, 0, 0, 3, 0xff };
	struct pair p;
	(void)state;
	pair_open(&p);
	ask(&p, "GET", "/a", "x", "", NULL);
	speak(&p, CLIENT);
	begin_talk(IPC_PROTO_http2);
	move(CLIENT, p.turns[0].bytes, p.turns[0].size);
	move(CLIENT, error, sizeof(error)); /* an index of no header */
	assert_int_equal(lost, 1);
	move(CLIENT, "no frames at all", 16);
	assert_int_equal(lost, 1);
	ask(&p, "GET", "/b", "x", "", NULL);
	speak(&p, CLIENT);
	move(CLIENT, p.turns[1].bytes, p.turns[1].size);
	end_conversation();
	assert_int_equal(lost, 1);
	assert_string_equal(without_places(told), "0 call #1 GET /a\n0 call #3\n");
	pair_close(&p);
}

/* More streams than are remembered: each is called once, and none is answered wrongly. */
static void many_streams_are_open_at_a_time(void **state)
{
	enum { MANY = 600 };
	struct pair p;
	(void)state;
	pair_open(&p);
	speak_all(&p);
	for (int i = 0; i < MANY; i++)
		ask(&p, "GET", "/a", "x", "", NULL);
	speak_all(&p);
	for (int i = 0; i < MANY; i++)
		nghttp2_submit_rst_stream(p.sessions[SERVER], 0, 2 * i + 1, NGHTTP2_INTERNAL_ERROR);
	speak_all(&p);
	begin_talk(IPC_PROTO_http2);
	for (size_t i = 0; i < p.count; i++)
		move(p.turns[i].side, p.turns[i].bytes, p.turns[i].size);
	end_conversation();
	assert_int_equal(lost, 0);
	size_t calls = 0, replies = 0;
	for (const char *at = told; (at = strstr(at, " call ")); at++)
		calls++;
	for (const char *at = told; (at = strstr(at, " reply ")); at++)
		replies++;
	assert_int_equal(calls, MANY);
	assert_true(replies <= MANY && replies >= 256);
	pair_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(beginnings_of_connections_are_recognised),
		cmocka_unit_test(calls_and_replies_are_named),
		cmocka_unit_test(calls_of_grpc_are_too),
		cmocka_unit_test(behind_a_hole_trailers_are_found),
		cmocka_unit_test(replies_may_be_seen_before_their_calls),
		cmocka_unit_test(resets_end_calls),
		cmocka_unit_test(interim_replies_and_pushed_ones_are_none),
		cmocka_unit_test(a_connect_is_named_by_its_authority),
		cmocka_unit_test(large_headers_and_bodies_are_taken),
		cmocka_unit_test(after_missing_bytes_no_name_is_guessed),
		cmocka_unit_test(frames_are_found_again),
		cmocka_unit_test(many_streams_are_open_at_a_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
