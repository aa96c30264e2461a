/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a recording is stopped from another terminal (`ipctrace stop`). A recorder has a datagram socket of a
 * name that begins with CONTROL_PREFIX in the abstract namespace, so that nothing stays behind whatever
 * becomes of it; it has it before it does anything that takes long. It is asked "info" and "stop"; who asks
 * is told by the kernel, and only the recorder's own user and root are answered: with the trace's path, a
 * newline and what is recorded; and, once the trace that was to be stopped is complete, with "done".
 */
#ifndef IPC_CONTROL_H
#define IPC_CONTROL_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONTROL_PREFIX "ipctrace/"
#define CONTROL_INFO   "info"
#define CONTROL_STOP   "stop"
#define CONTROL_DONE   "done"
#define CONTROL_DENIED "denied"

enum { CONTROL_WAITING = 8, CONTROL_TEXT = 8192 };

struct control {
	int fd;	   /* -1: cannot be asked */
	bool stop; /* somebody asked for it */
	char info[CONTROL_TEXT];
	unsigned int waiting; /* so many are to be told when it is done */
	struct sockaddr_un who[CONTROL_WAITING];
	socklen_t length[CONTROL_WAITING];
};

/* From here on the recording can be asked; it answers once it goes on. That it cannot be asked is no failure
 * of a recording. */
void control_open(struct control *c);

/* Its trace is `path`, and `what` is recorded (may be NULL). */
void control_tell(struct control *c, const char *path, const char *what);

/* Answers who has asked. Never waits. */
void control_answer(struct control *c);

/* The trace is complete: tells whoever waits for that, and closes. */
void control_close(struct control *c);

/* A datagram with who sent it, as the kernel says. Returns its length, ended by a NUL that is not counted, or
 * -errno.
 */
long control_receive(int fd, char text[static CONTROL_TEXT], struct ucred *who, struct sockaddr_un *from,
		     socklen_t *length);

/* A datagram socket that is told who sends to it, bound to the abstract `name` (its length; 0: any that is
 * free). Returns a descriptor, or -errno. */
int control_socket(const char *name, size_t length);

#endif
