/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The enums and row types made from calls.def, mechanisms.def and reasons.def. Includes nothing of libc,
 * so that the eBPF programs read the same tables. The tables themselves are in tables.c (user space) and
 * in the eBPF object's read-only data.
 */
#ifndef IPC_CALLS_H
#define IPC_CALLS_H

#include <linux/types.h>

enum ipc_mechanism {
#define MECHANISM(name, ...) IPC_MECH_##name,
#include "mechanisms.def"
#undef MECHANISM
	IPC_MECHANISMS
};

enum ipc_call_id {
#define CALL(id, ...) IPC_CALL_##id,
#include "calls.def"
#undef CALL
	IPC_CALLS
};

enum ipc_reason {
#define REASON(id, ...) IPC_REASON_##id,
#include "reasons.def"
#undef REASON
	IPC_REASONS
};

enum ipc_verb {
	IPC_VERB_none,
	IPC_VERB_open,
	IPC_VERB_close,
	IPC_VERB_send,
	IPC_VERB_recv,
	IPC_VERB_by_end,
	IPC_VERB_wait,
	IPC_VERB_post,
	IPC_VERB_lock,
	IPC_VERB_unlock,
	IPC_VERB_map,
	IPC_VERB_unmap,
	IPC_VERB_control,
	IPC_VERB_spawn,
	IPC_VERB_exec,
	IPC_VERB_exit,
	IPC_VERBS
};

/* What a call works on: a kind, and in the low nibble the argument's number where one is meant. */
enum {
	IPC_OBJ_NONE = 0x00,
	IPC_OBJ_RET = 0x10,
	IPC_OBJ_RANGE = 0x20,
	IPC_OBJ_CHILD = 0x30,
	IPC_OBJ_SELF = 0x40,
	IPC_OBJ_KIND_FD = 0x50,
	IPC_OBJ_KIND_PAIR = 0x60,
	IPC_OBJ_POLLFDS = 0x70,
	IPC_OBJ_FDSETS = 0x80,
	IPC_OBJ_EPOLL = 0x90,
	IPC_OBJ_KIND_MSGQ = 0xa0,
	IPC_OBJ_MSGQ_RET = 0xaf,
	IPC_OBJ_KIND_SEMS = 0xb0,
	IPC_OBJ_SEMS_RET = 0xbf,
	IPC_OBJ_KIND_SIGNAL = 0xc0,
	IPC_OBJ_SIGNAL_SELF = 0xcf,
	IPC_OBJ_KIND_PROCESS = 0xd0,
	IPC_OBJ_KIND_MEMORY = 0xe0,
	IPC_OBJ_MEMORY_RET = 0xef,
	IPC_OBJ_KIND_WORD = 0xf0,
};
#define IPC_OBJ_FD(arg)	     (IPC_OBJ_KIND_FD | (arg))
#define IPC_OBJ_PAIR(arg)    (IPC_OBJ_KIND_PAIR | (arg))
#define IPC_OBJ_MSGQ(arg)    (IPC_OBJ_KIND_MSGQ | (arg))
#define IPC_OBJ_SEMS(arg)    (IPC_OBJ_KIND_SEMS | (arg))
#define IPC_OBJ_SIGNAL(arg)  (IPC_OBJ_KIND_SIGNAL | (arg))
#define IPC_OBJ_PROCESS(arg) (IPC_OBJ_KIND_PROCESS | (arg))
#define IPC_OBJ_MEMORY(arg)  (IPC_OBJ_KIND_MEMORY | (arg))
#define IPC_OBJ_WORD(arg)    (IPC_OBJ_KIND_WORD | (arg))
#define IPC_OBJ_KIND(object) ((object)&0xf0)
#define IPC_OBJ_ARG(object)  ((object)&0x0f)

enum ipc_size { IPC_SIZE_NONE, IPC_SIZE_RESULT, IPC_SIZE_MESSAGE, IPC_SIZE_MESSAGES, IPC_SIZE_ARGUMENT };
enum ipc_effect { IPC_FX_NONE, IPC_FX_MAKES, IPC_FX_COPIES, IPC_FX_CLOSES };

enum { IPC_NO_NR = 0xffff, IPC_NO_OP = 0xff };

struct ipc_call {
	__u16 nr;    /* system-call number or IPC_NO_NR */
	__u8 op_arg; /* argument that selects the row, or IPC_NO_OP */
	__u8 verb;   /* enum ipc_verb */
	__u32 op_value;
	__u8 object; /* enum ipc_object_kind | argument */
	__u8 object2;
	__u8 size;   /* enum ipc_size */
	__u8 asks;   /* 1 + the argument that says how many bytes are asked for or given, or 0 */
	__u8 effect; /* enum ipc_effect */
};

#define IPC_SIZE_ASKS(arg)  IPC_SIZE_RESULT, .asks = (arg) + 1
#define IPC_SIZE_GIVEN(arg) IPC_SIZE_ARGUMENT, .asks = (arg) + 1
#define IPC_ANY_OP	    .op_arg = IPC_NO_OP
#define IPC_OP(arg, value)  .op_arg = (arg), .op_value = (value)

/*
 * The body of `#define CALL(...)` for a table of struct ipc_call indexed by enum ipc_call_id. The including
 * file has <asm/unistd.h> and F_DUPFD, F_DUPFD_CLOEXEC in scope:
 *
 *	static const struct ipc_call calls[] = {
 *	#define CALL IPC_CALL_ROW
 *	#include "calls.def"
 *	#undef CALL
 *	};
 */
#define IPC_CALL_ROW(id, name, nr_, op_, verb_, object_, object2_, size_, effect_)                           \
	[IPC_CALL_##id] = {                                                                                  \
		.nr = (nr_),                                                                                 \
		IPC_##op_,                                                                                   \
		.verb = IPC_VERB_##verb_,                                                                    \
		.object = IPC_OBJ_##object_,                                                                 \
		.object2 = IPC_OBJ_##object2_,                                                               \
		.size = IPC_SIZE_##size_,                                                                    \
		.effect = IPC_FX_##effect_,                                                                  \
	},

#endif
