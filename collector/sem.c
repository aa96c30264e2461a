// SPDX-License-Identifier: BSD-2-Clause
/*
 * System V semaphores: a channel each, a stream of units like an eventfd's, that begins empty. It has no
 * descriptors: it lives from its semget to the removal of its set.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "kind.h"

#define A_SET	       (1ULL << 32) /* an id in collector.leftovers is a set's, not a queue's */
#define VALUE_MAX      UINT16_MAX   /* more is no semaphore's value: a damaged record */
#define UNDO_WITHIN_NS 10000000ULL  /* after the call that ends the process */

/* What the kernel will take back when a process ends: positive, it posts. */
struct sem_debt {
	struct life *life;
	struct channel *channel;
	int64_t units;
	uint64_t since; /* the latest of its operations */
	struct sem_debt *next_of_life, *next_of_channel;
};

/* Remembers which sets exist now: who posted to those, and who holds them, is not known. */
static void sem_look_around(struct collector *c)
{
	char line[256];
	struct stat ns;
	FILE *f = fopen("/proc/sysvipc/sem", "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long id;
		void **place = NULL;
		if (sscanf(line, "%*d %lu", &id) == 1 && !stat("/proc/self/ns/ipc", &ns))
			place = table_put(&c->leftovers, table_hash(ns.st_ino, id | A_SET));
		if (place)
			*place = c;
	}
	if (f)
		fclose(f);
}

static uint64_t number(uint64_t object, uint32_t n)
{
	return ipc_sem_object((uint32_t)(ipc_object_id(object) >> 44), (uint32_t)object, n);
}

static unsigned int number_of(uint64_t object)
{
	return object >> 32 & (IPC_SEMS_MAX - 1);
}

static void sem_key(uint64_t object, char *key, size_t size)
{
	snprintf(key, size, "sysv_sem:%u#%u", (uint32_t)object, number_of(object));
}

static void sem_defined_key(const struct ipc_def *d, char *key, size_t size)
{
	snprintf(key, size, "sysv_sem:%llu:%llu#%u", (unsigned long long)d->object.generation,
		 (unsigned long long)d->object.inode, number_of(d->object.object));
}

static void sem_made(struct collector *c, struct channel *ch)
{
	(void)c;
	ch->stream.had_writer = ch->stream.had_reader = true; /* any process may be */
}

/* Its set may be one of those. */
static void sem_define(struct collector *c, struct channel *ch, const struct ipc_def *d)
{
	const struct channel *first = channel_known(c, number(d->object.object, 0));
	if (first)
		ch->data.name = first->data.name; /* the key is the set's */
	if (table_get(&c->leftovers, table_hash(d->object.generation, d->object.inode | A_SET)))
		ch->leftover = ch->stream.doubtful = true;
}

static void forgive(struct channel *ch)
{
	for (struct sem_debt *d = ch->debts; d; d = d->next_of_channel)
		d->units = 0;
}

static void removed(struct collector *c, const struct ipc_event *e)
{
	for (uint32_t i = 0; i < IPC_SEMS_MAX; i++) {
		struct channel *ch = channel_known(c, number(e->object, i));
		if (!ch)
			continue;
		forgive(ch);
		ch->created = true; /* the id may be used again */
		ch->closed_ns = order_end(e);
		settle_later(c, ch);
	}
	c->epoch++;
}

static bool sem_makes(const struct channel *ch, const struct ipc_event *e)
{
	switch (e->call) {
	case IPC_CALL_semget:
	case IPC_CALL_semop:
	case IPC_CALL_semtimedop:
	case IPC_CALL_semctl_setval:
	case IPC_CALL_semctl_setall:
		return ch->closed_ns && e->start >= ch->closed_ns;
	default:
		return false;
	}
}

/* A set was found or removed. */
static void sem_control(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	if (e->result < 0)
		return;
	a->endpoint->channel->created = true;
	if (e->call == IPC_CALL_semctl_rmid)
		removed(c, e);
}

static struct sem_debt *debt_of(struct collector *c, struct life *l, struct channel *ch)
{
	struct sem_debt *d = l->debts;
	while (d && d->channel != ch)
		d = d->next_of_life;
	if (d || !(d = collector_new(c, sizeof(*d))))
		return d;
	*d = (struct sem_debt){
		.life = l, .channel = ch, .next_of_life = l->debts, .next_of_channel = ch->debts
	};
	return l->debts = ch->debts = d;
}

/* What was left is gone, and with it what waits that were under way may have taken instead of the new. */
static void set(struct channel *ch, const struct ipc_event *e)
{
	forgive(ch);
	if (!match_unread(&ch->stream))
		return;
	match_clear(&ch->stream, e->start);
	ch->cleared_ns = order_end(e);
}

/* Before an operation is matched: what it does besides moving units. */
static void sem_operation(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct channel *ch = a->endpoint->channel;
	if (e->result || e->flags & IPC_F_INSIDE)
		return;
	if (e->call == IPC_CALL_semctl_setval || e->call == IPC_CALL_semctl_setall) {
		set(ch, e);
		return;
	}
	if (e->arg1 && e->start < ch->cleared_ns)
		match_doubt(&ch->stream);
	if (!(e->flags & IPC_F_UNDO) || !e->arg1 || e->arg1 > VALUE_MAX)
		return;
	struct sem_debt *d = debt_of(c, a->endpoint->process->life, ch);
	if (!d)
		return;
	d->units += e->flags & IPC_F_SECOND ? -(int64_t)e->arg1 : (int64_t)e->arg1;
	d->since = order_end(e);
}

/* The post that no source saw. */
static void post(struct collector *c, struct process *p, const struct sem_debt *d, uint64_t time, bool seen)
{
	struct channel *ch = d->channel;
	struct endpoint *ep = endpoint_of(c, p, ch);
	if (!ep || !p->main)
		return;
	struct match_call call = {
		.start = seen ? time : d->since,
		.end = seen ? time + UNDO_WITHIN_NS : time,
		.bytes = (uint64_t)d->units,
		.event = event_unseen(c, ep, IPC_CALL_semop, IPC_F_SECOND | IPC_F_UNDO | IPC_F_NO_START,
				      IPC_VERB_post, time),
		.endpoint = ep,
		.thread = p->main->data.id,
	};
	ep->data.sends++;
	ch->sent += call.bytes;
	if (!seen)
		match_doubt(&ch->stream);
	match_send(&ch->stream, &call);
}

static bool sem_moves(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return e->result == 0 && e->arg1 && !(e->flags & IPC_F_INSIDE);
}

/* The kernel takes back what the process did with SEM_UNDO. */
static void sem_undo(struct collector *c, struct life *l, uint64_t time, bool seen)
{
	for (struct sem_debt *d = l->debts; d; d = d->next_of_life) {
		if (d->units > 0)
			post(c, l->latest, d, time, seen);
		else if (d->units < 0) /* whose units it takes away is not known */
			channel_doubt(c, d->channel);
		d->units = 0;
	}
}

const struct channel_kind sem_kind = {
	.key = sem_key,
	.defined_key = sem_defined_key,
	.made = sem_made,
	.define = sem_define,
	.makes = sem_makes,
	.before = sem_operation,
	.moves = sem_moves,
	.control = sem_control,
	.look_around = sem_look_around,
	.process_ends = sem_undo,
	.without_fd = true,
};
