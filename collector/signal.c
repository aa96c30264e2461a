// SPDX-License-Identifier: BSD-2-Clause
/*
 * Signals: a channel for each life of a pid. The receiver is told who sent what it received, so a message is
 * found by number and sender (and a real-time signal's value), never guessed from the order alone.
 *
 * A target has a queue for each number, and one for each number and thread of those that were sent to a
 * thread. Real-time signals queue up. Of the others one waits at a time: what is sent meanwhile is merged
 * with it, and the receiver is told of the first.
 *
 * A handler may have begun, or even ended, before the call that sent its signal returns: what is received may
 * have to wait for the send's event. And a send that ended before its target last took such a signal most
 * likely was merged: it is taken only once the sender can have sent nothing newer.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "kind.h"
#include "socket.h"
#include "tables.h"

enum {
	NUMBERS = 64,
	STANDARD_LAST = 31,
	MERGED_MAX = 64, /* sends of a queue of which one waits at a time; the first ones, and each sender's
			    last */
	MERGED_WAITING = 2048, /* the same while something that was received waits for its send */
	QUEUED_MAX = 1 << 16,  /* of others, not received; then the oldest are forgotten: they are ignored */
	WAITING_MAX = 512,     /* of a channel, received; then the oldest is given up */
	GROUPS_MAX = 4096,     /* sends to several processes that are remembered */
	COMM_MAX = 64,
	ANYONE = -1, /* in the place of a sender's pid: not told */
};

static const char kernel[] = "kernel", unknown[] = "unknown"; /* who have no pid */

#define PATIENCE_NS 10000000000ULL /* for the return of a call that sent what was received */
#define DEADLY_NS   1000000000ULL  /* that a process may take to die of what was sent to several */

struct signal_call {
	struct signal_call *next;
	struct endpoint *endpoint; /* of a send to several: NULL */
	struct thread *thread;
	uint64_t event, start, end;
	struct store_event row; /* of a send to several */
	uint64_t serial;	/* likewise: which of them */
	int32_t pid;		/* sender's; of a receive 0: the kernel, or ANYONE */
	int32_t tid;		/* send: the thread it was sent to, or 0. receive: the thread that received */
	int32_t code;
	uint32_t tag;
	uint8_t number;
	bool inside; /* of a call that never returned, so that the tag is not known */
	bool death;  /* received by dying */
};

struct signal_queue {
	struct signal_queue *next;
	int32_t tid;
	uint8_t number;
	struct signal_call *sends, *last; /* by the end of the call */
	uint32_t count;
	uint64_t merged, merged_start; /* sends that are not listed, and when the latest of them began */
	uint64_t taken, taken_before;  /* when the target last received of it, and the time before that */
	uint64_t group;		       /* the latest send to several that was received */
};

/* What came from, or went to, someone whose calls are not seen. */
struct signal_outside {
	struct signal_outside *next;
	struct store_edge edge;
	int32_t pid;	    /* or 0, */
	const char *name;   /* and a name of the above */
	uint32_t inside_id; /* the process of the trace */
	bool sends;	    /* that process does */
};

struct signals {
	struct life *life; /* NULL: outside the trace */
	int32_t pid;
	struct signal_queue *queues;
	struct signal_call *waiting;
	uint32_t waiting_count;
	struct signal_outside *outside;
	bool dead;
};

/* Channels. */

static struct channel *make(struct collector *c, struct life *l, int32_t pid)
{
	char key[32];
	snprintf(key, sizeof(key), "signal:%d", pid);
	struct signals *s = collector_new(c, sizeof(*s));
	struct channel *ch = s ? channel_new(c, IPC_MECH_signal, key) : NULL;
	if (!ch)
		return NULL;
	*s = (struct signals){ .life = l, .pid = pid };
	ch->signals = s;
	return ch;
}

