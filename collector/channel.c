// SPDX-License-Identifier: BSD-2-Clause
/*
 * Objects, channels, endpoints and the descriptors that hold them open.
 *
 * An object is the kernel's number; a channel is what it stood for at a time. A descriptor is followed from
 * the event that opened it to its close, exec or exit: that tells who may still send (match.h) and when a
 * FIFO's stream starts anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kind.h"
#include "tables.h"

static void set_kind(struct channel *ch)
{
	const struct ipc_mechanism_row *m = &ipc_mechanisms[ch->data.mechanism];
	const struct channel_kind *kind = channel_kinds[ch->data.mechanism];
	bool counter = !strcmp(m->boundary, "counter");
	ch->kind = kind;
	ch->counts = counter || kind->counts;
	ch->is_lock = !strcmp(m->boundary, "lock");
	ch->is_stream = (counter && !kind->transfer_all) || !strcmp(m->matching, "offset");
}

void channel_row(struct collector *c, struct channel *ch)
{
	struct channel *shared = ch->shared;
	if (shared->data.id)
		return;
	collector_row(c, &shared->row, ROW_CHANNEL);
	shared->data.id = c->rows[ROW_CHANNEL];
}

void channel_dirty(struct collector *c, struct channel *ch)
{
	if (ch->shared->data.id)
		collector_dirty(c, &ch->shared->row);
}

struct channel *channel_half(struct collector *c, unsigned int mechanism)
{
	struct channel *ch = collector_new(c, sizeof(*ch));
	if (!ch)
		return NULL;
	ch->data.mechanism = mechanism;
	ch->collector = c;
	ch->number = ++c->channel_count;
	ch->shared = ch->halves = ch;
	set_kind(ch);
	ch->stream.sink = &rollup_sink;
	ch->stream.context = ch;
	ch->next = c->channels;
	ch->link = &c->channels;
	if (ch->next)
		ch->next->link = &ch->next;
	c->channels = ch;
	if (ch->kind->made)
		ch->kind->made(c, ch);
	c->epoch++;
	return ch;
}

struct channel *channel_new(struct collector *c, unsigned int mechanism, const char *key)
{
	struct channel *ch = channel_half(c, mechanism);
	if (!ch)
		return NULL;
	ch->peer = ch;
	ch->data.key = collector_text(c, key, strlen(key));
	if (collector_wants(c, mechanism))
		channel_row(c, ch);
	return ch;
}

static void default_key(uint64_t object, char *key, size_t size)
{
	const struct channel_kind *kind = kind_of(object);
	if (kind->key)
		kind->key(object, key, size);
	else
		snprintf(key, size, "%s:%llx", ipc_mechanisms[ipc_object_mechanism(object)].name,
			 (unsigned long long)ipc_object_id(object));
}

static void defined_key(const struct ipc_def *d, char *key, size_t size)
{
	const struct channel_kind *kind = kind_of(d->object.object);
	if (kind->defined_key)
		kind->defined_key(d, key, size);
	else
		default_key(d->object.object, key, size);
}

static struct channel *of_object(struct collector *c, uint64_t object)
{
	const struct channel_kind *kind = kind_of(object);
	char key[64];
	if (kind->make)
		return kind->make(c, object);
	default_key(object, key, sizeof(key));
	return channel_new(c, ipc_object_mechanism(object), key);
}

struct channel *channel_of(struct collector *c, uint64_t object)
{
	void **place = table_put(&c->objects, object);
	if (!place)
		return NULL;
	if (!*place)
		*place = of_object(c, object);
	return *place;
}

struct channel *channel_known(const struct collector *c, uint64_t object)
{
	return table_get(&c->objects, object);
}

struct channel *channel_for(struct collector *c, const struct process *p, uint64_t object, bool sends)
{
	const struct channel_kind *kind = kind_of(object);
	return kind->find_object ? kind->find_object(c, p, object, sends) : channel_of(c, object);
}

struct channel *channel_at(struct collector *c, const struct ipc_event *e)
{
	struct channel *ch = channel_of(c, e->object);
	if (ch && ch->created && e->result >= 0 && ch->kind->makes && ch->kind->makes(ch, e))
		ch = channel_renew(c, ch, e->object);
	return ch;
}

struct channel *channel_renew(struct collector *c, struct channel *old, uint64_t object)
{
	const struct channel_kind *kind = old->kind;
	if (kind->renew)
		kind->renew(c, object);
	struct channel *ch =
		kind->make ? kind->make(c, object) : channel_new(c, old->data.mechanism, old->data.key);
	void **place = table_put(&c->objects, object);
	if (!ch || !place)
		return old;
	*place = ch;
	return ch;
}

static void set_name(struct collector *c, struct channel *ch, const struct ipc_def *d, const char *text,
		     size_t length)
{
	const struct channel *region = d->object.region ? channel_known(c, d->object.region) : NULL;
	if (region)
		ch->data.name = region->data.name;
	if (ch->kind->name)
		ch->kind->name(c, ch, text, length);
	else if (length)
		ch->data.name = collector_text(c, text, length);
}

/* A file has another number from each source, as only one of them knows when it was born: what the other has
 * defined under the same key is the same. */
