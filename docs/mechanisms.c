// SPDX-License-Identifier: BSD-2-Clause
/*
 * Prints docs/mechanisms.md from the tables of common/ and from what docs/mechanisms/NAME.md says of each
 * mechanism that is recorded (make docs; make check compares).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"

static const char *const verb_words[IPC_VERBS] = {
	[IPC_VERB_none] = "nothing",
	[IPC_VERB_by_end] = "send or recv",
};

static const char *verb(unsigned int v)
{
	return verb_words[v] ? verb_words[v] : ipc_verb_names[v];
}

/* What a call works on, in words. */
static const char *object(unsigned int o, char *text, size_t size)
{
	switch (IPC_OBJ_KIND(o)) {
	case IPC_OBJ_RET:
		return "the descriptor that it returns";
	case IPC_OBJ_RANGE:
		return "the descriptors from argument 0 to 1";
	case IPC_OBJ_CHILD:
		return "the child whose id it returns";
	case IPC_OBJ_SELF:
		return "the calling process";
	case IPC_OBJ_POLLFDS:
		return "the descriptors of the array at argument 0";
	case IPC_OBJ_FDSETS:
		return "the descriptors of the sets at arguments 1 to 3";
	case IPC_OBJ_EPOLL:
		return "the descriptors that the epoll instance reports";
	case IPC_OBJ_KIND_SEMS:
		return o == IPC_OBJ_SEMS_RET ? "the semaphores that it returns"
					     : "the semaphores in argument 0";
	case IPC_OBJ_KIND_MSGQ:
		return o == IPC_OBJ_MSGQ_RET ? "the message queue that it returns"
					     : "the message queue in argument 0";
	case IPC_OBJ_KIND_SIGNAL:
		if (o == IPC_OBJ_SIGNAL_SELF)
			return "the caller's signals";
		snprintf(text, size, "the signals of who argument %u names", IPC_OBJ_ARG(o));
		return text;
	case IPC_OBJ_KIND_MEMORY:
		if (o == IPC_OBJ_MEMORY_RET)
			return "the shared memory that it returns";
		snprintf(text, size, "the shared memory in argument %u", IPC_OBJ_ARG(o));
		return text;
	case IPC_OBJ_KIND_PROCESS:
		snprintf(text, size, "the process in argument %u", IPC_OBJ_ARG(o));
		return text;
	case IPC_OBJ_KIND_WORD:
		snprintf(text, size, "the word of memory at argument %u", IPC_OBJ_ARG(o));
		return text;
	case IPC_OBJ_KIND_FD:
		snprintf(text, size, "the descriptor in argument %u", IPC_OBJ_ARG(o));
		return text;
	case IPC_OBJ_KIND_PAIR:
		snprintf(text, size, "the two descriptors at argument %u", IPC_OBJ_ARG(o));
		return text;
	}
	return "";
}

static void print_mechanisms(void)
{
	puts("## Mechanisms\n\n"
	     "| mechanism | model | one transfer is a | pairing | scope | ends | holds | recorded by |\n"
	     "| --- | --- | --- | --- | --- | --- | --- | --- |");
	for (int i = 1; i < IPC_MECHANISMS; i++) {
		const struct ipc_mechanism_row *m = &ipc_mechanisms[i];
		const char *sources = !strcmp(m->sources, "BOTH")    ? "shim, bpf"
				      : !strcmp(m->sources, "SHIM")  ? "shim"
				      : !strcmp(m->sources, "BPF")   ? "bpf"
				      : !strcmp(m->sources, "BYTES") ? "shim, bpf: by the bytes on others"
								     : "not yet";
		printf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", m->name, m->model, m->boundary,
		       m->matching, m->scope, m->ends, ipc_capacity(m) ?: "", sources);
	}
}

/* The file without its licence line. */
static void print_words(const char *dir, const char *name)
{
	char path[256], line[512];
	snprintf(path, sizeof(path), "%s/%s.md", dir, name);
	FILE *f = fopen(path, "re");
	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	printf("\n### %s\n\n", name);
	while (fgets(line, sizeof(line), f))
		if (!strstr(line, "SPDX"))
			fputs(line, stdout);
	fclose(f);
}

static void print_all_words(const char *dir)
{
	puts("\n## What is exact, what approximate, what not covered");
	for (int i = 1; i < IPC_MECHANISMS; i++)
		if (strcmp(ipc_mechanisms[i].sources, "NONE") != 0)
			print_words(dir, ipc_mechanisms[i].name);
}

static void print_calls(void)
{
	puts("\n## Calls\n\n"
	     "| call | number | verb | works on | second object | moves bytes | descriptors |\n"
	     "| --- | --- | --- | --- | --- | --- | --- |");
	for (int i = 1; i < IPC_CALLS; i++) {
		static const char *const effects[] = { "", "makes", "copies", "closes" };
		static const char *const sizes[] = { "", "its result", "its result",
						     "the size of each message", "its argument" };
		const struct ipc_call *c = &ipc_calls[i];
		char number[16] = "none", first[64], second[64];
		if (c->nr != IPC_NO_NR)
			snprintf(number, sizeof(number), "%u", c->nr);
		printf("| %s | %s | %s | %s | %s | %s | %s |\n", ipc_call_names[i], number, verb(c->verb),
		       object(c->object, first, sizeof(first)), object(c->object2, second, sizeof(second)),
		       sizes[c->size], effects[c->effect]);
	}
}

static void print_reasons(void)
{
	puts("\n## Why something is missing\n\n"
	     "`lost`: seen, not stored. `not_covered`: no source could see it. `uncertain`: stored, but it "
	     "cannot be\n"
	     "said for certain whom it concerns.\n\n"
	     "| reason | kind | meaning | what to do |\n"
	     "| --- | --- | --- | --- |");
	for (int i = 1; i < IPC_REASONS; i++)
		printf("| %s | %s | %s | %s |\n", ipc_reasons[i].name, ipc_reasons[i].kind,
		       ipc_reasons[i].words, ipc_reasons[i].remedy);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: mechanisms FOLDER\n");
		return 2;
	}
	puts("<!-- SPDX-License-Identifier: BSD-2-Clause -->\n"
	     "<!-- Made by `make docs` from common/*.def and docs/mechanisms/. Do not edit. -->\n\n"
	     "# Mechanisms, calls, reasons\n\n"
	     "What ipctrace knows, from the tables that the sources, the collector and the trace file are "
	     "made\n"
	     "from. A mechanism that is \"not yet\" recorded has its row, so that numbers stay what they "
	     "are. A trace\n"
	     "file carries the same in its tables `mechanisms` and `calls`.\n");
	print_mechanisms();
	print_all_words(argv[1]);
	print_calls();
	print_reasons();
	return 0;
}
