// SPDX-License-Identifier: BSD-2-Clause
/*
 * Processes and the lives of pids; the events that begin and end them, into messages.
 *
 * A pid has one life after another, each with a channel `process:PID`: the parent's spawn is received by the
 * child's start, the child's exit by the parent's wait. The child may be seen before its spawn (clone
 * returns late) or never (no source in it); either half then waits for the other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kind.h"
#include "payload.h"

#define EXEC_PATIENCE_NS 1000000000ULL /* for the failure of an exec into a program that will not be seen */

struct life *life_of(const struct collector *c, enum collector_source source, int32_t pid)
{
	struct life *l = table_get(&c->lives, source_key(source, (uint32_t)pid));
	for (int other = 0; other < COLLECTOR_SOURCES && (!l || l->ended); other++) {
		struct life *theirs = table_get(&c->lives, source_key(other, (uint32_t)pid));
		l = theirs && (!l || !theirs->ended) ? theirs : l;
	}
	return l;
}

/* The pid was given to another process: its end was not seen. */
static void end_superseded(struct collector *c, struct life *l)
{
	if (l->first && !l->ended) {
		KIND_EACH(process_ends, c, l, c->now, false);
		life_end(c, l, c->now, STATUS_UNKNOWN);
	}
	life_running(c, l, false);
}

struct life *life_new(struct collector *c, enum collector_source source, int32_t pid)
{
	char key[32];
	void **place = table_put(&c->lives, source_key(source, (uint32_t)pid));
	struct life *l = place ? collector_new(c, sizeof(*l)) : NULL;
	if (!l)
		return NULL;
	if (*place)
		end_superseded(c, *place);
	snprintf(key, sizeof(key), "process:%d", pid);
	l->source = source;
	l->pid = pid;
	l->channel = channel_new(c, IPC_MECH_process, key);
	if (!l->channel)
		return NULL;
	l->channel->life = l;
	l->next = c->all_lives;
	c->all_lives = l;
	*place = l;
	return l;
}

void life_hand_over(struct collector *c, struct life *l, enum collector_source source, int32_t pid)
{
	void **place = table_put(&c->lives, source_key(source, (uint32_t)pid));
	if (place)
		*place = l;
	l->source = source;
}

struct thread *thread_add(struct collector *c, struct thread *t, struct process *p, int32_t tid,
			  uint64_t time)
{
	collector_row(c, &t->row, ROW_THREAD);
	t->data.id = c->rows[ROW_THREAD];
	t->data.process_id = p->data.id;
	t->data.tid = tid;
	t->data.start_ns = time;
	t->source = p->source;
	t->process = p;
	t->next = p->threads;
	p->threads = t;
	return t;
}

/* The row of the main thread exists from the start, so that a start or exit can be its event. */
static void make_main(struct collector *c, struct process *p, uint64_t time)
{
	struct thread *t = collector_new(c, sizeof(*t));
	if (t)
		p->main = thread_add(c, t, p, p->data.pid, time);
}

void thread_end(struct collector *c, struct thread *t, uint64_t time)
{
	payload_forget(c, t, false);
	t->data.end_ns = time;
	free(t->cache);
	t->cache = NULL;
	collector_dirty(c, &t->row);
}

/* Processes. */

struct process *process_new(struct collector *c, struct life *l, uint64_t time)
{
	struct process *p = collector_new(c, sizeof(*p));
	if (!p)
		return NULL;
	collector_row(c, &p->row, ROW_PROCESS);
	p->data.id = c->rows[ROW_PROCESS];
	p->data.pid = l->pid;
	p->data.exit_status = STATUS_UNKNOWN;
	p->data.start_ns = time;
	p->data.source = source_names[l->source];
	p->data.coverage = "full";
	p->source = l->source;
	p->life = l;
	p->next = c->processes;
	c->processes = p;
	l->latest = p;
	if (!l->first)
		l->first = p;
	make_main(c, p, time);
	return p;
}

void process_inherit(struct process *p, const struct process *from)
{
	p->data.comm = from->data.comm;
	p->data.exe = from->data.exe;
	p->data.cmdline = from->data.cmdline;
	p->data.cgroup = from->data.cgroup;
}

/* What is counted as running: processes that a source is in. */
void life_running(struct collector *c, struct life *l, bool running)
{
	c->running += running - l->running;
	l->running = running;
}

