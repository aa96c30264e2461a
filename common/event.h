/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The one record. Both sources emit a stream of 64-byte slots, little-endian: an event is one slot, a
 * definition is one slot and, behind it, its text in as many further slots as that needs.
 *
 *   0        8         16        24        32     40     48      52    54     56   60
 *   start    duration  object    result    arg0   arg1   thread  call  flags  seq  tag     event
 *   time     ....... body by kind (40 bytes) ........... thread  call  text   seq  0       definition
 *
 * Times are nanoseconds of CLOCK_MONOTONIC, or ticks of the time-stamp counter where the arena's header
 * says so (the drain converts them; no one behind it sees ticks).
 *
 * An event is emitted once, when its call has ended, with both times. One call that works on several
 * objects emits one event for each; all but the first carry IPC_F_PART.
 */
#ifndef IPC_EVENT_H
#define IPC_EVENT_H

#include <linux/types.h>

enum { IPC_SLOT = 64, IPC_TEXT_MAX = 4096 };

/* The eBPF source's numbers of images and threads are above this, the shim's below: an image may follow one
 * of the other source. */
#define IPC_BPF_NUMBERS (1U << 30)

struct ipc_event {
	__u64 start;
	__u64 duration;
	__u64 object; /* ipc_object(): mechanism and the source's own id of the kernel object */
	__s64 result; /* as the kernel returned it: bytes, descriptor, pid, or -errno; but the bytes sent
		       * where a send returns 0 (msgsnd, mq_timedsend) */
	__u64 arg0; /* ipc_arg0(): descriptor and how it was opened; spawn: clone flags; exit, wait: status */
	__u64 arg1; /* send, recv: on a datagram socket the other side's address (ipc_address()), 0: not told
		     * (the connected one, if any); on a message queue the message's type, or its priority +
		     * 1, 0: not told; on an eventfd and a timerfd the value (of eventfd and eventfd2
		     * themselves: the first one); otherwise the bytes asked for where an argument says so.
		     * epoll_ctl, epoll_wait: the descriptor's user data. poll, select: what it is ready for
		     * (POLLIN, ...) */
	__u32 thread; /* number of a thread definition of the same source */
	__u16 call;   /* enum ipc_call_id, or enum ipc_def_kind for a definition */
	__u16 flags;  /* IPC_F_* */
	union {
		__u32 seq;	/* shim: set last, tells the drain that the slot is whole (arena.h) */
		__u32 woken_by; /* bpf: the image that ended the wait, or enum ipc_woken; 0: there was none */
	};
	__u32 tag; /* udp: ipc_tag() of the datagram, if it was not cut off for certain, or 0. epoll_ctl,
		    * epoll_wait: the epoll descriptor. file_lock: who owns it */
};

/* Who woke the task is no process of the trace: an interrupt or a thread of the kernel's did, which says
 * nothing of who caused it; or a process that is not recorded. */
enum ipc_woken { IPC_WOKEN_INDIRECTLY = 0xffffffff, IPC_WOKEN_FROM_OUTSIDE = 0xfffffffe };

