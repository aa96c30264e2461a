// SPDX-License-Identifier: BSD-2-Clause
/*
 * Prints a manual page from Markdown and from the table of commands (make man):
 *
 *	manual docs/man ipctrace     ipctrace.md
 *	manual docs/man COMMAND      NAME and SYNOPSIS from the table, then ipctrace-COMMAND.md
 *
 * Of Markdown: headings, paragraphs, "- " lists, fenced code, **bold**, *italic*, `code`, \ before what shall
 *stay, and definitions: a line, and below it one that begins with ": "; what is indented goes on with it.
 *Behind "# COMMANDS" the commands are added, behind "# OPTIONS" what the command takes, each option as the
 *page itself explains it ("## -i FILE", as in --help), or else options.md. One that neither explains is an
 *error, and so is a page's text of an option that the command does not take.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct text {
	char *path;
	char **lines; /* without their ends */
	size_t n;
};

static const struct command *page; /* NULL: of ipctrace itself */
static struct text shared_options;

static void fail(const char *path, const char *what, const char *of)
{
	fprintf(stderr, "manual: %s: %s%s\n", path, what, of);
	exit(EXIT_FAILURE);
}

static struct text read_text(const char *folder, const char *name, const char *dash)
{
	struct text t = { 0 };
	char *line = NULL;
	size_t size = 0;

	if (asprintf(&t.path, "%s/%s%s.md", folder, dash, name) < 0)
		exit(EXIT_FAILURE);
	FILE *f = fopen(t.path, "re");
	if (!f)
		fail(t.path, strerror(errno), "");
	while (getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "<!--", 4))
			continue;
		t.lines = realloc(t.lines, (t.n + 1) * sizeof(*t.lines));
		t.lines[t.n++] = strdup(line);
	}
	fclose(f);
	free(line);
	return t;
}

static bool is(const char *line, const char *start)
{
	return !strncmp(line, start, strlen(start));
}

/* As it stands; roff's own characters are escaped. */
static void put_char(char c)
{
	if (c == '\\')
		fputs("\\e", stdout);
	else if (c == '-')
		fputs("\\-", stdout);
	else
		putchar(c);
}

static void put_word(const char *font, const char *text)
{
	printf("\\f%s", font);
	while (*text)
		put_char(*text++);
	fputs("\\fR", stdout);
}

/* A line of text, with its fonts; these end with the line at the latest. */
static void put_line(const char *s)
{
	char font = 'R';

	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout);
	for (; *s; s++) {
		char wanted = is(s, "**") ? 'B' : *s == '*' ? 'I' : *s == '`' ? 'C' : 0;
		if (font == 'C' && wanted != 'C')
			wanted = 0;
		if (wanted) {
			s += wanted == 'B';
			font = font == wanted ? 'R' : wanted;
			printf("\\f%c", font == 'C' ? 'B' : font);
			continue;
		}
		if (*s == '\\' && font != 'C' && ispunct((unsigned char)s[1]))
			s++;
		put_char(*s);
	}
	puts(font == 'R' ? "" : "\\fR");
}

static void put_code(const struct text *t, size_t *i, bool fresh)
{
	puts(fresh ? ".RS 4\n.EX" : ".PP\n.RS 4\n.EX");
	while (++*i < t->n && !is(t->lines[*i], "```")) {
		if (*t->lines[*i] == '.' || *t->lines[*i] == '\'')
			fputs("\\&", stdout);
		for (const char *s = t->lines[*i]; *s; s++)
			put_char(*s);
		putchar('\n');
	}
	puts(".EE\n.RE");
}

/* Lines `from` to `to`. `paragraph`: the macro between paragraphs. `fresh`: none is needed before the first.
 */
static void put_text(const struct text *t, size_t from, size_t to, const char *paragraph)
{
	bool fresh = true, blank = true;

	for (size_t i = from; i < to; i++) {
		const char *s = t->lines[i];
		bool item = is(s, "- ");
		if (!*s) {
			blank = true;
			continue;
		}
		if (is(s, "```")) {
			put_code(t, &i, fresh);
		} else if (is(s, "## ")) {
			printf(".SS ");
			put_line(s + 3);
		} else if (i + 1 < to && is(t->lines[i + 1], ": ")) {
			puts(".TP");
			put_line(s);
		} else {
			if (item)
				puts(".IP \\(bu 2");
			else if (blank && *s == ' ')
				puts(".IP");
			else if (blank && !fresh && *s != ':')
				puts(paragraph);
			s += item || *s == ':';
			put_line(s + strspn(s, " "));
		}
		fresh = is(s, "## ");
		blank = false;
	}
}

/* Where the lines of section `heading` begin; t->n: there is none. */
static size_t find_heading(const struct text *t, const char *mark, const char *heading)
{
	size_t i = 0;

	while (i < t->n && !(is(t->lines[i], mark) && !strcmp(t->lines[i] + strlen(mark), heading)))
		i++;
	return i < t->n ? i + 1 : i;
}

