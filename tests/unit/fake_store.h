/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store that keeps its rows in memory, for tests of the collector: takes the place of collector/store.c,
 * of which the linker then needs nothing. One at a time. Rows are found by id (fake.events[id]).
 */
#ifndef TEST_FAKE_STORE_H
#define TEST_FAKE_STORE_H

#include <stdlib.h>
#include <string.h>

#include "store.h"

struct fake_link {
	uint64_t send, recv, bytes;
	bool exact;
};

struct fake_payload {
	uint64_t event;
	size_t size;
	uint8_t bytes[64];
};

struct fake_passed {
	uint64_t event;
	uint32_t channel;
};

#define FAKE_ROWS(type, name)                                                                                \
	struct type *name;                                                                                   \
	size_t name##_count, name##_room

struct fake_store {
	FAKE_ROWS(store_process, processes);
	FAKE_ROWS(store_thread, threads);
	FAKE_ROWS(store_channel, channels);
	FAKE_ROWS(store_endpoint, endpoints);
	FAKE_ROWS(store_edge, edges);
	FAKE_ROWS(store_lane, lanes);
	FAKE_ROWS(store_event, events);
	FAKE_ROWS(fake_link, links);
	FAKE_ROWS(store_loss, losses);
	FAKE_ROWS(store_mapping, mappings);
	FAKE_ROWS(store_protocol, protocols);
	FAKE_ROWS(fake_payload, payloads);
	FAKE_ROWS(fake_passed, passed);
	char texts[1 << 16];
	size_t texts_used;
	size_t wakes, aggregated;
	uint64_t pages; /* that were told of */ /* how many events have a waker */
	int64_t size;				/* what store_size() says */
	unsigned int pending; /* what store_pending() says: many, and the collector commits */
};

static struct fake_store fake;

static void *fake_row(void *rows, size_t *room, size_t *count, size_t index, size_t size)
{
	while (index >= *room) {
		size_t old = *room;
		*room = old ? old * 2 : 64;
		rows = realloc(rows, *room * size);
		memset((char *)rows + old * size, 0, (*room - old) * size);
	}
	if (index >= *count) {
		memset((char *)rows + *count * size, 0, (index + 1 - *count) * size);
		*count = index + 1;
	}
	return rows;
}

