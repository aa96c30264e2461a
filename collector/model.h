/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the collector knows: private to the files named below.
 *
 *	life (of a pid) --- process (an image) --- thread
 *	     |                   |
 *	     +---- channel --- endpoint --- edge (from one endpoint to another)
 *
 * A socket has a struct channel of its own: its half. Its stream holds what this socket sends, its receives
 * take from the peer's. Halves that belong together have one row of `channels`, that of `shared`; a process
 * that holds both has one row of `endpoints`, again that of `shared`. A pipe is its own peer.
 *
 * Everything here is made in the order of time (order.h), lives in one pool and is freed with it at the
 * close. What has a row in the trace file begins with struct row; a changed row is marked dirty and written
 * at the next commit.
 */
#ifndef IPC_MODEL_H
#define IPC_MODEL_H

#include <sys/queue.h>

#include "collector.h"
#include "datagram.h"
#include "edge.h"
#include "match.h"
#include "order.h"
#include "store.h"
#include "table.h"

enum row_kind { ROW_PROCESS, ROW_THREAD, ROW_CHANNEL, ROW_ENDPOINT, ROW_EDGE, ROW_LOSS, ROW_KINDS };

enum {
	FD_MAX = 1 << 16,  /* descriptors beyond are not followed */
	SPARE_MAX = 1024,  /* bytes: what is larger is not used again */
	CACHED_LANES = 16, /* of a thread, at first; a power of two */
	CACHED_LANES_MAX = 256,
	ROLE_READER = 1,
	ROLE_WRITER = 2,
};

#define MOVED_MAX 0x7ffff000LL /* no call moves more (MAX_RW_COUNT) */

struct row {
	struct row *next_dirty;
	uint8_t kind;
	bool dirty, written;
};

struct loss {
	struct row row;
	struct store_loss data;
	struct loss *next; /* of the same hash */
};

/* A loss that names a program, until it is known whether the exec it belongs to went well. */
struct note {
	enum ipc_reason reason; /* IPC_REASON_none: there is none */
	const char *comm;
	uint64_t count, time;
	bool followed; /* it will most likely be seen all the same */
};

/* An open descriptor of a process. */
struct fd {
	struct endpoint *endpoint; /* NULL: closed */
	uint8_t roles;
};

struct process {
	struct row row;
	struct store_process data;
	enum collector_source source;
	struct life *life;
	struct thread *main;	/* has a row from the start; its number comes later */
	struct thread *threads; /* that are defined */
	struct endpoint *endpoints;
	struct fd *fds;
	uint32_t fd_room, thread_count;
	uint64_t forked_ns; /* since when it can have what its parent had */
	uint64_t exec_ns;   /* entered an exec whose outcome is not known, or 0 */
	struct note note;   /* why the program it executes will not be seen */
	bool exec_listed;   /* in collector.execs */
	bool untraced;	    /* no source is in it */
	bool main_defined;
	struct process *next_exec, *next; /* next: all */
};

struct lane {
	struct store_lane key;
	uint32_t id;
	struct lane *next; /* of the same hash */
	struct lane *next_of_endpoint;
};

struct lane_key {
	uint64_t object, arg0, data;
	uint32_t tag;
	uint16_t call, flags;
};

/* What an event of a thread most likely is: one that was seen before. */
struct cached_lane {
	struct lane_key key;
	uint32_t epoch, lane;
	struct endpoint *endpoint;
	uint8_t verb;
};

struct thread {
	struct row row;
	struct store_thread data;
	enum collector_source source;
	struct process *process; /* NULL: not defined yet */
	struct order_queue queue;
	struct note note;
	struct channel *carrier;   /* of its latest message (passing.c), */
	uint32_t carrier_release;  /* unless collector.releases is another */
	struct payloads *payloads; /* bytes of its events (payload.h); NULL: none yet */
	struct cached_lane *cache;
	uint32_t cached_lanes, cache_misses; /* misses: since it was made */
	uint32_t waits_for;		     /* the image of its definition, which is not defined yet */
	struct thread *next;		     /* of the process */
	struct thread *next_waiting;
};

