/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sockets: which of them are channels, and what the kernel's structures say of one (IPC_DEF_SOCKET).
 *
 * A UNIX client that has closed before it was accepted has no inode any more. Its sock lives on as the
 * peer of the server's: the two addresses together, remembered when it connected, find what it was.
 */
#ifndef IPC_BPF_SOCKET_H
#define IPC_BPF_SOCKET_H

#include "name.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct told);
} sockets SEC(".maps");

/* The caller's end of a channel. */
struct end {
	__u64 object;
	__u64 arg0;
	struct sock *sk; /* of a socket, else 0 */
};

static __always_inline _Bool is_socket(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return mechanism >= IPC_MECH_unix_stream && mechanism <= IPC_MECH_netlink;
}

/* Its mechanism does not say what it is. */
static __always_inline _Bool needs_kind(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_socket_other || mechanism == IPC_MECH_netlink;
}

/* It gets its address with its first send. */
static __always_inline _Bool binds_late(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_udp || mechanism == IPC_MECH_netlink;
}

/* Of its events arg1 is what was asked for, and a receive of 0 bytes is its end. */
static __always_inline _Bool is_stream(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return (mechanism <= IPC_MECH_tcp && mechanism != IPC_MECH_unix_dgram) || mechanism == IPC_MECH_pty;
}

static __u32 socket_mechanism(struct sock *sk)
{
	__u32 family = PEEK(sock, sk, __sk_common.skc_family);
	__u32 type = PEEK(sock, sk, sk_type), protocol = PEEK(sock, sk, sk_protocol);

	if (family == AF_UNIX)
		return type == SOCK_STREAM  ? IPC_MECH_unix_stream
		       : type == SOCK_DGRAM ? IPC_MECH_unix_dgram
					    : IPC_MECH_unix_seqpacket;
	if (family != AF_INET && family != AF_INET6)
		return family == AF_NETLINK ? IPC_MECH_netlink : IPC_MECH_socket_other;
	if (type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
		return IPC_MECH_tcp;
	return type == SOCK_DGRAM && protocol == IPPROTO_UDP ? IPC_MECH_udp : IPC_MECH_socket_other;
}

static __always_inline _Bool socket_is_unbound(struct sock *sk)
{
	if (PEEK(sock, sk, __sk_common.skc_family) == AF_NETLINK)
		return PEEK(netlink_sock, sk, portid) == 0;
	return PEEK(inet_sock, sk, inet_sport) == 0;
}

static __u64 socket_inode(struct socket *socket)
{
	return PEEK(socket_alloc, socket, vfs_inode.i_ino);
}

/* Notes what is told of a socket. */
static void socket_note(const struct end *end, struct told *told)
{
	__u64 key = (__u64)end->sk;

	told->inode = ipc_object_id(end->object);
	if (ipc_object_mechanism(end->object) <= IPC_MECH_unix_seqpacket)
		told->peer = (__u64)PEEK(unix_sock, end->sk, peer);
	bpf_map_update_elem(&sockets, &key, told, BPF_ANY);
}

/* There is nothing to tell of it yet. */
static void socket_remember(const struct end *end)
{
	struct told told = {};

	socket_note(end, &told);
}

/* What was noted of the socket itself, not of another one that had its address. */
static const struct told *socket_noted(const struct end *end)
{
	__u64 key = (__u64)end->sk;
	const struct told *told = bpf_map_lookup_elem(&sockets, &key);

	return told && told->inode == ipc_object_id(end->object) ? told : 0;
}

static _Bool socket_is_known(const struct end *end)
{
	const struct told *told = socket_noted(end);

	return told && !told->untold;
}

/*
 * The inode of a UNIX socket's peer, 0: not known (not accepted yet). What was noted of a pair that had the
 * same two addresses before is nothing to a peer that has yet to be accepted: it is not dead.
 */
static __u64 peer_inode(struct sock *sk, struct sock *peer)
{
	struct socket *socket = PEEK(sock, peer, sk_socket);
	__u64 key = (__u64)peer;

	if (socket)
		return socket_inode(socket);
	if (!(PEEK(sock, peer, __sk_common.skc_flags) & 1UL << SOCK_DEAD))
		return 0;
	const struct told *told = bpf_map_lookup_elem(&sockets, &key);
	return told && told->peer == (__u64)sk ? told->inode : 0;
}

/* ---- addresses: a byte with the length, and so many bytes of struct sockaddr ---- */

static __always_inline __u32 append_address(struct scratch *s, __u32 at, const void *address, __u32 length)
{
	at &= 2 * ADDRESS_ROOM - 1;
	length &= ADDRESS_ROOM - 1;
	s->text[at] = length;
	bpf_probe_read_kernel(&s->text[at + 1], length, address);
	return at + 1 + length;
}

static __always_inline __u32 append_unix(struct scratch *s, __u32 at, struct sock *sk)
{
	const __u16 unnamed = AF_UNIX;
	struct unix_address *a = PEEK(unix_sock, sk, addr);

	if (!a)
		return append_address(s, at, &unnamed, sizeof(unnamed));
	__u32 length = PEEK(unix_address, a, len);
	if (length > IPC_ADDRESS_MAX)
		length = IPC_ADDRESS_MAX;
	return append_address(s, at, (void *)a + bpf_core_field_offset(struct unix_address, name), length);
}

static __always_inline __u32 append_ipv4(struct scratch *s, __u32 at, struct sock *sk, _Bool remote)
{
	struct sockaddr_in a = { .sin_family = AF_INET };

	a.sin_port = remote ? PEEK(sock, sk, __sk_common.skc_dport) : PEEK(inet_sock, sk, inet_sport);
	a.sin_addr.s_addr =
		remote ? PEEK(sock, sk, __sk_common.skc_daddr) : PEEK(sock, sk, __sk_common.skc_rcv_saddr);
	return append_address(s, at, &a, sizeof(a));
}

static __always_inline __u32 append_ipv6(struct scratch *s, __u32 at, struct sock *sk, _Bool remote)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 };

	if (!bpf_core_field_exists(struct sock_common, skc_v6_daddr)) /* a kernel without IPv6 */
		return append_address(s, at, 0, 0);
	__u32 offset = remote ? bpf_core_field_offset(struct sock_common, skc_v6_daddr)
			      : bpf_core_field_offset(struct sock_common, skc_v6_rcv_saddr);
	bpf_probe_read_kernel(&a.sin6_addr, sizeof(a.sin6_addr), (void *)sk + offset);
	a.sin6_port = remote ? PEEK(sock, sk, __sk_common.skc_dport) : PEEK(inet_sock, sk, inet_sport);
	if (a.sin6_addr.s6_addr[0] == 0xfe && (a.sin6_addr.s6_addr[1] & 0xc0) == 0x80) /* link-local */
		a.sin6_scope_id = PEEK(sock, sk, __sk_common.skc_bound_dev_if);
	return append_address(s, at, &a, sizeof(a));
}

