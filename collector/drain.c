/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's source: moves what targets wrote into the arena (common/arena.h) to the collector.
 *
 * One poll: find who died; note how far chunks have been claimed; list the owned chunks and drain them in the
 * order of their claims (which is each thread's own order); finish the dead; tell the watermark. A chunk that
 * was claimed after the note waits for the next poll, so no thread's later chunk overtakes its earlier one.
 *
 * The arena is written by strangers: each field is copied once and judged by the copy.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "arena_file.h"
#include "beside.h"
#include "clock.h"
#include "environment.h"
#include "owners.h"
#include "sampling.h"
#include "session.h"
#include "source.h"
#include "tables.h"

enum {
	MS = 1000000,
	CHECK_NS = 10 * MS,	  /* how often owners are looked at; at once when chunks are short */
	HOLD_BACK_NS = 200 * MS,  /* how far the watermark may fall behind */
	STAMP_SLACK_NS = 10000,	  /* of time stamps between processors */
	FUTURE_NS = 1000 * MS,	  /* an end so far ahead is looked at twice */
	CLAIMING_NS = 1000 * MS,  /* a claim takes less, unless its process is stopped or dead */
	ENDING_NS = 5 * MS,	  /* at the end records under way are waited for so long */
	BATCH = 64 * CHUNK_SLOTS, /* records of one poll; a poll and what follows takes some 20 ms then */
	SYNC_NS = 100 * MS,	  /* how often counters are looked at: that disturbs who counts */
	LOOK_AHEAD = 4,		  /* slots; see abandoned() */
	OVERS = 256,
};

/* What the recorder remembers of a chunk. */
struct cursor {
	uint64_t order;			 /* its claim's number, widened: chunks are drained in this order */
	uint64_t seen_ns;		 /* no record of it ended before this without having been drained */
	uint64_t claiming_ns;		 /* since when it is owned without a base, 0: it is not */
	uint32_t base, next;		 /* of its slots; the next to look at */
	uint32_t noted_base, noted_next; /* as the journal has it */
	bool done;			 /* after a killed recorder: nothing more will be taken from it */
};

/* A chunk that is owned now, as its control block said at the start of the scan. */
struct listed {
	uint64_t order;
	uint32_t chunk, image;
	int pid;
	bool closed; /* nobody writes to it any more */
	bool over;   /* its image is no more */
};

/* What the collector was told of a line. */
struct sync_told {
	uint64_t sends, receives;
};

/*
 * Our notes in the journal: how far all that we took from the arena reaches. CURSOR: of a chunk (struct
 * noted_cursor). LINE: of a line (struct noted_line). ARENA: struct noted_arena. CLOCK: its newest struct
 * clock_line. ENDED: the arena holds nothing any more that was not told.
 */
enum note { NOTE_CURSOR, NOTE_LINE, NOTE_ARENA, NOTE_CLOCK, NOTE_ENDED };

struct noted_cursor {
	uint32_t chunk, base, next, done; /* done: it is given back */
	uint64_t order;
};

struct noted_line {
	uint64_t line, sends, receives;
};

struct noted_arena {
	uint64_t claims;
	uint32_t allocated, reserved;
};

struct source {
	struct arena_file file;
	struct clock clock;
	struct owners owners;
	struct collector *collector; /* of the poll under way */
	struct cursor cursor[ARENA_CHUNKS_MAX];
	struct listed list[ARENA_CHUNKS_MAX];
	unsigned int listed, free;
	uint64_t claims; /* the highest base that was given out, widened */
	uint64_t begin_ns;
	uint64_t scan_ns, previous_scan_ns; /* start of this poll and of the one before */
	uint64_t watermark, checked_ns;
	uint64_t counted[IPC_REASONS]; /* our own counts of this poll */
	struct sync_told sync_told[ARENA_SYNC_LINES];
	uint64_t sync_ns;     /* when lines were looked at last */
	uint32_t over[OVERS]; /* images that ended by an exec in this poll; of more the lines stay */
	unsigned int overs;
	long records;
	char *shim, **environment;
	struct noted_arena noted; /* in the journal */
	uint64_t noted_line;	  /* where the clock's newest line there starts */
	bool resumed;		  /* after another recorder, which was killed: */
	bool ended;		  /* that one had taken everything */
	uint64_t latest_ns;	  /* end of the latest record */
};

/* --- records --- */

/* A copy of a record, out of the targets' reach. */
union record {
	struct ipc_event event;
	struct ipc_def def;
	struct ipc_event slots[1 + IPC_TEXT_MAX / IPC_SLOT];
};

static struct journal *journal(const struct source *s)
{
	return collector_journal(s->collector);
}

static void hand_over(struct source *s, const struct ipc_event *slots)
{
	collector_record(s->collector, COLLECTOR_SHIM, slots);
	s->records++;
}

static void seen_until(struct source *s, uint64_t ns)
{
	if (ns > s->latest_ns)
		s->latest_ns = ns;
}

/* When what is over was over. Of those who died after the recorder did, perhaps long ago, nobody knows. */
static uint64_t moment(struct source *s)
{
	uint64_t now = clock_sample(&s->clock);
	return s->resumed && s->latest_ns ? s->latest_ns : now;
}

/* A stamp far ahead of the scan is true only if the scan itself took that long. */
static bool from_the_future(struct source *s, uint64_t ns)
{
	if (ns <= s->scan_ns + FUTURE_NS)
		return false;
	return ns > clock_sample(&s->clock) + FUTURE_NS;
}

/* A child is watched from its spawn on: it may end, or run for long, before it introduces itself. It was
 * alive when the call returned; when that was entered it may have been far from being born. */
static void follow_process(struct source *s, const struct ipc_event *e)
{
	uint8_t verb = ipc_calls[e->call].verb;
	if (ipc_object_mechanism(e->object) != IPC_MECH_process)
		return;
	struct owner *owner = owners_find(&s->owners, (int)ipc_object_id(e->object));
	if (verb == IPC_VERB_exit && owner)
		owner->exited = true;
	if (verb == IPC_VERB_spawn && !owner && e->result > 0 && e->result <= INT_MAX)
		owners_add(&s->owners, (int)e->result, 0, e->start + e->duration);
}

static void take_event(struct source *s, struct ipc_event *e)
{
	uint64_t start = clock_ns(&s->clock, e->start), end = clock_ns(&s->clock, e->start + e->duration);
	if (e->call == IPC_CALL_none || e->call >= IPC_CALLS || end < start || from_the_future(s, end)) {
		s->counted[IPC_REASON_rejected]++;
		return;
	}
	e->start = start;
	e->duration = end - start;
	e->seq = 0; /* the journal is shorter so */
	seen_until(s, end);
	follow_process(s, e);
	hand_over(s, e);
}

static void meet_image(struct source *s, const struct listed *here, const struct ipc_def_image *image,
		       uint64_t now);

static void take_definition(struct source *s, const struct listed *here, union record *copy)
{
	struct ipc_def *def = &copy->def;
	def->time = clock_ns(&s->clock, def->time);
	if (from_the_future(s, def->time)) {
		s->counted[IPC_REASON_rejected]++;
		return;
	}
	seen_until(s, def->time);
	if (def->call == IPC_DEF_IMAGE) {
		if (def->image.spawn_time)
			def->image.spawn_time = clock_ns(&s->clock, def->image.spawn_time);
		meet_image(s, here, &def->image, def->time);
	}
	if (def->call == IPC_DEF_PAYLOAD && def->payload.start) /* of the event behind it, drained at once */
		def->payload.start = clock_ns(&s->clock, def->payload.start);
	hand_over(s, copy->slots);
}

/* Takes the whole record at `i` and returns how many slots it has. */
static uint32_t take(struct source *s, const struct listed *here, const struct ipc_event *slots, uint32_t i)
{
	union record copy;
	copy.event = slots[i];
	if (copy.event.call < IPC_DEF_FIRST) {
		take_event(s, &copy.event);
		return 1;
	}
	uint32_t n = ipc_def_slots(copy.def.text);
	if (copy.def.call == IPC_DEF_GONE || copy.def.call > IPC_DEF_LAST || copy.def.text > IPC_TEXT_MAX ||
	    i + n > CHUNK_SLOTS) {
		s->counted[IPC_REASON_rejected]++;
		return 1;
	}
	memcpy(&copy.slots[1], &slots[i + 1], (n - 1) * sizeof(*slots));
	take_definition(s, here, &copy);
	return n;
}

/* --- one chunk --- */

static bool whole(const struct ipc_event *slots, uint32_t base, uint32_t i)
{
	return atomic_load_explicit((const _Atomic uint32_t *)&slots[i].seq, memory_order_acquire) ==
	       base + i;
}

/* The first whole slot from `i` on, of the next `n`; CHUNK_SLOTS: none. */
static uint32_t next_whole(const struct ipc_event *slots, uint32_t base, uint32_t i, uint32_t n)
{
	uint32_t end = n < CHUNK_SLOTS - i ? i + n : CHUNK_SLOTS;
	while (i < end && !whole(slots, base, i))
		i++;
	return i < end ? i : CHUNK_SLOTS;
}

/* Slot `i` is not whole. Returns the next whole one if `i` never will be: a handler jumped out of that
 * record, as there is a whole one behind it and no record under way (so nothing up to that one changes any
 * more). Returns `i`: wait; CHUNK_SLOTS: nothing is behind it. */
static uint32_t pass_over(const struct arena_control *control, const struct ipc_event *slots, uint32_t base,
			  uint32_t i)
{
	uint32_t behind = next_whole(slots, base, i + 1, LOOK_AHEAD);
	if (behind == CHUNK_SLOTS)
		return CHUNK_SLOTS;
	if (atomic_load_explicit(&control->ending, memory_order_acquire) != 0)
		return i;
	return next_whole(slots, base, i, behind - i + 1);
}

/* Takes what is whole. `final`: nobody writes to the chunk any more, what is not whole never will be. False:
 * it has whole slots that must wait for one that is not. */
static bool drain(struct source *s, const struct listed *l, bool final)
{
	struct cursor *cursor = &s->cursor[l->chunk];
	const struct arena_control *control = &s->file.controls[l->chunk];
	const struct ipc_event *slots = (const void *)(s->file.slots + (size_t)l->chunk * CHUNK_BYTES);
	uint32_t base = cursor->base, i = cursor->next, next;
	for (; i < CHUNK_SLOTS; cursor->next = i) {
		if (whole(slots, base, i)) {
			i += take(s, l, slots, i);
			continue;
		}
		next = final ? next_whole(slots, base, i, CHUNK_SLOTS) : pass_over(control, slots, base, i);
		if (next == i && whole(slots, base, i))
			continue;
		if (next == i)
			return false;
		if (next == CHUNK_SLOTS)
			break;
		s->counted[IPC_REASON_torn]++;
		i = next;
	}
	return true;
}

/* Calls that tell of themselves at their entry: that such a call did not return says nothing. */
static bool silent_inside(uint32_t call)
{
	return ipc_calls[call].verb == IPC_VERB_exec || ipc_calls[call].verb == IPC_VERB_exit ||
	       ipc_calls[call].verb == IPC_VERB_none;
}

/* The call that the chunk's thread is inside becomes an event that ends now. */
static void tell_inside(struct source *s, const struct listed *l, uint64_t now)
{
	const struct arena_control *control = &s->file.controls[l->chunk];
	uint32_t call = __atomic_load_n(&control->call, __ATOMIC_ACQUIRE);
	struct ipc_event e = {
		.start = control->start,
		.object = control->object,
		.arg0 = control->arg0,
		.arg1 = control->arg1,
		.thread = control->thread,
		.call = call,
		.flags = (control->flags & (IPC_F_NONBLOCK | IPC_F_THREADS | IPC_F_PEEK | IPC_F_SECOND)) |
			 IPC_F_INSIDE,
	};
	atomic_thread_fence(memory_order_acquire);
	if (call == IPC_CALL_none || call >= IPC_CALLS || silent_inside(call) || e.thread == 0 ||
	    __atomic_load_n(&control->call, __ATOMIC_RELAXED) != call || control->start != e.start)
		return;
	e.start = clock_ns(&s->clock, e.start);
	if (e.start > now || e.start == 0) {
		s->counted[IPC_REASON_rejected]++;
		return;
	}
	e.duration = now - e.start;
	hand_over(s, &e);
}

/* The chunk's process, or its image, is no more: nothing will be added. */
static void finish_chunk(struct source *s, const struct listed *l)
{
	drain(s, l, true);
	if (!l->closed)
		tell_inside(s, l, moment(s));
}

/* What a killed recorder left stays as it is: recovering may have to begin anew. */
static void give_back(struct source *s, const struct listed *l)
{
	if (s->resumed) {
		s->cursor[l->chunk].done = true;
		return;
	}
	s->cursor[l->chunk] = (struct cursor){ 0 };
	arena_file_offer(&s->file, l->chunk);
	s->free++;
}

/* --- the journal --- */

static void note(const struct source *s, enum note what, const void *data, size_t size)
{
	journal_put(journal(s), JOURNAL_NOTE, what, data, size);
}

static void note_clock(struct source *s)
{
	const struct clock_line *newest = &s->clock.line[s->clock.lines - 1];
	if (!s->records || !s->clock.lines || newest->ticks == s->noted_line)
		return;
	s->noted_line = newest->ticks;
	note(s, NOTE_CLOCK, newest, sizeof(*newest));
}

static void note_arena(struct source *s)
{
	const struct noted_arena now = { s->claims, s->file.allocated, 0 };
	if (now.claims == s->noted.claims && now.allocated == s->noted.allocated)
		return;
	s->noted = now;
	note(s, NOTE_ARENA, &now, sizeof(now));
}

/* Of the first chunks that are listed, which were drained. Those that are done are given back behind the
 * mark, but not before. */
static void note_cursors(struct source *s, const struct listed *end)
{
	bool any_done = false;
	for (const struct listed *l = s->list; l < end; l++) {
		struct cursor *cursor = &s->cursor[l->chunk];
		const struct noted_cursor now = { l->chunk, cursor->base, cursor->next, l->closed || l->over,
						  cursor->order };
		any_done |= now.done;
		if (!now.done && now.base == cursor->noted_base && now.next == cursor->noted_next)
			continue;
		cursor->noted_base = now.base;
		cursor->noted_next = now.next;
		note(s, NOTE_CURSOR, &now, sizeof(now));
	}
	if (any_done)
		journal_mark(journal(s));
}

/* --- what is counted of semaphores and locks --- */

/* What has been added, or 0: nobody counts faster than the clock, nor back. */
static uint64_t added(struct source *s, uint64_t now, uint64_t *told)
{
	uint64_t n = now - *told;
	*told = now;
	if (n <= s->scan_ns - s->begin_ns)
		return n;
	s->counted[IPC_REASON_rejected]++;
	return 0;
}

static void note_line(const struct source *s, unsigned int i)
{
	const struct noted_line now = { i, s->sync_told[i].sends, s->sync_told[i].receives };
	note(s, NOTE_LINE, &now, sizeof(now));
}

static void tell_line(struct source *s, unsigned int i)
{
	const struct arena_sync_line *line = &s->file.sync->line[i];
	struct sync_told *told = &s->sync_told[i];
	struct collector_count n = {
		.image = atomic_load_explicit(&line->image, memory_order_acquire),
		.last_ns = s->scan_ns,
	};
	uint32_t slot = line->slot;
	if (!n.image || slot >= ARENA_SYNC_OBJECTS)
		return;
	n.from = line->from;
	n.sends = added(s, line->sends, &told->sends);
	n.receives = added(s, line->receives, &told->receives);
	if (!n.sends && !n.receives)
		return;
	note_line(s, i);
	n.object = atomic_load(&s->file.sync->object[slot].object);
	n.doubtful = atomic_load(&s->file.sync->object[slot].doubtful);
	n.first_ns = clock_ns(&s->clock, line->first);
	if (s->resumed && n.first_ns < s->latest_ns)
		n.last_ns = s->latest_ns;
	if (n.first_ns > s->scan_ns || n.first_ns < s->begin_ns)
		n.first_ns = s->scan_ns;
	unsigned int mechanism = ipc_object_mechanism(n.object);
	if (mechanism >= IPC_MECH_posix_sem && mechanism <= IPC_MECH_spin)
		collector_counted(s->collector, COLLECTOR_SHIM, &n);
	else
		s->counted[IPC_REASON_rejected]++;
}

static void tell_lines(struct source *s, bool all)
{
	if (!atomic_load(&s->file.header->sync_lines) || (!all && s->scan_ns - s->sync_ns < SYNC_NS))
		return;
	s->sync_ns = s->scan_ns;
	for (unsigned int i = 0; i < ARENA_SYNC_LINES; i++)
		tell_line(s, i);
}

/* The line is free for others. `image` last but one: then the line may be taken. */
static void clear_line(struct source *s, unsigned int i)
{
	struct arena_sync_line *line = &s->file.sync->line[i];
	atomic_store(&line->owner, UINT32_MAX);
	s->sync_told[i] = (struct sync_told){ 0 };
	note_line(s, i);
	line->sends = line->receives = 0;
	atomic_store_explicit(&line->image, 0, memory_order_release);
	atomic_store_explicit(&line->owner, 0, memory_order_release);
}

static bool is_over(const struct source *s, uint32_t image)
{
	for (unsigned int i = 0; i < s->overs; i++)
		if (s->over[i] == image)
			return true;
	for (const struct owner *dead = s->owners.dead; dead; dead = dead->next_dead)
		if (dead->image == image)
			return true;
	return false;
}

static void each_line_over(struct source *s, void (*what)(struct source *s, unsigned int i))
{
	for (unsigned int i = 0; i < ARENA_SYNC_LINES; i++) {
		uint32_t image = atomic_load_explicit(&s->file.sync->line[i].image, memory_order_acquire);
		if (image && is_over(s, image))
			what(s, i);
	}
}

/* The lines of images that are no more. Where our place in all chunks is noted. */
static void clear_lines(struct source *s)
{
	if (atomic_load(&s->file.header->sync_lines) && (s->overs || s->owners.dead)) {
		each_line_over(s, tell_line);
		journal_mark(journal(s));
		if (!s->resumed)
			each_line_over(s, clear_line);
	}
	s->overs = 0;
}

/* --- processes --- */

static void tell_gone(struct source *s, struct owner *owner)
{
	union record copy;
	if (owner->exited)
		return;
	owner->exited = true;
	copy.def = (struct ipc_def){
		.time = moment(s),
		.gone = { .pid = owner->pid, .status = -1 },
		.call = IPC_DEF_GONE,
	};
	hand_over(s, copy.slots);
}

/* An image introduces itself. What its pid claimed as another image is over: it is of before the exec, or of
 * a dead process that had the same pid, whose end must be told before. */
static void meet_image(struct source *s, const struct listed *here, const struct ipc_def_image *image,
		       uint64_t now)
{
	for (struct owner *dead = s->owners.dead; dead; dead = dead->next_dead)
		if (dead->pid == image->pid)
			tell_gone(s, dead);
	struct owner *owner = owners_find(&s->owners, image->pid);
	if (owner && owner->image == image->image)
		return;
	for (struct listed *l = s->list; l < here; l++)
		if (l->pid == image->pid && l->image != image->image)
			l->over = true;
	bool executed = image->via == IPC_VIA_EXEC || image->via == IPC_VIA_UNSELECTED;
	if (owner && (executed || owner->image == 0)) {
		if (owner->image && s->overs < OVERS)
			s->over[s->overs++] = owner->image;
		owner->image = image->image;
		owner->exited = false;
		return;
	}
	if (owner) {
		tell_gone(s, owner);
		owners_declare_dead(&s->owners, owner);
	}
	owners_add(&s->owners, image->pid, image->image, now);
}

/* Whether the chunk's process died before this poll began. One that was not known is from now on. */
static bool owner_is_dead(struct source *s, const struct listed *l)
{
	const struct owner *owner = owners_find(&s->owners, l->pid);
	if (owner && owner->image == l->image)
		return false;
	for (const struct owner *dead = s->owners.dead; dead; dead = dead->next_dead)
		if (dead->pid == l->pid && dead->image == l->image)
			return true;
	if (!owner)
		owners_add(&s->owners, l->pid, l->image, s->scan_ns);
	return l->pid <= 0;
}

static void check_owners(struct source *s, bool now)
{
	bool shortage = s->free * 4 < s->file.allocated;
	if (!now && s->scan_ns - s->checked_ns < (shortage ? CHECK_NS / 10 : CHECK_NS))
		return;
	s->checked_ns = s->scan_ns;
	for (unsigned int n = now ? s->owners.unwatched_count / OWNERS_BATCH : 0; n; n--)
		owners_check(&s->owners);
	owners_check(&s->owners);
}

/* --- the scan --- */

/* A chunk that is owned and cannot be drained yet: it has no base, or one from after the scan's start. True:
 * it is so for too long, because its process died in the middle of the claim or wrote nonsense. */
static bool claim_is_stuck(struct source *s, struct cursor *cursor, int pid)
{
	if (!cursor->claiming_ns)
		*cursor = (struct cursor){ .claiming_ns = s->scan_ns };
	return s->scan_ns - cursor->claiming_ns >= CLAIMING_NS && !owners_alive(pid, cursor->claiming_ns);
}

/* Looks up, or gives, the chunk's place in the order. False: it was claimed after the scan began. */
static bool place(struct source *s, struct cursor *cursor, uint32_t base)
{
	if (base == 0)
		return false;
	if (base == cursor->base && !cursor->claiming_ns)
		return !cursor->done;
	int64_t ahead = (int32_t)(base - (uint32_t)s->claims);
	if (ahead > 0)
		return false;
	*cursor = (struct cursor){ .order = s->claims + ahead, .seen_ns = s->previous_scan_ns, .base = base };
	return true;
}

/* Lists the chunk if it is owned. True: it is free. */
static bool look_at(struct source *s, uint32_t chunk)
{
	struct arena_control *control = &s->file.controls[chunk];
	struct cursor *cursor = &s->cursor[chunk];
	uint64_t owner = atomic_load_explicit(&control->owner, memory_order_acquire);
	uint32_t state = (uint32_t)owner;
	int pid = (int)(owner >> 32);
	if (owner == 0) {
		cursor->claiming_ns = 0;
		return true;
	}
	uint32_t base = atomic_load_explicit(&control->base, memory_order_acquire);
	bool sane = state == ARENA_OWNED || (state == ARENA_CLOSED && base != 0);
	if (!sane || !place(s, cursor, base)) {
		if (s->resumed || (sane && !claim_is_stuck(s, cursor, pid)))
			return false;
		s->counted[IPC_REASON_rejected] += state > ARENA_CLOSED || state == ARENA_FREE;
		*cursor = (struct cursor){ 0 };
		arena_file_offer(&s->file, chunk);
		return true;
	}
	s->list[s->listed++] = (struct listed){
		.order = cursor->order,
		.chunk = chunk,
		.image = control->image,
		.pid = pid,
		.closed = state == ARENA_CLOSED,
	};
	return false;
}

static int by_order(const void *a, const void *b)
{
	uint64_t x = ((const struct listed *)a)->order, y = ((const struct listed *)b)->order;
	return (x > y) - (x < y);
}

/* Free chunks whose hint got lost get it again: a producer that loses a race for a chunk clears the hint
 * late. */
static void scan(struct source *s)
{
	struct arena_header *h = s->file.header;
	uint32_t claims = atomic_load(&h->claims) * CHUNK_SLOTS + 1;
	s->claims += claims - (uint32_t)s->claims;
	s->listed = s->free = 0;
	for (uint32_t first = 0; first < s->file.allocated; first += 64) {
		uint64_t free = 0;
		for (uint32_t chunk = first; chunk < first + 64 && chunk < s->file.allocated; chunk++)
			free |= (uint64_t)look_at(s, chunk) << chunk % 64;
		s->free += __builtin_popcountll(free);
		if (free & ~atomic_load_explicit(&h->free_map[first / 64], memory_order_relaxed))
			atomic_fetch_or(&h->free_map[first / 64], free);
	}
	qsort(s->list, s->listed, sizeof(s->list[0]), by_order);
}

static void tell_watermark(struct source *s, uint64_t held, uint64_t left)
{
	uint64_t complete = held + HOLD_BACK_NS < s->scan_ns ? s->scan_ns - HOLD_BACK_NS : held;
	complete = (left < complete ? left : complete) - STAMP_SLACK_NS;
	if (complete > s->watermark)
		s->watermark = complete;
	collector_watermark(s->collector, COLLECTOR_SHIM, s->watermark);
}

/* Drains what is listed: all, or until BATCH records are out. The rest of a burst waits in the arena, which
 * is bounded, not in the collector's memory, which is not. Everything that ended before a chunk's seen_ns has
 * been handed over. `ending` is read before the slots: what was stamped before the scan is then whole, or
 * will hold `ending`. */
static void drain_listed(struct source *s, bool all)
{
	struct listed *const end = s->list + s->listed, *l = s->list;
	uint64_t held = s->scan_ns, left = s->scan_ns;
	for (; l < end && (all || s->records < BATCH); l++) {
		struct cursor *cursor = &s->cursor[l->chunk];
		struct arena_control *control = &s->file.controls[l->chunk];
		bool ending = atomic_load_explicit(&control->ending, memory_order_acquire) != 0;
		l->over |= owner_is_dead(s, l);
		if (drain(s, l, l->closed || l->over) && !ending)
			cursor->seen_ns = s->scan_ns;
		if (!l->closed && !l->over && cursor->seen_ns < held)
			held = cursor->seen_ns;
	}
	for (const struct listed *done = s->list; done < l; done++)
		if (done->closed || done->over)
			finish_chunk(s, done);
	note_clock(s);
	note_arena(s);
	note_cursors(s, l);
	for (const struct listed *done = s->list; done < l; done++)
		if (done->closed || done->over)
			give_back(s, done);
	for (const struct listed *rest = l; rest < end; rest++)
		if (s->cursor[rest->chunk].seen_ns < left)
			left = s->cursor[rest->chunk].seen_ns;
	for (struct owner *dead = s->owners.dead; dead && l == end; dead = dead->next_dead)
		tell_gone(s, dead);
	if (l == end) {
		clear_lines(s);
		owners_forget(&s->owners);
	}
	tell_watermark(s, held, left);
}

static void tell_counted(struct source *s)
{
	for (unsigned int reason = 0; reason < IPC_REASONS; reason++) {
		if (s->counted[reason])
			collector_loss(s->collector, COLLECTOR_SHIM, reason, 0, NULL, s->counted[reason]);
		s->counted[reason] = 0;
	}
}

static void poll_once(struct source *s, bool end)
{
	struct arena_file *file = &s->file;
	s->previous_scan_ns = s->scan_ns;
	s->scan_ns = clock_sample(&s->clock);
	check_owners(s, end);
	scan(s);
	if (s->free * 4 < file->allocated && !end)
		arena_file_grow(file);
	drain_listed(s, end);
	tell_lines(s, false);
	if (s->free * 8 >= file->allocated && !end)
		atomic_store_explicit(&file->header->full, 0, memory_order_relaxed);
	tell_counted(s);
}

/* --- the end --- */

static bool any_ending(const struct source *s)
{
	for (const struct listed *l = s->list; l < s->list + s->listed; l++)
		if (!l->closed && !l->over && atomic_load(&s->file.controls[l->chunk].ending))
			return true;
	return false;
}

/* Processes whose definition was dropped: their totals are theirs. */
static void tell_unseen(struct source *s)
{
	for (unsigned int i = 0; i < ARENA_UNSEEN; i++) {
		const struct arena_unseen *u = &s->file.header->unseen[i];
		union record copy;
		if (!atomic_load(&u->image) || !atomic_load_explicit(&u->whole, memory_order_acquire))
			continue;
		memset(&copy.slots[1], 0, IPC_SLOT);
		memcpy(&copy.slots[1], u->comm, sizeof(u->comm) - 1);
		copy.def = (struct ipc_def){ .time = u->time, .call = IPC_DEF_IMAGE };
		copy.def.image = u->def;
		copy.def.text =
			((char *)&copy.slots[1])[0] ? sizeof(u->comm) + 3 : 0; /* comm, and nothing more */
		take_definition(s, s->list, &copy);
	}
}

/* Nobody counts faster than the clock; and of the rest, no sum of what the table holds overflows. */
static bool can_be(const struct source *s, uint64_t moved, uint64_t bytes)
{
	return moved <= s->scan_ns - s->begin_ns && bytes <= INT64_MAX / ARENA_OVERFLOW / 2;
}

/* What was dropped of an endpoint: of its sends, or its receives. */
static void tell_overflow(struct source *s, const struct arena_overflow *o, uint8_t verb, uint64_t moved,
			  uint64_t bytes, uint64_t spent)
{
	uint64_t now = moment(s);
	const struct collector_total t = {
		.image = o->image,
		.verb = verb,
		.dropped = true,
		.object = o->object,
		.calls = moved,
		.moved = moved,
		.bytes = bytes,
		.moved_ns = clock_span(&s->clock, spent),
	};
	if (moved && can_be(s, moved, bytes) && can_be(s, t.moved_ns / ARENA_OVERFLOW, 0))
		collector_total(s->collector, COLLECTOR_SHIM, now, &t);
	else if (moved)
		s->counted[IPC_REASON_rejected]++;
}

/* Whether a program's file is why it was not entered. A process that is not chosen only counts those that it
 * starts and that are: they have the name that is chosen. All others tell whom they start. */
static bool is_of_chosen(enum ipc_reason reason)
{
	return reason == IPC_REASON_static_exe || reason == IPC_REASON_setuid ||
	       reason == IPC_REASON_other_arch || reason == IPC_REASON_other_libc;
}

static void tell_lost(struct source *s, enum ipc_reason reason)
{
	const struct arena_header *h = s->file.header;
	uint64_t n = atomic_load(&h->lost[reason]);
	char comm[sizeof(h->comm)];
	snprintf(comm, sizeof(comm), "%.*s", (int)sizeof(comm) - 1, h->comm);
	if (!can_be(s, n, 0))
		s->counted[IPC_REASON_rejected]++;
	else if (n && *comm && is_of_chosen(reason))
		collector_loss(s->collector, COLLECTOR_SHIM, reason, 0, comm, n);
	else
		s->counted[reason] += n;
}

static void tell_number(struct source *s, const char *key, uint64_t n)
{
	char number[24];
	snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
	collector_meta(s->collector, key, number);
}

static void tell_blocked(struct source *s)
{
	const struct arena_header *h = s->file.header;
	uint64_t ns = atomic_load(&h->blocked_ns), claims = atomic_load(&h->blocked_claims);
	if (!can_be(s, ns / ARENA_CHUNKS_MAX, 0) || !can_be(s, claims, 0)) {
		s->counted[IPC_REASON_rejected]++;
		ns = claims = 0;
	}
	tell_number(s, "blocked_ns", ns);
	tell_number(s, "blocked_claims", claims);
}

static void tell_totals(struct source *s)
{
	const struct arena_header *h = s->file.header;
	tell_lines(s, true);
	tell_unseen(s);
	for (unsigned int i = 0; i < ARENA_OVERFLOW; i++) {
		const struct arena_overflow *o = &h->overflow[i];
		if (!o->key || !o->whole)
			continue;
		tell_overflow(s, o, IPC_VERB_send, o->sends, o->bytes_sent, o->sent_time);
		tell_overflow(s, o, IPC_VERB_recv, o->recvs, o->bytes_received, o->received_time);
	}
	for (unsigned int reason = 0; reason < IPC_REASONS; reason++)
		tell_lost(s, reason);
	tell_blocked(s);
	tell_counted(s);
}

/* Twice: what was claimed after the first scan began is found by the second. */
static void end_recording(struct source *s)
{
	const struct timespec moment = { .tv_nsec = 100000 };
	atomic_store(&s->file.header->stop, 1);
	poll_once(s, true);
	for (uint64_t start = s->scan_ns; any_ending(s) && clock_sample(&s->clock) - start < ENDING_NS;)
		nanosleep(&moment, NULL);
	poll_once(s, true);
	for (const struct listed *l = s->list; l < s->list + s->listed; l++)
		if (!l->closed && !l->over)
			tell_inside(s, l, clock_sample(&s->clock));
	tell_totals(s);
	note(s, NOTE_ENDED, NULL, 0);
}

static long shim_poll(struct source *s, struct collector *c, bool end)
{
	s->collector = c;
	s->records = 0;
	if (end && !s->ended)
		end_recording(s);
	else if (!end)
		poll_once(s, false);
	return s->records;
}

/* --- the source --- */

/* Without the shim: the arena and who watches it. */
static int source_make(struct source **out, size_t buffer, char *error, size_t error_size)
{
	struct source *s = calloc(1, sizeof(*s));
	if (!s) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	int ret = owners_open(&s->owners);
	if (ret) {
		snprintf(error, error_size, "cannot watch processes: %s", strerror(-ret));
		free(s);
		return ret;
	}
	enum arena_clock kind = clock_choose();
	clock_start(&s->clock, kind);
	ret = arena_file_open(&s->file, kind, buffer, error, error_size);
	if (ret) {
		owners_close(&s->owners);
		free(s);
		return ret;
	}
	s->begin_ns = s->scan_ns = clock_sample(&s->clock);
	s->free = s->file.allocated;
	*out = s;
	return 0;
}

struct arena_file *shim_arena(struct source *shim)
{
	return &shim->file;
}

static void library_beside(const char *shim, bool symbols, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%.*s%s", (int)(strrchr(shim, '/') + 1 - shim), shim,
		 symbols ? SHIM_SYMBOLS : SHIM_PLAIN);
}

