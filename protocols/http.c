// SPDX-License-Identifier: BSD-2-Clause
/*
 * HTTP/1.x (RFC 9112). A message is noted when its head is there; its body is passed over. How long it is
 * with its body is told where a Content-Length tells it.
 *
 * JSON-RPC over HTTP stays HTTP: one call and one reply for each exchange, joined by their order. But a POST
 * whose body is an object of JSON-RPC is named by its method (also told as `member`), with `path` the target
 * and `interface` "jsonrpc"; if the reply's body is an error, that is its status. Of a batch the methods are
 * listed. Bodies are looked at that have a Content-Length and a Content-Type of JSON, up to PROTO_LOOK bytes
 * with the head.
 */
#include <string.h>

#include "head.h"
#include "json.h"
#include "recognise/text.h"

enum {
	METHOD_MAX = 32,
	ASKED_MAX = 96,
	DIGITS_MAX = 11, /* of a chunk's size: below PROTO_LENGTH_MAX */
};

/* What comes next of a side. */
enum place {
	HEAD,
	CHUNK,	   /* the line with its size */
	CHUNK_END, /* the end of line behind its data */
	TRAILERS,
	REST, /* a body until the connection is closed */
};

struct http_side {
	enum place place;
};

/* What matters for the reply to a request. */
enum asked { ASKED, ASKED_HEAD, ASKED_CONNECT, ASKED_JSON, UNKNOWN };

/* Of a conversation: the requests that have no reply yet, in a ring; `uncounted` more came when it was full.
 * A reply may be seen before its request (`early`): each is told when its sender's call of the system
 * returns. */
struct http {
	bool over; /* no HTTP any more, either way */
	uint8_t first, count;
	uint32_t uncounted, early;
	uint8_t asked[ASKED_MAX];
};
_Static_assert(sizeof(struct http_side) <= PROTO_STATE && sizeof(struct http) <= PROTO_STATE, "");

/* A message's head, as far as it matters. */
struct head {
	bool call;
	struct proto_text method, target;
	unsigned int status;
	size_t size;
	bool sized, coded, chunked, json; /* Content-Length; Transfer-Encoding, the last of them chunked */
	uint64_t length;
};

static struct http *of(struct proto_side *side)
{
	return (struct http *)side->conversation->state;
}

static void push(struct http *http, enum asked asked)
{
	if (http->early)
		http->early--;
	else if (http->count == ASKED_MAX || http->uncounted)
		http->uncounted++;
	else
		http->asked[(http->first + http->count++) % ASKED_MAX] = (uint8_t)asked;
}

static enum asked pop(struct http *http)
{
	if (!http->count) {
		if (http->uncounted)
			http->uncounted--;
		else
			http->early++;
		return ASKED;
	}
	enum asked asked = http->asked[http->first];
	http->first = (http->first + 1) % ASKED_MAX;
	http->count--;
	return asked;
}

/* UNKNOWN: the request was not seen yet. */
static enum asked front(const struct http *http)
{
	return http->count ? http->asked[http->first] : http->uncounted ? ASKED : UNKNOWN;
}

/* Replies are missing, nobody knows how many: as a rule a request is sent when the last one was answered. */
static void forget(struct http *http)
{
	while (http->count > 1)
		pop(http);
	http->uncounted = http->early = 0;
}

