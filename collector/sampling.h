/* SPDX-License-Identifier: BSD-2-Clause */
/* What the recorder has to know before pages of shared memory are sampled in its targets. */
#ifndef IPC_SAMPLING_H
#define IPC_SAMPLING_H

#include <stdint.h>

#include "arena.h"

/* Whether the kernel can do it, for this user: tried on memory of our own. Returns 0 or -errno. */
int sampling_check(void);

/* The interval by the targets' clock. */
uint64_t sampling_interval(enum arena_clock clock, unsigned int ms);

#endif
