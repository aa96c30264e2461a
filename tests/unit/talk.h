/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A conversation given to a parser as the collector does it, and its notes as text, a line for each:
 *
 *     0 40+100 call 7 GET /x          side 0: bytes 40 to 140 of it, numbered 7
 *
 * Of a side, what the parser has not taken is kept and given again with more behind it; each time in memory
 * of just that size, so that reading behind it is found by the sanitizer.
 */
#ifndef IPC_TEST_TALK_H
#define IPC_TEST_TALK_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"

struct end {
	struct proto_side side;
	uint8_t pending[PROTO_WINDOW];
	size_t size;
	uint64_t skip, place; /* bytes still to be passed over; of the first pending one, in the side */
};

struct conversation {
	const struct protocol *protocol;
	struct proto_conversation both;
	struct end ends[2];
	unsigned int bad;
	char notes[1 << 16];
	size_t length;
};

/* What one side sends. */
struct turn {
	int side;
	const void *bytes;
	size_t size;
};
#define TURN(side, text)                                                                                     \
	{                                                                                                    \
		side, text, sizeof(text) - 1                                                                 \
	}

static void say(struct conversation *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct conversation *c, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	int n = vsnprintf(c->notes + c->length, sizeof(c->notes) - c->length, format, list);
	va_end(list);
	c->length += (size_t)n < sizeof(c->notes) - c->length ? (size_t)n : 0;
}

static void say_text(struct conversation *c, const char *before, struct proto_text text)
{
	if (text.at)
		say(c, "%s%.*s", before, (int)text.size, text.at);
}

static void say_trace(struct conversation *c, const struct proto_note *note)
{
	say(c, " traced ");
	for (size_t i = 0; i < sizeof(note->trace_id); i++)
		say(c, "%02x", note->trace_id[i]);
	say(c, "-");
	for (size_t i = 0; i < sizeof(note->parent_id); i++)
		say(c, "%02x", note->parent_id[i]);
}

static void on_note(struct proto_side *side, const struct proto_note *note)
{
	static const char *const kinds[] = { "call", "reply", "oneway", "signal" };
	struct conversation *c = side->context;
	struct end *end = (struct end *)side;
	if (note->kind >= PROTO_KINDS || note->offset > PROTO_WINDOW)
		abort();
	say(c, "%d %" PRIu64 "+%" PRIu64 "/%" PRIu64 " %s", (int)(end - c->ends), end->place + note->offset,
	    note->bytes, note->body, kinds[note->kind]);
	if (note->numbered)
		say(c, " #%" PRIu64, note->id);
	say_text(c, " ", note->name);
	say_text(c, " =", note->status);
	say_text(c, " at ", note->path);
	say_text(c, " by ", note->interface);
	if (note->failed)
		say(c, " failed");
	if (note->traced)
		say_trace(c, note);
	say(c, "\n");
}

static void talk_begin(struct conversation *c, const struct protocol *protocol, enum ipc_protocol number)
{
	c->protocol = protocol;
	c->both = (struct proto_conversation){ .protocol = number, .stream = true };
	c->bad = 0;
	c->length = 0;
	c->notes[0] = 0;
	for (int i = 0; i < 2; i++) {
		struct end *end = &c->ends[i];
		end->size = 0;
		end->skip = end->place = 0;
		end->side = (struct proto_side){
			.conversation = &c->both, .other = &c->ends[!i].side, .noted = on_note, .context = c
		};
	}
}

static void talk_end(struct conversation *c)
{
	if (c->protocol->close)
		c->protocol->close(&c->both);
}

/* Bytes of a side that nobody saw. */
static void talk_gap(struct conversation *c, int side, size_t size)
{
	struct end *end = &c->ends[side];
	uint64_t skipped = end->skip < size ? end->skip : size;
	end->skip -= skipped;
	if (skipped < size) {
		end->side.middle = true;
		end->place += end->size;
		end->size = 0;
	}
	end->place += size;
}

static int64_t parse_pending(struct conversation *c, struct end *end)
{
	uint8_t *copy = malloc(end->size);
	memcpy(copy, end->pending, end->size);
	int64_t n = c->protocol->parse(&end->side, copy, end->size);
	free(copy);
	end->side.begun = true;
	return n;
}

static void talk_bad(struct conversation *c, struct end *end)
{
	c->bad++;
	end->side.middle = true;
	end->place += end->size;
	end->size = 0;
}

/* Gives what is pending, until more is needed. */
static void talk_take(struct conversation *c, struct end *end)
{
	while (end->size) {
		int64_t n = parse_pending(c, end);
		if (n == PROTO_BAD || (!n && end->size == PROTO_WINDOW))
			talk_bad(c, end);
		if (n <= 0)
			return;
		uint64_t taken = (uint64_t)n < end->size ? (uint64_t)n : end->size;
		end->skip = (uint64_t)n - taken;
		end->place += (uint64_t)n - end->skip;
		end->size -= taken;
		memmove(end->pending, end->pending + taken, end->size);
	}
}

static void talk(struct conversation *c, int side, const void *bytes, size_t size)
{
	struct end *end = &c->ends[side];
	const uint8_t *at = bytes;
	while (size) {
		uint64_t skipped = end->skip < size ? end->skip : size;
		end->skip -= skipped, end->place += skipped, at += skipped, size -= skipped;
		size_t room = PROTO_WINDOW - end->size, part = size < room ? size : room;
		memcpy(end->pending + end->size, at, part);
		end->size += part, at += part, size -= part;
		talk_take(c, end);
	}
}

#endif
