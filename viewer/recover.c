// SPDX-License-Identifier: BSD-2-Clause
/*
 * recover: finishes the trace of a recorder that was killed. All that the recorder had taken is in the
 * journal beside the trace (journal.h), all else in the arena: both go through a new collector into a new
 * file, which takes the trace's place when it is whole. Whatever ends this command half-way, it can be called
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../collector/arena_file.h"
#include "command.h"
#include "rotate.h"
#include "session.h"
#include "source.h"
#include "store.h"
#include "summary.h"
#include "units.h"

struct recovery {
	const struct options *o;
	const char *asked; /* the session that was named, or NULL */
	char *asked_path;  /* the same, if it is a file's name */
	unsigned int found, dead;
	int status;
	void (*what)(struct recovery *r, struct session *s);
};

/* What one recovery has in hand. */
struct rebuilt {
	struct source *source;
	struct collector *collector;
	char *trace, *journal, *next; /* next: the new file, until it is whole */
};

/* ---- one trace ---- */

static void take(void *context, enum journal_op op, unsigned int of, const void *data, size_t size)
{
	struct rebuilt *b = context;

	source_resume_op(b->source, b->collector, op, of, data, size);
}

static void discard(const char *path)
{
	static const char *const parts[] = { "", "-wal", "-shm" };
	char name[4096];

	for (unsigned int i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, parts[i]);
		unlink(name);
	}
}

static void tell_end(struct rebuilt *b, uint64_t end)
{
	char text[64];
	struct timespec now, wall;

	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_gettime(CLOCK_REALTIME, &wall);
	snprintf(text, sizeof(text), "%lld %lld", now.tv_sec * 1000000000LL + now.tv_nsec,
		 wall.tv_sec * 1000000000LL + wall.tv_nsec);
	collector_meta(b->collector, "clock_end", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)end);
	collector_meta(b->collector, "recovered", text);
	collector_recovered(b->collector);
}

/* Fills the new file. Closes the collector in any case. */
static int rebuild(struct rebuilt *b, struct session *s)
{
	int err = journal_read(b->journal, take, b);

	if (!err)
		err = source_resume_arena(b->source, s);
	if (!err) {
		long moved = source_shim.poll(b->source, b->collector, true);
		err = moved < 0 ? (int)moved : 0;
	}
	uint64_t end = source_resume_end(b->source);
	tell_end(b, end);
	int closed = collector_close(b->collector, end);
	return err ? err : closed;
}

/* The new file takes the old one's place; what belonged to that goes, then the journal. */
static int replace(const struct rebuilt *b)
{
	char name[4096];

	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s%s", b->trace, i ? "-shm" : "-wal");
		unlink(name);
	}
	if (rename(b->next, b->trace))
		return -errno;
	unlink(b->journal);
	return 0;
}

/* Who could not read the old file shall not read the new one. */
static void share_as_before(const char *trace)
{
	struct stat st;

	if (!stat(trace, &st))
		umask(~st.st_mode & 0777);
}

static int finish_by_journal(struct rebuilt *b, struct session *s)
{
	uint64_t start;
	int err = journal_look(b->journal, s->id, &start);

	if (!err)
		err = source_resume(&b->source, s, start);
	if (err)
		return err;
	discard(b->next);
	share_as_before(b->trace);
	err = collector_resume(&b->collector, b->next, start);
	if (!err)
		err = rebuild(b, s);
	if (!err)
		err = replace(b);
	if (err)
		discard(b->next);
	source_resume_close(b->source, s, !err);
	return err;
}

static int finish(struct rebuilt *b, struct session *s)
{
	bool has_journal = session_journal(s, &b->trace);
	int fd = -1, err = 0;

	if (!b->trace)
		return -ENOENT;
	b->journal = session_journal_path(b->trace);
	if (!b->journal || asprintf(&b->next, "%s.recovering", b->trace) < 0)
		return -ENOMEM;
	fd = open(b->trace, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && rotation_lock(fd))
		err = -EBUSY; /* of another recording by now */
	else if (has_journal)
		err = finish_by_journal(b, s);
	else
		err = store_finish(b->trace);
	if (!err && !has_journal)
		session_remove(s);
	if (fd >= 0)
		close(fd);
	return err;
}

