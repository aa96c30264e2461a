/* SPDX-License-Identifier: BSD-2-Clause */
/* What `record` is to record, from its options. */
#ifndef IPC_SELECTION_H
#define IPC_SELECTION_H

#include "options.h"
#include "source.h"

/* Whether the options say more of whom to record than the command: it is the kernel that chooses then, and a
 * command is not needed. */
bool selection_of_kernel(const struct options *o);

/* `out` points into `o`. Returns 0, or -errno with one line in `error`. */
int selection_make(struct selection *out, const struct options *o, char *error, size_t error_size);

/* The options again, as a string to free; NULL: none were given, or out of memory. */
char *selection_text(const struct options *o);

#endif