enum {
	IPC_F_NONBLOCK = 1 << 0,  /* the descriptor was non-blocking (known only when the call said EAGAIN) */
	IPC_F_EOF = 1 << 1,	  /* a receive that returned 0 for a size that was not 0 (never of a queue: a
				   * message) */
	IPC_F_PART = 1 << 2,	  /* not the first event of its call */
	IPC_F_TRUNCATED = 1 << 3, /* the receiver's buffer was too small, the rest of the message is lost */
	IPC_F_PEEK = 1 << 4,	  /* the data stays where it was (MSG_PEEK, the source end of tee): moved 0 */
	IPC_F_INSIDE = 1 << 5,	  /* the task died, or the recording ended, inside this call */
	IPC_F_THREADS = 1 << 6,	  /* the process had several threads (only the eBPF source tells) */
	IPC_F_ENTRY = 1 << 7,	  /* execve: announced at entry; what follows tells how it went (see below) */
	IPC_F_NO_START = 1 << 8,  /* the entry was not seen: start is the end, duration 0, or since when it is
				   * known to be under way */
	IPC_F_SECOND = 1 << 9, /* on the call's second object (the sending side of splice, tee, sendfile) */
	IPC_F_OOB = 1 << 10,   /* moved as urgent data (MSG_OOB): not in its place in the stream */
	IPC_F_FULL = 1 << 11,  /* a received datagram filled the buffer: it may have been longer */
	IPC_F_UNDO = 1 << 12, /* semop: with SEM_UNDO. file_lock: a close, the kernel has released the lock */
	IPC_F_RING = 1 << 13, /* submitted through a ring of io_uring (only the eBPF source tells) */
	IPC_F_PAYLOAD = 1 << 14, /* IPC_DEF_PAYLOAD of the same thread came before it (never stored) */
};

/*
 * Sockets. The object is the source's own socket: its inode. No source knows the other end's channel:
 * definitions of kind IPC_DEF_SOCKET say what the kernel says of a socket, whenever that has become known or
 * has changed, and always before the event of the call that changed it (connect, accept, bind, listen,
 * socketpair; the first send of an unbound UDP socket) or that first used a socket of unknown origin. Both
 * ends of a socketpair are defined.
 *
 * sendmmsg and recvmmsg give one event per message, all but the first with IPC_F_PART. What a receive reports
 * and did not move (MSG_TRUNC of a datagram) is not in `result`: flag IPC_F_TRUNCATED instead. Reads of the
 * error queue are IPC_F_PEEK. A descriptor that came with SCM_RIGHTS gives an event of call recvmsg_fd, like
 * an open.
 *
 * Counters (eventfd, sysv_sem): arg1 is by how much. semop gives one event per operation, IPC_F_SECOND where
 * it raises the semaphore (a post), all but the first with IPC_F_PART; of a failed call one event. setval and
 * setall (one event per semaphore) say the new value: what was left of the old is gone. IPC_F_UNDO: SEM_UNDO,
 * the kernel takes it back when the process ends.
 *
 * poll, select and epoll give one event per ready descriptor that is an end of a channel (epoll: per ready
 * entry; the object is 0, the collector finds it by process, epoll descriptor and user data, from epoll_ctl's
 * events, of which those that say nothing new may be left out), all but the first with IPC_F_PART. Where
 * there is none (a timeout, a signal) one event with object 0. `result` is the call's.
 */

/*
 * What moves no bytes. On locks (file_lock, mutex, rwlock, spin) a receive is an acquired lock and a send,
 * with IPC_F_SECOND where the call's row says receive, a release; on what notifies (cond, barrier, futex) a
 * receive is an ended wait (arg1 1) and a send a wake-up, arg1 how many it woke. Semaphores, mutexes,
 * rwlocks, conditions, barriers and spin locks are counted (arena.h): their events add to no total, and there
 * is one only where a call had to wait or the recording asks for all. Of one that waited arg1 is the image
 * that ended the wait; `result` is -EOWNERDEAD where the lock was acquired so; sem_init and sem_open: arg1
 * the first value, tag 1 if the call made it. Signals: arg1 is the number, and above it, in the high 32 bits,
 * the thread that it was sent to (0: the process); tag ipc_signal_tag() of its value; of a received one (call
 * `handler`, a sigwait, a read of a signalfd; by eBPF `default`, of one that stopped or ended it: an event
 * each) `result` is the sender's pid, 0: the kernel, and arg0's high half si_code (IPC_SIGNAL_UNTOLD: not
 * told). Memory: arg1 the length, arg0's high half ipc_protection() (of what is unmapped: what it had), tag
 * the offset in the file in pages of 4 KiB, `result` 0 or -errno; one event for each mapping that the call
 * touches, with IPC_F_SECOND what mmap, shmat and mremap took away. A fork child tells map_inherit of each
 * mapping. process_vm, ptrace: `result` the bytes moved. A descriptor that is passed is an event
 * sendmsg_passed and recvmsg_passed besides, just behind its message's: arg0 is the socket's, arg1 the object
 * of what is passed (0: no channel), `result` its number, tag a hash of its file's numbers, which are the
 * same at both ends (0: not known). IPC_F_TRUNCATED: the receiver had no room for all. pidfd_getfd gives one
 * too, a receive.
 *
 * Where the pages of shared memory are sampled an event shm_sampled says since when those of a mapping are,
 * and shm_read and shm_write of a run of pages that the process read, or wrote, from `start` to the end: arg1
 * is ipc_pages(); `result` of shm_sampled 1: reads are not seen any more. What was written in that time may
 * have been read too, and is not told as read.
 */
