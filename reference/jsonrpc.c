// SPDX-License-Identifier: BSD-2-Clause
/*
 * jsonrpc: JSON-RPC 2.0 as language servers speak it: a client starts servers, each with a pipe to its
 * standard input and one from its standard output. Framed by a header with the length, or (--variant newline)
 * one message a line. Each turn is one of: a call with a result, one with an error, a notification, a batch
 * of all three. What is sent is the message of the core in hexadecimal digits; a result is its check sum.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reference.h"

enum { LENGTH, NEWLINE }; /* by the number of the variant */
static const char *const variants[] = { "content-length", "newline", NULL };

enum { LARGEST = 16384, ROOM = 3 * LARGEST };

static const char sum[] = "reference/sum", missing[] = "reference/missing", note[] = "reference/note",
		  not_found[] = "-32601";

/* One direction, by whom reads. */
struct reader {
	int fd;
	size_t have, taken;
	char bytes[ROOM];
};

static int (*pipes)[2][2]; /* of each server: its input, its output */
static struct reader *reader;

/* Framing */

static int send_text(struct reference_run *run, int fd, const char *text)
{
	static char framed[ROOM];
	int n = run->options.variant == LENGTH ? snprintf(framed, sizeof(framed),
							  "Content-Length: %zu\r\n\r\n%s", strlen(text), text)
					       : snprintf(framed, sizeof(framed), "%s\n", text);
	if (n < 0 || (size_t)n >= sizeof(framed))
		return reference_wrong(run, "too large a message");
	return reference_write(run, fd, framed, (size_t)n);
}

/* The next message of what is there, or NULL: it is not complete. */
static const char *next_text(const struct reference_run *run, struct reader *r)
{
	static char text[ROOM + 1];
	char *at = r->bytes + r->taken, *end, *body = at;
	if (run->options.variant == NEWLINE) {
		end = memchr(at, '\n', r->have - r->taken);
		r->taken += end ? (size_t)(end + 1 - at) : 0;
	} else {
		char *blank = memmem(at, r->have - r->taken, "\r\n\r\n", 4);
		size_t size = blank ? strtoul(at + strlen("Content-Length: "), NULL, 10) : 0;
		body = blank ? blank + 4 : at;
		end = blank && size <= (size_t)(r->bytes + r->have - body) ? body + size : NULL;
		r->taken += end ? (size_t)(end - at) : 0;
	}
	if (!end)
		return NULL;
	memcpy(text, body, (size_t)(end - body));
	text[end - body] = '\0';
	return text;
}

/* 1, 0 at the end, -1. `text` is valid until the next call. */
static int receive_text(struct reference_run *run, struct reader *r, unsigned int from, const char **text)
{
	while (!(*text = next_text(run, r))) {
		memmove(r->bytes, r->bytes + r->taken, r->have - r->taken);
		r->have -= r->taken;
		r->taken = 0;
		ssize_t n = read(r->fd, r->bytes + r->have, ROOM - r->have);
		if (n == 0 && r->have == 0)
			return 0;
		if (n <= 0)
			return reference_wrong(run, "no whole message came");
		reference_received(run, (uint64_t)n);
		reference_came(run, from, 1, (uint64_t)n);
		r->have += (size_t)n;
	}
	return 1;
}

/* Text */

struct text {
	size_t size;
	char bytes[ROOM];
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(t->bytes + t->size, sizeof(t->bytes) - t->size, format, ap);
	va_end(ap);
	t->size += (size_t)n < sizeof(t->bytes) - t->size ? (size_t)n : 0;
}

/* Ids are numbers and texts. */
static void add_id(struct text *t, unsigned long id)
{
	add(t, id % 2 ? "\"id\":%lu" : "\"id\":\"r%lu\"", id);
}

static unsigned long read_id(const char *object)
{
	const char *at = strstr(object, "\"id\":");
	at = at ? at + strlen("\"id\":") : "";
	return strtoul(at + (at[0] == '"' ? 2 : 0), NULL, 10);
}

