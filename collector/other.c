// SPDX-License-Identifier: BSD-2-Clause
/*
 * Netlink sockets, and those of families that have no mechanism of their own: what they are called. They have
 * volume only. The other side of a netlink socket is the kernel, or another one by its port id: those are
 * matched as unix_dgram is.
 */
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "socket.h"

static const char *const protocols[] = {
	[NETLINK_ROUTE] = "route",
	[NETLINK_USERSOCK] = "usersock",
	[NETLINK_FIREWALL] = "firewall",
	[NETLINK_SOCK_DIAG] = "sock_diag",
	[NETLINK_NFLOG] = "nflog",
	[NETLINK_XFRM] = "xfrm",
	[NETLINK_SELINUX] = "selinux",
	[NETLINK_ISCSI] = "iscsi",
	[NETLINK_AUDIT] = "audit",
	[NETLINK_FIB_LOOKUP] = "fib_lookup",
	[NETLINK_CONNECTOR] = "connector",
	[NETLINK_NETFILTER] = "netfilter",
	[NETLINK_IP6_FW] = "ip6_fw",
	[NETLINK_DNRTMSG] = "dnrtmsg",
	[NETLINK_KOBJECT_UEVENT] = "kobject_uevent",
	[NETLINK_GENERIC] = "generic",
	[NETLINK_SCSITRANSPORT] = "scsitransport",
	[NETLINK_ECRYPTFS] = "ecryptfs",
	[NETLINK_RDMA] = "rdma",
	[NETLINK_CRYPTO] = "crypto",
	[NETLINK_SMC] = "smc",
};
enum { PROTOCOLS = sizeof(protocols) / sizeof(protocols[0]) };

static const char *const families[] = {
	[AF_UNSPEC] = "socket", [AF_AX25] = "ax25",	  [AF_PACKET] = "packet",
	[AF_RDS] = "rds",	[AF_TIPC] = "tipc",	  [AF_BLUETOOTH] = "bluetooth",
	[AF_ALG] = "alg",	[AF_NFC] = "nfc",	  [AF_VSOCK] = "vsock",
	[AF_KCM] = "kcm",	[AF_QIPCRTR] = "qipcrtr", [AF_SMC] = "smc",
	[AF_XDP] = "xdp",	[AF_CAN] = "can",
};
enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

static unsigned int family_of(const struct socket *so)
{
	return so->kind >> 48;
}

static uint32_t protocol_of(const struct socket *so)
{
	return (uint32_t)so->kind;
}

bool other_is_stream(const struct socket *so)
{
	return (so->kind >> 32 & 0xffff) == SOCK_STREAM;
}

bool other_is_kernel(const struct channel *ch)
{
	return ch->data.mechanism == IPC_MECH_netlink ? !ch->socket->strangers
						      : family_of(ch->socket) == AF_ALG;
}

void other_meets(struct channel *ch, uint64_t address)
{
	struct socket *so = ch->socket;
	so->several |= ch->other && address && ch->other != address;
	ch->other = so->several ? 0 : address ? address : ch->other;
}

uint64_t other_port(const struct socket *so, uint64_t address)
{
	uint64_t hash = table_hash(table_hash(so->netns, protocol_of(so)), (uint32_t)address);
	return (uint64_t)IPC_ADDRESS_NETLINK << 56 | hash >> 8;
}

static void netlink_name(const struct socket *so, char *text, size_t size)
{
	uint32_t protocol = protocol_of(so);
	if (protocol < PROTOCOLS && protocols[protocol])
		snprintf(text, size, "%s", protocols[protocol]);
	else
		snprintf(text, size, "%u", protocol);
}

void other_key(const struct channel *ch, char *key, size_t size)
{
	const struct socket *so = ch->socket;
	char protocol[32];
	netlink_name(so, protocol, sizeof(protocol));
	if (ch->data.mechanism == IPC_MECH_netlink && so->kind && so->port)
		snprintf(key, size, "netlink:%llu:%s:%u", (unsigned long long)so->netns, protocol, so->port);
	else
		snprintf(key, size, "%s:[%llu]",
			 ch->data.mechanism == IPC_MECH_netlink ? "netlink" : "socket_other",
			 (unsigned long long)ipc_object_id(so->object));
}

static void ip_name(const struct socket *so, char *text, size_t size)
{
	const char *raw = (so->kind >> 32 & 0xffff) == SOCK_RAW ? "raw " : "";
	switch (protocol_of(so)) {
	case IPPROTO_ICMP:
		snprintf(text, size, "%sicmp", raw);
		break;
	case IPPROTO_ICMPV6:
		snprintf(text, size, "%sicmpv6", raw);
		break;
	case IPPROTO_UDPLITE:
		snprintf(text, size, "%sudplite", raw);
		break;
	case IPPROTO_SCTP:
		snprintf(text, size, "%ssctp", raw);
		break;
	default:
		snprintf(text, size, "%sip protocol %u", raw, protocol_of(so));
	}
}

void other_name(const struct channel *ch, char *text, size_t size)
{
	const struct socket *so = ch->socket;
	unsigned int family = family_of(so);
	char protocol[32];
	text[0] = 0;
	if (!so->kind)
		return;
	netlink_name(so, protocol, sizeof(protocol));
	if (family == AF_NETLINK)
		snprintf(text, size, "netlink %s", protocol);
	else if (family == AF_INET || family == AF_INET6)
		ip_name(so, text, size);
	else if (family < FAMILIES && families[family])
		snprintf(text, size, "%s", families[family]);
	else
		snprintf(text, size, "family %u", family);
}