enum { IPC_PAGES_MAX = 1 << 18 }; /* of a file, of 4 KiB each; those behind are not sampled */

/* Of memory (PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4), and of that which mprotect changed what it was before.
 */
static inline __u32 ipc_protection(__u8 now, __u8 before)
{
	return (__u32)(before + 1) << 8 | now;
}

static inline __u64 ipc_pages(__u64 first, __u64 count)
{
	return first << 32 | count;
}

/*
 * file_lock. flock, fcntl: arg1 is the first byte, with IPC_LOCK_SHARED where it is a lock to read, arg0's
 * high half how many bytes (0: to the end of the file, or more than it can say). tag: 0, the process owns the
 * lock (F_SETLK); otherwise a number, of the source's own, of the open file description that does, which
 * copies of the descriptor, fork children and the next program share; IPC_LOCK_INHERITED: that of this
 * descriptor of the parent, more is not known. Of what another program opened an event `inherit` comes first:
 * arg1 is that one's image, and all processes between may have it too. A copy of a descriptor that was locked
 * is an event, and so is its close and, on a file that the process locked with F_SETLK, any close; with
 * IPC_F_ENTRY: it will be closed by the exec that is about to be told.
 *
 * The eBPF source tells no copies, no closes and nothing of `inherit`, since the kernel says when it releases
 * what an owner (tag) has: an event of call close with IPC_F_UNDO, in whichever process that was: by a close,
 * an exec, its end. Without a task that is tracked it is of the thread that last locked, with IPC_F_NO_START.
 */
#define IPC_LOCK_SHARED (1ULL << 63)
enum { IPC_LOCK_INHERITED = 1 };

/*
 * Pseudo-terminals: an event on either end. Of an ioctl that sets the terminal's mode arg1 says what its line
 * discipline does to what passes from then on; of tiocpkt, whether packet mode is on; of tcflsh it is the
 * call's argument. One that was just made edits everything.
 */
enum {
	IPC_PTY_MASTER = 1 << 30,
	IPC_PTY_EDITS_INPUT = 1 << 0,  /* what goes from the master to the slave */
	IPC_PTY_EDITS_OUTPUT = 1 << 1, /* what goes from the slave to the master */
	IPC_PTY_ECHOES = 1 << 2,       /* what goes to the slave comes back to the master too */
	IPC_PTY_COOKED = IPC_PTY_EDITS_INPUT | IPC_PTY_EDITS_OUTPUT | IPC_PTY_ECHOES,
};

enum { IPC_SIGNAL_UNTOLD = 0x7fffffff };

/* `result` of a send that the kernel source saw come to nothing: the target ignores it, or it was merged with
 * one that was pending. */
enum { IPC_SIGNAL_IGNORED = 1, IPC_SIGNAL_MERGED = 2 };

/* Whether a signal of this si_code was sent by a process: what the kernel makes, for a timer or a message
 * queue (SI_TIMER, SI_MESGQ) too, has something else in the place of the pid. */
static inline _Bool ipc_signal_has_sender(__s32 code)
{
	return code <= 0 && code != -2 && code != -3 && code != -5 && code != -7;
}

