/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of hosts, for --resolve: the SQL function host_name(text) of the views (names.h). */
#ifndef IPC_RESOLVE_H
#define IPC_RESOLVE_H

#include <stdbool.h>
#include <sqlite3.h>

/* Adds host_name() to a connection. With `ask`, `10.0.0.7:443` becomes `name:443` where the system's resolver
 * knows a name; for all addresses together it gets RESOLVE_MS. Loopback addresses and all other texts, and
 * without `ask` every text, stay as they are, and nobody is asked. Returns 0 or -ENOMEM. */
int resolve_register(sqlite3 *db, bool ask);

enum { RESOLVE_MS = 3000 };

#endif