static struct channel *of_life(struct collector *c, struct life *l)
{
	if (!l->signals)
		l->signals = make(c, l, l->pid);
	struct channel *ch = l->signals;
	const char *comm = l->latest ? l->latest->data.comm : NULL;
	if (ch && comm && ch->data.name != comm) {
		ch->data.name = comm;
		channel_dirty(c, ch);
	}
	return ch;
}

static const char *comm_outside(struct collector *c, int32_t pid)
{
	char path[32], comm[COMM_MAX] = "";
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	FILE *f = fopen(path, "re");
	if (f && !fgets(comm, sizeof(comm), f))
		comm[0] = 0;
	if (f)
		fclose(f);
	comm[strcspn(comm, "\n")] = 0;
	return comm[0] ? collector_text(c, comm, strlen(comm)) : unknown;
}

static struct channel *of_outside(struct collector *c, uint64_t object, int32_t pid)
{
	void **place = table_put(&c->objects, object);
	if (!place)
		return NULL;
	if (!*place) {
		struct channel *ch = make(c, NULL, pid);
		if (ch)
			ch->data.name = comm_outside(c, pid);
		*place = ch;
	}
	return *place;
}

/* The channel of an event of `p` on this object: its own, or the target's. NULL: several targets, or one
 * that is not known. */
static struct channel *signal_channel(struct collector *c, const struct process *p, uint64_t object,
				      bool sends)
{
	uint64_t pid = ipc_object_id(object);
	if (!pid)
		return sends ? NULL : of_life(c, p->life);
	if (pid > INT32_MAX)
		return NULL;
	struct life *l = life_of(c, p->source, (int32_t)pid);
	return l ? of_life(c, l) : of_outside(c, object, (int32_t)pid);
}

/* Those whose calls are not seen. */

static struct signal_outside *outside_of(struct collector *c, struct channel *ch, const struct process *p,
					 int32_t pid, const char *name, bool sends)
{
	struct signal_outside *o = ch->signals->outside;
	while (o && (o->pid != pid || (!pid && o->name != name) || o->inside_id != p->data.id ||
		     o->sends != sends))
		o = o->next;
	if (o || !(o = collector_new(c, sizeof(*o))))
		return o;
	*o = (struct signal_outside){ .next = ch->signals->outside,
				      .pid = pid,
				      .name = name,
				      .inside_id = p->data.id,
				      .sends = sends };
	o->edge.channel_id = ch->data.id;
	o->edge.exact = true;
	return ch->signals->outside = o;
}

static uint32_t id_outside(struct collector *c, const struct process *p, const struct signal_outside *o,
			   uint64_t time)
{
	const struct life *l = o->pid ? life_of(c, p->source, o->pid) : NULL;
	if (l && l->latest && l->latest->untraced)
		return l->latest->data.id;
	return outside_process(c, p, o->pid, o->pid ? comm_outside(c, o->pid) : o->name, time);
}

/* `pid` 0: one that has none, by its name. */
static void count_outside(struct collector *c, struct channel *ch, const struct signal_call *call,
			  int32_t pid, const char *name, bool sends, bool exact)
{
	const struct process *p = call->endpoint->process;
	struct signal_outside *o = outside_of(c, ch, p, pid, name, sends);
	if (!o)
		return;
	if (!o->edge.messages) {
		uint32_t id = id_outside(c, p, o, call->start);
		o->edge.src_id = sends ? p->data.id : id;
		o->edge.dst_id = sends ? id : p->data.id;
		o->edge.first_ns = call->start;
	}
	o->edge.messages++;
	o->edge.exact &= exact;
	if (call->end > o->edge.last_ns)
		o->edge.last_ns = call->end;
}

/* Messages. */

static void message(struct collector *c, const struct signal_call *s, const struct signal_call *r, bool exact)
{
	const struct match_message m = {
		.send_event = s->event,
		.recv_event = r->event,
		.sent = s->start,
		.received = r->end,
		.src = s->endpoint,
		.dst = r->endpoint,
		.exact = exact,
	};
	if (s->inside) {
		s->endpoint->data.sends++;
		collector_dirty(c, &s->endpoint->row);
	}
	rollup_message(c, &m);
	store_link(c->store, m.send_event, m.recv_event, 0, exact);
}

