// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

#include "json.h"

size_t json_skip(struct json_place *place, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t c = bytes[i];
		if (place->escaped)
			place->escaped = false;
		else if (place->text && c == '\\')
			place->escaped = true;
		else if (c == '"')
			place->text = !place->text;
		else if (!place->text && (c == '{' || c == '['))
			place->depth++;
		else if (!place->text && (c == '}' || c == ']') && !--place->depth)
			return i + 1;
	}
	return size;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct json_walk *walk)
{
	while (walk->at < walk->end && is_blank(*walk->at))
		walk->at++;
}

static bool is_outside(uint8_t c)
{
	return is_blank(c) || c == ',' || c == ':' || c == '}' || c == ']';
}

/* Behind the closing quote; NULL: it is not there. */
static const uint8_t *string_end(const uint8_t *at, const uint8_t *end)
{
	for (at++; at < end && *at != '"'; at++) {
		if (*at == '\\')
			at++;
	}
	return at < end ? at + 1 : NULL;
}

static const uint8_t *value_end(const uint8_t *at, const uint8_t *end)
{
	if (*at == '"')
		return string_end(at, end);
	if (*at == '{' || *at == '[') {
		struct json_place place = { 0 };
		at += json_skip(&place, at, (size_t)(end - at));
		return place.depth ? NULL : at;
	}
	while (at < end && !is_outside(*at))
		at++;
	return at < end ? at : NULL;
}

/* The value that comes next. */
static enum json_found take(struct json_walk *walk, struct proto_text *text)
{
	skip_blanks(walk);
	if (walk->at == walk->end)
		return JSON_CUT;
	if (is_outside(*walk->at))
		return JSON_BAD;
	const uint8_t *end = value_end(walk->at, walk->end);
	text->at = (const char *)walk->at;
	text->size = (size_t)((end ? end : walk->end) - walk->at);
	walk->at = end ? end : walk->end;
	return end ? JSON_FOUND : JSON_CUT;
}

/* The character that must stand here. */
static enum json_found expect(struct json_walk *walk, uint8_t c)
{
	skip_blanks(walk);
	if (walk->at == walk->end)
		return JSON_CUT;
	return *walk->at++ == c ? JSON_FOUND : JSON_BAD;
}

void json_walk(struct json_walk *walk, const uint8_t *bytes, size_t size)
{
	*walk = (struct json_walk){ .at = bytes + 1, .end = bytes + size, .object = *bytes == '{' };
}

/* The comma between two, or the end. */
static enum json_found go_on(struct json_walk *walk)
{
	skip_blanks(walk);
	if (walk->at == walk->end)
		return JSON_CUT;
	if (*walk->at == (walk->object ? '}' : ']'))
		return JSON_END;
	bool begun = walk->begun;
	walk->begun = true;
	return begun ? expect(walk, ',') : JSON_FOUND;
}

enum json_found json_next(struct json_walk *walk, struct proto_text *key, struct proto_text *value)
{
	*key = *value = (struct proto_text){ 0 };
	enum json_found found = go_on(walk);
	if (found == JSON_FOUND && walk->object) {
		found = take(walk, key);
		if (found != JSON_FOUND)
			*key = (struct proto_text){ 0 };
		else if (key->at[0] != '"')
			found = JSON_BAD;
		else
			found = expect(walk, ':');
	}
	return found == JSON_FOUND ? take(walk, value) : found;
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;
	return c >= '0' && at ? (int)(at - digits) : -1;
}

/* The character that \uXXXX stands for, where that is of ASCII and can be shown; else 0. */
static char unicode(const char *at, size_t size)
{
	if (size < 6 || at[2] != '0' || at[3] != '0')
		return 0;
	int high = hex_digit(at[4]), low = hex_digit(at[5]);
	return high >= 2 && high < 8 && low >= 0 ? (char)(high << 4 | low) : 0;
}

/* How many characters the escape takes, and the one that it stands for; 0: it is left as it is. */
static size_t escape(const char *at, size_t size, char *c)
{
	*c = size > 1 && at[0] == '\\' ? at[1] : 0;
	if (*c == '/' || *c == '\\' || *c == '"')
		return 2;
	*c = *c == 'u' ? unicode(at, size) : 0;
	return *c ? 6 : 0;
}

