// SPDX-License-Identifier: BSD-2-Clause
/*
 * record: runs a command and writes its trace, by one source or by both at once, each into a trace of its
 *own. The order of things, so that nothing happens to the user's files or command before all that can fail
 *has not: sources ready -> older traces aside, new ones open -> command forked, waits -> sources attached
 *	-> command runs -> drain until it ends -> complete the traces -> summary -> end as the command ended
 * From the moment the command runs, no failure of ours reaches it: at worst the trace is incomplete, and one
 * line says so.
 */
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#include "arena.h"
#include "command.h"
#include "control.h"
#include "launch.h"
#include "rotate.h"
#include "selection.h"
#include "session.h"
#include "source.h"
#include "summary.h"
#include "verify.h"
#include "../preload/program.h"

enum { PAUSE_MIN_MS = 1, PAUSE_MAX_MS = 20, BUSY_RECORDS = 20000 };

/* A source and the trace it fills. */
struct track {
	const struct source_ops *ops;
	enum collector_source number; /* of the source, for the collector */
	char *path;
	struct source *source;
	struct collector *collector;
	struct rotation rotation;
	enum ipc_reason outside; /* why it cannot enter the command's own program; none: it can */
	int error;		 /* the first failure while the command ran: -errno */
};

struct recording {
	const struct options *o;
	struct track tracks[COLLECTOR_SOURCES]; /* the first one's trace is the one that -o names */
	unsigned int n;
	struct selection what;
	struct launch launch;
	struct control control;
	uint64_t deadline;    /* --duration; 0: none */
	const char *ended_by; /* what ended it before its time, as in `meta`; NULL: nothing */
};

