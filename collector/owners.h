/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes that own chunks of the arena or introduced themselves in it, and whether they are alive.
 *
 * Death is seen by pidfd, so a pid that is given to a new process is not mistaken for the old one; whether
 * the pidfd is of the right process is judged by the process's start time. Where no more descriptors may be
 * had, /proc/PID/stat is asked instead. A dead owner stays known until owners_forget().
 */
#ifndef IPC_OWNERS_H
#define IPC_OWNERS_H

#include <stdbool.h>
#include <stdint.h>

enum { OWNERS_BUCKETS = 1024, OWNERS_BATCH = 128 };

struct owner {
	struct owner *next; /* in its bucket */
	struct owner *next_unwatched, *next_dead;
	int pid, pidfd;
	uint32_t image;	   /* number of the image that it is now, 0: not known */
	uint64_t since_ns; /* it was alive then (CLOCK_MONOTONIC) */
	bool exited;	   /* it told of its exit itself */
	bool dead;
};

struct owners {
	int epoll;
	unsigned int pidfds, pidfds_max;
	struct owner *bucket[OWNERS_BUCKETS];
	struct owner *unwatched, **unwatched_tail; /* have no pidfd (yet) */
	unsigned int unwatched_count;
	struct owner *dead; /* not yet forgotten */
};

/* Returns 0 or -errno. */
int owners_open(struct owners *o);

struct owner *owners_find(struct owners *o, int pid);

/* Adds a process that is not known yet. NULL: out of memory, or no possible pid. */
struct owner *owners_add(struct owners *o, int pid, uint32_t image, uint64_t since_ns);

/* Whether there is one that is not dead, as far as is known. */
bool owners_any(const struct owners *o);

/* Looks who died (of those that have no pidfd at OWNERS_BATCH); those are then in `dead` and marked. */
void owners_check(struct owners *o);

/* The pid is known to belong to another process by now. */
void owners_declare_dead(struct owners *o, struct owner *owner);

/* Frees every dead owner. */
void owners_forget(struct owners *o);

/* Whether a process `pid` that was alive at `since_ns` still is. */
bool owners_alive(int pid, uint64_t since_ns);

void owners_close(struct owners *o);

#endif
