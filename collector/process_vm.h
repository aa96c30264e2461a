/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of another process: a channel per target. The caller reads or writes; the target does nothing,
 * so one event is the whole message.
 */
#ifndef IPC_PROCESS_VM_H
#define IPC_PROCESS_VM_H

#include "model.h"

/* The channel of the process that now has this pid. */
struct channel *process_vm_channel(struct collector *c, const struct process *caller,
				   const struct ipc_event *e);
/* A call that moved something. */
void process_vm_transfer(struct collector *c, struct endpoint *caller, const struct ipc_event *e,
			 const struct match_call *call, bool sends);

#endif
