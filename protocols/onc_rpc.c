// SPDX-License-Identifier: BSD-2-Clause
/*
 * ONC RPC. Over a stream a message is a record of fragments, each behind its mark; its head, which says all
 * that is told, may lie in several. A datagram is a message. Arguments and results are not looked at.
 */
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "onc_rpc.h"
#include "protocol.h"

enum {
	MARK = 4,
	HEAD_MAX = 40 + 2 * RPC_AUTH_MAX, /* of a call: the longest */
	PROGRAMS_MAX = 256,
	NAME_MAX = 128,
};

/* Of a side. */
struct state {
	bool inside; /* the record's head was told, the next mark is one of its own */
};

struct head {
	uint32_t xid, type, program, version, procedure;
	const char *status; /* of a reply */
	size_t size;
};

/* Goes through a head. What has come of it may end anywhere. */
struct reader {
	const uint8_t *bytes;
	size_t at, size;
	bool bad; /* it failed for what is there, not for what is missing */
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* The procedures of well-known programs from 1 on; 0 is NULL in each. RFC 1833, 1813, 7530; X/Open's XNFS. */
static const char *const portmapper_2[] = { "SET", "UNSET", "GETPORT", "DUMP", "CALLIT" };
static const char *const portmapper_4[] = { "SET",	   "UNSET",    "GETADDR",     "DUMP",
					    "BCAST",	   "GETTIME",  "UADDR2TADDR", "TADDR2UADDR",
					    "GETVERSADDR", "INDIRECT", "GETADDRLIST", "GETSTAT" };
static const char *const nfs_3[] = { "GETATTR", "SETATTR",  "LOOKUP", "ACCESS",	 "READLINK",	"READ",
				     "WRITE",	"CREATE",   "MKDIR",  "SYMLINK", "MKNOD",	"REMOVE",
				     "RMDIR",	"RENAME",   "LINK",   "READDIR", "READDIRPLUS", "FSSTAT",
				     "FSINFO",	"PATHCONF", "COMMIT" };
static const char *const nfs_4[] = { "COMPOUND" };
static const char *const mount[] = { "MNT", "DUMP", "UMNT", "UMNTALL", "EXPORT" };
static const char *const nlockmgr[] = { "TEST", "LOCK", "CANCEL", "UNLOCK", "GRANTED" };
static const char *const status[] = { "STAT", "MON", "UNMON", "UNMON_ALL", "SIMU_CRASH", "NOTIFY" };

static const struct {
	uint32_t program, from, to; /* versions */
	const char *const *procedures;
	size_t count;
} known[] = {
	{ 100000, 2, 2, portmapper_2, COUNT(portmapper_2) },
	{ 100000, 3, 4, portmapper_4, COUNT(portmapper_4) },
	{ 100003, 3, 3, nfs_3, COUNT(nfs_3) },
	{ 100003, 4, 4, nfs_4, COUNT(nfs_4) },
	{ 100005, 1, 3, mount, COUNT(mount) },
	{ 100021, 1, 4, nlockmgr, COUNT(nlockmgr) },
	{ 100024, 1, 1, status, COUNT(status) },
};

static struct {
	uint32_t number;
	char name[32];
} programs[PROGRAMS_MAX];
static size_t programs_count;

/* The system's table (/etc/rpc), once. */
static void read_programs(void)
{
	struct rpcent entry, *found;
	char text[4096];

	setrpcent(1);
	while (programs_count < PROGRAMS_MAX && !getrpcent_r(&entry, text, sizeof(text), &found) && found) {
		programs[programs_count].number = (uint32_t)entry.r_number;
		snprintf(programs[programs_count].name, sizeof(programs->name), "%s", entry.r_name);
		programs_count++;
	}
	endrpcent();
}

static const char *program_name(uint32_t number)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_programs);
	for (size_t i = 0; i < programs_count; i++)
		if (programs[i].number == number)
			return programs[i].name;
	return NULL;
}

