/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As much of JSON (RFC 8259) as is needed to find the members of an object that calls or answers by
 * JSON-RPC 2.0 (www.jsonrpc.org/specification). Nothing is allocated; values are not looked into further than
 * to find their end.
 */
#ifndef IPC_PROTOCOL_JSON_H
#define IPC_PROTOCOL_JSON_H

#include "protocol.h"

/* A place inside an object or array, to go on from with more bytes; zeroed at first. */
struct json_place {
	uint32_t depth;	    /* of brackets that are open */
	bool text, escaped; /* inside a string; behind a backslash */
};

/* Goes on to the end of the outermost value, or of the bytes: how many were taken. place->depth is 0 at the
 * end only. */
size_t json_skip(struct json_place *place, const uint8_t *bytes, size_t size);

enum json_found {
	JSON_FOUND,
	JSON_CUT, /* the bytes end inside of it; the key is there, or empty */
	JSON_END, /* of the object or array */
	JSON_BAD,
};

/* Through the members of the object, or the elements of the array, that the bytes begin with. */
struct json_walk {
	const uint8_t *at, *end;
	bool object, begun;
};

void json_walk(struct json_walk *walk, const uint8_t *bytes, size_t size);

/* Key (of a member; with its quotes) and value as they stand in the bytes. */
enum json_found json_next(struct json_walk *walk, struct proto_text *key, struct proto_text *value);

/* A string without its quotes; `buffer` of PROTO_TEXT_MAX bytes is used where it has escapes. Escaped
 * characters outside of ASCII are left as they are. */
struct proto_text json_text(struct proto_text quoted, char *buffer);

/* An object of JSON-RPC; of one that is cut off, as far as it goes. */
struct json_rpc {
	bool named; /* it says "jsonrpc" */
	bool calls, answers, failed;
	bool whole;  /* all its members were seen */
	bool inside; /* it is cut off inside of the object or array of "params", "result" or "error" */
	struct proto_text method, id, code; /* as they stand there, with quotes; of an error its code */
};

/* false: it is no JSON object. */
bool json_rpc_read(struct json_rpc *rpc, const uint8_t *bytes, size_t size);

/* Of one that was cut off: the members that its last bytes have. Where it was cut off `inside` and goes on
 * inside of an object or array, that is the same one, and nothing is missing: no message has a second
 * (sections 4 and 5 of the specification). false: that is not how an object ends. */
bool json_rpc_read_end(struct json_rpc *rpc, struct proto_text end);

#endif
