/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running the command so that it cannot tell it from being run by whoever ran us. It gets our descriptors,
 * environment (but for what is passed), signal dispositions and mask, process group and all the rest by
 * inheritance: from launch_begin() on every signal is blocked in us and read from a descriptor, no
 * disposition is changed, and what we open is close-on-exec.
 *
 * Signals that a process sends us are passed on. Those of the terminal went to the command too (it is in our
 * process group): they are taken and forgotten. When the command is stopped by job control we stop as well.
 */
#ifndef IPC_LAUNCH_H
#define IPC_LAUNCH_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct launch {
	pid_t pid;
	int gate;		/* the child waits for a byte from here before its exec */
	int failure;		/* and its exec's errno comes from here */
	int signals;		/* signalfd of all signals */
	int other;		/* another descriptor that ends a wait when it can be read; -1: none */
	sigset_t mask;		/* as we inherited it */
	struct sigaction child; /* disposition of SIGCHLD, likewise */
	bool ended;		/* the command has, with wait(2)'s `status` */
	int status;
	bool interrupted; /* told to end, when the command had ended already */
};

/* Forks the command, which waits. Returns 0 or -errno. Ends with launch_run() and launch_wait(), or with
 * launch_abandon(). */
int launch_begin(struct launch *l, char **argv, char **envp);

/* There is no command: as after one has ended. Returns 0 or -errno. */
int launch_nothing(struct launch *l);

/* Lets the command run. Returns 0, or the -errno of its exec: then it is gone. */
int launch_run(struct launch *l);

/* The command shall not run after all. */
void launch_abandon(struct launch *l);

/* Waits for at most `timeout_ms` (-1: for as long as it takes), shorter when a signal comes or the command
 * changes its state, and does what that asks for. */
void launch_wait(struct launch *l, int timeout_ms);

/* Ends us as the command ended: exits with its status, or dies by the same signal. */
void launch_end_like(const struct launch *l) __attribute__((noreturn));

/* Gives descriptors 0 to 2 that are closed something close-on-exec, so that nothing of ours gets there. */
int launch_reserve_standard(void);

/* The file that execvp(3) would run for `name`, as a string to free. NULL: none, or out of memory. */
char *launch_resolve(const char *name);

#endif