static bool is_token(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_version(struct proto_text text)
{
	return text.size == 8 && !memcmp(text.at, "HTTP/1.", 7) && text.at[7] >= '0' && text.at[7] <= '9';
}

static struct proto_text behind(struct proto_text all, struct proto_text part)
{
	size_t used = (size_t)(part.at + part.size - all.at);
	return (struct proto_text){ all.at + used, all.size - used };
}

/* METHOD SP target SP version */
static bool read_request(struct head *head, struct proto_text line)
{
	head->method = text_until(line, " ");
	struct proto_text rest = behind(line, head->method);
	if (!head->method.size || head->method.size > METHOD_MAX || !rest.size)
		return false;
	for (size_t i = 0; i < head->method.size; i++) {
		if (!is_token(head->method.at[i]))
			return false;
	}
	rest.at++, rest.size--;
	head->target = text_until(rest, " ");
	rest = behind(rest, head->target);
	if (!head->target.size || !rest.size)
		return false;
	rest.at++, rest.size--;
	return is_version(rest);
}

/* version SP three digits, a reason behind them or not */
static bool read_status(struct head *head, struct proto_text line)
{
	uint64_t status;
	struct proto_text version = { line.at, 8 }, digits = { line.at + 9, 3 };
	if (line.size < 12 || !is_version(version) || line.at[8] != ' ' || !text_number(digits, &status) ||
	    status < 100 || (line.size > 12 && line.at[12] != ' '))
		return false;
	head->status = (unsigned int)status;
	return true;
}

/* Several lengths are one if they are equal. */
static bool read_length(struct head *head, struct proto_text value)
{
	while (value.size) {
		uint64_t length;
		struct proto_text one = text_until(value, ", \t");
		if (one.size) {
			if (!text_number(one, &length) || (head->sized && length != head->length))
				return false;
			head->sized = true, head->length = length;
		}
		value = behind(value, one);
		if (value.size)
			value.at++, value.size--;
	}
	return head->sized;
}

static bool ends_chunked(struct proto_text value)
{
	static const char wanted[] = "chunked";
	size_t size = sizeof(wanted) - 1;
	return value.size >= size &&
	       text_starts((struct proto_text){ value.at + value.size - size, size }, wanted);
}

static bool read_field(struct head *head, struct proto_note *note, const struct head_field *field)
{
	if (text_is(field->name, "content-length"))
		return read_length(head, field->value);
	if (text_is(field->name, "transfer-encoding"))
		head->coded = true, head->chunked = ends_chunked(field->value);
	else if (text_is(field->name, "content-type"))
		head->json = text_starts(field->value, "application/json");
	else if (text_is(field->name, "traceparent"))
		text_traceparent(field->value, note);
	return true;
}

static bool read_head(struct head *head, struct proto_note *note, const uint8_t *bytes, size_t line)
{
	struct proto_text rest = { (const char *)bytes + line, head->size - line };
	struct head_field field;
	while (head_next(&rest, &field)) {
		if (!read_field(head, note, &field))
			return false;
	}
	if (head->coded)
		head->sized = false, head->length = 0;
	return !(head->call && head->coded && !head->chunked);
}

/* Whether a first line may begin like this, of which the end is missing. */
static bool may_be_line(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size && bytes[i] != ' '; i++) {
		if (!is_token((char)bytes[i]) && bytes[i] != '/')
			return false;
		if (i > METHOD_MAX)
			return false;
	}
	return true;
}

/* How long a reply's body is: as for a request unless it has none or ends with the connection. */
static enum place reply_body(struct head *head, enum asked asked)
{
	bool none = asked == ASKED_HEAD || head->status / 100 == 1 || head->status == 204 ||
		    head->status == 304 || (asked == ASKED_CONNECT && head->status / 100 == 2);
	if (none)
		head->sized = true, head->chunked = false, head->length = 0;
	return head->chunked ? CHUNK : head->sized ? HEAD : REST;
}

/* How much of the body is looked at, for JSON-RPC; it is waited for. */
static size_t looked_at(const struct head *head, enum asked asked)
{
	bool wanted = head->json && head->sized && head->size < PROTO_LOOK &&
		      (head->call ? text_is(head->method, "post") : asked == ASKED_JSON || asked == UNKNOWN);
	size_t room = wanted ? PROTO_LOOK - head->size : 0;
	return head->length < room ? (size_t)head->length : room;
}

/* ---- notes ---- */

struct name {
	char text[PROTO_TEXT_MAX];
	size_t size;
};

static void append(struct name *name, struct proto_text text)
{
	size_t room = sizeof(name->text) - name->size, size = text.size < room ? text.size : room;
	memcpy(name->text + name->size, text.at, size);
	name->size += size;
}

