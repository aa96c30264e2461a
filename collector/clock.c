/* SPDX-License-Identifier: BSD-2-Clause */
/* TSC calibration, see clock.h. */
#include "clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "arch.h"

enum {
	TRIES = 8,	      /* the tightest of so many pairs is taken */
	TOLERANCE_NS = 25,    /* a pair is not more exact than this */
	JUMP_NS = 1000000,    /* beyond this nothing is smoothed: the machine slept */
	TILT_NS = 100000000,  /* an error is corrected over this time */
	BASE_NS = 1000000000, /* and the rate measured over one to two of these */
};

static uint64_t ns_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool cpu_has(const char *flags, const char *flag)
{
	size_t len = strlen(flag);
	for (const char *at = flags; (at = strstr(at, flag)); at += len)
		if (at[-1] == ' ' && (at[len] == ' ' || at[len] == '\n' || !at[len]))
			return true;
	return false;
}

static bool tsc_is_sound(void)
{
	char line[8192];
	bool sound = false;
	FILE *file = fopen("/proc/cpuinfo", "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "flags", 5))
			continue;
		sound = cpu_has(line, "constant_tsc") && cpu_has(line, "nonstop_tsc");
		break;
	}
	fclose(file);
	return sound;
}

enum arena_clock clock_choose(void)
{
	char source[32] = "";
	FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	if (file) {
		if (!fgets(source, sizeof(source), file))
			source[0] = '\0';
		fclose(file);
	}
	return !strcmp(source, "tsc\n") && tsc_is_sound() ? ARENA_CLOCK_TSC : ARENA_CLOCK_MONOTONIC;
}

static uint64_t on_line(const struct clock_line *line, uint64_t ticks)
{
	const int64_t limit = 1LL << 58;
	int64_t distance = (int64_t)(ticks - line->ticks);
	distance = distance > limit ? limit : distance < -limit ? -limit : distance;
	return line->ns + (uint64_t)(int64_t)((double)distance * line->rate);
}

uint64_t clock_ns(const struct clock *c, uint64_t stamp)
{
	if (c->kind == ARENA_CLOCK_MONOTONIC)
		return stamp;
	unsigned int low = 0, high = c->lines; /* the last line that starts at or before the stamp */
	if (high > 1 && (int64_t)(stamp - c->line[high - 1].ticks) >= 0)
		low = high - 1;
	while (high - low > 1) {
		unsigned int middle = (low + high) / 2;
		if ((int64_t)(stamp - c->line[middle].ticks) >= 0)
			low = middle;
		else
			high = middle;
	}
	return on_line(&c->line[low], stamp);
}

/* When the table is full every second line of its older half goes: the rest is the same to some nanoseconds.
 */
static void add_line(struct clock *c, struct clock_line line)
{
	if (c->lines == CLOCK_LINES) {
		unsigned int kept = 0;
		for (unsigned int i = 0; i < CLOCK_LINES; i++)
			if (i >= CLOCK_LINES / 2 || i % 2 == 0)
				c->line[kept++] = c->line[i];
		c->lines = kept;
	}
	c->line[c->lines++] = line;
}

static void restart(struct clock *c, struct clock_pair pair)
{
	double rate = c->line[c->lines - 1].rate;
	if (pair.ticks <= c->line[c->lines - 1].ticks) /* the counter began again: lines stay sorted */
		c->lines = 0;
	c->base = c->next_base = pair;
	add_line(c, (struct clock_line){ pair.ticks, pair.ns, rate });
}

static double measured_rate(struct clock *c, struct clock_pair pair)
{
	double rate = (double)(pair.ns - c->base.ns) / (double)(pair.ticks - c->base.ticks);
	if (pair.ns - c->next_base.ns >= BASE_NS) {
		c->base = c->next_base;
		c->next_base = pair;
	}
	return rate;
}

void clock_feed(struct clock *c, struct clock_pair pair)
{
	struct clock_line *last = &c->line[c->lines - 1];
	if (!c->lines) { /* nothing was converted yet: the chord is the best first line */
		if (pair.ticks > c->first.ticks)
			add_line(c,
				 (struct clock_line){ c->first.ticks, c->first.ns, measured_rate(c, pair) });
		return;
	}
	uint64_t ns = on_line(last, pair.ticks);
	double error = (double)(int64_t)(pair.ns - ns);
	if (error > JUMP_NS || error < -JUMP_NS || pair.ticks <= last->ticks) {
		restart(c, pair);
		return;
	}
	if (pair.ticks <= c->base.ticks || pair.ns <= c->base.ns)
		return;
	double rate = measured_rate(c, pair);
	bool off = error > TOLERANCE_NS || error < -TOLERANCE_NS;
	bool met = pair.ns - last->ns >= TILT_NS && c->tilted;
	if (off || met)
		add_line(c, (struct clock_line){ pair.ticks, ns, rate * (1 + error / TILT_NS) });
	if (off || met)
		c->tilted = off;
}

void clock_resume(struct clock *c, struct clock_line last)
{
	const struct clock_pair from = { last.ticks, last.ns };
	if (c->kind == ARENA_CLOCK_MONOTONIC)
		return;
	c->lines = 0;
	c->first = c->base = c->next_base = from;
	add_line(c, last);
}

static struct clock_pair tightest(void)
{
	struct clock_pair best = { 0 };
	uint64_t best_width = UINT64_MAX;
	for (int i = 0; i < TRIES; i++) {
		uint64_t before = arch_ticks(), ns = ns_now(), width = arch_ticks() - before;
		if (width < best_width) {
			best = (struct clock_pair){ before + width / 2, ns };
			best_width = width;
		}
	}
	return best;
}

void clock_start(struct clock *c, enum arena_clock kind)
{
	memset(c, 0, sizeof(*c));
	c->kind = kind;
	c->first = c->base = c->next_base = tightest();
}

uint64_t clock_sample(struct clock *c)
{
	if (c->kind == ARENA_CLOCK_MONOTONIC)
		return ns_now();
	struct clock_pair pair = tightest();
	clock_feed(c, pair);
	return clock_ns(c, pair.ticks);
}

uint64_t clock_span(const struct clock *c, uint64_t time)
{
	return clock_ns(c, c->first.ticks + time) - clock_ns(c, c->first.ticks);
}