/* Of what sigqueue(3) carries; 0: none told. */
static inline __u32 ipc_signal_tag(__u64 value)
{
	return (__u32)((value ^ value >> 32) * 0x9e3779b1U) | 1;
}

/*
 * execve emits IPC_F_ENTRY at its entry, and just before it, same thread, a loss definition that names the
 * new program and says why it will not be seen (static, set-uid ...), or why not if it is not (no-arena:
 * nothing known speaks against it). Then either the image's definition with `via` IPC_VIA_EXEC follows for
 * the same pid: it went well and the new program is seen, the loss is void. Or an execve event without
 * IPC_F_ENTRY and with -errno: it failed, the loss is void. Or nothing: it went well, and no source is in the
 * new program.
 *
 * fork, vfork, clone and clone3 that make a process emit an event of the parent's thread with the child's
 * pid (as the source sees it) as result and the object of the child's `process` channel. A child that is
 * seen emits an image definition with `via` IPC_VIA_FORK.
 */

/* Object ids: the mechanism in the top 8 bits, 56 bits of the source's own number below. */
static inline __u64 ipc_object(unsigned int mechanism, __u64 id)
{
	return (__u64)mechanism << 56 | (id & 0x00ffffffffffffffULL);
}

static inline unsigned int ipc_object_mechanism(__u64 object)
{
	return object >> 56;
}

static inline __u64 ipc_object_id(__u64 object)
{
	return object & 0x00ffffffffffffffULL;
}

/*
 * The 56-bit number per mechanism:
 *   pipe     the inode (32 bits in every kernel)
 *   fifo     a hash of device, inode and generation; the definition carries the three
 *   process  the pid
 *   unix_*, tcp, udp, netlink, socket_other  the socket's inode
 *   sysv_msg the id in the low 32 bits, above it the low 24 of the ipc namespace's inode
 *   sysv_sem one semaphore of a set: the set's id in the low 32 bits, the semaphore's number in the 12
 *            above, the low 12 of the ipc namespace's inode on top; semget and rmid are on number 0
 *   posix_mq a hash, as of a fifo
 *   eventfd  the kernel's eventfd-id; used again at once, so each creation is a new channel
 *   sysv_shm as sysv_msg
 *   posix_shm, memfd, mmap  a hash of device and inode of the file that is mapped, as of a fifo (an anonymous
 *            shared mapping has an inode too); the definition carries the three and the path
 *   posix_sem, mutex, rwlock, cond, barrier, spin, futex  a hash of the region's device and inode and the
 *            word's offset in it; the definition carries device, inode and, as `generation`, the offset; of
 *            one in private memory device 0:0, the pid and the address
 *   signal   the pid whose signals they are; 0: of a receive, a signalfd and a wait for one the caller's,
 *            of a send those of several processes, or of one that is not known
 *   process_vm  the pid whose memory it is
 *   timerfd, inotify  have no id in the kernel: a number of the source's own, ipc_own_object(),
 *            which fork children share, and of the shim's the next program and receivers of the
 *            descriptor do not
 *   pidfd    the pid it stands for
 *   io_uring the inode of the ring
 *   pty      the index of its /dev/pts; two ends, told apart by IPC_PTY_MASTER; above them the minor number
 *            of the device of that /dev/pts: containers have their own
 *   fd_passing  the inode of the socket through which descriptors go; of pidfd_getfd the pid that they are
 *            taken from, and IPC_PASSING_PID
 *   file_lock  a hash of the file's device and inode, as of a fifo
 */

#define IPC_PASSING_PID (1ULL << 55)

enum {
	IPC_SEMS_MECHANISM = 17, /* IPC_MECH_sysv_sem */
	IPC_PTY_MECHANISM = 30,	 /* IPC_MECH_pty */
	IPC_SEMS_MAX = 1 << 12,	 /* semaphores of a set beyond these have no object */
};

/* Of what has no id in the kernel: the source's own, `n` counts per image. */
enum { IPC_OWN_BITS = 24 };

