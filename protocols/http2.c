// SPDX-License-Identifier: BSD-2-Clause
/*
 * HTTP/2 (RFC 9113), and gRPC over it (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md). A call is noted with the
 * HEADERS that begin its stream, a reply with the frame that ends the stream from the server's side; both
 * have the stream's number.
 *
 * The compression of headers (RFC 7541, libnghttp2's) needs every header of a side since the connection
 * began. Where bytes of a side are missing, frames are found again as soon as a call of the program begins
 * with some, but names and statuses of that side are unknown from then on: none are guessed.
 */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "head.h"

enum {
	FRAME_HEAD = 9,
	/* Types (section 6). */
	DATA = 0,
	HEADERS = 1,
	PRIORITY = 2,
	RST_STREAM = 3,
	SETTINGS = 4,
	PUSH_PROMISE = 5,
	PING = 6,
	GOAWAY = 7,
	WINDOW_UPDATE = 8,
	CONTINUATION = 9,
	TYPES = 10,
	/* Flags. */
	END_STREAM = 1,
	END_HEADERS = 4,
	PADDED = 8,
	WITH_PRIORITY = 0x20,
	FRAME_MAX = 1 << 20, /* one that may follow a gap */
	TABLE_MAX = 1 << 16, /* bytes of headers that an inflater remembers, more than anybody asks for */
	STREAMS = 256,	     /* remembered at a time; by number, a later one takes an earlier one's place */
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE = sizeof(preface) - 1 };

struct stream {
	uint32_t number; /* 0: none */
	uint16_t status; /* :status of the reply's headers, 0: not known */
	bool done;	 /* the reply is noted */
	uint64_t body;	 /* bytes of DATA that the server sent */
};

/* Of a conversation, made when its first frames come. */
struct session {
	struct stream streams[STREAMS];
};

/* Of a side. */
struct http2_side {
	nghttp2_hd_inflater *inflater;
	bool begun;
	bool lost;	  /* its place in the compression */
	uint32_t highest; /* number of a stream that it has begun */
};

struct conversation {
	struct session *session;
	nghttp2_hd_inflater *inflaters[2]; /* to be freed */
};
_Static_assert(sizeof(struct http2_side) <= PROTO_STATE && sizeof(struct conversation) <= PROTO_STATE, "");

struct frame {
	uint32_t length, stream;
	uint8_t type, flags;
	const uint8_t *payload;
};

/* What of a list of headers matters. */
struct fields {
	struct {
		char text[PROTO_TEXT_MAX];
		size_t size;
	} method, path, authority;
	unsigned int status;
	bool unknown;	  /* they cannot be read */
	bool grpc, ended; /* a gRPC message; it has a grpc-status: */
	uint64_t grpc_status;
	struct proto_note trace; /* its traceparent alone */
};

/* google.golang.org/grpc/codes and the like. */
static const char *const grpc_statuses[] = {
	"OK",	     "CANCELLED",	"UNKNOWN",	     "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
	"NOT_FOUND", "ALREADY_EXISTS",	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
	"ABORTED",   "OUT_OF_RANGE",	"UNIMPLEMENTED",     "INTERNAL",	   "UNAVAILABLE",
	"DATA_LOSS", "UNAUTHENTICATED",
};

/* RFC 9113, section 7. */
static const char *const reset_names[] = {
	"NO_ERROR",
	"PROTOCOL_ERROR",
	"INTERNAL_ERROR",
	"FLOW_CONTROL_ERROR",
	"SETTINGS_TIMEOUT",
	"STREAM_CLOSED",
	"FRAME_SIZE_ERROR",
	"REFUSED_STREAM",
	"CANCEL",
	"COMPRESSION_ERROR",
	"CONNECT_ERROR",
	"ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY",
	"HTTP_1_1_REQUIRED",
};

static struct proto_text name_of(const char *const *names, size_t count, uint64_t number)
{
	const char *name = number < count ? names[number] : "?";
	return (struct proto_text){ name, strlen(name) };
}
#define NAME_OF(names, number) name_of(names, sizeof(names) / sizeof(*(names)), number)

static struct conversation *of(struct proto_side *side)
{
	return (struct conversation *)side->conversation->state;
}

