// SPDX-License-Identifier: BSD-2-Clause
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "shim.h"
#include "signals.h"
#include "transient.h"

enum {
	WORD_BITS = 64,
	/* What tells them from the program's own: flags that do nothing, and a type that is as good as
	   another. */
	FILE_FLAGS = O_RDONLY | O_APPEND | O_SYNC,
	DIAG_TYPE = SOCK_DGRAM,
};

/* A bit per descriptor that was one of ours, once. They are never cleared: fork copies the descriptors before
 * the memory, which may already tell that they are closed. */
static _Atomic uint64_t used[DESCRIPTORS / WORD_BITS];

static long note(long fd)
{
	if (fd >= 0 && fd < DESCRIPTORS)
		atomic_fetch_or(&used[fd / WORD_BITS], 1ULL << fd % WORD_BITS);
	return fd;
}

long transient_file(const char *path, uint64_t *mask)
{
	*mask = signals_block();
	return note(raw_syscall(__NR_openat, AT_FDCWD, path, FILE_FLAGS | O_CLOEXEC));
}

long transient_diag(uint64_t *mask)
{
	*mask = signals_block();
	return note(raw_syscall(__NR_socket, AF_NETLINK, DIAG_TYPE | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
}

void transient_close(long fd, uint64_t mask)
{
	if (fd >= 0)
		raw_syscall(__NR_close, fd);
	signals_restore(mask);
}

static bool has_option(long fd, int name, int wanted)
{
	int value = -1;
	uint32_t size = sizeof(value);
	return !raw_syscall(__NR_getsockopt, fd, SOL_SOCKET, name, &value, &size) && value == wanted;
}

static bool is_ours(long fd)
{
	long flags = raw_syscall(__NR_fcntl, fd, F_GETFL);
	if (flags < 0)
		return false;
	return (flags & (O_ACCMODE | FILE_FLAGS)) == FILE_FLAGS ||
	       (has_option(fd, SO_DOMAIN, AF_NETLINK) && has_option(fd, SO_PROTOCOL, NETLINK_SOCK_DIAG) &&
		has_option(fd, SO_TYPE, DIAG_TYPE));
}

void transient_fork_child(void)
{
	for (long i = 0; i < DESCRIPTORS / WORD_BITS; i++)
		for (uint64_t left = used[i]; left; left &= left - 1) {
			long fd = i * WORD_BITS + __builtin_ctzll(left);
			if (is_ours(fd))
				raw_syscall(__NR_close, fd);
		}
}
