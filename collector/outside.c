// SPDX-License-Identifier: BSD-2-Clause
/*
 * What went to and came from sockets that nobody in the trace holds, and terminals likewise. The other side
 * becomes a row of `processes`, and what the process here sent and received an edge: every call is a message,
 * latencies are not known. Written when the channel is settled.
 */
#include <stdio.h>
#include <string.h>

#include "socket.h"

struct outside {
	struct store_process data;
	struct outside *next; /* of the same hash */
};

/* Who it is, as far as the kernel tells. */
static void identify(struct collector *c, const struct channel *ch, struct store_process *p, char *comm,
		     size_t size)
{
	const struct socket *so = ch->socket;
	uint64_t there = ch->other ? ch->other : so->state & IPC_SOCKET_ACCEPTED ? so->local : 0;
	struct address a, own;
	snprintf(comm, size, "unknown");
	if (socket_is_other(ch) && other_is_kernel(ch)) {
		snprintf(comm, size, "kernel");
		return;
	}
	if (!socket_is_ip(ch))
		p->pid = so->peer_pid;
	if (so->peer_comm) {
		snprintf(comm, size, "%s", so->peer_comm);
		return;
	}
	if (!address_get(c, there, &a))
		return;
	/* A client's port is one of many, and says nothing. */
	bool port = address_port(&a) || ch->data.mechanism != IPC_MECH_socket_other;
	address_text(&a, port && !(so->state & IPC_SOCKET_ACCEPTED || ch->served), comm, size);
	if ((!socket_is_ip(ch) && !socket_is_other(ch)) || address_group(&a) || address_of_host(&a))
		return;
	if (!address_get(c, so->local, &own) || !address_same_host(&a, &own))
		p->coverage = "remote";
}

/* The row of such a process, made once; `comm` need not last. */
static uint32_t row_of(struct collector *c, struct store_process p, uint64_t time)
{
	const char *comm = p.comm;
	void **place = table_put(&c->outsides, table_hash(p.pid, table_hash_text(comm, strlen(comm))));
	if (!place)
		return 0;
	for (struct outside *o = *place; o; o = o->next)
		if (o->data.pid == p.pid && !strcmp(o->data.comm, comm) &&
		    !strcmp(o->data.coverage, p.coverage))
			return o->data.id;
	struct outside *o = collector_new(c, sizeof(*o));
	if (!o)
		return 0;
	p.id = ++c->rows[ROW_PROCESS];
	p.comm = collector_text(c, comm, strlen(comm));
	p.start_ns = time;
	*o = (struct outside){ .data = p, .next = *place };
	*place = o;
	store_process(c->store, &o->data);
	return o->data.id;
}

/* At the other end of a socket: true where it is in the trace, but which socket it had is not known. */
static bool is_known(struct collector *c, const struct channel *ch, const struct process *here, uint32_t *id)
{
	const struct socket *so = ch->socket;
	bool accepted = so->state & IPC_SOCKET_ACCEPTED && ch->data.mechanism != IPC_MECH_unix_dgram;
	const struct life *l =
		so->peer_pid > 0 && !socket_is_ip(ch) ? life_of(c, here->source, so->peer_pid) : NULL;
	if (!l || !l->latest || so->peer_comm)
		return false;
	*id = accepted ? l->latest->data.id : 0;
	return true;
}

static uint32_t process_of(struct collector *c, const struct channel *ch, const struct process *here,
			   uint64_t time)
{
	uint32_t id;
	char comm[ADDRESS_TEXT_MAX] = "terminal";
	struct store_process p = {
		.uid = STORE_NO_UID,
		.exit_status = -1,
		.source = here->data.source,
		.coverage = "untraced",
		.comm = comm,
	};
	if (ch->socket && is_known(c, ch, here, &id))
		return id;
	if (ch->socket)
		identify(c, ch, &p, comm, sizeof(comm));
	return row_of(c, p, time);
}

uint32_t outside_process(struct collector *c, const struct process *here, int32_t pid, const char *comm,
			 uint64_t time)
{
	const struct store_process p = {
		.pid = pid,
		.comm = comm,
		.uid = STORE_NO_UID,
		.exit_status = -1,
		.source = here->data.source,
		.coverage = "untraced",
	};
	return row_of(c, p, time);
}

static void write_edge(struct collector *c, const struct channel *ch, const struct endpoint *ep, uint32_t src,
		       uint32_t dst, uint64_t messages, uint64_t bytes)
{
	const struct store_endpoint *row = &ep->shared->data;
	struct store_edge e = {
		.src_id = src,
		.dst_id = dst,
		.channel_id = ch->shared->data.id,
		.messages = messages,
		.bytes = bytes,
		.first_ns = row->first_ns,
		.last_ns = row->last_ns,
		.exact = true,
		.partial = ch->shared->data.partial,
	};
	if (messages && src && dst)
		store_edge(c->store, &e);
}

void outside_edge(struct collector *c, const struct endpoint *to, int32_t pid, const char *comm,
		  uint64_t messages, uint64_t bytes)
{
	uint32_t id = outside_process(c, to->process, pid, comm, to->shared->data.first_ns);
	write_edge(c, to->channel, to, id, to->process->data.id, messages, bytes);
}

/* An end of the channel itself, or of what goes beside it. */
static void write_end(struct collector *c, const struct channel *ch, const struct endpoint *ep)
{
	const struct store_endpoint *row = &ep->shared->data;
	bool inbox = socket_has_inbox(ch);
	/* What was sent to a socket of the trace that never took it, or was never accepted, went nowhere. */
	bool nowhere = ep->client || (ch->known_there && !row->receives);
	uint64_t sends = nowhere ? 0 : row->sends;
	uint64_t receives = inbox ? ep->outside : row->receives;
	if (!sends && !receives)
		return;
	uint32_t id = process_of(c, ch, ep->process, row->first_ns);
	write_edge(c, ep->channel, ep, ep->process->data.id, id, sends, row->bytes_sent);
	write_edge(c, ep->channel, ep, id, ep->process->data.id, receives,
		   inbox ? ep->outside_bytes : row->bytes_received);
}

void outside_write(struct collector *c, struct channel *ch)
{
	for (const struct endpoint *ep = ch->endpoints; ep; ep = ep->next_of_channel)
		write_end(c, ch, ep);
	for (const struct endpoint *ep = ch->passing ? ch->passing->endpoints : NULL; ep;
	     ep = ep->next_of_channel)
		write_end(c, ch, ep);
}
