// SPDX-License-Identifier: BSD-2-Clause
/* See session.h. The file is a struct head and two strings. */
#include "session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "arena_file.h"

enum { FILE_MAX = 1 << 16, COMMAND_MAX = 4096 };

static const char magic[8] = "ipcs 002";

struct head {
	char magic[8];
	int32_t pid;
	uint32_t clock, chunks;
	char arena[JOURNAL_ID + 1];
	int64_t start;
	uint64_t inode;
	uint64_t pids, mounts; /* the namespaces that `pid` and the trace's path are of */
};

static const char *base_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* 0: unknown. */
static uint64_t namespace_of(const char *kind)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	return stat(path, &st) ? 0 : st.st_ino;
}

const char *session_id(const struct arena_file *a)
{
	return a->folder + strlen(SESSION_PREFIX);
}

int session_write(const struct arena_file *a, const char *trace, const char *command)
{
	struct head head = {
		.pid = getpid(), .clock = a->header->clock, .chunks = a->chunks, .start = time(NULL)
	};
	char *path = realpath(trace, NULL);
	int fd = openat(a->folder_fd, "session", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;
	FILE *f = fd < 0 || !path || stat(path, &st) ? NULL : fdopen(fd, "w");

	if (!f) {
		free(path);
		return -ENOENT;
	}
	memcpy(head.magic, magic, sizeof(magic));
	snprintf(head.arena, sizeof(head.arena), "%s", base_name(a->path));
	head.inode = st.st_ino;
	head.pids = namespace_of("pid");
	head.mounts = namespace_of("mnt");
	fwrite(&head, sizeof(head), 1, f);
	fprintf(f, "%s%c%.*s%c", path, 0, COMMAND_MAX, command, 0);
	free(path);
	return fclose(f) ? -errno : 0;
}

static bool parse(struct session *s, const char *text, size_t size)
{
	struct head head;
	const char *trace = text + sizeof(head), *end = text + size;

	if (size <= sizeof(head) || end[-1])
		return false;
	memcpy(&head, text, sizeof(head));
	const char *command = trace + strlen(trace) + 1;
	if (memcmp(head.magic, magic, sizeof(magic)) || command >= end || trace[0] != '/')
		return false;
	s->pid = head.pid;
	s->start = head.start;
	s->inode = head.inode;
	s->our_pids = head.pids && head.pids == namespace_of("pid");
	s->findable = head.mounts && head.mounts == namespace_of("mnt");
	s->clock = head.clock;
	s->chunks = head.chunks;
	snprintf(s->arena, sizeof(s->arena), "%.*s", JOURNAL_ID, head.arena);
	s->trace = strdup(trace);
	s->command = strdup(command);
	return s->trace && s->command;
}

static void look(struct session *s)
{
	char *text = malloc(FILE_MAX);
	int fd = openat(s->folder_fd, "session", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	bool missing = fd < 0 && errno == ENOENT;
	ssize_t n = text && fd >= 0 ? read(fd, text, FILE_MAX) : -1;
	s->whole = n > 0 && parse(s, text, (size_t)n);
	s->findable |= missing || !n; /* there is none: it had not begun, or had no room */
	if (fd >= 0)
		close(fd);
	free(text);
}

bool session_claim(struct session *s, bool waits)
{
	const struct timespec moment = { .tv_nsec = 10000000 };
	struct stat st;

	for (int attempt = 0; !s->live && attempt < (waits ? 300 : 1); attempt++) {
		if (attempt)
			nanosleep(&moment, NULL);
		if (!flock(s->folder_fd, LOCK_EX | LOCK_NB))
			return !fstat(s->folder_fd, &st) && st.st_nlink; /* else it is removed by now */
	}
	return false;
}

/* Whether its recorder may be alive. Somebody who looks at it holds the lock for a moment, and so does a
 * child that the recorder was just starting. */
static bool is_live(const struct session *s, bool locked)
{
	return locked && !(s->whole && s->our_pids && kill(s->pid, 0) && errno == ESRCH);
}

static void visit(const char *id, void (*take)(void *context, struct session *s), void *context)
{
	struct session s = { .live = true };
	struct stat st;

	snprintf(s.folder, sizeof(s.folder), SESSION_PREFIX "%s", id);
	snprintf(s.id, sizeof(s.id), "%s", id);
	s.folder_fd = open(s.folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s.folder_fd >= 0 && !fstat(s.folder_fd, &st) && st.st_uid == geteuid()) {
		bool locked = flock(s.folder_fd, LOCK_SH | LOCK_NB);
		look(&s);
		s.live = is_live(&s, locked);
		take(context, &s);
	}
	if (s.folder_fd >= 0)
		close(s.folder_fd);
	free(s.trace);
	free(s.command);
}

void session_each(void (*take)(void *context, struct session *s), void *context)
{
	const char *prefix = base_name(SESSION_PREFIX);
	struct dirent **entries;
	int n = scandir("/dev/shm", &entries, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *id = entries[i]->d_name + strlen(prefix);
		if (!strncmp(entries[i]->d_name, prefix, strlen(prefix)) && strlen(id) == JOURNAL_ID)
			visit(id, take, context);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

char *session_journal_path(const char *trace)
{
	char *path;

	return asprintf(&path, "%s" JOURNAL_SUFFIX, trace) < 0 ? NULL : path;
}

static bool has_journal(const char *trace, const char *id)
{
	uint64_t start;
	char *path = session_journal_path(trace);
	bool has = path && !journal_look(path, id, &start);

	free(path);
	return has;
}

static bool is_trace(const char *path, const struct session *s)
{
	struct stat st;

	return !stat(path, &st) && st.st_ino == s->inode;
}

static bool is_at(const struct session *s, const char *path, bool journal)
{
	return journal ? has_journal(path, s->id) : is_trace(path, s);
}

/* Where a recording of the same name that is just beginning has put it aside (rotate.c). */
static char *find_aside(const struct session *s, bool journal)
{
	char pattern[2 * PATH_MAX], *to = pattern, *found = NULL;
	glob_t names;

	for (const char *c = s->trace; *c && to < pattern + 2 * PATH_MAX - 16; *to++ = *c++)
		if (strchr("*?[\\", *c))
			*to++ = '\\';
	strcpy(to, ".old.*");
	if (glob(pattern, 0, NULL, &names))
		return NULL;
	for (size_t i = 0; i < names.gl_pathc && !found; i++)
		if (is_at(s, names.gl_pathv[i], journal))
			found = strdup(names.gl_pathv[i]);
	globfree(&names);
	return found;
}

/* In the order in which it is moved, so that it is met wherever it is; and once more, should it be moved
 * back. */
static char *find(const struct session *s, bool journal)
{
	char old[PATH_MAX + 8], *aside;

	if (!s->whole)
		return NULL;
	snprintf(old, sizeof(old), "%s.old", s->trace);
	if (is_at(s, s->trace, journal))
		return strdup(s->trace);
	if ((aside = find_aside(s, journal)))
		return aside;
	if (is_at(s, old, journal))
		return strdup(old);
	return is_at(s, s->trace, journal) ? strdup(s->trace) : NULL;
}

bool session_journal(const struct session *s, char **trace)
{
	*trace = find(s, true);
	bool has = *trace != NULL;
	if (!has)
		*trace = find(s, false);
	return has;
}

void session_empty(int folder_fd, const char *folder)
{
	DIR *dir = fdopendir(dup(folder_fd));

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (entry->d_name[0] != '.')
			unlinkat(folder_fd, entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(folder);
}

void session_remove(struct session *s)
{
	session_empty(s->folder_fd, s->folder);
}
