// SPDX-License-Identifier: BSD-2-Clause
/*
 * See journal.h. An op is its number, whom it is of, and
 *	event: a place in the table of earlier events, a bit for each 32-bit word that differs, these words
 *	all others: the number of bytes that follow, in two bytes, and these
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	BUFFER = 1 << 18,
	LOOK_EVERY = 1 << 20, /* bytes, after which it is looked how much room is left */
	PLACES = 256,
	WORDS = IPC_SLOT / 4,
	EVENT_HEAD = 5,
	EVENT_MAX = EVENT_HEAD + IPC_SLOT,
	HEAD = 4, /* of an op with data */
};

struct head {
	char magic[8], id[JOURNAL_ID];
	uint64_t start_ns;
};

static const char magic[8] = "ipcj 001";

/* Both who writes and who reads keep this table. */
struct earlier {
	uint32_t words[PLACES][WORDS];
};

struct journal {
	int fd;
	char *path;
	bool given_up;
	bool dirty; /* something was put since the last mark */
	uint64_t written, look_at;
	size_t used;
	struct earlier earlier;
	unsigned char buffer[BUFFER];
};

static unsigned int place_of(const struct ipc_event *e)
{
	return (e->thread * 7 + e->call * 3U + (uint32_t)e->object) % PLACES;
}

int journal_open(struct journal **out, const char *path, const char *id, uint64_t start_ns)
{
	struct head head = { .start_ns = start_ns };
	struct journal *j = calloc(1, sizeof(*j));
	int err = 0;

	if (!j || !(j->path = strdup(path))) {
		free(j);
		return -ENOMEM;
	}
	memcpy(head.magic, magic, sizeof(magic));
	memcpy(head.id, id, JOURNAL_ID);
	j->look_at = LOOK_EVERY;
	unlink(path); /* one that another recorder left, whose trace is gone */
	j->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0)
		err = -errno;
	else if (write(j->fd, &head, sizeof(head)) != sizeof(head))
		err = -ENOSPC;
	*out = j;
	if (!err)
		return 0;
	if (j->fd >= 0)
		unlink(path);
	j->given_up = true;
	journal_remove(j);
	return err;
}

static void give_up(struct journal *j)
{
	j->given_up = true;
	unlink(j->path);
	if (ftruncate(j->fd, 0)) { /* its room is needed; it goes with the descriptor too */
	}
}

