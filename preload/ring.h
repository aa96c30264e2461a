/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The producer's side of the arena (common/arena.h). All functions are async-signal-safe, make raw system
 * calls only, wait only within the header's bound, and never touch errno.
 *
 * A record is made in this order, so that the recorder's watermark holds:
 *	slot = ring_begin(p, t, n);	room is there, control->ending is set
 *	end = clock_now();		the stamp is taken while `ending` is set
 *	... fill ...
 *	ring_publish(t, slot);		seq, then ending is cleared
 * A signal handler may run at any instruction of this and make records of its own: `busy` counts the nesting,
 * only the outermost may claim a chunk (so the outer record's chunk stays where it is).
 */
#ifndef IPC_RING_H
#define IPC_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "arch.h"
#include "arena.h"

/* Slots of a chunk that only the records of signal handlers take, while the record they interrupted holds it.
 */
enum { RING_RESERVE = 16 };

/* Of the process; memory of its own, so that a fork child has a copy. Zeroed: not attached. */
struct ring_process {
	struct arena_header *header;
	struct arena_control *controls;
	uint32_t image;
	int32_t pid;
	struct ring_windows *windows; /* ring.c */
	_Atomic uint64_t pool[8];     /* half-used chunks of ended threads: chunk + 1, next slot */
	uint32_t unseen;	      /* 1 + where the process stands in arena_unseen, 0: nowhere */
};

/* Of a thread. Zeroed: has no chunk yet. */
struct ring_thread {
	struct ipc_event *slots; /* the window onto its chunk, or NULL */
	struct arena_control *control;
	uint32_t next; /* next free slot; bumped by one instruction, so that a handler never gets the same */
	uint32_t base;
	uint32_t chunk;
	uint32_t busy;	 /* records under way: 0, 1, or more in handlers */
	uintptr_t stack; /* stack pointer of the outermost */
};

/* Maps the arena's header and control blocks from `path` (keeps no descriptor) and checks them. Returns 0 or
 * -errno (-EPROTO: not an arena of this version). */
int ring_attach(struct ring_process *p, const char *path, int32_t pid);

/* In a fork child: what the parent's threads owned is forgotten, new windows are mapped when needed. `t` is
 * the caller's. */
void ring_fork_child(struct ring_process *p, struct ring_thread *t, int32_t pid);

/* Closes the thread's chunk, if any, and claims one with room. Prefers its own earlier chunks. Only for the
 * outermost record of the thread. False: none is free. It waited up to header->block_us for one (blocked_ns,
 * blocked_claims); after a wait in vain `full` is set and nobody waits until the recorder clears it. */
bool ring_claim(struct ring_process *p, struct ring_thread *t);

/* The thread ends, or gives up its chunk: half-used it goes to the process's pool, else it is closed. */
void ring_release(struct ring_process *p, struct ring_thread *t);

/* Counts a send or receive of an endpoint, whose event could not be stored, with its bytes and how long it
 * took. False: the table is full. */
bool ring_overflow(struct ring_process *p, uint64_t object, bool sends, uint64_t bytes, uint64_t time);

/* Writes down who the process is, since there was no room for its definition; and that there was some later.
 */
void ring_unseen(struct ring_process *p, const struct ipc_def_image *def, uint64_t time, const char *comm);
void ring_seen(struct ring_process *p);

/* Maps the counts of semaphores and locks; most processes never need them. NULL: no room. */
struct arena_sync *ring_map_sync(struct ring_process *p);

/* CLOCK_MONOTONIC, by a raw system call. */
uint64_t ring_monotonic_ns(void);

/* Unmaps every window that no thread uses (before the target's mlockall). */
void ring_shrink(struct ring_process *p);

/* Whether the records that `busy` counts will never be finished: a handler jumped out of them. `here` is the
 * frame of the record that begins now. */
bool ring_abandoned(struct ring_thread *t, uintptr_t here);

/* Reserves `n` slots in a row. NULL: no room (see ring_claim), or a handler's record while the chunk is full.
 */
static inline struct ipc_event *ring_begin(struct ring_process *p, struct ring_thread *t, unsigned int n)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	if (__builtin_expect(t->busy != 0, 0) && ring_abandoned(t, here))
		t->busy = 0;
	if (!t->busy)
		t->stack = here;
	arch_local_inc(&t->busy);
	if (__builtin_expect(!t->slots || t->next + n > CHUNK_SLOTS - RING_RESERVE, 0) &&
	    !(t->busy == 1 ? ring_claim(p, t) : t->slots != NULL))
		goto none;
	atomic_store_explicit(&t->control->ending, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	uint32_t first = arch_local_add(&t->next, n);
	if (__builtin_expect(first + n <= CHUNK_SLOTS, 1))
		return t->slots + first;
	if (t->busy == 1)
		atomic_store_explicit(&t->control->ending, 0, memory_order_relaxed);
none:
	arch_local_dec(&t->busy);
	return NULL;
}

/* Makes a slot whole of a record that has more behind it, or before. */
static inline void ring_make_whole(struct ring_thread *t, struct ipc_event *slot)
{
	atomic_store_explicit((_Atomic uint32_t *)&slot->seq, t->base + (uint32_t)(slot - t->slots),
			      memory_order_release);
}

/* Makes the slot whole. Everything else in it and in the slots of its text must have been written before. */
static inline void ring_publish(struct ring_thread *t, struct ipc_event *slot)
{
	ring_make_whole(t, slot);
	if (t->busy == 1)
		atomic_store_explicit(&t->control->ending, 0, memory_order_release);
	arch_local_dec(&t->busy);
}

#endif
