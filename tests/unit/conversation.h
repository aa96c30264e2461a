/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A conversation as the collector gives it to a parser (collector/window.h), and what the parser told of it:
 * one line of text per message. Include cmocka.h before.
 */
#ifndef CONVERSATION_H
#define CONVERSATION_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window.h"

enum { THERE, BACK };

static struct proto_conversation conversation;
static struct window ways[2];
static char told[1 << 16];
static size_t told_size;
static unsigned int lost; /* places, and messages that were known to be there */

static void tell_text(const char *what, struct proto_text text)
{
	if (text.at)
		told_size += (size_t)snprintf(told + told_size, sizeof(told) - told_size, " %s=%.*s", what,
					      (int)text.size, text.at);
	assert_true(told_size < sizeof(told));
}

static void tell_number(const char *what, uint64_t number)
{
	char text[24];
	if (number)
		tell_text(what, (struct proto_text){ text, (size_t)snprintf(text, sizeof(text), "%llu",
									    (unsigned long long)number) });
}

static void note_down(struct proto_side *side, const struct proto_note *note)
{
	static const char *const kinds[] = { "call", "reply", "oneway", "signal" };
	const struct window *w = (const struct window *)side;
	tell_text(w == &ways[BACK] ? "back" : "there",
		  (struct proto_text){ kinds[note->kind], strlen(kinds[note->kind]) });
	tell_number("at", w->at + note->offset);
	tell_number("bytes", note->bytes);
	tell_number("body", note->body);
	tell_number("id", note->numbered ? note->id : 0);
	tell_number("serial", note->serial);
	tell_text("name", note->name);
	tell_text(note->failed ? "failed" : "status", note->status);
	tell_text("from", note->sender);
	tell_text("to", note->destination);
	tell_text("path", note->path);
	tell_text("interface", note->interface);
	tell_text("member", note->member);
	tell_text("signature", note->signature);
	tell_number("fds", note->fds);
	tell_number("doubtful", note->doubtful);
	tell_text("\n", (struct proto_text){ "", 0 });
}

static void begin_conversation(enum ipc_protocol protocol, bool stream)
{
	conversation = (struct proto_conversation){ .protocol = protocol, .stream = stream };
	for (int i = 0; i < 2; i++) {
		free(ways[i].kept);
		ways[i] = (struct window){
			.side = { .conversation = &conversation, .other = &ways[!i].side, .noted = note_down }
		};
	}
	told_size = lost = 0;
	*told = 0;
}

/* Frees all; what was told stays. */
static void end_conversation(void)
{
	if (protocols[conversation.protocol] && protocols[conversation.protocol]->close)
		protocols[conversation.protocol]->close(&conversation);
	window_lose(&ways[THERE]);
	window_lose(&ways[BACK]);
}

/* One call moved `size` bytes, of which the first `head` and the last `tail` are known: a copy of just these.
 */
static void move_ends(int way, const void *bytes, size_t size, size_t head, size_t tail)
{
	uint8_t *exact = malloc(head + tail ? head + tail : 1);
	memcpy(exact, bytes, head);
	memcpy(exact + head, (const char *)bytes + size - tail, tail);
	lost += window_feed(&ways[way], size, exact, head + tail, tail);
	lost += ways[way].side.unknown;
	ways[way].side.unknown = 0;
	free(exact);
}

static void move_part(int way, const void *bytes, size_t size, size_t seen)
{
	move_ends(way, bytes, size, seen, 0);
}

static void move(int way, const void *bytes, size_t size)
{
	move_part(way, bytes, size, size);
}

/* The same is told wherever these bytes are cut in two, and byte by byte; from the middle too, if `middle`.
 */
static inline void whatever_the_calls(enum ipc_protocol protocol, const void *bytes, size_t size)
{
	static char whole[sizeof(told)];
	begin_conversation(protocol, true);
	move(THERE, bytes, size);
	memcpy(whole, told, sizeof(whole));
	for (size_t cut = 1; cut < size; cut++) {
		begin_conversation(protocol, true);
		move(THERE, bytes, cut);
		move(THERE, (const char *)bytes + cut, size - cut);
		assert_string_equal(told, whole);
		assert_int_equal(lost, 0);
	}
	begin_conversation(protocol, true);
	for (size_t i = 0; i < size; i++)
		move(THERE, (const char *)bytes + i, 1);
	assert_string_equal(told, whole);
}

static inline void assert_some_of(const char *whole)
{
	static char line[sizeof(told)];
	for (const char *at = told, *end; (end = strchr(at, '\n')); at = end + 1) {
		snprintf(line, sizeof(line), "%.*s", (int)(end - at + 1), at);
		if (!strstr(whole, line))
			fail_msg("%s is none of\n%s", line, whole);
	}
}

/* One call, with a hole anywhere: nothing is told that all of it would not have told, and nothing is missing
 * if no place is lost; as none is where the hole is in the body, which is from `body` to `end`. */
static inline void wherever_the_hole(enum ipc_protocol protocol, const void *bytes, size_t size, size_t body,
				     size_t end)
{
	static char whole[sizeof(told)];
	begin_conversation(protocol, true);
	move(THERE, bytes, size);
	end_conversation();
	assert_int_equal(lost, 0);
	memcpy(whole, told, sizeof(whole));
	for (size_t head = 0; head < size; head++) {
		for (size_t tail = 0; head + tail < size; tail++) {
			begin_conversation(protocol, true);
			move_ends(THERE, bytes, size, head, tail);
			end_conversation();
			assert_false(lost && head >= body && size - tail <= end);
			if (lost)
				assert_some_of(whole);
			else
				assert_string_equal(told, whole);
		}
	}
}

#endif
