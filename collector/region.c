// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shared memory: a channel each, without messages. Who could write to it while another could read it is an
 * edge: that is certain, and all that can be known without looking at each access.
 *
 * A mapping counts from the return of the call that made it to the entry of the call that unmaps it: the time
 * in which the program can have used it. Events name no address but the part of the file: two mappings of one
 * part in one process are alike.
 */
#include "kind.h"
#include "sample.h"
#include "tables.h"

enum { PAGE = 4096, READ = 1, WRITE = 2, EXECUTE = 4, MAPPERS_KEPT = 256 };
#define FORGET_AFTER_NS 1000000000ULL

struct mapping {
	struct store_mapping data;
	uint8_t protection;
	struct mapping *next; /* of the endpoint, that are still there */
};

static const char *protection_name(uint8_t protection)
{
	static const char *const names[] = { "none", "r", "w", "rw", "x", "rx", "wx", "rwx" };
	return names[protection & (READ | WRITE | EXECUTE)];
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Whether the endpoint could do this at some time since `since`. */
static bool could(const struct endpoint *ep, uint8_t protection, uint64_t since)
{
	for (const struct mapping *m = ep->mappings; m; m = m->next)
		if (m->protection & protection)
			return true;
	return (protection == READ ? ep->read_until : ep->written_until) > since;
}

static void share(struct collector *c, struct endpoint *writer, struct endpoint *reader, uint64_t since)
{
	struct edge *e = rollup_edge(c, writer, reader->process);
	if (!e)
		return;
	e->data.shares = true;
	if (!e->data.first_ns)
		e->data.first_ns = since;
	collector_dirty(c, &e->row);
}

static bool is_forgotten(const struct collector *c, const struct endpoint *ep)
{
	return c->now > FORGET_AFTER_NS && !could(ep, READ, c->now - FORGET_AFTER_NS) &&
	       !could(ep, WRITE, c->now - FORGET_AFTER_NS);
}

/* Whom the new mapping shares the memory with. What went long ago is forgotten where there is much of it. */
static void meet(struct collector *c, struct endpoint *ep, const struct mapping *m)
{
	uint32_t seen = 0;
	for (struct endpoint **link = &ep->channel->mappers, *other; (other = *link);) {
		if (++seen > MAPPERS_KEPT && is_forgotten(c, other)) {
			*link = other->next_mapper;
			other->is_mapper = false;
			continue;
		}
		link = &other->next_mapper;
		if (other == ep)
			continue;
		if (m->protection & READ && could(other, WRITE, m->data.start_ns))
			share(c, other, ep, m->data.start_ns);
		if (m->protection & WRITE && could(other, READ, m->data.start_ns))
			share(c, ep, other, m->data.start_ns);
	}
}

static void add(struct collector *c, struct endpoint *ep, const struct store_mapping *data,
		uint8_t protection)
{
	struct mapping *m = collector_new(c, sizeof(*m));
	if (!m)
		return;
	*m = (struct mapping){ .data = *data, .protection = protection, .next = ep->mappings };
	m->data.id = ++c->mapping_count;
	m->data.protection = protection_name(protection);
	store_mapping(c->store, &m->data);
	if (!ep->is_mapper) {
		ep->is_mapper = true;
		ep->next_mapper = ep->channel->mappers;
		ep->channel->mappers = ep;
	}
	ep->mappings = m;
	meet(c, ep, m);
}

/* Its edges last until now at least. */
static void extend_edges(struct collector *c, struct endpoint *ep, uint64_t time)
{
	for (struct endpoint *other = ep->channel->mappers; other; other = other->next_mapper) {
		struct edge *edges[] = { rollup_known(c, ep, other->process),
					 rollup_known(c, other, ep->process) };
		for (int i = 0; i < 2 && other->mappings; i++)
			if (edges[i] && time > edges[i]->data.last_ns) {
				edges[i]->data.last_ns = time;
				collector_dirty(c, &edges[i]->row);
			}
	}
}

static void end(struct collector *c, struct endpoint *ep, struct mapping **link, uint64_t time)
{
	struct mapping *m = *link;
	extend_edges(c, ep, time);
	*link = m->next;
	m->data.end_ns = later(time, m->data.start_ns);
	if (m->protection & READ)
		ep->read_until = later(ep->read_until, m->data.end_ns);
	if (m->protection & WRITE)
		ep->written_until = later(ep->written_until, m->data.end_ns);
	store_mapping(c->store, &m->data);
	collector_free(c, m, sizeof(*m));
}

/* The mapping that has the page at `offset`: if there are several the most alike, of this protection (or,
 * `other`, of another), with all of the part, and no larger, and of those the oldest. */
static struct mapping **find(struct endpoint *ep, uint64_t offset, uint64_t bytes, uint8_t protection,
			     bool other)
{
	struct mapping **found = NULL;
	int best = 0;
	for (struct mapping **link = &ep->mappings; *link; link = &(*link)->next) {
		const struct mapping *m = *link;
		uint64_t end = m->data.offset + m->data.bytes;
		int alike = 1 + 4 * ((m->protection == protection) != other) + 2 * (offset + bytes <= end) +
			    (m->data.bytes == bytes);
		if (offset < m->data.offset || offset >= end || alike < best)
			continue;
		best = alike;
		found = link;
	}
	return found;
}

/* What is left in front of the part, or behind it, is a mapping of its own since the same time. */
static void keep_rest(struct collector *c, struct endpoint *ep, const struct mapping *m, uint64_t offset,
		      uint64_t stop)
{
	struct store_mapping rest = m->data;
	rest.offset = offset;
	rest.bytes = stop - offset;
	if (rest.bytes)
		add(c, ep, &rest, m->protection);
}

/* Ends a part of a mapping. */
static void cut(struct collector *c, struct endpoint *ep, struct mapping **link, uint64_t offset,
		uint64_t bytes, uint64_t time)
{
	struct mapping *m = *link;
	uint64_t begin = m->data.offset, stop = begin + m->data.bytes;
	*link = m->next;
	keep_rest(c, ep, m, begin, offset);
	keep_rest(c, ep, m, offset + bytes, stop);
	m->next = ep->mappings;
	ep->mappings = m;
	m->data.offset = offset;
	m->data.bytes = bytes;
	end(c, ep, &ep->mappings, time);
}

static void map(struct collector *c, struct endpoint *ep, const struct ipc_event *e, uint64_t time)
{
	uint8_t protection = (uint8_t)(e->arg0 >> 32);
	const struct store_mapping data = { .channel_id = ep->channel->data.id,
					    .process_id = ep->process->data.id,
					    .start_ns = time,
					    .bytes = e->arg1,
					    .offset = (uint64_t)e->tag * PAGE };
	endpoint_role(c, ep, (protection & READ ? ROLE_READER : 0) | (protection & WRITE ? ROLE_WRITER : 0));
	add(c, ep, &data, protection);
}

/* Ends the part that the event names, of one mapping or, where others have taken from those that it was
 * given, of several. Returns whether there was any. */
static bool cut_part(struct collector *c, struct endpoint *ep, const struct ipc_event *e, uint8_t protection,
		     bool other, uint64_t time)
{
	uint64_t begin = (uint64_t)e->tag * PAGE, offset = begin, stop = begin + e->arg1;
	while (offset < stop) {
		struct mapping **link = find(ep, offset, stop - offset, protection, other);
		if (!link || (other && (*link)->protection == protection))
			break;
		uint64_t end = (*link)->data.offset + (*link)->data.bytes;
		end = end < stop ? end : stop;
		cut(c, ep, link, offset, end - offset, time);
		offset = end;
	}
	return offset > begin;
}

static void unmap(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	/* What mremap moves is there all the time. */
	uint64_t time = e->call == IPC_CALL_mremap ? order_end(e) : e->start;
	cut_part(c, ep, e, (uint8_t)(e->arg0 >> 32), false, time);
}

static void protect(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	uint8_t protection = (uint8_t)(e->arg0 >> 32), old = (uint8_t)(e->arg0 >> 40);
	bool told = old;
	if (told && (uint8_t)(old - 1) == protection)
		return;
	if (cut_part(c, ep, e, told ? (uint8_t)(old - 1) : protection, !told, order_end(e)))
		map(c, ep, e, order_end(e));
}

static bool shm_makes(const struct channel *ch, const struct ipc_event *e)
{
	return e->call == IPC_CALL_shmget && ch->closed_ns && e->start >= ch->closed_ns;
}

/* Something was mapped, unmapped, protected or removed. */
static void region_control(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct endpoint *ep = a->endpoint;
	struct channel *ch = ep->channel;
	if (sample_is(e)) {
		sample_event(c, ep, e);
		return;
	}
	if (e->result < 0 || e->flags & IPC_F_INSIDE || e->arg1 > INT64_MAX)
		return;
	if (a->verb == IPC_VERB_map)
		map(c, ep, e, e->call == IPC_CALL_map_inherit ? ep->process->forked_ns : order_end(e));
	else if (a->verb == IPC_VERB_unmap)
		unmap(c, ep, e);
	else if (e->call == IPC_CALL_mprotect || e->call == IPC_CALL_pkey_mprotect)
		protect(c, ep, e);
	else if (e->call == IPC_CALL_shmget)
		ch->created = true; /* and once it is removed, the id may be used again */
	else if (e->call == IPC_CALL_shmctl_rmid)
		ch->closed_ns = order_end(e);
}

/* It has no mappings any more. */
static void region_image_ended(struct collector *c, struct process *p, uint64_t time)
{
	for (struct endpoint *ep = p->endpoints; ep; ep = ep->next_of_process)
		while (ep->mappings)
			end(c, ep, &ep->mappings, time);
}

#define REGION .control = region_control, .image_ended = region_image_ended

const struct channel_kind sysv_shm_kind = {
	REGION,
	.key = key_id,
	.defined_key = key_sysv,
	.makes = shm_makes,
};

const struct channel_kind region_kind = { REGION, .defined_key = key_file };
