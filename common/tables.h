/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of calls.def, mechanisms.def and reasons.def with their names, for user space. */
#ifndef IPC_TABLES_H
#define IPC_TABLES_H

#include <stdint.h>

#include "calls.h"

struct ipc_mechanism_row {
	const char *name, *model, *boundary, *matching, *scope, *ends, *sources;
};

struct ipc_reason_row {
	const char *name, *kind, *words, *remedy;
};

enum { IPC_NUMBERS = 512 }; /* system-call numbers that tables are indexed by */

extern const struct ipc_call ipc_calls[IPC_CALLS];
extern const char *const ipc_call_names[IPC_CALLS];
extern const char *const ipc_verb_names[IPC_VERBS];
extern const struct ipc_mechanism_row ipc_mechanisms[IPC_MECHANISMS];
extern const struct ipc_reason_row ipc_reasons[IPC_REASONS];

/* How much an object holds of what was sent and not yet received, as textbooks put it: "zero", "bounded".
 * NULL: shared memory, where that is up to the program. Nothing that Linux has is unbounded. */
const char *ipc_capacity(const struct ipc_mechanism_row *m);

/* The mechanisms that a call may be on, as a set of 1 << enum ipc_mechanism; of one that is on none, but
 * changes what a source may do (a sandbox), all. */
uint64_t ipc_call_mechanisms(const struct ipc_call *call);

/* What a source must look at, to tell of these mechanisms: descriptors are passed through sockets. */
uint64_t ipc_mechanisms_behind(uint64_t mechanisms);

/* By system-call number: the first row, and the same again where the call does nothing but move bytes on one
 * descriptor. 0: none. */
void ipc_index_calls(uint8_t first_row[IPC_NUMBERS], uint8_t transfer[IPC_NUMBERS]);

#endif
