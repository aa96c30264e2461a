// SPDX-License-Identifier: BSD-2-Clause
/*
 * The D-Bus recogniser and parser against what libdbus makes and takes: its bytes are told as it was asked to
 * make them, and of changed bytes what it takes is taken, what it refuses refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dbus/dbus.h>

#include "conversation.h"

#define GUID	    "0123456789abcdef0123456789abcdef"
#define LINES_THERE "\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
#define LINES_BACK  "OK " GUID "\r\nAGREE_UNIX_FD\r\n"
#define TEXT(text)  text, sizeof(text) - 1

struct blob {
	char *bytes;
	size_t size;
};

/* Makes `message` into bytes, and frees it. */
static struct blob marshal(DBusMessage *message, uint32_t serial)
{
	char *bytes;
	int size;
	dbus_message_set_serial(message, serial);
	assert_true(dbus_message_marshal(message, &bytes, &size));
	dbus_message_unref(message);
	return (struct blob){ bytes, (size_t)size };
}

static struct blob call(void)
{
	const char *text = "some text";
	DBusMessage *m = dbus_message_new_method_call("org.example.Service", "/org/example/Thing_1",
						      "org.example.Interface", "DoIt");
	assert_true(dbus_message_append_args(m, DBUS_TYPE_STRING, &text, DBUS_TYPE_INVALID));
	return marshal(m, 7);
}

#define CALL_TOLD                                                                                            \
	"bytes=150 body=14 id=7 serial=7 name=org.example.Interface.DoIt to=org.example.Service "            \
	"path=/org/example/Thing_1 interface=org.example.Interface member=DoIt signature=s"

static struct blob reply(bool failed)
{
	DBusMessage *m = dbus_message_new(failed ? DBUS_MESSAGE_TYPE_ERROR : DBUS_MESSAGE_TYPE_METHOD_RETURN);
	assert_true(dbus_message_set_reply_serial(m, 7) && dbus_message_set_sender(m, ":1.5") &&
		    dbus_message_set_destination(m, ":1.9"));
	if (failed)
		assert_true(dbus_message_set_error_name(m, "org.example.Error.No"));
	return marshal(m, 70000);
}

static struct blob signal_of(const char *sender)
{
	uint64_t numbers[1000] = { 0 }, *p = numbers;
	DBusMessage *m = dbus_message_new_signal("/", "a.b", "Changed");
	assert_true(
		dbus_message_append_args(m, DBUS_TYPE_ARRAY, DBUS_TYPE_UINT64, &p, 1000, DBUS_TYPE_INVALID) &&
		dbus_message_set_sender(m, sender));
	return marshal(m, 0xffffffff);
}

/* Appends, and frees what is appended. */
static void append(struct blob *to, struct blob more)
{
	to->bytes = realloc(to->bytes, to->size + more.size);
	memcpy(to->bytes + to->size, more.bytes, more.size);
	to->size += more.size;
	dbus_free(more.bytes);
}

static struct blob lines(const char *text, size_t size)
{
	struct blob b = { malloc(size), size };
	memcpy(b.bytes, text, size);
	return b;
}

static void expect_told(const char *text)
{
	assert_string_equal(told, text);
	assert_int_equal(lost, 0);
}

static void test_recognised(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		bool taken;
	} rows[] = {
		{ TEXT(LINES_THERE), true },
		{ TEXT("\0AUTH\r\n"), true },
		{ TEXT("\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"), true },
		{ TEXT("AUTH EXTERNAL 30\r\n"), true },
		{ TEXT("AUTH DBUS_COOKIE_SHA1 72\r\n"), true },
		{ TEXT("AUTH ANONYMOUS\r\n"), true },
		{ TEXT(LINES_BACK), true },
		{ TEXT("DATA\r\nOK " GUID "\r\n"), true },
		{ TEXT("REJECTED EXTERNAL DBUS_COOKIE_SHA1 ANONYMOUS\r\n"), true },
		{ TEXT("\0"), false },
		{ TEXT("AUTH\r\n"), false },
		{ TEXT("AUTH LOGIN\r\n"), false },
		{ TEXT("AUTH secret\r\n"), false },
		{ TEXT("DATA\r\n"), false },
		{ TEXT("OK\r\n"), false },
		{ TEXT("OK 012345\r\n"), false },
		{ TEXT("REJECTED\r\n"), false },
		{ TEXT("local l = 1 -- a text"), false },
		{ TEXT("BEGIN\r\n"), false },
		{ TEXT(""), false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (ipc_is_dbus((const uint8_t *)rows[i].text, rows[i].size, true) != rows[i].taken)
			fail_msg("%s", *rows[i].text ? rows[i].text : rows[i].text + 1);
}

/* From the middle too: the first 16 bytes do, fewer do not. */
static void test_messages_recognised(void **state)
{
	struct blob rows[] = { call(), reply(false), reply(true), signal_of(":1.1") };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const uint8_t *bytes = (const uint8_t *)rows[i].bytes;
		for (size_t size = 0; size < 64; size++)
			assert_int_equal(ipc_is_dbus(bytes, size, true), size >= 16);
		assert_int_equal(ipc_recognise(bytes, rows[i].size, true), IPC_PROTO_dbus);
		assert_int_equal(ipc_recognise(bytes, rows[i].size, false), IPC_PROTO_none);
		dbus_free(rows[i].bytes);
	}
}