static inline __u64 ipc_own_object(unsigned int mechanism, __u32 image, __u32 n)
{
	return ipc_object(mechanism, (__u64)image << IPC_OWN_BITS | (n & ((1U << IPC_OWN_BITS) - 1)));
}

static inline __u64 ipc_sem_object(__u32 ipc_namespace, __u32 id, __u32 number)
{
	return ipc_object(IPC_SEMS_MECHANISM, (__u64)(ipc_namespace & 0xfff) << 44 |
						      (__u64)(number & (IPC_SEMS_MAX - 1)) << 32 | id);
}

static inline __u64 ipc_pty_object(__u32 device, __u32 index)
{
	return ipc_object(IPC_PTY_MECHANISM, (__u64)(device & 0xffffff) << 32 | index);
}

/* arg0 of an event on a descriptor: the descriptor, and open(2)'s flags (O_ACCMODE, O_NONBLOCK) above. */
static inline __u64 ipc_arg0(__u32 fd, __u32 open_flags)
{
	return (__u64)open_flags << 32 | fd;
}

enum ipc_def_kind {
	IPC_DEF_FIRST = 0xff00,
	IPC_DEF_IMAGE = 0xff00, /* a process: one program image */
	IPC_DEF_THREAD,
	IPC_DEF_OBJECT,
	IPC_DEF_LOSS,
	IPC_DEF_GONE, /* a process ended without an exit event of its own (killed, or untraced code) */
	IPC_DEF_SOCKET,
	IPC_DEF_ADDRESS, /* what a hashed address stands for; at least once before its first use by a process
			  */
	IPC_DEF_PAYLOAD, /* bytes of what the thread's next event of this object and start moved */
	IPC_DEF_LAST = IPC_DEF_PAYLOAD,
};

/* How an image came to be. UNSELECTED: by an exec, and nothing more will be told of it than its end. */
enum ipc_via { IPC_VIA_START, IPC_VIA_FORK, IPC_VIA_EXEC, IPC_VIA_UNSELECTED };

struct ipc_def_image {
	__u32 image;  /* number, unique among all images and threads; never 0 */
	__u32 parent; /* image that forked this pid, or 0: look for the image of ppid */
	__u32 prev;   /* image before the exec, or 0: look for the latest image of this pid */
	__s32 pid;
	__s32 ppid;
	__u32 uid;
	__u32 via;	  /* enum ipc_via */
	__s32 ns_pid;	  /* as its own PID namespace has it; 0: that is `pid` */
	__u64 spawn_time; /* when the parent entered the call that made it, or 0 */
	/* text: comm, exe, cgroup, command line (arguments joined by spaces), each ended by a NUL. No text:
	 * all as in `prev` or `parent`. */
};

struct ipc_def_thread {
	__u32 image; /* the image it belongs to; the thread's own number is ipc_def.thread */
	__s32 tid;
	char name[16];
	__u64 reserved[2];
};

struct ipc_def_object {
	__u64 object;
	__u64 inode;
	__u64 generation; /* tells incarnations of one inode number apart: birth time or i_generation */
	__u32 dev_major;
	__u32 dev_minor;
	__u64 region; /* of a word in shared memory: the object of the memory; else 0 */

	/* text: name (path as the program gave it, or as /proc shows it) */
};

struct ipc_def_loss {
	__u32 reason; /* enum ipc_reason */
	__s32 pid;
	__u64 count;
	__u64 followed; /* before an exec: 1: the eBPF source was told to record the program all the same */
	__u64 reserved[2];
	/* text: comm or path of the program concerned; empty: the thread's own process */
};

struct ipc_def_gone {
	__s32 pid;
	__s32 status; /* as wait(2) gives it, or -1: unknown */
	__u64 reserved[4];
};

