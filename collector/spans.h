/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spans: a pass over a trace that is finished, which turns messages into requests with their replies, and
 * these into trees (tables `spans` and `span_links`).
 */
#ifndef IPC_SPANS_H
#define IPC_SPANS_H

#include <sqlite3.h>
#include <stdint.h>

/* A trace of more events than these gets its spans when they are asked for, not when its recording ends. */
enum { SPANS_EVENTS_MAX = 1000000 };

/*
 * Fills `spans` and `span_links` of the trace that `db` has open for writing, outside of any transaction;
 * what they held is replaced. `meta` gets `spans` = 'built', or 'deferred' where there are more events than
 * `most` (0: no limit), or it failed. Uses memory for what is under way at a time, and some 40 bytes a span.
 * Returns 0, or -errno: then nothing else is changed.
 */
int spans_build(sqlite3 *db, uint64_t most);

#endif