static struct proto_text literal(const char *text)
{
	return (struct proto_text){ text, strlen(text) };
}

/* What is asked for, without query and fragment, and without who asks. */
static void append_target(struct name *name, struct proto_text target)
{
	target = text_until(target, "?#");
	const char *slashes = target.at[0] == '/' ? NULL : memmem(target.at, target.size, "://", 3);
	if (slashes) {
		struct proto_text rest = behind(target, (struct proto_text){ slashes, 3 });
		struct proto_text authority = text_until(rest, "/");
		const char *user = memrchr(authority.at, '@', authority.size);
		append(name, (struct proto_text){ target.at, (size_t)(rest.at - target.at) });
		target = user ? behind(rest, (struct proto_text){ user, 1 }) : rest;
	}
	append(name, target);
}

/* The method of a call of JSON-RPC, or those of a batch of them, in their order. */
static bool append_methods(struct name *name, const uint8_t *body, size_t size)
{
	struct json_rpc rpc;
	struct json_walk walk;
	struct proto_text key, value = { (const char *)body, size };
	char buffer[PROTO_TEXT_MAX];
	bool batch = *body == '[';
	json_walk(&walk, body, size);
	while (!batch || json_next(&walk, &key, &value) == JSON_FOUND) {
		if (!json_rpc_read(&rpc, (const uint8_t *)value.at, value.size) || !rpc.named || !rpc.calls)
			return false;
		if (name->size)
			append(name, literal(", "));
		append(name, json_text(rpc.method, buffer));
		if (!batch)
			break;
	}
	return name->size;
}

static struct proto_text body_of(const uint8_t *body, size_t size)
{
	size_t blanks = text_blanks(body, size);
	return (struct proto_text){ (const char *)body + blanks, size - blanks };
}

static enum asked note_call(struct proto_side *side, const struct head *head, struct proto_note *note,
			    struct proto_text body)
{
	struct name name = { .size = 0 }, path = { .size = 0 };
	append_target(&path, head->target);
	bool json = body.size && append_methods(&name, (const uint8_t *)body.at, body.size);
	if (json) {
		note->path = (struct proto_text){ path.text, path.size };
		note->interface = literal("jsonrpc");
		note->member = (struct proto_text){ name.text, name.size };
	} else {
		name.size = 0;
		append(&name, head->method);
		append(&name, literal(" "));
		append(&name, (struct proto_text){ path.text, path.size });
	}
	note->kind = PROTO_CALL;
	note->name = (struct proto_text){ name.text, name.size };
	side->callers = true;
	side->noted(side, note);
	return json				  ? ASKED_JSON
	       : text_is(head->method, "head")	  ? ASKED_HEAD
	       : text_is(head->method, "connect") ? ASKED_CONNECT
						  : ASKED;
}

static void note_reply(struct proto_side *side, const struct head *head, struct proto_note *note,
		       const char *line, struct proto_text body)
{
	struct json_rpc rpc;
	note->kind = PROTO_REPLY;
	note->status = (struct proto_text){ line + 9, 3 };
	note->failed = head->status >= 400;
	if (body.size && json_rpc_read(&rpc, (const uint8_t *)body.at, body.size) && rpc.named &&
	    rpc.failed) {
		note->failed = true;
		note->status = rpc.code.size ? rpc.code : note->status;
	}
	side->noted(side, note);
}

/* ---- places ---- */

static int64_t take_call(struct proto_side *side, const struct head *head, struct proto_note *note,
			 struct proto_text body)
{
	note->body = head->length;
	note->bytes = head->chunked ? 0 : head->size + head->length;
	push(of(side), note_call(side, head, note, body));
	((struct http_side *)side->state)->place = head->chunked ? CHUNK : HEAD;
	return (int64_t)(head->size + head->length);
}

