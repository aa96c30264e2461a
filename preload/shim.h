/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim inside a traced process. Invariants of all that is declared here: raw system calls only, no
 * allocation but mmap, no lock, errno untouched, safe in signal handlers; what cannot be recorded is counted
 * in the arena's header.
 */
#ifndef IPC_SHIM_H
#define IPC_SHIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "arch.h"
#include "calls.h"
#include "environment.h"
#include "event.h"
#include "handlers.h"
#include "ring.h"

enum { SHIM_PENDING = 8, SHIM_PATH = 512 };

/* A call between its entry and its return. Calls nest when a signal handler makes calls of its own. */
struct pending {
	uintptr_t stack; /* of the frame that makes the call: names it */
	uint64_t start, object, object2, arg0, arg1, other0;
	uint64_t lock; /* the object of locks that may end with the descriptor that it closes, or 0 */
	uint32_t lock_fd, lock_tag;
	long arg[6];
	uint16_t call;
	bool plain;    /* a transfer on one known descriptor, entered by the fast path */
	bool late;     /* its entry was not seen */
	bool unbound;  /* on a UDP socket without a port: it gets one with its first send */
	bool once;     /* of rt_sigaction, see action.c */
	bool followed; /* of an exec: the program will be recorded by another source */
	uint32_t room; /* for the other side's address: bytes that the kernel may write where the program says
			*/
	struct arch_action action; /* what rt_sigaction is given in place of the program's */
};

struct shim_thread {
	uint32_t depth;	 /* of `pending`; the stubs look at it, so it stands first */
	uint32_t number; /* of the thread's definition, 0: not introduced yet */
	bool fast;	 /* introduced, has a chunk, no child shares our memory: the fast path may be taken */
	struct pending pending[SHIM_PENDING];
	struct ring_thread ring;

	/* While a child shares our memory (vfork, posix_spawn) this same memory is the child's too. */
	uint16_t spawn_call; /* a fork-like call was entered whose return is not seen, or 0 */
	int32_t spawn_pid;   /* the child that made itself known, 0: none yet */
	uint32_t spawn_number, spawn_image;
	uint64_t spawn_start;
	uint64_t spawn_changed; /* descriptors below 64 that the child opened or closed, a bit each */

	/* A child shares our memory while we run on (clone with CLONE_VM alone), and so this too: the thread
	 * that it belongs to, whoever else comes here is not recorded. 0: there is none. */
	int32_t beside;

	struct sync_thread
		*sync; /* what it knows of semaphores and locks (sync.h); NULL: must be looked up */
	struct sync_thread *sync_page; /* the same, put aside while a child shares our memory */

	uint32_t ipc_namespace; /* its inode, 0: to be asked */

	int cancel_timer; /* 1 + the timer by which its cancellation comes again, or 0 */

	bool in_liburing; /* inside a function of it that makes a ring */

	void *exec_memory; /* environment made for an execve, to be freed when it fails */
	size_t exec_size;
};

struct shim {
	bool ready;	/* recording; false: every hook returns at once */
	bool passes;	/* the program is not chosen: nothing is recorded, but what it executes may be */
	bool alone;	/* children of this process are not recorded */
	bool no_diag;	/* a sandbox forbids to ask sock_diag */
	bool no_semctl; /* likewise how many semaphores a set has */
	bool no_timer;	/* likewise to cancel a thread a moment later */
	bool no_ioctl;	/* likewise which pseudo-terminal, or what is mapped at an address: the text of
			 * /proc/self/maps is read */
	bool no_copy;	/* likewise to read memory that another thread may unmap */
	bool shares;	/* our memory is, or was, that of somebody whom libc does not know of */
	bool by_names;	/* calls are seen by the names of libc's functions (names/), no code is changed */
	bool ticks;	/* the arena's clock is the time-stamp counter */
	bool chooses;	/* not all mechanisms are looked at */
	uint64_t mechanisms;		/* those that are: a set of 1 << enum ipc_mechanism */
	uint64_t sample_interval;	/* by that clock; 0: shared memory is not sampled */
	uint32_t window, capture;	/* of payloads, as in the arena's header, at most IPC_TEXT_MAX */
	uintptr_t program, heap, stack; /* where the program begins; where its heap ended at first, and its
					 * stack, or near that */
	struct ring_process ring;
	volatile uint32_t *alive; /* a page that a fork child finds wiped */
	bool introduced;	  /* the image's definition is in the arena; else it is tried again */
	struct ipc_def_image image;
	char arena[SHIM_PATH];
	char path[SHIM_PATH]; /* of the shim itself */
	uint16_t text_length;
	char text[IPC_TEXT_MAX]; /* of the image's definition; last: most of it is never touched */
};

