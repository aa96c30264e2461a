// SPDX-License-Identifier: BSD-2-Clause
/*
 * Definitions into rows: threads, images, losses. A definition may come after events that use it, and a
 * thread's before its image's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kind.h"
#include "tables.h"

struct thread *join_thread_of(struct collector *c, enum collector_source source, uint32_t number)
{
	void **place = table_put(&c->threads, source_key(source, number));
	if (!place)
		return NULL;
	if (!*place) {
		struct thread *t = collector_new(c, sizeof(*t));
		if (t) {
			t->source = source;
			t->queue.parked = true;
		}
		*place = t;
	}
	return *place;
}

/* Threads. */

/* The definition of the main thread: it takes the place of what stood for it. */
static void adopt_main(struct process *p, struct thread *t)
{
	struct thread **link = &p->threads;
	t->data = p->main->data;
	t->row.kind = ROW_THREAD;
	p->main->row.kind = ROW_KINDS; /* has no row any more */
	while (*link != p->main)
		link = &(*link)->next;
	t->next = p->main->next;
	*link = t;
	p->main = t;
	p->main_defined = true;
}

static void several_threads(struct process *p)
{
	for (struct endpoint *ep = p->endpoints; ep; ep = ep->next_of_process) {
		ep->channel->loose = true;
		channel_parties(ep->channel);
	}
}

void join_concurrent(struct process *p)
{
	if (p->thread_count > 1)
		return;
	p->thread_count = 2;
	several_threads(p);
}

static void define_thread(struct collector *c, struct thread *t, struct process *p)
{
	int32_t tid = t->data.tid;
	const char *name = t->data.name;
	if (p->main && !p->main_defined && tid == p->data.pid)
		adopt_main(p, t);
	else
		thread_add(c, t, p, tid, t->data.start_ns);
	t->process = p;
	t->data.name = name;
	collector_dirty(c, &t->row);
	if (++p->thread_count == 2)
		several_threads(p);
	if (order_unpark(&c->order, &t->queue))
		c->error = -ENOMEM;
}

void join_thread(struct collector *c, enum collector_source source, const struct ipc_def *d)
{
	struct thread *t = d->thread ? join_thread_of(c, source, d->thread) : NULL;
	if (!t || t->process || t->waits_for || !d->thread_def.image) {
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, d->time);
		return;
	}
	t->data.tid = d->thread_def.tid;
	t->data.start_ns = d->time;
	size_t length = strnlen(d->thread_def.name, sizeof(d->thread_def.name));
	t->data.name = length ? collector_text(c, d->thread_def.name, length) : NULL;
	struct process *p = image_of(c, d->thread_def.image);
	if (p) {
		define_thread(c, t, p);
		return;
	}
	t->waits_for = d->thread_def.image;
	t->next_waiting = c->waiting;
	c->waiting = t;
}

static void define_waiting(struct collector *c, struct process *p, uint32_t image)
{
	for (struct thread **link = &c->waiting; *link;) {
		struct thread *t = *link;
		if (t->waits_for != image || t->source != p->source) {
			link = &t->next_waiting;
			continue;
		}
		*link = t->next_waiting;
		t->waits_for = 0;
		define_thread(c, t, p);
	}
}

/* Images. */

static void take_texts(struct collector *c, struct process *p, const char *text, size_t length)
{
	const char **field[] = { &p->data.comm, &p->data.exe, &p->data.cgroup, &p->data.cmdline };
	for (unsigned int i = 0; i < 4 && length; i++) {
		size_t n = strnlen(text, length);
		if (n)
			*field[i] = collector_text(c, text, n);
		n += n < length;
		text += n;
		length -= n;
	}
}

/* Its cgroup of the unified hierarchy, where the source does not tell; what it forks inherits it. */
static void take_cgroup(struct collector *c, struct process *p)
{
	char path[32], line[1024];
	snprintf(path, sizeof(path), "/proc/%d/cgroup", p->data.pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "0::", 3))
			p->data.cgroup = collector_text(c, line + 3, strcspn(line + 3, "\n"));
	if (f)
		fclose(f);
}

static struct life *life_of_fork(struct collector *c, enum collector_source source, const struct ipc_def *d)
{
	struct life *l = life_of(c, source, d->image.pid);
	if (l && !l->first && !l->ended)
		return l;
	return life_new(c, source, d->image.pid);
}

struct process *image_of(const struct collector *c, uint32_t number)
{
	return table_get(&c->images, number);
}

static struct process *image_by(const struct collector *c, enum collector_source source, uint32_t number,
				int32_t pid)
{
	struct process *p = number ? image_of(c, number) : NULL;
	if (p)
		return p;
	struct life *l = pid > 0 ? life_of(c, source, pid) : NULL;
	return l ? l->latest : NULL;
}

static struct process *image_of_exec(struct collector *c, enum collector_source source,
				     const struct ipc_def *d, struct process *prev)
{
	struct life *l = prev->life;
	uint64_t began = prev->exec_ns && l->latest == prev ? prev->exec_ns : d->time;
	prev = l->latest; /* may be an untraced image between */
	prev->exec_ns = 0;
	prev->note.reason = IPC_REASON_none;
	process_end(c, prev, began);
	KIND_EACH(executed, c, l, began);
	fd_close_all(c, prev, began);
	if (l->source != source)
		life_hand_over(c, l, source, d->image.pid);
	struct process *p = process_new(c, l, began);
	if (!p)
		return NULL;
	p->data.parent_id = prev->data.parent_id;
	p->data.prev_id = prev->data.id;
	process_inherit(p, prev);
	return p;
}

