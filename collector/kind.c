// SPDX-License-Identifier: BSD-2-Clause
/* The mechanisms (kind.h), and what several of them share. */
#include <stdio.h>

#include "kind.h"
#include "tables.h"

const struct channel_kind *const channel_kinds[IPC_MECHANISMS] = {
	[IPC_MECH_none] = &life_kind,
	[IPC_MECH_pipe] = &pipe_kind,
	[IPC_MECH_fifo] = &fifo_kind,
	[IPC_MECH_process] = &life_kind,
	[IPC_MECH_unix_stream] = &socket_kind,
	[IPC_MECH_unix_dgram] = &packet_kind,
	[IPC_MECH_unix_seqpacket] = &packet_kind,
	[IPC_MECH_tcp] = &socket_kind,
	[IPC_MECH_udp] = &udp_kind,
	[IPC_MECH_socket_other] = &packet_kind,
	[IPC_MECH_netlink] = &packet_kind,
	[IPC_MECH_sysv_msg] = &sysv_msg_kind,
	[IPC_MECH_posix_mq] = &posix_mq_kind,
	[IPC_MECH_sysv_shm] = &sysv_shm_kind,
	[IPC_MECH_posix_shm] = &region_kind,
	[IPC_MECH_memfd] = &region_kind,
	[IPC_MECH_mmap] = &region_kind,
	[IPC_MECH_sysv_sem] = &sem_kind,
	[IPC_MECH_posix_sem] = &sync_kind,
	[IPC_MECH_mutex] = &sync_kind,
	[IPC_MECH_rwlock] = &sync_kind,
	[IPC_MECH_cond] = &sync_kind,
	[IPC_MECH_barrier] = &sync_kind,
	[IPC_MECH_spin] = &sync_kind,
	[IPC_MECH_futex] = &futex_kind,
	[IPC_MECH_eventfd] = &eventfd_kind,
	[IPC_MECH_timerfd] = &timerfd_kind,
	[IPC_MECH_pidfd] = &pidfd_kind,
	[IPC_MECH_inotify] = &inotify_kind,
	[IPC_MECH_signal] = &signal_kind,
	[IPC_MECH_pty] = &pty_kind,
	[IPC_MECH_fd_passing] = &passing_kind,
	[IPC_MECH_process_vm] = &process_vm_kind,
	[IPC_MECH_file_lock] = &lock_kind,
	[IPC_MECH_io_uring] = &ring_kind,
	[IPC_MECH_dbus] = &plain_kind, /* no source tells of these two */
	[IPC_MECH_rpc] = &plain_kind,
};

static const char *name_of(uint64_t object)
{
	return ipc_mechanisms[ipc_object_mechanism(object)].name;
}

void key_number(uint64_t object, char *key, size_t size)
{
	snprintf(key, size, "%s:%llu", name_of(object), (unsigned long long)ipc_object_id(object));
}

void key_bracket(uint64_t object, char *key, size_t size)
{
	snprintf(key, size, "%s:[%llu]", name_of(object), (unsigned long long)ipc_object_id(object));
}

void key_id(uint64_t object, char *key, size_t size)
{
	snprintf(key, size, "%s:%u", name_of(object), (uint32_t)object);
}

void key_file(const struct ipc_def *d, char *key, size_t size)
{
	snprintf(key, size, "%s:%u:%u:%llu", name_of(d->object.object), d->object.dev_major,
		 d->object.dev_minor, (unsigned long long)d->object.inode);
}

void key_word(const struct ipc_def *d, char *key, size_t size)
{
	snprintf(key, size, "%s:%u:%u:%llu+%llu", name_of(d->object.object), d->object.dev_major,
		 d->object.dev_minor, (unsigned long long)d->object.inode,
		 (unsigned long long)d->object.generation);
}

void key_sysv(const struct ipc_def *d, char *key, size_t size)
{
	snprintf(key, size, "%s:%llu:%llu", name_of(d->object.object),
		 (unsigned long long)d->object.generation, (unsigned long long)d->object.inode);
}
