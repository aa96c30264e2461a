/* SPDX-License-Identifier: BSD-2-Clause */
/* A conversation must give the same notes however its bytes are divided, and crash nothing whatever they are.
 */
#ifndef IPC_TEST_SPLIT_H
#define IPC_TEST_SPLIT_H

#include "talk.h"

/* Where a turn is divided, and which byte is another: SIZE_MAX: none is. */
struct changes {
	size_t turn, split, wrong;
	uint8_t value;
	bool single; /* byte by byte */
};

static void talk_turn(struct conversation *c, const struct turn *turn, const struct changes *changes,
		      bool here)
{
	uint8_t *bytes = malloc(turn->size);
	memcpy(bytes, turn->bytes, turn->size);
	if (here && changes->wrong < turn->size)
		bytes[changes->wrong] = changes->value;
	size_t split = here && changes->split < turn->size ? changes->split : turn->size;
	for (size_t i = 0; changes->single && i < turn->size; i++)
		talk(c, turn->side, bytes + i, 1);
	if (!changes->single) {
		talk(c, turn->side, bytes, split);
		talk(c, turn->side, bytes + split, turn->size - split);
	}
	free(bytes);
}

static struct conversation *talk_all(const struct protocol *protocol, const struct turn *turns, size_t count,
				     const struct changes *changes)
{
	static struct conversation c;
	talk_begin(&c, protocol, IPC_PROTO_none);
	for (size_t i = 0; i < count; i++)
		talk_turn(&c, &turns[i], changes, i == changes->turn);
	talk_end(&c);
	return &c;
}

static const struct changes unchanged = { .turn = SIZE_MAX, .split = SIZE_MAX, .wrong = SIZE_MAX };

static void assert_divided(const struct protocol *protocol, const struct turn *turns, size_t count,
			   const char *notes)
{
	struct changes changes = unchanged;
	for (changes.turn = 0; changes.turn < count; changes.turn++) {
		for (changes.split = 1; changes.split < turns[changes.turn].size; changes.split++)
			assert_string_equal(talk_all(protocol, turns, count, &changes)->notes, notes);
	}
	changes = unchanged;
	changes.single = true;
	assert_string_equal(talk_all(protocol, turns, count, &changes)->notes, notes);
}

/* Each byte once another; the sanitizer looks on. */
static void survive(const struct protocol *protocol, const struct turn *turns, size_t count)
{
	static const uint8_t values[] = { 0x00, 0xff, '\n', ' ', '"' };
	struct changes changes = unchanged;
	for (changes.turn = 0; changes.turn < count; changes.turn++) {
		for (changes.wrong = 0; changes.wrong < turns[changes.turn].size; changes.wrong++) {
			for (size_t v = 0; v < sizeof(values); v++) {
				changes.value = values[v];
				talk_all(protocol, turns, count, &changes);
			}
		}
	}
}

static void assert_notes(const struct protocol *protocol, const struct turn *turns, size_t count,
			 const char *notes)
{
	struct conversation *c = talk_all(protocol, turns, count, &unchanged);
	assert_string_equal(c->notes, notes);
	assert_int_equal(c->bad, 0);
	assert_divided(protocol, turns, count, notes);
	survive(protocol, turns, count);
}
#define ASSERT_NOTES(protocol, turns, notes)                                                                 \
	assert_notes(protocol, turns, sizeof(turns) / sizeof(*(turns)), notes)

#endif
