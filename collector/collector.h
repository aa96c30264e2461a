/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The collector turns the sources' records (common/event.h) into the trace file:
 *
 *	collector_record -> order -> join -> match -> store
 *
 * It knows no source's transport and no output format. Single-threaded: all functions of one collector
 * are called from one thread. Records of one thread come in the order in which that thread emitted them;
 * records of different threads in any order; definitions may come after the events that use them.
 * Times are CLOCK_MONOTONIC nanoseconds here.
 */
#ifndef IPC_COLLECTOR_H
#define IPC_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "calls.h"
#include "event.h"
#include "histogram.h"
#include "journal.h"

struct collector;

enum collector_source { COLLECTOR_SHIM, COLLECTOR_BPF, COLLECTOR_SOURCES };

/*
 * Creates the trace file `path` (which must not exist) and the collector. Returns 0 or -errno.
 * The caller ends it with collector_close().
 */
int collector_open(struct collector **out, const char *path);

/* Before anything else: all that it is given stands in a journal as well, until collector_close(). Without
 * room for one the collector does without. */
void collector_keep(struct collector *c, const char *path, const char *id);

/* The journal, for the source's own notes and marks; collector_step() makes a mark too. NULL: there is none.
 */
struct journal *collector_journal(const struct collector *c);

/* As collector_open(), of a recording that began at `start_ns` and of which a journal tells: what it has,
 * NOTEs and MARKs excepted, is given to collector_resume_op(). */
int collector_resume(struct collector **out, const char *path, uint64_t start_ns);
void collector_resume_op(struct collector *c, enum journal_op op, unsigned int of, const void *data,
			 size_t size);

/* Before the first record: only what passes through channels of these mechanisms is stored (a set of 1 <<
 * enum ipc_mechanism); processes are rows whatever they do. `outlive`: that they go on when the recording
 * ends is no loss. */
void collector_select(struct collector *c, uint64_t mechanisms, bool outlive);

/* Before the first record, if it is not so by itself: `protocols`: payloads are looked at (they are); so many
 * bytes of each are stored (0). */
void collector_bytes(struct collector *c, bool protocols, uint32_t capture);

/* Before the first record: children of who is recorded are not. */
void collector_alone(struct collector *c);

/* The recording ends before who is recorded does: that they go on is no loss. */
void collector_outlived(struct collector *c);

/* The recorder was killed, and eBPF ended with it: who was recorded by that and still ran then is
 * `bpf-ended`. */
void collector_recovered(struct collector *c);

/* Before the first record: the trace, when it is closed, shall have at most so many bytes (what processes
 * share and hold at the end aside, which costs some 100 each). Before it would have more it is full. */
void collector_limit(struct collector *c, int64_t bytes);

/* Whether it is: the recording has ended then, at the last record that was handed on, in the order of time;
 * of all behind that nothing is stored. */
bool collector_full(const struct collector *c);

/* Before the first record, but when those who run already are recorded: looks again at what queues hold,
 * which was sent by nobody known. */
void collector_look_around(struct collector *c);

/* Sets a key of `meta`. The value is copied. */
void collector_meta(struct collector *c, const char *key, const char *value);

/* One event, or one definition with its text behind it; nothing is kept of the memory. Never fails: what
 * makes no sense is counted as a loss (`rejected`). */
void collector_record(struct collector *c, enum collector_source source, const struct ipc_event *slots);

/* Adds to a loss that is not a record of its own. `pid` 0: no process in particular. */
void collector_loss(struct collector *c, enum collector_source source, enum ipc_reason reason, int pid,
		    const char *comm, uint64_t count);

/* A loss that was counted on one processor: so many more, `first_ns` the first of all and `last_ns` the last.
 */
struct collector_lost {
	enum ipc_reason reason;
	enum ipc_mechanism mechanism; /* IPC_MECH_none: of none in particular */
	int processor;
	uint64_t count, first_ns, last_ns;
};
void collector_lost(struct collector *c, enum collector_source source, const struct collector_lost *l);

/* The channels' sends and receives come as totals: rows of `aggregates`, and edges as far as they follow from
 * those. Told before anything is recorded. */
void collector_aggregate(struct collector *c);

/* Calls of one kind by one process on one object, that have no events of their own: because all are counted,
 * or because these were dropped; then the channel is marked partial. */
struct collector_total {
	uint32_t image;
	uint16_t call; /* enum ipc_call_id; IPC_CALL_none: of any */
	uint8_t verb;  /* enum ipc_verb */
	bool dropped;  /* else counted: the fields behind `moved_ns` are told too */
	uint64_t object;
	uint64_t other; /* of a datagram socket: the address at the other side */
	uint64_t calls;
	uint64_t moved, bytes, moved_ns; /* calls that moved something, what, and how long they took */
	uint64_t errors;
	uint64_t ns, min_ns, max_ns; /* durations of all calls */
	uint64_t first_ns, last_ns;  /* begin of the first and end of the last; 0: not known */
	uint64_t since_ns;	     /* when counting began */
	uint32_t histogram[IPC_BUCKETS];
};

/* They ended before `time`. */
void collector_total(struct collector *c, enum collector_source source, uint64_t time,
		     const struct collector_total *t);

/* What a process did to a semaphore or lock and was counted where it happened: so many more sends, and
 * receives of what `from` had given (an image; 0: nobody known), between these times. `doubtful`: the object
 * was used by somebody else too. */
struct collector_count {
	uint32_t image, from;
	uint64_t object, sends, receives, first_ns, last_ns;
	bool doubtful;
};
void collector_counted(struct collector *c, enum collector_source source, const struct collector_count *n);

/* Every event of this source that ended at or before `ns` has been given to collector_record. A source
 * that was never heard of does not hold the order back. */
void collector_watermark(struct collector *c, enum collector_source source, uint64_t ns);

/* Orders, matches and stores what the watermarks allow, and commits when due (10,000 rows or 100 ms).
 * Returns 0, or -errno of the store (disk full): what was committed stays readable, later records are
 * counted and dropped. */
int collector_step(struct collector *c);

/* How many of the processes seen have not ended: those still running now. */
unsigned int collector_running(const struct collector *c);

/* Treats all that came as final, matches the rest, writes the roll-ups, makes the file one plain database
 * (no WAL) and frees the collector, also when it fails. `end_ns`: when the recording ended. Processes that
 * have not ended are counted `outlived`. Returns 0 or -errno. */
int collector_close(struct collector *c, uint64_t end_ns);

#endif