static void test_random_is_not_recognised(void **state)
{
	uint8_t bytes[64];
	(void)state;
	srandom(1);
	for (int round = 0; round < 300000; round++) {
		for (size_t i = 0; i < sizeof(bytes); i += 4)
			memcpy(bytes + i, &(uint32_t){ (uint32_t)random() }, 4);
		bytes[0] = round % 2 ? 'l' : 'B';
		assert_false(ipc_is_dbus(bytes, sizeof(bytes), true));
	}
}

static void test_whole_connection(void **state)
{
	struct blob there = lines(TEXT(LINES_THERE)), back = lines(TEXT(LINES_BACK));
	(void)state;
	append(&there, call());
	append(&there, call());
	append(&back, signal_of(":1.1"));
	append(&back, reply(false));
	append(&back, reply(true));
	wherever_the_hole(IPC_PROTO_dbus, there.bytes, there.size, there.size - 150 - 14, there.size - 150);
	whatever_the_calls(IPC_PROTO_dbus, there.bytes, there.size);
	expect_told(" there=call at=45 " CALL_TOLD " \n= there=call at=195 " CALL_TOLD " \n=");
	begin_conversation(IPC_PROTO_dbus, true);
	move(BACK, back.bytes, back.size);
	expect_told(" back=signal at=52 bytes=8096 body=8008 serial=4294967295 "
		    "name=a.b.Changed from=:1.1 "
		    "path=/ interface=a.b member=Changed signature=at \n="
		    " back=reply at=8148 bytes=56 id=7 serial=70000 from=:1.5 to=:1.9 \n="
		    " back=reply at=8204 bytes=88 id=7 serial=70000 failed=org.example.Error.No from=:1.5 "
		    "to=:1.9 \n=");
	free(there.bytes);
	free(back.bytes);
}

/* Where calls of several clients come to a service their serials are the same: its replies say whose. */
static void test_numbers(void **state)
{
	uint64_t ids[3];
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		DBusMessage *m = dbus_message_new_method_call(NULL, "/", NULL, "Ask");
		if (i)
			dbus_message_set_sender(m, i == 1 ? ":1.5" : ":1.6");
		struct blob b = marshal(m, 7);
		begin_conversation(IPC_PROTO_dbus, true);
		move(THERE, b.bytes, b.size);
		assert_int_equal(sscanf(strstr(told, " id="), " id=%lu", &ids[i]), 1);
		assert_non_null(strstr(told, " name=Ask "));
		dbus_free(b.bytes);
	}
	assert_true(ids[0] == 7 && ids[1] != 7 && ids[2] != ids[1]);
	DBusMessage *m = dbus_message_new(DBUS_MESSAGE_TYPE_METHOD_RETURN);
	assert_true(dbus_message_set_reply_serial(m, 7) && dbus_message_set_destination(m, ":1.6"));
	struct blob b = marshal(m, 1);
	move(BACK, b.bytes, b.size);
	uint64_t id;
	assert_int_equal(sscanf(strstr(told, "back=reply"), "back=reply bytes=40 id=%lu", &id), 1);
	assert_true(id == ids[2]);
	dbus_free(b.bytes);
}

