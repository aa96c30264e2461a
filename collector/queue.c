// SPDX-License-Identifier: BSD-2-Clause
/*
 * Message queues of System V and POSIX: one channel each, whose messages datagram.h matches by type or
 * priority. A System V queue has no descriptors: it lives from its msgget to its removal.
 *
 * Each type of a System V queue is a queue of its own: servers take one type, each client another, and within
 * a type order tells. Types may be without number (a request's number), so that the small ones have a matcher
 * each, and others share one with those of the same hash.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "kind.h"

enum { TYPES_OWN = 32, TYPES = 64, MQUEUE_MAGIC = 0x19800202 };

struct queue_part {
	struct channel *channel;
	struct datagram_queue *matcher;
	uint64_t sent, received;
	const struct process *receiver; /* the only one */
	bool several_receivers, cut_off, inexact;
};

static unsigned int parts_of(const struct channel *ch)
{
	return ch->data.mechanism == IPC_MECH_sysv_msg ? TYPES : 1;
}

/* What was left in queues. */

static void remember(struct collector *c, uint64_t where, uint64_t number)
{
	void **place = table_put(&c->leftovers, table_hash(where, number));
	if (place)
		*place = c;
}

static void look_at_sysv(struct collector *c)
{
	char line[256];
	struct stat ns;
	FILE *f = fopen("/proc/sysvipc/msg", "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long id, messages;
		if (sscanf(line, "%*d %lu %*o %*u %lu", &id, &messages) == 2 && messages &&
		    !stat("/proc/self/ns/ipc", &ns))
			remember(c, ns.st_ino, id);
	}
	if (f)
		fclose(f);
}

/* Where it cannot be read it may hold some. */
static bool is_empty(int dir, const char *name)
{
	char line[64] = "";
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (f && !fgets(line, sizeof(line), f))
		line[0] = 0;
	if (f)
		fclose(f);
	return !strncmp(line, "QSIZE:0 ", 8);
}

