// SPDX-License-Identifier: BSD-2-Clause
/* The merge of the threads' queues (order.h): a binary heap by the heads' end times. */
#include <errno.h>
#include <stdlib.h>

#include "order.h"

/* What of an event is needed behind the order. */
struct ordered {
	uint64_t start, duration, object;
	int64_t result;
	uint64_t arg0, arg1;
	uint16_t call, flags;
	uint32_t tag, woken_by;
};

struct order_block {
	struct order_block *next;
	uint64_t unused[7];
	struct ordered events[ORDER_BLOCK];
};

_Static_assert(sizeof(struct order_block) == 4096, "a page");

static uint64_t end_of(const struct ordered *e)
{
	return e->start + e->duration;
}

struct order_slot {
	uint64_t end;
	struct order_queue *queue;
};

static void sift_up(struct order *o, uint32_t i)
{
	struct order_slot moving = o->heap[i];
	for (; i && moving.end < o->heap[(i - 1) / 2].end; i = (i - 1) / 2)
		o->heap[i] = o->heap[(i - 1) / 2];
	o->heap[i] = moving;
}

static void sift_down(struct order *o, uint32_t i)
{
	struct order_slot moving = o->heap[i];
	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child >= o->heaped)
			break;
		if (child + 1 < o->heaped && o->heap[child + 1].end < o->heap[child].end)
			child++;
		if (moving.end <= o->heap[child].end)
			break;
		o->heap[i] = o->heap[child];
		i = child;
	}
	o->heap[i] = moving;
}

static int heap_add(struct order *o, struct order_queue *q)
{
	if (o->heaped == o->room) {
		uint32_t room = o->room ? o->room * 2 : 64;
		struct order_slot *heap = realloc(o->heap, room * sizeof(*heap));
		if (!heap)
			return -ENOMEM;
		o->heap = heap;
		o->room = room;
	}
	o->heap[o->heaped] = (struct order_slot){ end_of(&q->first->events[q->head]), q };
	sift_up(o, o->heaped++);
	return 0;
}

static int add_block(struct order *o, struct order_queue *q)
{
	struct order_block *b = o->spare;
	if (b)
		o->spare = b->next;
	else if (!(b = malloc(sizeof(*b))))
		return -ENOMEM;
	b->next = NULL;
	if (q->last)
		q->last->next = b;
	else
		q->first = b;
	q->last = b;
	q->tail = 0;
	return 0;
}

/* The queue's head has become an earlier event. */
static void head_lowered(struct order *o, const struct order_queue *q)
{
	for (uint32_t i = 0; i < o->heaped; i++)
		if (o->heap[i].queue == q) {
			o->heap[i].end = end_of(&q->first->events[q->head]);
			sift_up(o, i);
			return;
		}
}

/* A signal handler's event may stand behind that of the call it interrupted, which ended later: the newest
 * event goes to its place. */
static void settle_newest(struct order *o, struct order_queue *q)
{
	struct ordered *events = q->last->events, newest = events[q->tail - 1];
	uint32_t lowest = q->first == q->last ? q->head : 0, i = q->tail - 1;
	for (; i > lowest && end_of(&events[i - 1]) > end_of(&newest); i--)
		events[i] = events[i - 1];
	events[i] = newest;
	if (i == q->head && q->first == q->last && i < q->tail - 1U && !q->parked)
		head_lowered(o, q);
}

int order_push(struct order *o, struct order_queue *q, const struct ipc_event *e)
{
	if (q->parked && o->parked >= ORDER_PARKED_MAX)
		return -ENOSPC;
	if ((!q->last || q->tail == ORDER_BLOCK) && add_block(o, q))
		return -ENOMEM;
	q->last->events[q->tail] =
		(struct ordered){ e->start, e->duration, e->object, e->result, e->arg0,
				  e->arg1,  e->call,	 e->flags,  e->tag,    e->woken_by };
	if (!q->count && !q->parked && heap_add(o, q))
		return -ENOMEM;
	q->tail++;
	settle_newest(o, q);
	q->count++;
	o->queued++;
	o->parked += q->parked;
	return 0;
}

int order_unpark(struct order *o, struct order_queue *q)
{
	if (!q->parked)
		return 0;
	if (q->count && heap_add(o, q))
		return -ENOMEM;
	q->parked = false;
	o->parked -= q->count;
	return 0;
}

struct order_queue *order_first(const struct order *o, uint64_t *end)
{
	if (!o->heaped)
		return NULL;
	*end = o->heap[0].end;
	return o->heap[0].queue;
}

static void retire_block(struct order *o, struct order_queue *q)
{
	struct order_block *b = q->first;
	q->first = b->next;
	q->head = 0;
	if (!q->first)
		q->last = NULL;
	b->next = o->spare;
	o->spare = b;
}

void order_pop(struct order *o, struct ipc_event *e)
{
	struct order_queue *q = o->heap[0].queue;
	const struct ordered *head = &q->first->events[q->head++];
	*e = (struct ipc_event){
		.start = head->start,
		.duration = head->duration,
		.object = head->object,
		.result = head->result,
		.arg0 = head->arg0,
		.arg1 = head->arg1,
		.call = head->call,
		.flags = head->flags,
		.tag = head->tag,
		.woken_by = head->woken_by,
	};
	o->queued--;
	if (--q->count == 0 || q->head == ORDER_BLOCK)
		retire_block(o, q);
	if (q->count)
		o->heap[0].end = end_of(&q->first->events[q->head]);
	else
		o->heap[0] = o->heap[--o->heaped];
	if (o->heaped)
		sift_down(o, 0);
}

uint32_t order_drop(struct order *o, struct order_queue *q)
{
	uint32_t had = q->count;
	while (q->first)
		retire_block(o, q);
	if (q->parked)
		o->parked -= had;
	o->queued -= had;
	q->count = 0;
	return had;
}

void order_free(struct order *o)
{
	while (o->spare) {
		struct order_block *next = o->spare->next;
		free(o->spare);
		o->spare = next;
	}
	free(o->heap);
	*o = (struct order){ 0 };
}
