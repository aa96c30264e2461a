// SPDX-License-Identifier: BSD-2-Clause
/*
 * A process's mappings are sorted by their addresses and do not overlap. What a call is about to unmap leaves
 * them when the call begins, since another thread may be given the addresses before it ends, and waits with
 * the call. Processes that share all memory (vfork, CLONE_VM) share the table.
 */
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "collector.h"
#include "regions.h"
#include "tables.h"

enum { TOLD = 4096, PAGE_SHIFT = 12, KEPT_PROTECTION = PROT_READ | PROT_WRITE | PROT_EXEC };

struct mapping {
	uint64_t start, end, offset, object, inode;
	uint32_t dev_major, dev_minor;
	uint8_t protection;
	bool own; /* children do not get it (MADV_DONTFORK) */
};

struct list {
	struct mapping *at;
	size_t n, room;
};

/* A call that has begun, by its thread. */
struct pending {
	struct pending *next;
	struct raw begin;
	struct list taken; /* what it is about to unmap */
	struct list seen;  /* what is there although it failed; of it `start`, `end` and `protection` */
};

struct space {
	unsigned int users;
	struct list maps;
	struct pending *pending;
};

struct process {
	uint32_t image;
	struct space *space;
};

struct regions {
	void *processes; /* of tsearch(3), by image */
	uint64_t told[TOLD];
	struct collector *c; /* of the record that is being taken */
};

/* ---- lists ---- */

static void no_memory(struct regions *rs)
{
	collector_loss(rs->c, COLLECTOR_BPF, IPC_REASON_many_maps, 0, NULL, 1);
}

static void insert(struct regions *rs, struct list *l, size_t i, const struct mapping *m)
{
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 8;
		struct mapping *at = realloc(l->at, room * sizeof(*at));
		if (!at) {
			no_memory(rs);
			return;
		}
		l->at = at;
		l->room = room;
	}
	memmove(&l->at[i + 1], &l->at[i], (l->n - i) * sizeof(*l->at));
	l->at[i] = *m;
	l->n++;
}

static void append(struct regions *rs, struct list *l, const struct mapping *m)
{
	insert(rs, l, l->n, m);
}

