/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latencies of an edge: minimum and maximum exactly, percentiles within 3 %.
 *
 * The first LATENCY_RAW values are kept as they are; then a histogram takes over whose octaves of 32 buckets
 * are allocated when a value first falls into them. An edge with one message costs 32 bytes, a busy one
 * about 2 KiB.
 */
#ifndef IPC_EDGE_H
#define IPC_EDGE_H

#include <stdint.h>

enum { LATENCY_RAW = 64, LATENCY_OCTAVES = 60, LATENCY_BUCKETS = 32 };

struct latency {
	uint64_t count, min, max;
	uint64_t *raw;	   /* room doubles up to LATENCY_RAW; NULL once there is a histogram */
	uint64_t **octave; /* [0]: values below 32, one each; [n]: 32 equal parts of 2^(n+4) .. 2^(n+5) */
};

/* Zeroed: no value yet. */
void latency_add(struct latency *l, uint64_t ns);
/* Fills `ns` with the percentiles asked for, ascending (0 without values): the value of rank
 * ceil(percent / 100 * count). */
void latency_percentiles(struct latency *l, const unsigned int *percent, uint64_t *ns, unsigned int n);
void latency_free(struct latency *l);

#endif
