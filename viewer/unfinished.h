/* SPDX-License-Identifier: BSD-2-Clause */
/* A trace whose recorder was killed. */
#ifndef IPC_UNFINISHED_H
#define IPC_UNFINISHED_H

#include "trace.h"

/* One line on standard error where the recording of `t`, opened as `path`, never came to its end and goes on
 * no more, with what can be done about it. */
void unfinished_note(struct trace *t, const char *path);

#endif