void process_end(struct collector *c, struct process *p, uint64_t time)
{
	if (p->data.end_ns)
		return;
	p->data.end_ns = time;
	collector_dirty(c, &p->row);
	KIND_EACH(image_ended, c, p, time);
	for (struct thread *t = p->threads; t; t = t->next)
		if (!t->data.end_ns)
			thread_end(c, t, time);
}

void life_end(struct collector *c, struct life *l, uint64_t time, int32_t status)
{
	l->ended = true;
	life_running(c, l, false);
	l->latest->exec_ns = 0;
	l->latest->data.exit_status = status;
	process_end(c, l->latest, time);
	fd_close_all(c, l->latest, time);
	KIND_EACH(process_ended, c, l, status);
}

/* An image nobody is in: the successor of an exec, or a child that was only spawned and waited for. */
static struct process *untraced_new(struct collector *c, struct life *l, uint64_t time)
{
	struct process *p = process_new(c, l, time);
	if (!p)
		return NULL;
	p->untraced = true;
	p->data.coverage = "untraced";
	life_running(c, l, false);
	return p;
}

struct process *life_unseen(struct collector *c, enum collector_source source, int32_t pid, const char *comm,
			    uint64_t time)
{
	struct life *l = life_new(c, source, pid);
	struct process *p = l ? untraced_new(c, l, time) : NULL;
	if (p)
		p->data.comm = comm;
	return p;
}

/* Whether the note says that the program will not be seen, not only why in case it is not. */
static bool note_is_certain(const struct note *note)
{
	return note->reason != IPC_REASON_none && note->reason != IPC_REASON_no_arena && !note->followed;
}

/* A program, or a child, that is not seen gets the descriptors of `p`: nothing is certain about their
 * channels. */
static void doubt_channels(struct collector *c, struct process *p)
{
	for (uint32_t i = 0; i < p->fd_room; i++) {
		if (!p->fds[i].endpoint)
			continue;
		channel_doubt(c, p->fds[i].endpoint->channel);
	}
}

void life_exec_unseen(struct collector *c, struct process *p, uint64_t time)
{
	struct life *l = p->life;
	if (p->exec_ns)
		time = p->exec_ns;
	struct process *next = untraced_new(c, l, time);
	p->exec_ns = 0;
	if (!next)
		return;
	next->data.parent_id = p->data.parent_id;
	next->data.prev_id = p->data.id;
	next->data.ppid = p->data.ppid;
	next->data.uid = p->data.uid;
	next->data.cgroup = p->data.cgroup;
	next->data.comm = p->note.comm;
	process_end(c, p, time);
	doubt_channels(c, p);
	KIND_EACH(executed, c, l, time);
	fd_hand_over(c, p, next, time);
	if (p->note.reason)
		collector_lose(c, p->source, p->note.reason, next, p->note.comm, p->note.count, p->note.time);
	p->note.reason = IPC_REASON_none;
}

static void settle_exec(struct collector *c, struct life *l)
{
	if (l->latest && l->latest->exec_ns && !l->ended)
		life_exec_unseen(c, l->latest, c->now);
}

void life_settle_execs(struct collector *c, bool all)
{
	for (struct process **link = &c->execs; *link;) {
		struct process *p = *link;
		bool late = c->now > p->exec_ns + EXEC_PATIENCE_NS;
		bool due = note_is_certain(&p->note) ? late || all : late && all;
		if (all && !due)
			p->exec_ns = 0; /* it may have been about to report: as far as we know it runs on */
		if (p->exec_ns && due && p->life->latest == p)
			life_exec_unseen(c, p, c->now);
		if (p->exec_ns && p->life->latest == p) {
			link = &p->next_exec;
		} else {
			p->exec_listed = false;
			*link = p->next_exec;
		}
	}
}

/* A child of which only the spawn was seen, for this reason. */
static void make_placeholder(struct collector *c, struct life *l, enum ipc_reason reason)
{
	struct process *p = untraced_new(c, l, l->spawn_ns);
	if (!p)
		return;
	l->placeholder = true;
	if (l->parent) {
		p->data.parent_id = l->parent->data.id;
		p->data.ppid = l->parent->data.pid;
		p->data.uid = l->parent->data.uid;
		process_inherit(p, l->parent);
	}
	if (!c->alone)
		collector_lose(c, p->source, reason, p, p->data.comm, 1, l->spawn_ns);
}

