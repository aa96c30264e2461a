/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reference programs: one file per mechanism, named like its row in mechanisms.def and listed in
 * references.def. Each uses its mechanism the way a textbook says, checks the data that it receives, and
 * knows the truth about what it did: its ledger, which a trace of it must show.
 *
 * What all share is the core (core.c): options, messages that can be checked, processes, accounts. A
 * mechanism's file says what it needs, from the outside in:
 *
 *	open(run)	in the parent, before there are others: makes the channel
 *	produce(run)	in each producer: while ((m = reference_next(run))) send it
 *	consume(run)	in each consumer: receives and gives each message to reference_take()
 *	leave(run)	in the parent, once all run: closes what it holds, or consumers would wait for ever
 *	close(run)	in the parent, when all have ended: removes the channel
 *
 * Each returns 0, or something else after a line on stderr. What they share they keep in static variables of
 * their file: a process makes one run at a time. A mechanism that does not fit the frame has a run() of its
 * own, which starts its processes by reference_start().
 *
 * Every process books what it did, in calls and in messages; the parent makes the ledger of all accounts.
 * They travel in an unlinked regular file, each at its own place, since that is no communication that a trace
 * would show; and are written before the process ends, also when it kills itself (--kill).
 *
 * What makes calls of a protocol, or requests that cause others, books them too (calls.c).
 */
#ifndef IPC_REFERENCE_H
#define IPC_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

struct reference_options {
	unsigned long messages; /* that each producer sends */
	unsigned long size_min, size_max;
	unsigned long producers, consumers;
	unsigned long seed;    /* of sizes and data */
	unsigned long rate;    /* messages a second of each producer; 0: as fast as it can */
	unsigned long variant; /* index into the reference's variants */
	bool nonblocking;
	bool kill; /* the first producer kills itself after half of its messages */
};

enum {
	REFERENCE_SIZE_MIN = 32, /* the head of a message */
	REFERENCE_SIZE_MAX = 1 << 20,
	REFERENCE_TASKS_MAX = 64,     /* producers, and consumers */
	REFERENCE_NOT_APPLICABLE = 3, /* exit status: the mechanism cannot have this shape */
};

enum reference_features {
	/* How several take part: in one channel, or by a connection (or channel) for each pair. */
	REFERENCE_PRODUCERS = 1 << 0,
	REFERENCE_CONSUMERS = 1 << 1,
	REFERENCE_PAIRS = 1 << 2, /* both of them, a connection per pair */
	REFERENCE_NONBLOCKING = 1 << 3,
	REFERENCE_SIZES = 1 << 4,     /* messages of different sizes */
	REFERENCE_NO_BYTES = 1 << 5,  /* it tells that something happened, not what */
	REFERENCE_UNORDERED = 1 << 6, /* one producer's messages may overtake each other */
	REFERENCE_LOSES = 1 << 7,     /* messages may get lost, or several become one */
	REFERENCE_VOLUME = 1 << 8,    /* an observer sees how much, not with whom: all peers are outside */
	REFERENCE_NO_KILL = 1 << 9,   /* the others could not go on, or nobody can tell what was done */
	REFERENCE_MEMORY = 1 << 10,   /* all share one memory at one time: an edge from each to each, and no
				       * calls that move anything */
	REFERENCE_CALLS = 1 << 11,    /* only its calls are booked: a library sends them, or they go over
				       * several mechanisms */
	REFERENCE_LIBRARY = 1 << 12,  /* what it does is in library/NAME.c (reference_load) */
};

struct reference_run;

struct reference {
	const char *name;      /* the mechanism's */
	const char *mechanism; /* where that is another: on which its ledger is, "none": on several */
	const char *summary;

