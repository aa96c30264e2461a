// SPDX-License-Identifier: BSD-2-Clause
/*
 * Of a call 117 bits must match (message type, version 2, a registered flavor and the length of the
 * credential), of a reply 140. But a reply is hardly more than a 1 and zeros, so it is taken only behind a
 * record mark; a socket of datagrams that gets replies has sent calls.
 */
#include "recognise.h"
#include "onc_rpc.h"

/* AUTH_NONE to RPCSEC_TLS, and what is registered for GSS as pseudo flavors. */
static bool is_auth(const uint8_t *at)
{
	uint32_t flavor = bytes_be32(at), size = bytes_be32(at + 4);
	return (flavor <= 7 || (flavor >= 390000 && flavor <= 390255)) && size <= RPC_AUTH_MAX &&
	       size % 4 == 0;
}

/* xid, type, RPC version, program, version, procedure, credential, verifier. */
static bool is_call(const uint8_t *at, size_t size)
{
	if (size < 40 || bytes_be32(at + 4) != RPC_CALL || bytes_be32(at + 8) != RPC_VERSION ||
	    !is_auth(at + 24))
		return false;
	size_t verifier = 32 + bytes_be32(at + 28);
	return verifier + 8 > size || is_auth(at + verifier);
}

/* xid, type, accepted, verifier, status; or xid, type, denied, version mismatch (from, to) or authentication
 * error. */
static bool is_reply(const uint8_t *at, size_t size)
{
	if (size < 20 || bytes_be32(at + 4) != RPC_REPLY)
		return false;
	uint32_t denied = bytes_be32(at + 8);
	if (denied)
		return denied == RPC_DENIED && bytes_be32(at + 12) <= 1 && bytes_be32(at + 16) <= 14;
	if (size < 24 || !is_auth(at + 12))
		return false;
	size_t status = 20 + bytes_be32(at + 16);
	return status + 4 > size || bytes_be32(at + status) <= 5;
}

bool ipc_is_onc_rpc(const uint8_t *bytes, size_t size, bool stream)
{
	if (!stream)
		return size % 4 == 0 && is_call(bytes, size);
	if (size < 24)
		return false;
	uint32_t mark = bytes_be32(bytes), fragment = mark & ~RPC_LAST;
	if (fragment < 20 || fragment > RPC_FRAGMENT_MAX || fragment % 4)
		return false;
	if (size > fragment + 4)
		size = fragment + 4;
	/* A reply of several fragments is a large one. */
	return is_call(bytes + 4, size - 4) ||
	       ((mark & RPC_LAST || fragment >= 1024) && is_reply(bytes + 4, size - 4));
}
