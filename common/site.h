/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A place in libc's text where the shim gets in (arch/<machine>/). The recorder scans its own libc
 * once and hands the table to the shims through the arena.
 */
#ifndef IPC_SITE_H
#define IPC_SITE_H

#include <stdint.h>

struct ipc_site {
	uint32_t offset; /* of the system-call instruction (or of the call instruction) from libc's load
			    address */
	uint16_t nr;	 /* system-call number; IPC_NO_NR: in a register (syscall(2)) */
	uint8_t kind;	 /* meaning is the architecture's own */
	int8_t aux;	 /* likewise */
};

#endif
