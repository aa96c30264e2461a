// SPDX-License-Identifier: BSD-2-Clause
/* dbus: a bus of its own. What needs libdbus-1 is in library/dbus.c. */
#include "reference.h"

const struct reference reference_dbus = {
	.name = "dbus",
	.summary = "calls and signals of clients to services, through a dbus-daemon of their own",
	.capacity = "bounded",
	.order = "as sent",
	.direction = "both ways",
	.when_full = "error to the sender",
	.synchronisation = "none",
	.relationship = "none: they know the bus",
	.largest = 1 << 20,
	.features =
		REFERENCE_PAIRS | REFERENCE_SIZES | REFERENCE_NO_KILL | REFERENCE_CALLS | REFERENCE_LIBRARY,
};
