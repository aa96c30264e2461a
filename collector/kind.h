/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a mechanism is to the collector: a row of channel_kinds (kind.c), by its number. A file per mechanism,
 * or for several that are alike, fills in a struct channel_kind; event.c, channel.c, settle.c, life.c and
 * rollup.c know none by name. What is not filled in (NULL, false) is what a pipe does.
 *
 * mechanisms.def decides the rest: boundary and matching say whether it counts, locks, or is a stream
 * (channel.c, set_kind).
 */
#ifndef IPC_KIND_H
#define IPC_KIND_H

#include "model.h"

/* An event, and what is known of it. */
struct act {
	const struct ipc_event *event;
	struct thread *thread;
	struct endpoint *endpoint; /* NULL: no channel */
	uint32_t lane;
	uint8_t verb;
	bool sends; /* if it is a send or receive */
	bool late;
	bool unread;		       /* its payload was told, and is missing */
	const struct payload *payload; /* what it moved, NULL: not told */
	struct match_call call;	       /* its `event`: the row, once there is one */
};

struct channel_kind {
	/* Objects. */

	/* What it is called, by its number alone and once it is defined. */
	void (*key)(uint64_t object, char *key, size_t size);
	void (*defined_key)(const struct ipc_def *d, char *key, size_t size);
	/* A channel for a new number, where a key is not all that it takes. Such have definitions of their
	 * own. */
	struct channel *(*make)(struct collector *c, uint64_t object);
	/* Of any channel, one that is no object's too: what else is to be done. */
	void (*made)(struct collector *c, struct channel *ch);
	/* Further to key and name. */
	void (*define)(struct collector *c, struct channel *ch, const struct ipc_def *d);
	void (*name)(struct collector *c, struct channel *ch, const char *text, size_t length);
	/* Whether the event, which went well, makes a new object, whatever the number stood for. */
	bool (*makes)(const struct channel *ch, const struct ipc_event *e);
	/* The number will stand for something new. */
	void (*renew)(struct collector *c, uint64_t object);

	/* Events. */

	/* The channel of an event; NULL: that of its object. */
	struct channel *(*find)(struct collector *c, const struct act *a);
	/* The same of something that has no event of its own: a wait, what was dropped. */
	struct channel *(*find_object)(struct collector *c, const struct process *p, uint64_t object,
				       bool sends);
	/* Whether it is a receive, whatever the call's verb is. */
	bool (*takes)(const struct ipc_event *e);
	/* The send or receive as a whole, its row too. `endpoint` may be NULL. */
	void (*transfer_all)(struct collector *c, struct act *a);
	/* Before a send or receive is looked at. */
	void (*before)(struct collector *c, const struct act *a);
	/* Whether a send or receive moved something; NULL: its result is positive. */
	bool (*moves)(const struct channel *ch, const struct ipc_event *e);
	/* One that did, to its matcher; of a stream: false: it goes the way of the others. */
	void (*transfer)(struct collector *c, const struct act *a);
	bool (*edits)(struct collector *c, const struct act *a);
	/* One that did not. */
	void (*failed)(struct collector *c, const struct act *a);
	/* Whether a stream whose receiver is not known keeps this send. */
	bool (*keeps)(struct channel *ch, const struct ipc_event *e);
	/* Every other event; NULL: as fd_event(). It may have been the send of a message: */
	void (*control)(struct collector *c, const struct act *a);
	bool (*links)(const struct act *a);
	/* A descriptor was opened; a role by the endpoint's state, not by what it does. */
	void (*opened)(struct collector *c, struct endpoint *ep, const struct ipc_event *e);
	void (*role)(struct collector *c, struct endpoint *ep);

	/* Messages and edges. */

	/* A receive of which no send is known: true: nothing was lost. */
	bool (*unmatched)(struct channel *ch, const struct match_call *receive);
	/* Whether all edges are exact; or whether they are though messages are not. */
	bool (*exact)(const struct channel *ch);
	bool (*drained)(const struct channel *ch);

	/* The end. */