#define FAKE_AT(name, index)                                                                                 \
	(fake.name =                                                                                         \
		 fake_row(fake.name, &fake.name##_room, &fake.name##_count, (index), sizeof(*fake.name)),    \
	 &fake.name[index])

/* The collector's texts do not outlive it. */
static const char *fake_text(const char *text)
{
	if (!text)
		return NULL;
	char *copy = fake.texts + fake.texts_used;
	size_t size = strlen(text) + 1;
	if (fake.texts_used + size > sizeof(fake.texts))
		return "(too many texts)";
	fake.texts_used += size;
	return memcpy(copy, text, size);
}

/* Forgets all rows, keeps the memory. */
static void fake_reset(void)
{
	fake.processes_count = fake.threads_count = fake.channels_count = fake.endpoints_count = 0;
	fake.texts_used = fake.wakes = fake.aggregated = 0;
	fake.edges_count = fake.lanes_count = fake.events_count = fake.links_count = fake.losses_count = 0;
	fake.mappings_count = fake.protocols_count = fake.payloads_count = fake.passed_count = 0;
	*FAKE_AT(lanes, 0) = (struct store_lane){ 0 };
	*FAKE_AT(events, 0) = (struct store_event){ 0 };
	*FAKE_AT(links, 0) = (struct fake_link){ 0 };
}

static void fake_free(void)
{
	free(fake.processes);
	free(fake.threads);
	free(fake.channels);
	free(fake.endpoints);
	free(fake.edges);
	free(fake.lanes);
	free(fake.events);
	free(fake.links);
	free(fake.losses);
	free(fake.mappings);
	free(fake.protocols);
	free(fake.payloads);
	free(fake.passed);
	memset(&fake, 0, sizeof(fake));
}

int store_open(struct store **out, const char *path, uint64_t start_ns)
{
	(void)path;
	(void)start_ns;
	*out = (struct store *)&fake;
	fake_reset();
	return 0;
}

void store_meta(struct store *s, const char *key, const char *value)
{
	(void)s;
	(void)key;
	(void)value;
}

void store_process(struct store *s, const struct store_process *row)
{
	(void)s;
	struct store_process *p = FAKE_AT(processes, row->id);
	*p = *row;
	p->comm = fake_text(row->comm);
	p->exe = fake_text(row->exe);
	p->cmdline = fake_text(row->cmdline);
	p->cgroup = fake_text(row->cgroup);
}

void store_thread(struct store *s, const struct store_thread *row)
{
	(void)s;
	FAKE_AT(threads, row->id)[0] = *row;
	fake.threads[row->id].name = fake_text(row->name);
}

void store_channel(struct store *s, const struct store_channel *row)
{
	(void)s;
	struct store_channel *c = FAKE_AT(channels, row->id);
	*c = *row;
	c->key = fake_text(row->key);
	c->name = fake_text(row->name);
}

void store_endpoint(struct store *s, const struct store_endpoint *row)
{
	(void)s;
	*FAKE_AT(endpoints, row->id) = *row;
}

void store_edge(struct store *s, const struct store_edge *row)
{
	(void)s;
	size_t i = 0;
	while (i < fake.edges_count &&
	       (fake.edges[i].src_id != row->src_id || fake.edges[i].dst_id != row->dst_id ||
		fake.edges[i].channel_id != row->channel_id))
		i++;
	*FAKE_AT(edges, i) = *row;
}

void store_mapping(struct store *s, const struct store_mapping *row)
{
	(void)s;
	*FAKE_AT(mappings, row->id) = *row;
}

void store_sampled(struct store *s, const struct store_sampled *row)
{
	(void)s;
	fake.pages += row->pages_read + row->pages_written;
}

void store_loss(struct store *s, const struct store_loss *row)
{
	(void)s;
	size_t i = 0;
	while (i < fake.losses_count &&
	       (fake.losses[i].reason != row->reason || fake.losses[i].process_id != row->process_id ||
		strcmp(fake.losses[i].comm ? fake.losses[i].comm : "", row->comm ? row->comm : "")))
		i++;
	*FAKE_AT(losses, i) = *row;
	fake.losses[i].comm = fake_text(row->comm);
}

void store_protocol(struct store *s, const struct store_protocol *row)
{
	(void)s;
	struct store_protocol *p = FAKE_AT(protocols, row->id);
	const char **texts[] = { &p->name, &p->status,	  &p->sender, &p->destination,
				 &p->path, &p->interface, &p->member, &p->signature };
	*p = *row;
	for (unsigned int i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		*texts[i] = fake_text(*texts[i]);
}

void store_protocol_end(struct store *s, uint64_t id, uint64_t last_event, uint64_t bytes)
{
	(void)s;
	fake.protocols[id].last_event = last_event;
	fake.protocols[id].bytes = bytes;
}

void store_protocol_call(struct store *s, uint64_t id, uint64_t call)
{
	(void)s;
	fake.protocols[id].call = call;
}

void store_protocol_channel(struct store *s, uint32_t gone, uint32_t keep, uint64_t first)
{
	(void)s;
	for (size_t i = first; i < fake.protocols_count; i++)
		if (fake.protocols[i].channel_id == gone)
			fake.protocols[i].channel_id = keep;
}

void store_passed(struct store *s, uint64_t event, uint32_t channel)
{
	(void)s;
	size_t i = fake.passed_count;
	*FAKE_AT(passed, i) = (struct fake_passed){ event, channel };
}

void store_passed_channel(struct store *s, uint32_t gone, uint32_t keep, uint64_t first)
{
	(void)s;
	for (size_t i = 0; i < fake.passed_count; i++)
		if (fake.passed[i].event >= first && fake.passed[i].channel == gone)
			fake.passed[i].channel = keep;
}

void store_payload(struct store *s, uint64_t event, const void *bytes, size_t size)
{
	(void)s;
	size_t i = fake.payloads_count;
	struct fake_payload *p = FAKE_AT(payloads, i);
	*p = (struct fake_payload){ .event = event, .size = size };
	memcpy(p->bytes, bytes, size < sizeof(p->bytes) ? size : sizeof(p->bytes));
}

void store_channel_gone(struct store *s, uint32_t id)
{
	(void)s;
	*FAKE_AT(channels, id) = (struct store_channel){ 0 };
}

void store_endpoint_gone(struct store *s, uint32_t id)
{
	(void)s;
	*FAKE_AT(endpoints, id) = (struct store_endpoint){ 0 };
}

void store_wake(struct store *s, uint64_t event, uint32_t process, enum store_seen seen)
{
	(void)s, (void)seen;
	fake.wakes += event && process;
}

void store_aggregate(struct store *s, const struct store_aggregate *row)
{
	(void)s;
	if (!row->process_id || row->min_ns > row->max_ns)
		abort();
	fake.aggregated += row->calls;
}

void store_aggregate_endpoint(struct store *s, uint32_t endpoint, uint32_t now)
{
	(void)s, (void)endpoint, (void)now;
}

void store_lane_endpoint(struct store *s, uint32_t lane, uint32_t endpoint)
{
	(void)s;
	FAKE_AT(lanes, lane)->endpoint_id = endpoint;
}

uint32_t store_lane(struct store *s, const struct store_lane *row)
{
	(void)s;
	uint32_t id = fake.lanes_count;
	*FAKE_AT(lanes, id) = *row;
	return id;
}

uint64_t store_event(struct store *s, const struct store_event *row, bool linkable)
{
	(void)s;
	(void)linkable;
	uint64_t id = fake.events_count;
	*FAKE_AT(events, id) = *row;
	return id;
}

uint64_t store_link(struct store *s, uint64_t send, uint64_t recv, uint64_t bytes, bool exact)
{
	(void)s;
	uint64_t id = fake.links_count;
	*FAKE_AT(links, id) = (struct fake_link){ send, recv, bytes, exact };
	return id;
}

void store_doubt(struct store *s, uint64_t send, uint64_t link)
{
	(void)s;
	if (fake.links[link].send != send)
		abort();
	fake.links[link].exact = false;
}

void store_unwritten(struct store *s, uint64_t end_ns)
{
	(void)s;
	(void)end_ns;
}

void store_doubt_channels(struct store *s, const uint32_t *channels, unsigned int n)
{
	(void)s;
	for (size_t i = 1; i < fake.links_count; i++) {
		const struct store_lane *lane = &fake.lanes[fake.events[fake.links[i].send].lane];
		for (unsigned int k = 0; k < n; k++)
			if (fake.endpoints[lane->endpoint_id].channel_id == channels[k])
				fake.links[i].exact = false;
	}
}

int64_t store_size(struct store *s)
{
	(void)s;
	return fake.size;
}

void store_limit(struct store *s, int64_t bytes)
{
	(void)s;
	(void)bytes;
}

unsigned int store_pending(const struct store *s)
{
	(void)s;
	return fake.pending;
}

int store_commit(struct store *s, uint64_t now_ns)
{
	(void)s;
	(void)now_ns;
	return 0;
}

int store_close(struct store *s)
{
	(void)s;
	return 0;
}

#endif
