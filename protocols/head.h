/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What parsers share: messages taken one after another, and heads of lines "Name: value" up to an empty line
 * (RFC 9112 section 5; language servers use the same).
 */
#ifndef IPC_PROTOCOL_HEAD_H
#define IPC_PROTOCOL_HEAD_H

#include "protocol.h"

enum {
	/* Of a message no more is waited for where its inside is looked at, but for what cannot be known
	 * without its end. */
	PROTO_LOOK = 4096,
};
/* Of what is passed over at once; as good as all that is still to come. */
#define PROTO_LENGTH_MAX ((uint64_t)1 << 47)

/* Takes one message, or part of one, from the beginning of `bytes`, which are at `offset` in the window: how
 * many bytes, PROTO_MORE or PROTO_BAD, as protocol.h's parse. */
typedef int64_t proto_step(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset);

/* As protocol.h's parse: steps until the window is used up. */
int64_t proto_steps(struct proto_side *side, const uint8_t *bytes, size_t size, proto_step *step);

struct head_field {
	struct proto_text name,
		value; /* without the blanks around them; a folded value has its line ends in it */
};

/* How many bytes the first line takes, its end (LF, or CR LF) included, and the line without it; 0: it does
 * not end here. */
size_t head_line(const uint8_t *bytes, size_t size, struct proto_text *line);

/* How many bytes the head takes, its empty line included; 0: it does not end here. */
size_t head_length(const uint8_t *bytes, size_t size);

/* The next field of the head that *rest, moved on, begins with; false: there is none. Lines that are no field
 * are passed over. */
bool head_next(struct proto_text *rest, struct head_field *field);

/* Whether `text` is, or begins with, `wanted` (in lower case), whatever its case. */
bool text_is(struct proto_text text, const char *wanted);
bool text_starts(struct proto_text text, const char *wanted);

/* A number in decimal digits alone, at most PROTO_LENGTH_MAX, or false. */
bool text_number(struct proto_text text, uint64_t *number);

/* The part in front of the first of the characters `ends`, or all of it. */
struct proto_text text_until(struct proto_text text, const char *ends);

/* Reads a header `traceparent` (www.w3.org/TR/trace-context, 3.2) into the note; nothing where it is none. */
void text_traceparent(struct proto_text text, struct proto_note *note);

#endif