static struct signal_queue *queue_known(const struct channel *ch, uint8_t number, int32_t tid)
{
	struct signal_queue *q = ch->signals->queues;
	while (q && (q->number != number || q->tid != tid))
		q = q->next;
	return q;
}

static struct signal_queue *queue_of(struct collector *c, struct channel *ch, uint8_t number, int32_t tid)
{
	struct signal_queue *q = queue_known(ch, number, tid);
	if (q || !(q = collector_new(c, sizeof(*q))))
		return q;
	*q = (struct signal_queue){ .next = ch->signals->queues, .tid = tid, .number = number };
	return ch->signals->queues = q;
}

static bool merges(uint8_t number)
{
	return number <= STANDARD_LAST;
}

/* Whether `s` may be what `r` received. */
static bool fits(const struct signal_call *s, const struct signal_call *r)
{
	if (s->number != r->number || s->start > r->end || (s->tid && s->tid != r->tid && !r->death))
		return false;
	if (r->pid == ANYONE)
		return true;
	if (s->pid != r->pid || (r->code == SI_TKILL && !s->tid) || (r->code == SI_USER && s->tid))
		return false;
	return s->inside || s->tag == r->tag;
}

/* Takes the call out of the list, and gives it back with `next` unchanged. */
static void unlink_call(struct signal_call **list, const struct signal_call *call)
{
	while (*list != call)
		list = &(*list)->next;
	*list = call->next;
}

static void drop_send(struct collector *c, struct signal_queue *q, struct signal_call *s)
{
	struct signal_call *before = NULL;
	for (struct signal_call *other = q->sends; other != s; other = other->next)
		before = other;
	*(before ? &before->next : &q->sends) = s->next;
	q->last = q->last == s ? before : q->last;
	q->count--;
	collector_free(c, s, sizeof(*s));
}

/* The oldest that is not known to have been merged; NULL: none. */
static struct signal_call *fresh(const struct signal_queue *q, const struct signal_call *r)
{
	struct signal_call *s = q->sends;
	while (s && (!fits(s, r) || (merges(s->number) && s->end <= q->taken)))
		s = s->next;
	return s;
}

/* The first that may have been pending since the target last took one: it was dequeued before its handler's
 * time was taken. Or else the newest of all. */
static struct signal_call *stale(const struct signal_queue *q, const struct signal_call *r)
{
	struct signal_call *found = NULL;
	for (struct signal_call *s = q->sends; s; s = s->next) {
		if (!fits(s, r))
			continue;
		found = s;
		if (s->end > q->taken_before)
			break;
	}
	return found;
}

/* Of those that are not listed. */
static void lose_merged(struct channel *ch, struct signal_queue *q)
{
	if (q->merged_start > q->taken)
		return;
	ch->shared->data.lost += q->merged;
	q->merged = 0;
}

/* The target received one of this queue: what ended before the one before was merged. */
static void took(struct collector *c, struct channel *ch, struct signal_queue *q, uint64_t time)
{
	if (!q || time <= q->taken)
		return;
	while (merges(q->number) && !ch->signals->waiting && q->sends && q->sends->end <= q->taken_before) {
		ch->shared->data.lost++;
		drop_send(c, q, q->sends);
	}
	q->taken_before = q->taken;
	q->taken = time;
	lose_merged(ch, q);
}

/* Sends to several processes: a message to each that received it, with an event of its own. */

static struct signal_call *group_send(struct collector *c, const struct channel *ch,
				      const struct signal_call *r)
{
	const struct signal_queue *q = queue_known(ch, r->number, 0);
	struct signal_call *g = c->signal_groups;
	while (g &&
	       ((q && g->serial <= q->group) || !fits(g, r) || (r->death && r->end > g->end + DEADLY_NS)))
		g = g->next;
	return g;
}

