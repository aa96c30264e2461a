/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this machine and user have of what the eBPF source needs, and of what it can do without. `ipctrace
 * doctor` shows it; the loader goes by it.
 */
#ifndef IPC_MACHINE_H
#define IPC_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

/* Without one of these the programs cannot be loaded. */
struct machine_need {
	const char *name;
	/* 0, and in `text` what there is; or -errno, and there cause and remedy. One line, no full stop. */
	int (*check)(char *text, size_t size);
};
extern const struct machine_need machine_needs[]; /* ended by one without a name */

/* What only newer kernels have. */
enum machine_feature_id { MACHINE_FAST_READS, MACHINE_IO_URING, MACHINE_PROBES_TOGETHER, MACHINE_FEATURES };
struct machine_feature {
	const char *name;
	const char *with, *without; /* what that means, a line each */
};
extern const struct machine_feature machine_features[MACHINE_FEATURES];

/* Whether the kernel has it: looked up once. */
bool machine_has(enum machine_feature_id feature);

/* How many arguments io_uring's tracepoints have, which have changed; 0: there is none of this name. */
struct machine_rings {
	unsigned int submit_req, submit_sqe; /* one of them */
	unsigned int complete;
};
struct machine_rings machine_rings(void);

#endif
