// SPDX-License-Identifier: BSD-2-Clause
#include "protocol.h"

#define PROTOCOL(name, over) extern const struct protocol protocol_##name;
#include "protocols.def"
#undef PROTOCOL

const struct protocol *const protocols[IPC_PROTOCOLS] = {
#define PROTOCOL(name, over) [IPC_PROTO_##name] = &protocol_##name,
#include "protocols.def"
#undef PROTOCOL
};

const char *const protocol_names[IPC_PROTOCOLS] = {
#define PROTOCOL(name, over) [IPC_PROTO_##name] = #name,
#include "protocols.def"
#undef PROTOCOL
};
