// SPDX-License-Identifier: BSD-2-Clause
/*
 * Wake-up sources (wake.h). A timer's expirations and the changes of files come from the kernel: a read that
 * got something is a message from it. Who changed the file is not told. The end of a process is one message
 * to each process that saw its pidfd readable, sent when it exited.
 */
#include <stdio.h>
#include <string.h>

#include "socket.h"
#include "wake.h"

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

bool wake_is_stale(const struct channel *ch)
{
	const struct wake *w = ch->wake;
	return w && life_of(ch->collector, w->source, w->pid) != w->life;
}

void wake_opened(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	struct channel *ch = ep->channel;
	if (ch->data.mechanism == IPC_MECH_pidfd)
		wake_of(c, ch, ep->process, e);
	/* What came over an exec or a socket others may have too, under another number. */
	bool handed = e->call == IPC_CALL_inherit || e->call == IPC_CALL_recvmsg_fd ||
		      e->call == IPC_CALL_pidfd_getfd;
	if (!ch->created && handed && wake_from_kernel(ch))
		channel_partial(c, ch);
	ch->created = true;
}

void wake_name(struct collector *c, struct channel *ch, const char *path, size_t length)
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
	struct store_lane lane = {
		.thread_id = p->main->data.id,
		.endpoint_id = ep->data.id,
		.fd = -1,
		.call = IPC_CALL_exit_group,
		.flags = IPC_F_NO_START,
		.verb = IPC_VERB_exit,
		.source = p->data.source,
	};
	struct store_event row = { time, 0, event_lane(c, &lane, ep), 0 };
	endpoint_seen(c, ep, time, time);
	endpoint_role(c, ep, ROLE_WRITER);
	ep->data.sends++;
	ch->wake->ended = (struct moment){ store_event(c->store, &row, true), time, ep };
}

void wake_ended(struct collector *c, struct endpoint *ep, const struct ipc_event *e, uint64_t event)
{
	struct channel *ch = ep->channel;
	struct wake *w = wake_of(c, ch, ep->process, e);
	if (!w || ep->received)
		return;
	ep->received = true;
	ep->data.receives++;
	endpoint_role(c, ep, ROLE_READER);
	if (!w->life || !life_has_ended(c, w->life, order_end(e), STATUS_UNKNOWN))
		return; /* wake_write() */
	if (!w->ended.endpoint && w->life->exit.endpoint)
		put_end(c, ch);
	life_message(c, &w->ended, &(struct moment){ event, order_end(e), ep });
}

void wake_write(struct collector *c, const struct channel *ch)
{
	bool kernel = wake_from_kernel(ch);
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
