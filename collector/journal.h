/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a collector was given, in a file beside the trace while a recording goes on: should the recorder be
 * killed, `ipctrace recover` gives it to another collector, which makes of it the trace that the first one
 *would have made. Beside that stand the source's own notes: how far it had drained what it drains.
 *
 *	header  op op op ... MARK  op op ... MARK  ...
 *
 * What stands behind the last mark is as if it had never been written: a source first writes what it took and
 * how far that reaches, then the mark, and only then gives the memory that it took it from to somebody else.
 *
 * An event takes 8 to 20 bytes: of its words only those are written that differ from those of an earlier
 *event like it. The file never takes more than half of the room that was there: then it is given up, and so
 *it is when it cannot be written. The recording does not care.
 */
#ifndef IPC_JOURNAL_H
#define IPC_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

struct journal;

enum { JOURNAL_ID = 16, JOURNAL_DATA_MAX = 1 << 14 };

#define JOURNAL_SUFFIX "-recover"

/* What is not an event. NOTE: the source's own, `of` says which; else `of` is the enum collector_source. */
enum journal_op {
	JOURNAL_EVENT,
	JOURNAL_DEFINITION, /* its slots */
	JOURNAL_SELECT,
	JOURNAL_LEFTOVER, /* a key of collector.leftovers */
	JOURNAL_META,	  /* key and value, each with its NUL */
	JOURNAL_LOSS,	  /* struct journal_loss, and the name with its NUL, or none */
	JOURNAL_LOST,
	JOURNAL_TOTAL, /* its time, and the struct collector_total */
	JOURNAL_COUNTED,
	JOURNAL_WATERMARK,
	JOURNAL_STEP,
	JOURNAL_NOTE,
	JOURNAL_MARK,
	JOURNAL_BYTES, /* as collector_bytes() */
	JOURNAL_OPS
};

struct journal_loss {
	int32_t reason, pid;
	uint64_t count;
};

/* Makes `path`, readable for its user alone. `id`: JOURNAL_ID characters that tell this recording from
 * others; `start_ns`: when it began. Returns 0 or -errno. */
int journal_open(struct journal **out, const char *path, const char *id, uint64_t start_ns);

/* All of these do nothing where `j` is NULL or was given up. A watermark or a step with nothing before it
 * says nothing, and is left out. */
void journal_event(struct journal *j, unsigned int of, const struct ipc_event *e);
void journal_put(struct journal *j, enum journal_op op, unsigned int of, const void *data, size_t size);
void journal_put_two(struct journal *j, enum journal_op op, unsigned int of, const void *data, size_t size,
		     const void *more, size_t more_size);

/* All that was put so far counts from now on. */
void journal_mark(struct journal *j);

/* Removes the file: it is needed no more. */
void journal_remove(struct journal *j);

/* Takes what stands in a journal, in its order. `data` is aligned to 8 bytes and gone after the call. */
typedef void journal_take(void *context, enum journal_op op, unsigned int of, const void *data, size_t size);

/* Reads the head of `path`. Returns 0, or -errno (-EPROTO: it is not the journal of `id`). */
int journal_look(const char *path, const char *id, uint64_t *start_ns);

/* Gives `take` what stands in `path` before the last mark. Any file is survived. Returns 0 or -errno. */
int journal_read(const char *path, journal_take *take, void *context);

#endif
