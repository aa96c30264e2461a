// SPDX-License-Identifier: BSD-2-Clause
/*
 * Timerfds, inotify instances and pidfds: what the kernel tells a process that waits.
 *
 * A timer's expirations and the changes of files come from the kernel: a read that got something is a message
 * from it. Who changed the file is not told. The end of a process is one message to each process that saw its
 * pidfd readable, sent when it exited.
 */
#include <stdio.h>
#include <string.h>

#include "kind.h"
#include "socket.h"
#include "tables.h"

enum { NAMES_MAX = 200 };

/* Of a pidfd. */
struct wake {
	int32_t pid;
	enum collector_source source;
	struct life *life;   /* NULL: outside the trace */
	struct moment ended; /* the end as an event of this channel, once somebody saw it */
};

static struct wake *wake_of(struct collector *c, struct channel *ch, const struct process *p,
			    const struct ipc_event *e)
{
	if (ch->wake || !e->object || !(ch->wake = collector_new(c, sizeof(*ch->wake))))
		return ch->wake;
	ch->wake->pid = (int32_t)ipc_object_id(e->object);
	ch->wake->source = p->source;
	ch->wake->life = life_of(c, p->source, ch->wake->pid);
	return ch->wake;
}

/* Whether nobody but the kernel sends through it. */
static bool from_kernel(const struct channel *ch)
{
	return ch->data.mechanism != IPC_MECH_pidfd;
}

/* The pid that a pidfd stands for was given to another process than when it was opened. */
static bool pidfd_makes(const struct channel *ch, const struct ipc_event *e)
{
	if (e->call != IPC_CALL_pidfd_open && e->call != IPC_CALL_clone_pidfd)
		return false;
	const struct wake *w = ch->wake;
	return w && life_of(ch->collector, w->source, w->pid) != w->life;
}

static void wake_opened(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	struct channel *ch = ep->channel;
	if (!from_kernel(ch))
		wake_of(c, ch, ep->process, e);
	/* What came over an exec or a socket others may have too, under another number of the shim's. */
	bool handed = e->call == IPC_CALL_inherit || e->call == IPC_CALL_recvmsg_fd ||
		      e->call == IPC_CALL_pidfd_getfd;
	if (!ch->created && handed && from_kernel(ch) && ep->process->source == COLLECTOR_SHIM)
		channel_partial(c, ch);
	ch->created = true;
}

/* An inotify instance watches `path` too. */
static void inotify_name(struct collector *c, struct channel *ch, const char *path, size_t length)
{
	char name[IPC_TEXT_MAX];
	const char *old = ch->data.name;
	if (!old)
		snprintf(name, sizeof(name), "%.*s", (int)length, path);
	else if (strlen(old) + length < NAMES_MAX)
		snprintf(name, sizeof(name), "%s, %.*s", old, (int)length, path);
	else if (!strstr(old, ", ..."))
		snprintf(name, sizeof(name), "%s, ...", old);
	else
		return;
	ch->data.name = collector_text(c, name, strlen(name));
}

/* The event that the message from the ended process begins with: its exit, on this channel. */
static void put_end(struct collector *c, struct channel *ch)
{
	struct life *l = ch->wake->life;
	struct process *p = l->latest;
	struct endpoint *ep = endpoint_of(c, p, ch);
	uint64_t time = l->exit.time;
	if (!ep || !p->main)
		return;
	uint64_t event = event_unseen(c, ep, IPC_CALL_exit_group, IPC_F_NO_START, IPC_VERB_exit, time);
	ep->data.sends++;
	ch->wake->ended = (struct moment){ event, time, ep };
}

/* A wait told that the pidfd is readable: the process has ended. */
static void wake_ended(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct endpoint *ep = a->endpoint;
	struct channel *ch = ep->channel;
	struct wake *w = wake_of(c, ch, ep->process, e);
	if (!w || ep->received)
		return;
	ep->received = true;
	ep->data.receives++;
	endpoint_role(c, ep, ROLE_READER);
	if (!w->life || !life_has_ended(c, w->life, order_end(e), STATUS_UNKNOWN))
		return; /* wake_outside() */
	if (!w->ended.endpoint && w->life->exit.time)
		put_end(c, ch);
	life_message(c, &w->ended, &(struct moment){ a->call.event, order_end(e), ep });
}

static void pidfd_control(struct collector *c, const struct act *a)
{
	if (a->verb == IPC_VERB_wait && a->event->result > 0)
		wake_ended(c, a);
	else
		fd_event(c, a);
}

/* The edges from the kernel and from processes outside the trace. */
static void wake_outside(struct collector *c, struct channel *ch)
{
	bool kernel = from_kernel(ch);
	const struct wake *w = ch->wake;
	if (!kernel && (!w || w->life))
		return;
	for (const struct endpoint *ep = ch->endpoints; ep; ep = ep->next_of_channel) {
		const struct store_endpoint *row = &ep->data;
		if (row->receives)
			outside_edge(c, ep, kernel ? 0 : w->pid, kernel ? "kernel" : "unknown", row->receives,
				     row->bytes_received);
	}
}

/* The address that the number stood for may have been another one's. */
static bool own_makes(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return e->call == IPC_CALL_timerfd_create || e->call == IPC_CALL_inotify_init ||
	       e->call == IPC_CALL_inotify_init1;
}

static void own_key(uint64_t object, char *key, size_t size)
{
	unsigned long long id = ipc_object_id(object);
	snprintf(key, size, "%s:%llu.%llu", ipc_mechanisms[ipc_object_mechanism(object)].name,
		 id >> IPC_OWN_BITS, id & ((1U << IPC_OWN_BITS) - 1));
}

#define WAKE .opened = wake_opened, .outside = wake_outside, .by_deed = true

const struct channel_kind timerfd_kind = { WAKE, .key = own_key, .makes = own_makes, .no_bytes = true };

const struct channel_kind inotify_kind = { WAKE, .key = own_key, .makes = own_makes, .name = inotify_name };

const struct channel_kind pidfd_kind = {
	WAKE,
	.key = key_number,
	.makes = pidfd_makes,
	.control = pidfd_control,
};