static struct process *image_of_fork(struct collector *c, enum collector_source source,
				     const struct ipc_def *d, struct process *parent)
{
	struct life *l = d->image.via == IPC_VIA_FORK ? life_of_fork(c, source, d) : NULL;
	if (!l)
		l = life_new(c, source, d->image.pid);
	struct process *p = l ? process_new(c, l, d->time) : NULL;
	uint64_t spawned = d->image.spawn_time; /* its parent entered the call */
	if (p)
		p->forked_ns = spawned && spawned < d->time ? spawned : d->time;
	if (!p || !parent)
		return p;
	l->parent = parent;
	KIND_EACH(forked, c, l);
	p->data.parent_id = parent->data.id;
	if (d->image.via == IPC_VIA_FORK)
		process_inherit(p, parent);
	return p;
}

/* It executes a program that is left out. */
static struct process *image_unselected(struct collector *c, struct process *prev, uint64_t time)
{
	struct life *l = prev->life;
	l->latest->note.reason = IPC_REASON_none; /* it has reported */
	life_exec_unseen(c, l->latest, time);
	return l->latest;
}

static struct process *make_image(struct collector *c, enum collector_source source, const struct ipc_def *d)
{
	bool unselected = d->image.via == IPC_VIA_UNSELECTED;
	if (unselected || d->image.via == IPC_VIA_EXEC) {
		struct process *prev = image_by(c, source, d->image.prev, d->image.pid);
		bool same = prev && (prev->source != source || prev->data.pid == d->image.pid);
		if (same && !prev->life->ended)
			return unselected ? image_unselected(c, prev, d->time)
					  : image_of_exec(c, source, d, prev);
	}
	if (unselected)
		return NULL;
	struct process *parent = image_by(c, source, d->image.parent, d->image.ppid);
	return image_of_fork(c, source, d, parent);
}

void join_image(struct collector *c, enum collector_source source, const struct ipc_def *d, const char *text,
		size_t length)
{
	void **place = d->image.image ? table_put(&c->images, d->image.image) : NULL;
	if (d->image.via > IPC_VIA_UNSELECTED || d->image.pid <= 0 || !place || *place) {
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, d->time);
		return;
	}
	struct process *p = make_image(c, source, d);
	if (!p)
		return;
	*table_put(&c->images, d->image.image) = p;
	p->data.ppid = d->image.ppid;
	p->data.uid = d->image.uid;
	p->data.ns_pid = d->image.ns_pid ? d->image.ns_pid : d->image.pid;
	take_texts(c, p, text, length);
	if (d->image.via == IPC_VIA_START && !p->data.cgroup)
		take_cgroup(c, p);
	life_running(c, p->life, !p->untraced);
	if (d->image.via == IPC_VIA_FORK && !p->life->start.endpoint) {
		life_event(c, p->life, p, &p->life->start, IPC_CALL_start, d->time);
		life_message(c, &p->life->spawn, &p->life->start);
	}
	define_waiting(c, p, d->image.image);
}

/* Losses. */

static const char *basename_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

static void lose_of(struct collector *c, enum collector_source source, struct process *p,
		    const struct note *n)
{
	const char *comm = n->comm ? n->comm : p ? p->data.comm : NULL;
	collector_lose(c, source, n->reason, p, comm, n->count, n->time);
	if (p && !p->untraced && !n->comm && !strcmp(ipc_reasons[n->reason].kind, "not_covered")) {
		p->data.coverage = "partial";
		collector_dirty(c, &p->row);
	}
}

void join_loss(struct collector *c, enum collector_source source, const struct ipc_def *d, const char *text,
	       size_t length)
{
	struct note note = { .reason = d->loss.reason,
			     .count = d->loss.count,
			     .time = d->time,
			     .followed = d->loss.followed };
	if (note.reason == IPC_REASON_none || note.reason >= IPC_REASONS) {
		collector_lose(c, source, IPC_REASON_rejected, NULL, NULL, 1, d->time);
		return;
	}
	size_t n = strnlen(text, length);
	if (n)
		note.comm = basename_of(collector_text(c, text, n));
	struct thread *t = d->thread ? join_thread_of(c, source, d->thread) : NULL;
	struct process *p = t ? t->process : image_by(c, source, 0, d->loss.pid);
	if (!note.comm || !t) {
		lose_of(c, source, p, &note);
		return;
	}
	if (t->note.reason)
		lose_of(c, source, p, &t->note);
	t->note = note;
}

void join_note(struct collector *c, struct thread *t, const struct ipc_event *e)
{
	if (!t->note.reason)
		return;
	if (ipc_calls[e->call].verb == IPC_VERB_exec && e->flags & IPC_F_ENTRY)
		t->process->note = t->note;
	else
		lose_of(c, t->source, t->process, &t->note);
	t->note.reason = IPC_REASON_none;
}
