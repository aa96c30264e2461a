// SPDX-License-Identifier: BSD-2-Clause
/* Addresses of sockets: their text, and what they tell. IPv4 in IPv6 (::ffff:0:0/96) is IPv4 everywhere. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "socket.h"

static unsigned int family(const struct address *a)
{
	return a->length >= 2 ? a->bytes[0] | a->bytes[1] << 8 : 0;
}

static bool is_ipv4(uint64_t number)
{
	return number >> 56 == IPC_ADDRESS_IPV4;
}

uint64_t address_take(struct collector *c, const struct address *a)
{
	uint64_t number = ipc_address(a->bytes, a->length);
	if (!number || is_ipv4(number))
		return number;
	void **place = table_put(&c->addresses, number);
	if (!place || *place)
		return number;
	struct address *copy = collector_new(c, a->length + 1);
	*place = copy;
	if (!copy) {
		table_remove(&c->addresses, number);
		return number;
	}
	memcpy(copy, a, a->length + 1);
	return number;
}

void address_define(struct collector *c, enum collector_source source, const struct ipc_def *d,
		    const uint8_t *text, size_t length)
{
	struct address a = { .length = length <= IPC_ADDRESS_MAX ? length : 0 };
	memcpy(a.bytes, text, a.length);
	if (!d->address.address || ipc_address(a.bytes, a.length) != d->address.address)
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, d->time);
	else
		address_take(c, &a);
}

bool address_get(const struct collector *c, uint64_t number, struct address *a)
{
	*a = (struct address){ 0 };
	if (is_ipv4(number)) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(number & 0xffff) };
		in.sin_addr.s_addr = htonl(number >> 16 & 0xffffffff);
		a->length = sizeof(in);
		memcpy(a->bytes, &in, sizeof(in));
		return true;
	}
	const struct address *known = number ? table_get(&c->addresses, number) : NULL;
	if (known)
		memcpy(a, known, known->length + 1);
	return known;
}

static void unix_text(const struct address *a, char *text, size_t size)
{
	size_t n = 0;
	for (unsigned int i = 2; i < a->length && n + 1 < size; i++) {
		if (!a->bytes[i] && i > 2 && a->bytes[2])
			break; /* a path's end */
		text[n++] = a->bytes[i] ? (char)a->bytes[i] : '@';
	}
	text[n] = 0;
}

void address_text(const struct address *a, bool port, char *text, size_t size)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	bool six = family(a) == AF_INET6;
	text[0] = 0;
	if (family(a) == AF_UNIX) {
		unix_text(a, text, size);
		return;
	}
	if (!six && family(a) != AF_INET)
		return;
	inet_ntop(six ? AF_INET6 : AF_INET, a->bytes + (six ? 8 : 4), ip, sizeof(ip));
	if (port)
		snprintf(text, size, six ? "[%s]:%u" : "%s:%u", ip, address_port(a));
	else
		snprintf(text, size, "%s", ip);
}

unsigned int address_port(const struct address *a)
{
	return family(a) == AF_INET || family(a) == AF_INET6 ? a->bytes[2] << 8 | a->bytes[3] : 0;
}

bool address_any(const struct address *a)
{
	static const uint8_t none[16];
	if (family(a) == AF_INET)
		return !memcmp(a->bytes + 4, none, 4);
	return family(a) == AF_INET6 && !memcmp(a->bytes + 8, none, 16);
}

bool address_loopback(const struct address *a)
{
	if (family(a) == AF_INET)
		return a->bytes[4] == 127;
	return family(a) == AF_INET6 && !memcmp(a->bytes + 8, &in6addr_loopback, 16);
}

bool address_group(const struct address *a)
{
	if (family(a) == AF_INET)
		return a->bytes[4] >> 4 == 14 || !memcmp(a->bytes + 4, "\xff\xff\xff\xff", 4);
	return family(a) == AF_INET6 && a->bytes[8] == 0xff;
}

static bool same_ip(const struct address *a, const struct sockaddr *b)
{
	if (!b || b->sa_family != family(a))
		return false;
	if (b->sa_family == AF_INET)
		return !memcmp(a->bytes + 4, &((const struct sockaddr_in *)b)->sin_addr, 4);
	return b->sa_family == AF_INET6 &&
	       !memcmp(a->bytes + 8, &((const struct sockaddr_in6 *)b)->sin6_addr, 16);
}

bool address_of_host(const struct address *a)
{
	static struct ifaddrs *list; /* as they were when first asked for */
	bool found = address_loopback(a);
	if (found || (!list && getifaddrs(&list)))
		return found;
	for (struct ifaddrs *i = list; i && !found; i = i->ifa_next)
		found = same_ip(a, i->ifa_addr);
	return found;
}

bool address_same_host(const struct address *a, const struct address *b)
{
	unsigned int at = family(a) == AF_INET6 ? 8 : 4;
	return family(a) == family(b) && !memcmp(a->bytes + at, b->bytes + at, at == 8 ? 16 : 4);
}

int address_compare(const struct address *a, const struct address *b)
{
	unsigned int at = family(a) == AF_INET6 ? 8 : 4, size = at == 8 ? 16 : 4;
	if (family(a) != family(b))
		return (int)family(a) - (int)family(b);
	int order = memcmp(a->bytes + at, b->bytes + at, size);
	return order ? order : memcmp(a->bytes + 2, b->bytes + 2, 2);
}
