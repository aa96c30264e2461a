// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

#include "head.h"

int64_t proto_steps(struct proto_side *side, const uint8_t *bytes, size_t size, proto_step *step)
{
	uint64_t taken = 0;
	while (taken < size) {
		int64_t n = step(side, bytes + taken, size - taken, taken);
		if (n <= 0)
			return taken ? (int64_t)taken : n;
		taken += (uint64_t)n;
	}
	return (int64_t)taken;
}

size_t head_line(const uint8_t *bytes, size_t size, struct proto_text *line)
{
	const uint8_t *end = size ? memchr(bytes, '\n', size) : NULL;
	if (!end)
		return 0;
	size_t length = (size_t)(end - bytes);
	*line = (struct proto_text){ (const char *)bytes,
				     length && bytes[length - 1] == '\r' ? length - 1 : length };
	return length + 1;
}

size_t head_length(const uint8_t *bytes, size_t size)
{
	struct proto_text line;
	size_t taken, length = 0;
	while ((taken = head_line(bytes + length, size - length, &line))) {
		length += taken;
		if (!line.size)
			return length;
	}
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct proto_text trimmed(struct proto_text text)
{
	while (text.size && is_blank(text.at[0]))
		text.at++, text.size--;
	while (text.size && is_blank(text.at[text.size - 1]))
		text.size--;
	return text;
}

/* A line with those that are folded into it: they begin with a blank. */
static struct proto_text folded_line(struct proto_text *rest)
{
	struct proto_text line, all = { rest->at, 0 };
	size_t taken;
	while ((taken = head_line((const uint8_t *)rest->at, rest->size, &line))) {
		if (all.size && !(line.size && (line.at[0] == ' ' || line.at[0] == '\t')))
			break;
		all.size += taken;
		rest->at += taken, rest->size -= taken;
	}
	return all;
}

bool head_next(struct proto_text *rest, struct head_field *field)
{
	struct proto_text line;
	while ((line = folded_line(rest)).size) {
		const char *colon = memchr(line.at, ':', line.size);
		if (!colon)
			continue;
		size_t name = (size_t)(colon - line.at);
		field->name = trimmed((struct proto_text){ line.at, name });
		field->value = trimmed((struct proto_text){ colon + 1, line.size - name - 1 });
		return true;
	}
	return false;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool text_starts(struct proto_text text, const char *wanted)
{
	size_t i = 0;
	while (wanted[i] && i < text.size && lower(text.at[i]) == wanted[i])
		i++;
	return !wanted[i];
}

bool text_is(struct proto_text text, const char *wanted)
{
	return text.size == strlen(wanted) && text_starts(text, wanted);
}

bool text_number(struct proto_text text, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < text.size; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		*number = *number * 10 + (uint64_t)(text.at[i] - '0');
		if (*number > PROTO_LENGTH_MAX)
			return false;
	}
	return text.size;
}

struct proto_text text_until(struct proto_text text, const char *ends)
{
	size_t i = 0;
	while (i < text.size && !(text.at[i] && strchr(ends, text.at[i])))
		i++;
	return (struct proto_text){ text.at, i };
}

/* Lower case only, as the specification has it. */
static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `count` bytes of two digits each; not all of them may be zero. */
static bool hex_bytes(const char *text, uint8_t *bytes, size_t count)
{
	uint8_t any = 0;
	for (size_t i = 0; i < count; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
		any |= bytes[i];
	}
	return any;
}

/* 00-TRACE-PARENT-FLAGS; later versions may have more behind it. */
void text_traceparent(struct proto_text text, struct proto_note *note)
{
	enum { TRACE = 3, PARENT = 36, FLAGS = 53, END = 55 };
	const char *t = text.at;
	if (text.size < END || t[TRACE - 1] != '-' || t[PARENT - 1] != '-' || t[FLAGS - 1] != '-')
		return;
	bool first = t[0] == '0' && t[1] == '0', none = t[0] == 'f' && t[1] == 'f';
	if (hex_digit(t[0]) < 0 || hex_digit(t[1]) < 0 || none || (first && text.size != END) ||
	    (text.size > END && t[END] != '-') || hex_digit(t[FLAGS]) < 0 || hex_digit(t[FLAGS + 1]) < 0)
		return;
	note->traced = hex_bytes(t + TRACE, note->trace_id, sizeof(note->trace_id)) &&
		       hex_bytes(t + PARENT, note->parent_id, sizeof(note->parent_id));
}
