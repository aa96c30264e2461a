/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What goes through a ring of io_uring. An operation is told as the system call that does the same: with its
 * arguments put where that one has them, it takes the way of call.h. It begins when the kernel takes its
 * entry from the queue and ends when its completion is there for the program to see; the thread is the one
 * that submitted it. The file is known for certain only while the operation is carried out, since the entry
 * may have a place in the ring's own table of files, which an operation before it fills.
 */
#ifndef IPC_BPF_RING_H
#define IPC_BPF_RING_H

#include "call.h"

#include <linux/io_uring.h>

enum {
	REGS_ROOM = 256, /* bytes of struct pt_regs, and more */
	SUBMITTED_MAX = 1 << 16,
	NR_NONE = -1,
	/* newer than the header may be */
	READ_MULTISHOT_ = 49,
	WAITID_ = 50,
	FUTEX_WAIT_ = 51,
	FUTEX_WAITV_ = 53,
	BIND_ = 56,
	LISTEN_ = 57,
	EPOLL_WAIT_ = 59,
	READV_FIXED_ = 60,
	WRITEV_FIXED_ = 61,
	PIPE_ = 62,
	SETUP_SQE128_ = 1 << 10,
	SETUP_NO_SQARRAY_ = 1 << 16,
	RECVSEND_BUNDLE_ = 1 << 4,
	CQE_F_NOTIF_ = 1 << 3,
	RECVMSG_OUT = 16, /* what stands before a message of a receive that goes on: its lengths */
};

/* Of those that complete more than once only the last completion tells which it is. */
struct going_on {
	__u64 ring, user_data;
};

/* An operation under way. */
struct submission {
	struct task_state state; /* of the call that it stands for */
	__u64 regs[REGS_ROOM / sizeof(__u64)];
	struct io_uring_sqe entry; /* here, as the stack is deep below: and so is where it ends */
	struct end end, none;
	struct going_on key;
	__u64 req;
	__u32 head; /* bytes of its result that are no message */
	__u16 call;
	__u8 opcode;
	_Bool fixed;   /* the ring's own table has the file */
	_Bool by_file; /* its object is the file's */
	_Bool chosen;  /* the kernel chooses the buffer */
	_Bool goes_on; /* completes more than once */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct submission);
} submission SEC(".maps");

/* By the kernel's own structure of it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SUBMITTED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct submission);
} submissions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SUBMITTED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct going_on);
	__type(value, __u64);
} going_on SEC(".maps");

/* ---- an entry, as a system call ---- */

static __always_inline void set_args(struct pt_regs *r, __u64 a, __u64 b, __u64 c, __u64 d)
{
	r->di = a;
	r->si = b;
	r->dx = c;
	r->r10 = d;
	r->r8 = r->r9 = 0;
}

/* On the entry's descriptor. Returns the call's number. */
static __always_inline long stream_call(const struct io_uring_sqe *q, struct pt_regs *r)
{
	set_args(r, q->fd, q->addr, q->len, 0);
	switch (q->opcode) {
	case IORING_OP_READV:
	case READV_FIXED_:
		return __NR_readv;
	case IORING_OP_WRITEV:
	case WRITEV_FIXED_:
		return __NR_writev;
	case IORING_OP_READ:
	case IORING_OP_READ_FIXED:
	case READ_MULTISHOT_:
		return __NR_read;
	case IORING_OP_WRITE:
	case IORING_OP_WRITE_FIXED:
		return __NR_write;
	}
	return NR_NONE;
}

static __always_inline long socket_call(const struct io_uring_sqe *q, struct pt_regs *r)
{
	set_args(r, q->fd, q->addr, q->len, q->msg_flags);
	switch (q->opcode) {
	case IORING_OP_SEND:
	case IORING_OP_SEND_ZC:
		r->r8 = q->addr2;
		r->r9 = q->addr_len;
		return __NR_sendto;
	case IORING_OP_RECV:
		return __NR_recvfrom;
	case IORING_OP_SENDMSG:
	case IORING_OP_SENDMSG_ZC:
		r->dx = q->msg_flags;
		return __NR_sendmsg;
	case IORING_OP_RECVMSG:
		r->dx = q->msg_flags;
		return __NR_recvmsg;
	case IORING_OP_CONNECT:
		return __NR_connect;
	case IORING_OP_SHUTDOWN:
		return __NR_shutdown;
	case BIND_:
		return __NR_bind;
	case LISTEN_:
		return __NR_listen;
	}
	return NR_NONE;
}

