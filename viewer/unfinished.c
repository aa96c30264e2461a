// SPDX-License-Identifier: BSD-2-Clause
/* A recorder says when it ends, and has the lock on the file until then. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "command.h"
#include "session.h"
#include "unfinished.h"

/* Who recovered what was stored, and could not know the end, has told the loss. */
#define ENDED                                                                                                \
	"SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'end_ns')"                                            \
	" OR EXISTS (SELECT 1 FROM losses WHERE reason = 'recorder-killed')"

/* False as well where locks do not work: then nobody knows. */
static bool nobody_records(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool locked = fd >= 0 && !flock(fd, LOCK_SH | LOCK_NB);

	if (fd >= 0)
		close(fd);
	return locked;
}

struct search {
	char *path; /* absolute */
	bool found;
};

static void look(void *context, struct session *s)
{
	struct search *search = context;
	char *trace = NULL;

	if (s->live || search->found)
		return;
	session_journal(s, &trace);
	search->found = trace && !strcmp(trace, search->path);
	free(trace);
}

/* Whether there is more of it than what was stored. */
static bool can_be_recovered(const char *path)
{
	struct search search = { .path = realpath(path, NULL) };

	if (search.path)
		session_each(look, &search);
	free(search.path);
	return search.found;
}

void unfinished_note(struct trace *t, const char *path)
{
	/* Asked again: it may have ended before its lock was looked at. */
	if (trace_number(t, ENDED) || !nobody_records(path) || trace_number(t, ENDED) || t->failed)
		return;
	if (can_be_recovered(path))
		command_note(
			"note: the recorder was killed before the trace was complete: ipctrace recover %s",
			t->path);
	else
		command_note("note: the trace is unfinished: its recorder was killed, or it is a copy made "
			     "while it was recorded");
}
