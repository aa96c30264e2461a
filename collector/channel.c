// SPDX-License-Identifier: BSD-2-Clause
/*
 * Objects, channels, endpoints and the descriptors that hold them open.
 *
 * An object is the kernel's number; a channel is what it stood for at a time. A descriptor is followed from
 * the event that opened it to its close, exec or exit: that tells who may still send (match.h) and when a
 * FIFO's stream starts anew.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pty.h"
#include "queue.h"
#include "region.h"
#include "sem.h"
#include "socket.h"
#include "sync.h"
#include "tables.h"
#include "wake.h"

static void set_kind(struct channel *ch)
{
	const struct ipc_mechanism_row *m = &ipc_mechanisms[ch->data.mechanism];
	bool futex = ch->data.mechanism == IPC_MECH_futex;
	ch->counts = futex || !strcmp(m->boundary, "counter");
	ch->is_lock = !strcmp(m->boundary, "lock");
	ch->is_stream =
		(ch->counts && !futex && !sync_is(ch->data.mechanism)) || !strcmp(m->matching, "offset");
	/* Any process may. */
	ch->stream.had_writer = ch->stream.had_reader = ch->data.mechanism == IPC_MECH_sysv_sem;
	ch->is_queue = ch->data.mechanism == IPC_MECH_sysv_msg || ch->data.mechanism == IPC_MECH_posix_mq;
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
	if (mechanism == IPC_MECH_udp) {
		ch->next_udp = c->udp;
		c->udp = ch;
		c->udp_count++;
	}
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
	channel_row(c, ch);
	return ch;
}

static unsigned int sem_number(uint64_t object)
{
	return object >> 32 & (IPC_SEMS_MAX - 1);
}

/* A queue or memory: its id stands in the low half. */
static bool is_sysv(unsigned int mechanism)
{
	return mechanism == IPC_MECH_sysv_msg || mechanism == IPC_MECH_sysv_shm;
}

static void default_key(uint64_t object, char *key, size_t size)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	unsigned long long id = ipc_object_id(object);
	const char *form = "%s:%llx";
	if (mechanism == IPC_MECH_sysv_sem) {
		snprintf(key, size, "%s:%u#%u", ipc_mechanisms[mechanism].name, (uint32_t)id, sem_number(id));
		return;
	}
	if (mechanism == IPC_MECH_timerfd || mechanism == IPC_MECH_inotify) {
		snprintf(key, size, "%s:%llu.%llu", ipc_mechanisms[mechanism].name, id >> IPC_OWN_BITS,
			 id & ((1U << IPC_OWN_BITS) - 1));
		return;
	}
	if (mechanism == IPC_MECH_fd_passing && id & IPC_PASSING_PID) {
		snprintf(key, size, "%s:pid:%u", ipc_mechanisms[mechanism].name, (uint32_t)id);
		return;
	}
	if (mechanism == IPC_MECH_pipe || mechanism == IPC_MECH_io_uring)
		form = "%s:[%llu]";
	else if (mechanism == IPC_MECH_eventfd || mechanism == IPC_MECH_pidfd ||
		 mechanism == IPC_MECH_process_vm || is_sysv(mechanism))
		form = "%s:%llu";
	snprintf(key, size, form, ipc_mechanisms[mechanism].name, is_sysv(mechanism) ? (uint32_t)id : id);
}

static void defined_key(const struct ipc_def *d, char *key, size_t size)
{
	unsigned int mechanism = ipc_object_mechanism(d->object.object);
	const char *name = ipc_mechanisms[mechanism].name;
	unsigned long long inode = d->object.inode, generation = d->object.generation;
	if (mechanism == IPC_MECH_futex)
		snprintf(key, size, "%s:%u:%u:%llu+%llu", name, d->object.dev_major, d->object.dev_minor,
			 inode, generation);
	else if (is_sysv(mechanism))
		snprintf(key, size, "%s:%llu:%llu", name, generation, inode);
	else if (mechanism == IPC_MECH_fifo || mechanism == IPC_MECH_posix_mq ||
		 mechanism == IPC_MECH_file_lock || region_is(mechanism))
		snprintf(key, size, "%s:%u:%u:%llu", name, d->object.dev_major, d->object.dev_minor, inode);
	else if (mechanism == IPC_MECH_sysv_sem)
		snprintf(key, size, "%s:%llu:%llu#%u", name, generation, inode, sem_number(d->object.object));
	else if (sync_is(mechanism) && !d->object.dev_major && !d->object.dev_minor)
		snprintf(key, size, "%s:%llu+%#llx", name, inode, generation); /* private: pid and address */
	else if (sync_is(mechanism))
		snprintf(key, size, "%s:%u:%u:%llu+%llu", name, d->object.dev_major, d->object.dev_minor,
			 inode, generation);
	else
		default_key(d->object.object, key, size);
}

