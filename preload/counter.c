// SPDX-License-Identifier: BSD-2-Clause
/* Eventfds, and signalfds, which are told apart from them: the kernel tells an id for each, and what moves
 * through one are units, eight bytes a number. */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>

#include "action.h"
#include "hooks.h"
#include "proc.h"
#include "queue.h"
#include "text.h"

enum { UNIT_BYTES = 8 };

uint64_t counter_object(long fd)
{
	char path[40], text[40];
	uint64_t id;
	text_put_fd_path(path, (unsigned int)fd);
	long n = raw_syscall(__NR_readlinkat, AT_FDCWD, path, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	if (text_equal(text, "anon_inode:[signalfd]"))
		return signal_own();
	proc_fdinfo_path(path, fd);
	if (!text_equal(text, "anon_inode:[eventfd]") || !proc_number(path, "\neventfd-id:", &id))
		return 0;
	return ipc_object(IPC_MECH_eventfd, id);
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