/* The first that ends behind `address`. */
static size_t find(const struct list *l, uint64_t address)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (l->at[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct mapping part_of(const struct mapping *m, uint64_t start, uint64_t end)
{
	struct mapping part = *m;

	if (start > m->start) {
		part.start = start;
		part.offset += start - m->start;
	}
	if (end < m->end)
		part.end = end;
	return part;
}

/* Makes `at` the border of two mappings, where it is within one. */
static void split(struct regions *rs, struct list *l, uint64_t at)
{
	size_t i = find(l, at);

	if (i == l->n || l->at[i].start >= at)
		return;
	struct mapping behind = part_of(&l->at[i], at, UINT64_MAX);
	l->at[i].end = at;
	insert(rs, l, i + 1, &behind);
}

/* Takes out what lies in the range; `out`: appended to it, or NULL. */
static void take(struct regions *rs, struct list *l, uint64_t start, uint64_t end, struct list *out)
{
	size_t first, last;

	if (start >= end)
		return;
	split(rs, l, start);
	split(rs, l, end);
	first = last = find(l, start);
	for (; last < l->n && l->at[last].start < end; last++)
		if (out)
			append(rs, out, &l->at[last]);
	if (last == first)
		return;
	memmove(&l->at[first], &l->at[last], (l->n - last) * sizeof(*l->at));
	l->n -= last - first;
}

static void add(struct regions *rs, struct list *l, const struct mapping *m)
{
	if (m->start >= m->end)
		return;
	take(rs, l, m->start, m->end, NULL);
	insert(rs, l, find(l, m->start), m);
}

static uint64_t page_up(uint64_t at)
{
	const uint64_t rest = ((uint64_t)1 << PAGE_SHIFT) - 1;
	return (at + rest) & ~rest;
}

/* ---- processes ---- */

static int compare(const void *a, const void *b)
{
	uint32_t x = ((const struct process *)a)->image, y = ((const struct process *)b)->image;
	return x < y ? -1 : x > y;
}

static struct process *process_find(const struct regions *rs, uint32_t image)
{
	const struct process key = { .image = image };
	void *found = tfind(&key, &rs->processes, compare);
	return found ? *(struct process **)found : NULL;
}

static void free_pending(struct pending *p)
{
	free(p->taken.at);
	free(p->seen.at);
	free(p);
}

static void free_space(struct space *s)
{
	if (--s->users)
		return;
	for (struct pending *p = s->pending, *next; p; p = next) {
		next = p->next;
		free_pending(p);
	}
	free(s->maps.at);
	free(s);
}

static void free_process(void *process)
{
	free_space(((struct process *)process)->space);
	free(process);
}

/* Makes the image known, with `space` or (NULL) an empty one. */
static struct process *process_add(struct regions *rs, uint32_t image, struct space *space)
{
	struct process *p = malloc(sizeof(*p));
	struct space *s = space ? space : calloc(1, sizeof(*s));

	if (p && s) {
		*p = (struct process){ image, s };
		s->users++;
		if (tsearch(p, &rs->processes, compare))
			return p;
		s->users--;
	}
	free(p);
	if (!space)
		free(s);
	no_memory(rs);
	return NULL;
}

static struct space *space_of(struct regions *rs, uint32_t image)
{
	struct process *p = process_find(rs, image);
	if (!p)
		p = process_add(rs, image, NULL);
	return p ? p->space : NULL;
}

bool regions_has(const struct regions *rs, uint32_t image)
{
	return process_find(rs, image);
}

void regions_gone(struct regions *rs, uint32_t image)
{
	struct process *p = process_find(rs, image);

	if (!p)
		return;
	tdelete(p, &rs->processes, compare);
	free_process(p);
}

struct regions *regions_new(void)
{
	return calloc(1, sizeof(struct regions));
}

void regions_free(struct regions *rs)
{
	if (rs)
		tdestroy(rs->processes, free_process);
	free(rs);
}

/* ---- events ---- */

static struct ipc_event event_of(const struct raw *raw, uint32_t call, const struct mapping *m,
				 int64_t result, uint16_t flags)
{
	struct ipc_event e = raw->event;

	e.call = (uint16_t)call;
	e.flags |= flags;
	e.object = m->object;
	e.result = result < 0 ? result : 0;
	e.arg0 = ipc_arg0((uint32_t)e.arg0, m->protection);
	e.arg1 = m->end - m->start;
	e.tag = (uint32_t)(m->offset >> PAGE_SHIFT);
	e.seq = 0;
	return e;
}

static void tell(struct regions *rs, const struct raw *raw, uint32_t call, const struct mapping *m,
		 int64_t result, uint16_t flags)
{
	struct ipc_event e = event_of(raw, call, m, result, flags);
	collector_record(rs->c, COLLECTOR_BPF, &e);
}

static uint64_t mix(uint64_t h, uint64_t value)
{
	h = (h ^ value) * 0xbf58476d1ce4e5b9ULL;
	return h ^ h >> 31;
}

/* As descriptor_define() of the shim does it. */
static uint64_t define(struct regions *rs, enum ipc_mechanism mechanism, const struct ipc_def_object *object,
		       const char *name)
{
	union {
		struct ipc_event slots[2];
		struct {
			struct ipc_def def;
			char text[IPC_SLOT];
		};
	} d = { .def = { .call = IPC_DEF_OBJECT, .object = *object } };
	uint64_t device = (uint64_t)object->dev_major << 32 | object->dev_minor;
	uint64_t id = ipc_object(mechanism, mix(mix(mix(1, device), object->inode), object->generation));
	uint64_t *place = &rs->told[id % TOLD];

	if (*place == id)
		return id;
	d.def.object.object = *place = id;
	if (name)
		d.def.text = (uint16_t)snprintf(d.text, sizeof(d.text), "%s", name);
	collector_record(rs->c, COLLECTOR_BPF, d.slots);
	return id;
}

/* ---- what only the kernel knows ---- */

/* What was mapped at `m->start`, where the program could not ask, as other threads changed mappings all the
 * time. It has an object, or else is anonymous memory. */
static bool ask_maps(struct regions *rs, int32_t pid, struct mapping *m)
{
	char path[40], line[512], can[4];
	unsigned long long start, end, offset, inode;
	unsigned int major, minor;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%llx-%llx %3s%*c %llx %x:%x %llu", &start, &end, can, &offset, &major,
			       &minor, &inode) == 7 &&
			start == m->start;
	if (f)
		fclose(f);
	if (!found) {
		collector_loss(rs->c, COLLECTOR_BPF, IPC_REASON_no_identity, pid, NULL, 1);
		return false;
	}
	m->end = end;
	m->offset = offset;
	m->protection = (uint8_t)((can[0] == 'r' ? PROT_READ : 0) | (can[1] == 'w' ? PROT_WRITE : 0) |
				  (can[2] == 'x' ? PROT_EXEC : 0));
	m->dev_major = major;
	m->dev_minor = minor;
	if (m->object)
		return true;
	m->inode = inode;
	const struct ipc_def_object file = { .inode = inode, .dev_major = major, .dev_minor = minor };
	m->object = define(rs, IPC_MECH_mmap, &file, "anonymous");
	return true;
}

/* ---- calls ---- */

static struct pending **pending_of(struct space *s, uint32_t thread)
{
	struct pending **link = &s->pending;
	while (*link && (*link)->begin.event.thread != thread)
		link = &(*link)->next;
	return link;
}

static struct pending *pending_new(struct regions *rs, struct space *s, const struct raw *raw)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		no_memory(rs);
		return NULL;
	}
	p->begin = *raw;
	p->next = s->pending;
	s->pending = p;
	return p;
}

