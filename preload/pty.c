// SPDX-License-Identifier: BSD-2-Clause
/*
 * Pseudo-terminals. The kernel tells the index of a slave by its device number, that of a master and of
 * /dev/tty when it is asked. Indices are of one devpts file system, of which each container has its own: that
 * of a node outside of it, as /dev/ptmx may be, is the one mounted beside it on `pts`, as the kernel does it.
 *
 * What the line discipline does is read from what the program gave to the kernel: a pseudo-terminal takes
 * these words as they are.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <fcntl.h>

#include "pty.h"
#include "text.h"

enum {
	DEVICE_TTY = 5 << 8,
	DEVICE_PTMX = 5 << 8 | 2,
	SLAVES_FIRST = 136,
	SLAVES_LAST = 143,
	MINORS = 256,
	EDITED_IN = ISTRIP | INLCR | IGNCR | ICRNL | IUCLC | IXON | PARMRK,
	EDITED_LINE = ICANON | ISIG | EXTPROC,
};

static uint32_t minor_of(uint64_t device)
{
	return (uint32_t)((device & 0xff) | (device >> 12 & 0xfff00));
}

static bool is_slave(uint64_t device)
{
	uint64_t major = device >> 8 & 0xfff;
	return major >= SLAVES_FIRST && major <= SLAVES_LAST;
}

static uint32_t slave_index(uint64_t device)
{
	return (uint32_t)((device >> 8 & 0xfff) - SLAVES_FIRST) * MINORS + minor_of(device);
}

/* The device of the devpts that a node belongs to. */
static uint32_t devpts_of(long fd, const struct stat *st)
{
	char link[40], path[SHIM_PATH];
	const char pts[] = "pts";
	struct stat dir;
	text_put_fd_path(link, (unsigned int)fd);
	long n = raw_syscall(__NR_readlinkat, AT_FDCWD, link, path, sizeof(path) - sizeof(pts));
	while (n > 0 && path[n - 1] != '/')
		n--;
	if (n <= 0)
		return minor_of(st->st_dev);
	*text_put(path + n, path + sizeof(path), pts) = '\0';
	if (raw_syscall(__NR_newfstatat, AT_FDCWD, path, &dir, 0) || !S_ISDIR(dir.st_mode))
		return minor_of(st->st_dev);
	return minor_of(dir.st_dev);
}

uint64_t pty_object(long fd, const struct stat *st)
{
	uint32_t value;
	if (is_slave(st->st_rdev))
		return ipc_pty_object(minor_of(st->st_dev), slave_index(st->st_rdev));
	if (shim.no_ioctl)
		return 0;
	if (st->st_rdev == DEVICE_PTMX && !raw_syscall(__NR_ioctl, fd, TIOCGPTN, &value))
		return ipc_pty_object(devpts_of(fd, st), value | IPC_PTY_MASTER);
	if (st->st_rdev == DEVICE_TTY && !raw_syscall(__NR_ioctl, fd, TIOCGDEV, &value) && is_slave(value))
		return ipc_pty_object(devpts_of(fd, st), slave_index(value));
	return 0;
}

static uint64_t edits(const struct termios *t)
{
	uint64_t e = t->c_lflag & ECHO ? IPC_PTY_ECHOES : 0;
	if (t->c_iflag & EDITED_IN || t->c_lflag & EDITED_LINE)
		e |= IPC_PTY_EDITS_INPUT;
	if (t->c_oflag & OPOST || t->c_lflag & ISIG || t->c_iflag & IXOFF)
		e |= IPC_PTY_EDITS_OUTPUT;
	return e;
}

uint64_t pty_told(const struct pending *p)
{
	switch (p->call) {
	case IPC_CALL_ioctl_tcflsh:
		return (uint64_t)p->arg[2];
	case IPC_CALL_ioctl_tiocpkt:
		return *(const int *)p->arg[2] != 0;
	default: /* struct termios2 begins as struct termios */
		return edits((const struct termios *)p->arg[2]);
	}
}