enum {
	IPC_SOCKET_LISTENS = 1 << 0,
	IPC_SOCKET_ACCEPTED = 1 << 1,  /* made by accept: the server's side */
	IPC_SOCKET_CONNECTED = 1 << 2, /* connect was called, or is under way: the client's side */
	IPC_SOCKET_PAIR = 1 << 3,      /* made by socketpair */
};

struct ipc_def_socket {
	__u64 object;
	__u64 peer;	/* UNIX: inode of the socket at the other end, 0: not known (yet); netlink and
			 * socket_other: ipc_socket_kind() */
	__u64 listener; /* inode of the listening socket it was accepted from, or 0 */
	__u64 netns;	/* the network namespace's cookie (SO_NETNS_COOKIE) */
	__s32 peer_pid; /* UNIX: who connected or listened (SO_PEERCRED), 0: not known */
	__u32 state;	/* IPC_SOCKET_* */
	/* text: its own address and the other side's, each one byte with its length (0: none) and so many
	 * bytes of struct sockaddr as the kernel gives them */
};

/* What socket(2) was asked for. */
static inline __u64 ipc_socket_kind(__u32 family, __u32 type, __u32 protocol)
{
	return (__u64)(family & 0xffff) << 48 | (__u64)(type & 0xffff) << 32 | protocol;
}

struct ipc_def_address {
	__u64 address; /* ipc_address() of the text, a struct sockaddr */
	__u64 reserved[4];
};

struct ipc_def_payload {
	__u64 object; /* of the event, */
	__u64 start;  /* as its start */
	__u64 judge;  /* the eBPF source's own, else 0 */
	__u64 tail; /* so many bytes of the text are the last that were moved; what is between them and those
		     * in front of them is not told */
	__u64 reserved;
	/* text: as many of the bytes that were moved as were asked for (arena.h: window, capture), at most
	 * IPC_TEXT_MAX; any bytes: the first ones but for `tail`. None where nobody saw them: sendfile,
	 * splice. */
};

/* How many of so many bytes that are told of a stream's call are its last, where it moved more: so a parser
 * finds what stands behind a long body. Those that are stored (`capture`) are the first all the same. */
static inline __u32 ipc_tail(__u32 told, __u32 capture)
{
	return capture >= told ? 0 : told / 4 < told - capture ? told / 4 : told - capture;
}

struct ipc_def {
	__u64 time;
	union {
		struct ipc_def_image image;
		struct ipc_def_thread thread_def;
		struct ipc_def_object object;
		struct ipc_def_loss loss;
		struct ipc_def_gone gone;
		struct ipc_def_socket socket;
		struct ipc_def_address address;
		struct ipc_def_payload payload;
		__u64 body[5];
	};
	__u32 thread; /* who emits it, or (IPC_DEF_THREAD) the number it defines; 0: nobody */
	__u16 call;   /* enum ipc_def_kind */
	__u16 text;   /* bytes of text in the slots behind this one, at most IPC_TEXT_MAX */
	__u32 seq;
	__u32 reserved;
};

/*
 * An address in 64 bits: the family in the top 8, then IPv4 address and port themselves (of an IPv4-mapped
 * IPv6 address too), or a hash of the IPv6 address and port, or of the UNIX name (a path without its NUL; all
 * bytes of an abstract one), or netlink's port id with 24 bits of the groups above it. 0: none. `length` as
 * the kernel gives it with a struct sockaddr; `bytes` has room for IPC_ADDRESS_MAX.
 */
enum {
	IPC_ADDRESS_UNIX = 1,
	IPC_ADDRESS_IPV4 = 2,
	IPC_ADDRESS_IPV6 = 10,
	IPC_ADDRESS_NETLINK = 16,
	IPC_ADDRESS_MAX = 110
};

static inline _Bool ipc_address_is_hash(__u64 address)
{
	return address >> 56 == IPC_ADDRESS_UNIX || address >> 56 == IPC_ADDRESS_IPV6;
}

static inline __u64 ipc_address_hash(__u64 h, __u8 byte) /* FNV-1a */
{
	return (h ^ byte) * 0x100000001b3ULL;
}

