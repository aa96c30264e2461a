// SPDX-License-Identifier: BSD-2-Clause
/*
 * complete: what may stand where somebody has pressed Tab. The scripts of the shells (completion/) only pass
 * on the words and show what comes back, so that everything they offer follows from the tables of commands,
 * options, mechanisms and verbs. A line is a word, a tab and what it means; or says what the shell shall
 * offer: ":file", or ":program N", a program and its arguments from word N on.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "tables.h"
#include "view.h"
#include "../reference/reference.h"

/* What stands on the line so far. */
struct typed {
	char **words; /* the first is ipctrace, the last the one to complete */
	int n;
	const struct command *command;
	const char *value;  /* the last word is a value; of this kind, as in struct option_text */
	const char *prefix; /* what stands before the value in the same word, prefix_len bytes */
	size_t prefix_len;
	const char *start; /* of what is to complete */
	int program;	   /* where the program to run begins; 0: not yet */
};

static void offer(const struct typed *t, const char *word, size_t n, const char *meaning)
{
	size_t typed = strlen(t->start);

	if (typed <= n && !strncmp(word, t->start, typed))
		printf("%.*s%.*s\t%s\n", (int)t->prefix_len, t->prefix, (int)n, word, meaning ? meaning : "");
}

static void offer_word(const struct typed *t, const char *word, const char *meaning)
{
	offer(t, word, strlen(word), meaning);
}

static void offer_commands(const struct typed *t)
{
	for (const struct command *const *c = commands; *c; c++)
		offer_word(t, (*c)->name, (*c)->summary);
}

static void offer_options(const struct typed *t)
{
	struct option_text o;
	char word[OPTION_LEFT];

	for (unsigned int i = 0; options_text(t->command->options, i, &o); i++) {
		if (o.name)
			snprintf(word, sizeof(word), "--%s", o.name);
		else
			snprintf(word, sizeof(word), "-%c", o.letter);
		offer_word(t, word, o.help);
	}
	if (t->n == 2)
		offer_word(t, "--version", cmd_version.summary);
}

/* The last word's part up to `end` is given already. */
static void keep(struct typed *t, const char *end)
{
	t->prefix_len = (size_t)(end - t->prefix);
	t->start = end;
}

static void offer_columns(struct typed *t)
{
	if (*t->start == '-')
		keep(t, t->start + 1);
	for (const struct column *c = t->command->view ? t->command->view->columns : NULL; c && c->name; c++)
		offer_word(t, c->name, NULL);
}

static void offer_mechanisms(struct typed *t)
{
	const char *comma = strchr(t->value, ',') ? strrchr(t->start, ',') : NULL;

	if (comma)
		keep(t, comma + 1);
	for (int i = IPC_MECH_none + 1; i < IPC_MECHANISMS; i++)
		offer_word(t, ipc_mechanisms[i].name, NULL);
}

static void offer_verbs(const struct typed *t)
{
	for (int i = IPC_VERB_none + 1; i < IPC_VERBS; i++)
		offer_word(t, ipc_verb_names[i], NULL);
}

static void offer_alternatives(const struct typed *t)
{
	for (const char *s = t->value; *s; s += strspn(s, "|")) {
		size_t n = strcspn(s, "|");
		offer(t, s, n, NULL);
		s += n;
	}
}

static void offer_values(struct typed *t)
{
	if (islower(*t->value))
		offer_alternatives(t);
	else if (!strncmp(t->value, "MECHANISM", strlen("MECHANISM")))
		offer_mechanisms(t);
	else if (!strcmp(t->value, "VERB"))
		offer_verbs(t);
	else if (!strcmp(t->value, "[-]COLUMN"))
		offer_columns(t);
	else if (!strcmp(t->value, "FILE") || !strcmp(t->value, "PATH"))
		puts(":file");
}

static void offer_arguments(const struct typed *t)
{
	if (t->command == &cmd_help)
		offer_commands(t);
	if (t->command == &cmd_reference)
		for (const struct reference *const *r = references; *r; r++)
			offer_word(t, (*r)->name, (*r)->summary);
}

/* What the option that `word` (without a value) is takes, `next` behind it; NULL: nothing, or it is no
 * option. */
static const char *value_of(const struct command *c, const char *word, size_t n, const char *next)
{
	struct option_text o;

	for (unsigned int i = 0; options_text(c->options, i, &o); i++)
		if ((n == 2 && word[0] == '-' && word[1] == o.letter) ||
		    (o.name && n == strlen(o.name) + 2 && !strncmp(word, "--", 2) &&
		     !strncmp(word + 2, o.name, n - 2)))
			return !o.value || *o.value != '=' ? o.value : *next == '=' ? o.value + 1 : NULL;
	return NULL;
}

/* Goes over the words from `i` to the last. Bash makes three words of --name=value. */
static void read_words(struct typed *t, int i)
{
	const char *last = t->words[t->n - 1];

	for (; i < t->n - 1; i++) {
		const char *word = t->words[i];
		bool option = word[0] == '-' && word[1] && strcmp(word, "--") != 0;
		if (!option && t->command->options & OPT_REST) {
			t->program = *word == '-' ? i + 1 : i;
			return;
		}
		const char *value = option ? value_of(t->command, word, strlen(word), t->words[i + 1]) : NULL;
		if (!value)
			continue;
		i++;
		if (!strcmp(t->words[i], "=") && i < t->n - 1)
			i++;
		if (i == t->n - 1) {
			t->value = value;
			t->start += !strcmp(last, "=");
		}
	}
	const char *equals = strchr(last, '=');
	if (!t->value && !strncmp(last, "--", 2) && equals) {
		t->value = value_of(t->command, last, (size_t)(equals - last), equals);
		keep(t, equals + 1);
	}
}

static int run(const struct command *self, const struct options *o)
{
	struct typed t = { .words = o->args, .n = o->nargs };

	if (o->nargs < 2)
		return command_misused(self, "the words of a command line are needed");
	t.start = t.prefix = t.words[t.n - 1];
	t.command = t.words[1][0] == '-' ? &cmd_record : t.n > 2 ? command_find(t.words[1]) : NULL;
	if (t.command)
		read_words(&t, t.words[1][0] == '-' ? 1 : 2);
	if (t.n == 2 && !t.command)
		offer_commands(&t);
	else if (t.command && t.program && !(t.command->options & OPT_FOREIGN))
		printf(":program %d\n", t.program);
	else if (t.value)
		offer_values(&t);
	else if (t.command && *t.start == '-')
		offer_options(&t);
	else if (t.command == &cmd_record)
		printf(":program %d\n", t.n - 1);
	else if (t.command)
		offer_arguments(&t);
	return EXIT_SUCCESS;
}

const struct command cmd_complete = {
	.name = "complete",
	.summary = "Tells what can follow on a command line, for the completion of shells",
	.usage = "-- WORD...",
	.details =
		"The words are those of a command line from 'ipctrace' to the one that is to be completed.",
	.options = OPT_REST,
	.run = run,
};
