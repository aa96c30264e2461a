// SPDX-License-Identifier: BSD-2-Clause
/*
 * record: runs a command and writes its trace. The order of things, so that nothing happens to the user's
 *files or command before all that can fail has not: source ready -> older trace aside, new one open ->
 *command forked, waits -> source attached
 *	-> command runs -> drain until it ends -> complete the trace -> summary -> end as the command ended
 * From the moment the command runs, no failure of ours reaches it: at worst the trace is incomplete, and one
 * line says so.
 */
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#include "command.h"
#include "launch.h"
#include "rotate.h"
#include "source.h"
#include "summary.h"
#include "../preload/program.h"

enum { PAUSE_MIN_MS = 1, PAUSE_MAX_MS = 20, BUSY_RECORDS = 20000 };

struct recording {
	const struct options *o;
	const struct source_ops *ops;
	enum collector_source number; /* of the source, for the collector */
	struct source *source;
	struct collector *collector;
	struct rotation rotation;
	struct launch launch;
	int error; /* the first failure while the command ran: -errno */
};

static const struct source_ops *const sources[] = {
	[COLLECTOR_SHIM] = &source_shim,
	[COLLECTOR_BPF] = &source_bpf,
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

static void set_meta(struct recording *r, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void set_meta(struct recording *r, const char *key, const char *format, ...)
{
	va_list ap;
	char *value;

	va_start(ap, format);
	if (vasprintf(&value, format, ap) >= 0) {
		collector_meta(r->collector, key, value);
		free(value);
	}
	va_end(ap);
}

/* The same moment by both clocks. */
static void set_clocks(struct recording *r, const char *key)
{
	uint64_t before = clock_ns(CLOCK_MONOTONIC), wall = clock_ns(CLOCK_REALTIME);
	uint64_t after = clock_ns(CLOCK_MONOTONIC);

	set_meta(r, key, "%llu %llu", (unsigned long long)(before + (after - before) / 2),
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

static void set_system(struct recording *r)
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
		collector_meta(r->collector, "host", un.nodename);
		set_meta(r, "kernel", "%s %s", un.sysname, un.release);
	}
	collector_meta(r->collector, "boot_id", boot);
	if (pw)
		collector_meta(r->collector, "user", pw->pw_name);
	else
		set_meta(r, "user", "%u", geteuid());
}

static void set_beginning(struct recording *r)
{
	char *line = quoted(r->o->args);

	collector_meta(r->collector, "tool_version", IPCTRACE_VERSION);
	if (line)
		collector_meta(r->collector, "command", line);
	free(line);
	collector_meta(r->collector, "source", r->ops->name);
	collector_meta(r->collector, "settings", r->o->follow ? "--follow" : "");
	set_system(r);
	set_clocks(r, "clock_start");
}

static int choose_source(struct recording *r, const struct command *self)
{
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (!strcmp(sources[i]->name, r->o->source)) {
			r->ops = sources[i];
			r->number = i;
			return 0;
		}
	return command_misused(self, "no source '%s'; there are shim and bpf", r->o->source);
}

/* Source ready, trace open. Returns 0 or an exit status, with nothing left behind. */
static int prepare(struct recording *r)
{
	char error[512] = "";
	int err = r->ops->open(&r->source, error, sizeof(error));

	if (err)
		return failed("%s", *error ? error : strerror(-err));
	err = rotation_begin(&r->rotation, r->o->output, error, sizeof(error));
	if (err) {
		r->ops->close(r->source);
		return failed("%s", error);
	}
	err = collector_open(&r->collector, r->o->output);
	if (err) {
		rotation_undo(&r->rotation);
		r->ops->close(r->source);
		return failed("cannot write '%s': %s", r->o->output, strerror(-err));
	}
	rotation_created(&r->rotation);
	set_beginning(r);
	return 0;
}

/* The recording shall not be. */
static void undo(struct recording *r)
{
	collector_close(r->collector, clock_ns(CLOCK_MONOTONIC));
	rotation_undo(&r->rotation);
	r->ops->close(r->source);
}

/* Why the source cannot enter the command's own program; its children are another matter. */
static enum ipc_reason check_program(const struct recording *r)
{
	char *path = r->ops->environment ? launch_resolve(r->o->args[0]) : NULL;
	enum ipc_reason reason = path ? program_check(AT_FDCWD, path) : IPC_REASON_none;

	free(path);
	return reason;
}

/* Forks the command, attaches the source, lets the command run. Returns 0 or an exit status. */
static int start(struct recording *r)
{
	char **argv = r->o->args, **envp = environ;
	enum ipc_reason reason = check_program(r);

	if (r->ops->environment && reason == IPC_REASON_none)
		envp = r->ops->environment(r->source, environ);
	int err = envp ? launch_begin(&r->launch, argv, envp) : -ENOMEM;
	if (err)
		return failed("cannot start '%s': %s", argv[0], strerror(-err));
	err = r->ops->attach ? r->ops->attach(r->source, r->launch.pid) : 0;
	if (err) {
		launch_abandon(&r->launch);
		return failed("cannot trace by --source=%s: %s", r->ops->name, strerror(-err));
	}
	err = launch_run(&r->launch);
	if (err) {
		failed("cannot run '%s': %s", argv[0], strerror(-err));
		return err == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	}
	if (reason != IPC_REASON_none)
		collector_loss(r->collector, r->number, reason, r->launch.pid, basename(argv[0]), 1);
	return 0;
}

/* Takes what the source has. Returns the number of records; failures are kept in `error`. */
static long drain(struct recording *r, bool end)
{
	long moved = r->ops->poll(r->source, r->collector, end);
	int err = collector_step(r->collector);

	if (!r->error)
		r->error = moved < 0 ? (int)moved : err;
	return moved < 0 ? 0 : moved;
}

/* Idle, we look rarely, so as not to disturb what we measure. */
static int pause_ms(long moved)
{
	if (moved >= BUSY_RECORDS)
		return PAUSE_MIN_MS;
	return PAUSE_MAX_MS - (int)(moved * (PAUSE_MAX_MS - PAUSE_MIN_MS) / BUSY_RECORDS);
}

static void watch(struct recording *r)
{
	for (;;) {
		long moved = drain(r, false);
		bool still = moved == 0 && collector_running(r->collector) == 0;
		if (r->launch.ended && (!r->o->follow || still || r->launch.interrupted))
			return;
		launch_wait(&r->launch, pause_ms(moved));
	}
}

/* A command that was killed could not tell its status itself. */
static void tell_status(struct recording *r)
{
	int status = r->launch.status;
	struct ipc_def def = {
		.time = clock_ns(CLOCK_MONOTONIC),
		.gone = { .pid = r->launch.pid, .status = status },
		.call = IPC_DEF_GONE,
	};
	_Alignas(struct ipc_event) char slot[IPC_SLOT];

	if (WIFSIGNALED(status)) {
		memcpy(slot, &def, sizeof(slot));
		collector_record(r->collector, r->number, (const struct ipc_event *)slot);
	}
	set_meta(r, "exit_status", "%d", status);
}

static void finish(struct recording *r)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC);

	tell_status(r);
	drain(r, true);
	set_clocks(r, "clock_end");
	set_meta(r, "end_ns", "%llu", (unsigned long long)end);
	int err = collector_close(r->collector, end);
	if (!r->error)
		r->error = err;
	rotation_end(&r->rotation);
	r->ops->close(r->source);
}

