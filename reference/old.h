/* SPDX-License-Identifier: BSD-2-Clause */
/* The interface of the reference programs that are not converted yet. */
#ifndef IPC_REFERENCE_OLD_H
#define IPC_REFERENCE_OLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* What a workload can be told: set the defaults, 0 for what it does not know, then parse. */
struct old_options {
	unsigned long messages; /* --messages: sent by each writer */
	unsigned long size;	/* --size: bytes of each, OLD_SIZE_MIN to OLD_SIZE_MAX */
	unsigned long writers, readers, clients;
	unsigned long children, depth;
};

enum { OLD_SIZE_MIN = 16, OLD_SIZE_MAX = 1 << 20, OLD_TASKS_MAX = 64 };

/* Returns 0, or 2 after a line on stderr. */
int old_parse(struct old_options *o, int argc, char **argv);

/* The head of a message; the rest is a pattern that follows from it. */
struct old_head {
	uint32_t writer; /* 0, 1, ... */
	int32_t pid;	 /* of the writer */
	uint32_t number; /* 0, 1, ... for each writer */
	uint32_t checksum;
};

/* Fills `size` bytes at `message`, which is aligned for its head. */
void old_fill(void *message, size_t size, uint32_t writer, uint32_t number);

/* Whether the message came whole and unchanged. */
bool old_intact(const void *message, size_t size);

/* One ledger line: source pid, destination pid, mechanism, channel's key, messages, bytes. Flushed, so that
 * parent and children can write to one file. */
void old_ledger(FILE *ledger, pid_t src, pid_t dst, const char *mechanism, const char *key,
		unsigned long messages, unsigned long bytes);

/* Reads or writes exactly `size` bytes. Reading, 0 means end of file; otherwise 1, or -1 with a line on
 * stderr. */
int old_read(int fd, void *buffer, size_t size);
int old_write(int fd, const void *buffer, size_t size);

/* Waits for `n` children. Returns how many did not exit with 0. */
unsigned int old_wait(unsigned int n);

/* sockets.c */

struct sockaddr_in;

/* The channel's key. Of UNIX sockets the half that a process knows: it cannot see the other end's inode. */
void old_unix_key(int fd, char *key, size_t size);
void old_ip_key(int fd, const struct sockaddr_in *peer, char *key, size_t size);

/* A server and clients with a connection each. */
struct old_talk {
	const char *mechanism;
	const struct old_options *options;
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
int old_converse(const struct old_talk *t);

#endif