/* An event at one end of a life: spawn, start, exit, wait. */
struct moment {
	uint64_t event, time;
	struct endpoint *endpoint; /* NULL: has not been */
};

/* A pid from its spawn to its end; several images. */
struct life {
	enum collector_source source;
	int32_t pid;
	struct process *first, *latest; /* NULL: only its spawn was seen */
	struct process *parent;
	struct channel *channel;
	struct moment spawn, start, exit, wait;
	uint64_t spawn_ns;
	struct sem_debt *debts;		/* what ends with it (sem.c) */
	LIST_HEAD(, lock_holder) locks; /* likewise (lock.c) */
	bool locks_inherited;
	struct channel *signals;	  /* sent to it, NULL: none yet */
	bool ended, placeholder, running; /* placeholder: `first` was made up */
	bool end_told;			  /* by its own source, not only by its parent's */
	struct life *next;		  /* all */
};

struct channel_kind; /* kind.h */
struct act;

struct channel {
	struct row row;
	const struct channel_kind *kind;
	struct store_channel data; /* in force where it is its own `shared`; id 0: has no row yet */
	struct collector *collector;
	struct channel *shared;		    /* whose row it has; often itself */
	struct channel *halves, *next_half; /* all that have this row */
	struct channel *peer;		    /* its receives take from there; NULL: not known (yet) */
	struct socket *socket;		    /* NULL: no socket */
	struct pty *pty;		    /* NULL: no pseudo-terminal (pty.c) */
	struct channel *passing;	    /* of a socket: of the descriptors that go through it */
	struct datagram_queue *passed;	    /* of a socket: the descriptors that it sends */
	uint64_t passed_ns;		    /* the latest of these that was received */
	uint64_t first_passed;		    /* event that tells of its own descriptor passed, 0: none */
	struct pty_edited *edited;	    /* NULL: what it sends is a plain stream */
	uint64_t other;			    /* of a socket: the address at the other end, 0: none */
	uint64_t listener;		    /* inode of the socket it was accepted from */
	struct channel *next_flow;	    /* of the socket */
	uint64_t sent, received;	    /* put into it and taken from it: bytes, of a counter units */
	struct life *life;		    /* of a process channel */
	struct wake *wake;		    /* of a pidfd */
	struct futex_words *words;	    /* of a futex (futex.c) */
	struct datagram_queue *queue;	    /* of a UNIX socket whose messages have boundaries (packet.c) */
	struct talk *talk; /* what is said through it (talk.h); NULL: no protocol that is known */
	uint8_t way;	   /* of the talk: what it sends */
	uint8_t tries[2];  /* messages that were looked at: received, sent */
	bool is_stream, created, loose, settled, killed;
	bool inexact;		 /* a message of it is not exact */
	bool dropped;		 /* events of it were dropped: none is */
	bool early;		 /* moved something, unmatched, while no peer was known */
	uint32_t empties;	 /* messages of 0 bytes that were sent and not yet received */
	bool served;		 /* others send to it: the server */
	bool known_there;	 /* a socket of the trace was bound at `other` */
	bool is_lock;		 /* moves nothing: locks and unlocks */
	struct lock_file *locks; /* lock.c */
	bool counts;		 /* a stream of units, without bytes: posts and waits */
	bool counted;		 /* sync.c: its edges are to be made anew */
	struct channel *next_counted;
	uint32_t number, open_ends, open_writers, open_readers, receivers;
	bool defined;			/* has a definition, */
	enum collector_source source;	/* of this source */
	uint64_t generation, closed_ns; /* closed_ns: since when no end is open, or it is removed, or 0 */
	uint64_t met_ns; /* when an open returned that had met an end already closed (channel.c) */
	struct endpoint *endpoints;
	struct edge *edges;
	struct endpoint *mappers; /* of shared memory: who has or had it mapped (region.c) */
	/* of udp: */
	bool met; /* exchanged something with a socket of the trace; its peer may be forgotten since */
	uint32_t waiting; /* what it sent and nobody has received */
	struct channel **flow_link, *next_udp;
	LIST_HEAD(, channel) met_by; /* whose peer it is, as the first that they exchanged something with */
	LIST_ENTRY(channel) in_met_by;
	struct channel *next, **link, *next_closed;
	bool closed_listed;
	bool leftover;		      /* a queue held messages, a semaphore existed, before the recording */
	struct sem_debt *debts;	      /* of a semaphore: what processes will undo */
	uint64_t cleared_ns;	      /* of a semaphore: when it was set while something was left */
	struct queue_part **parts;    /* of a queue, by type */
	struct signals *signals;      /* of a process (signal.c) */
	struct channel *next_signals; /* of those for which something waits, or once did */
	bool in_signal_list;
	bool is_totalled; /* listed: */
	struct channel *next_totalled;
	struct match_stream stream; /* unused where the mechanism is not a byte stream */
};