static void report(const struct recording *r)
{
	struct trace t;

	if (r->error)
		failed("cannot write all of '%s': %s; the trace is incomplete", r->o->output,
		       strerror(-r->error));
	if (r->o->quiet)
		return;
	int err = trace_open(&t, r->o->output);
	if (!err) {
		err = summary_show(stderr, &t, r->o);
		trace_close(&t);
	}
	if (err && !r->error)
		failed("%s", t.error);
}

static int run(const struct command *self, const struct options *o)
{
	struct recording r = { .o = o };

	if (!o->nargs)
		return command_misused(self, "no program to run");
	int status = choose_source(&r, self);
	if (status)
		return status;
	status = launch_reserve_standard();
	if (status)
		return failed("cannot open '/dev/null': %s", strerror(-status));
	status = prepare(&r);
	if (status)
		return status;
	status = start(&r);
	if (status) {
		undo(&r);
		return status;
	}
	rotation_keep(&r.rotation);
	watch(&r);
	finish(&r);
	report(&r);
	launch_end_like(&r.launch);
}

const struct command cmd_record = {
	.name = "record",
	.summary = "Runs a program and records its communication and that of all it starts",
	.usage = "[--] PROGRAM [ARG...]",
	.details =
		"The exit status is the program's; 125: ipctrace itself failed, 126: the program cannot be\n"
		"executed, 127: there is none. 'ipctrace [OPTION...] -- PROGRAM [ARG...]' is short for this.",
	.options = OPT_OUTPUT | OPT_QUIET | OPT_FOLLOW | OPT_SOURCE | OPT_REST,
	.run = run,
};
