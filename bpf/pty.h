/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Pseudo-terminals: which end of which one a character device is. The two ends are a pair of ttys, of which
 * the master knows its devpts for as long as either lives.
 */
#ifndef IPC_BPF_PTY_H
#define IPC_BPF_PTY_H

#include "name.h"

#include <asm/termbits.h>

enum {
	DEVICE_TTY = TTYAUX_MAJOR << MINOR_BITS,
	DEVICE_PTMX = TTYAUX_MAJOR << MINOR_BITS | 2,
	EDITED_IN = ISTRIP | INLCR | IGNCR | ICRNL | IUCLC | IXON | PARMRK,
	EDITED_LINE = ICANON | ISIG | EXTPROC,
};

static __always_inline _Bool is_slave_device(__u32 device)
{
	return device >> MINOR_BITS >= UNIX98_PTY_SLAVE_MAJOR &&
	       device >> MINOR_BITS <= UNIX98_PTY_LAST_MAJOR;
}

static __noinline __u64 tty_object(struct file *file, _Bool is_master)
{
	struct tty_struct *tty = PEEK(tty_file_private, PEEK(file, file, private_data), tty);
	struct tty_struct *master = is_master ? tty : PEEK(tty_struct, tty, link);

	/* /dev/tty may stand for a console */
	if (!is_master && PEEK(tty_driver, PEEK(tty_struct, tty, driver), major) != UNIX98_PTY_SLAVE_MAJOR)
		return 0;
	void *devpts = PEEK(tty_struct, master, driver_data);
	__u32 device = PEEK(super_block, PEEK(pts_fs_info, devpts, sb), s_dev);
	return ipc_pty_object(device & ((1 << MINOR_BITS) - 1),
			      PEEK(tty_struct, tty, index) | (is_master ? IPC_PTY_MASTER : 0));
}

/* 0: another device. */
static __always_inline __u64 pty_object(struct file *file, struct inode *inode)
{
	__u32 device = PEEK(inode, inode, i_rdev);

	if (device != DEVICE_PTMX && device != DEVICE_TTY && !is_slave_device(device))
		return 0;
	return tty_object(file, device == DEVICE_PTMX);
}

static __always_inline __u64 edits_of(const struct termios *t)
{
	__u64 edits = t->c_lflag & ECHO ? IPC_PTY_ECHOES : 0;

	if (t->c_iflag & EDITED_IN || t->c_lflag & EDITED_LINE)
		edits |= IPC_PTY_EDITS_INPUT;
	if (t->c_oflag & OPOST || t->c_lflag & ISIG || t->c_iflag & IXOFF)
		edits |= IPC_PTY_EDITS_OUTPUT;
	return edits;
}

/* What the ioctl that has succeeded says of its terminal (event.h): the kernel has just read it. */
static __noinline __u64 pty_told(__u32 call, __u64 argument)
{
	struct termios mode = {}; /* struct termios2 begins as this */
	__u32 on = 0;

	switch (call) {
	case IPC_CALL_ioctl_tcflsh:
		return argument;
	case IPC_CALL_ioctl_tiocpkt:
		bpf_probe_read_user(&on, sizeof(on), (void *)argument);
		return on != 0;
	}
	bpf_probe_read_user(&mode, sizeof(mode), (void *)argument);
	return edits_of(&mode);
}

#endif