/* Of a stream that the client began; NULL: it is not remembered any more. Its reply may be seen before its
 * call: each is told when its sender's call of the system returns. */
static struct stream *stream_of(struct proto_side *side, uint32_t number)
{
	struct stream *stream = &of(side)->session->streams[number / 2 % STREAMS];
	if (number % 2 == 0 || number < stream->number)
		return NULL;
	if (number > stream->number)
		*stream = (struct stream){ .number = number };
	return stream;
}

/* ---- headers ---- */

static void keep(char *to, size_t *size, struct proto_text value)
{
	*size = value.size < PROTO_TEXT_MAX ? value.size : PROTO_TEXT_MAX;
	memcpy(to, value.at, *size);
}

static void read_field(struct fields *fields, const nghttp2_nv *nv)
{
	struct proto_text name = { (const char *)nv->name, nv->namelen },
			  value = { (const char *)nv->value, nv->valuelen };
	uint64_t status;
	if (text_is(name, ":method"))
		keep(fields->method.text, &fields->method.size, value);
	else if (text_is(name, ":path"))
		keep(fields->path.text, &fields->path.size, text_until(value, "?#"));
	else if (text_is(name, ":authority"))
		keep(fields->authority.text, &fields->authority.size, value);
	else if (text_is(name, ":status") && text_number(value, &status) && status < 1000)
		fields->status = (unsigned int)status;
	else if (text_is(name, "content-type"))
		fields->grpc = text_starts(value, "application/grpc");
	else if (text_is(name, "grpc-status"))
		fields->ended = text_number(value, &fields->grpc_status);
	else if (text_is(name, "traceparent"))
		text_traceparent(value, &fields->trace);
}

static bool inflate(struct http2_side *state, struct fields *fields, const uint8_t *bytes, size_t size,
		    bool last)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(state->inflater, &nv, &flags, bytes, size, last);
		if (n < 0)
			return false;
		bytes += n, size -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			read_field(fields, &nv);
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			return !nghttp2_hd_inflate_end_headers(state->inflater);
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !size)
			return !last;
	}
}

/* ---- frames ---- */

static struct frame frame_at(const uint8_t *b)
{
	return (struct frame){
		.length = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2],
		.type = b[3],
		.flags = b[4],
		.stream = (uint32_t)(b[5] & 0x7f) << 24 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 8 | b[8],
		.payload = b + FRAME_HEAD,
	};
}

/* Whether it may be a frame: what else would hardly have such a beginning. */
static bool is_likely(const uint8_t *bytes)
{
	struct frame f = frame_at(bytes);
	bool alone = f.type == SETTINGS || f.type == PING || f.type == GOAWAY;
	if (bytes[5] & 0x80 || f.type >= TYPES || f.length > FRAME_MAX)
		return false;
	if (f.type != WINDOW_UPDATE && alone != !f.stream)
		return false;
	return f.type == PRIORITY	 ? f.length == 5
	       : f.type == RST_STREAM	 ? f.length == 4
	       : f.type == WINDOW_UPDATE ? f.length == 4
	       : f.type == PING		 ? f.length == 8
	       : f.type == SETTINGS	 ? f.length % 6 == 0
	       : f.type == HEADERS	 ? !(f.flags & ~(END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY))
	       : f.type == DATA		 ? !(f.flags & ~(END_STREAM | PADDED))
					 : true;
}

/* Whether a window behind a gap may begin with a frame: all that follow in it look like frames too. */
static bool are_likely(const uint8_t *bytes, size_t size)
{
	size_t at = 0;
	while (at < size && size - at >= FRAME_HEAD) {
		if (!is_likely(bytes + at))
			return false;
		at += FRAME_HEAD + frame_at(bytes + at).length;
	}
	return at;
}

/* What is between the padding, and behind priority or promised stream; false: the frame is too short for it.
 */
static bool strip(struct frame *f)
{
	uint32_t front = 0, padding = 0;
	if (f->type != CONTINUATION && f->flags & PADDED) {
		if (!f->length)
			return false;
		padding = f->payload[0];
		front = 1;
	}
	if (f->type == HEADERS && f->flags & WITH_PRIORITY)
		front += 5;
	if (f->type == PUSH_PROMISE)
		front += 4;
	if (front + padding > f->length)
		return false;
	f->payload += front;
	f->length -= front + padding;
	return true;
}

