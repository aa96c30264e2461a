/* SPDX-License-Identifier: BSD-2-Clause */
/* What a recording amounts to: `ipctrace summary`, and what record shows at its end. */
#ifndef IPC_SUMMARY_H
#define IPC_SUMMARY_H

#include "options.h"
#include "trace.h"

/* Writes the summary of an open trace. Of `o`: limit, mechanism, format. Returns 0 or -errno with t->error
 * set.
 */
int summary_show(FILE *out, struct trace *t, const struct options *o);

#endif