static const struct {
	const struct source_ops *ops;
	enum collector_source number;
} sources[] = {
	{ &source_auto, COLLECTOR_SHIM },
	{ &source_shim, COLLECTOR_SHIM },
	{ &source_bpf, COLLECTOR_BPF },
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Writes "ipctrace: ...". Returns EXIT_RECORDER. */
static int failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int failed(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	command_say(format, ap);
	va_end(ap);
	return EXIT_RECORDER;
}

static void set_meta(struct track *t, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void set_meta(struct track *t, const char *key, const char *format, ...)
{
	va_list ap;
	char *value;

	va_start(ap, format);
	if (vasprintf(&value, format, ap) >= 0) {
		collector_meta(t->collector, key, value);
		free(value);
	}
	va_end(ap);
}

/* The same moment by both clocks. */
static void set_clocks(struct track *t, const char *key)
{
	uint64_t before = clock_ns(CLOCK_MONOTONIC), wall = clock_ns(CLOCK_REALTIME);
	uint64_t after = clock_ns(CLOCK_MONOTONIC);

	set_meta(t, key, "%llu %llu", (unsigned long long)(before + (after - before) / 2),
		 (unsigned long long)wall);
}

/* The command line as a shell would take it. */
static char *quoted(char *const *argv)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
	char *line = NULL;
	size_t size;
	FILE *f = open_memstream(&line, &size);

	for (char *const *a = argv; f && *a; a++) {
		bool plain = **a && !(*a)[strspn(*a, safe)];
		fputs(a == argv ? "" : " ", f);
		fputs(plain ? "" : "'", f);
		for (const char *c = *a; *c; c++)
			if (*c == '\'')
				fputs("'\\''", f);
			else
				fputc(*c, f);
		fputs(plain ? "" : "'", f);
	}
	if (f)
		fclose(f);
	return line;
}

static void set_system(struct track *t)
{
	struct utsname un;
	struct passwd *pw = getpwuid(geteuid());
	char boot[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		ssize_t n = read(fd, boot, sizeof(boot) - 1);
		boot[n > 0 ? n : 0] = '\0';
		boot[strcspn(boot, "\n")] = '\0';
		close(fd);
	}
	if (!uname(&un)) {
		collector_meta(t->collector, "host", un.nodename);
		set_meta(t, "kernel", "%s %s", un.sysname, un.release);
	}
	collector_meta(t->collector, "boot_id", boot);
	if (pw)
		collector_meta(t->collector, "user", pw->pw_name);
	else
		set_meta(t, "user", "%u", geteuid());
}

/* Bytes of messages are what a program says in private. */
static void set_capture(struct track *t, const struct options *o)
{
	if (!o->capture)
		return;
	set_meta(t, "capture", "%lld", (long long)o->capture);
	set_meta(t, "payload_warning",
		 "the trace holds the first %lld bytes of each message (--capture): there may be passwords "
		 "and "
		 "other secrets among them",
		 (long long)o->capture);
}

static void set_beginning(struct track *t, const struct options *o)
{
	char *line = o->nargs ? quoted(o->args) : NULL, *selected = selection_text(o);

	collector_meta(t->collector, "tool_version", IPCTRACE_VERSION);
	if (line)
		collector_meta(t->collector, "command", line);
	if (selected)
		collector_meta(t->collector, "selection", selected);
	free(line);
	free(selected);
	collector_meta(t->collector, "source", t->ops->name);
	set_meta(t, "settings", "%s%s%s%s%s%s", o->no_patch ? "--no-patch " : "",
		 o->follow ? "--follow " : "", o->sync_all ? "--sync=all " : "",
		 o->sync_private ? "--private " : "", o->aggregate ? "--aggregate " : "",
		 o->no_protocols ? "--no-protocols " : "");
	if (o->aggregate) {
		collector_aggregate(t->collector);
		collector_meta(t->collector, "aggregate_ms", "1000");
	}
	if (o->shm_sample && t->ops->sample)
		set_meta(t, "shm_sample_ms", "%lld", (long long)o->shm_sample);
	set_capture(t, o);
	set_system(t);
	set_clocks(t, "clock_start");
}

/* Returns 0 or an exit status. */
static int choose_sources(struct recording *r, const struct command *self)
{
	const struct options *o = r->o;
	bool kernel =
		o->machine || o->npids || o->cgroup || !o->nargs; /* no program would bring the shim in */
	const char *name = o->source ? o->source : kernel ? "bpf" : "auto";
	bool both = !strcmp(name, "both");

	if (kernel && strcmp(name, "bpf"))
		return command_misused(self,
				       "-a, -p, --cgroup, and --comm without a program, need --source=bpf");
	if (both != r->o->verify)
		return command_misused(self, both ? "--source=both needs --verify"
						  : "--verify needs --source=both");
	for (unsigned int i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (both ? sources[i].ops != &source_auto : !strcmp(sources[i].ops->name, name)) {
			struct track *t = &r->tracks[r->n++];
			t->ops = sources[i].ops;
			t->number = sources[i].number;
		}
	if (!r->n)
		return command_misused(self, "no source '%s'; there are auto, shim, bpf and both", name);
	if (r->o->shm_sample && !r->tracks[0].ops->sample)
		return command_misused(self, "--shm-sample needs the shim");
	if (r->o->no_patch && r->tracks[0].ops == &source_bpf)
		return command_misused(self, "--no-patch needs the shim");
	if (r->o->aggregate && !(r->n == 1 && r->tracks[0].ops->has_settings))
		return command_misused(self, "--aggregate needs --source=bpf");
	if (r->o->aggregate && r->o->capture)
		return command_misused(self, "--capture needs the events that --aggregate leaves out");
	if (r->o->on_full == ON_FULL_BLOCK && !r->tracks[0].ops->arena)
		return command_misused(self, "--on-full=block needs the shim");
	if (r->o->uprobes && !r->tracks[0].ops->probe)
		return command_misused(self, "--uprobes needs --source=bpf");
	r->tracks[0].path = strdup(r->o->output);
	if (both)
		r->tracks[1].path = verify_path(r->o->output, r->tracks[1].ops->name);
	for (unsigned int i = 0; i < r->n; i++)
		if (!r->tracks[i].path)
			return failed("out of memory");
	return 0;
}

/* Should we be killed, `ipctrace recover` finishes the trace. Where that cannot be we record without. */
static void make_recoverable(struct track *t, const struct options *o)
{
	struct arena_file *arena = t->ops->arena ? t->ops->arena(t->source) : NULL;
	char *line = arena && o->nargs ? quoted(o->args) : NULL,
	     *path = arena ? session_journal_path(t->path) : NULL;

	if (path && !session_write(arena, t->path, line ? line : ""))
		collector_keep(t->collector, path, session_id(arena));
	free(line);
	free(path);
}

/* What messages say is for the trace's owner alone. */
static int open_trace(struct track *t, const struct options *o)
{
	mode_t mask = umask(077);
	int err;

	if (!o->capture)
		umask(mask);
	err = collector_open(&t->collector, t->path);
	umask(mask);
	return err;
}

/* Source ready, trace open. Returns 0 or an exit status, with nothing left behind. */
static int prepare(struct track *t, const struct selection *what, const struct options *o)
{
	/* Of totals there are no messages. */
	const unsigned int window = o->no_protocols || o->aggregate ? 0 : IPC_TEXT_MAX;
	const struct source_settings settings = { .what = what,
						  .buffer = o->buffer,
						  .drop = o->on_full == ON_FULL_DROP,
						  .aggregate = o->aggregate,
						  .probes = o->uprobes,
						  .no_patch = o->no_patch,
						  .window = window,
						  .capture = (unsigned int)o->capture };
	char error[512] = "";
	int err = t->ops->open(&t->source, &settings, error, sizeof(error));

	if (err)
		return failed("%s", *error ? error : strerror(-err));
	if (t->ops->sync)
		t->ops->sync(t->source,
			     (o->sync_all ? ARENA_SYNC_ALL : 0) | (o->sync_private ? ARENA_SYNC_PRIVATE : 0));
	if (o->uprobes && t->ops->probe)
		err = t->ops->probe(t->source, error, sizeof(error));
	if (!err && o->shm_sample && t->ops->sample)
		err = t->ops->sample(t->source, (unsigned int)o->shm_sample, error, sizeof(error));
	if (!err)
		err = rotation_begin(&t->rotation, t->path, error, sizeof(error));
	if (err) {
		t->ops->close(t->source);
		return failed("%s", error);
	}
	err = open_trace(t, o);
	if (err) {
		rotation_undo(&t->rotation);
		t->ops->close(t->source);
		return failed("cannot write '%s': %s", t->path, strerror(-err));
	}
	rotation_created(&t->rotation);
	make_recoverable(t, o);
	collector_select(t->collector, what->mechanisms, selection_of_kernel(o));
	collector_bytes(t->collector, window, settings.capture);
	if (o->max_size)
		collector_limit(t->collector, o->max_size);
	if (what->alone)
		collector_alone(t->collector);
	set_beginning(t, o);
	return 0;
}

/* The recording shall not be: of the first `n` tracks nothing is left. */
static void undo(struct recording *r, unsigned int n)
{
	while (n--) {
		struct track *t = &r->tracks[n];
		collector_close(t->collector, clock_ns(CLOCK_MONOTONIC));
		rotation_undo(&t->rotation);
		t->ops->close(t->source);
	}
}

static int prepare_all(struct recording *r)
{
	for (unsigned int i = 0; i < r->n; i++) {
		int status = prepare(&r->tracks[i], &r->what, r->o);
		if (status) {
			undo(r, i);
			return status;
		}
	}
	return 0;
}

/* Why no library can be loaded into the command's own program; its children are another matter. */
static enum ipc_reason check_program(const char *name)
{
	char *path = launch_resolve(name);
	enum ipc_reason reason = path ? program_check(AT_FDCWD, path) : IPC_REASON_none;

	free(path);
	return reason;
}

/* The environment for the command, or NULL: out of memory. */
static char **environment_of(struct recording *r)
{
	char **envp = environ;

	for (struct track *t = r->tracks; envp && t < r->tracks + r->n; t++) {
		if (!t->ops->environment)
			continue;
		t->outside = check_program(r->o->args[0]);
		if (t->outside == IPC_REASON_none)
			envp = t->ops->environment(t->source, envp);
	}
	return envp;
}

static int attach(struct recording *r)
{
	for (struct track *t = r->tracks; t < r->tracks + r->n; t++) {
		int err = t->ops->attach ? t->ops->attach(t->source, r->launch.pid, &t->outside) : 0;
		if (err)
			return failed("cannot trace by --source=%s: %s", t->ops->name, strerror(-err));
		if (selection_of_kernel(r->o))
			collector_look_around(t->collector);
	}
	return 0;
}

/* There is no command. */
static int start_alone(struct recording *r)
{
	int err = launch_nothing(&r->launch);

	return err ? failed("cannot read signals: %s", strerror(-err)) : attach(r);
}

/* Forks the command, attaches the sources, lets the command run. Returns 0 or an exit status. */
static int start(struct recording *r)
{
	char **argv = r->o->args, **envp = environment_of(r);
	int err = envp ? launch_begin(&r->launch, argv, envp) : -ENOMEM;

	if (err)
		return failed("cannot start '%s': %s", argv[0], strerror(-err));
	int status = attach(r);
	if (status) {
		launch_abandon(&r->launch);
		return status;
	}
	err = launch_run(&r->launch);
	if (err) {
		failed("cannot run '%s': %s", argv[0], strerror(-err));
		return err == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	}
	for (struct track *t = r->tracks; t < r->tracks + r->n; t++)
		if (t->outside != IPC_REASON_none)
			collector_loss(t->collector, t->number, t->outside, r->launch.pid, basename(argv[0]),
				       1);
	return 0;
}

/* Takes what the source has. Returns the number of records; failures are kept in `error`. */
static long drain(struct track *t, bool end)
{
	long moved = t->ops->poll(t->source, t->collector, end);
	int err = collector_step(t->collector);

	if (!t->error)
		t->error = moved < 0 ? (int)moved : err;
	return moved < 0 ? 0 : moved;
}

/* Idle, we look rarely, so as not to disturb what we measure. */
static int pause_ms(long moved)
{
	if (moved >= BUSY_RECORDS)
		return PAUSE_MIN_MS;
	return PAUSE_MAX_MS - (int)(moved * (PAUSE_MAX_MS - PAUSE_MIN_MS) / BUSY_RECORDS);
}

/* `still`: nothing comes any more, nobody who is recorded runs. */
static bool is_over(struct recording *r, bool still)
{
	const struct track *t = r->tracks;

	if (!r->launch.ended || r->launch.interrupted)
		return r->launch.ended;
	if (!r->launch.pid)
		return still && r->what.npids && t->ops->over(t->source);
	return !r->o->follow || still;
}

/* What ends the recording although who is recorded goes on, or NULL. */
static const char *is_cut(struct recording *r)
{
	control_answer(&r->control);
	if (r->control.stop)
		return "stop";
	if (r->deadline && clock_ns(CLOCK_MONOTONIC) >= r->deadline)
		return "duration";
	for (struct track *t = r->tracks; t < r->tracks + r->n; t++)
		if (collector_full(t->collector))
			return "max-size";
	return NULL;
}

static void watch(struct recording *r)
{
	r->deadline = r->o->duration ? clock_ns(CLOCK_MONOTONIC) + (uint64_t)r->o->duration : 0;
	r->launch.other = r->control.fd;
	for (;;) {
		long moved = 0;
		unsigned int running = 0;
		for (struct track *t = r->tracks; t < r->tracks + r->n; t++) {
			moved += drain(t, false);
			running += collector_running(t->collector);
		}
		if (is_over(r, moved == 0 && running == 0))
			return;
		r->ended_by = is_cut(r);
		if (r->ended_by)
			return;
		launch_wait(&r->launch, pause_ms(moved));
	}
}

/* A command that was killed could not tell its status itself. */
static void tell_status(struct track *t, const struct launch *l)
{
	struct ipc_def def = {
		.time = clock_ns(CLOCK_MONOTONIC),
		.gone = { .pid = l->pid, .status = l->status },
		.call = IPC_DEF_GONE,
	};
	_Alignas(struct ipc_event) char slot[IPC_SLOT];

	if (WIFSIGNALED(l->status)) {
		memcpy(slot, &def, sizeof(slot));
		collector_record(t->collector, t->number, (const struct ipc_event *)slot);
	}
	set_meta(t, "exit_status", "%d", l->status);
}

static void complete(struct track *t, uint64_t end)
{
	set_clocks(t, "clock_end");
	set_meta(t, "end_ns", "%llu", (unsigned long long)end);
	int err = collector_close(t->collector, end);
	if (!t->error)
		t->error = err;
	rotation_end(&t->rotation);
	t->ops->close(t->source);
	if (t->error)
		failed("cannot write all of '%s': %s; the trace is incomplete", t->path, strerror(-t->error));
}

/* Sources stop close together: what goes on after the command is not to be seen by one of them for longer. */
static void finish(struct recording *r)
{
	struct track *last = r->tracks + r->n;
	uint64_t end = clock_ns(CLOCK_MONOTONIC);

	for (struct track *t = r->tracks; t < last; t++) {
		if (r->launch.pid && r->launch.ended)
			tell_status(t, &r->launch);
		if (r->ended_by) {
			collector_outlived(t->collector);
			collector_meta(t->collector, "ended_by", r->ended_by);
		}
		drain(t, true);
	}
	for (struct track *t = r->tracks; t < last; t++)
		complete(t, end);
	r->launch.other = -1;
	control_close(&r->control);
}

/* A recording that was cut is complete by now; the command is not disturbed by a word of ours before it ends.
 */
static void outlast(struct recording *r)
{
	while (!r->launch.ended)
		launch_wait(&r->launch, -1);
	if (r->ended_by && !strcmp(r->ended_by, "max-size"))
		failed("the recording ended, as the trace may have no more than %lld bytes (--max-size): "
		       "what came then is not in '%s'",
		       (long long)r->o->max_size, r->tracks[0].path);
}

/* To those that would end it. */
static void be_known(struct recording *r)
{
	char *what = r->o->nargs ? quoted(r->o->args) : selection_text(r->o);

	control_tell(&r->control, r->tracks[0].path, what);
	free(what);
}

static void report(const struct recording *r)
{
	struct trace t;

	/* A comparison as JSON is one document. */
	if (r->o->quiet || (r->o->format && r->o->verify))
		return;
	int err = trace_open(&t, r->tracks[0].path);
	if (!err) {
		err = summary_show(stderr, &t, r->o);
		trace_close(&t);
	}
	if (err && !r->tracks[0].error)
		failed("%s", t.error);
}

static int run(const struct command *self, const struct options *o)
{
	struct recording r = { .o = o };
	char error[512];

	if (!o->nargs && !selection_of_kernel(o))
		return command_misused(self, "no program to run");
	if (o->no_follow && o->follow)
		return command_misused(self, "--follow waits for what --no-follow leaves out");
	if (o->no_follow && !o->npids && (o->machine || !o->nargs))
		return command_misused(self,
				       "--no-follow is of a program that is run, or of the processes of -p");
	if (o->nargs && o->npids)
		return command_misused(self, "-p is of processes that run: no program can be run with it");
	if (selection_make(&r.what, o, error, sizeof(error)))
		return failed("%s", error);
	int status = choose_sources(&r, self);
	if (status)
		return status;
	status = launch_reserve_standard();
	if (status)
		return failed("cannot open '/dev/null': %s", strerror(-status));
	control_open(&r.control);
	status = prepare_all(&r);
	if (status)
		return status;
	status = o->nargs ? start(&r) : start_alone(&r);
	if (status) {
		undo(&r, r.n);
		return status;
	}
	for (unsigned int i = 0; i < r.n; i++)
		rotation_keep(&r.tracks[i].rotation);
	be_known(&r);
	watch(&r);
	finish(&r);
	outlast(&r);
	report(&r);
	if (o->verify && verify_show(stderr, r.tracks[0].path, r.tracks[1].path, o))
		return EXIT_FAILURE;
	if (!r.launch.pid)
		return EXIT_SUCCESS;
	launch_end_like(&r.launch);
}

const struct command cmd_record = {
	.name = "record",
	.summary = "Runs a program and records its communication and that of all it starts",
	.usage = "[[--] PROGRAM [ARG...]]",
	.details =
		"Without a program, -a, --cgroup and --comm record until Ctrl-C or SIGTERM, -p until the "
		"processes have\n"
		"ended too. Given together, all must hold.\n"
		"The exit status is the program's; 125: ipctrace itself failed, 126: the program cannot be\n"
		"executed, 127: there is none. 'ipctrace [OPTION...] -- PROGRAM [ARG...]' is short for "
		"this.\n"
		"--source=both --verify records one run by both sources and compares the two traces: FILE, "
		"and\n"
		"one beside it with .bpf before its suffix. The status is 1 where they differ.",
	.options = OPT_OUTPUT | OPT_QUIET | OPT_FOLLOW | OPT_SOURCE | OPT_VERIFY | OPT_SYNC | OPT_PRIVATE |
		   OPT_MACHINE | OPT_PIDS | OPT_CGROUP | OPT_COMM | OPT_MECHANISMS | OPT_UPROBES |
		   OPT_NO_PATCH | OPT_SHM_SAMPLE | OPT_AGGREGATE | OPT_BUFFER | OPT_BYTES | OPT_FORMAT |
		   OPT_REST,
	.privileged = true,
	.run = run,
};