static bool other_has_defined(struct collector *c, enum collector_source source, uint64_t object,
			      const char *key)
{
	struct channel *ch = channel_known(c, object);
	if (!ch)
		ch = table_get(&c->defined, table_hash_text(key, strlen(key)));
	if (!ch || !ch->defined || ch->source == source)
		return false;
	void **place = table_put(&c->objects, object);
	if (place)
		*place = ch;
	return true;
}

void channel_define(struct collector *c, enum collector_source source, const struct ipc_def *d,
		    const char *text, size_t length)
{
	uint64_t object = d->object.object;
	unsigned int mechanism = ipc_object_mechanism(object);
	char key[64];
	if (!mechanism || mechanism >= IPC_MECHANISMS || kind_of(object)->make) {
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, d->time);
		return;
	}
	defined_key(d, key, sizeof(key));
	if (other_has_defined(c, source, object, key))
		return;
	struct channel *ch = channel_of(c, object);
	if (ch && ch->generation && d->object.generation && ch->generation != d->object.generation)
		ch = channel_renew(c, ch, object);
	void **place = table_put(&c->defined, table_hash_text(key, strlen(key)));
	if (!ch || !place)
		return;
	*place = ch;
	ch->defined = true;
	ch->source = source;
	ch->generation = d->object.generation;
	ch->data.key = collector_text(c, key, strlen(key));
	if (ch->kind->define)
		ch->kind->define(c, ch, d);
	set_name(c, ch, d, text, strnlen(text, length));
	channel_dirty(c, ch);
}

void channel_partial(struct collector *c, struct channel *ch)
{
	if (ch->shared->data.partial)
		return;
	ch->shared->data.partial = true;
	channel_dirty(c, ch);
	for (struct channel *h = ch->shared->halves; h; h = h->next_half)
		for (struct edge *e = h->edges; e; e = e->next)
			collector_dirty(c, &e->row);
}

void channel_doubt(struct collector *c, struct channel *ch)
{
	ch->stream.doubtful = true;
	if (ch->peer)
		ch->peer->stream.doubtful = true;
	channel_partial(c, ch);
}

static uint64_t alone_since(const struct channel *ch, uint64_t before, uint32_t open)
{
	if (ch->loose || open > 1)
		return MATCH_SEVERAL;
	return before == MATCH_SEVERAL ? ch->collector->now : before;
}

/* Of the stream that `ch` sends into and its peer receives from. */
static void stream_parties(struct channel *ch)
{
	struct match_stream *st = &ch->stream;
	st->one_writer = alone_since(ch, st->one_writer, ch->open_writers);
	st->had_writer |= ch->open_writers > 0;
	if (!ch->peer)
		return;
	st->one_reader = alone_since(ch->peer, st->one_reader, ch->peer->open_readers);
	st->had_reader |= ch->peer->open_readers > 0;
}

/* What the matcher may take for granted about who sends and who receives. */
void channel_parties(struct channel *ch)
{
	stream_parties(ch);
	if (ch->peer && ch->peer != ch)
		stream_parties(ch->peer);
}

