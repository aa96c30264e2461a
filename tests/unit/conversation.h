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
static unsigned int lost; /* places */

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

/* One call moved `size` bytes, of which the first `seen` are known: a copy of just these. */
static void move_part(int way, const void *bytes, size_t size, size_t seen)
{
	uint8_t *exact = malloc(seen ? seen : 1);
	memcpy(exact, bytes, seen);
	lost += window_feed(&ways[way], size, exact, seen);
	free(exact);
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

#endif