/* How many bytes a HEADERS or PUSH_PROMISE takes with its CONTINUATIONs; PROTO_MORE, PROTO_BAD. */
static int64_t block_length(const uint8_t *bytes, size_t size)
{
	struct frame first = frame_at(bytes), f = first;
	size_t length = FRAME_HEAD + f.length;
	while (!(f.flags & END_HEADERS)) {
		if (size < length + FRAME_HEAD)
			return length < PROTO_WINDOW ? PROTO_MORE : PROTO_BAD;
		f = frame_at(bytes + length);
		if (f.type != CONTINUATION || f.stream != first.stream)
			return PROTO_BAD;
		length += FRAME_HEAD + f.length;
	}
	return length > PROTO_WINDOW ? PROTO_BAD : size < length ? PROTO_MORE : (int64_t)length;
}

/* Reads the fields of the frames. An inflater that has failed fails ever after. */
static bool read_block(struct http2_side *state, struct fields *fields, const uint8_t *bytes, size_t length)
{
	fields->unknown = state->lost;
	for (size_t at = 0; at < length && !state->lost;) {
		struct frame f = frame_at(bytes + at);
		at += FRAME_HEAD + f.length;
		if (!strip(&f) || !inflate(state, fields, f.payload, f.length, at == length))
			return false;
	}
	return true;
}

/* ---- notes ---- */

static void note_call(struct proto_side *side, const struct fields *fields, struct proto_note *note)
{
	char name[2 * PROTO_TEXT_MAX + 1];
	size_t size = 0;
	if (!fields->grpc && fields->method.size) {
		memcpy(name, fields->method.text, fields->method.size);
		size = fields->method.size;
		name[size++] = ' ';
	}
	bool path = fields->path.size; /* a CONNECT has none */
	size_t more = path ? fields->path.size : fields->authority.size;
	memcpy(name + size, path ? fields->path.text : fields->authority.text, more);
	note->kind = PROTO_CALL;
	note->name = (struct proto_text){ size + more ? name : NULL, size + more };
	note->traced = fields->trace.traced;
	memcpy(note->trace_id, fields->trace.trace_id, sizeof(note->trace_id));
	memcpy(note->parent_id, fields->trace.parent_id, sizeof(note->parent_id));
	side->noted(side, note);
}

/* The reply that ends with this frame; `fields` of its own headers, or NULL. */
static void note_reply(struct proto_side *side, const struct fields *fields, struct proto_note *note)
{
	struct stream *stream = stream_of(side, (uint32_t)note->id);
	unsigned int status = fields && fields->status ? fields->status : stream ? stream->status : 0;
	char digits[] = { (char)('0' + status / 100), (char)('0' + status / 10 % 10),
			  (char)('0' + status % 10) };
	if (!stream || stream->done)
		return;
	stream->done = true;
	note->kind = PROTO_REPLY;
	note->body = stream->body;
	if (fields && fields->ended) {
		note->status = NAME_OF(grpc_statuses, fields->grpc_status);
		note->failed = fields->grpc_status;
	} else if (status && !(fields && fields->unknown)) {
		note->status = (struct proto_text){ digits, sizeof(digits) };
		note->failed = status >= 400;
	}
	side->noted(side, note);
}

/* ---- steps ---- */

static int64_t take_block(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset)
{
	struct http2_side *state = (struct http2_side *)side->state;
	struct frame f = frame_at(bytes);
	struct fields fields = { 0 };
	int64_t length = block_length(bytes, size);
	if (length <= 0)
		return length;
	if (!read_block(state, &fields, bytes, (size_t)length))
		return PROTO_BAD;
	struct proto_note note = {
		.numbered = true, .id = f.stream, .offset = offset, .bytes = (uint64_t)length
	};
	struct stream *stream =
		f.type == HEADERS ? stream_of(side, f.stream) : NULL; /* else pushed: nobody called */
	if (stream && side->callers && f.stream > state->highest) {
		state->highest = f.stream;
		note_call(side, &fields, &note);
	} else if (stream && !side->callers) {
		if (fields.status && fields.status / 100 != 1)
			stream->status = (uint16_t)fields.status;
		if (f.flags & END_STREAM)
			note_reply(side, &fields, &note);
	}
	return length;
}

