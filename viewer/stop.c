// SPDX-License-Identifier: BSD-2-Clause
/* stop: ends a recording that runs in another terminal, and waits until its trace is complete. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "control.h"
#include "units.h"

enum {
	PATIENCE_MS = 30000, /* for an answer: a recorder may be storing much, or just starting */
	LOOK_MS = 100,	     /* how soon it is noticed that a recorder was killed */
	RECORDERS = 256,
};

/* A recording that runs. */
struct recorder {
	int fd; /* connected to it */
	int pid;
	char *path, *what;
};

/* Connected to the recorder of this abstract name. */
static int reach(const char *name, size_t length)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = control_socket("", 0);

	if (fd < 0 || length >= sizeof(address.sun_path))
		return fd;
	memcpy(address.sun_path + 1, name, length);
	if (!connect(fd, (struct sockaddr *)&address,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)))
		return fd;
	close(fd);
	return -ECONNREFUSED;
}

/* Waits for an answer: false, there will be none. */
static bool answer(int fd, int timeout_ms, char text[static CONTROL_TEXT], struct ucred *who)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct sockaddr_un from;
	socklen_t length;

	return poll(&p, 1, timeout_ms) > 0 && control_receive(fd, text, who, &from, &length) >= 0;
}

static bool is_gone(const char *name, size_t length)
{
	int fd = reach(name, length);

	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED;
}

/* Asks who it is. A recorder that has just begun answers when its sources are ready, if they ever are. */
static bool ask(int fd, const char *name, size_t length, char text[static CONTROL_TEXT], struct ucred *who)
{
	bool asked = false;

	for (int waited = 0; waited < PATIENCE_MS && !is_gone(name, length); waited += LOOK_MS) {
		/* Where many ask there is no room for a moment. */
		asked = asked || send(fd, CONTROL_INFO, strlen(CONTROL_INFO), MSG_NOSIGNAL) >= 0;
		if (answer(fd, LOOK_MS, text, who))
			return true;
	}
	return false;
}

/* False: it does not answer, or not to us. */
static bool meet(struct recorder *r, const char *name, size_t length)
{
	char text[CONTROL_TEXT];
	struct ucred who;

	*r = (struct recorder){ .fd = reach(name, length) };
	if (r->fd < 0)
		return false;
	if (!ask(r->fd, name, length, text, &who) || !strcmp(text, CONTROL_DENIED)) {
		close(r->fd);
		return false;
	}
	char *end = strchrnul(text, '\n');
	r->pid = who.pid;
	r->path = strndup(text, (size_t)(end - text));
	r->what = strdup(*end ? end + 1 : "");
	return true;
}

/* All that answer. Returns how many. */
static unsigned int meet_all(struct recorder recorders[static RECORDERS])
{
	FILE *f = fopen("/proc/net/unix", "re");
	char *line = NULL;
	size_t size = 0;
	unsigned int n = 0;

	while (f && n < RECORDERS && getline(&line, &size, f) > 0) {
		char *name = strstr(line, " @" CONTROL_PREFIX);
		if (name && meet(&recorders[n], name + 2, strcspn(name + 2, "\n")))
			n++;
	}
	free(line);
	if (f)
		fclose(f);
	return n;
}

static void show(FILE *out, const struct recorder *r)
{
	char *path = text_printable(r->path, strlen(r->path)),
	     *what = text_printable(r->what, strlen(r->what));

	fprintf(out, "%7d  %s  %s\n", r->pid, path ? path : "?", what ? what : "?");
	free(path);
	free(what);
}

/* Whether the user means this one: by the recorder's pid, or by the trace's name. */
static bool is_meant(const struct recorder *r, const char *word)
{
	char *end, *path = realpath(word, NULL);
	bool same = path && !strcmp(path, r->path);

	free(path);
	return same || (strtol(word, &end, 10) == r->pid && !*end);
}

/* Returns the exit status. */
static int stop(const struct recorder *r)
{
	char text[CONTROL_TEXT] = "";
	struct ucred who;

	if (send(r->fd, CONTROL_STOP, strlen(CONTROL_STOP), MSG_NOSIGNAL) < 0)
		return command_failed("the recording of '%s' has just ended", r->path);
	/* A recorder that is gone cannot be asked any more. */
	while (strcmp(text, CONTROL_DONE))
		if (!answer(r->fd, LOOK_MS, text, &who) && send(r->fd, "", 0, MSG_NOSIGNAL) < 0 &&
		    errno != EAGAIN)
			break;
	fputs("stopped: ", stdout);
	show(stdout, r);
	return EXIT_SUCCESS;
}

/* Which one is to be stopped, NULL: none, or it cannot be told; said on stderr. */
static const struct recorder *choose(const struct recorder *recorders, unsigned int n, const char *word)
{
	const struct recorder *found = NULL;
	unsigned int meant = 0;

	for (unsigned int i = 0; i < n; i++)
		if (!word || is_meant(&recorders[i], word)) {
			found = &recorders[i];
			meant++;
		}
	if (meant == 1)
		return found;
	if (!n)
		command_failed("no recording of yours runs");
	else if (meant)
		command_failed("several recordings run; say which one, by its pid or its trace:");
	else
		command_failed("no recording runs that is called '%s'; there are:", word);
	for (unsigned int i = 0; i < n; i++)
		show(stderr, &recorders[i]);
	return NULL;
}

static int run(const struct command *self, const struct options *o)
{
	static struct recorder recorders[RECORDERS];

	if (o->nargs > 1)
		return command_misused(self, "unexpected argument '%s'", o->args[1]);
	unsigned int n = meet_all(recorders);
	const struct recorder *r = choose(recorders, n, o->nargs ? o->args[0] : NULL);
	int status = r ? stop(r) : EXIT_FAILURE;
	for (unsigned int i = 0; i < n; i++) {
		close(recorders[i].fd);
		free(recorders[i].path);
		free(recorders[i].what);
	}
	return status;
}

const struct command cmd_stop = {
	.name = "stop",
	.summary = "Ends a recording that runs elsewhere, and waits until its trace is complete",
	.usage = "[PID|FILE]",
	.details = "PID is the recorder's, FILE its trace. Without either it is the one that runs; where "
		   "several do,\n"
		   "they are listed. The recorded program is not ended, it runs on without being recorded.",
	.run = run,
};