static int show(const char *path, const struct options *o)
{
	struct trace t;
	int err = trace_open(&t, path);

	if (!err && !o->quiet)
		err = summary_show(stdout, &t, o);
	if (err)
		command_failed("%s", t.error);
	else
		trace_close(&t);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void recover(struct recovery *r, struct session *s)
{
	struct rebuilt b = { 0 };

	if (!session_claim(s, true)) {
		r->status = command_failed("%s is being recovered by another ipctrace", s->id);
		return;
	}
	if (!s->whole) {
		r->status = command_failed("%s holds nothing to recover: ipctrace recover --clean %s", s->id,
					   s->id);
		return;
	}
	int err = finish(&b, s);
	if (err)
		r->status = command_failed("cannot recover '%s': %s; it can be tried again",
					   b.trace ? b.trace : s->trace, strerror(-err));
	else
		r->status = show(b.trace, r->o);
	free(b.trace);
	free(b.journal);
	free(b.next);
}

/* ---- which ---- */

static bool is_asked_for(const struct recovery *r, const struct session *s)
{
	char *trace = NULL;

	if (!r->asked || (*r->asked && !strncmp(s->id, r->asked, strlen(r->asked))))
		return true;
	session_journal(s, &trace);
	bool same = trace && r->asked_path && !strcmp(trace, r->asked_path);
	free(trace);
	return same;
}

static void look(void *context, struct session *s)
{
	struct recovery *r = context;

	if (!is_asked_for(r, s))
		return;
	r->found++;
	r->dead += !s->live;
	if (r->what)
		r->what(r, s);
}

static void each(struct recovery *r, void (*what)(struct recovery *r, struct session *s))
{
	r->what = what;
	r->found = r->dead = 0;
	session_each(look, r);
}

static void recover_dead(struct recovery *r, struct session *s)
{
	if (!s->live)
		recover(r, s);
}

static void list(struct recovery *r, struct session *s)
{
	char when[32] = "-", *trace, *command;
	time_t start = s->start;
	struct tm tm;

	if (r->found == 1)
		printf("%-16s  %-9s  %7s  %-19s  TRACE  COMMAND\n", "SESSION", "STATE", "PID", "STARTED");
	if (s->whole && localtime_r(&start, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	trace = text_printable(s->whole ? s->trace : "-", s->whole ? strlen(s->trace) : 1);
	command = text_printable(s->whole ? s->command : "", s->whole ? strlen(s->command) : 0);
	printf("%-16s  %-9s  %7d  %-19s  %s  %s\n", s->id, s->live ? "recording" : "killed", (int)s->pid,
	       when, trace ? trace : "?", command ? command : "?");
	free(trace);
	free(command);
}

static void clean(struct recovery *r, struct session *s)
{
	char *trace = NULL, *journal = NULL;
	struct arena_file arena;

	if (s->live) {
		if (r->asked)
			r->status = command_failed("%s is still being recorded", s->id);
		return;
	}
	if (!session_claim(s, true)) {
		r->status = command_failed("%s is being recovered by another ipctrace", s->id);
		return;
	}
	if (session_journal(s, &trace) && (journal = session_journal_path(trace)))
		unlink(journal);
	/* Programs that still run may map it: the memory is given back all the same. */
	if (arena_file_resume(&arena, s, s->chunks))
		session_remove(s);
	else
		arena_file_close(&arena);
	if (!r->o->quiet)
		printf("%s removed%s%s\n", s->id, trace ? "; what was stored stays in " : "",
		       trace ? trace : "");
	free(trace);
	free(journal);
}

/* ---- the command ---- */

static int recover_one(struct recovery *r)
{
	each(r, NULL);
	if (r->dead == 1) {
		each(r, recover_dead);
		return r->status;
	}
	if (r->dead > 1) {
		each(r, list);
		return command_failed("several recordings were killed: name one, ipctrace recover SESSION");
	}
	if (r->found && r->asked)
		return command_failed("'%s' is still being recorded", r->asked);
	return r->asked ? command_failed("there is nothing of '%s' to recover (of --source=bpf all is stored "
					 "already): ipctrace recover --list",
					 r->asked)
			: command_failed("no recording of yours was killed: there is nothing to recover");
}

static int run(const struct command *self, const struct options *o)
{
	struct recovery r = { .o = o, .asked = o->nargs ? o->args[0] : NULL, .status = EXIT_SUCCESS };

	if (o->nargs > 1)
		return command_misused(self, "unexpected argument '%s'", o->args[1]);
	if (o->list && o->clean)
		return command_misused(self, "either --list or --clean");
	r.asked_path = r.asked ? realpath(r.asked, NULL) : NULL;
	if (o->list || o->clean)
		each(&r, o->list ? list : clean);
	else
		r.status = recover_one(&r);
	if (r.asked && !r.found && (o->list || o->clean))
		r.status = command_failed("there is no recording '%s'", r.asked);
	free(r.asked_path);
	return r.status;
}

const struct command cmd_recover = {
	.name = "recover",
	.summary = "Finishes the trace of a recorder that was killed",
	.usage = "[SESSION]",
	.details = "The programs go on when their recorder is killed, and record until they end or the "
		   "buffer is full.\n"
		   "What the recorder had taken and what waits in the buffer become the trace that was asked "
		   "for; a\n"
		   "program that still runs is recorded no further. SESSION is as --list shows it (its first "
		   "letters\n"
		   "will do), or the trace's file; it can be left out where there is but one.\n"
		   "By the shim, and on the machine on which it was recorded, until that is started again.",
	.options = OPT_RECOVER | OPT_QUIET,
	.run = run,
};
