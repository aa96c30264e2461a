/* SPDX-License-Identifier: BSD-2-Clause */
/* The stubs in place of signal handlers (stubs.S), for assembler and C. */
#ifndef IPC_HANDLERS_H
#define IPC_HANDLERS_H

#define ARCH_HANDLERS	  128 /* as many handlers of a program can be told apart */
#define ARCH_HANDLER_STUB 16  /* bytes of a stub */

#ifndef __ASSEMBLER__
#include <stdint.h>

/* What rt_sigaction takes. */
struct arch_action {
	uintptr_t handler;
	uint64_t flags;
	uintptr_t restorer;
	uint64_t mask;
};

extern const uint8_t stub_handlers[ARCH_HANDLERS * ARCH_HANDLER_STUB] __attribute__((visibility("hidden")));
#endif

#endif