struct endpoint {
	struct row row;
	struct store_endpoint data; /* in force where it is its own `shared` */
	struct endpoint *shared;    /* whose row it has */
	struct process *process;
	struct channel *channel;
	struct lane *lanes;
	uint8_t roles;
	bool received;
	bool gone;			    /* its memory is about to be given back */
	struct mapping *mappings;	    /* of shared memory, that are there (region.c) */
	uint64_t read_until, written_until; /* the last of the others that could be */
	bool sampled;			    /* its pages are looked at (sample.c) */
	bool writes_only;		    /* from some time on */
	uint64_t pages_read, pages_written;
	struct touched *touched;
	bool is_mapper;			     /* listed: */
	struct endpoint *next_mapper;	     /* of the channel */
	bool client;			     /* sends to a datagram socket that others hold */
	uint64_t made;			     /* the first value of a semaphore that it made */
	uint64_t outside, outside_bytes;     /* received from nobody known */
	struct end_totals *totals;	     /* NULL: none */
	uint32_t open_readers, open_writers; /* descriptors */
	struct edge *last_edge;
	struct endpoint *next_of_process, **link, *next_of_channel;
};

struct edge {
	struct row row;
	struct store_edge data;
	struct endpoint *src;
	struct process *dst;
	struct latency latency;
	bool stored;
	bool total, certain; /* it follows from the totals of its ends; and all of it does */
	uint64_t handed;     /* sync.c: receives after which the source was noted as who had given last */
	struct edge *next;
};

/* A send that never returned; becomes a row when its size is known. */
struct inside {
	struct store_event row;
	struct endpoint *endpoint;
};

/* Totals of an image that is not defined yet. */
struct waiting_total {
	struct waiting_total *next;
	enum collector_source source;
	struct collector_total total;
};

/* What one process did to one half of an aggregated channel. */
struct end_totals {
	uint64_t sends, receives, bytes_sent, bytes_received;
};

/* All talks (talk.h). */
struct talks {
	TAILQ_HEAD(, talk) list; /* as they were used, the latest at the end; valid if there are any */
	uint32_t count;
	uint64_t rows; /* ids given */
	uint64_t kept; /* bytes in their windows */
};

/* Something with a time that is not an event of a known thread. */
struct timed;