/* The process's end of another half of the same channel. */
static struct endpoint *other_end(const struct collector *c, const struct process *p,
				  const struct channel *ch)
{
	for (const struct channel *h = ch->shared->halves; h; h = h->next_half) {
		struct endpoint *ep = h != ch ? endpoint_known(c, p, h) : NULL;
		if (ep)
			return ep->shared;
	}
	return NULL;
}

static void add_endpoint(struct collector *c, struct endpoint *ep, struct process *p, struct channel *ch)
{
	struct endpoint *other = other_end(c, p, ch);
	ep->process = p;
	ep->channel = ch;
	ep->shared = other ? other : ep;
	if (!other) {
		channel_row(c, ch);
		collector_row(c, &ep->row, ROW_ENDPOINT);
		ep->data.id = c->rows[ROW_ENDPOINT];
		ep->data.channel_id = ch->shared->data.id;
		ep->data.process_id = p->data.id;
		ep->data.role = "none";
	}
	ep->next_of_process = p->endpoints;
	ep->link = &p->endpoints;
	if (ep->next_of_process)
		ep->next_of_process->link = &ep->next_of_process;
	p->endpoints = ep;
	ep->next_of_channel = ch->endpoints;
	ch->endpoints = ep;
	if (ch->kind->role)
		ch->kind->role(c, ep);
	if (p->thread_count > 1)
		ch->loose = true;
}

struct endpoint *endpoint_known(const struct collector *c, const struct process *p, const struct channel *ch)
{
	return table_get(&c->endpoints, endpoint_key(p, ch));
}

struct endpoint *endpoint_of(struct collector *c, struct process *p, struct channel *ch)
{
	void **place = table_put(&c->endpoints, endpoint_key(p, ch));
	if (!place)
		return NULL;
	if (*place)
		return *place;
	struct endpoint *ep = collector_wants(c, ch->data.mechanism) ? collector_new(c, sizeof(*ep)) : NULL;
	*place = ep;
	if (ep)
		add_endpoint(c, ep, p, ch);
	return ep;
}

void endpoint_role(struct collector *c, struct endpoint *ep, uint8_t roles)
{
	static const char *const names[] = { "none", "reader", "writer", "both" };
	if ((ep->roles | roles) == ep->roles)
		return;
	ep->roles |= roles;
	if (ep->channel->kind->role)
		return;
	ep->data.role = names[ep->roles];
	collector_dirty(c, &ep->row);
}

static void seen(uint64_t *first, uint64_t *last, uint64_t start, uint64_t end)
{
	if (!*first || start < *first)
		*first = start;
	if (end > *last)
		*last = end;
}

void endpoint_seen(struct collector *c, struct endpoint *ep, uint64_t start, uint64_t end)
{
	struct endpoint *shared = ep->shared;
	struct channel *ch = ep->channel->shared;
	seen(&shared->data.first_ns, &shared->data.last_ns, start, end);
	seen(&ch->data.first_ns, &ch->data.last_ns, start, end);
	collector_dirty(c, &shared->row);
	collector_dirty(c, &ch->row);
}

/* Counts descriptors of an endpoint up or down. An untraced holder may send or receive unseen. */
static void count_fd(struct endpoint *ep, uint8_t roles, int by)
{
	struct channel *ch = ep->channel;
	bool wrote = ep->open_writers, read = ep->open_readers;
	if (roles & ROLE_WRITER)
		ep->open_writers += by;
	if (roles & ROLE_READER)
		ep->open_readers += by;
	ch->open_ends += by;
	if (!ep->process->untraced) {
		ch->open_writers += (ep->open_writers > 0) - wrote;
		ch->open_readers += (ep->open_readers > 0) - read;
	}
	channel_parties(ch);
}

/*
 * An open that was under way when the last end was closed. One that may block returned because the other end
 * was there: the one just closed, so the FIFO was held all the time; unless another open turns out to have
 * been under way too (met_ns). Of one that does not block it cannot be seen which came first.
 */
static void open_over_close(struct channel *ch, const struct ipc_event *e)
{
	uint64_t flags = e->arg0 >> 32;
	if (!match_unread(&ch->stream))
		return;
	if (flags & O_NONBLOCK || (flags & O_ACCMODE) == O_RDWR)
		match_doubt(&ch->stream);
	else
		ch->met_ns = order_end(e);
}

