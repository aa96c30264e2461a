// SPDX-License-Identifier: BSD-2-Clause
/* See payload.h. All of them together are bounded: they wait in no other buffer than this one. */
#include "payload.h"

#include <string.h>

enum {
	PAYLOADS_MAX = 64 << 20, /* bytes */
	TOLD_MAX = 4,		 /* of a thread: no deeper are signal handlers nested */
};

static struct payloads *payloads_of(struct collector *c, struct thread *t)
{
	if (!t->payloads && (t->payloads = collector_new(c, sizeof(*t->payloads))))
		t->payloads->last = &t->payloads->kept;
	return t->payloads;
}

void payload_free(struct collector *c, struct payload *p)
{
	if (!p)
		return;
	c->payload_bytes -= sizeof(*p) + p->size;
	free(p);
}

static void free_from(struct collector *c, struct payload **link)
{
	while (*link) {
		struct payload *p = *link;
		*link = p->next;
		payload_free(c, p);
	}
}

/* Those that were told long ago: there was no room for their events. */
static void forget_oldest(struct collector *c, struct payloads *of)
{
	struct payload **link = &of->told;
	for (unsigned int i = 0; *link && i < TOLD_MAX - 1; i++)
		link = &(*link)->next;
	free_from(c, link);
}

void payload_define(struct collector *c, struct thread *t, const struct ipc_def *d, const uint8_t *bytes)
{
	struct payloads *of = payloads_of(c, t);
	size_t size = sizeof(struct payload) + d->text;
	struct payload *p = of && c->payload_bytes + size <= PAYLOADS_MAX ? malloc(size) : NULL;
	if (!p)
		return; /* its event will miss it */
	p->object = d->payload.object;
	p->start = d->payload.start;
	p->size = d->text;
	p->tail = d->payload.tail < d->text ? (uint32_t)d->payload.tail : d->text;
	memcpy(p->bytes, bytes, d->text);
	forget_oldest(c, of);
	p->next = of->told;
	of->told = p;
	c->payload_bytes += size;
}

/* The event's payload in a list; taken out of it. `last`: of the list, where it ends; or NULL. */
static struct payload *pick(struct payload **link, struct payload ***last, const struct ipc_event *e)
{
	for (; *link; link = &(*link)->next) {
		struct payload *p = *link;
		if (p->start != e->start || p->object != e->object)
			continue;
		*link = p->next;
		if (last && *last == &p->next)
			*last = link;
		p->next = NULL;
		return p;
	}
	return NULL;
}

void payload_keep(struct thread *t, const struct ipc_event *e)
{
	struct payload *p = t->payloads ? pick(&t->payloads->told, NULL, e) : NULL;
	if (!p)
		return;
	*t->payloads->last = p;
	t->payloads->last = &p->next;
}

struct payload *payload_take(struct thread *t, const struct ipc_event *e)
{
	return t->payloads ? pick(&t->payloads->kept, &t->payloads->last, e) : NULL;
}

void payload_forget(struct collector *c, struct thread *t, bool all)
{
	struct payloads *of = t->payloads;
	if (!of)
		return;
	free_from(c, &of->told);
	if (!all)
		return;
	free_from(c, &of->kept);
	of->last = &of->kept;
}