struct collector {
	struct store *store;
	struct journal *journal; /* or NULL */
	uint64_t left_out;	 /* mechanisms that are not to be stored: a set of 1 << enum ipc_mechanism */
	bool alone;		 /* children are not recorded */
	bool outlive;		 /* processes go on afterwards */
	bool recovered;		 /* the recorder was killed */
	int64_t size_max;	 /* bytes that the trace may have; 0: any number */
	bool full;		 /* it would have more: it ends at `now` */
	bool no_protocols;	 /* what messages say is not looked at */
	uint32_t capture;	 /* bytes of each that are stored */
	size_t payload_bytes;	 /* that wait (payload.h) */
	struct talks talks;
	int error;
	struct pool_block *pool;
	struct spare *spare[SPARE_MAX / 16 + 1]; /* freed, by size */
	struct order order;
	struct timed **timed; /* a heap by time */
	uint32_t timeds, timed_room;
	uint64_t timed_count;
	uint64_t watermark[COLLECTOR_SOURCES];
	bool heard[COLLECTOR_SOURCES];
	uint64_t now;	    /* end of the latest record in the order */
	uint64_t commit_ns; /* when the last commit was, by the clock */
	uint64_t start_ns;  /* when the recording began */
	struct table threads, images, lives, objects, endpoints, edges, lanes, losses, texts;
	struct table addresses, pairs, names, connects, outsides, places, flows, epolls; /* socket.h */
	struct table defined;	    /* channels, by key (channel.c) */
	struct table touched;	    /* pages of shared memory (sample.c) */
	struct table leftovers;	    /* queues that hold messages at the begin (queue.c) */
	struct thread *last_thread; /* of collector_record */
	uint64_t last_key;
	uint32_t epoch;		  /* of the cached lanes; changes when a key may mean another channel */
	uint32_t rows[ROW_KINDS]; /* ids given */
	uint32_t channel_count, mapping_count;
	uint32_t releases;   /* how often channels were forgotten */
	uint32_t operations; /* that went through rings of io_uring */
	struct row *dirty;
	struct process *processes, *execs;
	struct life *all_lives;
	struct channel *channels, *closed, **closed_last, *finished;
	struct channel *udp;		/* all of that mechanism but some that have another's row */
	uint32_t udp_count, udp_closed; /* closed: sockets, since the last look at them (settle.c) */
	uint64_t udp_look_ns;
	struct packet_place *all_places;
	bool aggregate; /* sends and receives come as totals */
	struct waiting_total *waiting_totals;
	struct channel *totalled; /* whose totals have changed */
	uint32_t *dropped;	  /* ids of channels of which events were dropped */
	uint32_t drops, drop_room;
	bool uncounted[IPC_MECHANISMS]; /* calls are missing in totals of channels of the mechanism; none: of
					   any */
	bool any_uncounted;		/* and channels are still to be marked */
	bool drops_of[IPC_MECHANISMS];	/* an event of the mechanism was dropped: what is not matched proves
					   nothing */
	struct thread *waiting;		/* defined, for an image that is not */
	struct channel *signal_waiters;
	struct signal_call *signal_groups; /* sends to several processes (signal.c) */
	uint32_t signal_group_count;
	uint64_t signal_serial;
	struct sync_count *counts; /* sync.c: not taken yet */
	uint32_t counts_waiting;
	struct channel *counted; /* whose counts have changed */
	unsigned int running;
};

static inline uint64_t endpoint_key(const struct process *p, const struct channel *ch)
{
	return (uint64_t)p->data.id << 32 | ch->number;
}

static inline uint64_t edge_key(const struct endpoint *src, const struct process *dst)
{
	return (uint64_t)src->shared->data.id << 32 | dst->data.id;
}

/* collector.c */
void *collector_new(struct collector *c, size_t size); /* zeroed, of the pool; NULL: c->error is set */
void collector_free(struct collector *c, void *p, size_t size);			  /* to be used again */
const char *collector_text(struct collector *c, const char *text, size_t length); /* interned */
void collector_row(struct collector *c, struct row *row, enum row_kind kind);
void collector_lose(struct collector *c, enum collector_source source, enum ipc_reason reason,
		    const struct process *p, const char *comm, uint64_t count, uint64_t time);

static inline void collector_dirty(struct collector *c, struct row *row)
{
	if (row->dirty)
		return;
	row->dirty = true;
	row->next_dirty = c->dirty;
	c->dirty = row;
}

