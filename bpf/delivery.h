/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Signals. One that is sent is told when its call ends, with what the kernel made of it: the tracepoint in
 * the middle of the call says for whom it is and whether it is queued. One that is received is told when it
 * is delivered to a handler, or stops the process; of one that ends it the sender is kept until it has ended:
 * the kernel delivers no more of it than SIGKILL to each thread.
 *
 * The tracepoints run within other calls of the kernel, and one of them in interrupts: they use no scratch
 * memory.
 */
#ifndef IPC_BPF_DELIVERY_H
#define IPC_BPF_DELIVERY_H

#include "channel.h"

#include <bpf/bpf_tracing.h>
#include <linux/uio.h>

enum {
	LIBC_FIRST = 32, /* cancellation, and setuid of all threads: libc's own */
	LIBC_LAST = 33,
	SIGNALS = 64,
	SI_USER_ = 0,
	SI_KERNEL_ = 0x80,
	SI_TKILL_ = -6,
	TO_THREAD = 1 << 0, /* of pidfd_send_signal */
	TO_GROUP = 1 << 2,
	RECORD = 128, /* of a signalfd */
	PIECES_MAX = 1 << 16,
	/* in the place of an address */
	FROM_OWN_KERNEL = 0, /* the kernel made it on behalf of the caller */
	FROM_KERNEL = 1,
	OVERFLOWS = 3, /* the call fails */
};

#define SIGNAL_BIT(number) (1ULL << ((number)-1))
#define STOPS		   (SIGNAL_BIT(19) | SIGNAL_BIT(20) | SIGNAL_BIT(21) | SIGNAL_BIT(22))
#define DOES_NOTHING	   (SIGNAL_BIT(17) | SIGNAL_BIT(18) | SIGNAL_BIT(23) | SIGNAL_BIT(28))

/* The beginning of struct siginfo, the same in the kernel and in the program's memory. */
struct info_head {
	__s32 number, error, code, pad, pid, uid;
	__u64 value;
};

/* A record of a signalfd as far as it is of interest. */
struct signalfd_head {
	__s32 number, error, code, pid, unused[8];
	__u64 value;
};

/* Senders that the target knows by another pid, since it is in a pid namespace. */
struct alias {
	__u32 target;
	__s32 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct alias);
	__type(value, __s32);
} aliases SEC(".maps");

static __always_inline _Bool signal_is_libc(__u32 number)
{
	return number == LIBC_FIRST || number == LIBC_LAST;
}

static __always_inline _Bool signal_is_ours(__u32 number)
{
	return number - 1 < SIGNALS && !signal_is_libc(number);
}

static __always_inline __u32 value_tag(__s32 code, __u64 value)
{
	return code < 0 && code != SI_TKILL_ ? ipc_signal_tag(value) : 0;
}

/* Also of a signal whose sender is not told. */
static __always_inline struct signal_told signal_told(__u32 number, __s32 code, __s32 pid, __u64 value)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct alias key = { .target = task->tgid, .pid = pid };
	struct signal_told told = { .number = number, .code = code, .tag = value_tag(code, value) };

	if (ipc_signal_has_sender(code)) {
		const __s32 *known = bpf_map_lookup_elem(&aliases, &key);
		told.pid = known ? *known : pid;
	}
	return told;
}

/* ---- received ---- */

/* `e` has its times, call and descriptor. */
static __always_inline int tell_received(struct ipc_event *e, __u32 image, const struct signal_told *told)
{
	e->object = ipc_object(IPC_MECH_signal, 0);
	e->result = told->pid;
	e->arg0 = ipc_arg0((__u32)e->arg0, told->code);
	e->arg1 = told->number;
	e->tag = told->tag;
	return emit(e, image);
}

static __always_inline int tell_delivered(const struct task_state *t, __u32 call,
					  const struct signal_told *told)
{
	struct ipc_event e = { .arg0 = NO_DESCRIPTOR, .thread = t->thread };

	e.call = call;
	return tell_received(&e, t->image, told);
}

/* The process dies of it, unless it does not die at all. */
static __always_inline void keep_fatal(struct task_struct *task, const struct signal_told *told, __u32 thread)
{
	struct task_state *leader = bpf_task_storage_get(&tasks, task->group_leader, 0, 0);

	if (!leader)
		return;
	leader->fatal = *told;
	leader->fatal_thread = thread;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(signal_comes, int number, struct kernel_siginfo *info, struct k_sigaction *action)
{
	enum { DEFAULT, IGNORED };
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);
	struct info_head head;

	if (!t || !t->image || !signal_is_ours(number))
		return 0;
	__u64 handler = (__u64)action->sa.sa_handler;
	if (handler == IGNORED || bpf_probe_read_kernel(&head, sizeof(head), info)) /* no address: it dies */
		return 0;
	struct signal_told told = signal_told(number, head.code, head.pid, head.value);
	if (handler != DEFAULT)
		return tell_delivered(t, IPC_CALL_handler, &told);
	if (SIGNAL_BIT(number) & STOPS)
		return tell_delivered(t, IPC_CALL_default_action, &told);
	if (!(SIGNAL_BIT(number) & DOES_NOTHING))
		keep_fatal(task, &told, t->thread);
	return 0;
}