static inline __u64 ipc_address_ipv4(const __u8 *ip, const __u8 *port)
{
	return (__u64)IPC_ADDRESS_IPV4 << 56 | (__u64)ip[0] << 40 | (__u64)ip[1] << 32 | (__u64)ip[2] << 24 |
	       (__u64)ip[3] << 16 | (__u64)port[0] << 8 | port[1];
}

static inline __u64 ipc_address(const __u8 *bytes, __u32 length)
{
	__u64 h = 0xcbf29ce484222325ULL;
	__u32 family = length >= 2 ? bytes[0] | bytes[1] << 8 : 0;
	_Bool mapped = bytes[18] == 0xff && bytes[19] == 0xff;

	if (family == IPC_ADDRESS_IPV4 && length >= 8)
		return ipc_address_ipv4(bytes + 4, bytes + 2);
	if (family == IPC_ADDRESS_NETLINK && length >= 12)
		return (__u64)IPC_ADDRESS_NETLINK << 56 | (__u64)bytes[10] << 48 | (__u64)bytes[9] << 40 |
		       (__u64)bytes[8] << 32 | (__u64)bytes[7] << 24 | (__u64)bytes[6] << 16 |
		       (__u64)bytes[5] << 8 | bytes[4];
	if (family == IPC_ADDRESS_IPV6 && length >= 24) {
		for (__u32 i = 8; i < 18; i++)
			mapped &= !bytes[i];
		if (mapped)
			return ipc_address_ipv4(bytes + 20, bytes + 2);
		h = ipc_address_hash(ipc_address_hash(h, bytes[2]), bytes[3]);
		for (__u32 i = 8; i < 24; i++)
			h = ipc_address_hash(h, bytes[i]);
	} else if (family == IPC_ADDRESS_UNIX && length > 2) {
		/* A path ends with a 0, an abstract name, which begins with one, with its length. Without a
		 * branch, as each one doubles what eBPF's verifier has to go through. */
		__u32 end = (bytes[2] - 1U) >> 8 & 256;
		h = ipc_address_hash(h, bytes[2]);
		for (__u32 i = 3; i < IPC_ADDRESS_MAX && i < length && bytes[i] != end; i++)
			h = ipc_address_hash(h, bytes[i]);
	} else {
		return 0;
	}
	return (__u64)family << 56 | ((h ^ h >> 56) & 0x00ffffffffffffffULL);
}

/* Of a datagram's first IPC_TAG_BYTES bytes (the rest of the words zero) and its length; never 0. */
enum { IPC_TAG_BYTES = 48 };

static inline __u32 ipc_tag(const __u64 words[IPC_TAG_BYTES / 8], __u64 length)
{
	__u64 h = length * 0x9e3779b97f4a7c15ULL;
	for (int i = 0; i < IPC_TAG_BYTES / 8; i++) {
		h = (h ^ words[i]) * 0xbf58476d1ce4e5b9ULL;
		h ^= h >> 29;
	}
	return (__u32)(h >> 32) ? (__u32)(h >> 32) : 1;
}

/* Slots that a definition with so many bytes of text takes. */
static inline unsigned int ipc_def_slots(unsigned int text)
{
	return 1 + (text + IPC_SLOT - 1) / IPC_SLOT;
}

_Static_assert(sizeof(struct ipc_event) == IPC_SLOT, "an event is one cache line");
_Static_assert(sizeof(struct ipc_def) == IPC_SLOT, "a definition's head is one slot");
_Static_assert(__builtin_offsetof(struct ipc_event, thread) == __builtin_offsetof(struct ipc_def, thread),
	       "");
_Static_assert(__builtin_offsetof(struct ipc_event, call) == __builtin_offsetof(struct ipc_def, call), "");
_Static_assert(__builtin_offsetof(struct ipc_event, seq) == __builtin_offsetof(struct ipc_def, seq), "");

#endif
