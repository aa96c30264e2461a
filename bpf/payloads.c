// SPDX-License-Identifier: BSD-2-Clause
#include <stdbool.h>

#include "calls.h"
#include "event.h"
#include "payloads.h"
#include "recognise.h"
#include "state.h"

static bool is_stream(uint64_t object)
{
	switch (ipc_object_mechanism(object)) {
	case IPC_MECH_unix_dgram:
	case IPC_MECH_unix_seqpacket:
	case IPC_MECH_udp:
		return false;
	}
	return true;
}

void payloads_judge(struct judged *judged, const struct ipc_def *payload)
{
	uint64_t judge = payload->payload.judge, object = payload->payload.object;
	size_t size = payload->text - (size_t)payload->payload.tail;
	struct judged *j = judge ? judged_find(judged, object) : NULL;

	if (!j || j->known || j->round != (uint8_t)(judge >> 8))
		return;
	if (ipc_recognise((const uint8_t *)(payload + 1),
			  size < IPC_RECOGNISE_BYTES ? size : IPC_RECOGNISE_BYTES, is_stream(object)))
		j->known = 1;
	else if (judge >> 16 >= IPC_RECOGNISE_TRIES)
		j->denied[judge & 1] = 1;
}