/* Processes are told of whatever they do: who is whose child stands in all that is recorded. */
static void select_all(struct arena_header *h, const struct selection *what)
{
	memcpy(h->comm, what->comm, sizeof(h->comm));
	h->alone = what->alone;
	h->mechanisms = ipc_mechanisms_behind(what->mechanisms) | 1ULL << IPC_MECH_process;
}

static int shim_open(struct source **out, const struct source_settings *settings, char *error,
		     size_t error_size)
{
	char *shim = find_beside("libipctrace.so"), symbols[PATH_MAX];
	if (shim)
		library_beside(shim, true, symbols);
	if (!shim || (settings->no_patch && access(symbols, R_OK))) {
		snprintf(error, error_size,
			 "%s is neither beside ipctrace nor in ../lib/ipctrace; "
			 "build it with make, or install ipctrace again",
			 shim ? SHIM_SYMBOLS : SHIM_PLAIN);
		free(shim);
		return -ENOENT;
	}
	int ret = source_make(out, settings->buffer, error, error_size);
	if (ret) {
		free(shim);
		return ret;
	}
	(*out)->shim = shim;
	(*out)->file.header->no_patch = settings->no_patch;
	(*out)->file.header->window = settings->window;
	(*out)->file.header->capture = settings->capture;
	if (settings->drop)
		(*out)->file.header->block_us = 0;
	select_all((*out)->file.header, settings->what);
	return 0;
}

