/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A recording by the shim, as it stands in shared memory: its folder there, which is locked while the
 * recorder lives, and in it, readable for the recorder's user alone, a file that says what is recorded where.
 * What a recorder that was killed has left can be recovered as long as there is the journal beside its trace
 * (journal.h).
 */
#ifndef IPC_SESSION_H
#define IPC_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "journal.h"

#define SESSION_PREFIX "/dev/shm/ipctrace-"

struct session {
	char folder[64];
	char id[JOURNAL_ID + 1]; /* the folder's name without the prefix */
	int folder_fd;		 /* -1: somebody else's by now */
	bool live;		 /* its recorder is: it is locked */
	bool whole;		 /* it says what follows */
	bool findable; /* if there is a trace of it we see it: it is of our mounts, and our version */
	bool our_pids; /* `pid` is of our namespace */
	pid_t pid;     /* of the recorder, */
	int64_t start; /* when it began: seconds since 1970 */
	uint32_t clock, chunks; /* of the arena */
	char arena[JOURNAL_ID + 1];
	uint64_t inode;	       /* of the trace, which may be moved aside later */
	char *trace, *command; /* the trace's path is absolute; NULL where not whole */
};

struct arena_file;

/* Says in the arena's folder what is recorded: `trace`, which exists, is made absolute. Returns 0 or -errno.
 */
int session_write(const struct arena_file *a, const char *trace, const char *command);

/* The characters by which a session is called. */
const char *session_id(const struct arena_file *a);

/* Gives `take` each session of this user's. It is gone after the call, unless `take` set s->folder_fd to -1.
 */
void session_each(void (*take)(void *context, struct session *s), void *context);

/* Locks a dead one, for as long as its folder_fd is open, so that nobody else takes anything from it. Others
 * may be looking at it just now: `waits` is for some seconds. False: somebody else has it. */
bool session_claim(struct session *s, bool waits);

/* Whether there is the session's journal: beside its trace, or where that was moved when another recording
 * began. `trace` gets the trace's path, to free, or NULL: neither is there. */
bool session_journal(const struct session *s, char **trace);

/* Removes the folder of one that was claimed. */
void session_remove(struct session *s);

/* Removes a folder, whose lock the caller holds, and all that is in it. */
void session_empty(int folder_fd, const char *folder);

/* The path of a trace's journal, to free, or NULL: out of memory. */
char *session_journal_path(const char *trace);

#endif