struct proto_text json_text(struct proto_text quoted, char *buffer)
{
	struct proto_text text = { quoted.at + 1, quoted.size - 2 };
	if (!memchr(text.at, '\\', text.size))
		return text;
	size_t length = 0;
	for (size_t i = 0; i < text.size && length < PROTO_TEXT_MAX; length++) {
		size_t taken = escape(text.at + i, text.size - i, &buffer[length]);
		if (!taken)
			buffer[length] = text.at[i];
		i += taken ? taken : 1;
	}
	return (struct proto_text){ buffer, length };
}

static bool is_key(struct proto_text key, const char *name)
{
	size_t size = strlen(name);
	return key.size == size + 2 && !memcmp(key.at + 1, name, size);
}

/* The code of an error object, of which the end may be missing. */
static struct proto_text error_code(struct proto_text error)
{
	struct json_walk walk;
	struct proto_text key, value;
	if (!error.size || error.at[0] != '{')
		return (struct proto_text){ 0 };
	json_walk(&walk, (const uint8_t *)error.at, error.size);
	while (json_next(&walk, &key, &value) == JSON_FOUND) {
		if (is_key(key, "code"))
			return value;
	}
	return (struct proto_text){ 0 };
}

/* `whole`: the value does not end with the bytes. */
static void read_member(struct json_rpc *rpc, struct proto_text key, struct proto_text value, bool whole)
{
	if (is_key(key, "jsonrpc"))
		rpc->named = true;
	else if (is_key(key, "result"))
		rpc->answers = true;
	else if (is_key(key, "id") && whole)
		rpc->id = value;
	else if (is_key(key, "method") && whole && value.at[0] == '"')
		rpc->calls = true, rpc->method = value;
	else if (is_key(key, "error") && value.size && value.at[0] != 'n') /* null, of older versions */
		rpc->answers = rpc->failed = true, rpc->code = error_code(value);
}

/* The members whose values may be objects or arrays. */
static bool is_structured(struct proto_text key, struct proto_text value)
{
	return value.size && (value.at[0] == '{' || value.at[0] == '[') &&
	       (is_key(key, "params") || is_key(key, "result") || is_key(key, "error"));
}

bool json_rpc_read(struct json_rpc *rpc, const uint8_t *bytes, size_t size)
{
	struct json_walk walk;
	struct proto_text key, value;
	enum json_found found;
	*rpc = (struct json_rpc){ 0 };
	if (!size || *bytes != '{')
		return false;
	json_walk(&walk, bytes, size);
	while ((found = json_next(&walk, &key, &value)) == JSON_FOUND)
		read_member(rpc, key, value, true);
	if (found == JSON_CUT)
		read_member(rpc, key, value, false);
	rpc->whole = found == JSON_END;
	rpc->inside = found == JSON_CUT && is_structured(key, value);
	return found != JSON_BAD;
}

/* ---- from the end ---- */

/* The quote that opens the string of which the last one is at `at`: none of its characters is a quote without
 * a backslash in front, and none stands in front of a string. NULL: it is not there for certain. */
static const uint8_t *string_begin(const uint8_t *begin, const uint8_t *at)
{
	while (--at > begin) {
		if (*at == '"' && at[-1] != '\\')
			return at;
	}
	return NULL;
}

/* A member, and the character behind it. */
static bool read_last(struct json_rpc *rpc, const uint8_t *begin, const uint8_t *end)
{
	struct json_walk walk = { .at = begin, .end = end, .object = true };
	struct proto_text key, value;
	if (json_next(&walk, &key, &value) != JSON_FOUND)
		return false;
	read_member(rpc, key, value, true);
	return true;
}

bool json_rpc_read_end(struct json_rpc *rpc, struct proto_text text)
{
	const uint8_t *begin = (const uint8_t *)text.at, *end = begin + text.size, *at;
	while (end > begin && is_blank(end[-1]))
		end--;
	if (end == begin || end[-1] != '}')
		return false;
	uint32_t depth = 1;
	for (at = end - 1; at > begin;) {
		uint8_t c = *--at;
		if (c == '"' && !(at = string_begin(begin, at)))
			break;
		depth += c == '}' || c == ']';
		depth -= c == '{' || c == '[';
		if (!depth)
			return false; /* another one begins here */
		if (c != ',' || depth > 1)
			continue;
		if (!read_last(rpc, at + 1, end))
			return false;
		end = at + 1;
	}
	rpc->whole = rpc->inside && depth > 1;
	return true;
}
