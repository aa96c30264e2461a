/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets: what the collector knows of one, and how two become a channel. Private to address.c, socket.c,
 * peer.c, packet.c, outside.c, wait.c and those that call them.
 */
#ifndef IPC_SOCKET_H
#define IPC_SOCKET_H

#include "model.h"

enum {
	ADDRESS_TEXT_MAX = 160,
	/* Sends kept until the peer is known: where it may never be, and where it is about to be. */
	SENDS_UNJOINED = 512,
	SENDS_UNJOINED_SOON = 1 << 16,
};

#define JOIN_PATIENCE_NS 1000000000ULL /* a connect or accept returns in less, though it was preempted */

/* A struct sockaddr as the kernel gives it; zeroed behind its end. */
struct address {
	uint8_t length; /* 0: none */
	uint8_t bytes[IPC_ADDRESS_MAX];
};

struct socket {
	/* Of its own; a datagram socket has one more for each other side (flow). NULL: is forgotten. */
	struct channel *half;
	struct channel *flows;
	uint64_t only; /* the other side of all flows that it ever had, 0: none, or several */
	bool several;
	uint64_t object, netns;
	uint64_t local, remote; /* ipc_address(), 0: none */
	uint64_t dest;		/* unix_dgram: object of the socket it is connected to */
	uint64_t connect_start, connect_end;
	uint32_t state;				      /* IPC_SOCKET_* */
	int32_t pid, peer_pid;			      /* who connected; who is at the other end */
	const char *peer_comm;			      /* of a peer_pid outside the trace */
	uint64_t pair_netns, pair_local, pair_remote; /* as entered in collector.pairs */
	struct connects *waits;			      /* connected, waits to be accepted there */
	struct socket *next_waiting;
	uint64_t kind;	/* ipc_socket_kind() of netlink and socket_other, 0: not known */
	uint32_t port;	/* netlink's own */
	bool strangers; /* netlink: talks to others than the kernel that are not in the trace */
	bool any;	/* `local` is a wildcard */
	bool bound;	/* the program chose its address */
	bool guessed;
	struct connects *guess_line; /* it was accepted from there, by guess */
};

static inline bool socket_is(unsigned int mechanism)
{
	return mechanism >= IPC_MECH_unix_stream && mechanism <= IPC_MECH_netlink;
}

static inline bool socket_is_ip(const struct channel *ch)
{
	return ch->data.mechanism == IPC_MECH_tcp || ch->data.mechanism == IPC_MECH_udp;
}

static inline bool socket_is_other(const struct channel *ch)
{
	return ch->data.mechanism == IPC_MECH_netlink || ch->data.mechanism == IPC_MECH_socket_other;
}

/* One channel per socket that receives, whoever sends there (packet.c). */
static inline bool socket_has_inbox(const struct channel *ch)
{
	return ch->data.mechanism == IPC_MECH_unix_dgram || ch->data.mechanism == IPC_MECH_netlink;
}

/* Who is at the other end is in the trace. */
static inline bool socket_is_inside(const struct channel *ch)
{
	return ch->met || (ch->peer && ch->peer->endpoints);
}

/* address.c */
void address_define(struct collector *c, enum collector_source source, const struct ipc_def *d,
		    const uint8_t *text, size_t length);
/* Remembers it; returns its number. */
uint64_t address_take(struct collector *c, const struct address *a);
/* False: what the number stands for is not known. */
bool address_get(const struct collector *c, uint64_t number, struct address *a);
/* As people write it. `port`: with the port. */
void address_text(const struct address *a, bool port, char *text, size_t size);
unsigned int address_port(const struct address *a); /* 0: none, or not of IP */
bool address_any(const struct address *a);
bool address_loopback(const struct address *a);
bool address_group(const struct address *a);   /* multicast or broadcast */
bool address_of_host(const struct address *a); /* one of this machine's own, loopback included */
bool address_same_host(const struct address *a, const struct address *b);
int address_compare(const struct address *a, const struct address *b);

/* socket.c */
void socket_define(struct collector *c, enum collector_source source, const struct ipc_def *d,
		   const uint8_t *text, size_t length);
void socket_role(struct collector *c, struct endpoint *ep);
/* Writes key, name and roles anew from what is known now. */
void socket_describe(struct collector *c, struct channel *ch);
/* The half's own address as far as it is known: through the peer where it is a wildcard. */
uint64_t socket_local(const struct channel *ch);
void socket_forget(struct collector *c, struct channel *ch);
/* The newest socket of the trace that is bound to that address, or, where it is one of this machine, to its
 * port, and was open at `time`; NULL: none. */
struct channel *socket_bound(const struct collector *c, const struct channel *from, uint64_t address,
			     uint64_t time);

/* peer.c */
void peer_find(struct collector *c, struct channel *ch, enum collector_source source,
	       const struct ipc_def *def);
/* The two get one row. False: both have edges of their own already. */
bool peer_share(struct collector *c, struct channel *a, struct channel *b);
void peer_accepted(struct collector *c, const struct thread *t, struct channel *ch,
		   const struct ipc_event *e);
void peer_forget(struct collector *c, struct channel *ch);

/* packet.c: sockets whose messages have boundaries */
struct channel *packet_channel(struct collector *c, struct channel *ch, const struct ipc_event *e,
			       bool sends);
/* Whether a send or receive was of a message, which may be empty. */
bool packet_moves(const struct channel *ch, const struct ipc_event *e);
void packet_transfer(struct collector *c, const struct act *a);
/* Datagrams were sent to this address (0: where the socket is connected to), and nobody looks at each: the
 * flow gets the peer that it has in the trace, if any. */
void packet_meet(struct collector *c, struct channel *flow, uint64_t address);
/* Others know of it no more: its socket, and those whose peer it is. */
void packet_forget(struct collector *c, struct channel *ch);
/* Gives up what has waited for too long or is of endpoints that are gone, and frees the queues that hold
 * nothing then. */
void packet_clean(struct collector *c);
void packet_settle(struct collector *c);
void packet_close(struct collector *c);

/* other.c: netlink, and what has no mechanism of its own */
void other_key(const struct channel *ch, char *key, size_t size);
void other_name(const struct channel *ch, char *text, size_t size); /* empty: not known */
bool other_is_stream(const struct socket *so);
bool other_is_kernel(const struct channel *ch); /* at the other side */
/* A message to or from there: its other side, as long as there is only one. */
void other_meets(struct channel *ch, uint64_t address);
/* A port id among those of all namespaces and protocols, in the form of an address. */
uint64_t other_port(const struct socket *so, uint64_t address);

/* outside.c: what went to and came from sockets that nobody in the trace holds */
/* An edge from a process that is no row of its own: a pid, or 0, and a name. */
void outside_edge(struct collector *c, const struct endpoint *to, int32_t pid, const char *comm,
		  uint64_t messages, uint64_t bytes);
/* All that the channel's ends sent and received went there and came from there. */
void outside_write(struct collector *c, struct channel *ch);
/* The id of the row of an untraced process that `here` knows by this pid and name. */
uint32_t outside_process(struct collector *c, const struct process *here, int32_t pid, const char *comm,
			 uint64_t time);

/* passing.c: the two turned out to be one; what was passed of the one is of the other. */
void passing_merge(struct collector *c, struct channel *keep, const struct channel *gone);

/* wait.c */
struct channel *wait_channel(struct collector *c, const struct process *p, const struct ipc_event *e);
/* Whether it is an epoll_ctl: that is remembered, and no row of the trace: it moves nothing and waits for
 * nothing. */
bool wait_register(struct collector *c, const struct process *p, const struct ipc_event *e);

#endif
