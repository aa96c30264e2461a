/* SPDX-License-Identifier: BSD-2-Clause */
/* Words in shared memory. */
#ifndef IPC_FUTEX_H
#define IPC_FUTEX_H

#include "shim.h"

/* The object of the word at this address, which is defined; 0: it is in private memory. */
uint64_t word_object(struct shim_thread *t, enum ipc_mechanism mechanism, uintptr_t address);

#endif