static struct channel *of_object(struct collector *c, uint64_t object)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	if (socket_is(mechanism)) {
		struct channel *ch = channel_half(c, mechanism);
		if (ch)
			socket_new(c, ch, object);
		return ch;
	}
	if (mechanism == IPC_MECH_pty)
		return pty_half(c, object);
	char key[64];
	default_key(object, key, sizeof(key));
	return channel_new(c, mechanism, key);
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

struct channel *channel_renew(struct collector *c, struct channel *old, uint64_t object)
{
	if (old->pty)
		table_remove(&c->objects, object ^ IPC_PTY_MASTER);
	struct channel *ch = old->socket || old->pty ? of_object(c, object)
						     : channel_new(c, old->data.mechanism, old->data.key);
	void **place = table_put(&c->objects, object);
	if (!ch || !place)
		return old;
	*place = ch;
	return ch;
}

void channel_define(struct collector *c, const struct ipc_def *d, const char *text, size_t length)
{
	uint64_t object = d->object.object;
	unsigned int mechanism = ipc_object_mechanism(object);
	if (!mechanism || mechanism >= IPC_MECHANISMS || mechanism == IPC_MECH_process ||
	    mechanism == IPC_MECH_pty || socket_is(mechanism)) {
		collector_lose(c, 0, IPC_REASON_rejected, NULL, NULL, 1, d->time);
		return;
	}
	struct channel *ch = channel_of(c, object);
	if (ch && ch->generation && d->object.generation && ch->generation != d->object.generation)
		ch = channel_renew(c, ch, object);
	if (!ch)
		return;
	ch->generation = d->object.generation;
	char key[64];
	defined_key(d, key, sizeof(key));
	ch->data.key = collector_text(c, key, strlen(key));
	if (ch->is_queue)
		queue_define(c, ch, d);
	if (mechanism == IPC_MECH_sysv_sem)
		sem_define(c, ch, d);
	const struct channel *region = d->object.region ? channel_known(c, d->object.region) : NULL;
	if (region)
		ch->data.name = region->data.name;
	if (mechanism == IPC_MECH_inotify)
		wake_name(c, ch, text, strnlen(text, length));
	else if (strnlen(text, length))
		ch->data.name = collector_text(c, text, strnlen(text, length));
	collector_dirty(c, &ch->row);
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
	if (ch->socket)
		socket_role(c, ep);
	else if (ch->pty)
		pty_role(c, ep);
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
	struct endpoint *ep = collector_new(c, sizeof(*ep));
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
	if (ep->channel->socket || ep->channel->pty)
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
	if (ch->data.mechanism == IPC_MECH_fifo && e->call != IPC_CALL_inherit) {
		if (e->start >= ch->closed_ns)
			match_settle(&ch->stream);
		else
			open_over_close(ch, e);
	}
	ch->settled &= ch->data.mechanism != IPC_MECH_fifo;
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

static void opened(struct channel *ch, const struct ipc_event *e)
{
	bool ring = ch->data.mechanism == IPC_MECH_io_uring;
	if (ring)
		channel_partial(ch->collector, ch); /* what goes through it is not seen */
	if (ch->created ||
	    (!ring && ch->data.mechanism != IPC_MECH_pipe && ch->data.mechanism != IPC_MECH_eventfd))
		return;
	ch->created = e->call == IPC_CALL_pipe || e->call == IPC_CALL_pipe2 || e->call == IPC_CALL_eventfd ||
		      e->call == IPC_CALL_eventfd2 || e->call == IPC_CALL_io_uring_setup;
	if (!ch->created)
		ch->stream.doubtful = true; /* made outside the trace: others may hold it too */
}

void fd_open(struct collector *c, struct process *p, struct endpoint *ep, const struct ipc_event *e)
{
	struct channel *ch = ep->channel;
	bool by_deed = wake_from_kernel(ch) || ch->data.mechanism == IPC_MECH_pidfd;
	uint8_t roles = ch->counts ? ROLE_READER | ROLE_WRITER : roles_of_flags(e->arg0);
	if (ch->socket)
		socket_opened(ch, e);
	else if (by_deed)
		wake_opened(c, ep, e);
	else if (ch->pty)
		pty_opened(ch, e);
	else
		opened(ch, e);
	if (!ch->counts && !by_deed) /* its role is what it does */
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

void fd_close(struct collector *c, struct process *p, uint32_t number, uint64_t time)
{
	if (number >= p->fd_room)
		return;
	struct fd old = p->fds[number];
	p->fds[number].endpoint = NULL;
	drop(c, &old, time);
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
