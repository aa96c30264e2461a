/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel says is mapped at an address of the traced process. Async-signal-safe. */
#ifndef IPC_MAPS_H
#define IPC_MAPS_H

#include <stdbool.h>
#include <stdint.h>

struct mapped {
	uint64_t start, end, offset, inode;
	uint32_t dev_major, dev_minor;
	uint8_t protection;
	bool shared;
};

/* Open and close what is asked; maps_close() follows in either case. */
long maps_open(uint64_t *mask);
void maps_close(long maps, uint64_t mask);

/* The mapping that holds the address, or the next one above it. False: there is none, or it cannot be known.
 */
bool maps_ask(long maps, uintptr_t address, struct mapped *out);

#endif
