// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sampled pages (sample.h). Of each page and process three times are enough: when the first interval in which
 * it was written began, and when the last ones in which it was read, or written, ended.
 */
#include "sample.h"

enum { PAGES = 64 };

struct page {
	uint64_t written, read, written_last; /* 0: never */
};

/* Some pages of an endpoint. */
struct touched {
	uint32_t number; /* of its first page / PAGES */
	struct touched *next;
	struct page page[PAGES];
};

static uint64_t key_of(const struct endpoint *ep, uint32_t number)
{
	return (uint64_t)ep->data.id << 32 | number;
}

static struct page *page_of(struct collector *c, struct endpoint *ep, uint64_t page)
{
	uint32_t number = (uint32_t)(page / PAGES);
	void **place = table_put(&c->touched, key_of(ep, number));
	if (!place)
		return NULL;
	struct touched *t = *place;
	if (!t) {
		t = *place = collector_new(c, sizeof(*t));
		if (!t)
			return NULL;
		t->number = number;
		t->next = ep->touched;
		ep->touched = t;
	}
	return &t->page[page % PAGES];
}

static void written(struct endpoint *ep, struct page *p, const struct ipc_event *e)
{
	ep->pages_written += !p->written;
	if (!p->written || e->start < p->written)
		p->written = e->start;
	if (order_end(e) > p->written_last)
		p->written_last = order_end(e);
}

static void read(struct endpoint *ep, struct page *p, const struct ipc_event *e)
{
	ep->pages_read += !p->read;
	if (order_end(e) > p->read)
		p->read = order_end(e);
}

/* Its edges may have more pages now. */
static void edges_dirty(struct collector *c, struct endpoint *ep, bool writes)
{
	for (struct endpoint *other = ep->channel->endpoints; other; other = other->next_of_channel) {
		struct edge *e =
			writes ? rollup_known(c, ep, other->process) : rollup_known(c, other, ep->process);
		if (e)
			collector_dirty(c, &e->row);
	}
}

void sample_event(struct collector *c, struct endpoint *ep, const struct ipc_event *e)
{
	uint64_t first = e->arg1 >> 32, count = (uint32_t)e->arg1;
	bool writes = e->call == IPC_CALL_shm_write;
	if (!ep->sampled)
		edges_dirty(c, ep, true), edges_dirty(c, ep, false);
	ep->sampled = true;
	collector_dirty(c, &ep->row);
	if (e->call == IPC_CALL_shm_sampled || first + count > IPC_PAGES_MAX)
		return;
	for (uint64_t i = first; i < first + count; i++) {
		struct page *p = page_of(c, ep, i);
		if (!p)
			return;
		(writes ? written : read)(ep, p, e);
	}
	edges_dirty(c, ep, writes);
}

/* Of pages from `w` to `r`. */
static void count(struct store_edge *row, const struct page *w, const struct page *r)
{
	if (!w->written)
		return;
	if (w->written < r->read)
		row->pages++;
	else if (w->written < r->written_last)
		row->pages_both++;
}

void sample_edge(struct collector *c, struct edge *e)
{
	const struct endpoint *reader = endpoint_known(c, e->dst, e->src->channel);
	e->data.sampled = e->src->sampled && reader && reader->sampled;
	e->data.pages = e->data.pages_both = 0;
	for (const struct touched *w = e->src->touched; e->data.sampled && w; w = w->next) {
		const struct touched *r = table_get(&c->touched, key_of(reader, w->number));
		for (int i = 0; r && i < PAGES; i++)
			count(&e->data, &w->page[i], &r->page[i]);
	}
}
