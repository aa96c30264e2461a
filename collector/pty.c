// SPDX-License-Identifier: BSD-2-Clause
/*
 * Pseudo-terminals: two halves, as of a connected socket, one row. What one half sends is a byte stream
 * (match.h) as long as the line discipline lets it through as it is. From the first send on that it may have
 * edited (echo, line ends, erased characters, signals), or of which a flush may have dropped something, that
 * direction is approximate for good: bytes sent and received are different things then.
 *
 *	sends, by start    [s1 ...][s2 ..][s3 .....]
 *	receives, by end   [r1 ........][r2 ..][r3 ...]
 *
 * Of an edited direction a receive takes bytes from the oldest sends that began before its end. What it has
 * more than these (echo, carriage returns) belongs to the last one taken from. What those have more that
 * ended before a receive that could have taken more, is gone. Messages have the bytes that were received, and
 * none is exact; where one process only sends, who talked to whom is certain all the same.
 */
#include <stdio.h>
#include <string.h>
#include <termios.h>

#include "kind.h"
#include "socket.h"
#include "stream.h"

#define PATIENCE_NS 1000000000ULL /* a receive waits for the end of its send */
#define MAY_TAKE_NS 10000000ULL	  /* an ioctl whose start was not seen */

enum {
	SENDS_MAX = 1 << 13, /* not yet received; beyond it the oldest is forgotten */
	RECEIVES_MAX = 1 << 13,
};

struct pty {
	struct channel *master, *slave;
	uint32_t edits, before;		  /* IPC_PTY_EDITS_*: now, and until `since` */
	uint64_t since;			  /* the end of the call that set them */
	uint64_t master_sent, slave_sent; /* the latest end of their sends */
};

struct waiting {
	struct match_call call; /* bytes: what is left of it */
	bool short_;		/* a receive that could have taken more */
};

/* What a half sends and the line discipline edits. */
struct pty_edited {
	struct match_ring sends, receives;
	/* The send that was taken from last, and what one process has of it. */
	struct match_call send; /* endpoint NULL: none yet */
	struct endpoint *dst;	/* NULL: nobody has */
	uint64_t bytes, received, recv_event;
	uint64_t early; /* received before anything was sent: echo */
};

/* The two halves. */

static void describe(struct collector *c, struct channel *shared, uint64_t object)
{
	char text[32];
	unsigned int index = (uint32_t)object & ~(uint32_t)IPC_PTY_MASTER;
	snprintf(text, sizeof(text), "pty:pts/%u", index);
	shared->data.key = collector_text(c, text, strlen(text));
	snprintf(text, sizeof(text), "/dev/pts/%u", index);
	shared->data.name = collector_text(c, text, strlen(text));
}

/* The half that an object stands for, with its other half. */
static struct channel *pty_half(struct collector *c, uint64_t object)
{
	bool master = object & IPC_PTY_MASTER;
	struct channel *other = channel_known(c, object ^ IPC_PTY_MASTER);
	if (other && other->pty)
		return other->peer;
	struct pty *p = collector_new(c, sizeof(*p));
	struct channel *a = channel_half(c, IPC_MECH_pty), *b = channel_half(c, IPC_MECH_pty);
	if (!p || !a || !b)
		return NULL;
	*p = (struct pty){ .master = a, .slave = b, .edits = IPC_PTY_COOKED, .before = IPC_PTY_COOKED };
	a->pty = b->pty = p;
	a->peer = b;
	b->peer = a;
	peer_share(c, a, b);
	describe(c, a->shared, object);
	return master ? a : b;
}

/* Whether the event makes a new pseudo-terminal. */
static bool pty_makes(const struct channel *ch, const struct ipc_event *e)
{
	return ch == ch->pty->master && (e->call == IPC_CALL_openat || e->call == IPC_CALL_open ||
					 e->call == IPC_CALL_openat2 || e->call == IPC_CALL_creat);
}

/* Its number will stand for another, and the other half's likewise. */
static void pty_renew(struct collector *c, uint64_t object)
{
	table_remove(&c->objects, object ^ IPC_PTY_MASTER);
}

static void pty_opened(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	(void)c;
	struct channel *ch = ep->channel;
	struct pty *p = ch->pty;
	if (pty_makes(ch, e))
		p->master->created = p->slave->created = true;
	if (!ch->created) /* made outside the trace: others may hold it too */
		p->master->stream.doubtful = p->slave->stream.doubtful = true;
}

