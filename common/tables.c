// SPDX-License-Identifier: BSD-2-Clause
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <stdbool.h>

#include "tables.h"

const struct ipc_call ipc_calls[] = {
#define CALL IPC_CALL_ROW
#include "calls.def"
#undef CALL
};

static bool is_plain_transfer(const struct ipc_call *row)
{
	return row->size == IPC_SIZE_RESULT && row->object == IPC_OBJ_FD(0) && row->object2 == IPC_OBJ_NONE;
}

void ipc_index_calls(uint8_t first_row[IPC_NUMBERS], uint8_t transfer[IPC_NUMBERS])
{
	for (int i = IPC_CALLS - 1; i > 0; i--) {
		const struct ipc_call *row = &ipc_calls[i];
		if (row->nr >= IPC_NUMBERS)
			continue;
		first_row[row->nr] = (uint8_t)i;
		transfer[row->nr] = is_plain_transfer(row) ? (uint8_t)i : 0;
	}
}

#define SET(mechanism) (1ULL << IPC_MECH_##mechanism)

static const uint64_t words =
	SET(posix_sem) | SET(mutex) | SET(rwlock) | SET(cond) | SET(barrier) | SET(spin) | SET(futex);

uint64_t ipc_call_mechanisms(const struct ipc_call *call)
{
	const uint64_t elsewhere = SET(process) | SET(sysv_msg) | SET(sysv_sem) | SET(process_vm);

	switch (IPC_OBJ_KIND(call->object)) {
	case IPC_OBJ_NONE:
		return ~0ULL;
	case IPC_OBJ_CHILD:
	case IPC_OBJ_SELF:
		return SET(process);
	case IPC_OBJ_KIND_MSGQ:
		return SET(sysv_msg);
	case IPC_OBJ_KIND_SEMS:
		return SET(sysv_sem);
	case IPC_OBJ_KIND_SIGNAL:
		return SET(signal);
	case IPC_OBJ_KIND_PROCESS:
		return SET(process_vm);
	case IPC_OBJ_KIND_MEMORY: /* words are named by their memory */
		return SET(sysv_shm) | SET(posix_shm) | SET(memfd) | SET(mmap) | words;
	case IPC_OBJ_KIND_WORD:
		return words;
	default:
		return ~elsewhere;
	}
}

uint64_t ipc_mechanisms_behind(uint64_t mechanisms)
{
	if (mechanisms & SET(fd_passing))
		mechanisms |= SET(unix_stream) | SET(unix_dgram) | SET(unix_seqpacket) | SET(pidfd);
	return mechanisms;
}

#ifndef IPC_SHIM /* each name would be a relocation at the start of each traced process */

const char *const ipc_call_names[] = {
#define CALL(id, name, ...) [IPC_CALL_##id] = name,
#include "calls.def"
#undef CALL
};

const char *const ipc_verb_names[] = {
	[IPC_VERB_none] = "none",	[IPC_VERB_open] = "open",   [IPC_VERB_close] = "close",
	[IPC_VERB_send] = "send",	[IPC_VERB_recv] = "recv",   [IPC_VERB_by_end] = "by_end",
	[IPC_VERB_wait] = "wait",	[IPC_VERB_post] = "post",   [IPC_VERB_lock] = "lock",
	[IPC_VERB_unlock] = "unlock",	[IPC_VERB_map] = "map",	    [IPC_VERB_unmap] = "unmap",
	[IPC_VERB_control] = "control", [IPC_VERB_spawn] = "spawn", [IPC_VERB_exec] = "exec",
	[IPC_VERB_exit] = "exit",
};

const struct ipc_mechanism_row ipc_mechanisms[] = {
#define MECHANISM(name, ...) [IPC_MECH_##name] = MECHANISM_ROW(#name, __VA_ARGS__),
#define MECHANISM_ROW(name, model, boundary, matching, scope, ends, sources)                                 \
	{                                                                                                    \
		name, #model, #boundary, #matching, #scope, #ends, #sources                                  \
	}
#include "mechanisms.def"
#undef MECHANISM_ROW
#undef MECHANISM
};

const struct ipc_reason_row ipc_reasons[] = {
#define REASON(id, name, kind, words, remedy) [IPC_REASON_##id] = { name, #kind, words, remedy },
#include "reasons.def"
#undef REASON
};

#endif
