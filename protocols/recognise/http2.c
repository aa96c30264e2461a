// SPDX-License-Identifier: BSD-2-Clause
/* HTTP/2 (RFC 9113): the client's preface, or the SETTINGS that the server begins with. */
#include "recognise.h"

enum {
	FRAME_HEAD = 9,
	FRAME_SETTINGS = 4,
	FRAME_TYPES = 10,
	SETTING = 6,
	SETTINGS_MAX = 20 * SETTING, /* ten are defined */
};

static bool preface(const uint8_t *bytes, size_t size)
{
	static const char wanted[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	size_t i = 0;
	while (wanted[i] && i < size && bytes[i] == (uint8_t)wanted[i])
		i++;
	return !wanted[i];
}

/* Those that are defined, those reserved to be ignored (RFC 8701's pattern), and gRPC's own. */
static bool known_setting(unsigned int number)
{
	return (number && number <= 0x10) || (number & 0x0f0f) == 0x0a0a || number >= 0xf000;
}

static size_t frame_length(const uint8_t *bytes)
{
	return (size_t)bytes[0] << 16 | (size_t)bytes[1] << 8 | bytes[2];
}

static bool of_no_stream(const uint8_t *bytes)
{
	return !(bytes[5] | bytes[6] | bytes[7] | bytes[8]);
}

/* The head of a frame of a kind that is defined, of one stream or of none, as its kind has it; so many zeros
 * are none. */
static bool frame(const uint8_t *bytes)
{
	/* DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION; SETTINGS, PING, GOAWAY */
	static const unsigned int of_streams = 0x22f, of_none = 0x0d0;
	unsigned int kind = bytes[3];
	return kind < FRAME_TYPES && bytes[5] < 0x80 &&
	       !((of_no_stream(bytes) ? of_streams : of_none) >> kind & 1);
}

/* Only as many bytes as are looked at are judged, but what follows the SETTINGS must look like a frame too:
 * the first bytes are mostly zero and might stand in anything. */
static bool settings(const uint8_t *bytes, size_t size)
{
	if (size < FRAME_HEAD || bytes[3] != FRAME_SETTINGS || bytes[4] || !of_no_stream(bytes))
		return false;
	size_t end = FRAME_HEAD + frame_length(bytes);
	if (end > FRAME_HEAD + SETTINGS_MAX || (end - FRAME_HEAD) % SETTING || end > size)
		return false;
	for (size_t i = FRAME_HEAD; i < end; i += SETTING) {
		if (!known_setting((unsigned int)bytes[i] << 8 | bytes[i + 1]))
			return false;
	}
	return end == size || (size - end >= FRAME_HEAD && frame(bytes + end));
}

bool ipc_is_http2(const uint8_t *bytes, size_t size, bool stream)
{
	return stream && (preface(bytes, size) || settings(bytes, size));
}
