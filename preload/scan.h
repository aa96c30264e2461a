/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding the places in libc's text where the shim gets in. Used by the recorder (once) and by the shim (for
 * a libc that the recorder does not know). Raw memory reads only: async-signal-safe. */
#ifndef IPC_SCAN_H
#define IPC_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "site.h"

/* A libc mapped in this process. */
struct scan_libc {
	uintptr_t base;			/* load address */
	const uint8_t *text, *text_end; /* its executable segment */
	uint8_t build_id[32];
	uint32_t build_id_len;
};

/* Describes the libc whose ELF header is mapped at `base`. Returns 0 or -ENOEXEC. */
int scan_describe(struct scan_libc *libc, uintptr_t base);

/* Lists the sites of the system calls in common/calls.def, at most `max`. Returns how many, 0: none found. */
size_t scan_sites(const struct scan_libc *libc, struct ipc_site *out, size_t max);

#endif
