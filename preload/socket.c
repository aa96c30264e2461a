// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sockets: the kernel is asked for everything, the program's own words are taken only where the kernel does
 * not tell any more (a connection that was reset before it was accepted) or not yet (a connect under way).
 *
 * Who is at the other end of a UNIX socket only sock_diag knows. It is asked right after the accept: later
 * the client may have closed. The descriptor for that lives for these few microseconds.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "socket.h"
#include "transient.h"

enum {
	NETNS_COOKIE = 71, /* SO_NETNS_COOKIE, Linux 5.14 */
	TOLD = 64,	   /* addresses remembered as defined */
};

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

struct address {
	uint32_t length; /* 0: none */
	uint8_t bytes[IPC_ADDRESS_MAX];
};

/* Returns -1 where there is none. */
static int option(long fd, int name)
{
	int value = -1;
	uint32_t size = sizeof(value);
	return raw_syscall(__NR_getsockopt, fd, SOL_SOCKET, name, &value, &size) ? -1 : value;
}

enum ipc_mechanism socket_mechanism(long fd)
{
	int domain = option(fd, SO_DOMAIN), type = option(fd, SO_TYPE);
	if (domain == AF_UNIX)
		return type == SOCK_STREAM  ? IPC_MECH_unix_stream
		       : type == SOCK_DGRAM ? IPC_MECH_unix_dgram
					    : IPC_MECH_unix_seqpacket;
	if (domain != AF_INET && domain != AF_INET6)
		return domain == AF_NETLINK ? IPC_MECH_netlink : IPC_MECH_socket_other;
	int protocol = option(fd, SO_PROTOCOL);
	if (type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
		return IPC_MECH_tcp;
	return type == SOCK_DGRAM && protocol == IPPROTO_UDP ? IPC_MECH_udp : IPC_MECH_socket_other;
}

static void copy_address(struct address *a, const void *from, uint32_t length)
{
	a->length = length < IPC_ADDRESS_MAX ? length : IPC_ADDRESS_MAX;
	for (uint32_t i = 0; i < a->length; i++)
		a->bytes[i] = ((const uint8_t *)from)[i];
}

/* Of getsockname or getpeername. */
static void ask_address(struct address *a, long nr, long fd)
{
	a->length = IPC_ADDRESS_MAX;
	if (raw_syscall(nr, fd, a->bytes, &a->length))
		a->length = 0;
	else if (a->length > IPC_ADDRESS_MAX) /* a path without its NUL */
		a->length = IPC_ADDRESS_MAX;
}

bool socket_is_unbound(long fd)
{
	struct address a;
	ask_address(&a, __NR_getsockname, fd);
	if (a.length >= 8 && a.bytes[0] == AF_NETLINK)
		return !a.bytes[4] && !a.bytes[5] && !a.bytes[6] && !a.bytes[7];
	return a.length >= 4 && !a.bytes[2] && !a.bytes[3];
}

/* The inode of the UNIX socket at the other end of this one, or 0. */
static uint64_t ask_peer(uint64_t inode)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req request;
	} question = {
		.head = { .nlmsg_len = sizeof(question),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST },
		.request = { .sdiag_family = AF_UNIX,
			     .udiag_states = UINT32_MAX,
			     .udiag_ino = (uint32_t)inode,
			     .udiag_show = UDIAG_SHOW_PEER,
			     .udiag_cookie = { UINT32_MAX, UINT32_MAX } },
	};
	_Alignas(struct nlmsghdr) char answer[256];
	const struct nlmsghdr *head = (const void *)answer;
	uint64_t mask;
	long fd = transient_diag(&mask), n = -1;
	if (fd >= 0 &&
	    raw_syscall(__NR_sendto, fd, &question, sizeof(question), 0, NULL, 0) == (long)sizeof(question))
		n = raw_syscall(__NR_recvfrom, fd, answer, sizeof(answer), MSG_DONTWAIT, NULL, NULL);
	transient_close(fd, mask);
	if (n < (long)NLMSG_LENGTH(sizeof(struct unix_diag_msg)) || head->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return 0;
	const struct rtattr *a = (const void *)(answer + NLMSG_SPACE(sizeof(struct unix_diag_msg)));
	for (n -= NLMSG_SPACE(sizeof(struct unix_diag_msg)); RTA_OK(a, n); a = RTA_NEXT(a, n))
		if (a->rta_type == UNIX_DIAG_PEER)
			return *(const uint32_t *)RTA_DATA(a);
	return 0;
}

/* The other side of a stream is not known to the kernel before it is accepted, that of datagrams is. */
static bool has_peer(uint64_t object, const struct socket_origin *o, const struct address *remote)
{
	bool waits = o->state & IPC_SOCKET_CONNECTED && ipc_object_mechanism(object) != IPC_MECH_unix_dgram;
	return remote->length && !waits && !shim.no_diag;
}

static void describe_unix(struct ipc_def_socket *s, long fd, const struct socket_origin *o,
			  const struct address *remote)
{
	struct ucred who = { 0 };
	uint32_t size = sizeof(who);
	if (!raw_syscall(__NR_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
		s->peer_pid = who.pid;
	s->peer = o->peer;
	if (!s->peer && has_peer(s->object, o, remote))
		s->peer = ask_peer(ipc_object_id(s->object));
}

static char *put_address(char *at, const struct address *a)
{
	*at++ = (char)a->length;
	for (uint32_t i = 0; i < a->length; i++)
		*at++ = (char)a->bytes[i];
	return at;
}

void socket_define(struct shim_thread *t, long fd, uint64_t object, const struct socket_origin *o)
{
	struct address local, remote;
	char text[2 * (1 + IPC_ADDRESS_MAX)];
	struct ipc_def def = { .thread = shim_number(t), .call = IPC_DEF_SOCKET };
	uint32_t size = sizeof(def.socket.netns);
	ask_address(&local, __NR_getsockname, fd);
	ask_address(&remote, __NR_getpeername, fd);
	if (!remote.length && o->name)
		copy_address(&remote, o->name, o->length);
	def.socket.object = object;
	def.socket.listener = o->listener;
	def.socket.state = o->state;
	if (!o->state && option(fd, SO_ACCEPTCONN) == 1)
		def.socket.state = IPC_SOCKET_LISTENS;
	raw_syscall(__NR_getsockopt, fd, SOL_SOCKET, NETNS_COOKIE, &def.socket.netns, &size);
	unsigned int mechanism = ipc_object_mechanism(object);
	if (socket_needs_kind(object))
		def.socket.peer =
			ipc_socket_kind((uint32_t)option(fd, SO_DOMAIN), (uint32_t)option(fd, SO_TYPE),
					(uint32_t)option(fd, SO_PROTOCOL));
	else if (mechanism != IPC_MECH_tcp && mechanism != IPC_MECH_udp)
		describe_unix(&def.socket, fd, o, &remote);
	def.time = shim_now();
	char *end = put_address(put_address(text, &local), &remote);
	shim_define(t, &def, text, (size_t)(end - text));
}

uint64_t socket_address(struct shim_thread *t, const void *name, uint32_t length)
{
	static uint64_t told[TOLD];
	struct address a = { 0 };
	copy_address(&a, name, length);
	uint64_t address = ipc_address(a.bytes, a.length), *place = &told[address % TOLD];
	if (!ipc_address_is_hash(address) || *place == address)
		return address;
	struct ipc_def def = { .time = shim_now(), .thread = shim_number(t), .call = IPC_DEF_ADDRESS };
	def.address.address = address;
	if (shim_define(t, &def, (const char *)a.bytes, a.length))
		*place = address;
	return address;
}
