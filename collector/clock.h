/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns ticks of the time-stamp counter into nanoseconds of CLOCK_MONOTONIC.
 *
 * The kernel slews CLOCK_MONOTONIC, so a factor taken once drifts away from it. A pair (ticks, ns) is taken
 * at every scan, and the conversion is a chain of straight lines: where a pair shows that the newest line is
 * off, a new one starts at that pair's ticks and at the value that the old one gives there, tilted so that it
 * meets the kernel's clock again. So the conversion is continuous and monotone, and no tick is ever converted
 * to two different times, however late its record arrives. (Only a jump of more than a millisecond, as after
 * a suspend, breaks the chain.)
 */
#ifndef IPC_CLOCK_H
#define IPC_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

enum { CLOCK_LINES = 2048 };

struct clock_line {
	uint64_t ticks, ns; /* where it starts */
	double rate;	    /* nanoseconds a tick */
};

struct clock_pair {
	uint64_t ticks, ns;
};

struct clock {
	enum arena_clock kind;
	struct clock_pair first;
	struct clock_pair base, next_base; /* the rate is measured from `base`, some seconds back */
	bool tilted;			   /* the newest line corrects an error */
	unsigned int lines;
	struct clock_line line[CLOCK_LINES];
};

/* What the targets shall stamp with: the TSC if it is constant, never stops, and the kernel itself trusts it.
 */
enum arena_clock clock_choose(void);

/* Starts the calibration. At least one clock_sample() must come before the first conversion. */
void clock_start(struct clock *c, enum arena_clock kind);

/* Goes on with a line of another clock of this kind, so that stamps which that one would have converted are
 * converted alike. */
void clock_resume(struct clock *c, struct clock_line last);

/* Takes a pair and returns its time (CLOCK_MONOTONIC, ns). */
uint64_t clock_sample(struct clock *c);

/* The same with a pair that the caller took. */
void clock_feed(struct clock *c, struct clock_pair pair);

/* The time of a stamp. Any value is survived. */
uint64_t clock_ns(const struct clock *c, uint64_t stamp);

/* So much time, in nanoseconds. */
uint64_t clock_span(const struct clock *c, uint64_t time);

#endif