/* Messages of a life. */

void life_message(struct collector *c, const struct moment *sent, const struct moment *received)
{
	if (!sent->endpoint || !received->endpoint)
		return;
	struct match_message m = {
		.send_event = sent->event,
		.recv_event = received->event,
		.sent = sent->time,
		.received = received->time,
		.src = sent->endpoint,
		.dst = received->endpoint,
		.exact = true,
	};
	rollup_message(c, &m);
	store_link(c->store, m.send_event, m.recv_event, 0, true);
}

static void set_moment(struct collector *c, struct moment *m, struct endpoint *ep, uint64_t event,
		       uint64_t time, uint8_t role)
{
	*m = (struct moment){ event, time, ep };
	if (role == ROLE_WRITER)
		ep->data.sends++;
	else
		ep->data.receives++;
	endpoint_role(c, ep, role);
}

/* An event that no source saw, made for the sake of the message. */
void life_event(struct collector *c, struct life *l, struct process *p, struct moment *m,
		enum ipc_call_id call, uint64_t time)
{
	struct endpoint *ep = endpoint_of(c, p, l->channel);
	bool starts = call == IPC_CALL_start;
	m->time = time;
	if (!ep || !p->main)
		return;
	uint64_t event = event_unseen(c, ep, call, starts ? 0 : IPC_F_NO_START,
				      starts ? IPC_VERB_recv : IPC_VERB_exit, time);
	set_moment(c, m, ep, event, time, starts ? ROLE_READER : ROLE_WRITER);
}

/* The end of a life whose exit no source saw. */
static void end_unseen(struct collector *c, struct life *l, uint64_t time, int32_t status)
{
	settle_exec(c, l);
	struct process *p = l->latest;
	life_event(c, l, p, &l->exit, IPC_CALL_exit_group, time);
	KIND_EACH(process_ends, c, l, time, false);
	life_end(c, l, time, status);
}

bool life_has_ended(struct collector *c, struct life *l, uint64_t time, int32_t status)
{
	if (!l->first)
		make_placeholder(c, l, IPC_REASON_spawn_unseen);
	if (!l->first)
		return false;
	if (!l->ended)
		end_unseen(c, l, time, status);
	if (l->latest->data.exit_status == STATUS_UNKNOWN && status != STATUS_UNKNOWN) {
		l->latest->data.exit_status = status;
		collector_dirty(c, &l->latest->row);
		KIND_EACH(process_ended, c, l, status);
	}
	return true;
}

/* Events. */

static struct channel *life_exec(struct collector *c, struct thread *t, const struct ipc_event *e)
{
	struct process *p = t->process;
	if (!(e->flags & IPC_F_ENTRY)) {
		p->exec_ns = 0;
		p->note.reason = IPC_REASON_none;
		return p->life->channel;
	}
	if (p != p->life->latest || p->life->ended)
		return p->life->channel;
	p->exec_ns = e->start ? e->start : 1;
	if (note_is_certain(&p->note))
		doubt_channels(c, p);
	if (!p->exec_listed) {
		p->exec_listed = true;
		p->next_exec = c->execs;
		c->execs = p;
	}
	return p->life->channel;
}

/* The life that a spawn began: one that was seen first, or a new one. */
static struct channel *life_spawn(struct collector *c, struct process *p, const struct ipc_event *e)
{
	if (e->result <= 0 || e->result > INT32_MAX)
		return NULL;
	struct life *l = life_of(c, p->source, e->result);
	if (!l || l->spawn.endpoint || !l->first || l->first->data.start_ns < e->start)
		l = life_new(c, p->source, e->result);
	if (!l)
		return NULL;
	if (!l->parent)
		l->parent = p;
	l->spawn_ns = order_end(e);
	KIND_EACH(forked, c, l);
	if (!l->first)
		life_running(c, l, true);
	return l->channel;
}

static bool ended(int32_t status)
{
	return (status & 0xff) != 0x7f && status != 0xffff; /* neither stopped nor continued */
}