	/* What textbooks tell, beside what mechanisms.def has, in a few words each (`ipctrace reference
	 * --compare` shows them); NULL: it has none. */
	const char *capacity;	     /* "zero", "bounded", "unbounded" */
	const char *order;	     /* in which messages arrive: "as sent", "by priority", "none" */
	const char *direction;	     /* "one way", "both ways" */
	unsigned long largest;	     /* bytes that one message can have; 0: no limit, or it has none */
	const char *when_full;	     /* "sender waits", "message is lost" */
	const char *synchronisation; /* what the processes must do besides: "none", or what */
	const char *relationship;    /* "none: they know a path", "a common ancestor" */

	unsigned int features;	     /* set of enum reference_features */
	const char *const *variants; /* words for --variant, the first is the default, NULL ends; or NULL */
	struct reference_options
		defaults; /* what is 0: 1000 messages of 64 bytes, one producer, one consumer */

	/* Why a shape cannot be that the features allow, or NULL. May be NULL. */
	const char *(*refuses)(const struct reference_options *o);

	/* Whether an observer can know who talked to whom. NULL: yes, unless several producers and several
	 * consumers share one channel. */
	bool (*exact)(const struct reference_options *o);

	int (*open)(struct reference_run *run);
	int (*produce)(struct reference_run *run);
	int (*consume)(struct reference_run *run);
	int (*leave)(struct reference_run *run);
	int (*close)(struct reference_run *run);
	int (*run)(
		struct reference_run *run); /* instead of the processes of produce and consume; waits too */
};

/* In the order of references.def; NULL ends it. */
extern const struct reference *const references[];

/*
 * A reference that needs a library has its functions (`refuses` too) in a shared object of their own, which
 * is linked with that library and exports `reference_part`, so that a program that has all the references
 * does not need it. Who can load one sets this: returns `reference_part`, or NULL and why not in `why`. NULL:
 * nobody can.
 */
extern const struct reference *(*reference_load)(const char *name, char *why, size_t size);

/* Why a reference cannot run here, or NULL. Valid until the next call. */
const char *reference_missing(const struct reference *r);

enum reference_role { REFERENCE_PARENT, REFERENCE_PRODUCER, REFERENCE_CONSUMER };

struct reference_run {
	const struct reference *reference;
	const struct reference *part; /* whose functions are called: the same, or what was loaded */
	struct reference_options options;
	/* Of this process. */
	enum reference_role role;
	unsigned int index;    /* among the producers or the consumers */
	unsigned int to;       /* whom the message in hand is for: a peer, as below */
	unsigned int consumer; /* the same as an index; with REFERENCE_PAIRS, else 0 */
	unsigned long quota;   /* messages that a consumer takes, where they are shared out beforehand */
	unsigned long taken;   /* messages that it took; what carries no data counts them itself */
	struct reference_core *core;
};

/*
 * Peers. A process is named by its pid where that is known, and by its index where it is not: consumers are
 * started first, so that a producer does know their pids.
 */
enum {
	REFERENCE_OUTSIDE = 0,	    /* the kernel, or nobody who takes part; pid 0 in the ledger */
	REFERENCE_ANYONE = 1 << 30, /* whoever comes: the receiver books it */
	REFERENCE_INDEXED = 1 << 29,
};
static inline unsigned int reference_producer(unsigned int index)
{
	return REFERENCE_INDEXED + index;
}
static inline unsigned int reference_consumer(unsigned int index)
{
	return REFERENCE_INDEXED + REFERENCE_TASKS_MAX + index;
}
/* Of a process that reference_start() has started before this one. */
pid_t reference_pid(const struct reference_run *run, unsigned int peer);

/* The head of a message; what follows is a pattern that depends on it. */
struct reference_head {
	uint64_t checksum;
	uint64_t time;	   /* when it was sent, CLOCK_MONOTONIC */
	uint32_t number;   /* 0, 1, ... for each producer */
	uint32_t size;	   /* of it all */
	uint32_t producer; /* index */
	int32_t pid;	   /* of the producer */
};