static void look_at_posix(struct collector *c)
{
	struct statfs fs;
	struct dirent *entry;
	struct stat st;
	DIR *dir = statfs("/dev/mqueue", &fs) || fs.f_type != MQUEUE_MAGIC ? NULL : opendir("/dev/mqueue");
	while (dir && (entry = readdir(dir)))
		if (entry->d_type == DT_REG && !is_empty(dirfd(dir), entry->d_name) &&
		    !fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			remember(c, st.st_dev, st.st_ino);
	if (dir)
		closedir(dir);
}

/* Remembers which queues hold messages now: nobody knows who sent those. */
static void queue_look_around(struct collector *c)
{
	look_at_sysv(c);
	look_at_posix(c);
}

/* It may be such a queue. */
static void queue_define(struct collector *c, struct channel *ch, const struct ipc_def *d)
{
	bool posix = ch->data.mechanism == IPC_MECH_posix_mq;
	uint64_t where = posix ? makedev(d->object.dev_major, d->object.dev_minor) : d->object.generation;
	if (table_get(&c->leftovers, table_hash(where, d->object.inode)))
		ch->leftover = ch->stream.doubtful = true;
}

/* What was matched. */

static uint64_t message(void *context, const struct match_message *m)
{
	struct queue_part *part = context;
	part->inexact |= !m->exact;
	return rollup_sink.message(part->channel, m);
}

static void doubt(void *context, const struct match_message *m, uint64_t handle)
{
	struct queue_part *part = context;
	part->inexact = true;
	rollup_sink.doubt(part->channel, m, handle);
}

/* What one receive had from nobody known another may have had too. */
static void unmatched(void *context, const struct match_call *receive)
{
	struct channel *ch = ((struct queue_part *)context)->channel;
	const struct process *p = receive->endpoint->process;
	if (!ch->leftover)
		collector_lose(ch->collector, p->source, IPC_REASON_unmatched, p, p->data.comm, 1,
			       receive->end);
	channel_doubt(ch->collector, ch);
	rollup_inexact(ch->collector, ch);
	for (unsigned int i = 0; i < parts_of(ch); i++)
		if (ch->parts[i] && ch->parts[i]->matcher)
			datagram_doubt(ch->parts[i]->matcher);
}

static void vanished(void *context, const struct datagram *send)
{
	(void)context; /* a queue loses nothing: it was never read */
	(void)send;
}

static const struct datagram_sink sink = { message, doubt, unmatched, vanished };

static struct queue_part *part_of(struct collector *c, struct channel *ch, uint64_t type)
{
	unsigned int n = parts_of(ch), i = 0;
	if (!ch->parts && !(ch->parts = collector_new(c, n * sizeof(*ch->parts))))
		return NULL;
	if (n > 1)
		i = type < TYPES_OWN ? type : TYPES_OWN + table_mix(type) % (TYPES - TYPES_OWN);
	struct queue_part *part = ch->parts[i];
	if (!part && (part = ch->parts[i] = collector_new(c, sizeof(*part))))
		part->channel = ch;
	if (part && !part->matcher)
		part->matcher = datagram_new(&sink, part);
	return part && part->matcher ? part : NULL;
}

static void send(struct queue_part *part, struct datagram *d, uint64_t type)
{
	part->sent++;
	d->local = type;
	datagram_send(part->matcher, d);
}

static void receive(struct queue_part *part, struct datagram *d, uint64_t type)
{
	const struct process *p = d->call.endpoint->process;
	part->received++;
	part->several_receivers |= part->receiver && part->receiver != p;
	part->receiver = p;
	part->cut_off |= d->full;
	d->remote = type;
	d->highest = !type;
	datagram_receive(part->matcher, d);
}

static bool queue_moves(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return e->result > 0 || (e->result == 0 && !(e->flags & IPC_F_INSIDE));
}

static void queue_transfer(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct channel *ch = a->endpoint->channel;
	struct queue_part *part = part_of(c, ch, e->arg1);
	struct datagram d = {
		.call = a->call,
		.socket = e->object,
		.full = e->flags & (IPC_F_FULL | IPC_F_TRUNCATED),
	};
	if (!part)
		return;
	if (ch->stream.doubtful)
		datagram_doubt(part->matcher);
	(a->sends ? send : receive)(part, &d, e->arg1);
	datagram_expire(part->matcher, c->now);
}

/* In each part one process received all that was sent: whose it was is certain, whatever its order. */
static bool queue_drained(const struct channel *ch)
{
	for (unsigned int i = 0; ch->parts && i < parts_of(ch); i++) {
		const struct queue_part *part = ch->parts[i];
		if (part && part->inexact &&
		    (part->several_receivers || part->cut_off || part->sent != part->received))
			return false;
	}
	return true;
}

/* From the first to the last. */

static bool msg_makes(const struct channel *ch, const struct ipc_event *e)
{
	return e->call == IPC_CALL_msgget && ch->closed_ns && e->start >= ch->closed_ns;
}

/* A System V queue was found or removed. */
static void msg_control(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct channel *ch = a->endpoint->channel;
	if (e->result < 0)
		return;
	ch->created = true;
	if (e->call != IPC_CALL_msgctl_rmid)
		return;
	ch->closed_ns = order_end(e);
	settle_later(c, ch);
}

/* Gives up what cannot be received any more. */
static void queue_settle(struct channel *ch, bool all)
{
	/* A POSIX queue keeps its messages for who opens it next. */
	bool keeps = ch->data.mechanism == IPC_MECH_posix_mq && !all;
	for (unsigned int i = 0; ch->parts && i < parts_of(ch); i++) {
		struct queue_part *part = ch->parts[i];
		if (!part || !part->matcher || (keeps && !datagram_idle(part->matcher)))
			continue;
		datagram_free(part->matcher);
		part->matcher = NULL;
	}
}

#define QUEUE                                                                                                \
	.define = queue_define, .moves = queue_moves, .transfer = queue_transfer, .drained = queue_drained,  \
	.settle = queue_settle, .look_around = queue_look_around

const struct channel_kind sysv_msg_kind = {
	QUEUE,
	.key = key_id,
	.defined_key = key_sysv,
	.makes = msg_makes,
	.control = msg_control,
	.without_fd = true,
};

const struct channel_kind posix_mq_kind = { QUEUE, .defined_key = key_file };
