/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reference programs: one file per mechanism, named like its row in mechanisms.def. Each uses its mechanism
 * the way a textbook says, checks the data that it receives itself, and writes a ledger of who sent how many
 * messages and bytes to whom: the truth that a trace of it must show. Only edges of its own mechanism are in
 * it.
 */
#ifndef IPC_REFERENCE_H
#define IPC_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct reference {
	const char *name, *summary;
	/* argv[0] is the name. Writes the ledger and flushes it; its children append to the same open file.
	 * Returns the exit status: 0 all went well, 1 data or a call was wrong, 2 usage (a line on stderr).
	 */
	int (*run)(int argc, char **argv, FILE *ledger);
};

/* In the order of mechanisms.def; NULL ends it. */
extern const struct reference *const references[];

extern const struct reference reference_pipe, reference_fifo, reference_process;
extern const struct reference reference_unix_stream, reference_unix_dgram, reference_unix_seqpacket;
extern const struct reference reference_tcp, reference_udp, reference_socket_other, reference_netlink;
extern const struct reference reference_sysv_msg, reference_posix_mq, reference_eventfd, reference_sysv_sem;

/* What a workload can be told: set the defaults, 0 for what it does not know, then parse. */
struct reference_options {
	unsigned long messages; /* --messages: sent by each writer */
	unsigned long size;	/* --size: bytes of each, REFERENCE_SIZE_MIN to REFERENCE_SIZE_MAX */
	unsigned long writers, readers, clients;
	unsigned long children, depth;
};

enum { REFERENCE_SIZE_MIN = 16, REFERENCE_SIZE_MAX = 1 << 20, REFERENCE_TASKS_MAX = 64 };

/* Returns 0, or 2 after a line on stderr. */
int reference_parse(struct reference_options *o, int argc, char **argv);

/* The head of a message; the rest is a pattern that follows from it. */
struct reference_head {
	uint32_t writer; /* 0, 1, ... */
	int32_t pid;	 /* of the writer */
	uint32_t number; /* 0, 1, ... for each writer */
	uint32_t checksum;
};

/* Fills `size` bytes at `message`, which is aligned for its head. */
void reference_fill(void *message, size_t size, uint32_t writer, uint32_t number);

/* Whether the message came whole and unchanged. */
bool reference_intact(const void *message, size_t size);

/* One ledger line: source pid, destination pid, mechanism, channel's key, messages, bytes. Flushed, so that
 * parent and children can write to one file. */
void reference_ledger(FILE *ledger, pid_t src, pid_t dst, const char *mechanism, const char *key,
		      unsigned long messages, unsigned long bytes);

/* Reads or writes exactly `size` bytes. Reading, 0 means end of file; otherwise 1, or -1 with a line on
 * stderr. */
int reference_read(int fd, void *buffer, size_t size);
int reference_write(int fd, const void *buffer, size_t size);

/* Waits for `n` children. Returns how many did not exit with 0. */
unsigned int reference_wait(unsigned int n);

/* sockets.c */

struct sockaddr_in;

/* The channel's key. Of UNIX sockets the half that a process knows: it cannot see the other end's inode. */
void reference_unix_key(int fd, char *key, size_t size);
void reference_ip_key(int fd, const struct sockaddr_in *peer, char *key, size_t size);

/* A server and clients with a connection each. */
struct reference_talk {
	const char *mechanism;
	const struct reference_options *options;
	FILE *ledger;
	int listener;
	const void *address;			     /* for connect() */
	int (*connect)(const void *address);	     /* a client's socket, or -1 */
	void (*key)(int fd, char *key, size_t size); /* of a connection */
};

/*
 * Each client asks --messages questions, each answered before the next, and closes. Each side checks what it
 * receives and writes a ledger line of it. The server gives each connection a process of its own. Closes the
 * listener, returns the exit status.
 */
int reference_converse(const struct reference_talk *t);

#endif