static int shim_attach(struct source *s, pid_t child, enum ipc_reason *outside)
{
	(void)s;
	(void)child;
	(void)outside;
	return 0;
}

/* What the command may not do, we may not either: as it is with MDWE, and SELinux's execmem. */
static bool may_make_code(void)
{
	const size_t size = 4096;
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool may = page != MAP_FAILED && !mprotect(page, size, PROT_READ | PROT_EXEC);
	if (page != MAP_FAILED)
		munmap(page, size);
	return may;
}

static char **shim_environment(struct source *s, char **envp)
{
	char library[PATH_MAX];
	library_beside(s->shim, true, library);
	if (access(library, R_OK) || (!s->file.header->no_patch && may_make_code()))
		library_beside(s->shim, false, library);
	const struct environment e = { .shim = library, .arena = s->file.path };
	free(s->environment);
	s->environment = malloc(environment_size(envp, &e));
	if (!s->environment)
		return NULL;
	return environment_write(s->environment, envp, &e);
}

static void shim_close(struct source *s)
{
	arena_file_close(&s->file);
	owners_close(&s->owners);
	free(s->environment);
	free(s->shim);
	free(s);
}

static void shim_sync(struct source *s, unsigned int mode)
{
	s->file.header->sync = mode;
}

static int shim_sample(struct source *s, unsigned int ms, char *error, size_t error_size)
{
	int err = sampling_check();
	if (err) {
		snprintf(error, error_size,
			 "cannot sample shared memory: %s (Linux 6.7 or later with userfaultfd is needed)",
			 strerror(-err));
		return err;
	}
	s->file.header->sample_interval = sampling_interval(s->file.header->clock, ms);
	return 0;
}