static void group_message(struct collector *c, struct channel *ch, const struct signal_call *g,
			  const struct signal_call *r, bool exact)
{
	struct signal_call s = *g;
	s.endpoint = endpoint_of(c, g->thread->process, ch);
	if (!s.endpoint)
		return;
	struct store_lane lane = {
		.thread_id = g->thread->data.id,
		.endpoint_id = s.endpoint->data.id,
		.fd = -1,
		.call = (uint16_t)g->code,
		.flags = IPC_F_PART,
		.verb = IPC_VERB_send,
		.source = source_names[g->thread->source],
	};
	s.row.lane = event_lane(c, &lane, s.endpoint);
	s.event = store_event(c->store, &s.row, true);
	s.inside = true; /* it counts now */
	endpoint_seen(c, s.endpoint, s.start, s.end);
	endpoint_role(c, s.endpoint, ROLE_WRITER);
	message(c, &s, r, exact);
	struct signal_queue *q = queue_of(c, ch, r->number, 0);
	if (q)
		q->group = g->serial;
	took(c, ch, q, r->end);
}

/* Receives. */

/* Tries what is certain. */
static bool take(struct collector *c, struct channel *ch, const struct signal_call *r)
{
	int32_t tids[] = { r->tid, 0 }; /* what is for the thread comes first */
	for (int i = 0; i < 2; i++) {
		struct signal_queue *q = queue_known(ch, r->number, tids[i]);
		struct signal_call *s = q ? fresh(q, r) : NULL;
		if (!s)
			continue;
		message(c, s, r, true);
		drop_send(c, q, s);
		took(c, ch, q, r->end);
		return true;
	}
	struct signal_call *g = group_send(c, ch, r);
	if (!g)
		return false;
	group_message(c, ch, g, r, true);
	return true;
}

static struct signal_queue *stale_queue(struct channel *ch, const struct signal_call *r)
{
	struct signal_queue *q = ch->signals->queues;
	while (q && !stale(q, r))
		q = q->next;
	return q;
}

/* Among several who sent it; the process whose is taken, and whether it was only one. */
static bool is_only_sender(const struct channel *ch, const struct signal_call *r, const struct process *p)
{
	for (const struct signal_queue *q = ch->signals->queues; q; q = q->next)
		for (const struct signal_call *s = q->sends; s; s = s->next)
			if (fits(s, r) && s->endpoint->process != p)
				return false;
	return true;
}

/* What was received from someone who is not told: most likely the oldest. */
static bool take_anyones(struct collector *c, struct channel *ch, const struct signal_call *r)
{
	struct signal_queue *from = NULL;
	struct signal_call *s = NULL;
	for (struct signal_queue *q = ch->signals->queues; q; q = q->next) {
		struct signal_call *first = fresh(q, r);
		if (first && (!s || first->start < s->start)) {
			from = q;
			s = first;
		}
	}
	if (!s && (from = stale_queue(ch, r)))
		s = stale(from, r);
	if (s) {
		message(c, s, r, r->death && is_only_sender(ch, r, s->endpoint->process));
		drop_send(c, from, s);
		took(c, ch, from, r->end);
		return true;
	}
	struct signal_call *g = group_send(c, ch, r);
	if (g)
		group_message(c, ch, g, r, false);
	return g != NULL;
}

static bool is_kernels(uint8_t number)
{
	static const uint64_t made = 1ULL << SIGSEGV | 1ULL << SIGBUS | 1ULL << SIGFPE | 1ULL << SIGILL |
				     1ULL << SIGTRAP | 1ULL << SIGSYS | 1ULL << SIGPIPE | 1ULL << SIGALRM |
				     1ULL << SIGVTALRM | 1ULL << SIGPROF | 1ULL << SIGXCPU | 1ULL << SIGXFSZ |
				     1ULL << SIGIO;
	return number <= STANDARD_LAST && made >> number & 1;
}