static inline uint64_t source_key(enum collector_source source, uint32_t number)
{
	return (uint64_t)(source + 1) << 32 | number;
}

static inline bool collector_wants(const struct collector *c, unsigned int mechanism)
{
	return !(c->left_out >> mechanism & 1);
}

/* join.c: definitions. Text is within `length` bytes, NULs anywhere. */
void join_image(struct collector *c, enum collector_source source, const struct ipc_def *d, const char *text,
		size_t length);
void join_thread(struct collector *c, enum collector_source source, const struct ipc_def *d);
void join_loss(struct collector *c, enum collector_source source, const struct ipc_def *d, const char *text,
	       size_t length);
/* The process makes calls at the same time, whether it has several threads or not. */
void join_concurrent(struct process *p);
struct thread *join_thread_of(struct collector *c, enum collector_source source, uint32_t number);
/* Before each event of a thread: a loss that named a program belonged to no exec. */
void join_note(struct collector *c, struct thread *t, const struct ipc_event *e);

/* life.c: processes and lives. */
enum { STATUS_UNKNOWN = -1 };
/* The latest of this pid, as the source calls it; of another source where it knows none that runs. */
struct life *life_of(const struct collector *c, enum collector_source source, int32_t pid);
struct life *life_new(struct collector *c, enum collector_source source, int32_t pid);
/* From now on this source records it, and calls it so. */
void life_hand_over(struct collector *c, struct life *l, enum collector_source source, int32_t pid);
/* Images have numbers of their own whatever the source: a process may be recorded by one of them, and then by
 * the other. */
struct process *image_of(const struct collector *c, uint32_t number); /* NULL: not defined (yet) */
/* A process that no source is in, known by its pid alone. NULL: out of memory. */
struct process *life_unseen(struct collector *c, enum collector_source source, int32_t pid, const char *comm,
			    uint64_t time);
void life_end(struct collector *c, struct life *l, uint64_t time, int32_t status);
void life_running(struct collector *c, struct life *l, bool running);
/* The exec that `p` is in, or was at `time`, went well, into a program that is not seen. */
void life_exec_unseen(struct collector *c, struct process *p, uint64_t time);
/* An event that no source saw, made for the sake of the message: a start or an exit. */
void life_event(struct collector *c, struct life *l, struct process *p, struct moment *m,
		enum ipc_call_id call, uint64_t time);
/* The message of two moments, once both have been. */
void life_message(struct collector *c, const struct moment *sent, const struct moment *received);
struct process *process_new(struct collector *c, struct life *l, uint64_t time);
void process_inherit(struct process *p, const struct process *from); /* comm, exe, command line, cgroup */
void process_end(struct collector *c, struct process *p, uint64_t time);
struct thread *thread_add(struct collector *c, struct thread *t, struct process *p, int32_t tid,
			  uint64_t time);
void thread_end(struct collector *c, struct thread *t, uint64_t time);
void life_gone(struct collector *c, enum collector_source source, const struct ipc_def *d);
/* It had ended at `time`, whatever was seen of it. False: there is no row for it. */
bool life_has_ended(struct collector *c, struct life *l, uint64_t time, int32_t status);
/* Execs whose outcome did not come in time: they went well. */
void life_settle_execs(struct collector *c, bool all);
void life_close(struct collector *c);

/* channel.c: objects, channels, endpoints, descriptors. */
struct channel *channel_new(struct collector *c, unsigned int mechanism, const char *key);
struct channel *channel_half(struct collector *c, unsigned int mechanism); /* of a socket; has no row yet */
struct channel *channel_of(struct collector *c, uint64_t object);
struct channel *channel_known(const struct collector *c, uint64_t object); /* NULL: never seen */
/* The same for a process, where there is no event of the object itself. */
struct channel *channel_for(struct collector *c, const struct process *p, uint64_t object, bool sends);
/* That of the event's object; a new one where the event makes it. */
struct channel *channel_at(struct collector *c, const struct ipc_event *e);
void channel_row(struct collector *c, struct channel *ch); /* a row, if it has none */
void channel_dirty(struct collector *c, struct channel *ch);
/* The object's number stands for something new. */
struct channel *channel_renew(struct collector *c, struct channel *old, uint64_t object);
void channel_define(struct collector *c, enum collector_source source, const struct ipc_def *d,
		    const char *text, size_t length);