static const char *procedure_name(const struct head *head)
{
	if (!head->procedure)
		return "NULL";
	for (size_t i = 0; i < COUNT(known); i++)
		if (known[i].program == head->program && head->version >= known[i].from &&
		    head->version <= known[i].to && head->procedure <= known[i].count)
			return known[i].procedures[head->procedure - 1];
	return NULL;
}

/* "portmapper v4 GETADDR"; "536870913 v1 proc 3" where neither has a name. */
static struct proto_text name_of(const struct head *head, char *text)
{
	const char *program = program_name(head->program), *procedure = procedure_name(head);
	int size = program ? snprintf(text, NAME_MAX, "%s v%u ", program, head->version)
			   : snprintf(text, NAME_MAX, "%u v%u ", head->program, head->version);
	if (procedure)
		size += snprintf(text + size, NAME_MAX - (size_t)size, "%s", procedure);
	else
		size += snprintf(text + size, NAME_MAX - (size_t)size, "proc %u", head->procedure);
	return (struct proto_text){ text, (size_t)size };
}

static bool word(struct reader *r, uint32_t *value)
{
	if (r->size - r->at < 4)
		return false;
	*value = bytes_be32(r->bytes + r->at);
	r->at += 4;
	return true;
}

/* One of 0 to `max`. */
static bool choice(struct reader *r, uint32_t *value, uint32_t max)
{
	if (!word(r, value))
		return false;
	r->bad = *value > max;
	return !r->bad;
}

/* A credential or verifier: flavor, size, and so many bytes. */
static bool skip_auth(struct reader *r)
{
	uint32_t flavor, size;
	if (!word(r, &flavor) || !choice(r, &size, RPC_AUTH_MAX))
		return false;
	size = (size + 3) & ~3u;
	if (r->size - r->at < size)
		return false;
	r->at += size;
	return true;
}

static bool read_call(struct reader *r, struct head *head)
{
	uint32_t version;
	if (!choice(r, &version, RPC_VERSION))
		return false;
	r->bad = version != RPC_VERSION;
	return !r->bad && word(r, &head->program) && word(r, &head->version) && word(r, &head->procedure) &&
	       skip_auth(r) && skip_auth(r);
}

/* From which version to which there is one. */
static bool skip_versions(struct reader *r)
{
	uint32_t version;
	return word(r, &version) && word(r, &version);
}

static bool read_denied(struct reader *r, struct head *head)
{
	static const char *const errors[] = { "AUTH_OK",	  "AUTH_BADCRED",      "AUTH_REJECTEDCRED",
					      "AUTH_BADVERF",	  "AUTH_REJECTEDVERF", "AUTH_TOOWEAK",
					      "AUTH_INVALIDRESP", "AUTH_FAILED" };
	uint32_t why, error;
	if (!choice(r, &why, 1))
		return false;
	head->status = "RPC_MISMATCH";
	if (!why)
		return skip_versions(r);
	if (!word(r, &error))
		return false;
	head->status = error < COUNT(errors) ? errors[error] : "AUTH_ERROR";
	return true;
}

static bool read_reply(struct reader *r, struct head *head)
{
	static const char *const names[] = { "SUCCESS",	     "PROG_UNAVAIL", "PROG_MISMATCH",
					     "PROC_UNAVAIL", "GARBAGE_ARGS", "SYSTEM_ERR" };
	uint32_t denied, accept;
	if (!choice(r, &denied, RPC_DENIED))
		return false;
	if (denied)
		return read_denied(r, head);
	if (!skip_auth(r) || !choice(r, &accept, COUNT(names) - 1))
		return false;
	head->status = names[accept];
	return accept != RPC_PROG_MISMATCH || skip_versions(r);
}

/* Its size, or PROTO_MORE, or PROTO_BAD. */
static int read_head(const uint8_t *bytes, size_t size, struct head *head)
{
	struct reader r = { .bytes = bytes, .size = size };
	*head = (struct head){ 0 };
	bool whole = word(&r, &head->xid) && choice(&r, &head->type, RPC_REPLY) &&
		     (head->type == RPC_CALL ? read_call(&r, head) : read_reply(&r, head));
	head->size = r.at;
	return whole ? (int)r.at : r.bad ? PROTO_BAD : PROTO_MORE;
}

