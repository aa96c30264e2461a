/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * A histogram of durations with two buckets for each power of two: a bucket ends where the next one begins,
 * a half or a third above. Bucket 0 has all below its end, the last one all from its beginning on.
 */
#ifndef IPC_HISTOGRAM_H
#define IPC_HISTOGRAM_H

#include <linux/types.h>

enum { IPC_BUCKETS = 64, IPC_BUCKET_OCTAVE = 6 /* the first one that has buckets of its own: from 64 ns */ };

/* Where the bucket begins, in nanoseconds; the first one: 0. */
static inline __u64 ipc_bucket_from(__u32 bucket)
{
	__u64 octave = 1ULL << (IPC_BUCKET_OCTAVE + bucket / 2);

	return bucket ? octave + (bucket % 2) * (octave / 2) : 0;
}

/* The bucket of a duration. Without clz, which eBPF has not, and without branches: its verifier would go
 * through every way to take them. */
static inline __u32 ipc_bucket(__u64 ns)
{
	__u32 octave = 0, n;
	__u64 rest = ns;

	for (__u32 half = 32; half; half /= 2) {
		__u64 below = (1ULL << half) - 1 - rest; /* negative: rest has bits from `half` on */
		__u32 step = (__u32)((below | rest) >> 63) * half; /* or even the highest one */
		rest >>= step;
		octave += step;
	}
	if (octave < IPC_BUCKET_OCTAVE)
		return 0;
	n = 2 * (octave - IPC_BUCKET_OCTAVE) + (ns >> (octave - 1) & 1);
	return n < IPC_BUCKETS ? n : IPC_BUCKETS - 1;
}

#endif
