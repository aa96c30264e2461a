/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the recorder needs of a source: the shim's arena (drain.c) and the eBPF programs (bpf/loader.c).
 * A source feeds a collector and knows nothing of what becomes of its records.
 */
#ifndef IPC_SOURCE_H
#define IPC_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "collector.h"

struct source;

/* What is to be recorded. Of whom: of everybody, of some processes or of the command, the latter two with
 * their descendants if not said otherwise; and what else is said must hold too. The recorder itself is left
 * out. */
struct selection {
	bool everybody;
	const pid_t *pids;
	unsigned int npids;
	char comm[16];	     /* what the process is called; "": anything */
	uint64_t cgroup;     /* it is in this one of the unified hierarchy, or below; 0: in any */
	uint64_t mechanisms; /* set of 1 << enum ipc_mechanism */
	bool alone;	     /* no descendants */
};

struct source_settings {
	const struct selection *what;
	size_t buffer;	      /* bytes of the buffer between source and recorder, 0: as the source likes */
	bool drop;	      /* where it is full programs never wait for room */
	bool aggregate;	      /* sends and receives are totals (collector_total()), not events */
	bool probes;	      /* probe() will be called */
	bool no_patch;	      /* the shim changes no code */
	unsigned int window;  /* so many bytes of each message of a recognised protocol are told, 0: none; of
			       * every channel's first messages too (protocols/recognise.h) */
	unsigned int capture; /* and so many of every message */
};

struct arena_file;
struct session;

struct source_ops {
	const char *name; /* as users give it to --source */

	/* Makes the source ready to record what is selected; the shim sees nobody but the command. On failure
	 * returns -errno and writes one line (cause and remedy, no full stop) to `error`. */
	int (*open)(struct source **out, const struct source_settings *settings, char *error,
		    size_t error_size);

	bool has_settings; /* and keeps to all of them */

	/* How to record semaphores and locks (enum arena_sync_mode), told before anything is recorded. NULL:
	 * the source records none. */
	void (*sync)(struct source *s, unsigned int mode);

	/* Semaphores and locks that make no system call are to be seen too, told before anything is recorded;
	 * fails as open does. NULL: the source sees them, or cannot. */
	int (*probe)(struct source *s, char *error, size_t error_size);

	/* Whose pages of shared memory were touched is to be seen every so many milliseconds, told before
	 * anything is recorded; fails as open does. NULL: the source cannot. */
	int (*sample)(struct source *s, unsigned int ms, char *error, size_t error_size);

	/* Called in the parent while the child waits before its exec: from here on what was selected is
	 * recorded. `child` 0: there is no command. `outside`: why the shim cannot enter its program; set to
	 * IPC_REASON_none where it will be recorded all the same. Returns 0 or -errno. */
	int (*attach)(struct source *s, pid_t child, enum ipc_reason *outside);

	/* Whether all that were selected by their pids have ended, and their descendants. NULL: cannot tell.
	 */
	bool (*over)(struct source *s);

	/* The environment for the command (shim: with LD_PRELOAD), or NULL where the source needs none.
	 * Returns a NULL-terminated array that lives as long as the source, or NULL: out of memory. */
	char **(*environment)(struct source *s, char **envp);

	/* Moves what is there into the collector, then its watermark. `end`: recording has ended; stop the
	 * targets' recording, take the rest, tell of calls still under way (IPC_F_INSIDE). Returns the number
	 * of records moved, or -errno. */
	long (*poll)(struct source *s, struct collector *c, bool end);

	/* What the source keeps in shared memory, so that it can be recovered. NULL: nothing. */
	struct arena_file *(*arena)(struct source *s);

	/* Frees everything, removes files. */
	void (*close)(struct source *s);
};

/* What a killed recorder left of source_shim, or of that part of source_auto; the folder's lock becomes its.
 * A source that is good for source_resume_op(), poll() with `end`, and close(). Returns 0 or -errno. */
int source_resume(struct source **out, struct session *session, uint64_t start_ns);

/* One op of the journal: the source takes what is its own, gives the rest to the collector. */
void source_resume_op(struct source *s, struct collector *c, enum journal_op op, unsigned int of,
		      const void *data, size_t size);

/* Maps the arena, once the whole journal was given. Returns 0 or -errno. */
int source_resume_arena(struct source *s, struct session *session);

/* Instead of close(): `removed` false leaves everything as it was for another attempt, and gives the session
 * its folder back. */
void source_resume_close(struct source *s, struct session *session, bool removed);

/* When the last thing happened that it knows of (CLOCK_MONOTONIC): now, where a process still runs. Told by
 * the last poll. */
uint64_t source_resume_end(const struct source *s);

extern const struct source_ops source_shim;
extern const struct source_ops source_bpf;
extern const struct source_ops source_auto; /* the shim, and eBPF for what it cannot enter (auto.c) */

#endif
