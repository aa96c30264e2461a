// SPDX-License-Identifier: BSD-2-Clause
/*
 * doctor: what this machine and user can record, and why not. A line per finding, in the order in which one
 * thing needs the other: both sources are tried as a recording would, the shim with a program.
 */
#include <errno.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../collector/arena_file.h"
#include "../collector/sampling.h"
#include "collector.h"
#include "command.h"
#include "machine.h"
#include "prepared.h"
#include "render.h"
#include "source.h"
#include "terminal.h"
#include "trace.h"

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
		printf("%s%s%s  %-4s  %-15s %s\n", terminal_color(stdout, colors[state]), words[state],
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

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool has_prepared_libc(const struct arena_file *a)
{
	char path[PATH_MAX];
	size_t n = snprintf(path, sizeof(path), "%s/", a->folder);

	prepared_name(path + n, a->header->libc_build_id, a->header->libc_build_id_len);
	return !access(path, R_OK);
}

static unsigned long long mib(unsigned long long bytes)
{
	return bytes >> 20;
}

/* The recorder takes at most half of what is left there. */
static void tell_buffer(struct doctor *d, const struct arena_file *a)
{
	const uint64_t whole = (uint64_t)ARENA_CHUNKS_DEFAULT * CHUNK_BYTES;
	char text[256];
	struct statvfs fs;

	if (statvfs(a->folder, &fs))
		return;
	uint64_t there = (uint64_t)fs.f_bavail * fs.f_frsize;
	bool enough = there / 2 >= whole;
	snprintf(text, sizeof(text),
		 enough ? "%llu MiB are free in /dev/shm"
			: "only %llu MiB are free in /dev/shm, a burst of events may be too much: mount -o "
			  "remount,size=256m /dev/shm",
		 mib(there));
	tell(d, "buffer", enough ? OK : OPTIONAL, text);
}

static void tell_clock(struct doctor *d, const struct arena_header *h)
{
	bool ticks = h->clock == ARENA_CLOCK_TSC;

	tell(d, "clock", ticks ? OK : OPTIONAL,
	     ticks ? "the processor's time-stamp counter"
		   : "clock_gettime, some 12 ns dearer each time: the time-stamp counter is not constant, or "
		     "not "
		     "the kernel's clock source");
}

static void tell_libc(struct doctor *d, const struct arena_file *a)
{
	const struct arena_header *h = a->header;
	char text[256], id[2 * sizeof(h->libc_build_id) + 1] = "";

	for (uint32_t i = 0; i < h->libc_build_id_len && i < sizeof(h->libc_build_id); i++)
		sprintf(id + 2 * i, "%02x", h->libc_build_id[i]);
	snprintf(text, sizeof(text),
		 "glibc %s (build %.12s): %u places where system calls are made; another libc is "
		 "scanned in each process",
		 gnu_get_libc_version(), id, h->sites);
	tell(d, "libc", h->sites ? OK : NO, h->sites ? text : "the system calls in this libc were not found");
	if (has_prepared_libc(a))
		tell(d, "prepared libc", OK, "traced programs share one patched copy of libc");
	else
		tell(d, "prepared libc", OPTIONAL,
		     "each traced program patches its own libc (1 ms, some 100 KiB): /dev/shm is full, or "
		     "mounted noexec");
}

/* As the shim does it in a process whose libc is not the prepared one. */
static void tell_patching(struct doctor *d)
{
	const int wanted = PROT_READ | PROT_WRITE | PROT_EXEC;
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	char text[256];
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err = page == MAP_FAILED || mprotect(page, size, wanted) ? errno : 0;

	if (page != MAP_FAILED)
		munmap(page, size);
	snprintf(text, sizeof(text),
		 "programs may not make new code (%s; SELinux, or MemoryDenyWriteExecute= of a service): of "
		 "programs with another libc than ours little or nothing is seen",
		 strerror(err));
	tell(d, "new code", err ? OPTIONAL : OK, err ? text : "programs may change their own code in memory");
}

/* Runs a program as a recording would. Returns 0 or -errno. */
static int run_program(struct source *s)
{
	char *const argv[] = { "sh", "-c", ":", NULL };
	char **envp = source_shim.environment(s, environ);
	pid_t pid;
	int status, err = envp ? posix_spawnp(&pid, argv[0], NULL, NULL, argv, envp) : ENOMEM;

	while (!err && waitpid(pid, &status, 0) < 0)
		err = errno == EINTR ? 0 : errno;
	return -err;
}

/* What became of it: writes why it was not seen, or not all of it, or "". */
static int read_trial(const char *path, char *why, size_t size)
{
	struct trace t;
	sqlite3_stmt *stmt;
	int err = trace_open(&t, path);

	if (err)
		return err;
	if (!trace_number(
		    &t,
		    "SELECT count(*) FROM processes WHERE comm = 'sh' AND coverage IN ('full', 'partial')"))
		snprintf(why, size, "nothing was seen of it");
	err = trace_prepare(&t, "SELECT group_concat(DISTINCT reason) FROM losses", &stmt);
	if (!err && sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0))
		snprintf(why, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	trace_close(&t);
	return err;
}

/* The proof: a small program is recorded into a trace beside the buffer, which is removed with it. */
static void tell_trial(struct doctor *d, struct source *s)
{
	struct collector *c;
	char path[PATH_MAX], why[256] = "", text[512];

	snprintf(path, sizeof(path), "%s/trial", shim_arena(s)->folder);
	int err = collector_open(&c, path);
	if (!err) {
		err = run_program(s);
		source_shim.poll(s, c, true);
		int closed = collector_close(c, (uint64_t)(seconds() * 1e9));
		err = err ? err : closed;
	}
	if (!err)
		err = read_trial(path, why, sizeof(why));
	bool by_names = !err && !strcmp(why, "libc-internal");
	snprintf(text, sizeof(text),
		 by_names ? "a program was run and recorded, but for what libc calls inside itself (%s)"
			  : "'sh -c :' was not recorded as it should: %s",
		 err ? strerror(-err) : why);
	tell(d, "trial",
	     by_names	   ? OPTIONAL
	     : err || *why ? NO
			   : OK,
	     err || *why ? text : "a program was run and recorded");
}

static void tell_limits(struct doctor *d)
{
	enum { FEW = 256 };
	struct rlimit files, size;
	char text[256];

	if (getrlimit(RLIMIT_NOFILE, &files) || getrlimit(RLIMIT_FSIZE, &size))
		return;
	bool few = files.rlim_cur < FEW;
	snprintf(text, sizeof(text), "%llu (ulimit -n)%s", (unsigned long long)files.rlim_cur,
		 few ? ": of many processes at once the end is seen late, raise it: ulimit -n 1024" : "");
	tell(d, "descriptors", few ? OPTIONAL : OK, text);
	bool unlimited = size.rlim_cur == RLIM_INFINITY;
	snprintf(text, sizeof(text), "a trace may have %llu MiB: ulimit -f unlimited", mib(size.rlim_cur));
	tell(d, "file size", unlimited ? OK : OPTIONAL, unlimited ? "not limited" : text);
}

static void tell_surroundings(struct doctor *d)
{
	struct statvfs fs;
	char text[256];
	bool hidden = access("/proc/1/comm", R_OK), writable = !access(".", W_OK) && !statvfs(".", &fs);

	tell(d, "other processes", hidden ? OPTIONAL : OK,
	     hidden ? "/proc hides them (hidepid=): who is at the other end of a socket has no name unless "
		      "it is yours"
		    : "/proc shows who is at the other end of a socket");
	if (writable)
		snprintf(text, sizeof(text), "can be written in this folder, %llu MiB are free",
			 mib((uint64_t)fs.f_bavail * fs.f_frsize));
	tell(d, "trace file", writable ? OK : OPTIONAL,
	     writable ? text : "cannot be written in this folder: name another one with -o FILE");
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
	tell_buffer(d, shim_arena(s));
	tell_clock(d, shim_arena(s)->header);
	tell_libc(d, shim_arena(s));
	tell_patching(d);
	tell_trial(d, s);
	source_shim.close(s);
	tell_sampling(d);
	tell_limits(d);
	tell_surroundings(d);
	return !d->failed;
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
