// SPDX-License-Identifier: BSD-2-Clause
/*
 * D-Bus. Each side of a connection begins with lines of text (the client's also with a NUL, which carries its
 * credentials), the client's last line is BEGIN; then come messages: a head, whose fields say what it is, and
 * a body, which is not looked at. No line begins like a message, so the first bytes of a place tell what it
 * is, also where the beginning was not seen. Heads are checked as strictly as the specification has it: a
 * place at which one fits is the beginning of a message.
 */
#include <string.h>

#include "dbus.h"
#include "protocol.h"

enum { LINE_MAX = 16384, NAME_MAX = 255, DEPTH_MAX = 32 };

/* Codes of header fields. */
enum { PATH = 1, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE, UNIX_FDS };

enum place { ANY, LINES, MESSAGES };

struct state {
	enum place place;
};

struct head {
	uint8_t order, type, flags;
	uint32_t body, serial, numbers[DBUS_FIELDS];
	struct proto_text texts[DBUS_FIELDS];
	unsigned int seen; /* a set of 1 << code */
};

/* Goes through a head. What has come of it may end anywhere. */
struct reader {
	const uint8_t *bytes; /* of the message */
	size_t at, size, end; /* size: so much is there; end: of the fields */
	uint8_t order;
	int result; /* why something could not be read: PROTO_MORE or PROTO_BAD */
};

static bool fail(struct reader *r)
{
	r->result = PROTO_BAD;
	return false;
}

static const uint8_t *take(struct reader *r, size_t size)
{
	const uint8_t *at = r->bytes + r->at;
	r->result = size > r->end - r->at ? PROTO_BAD : PROTO_MORE;
	if (size > r->end - r->at || r->at + size > r->size)
		return NULL;
	r->at += size;
	return at;
}

static bool align(struct reader *r, size_t to)
{
	size_t padding = -r->at & (to - 1);
	const uint8_t *at = take(r, padding);
	for (size_t i = 0; at && i < padding; i++)
		if (at[i])
			return fail(r);
	return at;
}

static bool take_u32(struct reader *r, uint32_t *value)
{
	const uint8_t *at = align(r, 4) ? take(r, 4) : NULL;
	if (at)
		*value = dbus_u32(at, r->order);
	return at;
}

/* The `size` bytes and the NUL that ends them. */
static bool take_text(struct reader *r, uint32_t size, struct proto_text *text)
{
	const uint8_t *at = take(r, (size_t)size + 1);
	if (!at)
		return false;
	*text = (struct proto_text){ (const char *)at, size };
	return memchr(at, 0, (size_t)size + 1) == at + size || fail(r);
}

static bool take_string(struct reader *r, struct proto_text *text)
{
	uint32_t size;
	return take_u32(r, &size) && take_text(r, size, text);
}

static bool is_basic(char type)
{
	return type && strchr("ybnqiuxtdsogh", type);
}

/* Behind the complete type at `at`, or NULL. */
static const char *type_end(const char *at, const char *end, unsigned int arrays, unsigned int structs)
{
	if (at == end || arrays > DEPTH_MAX || structs > DEPTH_MAX)
		return NULL;
	if (is_basic(*at) || *at == 'v')
		return at + 1;
	if (*at == 'a' && end - at > 3 && at[1] == '{') {
		at = is_basic(at[2]) ? type_end(at + 3, end, arrays + 1, structs) : NULL;
		return at && at != end && *at == '}' ? at + 1 : NULL;
	}
	if (*at == 'a')
		return type_end(at + 1, end, arrays + 1, structs);
	if (*at++ != '(')
		return NULL;
	do
		at = type_end(at, end, arrays, structs + 1);
	while (at && at != end && *at != ')');
	return at && at != end ? at + 1 : NULL;
}

static bool take_signature(struct reader *r, struct proto_text *text)
{
	const uint8_t *size = take(r, 1);
	if (!size || !take_text(r, *size, text))
		return false;
	const char *at = text->at, *end = at + text->size;
	while (at && at != end)
		at = type_end(at, end, 0, 0);
	return at || fail(r);
}

static bool take_one_type(struct reader *r, struct proto_text *type)
{
	return take_signature(r, type) &&
	       (type_end(type->at, type->at + type->size, 0, 0) == type->at + type->size || fail(r));
}

static size_t alignment_of(char type)
{
	switch (type) {
	case 'y':
	case 'g':
	case 'v':
		return 1;
	case 'n':
	case 'q':
		return 2;
	case 'x':
	case 't':
	case 'd':
	case '(':
	case '{':
		return 8;
	default:
		return 4;
	}
}

