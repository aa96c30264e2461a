// SPDX-License-Identifier: BSD-2-Clause
/*
 * Totals are taken in rounds: the programs are turned to the other round, those that still run are waited
 * for, and then nobody adds to this one's any more: they are read and deleted. So nothing is counted twice or
 * missed, and the kernel never holds more than what was in use in two seconds.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "state.h" /* types of the skeleton's variables */

#include "ipctrace.skel.h"
#include "regions.h"
#include "tables.h"
#include "totals.h"

/* The collector remembers what was closed for longer than this. */
#define ROUND_NS 1000000000ULL

enum { GRACE_US = 100000 };

uint64_t totals_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

void totals_quiesce(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0)) /* not with nohz_full */
		usleep(GRACE_US);
}

int totals_open(struct totals *t, struct ipctrace_bpf *skel, struct regions *regions, bool aggregate)
{
	t->skel = skel;
	t->regions = regions;
	t->aggregate = aggregate;
	t->taken_ns = totals_clock();
	t->processors = libbpf_num_possible_cpus();
	t->told = calloc((size_t)IPC_REASONS * IPC_MECHANISMS * t->processors, sizeof(*t->told));
	t->lost = calloc(t->processors, sizeof(*t->lost));
	return t->told && t->lost ? 0 : -ENOMEM;
}

void totals_close(struct totals *t)
{
	free(t->told);
	free(t->lost);
}

/* ---- losses ---- */

static void tell_loss(struct totals *t, struct collector *c, uint32_t key, int processor)
{
	const struct lost *now = &t->lost[processor];
	struct lost *told = &t->told[(size_t)key * t->processors + processor];
	const struct collector_lost l = {
		.reason = key / IPC_MECHANISMS,
		.mechanism = key % IPC_MECHANISMS,
		.processor = processor,
		.count = now->count - told->count,
		.first_ns = now->first_ns,
		.last_ns = now->last_ns,
	};

	if (now->count <= told->count)
		return;
	*told = *now;
	t->dropped |= l.reason == IPC_REASON_dropped;
	collector_lost(c, COLLECTOR_BPF, &l);
}

void totals_tell_losses(struct totals *t, struct collector *c)
{
	int fd = bpf_map__fd(t->skel->maps.lost);

	if (!__atomic_exchange_n(&t->skel->bss->any_lost, 0, __ATOMIC_ACQ_REL))
		return;
	for (uint32_t key = 0; key < IPC_REASONS * IPC_MECHANISMS; key++) {
		if (bpf_map_lookup_elem(fd, &key, t->lost))
			continue;
		for (int i = 0; i < t->processors; i++)
			tell_loss(t, c, key, i);
	}
}

/* ---- totals ---- */

/* A futex is counted by its address. 0: it is not shared, or not any more. */
static uint64_t real_object(struct totals *t, struct collector *c, const struct total_key *key)
{
	if (ipc_object_mechanism(key->object) != IPC_MECH_futex)
		return key->object;
	return regions_word(t->regions, c, key->image, ipc_object_id(key->object));
}

/* Of a process that has ended: which memory that was nobody can say. */
static void tell_uncounted(struct collector *c, const struct collector_total *sum)
{
	const struct collector_lost l = {
		.reason = IPC_REASON_uncounted,
		.mechanism = ipc_object_mechanism(sum->object),
		.count = sum->calls,
		.first_ns = sum->first_ns,
		.last_ns = sum->last_ns,
	};

	collector_lost(c, COLLECTOR_BPF, &l);
}

/* Reads one, and deletes it. */
static void take(struct totals *t, struct collector *c, const struct total_key *key, uint64_t now)
{
	uint64_t object = real_object(t, c, key);
	bool known = object || !key->object || regions_has(t->regions, key->image);
	struct total total;

	if (bpf_map_lookup_and_delete_elem(bpf_map__fd(t->skel->maps.totals), key, &total) ||
	    (known && key->object && !object))
		return;
	struct collector_total sum = {
		.image = key->image,
		.call = key->call,
		.verb = key->verb,
		.dropped = !t->aggregate,
		.object = known ? object : key->object,
		.other = key->other,
		.bytes = total.bytes,
		.errors = total.errors,
		.ns = total.ns,
		.min_ns = ~total.not_min_ns,
		.max_ns = total.max_ns,
		.first_ns = ~total.not_first_ns,
		.last_ns = total.last_ns,
		.since_ns = t->taken_ns,
	};
	memcpy(sum.histogram, total.histogram, sizeof(sum.histogram));
	for (int i = 0; i < IPC_BUCKETS; i++)
		sum.calls += total.histogram[i];
	sum.moved = sum.calls - total.idle;
	sum.moved_ns = total.ns - total.idle_ns;
	if (known)
		collector_total(c, COLLECTOR_BPF, now, &sum);
	else
		tell_uncounted(c, &sum);
}

/* Those of a round that is over, or all. */
static void take_all(struct totals *t, struct collector *c, int round)
{
	int fd = bpf_map__fd(t->skel->maps.totals);
	uint64_t now = totals_clock();
	struct total_key key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (round < 0 || key.round == round)
			take(t, c, &key, now);
	}
	t->taken_ns = now;
	t->dropped = false;
}

void totals_tell(struct totals *t, struct collector *c, bool end)
{
	uint32_t *round = &t->skel->bss->total_round;

	if (end) {
		take_all(t, c, -1);
	} else if ((t->aggregate || t->dropped) && totals_clock() - t->taken_ns >= ROUND_NS) {
		int over = *round & 1;
		__atomic_store_n(round, *round + 1, __ATOMIC_RELEASE);
		totals_quiesce();
		take_all(t, c, over);
	}
}
