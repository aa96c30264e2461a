// SPDX-License-Identifier: BSD-2-Clause
/*
 * Locks on files: who owns them, and when the kernel releases them. A lock belongs to an open file
 * description, until its last descriptor is closed, or to a process, until it closes any descriptor of the
 * file. The eBPF source is told so by the kernel; of what the shim tells, who has descriptors is kept here.
 * flock and fcntl do not see each other's locks: a matcher for each.
 */
#include <errno.h>
#include <stdlib.h>

#include "kind.h"
#include "ownership.h"
#include "tables.h"

#define END_WITHIN_NS                                                                                        \
	10000000ULL /* the kernel closes a process's descriptors so soon after its exit began                \
		     */

/* An open file description, or a process, that has or had locks on the file. Which description it is says its
 * number or, of one that came with the program, the parent and the descriptor. */
struct lock_owner {
	struct channel *channel;
	struct life *life;
	uint32_t tag, fd;
	LIST_HEAD(, lock_holder) holders;
	struct lock_owner *next;
};

/* A descriptor of it; of the locks of a process: the process. */
struct lock_holder {
	struct lock_owner *owner;
	struct life *life;
	uint32_t fd;
	bool ends_at_exec;
	LIST_ENTRY(lock_holder) of_owner, of_life;
};

enum { FLOCK, FCNTL, KINDS };
enum { FORKS_MAX = 64 };

struct lock_file {
	struct ownership matcher[KINDS];
	struct lock_owner *owners;
};

static void on_message(void *context, const struct match_message *m)
{
	rollup_sink.message(context, m);
}

static void on_unmatched(void *context, const struct match_call *acquisition)
{
	rollup_sink.unmatched(context, acquisition, 1);
}

static const struct ownership_sink sink = { on_message, on_unmatched };

static struct lock_file *file_of(struct collector *c, struct channel *ch)
{
	if (!ch->locks && (ch->locks = collector_new(c, sizeof(*ch->locks))))
		for (int i = 0; i < KINDS; i++)
			ch->locks->matcher[i] = (struct ownership){ .sink = &sink, .context = ch };
	return ch->locks;
}

/* Owners. */

static uint64_t number_of(const struct lock_owner *o)
{
	return (uintptr_t)o;
}

static struct lock_owner *find_owner(const struct lock_file *f, const struct life *l, uint32_t tag,
				     uint32_t fd)
{
	struct lock_owner *o = f->owners;
	while (o && (o->tag != tag || o->life != l || o->fd != fd))
		o = o->next;
	return o;
}

static void hold(struct collector *c, struct lock_owner *o, struct life *l, uint32_t fd)
{
	struct lock_holder *h;
	LIST_FOREACH(h, &o->holders, of_owner)
	if (h->life == l && (h->fd == fd || !o->tag))
		return;
	h = collector_new(c, sizeof(*h));
	if (!h)
		return;
	*h = (struct lock_holder){ .owner = o, .life = l, .fd = fd };
	LIST_INSERT_HEAD(&o->holders, h, of_owner);
	LIST_INSERT_HEAD(&l->locks, h, of_life);
}

/* The owner of an event's lock, held by its process from now on if somebody has to know. */
static struct lock_owner *owner_of(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	struct lock_file *f = file_of(c, ep->channel);
	struct life *l = ep->process->life, *parent = l->parent ? l->parent->life : l;
	uint32_t fd = (uint32_t)e->arg0;
	bool inherited = e->tag == IPC_LOCK_INHERITED;
	struct life *whose = inherited ? parent : e->tag ? NULL : l;
	if (!f)
		return NULL;
	struct lock_owner *o = find_owner(f, whose, e->tag, inherited ? fd : 0);
	if (!o && (o = collector_new(c, sizeof(*o)))) {
		*o = (struct lock_owner){ .channel = ep->channel,
					  .life = whose,
					  .tag = e->tag,
					  .fd = inherited ? fd : 0,
					  .next = f->owners };
		f->owners = o;
	}
	if (!o || ep->process->source == COLLECTOR_BPF)
		return o;
	hold(c, o, l, fd);
	if (inherited && !parent->ended)
		hold(c, o, parent, fd);
	return o;
}

static void free_owner(struct collector *c, struct lock_owner *o)
{
	struct lock_owner **link = &o->channel->locks->owners;
	while (*link != o)
		link = &(*link)->next;
	*link = o->next;
	collector_free(c, o, sizeof(*o));
}

/* The event of a release without a call of its own. */
static uint64_t make_event(struct collector *c, struct endpoint *ep, uint16_t call, uint64_t time)
{
	ep->data.sends++;
	return event_unseen(c, ep, call, IPC_F_SECOND | IPC_F_NO_START, IPC_VERB_unlock, time);
}

struct ending {
	struct process *process;
	uint16_t call;
	uint64_t start, end;
	bool seen; /* when it was */
};

/* Nobody has the description any more: the kernel released its locks. Where that was not seen it was before
 * another acquired them. */
static void release(struct collector *c, struct lock_owner *o, const struct ending *how)
{
	struct endpoint *ep = endpoint_of(c, how->process, o->channel);
	if (!ep || !how->process->main)
		return;
	for (int i = 0; i < KINDS; i++) {
		struct ownership *m = &o->channel->locks->matcher[i];
		uint64_t missed = ownership_missed(m, number_of(o)), start = how->start;
		if (!ownership_has(m, number_of(o)))
			continue;
		if (!how->seen && missed < start)
			start = missed;
		struct match_call call = {
			.start = start,
			.end = how->end,
			.event = make_event(c, ep, how->call, start),
			.endpoint = ep,
			.thread = how->process->main->data.id,
		};
		ownership_release(m, &call, number_of(o), OWNERSHIP_ALL);
	}
}

