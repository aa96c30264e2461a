/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parsers: what the bytes of a channel say, message by message. One file per protocol; protocols.def lists
 * them. A parser knows nothing of channels, processes and times: those are the collector's (protocol.c
 * there).
 *
 * A conversation is what goes both ways between two ends; each way is a side. Of each side the parser is
 * given a window of bytes at its present place, at most PROTO_WINDOW of them; what it has taken never comes
 * again. It keeps what it must in `state`, of fixed size, and whatever else it allocates is bounded and freed
 * by `close`. It survives any bytes.
 */
#ifndef IPC_PROTOCOL_H
#define IPC_PROTOCOL_H

#include "recognise.h"

enum {
	PROTO_WINDOW = 1 << 16, /* bytes; a head that does not fit is not understood */
	PROTO_STATE = 128,	/* bytes of a side's or a conversation's state */
	PROTO_TEXT_MAX = 256,	/* of any text of a note; longer ones are cut by the collector */
};

/* What a message is. A reply that says that the call failed is a reply too (`failed`). */
enum proto_kind {
	PROTO_CALL, /* a reply is expected */
	PROTO_REPLY,
	PROTO_ONEWAY, /* a call or notification without a reply */
	PROTO_SIGNAL, /* for whoever wants it */
	PROTO_KINDS
};

struct proto_text {
	const char *at; /* not terminated, any bytes; NULL: none */
	size_t size;
};

/* A message of the protocol. Texts are valid until the note returns. */
struct proto_note {
	enum proto_kind kind;
	bool numbered;	 /* `id` joins replies with calls; else they come in the order of their calls */
	uint64_t id;	 /* of a call its own, of a reply its call's: a number, or the hash of a text */
	uint64_t serial; /* D-Bus: of the message itself; else 0 */
	uint64_t bytes;	 /* that the message takes of the side, from the first one of this window on (plus
			  * `offset`); 0: not known, it ends where the next begins, or with the turn */
	uint64_t offset; /* of its first byte in the window */
	uint64_t body;	 /* bytes of it that are no head */
	struct proto_text name;	  /* what is called: "org.a.Interface.Member", "GET /path", "method",
				   * "program.procedure", "/package.Service/Method"; of a reply none */
	struct proto_text status; /* of a reply: as the protocol has it: "200", an error's name or number */
	bool failed;		  /* of a reply: the call was not successful */
	bool doubtful;		  /* what it says may be of another message */
	struct proto_text sender, destination, path, interface, member, signature; /* D-Bus */
	unsigned int fds; /* descriptors that go with it */
	bool traced;	  /* it carries a traceparent: */
	uint8_t trace_id[16], parent_id[8];
};

struct proto_side;
typedef void proto_noted(struct proto_side *side, const struct proto_note *note);

struct proto_conversation {
	enum ipc_protocol protocol;
	bool stream;				 /* else each window is one datagram */
	_Alignas(16) uint8_t state[PROTO_STATE]; /* zeroed at first */
};

struct proto_side {
	struct proto_conversation *conversation;
	struct proto_side *other; /* the other way of the same conversation */
	bool begun;		  /* something of this side was given before */
	bool middle; /* it was not seen from its beginning, or bytes are missing in front of the window: what
		      * the parser knew of its place is void. The parser sets it back. */
	uint64_t hole; /* so many bytes behind the window nobody saw: PROTO_MORE is as PROTO_BAD. 0: none are
			* missing, more may come */
	struct proto_text
		tail;	  /* with a hole: what was seen behind it, up to the end of what the call moved */
	uint32_t unknown; /* messages that the parser has passed over: what they are it could not know. The
			   * collector counts them, and sets it back. */
	bool callers;	  /* this side makes the calls, as far as the parser can tell; for its own use */
	proto_noted *noted;
	void *context;				 /* the collector's */
	_Alignas(16) uint8_t state[PROTO_STATE]; /* zeroed at first */
};

/* What `parse` returns besides a number of bytes. */
enum {
	PROTO_MORE = 0, /* a whole head is not there yet: call again with more behind these bytes. Where the
			 * window is full already that is as PROTO_BAD. */
	PROTO_BAD = -1, /* this is none: the collector counts it, sets `middle`, and gives what the next call
			 * of the traced program moves on this side */
};

struct protocol {
	/* Takes what it can from the beginning of the window and calls side->noted for each message. Returns
	 * how many bytes of the side it has done with: more than `size` where what follows is not needed (a
	 * body; of those that the tail has it is given the rest next). Of a datagram the value only says
	 * whether it was understood. */
	int64_t (*parse)(struct proto_side *side, const uint8_t *bytes, size_t size);
	void (*close)(struct proto_conversation *conversation); /* frees what both sides allocated; or NULL */
};

/* By enum ipc_protocol, made from the table; none: NULL. */
extern const char *const protocol_names[IPC_PROTOCOLS];
extern const struct protocol *const protocols[IPC_PROTOCOLS];

#endif