/* --- after a recorder that was killed --- */

int source_resume(struct source **out, struct session *session, uint64_t start_ns)
{
	struct source *s = calloc(1, sizeof(*s));
	int ret = s ? owners_open(&s->owners) : -ENOMEM;
	if (ret) {
		free(s);
		return ret;
	}
	clock_start(&s->clock, session->clock == ARENA_CLOCK_TSC ? ARENA_CLOCK_TSC : ARENA_CLOCK_MONOTONIC);
	s->file = (struct arena_file){ .folder_fd = -1, .fd = -1 };
	s->resumed = true;
	s->begin_ns = s->latest_ns = start_ns;
	s->noted.allocated = arena_file_first(session->chunks);
	*out = s;
	return 0;
}

static void resume_cursor(struct source *s, const struct noted_cursor *n)
{
	if (n->chunk >= ARENA_CHUNKS_MAX || n->next > CHUNK_SLOTS)
		return;
	s->cursor[n->chunk] = (struct cursor){ .order = n->order, .base = n->base, .next = n->next };
	s->cursor[n->chunk].done = n->done;
}

static void resume_note(struct source *s, enum note what, const void *data, size_t size)
{
	const struct noted_line *l = data;
	if (what == NOTE_CURSOR && size == sizeof(struct noted_cursor))
		resume_cursor(s, data);
	else if (what == NOTE_LINE && size == sizeof(*l) && l->line < ARENA_SYNC_LINES)
		s->sync_told[l->line] = (struct sync_told){ l->sends, l->receives };
	else if (what == NOTE_ARENA && size == sizeof(s->noted))
		memcpy(&s->noted, data, size);
	else if (what == NOTE_CLOCK && size == sizeof(struct clock_line))
		clock_resume(&s->clock, *(const struct clock_line *)data);
	else if (what == NOTE_ENDED)
		s->ended = true;
}

