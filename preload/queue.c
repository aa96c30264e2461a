// SPDX-License-Identifier: BSD-2-Clause
/*
 * System V and POSIX message queues, and who System V memory is. Memory that the program named is read only
 * where the kernel has just done so: after a success.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/msg.h>
#include <sys/stat.h>

#include "hooks.h"
#include "payload.h"
#include "queue.h"
#include "text.h"

enum {
	TOLD = 64, /* queues and memory remembered as defined */
	NAMESPACE_BITS = 24,
	KEY_DIGITS = 8,
};

static uint64_t told[TOLD];

/* A vfork child may have one of its own. Where /proc is out of reach (a chroot) it is taken for the last one
 * that was. */
uint32_t queue_namespace(struct shim_thread *t)
{
	static uint32_t last;
	struct stat st;
	if (t->ipc_namespace && !t->spawn_call)
		return t->ipc_namespace;
	if (raw_syscall(__NR_newfstatat, AT_FDCWD, "/proc/thread-self/ns/ipc", &st, 0))
		return last;
	last = (uint32_t)st.st_ino;
	if (!t->spawn_call)
		t->ipc_namespace = last;
	return last;
}

uint64_t queue_object(struct shim_thread *t, enum ipc_mechanism mechanism, int id)
{
	shim_number(t); /* a fork child first makes itself known: it may be in a namespace of its own */
	uint64_t space = queue_namespace(t) & ((1U << NAMESPACE_BITS) - 1);
	return ipc_object(mechanism, space << 32 | (uint32_t)id);
}

static bool is_told(uint64_t object)
{
	return told[object % TOLD] == object;
}

static void define(struct shim_thread *t, uint64_t object, const char *text, size_t length)
{
	struct ipc_def def = { .time = shim_now(), .thread = shim_number(t), .call = IPC_DEF_OBJECT };
	def.object.object = object;
	def.object.inode = (uint32_t)object;
	def.object.generation = queue_namespace(t);
	if (shim_define(t, &def, text, length))
		told[object % TOLD] = object;
}

void queue_tell(struct shim_thread *t, uint64_t object)
{
	if (!is_told(object))
		define(t, object, NULL, 0);
}

size_t queue_put_key(char *text, const char *end, uint32_t key)
{
	char *at = text_put(text, end, key == IPC_PRIVATE ? "private" : "key 0x");
	for (int i = KEY_DIGITS - 1; key != IPC_PRIVATE && i >= 0; i--)
		*at++ = "0123456789abcdef"[key >> 4 * i & 0xf];
	return (size_t)(at - text);
}

static void return_get(struct shim_thread *t, const struct pending *p, long result)
{
	char text[24];
	if (result < 0)
		return;
	t->ipc_namespace = 0; /* unshare and setns are not seen, but what follows them is */
	struct ipc_event e = hook_event(t, p, result);
	e.object = queue_object(t, p->call == IPC_CALL_shmget ? IPC_MECH_sysv_shm : IPC_MECH_sysv_msg,
				(int)result);
	define(t, e.object, text, queue_put_key(text, text + sizeof(text), (uint32_t)p->arg[0]));
	shim_emit(t, &e);
}

static void return_remove(struct shim_thread *t, const struct pending *p, long result)
{
	if (result)
		return;
	struct ipc_event e = hook_event(t, p, result);
	queue_tell(t, p->object);
	shim_emit(t, &e);
	told[p->object % TOLD] = 0;
}

/* Whether the call may have failed because there is no such queue. */
static bool names_nothing(long result)
{
	return result == -EINVAL || result == -EFAULT || result == -ENOSYS;
}

static void tell_moved(struct shim_thread *t, struct ipc_event *e, const void *text)
{
	const struct iovec one = { (void *)text, (size_t)e->result };
	if (e->result == -EAGAIN)
		e->flags |= IPC_F_NONBLOCK;
	payload_emit(t, e, (struct vector){ &one, 1, true });
}

static void return_message(struct shim_thread *t, const struct pending *p, long result)
{
	struct ipc_event e = hook_event(t, p, result);
	if (!is_told(p->object)) {
		if (names_nothing(result))
			return;
		queue_tell(t, p->object);
	}
	if (result >= 0)
		e.arg1 = *(const uint64_t *)p->arg[1];
	if (result >= 0 && p->call == IPC_CALL_msgsnd)
		e.result = p->arg[2];
	else if (p->arg[4] & MSG_COPY && p->call == IPC_CALL_msgrcv)
		e.flags |= IPC_F_PEEK;
	if (p->call == IPC_CALL_msgrcv && p->arg[4] & MSG_NOERROR && result == p->arg[2])
		e.flags |= IPC_F_FULL;
	tell_moved(t, &e, ((const struct msgbuf *)p->arg[1])->mtext);
}

/* read(2) of a POSIX queue is no receive: it gives a line of text about the queue. */
static void return_posix(struct shim_thread *t, const struct pending *p, long result)
{
	struct ipc_event e = hook_event(t, p, result);
	if (p->call != IPC_CALL_mq_timedsend && p->call != IPC_CALL_mq_timedreceive)
		return;
	const uint32_t *priority = (const void *)p->arg[3];
	if (result >= 0 && p->call == IPC_CALL_mq_timedsend) {
		e.result = p->arg[2];
		e.arg1 = (uint64_t)(uint32_t)p->arg[3] + 1;
	} else if (result >= 0 && priority) {
		e.arg1 = (uint64_t)*priority + 1;
	}
	tell_moved(t, &e, (const void *)p->arg[1]);
}

void hook_leave_queue(struct shim_thread *t, const struct pending *p, long result)
{
	switch (p->call) {
	case IPC_CALL_msgget:
	case IPC_CALL_shmget:
		return_get(t, p, result);
		break;
	case IPC_CALL_msgctl_rmid:
	case IPC_CALL_shmctl_rmid:
		return_remove(t, p, result);
		break;
	case IPC_CALL_msgsnd:
	case IPC_CALL_msgrcv:
		return_message(t, p, result);
		break;
	default:
		return_posix(t, p, result);
		break;
	}
}
