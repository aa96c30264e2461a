/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of all commands, in one table: each has one meaning everywhere, a command only says which it
 * takes. Usage lines and --help derive from the table.
 */
#ifndef IPC_OPTIONS_H
#define IPC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "terminal.h"

enum option_bit {
	OPT_INPUT = 1 << 0,
	OPT_FORMAT = 1 << 1, /* --json, --ndjson, --csv */
	OPT_LIMIT = 1 << 2,
	OPT_SORT = 1 << 3,
	OPT_PID = 1 << 4,
	OPT_COMM = 1 << 5,
	OPT_MECHANISM = 1 << 6,
	OPT_OUTPUT = 1 << 7,
	OPT_QUIET = 1 << 8,
	OPT_FOLLOW = 1 << 9, /* how far a recording goes: --follow, --no-follow, --duration, --max-size */
	OPT_SOURCE = 1 << 10,
	OPT_LEDGER = 1 << 11,
	OPT_HELP = 1 << 12, /* every command takes these: --help, --color, --no-pager */
	OPT_REST = 1 << 13, /* no option: all from the first word that is no option on is the command's own */
	OPT_VERIFY = 1 << 14,
	OPT_RESOLVE = 1 << 15,
	OPT_VERB = 1 << 16,
	OPT_SYNC = 1 << 17,
	OPT_PRIVATE = 1 << 18,
	OPT_SHM_SAMPLE = 1 << 19,
	OPT_BUFFER = 1 << 20, /* --buffer and --on-full */
	OPT_AGGREGATE = 1 << 21,
	OPT_MACHINE = 1 << 22,
	OPT_PIDS = 1 << 23,
	OPT_LIST = 1 << 24,
	OPT_ALL = 1 << 25,
	OPT_COMPARE = 1 << 26,
	OPT_FOREIGN =
		1 << 27, /* no option: with OPT_REST, options that nobody knows are the command's own too */

	OPT_UPROBES = 1 << 28,
	OPT_CGROUP = 1 << 29,
	OPT_MECHANISMS = 1 << 30,
	OPT_NO_PATCH = 1ULL << 31,
	OPT_RECOVER = 1ULL << 32, /* --list and --clean */
	OPT_STREAM = 1ULL << 33,  /* --follow of what is shown */
	OPT_BYTES = 1ULL << 34,	  /* --no-protocols and --capture */
	OPT_PAYLOAD = 1ULL << 35,
	OPT_BY = 1ULL << 36,

	OPT_VIEW = OPT_INPUT | OPT_FORMAT | OPT_LIMIT | OPT_SORT, /* what every view takes */
};

enum { PIDS_MAX = 64 };

/* What programs do where there is no room for their events. */
enum on_full { ON_FULL_DEFAULT, ON_FULL_BLOCK, ON_FULL_DROP };

/* What of the first bytes of a message is shown (--capture). */
enum payload { PAYLOAD_NONE, PAYLOAD_TEXT, PAYLOAD_HEX };

/* How rows are written. All but the first are for programs: every column, plain numbers. */
enum output_format {
	OUTPUT_TEXT,
	OUTPUT_JSON,   /* an array of objects */
	OUTPUT_NDJSON, /* an object a line, each whole as soon as it is written */
	OUTPUT_CSV,    /* RFC 4180, with a line of headings */
};

struct options {
	const char *input;   /* default ipctrace.db */
	const char *output;  /* default ipctrace.db */
	const char *source;  /* NULL: the one that fits */
	const char *cgroup;  /* NULL: all */
	uint64_t mechanisms; /* to record: set of 1 << enum ipc_mechanism; 0: all */
	int pids[PIDS_MAX];  /* to record, with their descendants */
	unsigned int npids;
	const char *ledger;    /* NULL: none */
	const char *sort;      /* a column of the view, or NULL: the view's own order */
	const char *comm;      /* NULL: all */
	const char *mechanism; /* NULL: all */
	const char *verb;      /* NULL: all */
	int64_t limit;	       /* -1: no limit */
	int64_t pid;	       /* 0: all */
	int64_t buffer;	       /* bytes, a power of two; 0: the source's own */
	enum on_full on_full;
	int64_t duration;   /* nanoseconds that a recording takes at most; 0: as long as it takes */
	int64_t max_size;   /* bytes of the trace at which its recording ends; 0: no limit */
	int64_t capture;    /* bytes of each message that are stored; 0: none */
	int64_t shm_sample; /* milliseconds between samples of shared memory; 0: none */
	bool descending;    /* of `sort` */
	bool machine;	    /* record all of it */
	enum output_format format;
	enum color_mode color;
	bool no_pager;
	bool quiet, follow, verify, resolve, help;
	bool aggregate;	   /* sends and receives are totals */
	bool sync_all;	   /* each call on a semaphore or lock is an event */
	bool uprobes;	   /* eBPF sees semaphores and locks of libc too */
	bool no_patch;	   /* the shim changes no code */
	bool no_protocols; /* what messages say is not looked at */
	bool no_follow;	   /* what the command, or the processes of -p, start is not recorded */
	bool sync_private; /* also of those that are private to a process */
	bool list, all, compare, clean;
	bool by_name; /* one row for all of one name */
	enum payload payload;
	bool separator; /* "--" stood before `args` */
	char **args;	/* what is no option, NULL-terminated: points into argv */
	int nargs;
};

/* Parses argv[1..argc-1]; `accepted` is a set of enum option_bit. Without OPT_REST options and other words
 * may be mixed (argv is reordered). Returns 0, or -EINVAL with one line in `error`. */
int options_parse(struct options *o, uint64_t accepted, int argc, char **argv, char *error,
		  size_t error_size);

/* Writes the accepted options as a usage line shows them, a space before each. */
void options_usage(FILE *out, uint64_t accepted);

/* An option in words, for help, manual pages and completion. */
struct option_text {
	char letter;	  /* 0: none */
	const char *name; /* NULL: none */
	/* What it takes, or NULL. Words in small letters, with | between them, are all that there is; one
	 * that begins with = may be missing, and can only stand behind such a sign. */
	const char *value;
	const char *help;
};

/* The i-th of the accepted options. Returns whether there is one. */
bool options_text(uint64_t accepted, unsigned int i, struct option_text *out);

/* As it is called in help: "-p, --pid PID". */
enum { OPTION_LEFT = 64 };
void option_left(const struct option_text *o, char left[OPTION_LEFT]);

/* Writes one line for each accepted option. */
void options_describe(FILE *out, uint64_t accepted);

#endif
