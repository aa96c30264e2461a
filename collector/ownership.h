/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The matcher of locks: whose release made an acquisition possible. A lock has bytes (a plain one: all), and
 * who owns some of them may have them alone or share them.
 *
 * An owner has its bytes for certain from the end of the call that acquired them to the start of the call
 * that releases them. Of two owners that exclude each other these times are apart: so the ends of the
 * acquiring calls are the kernel's order, however the calls overlap. What an acquisition takes over is, for
 * each byte, the last release of those that it excludes and comes behind. Calls come ordered by their end:
 * where that release has not come yet it is waited for.
 *
 *	A  [lock].......[unlock           ]
 *	B        [lock                ].......     B took it over from A, whose call ends later
 *
 * Only between owners that shared the bytes the order of the releases may be open (their calls overlap):
 * then what is said of who was the last is not exact. A release that nobody saw is known when another has the
 * bytes, but not whose call it was: that acquisition is unmatched.
 *
 * A message is one release and one process (endpoint) that acquires: who shares again what it has shared
 * since takes nothing over, and nobody takes over from itself.
 */
#ifndef IPC_OWNERSHIP_H
#define IPC_OWNERSHIP_H

#include "match.h"

enum {
	OWNERSHIP_RELEASED_MAX =
		1024, /* pieces whose release is remembered; beyond it the oldest is forgotten */
	OWNERSHIP_WAITING_MAX = 1024, /* acquisitions; beyond it the oldest is unmatched */
};

struct ownership_range {
	uint64_t first, last;
};

#define OWNERSHIP_ALL ((struct ownership_range){ 0, UINT64_MAX })

struct ownership_sink {
	void (*message)(void *context, const struct match_message *m); /* bytes 0 */
	/* Another had it until shortly before, and no release was seen. */
	void (*unmatched)(void *context, const struct match_call *acquisition);
};

/* Zeroed it is valid; set sink and context. */
struct ownership {
	const struct ownership_sink *sink;
	void *context;
	/* the matcher's own */
	struct ownership_piece *pieces; /* by the end of the call that acquired them */
	struct ownership_wait *waits;
	uint32_t piece_count, piece_room, wait_count, wait_room;
	bool forgetful; /* a release was forgotten: nothing is exact any more */
};

/* A call that acquired these bytes, or some of them anew: what the owner has already it keeps, but for how.
 */
void ownership_acquire(struct ownership *o, const struct match_call *call, uint64_t owner,
		       struct ownership_range range, bool shared);
/* A call that released those of them that the owner had. */
void ownership_release(struct ownership *o, const struct match_call *call, uint64_t owner,
		       struct ownership_range range);
/* Whether the owner has any. */
bool ownership_has(const struct ownership *o, uint64_t owner);
/* Whether it has any that it shares, or (`shared` false) has alone. */
bool ownership_has_so(const struct ownership *o, uint64_t owner, bool shared);
/* By when the owner must have released something, since another acquired it; UINT64_MAX: it need not. */
uint64_t ownership_missed(const struct ownership *o, uint64_t owner);
/* Nothing more will come: what waits is unmatched; frees all memory. */
void ownership_settle(struct ownership *o);

#endif
