// SPDX-License-Identifier: BSD-2-Clause
/*
 * Descriptors of anonymous inodes. What moves through an eventfd are units, eight bytes a number, and a read
 * of a timerfd tells so how often it expired. Timerfds and inotify instances have no id in the kernel: each
 * gets a number when it is made or first seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>

#include "action.h"
#include "hooks.h"
#include "proc.h"
#include "queue.h"
#include "text.h"

enum { UNIT_BYTES = 8 };

static const struct kind {
	const char *link; /* of /proc/self/fd */
	enum ipc_mechanism mechanism;
	const char *id; /* what stands before its number in /proc/self/fdinfo; NULL: it has none */
} kinds[] = {
	{ "anon_inode:[eventfd]", IPC_MECH_eventfd, "\neventfd-id:" },
	{ "anon_inode:[timerfd]", IPC_MECH_timerfd, NULL },
	{ "anon_inode:inotify", IPC_MECH_inotify, NULL },
	{ "anon_inode:[pidfd]", IPC_MECH_pidfd, "\nPid:" },
	{ "anon_inode:[signalfd]", IPC_MECH_signal, "" },
	{ "anon_inode:[io_uring]", IPC_MECH_io_uring, "\nino:" },
};

static const struct kind *kind_of(long fd)
{
	char link[40], text[SHIM_PATH];
	text_put_fd_path(link, (unsigned int)fd);
	long n = raw_syscall(__NR_readlinkat, AT_FDCWD, link, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (text_equal(text, kinds[i].link))
			return &kinds[i];
	return NULL;
}

bool counter_has_own_number(uint64_t object)
{
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].mechanism == ipc_object_mechanism(object))
			return !kinds[i].id;
	return false;
}

/* Whether the kernel tells a number behind `id`. */
static bool kernel_number(long fd, const char *id, uint64_t *number)
{
	char path[PROC_PATH];
	proc_fdinfo_path(path, fd);
	return proc_number(path, id, number);
}

/* Descriptors that are not remembered would get another one each time. A vfork child has its parent's. */
static uint64_t own_object(struct shim_thread *t, long fd, enum ipc_mechanism mechanism)
{
	static _Atomic uint32_t numbers;
	struct descriptor d;
	shim_number(t);
	if (t->spawn_call && descriptor_remembered(fd, &d) && ipc_object_mechanism(d.object) == mechanism)
		return d.object;
	if (t->spawn_call || fd >= DESCRIPTORS)
		return 0;
	return ipc_own_object(mechanism, shim_image(t),
			      atomic_fetch_add_explicit(&numbers, 1, memory_order_relaxed) + 1);
}

uint64_t counter_object(struct shim_thread *t, long fd)
{
	const struct kind *kind = kind_of(fd);
	if (!kind)
		return 0;
	if (kind->mechanism == IPC_MECH_signal) /* it gives each process its own */
		return signal_own();
	if (!kind->id)
		return own_object(t, fd, kind->mechanism);
	uint64_t number;
	bool told = kernel_number(fd, kind->id, &number);
	if (kind->mechanism == IPC_MECH_pidfd) /* -1: it is gone; 0: it is not in our namespace */
		told &= number > 0;
	return told ? ipc_object(kind->mechanism, number) : 0;
}

void counter_watch(struct shim_thread *t, const struct pending *p)
{
	const char *path = (const char *)p->arg[1];
	struct ipc_def def = { .time = shim_now(), .thread = shim_number(t), .call = IPC_DEF_OBJECT };
	size_t length = 0;
	while (length < SHIM_PATH && path[length])
		length++;
	def.object.object = p->object;
	shim_define(t, &def, path, length);
}

/* The sum of the numbers in the first `bytes` bytes: writev posts one for each of its buffers. */
static uint64_t units(const struct iovec *iov, uint64_t iovs, long bytes)
{
	uint64_t sum = 0, number = 0;
	long done = 0;
	for (uint64_t i = 0; i < iovs && done < bytes; i++)
		for (uint64_t k = 0; k < iov[i].iov_len && done < bytes; k++) {
			number |= (uint64_t)((const uint8_t *)iov[i].iov_base)[k] << done % UNIT_BYTES * 8;
			if (++done % UNIT_BYTES == 0) {
				sum += number;
				number = 0;
			}
		}
	return sum;
}

void hook_leave_counter(struct shim_thread *t, const struct pending *p, long result)
{
	struct ipc_event e = hook_event(t, p, result);
	const struct iovec one = { (void *)p->arg[1], UNIT_BYTES };
	bool plain = p->call == IPC_CALL_read || p->call == IPC_CALL_write;
	if (result > 0 && plain)
		e.arg1 = units(&one, 1, result);
	else if (result > 0)
		e.arg1 = units((const void *)p->arg[1], (uint64_t)p->arg[2], result);
	else if (result == -EAGAIN)
		e.flags |= IPC_F_NONBLOCK;
	shim_emit(t, &e);
}