/* The kernel drops what nobody holds open; a FIFO that is opened again is empty. */
static void restart(struct channel *ch, const struct ipc_event *e)
{
	if (e->start < ch->met_ns)
		match_doubt(&ch->stream);
	if (!ch->closed_ns)
		return;
	if (ch->kind->restarts && e->call != IPC_CALL_inherit) {
		if (e->start >= ch->closed_ns)
			match_settle(&ch->stream);
		else
			open_over_close(ch, e);
	}
	ch->settled &= !ch->kind->restarts;
	ch->closed_ns = 0;
}

static struct fd *fd_slot(struct process *p, uint32_t fd)
{
	if (fd >= FD_MAX)
		return NULL;
	if (fd >= p->fd_room) {
		uint32_t room = p->fd_room ? p->fd_room : 16;
		while (room <= fd)
			room *= 2;
		struct fd *fds = realloc(p->fds, room * sizeof(*fds));
		if (!fds)
			return NULL;
		memset(fds + p->fd_room, 0, (room - p->fd_room) * sizeof(*fds));
		p->fds = fds;
		p->fd_room = room;
	}
	return &p->fds[fd];
}

static uint8_t roles_of_flags(uint64_t arg0)
{
	switch (arg0 >> 32 & O_ACCMODE) {
	case O_RDONLY:
		return ROLE_READER;
	case O_WRONLY:
		return ROLE_WRITER;
	default:
		return ROLE_READER | ROLE_WRITER;
	}
}

static void drop(struct collector *c, const struct fd *fd, uint64_t time)
{
	if (!fd->endpoint)
		return;
	struct channel *ch = fd->endpoint->channel;
	count_fd(fd->endpoint, fd->roles, -1);
	if (ch->open_ends)
		return;
	ch->closed_ns = time ? time : 1;
	settle_later(c, ch);
}

static void fd_open(struct collector *c, struct process *p, struct endpoint *ep, const struct ipc_event *e)
{
	struct channel *ch = ep->channel;
	uint8_t roles = ch->counts ? ROLE_READER | ROLE_WRITER : roles_of_flags(e->arg0);
	if (ch->kind->opened)
		ch->kind->opened(c, ep, e);
	if (!ch->counts && !ch->kind->by_deed)
		endpoint_role(c, ep, roles);
	restart(ch, e);
	struct fd *fd = fd_slot(p, (uint32_t)e->arg0);
	if (!fd) {
		ch->loose = true;
		channel_parties(ch);
		return;
	}
	struct fd old = *fd;
	*fd = (struct fd){ ep, roles };
	count_fd(ep, roles, 1);
	drop(c, &old, order_end(e)); /* dup2 closes what it replaces */
}

static void fd_close(struct collector *c, struct process *p, uint32_t number, uint64_t time)
{
	if (number >= p->fd_room)
		return;
	struct fd old = p->fds[number];
	p->fds[number].endpoint = NULL;
	drop(c, &old, time);
}

void fd_event(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct process *p = a->endpoint->process;
	if (a->verb == IPC_VERB_open && e->result >= 0)
		fd_open(c, p, a->endpoint, e);
	else if (a->verb == IPC_VERB_close && e->result != -EBADF)
		fd_close(c, p, (uint32_t)e->arg0, order_end(e));
}

void fd_close_all(struct collector *c, struct process *p, uint64_t time)
{
	for (uint32_t i = 0; i < p->fd_room; i++)
		fd_close(c, p, i, time);
	free(p->fds);
	p->fds = NULL;
	p->fd_room = 0;
}

void fd_hand_over(struct collector *c, struct process *from, struct process *to, uint64_t time)
{
	for (uint32_t i = 0; i < from->fd_room; i++) {
		struct fd old = from->fds[i];
		struct endpoint *ep = old.endpoint ? endpoint_of(c, to, old.endpoint->channel) : NULL;
		struct fd *fd = ep ? fd_slot(to, i) : NULL;
		if (!fd)
			continue;
		*fd = (struct fd){ ep, old.roles };
		endpoint_role(c, ep, old.roles);
		endpoint_seen(c, ep, time, time);
		count_fd(ep, old.roles, 1);
		channel_doubt(c, ep->channel);
	}
	fd_close_all(c, from, time);
}
