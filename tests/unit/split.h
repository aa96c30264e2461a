/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A conversation must give the same notes however its bytes are divided, and crash nothing whatever they are.
 * Its notes are told shortly:
 *
 *     0 40+100/20 call #7 GET /x          there: bytes 40 to 140, of them a body of 20; numbered 7
 *
 * Include cmocka.h before.
 */
#ifndef IPC_TEST_SPLIT_H
#define IPC_TEST_SPLIT_H

#include <inttypes.h>
#include <stdarg.h>

#include "conversation.h"

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

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	told_size += (size_t)vsnprintf(told + told_size, sizeof(told) - told_size, format, list);
	va_end(list);
	assert_true(told_size < sizeof(told));
}

static void say_text(const char *before, struct proto_text text)
{
	if (text.at)
		say("%s%.*s", before, (int)text.size, text.at);
}

static void say_bytes(const char *before, const uint8_t *bytes, size_t size)
{
	say("%s", before);
	for (size_t i = 0; i < size; i++)
		say("%02x", bytes[i]);
}

static void say_note(struct proto_side *side, const struct proto_note *note)
{
	static const char *const kinds[] = { "call", "reply", "oneway", "signal" };
	const struct window *w = (const struct window *)side;
	say("%d %" PRIu64 "+%" PRIu64 "/%" PRIu64 " %s", (int)(w - ways), w->at + note->offset, note->bytes,
	    note->body, kinds[note->kind]);
	if (note->numbered)
		say(" #%" PRIu64, note->id);
	say_text(" ", note->name);
	say_text(" =", note->status);
	say_text(" at ", note->path);
	say_text(" by ", note->interface);
	if (note->failed)
		say(" failed");
	if (note->traced) {
		say_bytes(" traced ", note->trace_id, sizeof(note->trace_id));
		say_bytes("-", note->parent_id, sizeof(note->parent_id));
	}
	say("\n");
}

static void begin_talk(enum ipc_protocol protocol)
{
	begin_conversation(protocol, true);
	ways[THERE].side.noted = ways[BACK].side.noted = say_note;
}

/* Bytes that nobody sees. */
static inline void move_unseen(int way, size_t size)
{
	move_part(way, "", size, 0);
}

/* Where a turn is divided, and which byte is another: SIZE_MAX: none is. */
struct changes {
	size_t turn, split, wrong;
	uint8_t value;
	bool single; /* byte by byte */
};
static const struct changes unchanged = { .turn = SIZE_MAX, .split = SIZE_MAX, .wrong = SIZE_MAX };

static void move_turn(const struct turn *turn, const struct changes *changes, bool here)
{
	uint8_t *bytes = malloc(turn->size);
	memcpy(bytes, turn->bytes, turn->size);
	if (here && changes->wrong < turn->size)
		bytes[changes->wrong] = changes->value;
	size_t split = here && changes->split < turn->size ? changes->split : turn->size;
	for (size_t i = 0; changes->single && i < turn->size; i++)
		move(turn->side, bytes + i, 1);
	if (!changes->single)
		move(turn->side, bytes, split);
	if (!changes->single && split < turn->size)
		move(turn->side, bytes + split, turn->size - split);
	free(bytes);
}

/* The notes are in `told` then. */
static void move_turns(enum ipc_protocol protocol, const struct turn *turns, size_t count,
		       const struct changes *changes)
{
	begin_talk(protocol);
	for (size_t i = 0; i < count; i++)
		move_turn(&turns[i], changes, i == changes->turn);
	end_conversation();
}

static void assert_divided(enum ipc_protocol protocol, const struct turn *turns, size_t count,
			   const char *notes)
{
	struct changes changes = unchanged;
	for (changes.turn = 0; changes.turn < count; changes.turn++) {
		for (changes.split = 1; changes.split < turns[changes.turn].size; changes.split++) {
			move_turns(protocol, turns, count, &changes);
			assert_string_equal(told, notes);
		}
	}
	changes = unchanged;
	changes.single = true;
	move_turns(protocol, turns, count, &changes);
	assert_string_equal(told, notes);
}

/* Each byte once another; the sanitizer looks on. */
static void survive(enum ipc_protocol protocol, const struct turn *turns, size_t count)
{
	static const uint8_t values[] = { 0x00, 0xff, '\n', ' ', '"' };
	struct changes changes = unchanged;
	for (changes.turn = 0; changes.turn < count; changes.turn++) {
		for (changes.wrong = 0; changes.wrong < turns[changes.turn].size; changes.wrong++) {
			for (size_t v = 0; v < sizeof(values); v++) {
				changes.value = values[v];
				move_turns(protocol, turns, count, &changes);
			}
		}
	}
}

#define ASSERT_NOTES(protocol, turns, expected)                                                              \
	do {                                                                                                 \
		size_t count_ = sizeof(turns) / sizeof(*(turns));                                            \
		move_turns(protocol, turns, count_, &unchanged);                                             \
		assert_string_equal(told, expected);                                                         \
		assert_int_equal(lost, 0);                                                                   \
		assert_divided(protocol, turns, count_, expected);                                           \
		survive(protocol, turns, count_);                                                            \
	} while (0)

#endif