/* Those that make or close a descriptor (not: a place in the ring's table), or are on two. */
static __always_inline long maker_call(const struct io_uring_sqe *q, struct pt_regs *r)
{
	set_args(r, q->fd, q->addr, q->len, 0);
	switch (q->opcode) {
	case IORING_OP_SPLICE:
		set_args(r, q->splice_fd_in, 0, q->fd, 0);
		r->r8 = q->len;
		return __NR_splice;
	case IORING_OP_TEE:
		set_args(r, q->splice_fd_in, q->fd, q->len, 0);
		return __NR_tee;
	case IORING_OP_EPOLL_CTL:
		set_args(r, q->fd, q->len, q->off, q->addr);
		return __NR_epoll_ctl;
	case EPOLL_WAIT_:
		return __NR_epoll_wait;
	case WAITID_:
		set_args(r, q->len, q->fd, q->addr2, q->file_index);
		return __NR_waitid;
	}
	if (q->file_index)
		return NR_NONE;
	switch (q->opcode) {
	case IORING_OP_CLOSE:
		return __NR_close;
	case IORING_OP_ACCEPT:
		return __NR_accept4;
	case IORING_OP_OPENAT:
		return __NR_openat;
	case IORING_OP_OPENAT2:
		return __NR_openat2;
	case IORING_OP_SOCKET:
		return __NR_socket;
	case PIPE_:
		r->di = q->addr;
		return __NR_pipe2;
	}
	return NR_NONE;
}

static __always_inline _Bool completes_often(const struct io_uring_sqe *q)
{
	switch (q->opcode) {
	case IORING_OP_ACCEPT:
		return q->ioprio & IORING_ACCEPT_MULTISHOT;
	case IORING_OP_RECV:
	case IORING_OP_RECVMSG:
		return q->ioprio & IORING_RECV_MULTISHOT;
	case IORING_OP_SEND:
		return q->ioprio & RECVSEND_BUNDLE_;
	case IORING_OP_POLL_ADD:
		return q->len & IORING_POLL_ADD_MULTI;
	}
	return q->opcode == READ_MULTISHOT_;
}

/* It may matter, and is not followed. */
static __always_inline _Bool is_missed(const struct io_uring_sqe *q)
{
	switch (q->opcode) {
	case IORING_OP_SPLICE:
	case IORING_OP_TEE:
		return q->flags & IOSQE_FIXED_FILE || q->splice_flags & SPLICE_F_FD_IN_FIXED;
	case IORING_OP_MSG_RING:
		return 1;
	}
	return q->opcode >= FUTEX_WAIT_ && q->opcode <= FUTEX_WAITV_;
}

/* ---- it is submitted ---- */

/* The queue's entry of an operation that has just been taken from it. */
static __always_inline _Bool entry_of(struct io_kiocb *req, struct io_uring_sqe *q)
{
	struct io_ring_ctx *ring = req->ctx;
	__u32 at = (ring->cached_sq_head - 1) & (ring->sq_entries - 1);
	__u64 entries = 0;

	if (!(ring->flags & SETUP_NO_SQARRAY_) && bpf_probe_read_kernel(&at, sizeof(at), ring->sq_array + at))
		return 0;
	if (ring->flags & SETUP_SQE128_)
		at *= 2;
	bpf_core_read(&entries, sizeof(entries), &ring->sq_sqes);
	return !bpf_probe_read_kernel(q, sizeof(*q), (void *)(entries + (__u64)at * sizeof(*q))) &&
	       q->opcode == req->opcode;
}

/* The caller's state; a kernel thread that submits for a process becomes one of its threads. */
static __always_inline struct task_state *submitter(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, 0);

	if (t || !(task->flags & PF_IO_WORKER))
		return t;
	struct task_state *leader = bpf_task_storage_get(&tasks, task->group_leader, 0, 0);
	if (!leader || !leader->image)
		return 0;
	t = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return 0;
	t->image = leader->image;
	t->thread = next_id();
	tell_thread(t, task);
	return t;
}

/* The lengths of what a receive puts before each message. */
static __always_inline __u32 head_of(const struct io_uring_sqe *q)
{
	struct user_msghdr header = {};

	if (q->opcode != IORING_OP_RECVMSG || !completes_often(q))
		return 0;
	bpf_probe_read_user(&header, sizeof(header), (void *)q->addr);
	return RECVMSG_OUT + header.name_length + header.control_length;
}

/* Fills in the call that it stands for, as far as it is known when it begins. Returns whether it is one of
 * ours. */
static __always_inline int stand_for(struct submission *s, const struct io_uring_sqe *q)
{
	struct pt_regs *regs = (void *)s->regs;
	long nr = maker_call(q, regs);

	s->by_file = nr == NR_NONE;
	if (nr == NR_NONE)
		nr = stream_call(q, regs);
	if (nr == NR_NONE)
		nr = socket_call(q, regs);
	if (q->opcode == IORING_OP_POLL_ADD)
		s->call = IPC_CALL_poll;
	else if (nr == NR_NONE)
		s->call = IPC_CALL_none;
	else
		s->call = call_of(regs, nr);
	if (!s->by_file) {
		enter_common(&s->state, bpf_get_current_task_btf(), regs, s->call);
		s->call = s->state.call;
	}
	return s->call != IPC_CALL_none;
}

static __always_inline int missed(const struct task_state *t)
{
	return define_loss(t->thread, IPC_REASON_io_uring);
}

