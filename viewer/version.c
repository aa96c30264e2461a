// SPDX-License-Identifier: BSD-2-Clause
/* version: of the program and of the trace files it writes. */
#include <stdlib.h>

#include "command.h"
#include "trace.h"

static int run(const struct command *self, const struct options *o)
{
	if (o->nargs)
		return command_misused(self, "unexpected argument '%s'", o->args[0]);
	printf("ipctrace %s (trace files of schema %d)\n", IPCTRACE_VERSION, TRACE_SCHEMA);
	return EXIT_SUCCESS;
}

const struct command cmd_version = {
	.name = "version",
	.summary = "Shows the version of ipctrace",
	.usage = "",
	.run = run,
};
