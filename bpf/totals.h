/* SPDX-License-Identifier: BSD-2-Clause */
/* What the eBPF programs count rather than tell (total.h), into the collector: losses at once, totals of
 * calls once a second. */
#ifndef IPC_BPF_TOTALS_H
#define IPC_BPF_TOTALS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector.h"
#include "state.h"

struct ipctrace_bpf;
struct regions;

struct totals {
	struct ipctrace_bpf *skel;
	struct regions *regions;
	bool aggregate;	   /* they are taken all the time, else where something was dropped */
	bool dropped;	   /* something was, since they were taken last */
	uint64_t taken_ns; /* then */
	int processors;
	struct lost *told; /* to the collector, of each reason, mechanism and processor */
	struct lost *lost; /* room for one of each processor */
};

/* Once the programs are loaded. Returns 0 or -ENOMEM; totals_close() also after a failure. */
int totals_open(struct totals *t, struct ipctrace_bpf *skel, struct regions *regions, bool aggregate);

void totals_tell_losses(struct totals *t, struct collector *c);

/* Tells totals where they are due; `end`: the programs do not run any more, tell all. */
void totals_tell(struct totals *t, struct collector *c, bool end);

void totals_close(struct totals *t);

/* Waits until all programs that run now have finished. */
void totals_quiesce(void);

uint64_t totals_clock(void); /* CLOCK_MONOTONIC, as the programs stamp */

#endif