static __always_inline int remember(struct submission *s, __u64 req)
{
	const __u64 several = 0;

	if (bpf_map_lookup_elem(&submissions, &req)) /* that one's end was not told: no room for it */
		missed(&s->state);
	if (s->goes_on && bpf_map_update_elem(&going_on, &s->key, &req, BPF_NOEXIST)) {
		missed(&s->state);
		/* whose completions these are cannot be told any more; the other one's were to come too */
		if (!bpf_map_update_elem(&going_on, &s->key, &several, BPF_EXIST))
			missed(&s->state);
		return 0;
	}
	if (bpf_map_update_elem(&submissions, &req, s, BPF_ANY))
		return missed(&s->state);
	return 0;
}

static __always_inline int submits(struct io_kiocb *req)
{
	struct task_state *t = submitter();
	__u32 zero = 0;

	if (!t || !t->image)
		return 0;
	struct submission *s = bpf_map_lookup_elem(&submission, &zero);
	if (!s || !entry_of(req, &s->entry) || is_missed(&s->entry))
		return missed(t);
	const struct io_uring_sqe *q = &s->entry;
	__builtin_memset(&s->state, 0, sizeof(s->state));
	s->state.image = t->image;
	s->state.thread = t->thread | RING_THREAD;
	s->state.start = bpf_ktime_get_ns();
	s->state.several_threads = has_threads(bpf_get_current_task_btf());
	if (!stand_for(s, q))
		return 0;
	if (q->flags & IOSQE_CQE_SKIP_SUCCESS)
		return missed(t);
	s->req = (__u64)req;
	s->key.ring = (__u64)req->ctx;
	s->key.user_data = q->user_data;
	s->opcode = q->opcode;
	s->fixed = q->flags & IOSQE_FIXED_FILE;
	s->chosen = q->flags & IOSQE_BUFFER_SELECT;
	s->goes_on = completes_often(q);
	s->head = head_of(q);
	return remember(s, (__u64)req);
}

/* ---- it is completed ---- */

/* A socket is told anew when it has got an address. */
static __noinline int define_late(struct submission *s, __s32 result)
{
	const struct end *end = &s->end;
	__u8 one = 1;

	if (s->call == IPC_CALL_connect || s->call == IPC_CALL_bind || s->call == IPC_CALL_listen) {
		if (result)
			return 0;
		return define_socket(end, s->state.thread,
				     s->call == IPC_CALL_connect ? IPC_SOCKET_CONNECTED : 0, 0);
	}
	if (!socket_is_known(end) ||
	    (binds_late(end->object) && !bpf_map_update_elem(&defined, &end->object, &one, BPF_NOEXIST)))
		return define_socket(end, s->state.thread, 0, 0);
	return 0;
}

static __noinline int tell_poll(struct submission *s, __s32 result)
{
	struct ipc_event e = event_of(&s->state, 1);

	if (result <= 0)
		return 0;
	e.object = s->end.object;
	e.arg0 = s->end.arg0;
	e.arg1 = (__u32)result;
	e.call = IPC_CALL_poll;
	return emit(&e, s->state.image);
}

/* Returns whether the call is to be told as any that ends. */
static __always_inline _Bool enter_by_file(struct submission *s, struct io_kiocb *req, __s32 *result)
{
	struct pt_regs *regs = (void *)s->regs;
	__u64 start = s->state.start;
	__u32 fd = s->fixed ? NO_DESCRIPTOR : regs_arg(regs, 0);
	__u64 file = 0; /* a number to the verifier */

	bpf_core_read(&file, sizeof(file), &req->file);
	if (!classify_file(file, fd, &s->end))
		return 0;
	if (s->end.sk)
		define_late(s, *result);
	if (s->call == IPC_CALL_poll) {
		tell_poll(s, *result);
		return 0;
	}
	if (s->chosen) {
		set_args(regs, fd, 0, *result > 0 ? *result : 0, 0);
		*result -= *result > (__s32)s->head ? (__s32)s->head : 0;
	}
	enter_ends(&s->state, regs, s->call, &s->end, &s->none);
	s->state.start = start;
	s->state.unbound = 0;
	return s->state.call != IPC_CALL_none;
}

/* The operation that has been completed; all but the last time its structure is not told. */
static __noinline struct submission *submission_of(__u64 ring, __u64 req, __u64 user_data)
{
	struct going_on key = { .ring = ring, .user_data = user_data };

	if (!req) {
		__u64 *one = bpf_map_lookup_elem(&going_on, &key);
		if (!one)
			return 0;
		req = *one;
	}
	return bpf_map_lookup_elem(&submissions, &req);
}

static __noinline int forget(struct submission *s, __u64 req)
{
	if (s->goes_on)
		bpf_map_delete_elem(&going_on, &s->key);
	bpf_map_delete_elem(&submissions, &req);
	return 0;
}

static __always_inline int completes(__u64 ring, __u64 req, __u64 user_data, __s32 result, __u32 flags)
{
	if (flags & CQE_F_NOTIF_)
		return 0;
	struct submission *s = submission_of(ring, req, user_data);
	if (!s)
		return 0;
	s->state.call = s->call;
	if (!s->by_file || enter_by_file(s, (void *)s->req, &result))
		leave_common(&s->state, (void *)s->regs, result);
	if (!s->goes_on || !(flags & IORING_CQE_F_MORE))
		return forget(s, s->req);
	s->state.start = bpf_ktime_get_ns();
	return 0;
}

#endif