/* No send of it is known, and none will be. */
static void unmatched(struct collector *c, struct channel *ch, const struct signal_call *r)
{
	struct process *p = r->endpoint->process;
	/* Of SIGPIPE the kernel says that who wrote sent it. */
	bool by_kernel = is_kernels(r->number), own = r->pid == ch->signals->pid;
	if (r->pid == ANYONE || (own && by_kernel)) {
		count_outside(c, ch, r, 0, by_kernel ? kernel : unknown, false, own);
		return;
	}
	collector_lose(c, p->source, IPC_REASON_unmatched, p, p->data.comm, 1, r->end);
	channel_partial(c, ch);
}

static void give_up(struct collector *c, struct channel *ch, struct signal_call *r)
{
	unlink_call(&ch->signals->waiting, r);
	ch->signals->waiting_count--;
	struct signal_queue *q = r->pid == ANYONE ? NULL : stale_queue(ch, r);
	if (q) {
		struct signal_call *s = stale(q, r);
		message(c, s, r, true);
		drop_send(c, q, s);
		took(c, ch, q, r->end);
	} else if (r->pid != ANYONE || !take_anyones(c, ch, r)) {
		unmatched(c, ch, r);
	}
	collector_free(c, r, sizeof(*r));
}

static void wait_for_send(struct collector *c, struct channel *ch, const struct signal_call *r)
{
	struct signals *sg = ch->signals;
	struct signal_call *copy = collector_new(c, sizeof(*copy)), **last = &sg->waiting;
	if (!copy)
		return;
	if (sg->waiting_count == WAITING_MAX)
		give_up(c, ch, sg->waiting);
	while (*last)
		last = &(*last)->next;
	*copy = *r;
	copy->next = NULL;
	*last = copy;
	sg->waiting_count++;
	if (!ch->in_signal_list) {
		ch->in_signal_list = true;
		ch->next_signals = c->signal_waiters;
		c->signal_waiters = ch;
	}
}

/* What has waited for so long that its sender must have returned. A process may be in a handler of what it
 * sent to itself for as long as it likes. */
static void give_up_old(struct collector *c, struct channel *ch)
{
	struct signal_call *next;
	for (struct signal_call *r = ch->signals->waiting; r; r = next) {
		next = r->next;
		if (c->now > r->end + PATIENCE_NS && r->pid != ch->signals->pid)
			give_up(c, ch, r);
	}
}

/* Whether calls of the process with this pid are seen. */
static bool is_seen(struct collector *c, const struct process *here, int32_t pid)
{
	const struct life *l = pid > 0 ? life_of(c, here->source, pid) : NULL;
	return l && !(l->latest && l->latest->untraced);
}

static void receive(struct collector *c, struct channel *ch, const struct signal_call *r)
{
	give_up_old(c, ch);
	if (r->pid != ANYONE && !is_seen(c, r->endpoint->process, r->pid)) {
		count_outside(c, ch, r, r->pid, ipc_signal_has_sender(r->code) ? unknown : kernel, false,
			      true);
		took(c, ch, queue_known(ch, r->number, 0), r->end);
	} else if (!(r->pid == ANYONE ? take_anyones(c, ch, r) : take(c, ch, r))) {
		wait_for_send(c, ch, r);
	}
}

/* Sends. */

/* Whoever waits for it has received it. Those that received before it was sent have got something older. */
static bool is_waited_for(struct collector *c, struct channel *ch, const struct signal_call *s)
{
	struct signal_call *next;
	for (struct signal_call *r = ch->signals->waiting; r; r = next) {
		next = r->next;
		bool untold = r->pid == ANYONE && !r->death;
		if (r->number != s->number || (r->pid != s->pid && !untold))
			continue;
		if (!fits(s, r)) {
			bool none_earlier = s->start > r->end && s->thread->process->thread_count <= 1;
			if (none_earlier && !untold && s->pid != ch->signals->pid)
				give_up(c, ch, r);
			continue;
		}
		message(c, s, r, !untold);
		took(c, ch, queue_known(ch, s->number, s->tid), r->end);
		unlink_call(&ch->signals->waiting, r);
		ch->signals->waiting_count--;
		collector_free(c, r, sizeof(*r));
		return true;
	}
	return false;
}