/* Who lives, as it was followed while the records came. */
static void resume_owner(struct source *s, const struct ipc_def *def)
{
	bool image = def->call == IPC_DEF_IMAGE, gone = def->call == IPC_DEF_GONE;
	int pid = image ? def->image.pid : gone ? def->gone.pid : 0;
	struct owner *owner = pid > 0 ? owners_find(&s->owners, pid) : NULL;
	if (owner && (gone || def->image.via == IPC_VIA_FORK)) {
		if (owner->image || gone) {
			owners_declare_dead(&s->owners, owner);
			owners_forget(&s->owners);
			owner = NULL;
		}
	}
	if (!image)
		return;
	if (!owner)
		owner = owners_add(&s->owners, pid, def->image.image, def->time);
	if (owner)
		owner->image = def->image.image;
}

void source_resume_op(struct source *s, struct collector *c, enum journal_op op, unsigned int of,
		      const void *data, size_t size)
{
	const struct ipc_event *e = data;
	const struct ipc_def *def = data;
	if (op == JOURNAL_NOTE) {
		resume_note(s, of, data, size);
		return;
	}
	collector_resume_op(c, op, of, data, size);
	if (of != COLLECTOR_SHIM || size < IPC_SLOT)
		return;
	if (op == JOURNAL_EVENT && e->call < IPC_CALLS) {
		follow_process(s, e);
		seen_until(s, e->start + e->duration);
	} else if (op == JOURNAL_DEFINITION) {
		resume_owner(s, def);
		seen_until(s, def->time);
	}
}

int source_resume_arena(struct source *s, struct session *session)
{
	int ret = arena_file_resume(&s->file, session, s->noted.allocated);
	if (ret)
		return ret;
	s->claims = s->noted.claims;
	s->scan_ns = s->previous_scan_ns = clock_sample(&s->clock);
	return 0;
}

void source_resume_close(struct source *s, struct session *session, bool removed)
{
	if (!removed && s->file.folder_fd >= 0) {
		session->folder_fd = s->file.folder_fd;
		arena_file_leave(&s->file);
	}
	shim_close(s);
}

uint64_t source_resume_end(const struct source *s)
{
	return owners_any(&s->owners) ? s->scan_ns : s->latest_ns;
}

const struct source_ops source_shim = {
	.name = "shim",
	.open = shim_open,
	.sync = shim_sync,
	.sample = shim_sample,
	.attach = shim_attach,
	.environment = shim_environment,
	.poll = shim_poll,
	.arena = shim_arena,
	.close = shim_close,
};