/* All that is left of what shmat attached at `start`. */
static void take_attached(struct regions *rs, struct space *s, uint64_t start, struct list *out)
{
	uint64_t object = 0;

	for (size_t i = 0; i < s->maps.n;) {
		const struct mapping m = s->maps.at[i];
		if (ipc_object_mechanism(m.object) != IPC_MECH_sysv_shm || m.start - m.offset != start ||
		    (object && object != m.object)) {
			i++;
			continue;
		}
		object = m.object;
		take(rs, &s->maps, m.start, m.end, out);
	}
}

static void take_range(struct regions *rs, struct space *s, uint64_t start, uint64_t size, struct list *out)
{
	if (page_up(start) == start) /* else the call fails */
		take(rs, &s->maps, start, page_up(start + size), out);
}

static void begin(struct regions *rs, struct space *s, const struct raw *raw, uint32_t call)
{
	const __u64 *arg = raw->arg;
	struct pending **old = pending_of(s, raw->event.thread), *p = *old;

	if (p) { /* its end was lost */
		*old = p->next;
		free_pending(p);
	}
	p = pending_new(rs, s, raw);
	if (!p)
		return;
	if (call == IPC_CALL_shmdt)
		take_attached(rs, s, arg[0], &p->taken);
	else if (call != IPC_CALL_mmap || (arg[3] & MAP_FIXED && !(arg[3] & MAP_FIXED_NOREPLACE)))
		take_range(rs, s, arg[0], arg[1], &p->taken);
	if (call == IPC_CALL_mremap && arg[3] & MREMAP_FIXED)
		take_range(rs, s, arg[4], arg[2], &p->taken);
}

/* Puts back what is there although the call failed. Returns whether all is. */
static bool put_back(struct regions *rs, struct space *s, const struct list *seen, const struct mapping *m)
{
	uint64_t reached = m->start;

	for (size_t i = 0; i < seen->n; i++) {
		if (seen->at[i].end <= m->start || seen->at[i].start >= m->end)
			continue;
		struct mapping part = part_of(m, seen->at[i].start, seen->at[i].end);
		reached = part.start == reached ? part.end : reached;
		add(rs, &s->maps, &part);
	}
	return reached == m->end;
}