/*
 * A producer's next turn: waits for its time (--rate), chooses `to`. False when all is sent. With --kill it
 * does not return at the middle. For what carries no data.
 */
bool reference_turn(struct reference_run *run);

/* The same, and makes the message (its size from the range); NULL when all is sent. Valid until the next. */
struct reference_head *reference_next(struct reference_run *run);

/* A consumer: room for one message of any size of this run, aligned for its head. */
void *reference_buffer(struct reference_run *run);

/*
 * Checks a message that has come, `size` bytes of it: its sum, its number (each producer's messages come in
 * their order, unless REFERENCE_UNORDERED). Books it as one message from its producer. Returns 0, or -1
 * after a line on stderr.
 */
int reference_take(struct reference_run *run, const void *message, size_t size);

/* The same for what comes inside of other bytes: books no message. */
int reference_check(struct reference_run *run, const void *message, size_t size);

/* Whether a consumer's quota is not yet filled. */
bool reference_more(const struct reference_run *run);

/* How many messages this producer sends in all, how many of them are for this consumer (REFERENCE_PAIRS). */
unsigned long reference_share(const struct reference_run *run, unsigned int producer, unsigned int consumer);

/*
 * The account. One successful call that sent, or received (of locks and counters: a release or post; an
 * acquired lock or ended wait). A send is a message too, to a peer or to REFERENCE_ANYONE.
 */
void reference_sent(struct reference_run *run, unsigned int to, uint64_t bytes);
void reference_received(struct reference_run *run, uint64_t bytes);

/* Messages that came from a peer (of locks and counters: what it released or posted and this process got).
 * Where the sender knew whom it sent to, its account tells their number: one message may take several sends.
 * reference_take() does this. */
void reference_came(struct reference_run *run, unsigned int from, unsigned long messages, uint64_t bytes);

/* The same for a process that keeps no account of its own (a program that was started): books for it. */
void reference_other(struct reference_run *run, pid_t pid, unsigned long sends, unsigned long receives);

/*
 * Calls (calls.c): what one process asked another for, and what came back; the ledger counts those that are
 * alike. Those with an id are listed one by one instead, as trees: `parent` is the id of the call that the
 * caller was working on, 0: none.
 */
enum reference_call_kind {
	REFERENCE_CALL,
	REFERENCE_ONEWAY, /* no reply is expected */
	REFERENCE_SIGNAL, /* to whoever wants it; a record for each of them */
};
struct reference_call {
	enum reference_call_kind kind;
	char name[64];	 /* what was called; in trees the mechanism that carried it */
	char status[64]; /* as the protocol puts it; "": it went well */
	pid_t from, to, from_tid;
	pid_t to_tid, answered_tid; /* who received the request, who sent the reply; 0: not known */
	uint64_t id, parent;
	uint64_t start, end; /* CLOCK_MONOTONIC, by the caller */
};
/* Of this thread, from now on. Then: books it, until now; status NULL: it went well. Returns 0, or -1. Any
 * thread may do both. */
struct reference_call reference_calling(const char *name, pid_t to);
int reference_called(struct reference_run *run, struct reference_call *call, const char *status);
/* For the core: before anything is booked; what was booked, as members of a JSON object behind others; after
 * it. */
int reference_open_calls(struct reference_run *run);
int reference_print_calls(struct reference_run *run, FILE *f);
void reference_close_calls(void);

/* CLOCK_MONOTONIC. */
uint64_t reference_now(void);

/* A call that this process made took so long: for the comparison. */
void reference_waited(struct reference_run *run, const struct reference_call *call);

/* Starts a process: `work` runs in it with a `run` of its own and its status is the process's. Returns its
 * pid, or -1 after a line on stderr. */
pid_t reference_start(struct reference_run *run, enum reference_role role, unsigned int index,
		      int (*work)(struct reference_run *run));

/* Waits for all that were started; ends the others when one fails. Returns 0, or -1. */
int reference_wait(struct reference_run *run);

