// SPDX-License-Identifier: BSD-2-Clause
/*
 * The memory of another process: a channel per target. The caller reads or writes; the target does nothing,
 * so one event is the whole message.
 */
#include "kind.h"

/* The kernel takes the id of a thread too. */
static struct life *life_of_thread(const struct collector *c, enum collector_source source, int32_t tid)
{
	for (struct process *p = c->processes; p; p = p->next)
		for (const struct thread *t = p->source == source && !p->data.end_ns ? p->threads : NULL; t;
		     t = t->next)
			if (t->data.tid == tid)
				return p->life;
	return NULL;
}

/* One that is outside of the trace: of its life nothing is known. */
static struct life *life_outside(struct collector *c, enum collector_source source, int32_t pid,
				 uint64_t time)
{
	struct life *l = collector_new(c, sizeof(*l));
	if (!l)
		return NULL;
	l->source = source;
	l->pid = pid;
	struct process *p = process_new(c, l, time);
	if (!p)
		return NULL;
	p->untraced = true;
	p->data.coverage = "untraced";
	p->data.comm = "unknown";
	return l;
}

/* The channel of the process that now has this pid, or a thread of this number. */
static struct channel *process_vm_find(struct collector *c, const struct act *a)
{
	uint64_t object = a->event->object;
	int32_t pid = (int32_t)ipc_object_id(object);
	struct life *l = life_of(c, a->thread->source, pid);
	if (!l && !channel_known(c, object) && (l = life_of_thread(c, a->thread->source, pid)))
		object = ipc_object(IPC_MECH_process_vm, (uint32_t)l->pid);
	struct channel *ch = channel_of(c, object);
	if (ch && l && l->latest && ch->life && ch->life != l)
		ch = channel_renew(c, ch, object);
	if (ch && l && l->latest)
		ch->life = l;
	return ch;
}

static void process_vm_transfer(struct collector *c, const struct act *a)
{
	const struct match_call *call = &a->call;
	struct endpoint *caller = a->endpoint;
	struct channel *ch = caller->channel;
	enum collector_source source = caller->process->source;
	int32_t pid = (int32_t)ipc_object_id(a->event->object);
	if (!ch->life)
		ch->life = life_outside(c, source, pid, call->start);
	struct endpoint *target = ch->life ? endpoint_of(c, ch->life->latest, ch) : NULL;
	if (!target)
		return;
	endpoint_seen(c, target, call->start, call->end);
	struct match_message m = {
		.sent = call->start,
		.received = call->end,
		.bytes = call->bytes,
		.src = a->sends ? caller : target,
		.dst = a->sends ? target : caller,
		.exact = true,
	};
	rollup_message(c, &m);
}

const struct channel_kind process_vm_kind = {
	.key = key_number,
	.find = process_vm_find,
	.transfer = process_vm_transfer,
	.one_event = true,
};