extern struct shim shim;
extern __thread struct shim_thread shim_self __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Ways in without a change of code (names/). Only the library that has libc's names has it; false: no. */
bool names_start(void) __attribute__((weak, visibility("hidden")));
/* So that the end of a thread is seen; NULL: it is seen anyway. */
extern void (*shim_thread_begins)(struct shim_thread *t);

/* The path of the library for a program that this process executes. */
void shim_library(char path[SHIM_PATH]);

/* Whether calls on channels of this mechanism are looked at. */
static inline bool shim_wants(unsigned int mechanism)
{
	return shim.mechanisms >> mechanism & 1;
}

/* This thread's state. NULL: it is none of libc's, its thread-local storage is an empty block (a raw clone
 * with CLONE_SETTLS, as Chromium makes to be in an empty folder): it is not recorded. */
static inline struct shim_thread *shim_here(void)
{
	return __builtin_expect(arch_thread_pointer() != 0, 1) ? &shim_self : NULL;
}

/* Whether the recording is over. */
static inline bool shim_has_ended(void)
{
	return atomic_load_explicit(&shim.ring.header->stop, memory_order_relaxed);
}

/* Time as the arena wants it. */
static inline uint64_t shim_now(void)
{
	return __builtin_expect(shim.ticks, 1) ? arch_ticks() : ring_monotonic_ns();
}

/* The number to put into this thread's records. Introduces the thread, a fork child or a vfork child first.
 * 0: there was no room for that; records with this number are counted as dropped. */
uint32_t shim_number(struct shim_thread *t);

/* Whether programs of this name, of which the kernel keeps the first 15 bytes, are recorded. */
bool shim_is_chosen(const char *name);

/* Whether this is a child that shares the memory of a process whose children are not recorded. Its parent,
 * whose return is not seen, is told to have made it. */
bool shim_is_vfork_child(struct shim_thread *t);

/* The image whose code this thread runs, after shim_number(). */
uint32_t shim_image(const struct shim_thread *t);

/* Counts an event that ended now and could not be stored. `event` has everything but duration, seq. */
void shim_dropped(const struct ipc_event *event);

/* Whether what the event moved went into the channel. */
bool shim_sends(const struct ipc_event *event);

/* Everything of an event but duration, seq. */
static inline __attribute__((always_inline)) void shim_fill(struct ipc_event *slot,
							    const struct ipc_event *event)
{
	slot->start = event->start;
	slot->object = event->object;
	slot->result = event->result;
	slot->arg0 = event->arg0;
	slot->arg1 = event->arg1;
	slot->thread = event->thread;
	slot->call = event->call;
	slot->flags = event->flags;
	slot->tag = event->tag;
}

/* Records one event that ended now, or counts it. `event` has everything but duration, seq. */
static inline __attribute__((always_inline)) void shim_emit(struct shim_thread *t,
							    const struct ipc_event *event)
{
	struct ipc_event *slot = event->thread ? ring_begin(&shim.ring, &t->ring, 1) : NULL;
	if (__builtin_expect(!slot, 0)) {
		shim_dropped(event);
		return;
	}
	shim_fill(slot, event);
	slot->duration = shim_now() - event->start;
	ring_publish(&t->ring, slot);
}

/* Records a definition with its text (may be NULL); `def` has everything but seq, text. False: there was no
 * room (counted). */
bool shim_define(struct shim_thread *t, const struct ipc_def *def, const char *text, size_t length);