/* Where they end: at the next heading of this level or above. */
static size_t end_of_section(const struct text *t, size_t i, bool below)
{
	while (i < t->n && !is(t->lines[i], "# ") && !(below && is(t->lines[i], "## ")))
		i++;
	return i;
}

static void put_option_name(const struct option_text *o)
{
	char letter[] = { '-', o->letter, 0 }, name[64];

	if (o->letter)
		put_word("B", letter);
	if (o->letter && o->name)
		fputs(", ", stdout);
	snprintf(name, sizeof(name), "--%s", o->name ? o->name : "");
	if (o->name)
		put_word("B", name);
	if (o->value) {
		fputs(*o->value == '=' ? "[" : " ", stdout);
		put_word("I", o->value);
		fputs(*o->value == '=' ? "]" : "", stdout);
	}
}

static void put_options(const struct text *t)
{
	struct option_text o;
	size_t own = 0, found = 0, missing = 0;

	for (size_t i = find_heading(t, "# ", "OPTIONS"); i < t->n && !is(t->lines[i], "# "); i++)
		own += is(t->lines[i], "## ");
	for (unsigned int k = 0; options_text(page->options, k, &o); k++) {
		char left[OPTION_LEFT];
		const struct text *from = t;
		option_left(&o, left);
		size_t i = find_heading(t, "## ", left);
		found += i < t->n;
		if (i == t->n) {
			from = &shared_options;
			i = find_heading(from, "## ", left);
		}
		if (i == from->n) {
			fprintf(stderr, "manual: %s does not explain %s\n", from->path, left);
			missing++;
			continue;
		}
		puts(".TP");
		put_option_name(&o);
		putchar('\n');
		put_text(from, i, end_of_section(from, i, true), ".IP");
	}
	if (found != own)
		fail(t->path, "explains an option that is not one of ", page->name);
	if (missing)
		exit(EXIT_FAILURE);
}

static void put_commands(void)
{
	for (const struct command *const *c = commands; *c; c++)
		printf(".TP\n.BR ipctrace\\-%s (1)\n%s.\n", (*c)->name, (*c)->summary);
}

/* Brackets and dots roman, what is in capitals italic, the rest bold. */
static void put_usage(const char *usage)
{
	for (char font = 0, last = 0; *usage; usage++) {
		font = isupper((unsigned char)*usage)			 ? 'I'
		       : isalpha((unsigned char)*usage) || *usage == '-' ? 'B'
									 : 'R';
		if (font != last)
			printf("\\f%c", font);
		put_char(*usage);
		last = font;
	}
	puts("\\fR");
}

static void put_synopsis(void)
{
	struct option_text o;

	printf(".SH SYNOPSIS\n.B ipctrace %s\n", page->name);
	for (unsigned int k = 0; options_text(page->options, k, &o); k++) {
		putchar('[');
		if (o.letter)
			o.name = NULL;
		put_option_name(&o);
		puts("]");
	}
	put_usage(page->usage);
}

static void put_title(const char *name)
{
	char title[64];

	snprintf(title, sizeof(title), "IPCTRACE%s%s", page ? "-" : "", page ? name : "");
	for (char *s = title; *s; s++)
		*s = (char)toupper((unsigned char)*s);
	printf(".\\\" SPDX-License-Identifier: BSD-2-Clause\n.TH %s 1 \"%s\" \"ipctrace %s\" \"User "
	       "Commands\"\n",
	       title, MANUAL_DATE, IPCTRACE_VERSION);
	if (!page)
		return;
	printf(".SH NAME\nipctrace\\-%s \\- %c%s\n", name, tolower((unsigned char)page->summary[0]),
	       page->summary + 1);
	put_synopsis();
}

int main(int argc, char **argv)
{
	if (argc != 3 || (strcmp(argv[2], "ipctrace") && !(page = command_find(argv[2])))) {
		fprintf(stderr, "usage: manual FOLDER ipctrace|COMMAND\n");
		return EXIT_USAGE;
	}
	struct text t = read_text(argv[1], argv[2], page ? "ipctrace-" : "");
	shared_options = read_text(argv[1], "options", "");
	put_title(argv[2]);
	for (size_t i = 0, end; i < t.n; i = end) {
		bool heading = is(t.lines[i], "# "), options = page && !strcmp(t.lines[i], "# OPTIONS");
		if (heading)
			printf(".SH %s\n", t.lines[i] + 2);
		end = end_of_section(&t, i + 1, false);
		put_text(&t, i + heading, options ? end_of_section(&t, i + 1, true) : end, ".PP");
		if (options)
			put_options(&t);
		else if (!strcmp(t.lines[i], "# COMMANDS"))
			put_commands();
	}
	return 0;
}
