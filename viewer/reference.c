// SPDX-License-Identifier: BSD-2-Clause
/* reference: runs a reference program (reference/) or all, lists them, or compares them. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beside.h"
#include "command.h"
#include "compare.h"
#include "render.h"
#include "tables.h"
#include "../reference/reference.h"

static const struct column columns[] = {
	{ "name", "NAME", UNIT_TEXT, MARK_NONE },
	{ "mechanism", "MECHANISM", UNIT_TEXT, MARK_NONE },
	{ "summary", "SUMMARY", UNIT_TEXT, MARK_NONE },
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static int list_for_program(enum output_format format)
{
	const char *texts[COLUMNS * 2 * IPC_MECHANISMS]; /* some programs are no mechanism's */
	struct output out;
	size_t n = 0;

	for (const struct reference *const *r = references; *r; r++) {
		texts[n++] = (*r)->name;
		texts[n++] = (*r)->mechanism ?: (*r)->name;
		texts[n++] = (*r)->summary;
	}
	output_init(&out, stdout, format, 0);
	return output_texts(&out, columns, COLUMNS, texts, n / COLUMNS) ? command_failed("out of memory")
									: EXIT_SUCCESS;
}

static int list(const struct options *o)
{
	if (o->format)
		return list_for_program(o->format);
	for (const struct reference *const *r = references; *r; r++)
		printf("%-16s %s\n", (*r)->name, (*r)->summary);
	return EXIT_SUCCESS;
}

/* The arguments of reference_all(), which has no name in front. */
static int run_all(const struct options *o)
{
	char name[] = "reference", **argv = calloc((size_t)o->nargs + 2, sizeof(*argv));
	if (!argv)
		return command_failed("out of memory");
	argv[0] = name;
	memcpy(argv + 1, o->args, (size_t)o->nargs * sizeof(*argv));
	int status = reference_all(o->nargs + 1, argv, o->ledger);
	free(argv);
	return status;
}

/* reference_load: from beside the shim. The object stays loaded. */
static const struct reference *load_part(const char *name, char *why, size_t size)
{
	char file[64];
	snprintf(file, sizeof(file), "libipctrace-%s.so", name);
	char *path = find_beside(file);
	void *object = path ? dlopen(path, RTLD_NOW) : NULL;
	const struct reference *part = object ? dlsym(object, "reference_part") : NULL;
	if (!part)
		snprintf(why, size, "%s", path ? dlerror() : "its shared object is not where the shim is");
	free(path);
	return part;
}

static bool is_plain(const char *word)
{
	for (; *word; word++)
		if (*word < ' ' || *word > '~')
			return false;
	return true;
}

static int run(const struct command *self, const struct options *o)
{
	for (int i = 0; i < o->nargs; i++)
		if (!is_plain(o->args[i])) /* no good value of anything; and it is printed by many */
			return command_misused(self, "unexpected argument '%s'", o->args[i]);
	reference_load = load_part;
	if (o->list + o->all + o->compare > 1)
		return command_misused(self, "one of --list, --all and --compare");
	if (o->all)
		return run_all(o);
	if (!o->list && !o->compare && o->nargs) {
		const struct reference *r = reference_find(o->args[0]);
		return r ? reference_main(r, o->nargs, o->args, o->ledger)
			 : command_misused(self, "no reference program '%s'", o->args[0]);
	}
	if (o->nargs)
		return command_misused(self, "unexpected argument '%s'", o->args[0]);
	return o->compare ? compare(o->format) : list(o);
}

const struct command cmd_reference = {
	.name = "reference",
	.summary = "Runs a reference program of a mechanism, or lists or compares them",
	.usage = "[NAME [ARG...]]",
	.details = "Each uses its mechanism the way a textbook says, checks the data itself, and writes a "
		   "ledger (JSON)\n"
		   "of who sent how many messages and bytes to whom. What NAME, or --all, takes:\n"
		   "  --messages N         that each producer sends\n"
		   "  --size N, MIN-MAX    bytes of each\n"
		   "  --producers N        processes that send\n"
		   "  --consumers N        processes that receive\n"
		   "  --nonblocking        with calls that do not wait\n"
		   "  --rate N             messages a second of each producer\n"
		   "  --seed N             of sizes and data\n"
		   "  --variant NAME       of the program, where it has several\n"
		   "  --kill               the first producer kills itself half-way\n"
		   "Exit status 3: the mechanism cannot have that shape, or a library or program that it "
		   "needs is "
		   "not here.",
	.options = OPT_LEDGER | OPT_LIST | OPT_ALL | OPT_COMPARE | OPT_FORMAT | OPT_REST | OPT_FOREIGN,
	.run = run,
};