/* Nobody in the trace has the other side. */
static void pty_outside(struct collector *c, struct channel *ch)
{
	if (!ch->peer->endpoints)
		outside_write(c, ch);
}

static void pty_role(struct collector *c, struct endpoint *ep)
{
	const char *role = ep->channel == ep->channel->pty->master ? "master" : "slave";
	if (ep->shared != ep)
		role = "peer"; /* it holds both ends */
	ep->shared->data.role = role;
	collector_dirty(c, &ep->shared->row);
}

/* What is edited. */

static void tell(struct channel *from, struct pty_edited *ed)
{
	if (!ed->dst)
		return;
	const struct match_message m = {
		.send_event = ed->send.event,
		.recv_event = ed->recv_event,
		.sent = ed->send.start,
		.received = ed->received,
		.bytes = ed->bytes,
		.src = ed->send.endpoint,
		.dst = ed->dst,
		.src_thread = ed->send.thread,
	};
	rollup_sink.message(from, &m);
	ed->dst = NULL;
	ed->bytes = 0;
}

static struct waiting *at(const struct match_ring *r, uint32_t i)
{
	return ring_at(r, sizeof(struct waiting), i);
}

static void give(struct channel *from, struct pty_edited *ed, const struct match_call *receive,
		 uint64_t bytes)
{
	if (ed->dst != receive->endpoint) {
		tell(from, ed);
		ed->dst = receive->endpoint;
		ed->received = receive->end;
	}
	ed->bytes += bytes + ed->early;
	ed->recv_event = receive->event;
	ed->early = 0;
}

static void take(struct channel *from, struct pty_edited *ed, struct match_call *r)
{
	while (r->bytes && ed->sends.count && at(&ed->sends, 0)->call.start <= r->end) {
		struct match_call *s = &at(&ed->sends, 0)->call;
		uint64_t bytes = r->bytes < s->bytes ? r->bytes : s->bytes;
		if (ed->send.event != s->event || ed->send.endpoint != s->endpoint) {
			tell(from, ed);
			ed->send = *s;
		}
		give(from, ed, r, bytes);
		ed->received = r->end;
		r->bytes -= bytes;
		s->bytes -= bytes;
		if (!s->bytes)
			ring_drop(&ed->sends);
	}
	if (r->bytes && ed->send.endpoint)
		give(from, ed, r, r->bytes);
	else
		ed->early += r->bytes;
}

static void run(struct channel *from, bool settling)
{
	struct pty_edited *ed = from->edited;
	while (ed->receives.count) {
		struct waiting *r = at(&ed->receives, 0);
		bool late = settling || from->collector->now > r->call.end + PATIENCE_NS ||
			    ed->receives.count > RECEIVES_MAX;
		if (!ed->sends.count && !late)
			return;
		take(from, ed, &r->call);
		while (r->short_ && ed->sends.count && at(&ed->sends, 0)->call.end <= r->call.end)
			ring_drop(&ed->sends);
		ring_drop(&ed->receives);
	}
}

static void wait_for(struct match_ring *ring, const struct match_call *call, bool short_, bool by_start)
{
	if (!ring_add(ring, sizeof(struct waiting)))
		return;
	uint32_t i = ring->count - 1;
	for (; by_start && i && at(ring, i - 1)->call.start > call->start; i--)
		*at(ring, i) = *at(ring, i - 1);
	*at(ring, i) = (struct waiting){ *call, short_ };
}

static void edited(struct channel *from, const struct match_call *call, bool short_, bool sends)
{
	struct pty_edited *ed = from->edited;
	if (sends && ed->sends.count == SENDS_MAX)
		ring_drop(&ed->sends);
	wait_for(sends ? &ed->sends : &ed->receives, call, short_, sends);
	run(from, false);
}

/* From now on nothing that this half sends is taken for what the other receives. */
static void edit(struct collector *c, struct channel *from)
{
	if (from->edited || !(from->edited = collector_new(c, sizeof(*from->edited))))
		return;
	match_settle(&from->stream);
	from->stream.doubtful = true;
}

static bool pty_unmatched(struct channel *from, const struct match_call *receive)
{
	if (!from->endpoints)
		return true; /* from outside */
	if (!from->edited)
		return false;
	edited(from, receive, false, false);
	return true;
}

/* Settings. */

static bool may_overlap(const struct channel *from, const struct ipc_event *e)
{
	const struct pty *p = from->pty;
	uint64_t start = e->flags & IPC_F_NO_START ? e->start - MAY_TAKE_NS : e->start;
	return (from == p->master ? p->master_sent : p->slave_sent) > start;
}

