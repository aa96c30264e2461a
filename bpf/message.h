/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * After a send or receive on a socket: its events, one per message, and behind it those of the descriptors
 * that went or came with it; after a post or wait on an eventfd, or a read of a timerfd: its event, with the
 * value. What the program's memory says of a message is read after the kernel has done so: then it is there.
 */
#ifndef IPC_BPF_MESSAGE_H
#define IPC_BPF_MESSAGE_H

#include "channel.h"
#include "payload.h"

enum {
	MESSAGES_MAX = 1024, /* of one call: the kernel's own limit (UIO_MAXIOV) */
	PASSED_MAX = 253,    /* descriptors in a message: the kernel's limit */
	CONTROLS_MAX = 64,
	TAG_ROOM = 64,
};

struct user_msghdr {
	__u64 name;
	__u32 name_length, pad;
	__u64 iov, iovs;
	__u64 control, control_length;
	__u32 flags;
};

struct user_mmsghdr {
	struct user_msghdr header;
	__u32 length;
};

struct user_cmsghdr {
	__u64 length;
	__s32 level, type;
};

/* One message; per processor. */
struct message {
	struct ipc_event event; /* of the call */
	struct user_msghdr header;
	__u64 messages; /* where the next one stands */
	__s64 result;	/* of the call */
	__u32 left;	/* messages to come */
	__u32 flags;	/* that the call was given */
	__u32 image;
	__u16 part; /* IPC_F_PART: not the first */
	_Bool receives;
	_Bool several; /* messages, each with its size */
	/* of its content */
	__u64 buffer, size; /* where it is no vector */
	__u64 room;	    /* in all buffers */
	__u32 wanted, filled;
	__u8 content[2 * TAG_ROOM] __attribute__((aligned(8)));
	__u8 address[ADDRESS_ROOM];
	/* the walk over the descriptors that go with it */
	__u64 at, end, next;
	__u32 passed; /* in this control message, still to tell */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct message);
} messages SEC(".maps");

/* Hashed addresses that have been explained. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} addresses SEC(".maps");

static struct message *message_get(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&messages, &zero);
}

/* A receive that throws its bytes away: they are not where it says. */
static __always_inline _Bool discards(const struct message *m)
{
	return m->receives && m->flags & MSG_TRUNC && ipc_object_mechanism(m->event.object) == IPC_MECH_tcp;
}

/* What moves is a number. */
static __always_inline _Bool has_value(__u64 object)
{
	__u32 mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_eventfd || mechanism == IPC_MECH_timerfd;
}

/* What moves has more to it than its size. */
static __always_inline _Bool has_content(__u64 object)
{
	return is_socket(object) || has_value(object);
}

/* ---- the other side ---- */

/* Explains the address that is in the message. */
SEPARATE int define_address(__u64 address, __u32 length)
{
	const struct message *m = message_get();
	struct scratch *s = scratch_get();
	__u8 one = 1;

	if (!s || !m || bpf_map_update_elem(&addresses, &address, &one, BPF_NOEXIST))
		return 0;
	__builtin_memset(&s->def, 0, sizeof(s->def));
	__builtin_memcpy(s->text, m->address, sizeof(m->address));
	s->def.call = IPC_DEF_ADDRESS;
	s->def.thread = m->event.thread;
	s->def.address.address = address;
	if (!define(&s->def, length & (ADDRESS_ROOM - 1)))
		bpf_map_delete_elem(&addresses, &address);
	return 0;
}

/* Of the message, as its events have it; 0: none. */
SEPARATE __u64 address_of_message(void)
{
	struct message *m = message_get();

	if (!m || !m->header.name)
		return 0;
	__u32 length = m->header.name_length;
	if (length > IPC_ADDRESS_MAX)
		length = IPC_ADDRESS_MAX;
	if (bpf_probe_read_user(m->address, length & (ADDRESS_ROOM - 1), (void *)m->header.name))
		return 0;
	__u64 address = ipc_address(m->address, length);
	if (ipc_address_is_hash(address) && !bpf_map_lookup_elem(&addresses, &address))
		define_address(address, length);
	return address;
}

/* ---- its content ---- */

static __always_inline void gather(struct message *m, __u64 base, __u64 length)
{
	__u32 filled = m->filled & (TAG_ROOM - 1);
	__u64 n = m->wanted - m->filled;

	m->room += length;
	if (n > length)
		n = length;
	if (n == 0 || n >= TAG_ROOM)
		return;
	bpf_probe_read_user(&m->content[filled], n & (TAG_ROOM - 1), (void *)base);
	m->filled = filled + n;
}

static int gather_step(__u32 i, void *unused)
{
	struct message *m = message_get();
	struct iovec iov;

	if (!m || bpf_probe_read_user(&iov, sizeof(iov), (void *)(m->header.iov + i * sizeof(iov))))
		return 1;
	gather(m, (__u64)iov.iov_base, iov.iov_len);
	return 0;
}

