// SPDX-License-Identifier: BSD-2-Clause
/*
 * Names in a trace come from programs and may hold anything: what leaves here is valid JSON, or harmless on a
 * terminal.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "units.h"

struct scale {
	double from; /* the smallest value shown in it */
	double divisor;
	const char *format;
};

/* From 999.95 on "%.1f" would round up to 1000.0: the next unit begins there. */
static const struct scale durations[] = {
	{ 999.95e6, 1e9, "%.1f s" },
	{ 999.95e3, 1e6, "%.1f ms" },
	{ 1000, 1e3, "%.1f us" },
	{ 0, 1, "%.0f ns" },
};

#define KIB 1024.0
static const struct scale sizes[] = {
	{ 1023.95 * KIB * KIB * KIB, KIB *KIB *KIB *KIB, "%.1f TiB" },
	{ 1023.95 * KIB * KIB, KIB *KIB *KIB, "%.1f GiB" },
	{ 1023.95 * KIB, KIB *KIB, "%.1f MiB" },
	{ 1024, KIB, "%.1f KiB" },
	{ 0, 1, "%.0f B" },
};

static int scaled(char *out, size_t size, const struct scale *s, int64_t value)
{
	double magnitude = value < 0 ? -(double)value : (double)value;

	while (magnitude < s->from)
		s++;
	return snprintf(out, size, s->format, (double)value / s->divisor);
}

int unit_format(char *out, size_t size, enum unit unit, int64_t value, uint64_t start_ns)
{
	switch (unit) {
	case UNIT_BYTES:
		return scaled(out, size, sizes, value);
	case UNIT_DURATION:
		return scaled(out, size, durations, value);
	case UNIT_TIME:
		return snprintf(out, size, "%.6f", (double)(value - (int64_t)start_ns) / 1e9);
	case UNIT_STATUS:
		if (WIFEXITED((int)value))
			return snprintf(out, size, "%d", WEXITSTATUS((int)value));
		return snprintf(out, size, "SIG%s", sigabbrev_np(WTERMSIG((int)value)) ?: "?");
	case UNIT_TEXT:
	case UNIT_NUMBER:
		break;
	}
	return snprintf(out, size, "%lld", (long long)value);
}

size_t utf8_length(const char *string, size_t n)
{
	const unsigned char *s = (const unsigned char *)string;
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;

	if (len > n || (len == 4 && (s[0] < 0xf0 || s[0] > 0xf4)))
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than need be, surrogates, beyond U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return len;
}

static void json_ascii(FILE *out, unsigned char c)
{
	static const char escapes[] = "b\bf\fn\nr\rt\t";
	const char *e = c ? strchr(escapes, c) : NULL;

	if (c == '"' || c == '\\')
		fprintf(out, "\\%c", c);
	else if (c < 0x20 && e)
		fprintf(out, "\\%c", e[-1]);
	else if (c < 0x20 || c == 0x7f)
		fprintf(out, "\\u%04x", c);
	else
		fputc(c, out);
}

void json_string(FILE *out, const char *s, size_t n)
{
	fputc('"', out);
	for (size_t len; n; s += len, n -= len) {
		size_t valid = utf8_length(s, n);
		len = valid ? valid : 1;
		if (valid == 1)
			json_ascii(out, *s);
		else if (valid)
			fwrite(s, 1, valid, out);
		else
			fputs("\\ufffd", out);
	}
	fputc('"', out);
}

char *text_printable(const char *s, size_t n)
{
	char *out = malloc(4 * n + 1), *p = out;

	if (!out)
		return NULL;
	for (size_t len; n; s += len, n -= len) {
		size_t valid = utf8_length(s, n);
		unsigned char c = *s;
		/* U+0080 to U+009F are control characters too. */
		bool control =
			c < 0x20 || c == 0x7f || (valid == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0);
		len = valid && !control ? valid : 1;
		if (valid && !control)
			p = mempcpy(p, s, len);
		else
			p += sprintf(p, "\\x%02x", c);
	}
	*p = 0;
	return out;
}

size_t text_width(const char *s)
{
	size_t width = 0;

	for (; *s; s++)
		width += (*s & 0xc0) != 0x80;
	return width;
}
