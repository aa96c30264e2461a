/* SPDX-License-Identifier: BSD-2-Clause */
/* What holds for every trace, whatever was recorded (fake_store.h has the rows). */
#ifndef TEST_SOUND_H
#define TEST_SOUND_H

#include <stdbool.h>

#include "fake_store.h"

/* A channel has what its endpoints have. */
static inline bool sums_are_sound(void)
{
	uint64_t *bytes = calloc(fake.channels_count + 1, 2 * sizeof(*bytes));
	bool sound = true;
	for (size_t i = 1; i < fake.endpoints_count; i++) {
		const struct store_endpoint *ep = &fake.endpoints[i];
		if (!ep->id)
			continue;
		bytes[2 * (size_t)ep->channel_id] += ep->bytes_sent;
		bytes[2 * (size_t)ep->channel_id + 1] += ep->bytes_received;
	}
	for (size_t i = 1; i < fake.channels_count; i++)
		sound &= bytes[2 * i] == fake.channels[i].bytes_sent &&
			 bytes[2 * i + 1] == fake.channels[i].bytes_received;
	free(bytes);
	return sound;
}

/* A process has one end of a channel, and events are of ends that are there. */
static inline bool ends_are_sound(void)
{
	for (size_t i = 1; i < fake.endpoints_count; i++) {
		const struct store_endpoint *a = &fake.endpoints[i];
		if (a->id && !fake.channels[a->channel_id].id)
			return false;
		for (size_t k = i + 1; a->id && k < fake.endpoints_count; k++) {
			const struct store_endpoint *b = &fake.endpoints[k];
			if (b->id && a->channel_id == b->channel_id && a->process_id == b->process_id)
				return false;
		}
	}
	for (size_t i = 1; i < fake.lanes_count; i++) {
		uint32_t end = fake.lanes[i].endpoint_id;
		if (end && (end >= fake.endpoints_count || !fake.endpoints[end].id))
			return false;
	}
	return true;
}

/* Messages of protocols are of events of the process and channel that they name. */
static inline bool protocols_are_sound(void)
{
	for (size_t i = 1; i < fake.protocols_count; i++) {
		const struct store_protocol *p = &fake.protocols[i];
		if (p->id != i || !p->first_event || p->first_event >= fake.events_count || !p->last_event ||
		    p->last_event >= fake.events_count || p->last_event < p->first_event)
			return false;
		const struct store_lane *lane = &fake.lanes[fake.events[p->first_event].lane];
		const struct store_endpoint *ep = &fake.endpoints[lane->endpoint_id];
		if (ep->channel_id != p->channel_id || ep->process_id != p->process_id)
			return false;
		if (p->call && (p->call >= fake.protocols_count || strcmp(p->kind, "reply") ||
				strcmp(fake.protocols[p->call].kind, "call")))
			return false;
	}
	return true;
}

static inline uint32_t fake_process_of(uint64_t event)
{
	return fake.threads[fake.lanes[fake.events[event].lane].thread_id].process_id;
}

static inline bool is_of_edge(const struct fake_link *l, const struct store_edge *e)
{
	const struct store_lane *lane = &fake.lanes[fake.events[l->send].lane];
	return fake_process_of(l->send) == e->src_id && fake_process_of(l->recv) == e->dst_id &&
	       fake.endpoints[lane->endpoint_id].channel_id == e->channel_id;
}

/* Edges of which latencies are known are the sums of their messages, and no message is without. */
static inline bool edges_are_sound(void)
{
	size_t count = 0;
	for (size_t i = 0; i < fake.edges_count; i++) {
		const struct store_edge *e = &fake.edges[i];
		uint64_t messages = 0, bytes = 0;
		if (!fake.channels[e->channel_id].id)
			return false;
		for (size_t k = 1; e->timed && k < fake.links_count; k++) {
			bool ours = is_of_edge(&fake.links[k], e);
			messages += ours;
			bytes += ours ? fake.links[k].bytes : 0;
		}
		if (e->timed && (messages != e->messages || bytes != e->bytes))
			return false;
		count += messages;
	}
	return count + 1 == fake.links_count;
}

#endif
