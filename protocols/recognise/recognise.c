// SPDX-License-Identifier: BSD-2-Clause
#include "recognise.h"

enum ipc_protocol ipc_recognise(const uint8_t *bytes, size_t size, bool stream)
{
#define STREAM	 true
#define DATAGRAM false
#define PROTOCOL(name, over)                                                                                 \
	if ((stream || !over) && ipc_is_##name(bytes, size, stream))                                         \
		return IPC_PROTO_##name;
#include "protocols.def"
#undef PROTOCOL
	return IPC_PROTO_none;
}