/* A line on stderr: what failed, and errno in words. Returns -1. */
int reference_failed(const struct reference_run *run, const char *what);
/* The same without errno. */
int reference_wrong(const struct reference_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* After a non-blocking call said EAGAIN: waits until a descriptor is ready (poll's events), or a moment. */
int reference_poll(const struct reference_run *run, int fd, short events);
void reference_pause(void);

/*
 * Streams over descriptors, blocking or not (streams.c). They book their calls.
 * Write: all of it, in as many pieces as that takes. Read: exactly so much; 1, or 0 at the end of the file
 * before the first byte, or -1.
 */
int reference_write(struct reference_run *run, int fd, const void *data, size_t size);
int reference_read(struct reference_run *run, int fd, void *data, size_t size);

/* Reads and takes the next message of a stream: 1, 0 at its end, -1. Where sizes differ, the head is read
 * first. */
int reference_take_message(struct reference_run *run, int fd);

/* Produces into one stream; consumes one to its end. */
int reference_produce_stream(struct reference_run *run, int fd);
int reference_consume_stream(struct reference_run *run, int fd);

/*
 * Sockets (sockets.c). Of each consumer there is one from the start. Connections, one for each pair: it
 * listens, and every producer connects to all. Datagrams: every producer has one socket too.
 */
struct reference_sockets {
	int family, type, protocol;
	/* The name of consumer `number`, or of a producer's socket, numbered behind the consumers; the kernel
	 * may choose the rest of it (a port). Returns its length. */
	socklen_t (*name)(unsigned int number, struct sockaddr_storage *name);
	bool silent; /* what does not fit into a socket's buffer is dropped: never so much is under way */
};
int reference_open_sockets(struct reference_run *run, const struct reference_sockets *sockets);
int reference_leave_sockets(struct reference_run *run);
int reference_produce_connections(struct reference_run *run);
int reference_consume_connections(struct reference_run *run);
int reference_produce_datagrams(struct reference_run *run);
int reference_consume_datagrams(struct reference_run *run);

/* Names of sockets: a port of the loopback interface; reference_path(). */
socklen_t reference_ip_name(unsigned int number, struct sockaddr_storage *name);
socklen_t reference_path_name(unsigned int number, struct sockaddr_storage *name);

/* For struct reference: messages of several producers that share a buffer would not fit into it. */
const char *reference_refuse_datagrams(const struct reference_options *o);
/* Several processes at one end of a stream need messages that stay in one piece. */
const char *reference_refuse_shared_stream(const struct reference_options *o);

/* A folder for files that processes meet at: made in the parent, removed with what is in it. The path is
 * valid until the next call; `number` is less than all producers and consumers together. */
int reference_make_folder(struct reference_run *run);
const char *reference_path(unsigned int number);
int reference_remove_folder(struct reference_run *run);

/*
 * Runs one: the whole of `ipctrace reference NAME ARG...`; argv[0] is the name. Returns the exit status: 0
 * all went well, 1 data or a call was wrong, 2 usage, 3 not applicable; with a line on stderr. The ledger
 * goes to the file of that name (--ledger among the arguments does the same), NULL: to stdout.
 */
int reference_main(const struct reference *r, int argc, char **argv, const char *ledger);

/* Runs all, one after the other, with the same options: argv[0] is any word. A line for each on stdout, the
 * ledgers as an array to the file. Returns 0, 1 when one failed, or 2. */
int reference_all(int argc, char **argv, const char *ledger);

/* What a run showed, for the comparison. */
struct reference_result {
	unsigned long messages;
	uint64_t bytes, nanoseconds; /* from the first send to the last receive */
	uint64_t p50, p99;	     /* latency; 0: it has none */
};
/* Returns as reference_main(), and nothing on stderr. */
int reference_measure(const struct reference *r, const struct reference_options *o,
		      struct reference_result *result);

const struct reference *reference_find(const char *name);

#endif
