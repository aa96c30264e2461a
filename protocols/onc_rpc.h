/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* What recogniser and parser of ONC RPC share. Source of the format: RFC 5531. All numbers are 32 bits,
 * big-endian. */
#ifndef IPC_ONC_RPC_H
#define IPC_ONC_RPC_H

#include "bytes.h"

#define RPC_LAST (1u << 31) /* in a record mark: the record's last fragment */

enum {
	RPC_CALL,
	RPC_REPLY,
	RPC_VERSION = 2,
	RPC_ACCEPTED = 0,
	RPC_DENIED = 1,
	RPC_PROG_MISMATCH = 2, /* of what is accepted */
	RPC_AUTH_MAX = 400,    /* bytes of a credential or verifier */
	/* Of a fragment, for a mark can say 2 GiB: far above what implementations send (libtirpc 64 KiB, NFS
	 * some MiB). */
	RPC_FRAGMENT_MAX = 1 << 26,
};

#endif
