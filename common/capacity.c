// SPDX-License-Identifier: BSD-2-Clause
/* Not in tables.c, which the shim has too: that calls nothing of libc. */
#include <stdbool.h>
#include <string.h>

#include "tables.h"

const char *ipc_capacity(const struct ipc_mechanism_row *m)
{
	bool shared = !strcmp(m->model, "shared"), memory = !strcmp(m->boundary, "memory");
	/* Who is not there when a lock is released, or a waiter woken, does not find it later. */
	bool at_once = !strcmp(m->boundary, "lock") || (shared && !strcmp(m->boundary, "notification"));

	if (m == &ipc_mechanisms[IPC_MECH_none] || (shared && memory))
		return NULL;
	return memory || at_once ? "zero" : "bounded";
}