/* Makes room for a send: the one before it of the same process, most likely, is merged with another. */
static void merge_one(struct collector *c, struct signal_queue *q, const struct signal_call *s)
{
	struct signal_call *found = q->last;
	for (struct signal_call *other = q->sends; other; other = other->next)
		if (other->pid == s->pid)
			found = other;
	q->merged++;
	if (found->start > q->merged_start)
		q->merged_start = found->start;
	drop_send(c, q, found);
}

static void send(struct collector *c, struct channel *ch, const struct signal_call *s)
{
	if (is_waited_for(c, ch, s))
		return;
	struct signal_queue *q = queue_of(c, ch, s->number, s->tid);
	if (!q)
		return;
	if (merges(s->number) && q->count >= (ch->signals->waiting ? MERGED_WAITING : MERGED_MAX))
		merge_one(c, q, s);
	if (q->count >= QUEUED_MAX)
		drop_send(c, q, q->sends);
	struct signal_call *copy = collector_new(c, sizeof(*copy));
	if (!copy)
		return;
	*copy = *s;
	*(q->last ? &q->last->next : &q->sends) = copy;
	q->last = copy;
	q->count++;
}

static void send_to_waiters(struct collector *c, struct signal_call *g)
{
	for (struct channel *ch = c->signal_waiters; ch; ch = ch->next_signals)
		for (struct signal_call *r = ch->signals->waiting; r; r = r->next) {
			if (r->pid == ANYONE || !fits(g, r))
				continue;
			group_message(c, ch, g, r, true);
			unlink_call(&ch->signals->waiting, r);
			ch->signals->waiting_count--;
			collector_free(c, r, sizeof(*r));
			break;
		}
}

static void send_to_several(struct collector *c, const struct ipc_event *e, const struct signal_call *s)
{
	struct signal_call *g = collector_new(c, sizeof(*g)), **last = &c->signal_groups;
	if (!g)
		return;
	*g = *s;
	g->code = e->call;
	g->row = (struct store_event){ e->start, e->duration, 0, 0 };
	g->serial = ++c->signal_serial;
	send_to_waiters(c, g);
	while (*last)
		last = &(*last)->next;
	*last = g;
	if (++c->signal_group_count <= GROUPS_MAX)
		return;
	struct signal_call *first = c->signal_groups;
	c->signal_groups = first->next;
	c->signal_group_count--;
	collector_free(c, first, sizeof(*first));
}

static struct channel *signal_find(struct collector *c, const struct act *a)
{
	return signal_channel(c, a->thread->process, a->event->object, a->verb == IPC_VERB_send);
}