/* What was taken has gone, or is there still where the call failed. `flags`: of the first event. */
static void finish(struct regions *rs, struct space *s, const struct pending *p, const struct raw *raw,
		   uint32_t call, uint16_t flags)
{
	bool takes_only = ipc_calls[call].verb == IPC_VERB_unmap;

	for (size_t i = 0; i < p->taken.n; i++) {
		const struct mapping *m = &p->taken.at[i];
		bool left = raw->event.result < 0 && put_back(rs, s, &p->seen, m);
		if (left && call == IPC_CALL_mmap)
			continue;
		tell(rs, raw, call, m, left ? raw->event.result : 0,
		     flags | (takes_only || left ? 0 : IPC_F_SECOND));
		flags = IPC_F_PART;
	}
}

static struct mapping mapping_of(const struct raw *raw)
{
	struct mapping m = {
		.start = raw->start,
		.end = raw->end,
		.offset = raw->offset,
		.object = raw->event.object,
		.inode = raw->inode,
		.dev_major = raw->dev_major,
		.dev_minor = raw->dev_minor,
		.protection = raw->protection,
	};

	if (ipc_object_mechanism(m.object) == IPC_MECH_sysv_shm)
		m.inode = (uint64_t)raw->ipcns << 32 | (uint32_t)m.object;
	return m;
}

/* Anonymous memory was looked at when the call had ended, a file when it began. */
static bool map_of(struct regions *rs, const struct pending *p, const struct raw *raw, struct mapping *m)
{
	int64_t result = raw->event.result;

	*m = mapping_of(raw->end ? raw : &p->begin);
	if (!raw->shares || (!m->object && result < 0))
		return false;
	if (raw->end)
		return true;
	m->start = result < 0 ? 0 : (uint64_t)result;
	m->end = m->start + page_up(raw->arg[1]);
	m->offset = raw->arg[5];
	m->protection = raw->arg[2] & KEPT_PROTECTION;
	return m->object || ask_maps(rs, raw->pid, m);
}

static void end_mmap(struct regions *rs, struct space *s, struct pending *p, const struct raw *raw)
{
	struct mapping m;
	bool shared = map_of(rs, p, raw, &m);

	if (shared)
		tell(rs, raw, IPC_CALL_mmap, &m, raw->event.result, 0);
	finish(rs, s, p, raw, IPC_CALL_mmap, shared ? IPC_F_PART : 0);
	if (shared && raw->event.result >= 0)
		add(rs, &s->maps, &m);
}

static void end_shmat(struct regions *rs, struct space *s, struct pending *p, const struct raw *raw)
{
	struct mapping m = mapping_of(raw);

	if (raw->event.result >= 0) {
		m.start = (uint64_t)raw->event.result;
		if (!m.end && !ask_maps(rs, raw->pid, &m))
			return;
		take(rs, &s->maps, m.start, m.end, &p->taken); /* SHM_REMAP */
	}
	tell(rs, raw, IPC_CALL_shmat, &m, raw->event.result, 0);
	finish(rs, s, p, raw, IPC_CALL_shmat, IPC_F_PART);
	if (raw->event.result >= 0)
		add(rs, &s->maps, &m);
}

/* What mremap was given of a mapping, where it is now. */
static struct mapping moved(const struct raw *raw, const struct mapping *m)
{
	uint64_t old = raw->arg[0], old_size = page_up(raw->arg[1]), size = page_up(raw->arg[2]);
	uint64_t to = (uint64_t)raw->event.result;
	struct mapping new = old_size ? *m : part_of(m, old, m->end);

	new.start += to - old;
	new.end += to - old;
	if (!old_size || (m->end == old + old_size && size > old_size))
		new.end = to + size;
	return part_of(&new, 0, to + size);
}

static uint16_t tell_moved(struct regions *rs, struct space *s, const struct raw *raw,
			   const struct mapping *m, uint16_t flags)
{
	struct mapping new = moved(raw, m);

	if (new.start >= new.end) /* cut off */
		return flags;
	add(rs, &s->maps, &new);
	tell(rs, raw, IPC_CALL_mremap, &new, 0, flags);
	return IPC_F_PART;
}

