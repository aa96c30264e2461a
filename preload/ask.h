/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking the recorder for what another source can do (arena.h, enum arena_ask). Async-signal-safe. */
#ifndef IPC_ASK_H
#define IPC_ASK_H

#include "shim.h"

/* Asks and waits for the answer, for a bounded time; not at all where the recorder cannot help. True: it will
 * be done. */
bool ask(struct shim_thread *t, enum arena_ask what);

#endif