/* bytes: of the message, 0: not known. content: of it without marks. */
static void tell(struct proto_side *side, const struct head *head, uint64_t bytes, uint64_t content)
{
	char name[NAME_MAX];
	struct proto_note note = {
		.kind = head->type == RPC_CALL ? PROTO_CALL : PROTO_REPLY,
		.numbered = true,
		.id = head->xid,
		.bytes = bytes,
		.body = content - head->size,
	};
	if (note.kind == PROTO_CALL) {
		note.name = name_of(head, name);
	} else {
		note.status = (struct proto_text){ head->status, strlen(head->status) };
		note.failed = strcmp(head->status, "SUCCESS") != 0;
	}
	side->noted(side, &note);
}

static int64_t datagram(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	struct head head;
	if (read_head(bytes, size, &head) <= 0)
		return PROTO_BAD;
	tell(side, &head, size, size);
	return (int64_t)size;
}

/* What the window has of a record. */
struct record {
	uint8_t head[HEAD_MAX]; /* the first `have` bytes of its content */
	size_t have;
	uint64_t at;	  /* behind the last fragment whose mark is there */
	uint64_t content; /* of these fragments */
	bool last;	  /* that was the record's last */
};

/* False: there is an impossible mark. */
static bool gather(struct record *record, const uint8_t *bytes, size_t size)
{
	*record = (struct record){ 0 };
	while (!record->last && record->at + MARK <= size) {
		uint32_t mark = bytes_be32(bytes + record->at), fragment = mark & ~RPC_LAST;
		if (fragment > RPC_FRAGMENT_MAX)
			return false;
		size_t n = size - record->at - MARK;
		if (n > fragment)
			n = fragment;
		if (n > HEAD_MAX - record->have)
			n = HEAD_MAX - record->have;
		memcpy(record->head + record->have, bytes + record->at + MARK, n);
		record->have += n;
		record->at += MARK + fragment;
		record->content += fragment;
		record->last = mark & RPC_LAST;
	}
	return true;
}

/* Where the place is not known only what is recognised is taken: a fragment's content may look like a mark.
 */
static bool may_begin(const uint8_t *bytes, size_t size)
{
	uint32_t fragment = size < MARK ? 24 : bytes_be32(bytes) & ~RPC_LAST;
	return ipc_is_onc_rpc(bytes, size, true) ||
	       (size < MARK + 40 && fragment >= 20 && fragment <= RPC_FRAGMENT_MAX && fragment % 4 == 0 &&
		(size < MARK + 8 || bytes_be32(bytes + MARK + 4) <= RPC_REPLY));
}

static int64_t first_fragments(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	struct state *state = (void *)side->state;
	struct record record;
	struct head head;
	if ((side->middle && !may_begin(bytes, size)) || !gather(&record, bytes, size))
		return PROTO_BAD;
	int taken = read_head(record.head, record.have, &head);
	if (taken == PROTO_MORE && record.last && record.have == record.content)
		return PROTO_BAD; /* a record without a head */
	if (taken <= 0)
		return taken;
	state->inside = !record.last;
	side->middle = false;
	tell(side, &head, record.last ? record.at : 0, record.content);
	return (int64_t)record.at;
}

static int64_t next_fragment(struct state *state, const uint8_t *bytes, size_t size)
{
	if (size < MARK)
		return PROTO_MORE;
	uint32_t mark = bytes_be32(bytes), fragment = mark & ~RPC_LAST;
	state->inside = !(mark & RPC_LAST);
	return fragment > RPC_FRAGMENT_MAX ? PROTO_BAD : (int64_t)MARK + fragment;
}

static int64_t parse(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	struct state *state = (void *)side->state;
	if (!side->conversation->stream)
		return datagram(side, bytes, size);
	if (side->middle)
		state->inside = false;
	return state->inside ? next_fragment(state, bytes, size) : first_fragments(side, bytes, size);
}

const struct protocol protocol_onc_rpc = { .parse = parse };