/* The process has ended, by a signal perhaps. */
static void tell_death(const struct task_state *t, const struct task_state *leader, __s32 status)
{
	struct signal_told told = leader->fatal;
	struct ipc_event e = { .arg0 = NO_DESCRIPTOR, .thread = t->thread, .call = IPC_CALL_default_action };

	if (!signal_is_ours(status & 0x7f))
		return;
	if (told.number != (status & 0x7f))
		told = (struct signal_told){ .number = status & 0x7f, .code = IPC_SIGNAL_UNTOLD };
	else if (leader->fatal_thread)
		e.thread = leader->fatal_thread;
	tell_received(&e, t->image, &told);
}

/* Who does not ask who it was is not told. */
static __noinline int leave_sigwait(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	struct ipc_event e = event_of(t, result);
	struct info_head head = { .code = IPC_SIGNAL_UNTOLD };
	__u64 info = regs_arg(regs, 1);

	e.arg0 = NO_DESCRIPTOR;
	if (result < 0)
		return emit(&e, t->image);
	if (!signal_is_ours(result))
		return 0;
	if (info && bpf_probe_read_user(&head, sizeof(head), (void *)info))
		head.code = IPC_SIGNAL_UNTOLD;
	struct signal_told told = signal_told(result, head.code, head.pid, head.value);
	return tell_received(&e, t->image, &told);
}

/* Records that were read into one buffer or several; per processor. */
struct records {
	struct ipc_event event;
	__u32 image;
	__u32 filled; /* of the next record */
	__s64 left;   /* bytes that were read */
	__u64 iov, base, length;
	__u8 bytes[2 * RECORD] __attribute__((aligned(8)));
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct records);
} records SEC(".maps");

static struct records *records_get(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&records, &zero);
}

static __always_inline void tell_record(struct records *r)
{
	const struct signalfd_head *head = (const void *)r->bytes;
	struct ipc_event e = r->event;
	struct signal_told told = signal_told(head->number, head->code, head->pid, head->value);

	tell_received(&e, r->image, &told);
	r->event.flags |= IPC_F_PART;
	r->filled = 0;
}

/* Takes as much of a buffer as a record has room for, or goes on to the next buffer. */
static int record_step(__u32 i, void *unused)
{
	struct records *r = records_get();
	struct iovec iov;

	if (!r || r->left <= 0)
		return 1;
	if (!r->length) {
		if (!r->iov || bpf_probe_read_user(&iov, sizeof(iov), (void *)r->iov))
			return 1;
		r->iov += sizeof(iov);
		r->base = (__u64)iov.iov_base;
		r->length = iov.iov_len;
		return 0;
	}
	__u32 filled = r->filled & (RECORD - 1);
	__u64 n = RECORD - filled;
	if (n > r->length)
		n = r->length;
	if (bpf_probe_read_user(&r->bytes[filled], n & (2 * RECORD - 1), (void *)r->base))
		return 1;
	r->base += n;
	r->length -= n;
	r->left -= n;
	r->filled = filled + n;
	if (r->filled == RECORD)
		tell_record(r);
	return 0;
}

/* After a read of a signalfd: an event for each signal. */
static __noinline int leave_signalfd(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	struct records *r = records_get();
	_Bool plain = t->call == IPC_CALL_read;

	if (!r)
		return 0;
	r->event = event_of(t, 0);
	r->event.arg0 = t->arg0;
	r->image = t->image;
	r->filled = 0;
	r->left = result;
	r->iov = plain ? 0 : regs_arg(regs, 1);
	r->base = plain ? regs_arg(regs, 1) : 0;
	r->length = plain ? regs_arg(regs, 2) : 0;
	bpf_loop(PIECES_MAX, record_step, 0, 0);
	return 0;
}

/* ---- sent ---- */

/* Whom the arguments name; what they do not, the kernel tells (note_sent). */
struct target {
	__u32 number;
	__s32 process; /* 0: several, or not known yet */
	__s32 thread;  /* 0: the process */
	_Bool several;
};

