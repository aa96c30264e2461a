/* SPDX-License-Identifier: BSD-2-Clause */
/* A pass over a trace that is finished: who talks to whom through a bus of D-Bus. */
#ifndef IPC_BUS_H
#define IPC_BUS_H

#include <sqlite3.h>

/* Fills `bus_names` and `bus_messages` of the trace that `db` has open for writing; what they held is
 * replaced. Belongs into a transaction. Returns 0 or -errno. */
int bus_resolve(sqlite3 *db);

#endif
