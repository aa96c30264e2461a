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

/* Gives the parser the bytes at `at`; `hole` more are missing behind them. False: it has lost its place. */
static bool parse(struct window *w, const uint8_t *bytes, size_t size, uint64_t hole)
{
	const struct protocol *p = protocols[w->side.conversation->protocol];

	while (size) {
		/* More than a window is never shown, however much there is. */
		size_t shown = size < PROTO_WINDOW ? size : PROTO_WINDOW;
		w->side.hole = shown == size ? hole : 0;
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
static bool parse_joined(struct window *w, const uint8_t *bytes, size_t size, uint64_t hole)
{
	size_t all = w->have + size;
	uint8_t *joined = malloc(all);

	if (!joined)
		return false;
	memcpy(joined, w->kept, w->have);
	memcpy(joined + w->have, bytes, size);
	bool fine = parse(w, joined, all, hole);
	free(joined);
	return fine;
}

/* Where `at` is among `size` bytes that begin at `start`; `size`: not there. */
static size_t place_in(const struct window *w, uint64_t start, size_t size)
{
	uint64_t place = w->at > start ? w->at - start : 0;
	return place < size ? (size_t)place : size;
}

/* The first `head` bytes of the call, and the last `tail`. */
static bool feed_stream(struct window *w, uint64_t start, const uint8_t *bytes, size_t head, size_t tail)
{
	uint64_t back = w->moved - tail, hole = back - start - head;
	if (w->at >= w->moved)
		return true; /* all of it is to be left out */
	size_t skip = place_in(w, start, head);
	w->side.tail = (struct proto_text){ (const char *)bytes + head, tail };
	if (skip < head &&
	    !(w->have ? parse_joined(w, bytes, head, hole) : parse(w, bytes + skip, head - skip, hole)))
		return false;
	if (tail && w->at >= back && w->at < w->moved) {
		skip = (size_t)(w->at - back);
		w->side.tail.size = 0;
		if (!parse(w, bytes + head + skip, tail - skip, 0))
			return false;
	}
	return w->at >= w->moved || w->at + w->have == w->moved;
}

static bool feed_datagram(struct window *w, const uint8_t *bytes, size_t size)
{
	const struct protocol *p = protocols[w->side.conversation->protocol];
	bool fine = size && p->parse(&w->side, bytes, size) > 0;

	w->side.begun = true;
	w->at = w->moved;
	return fine;
}

bool window_feed(struct window *w, uint64_t moved, const uint8_t *bytes, size_t size, size_t tail)
{
	uint64_t start = w->moved;
	bool stream = w->side.conversation->stream, lost = w->side.middle;

	if (size >= moved)
		size = moved, tail = 0;
	w->moved += moved;
	bool fine = stream ? feed_stream(w, start, bytes, size - tail, tail)
			   : feed_datagram(w, bytes, size - tail);
	if (fine)
		return false;
	window_lose(w);
	return !lost || !stream;
}
