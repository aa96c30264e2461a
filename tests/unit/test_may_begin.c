// SPDX-License-Identifier: BSD-2-Clause
/* What is recognised as a protocol passes the look at its first bytes: messages, and what is like them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "may_begin.h"
#include "recognise.h"

enum { ROUNDS = 200000, ROOM = 64 };

struct sample {
	const char *bytes;
	size_t size;
};
#define SAMPLE(text)                                                                                         \
	{                                                                                                    \
		text, sizeof(text) - 1                                                                       \
	}

static const struct sample samples[] = {
	SAMPLE("\0AUTH EXTERNAL 30\r\n"),
	SAMPLE("AUTH EXTERNAL 30\r\n"),
	SAMPLE("OK 0123456789abcdef0123456789abcdef\r\n"),
	SAMPLE("REJECTED EXTERNAL\r\n"),
	SAMPLE("DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n"),
	SAMPLE("l\1\0\1\4\0\0\0\1\0\0\0\10\0\0\0\1\1o\0\1\0\0\0"),
	SAMPLE("B\2\1\1\0\0\0\0\0\0\0\1\0\0\0\10\5\1u\0\0\0\0\1"),
	SAMPLE("GET / HTTP/1.1\r\n\r\n"),
	SAMPLE("HTTP/1.1 200 OK\r\n\r\n"),
	SAMPLE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
	SAMPLE("\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64"),
	SAMPLE("{\"jsonrpc\": \"2.0\", \"method\": \"m\"}\n"),
	SAMPLE(" [{\"jsonrpc\": \"2.0\", \"method\": \"m\"}]"),
	SAMPLE("Content-Length: 20\r\n\r\n"),
	SAMPLE("content-type: a\r\n\r\n{\"jsonrpc\":\"2.0\"}"),
	SAMPLE("\1\2\3\4\0\0\0\0\0\0\0\2\0\1\x86\xa0\0\0\0\2\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
	SAMPLE("\x80\0\0\x28\1\2\3\4\0\0\0\0\0\0\0\2\0\1\x86\xa0\0\0\0\2\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	       "\0\0"),
	SAMPLE("\x80\0\0\x18\1\2\3\4\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
	SAMPLE("\x80\0\0\x14\1\2\3\4\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1"),
};

/* Whether it is recognised; then it passes. */
static bool passes(const uint8_t *bytes, size_t size, bool stream)
{
	uint8_t head[16] = {};

	if (ipc_recognise(bytes, size, stream) == IPC_PROTO_none)
		return false;
	memcpy(head, bytes, size < sizeof(head) ? size : sizeof(head));
	if (!ipc_may_begin(head))
		fail_msg("\"%.*s\" (%02x %02x %02x %02x ...) is refused", (int)size, (const char *)bytes,
			 bytes[0], bytes[1], bytes[2], bytes[3]);
	return true;
}

static void test_samples(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const uint8_t *bytes = (const uint8_t *)samples[i].bytes;
		if (!passes(bytes, samples[i].size, true) && !passes(bytes, samples[i].size, false))
			fail_msg("sample %zu is of no protocol", i);
	}
}

/* A few bytes changed, mostly to what the heads of messages are made of. */
static void test_changed(void **state)
{
	static const uint8_t likely[] = { 0, 1, 2, 3, 4, 5, ' ', '\r', '\n', '\t', '{', '[', 'A', 'c', 0x80 };
	unsigned int recognised = 0;

	(void)state;
	srandom(1);
	for (int i = 0; i < ROUNDS; i++) {
		const struct sample *s = &samples[random() % (sizeof(samples) / sizeof(samples[0]))];
		uint8_t bytes[ROOM];
		memcpy(bytes, s->bytes, s->size);
		for (long n = random() % 4; n >= 0; n--)
			bytes[random() % 16] = random() % 4 ? likely[random() % sizeof(likely)] : random();
		recognised += passes(bytes, random() % 8 ? s->size : random() % s->size, random() % 4);
	}
	assert_true(recognised > ROUNDS / 100);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_changed),
	};
	return cmocka_run_group_tests_name("may_begin", tests, NULL, NULL);
}