/* Fills `room`, and `content` with the first `wanted` bytes. */
static __noinline int gather_all(struct message *m)
{
	__u64 n = m->header.iovs;

	m->room = m->filled = 0;
	if (n)
		bpf_loop(n < IOVECS_MAX ? n : IOVECS_MAX, gather_step, 0, 0);
	else
		gather(m, m->buffer, m->size);
	return 0;
}

/* What a post added or a wait took: the sum, as a vector may hold several. */
static __always_inline __u64 units_of(const struct message *m)
{
	__u64 units = 0;

	for (int i = 0; i < IPC_TAG_BYTES / 8; i++)
		units += ((const __u64 *)m->content)[i];
	return units;
}

/* ---- its event ---- */

static __always_inline void judge_receive(const struct message *m, struct ipc_event *e)
{
	if (m->flags & (MSG_PEEK | MSG_ERRQUEUE))
		e->flags |= IPC_F_PEEK;
	if (!m->room && (e->call == IPC_CALL_read || e->call == IPC_CALL_readv))
		e->flags |= IPC_F_PEEK; /* the kernel does not even look at the socket */
	if (m->header.flags & MSG_OOB)
		e->flags |= IPC_F_OOB;
	if (!e->result && m->room && is_stream(e->object) && !(m->flags & MSG_ERRQUEUE))
		e->flags |= IPC_F_EOF;
	if (!keeps_messages(e->object))
		return;
	if (e->result > (__s64)m->room || m->header.flags & MSG_TRUNC)
		e->flags |= IPC_F_TRUNCATED;
	if (e->result >= (__s64)m->room) {
		e->flags |= IPC_F_FULL;
		e->result = m->room;
	}
}

SEPARATE int tell_message(__s64 result, __u16 part)
{
	struct message *m = message_get();

	if (!m)
		return 0;
	struct ipc_event e = m->event;
	e.result = result;
	e.flags = part | (m->flags & MSG_OOB ? IPC_F_OOB : 0);
	__u32 mechanism = ipc_object_mechanism(e.object);
	m->wanted = 0;
	if (mechanism == IPC_MECH_udp || has_value(e.object)) {
		__builtin_memset(m->content, 0, TAG_ROOM);
		m->wanted = result < IPC_TAG_BYTES ? result : IPC_TAG_BYTES;
	}
	gather_all(m);
	if (m->receives)
		judge_receive(m, &e);
	if (mechanism == IPC_MECH_udp && !(e.flags & (IPC_F_TRUNCATED | IPC_F_PEEK)))
		e.tag = ipc_tag((const __u64 *)m->content, e.result);
	e.arg1 = has_value(e.object) ? units_of(m) : has_addresses(e.object) ? address_of_message() : m->room;
	if (has_payload(&e) && !discards(m))
		e.flags |= tell_payload(&e, m->header.iovs ? m->header.iov : m->buffer, m->header.iovs);
	return emit(&e, m->image);
}

/* sendto and recvfrom, read and write. */
static __always_inline int tell_buffer(struct message *m, const struct pt_regs *regs, __s64 result)
{
	__u32 call = m->event.call;

	__builtin_memset(&m->header, 0, sizeof(m->header));
	m->flags = 0;
	m->buffer = regs_arg(regs, 1);
	m->size = regs_arg(regs, 2);
	if (call == IPC_CALL_sendto || call == IPC_CALL_recvfrom) {
		m->flags = regs_arg(regs, 3);
		m->header.name = regs_arg(regs, 4);
		m->header.name_length = regs_arg(regs, 5);
	}
	if (call == IPC_CALL_recvfrom && m->header.name) {
		m->header.name_length = 0;
		bpf_probe_read_user(&m->header.name_length, sizeof(__u32), (void *)regs_arg(regs, 5));
	}
	return tell_message(result, 0);
}

static __always_inline int tell_vector(struct message *m, const struct pt_regs *regs, __s64 result)
{
	__builtin_memset(&m->header, 0, sizeof(m->header));
	m->flags = 0;
	m->size = 0;
	m->header.iov = regs_arg(regs, 1);
	m->header.iovs = regs_arg(regs, 2);
	return tell_message(result, 0);
}

/* ---- descriptors that go with it ---- */

/* As stat(2) tells it. */
static __always_inline __u64 stat_device(__u32 device)
{
	__u64 major = device >> MINOR_BITS, minor = device & ((1 << MINOR_BITS) - 1);
	return (minor & 0xff) | major << 8 | (minor & ~0xffULL) << 12;
}

/* Of the file's numbers, which are the same at both ends. 0: not known. */
static __noinline __u32 file_tag(__u32 fd)
{
	struct file *file = file_of(fd);
	__u64 hash = 0x9e3779b97f4a7c15ULL;

	if (!file)
		return 0;
	struct inode *inode = PEEK(file, file, f_inode);
	__u64 numbers[] = { stat_device(PEEK(super_block, PEEK(inode, inode, i_sb), s_dev)),
			    PEEK(inode, inode, i_ino), stat_device(PEEK(inode, inode, i_rdev)) };
	for (int i = 0; i < 3; i++) {
		hash = (hash ^ numbers[i]) * 0xbf58476d1ce4e5b9ULL;
		hash ^= hash >> 31;
	}
	return hash >> 32 ?: 1;
}

