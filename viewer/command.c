// SPDX-License-Identifier: BSD-2-Clause
/*
 * The way from a command line to one of them. A first word that is no command is an
 * error and never a program to run: so no later command's name can take a program's place.
 */
#include <linux/capability.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command.h"
#include "selection.h"
#include "terminal.h"
#include "units.h"

const struct command *const commands[] = {
#define COMMAND_ROW(name) &cmd_##name,
	COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
		NULL,
};

static const char main_usage[] =
	"usage: ipctrace [-o FILE] [-q] [--follow] [--source=auto|shim|bpf] -- COMMAND [ARG...]\n"
	"       ipctrace record -a | -p PID | --cgroup PATH | --comm NAME [OPTION...]\n"
	"       ipctrace COMMAND-OF-IPCTRACE [OPTION...]   (see ipctrace --help)\n";

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

static void print_usage(FILE *out, const struct command *c)
{
	if (!c) {
		fputs(main_usage, out);
		return;
	}
	fprintf(out, "usage: ipctrace %s", c->name);
	options_usage(out, c->options);
	fprintf(out, "%s%s\n", *c->usage ? " " : "", c->usage);
}

void command_help(FILE *out, const struct command *c)
{
	print_usage(out, c);
	if (c) {
		fprintf(out, "\n%s.\n", c->summary);
		if (c->details)
			fprintf(out, "\n%s\n", c->details);
		fputs("\noptions:\n", out);
		options_describe(out, c->options);
		return;
	}
	fputs("\nShows the inter-process communication of unmodified programs.\n\ncommands:\n", out);
	for (const struct command *const *p = commands; *p; p++)
		fprintf(out, "  %-12s %s\n", (*p)->name, (*p)->summary);
	fputs("\n'ipctrace COMMAND --help' tells more, 'man ipctrace-COMMAND' all. Without a command,"
	      " 'ipctrace -- PROGRAM' records.\n",
	      out);
}

/* One line, whatever names are in it. */
static void say(enum color color, const char *format, va_list ap)
{
	char *text = NULL, *line = NULL;

	if (vasprintf(&text, format, ap) < 0)
		return;
	line = text_printable(text, strlen(text));
	fflush(stdout); /* what was written before comes before, also where a pager gets both */
	fprintf(stderr, "%sipctrace:%s %s\n", terminal_color(stderr, color),
		terminal_color(stderr, COLOR_OFF), line ? line : "out of memory");
	free(line);
	free(text);
}

void command_say(const char *format, va_list ap)
{
	say(COLOR_BAD, format, ap);
}

void command_note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(COLOR_MARK, format, ap);
	va_end(ap);
}

int command_misused(const struct command *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	command_say(format, ap);
	va_end(ap);
	print_usage(stderr, c);
	return EXIT_USAGE;
}

int command_failed(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	command_say(format, ap);
	va_end(ap);
	return EXIT_FAILURE;
}

/* Where the file of ipctrace has capabilities (make install GROUP=...), what only reads a trace, which
 * somebody else may have written, needs none. Root's mean more than that and stay. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = {};

	if (geteuid())
		syscall(SYS_capset, &header, none);
}

/* `argv[0]` stands for the command's name. `whole`: what the usage line is of, NULL: ipctrace itself. */
static int run(const struct command *c, const struct command *whole, int argc, char **argv)
{
	struct options o;
	char error[256];

	if (options_parse(&o, c->options, argc, argv, error, sizeof(error)))
		return command_misused(whole, "%s", error);
	terminal_begin(o.color, !o.no_pager);
	if (o.help) {
		command_help(stdout, whole);
		return EXIT_SUCCESS;
	}
	if (!whole && !o.separator && !selection_of_kernel(&o))
		return o.nargs ? command_misused(NULL, "put -- before the program to run: -- %s", o.args[0])
			       : command_misused(NULL, "no program to run");
	if (!c->privileged)
		drop_capabilities();
	int status = c->run(c, &o);
	/* A full disk or a closed pipe behind stdout must not look like success. */
	if ((fflush(stdout) || ferror(stdout)) && status == EXIT_SUCCESS)
		status = command_failed("cannot write the output");
	terminal_end();
	return status;
}

int command_main(int argc, char **argv)
{
	if (argc < 2) {
		print_usage(stderr, NULL);
		return EXIT_USAGE;
	}
	const char *word = argv[1];
	if (!strcmp(word, "--version"))
		word = "version";
	else if (word[0] == '-')
		return run(&cmd_record, NULL, argc, argv);
	const struct command *c = command_find(word);
	if (!c)
		return command_misused(NULL, "'%s' is not a command; to run a program: ipctrace -- %s", word,
				       word);
	return run(c, c, argc - 1, argv + 1);
}
