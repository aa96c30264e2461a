// SPDX-License-Identifier: BSD-2-Clause
#include "protocol.h"

#define PROTOCOL(name, title, over) extern const struct protocol protocol_##name;
#include "protocols.def"
#undef PROTOCOL

const struct protocol *const protocols[IPC_PROTOCOLS] = {
#define PROTOCOL(name, title, over) [IPC_PROTO_##name] = &protocol_##name,
#include "protocols.def"
#undef PROTOCOL
};