/* May have moved several mappings, or have made a second one of the same memory. */
static void end_mremap(struct regions *rs, struct space *s, struct pending *p, const struct raw *raw)
{
	uint64_t old = raw->arg[0], end = old + page_up(raw->arg[1]);
	size_t source = find(&s->maps, old), taken = raw->event.result < 0 ? 0 : p->taken.n;
	uint16_t flags = 0;

	if (raw->event.result >= 0 && old == end && source < s->maps.n && s->maps.at[source].start <= old) {
		struct mapping m = s->maps.at[source];
		flags = tell_moved(rs, s, raw, &m, 0);
	}
	for (size_t i = 0; i < taken; i++)
		if (p->taken.at[i].start >= old && p->taken.at[i].end <= end)
			flags = tell_moved(rs, s, raw, &p->taken.at[i], flags);
	for (size_t i = 0; i < taken && raw->arg[3] & MREMAP_DONTUNMAP; i++) {
		if (p->taken.at[i].start < old || p->taken.at[i].end > end)
			continue;
		add(rs, &s->maps, &p->taken.at[i]);
		tell(rs, raw, IPC_CALL_mremap, &p->taken.at[i], 0, IPC_F_PART);
	}
	finish(rs, s, p, raw, IPC_CALL_mremap, flags);
}

/* Whether the kernel said that what is at `m->start` has this protection. */
static bool is_protected(const struct list *seen, const struct mapping *m, uint8_t protection)
{
	for (size_t i = 0; i < seen->n; i++)
		if (seen->at[i].start <= m->start && m->start < seen->at[i].end)
			return seen->at[i].protection == protection;
	return false;
}

/* Of a call that failed, some may have been done. */
static void end_mprotect(struct regions *rs, struct space *s, const struct pending *p, const struct raw *raw,
			 uint32_t call)
{
	uint64_t start = raw->arg[0], end = page_up(start + raw->arg[1]);
	uint8_t protection = raw->arg[2] & KEPT_PROTECTION;
	uint16_t part = 0;

	if (page_up(start) != start || start >= end)
		return;
	split(rs, &s->maps, start);
	split(rs, &s->maps, end);
	for (size_t i = find(&s->maps, start); i < s->maps.n && s->maps.at[i].start < end; i++) {
		struct mapping *m = &s->maps.at[i];
		bool done = raw->event.result >= 0 || is_protected(&p->seen, m, protection);
		struct ipc_event e = event_of(raw, call, m, done ? 0 : raw->event.result, part);
		e.arg0 = ipc_arg0((uint32_t)e.arg0, ipc_protection(protection, m->protection));
		if (done)
			m->protection = protection;
		collector_record(rs->c, COLLECTOR_BPF, &e);
		part = IPC_F_PART;
	}
}

static void end_msync(struct regions *rs, struct space *s, const struct raw *raw)
{
	uint64_t start = raw->arg[0], end = page_up(start + raw->arg[1]);
	uint16_t part = 0;

	for (size_t i = find(&s->maps, start); i < s->maps.n && s->maps.at[i].start < end; i++) {
		struct mapping m = part_of(&s->maps.at[i], start, end);
		tell(rs, raw, IPC_CALL_msync, &m, raw->event.result, part);
		part = IPC_F_PART;
	}
}

static void end_call(struct regions *rs, struct space *s, struct pending *p, const struct raw *raw,
		     uint32_t call)
{
	switch (call) {
	case IPC_CALL_mmap:
		end_mmap(rs, s, p, raw);
		break;
	case IPC_CALL_shmat:
		end_shmat(rs, s, p, raw);
		break;
	case IPC_CALL_mremap:
		end_mremap(rs, s, p, raw);
		break;
	case IPC_CALL_mprotect:
	case IPC_CALL_pkey_mprotect:
		end_mprotect(rs, s, p, raw, call);
		break;
	case IPC_CALL_msync:
		end_msync(rs, s, raw);
		break;
	default:
		finish(rs, s, p, raw, call, 0);
	}
}