/* A value of the type at `type` (a valid one; of `depth` variants and structs around it), whatever it is. */
static bool skip(struct reader *r, const char *type, unsigned int depth)
{
	struct proto_text inner;
	uint32_t size;

	if (depth > 2 * DEPTH_MAX)
		return fail(r);
	switch (*type) {
	case 's':
	case 'o':
		return take_string(r, &inner);
	case 'g':
		return take_signature(r, &inner);
	case 'v':
		return take_one_type(r, &inner) && skip(r, inner.at, depth + 1);
	case 'a':
		return take_u32(r, &size) && align(r, alignment_of(type[1])) && take(r, size);
	case '(':
		if (!align(r, 8))
			return false;
		for (type++; *type != ')'; type = type_end(type, type + NAME_MAX, 0, 0))
			if (!skip(r, type, depth + 1))
				return false;
		return true;
	default:
		return align(r, alignment_of(*type)) && take(r, alignment_of(*type));
	}
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* How many elements a name with dots has, 0: it is none. bus: hyphens are allowed; digits: elements may begin
 * with one. */
static unsigned int elements(struct proto_text text, bool bus, bool digits)
{
	unsigned int count = 1;
	bool begins = true;
	if (!text.size || text.size > NAME_MAX)
		return 0;
	for (size_t i = 0; i < text.size; i++) {
		char c = text.at[i];
		if (c == '.' ? begins : !is_word(c) && !(bus && c == '-'))
			return 0;
		if (begins && !digits && c >= '0' && c <= '9')
			return 0;
		begins = c == '.';
		count += begins;
	}
	return begins ? 0 : count;
}

/* Of a unique name libdbus does not demand a dot. */
static bool is_bus_name(struct proto_text text)
{
	bool unique = text.size && *text.at == ':';
	if (text.size > NAME_MAX)
		return false;
	return elements((struct proto_text){ text.at + unique, text.size - unique }, true, unique) > !unique;
}

static bool is_path(struct proto_text text)
{
	if (!text.size || *text.at != '/')
		return false;
	for (size_t i = 1; i < text.size; i++)
		if (text.at[i] == '/' ? text.at[i - 1] == '/' : !is_word(text.at[i]))
			return false;
	return text.size == 1 || text.at[text.size - 1] != '/';
}

static bool is_valid(unsigned int code, const struct head *head)
{
	switch (code) {
	case PATH:
		return is_path(head->texts[code]);
	case INTERFACE:
	case ERROR_NAME:
		return elements(head->texts[code], false, false) > 1;
	case MEMBER:
		return elements(head->texts[code], false, false) == 1;
	case DESTINATION:
	case SENDER:
		return is_bus_name(head->texts[code]);
	case REPLY_SERIAL:
		return head->numbers[code];
	default:
		return true;
	}
}

static bool take_known(struct reader *r, struct head *head, unsigned int code, struct proto_text type)
{
	bool taken;
	if (type.size != 1 || *type.at != DBUS_FIELD_TYPES[code] || head->seen & 1u << code)
		return fail(r);
	head->seen |= 1u << code;
	if (*type.at == 'u')
		taken = take_u32(r, &head->numbers[code]);
	else if (*type.at == 'g')
		taken = take_signature(r, &head->texts[code]);
	else
		taken = take_string(r, &head->texts[code]);
	return taken && (is_valid(code, head) || fail(r));
}

/* A struct of a code and a variant. */
static bool take_field(struct reader *r, struct head *head)
{
	struct proto_text type;
	const uint8_t *code = align(r, 8) ? take(r, 1) : NULL;
	if (!code || !take_one_type(r, &type))
		return false;
	if (!*code)
		return fail(r);
	return *code < DBUS_FIELDS ? take_known(r, head, *code, type) : skip(r, type.at, 0);
}

static bool is_whole(const struct head *head)
{
	static const unsigned int needed[] = {
		[DBUS_CALL] = 1 << PATH | 1 << MEMBER,
		[DBUS_RETURN] = 1 << REPLY_SERIAL,
		[DBUS_ERROR] = 1 << ERROR_NAME | 1 << REPLY_SERIAL,
		[DBUS_SIGNAL] = 1 << PATH | 1 << INTERFACE | 1 << MEMBER,
	};
	unsigned int need = head->type <= DBUS_SIGNAL ? needed[head->type] : 0;
	return (head->seen & need) == need && !head->body == !head->texts[SIGNATURE].size;
}

static bool begins_message(const uint8_t *bytes, size_t size, bool known)
{
	return (*bytes == 'l' || *bytes == 'B') &&
	       (size < 2 || (bytes[1] && (known || bytes[1] <= DBUS_SIGNAL))) &&
	       (size < 4 || bytes[3] == DBUS_VERSION);
}

/* The bytes of the head, or PROTO_MORE, or PROTO_BAD. */
static int64_t read_head(const uint8_t *bytes, size_t size, struct head *head)
{
	struct reader r = { .bytes = bytes, .at = DBUS_FIXED, .size = size, .order = *bytes };
	if (size < DBUS_FIXED)
		return PROTO_MORE;
	*head = (struct head){ .order = *bytes,
			       .type = bytes[1],
			       .flags = bytes[2],
			       .body = dbus_u32(bytes + 4, *bytes),
			       .serial = dbus_u32(bytes + 8, *bytes) };
	uint32_t fields = dbus_u32(bytes + 12, *bytes);
	if (!head->serial || head->body > DBUS_MESSAGE_MAX || fields > PROTO_WINDOW - DBUS_FIXED)
		return PROTO_BAD;
	r.end = DBUS_FIXED + fields;
	while (r.at < r.end)
		if (!take_field(&r, head))
			return r.result;
	r.end = (r.end + 7) & ~(size_t)7;
	if (!align(&r, 8))
		return r.result;
	if (!is_whole(head) || r.end + head->body > DBUS_MESSAGE_MAX)
		return PROTO_BAD;
	return (int64_t)r.end;
}

/*
 * A serial is unique only among the messages of its sender, and those of several come over the connection of
 * a service: the bus has set SENDER there, while clients leave it out. A reply goes back to who that was.
 */
static uint64_t number_of(uint32_t serial, struct proto_text who)
{
	uint64_t hash = serial;
	for (size_t i = 0; i < who.size; i++)
		hash = (hash ^ (uint8_t)who.at[i]) * 0x100000001b3;
	return hash;
}

static struct proto_text join(char *to, struct proto_text interface, struct proto_text member)
{
	size_t size = interface.size;
	if (!interface.at)
		return member;
	memcpy(to, interface.at, size);
	to[size++] = '.';
	memcpy(to + size, member.at, member.size);
	return (struct proto_text){ to, size + member.size };
}

static void tell(struct proto_side *side, const struct head *head, uint64_t size)
{
	static const enum proto_kind kinds[] = { [DBUS_CALL] = PROTO_CALL,
						 [DBUS_RETURN] = PROTO_REPLY,
						 [DBUS_ERROR] = PROTO_REPLY,
						 [DBUS_SIGNAL] = PROTO_SIGNAL };
	char name[2 * NAME_MAX + 1];
	const struct proto_text *texts = head->texts;
	struct proto_note note = {
		.kind = kinds[head->type],
		.numbered = head->type != DBUS_SIGNAL,
		.serial = head->serial,
		.bytes = size + head->body,
		.body = head->body,
		.sender = texts[SENDER],
		.destination = texts[DESTINATION],
		.path = texts[PATH],
		.interface = texts[INTERFACE],
		.member = texts[MEMBER],
		.signature = texts[SIGNATURE],
		.fds = head->numbers[UNIX_FDS],
	};
	if (note.kind == PROTO_REPLY) {
		note.id = number_of(head->numbers[REPLY_SERIAL],
				    note.sender.at ? (struct proto_text){ 0 } : note.destination);
		note.failed = head->type == DBUS_ERROR;
		note.status = texts[ERROR_NAME];
	} else {
		note.id = number_of(head->serial, note.sender);
		note.name = join(name, note.interface, note.member);
		if (note.kind == PROTO_CALL && head->flags & DBUS_NO_REPLY)
			note.kind = PROTO_ONEWAY;
	}
	side->noted(side, &note);
}

static int64_t message(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	struct state *state = (void *)side->state;
	struct head head;
	if (!begins_message(bytes, size, state->place == MESSAGES))
		return PROTO_BAD;
	int64_t taken = read_head(bytes, size, &head);
	if (taken <= 0)
		return taken;
	state->place = MESSAGES;
	/* Those of unknown types are to be passed over. */
	if (head.type <= DBUS_SIGNAL)
		tell(side, &head, (uint64_t)taken);
	return taken + head.body;
}

/* `at` begins with a command, or is the beginning of one. */
static bool is_command(const uint8_t *at, size_t size)
{
	static const char *const commands[] = { "AUTH",	     "CANCEL", "BEGIN",
						"DATA",	     "ERROR",  "NEGOTIATE_UNIX_FD",
						"REJECTED",  "OK",     "AGREE_UNIX_FD",
						"EXTENSION_" };
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		size_t length = strlen(commands[i]);
		if (memcmp(at, commands[i], size < length ? size : length))
			continue;
		if (size <= length || at[length] == ' ' || at[length] == '\r' || at[length - 1] == '_')
			return true;
	}
	return false;
}

