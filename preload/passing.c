// SPDX-License-Identifier: BSD-2-Clause
/*
 * Descriptors that are passed. The control data of a message is read where the kernel has just done so: after
 * a success. What a descriptor stands for is told by its file's numbers, in a tag: the receiver's descriptor
 * has the same, and the kernel may drop some of them on the way.
 */
#include <sys/stat.h>

#include "passing.h"
#include "socket.h"

static uint64_t mix(uint64_t h, uint64_t value)
{
	h = (h ^ value) * 0xbf58476d1ce4e5b9ULL;
	return h ^ h >> 31;
}

/* 0: not known. */
static uint32_t tag_of(long fd)
{
	struct stat st;
	if (raw_syscall(__NR_fstat, fd, &st))
		return 0;
	uint64_t h = mix(mix(mix(0x9e3779b97f4a7c15ULL, st.st_dev), st.st_ino), st.st_rdev);
	return (uint32_t)(h >> 32) ? (uint32_t)(h >> 32) : 1;
}

/* The descriptors of a message, one after the other. */
struct rights {
	const struct msghdr *h;
	const struct cmsghdr *c;
	size_t next; /* in `c` */
};

/* No more than there is room for: another thread may write there by now. */
static size_t count_of(const struct msghdr *h, const struct cmsghdr *c)
{
	size_t room = (size_t)((const uint8_t *)h->msg_control + h->msg_controllen - (const uint8_t *)c);
	size_t length = c->cmsg_len < room ? c->cmsg_len : room;
	if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || length < CMSG_LEN(0))
		return 0;
	return (length - CMSG_LEN(0)) / sizeof(int);
}

static struct rights rights_of(const struct msghdr *h)
{
	return (struct rights){ .h = h, .c = h->msg_control ? CMSG_FIRSTHDR(h) : NULL };
}

/* -1: that was the last one. */
static int next_of(struct rights *r)
{
	while (r->c && r->next >= count_of(r->h, r->c)) {
		r->c = CMSG_NXTHDR((struct msghdr *)r->h, (struct cmsghdr *)r->c);
		r->next = 0;
	}
	return r->c ? ((const int *)CMSG_DATA(r->c))[r->next++] : -1;
}

static void tell(struct shim_thread *t, const struct pending *p, uint16_t call, int fd, uint64_t object,
		 uint16_t flags)
{
	struct ipc_event e = hook_event(t, p, fd);
	e.call = call;
	e.object = ipc_object(IPC_MECH_fd_passing, ipc_object_id(p->object));
	e.arg1 = object;
	e.tag = tag_of(fd);
	e.flags = flags;
	shim_emit(t, &e);
}

static bool can_pass(const struct pending *p)
{
	unsigned int mechanism = ipc_object_mechanism(p->object);
	return mechanism >= IPC_MECH_unix_stream && mechanism <= IPC_MECH_unix_seqpacket;
}

void passing_sent(struct shim_thread *t, const struct pending *p, const struct msghdr *h)
{
	struct rights r = rights_of(h);
	struct descriptor d;
	int fd;
	if (!can_pass(p))
		return;
	while ((fd = next_of(&r)) >= 0)
		tell(t, p, IPC_CALL_sendmsg_passed, fd, descriptor_find(t, fd, &d) ? d.object : 0,
		     IPC_F_PART);
}

static void tell_open(struct shim_thread *t, const struct pending *p, int fd, const struct descriptor *d)
{
	struct ipc_event e = hook_event(t, p, fd);
	e.call = IPC_CALL_recvmsg_fd;
	e.object = d->object;
	e.arg0 = ipc_arg0((uint32_t)fd, d->flags);
	e.arg1 = 0;
	e.flags = IPC_F_PART;
	shim_emit(t, &e);
}

void passing_received(struct shim_thread *t, const struct pending *p, const struct msghdr *h, int flags)
{
	struct rights r = rights_of(h);
	int fd;
	uint16_t told = IPC_F_PART;
	if (!can_pass(p))
		return;
	if (flags & MSG_PEEK)
		told |= IPC_F_PEEK;
	if (h->msg_flags & MSG_CTRUNC)
		told |= IPC_F_TRUNCATED;
	while ((fd = next_of(&r)) >= 0) {
		struct descriptor d = { 0 };
		descriptor_forget(t, fd);
		if (descriptor_find(t, fd, &d))
			tell_open(t, p, fd, &d);
		else
			d.object = 0;
		tell(t, p, IPC_CALL_recvmsg_passed, fd, d.object, told);
	}
}

void passing_opened(struct shim_thread *t, const struct pending *p, const struct msghdr *h)
{
	struct rights r = rights_of(h);
	struct descriptor d;
	for (int fd; (fd = next_of(&r)) >= 0;) {
		descriptor_forget(t, fd);
		if (descriptor_find(t, fd, &d))
			tell_open(t, p, fd, &d);
	}
}

void passing_taken(struct shim_thread *t, const struct pending *p, long fd)
{
	struct descriptor target, d;
	if (fd < 0 || !descriptor_find(t, p->arg[0], &target) ||
	    ipc_object_mechanism(target.object) != IPC_MECH_pidfd)
		return;
	struct ipc_event e = hook_event(t, p, fd);
	bool known = descriptor_find(t, fd, &d);
	e.object = ipc_object(IPC_MECH_fd_passing, IPC_PASSING_PID | ipc_object_id(target.object));
	e.arg0 = ipc_arg0((uint32_t)p->arg[0], 0);
	e.arg1 = known ? d.object : 0;
	e.tag = tag_of(fd);
	e.flags = known ? IPC_F_PART : 0;
	shim_emit(t, &e);
}
