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
	return ipc_object(object & 3 ? object & 3 : object >> 4, object >> 2 & 3);
}

static void make_event(struct ipc_event *e, const struct order *o)
{
	*e = (struct ipc_event){
		.start = 1000000000 + o->start * 1000ULL,
		.duration = o->duration,
		.object = object_of(o->object),
		.result = o->result,
		.arg0 = ipc_arg0(o->arg & 15, o->arg >> 4),
		.arg1 = o->arg,
		.thread = o->thread & 7,
		.call = o->call & 128 ? o->call : o->call % IPC_CALLS,
		.flags = o->flags,
		.seq = 1,
	};
}

static void make_definition(struct ipc_event *slots, const struct order *o)
{
	struct ipc_def *d = (void *)slots;
	memset(d, 0, sizeof(*d));
	d->time = 1000000000 + o->start * 1000ULL;
	d->thread = o->thread & 7;
	d->call = (uint16_t)(IPC_DEF_FIRST + o->call % 6);
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
