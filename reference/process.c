// SPDX-License-Identifier: BSD-2-Clause
/*
 * process: what a parent and its child tell each other by being born and by dying. A tree of processes: inner
 * ones made by fork, leaves by posix_spawn of a shell; each exits with the number of processes in its part of
 * the tree (modulo 256), and each parent checks what it hears.
 */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reference.h"
#include "old.h"

extern char **environ;

static int node(const struct old_options *o, unsigned long depth, FILE *ledger);

/* Processes in the tree below and including a node with so many levels under it. */
static unsigned long tree_size(unsigned long children, unsigned long depth)
{
	return depth == 0 ? 1 : 1 + children * tree_size(children, depth - 1);
}

static pid_t start_leaf(void)
{
	char *argv[] = { "sh", "-c", "exit 1", NULL };
	pid_t pid;
	return posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) ? -1 : pid;
}

static pid_t start_child(const struct old_options *o, unsigned long depth, FILE *ledger)
{
	if (depth == 0)
		return start_leaf();
	pid_t pid = fork();
	if (pid == 0)
		_exit(node(o, depth, ledger));
	return pid;
}

/* Two messages with no bytes: the child's birth, and its exit. */
static void write_ledger(FILE *ledger, pid_t child)
{
	char key[32];
	snprintf(key, sizeof(key), "process:%d", child);
	old_ledger(ledger, getpid(), child, "process", key, 1, 0);
	old_ledger(ledger, child, getpid(), "process", key, 1, 0);
}

/* Starts the children, hears how they end. Returns the exit status of this process: the size of its tree, or
 * 0 when something was wrong. */
static int node(const struct old_options *o, unsigned long depth, FILE *ledger)
{
	unsigned long size = 1;
	for (unsigned long i = 0; i < o->children; i++)
		if (start_child(o, depth - 1, ledger) < 0) {
			perror("process: cannot start a child");
			return 0;
		}
	for (unsigned long i = 0; i < o->children; i++) {
		int status;
		pid_t child = wait(&status);
		if (child < 0 || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != (int)(tree_size(o->children, depth - 1) & 0xff)) {
			fprintf(stderr, "process: child %d ended with status %#x\n", child, status);
			return 0;
		}
		size += tree_size(o->children, depth - 1);
		write_ledger(ledger, child);
	}
	return (int)(size & 0xff);
}

static int run(int argc, char **argv, FILE *ledger)
{
	struct old_options o = { .children = 3, .depth = 2 };
	int usage = old_parse(&o, argc, argv);
	if (usage)
		return usage;
	fflush(ledger);
	return node(&o, o.depth, ledger) == (int)(tree_size(o.children, o.depth) & 0xff) ? 0 : 1;
}

const struct reference reference_process = {
	.name = "process",
	.summary = "a tree of processes that check each other's exit status: --children --depth",
	.old = run,
};