/* id 0: a notification. */
static void add_request(struct text *t, const char *method, unsigned long id, const struct reference_head *m)
{
	const unsigned char *bytes = (const void *)m;
	add(t, "{\"jsonrpc\":\"2.0\",");
	if (id) {
		add_id(t, id);
		add(t, ",");
	}
	add(t, "\"method\":\"%s\",\"params\":{\"data\":\"", method);
	for (size_t i = 0; i < m->size; i++)
		add(t, "%02x", bytes[i]);
	add(t, "\"}}");
}

/* The server */

static int digit(char c)
{
	return c >= 'a' ? c - 'a' + 10 : c - '0';
}

/* The data of one object of a request, in the core's buffer. Returns its size. */
static size_t read_data(struct reference_run *run, const char *object)
{
	unsigned char *to = reference_buffer(run);
	const char *at = strstr(object, "\"data\":\"");
	size_t n = 0;
	for (at = at ? at + strlen("\"data\":\"") : "\""; at[0] != '"' && at[1]; at += 2)
		to[n++] = (unsigned char)(digit(at[0]) * 16 + digit(at[1]));
	return n;
}

/* Answers one object: adds to `reply`, which is empty before the first that has one. */
static void answer(struct reference_run *run, const char *object, bool batch, struct text *reply)
{
	const struct reference_head *m = reference_buffer(run);
	unsigned long id = read_id(object);
	char method[64] = "";
	const char *at = strstr(object, "\"method\":\"");
	if (at)
		snprintf(method, sizeof(method), "%.*s", (int)strcspn(at + 10, "\""), at + 10);
	if (!id && !strcmp(method, note))
		return;
	add(reply, "%s{\"jsonrpc\":\"2.0\",", reply->size ? "," : batch ? "[" : "");
	add_id(reply, id);
	if (!strcmp(method, sum))
		add(reply, ",\"result\":{\"sum\":%lu}}", (unsigned long)m->checksum);
	else
		add(reply, ",\"error\":{\"code\":%s,\"message\":\"Method not found\"}}", not_found);
}

/* The objects of a request all have the same data. */
static int answer_all(struct reference_run *run, const char *text)
{
	static struct text reply;
	const char *object = text;
	reply.size = 0;
	if (reference_check(run, reference_buffer(run), read_data(run, text)))
		return -1;
	while ((object = strstr(object, "{\"jsonrpc\""))) {
		const char *next = strstr(object + 1, "{\"jsonrpc\"");
		char *one = strndup(object, next ? (size_t)(next - object) : strlen(object));
		if (!one)
			return reference_failed(run, "a request");
		answer(run, one, *text == '[', &reply);
		free(one);
		object++;
	}
	if (!reply.size)
		return 0;
	if (*text == '[')
		add(&reply, "]");
	return send_text(run, STDOUT_FILENO, reply.bytes);
}

static int serve(struct reference_run *run)
{
	pid_t client = getppid();
	const char *text;
	int more;
	if (dup2(pipes[run->index][0][0], STDIN_FILENO) < 0 ||
	    dup2(pipes[run->index][1][1], STDOUT_FILENO) < 0)
		return reference_failed(run, "dup2");
	for (unsigned int i = 0; i < run->options.consumers; i++)
		for (int end = 0; end < 4; end++)
			close(pipes[i][end / 2][end % 2]);
	run->to = (unsigned int)client;
	reader->fd = STDIN_FILENO;
	while ((more = receive_text(run, reader, (unsigned int)client, &text)) > 0)
		if (answer_all(run, text))
			return -1;
	return more;
}

/* The client */

/* One request of the ones in a turn. */
struct request {
	const char *method;
	unsigned long id; /* 0: a notification */
};

static int check_reply(struct reference_run *run, const char *text, const struct request *r,
		       uint64_t checksum)
{
	static struct text expected;
	expected.size = 0;
	add_id(&expected, r->id);
	if (!strcmp(r->method, sum))
		add(&expected, ",\"result\":{\"sum\":%lu}}", (unsigned long)checksum);
	else
		add(&expected, ",\"error\":{\"code\":%s,", not_found);
	return strstr(text, expected.bytes) ? 0 : reference_wrong(run, "a wrong reply: %.200s", text);
}

