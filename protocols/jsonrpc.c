// SPDX-License-Identifier: BSD-2-Clause
/*
 * JSON-RPC 2.0 on a stream: objects, or batches of them in arrays, one after another with blanks between (as
 * a rule each on a line), or each behind a head with its Content-Length (as language servers do). Which of
 * the two is seen anew with each message. Over HTTP: http.c.
 *
 * Of a message at most PROTO_LOOK bytes are looked at. A longer call whose "id" comes later is noted as one
 * without a reply: so it is never joined with a wrong one. Of a longer batch those behind are not noted.
 */
#include <string.h>

#include "head.h"
#include "json.h"
#include "recognise/text.h"

/* Of a side. */
struct place {
	struct json_place inside; /* of a message without a head that is passed over */
};
_Static_assert(sizeof(struct place) <= PROTO_STATE, "");

/* FNV-1a: of what is no number. */
static uint64_t hash(struct proto_text text)
{
	uint64_t h = 0xcbf29ce484222325;
	for (size_t i = 0; i < text.size; i++)
		h = (h ^ (uint8_t)text.at[i]) * 0x100000001b3;
	return h;
}

static uint64_t id_of(struct proto_text id)
{
	uint64_t number;
	return text_number(id, &number) ? number : hash(id);
}

/* Notes one object, `size` bytes of which are there; bytes and offset as in the note. */
static bool note_object(struct proto_side *side, const uint8_t *object, size_t size, struct proto_note note)
{
	struct json_rpc rpc;
	char name[PROTO_TEXT_MAX];
	if (!json_rpc_read(&rpc, object, size))
		return false;
	if (!rpc.calls && !rpc.answers && !rpc.id.size)
		return true; /* none of ours */
	note.numbered = rpc.id.size;
	note.id = note.numbered ? id_of(rpc.id) : 0;
	note.kind = !rpc.calls ? PROTO_REPLY : note.numbered ? PROTO_CALL : PROTO_ONEWAY;
	if (rpc.calls)
		note.name = json_text(rpc.method, name);
	note.failed = rpc.failed;
	note.status = rpc.code;
	side->noted(side, &note);
	return true;
}

/* Notes each object of an array as a message of its own. */
static bool note_batch(struct proto_side *side, const uint8_t *array, size_t size, size_t offset)
{
	struct json_walk walk;
	struct proto_text key, value;
	enum json_found found;
	json_walk(&walk, array, size);
	while ((found = json_next(&walk, &key, &value)) == JSON_FOUND) {
		const uint8_t *object = (const uint8_t *)value.at;
		struct proto_note note = { .offset = offset + (size_t)(object - array),
					   .bytes = value.size,
					   .body = value.size };
		if (!note_object(side, object, value.size, note))
			return false;
	}
	return found != JSON_BAD;
}

/* A message without a head. */
static int64_t take_bare(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset)
{
	struct place *place = (struct place *)side->state;
	struct json_place inside = { 0 };
	size_t length = json_skip(&inside, bytes, size < PROTO_LOOK ? size : PROTO_LOOK);
	if (inside.depth && size < PROTO_LOOK)
		return PROTO_MORE;
	uint64_t known = inside.depth ? 0 : length;
	struct proto_note note = { .offset = offset, .bytes = known, .body = known };
	bool good = *bytes == '[' ? note_batch(side, bytes, length, offset)
				  : note_object(side, bytes, length, note);
	if (!good)
		return PROTO_BAD;
	place->inside = inside;
	return (int64_t)length;
}

/* Whether it begins like a head of ours, as far as it is there. */
static bool may_be_head(const uint8_t *bytes, size_t size)
{
	static const char wanted[] = "content-";
	size_t known = size < sizeof(wanted) - 1 ? size : sizeof(wanted) - 1;
	char begin[sizeof(wanted)] = { 0 };
	memcpy(begin, wanted, known);
	return size < PROTO_LOOK && text_begins(bytes, size, begin);
}

static bool content_length(const uint8_t *bytes, size_t size, uint64_t *length)
{
	struct proto_text rest = { (const char *)bytes, size };
	struct head_field field;
	while (head_next(&rest, &field)) {
		if (text_is(field.name, "content-length"))
			return text_number(field.value, length);
	}
	return false;
}

/* Notes what of the body of `length` bytes is there. */
static bool note_body(struct proto_side *side, const uint8_t *body, size_t size, struct proto_note note,
		      size_t head)
{
	size_t blanks = text_blanks(body, size);
	if (blanks == size)
		return true;
	body += blanks, size -= blanks;
	return *body == '[' ? note_batch(side, body, size, note.offset + head + blanks)
			    : note_object(side, body, size, note);
}

static int64_t take_framed(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset)
{
	size_t head = head_length(bytes, size < PROTO_LOOK ? size : PROTO_LOOK);
	uint64_t length;
	if (!head)
		return may_be_head(bytes, size) ? PROTO_MORE : PROTO_BAD;
	if (!may_be_head(bytes, head) || !content_length(bytes, head, &length))
		return PROTO_BAD;
	uint64_t all = head + length;
	size_t wanted = all < PROTO_LOOK ? (size_t)all : PROTO_LOOK;
	if (size < wanted)
		return PROTO_MORE;
	struct proto_note note = { .offset = offset, .bytes = all, .body = length };
	return note_body(side, bytes + head, wanted - head, note, head) ? (int64_t)all : PROTO_BAD;
}

static int64_t step(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset)
{
	struct place *place = (struct place *)side->state;
	if (side->middle)
		*place = (struct place){ 0 };
	side->middle = false;
	if (place->inside.depth)
		return (int64_t)json_skip(&place->inside, bytes, size);
	size_t blanks = text_blanks(bytes, size);
	if (blanks)
		return (int64_t)blanks;
	return *bytes == '{' || *bytes == '[' ? take_bare(side, bytes, size, offset)
					      : take_framed(side, bytes, size, offset);
}

static int64_t parse(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	return proto_steps(side, bytes, size, step);
}

const struct protocol protocol_jsonrpc = { .parse = parse };