/* Counts what cannot be told by an event. */
void shim_lost(enum ipc_reason reason);

/* Descriptors: which of them are ends of a channel. */

struct descriptor {
	uint64_t object;
	uint32_t flags;	  /* as open(2) got them: access mode, O_NONBLOCK */
	uint32_t epoll;	  /* 1 + the epoll descriptor that it was told to be registered with, or 0: */
	uint64_t data;	  /* by this user data, */
	uint32_t image;	  /* by this process */
	bool unbound;	  /* a UDP or netlink socket without a port */
	uint8_t looks[2]; /* so many more sends, and receives, are looked at: is it a protocol (payload.h)? */
	bool recognised;  /* it is: all are */
};

/* A byte per descriptor below DESCRIPTORS. */
enum {
	DESCRIPTORS = 4096,
	DESCRIPTOR_UNKNOWN = 0,
	DESCRIPTOR_OTHER = 1,
	DESCRIPTOR_STREAM = 2,	 /* its transfers may take the fast path */
	DESCRIPTOR_MESSAGES = 3, /* each transfer has an address, a tag or a boundary of its own */
	/* A stream of whose bytes something may be told: a bit more for each direction of it, which keeps its
	 * transfers from the fast path. */
	DESCRIPTOR_LOOKED = 4,
	DESCRIPTOR_SENDS = 0,
	DESCRIPTOR_RECEIVES = 1,
};
extern uint8_t descriptor_kinds[DESCRIPTORS];

/* Whether `fd` is an end of a channel; asks the kernel once per descriptor, and tells of a socket that was
 * not known before. */
bool descriptor_find(struct shim_thread *t, long fd, struct descriptor *out);
/* The same of a descriptor that a call has just made: the caller tells what it knows of a socket, and keeps
 * it in memory once it has told of the call: a child that another thread forks meanwhile must not be first to
 * have it. */
bool descriptor_made(struct shim_thread *t, long fd,
		     struct descriptor *out); /* false with an object: not wanted */
void descriptor_keep(const struct shim_thread *t, long fd, const struct descriptor *d); /* NULL: no channel */
/* The same from memory only: of the process, or of the parent of a vfork child. */
bool descriptor_remembered(long fd, struct descriptor *out);
/* From memory where it is the process's own; a vfork child asks the kernel. */
bool descriptor_known(struct shim_thread *t, long fd, struct descriptor *out);
/* Of a descriptor that is an end of a channel. */
extern struct descriptor descriptor_table[DESCRIPTORS];
static inline const struct descriptor *descriptor_entry(uint32_t fd)
{
	return &descriptor_table[fd];
}
void descriptor_forget(const struct shim_thread *t, long fd);
/* From here on the kernel is asked each time: somebody who is not seen changes our descriptors. */
void descriptor_remember_none(void);
/* Defines the object of a file, or of memory that has an inode: a hash of what stands in `def`, device, inode
 * and generation. Returns the object. */
uint64_t descriptor_define(struct shim_thread *t, enum ipc_mechanism mechanism,
			   const struct ipc_def_object *def, const char *name, size_t length);
/* The same of what may be asked for again and again: tells it once, and with each name that it has. */
uint64_t descriptor_define_once(struct shim_thread *t, enum ipc_mechanism mechanism,
				const struct ipc_def_object *def, const char *name, size_t length);
/* The path of a descriptor, at most SHIM_PATH bytes. Returns its length, or 0. */
size_t descriptor_path(long fd, char *path);
/* Device, inode and generation of a descriptor's file. */
struct ipc_def_object descriptor_file(long fd, const struct stat *st);
/* Emits IPC_CALL_inherit for every end that the process has: asking the kernel (a new program) or from memory
 * (a fork child). */
void descriptor_inherit(struct shim_thread *t, bool new_program);

/* Hooks (arch/<machine>/patch.h declares hook_entry and hook_return). */
extern uint8_t hook_filtered[512]; /* row of a transfer on one descriptor, by system-call number */
void hook_init(void);

#endif
