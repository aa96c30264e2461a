/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes through the parser of one protocol, as the collector gives them (collector/window.h): both ways
 *of a conversation, in calls of any size, some without their bytes. A target is
 *
 *	#include "parser.h"
 *	FUZZ_PARSER(http)
 *
 * Input: a byte of settings (1: datagrams, 2: both ways from the middle), then calls: a byte (1: the other
 * way, 2: the last half of it is not seen, 4: none of it is, 8: but for the last quarter), how many bytes it
 * moves in two, and these.
 */
#ifndef FUZZ_PARSER_H
#define FUZZ_PARSER_H

#include <stdlib.h>
#include <string.h>

#include "window.h"

static volatile unsigned char fuzz_sum;

/* Every byte of it is there to be read. */
static void fuzz_read(struct proto_text text)
{
	for (size_t i = 0; text.at && i < text.size; i++)
		fuzz_sum += (unsigned char)text.at[i];
}

static void fuzz_noted(struct proto_side *side, const struct proto_note *note)
{
	const struct proto_text texts[] = { note->name, note->status,	 note->sender, note->destination,
					    note->path, note->interface, note->member, note->signature };

	if (!side->context || note->kind >= PROTO_KINDS || note->offset > PROTO_WINDOW)
		abort();
	for (unsigned int i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		fuzz_read(texts[i]);
}

static void fuzz_begin(struct proto_conversation *conversation, struct window *ways, unsigned int settings)
{
	conversation->stream = !(settings & 1);
	for (int i = 0; i < 2; i++)
		ways[i].side = (struct proto_side){ .conversation = conversation,
						    .other = &ways[!i].side,
						    .middle = settings & 2,
						    .noted = fuzz_noted,
						    .context = &ways[i] };
}

/* In memory of exactly its size, so that reads beyond it are found. */
static void fuzz_feed(struct window *w, const uint8_t *bytes, size_t moved, unsigned int seen)
{
	size_t head = seen & 4 ? 0 : seen & 2 ? moved / 2 : moved, tail = seen & 8 ? moved / 4 : 0;
	if (head + tail > moved)
		tail = moved - head;
	uint8_t *exact = malloc(head + tail ? head + tail : 1);

	if (!exact)
		abort();
	memcpy(exact, bytes, head);
	memcpy(exact + head, bytes + moved - tail, tail);
	window_feed(w, moved, exact, head + tail, tail);
	free(exact);
	if (w->have && w->at + w->have != w->moved)
		abort();
}

static void fuzz_parser(enum ipc_protocol protocol, const uint8_t *data, size_t size)
{
	struct proto_conversation conversation = { .protocol = protocol };
	struct window ways[2] = { 0 };
	const uint8_t *end = data + size;

	fuzz_begin(&conversation, ways, size ? *data++ : 0);
	while (end - data > 3) {
		unsigned int how = data[0];
		size_t moved = (size_t)(data[1] | data[2] << 8);
		data += 3;
		if (moved > (size_t)(end - data))
			moved = (size_t)(end - data);
		fuzz_feed(&ways[how & 1], data, moved, how);
		data += moved;
	}
	if (protocols[protocol]->close)
		protocols[protocol]->close(&conversation);
	window_lose(&ways[0]);
	window_lose(&ways[1]);
}

/* The recogniser reads no further either. */
static void fuzz_recogniser(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	if (!exact)
		abort();
	memcpy(exact, data, size);
	ipc_recognise(exact, size, true);
	ipc_recognise(exact, size, false);
	free(exact);
}

#define FUZZ_PARSER(name)                                                                                    \
	int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);                                        \
	int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                         \
	{                                                                                                    \
		fuzz_recogniser(data, size);                                                                 \
		fuzz_parser(IPC_PROTO_##name, data, size);                                                   \
		return 0;                                                                                    \
	}

#endif
