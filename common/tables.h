/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of calls.def, mechanisms.def and reasons.def with their names, for user space. */
#ifndef IPC_TABLES_H
#define IPC_TABLES_H

#include "calls.h"

struct ipc_mechanism_row {
	const char *name, *model, *boundary, *matching, *scope, *ends, *sources;
};

struct ipc_reason_row {
	const char *name, *kind, *words;
};

extern const struct ipc_call ipc_calls[IPC_CALLS];
extern const char *const ipc_call_names[IPC_CALLS];
extern const char *const ipc_verb_names[IPC_VERBS];
extern const struct ipc_mechanism_row ipc_mechanisms[IPC_MECHANISMS];
extern const struct ipc_reason_row ipc_reasons[IPC_REASONS];

/* How much an object holds of what was sent and not yet received, as textbooks put it: "zero", "bounded".
 * NULL: shared memory, where that is up to the program. Nothing that Linux has is unbounded. */
const char *ipc_capacity(const struct ipc_mechanism_row *m);

#endif
