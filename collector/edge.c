// SPDX-License-Identifier: BSD-2-Clause
/* The latency histogram of an edge (edge.h). Without memory a value counts towards minimum and maximum only.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "edge.h"

static unsigned int octave_of(uint64_t ns)
{
	return ns < LATENCY_BUCKETS ? 0 : 59 - __builtin_clzll(ns);
}

static uint64_t *bucket_of(struct latency *l, uint64_t ns)
{
	unsigned int octave = octave_of(ns);
	if (!l->octave[octave])
		l->octave[octave] = calloc(LATENCY_BUCKETS, sizeof(uint64_t));
	if (!l->octave[octave])
		return NULL;
	return &l->octave[octave][octave ? (ns >> (octave - 1)) & (LATENCY_BUCKETS - 1) : ns];
}

/* The middle of a bucket. */
static uint64_t bucket_value(unsigned int octave, unsigned int bucket)
{
	if (!octave)
		return bucket;
	return ((uint64_t)(LATENCY_BUCKETS + bucket) << (octave - 1)) + (1ULL << (octave - 1)) / 2;
}

static void count(struct latency *l, uint64_t ns)
{
	uint64_t *bucket = bucket_of(l, ns);
	if (bucket)
		++*bucket;
}

static bool make_histogram(struct latency *l)
{
	l->octave = calloc(LATENCY_OCTAVES, sizeof(*l->octave));
	if (!l->octave)
		return false;
	for (unsigned int i = 0; i < LATENCY_RAW; i++)
		count(l, l->raw[i]);
	free(l->raw);
	l->raw = NULL;
	return true;
}

static bool grow_raw(struct latency *l)
{
	if (l->count & (l->count - 1))
		return true;
	uint64_t *raw = realloc(l->raw, (l->count ? l->count * 2 : 1) * sizeof(*raw));
	if (!raw)
		return false;
	l->raw = raw;
	return true;
}

void latency_add(struct latency *l, uint64_t ns)
{
	if (!l->count || ns < l->min)
		l->min = ns;
	if (ns > l->max)
		l->max = ns;
	if (l->octave || (l->count == LATENCY_RAW && make_histogram(l)))
		count(l, ns);
	else if (l->count < LATENCY_RAW && grow_raw(l))
		l->raw[l->count] = ns;
	else
		return;
	l->count++;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static uint64_t within(const struct latency *l, uint64_t ns)
{
	return ns < l->min ? l->min : ns > l->max ? l->max : ns;
}

static uint64_t rank_of(const struct latency *l, unsigned int percent)
{
	uint64_t rank = l->count / 100 * percent + (l->count % 100 * percent + 99) / 100;
	return rank ? rank : 1;
}

/* A place in the histogram, and how many values are in front of it. */
struct place {
	unsigned int octave, bucket;
	uint64_t before;
};

/* Moves on to the bucket that has the value of this rank. */
static uint64_t seek(const struct latency *l, struct place *p, uint64_t rank)
{
	for (; p->octave < LATENCY_OCTAVES; p->octave++, p->bucket = 0) {
		const uint64_t *octave = l->octave[p->octave];
		for (; octave && p->bucket < LATENCY_BUCKETS; p->bucket++) {
			if (p->before + octave[p->bucket] >= rank)
				return within(l, bucket_value(p->octave, p->bucket));
			p->before += octave[p->bucket];
		}
	}
	return l->max;
}

void latency_percentiles(struct latency *l, const unsigned int *percent, uint64_t *ns, unsigned int n)
{
	struct place place = { 0 };
	if (!l->octave && l->count)
		qsort(l->raw, l->count, sizeof(*l->raw), ascending);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t rank = rank_of(l, percent[i]);
		if (l->octave)
			ns[i] = seek(l, &place, rank);
		else
			ns[i] = l->count ? l->raw[rank - 1] : 0;
	}
}

void latency_free(struct latency *l)
{
	free(l->raw);
	for (unsigned int i = 0; l->octave && i < LATENCY_OCTAVES; i++)
		free(l->octave[i]);
	free(l->octave);
	*l = (struct latency){ 0 };
}
