/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arena: one file in shared memory per recording, written by the shims, drained by the recorder.
 *
 *	offset 0          struct arena_header: settings, stop, free map, losses, site table, overflow table
 *	control_offset    struct arena_control[chunks]: who owns a chunk, and what that thread is doing now
 *	chunk_offset      chunks of CHUNK_SLOTS slots of 64 bytes
 *	sync_offset       struct arena_sync: what is counted of semaphores and locks, call by call
 *
 * Targets map the header and the control blocks for good and a small window of chunks; a window is moved
 * with remap_file_pages(2), which needs no descriptor and no path (works after chroot, closefrom, in a
 * fork child). The recorder allocates a chunk's memory before it sets its bit in `free_map`, so that a full
 * file system never becomes a SIGBUS in a target.
 *
 * Life of a chunk: FREE -> (a producer's compare-and-swap of `owner`) OWNED -> (it is full, or its thread
 * or process ended) CLOSED -> (the recorder has drained it) FREE. A chunk that is OWNED by a process that
 * is dead is drained and freed too.
 *
 * A slot is whole when its `seq` is `base` + its index; seq is stored last (release). `base` differs at
 * each claim, so what an earlier owner left never looks whole. Slots of one chunk may become whole out of
 * order (a signal handler's event between reserve and publish); the drain stops at the first that is not,
 * and passes over it only when the chunk is CLOSED or its owner dead.
 *
 * Nothing in the file is trusted by the recorder: any bit pattern must be survived. Producers trust the
 * header's constants once, at attach, after checking them.
 */
#ifndef IPC_ARENA_H
#define IPC_ARENA_H

#include <stdatomic.h>
#include <stdint.h>

#include "calls.h"
#include "event.h"
#include "site.h"

enum {
	ARENA_VERSION = 6,
	CHUNK_SLOTS = 1024,
	CHUNK_BYTES = CHUNK_SLOTS * IPC_SLOT,
	ARENA_CHUNKS_MAX = 16384,    /* 1 GiB */
	ARENA_CHUNKS_DEFAULT = 1024, /* 64 MiB */
	ARENA_OVERFLOW = 4096,
	ARENA_UNSEEN = 1024,
	ARENA_SITES_MAX = 1024,
	ARENA_PAGE = 4096,
	ARENA_LOCKED = 64,
	ARENA_SYNC_OBJECTS = 4096,
	ARENA_SYNC_LINES = 16384,
};

#define ARENA_MAGIC "ipctrace"

enum arena_clock { ARENA_CLOCK_MONOTONIC, ARENA_CLOCK_TSC };

/* Chunk states, in the low half of arena_control.owner; the owner's pid stands in the high half. */
enum arena_state { ARENA_FREE, ARENA_OWNED, ARENA_CLOSED };

/* Calls, bytes and durations of one endpoint whose events could not be stored. `key` 0: unused. Claimed by
 * compare-and-swap of `key`, a hash of (image, object) that is never 0. */
struct arena_overflow {
	_Atomic uint64_t key;
	uint64_t object;
	uint32_t image;
	uint32_t whole; /* 1 once object and image are written */
	_Atomic uint64_t sends, recvs, bytes_sent, bytes_received;
	_Atomic uint64_t sent_time, received_time; /* how long these took, by the arena's clock */
};

/* A process whose definition could not be stored: what its calls above add up to has no owner else. Claimed
 * by compare-and-swap of `image`; 0 again once the definition was stored after all. */
struct arena_unseen {
	_Atomic uint32_t image;
	_Atomic uint32_t whole; /* 1 once the rest is written */
	uint64_t time;
	struct ipc_def_image def;
	char comm[16];
};

struct arena_header {
	/* constants of the recording, written before the first target starts */
	char magic[8];
	uint32_t version;
	uint32_t chunks;
	uint64_t control_offset, chunk_offset, sync_offset, size;
	uint32_t clock;	   /* enum arena_clock */
	uint32_t block_us; /* how long a claim may wait in all while every chunk is in use; 0: it does not */
	uint8_t libc_build_id[32]; /* of the libc that `sites` was made from */
	uint32_t libc_build_id_len;
	uint32_t sites;
	uint32_t sync;	   /* enum arena_sync_mode */
	uint32_t no_patch; /* 1: no code is changed, calls are seen by the names of libc's functions */
	/* How often the pages of shared memory are looked at, by `clock`; 0: never. */
	uint64_t sample_interval;
	char comm[16];	     /* of the programs to be recorded; "": any */
	uint32_t alone;	     /* 1: children of the command are not recorded */
	uint64_t mechanisms; /* to be looked at: a set of 1 << enum ipc_mechanism */
	uint32_t window;     /* bytes told of each message of a recognised protocol (ipc_tail()), 0: none */
	uint32_t capture;    /* and of every message */
	/* written by the recorder while it runs */
	_Alignas(64) _Atomic uint32_t stop; /* 1: record nothing any more */
	/* Its thread that can have programs recorded that the shim cannot enter (enum arena_ask), 0: there is
	 * none. A futex word of that thread's robust list: FUTEX_OWNER_DIED if it was killed. */
	_Atomic uint32_t assistant;
	/* written by both */
	_Alignas(64) _Atomic uint32_t asks; /* a futex: it changes with each new ask, */
	_Atomic uint32_t unanswered;	    /* 1: one was in vain: do not wait. The recorder clears it */
	_Atomic uint64_t asked[ARENA_CHUNKS_MAX / 64]; /* in whose chunks' control blocks they stand */
	_Alignas(64) _Atomic uint32_t full;   /* 1: a claim waited in vain: do not wait, count. The recorder
					       * clears it when chunks are free again */
	_Alignas(64) _Atomic uint32_t claims; /* numbers chunk claims; base = claims * CHUNK_SLOTS + 1 */
	_Atomic uint32_t ids;		      /* numbers images and threads; the first is 1 */
	_Atomic uint32_t sync_lines; /* how often a line of arena_sync was claimed; 0: none is in use */
	_Alignas(64) _Atomic uint64_t
		lost[IPC_REASONS];		     /* counted by reason where no event could be emitted */
	_Atomic uint64_t blocked_ns, blocked_claims; /* time that targets waited for a chunk, caused by us */
	/* Open file descriptions that were locked, by their numbers, the latest of each hash: others that
	 * have descriptors of them tell when they close those. */
	_Atomic uint32_t locked[ARENA_LOCKED];
	_Alignas(64) _Atomic uint64_t free_map[ARENA_CHUNKS_MAX / 64]; /* bit set: worth trying to claim */
	_Alignas(64) struct arena_overflow overflow[ARENA_OVERFLOW];
	struct arena_unseen unseen[ARENA_UNSEEN];
	struct ipc_site site[ARENA_SITES_MAX];
};

/*
 * Semaphores, locks and their kin make no system call while nobody has to wait: their calls are counted, in
 * memory that one thread owns, so that a plain addition will do.
 *
 * An object has one slot, claimed by compare-and-swap of `object` and kept for good. A line counts what one
 * thread did to one object: its sends, and the receives that came from one other image (or from itself, or
 * from nobody known). It is claimed by compare-and-swap of `owner`, and whole once `image` is not 0. The end
 * of its thread gives it back with what it counts: the next thread of the same image goes on with it. The
 * recorder clears the lines of an image that is no more.
 */
enum arena_sync_mode {
	ARENA_SYNC_ALL = 1 << 0,     /* each call is an event too */
	ARENA_SYNC_PRIVATE = 1 << 1, /* objects that are private to their process too */
};

struct arena_sync_object {
	_Atomic uint64_t object; /* ipc_object(), 0: unused */
	_Atomic uint32_t
		holder; /* image that posted, signalled, or had the lock (for writing), last; 0: none */
	_Atomic uint32_t releaser; /* of a read-write lock: image that released it last */
	/* barriers: how often it was arrived at, who arrived last in even and in odd rounds, and whether that
	 * was seen to be wrong: somebody else takes part */
	_Atomic uint32_t arrivals, last[2], doubtful;
	uint32_t reserved[8];
};

struct arena_sync_line {
	_Atomic uint32_t owner; /* number of the thread that adds to it; 0: none does */
	_Atomic uint32_t image; /* written last */
	uint32_t slot;		/* of its object */
	uint32_t from;		/* who the receives came from: an image; 0: nobody known */
	uint64_t sends, receives;
	uint64_t first; /* time of the first call */
	uint32_t next;	/* of the same owner: line + 1, 0: none */
	uint32_t reserved[5];
};

struct arena_sync {
	struct arena_sync_object object[ARENA_SYNC_OBJECTS];
	struct arena_sync_line line[ARENA_SYNC_LINES];
};

/*
 * What a thread asks of the recorder, by its chunk's control block, and waits for, for a bounded time. Its
 * next program cannot be entered by the shim: may another source record it, from its start on? Then the same
 * for an exec that failed: it shall not. The recorder answers with ARENA_ASK_GRANTED or ARENA_ASK_NONE.
 */
enum arena_ask { ARENA_ASK_NONE, ARENA_ASK_FOLLOW, ARENA_ASK_LEAVE, ARENA_ASK_GRANTED };

struct arena_control {
	/* first line: written by the producer at every call */
	_Atomic uint32_t ending; /* >0: an end time was taken and its event not yet published */
	uint32_t call;		 /* the call its thread is inside, or IPC_CALL_none; stored last at entry */
	uint32_t thread;	 /* whose call that is */
	uint32_t flags;
	uint64_t start, object, arg0, arg1; /* of that call */
	uint64_t reserved[2];
	/* second line: written at claim, close and free */
	_Alignas(64) _Atomic uint64_t owner; /* pid << 32 | enum arena_state */
	uint32_t image;			     /* valid once owner says OWNED and `base` is not 0 */
	_Atomic uint32_t base;
	_Atomic uint32_t ask; /* enum arena_ask; a futex */
	uint32_t asking;      /* the image that asks, */
	uint32_t tid,
		pid_ns; /* its thread, as it is called in the pid namespace of this inode (0: not known) */
	uint64_t reserved2[3];
};

_Static_assert(sizeof(struct arena_control) == 128, "two cache lines");
_Static_assert(sizeof(struct arena_sync_object) == 64 && sizeof(struct arena_sync_line) == 64,
	       "one cache line");
_Static_assert(sizeof(struct arena_sync) % ARENA_PAGE == 0, "");

/* Where things stand in an arena of this version. */
static inline uint64_t arena_page_align(uint64_t size)
{
	return (size + ARENA_PAGE - 1) / ARENA_PAGE * ARENA_PAGE;
}

static inline uint64_t arena_control_offset(void)
{
	return arena_page_align(sizeof(struct arena_header));
}

static inline uint64_t arena_chunk_offset(uint32_t chunks)
{
	return arena_page_align(arena_control_offset() + chunks * sizeof(struct arena_control));
}

#endif
