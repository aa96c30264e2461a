/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records that no source would write, through the whole collector. Each 16 bytes of input make one record, or
 * a step of the collector; small numbers are made of them so that records meet in the same threads and
 * objects.
 */
#ifndef FUZZ_RECORDS_H
#define FUZZ_RECORDS_H

#include <string.h>

#include "collector.h"
#include "tables.h"

struct order {
	uint8_t kind, thread, object, call;
	uint16_t start, duration, flags, arg;
	int16_t result;
	uint16_t text;
};

static uint64_t object_of(uint8_t object)
{
	return ipc_object(object >> 4 ? object >> 4 : object & 3, object & 7);
}

/* Of a semaphore, a lock, ..., or of what is none. */
static uint64_t sync_object_of(uint8_t object)
{
	return ipc_object(IPC_MECH_posix_sem + (object >> 4) % 7, object & 7);
}

/* One of a few. */
static unsigned int make_address(uint8_t *bytes, unsigned int which)
{
	static const uint8_t some[4][28] = {
		{ 2, 0, 0, 53, 127, 0, 0, 1 },
		{ 2, 0, 0, 53 },
		{ 10, 0, 0, 80, [23] = 1 },
		{ 1, 0, 0, 'x', 'y' },
	};
	static const uint8_t length[4] = { 16, 16, 28, 5 };
	memset(bytes, 0, IPC_ADDRESS_MAX);
	memcpy(bytes, some[which & 3], sizeof(some[0]));
	if ((which & 3) < 3)
		bytes[3] = bytes[3] + (which >> 2 & 3);
	return which & 16 ? 0 : length[which & 3];
}

static uint64_t address_of(unsigned int which)
{
	uint8_t bytes[IPC_ADDRESS_MAX];
	unsigned int length = make_address(bytes, which);
	return ipc_address(bytes, length);
}

/* Many near one another, and all of them far enough apart for what is closed to be given up. */
static uint64_t time_of(const struct order *o)
{
	return 1000000000 + (o->start >> 12) * 1500000000ULL + (o->start & 0xfff) * 1000ULL;
}

static bool has_address(uint64_t object)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_udp || mechanism == IPC_MECH_unix_dgram;
}

static uint16_t call_of(const struct order *o)
{
	static const uint16_t usual[] = { IPC_CALL_sendto, IPC_CALL_recvfrom, IPC_CALL_socket,
					  IPC_CALL_close };
	if (o->kind & 8)
		return usual[o->call & 3];
	return o->call & 128 ? o->call : o->call % IPC_CALLS;
}

static void make_event(struct ipc_event *e, const struct order *o)
{
	*e = (struct ipc_event){
		.start = time_of(o),
		.duration = o->duration,
		.object = object_of(o->object),
		.result = o->result,
		.arg0 = ipc_arg0(o->arg & 15, o->arg >> 4),
		.tag = o->arg & 3,
		.thread = o->thread & 7,
		.call = call_of(o),
		.flags = o->flags,
		.seq = 1,
	};
	e->arg1 = has_address(e->object) ? address_of(o->arg >> 8) : o->arg >> 8 & 3;
}

static void make_socket(struct ipc_event *slots, const struct order *o)
{
	struct ipc_def *d = (void *)slots;
	uint8_t *text = (uint8_t *)(slots + 1);
	d->socket = (struct ipc_def_socket){
		.object = object_of(o->object),
		.peer = o->arg & 15,
		.listener = o->arg >> 4 & 3,
		.netns = o->arg >> 6 & 3,
		.peer_pid = o->result & 7,
		.state = o->flags & 15,
	};
	if (o->flags & 16)
		return; /* its text makes no sense */
	text[0] = (uint8_t)make_address(text + 1, o->flags >> 8);
	uint8_t *other = text + 1 + text[0];
	other[0] = (uint8_t)make_address(other + 1, o->result >> 8);
	d->text = 2 + text[0] + other[0];
}

static void make_definition(struct ipc_event *slots, const struct order *o)
{
	struct ipc_def *d = (void *)slots;
	memset(d, 0, sizeof(*d));
	d->time = time_of(o);
	d->thread = o->thread & 7;
	d->call = (uint16_t)(IPC_DEF_FIRST + o->call % 8);
	d->text = o->text % 200;
	memset(slots + 1, o->text >> 8, 4 * IPC_SLOT);
	switch (d->call) {
	case IPC_DEF_IMAGE:
		d->image = (struct ipc_def_image){
			o->object & 7, o->arg & 7, o->arg >> 4 & 7, o->result & 7, o->result >> 8 & 7, 0,
			o->flags & 3,  0,	   d->time
		};
		break;
	case IPC_DEF_THREAD:
		d->thread_def.image = o->object & 7;
		d->thread_def.tid = o->result & 7;
		memset(d->thread_def.name, 'x', sizeof(d->thread_def.name));
		break;
	case IPC_DEF_OBJECT:
		d->object =
			(struct ipc_def_object){ object_of(o->object), o->arg & 3, o->flags & 1, 0, 0, 0 };
		break;
	case IPC_DEF_SOCKET:
		make_socket(slots, o);
		break;
	case IPC_DEF_ADDRESS:
		d->text = make_address((uint8_t *)(slots + 1), o->arg);
		d->address.address = address_of(o->arg) + (o->flags == 7);
		break;
	default:
		d->body[0] = o->arg | (uint64_t)(o->result & 7) << 32;
		d->body[1] = o->flags;
	}
}