static int64_t line(struct state *state, const uint8_t *bytes, size_t size)
{
	size_t length = 0;
	if (!*bytes && state->place == ANY && (size == 1 || bytes[1] == 'A')) {
		state->place = LINES;
		return 1;
	}
	if (!is_command(bytes, size))
		return PROTO_BAD;
	while (length < size && bytes[length] >= ' ' && bytes[length] <= '~')
		length++;
	if (length > LINE_MAX)
		return PROTO_BAD;
	if (length == size || (length + 1 == size && bytes[length] == '\r'))
		return PROTO_MORE;
	if (bytes[length] != '\r' || bytes[length + 1] != '\n')
		return PROTO_BAD;
	state->place = *bytes == 'B' ? MESSAGES : LINES;
	return (int64_t)length + 2;
}

/* A line or a message. */
static int64_t parse(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	struct state *state = (void *)side->state;
	bool text = *bytes != 'l' && !(*bytes == 'B' && size > 1 && bytes[1] <= DBUS_SIGNAL);
	if (side->middle)
		*state = (struct state){ 0 };
	int64_t taken =
		text && state->place != MESSAGES ? line(state, bytes, size) : message(side, bytes, size);
	if (taken > 0)
		side->middle = false;
	return taken;
}

const struct protocol protocol_dbus = { .parse = parse };
