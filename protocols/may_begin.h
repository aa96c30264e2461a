/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * A look at the first 16 bytes of a message, before its protocol is recognised (recognise.h): what is refused
 * here, ipc_recognise() refuses too. For the eBPF programs: includes nothing.
 */
#ifndef IPC_MAY_BEGIN_H
#define IPC_MAY_BEGIN_H

/* NUL and AUTH, or a message: byte order, kind, flags, version 1. */
static inline _Bool ipc_may_begin_dbus(const unsigned char *b)
{
	if (!b[0])
		return b[1] == 'A';
	return (b[0] == 'l' || b[0] == 'B') && b[1] >= 1 && b[1] <= 4 && b[3] == 1;
}

static inline _Bool ipc_is_upper(unsigned char c)
{
	return c >= 'A' && c <= 'Z';
}

/* HTTP's methods and version, PRI of HTTP/2, the words of D-Bus's start; Content-Length or -Type; JSON. */
static inline _Bool ipc_may_begin_text(const unsigned char *b)
{
	if (ipc_is_upper(b[0]) && ipc_is_upper(b[1]))
		return 1;
	switch (b[0]) {
	case 'C':
	case 'c':
		return b[1] == 'o' || b[1] == 'O';
	case '{':
	case '[':
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return 1;
	}
	return 0;
}

/* Behind the xid: a call of version 2, or a reply that is accepted or denied. */
static inline _Bool ipc_may_begin_rpc(const unsigned char *b)
{
	if (b[0] | b[1] | b[2] | b[4] | b[5] | b[6])
		return 0;
	return b[3] ? b[3] == 1 && b[7] <= 1 : b[7] == 2;
}

/* HTTP/2's SETTINGS: at most 255 bytes, no flags, of no stream. */
static inline _Bool ipc_may_begin_frame(const unsigned char *b)
{
	return !(b[0] | b[1]) && b[3] == 4 && !(b[4] | b[5] | b[6] | b[7] | b[8]);
}

/* Whether the message may be a protocol's, or begin a connection of one. `b`: 16 bytes, zeros where it is
 * shorter. */
static inline _Bool ipc_may_begin(const unsigned char *b)
{
	return ipc_may_begin_text(b) || ipc_may_begin_dbus(b) || ipc_may_begin_frame(b) ||
	       ipc_may_begin_rpc(b + 4) || ipc_may_begin_rpc(b + 8);
}

#endif
