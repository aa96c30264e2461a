// SPDX-License-Identifier: BSD-2-Clause
/*
 * Names in a trace come from programs and may hold anything: what leaves here is valid JSON, or harmless on a
 * terminal.
 */
#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <wchar.h>

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
	case UNIT_ID:
	case UNIT_BAR:
	case UNIT_TEXT:
	case UNIT_ANY:
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

static uint32_t code_point(const char *string, size_t len)
{
	const unsigned char *s = (const unsigned char *)string;
	uint32_t c = len == 1 ? s[0] : s[0] & (0xff >> (len + 1));

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (s[i] & 0x3f);
	return c;
}

/* What a terminal takes for more than a character: controls, and what turns the direction of writing around.
 */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static void json_control(FILE *out, uint32_t c)
{
	static const char escapes[] = "b\bf\fn\nr\rt\t";
	const char *e = c && c < 0x20 ? strchr(escapes, (int)c) : NULL;

	if (e)
		fprintf(out, "\\%c", e[-1]);
	else
		fprintf(out, "\\u%04x", c);
}

void json_string(FILE *out, const char *s, size_t n)
{
	fputc('"', out);
	for (size_t len; n; s += len, n -= len) {
		size_t valid = utf8_length(s, n);
		uint32_t c = valid ? code_point(s, valid) : 0xfffd;
		len = valid ? valid : 1;
		if (is_control(c) || !valid) {
			json_control(out, c);
			continue;
		}
		if (c == '"' || c == '\\')
			fputc('\\', out);
		fwrite(s, 1, valid, out);
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
		len = valid ? valid : 1;
		if (valid && !is_control(code_point(s, valid)))
			p = mempcpy(p, s, len);
		else
			for (size_t i = 0; i < len; i++)
				p += sprintf(p, "\\x%02x", (unsigned char)s[i]);
	}
	*p = 0;
	return out;
}

/* Columns of one character, by libc's table for UTF-8, whatever the user's locale is. */
static size_t width_of(uint32_t c)
{
	static locale_t utf8;

	if (c < 0x7f)
		return 1;
	if (!utf8)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	locale_t old = utf8 ? uselocale(utf8) : NULL;
	int width = utf8 ? wcwidth((wchar_t)c) : 1;
	if (utf8)
		uselocale(old);
	return width < 0 ? 1 : (size_t)width;
}

size_t text_within(const char *s, size_t width)
{
	size_t n = 0;

	while (s[n]) {
		size_t len = utf8_length(s + n, strnlen(s + n, 4)), columns;
		len = len ? len : 1;
		columns = width_of(code_point(s + n, len));
		if (columns > width)
			break;
		width -= columns;
		n += len;
	}
	return n;
}

size_t text_width(const char *s)
{
	size_t width = 0;

	for (size_t len; *s; s += len) {
		len = (unsigned char)*s < 0x80 ? 1 : utf8_length(s, strnlen(s, 4));
		len = len ? len : 1;
		width += width_of(code_point(s, len));
	}
	return width;
}
