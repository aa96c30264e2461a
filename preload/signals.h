/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IPC_SIGNALS_H
#define IPC_SIGNALS_H

#include <signal.h>
#include <stdint.h>

#include "arch.h"

/* Blocks all signals of the thread, the thread library's too. Returns what was blocked before. */
static inline uint64_t signals_block(void)
{
	uint64_t all = UINT64_MAX, mask = 0;
	raw_syscall(__NR_rt_sigprocmask, SIG_BLOCK, &all, &mask, sizeof(mask));
	return mask;
}

static inline void signals_restore(uint64_t mask)
{
	raw_syscall(__NR_rt_sigprocmask, SIG_SETMASK, &mask, 0, sizeof(mask));
}

#endif
