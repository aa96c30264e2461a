// SPDX-License-Identifier: BSD-2-Clause
/*
 * doctor: what this machine and user can record, and why not. A line per finding, in the order in which one
 * thing needs the other: both sources are tried as a recording would.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "../collector/arena_file.h"
#include "../collector/sampling.h"
#include "command.h"
#include "machine.h"
#include "prepared.h"
#include "render.h"
#include "source.h"
#include "terminal.h"

/* Exit statuses. */
enum { ALL_WELL = EXIT_SUCCESS, SHIM_ONLY = 1, NO_SHIM = 3 };

/* OPTIONAL: it is not there, and recording goes without. */
enum state { OK, NO, OPTIONAL };

static const struct selection everybody = { .mechanisms = UINT64_MAX };
static const struct source_settings everything = { .what = &everybody };

static const struct column columns[] = {
	{ "part", "PART", UNIT_TEXT, MARK_NONE },
	{ "name", "NAME", UNIT_TEXT, MARK_NONE },
	{ "state", "STATE", UNIT_TEXT, MARK_NONE },
	{ "text", "TEXT", UNIT_TEXT, MARK_NONE },
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]), FINDINGS_MAX = 64 };

struct doctor {
	enum output_format format;
	const char *part;
	bool failed;				   /* the part */
	const char *texts[FINDINGS_MAX * COLUMNS]; /* held back for a program; the last of each row is ours */
	size_t n;
};

static void tell(struct doctor *d, const char *name, enum state state, const char *text)
{
	static const char *const words[] = { "ok", "no", "--" };
	static const enum color colors[] = { COLOR_GOOD, COLOR_BAD, COLOR_MARK };
	char *copy = d->format ? strdup(text) : NULL;

	d->failed |= state == NO;
	if (!d->format) {
		printf("%s%s%s  %-4s  %-14s %s\n", terminal_color(stdout, colors[state]), words[state],
		       terminal_color(stdout, COLOR_OFF), d->part, name, text);
		fflush(stdout); /* what comes next may take a while */
	} else if (copy && d->n + COLUMNS <= FINDINGS_MAX * COLUMNS) {
		d->texts[d->n++] = d->part;
		d->texts[d->n++] = name;
		d->texts[d->n++] = words[state];
		d->texts[d->n++] = copy;
	}
}

static void show_for_program(const struct doctor *d)
{
	struct output out;

	output_init(&out, stdout, d->format, 0);
	output_texts(&out, columns, COLUMNS, d->texts, d->n / COLUMNS);
	for (size_t i = COLUMNS - 1; i < d->n; i += COLUMNS)
		free((char *)d->texts[i]);
}

static bool has_prepared_libc(const struct arena_file *a)
{
	char path[PATH_MAX];
	size_t n = snprintf(path, sizeof(path), "%s/", a->folder);

	prepared_name(path + n, a->header->libc_build_id, a->header->libc_build_id_len);
	return !access(path, R_OK);
}

static void tell_arena(struct doctor *d, const struct arena_file *a)
{
	char text[256];
	struct statvfs fs;

	if (!statvfs(a->folder, &fs)) {
		snprintf(text, sizeof(text), "%llu MiB are free in /dev/shm",
			 (unsigned long long)fs.f_bavail * fs.f_frsize >> 20);
		tell(d, "buffer", OK, text);
	}
	snprintf(text, sizeof(text), "%u places in libc where system calls are made", a->header->sites);
	tell(d, "libc", a->header->sites ? OK : NO,
	     a->header->sites ? text : "the system calls in this libc were not found");
	if (has_prepared_libc(a))
		tell(d, "prepared libc", OK, "traced programs share one patched copy of libc");
	else
		tell(d, "prepared libc", OPTIONAL,
		     "each traced program patches its own libc (1 ms, some 100 KiB): /dev/shm is full, or "
		     "mounted noexec");
}

static void tell_sampling(struct doctor *d)
{
	int err = sampling_check();
	char text[256];

	snprintf(text, sizeof(text), "no --shm-sample: %s (Linux 6.7 with userfaultfd)", strerror(-err));
	tell(d, "page samples", err ? OPTIONAL : OK, err ? text : "--shm-sample can be used");
}

/* The shim, as far as the recorder goes: ready, and everything removed again. */
static bool look_at_shim(struct doctor *d)
{
	struct source *s;
	char text[512] = "";

	d->part = "shim";
	d->failed = false;
	int err = source_shim.open(&s, &everything, text, sizeof(text));
	tell(d, "library", err ? NO : OK, err ? text : "goes with any user's programs");
	if (err)
		return false;
	tell_arena(d, shim_arena(s));
	source_shim.close(s);
	tell_sampling(d);
	return !d->failed;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void load_programs(struct doctor *d)
{
	struct source *s;
	char text[512] = "";
	double start = seconds();

	int err = source_bpf.open(&s, &everything, text, sizeof(text));
	if (!err) {
		source_bpf.close(s);
		snprintf(text, sizeof(text), "the kernel takes them, in %.0f ms", (seconds() - start) * 1e3);
	}
	tell(d, "programs", err ? NO : OK, text);
}

static bool look_at_ebpf(struct doctor *d)
{
	char text[512];

	d->part = "eBPF";
	d->failed = false;
	for (const struct machine_need *need = machine_needs; need->name; need++) {
		int err = need->check(text, sizeof(text));
		tell(d, need->name, err ? NO : OK, text);
	}
	if (d->failed)
		return false;
	load_programs(d);
	for (int i = 0; i < MACHINE_FEATURES; i++)
		tell(d, machine_features[i].name, machine_has(i) ? OK : OPTIONAL,
		     machine_has(i) ? machine_features[i].with : machine_features[i].without);
	return !d->failed;
}

static int run(const struct command *self, const struct options *o)
{
	struct doctor d = { .format = o->format };

	if (o->nargs)
		return command_misused(self, "unexpected argument '%s'", o->args[0]);
	bool shim = look_at_shim(&d), ebpf = look_at_ebpf(&d);
	if (d.format)
		show_for_program(&d);
	return !shim ? NO_SHIM : ebpf ? ALL_WELL : SHIM_ONLY;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.summary = "Tells what can be recorded here, and what is missing",
	.usage = "",
	.details =
		"A line for each finding: ok, no (with the remedy), or -- (recording goes without it). The\n"
		"exit status is 0 where the shim and eBPF can record, 1 where only the shim can, and 3 "
		"where\n"
		"the shim cannot.",
	.options = OPT_FORMAT,
	.privileged = true,
	.run = run,
};
