// SPDX-License-Identifier: BSD-2-Clause
/*
 * JSON-RPC 2.0 on a stream: objects, or batches of them in arrays, one after another with blanks between (as
 * a rule each on a line), or each behind a head with its Content-Length (as language servers do). Which of
 * the two is seen anew with each message. Over HTTP: http.c.
 *
 * Of a message at most PROTO_LOOK bytes are looked at where they say what it is. Where "id" comes later, and
 * of a batch, all of it must be there, or fit in a window. Where bytes of a message are missing, what stands
 * behind them is read from its end: that is known by its head; of one without a head it may be the end of
 * another message, so what it says is doubtful. A message of which no "id" was seen, but may be there,
 * is not noted, and counted.
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

/* What kind of message it is; what else was not seen of it does not matter. */
static bool is_known(const struct json_rpc *rpc)
{
	return rpc->whole || (rpc->id.size && (rpc->calls || rpc->answers));
}

static void note_object(struct proto_side *side, const struct json_rpc *rpc, struct proto_note note)
{
	char name[PROTO_TEXT_MAX];
	if (!rpc->calls && !rpc->answers && !rpc->id.size)
		return; /* none of ours */
	note.numbered = rpc->id.size;
	note.id = note.numbered ? id_of(rpc->id) : 0;
	note.kind = !rpc->calls ? PROTO_REPLY : note.numbered ? PROTO_CALL : PROTO_ONEWAY;
	if (rpc->calls)
		note.name = json_text(rpc->method, name);
	note.failed = rpc->failed;
	note.status = rpc->code;
	side->noted(side, &note);
}

/* What is there of a message, or of a body. */
struct part {
	const uint8_t *bytes;
	size_t size;
	struct proto_text end; /* where some are missing: its last bytes; NULL: these are not known either */
};

/* Whether no more of it is wanted to know what it is. */
static bool is_enough(const uint8_t *bytes, size_t size)
{
	struct json_rpc rpc;
	return *bytes != '[' && (!json_rpc_read(&rpc, bytes, size) || is_known(&rpc));
}

/* Notes the object that it is, or counts it. false: it is none. */
static bool take_object(struct proto_side *side, const struct part *part, struct proto_note note)
{
	struct json_rpc rpc;
	if (!json_rpc_read(&rpc, part->bytes, part->size))
		return false;
	if (is_known(&rpc))
		note.doubtful = false; /* the end is not needed */
	else if (part->end.at && !json_rpc_read_end(&rpc, part->end))
		rpc = (struct json_rpc){ 0 };
	if (is_known(&rpc))
		note_object(side, &rpc, note);
	else
		side->unknown++;
	return true;
}

/* Notes each object of an array as a message of its own. */
static bool take_batch(struct proto_side *side, const struct part *part, size_t offset)
{
	struct json_walk walk;
	struct json_rpc rpc;
	struct proto_text key, value;
	enum json_found found;
	json_walk(&walk, part->bytes, part->size);
	while ((found = json_next(&walk, &key, &value)) == JSON_FOUND) {
		const uint8_t *object = (const uint8_t *)value.at;
		if (!json_rpc_read(&rpc, object, value.size))
			return false;
		struct proto_note note = { .offset = offset + (size_t)(object - part->bytes),
					   .bytes = value.size,
					   .body = value.size };
		note_object(side, &rpc, note);
	}
	side->unknown += found == JSON_CUT;
	return found != JSON_BAD;
}

/* A message without a head. */
static int64_t take_bare(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset)
{
	struct place *place = (struct place *)side->state;
	struct json_place inside = { 0 };
	bool last = side->hole || size == PROTO_WINDOW;
	size_t length = json_skip(&inside, bytes, size < PROTO_LOOK ? size : PROTO_LOOK);
	if (inside.depth && (size < PROTO_LOOK || !is_enough(bytes, length))) {
		length += json_skip(&inside, bytes + length, size - length);
		if (inside.depth && !last)
			return PROTO_MORE;
	}
	uint64_t known = inside.depth ? 0 : length;
	struct part part = { bytes, length, { 0 } };
	struct proto_note note = { .offset = offset, .bytes = known, .body = known };
	if (inside.depth && side->hole && side->tail.size)
		part.end = side->tail, note.doubtful = true;
	if (!(*bytes == '[' ? take_batch(side, &part, offset) : take_object(side, &part, note)))
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

/* The end of what takes so many bytes of the window and what follows, in what was seen behind the hole. */
static struct proto_text end_of(const struct proto_side *side, size_t window, uint64_t all)
{
	uint64_t begin = window + side->hole;
	bool seen = side->hole && all > begin && all - begin <= side->tail.size;
	return seen ? (struct proto_text){ side->tail.at, (size_t)(all - begin) } : (struct proto_text){ 0 };
}

/* Takes the `size` bytes of a body that are there, or its first `look` where they are enough; `last`: no more
 * of them come. Returns 1, PROTO_MORE or PROTO_BAD. */
static int64_t take_body(struct proto_side *side, struct part part, size_t look, bool last,
			 struct proto_note note)
{
	size_t blanks = text_blanks(part.bytes, part.size);
	part.bytes += blanks, part.size -= blanks;
	if (blanks < look && is_enough(part.bytes, look - blanks))
		part.size = look - blanks;
	else if (!last)
		return PROTO_MORE;
	if (!part.size) {
		side->unknown += blanks < note.body;
		return 1;
	}
	size_t offset = (size_t)(note.offset + note.bytes - note.body) + blanks;
	bool good = *part.bytes == '[' ? take_batch(side, &part, offset) : take_object(side, &part, note);
	return good ? 1 : PROTO_BAD;
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
	size_t there = all < size ? (size_t)all : size, look = there < PROTO_LOOK ? there : PROTO_LOOK;
	bool last = there == all || side->hole || size == PROTO_WINDOW;
	if (!last && size < PROTO_LOOK)
		return PROTO_MORE;
	struct part part = { bytes + head, there - head, end_of(side, size, all) };
	struct proto_note note = { .offset = offset, .bytes = all, .body = length };
	int64_t taken = take_body(side, part, look - head, last, note);
	return taken > 0 ? (int64_t)all : taken;
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