static int64_t take_data(struct proto_side *side, const struct frame *f, struct proto_note *note)
{
	struct stream *stream = stream_of(side, f->stream);
	if (!side->callers && stream) {
		stream->body += f->length;
		if (f->flags & END_STREAM)
			note_reply(side, NULL, note);
	}
	return (int64_t)note->bytes;
}

static int64_t take_reset(struct proto_side *side, const struct frame *f, size_t size,
			  struct proto_note *note)
{
	struct stream *stream = stream_of(side, f->stream);
	if (f->length != 4)
		return PROTO_BAD;
	if (size < note->bytes)
		return PROTO_MORE;
	if (!side->callers && stream && !stream->done) {
		const uint8_t *code = f->payload;
		stream->done = true;
		note->kind = PROTO_REPLY;
		note->failed = true;
		note->body = stream->body;
		note->status = NAME_OF(reset_names, (uint64_t)code[0] << 24 | (uint64_t)code[1] << 16 |
							    (uint64_t)code[2] << 8 | code[3]);
		side->noted(side, note);
	}
	return (int64_t)note->bytes;
}

static int64_t take_frame(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset)
{
	if (size < FRAME_HEAD)
		return PROTO_MORE;
	struct frame f = frame_at(bytes);
	struct proto_note note = {
		.numbered = true, .id = f.stream, .offset = offset, .bytes = FRAME_HEAD + f.length
	};
	if (f.type == HEADERS || f.type == PUSH_PROMISE)
		return f.stream ? take_block(side, bytes, size, offset) : PROTO_BAD;
	if (f.type == CONTINUATION)
		return PROTO_BAD;
	if (f.type == DATA)
		return f.stream ? take_data(side, &f, &note) : PROTO_BAD;
	if (f.type == RST_STREAM)
		return take_reset(side, &f, size, &note);
	return (int64_t)note.bytes;
}

static bool make(struct proto_side *side)
{
	struct http2_side *state = (struct http2_side *)side->state;
	struct conversation *all = of(side);
	if (!all->session)
		all->session = calloc(1, sizeof(*all->session));
	if (!all->session || nghttp2_hd_inflate_new(&state->inflater))
		return false;
	all->inflaters[all->inflaters[0] ? 1 : 0] = state->inflater;
	nghttp2_hd_inflate_change_table_size(state->inflater, TABLE_MAX);
	state->begun = true;
	return true;
}

/* The beginning of a connection: from it is known who the client is. */
static int64_t begin(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	size_t known = size < PREFACE ? size : PREFACE;
	bool client = !memcmp(bytes, preface, known);
	if (client && known < PREFACE)
		return PROTO_MORE;
	if ((!client && side->middle && !are_likely(bytes, size)) || !make(side))
		return PROTO_BAD;
	if (client)
		side->callers = true;
	else if (side->other && !side->middle)
		side->other->callers = true;
	((struct http2_side *)side->state)->lost = side->middle && !client;
	side->middle = false;
	return client ? PREFACE : take_frame(side, bytes, size, 0);
}

static int64_t step(struct proto_side *side, const uint8_t *bytes, size_t size, size_t offset)
{
	struct http2_side *state = (struct http2_side *)side->state;
	if (!state->begun)
		return begin(side, bytes, size);
	if (side->middle) {
		if (!are_likely(bytes, size))
			return PROTO_BAD;
		state->lost = true;
		side->middle = false;
	}
	return take_frame(side, bytes, size, offset);
}

static int64_t parse(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	return proto_steps(side, bytes, size, step);
}

static void close_both(struct proto_conversation *conversation)
{
	struct conversation *all = (struct conversation *)conversation->state;
	for (int i = 0; i < 2; i++)
		if (all->inflaters[i])
			nghttp2_hd_inflate_del(all->inflaters[i]);
	free(all->session);
}

const struct protocol protocol_http2 = {
	.parse = parse,
	.close = close_both,
};
