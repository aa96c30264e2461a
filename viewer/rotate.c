// SPDX-License-Identifier: BSD-2-Clause
/*
 * A recorder that was killed leaves a trace with SQLite's -wal beside it, and with its journal: they belong
 * to the trace and move with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"
#include "rotate.h"
#include "trace.h"

static const char *const companions[] = { "-wal", "-shm", "-journal", JOURNAL_SUFFIX };
enum { COMPANIONS = sizeof(companions) / sizeof(companions[0]) };

static int say(int err, char *error, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static int say(int err, char *error, size_t size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, size, format, ap);
	va_end(ap);
	return -err;
}

static void move_companions(const char *from, const char *to)
{
	char a[4096], b[4096];

	for (int i = 0; i < COMPANIONS; i++) {
		snprintf(a, sizeof(a), "%s%s", from, companions[i]);
		snprintf(b, sizeof(b), "%s%s", to, companions[i]);
		/* One that stays behind would be taken for part of another trace. */
		if (rename(a, b))
			unlink(b);
	}
}

static int move(const char *from, const char *to)
{
	if (rename(from, to))
		return -errno;
	move_companions(from, to);
	return 0;
}

static void discard(const char *path)
{
	char companion[4096];

	unlink(path);
	for (int i = 0; i < COMPANIONS; i++) {
		snprintf(companion, sizeof(companion), "%s%s", path, companions[i]);
		unlink(companion);
	}
}

bool rotation_is_recorded(int fd)
{
	bool locked = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;

	flock(fd, LOCK_UN);
	return locked;
}

int rotation_lock(int fd)
{
	enum { ATTEMPTS = 300 };
	const struct timespec moment = { .tv_nsec = 10000000 };

	for (int attempt = 0; flock(fd, LOCK_EX | LOCK_NB); attempt++) {
		if (errno != EWOULDBLOCK || attempt == ATTEMPTS)
			return -errno;
		nanosleep(&moment, NULL);
	}
	return 0;
}

/* Whether a recorder holds the lock on `path`. Where locks do not work nobody can hold one. */
static bool is_recorded(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool locked = fd >= 0 && rotation_is_recorded(fd);

	if (fd >= 0)
		close(fd);
	return locked;
}

/* Returns 1: a finished trace. 0: there is nothing. -errno: must not be touched. */
static int check(const char *path, char *error, size_t size)
{
	struct trace t;
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT
			       ? 0
			       : say(errno, error, size, "cannot write '%s': %s", path, strerror(errno));
	if (S_ISREG(st.st_mode) && is_recorded(path))
		return say(EBUSY, error, size, "'%s' is still being recorded: name another file with -o",
			   path);
	int err = trace_open(&t, path);
	if (err == -EPROTO)
		return say(EEXIST, error, size, "%s: it is left alone, name another file with -o", t.error);
	if (err && err != -EPROTONOSUPPORT)
		return say(-err, error, size, "%s", t.error);
	if (!err)
		trace_close(&t);
	return 1;
}

/* Two recordings that begin at once must not both find the name free. */
static int lock_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	free(copy);
	if (fd >= 0)
		flock(fd, LOCK_EX);
	return fd;
}

static void release(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void forget(struct rotation *r)
{
	free(r->old);
	free(r->aside);
	r->old = r->aside = NULL;
	release(&r->folder);
	release(&r->file);
}

static int make_room(struct rotation *r, char *error, size_t size)
{
	int exists = check(r->path, error, size);

	if (exists <= 0)
		return exists;
	int old = check(r->old, error, size);
	if (old < 0)
		return old;
	if (asprintf(&r->aside, "%s.%d", r->old, getpid()) < 0) {
		r->aside = NULL;
		return say(ENOMEM, error, size, "out of memory");
	}
	int err = move(r->path, r->aside);
	if (err)
		return say(-err, error, size, "cannot rename '%s': %s", r->path, strerror(-err));
	return 0;
}

int rotation_begin(struct rotation *r, const char *path, char *error, size_t error_size)
{
	*r = (struct rotation){ .path = path, .folder = -1, .file = -1 };
	if (asprintf(&r->old, "%s.old", path) < 0) {
		r->old = NULL;
		return say(ENOMEM, error, error_size, "out of memory");
	}
	r->folder = lock_folder(path);
	int err = make_room(r, error, error_size);
	if (err)
		forget(r);
	return err;
}

void rotation_created(struct rotation *r)
{
	r->file = open(r->path, O_RDWR | O_CLOEXEC);
	if (r->file >= 0)
		rotation_lock(r->file);
	release(&r->folder);
}

void rotation_keep(struct rotation *r)
{
	if (r->aside)
		move(r->aside, r->old);
}

void rotation_undo(struct rotation *r)
{
	if (r->file >= 0)
		discard(r->path);
	if (r->aside)
		move(r->aside, r->path);
	forget(r);
}

void rotation_end(struct rotation *r)
{
	forget(r);
}
