// SPDX-License-Identifier: BSD-2-Clause
/* version: of the program, of what it writes, and what is built in. */
#include <stdlib.h>
#include <sqlite3.h>
#include <bpf/libbpf.h>

#include "arena.h"
#include "command.h"
#include "event.h"
#include "tables.h"
#include "trace.h"

static int run(const struct command *self, const struct options *o)
{
	if (o->nargs)
		return command_misused(self, "unexpected argument '%s'", o->args[0]);
	printf("ipctrace %s (trace files of schema %d)\n", IPCTRACE_VERSION, TRACE_SCHEMA);
	printf("events: %zu bytes, in an arena of format %d\n", sizeof(struct ipc_event), ARENA_VERSION);
	printf("knows: %d mechanisms, %d calls\n", IPC_MECHANISMS - 1, IPC_CALLS - 1);
	printf("built in: shim for " IPCTRACE_MACHINE ", eBPF by libbpf %s, SQLite %s\n",
	       libbpf_version_string(), sqlite3_libversion());
	return EXIT_SUCCESS;
}

const struct command cmd_version = {
	.name = "version",
	.summary = "Shows the version of ipctrace, of what it writes, and what is built in",
	.usage = "",
	.run = run,
};
