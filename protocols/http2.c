// SPDX-License-Identifier: BSD-2-Clause
#include "protocol.h"

static int64_t parse(struct proto_side *side, const uint8_t *bytes, size_t size)
{
	(void)side, (void)bytes, (void)size;
	return PROTO_BAD;
}

const struct protocol protocol_http2 = { .name = "http2", .title = "HTTP/2, gRPC", .parse = parse };