static void test_one_way(void **state)
{
	DBusMessage *m = dbus_message_new_method_call(NULL, "/", "a.b", "Tell");
	(void)state;
	dbus_message_set_no_reply(m, TRUE);
	struct blob b = marshal(m, 1);
	begin_conversation(IPC_PROTO_dbus, true);
	move(THERE, b.bytes, b.size);
	expect_told(
		" there=oneway bytes=64 id=1 serial=1 name=a.b.Tell path=/ interface=a.b member=Tell \n=");
	dbus_free(b.bytes);
}

/* Which descriptors go with it stands in its head; libdbus writes UNIX_FDS only where it has some. */
static void test_descriptors(void **state)
{
	DBusMessage *m = dbus_message_new_method_call(NULL, "/", NULL, "Take");
	int fd = 0;
	(void)state;
	assert_true(dbus_message_append_args(m, DBUS_TYPE_UNIX_FD, &fd, DBUS_TYPE_UNIX_FD, &fd,
					     DBUS_TYPE_INVALID));
	struct blob b = marshal(m, 1);
	begin_conversation(IPC_PROTO_dbus, true);
	move(THERE, b.bytes, b.size);
	assert_non_null(strstr(told, " signature=hh fds=2 "));
	dbus_free(b.bytes);
}

/* A body that is larger than any window, seen in part only: the next message is found behind it. */
static void test_large_body(void **state)
{
	size_t size = 3 << 20;
	uint8_t *numbers = calloc(1, size);
	DBusMessage *m = dbus_message_new_signal("/", "a.b", "Large");
	(void)state;
	assert_true(dbus_message_append_args(m, DBUS_TYPE_ARRAY, DBUS_TYPE_BYTE, &numbers, (int)size,
					     DBUS_TYPE_INVALID));
	struct blob b = marshal(m, 1), next = call();
	char expected[64];
	begin_conversation(IPC_PROTO_dbus, true);
	move_part(THERE, b.bytes, b.size - 1000, 4096);
	move_part(THERE, b.bytes + b.size - 1000, 1000, 0);
	move(THERE, next.bytes, next.size);
	snprintf(expected, sizeof(expected), " there=call at=%zu bytes=150 body=14 id=7", b.size);
	assert_non_null(strstr(told, expected));
	assert_int_equal(lost, 0);
	free(numbers);
	dbus_free(b.bytes);
	dbus_free(next.bytes);
}

/* Bytes of its own that libdbus does not make. order: 'l' or 'B'. */
static struct blob put(struct blob to, char order, uint32_t value)
{
	uint8_t bytes[4];
	for (int i = 0; i < 4; i++)
		bytes[order == 'B' ? 3 - i : i] = (uint8_t)(value >> 8 * i);
	append(&to, lines((const char *)bytes, 4));
	return to;
}

static struct blob pad(struct blob to)
{
	append(&to, lines("\0\0\0\0\0\0\0", -to.size & 7));
	return to;
}

static struct blob field(struct blob to, char order, char code, char type, const char *text)
{
	char head[4] = { code, 1, type, 0 };
	to = pad(to);
	append(&to, lines(head, 4));
	to = put(to, order, (uint32_t)strlen(text));
	append(&to, lines(text, strlen(text) + 1));
	return to;
}

/* A call of /p a.b.M with a body of a u, and `more` (`size` bytes) as its first header fields. */
static struct blob by_hand(char order, const char *more, size_t size)
{
	char begin[4] = { order, 1, 0, 1 };
	struct blob b = put(put(put(lines(begin, 4), order, 4), order, 9), order, 0);
	append(&b, lines(more, size));
	b = field(b, order, 1, 'o', "/p");
	b = field(b, order, 2, 's', "a.b");
	b = field(b, order, 3, 's', "M");
	b = pad(b);
	append(&b, lines("\10\1g\0\1u\0", 7));
	struct blob length = put((struct blob){ 0 }, order, (uint32_t)b.size - 16);
	memcpy(b.bytes + 12, length.bytes, 4);
	free(length.bytes);
	return put(pad(b), order, 3);
}

static bool libdbus_takes(struct blob b)
{
	DBusError error = DBUS_ERROR_INIT;
	DBusMessage *m = dbus_message_demarshal(b.bytes, (int)b.size, &error);
	dbus_error_free(&error);
	if (m)
		dbus_message_unref(m);
	return m;
}

