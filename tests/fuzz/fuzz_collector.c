// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records that no source would write, through the whole collector into a trace file: nothing crashes, and
 * what can be closed is a sound database. Each 16 bytes of input make one record, or a step of the collector;
 * small numbers are made of them so that records meet in the same threads and objects.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector.h"

struct order {
	uint8_t kind, thread, object, call;
	uint16_t start, duration, flags, arg;
	int16_t result;
	uint16_t text;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t object_of(uint8_t object)
{
	return ipc_object(object >> 4 ? object >> 4 & 15 : object & 3, object & 15);
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

static void make_event(struct ipc_event *e, const struct order *o)
{
	*e = (struct ipc_event){
		.start = 1000000000 + o->start * 1000ULL,
		.duration = o->duration,
		.object = object_of(o->object),
		.result = o->result,
		.arg0 = ipc_arg0(o->arg & 15, o->arg >> 4),
		.arg1 = o->flags & IPC_F_OOB ? address_of(o->arg) : o->arg,
		.tag = o->arg & 3,
		.thread = o->thread & 7,
		.call = o->call & 128 ? o->call : o->call % IPC_CALLS,
		.flags = o->flags,
		.seq = 1,
	};
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
	d->time = 1000000000 + o->start * 1000ULL;
	d->thread = o->thread & 7;
	d->call = (uint16_t)(IPC_DEF_FIRST + o->call % 7);
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

static void check(const char *path)
{
	sqlite3 *db;
	if (sqlite3_open(path, &db) ||
	    sqlite3_exec(
		    db,
		    "SELECT count(*) FROM messages; SELECT count(*) FROM edges; SELECT count(*) FROM waits",
		    NULL, NULL, NULL))
		abort();
	sqlite3_close(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_event slots[5];
	struct collector *c;
	struct order o;
	char path[64];

	snprintf(path, sizeof(path), "/dev/shm/fuzz-collector-%d.db", (int)getpid());
	unlink(path);
	if (collector_open(&c, path))
		abort();
	for (; size >= sizeof(o); data += sizeof(o), size -= sizeof(o)) {
		memcpy(&o, data, sizeof(o));
		enum collector_source source = o.kind >> 7;
		if ((o.kind & 7) == 0) {
			collector_watermark(c, source, 1000000000 + o.start * 1000ULL);
			collector_step(c);
		} else if ((o.kind & 7) == 1) {
			collector_overflow(c, source, o.thread & 7, object_of(o.object), o.start, o.duration,
					   o.flags, o.arg);
		} else {
			if (o.kind & 4)
				make_event(slots, &o);
			else
				make_definition(slots, &o);
			collector_record(c, source, slots);
		}
	}
	if (!collector_close(c, 2000000000))
		check(path);
	unlink(path);
	return 0;
}