/* Both return the text's length; `remote`: the socket has another side. */
static __noinline __u32 describe_unix(struct scratch *s, struct sock *sk, _Bool *remote)
{
	struct pid *pid = PEEK(sock, sk, sk_peer_pid);
	struct sock *peer = PEEK(unix_sock, sk, peer);
	__u32 at = append_unix(s, 0, sk);

	if (pid)
		bpf_core_read(&s->def.socket.peer_pid, sizeof(int), &pid->numbers[0].nr);
	*remote = peer;
	if (!peer)
		return append_address(s, at, 0, 0);
	s->def.socket.peer = peer_inode(sk, peer);
	return append_unix(s, at, peer);
}

static __noinline __u32 describe_inet(struct scratch *s, struct sock *sk, _Bool *remote)
{
	_Bool ipv6 = PEEK(sock, sk, __sk_common.skc_family) == AF_INET6;
	__u32 at = ipv6 ? append_ipv6(s, 0, sk, 0) : append_ipv4(s, 0, sk, 0);

	*remote = PEEK(sock, sk, __sk_common.skc_dport);
	if (!*remote)
		return append_address(s, at, 0, 0);
	return ipv6 ? append_ipv6(s, at, sk, 1) : append_ipv4(s, at, sk, 1);
}

static __always_inline __u32 append_netlink(struct scratch *s, __u32 at, __u32 port)
{
	const __u32 a[] = { AF_NETLINK, port, 0 };

	return append_address(s, at, a, sizeof(a));
}

/* Of netlink, and of all that is neither UNIX nor IP: those are told without addresses. */
static __noinline __u32 describe_other(struct scratch *s, struct sock *sk)
{
	__u32 at = 0;

	if (PEEK(sock, sk, __sk_common.skc_family) == AF_NETLINK) {
		at = append_netlink(s, 0, PEEK(netlink_sock, sk, portid));
		return append_netlink(s, at, PEEK(netlink_sock, sk, dst_portid));
	}
	at = append_address(s, 0, 0, 0);
	return append_address(s, at, 0, 0);
}

/* What it is, where its mechanism does not say. */
static __always_inline __u64 kind_of(struct sock *sk)
{
	return ipc_socket_kind(PEEK(sock, sk, __sk_common.skc_family), PEEK(sock, sk, sk_type),
			       PEEK(sock, sk, sk_protocol));
}

/* Tells what is known of a socket now; `state` and `listener` only the call that made or changed it knows. */
SEPARATE int define_socket(const struct end *end, __u32 thread, __u32 state, __u64 listener)
{
	struct scratch *s = scratch_get();
	_Bool remote = 0;

	if (!s || !end)
		return 0;
	const struct told *before = socket_noted(end);
	if (before && before->untold) {
		state |= before->state;
		listener = listener ?: before->listener;
	}
	__builtin_memset(&s->told, 0, sizeof(s->told));
	s->told.listener = listener;
	s->told.state = state;
	struct sock *sk = end->sk;
	__builtin_memset(&s->def, 0, sizeof(s->def));
	__u32 mechanism = ipc_object_mechanism(end->object);
	__u32 family = PEEK(sock, sk, __sk_common.skc_family);
	__u32 text = mechanism <= IPC_MECH_unix_seqpacket      ? describe_unix(s, sk, &remote)
		     : family == AF_INET || family == AF_INET6 ? describe_inet(s, sk, &remote)
							       : describe_other(s, sk);
	if (needs_kind(end->object))
		s->def.socket.peer = kind_of(sk);
	if (state == IPC_SOCKET_CONNECTED && !remote) /* connect took the other side away */
		state = 0;
	if (!state && PEEK(sock, sk, __sk_common.skc_state) == TCP_LISTEN)
		state = IPC_SOCKET_LISTENS;
	s->def.call = IPC_DEF_SOCKET;
	s->def.thread = thread;
	s->def.socket.object = end->object;
	s->def.socket.listener = listener;
	s->def.socket.netns = PEEK(net, PEEK(sock, sk, __sk_common.skc_net.net), net_cookie);
	s->def.socket.state = state;
	socket_note(end, &s->told); /* first: others may be on it at this moment */
	if (define(&s->def, text & (2 * ADDRESS_ROOM - 1)))
		return 0;
	s->told.untold = 1;
	socket_note(end, &s->told);
	return 0;
}

#endif