/* What was sent before, and is not received yet, goes by the new settings too: input is edited after it was
 * sent. */
static void set(struct collector *c, struct pty *p, const struct ipc_event *e)
{
	p->before = p->edits;
	p->edits = (uint32_t)e->arg1;
	p->since = order_end(e);
	bool flushes = e->call == IPC_CALL_ioctl_tcsetsf || e->call == IPC_CALL_ioctl_tcsetsf2;
	if (may_overlap(p->master, e) || match_unread(&p->master->stream)) {
		if (flushes || p->edits & IPC_PTY_EDITS_INPUT)
			edit(c, p->master);
		if (p->edits & IPC_PTY_ECHOES)
			edit(c, p->slave);
	}
	if (p->edits & IPC_PTY_EDITS_OUTPUT && may_overlap(p->slave, e))
		edit(c, p->slave);
}

static void drop(struct collector *c, struct channel *from, const struct ipc_event *e)
{
	if (may_overlap(from, e) || match_unread(&from->stream))
		edit(c, from);
}

static void flush(struct collector *c, struct channel *ch, const struct ipc_event *e)
{
	if (e->arg1 != TCOFLUSH)
		drop(c, ch->peer, e);
	if (e->arg1 != TCIFLUSH)
		drop(c, ch, e);
}

static void apply(struct collector *c, struct channel *ch, const struct ipc_event *e)
{
	if (e->result < 0)
		return;
	switch (e->call) {
	case IPC_CALL_ioctl_tcflsh:
		flush(c, ch, e);
		break;
	case IPC_CALL_ioctl_tiocpkt: /* each read begins with a byte of its own */
		if (e->arg1)
			edit(c, ch->pty->slave);
		break;
	case IPC_CALL_ioctl_tcsets:
	case IPC_CALL_ioctl_tcsetsw:
	case IPC_CALL_ioctl_tcsetsf:
	case IPC_CALL_ioctl_tcsets2:
	case IPC_CALL_ioctl_tcsetsw2:
	case IPC_CALL_ioctl_tcsetsf2:
		set(c, ch->pty, e);
		break;
	}
}

static void pty_control(struct collector *c, const struct act *a)
{
	if (a->verb == IPC_VERB_control)
		apply(c, a->endpoint->channel, a->event);
	else
		fd_event(c, a);
}

static void sent(struct collector *c, struct channel *ch, const struct ipc_event *e)
{
	struct pty *p = ch->pty;
	uint32_t edits = p->edits | (e->start < p->since ? p->before : 0);
	bool master = ch == p->master;
	uint64_t *end = master ? &p->master_sent : &p->slave_sent;
	if (order_end(e) > *end)
		*end = order_end(e);
	if (edits & (master ? IPC_PTY_EDITS_INPUT : IPC_PTY_EDITS_OUTPUT))
		edit(c, ch);
	if (master && edits & IPC_PTY_ECHOES)
		edit(c, p->slave);
}

static bool pty_edits(struct collector *c, const struct act *a)
{
	struct channel *ch = a->endpoint->channel, *from = a->sends ? ch : ch->peer;
	if (!ch->pty->master->endpoints)
		return true; /* with a terminal outside the trace (outside.c) */
	if (a->sends)
		sent(c, ch, a->event);
	if (!from->edited)
		return false;
	edited(from, &a->call, a->event->arg1 > a->call.bytes, a->sends);
	return true;
}

static void pty_settle(struct channel *ch, bool all)
{
	(void)all;
	struct pty_edited *ed = ch->edited;
	if (!ed)
		return;
	run(ch, true);
	tell(ch, ed);
	ring_free(&ed->sends);
	ring_free(&ed->receives);
}

/* What one end has sent waits for the other, as long as that is open. */
static void pty_closed(struct collector *c, struct channel *ch)
{
	(void)c;
	if (ch->peer->open_ends)
		return;
	settle_channel(ch, false);
	settle_channel(ch->peer, false);
}

const struct channel_kind pty_kind = {
	.make = pty_half,
	.makes = pty_makes,
	.renew = pty_renew,
	.edits = pty_edits,
	.control = pty_control,
	.opened = pty_opened,
	.role = pty_role,
	.unmatched = pty_unmatched,
	.closed = pty_closed,
	.settle = pty_settle,
	.outside = pty_outside,
};