struct endpoint *endpoint_of(struct collector *c, struct process *p, struct channel *ch);
struct endpoint *endpoint_known(const struct collector *c, const struct process *p, const struct channel *ch);
void endpoint_role(struct collector *c, struct endpoint *ep, uint8_t roles);
void channel_partial(struct collector *c, struct channel *ch);
void channel_parties(struct channel *ch);
/* Someone unseen has it open: nothing that goes through it is exact. */
void channel_doubt(struct collector *c, struct channel *ch);
/* Seen at `start` .. `end`. */
void endpoint_seen(struct collector *c, struct endpoint *ep, uint64_t start, uint64_t end);
void fd_event(struct collector *c, const struct act *a); /* that may open or close one */
void fd_close_all(struct collector *c, struct process *p, uint64_t time);
/* The untraced program `to` has what `from` had open. */
void fd_hand_over(struct collector *c, struct process *from, struct process *to, uint64_t time);

/* settle.c */
void settle_later(struct collector *c, struct channel *ch); /* all its ends are closed */
/* Nothing more will come. `all`: of any channel; else it may be opened again. */
void settle_channel(struct channel *ch, bool all);
void settle_socket(struct collector *c, struct channel *ch); /* not of udp: all its ends are closed */
/* Settles streams whose ends are all closed for long enough, or all. */
void settle_closed(struct collector *c, bool all);
/* Forgets the sockets that were settled; when all rows are written. */
void settle_release(struct collector *c);

/* event.c */
/* Changes the event's flags. */
void event_handle(struct collector *c, struct thread *t, struct ipc_event *e, bool late);
/* A send or receive of bytes or units, into the stream or out of it. */
void event_stream(struct collector *c, const struct act *a);
uint32_t event_lane(struct collector *c, const struct store_lane *key, struct endpoint *ep);
void event_forget_lanes(struct collector *c, struct endpoint *ep);
/* The row of an event that no source saw, at this moment, in the name of the process's main thread, which
 * there must be. A send unless `verb` is IPC_VERB_recv. Returns the event's id; counting it is the caller's.
 */
uint64_t event_unseen(struct collector *c, struct endpoint *ep, enum ipc_call_id call, uint16_t flags,
		      enum ipc_verb verb, uint64_t time);
extern const char *const source_names[COLLECTOR_SOURCES];

/* total.c: what came as totals */
void total_take(struct collector *c, enum collector_source source, const struct collector_total *t);
/* Calls were neither told nor counted: all channels of the mechanism may lack some. */
void total_uncounted(struct collector *c, enum ipc_mechanism mechanism);
/* Edges of all channels whose totals have changed. */
void total_join_all(struct collector *c);
/* Of this one, of which nothing more will come. */
void total_join(struct channel *ch);
/* What is left to do where no definition will come any more. */
void total_close(struct collector *c);

/* rollup.c: edges */
extern const struct match_sink rollup_sink; /* its context is the channel */
struct edge *rollup_edge(struct collector *c, struct endpoint *src, struct process *dst);
struct edge *rollup_known(const struct collector *c, const struct endpoint *src,
			  const struct process *dst); /* NULL: nothing yet */
void rollup_message(struct collector *c, const struct match_message *m);
struct edge *rollup_edge(struct collector *c, struct endpoint *src, struct process *dst);
void rollup_inexact(struct collector *c, struct channel *ch); /* not all that goes through it is exact */
void rollup_write(struct collector *c, struct edge *e);

#endif