/* What came is open now. Apart, as the next: its event's room on the stack is not below what tells of what
 * came. */
static __noinline int tell_arrived(const struct message *m, __u32 fd, const struct end *end)
{
	struct ipc_event e = m->event;

	e.call = IPC_CALL_recvmsg_fd;
	e.result = fd;
	e.object = end->object;
	e.arg0 = end->arg0;
	e.flags = IPC_F_PART;
	return emit(&e, m->image);
}

static __noinline int tell_passage(const struct message *m, __u32 fd, const struct end *end)
{
	struct ipc_event e = m->event;

	e.call = m->receives ? IPC_CALL_recvmsg_passed : IPC_CALL_sendmsg_passed;
	e.object = ipc_object(IPC_MECH_fd_passing, ipc_object_id(e.object));
	e.arg1 = end->object;
	e.result = fd;
	e.tag = file_tag(fd);
	e.flags = IPC_F_PART;
	if (m->receives)
		e.flags |= (m->flags & MSG_PEEK ? IPC_F_PEEK : 0) |
			   (m->header.flags & MSG_CTRUNC ? IPC_F_TRUNCATED : 0);
	return emit(&e, m->image);
}

static __always_inline int tell_passed(struct message *m)
{
	struct end end = {};
	__u32 fd;

	m->passed--;
	if (bpf_probe_read_user(&fd, sizeof(fd), (void *)m->at))
		return 1;
	m->at += sizeof(fd);
	if (find_end(fd, &end, m->event.thread) && m->receives)
		tell_arrived(m, fd, &end);
	return tell_passage(m, fd, &end);
}

static __always_inline int next_control(struct message *m)
{
	struct user_cmsghdr head;

	m->at = m->next;
	m->next = m->end;
	if (bpf_probe_read_user(&head, sizeof(head), (void *)m->at) || head.length < sizeof(head) ||
	    head.length > m->end - m->at)
		return 0;
	if (head.level == SOL_SOCKET && head.type == SCM_RIGHTS)
		m->passed = (head.length - sizeof(head)) / sizeof(__u32);
	if (m->passed > PASSED_MAX) /* another thread writes there */
		m->passed = PASSED_MAX;
	m->next = m->at + ((head.length + 7) & ~7ULL);
	m->at += sizeof(head);
	return 0;
}

/* ---- sendmsg and recvmsg, and those of several messages ---- */

static __always_inline void begin_messages(struct message *m, const struct pt_regs *regs, __s64 result)
{
	m->several = row_of(m->event.call)->size == IPC_SIZE_MESSAGES;
	m->flags = m->several ? regs_arg(regs, 3) : regs_arg(regs, 2);
	m->messages = regs_arg(regs, 1);
	m->left = m->several ? result : 1;
	m->result = result;
	m->part = 0;
	m->size = 0;
	m->next = m->end = m->passed = 0;
}

/* Returns whether it was the last. Apart: its room on the stack is not below what tells of descriptors. */
static __noinline int next_message(struct message *m)
{
	struct user_mmsghdr next = {};
	__u32 size = m->several ? sizeof(next) : sizeof(next.header);

	if (!m->left || (bpf_probe_read_user(&next, size, (void *)m->messages) && m->several))
		return 1;
	m->left--;
	m->messages += size;
	m->header = next.header;
	if (!m->receives) /* the kernel does not look at it */
		m->header.flags = 0;
	if (ipc_object_mechanism(m->event.object) <= IPC_MECH_unix_seqpacket) {
		m->next = m->header.control;
		m->end = m->next + m->header.control_length;
	}
	tell_message(m->several ? next.length : m->result, m->part);
	m->part = IPC_F_PART;
	return 0;
}

static int message_step(__u32 i, void *unused)
{
	struct message *m = message_get();

	if (!m)
		return 1;
	if (m->passed)
		return tell_passed(m);
	if (m->next + sizeof(struct user_cmsghdr) <= m->end)
		return next_control(m);
	return next_message(m);
}

/* One loop: one in another's would be too deep for the verifier. */
static __always_inline void tell_messages(void)
{
	struct message *m = message_get();
	__u32 left = m ? m->left : 0;

	if (left > MESSAGES_MAX)
		left = MESSAGES_MAX;
	bpf_loop(left * (1 + CONTROLS_MAX + PASSED_MAX), message_step, 0, 0);
}

/* What pidfd_getfd has made; of whom, its first argument said. */
static __noinline int tell_taken(struct task_state *t, const struct pt_regs *regs, __u32 fd)
{
	struct ipc_event e = event_of(t, fd);
	struct end end = {};

	if (ipc_object_mechanism(t->object) != IPC_MECH_pidfd)
		return 0;
	e.object = ipc_object(IPC_MECH_fd_passing, IPC_PASSING_PID | ipc_object_id(t->object));
	e.arg0 = (__u32)regs_arg(regs, 0);
	e.arg1 = find_end(fd, &end, t->thread);
	e.tag = file_tag(fd);
	e.flags = e.arg1 ? IPC_F_PART : 0;
	return emit(&e, t->image);
}

#endif
