// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is known by the call that makes it and lives as long as a descriptor is open: pipes, FIFOs, eventfds
 * and io_uring's rings.
 */
#include "kind.h"

/* One that was made outside the trace others may hold too. */
static void opened(struct channel *ch, bool made)
{
	if (ch->created)
		return;
	ch->created = made;
	if (!made)
		ch->stream.doubtful = true;
}

const struct channel_kind plain_kind = { 0 };

/* Pipes. */

static bool is_pipe_call(const struct ipc_event *e)
{
	return e->call == IPC_CALL_pipe || e->call == IPC_CALL_pipe2;
}

static bool pipe_makes(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return is_pipe_call(e) && !(e->flags & IPC_F_PART);
}

static void pipe_opened(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	(void)c;
	opened(ep->channel, is_pipe_call(e));
}

const struct channel_kind pipe_kind = { .key = key_bracket, .makes = pipe_makes, .opened = pipe_opened };

/* FIFOs. What a process has that ran before the recording others may have written to. */

static void fifo_opened(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	(void)c;
	opened(ep->channel, e->call != IPC_CALL_inherit);
}

const struct channel_kind fifo_kind = { .defined_key = key_file, .opened = fifo_opened, .restarts = true };

/* Eventfds. */

static bool eventfd_makes(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return e->call == IPC_CALL_eventfd || e->call == IPC_CALL_eventfd2;
}

static void eventfd_opened(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	(void)c;
	opened(ep->channel, eventfd_makes(ep->channel, e));
}

/* A counter that does not begin at 0: its maker posted that. */
static bool is_first_value(const struct act *a)
{
	const struct ipc_event *e = a->event;
	return eventfd_makes(a->endpoint->channel, e) && e->result >= 0 && e->arg1;
}

static void eventfd_control(struct collector *c, const struct act *a)
{
	struct act post = *a;
	post.sends = true;
	post.late = false;
	fd_event(c, a);
	if (!is_first_value(a))
		return;
	endpoint_role(c, a->endpoint, ROLE_WRITER);
	a->endpoint->channel->sent += a->event->arg1;
	event_stream(c, &post);
}

const struct channel_kind eventfd_kind = {
	.key = key_number,
	.makes = eventfd_makes,
	.opened = eventfd_opened,
	.links = is_first_value,
	.control = eventfd_control,
};

/* Rings: what goes through them is not seen by the shim, and is on other channels by the eBPF source. */

static bool ring_makes(const struct channel *ch, const struct ipc_event *e)
{
	(void)ch;
	return e->call == IPC_CALL_io_uring_setup;
}

static void ring_opened(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	if (ep->process->source == COLLECTOR_SHIM)
		channel_partial(c, ep->channel);
	opened(ep->channel, ring_makes(ep->channel, e));
}

const struct channel_kind ring_kind = { .key = key_bracket, .makes = ring_makes, .opened = ring_opened };
