/* SPDX-License-Identifier: BSD-2-Clause */
/* What is missing from a trace, in words (common/reasons.def). A reason that this version does not know
 * stands for itself. */
#ifndef IPC_REASONS_H
#define IPC_REASONS_H

#include <stdio.h>
#include <sqlite3.h>

#include "trace.h"

/* Gives SQL the functions reason_words(reason) and reason_remedy(reason). Returns 0 or -ENOMEM. */
int reasons_register(sqlite3 *db);

/* Writes a line for each reason that the trace has: what it means, and what to do about it; or that nothing
 * is missing. */
void reasons_explain(FILE *out, struct trace *t);

/* Writes a line for each reason: whom it concerns, how often, what it means, and what to do about it. */
void reasons_tell(FILE *out, struct trace *t);

#endif