/* Sends so many requests in one message, and takes the reply, if one is due. */
static int ask(struct reference_run *run, const struct request *requests, size_t count, bool batch,
	       const struct reference_head *m)
{
	static struct text t;
	struct reference_call calls[3];
	pid_t server = reference_pid(run, reference_consumer(run->consumer));
	bool due = false;
	const char *text;
	t.size = 0;
	for (size_t i = 0; i < count; i++) {
		add(&t, "%s", !batch ? "" : i ? "," : "[");
		add_request(&t, requests[i].method, requests[i].id, m);
		calls[i] = reference_calling(requests[i].method, server);
		calls[i].kind = requests[i].id ? REFERENCE_CALL : REFERENCE_ONEWAY;
		due |= requests[i].id != 0;
	}
	add(&t, "%s", batch ? "]" : "");
	if (send_text(run, pipes[run->consumer][0][1], t.bytes))
		return -1;
	reader[run->consumer].fd = pipes[run->consumer][1][0];
	if (due && receive_text(run, &reader[run->consumer], (unsigned int)server, &text) <= 0)
		return reference_wrong(run, "no reply");
	for (size_t i = 0; i < count; i++) {
		if (requests[i].id && check_reply(run, text, &requests[i], m->checksum))
			return -1;
		if (reference_called(run, &calls[i], strcmp(requests[i].method, missing) ? NULL : not_found))
			return -1;
	}
	return 0;
}

static int turns(struct reference_run *run)
{
	const struct reference_head *m;
	unsigned long id = 0;
	while ((m = reference_next(run))) {
		struct request all[] = { { sum, id + 1 }, { note, 0 }, { missing, id + 2 } };
		static const struct {
			size_t first, count;
		} kinds[] = { { 0, 1 }, { 0, 1 }, { 1, 1 }, { 2, 1 }, { 0, 3 } };
		size_t kind = m->number / run->options.consumers % 5;
		if (ask(run, all + kinds[kind].first, kinds[kind].count, kinds[kind].count > 1, m))
			return -1;
		id += 2 + m->number % 2;
	}
	return 0;
}

static int open_pipes(struct reference_run *run)
{
	unsigned long servers = run->options.consumers;
	pipes = calloc(servers, sizeof(*pipes));
	reader = calloc(servers, sizeof(*reader));
	if (!pipes || !reader)
		return reference_failed(run, "pipes");
	for (unsigned int i = 0; i < servers; i++)
		if (pipe(pipes[i][0]) || pipe(pipes[i][1]))
			return reference_failed(run, "pipe");
	return 0;
}

/* The ends that belong to the servers; or those that are the client's own. */
static void close_ends(const struct reference_run *run, bool own)
{
	for (unsigned int i = 0; i < run->options.consumers; i++) {
		close(pipes[i][0][own]);
		close(pipes[i][1][!own]);
	}
}

static int run_client(struct reference_run *run)
{
	int failed = 0;
	for (unsigned int i = 0; i < run->options.consumers && !failed; i++)
		failed = reference_start(run, REFERENCE_CONSUMER, i, serve) < 0;
	close_ends(run, false);
	if (!failed)
		failed = turns(run);
	close_ends(run, true);
	return reference_wait(run) || failed ? -1 : 0;
}

static int close_all(struct reference_run *run)
{
	(void)run;
	free(pipes);
	free(reader);
	return 0;
}

static const char *refuse(const struct reference_options *o)
{
	return o->producers > 1 ? "one client starts its servers" : NULL;
}

const struct reference reference_jsonrpc = {
	.name = "jsonrpc",
	.mechanism = "pipe",
	.summary = "JSON-RPC: a client that starts servers over a pair of pipes, as language servers are",
	.features = REFERENCE_PAIRS | REFERENCE_SIZES | REFERENCE_NO_KILL,
	.largest = LARGEST / 8,
	.variants = variants,
	.refuses = refuse,
	.open = open_pipes,
	.run = run_client,
	.close = close_all,
};