/* The file system belongs to everybody. */
static bool takes_too_much(struct journal *j)
{
	struct statvfs fs;

	if (j->written < j->look_at)
		return false;
	j->look_at = j->written + LOOK_EVERY;
	return fstatvfs(j->fd, &fs) || j->written > (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void flush(struct journal *j)
{
	for (size_t done = 0; done < j->used;) {
		ssize_t n = write(j->fd, j->buffer + done, j->used - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			give_up(j);
			return;
		}
		done += (size_t)n;
	}
	j->written += j->used;
	j->used = 0;
	if (takes_too_much(j))
		give_up(j);
}

/* Room for `size` bytes, or NULL. */
static unsigned char *room(struct journal *j, size_t size)
{
	if (!j || j->given_up)
		return NULL;
	if (j->used + size > BUFFER)
		flush(j);
	return j->given_up ? NULL : j->buffer + j->used;
}

void journal_event(struct journal *j, unsigned int of, const struct ipc_event *e)
{
	unsigned char *at = room(j, EVENT_MAX);
	unsigned int place = place_of(e), n = 0;
	uint32_t words[WORDS], changed[WORDS];
	uint16_t differ = 0;

	if (!at)
		return;
	memcpy(words, e, sizeof(words));
	for (unsigned int i = 0; i < WORDS; i++) {
		if (words[i] == j->earlier.words[place][i])
			continue;
		differ |= (uint16_t)(1 << i);
		changed[n++] = j->earlier.words[place][i] = words[i];
	}
	at[0] = JOURNAL_EVENT;
	at[1] = (unsigned char)of;
	at[2] = (unsigned char)place;
	memcpy(at + 3, &differ, 2);
	memcpy(at + EVENT_HEAD, changed, 4 * n);
	j->used += EVENT_HEAD + 4 * n;
	j->dirty = true;
}

void journal_put_two(struct journal *j, enum journal_op op, unsigned int of, const void *data, size_t size,
		     const void *more, size_t more_size)
{
	bool idle = op == JOURNAL_WATERMARK || op == JOURNAL_STEP;

	if (!j || (idle && !j->dirty))
		return;
	unsigned char *at = size + more_size <= JOURNAL_DATA_MAX ? room(j, HEAD + size + more_size) : NULL;
	if (!at)
		return;
	uint16_t length = (uint16_t)(size + more_size);
	at[0] = (unsigned char)op;
	at[1] = (unsigned char)of;
	memcpy(at + 2, &length, 2);
	if (size)
		memcpy(at + HEAD, data, size);
	if (more_size)
		memcpy(at + HEAD + size, more, more_size);
	j->used += HEAD + length;
	j->dirty = true;
}

void journal_put(struct journal *j, enum journal_op op, unsigned int of, const void *data, size_t size)
{
	journal_put_two(j, op, of, data, size, NULL, 0);
}

void journal_mark(struct journal *j)
{
	if (!j || !j->dirty)
		return;
	journal_put(j, JOURNAL_MARK, 0, NULL, 0);
	if (!j->given_up)
		flush(j);
	j->dirty = false;
}

void journal_remove(struct journal *j)
{
	if (!j)
		return;
	if (!j->given_up)
		unlink(j->path);
	if (j->fd >= 0)
		close(j->fd);
	free(j->path);
	free(j);
}

/* Reading. */

int journal_look(const char *path, const char *id, uint64_t *start_ns)
{
	struct head head;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, &head, sizeof(head));
	close(fd);
	if (n != sizeof(head) || memcmp(head.magic, magic, sizeof(magic)) || memcmp(head.id, id, JOURNAL_ID))
		return -EPROTO;
	*start_ns = head.start_ns;
	return 0;
}

/* Gives the op at `at`, where there is a `take`. Returns where the next one stands, or NULL: none is whole.
 */
static const unsigned char *pass(struct earlier *earlier, const unsigned char *at, const unsigned char *end,
				 journal_take *take, void *context)
{
	_Alignas(8) unsigned char data[JOURNAL_DATA_MAX];
	uint16_t n;

	if (end - at < HEAD || at[0] >= JOURNAL_OPS)
		return NULL;
	if (at[0] != JOURNAL_EVENT) {
		memcpy(&n, at + 2, 2);
		if (n > JOURNAL_DATA_MAX || end - at - HEAD < n)
			return NULL;
		memcpy(data, at + HEAD, n);
		if (take)
			take(context, at[0], at[1], data, n);
		return at + HEAD + n;
	}
	if (end - at < EVENT_HEAD)
		return NULL;
	memcpy(&n, at + 3, 2);
	uint32_t *words = earlier->words[at[2]];
	const unsigned char *from = at + EVENT_HEAD;
	if (end - from < 4 * __builtin_popcount(n))
		return NULL;
	for (unsigned int i = 0; i < WORDS; i++) {
		if (!(n & 1 << i))
			continue;
		memcpy(&words[i], from, 4);
		from += 4;
	}
	memcpy(data, words, IPC_SLOT);
	if (take)
		take(context, JOURNAL_EVENT, at[1], data, IPC_SLOT);
	return from;
}

/* The end of the last mark. */
static const unsigned char *last_mark(struct earlier *earlier, const unsigned char *begin,
				      const unsigned char *end)
{
	const unsigned char *mark = begin;

	for (const unsigned char *at = begin, *next; (next = pass(earlier, at, end, NULL, NULL)); at = next)
		if (at[0] == JOURNAL_MARK)
			mark = next;
	return mark;
}

int journal_read(const char *path, journal_take *take, void *context)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fstat(fd, &st)) {
		int err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	struct earlier *earlier = calloc(1, sizeof(*earlier));
	size_t size = (size_t)st.st_size;
	const unsigned char *map = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	close(fd);
	if (map != MAP_FAILED && earlier && size >= sizeof(struct head)) {
		const unsigned char *at = map + sizeof(struct head),
				    *end = last_mark(earlier, at, map + size);
		memset(earlier, 0, sizeof(*earlier));
		while (at && at < end)
			at = pass(earlier, at, end, take, context);
	}
	int err = map == MAP_FAILED || !earlier ? -ENOMEM : 0;
	if (map != MAP_FAILED)
		munmap((void *)map, size);
	free(earlier);
	return err;
}