/* So many that a commit is due, if the store says so. */
static void let_commit(struct collector *c, uint64_t time)
{
	struct ipc_def d = { .time = time, .call = IPC_DEF_GONE, .gone.pid = 99999 };
	for (int i = 0; i < 256; i++)
		collector_record(c, COLLECTOR_SHIM, (const struct ipc_event *)&d);
}

/* What the event moved begins somewhere in a conversation. */
static void tell_payload(struct collector *c, enum collector_source source, const struct ipc_event *e,
			 const struct order *o)
{
	static const char said[] = "GET /a HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
				   "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}\n"
				   "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":0}\n";
	struct ipc_event slots[5] = { 0 };
	struct ipc_def *d = (void *)slots;
	size_t from = o->arg & 4 ? 0 : o->text % (sizeof(said) - 1), length = sizeof(said) - 1 - from;
	d->call = IPC_DEF_PAYLOAD;
	d->time = e->start;
	d->thread = e->thread;
	d->payload.object = e->object;
	d->payload.start = e->start;
	d->text = (uint16_t)(e->result > 0 && (size_t)e->result < length ? (size_t)e->result : length);
	d->payload.tail = o->arg & 8 ? o->text : 0;
	memcpy(slots + 1, said + from, d->text);
	collector_record(c, source, slots);
}

static void take_order(struct collector *c, const struct order *o)
{
	struct ipc_event slots[5];
	enum collector_source source = o->kind >> 7;
	const struct collector_count count = { o->thread & 7,  o->arg & 7,  sync_object_of(o->object),
					       o->start,       o->duration, time_of(o),
					       time_of(o) + 1, o->kind & 16 };
	const struct collector_total total = { .image = o->thread & 7,
					       .call = o->call,
					       .verb = (o->flags & 3) + IPC_VERB_send,
					       .dropped = o->kind & 32,
					       .object = object_of(o->object),
					       .other = o->arg,
					       .calls = o->duration & 0xffff,
					       .moved = o->duration & 0xff,
					       .bytes = o->start,
					       .first_ns = o->start % 4 ? time_of(o) : 0,
					       .last_ns = time_of(o) };
	switch (o->kind & 7) {
	case 0:
		if (o->kind & 8)
			let_commit(c, time_of(o));
		collector_watermark(c, source, time_of(o));
		collector_step(c);
		break;
	case 1:
		if (o->kind & 8) {
			collector_counted(c, source, &count);
			break;
		}
		collector_total(c, source, time_of(o), &total);
		break;
	case 2:
	case 3:
		make_definition(slots, o);
		collector_record(c, source, slots);
		break;
	default:
		make_event(slots, o);
		if (slots->flags & IPC_F_PAYLOAD && o->text & 3)
			tell_payload(c, source, slots, o);
		collector_record(c, source, slots);
	}
}

/* Some that have a process from the start. */
static void begin(struct collector *c)
{
	for (unsigned int i = 1; i <= 3; i++) {
		struct ipc_def d = { .time = 1, .call = IPC_DEF_IMAGE };
		d.image = (struct ipc_def_image){ .image = i, .pid = (int)i, .ppid = (int)i / 2 };
		collector_record(c, COLLECTOR_SHIM, (const struct ipc_event *)&d);
		d = (struct ipc_def){ .time = 1, .call = IPC_DEF_THREAD, .thread = i };
		d.thread_def.image = i;
		d.thread_def.tid = (int)i;
		collector_record(c, COLLECTOR_SHIM, (const struct ipc_event *)&d);
	}
}

/* Returns what collector_close() does. */
static int take_orders(struct collector *c, const uint8_t *data, size_t size)
{
	struct order o;
	if (size && data[0] & 1)
		collector_aggregate(c); /* what is told as events has them all the same */
	begin(c);
	for (; size >= sizeof(o); data += sizeof(o), size -= sizeof(o)) {
		memcpy(&o, data, sizeof(o));
		take_order(c, &o);
	}
	return collector_close(c, 30000000000);
}

#endif