	/* All ends have been closed for a while; NULL: settle_channel(). */
	void (*closed)(struct collector *c, struct channel *ch);
	/* Nothing more will come. `all`: of any channel; else it may be opened again. */
	void (*settle)(struct channel *ch, bool all);
	/* Edges to and from the outside of the trace. */
	void (*outside)(struct collector *c, struct channel *ch);

	/* Of the mechanism, not of one channel. Each may be called more than once for one event. */

	/* The recording begins. */
	void (*look_around)(struct collector *c);
	/* Before a commit. `end`: the last. */
	void (*commit)(struct collector *c, bool end);
	/* A process forked `child`. */
	void (*forked)(struct collector *c, struct life *child);
	/* An image ends, by exec or exit. */
	void (*image_ended)(struct collector *c, struct process *p, uint64_t time);
	/* The program of the process is another now. */
	void (*executed)(struct collector *c, struct life *l, uint64_t time);
	/* The process is about to end at `time`. `seen`: when it did so is known. */
	void (*process_ends)(struct collector *c, struct life *l, uint64_t time, bool seen);
	/* It has ended with this status. */
	void (*process_ended)(struct collector *c, struct life *l, int32_t status);

	bool counts;	 /* units without bytes, whatever its boundary is */
	bool without_fd; /* events have no descriptor */
	bool unfollowed; /* descriptors are of no interest */
	bool no_bytes;	 /* a result is no number of bytes */
	bool one_event;	 /* is the whole message: nothing to be linked */
	bool by_deed;	 /* a role is what was done, not what the descriptor was opened for */
	bool carries;	 /* what is passed with a message follows it (passing.c) */
	bool restarts;	 /* begins anew when all its ends were closed and one is opened */
	bool counted;	 /* edges are totals, without latencies; what is 0 was a mistake */
};

extern const struct channel_kind *const channel_kinds[IPC_MECHANISMS];

/* For each that has `hook`; where several mechanisms in a row are alike, once. */
#define KIND_EACH(hook, ...)                                                                                 \
	do {                                                                                                 \
		for (unsigned int kind_i_ = 0; kind_i_ < IPC_MECHANISMS; kind_i_++)                          \
			if (channel_kinds[kind_i_]->hook &&                                                  \
			    (!kind_i_ || channel_kinds[kind_i_]->hook != channel_kinds[kind_i_ - 1]->hook))  \
				channel_kinds[kind_i_]->hook(__VA_ARGS__);                                   \
	} while (0)

/* Of no mechanism where the number is none. */
static inline const struct channel_kind *kind_of(uint64_t object)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	return channel_kinds[mechanism < IPC_MECHANISMS ? mechanism : IPC_MECH_none];
}

/* Forms of keys: of the object's number, */
void key_number(uint64_t object, char *key, size_t size);
void key_bracket(uint64_t object, char *key, size_t size);
/* the low half of it, */
void key_id(uint64_t object, char *key, size_t size);
/* the file's device and inode, those and where in it, and the namespace and id of System V. */
void key_file(const struct ipc_def *d, char *key, size_t size);
void key_word(const struct ipc_def *d, char *key, size_t size);
void key_sysv(const struct ipc_def *d, char *key, size_t size);

extern const struct channel_kind plain_kind, pipe_kind, fifo_kind, eventfd_kind, ring_kind; /* plain.c */
extern const struct channel_kind life_kind;						    /* life.c */
extern const struct channel_kind socket_kind, packet_kind, udp_kind;			    /* socket.c */
extern const struct channel_kind sysv_msg_kind, posix_mq_kind;				    /* queue.c */
extern const struct channel_kind sysv_shm_kind, region_kind;				    /* region.c */
extern const struct channel_kind sem_kind;						    /* sem.c */
extern const struct channel_kind sync_kind;						    /* sync.c */
extern const struct channel_kind futex_kind;						    /* futex.c */
extern const struct channel_kind timerfd_kind, pidfd_kind, inotify_kind;		    /* wake.c */
extern const struct channel_kind signal_kind;						    /* signal.c */
extern const struct channel_kind pty_kind;						    /* pty.c */
extern const struct channel_kind passing_kind;						    /* passing.c */
extern const struct channel_kind process_vm_kind;					    /* process_vm.c */
extern const struct channel_kind lock_kind;						    /* lock.c */

#endif
