/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command of ipctrace: one object, in a file of its own, and one row in the table below. Help, usage lines
 * and the list of commands derive from these.
 */
#ifndef IPC_COMMAND_H
#define IPC_COMMAND_H

#include <stdarg.h>
#include <stdio.h>

#include "options.h"

#define IPCTRACE_VERSION "0.1.0"

/* Exit statuses of our own; the viewing commands fail with EXIT_FAILURE. */
enum { EXIT_USAGE = 2, EXIT_RECORDER = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

struct view;

struct command {
	const char *name;
	const char *summary;	 /* one line: what it does */
	const char *usage;	 /* what follows the name and the options, or "" */
	const char *details;	 /* more for --help, or NULL */
	uint64_t options;	 /* set of enum option_bit */
	const struct view *view; /* what it shows, or NULL */
	bool privileged;	 /* keeps the capabilities that its file may have */
	int (*run)(const struct command *self, const struct options *o); /* returns the exit status */
};

/* The table: one row per command, in the order in which help shows them; cmd_NAME stands in NAME.c. */
#define COMMANDS(ROW)                                                                                        \
	ROW(record)                                                                                          \
	ROW(stop)                                                                                            \
	ROW(summary)                                                                                         \
	ROW(processes)                                                                                       \
	ROW(channels)                                                                                        \
	ROW(edges)                                                                                           \
	ROW(regions)                                                                                         \
	ROW(messages)                                                                                        \
	ROW(spans)                                                                                           \
	ROW(trace)                                                                                           \
	ROW(waits)                                                                                           \
	ROW(events)                                                                                          \
	ROW(losses)                                                                                          \
	ROW(recover)                                                                                         \
	ROW(doctor)                                                                                          \
	ROW(query)                                                                                           \
	ROW(reference)                                                                                       \
	ROW(complete)                                                                                        \
	ROW(help)                                                                                            \
	ROW(version)

#define COMMAND_DECLARE(name) extern const struct command cmd_##name;
COMMANDS(COMMAND_DECLARE)
#undef COMMAND_DECLARE

/* The same as an array, ended by NULL. */
extern const struct command *const commands[];

/* The command of this name, or NULL. */
const struct command *command_find(const char *name);

/* The whole of `ipctrace ...`. Returns the exit status. */
int command_main(int argc, char **argv);

/* What --help shows. NULL: of ipctrace itself. */
void command_help(FILE *out, const struct command *c);

/* Writes "ipctrace: ..." and a usage line (of ipctrace itself where `c` is NULL). Returns EXIT_USAGE. */
int command_misused(const struct command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes "ipctrace: ..." to stderr. */
void command_say(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));

/* Likewise, what is no failure. */
void command_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Likewise. Returns EXIT_FAILURE. */
int command_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