static __always_inline struct target named_target(const struct pt_regs *regs, __u32 call)
{
	__s32 first = regs_arg(regs, 0);
	struct target to = { .number = regs_arg(regs, 1) };
	struct end end = {};
	__u32 flags;

	switch (call) {
	case IPC_CALL_tkill:
		to.thread = first;
		break;
	case IPC_CALL_tgkill:
	case IPC_CALL_rt_tgsigqueueinfo:
		to.process = first;
		to.thread = regs_arg(regs, 1);
		to.number = regs_arg(regs, 2);
		break;
	case IPC_CALL_pidfd_send_signal:
		flags = regs_arg(regs, 3);
		to.several = flags & TO_GROUP;
		if (!(flags & (TO_GROUP | TO_THREAD)) &&
		    ipc_object_mechanism(classify(first, &end)) == IPC_MECH_pidfd)
			to.process = ipc_object_id(end.object);
		break;
	default:
		to.several = first <= 0;
		to.process = to.several ? 0 : first;
	}
	return to;
}

static __noinline int enter_signal(struct task_state *t, const struct pt_regs *regs, __u32 call)
{
	struct target to = {};

	if (call == IPC_CALL_rt_sigaction)
		return 0;
	if (call != IPC_CALL_rt_sigtimedwait) {
		to = named_target(regs, call);
		if (!to.number || signal_is_libc(to.number)) /* 0 only asks whether there is someone */
			return 0;
	}
	t->object = ipc_object(IPC_MECH_signal, to.process > 0 ? to.process : 0);
	t->object2 = 0;
	t->arg0 = call == IPC_CALL_pidfd_send_signal ? (__u32)regs_arg(regs, 0) : NO_DESCRIPTOR;
	t->arg1 = (__u64)(__u32)to.thread << 32 | to.number;
	t->several = to.several;
	t->sent = t->sent_tag = 0;
	t->call = call;
	t->start = bpf_ktime_get_ns();
	return 0;
}

static _Bool sends_signal(const struct task_state *t, const struct signal_told *told)
{
	const struct ipc_call *row = row_of(t->call);

	return row->verb == IPC_VERB_send && IPC_OBJ_KIND(row->object) == IPC_OBJ_KIND_SIGNAL &&
	       (__u32)t->arg1 == told->number;
}

/* What the kernel makes of the signal that the call sends. One to several processes has an event for each. */
static __always_inline int note_sent(struct task_state *t, const struct signal_told *told,
				     struct task_struct *target, _Bool to_process, __u32 outcome)
{
	if (outcome == OVERFLOWS)
		return 0;
	t->object = ipc_object(IPC_MECH_signal, target->tgid);
	t->arg1 = (to_process ? 0 : (__u64)target->pid << 32) | told->number;
	t->sent = outcome == IPC_SIGNAL_IGNORED || outcome == IPC_SIGNAL_MERGED ? outcome : 0;
	t->sent_tag = told->tag;
	if (!t->several)
		return 0;
	struct ipc_event e = event_of(t, t->sent);
	e.arg0 = t->arg0;
	e.arg1 = t->arg1;
	e.tag = t->sent_tag;
	e.flags = t->several == 1 ? 0 : IPC_F_PART;
	t->several = 2;
	return emit(&e, t->image);
}

static __noinline int leave_signal(struct task_state *t, const struct pt_regs *regs, __s64 result)
{
	struct ipc_event e = event_of(t, result);

	if (t->call == IPC_CALL_rt_sigtimedwait)
		return leave_sigwait(t, regs, result);
	if (t->several == 2)
		return 0;
	e.arg0 = t->arg0;
	e.arg1 = t->arg1;
	if (!result) {
		e.result = t->sent;
		e.tag = t->sent_tag;
	}
	return emit(&e, t->image);
}

/* The pid that the receiver will be told is not the sender's where the two see different ones. */
static __always_inline void note_alias(struct task_struct *target, __s32 told, __s32 pid)
{
	struct alias key = { .target = target->tgid, .pid = told };

	if (told != pid)
		bpf_map_update_elem(&aliases, &key, &pid, BPF_ANY);
}

SEC("tp_btf/signal_generate")
int BPF_PROG(signal_made, int number, struct kernel_siginfo *info, struct task_struct *target, int to_process,
	     int outcome)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *to = bpf_task_storage_get(&tasks, target, 0, 0);
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);
	struct signal_told told = { .number = number, .code = SI_KERNEL_ };
	struct info_head head;

	__u32 sender = t ? t->image : 0, receiver = to ? to->image : 0;
	if (!(sender | receiver) || !signal_is_ours(number))
		return 0;
	if (!bpf_probe_read_kernel(&head, sizeof(head), info)) {
		told.code = head.code;
		told.tag = value_tag(head.code, head.value);
		if (ipc_signal_has_sender(head.code)) {
			told.pid = task->tgid;
			note_alias(target, head.pid, task->tgid);
		}
		if (sender && sends_signal(t, &told))
			note_sent(t, &told, target, to_process, outcome);
	}
	if (receiver && outcome != IPC_SIGNAL_IGNORED && target->signal->flags & SIGNAL_GROUP_EXIT &&
	    target->signal->group_exit_code == number)
		keep_fatal(target, &told, to_process ? 0 : to->thread);
	return 0;
}

#endif