/* A call has ended, or a mapping is told that its failure left. */
static void take_end(struct regions *rs, struct space *s, const struct raw *raw, bool ended)
{
	struct pending **link = pending_of(s, raw->event.thread), *p = *link;

	if (!p) { /* it unmaps nothing, and did not tell when it began */
		p = pending_new(rs, s, raw);
		link = &s->pending;
	}
	if (!p)
		return;
	if (!ended) {
		struct mapping seen = mapping_of(raw);
		append(rs, &p->seen, &seen);
		return;
	}
	*link = p->next;
	end_call(rs, s, p, raw, raw->event.call & RAW_CALL);
	free_pending(p);
}

/* ---- what a process has from the beginning ---- */

static void fork_child(struct regions *rs, const struct raw *raw)
{
	struct process *parent = process_find(rs, raw->parent);
	struct space *s = NULL;

	if (!parent)
		return;
	if (raw->shares) {
		process_add(rs, raw->image, parent->space);
		return;
	}
	s = space_of(rs, raw->image);
	for (size_t i = 0; s && i < parent->space->maps.n; i++) {
		const struct mapping *m = &parent->space->maps.at[i];
		if (m->own)
			continue;
		append(rs, &s->maps, m);
		tell(rs, raw, IPC_CALL_map_inherit, m, 0, 0);
	}
}

/* A call that ended meanwhile may have told of it. */
static void adopt(struct regions *rs, struct space *s, const struct raw *raw)
{
	struct mapping m = mapping_of(raw);
	size_t i = find(&s->maps, m.start);

	if (i < s->maps.n && s->maps.at[i].start < m.end)
		return;
	add(rs, &s->maps, &m);
	tell(rs, raw, IPC_CALL_map_inherit, &m, 0, 0);
}

static void advise(struct regions *rs, struct space *s, const struct raw *raw)
{
	uint64_t start = raw->arg[0], end = page_up(start + raw->arg[1]);

	if (page_up(start) != start || start >= end)
		return;
	split(rs, &s->maps, start);
	split(rs, &s->maps, end);
	for (size_t i = find(&s->maps, start); i < s->maps.n && s->maps.at[i].start < end; i++)
		s->maps.at[i].own = raw->arg[2] == MADV_DONTFORK;
}

void regions_raw(struct regions *rs, struct collector *c, const struct raw *raw)
{
	uint32_t kind = raw->event.call & ~(uint32_t)RAW_CALL, call = raw->event.call & RAW_CALL;

	rs->c = c;
	if (kind == RAW_FORK)
		fork_child(rs, raw);
	else if (kind == RAW_GONE)
		regions_gone(rs, raw->image);
	if (kind == RAW_FORK || kind == RAW_GONE)
		return;
	struct space *s = space_of(rs, raw->image);
	if (!s)
		return;
	switch (kind) {
	case RAW_BEGIN:
		begin(rs, s, raw, call);
		break;
	case RAW_SEEN:
	case RAW_END:
		take_end(rs, s, raw, kind == RAW_END);
		break;
	case RAW_ADOPT:
		adopt(rs, s, raw);
		break;
	case RAW_ADVICE:
		advise(rs, s, raw);
	}
}

/* ---- words ---- */

uint64_t regions_word(struct regions *rs, struct collector *c, uint32_t image, uint64_t address)
{
	const struct process *p = process_find(rs, image);
	size_t i = p ? find(&p->space->maps, address) : 0;

	rs->c = c;
	if (!p || i == p->space->maps.n || p->space->maps.at[i].start > address)
		return 0;
	const struct mapping *m = &p->space->maps.at[i];
	const struct ipc_def_object word = {
		.inode = m->inode,
		.generation = m->offset + (address - m->start),
		.dev_major = m->dev_major,
		.dev_minor = m->dev_minor,
		.region = m->object,
	};
	return define(rs, IPC_MECH_futex, &word, NULL);
}

void regions_futex(struct regions *rs, struct collector *c, const struct ipc_event *event)
{
	struct ipc_event e = *event;
	uint32_t image = event->arg0 >> 32;

	e.object = regions_word(rs, c, image, ipc_object_id(event->object));
	if (event->call == IPC_CALL_futex_moved)
		e.arg1 = regions_word(rs, c, image, ipc_object_id(event->arg1));
	e.arg0 = (uint32_t)event->arg0;
	if (e.object)
		collector_record(c, COLLECTOR_BPF, &e);
}
