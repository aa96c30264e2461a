// SPDX-License-Identifier: BSD-2-Clause
/* reference: runs a reference program (reference/), or lists them. */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "../reference/reference.h"

static int run(const struct command *self, const struct options *o)
{
	for (const struct reference *const *r = references; *r; r++) {
		if (!o->nargs)
			printf("%-12s %s\n", (*r)->name, (*r)->summary);
		else if (!strcmp((*r)->name, o->args[0]))
			return reference_main(*r, o->nargs, o->args, o->ledger);
	}
	return o->nargs ? command_misused(self, "no reference program '%s'", o->args[0]) : EXIT_SUCCESS;
}

const struct command cmd_reference = {
	.name = "reference",
	.summary = "Runs a reference program of a mechanism, or lists them",
	.usage = "[NAME [ARG...]]",
	.details = "Each uses its mechanism the way a textbook says, checks the data itself, and writes a "
		   "ledger of\n"
		   "who sent how many messages and bytes to whom: source pid, destination pid, mechanism, "
		   "key of\n"
		   "the channel, messages, bytes.",
	.options = OPT_LEDGER | OPT_REST,
	.run = run,
};
