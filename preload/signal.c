// SPDX-License-Identifier: BSD-2-Clause
/*
 * Signals that are sent, and those that are received: by a handler (action.c), by waiting, from a signalfd.
 * What the program's arguments point to is read only where the kernel has just done so.
 */
#include <errno.h>
#include <linux/signalfd.h>
#include <sys/uio.h>

#include "action.h"
#include "hooks.h"
#include "proc.h"
#include "text.h"

enum {
	/* of pidfd_send_signal */
	TO_THREAD = 1 << 0,
	TO_GROUP = 1 << 2,
};

/* The process that a thread belongs to, or 0. */
static int process_of(int tid)
{
	char path[40];
	uint64_t pid = 0;
	char *at = text_put_number(text_put(path, path + 16, "/proc/"), (unsigned long)tid);
	*text_put(at, path + sizeof(path) - 1, "/status") = '\0';
	return tid > 0 && proc_number(path, "\nTgid:", &pid) ? (int)pid : 0;
}

static int pidfd_process(long fd)
{
	char path[40];
	uint64_t pid = 0;
	proc_fdinfo_path(path, fd);
	return proc_number(path, "\nPid:", &pid) && pid <= INT32_MAX ? (int)pid : 0;
}

struct target {
	int process; /* 0: several, or not known */
	int thread;  /* 0: the process */
	int number;
};

static struct target target_of(uint16_t call, const struct hook_registers *r)
{
	int first = (int)r->arg[0], second = (int)r->arg[1], third = (int)r->arg[2], flags = (int)r->arg[3];
	switch (call) {
	case IPC_CALL_tkill:
		return (struct target){ process_of(first), first, second };
	case IPC_CALL_tgkill:
	case IPC_CALL_rt_tgsigqueueinfo:
		return (struct target){ first, second, third };
	case IPC_CALL_pidfd_send_signal:
		first = flags & TO_GROUP ? 0 : pidfd_process(r->arg[0]);
		return (struct target){ flags & TO_THREAD ? process_of(first) : first,
					flags & TO_THREAD ? first : 0, second };
	default:
		return (struct target){ first, 0, second };
	}
}

bool signal_enter(uint16_t call, const struct hook_registers *r, struct pending *p)
{
	p->arg0 = ipc_arg0(call == IPC_CALL_pidfd_send_signal ? (uint32_t)r->arg[0] : (uint32_t)-1, 0);
	p->object = signal_own();
	if (call == IPC_CALL_rt_sigtimedwait)
		return true;
	struct target to = target_of(call, r);
	if (!to.number || signal_is_libc(to.number)) /* 0 only asks whether there is someone */
		return false;
	p->object = ipc_object(IPC_MECH_signal, to.process > 0 ? (uint32_t)to.process : 0);
	p->arg1 = (uint64_t)(uint32_t)to.thread << 32 | (uint32_t)to.number;
	return true;
}

/* Whether such a signal comes with a value. */
static bool has_value(int code)
{
	return code < 0 && code != SI_TKILL;
}

void signal_received(struct shim_thread *t, struct ipc_event *e, const struct signal_told *told)
{
	e->object = signal_own();
	e->result = ipc_signal_has_sender(told->code) ? told->pid : 0;
	e->arg0 = ipc_arg0((uint32_t)e->arg0, (uint32_t)told->code);
	e->arg1 = (uint32_t)told->number;
	e->tag = has_value(told->code) ? ipc_signal_tag(told->value) : 0;
	shim_emit(t, e);
}

/* What sigqueue sends with the signal, or NULL. */
static const siginfo_t *sent_info(const struct pending *p)
{
	switch (p->call) {
	case IPC_CALL_rt_sigqueueinfo:
	case IPC_CALL_pidfd_send_signal:
		return (const void *)p->arg[2];
	case IPC_CALL_rt_tgsigqueueinfo:
		return (const void *)p->arg[3];
	default:
		return NULL;
	}
}

static void return_wait(struct shim_thread *t, const struct pending *p, long result)
{
	struct ipc_event e = hook_event(t, p, result);
	const siginfo_t *info = (const void *)p->arg[1];
	struct signal_told told = { .number = (int)result, .code = IPC_SIGNAL_UNTOLD };
	if (result < 0)
		shim_emit(t, &e);
	else if (!signal_is_libc((int)result)) {
		if (info)
			told = signal_told((int)result, info);
		signal_received(t, &e, &told);
	}
}

void hook_leave_signal(struct shim_thread *t, const struct pending *p, long result)
{
	if (p->call == IPC_CALL_rt_sigtimedwait) {
		return_wait(t, p, result);
		return;
	}
	const siginfo_t *info = result ? NULL : sent_info(p);
	struct ipc_event e = hook_event(t, p, result);
	if (info && has_value(info->si_code))
		e.tag = ipc_signal_tag((uintptr_t)info->si_ptr);
	shim_emit(t, &e);
}

/* The next record of those that were read into several buffers. */
static void gather(struct signalfd_siginfo *out, const struct iovec **iov, size_t *at)
{
	for (size_t i = 0; i < sizeof(*out); i++) {
		while (*at == (*iov)->iov_len) {
			++*iov;
			*at = 0;
		}
		((uint8_t *)out)[i] = ((const uint8_t *)(*iov)->iov_base)[(*at)++];
	}
}

void hook_leave_signalfd(struct shim_thread *t, const struct pending *p, long result)
{
	const struct iovec one = { (void *)p->arg[1], (size_t)p->arg[2] };
	const struct iovec *iov = p->call == IPC_CALL_read ? &one : (const void *)p->arg[1];
	size_t at = 0;
	struct ipc_event e = hook_event(t, p, result);
	if (result <= 0) {
		e.flags |= result == -EAGAIN ? IPC_F_NONBLOCK : 0;
		shim_emit(t, &e);
	}
	for (long done = 0; done < result; done += (long)sizeof(struct signalfd_siginfo)) {
		struct signalfd_siginfo s;
		gather(&s, &iov, &at);
		const struct signal_told told = { (int)s.ssi_signo, s.ssi_code, (int)s.ssi_pid, s.ssi_ptr };
		signal_received(t, &e, &told);
		e.flags |= IPC_F_PART;
	}
}
