// SPDX-License-Identifier: BSD-2-Clause
/* help: what --help shows, for ipctrace or for one command. */
#include <stdlib.h>

#include "command.h"

static int run(const struct command *self, const struct options *o)
{
	const struct command *c = o->nargs ? command_find(o->args[0]) : NULL;

	if (o->nargs > 1 || (o->nargs && !c))
		return command_misused(self, "'%s' is not a command", o->args[o->nargs - 1]);
	command_help(stdout, c);
	return EXIT_SUCCESS;
}

const struct command cmd_help = {
	.name = "help",
	.summary = "Explains ipctrace, or one of its commands",
	.usage = "[COMMAND-OF-IPCTRACE]",
	.run = run,
};