static struct channel *life_wait(struct collector *c, enum collector_source source, const struct ipc_event *e)
{
	bool named = ipc_object_mechanism(e->object) == IPC_MECH_process;
	uint64_t pid = named ? ipc_object_id(e->object) : (uint64_t)e->result;
	bool reaped = e->result > 0 || (e->call == IPC_CALL_waitid && e->result == 0 && named);
	if (!reaped || !pid || pid > INT32_MAX || !ended((int32_t)e->arg0))
		return NULL;
	struct life *l = life_of(c, source, (int32_t)pid);
	if (!l || l->wait.endpoint || !life_has_ended(c, l, order_end(e), (int32_t)e->arg0))
		return NULL;
	return l->channel;
}

static struct channel *life_exit(struct collector *c, struct process *p, const struct ipc_event *e)
{
	if (p->life->latest == p && !p->life->ended) {
		KIND_EACH(process_ends, c, p->life, e->start, true);
		p->life->exit.time = e->start;
		p->life->end_told = true;
		life_end(c, p->life, order_end(e), (int32_t)e->arg0);
	}
	return p->life->channel;
}

/* The channel of an event on a process; its effects on processes happen here too. */
static struct channel *life_find(struct collector *c, const struct act *a)
{
	switch (a->verb) {
	case IPC_VERB_spawn:
		return life_spawn(c, a->thread->process, a->event);
	case IPC_VERB_wait:
		return life_wait(c, a->thread->source, a->event);
	case IPC_VERB_exit:
		return life_exit(c, a->thread->process, a->event);
	case IPC_VERB_exec:
		return life_exec(c, a->thread, a->event);
	default:
		return NULL;
	}
}

static struct channel *life_find_object(struct collector *c, const struct process *p, uint64_t object,
					bool sends)
{
	(void)c, (void)p, (void)object, (void)sends;
	return NULL;
}

/* A process has its channel from its spawn, or its definition. */
static struct channel *life_make(struct collector *c, uint64_t object)
{
	(void)c, (void)object;
	return NULL;
}

static bool life_links(const struct act *a)
{
	return a->verb == IPC_VERB_spawn || a->verb == IPC_VERB_exit;
}

/* The row of such an event is stored: what it was a part of may be whole. */
static void life_control(struct collector *c, const struct act *a)
{
	const struct ipc_event *e = a->event;
	struct endpoint *ep = a->endpoint;
	struct life *l = ep->channel->life;
	uint64_t event = a->call.event;
	switch (a->verb) {
	case IPC_VERB_spawn:
		set_moment(c, &l->spawn, ep, event, e->start, ROLE_WRITER);
		life_message(c, &l->spawn, &l->start);
		if (c->alone)
			doubt_channels(c, ep->process);
		break;
	case IPC_VERB_exit:
		if (!l->exit.endpoint)
			set_moment(c, &l->exit, ep, event, e->start, ROLE_WRITER);
		break;
	case IPC_VERB_wait:
		set_moment(c, &l->wait, ep, event, order_end(e), ROLE_READER);
		life_message(c, &l->exit, &l->wait);
		break;
	}
}

void life_gone(struct collector *c, enum collector_source source, const struct ipc_def *d)
{
	struct life *l = life_of(c, source, d->gone.pid);
	if (!l)
		return;
	l->end_told |= l->source == source;
	life_has_ended(c, l, d->time, d->gone.status);
}

/* Nobody saw what it did since the recorder was killed, even if a parent that the shim records saw its end.
 */
static bool lives_on_unseen(const struct collector *c, const struct life *l)
{
	return c->recovered && l->source == COLLECTOR_BPF && !l->end_told;
}

static void bpf_ended(struct collector *c, struct process *p)
{
	collector_lose(c, COLLECTOR_BPF, IPC_REASON_bpf_ended, p, p->data.comm, 1, c->now);
	p->data.coverage = "partial";
	collector_dirty(c, &p->row);
}

void life_close(struct collector *c)
{
	life_settle_execs(c, true);
	for (struct life *l = c->all_lives; l; l = l->next) {
		if (!l->first)
			make_placeholder(c, l, l->running ? IPC_REASON_outlived : IPC_REASON_spawn_unseen);
		else if (lives_on_unseen(c, l))
			bpf_ended(c, l->latest);
		else if (l->running && !c->outlive)
			collector_lose(c, l->source, IPC_REASON_outlived, l->latest, l->latest->data.comm, 1,
				       c->now);
	}
}

const struct channel_kind life_kind = {
	.make = life_make,
	.find = life_find,
	.find_object = life_find_object,
	.control = life_control,
	.links = life_links,
	.without_fd = true,
};
