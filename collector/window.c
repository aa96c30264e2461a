// SPDX-License-Identifier: BSD-2-Clause
/* See window.h. */
#include "window.h"

#include <stdlib.h>
#include <string.h>

static void drop_kept(struct window *w)
{
	free(w->kept);
	w->kept = NULL;
	w->have = 0;
}

void window_lose(struct window *w)
{
	drop_kept(w);
	w->at = w->moved;
	w->side.middle = true;
}

/* Keeps the bytes from `at` on. */
static bool keep(struct window *w, const uint8_t *bytes, size_t size)
{
	uint8_t *kept = size && size < PROTO_WINDOW ? malloc(size) : NULL;

	if (kept)
		memcpy(kept, bytes, size);
	drop_kept(w);
	w->kept = kept;
	w->have = kept ? (uint32_t)size : 0;
	return kept || !size;
}

/* Gives the parser the bytes at `at`. False: it has lost its place. */
static bool parse(struct window *w, const uint8_t *bytes, size_t size)
{
	const struct protocol *p = protocols[w->side.conversation->protocol];

	while (size) {
		/* More than a window is never shown, however much there is. */
		size_t shown = size < PROTO_WINDOW ? size : PROTO_WINDOW;
		int64_t n = p->parse(&w->side, bytes, shown);
		w->side.begun = true;
		if (n == PROTO_MORE)
			return keep(w, bytes, size);
		if (n < 0 || n > WINDOW_FAR)
			return false;
		w->at += (uint64_t)n;
		size_t taken = (uint64_t)n < size ? (size_t)n : size;
		bytes += taken;
		size -= taken;
	}
	drop_kept(w);
	return true;
}

/* What is kept, and behind it what comes now. */
static bool parse_joined(struct window *w, const uint8_t *bytes, size_t size)
{
	size_t all = w->have + size;
	uint8_t *joined = malloc(all);

	if (!joined)
		return false;
	memcpy(joined, w->kept, w->have);
	memcpy(joined + w->have, bytes, size);
	bool fine = parse(w, joined, all);
	free(joined);
	return fine;
}

static bool feed_stream(struct window *w, uint64_t start, const uint8_t *bytes, size_t size)
{
	if (w->at >= w->moved)
		return true; /* all of it is to be left out */
	uint64_t skip = w->at > start ? w->at - start : 0;
	if (skip >= size)
		return false;
	bool fine = w->have ? parse_joined(w, bytes, size) : parse(w, bytes + skip, size - skip);
	return fine && (w->at >= w->moved || w->at + w->have == w->moved);
}

static bool feed_datagram(struct window *w, const uint8_t *bytes, size_t size)
{
	const struct protocol *p = protocols[w->side.conversation->protocol];
	bool fine = size && p->parse(&w->side, bytes, size) > 0;

	w->side.begun = true;
	w->at = w->moved;
	return fine;
}

bool window_feed(struct window *w, uint64_t moved, const uint8_t *bytes, size_t size)
{
	uint64_t start = w->moved;
	bool stream = w->side.conversation->stream, lost = w->side.middle;

	if (size > moved)
		size = moved;
	w->moved += moved;
	bool fine = stream ? feed_stream(w, start, bytes, size) : feed_datagram(w, bytes, size);
	if (fine)
		return false;
	window_lose(w);
	return !lost || !stream;
}