static void test_both_orders(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct blob b = by_hand("lB"[i], "", 0);
		assert_true(libdbus_takes(b));
		assert_true(ipc_is_dbus((const uint8_t *)b.bytes, b.size, true));
		whatever_the_calls(IPC_PROTO_dbus, b.bytes, b.size);
		expect_told(" there=call bytes=76 body=4 id=9 serial=9 name=a.b.M path=/p interface=a.b "
			    "member=M signature=u \n=");
		free(b.bytes);
	}
}

/* Header fields of codes that do not exist yet are passed over, whatever is in them. */
static void test_unknown_fields(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} rows[] = {
		{ TEXT("\xc8\1y\0\5\0\0\0") },
		{ TEXT("\xc8\1s\0\2\0\0\0hi\0\0\0\0\0\0") },
		{ TEXT("\xc8\1v\0\1u\0\0\7\0\0\0\0\0\0\0") },
		{ TEXT("\xc8\2at\0\0\0\0\10\0\0\0\0\0\0\0\1\2\3\4\5\6\7\10") },
		{ TEXT("\xc8\10(y(qg)x)\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\2ai\0\0\0\1\2\3\4\5\6\7\10") },
		{ TEXT("\xc8\5a{sv}\0\0\0\0\0\0\0\0\0") },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct blob b = by_hand('l', rows[i].bytes, rows[i].size);
		assert_true(libdbus_takes(b));
		whatever_the_calls(IPC_PROTO_dbus, b.bytes, b.size);
		assert_non_null(strstr(told, " name=a.b.M "));
		free(b.bytes);
	}
}

/* Each byte of a head changed into each other one. Of the signature's text a body decides, which the parser
 * does not read: at `signature`. */
static void compare_changed(struct blob b, size_t head, size_t signature)
{
	for (size_t i = 0; i < head; i++)
		for (unsigned int x = 1; i != signature && x < 256; x++) {
			b.bytes[i] ^= (char)x;
			begin_conversation(IPC_PROTO_dbus, true);
			ways[THERE].side.middle = x & 1;
			move(THERE, b.bytes, b.size);
			bool known = (uint8_t)b.bytes[1] <= DBUS_MESSAGE_TYPE_SIGNAL;
			bool here = told_size && !ways[THERE].side.middle && ways[THERE].at == b.size;
			/* 10: of a field that libdbus knows, the specification does not. */
			if (b.bytes[i] != 10 && here != (known && libdbus_takes(b)))
				fail_msg("byte %zu, changed into %02x: %s", i, b.bytes[i] & 0xff, told);
			b.bytes[i] ^= (char)x;
		}
}

static void test_corrupt(void **state)
{
	struct blob rows[] = { by_hand('l', "", 0), by_hand('B', "", 0), reply(true), reply(false) };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		compare_changed(rows[i], i < 2 ? rows[i].size - 4 : rows[i].size,
				i < 2 ? rows[i].size - 7 : 0);
		free(rows[i].bytes);
	}
}

/* What is no message is counted once, and the next call that begins with one is understood. */
static void test_found_again(void **state)
{
	struct blob b = call(), second = call();
	(void)state;
	append(&b, lines(TEXT("what is this?")));
	begin_conversation(IPC_PROTO_dbus, true);
	move(THERE, b.bytes, b.size);
	assert_int_equal(lost, 1);
	move(THERE, second.bytes + 3, second.size - 3);
	move(THERE, second.bytes, 16);
	move(THERE, second.bytes + 16, second.size - 16);
	assert_string_equal(told, " there=call " CALL_TOLD " \n= there=call at=310 " CALL_TOLD " \n=");
	assert_int_equal(lost, 1);
	free(b.bytes);
	dbus_free(second.bytes);
}

/* Lines that no D-Bus has, or not there. */
static void test_bad_lines(void **state)
{
	static const char *const rows[] = { "HELLO\r\n",	 "AUTH\n", "AUTH \1\r\n", "AUTHOR\r\n",
					    "BEGIN\r\nAUTH\r\n", "DATA\rx" };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		begin_conversation(IPC_PROTO_dbus, true);
		move(THERE, rows[i], strlen(rows[i]));
		assert_int_equal(lost, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recognised),
		cmocka_unit_test(test_messages_recognised),
		cmocka_unit_test(test_random_is_not_recognised),
		cmocka_unit_test(test_whole_connection),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_large_body),
		cmocka_unit_test(test_both_orders),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test(test_corrupt),
		cmocka_unit_test(test_found_again),
		cmocka_unit_test(test_bad_lines),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	end_conversation();
	dbus_shutdown();
	return failed;
}
