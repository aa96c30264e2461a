/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store: writes the trace file (schema.sql, docs/schema.md). It knows SQL and nothing of matching.
 * Ids are given by the caller, ascending from 1, except event ids, which the store gives.
 *
 * Rows of processes, threads, channels, endpoints and edges are kept by the collector and written with the
 * functions below whenever they changed and a commit is due (insert or replace by id): readers of the
 * growing file see totals that are at most a commit old.
 *
 * Events are packed: an event row is (start relative to the trace's start, duration, lane, result, link). A
 * lane is what repeats: (thread, endpoint, call, flags, descriptor). `link` of a send joins it to the receive
 * that took it: the distance between their ids, and whether that is exact. A send that several receives took,
 * or that was written before it was matched, has its further links in a table of their own.
 */
#ifndef IPC_STORE_H
#define IPC_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

#define STORE_NO_UID UINT32_MAX
enum { STORE_NO_PROCESSOR = -1 };

struct store_process {
	uint32_t id, parent_id, prev_id;	   /* 0: none */
	int32_t pid, ppid;			   /* 0: unknown */
	const char *comm, *exe, *cmdline, *cgroup; /* NULL or empty: unknown */
	uint32_t uid;				   /* STORE_NO_UID: unknown */
	uint64_t start_ns, end_ns;		   /* end 0: has not ended */
	int32_t exit_status;			   /* wait(2) form; -1: unknown */
	const char *source, *coverage;
	int32_t ns_pid; /* 0: unknown */
};

struct store_thread {
	uint32_t id, process_id;
	int32_t tid;
	const char *name;
	uint64_t start_ns, end_ns;
};

struct store_channel {
	uint32_t id;
	uint16_t mechanism; /* enum ipc_mechanism */
	const char *key, *name;
	uint64_t first_ns, last_ns, bytes_sent, bytes_received;
	uint64_t lost; /* datagrams that nobody received */
	bool partial;
};

struct store_endpoint {
	uint32_t id, channel_id, process_id;
	const char *role; /* reader, writer, both; of sockets: server, client, peer, listener */
	uint64_t sends, receives, bytes_sent, bytes_received, first_ns, last_ns;
	uint64_t send_dur_ns, receive_dur_ns; /* how long its sends and receives took */
};

struct store_edge {
	uint32_t src_id, dst_id, channel_id; /* the key */
	uint64_t messages, bytes, pages, first_ns, last_ns;
	uint64_t latency_min_ns, latency_p50_ns, latency_p90_ns, latency_p99_ns, latency_max_ns;
	bool timed; /* the latencies are known */
	bool exact, partial;
	bool shares;	     /* memory: nothing is known of bytes */
	bool sampled;	     /* and who touched which pages was looked at */
	uint64_t pages_both; /* that both wrote, and are not in `pages` */
	bool unknown;	     /* neither messages nor bytes are known */
};

struct store_sampled {
	uint32_t channel_id, process_id; /* the key */
	uint64_t pages_read, pages_written;
};

struct store_mapping {
	uint32_t id, channel_id, process_id;
	uint64_t start_ns, end_ns; /* end 0: is still there */
	uint64_t bytes, offset;
	const char *protection; /* r, rw, ...; none */
};

struct store_lane {
	uint32_t thread_id, endpoint_id; /* endpoint 0: an event on no channel */
	int32_t fd;			 /* -1: none */
	uint16_t call, flags;		 /* enum ipc_call_id, IPC_F_* */
	uint8_t verb;			 /* enum ipc_verb, resolved: never by_end */
	const char *source;
};

struct store_event {
	uint64_t start_ns, dur_ns;
	uint32_t lane;
	int64_t result; /* bytes moved (0 for calls that move none and for peeks), or -errno */
};

struct store_loss {
	uint16_t reason; /* enum ipc_reason */
	const char *source, *comm;
	uint32_t process_id; /* 0: none */
	uint64_t count, first_ns, last_ns;
	uint16_t mechanism; /* enum ipc_mechanism, IPC_MECH_none: of none in particular */
	int processor;	    /* STORE_NO_PROCESSOR: not told */
};

struct store_aggregate {
	uint32_t process_id, endpoint_id; /* endpoint 0: of no channel */
	uint16_t call;			  /* enum ipc_call_id */
	uint8_t verb;
	uint64_t start_ns, calls, errors, bytes;
	uint64_t ns, min_ns, max_ns, p50_ns, p90_ns, p99_ns;
	const uint32_t *histogram; /* IPC_BUCKETS */
};

struct store_protocol {
	uint64_t id;
	uint8_t protocol; /* enum ipc_protocol */
	const char *kind; /* call, reply, oneway, signal */
	uint32_t channel_id, process_id;
	bool sent, numbered, failed, exact;
	uint64_t first_event, last_event, offset, bytes, body, number, serial;
	const char *name, *status, *sender, *destination, *path, *interface, *member, *signature;
	unsigned int fds;
	const uint8_t *trace_id, *parent_id; /* 16 and 8 bytes, or NULL */
	uint64_t call;			     /* 0: none */
};

/* Creates `path`, which must not exist. Events' times count from `start_ns`. Returns 0 or -errno. */
int store_open(struct store **out, const char *path, uint64_t start_ns);

void store_meta(struct store *s, const char *key, const char *value);
void store_process(struct store *s, const struct store_process *row);
void store_thread(struct store *s, const struct store_thread *row);
void store_channel(struct store *s, const struct store_channel *row);
void store_endpoint(struct store *s, const struct store_endpoint *row);
void store_edge(struct store *s, const struct store_edge *row);
void store_sampled(struct store *s, const struct store_sampled *row);
void store_mapping(struct store *s, const struct store_mapping *row);
void store_loss(struct store *s, const struct store_loss *row); /* key: reason, source, process_id,
								 * comm, mechanism, processor */
void store_aggregate(struct store *s, const struct store_aggregate *row);

/* A new one, or one that is known better now. */
void store_protocol(struct store *s, const struct store_protocol *row);
/* Of such a row: what was not known yet. */
void store_protocol_end(struct store *s, uint64_t id, uint64_t last_event, uint64_t bytes);
void store_protocol_call(struct store *s, uint64_t id, uint64_t call);
/* Rows from `first` on that are of channel `gone` are of `keep`. */
void store_protocol_channel(struct store *s, uint32_t gone, uint32_t keep, uint64_t first);

/* The event tells that a descriptor was passed: an end of this channel (0: of none that is known); and as
 * store_protocol_channel(). */
void store_passed(struct store *s, uint64_t event, uint32_t channel);
void store_passed_channel(struct store *s, uint32_t gone, uint32_t keep, uint64_t first);

/* The first bytes of what the event moved. */
void store_payload(struct store *s, uint64_t event, const void *bytes, size_t size);

/* Two channels, or two endpoints, turned out to be one: removes the row of the one. */
void store_channel_gone(struct store *s, uint32_t id);
void store_endpoint_gone(struct store *s, uint32_t id);
/* The lane is of this endpoint now; and all aggregates of one endpoint are of another one. */
void store_lane_endpoint(struct store *s, uint32_t lane, uint32_t endpoint);
void store_aggregate_endpoint(struct store *s, uint32_t endpoint, uint32_t now);

/* A new lane; returns its id. The caller keeps the dictionary. */
uint32_t store_lane(struct store *s, const struct store_lane *row);

/* Queues an event and returns its id (ascending). `linkable`: it may still get a store_link(); its row is
 * held back for at most 200 ms (and a bounded number of rows) so that the link can stand in it. */
uint64_t store_event(struct store *s, const struct store_event *row, bool linkable);

/* The receive event `recv` finished taking `bytes` of the send event `send`. One call per receiving process.
 * Returns what store_doubt() asks for. */
uint64_t store_link(struct store *s, uint64_t send, uint64_t recv, uint64_t bytes, bool exact);

/* The link of `send` for which store_link() returned `link` was given as exact, and is not. */
void store_doubt(struct store *s, uint64_t send, uint64_t link);

/* No link of these channels is exact after all: events of theirs were dropped. Reads all events: once, at the
 * end. The channels' endpoints have been given. */
void store_doubt_channels(struct store *s, const uint32_t *channels, unsigned int n);

/* What the event waited for was ended by this process. `seen`: the kernel told so, or (0) that none of the
 * trace did; else it follows from what was counted. */
enum store_seen { STORE_NOT_SEEN, STORE_SEEN, STORE_SEEN_INDIRECT, STORE_SEEN_OUTSIDE };
void store_wake(struct store *s, uint64_t event, uint32_t process, enum store_seen seen);

/* Bytes that the trace has, with what is not committed: of events that are held back at most so many. */
int64_t store_size(struct store *s);

/* Requests for which there is no room in so many bytes are left to whoever asks for them (spans.h). */
void store_limit(struct store *s, int64_t bytes);

/* Rows given since the last commit: what is worth one (10,000 rows, or 100 ms). */
unsigned int store_pending(const struct store *s);

/* Writes queued events that need be held back no longer than `now_ns` says and commits. Returns 0 or -errno
 * (-ENOSPC: disk full). After a failure the store drops what it is given. */
int store_commit(struct store *s, uint64_t now_ns);

/* Events that a failure lost: all since the last commit that went well. */
uint64_t store_dropped(const struct store *s);

/* After a failure: says in the trace that it ends there, and when the recording ended, if there is room for
 * so much at least. Before store_close(). */
void store_unwritten(struct store *s, uint64_t end_ns);

/* Makes one plain database of what a killed recorder left of `path`, and counts that as a loss. Returns 0 or
 * -errno. */
int store_finish(const char *path);

/* Writes everything, checkpoints, leaves one plain database file, frees `s` (also on failure). */
int store_close(struct store *s);

#endif