static void signal_event(struct collector *c, struct act *a)
{
	const struct ipc_event *e = a->event;
	struct thread *t = a->thread;
	struct endpoint *ep = a->endpoint;
	bool sends = a->sends;
	uint32_t number = (uint32_t)e->arg1;
	bool inside = e->flags & IPC_F_INSIDE;
	bool sends_one = sends && IPC_OBJ_KIND(ipc_calls[e->call].object) == IPC_OBJ_KIND_SIGNAL;
	bool counts = number >= 1 && number <= NUMBERS && e->result >= 0 && (sends ? sends_one : !inside);
	struct store_event row = { e->start, e->duration, a->lane, e->result < 0 ? e->result : 0 };
	struct signal_call call = {
		.endpoint = ep,
		.thread = t,
		.event = store_event(c->store, &row, counts && sends && ep),
		.start = e->start,
		.end = order_end(e),
		.pid = sends ? t->process->data.pid : (int32_t)e->result,
		.tid = sends ? (int32_t)(e->arg1 >> 32) : t->data.tid,
		.code = (int32_t)(e->arg0 >> 32),
		.tag = e->tag,
		.number = (uint8_t)number,
		.inside = inside,
	};
	if (ep)
		endpoint_role(c, ep, sends ? ROLE_WRITER : ROLE_READER);
	if (!counts)
		return;
	if (!ep) {
		if (sends)
			send_to_several(c, e, &call);
	} else if (sends) {
		ep->data.sends += !inside;
		ep->data.send_dur_ns += inside ? 0 : e->duration;
		ep->channel->shared->data.lost += e->result == IPC_SIGNAL_MERGED;
		if (!e->result)
			send(c, ep->channel, &call);
	} else {
		ep->data.receives++;
		ep->data.receive_dur_ns += e->duration;
		if (call.code == IPC_SIGNAL_UNTOLD)
			call.pid = ANYONE;
		receive(c, ep->channel, &call);
	}
}

/* The end. */

/* The receive that no source saw: the end of the process. */
static void die(struct collector *c, struct channel *ch, struct process *p, uint8_t number)
{
	struct endpoint *ep = endpoint_of(c, p, ch);
	uint64_t time = p->data.end_ns;
	if (!ep || !p->main)
		return;
	struct signal_call call = {
		.endpoint = ep,
		.thread = p->main,
		.event = event_unseen(c, ep, IPC_CALL_exit_group, IPC_F_NO_START, IPC_VERB_recv, time),
		.start = time,
		.end = time,
		.pid = ANYONE,
		.code = IPC_SIGNAL_UNTOLD,
		.number = number,
		.death = true,
	};
	ep->data.receives++;
	wait_for_send(c, ch, &call);
}

/* By a signal, perhaps. */
static void signal_ended(struct collector *c, struct life *l, int32_t status)
{
	bool killed = status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) <= NUMBERS &&
		      l->source == COLLECTOR_SHIM; /* the other source has told of it */
	struct channel *ch = killed ? of_life(c, l) : l->signals;
	if (!ch || ch->signals->dead)
		return;
	ch->signals->dead = killed;
	if (killed)
		die(c, ch, l->latest, (uint8_t)WTERMSIG(status));
	ch->closed_ns = c->now ? c->now : 1;
	settle_later(c, ch);
}

/* What was sent and not received: merged with what was received later, or ignored. */
static void settle_queue(struct collector *c, struct channel *ch, struct signal_queue *q)
{
	bool outside = !ch->signals->life;
	if (!outside)
		lose_merged(ch, q);
	while (q->sends) {
		struct signal_call *s = q->sends;
		if (outside && !s->inside)
			count_outside(c, ch, s, ch->signals->pid, unknown, true, false);
		else if (merges(s->number) && !s->inside && s->start <= q->taken)
			ch->shared->data.lost++;
		drop_send(c, q, s);
	}
}

static void signal_settle(struct channel *ch, bool all)
{
	(void)all;
	struct signals *s = ch->signals;
	struct collector *c = ch->collector;
	if (!s)
		return;
	while (s->waiting)
		give_up(c, ch, s->waiting);
	for (struct signal_queue *q = s->queues; q; q = q->next)
		settle_queue(c, ch, q);
	for (struct signal_outside *o = s->outside; o; o = o->next) {
		o->edge.partial = ch->shared->data.partial;
		if (o->edge.src_id && o->edge.dst_id)
			store_edge(c->store, &o->edge);
	}
	channel_dirty(c, ch);
}

const struct channel_kind signal_kind = {
	.find = signal_find,
	.find_object = signal_channel,
	.transfer_all = signal_event,
	.settle = signal_settle,
	.process_ended = signal_ended,
	.unfollowed = true,
};