static int64_t take_reply(struct proto_side *side, const uint8_t *bytes, struct head *head,
			  struct proto_note *note, struct proto_text body)
{
	struct http *http = of(side);
	bool upgraded = head->status == 101, interim = head->status / 100 == 1 && !upgraded;
	if (interim)
		return (int64_t)head->size;
	enum asked asked = pop(http);
	enum place place = reply_body(head, asked);
	http->over = upgraded || (asked == ASKED_CONNECT && head->status / 100 == 2);
	note->body = head->length;
	note->bytes = place == HEAD ? head->size + head->length : 0;
	note_reply(side, head, note, (const char *)bytes, body);
	((struct http_side *)side->state)->place = place;
	return (int64_t)(head->size + head->length);
}

static int64_t take_head(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset)
{
	struct head head = { 0 };
	struct proto_text line;
	struct proto_note note = { .offset = offset };
	size_t taken = head_line(bytes, size, &line);
	if (!taken)
		return may_be_line(bytes, size) && size < PROTO_WINDOW ? PROTO_MORE : PROTO_BAD;
	head.call = !text_starts(line, "http/");
	if (!(head.call ? read_request(&head, line) : read_status(&head, line)))
		return PROTO_BAD;
	head.size = head_length(bytes, size);
	if (!head.size)
		return size < PROTO_WINDOW ? PROTO_MORE : PROTO_BAD;
	if (!read_head(&head, &note, bytes, taken))
		return PROTO_BAD;
	enum asked asked = head.call ? ASKED : front(of(side));
	size_t looked = looked_at(&head, asked), there = size - head.size;
	if (there < looked && side->hole)
		looked = there;
	if (there < looked)
		return PROTO_MORE;
	struct proto_text body = body_of(bytes + head.size, looked);
	return head.call ? take_call(side, &head, &note, body) : take_reply(side, bytes, &head, &note, body);
}

/* Digits, extensions behind them, then the data. */
static int64_t take_chunk(struct http_side *state, const uint8_t *bytes, size_t size)
{
	struct proto_text line;
	uint64_t length = 0;
	size_t taken = head_line(bytes, size, &line), digits = 0;
	if (!taken)
		return size < PROTO_LOOK ? PROTO_MORE : PROTO_BAD;
	for (; digits < line.size && digits < DIGITS_MAX; digits++) {
		char c = line.at[digits];
		char letter = (char)(c | 0x20);
		if (c >= '0' && c <= '9')
			length = length << 4 | (uint64_t)(c - '0');
		else if (letter >= 'a' && letter <= 'f')
			length = length << 4 | (uint64_t)(letter - 'a' + 10);
		else
			break;
	}
	if (!digits || (digits < line.size && !strchr("; \t", line.at[digits])))
		return PROTO_BAD;
	state->place = length ? CHUNK_END : TRAILERS;
	return (int64_t)(taken + length);
}

/* A line, of which an empty one ends the place. */
static int64_t take_line(struct http_side *state, const uint8_t *bytes, size_t size)
{
	struct proto_text line;
	size_t taken = head_line(bytes, size, &line);
	if (!taken)
		return size < PROTO_WINDOW ? PROTO_MORE : PROTO_BAD;
	if (state->place == CHUNK_END && line.size)
		return PROTO_BAD;
	if (!line.size)
		state->place = state->place == CHUNK_END ? CHUNK : HEAD;
	return (int64_t)taken;
}

static int64_t step(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset)
{
	struct http_side *state = (struct http_side *)side->state;
	if (of(side)->over)
		return PROTO_LENGTH_MAX;
	if (side->middle) {
		state->place = HEAD;
		forget(of(side));
		side->middle = false;
	}
	if (state->place == REST)
		return PROTO_LENGTH_MAX;
	if (state->place == CHUNK)
		return take_chunk(state, bytes, size);
	if (state->place != HEAD)
		return take_line(state, bytes, size);
	if (*bytes == '\r' || *bytes == '\n') /* tolerated between messages */
		return 1;
	return take_head(side, bytes, size, offset);
}

static int64_t parse(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	return proto_steps(side, bytes, size, step);
}

const struct protocol protocol_http = { .parse = parse };
