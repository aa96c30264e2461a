// SPDX-License-Identifier: BSD-2-Clause
/*
 * process: what a parent and its child tell each other by being born and by dying. Each producer bears its
 * children one after another; a child ends with a status that its parent checks. Two messages for each child:
 * its birth, and its end, which is told when the parent takes the status; both without bytes. Producers are
 * children too, of the parent of all.
 */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reference.h"

enum { FORK, SPAWN };

extern char **environ;

static pid_t parent;

static pid_t spawn(int status)
{
	char text[16];
	char *argv[] = { "sh", "-c", text, NULL };
	pid_t pid;
	snprintf(text, sizeof(text), "exit %d", status);
	return posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) ? -1 : pid;
}

static pid_t bear(const struct reference_run *run, int status)
{
	if (run->options.variant == SPAWN)
		return spawn(status);
	pid_t pid = fork();
	if (pid == 0)
		_exit(status);
	return pid;
}

/* A message in each direction. */
static void book(struct reference_run *run, pid_t child)
{
	reference_sent(run, (unsigned int)child, 0);
	reference_received(run, 0);
	reference_came(run, (unsigned int)child, 1, 0);
}

static pid_t take_status(const struct reference_run *run, pid_t child, int *status)
{
	pid_t pid;
	while ((pid = waitpid(child, status, run->options.nonblocking ? WNOHANG : 0)) == 0)
		reference_pause();
	return pid;
}

static int produce(struct reference_run *run)
{
	/* Its own birth; and its end, which it cannot book when that has come. */
	reference_received(run, 0);
	reference_came(run, (unsigned int)parent, 1, 0);
	reference_sent(run, (unsigned int)parent, 0);
	for (int i = 0; reference_turn(run); i = (i + 1) % 128) {
		int status;
		pid_t child = bear(run, i);
		if (child < 0 || take_status(run, child, &status) != child)
			return reference_failed(run, "child");
		if (!WIFEXITED(status) || WEXITSTATUS(status) != i)
			return reference_wrong(run, "child %d ended with status %#x", child, status);
		book(run, child);
		reference_other(run, child, 1, 1);
		run->taken++;
	}
	return 0;
}

static int bear_producers(struct reference_run *run)
{
	parent = getpid();
	for (unsigned int i = 0; i < run->options.producers; i++) {
		pid_t pid = reference_start(run, REFERENCE_PRODUCER, i, produce);
		if (pid < 0)
			return -1;
		book(run, pid);
	}
	reference_sent(run, REFERENCE_ANYONE, 0); /* its own end, to whoever started it */
	return reference_wait(run);
}

const struct reference reference_process = {
	.name = "process",
	.summary = "parents that bear children and take their status",
	.capacity = "bounded",
	.direction = "both ways",
	.when_full = "zombies stay",
	.synchronisation = "none",
	.relationship = "parent and child",
	.features = REFERENCE_PRODUCERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.variants = (const char *const[]){ "fork", "spawn", NULL },
	.defaults = { .messages = 100 },
	.run = bear_producers,
};