static void drop(struct collector *c, struct lock_holder *h, const struct ending *how)
{
	struct lock_owner *o = h->owner;
	LIST_REMOVE(h, of_owner);
	LIST_REMOVE(h, of_life);
	collector_free(c, h, sizeof(*h));
	if (!LIST_EMPTY(&o->holders))
		return;
	release(c, o, how);
	free_owner(c, o);
}

/* Calls. */

/* A conversion by flock gives up what there was before it asks for the new. */
static void failed(struct ownership *m, const struct ipc_event *e, const struct match_call *call,
		   uint64_t owner)
{
	bool shared = e->arg1 & IPC_LOCK_SHARED;
	if (e->call == IPC_CALL_flock && (e->result == -EAGAIN || e->result == -EINTR) &&
	    ownership_has_so(m, owner, !shared))
		ownership_release(m, call, owner, OWNERSHIP_ALL);
}

static struct ownership_range range_of(const struct ipc_event *e)
{
	uint64_t first = e->arg1 & ~IPC_LOCK_SHARED, length = e->arg0 >> 32;
	return (struct ownership_range){ first, length ? first + length - 1 : UINT64_MAX };
}

/* A call that locked or unlocked, or failed; its row is stored. */
static void lock_operation(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	const struct match_call *call = &a->call;
	struct lock_owner *o = owner_of(c, call->endpoint, e);
	if (!o || e->flags & IPC_F_INSIDE)
		return;
	struct ownership *m = &o->channel->locks->matcher[e->call == IPC_CALL_flock ? FLOCK : FCNTL];
	if (e->result)
		failed(m, e, call, number_of(o));
	else if (a->sends)
		ownership_release(m, call, number_of(o), range_of(e));
	else
		ownership_acquire(m, call, number_of(o), range_of(e), e->arg1 & IPC_LOCK_SHARED);
}

/* The kernel said so. */
static void released(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	struct process *p = ep->process;
	enum ipc_call_id call = p->life->ended	 ? IPC_CALL_exit_group
				: p->data.end_ns ? IPC_CALL_execve
						 : IPC_CALL_close;
	const struct ending how = { p, call, e->start, order_end(e), !(e->flags & IPC_F_NO_START) };
	struct lock_owner *o = ep->channel->locks
				       ? find_owner(ep->channel->locks, e->tag ? NULL : p->life, e->tag, 0)
				       : NULL;
	if (!o)
		return;
	release(c, o, &how);
	free_owner(c, o);
}

static void closed(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	const struct ending how = { ep->process, e->call, e->start, order_end(e), true };
	struct lock_holder *h, *next;
	for (h = LIST_FIRST(&ep->process->life->locks); h; h = next) {
		next = LIST_NEXT(h, of_life);
		if (h->owner->channel != ep->channel || (h->owner->tag && h->fd != (uint32_t)e->arg0))
			continue;
		if (e->flags & IPC_F_ENTRY)
			h->ends_at_exec = true;
		else
			drop(c, h, &how);
	}
}

/* What another program opened: those between that one and this process have it too, as far as is known. */
static void inherited(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	struct lock_owner *o = owner_of(c, ep, e);
	const struct process *p = ep->process, *from = image_of(c, (uint32_t)e->arg1);
	struct life *l = p->life;
	for (int i = 0; o && from && i < FORKS_MAX && l != from->life && l->parent; i++) {
		l = l->parent->life;
		if (!l->ended)
			hold(c, o, l, (uint32_t)e->arg0);
	}
}

/* A descriptor was copied or closed. */
static void lock_control(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct endpoint *ep = a->endpoint;
	if (e->call == IPC_CALL_inherit)
		inherited(c, ep, e);
	else if (ipc_calls[e->call].verb == IPC_VERB_open)
		owner_of(c, ep, e);
	else if (e->flags & IPC_F_UNDO)
		released(c, ep, e);
	else
		closed(c, ep, e);
}

/* Lives. */

/* The child has all that its parent has; once for each child. */
static void lock_fork(struct collector *c, struct life *child)
{
	struct lock_holder *h;
	if (child->locks_inherited || !child->parent)
		return;
	child->locks_inherited = true;
	LIST_FOREACH(h, &child->parent->life->locks, of_life)
	if (h->owner->tag)
		hold(c, h->owner, child, h->fd);
}

static void lock_exec(struct collector *c, struct life *l, uint64_t time)
{
	const struct ending how = { l->latest, IPC_CALL_execve, time, time + END_WITHIN_NS, true };
	struct lock_holder *h, *next;
	for (h = LIST_FIRST(&l->locks); h; h = next) {
		next = LIST_NEXT(h, of_life);
		if (h->ends_at_exec)
			drop(c, h, &how);
	}
}

static void lock_end(struct collector *c, struct life *l, uint64_t time, bool seen)
{
	const struct ending how = { l->latest, IPC_CALL_exit_group, time, seen ? time + END_WITHIN_NS : time,
				    seen };
	while (!LIST_EMPTY(&l->locks))
		drop(c, LIST_FIRST(&l->locks), &how);
}

static bool lock_moves(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return e->result == 0 && !(e->flags & IPC_F_INSIDE);
}

static void lock_settle(struct channel *ch, bool all)
{
	for (int i = 0; all && ch->locks && i < KINDS; i++)
		ownership_settle(&ch->locks->matcher[i]);
}

const struct channel_kind lock_kind = {
	.defined_key = key_file,
	.moves = lock_moves,
	.transfer = lock_operation,
	.failed = lock_operation,
	.control = lock_control,
	.settle = lock_settle,
	.forked = lock_fork,
	.executed = lock_exec,
	.process_ends = lock_end,
};
