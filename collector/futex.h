/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who woke whom. A wake-up ended so many waits as its call says, of those that were under way then:
 *
 *	wake-up          [s ..]                    s.start < r.end and r.start < s.end
 *	wait     [r .........]
 *
 * What it wakes stays with nobody: later waits cannot have it. A wait takes from the oldest wake-up that can
 * have ended it, on its own word first; on another only where waiters may have been moved between the two.
 * That is exact where all wake-ups that could be it come from one process.
 */
#ifndef IPC_FUTEX_H
#define IPC_FUTEX_H

#include "model.h"

/* A wake-up that woke someone, or a wait that ended. */
void futex_transfer(struct collector *c, const struct match_call *call, bool wakes);

/* Wake-ups of one of these words may have ended waits on the other. */
void futex_moved(struct collector *c, struct channel *to, uint64_t from);

/* Nothing more will come. */
void futex_settle(struct channel *ch);

#endif
