// SPDX-License-Identifier: BSD-2-Clause
/* rpc: ONC RPC. What needs libtirpc is in library/rpc.c. */
#include "reference.h"

static const char *const variants[] = { "tcp", "udp", "unix", NULL };

const struct reference reference_rpc = {
	.name = "rpc",
	.summary = "remote procedure calls (ONC RPC) of clients, a connection per pair",
	.capacity = "bounded",
	.order = "as sent",
	.direction = "both ways",
	.when_full = "caller waits",
	.synchronisation = "none",
	.relationship = "none: they know an address",
	.largest = 8192,
	.features =
		REFERENCE_PAIRS | REFERENCE_SIZES | REFERENCE_NO_KILL | REFERENCE_CALLS | REFERENCE_LIBRARY,
	.variants = variants,
};
