// SPDX-License-Identifier: BSD-2-Clause
/*
 * System V semaphores: an object for each of a set. What the program's arguments point to is read only where
 * the kernel has just done so: after a success.
 */
#include <errno.h>
#include <sys/sem.h>

#include "hooks.h"
#include "queue.h"

enum { TOLD = 256 }; /* semaphores remembered as defined */

static uint64_t told[TOLD];

uint64_t sem_object(struct shim_thread *t, int id, uint32_t number)
{
	shim_number(t); /* a fork child first makes itself known: it may be in a namespace of its own */
	return ipc_sem_object(queue_namespace(t), (uint32_t)id, number);
}

static uint64_t *told_at(uint64_t object)
{
	return &told[(object ^ object >> 32) % TOLD];
}

static bool is_told(uint64_t object)
{
	return *told_at(object) == object;
}

static void define(struct shim_thread *t, uint64_t object, const char *text, size_t length)
{
	struct ipc_def def = { .time = shim_now(), .thread = shim_number(t), .call = IPC_DEF_OBJECT };
	def.object.object = object;
	def.object.inode = (uint32_t)object;
	def.object.generation = queue_namespace(t);
	if (shim_define(t, &def, text, length))
		*told_at(object) = object;
}

static void return_get(struct shim_thread *t, const struct pending *p, long result)
{
	char text[24];
	if (result < 0)
		return;
	t->ipc_namespace = 0; /* unshare and setns are not seen, but what follows them is */
	struct ipc_event e = hook_event(t, p, result);
	e.object = sem_object(t, (int)result, 0);
	define(t, e.object, text, queue_put_key(text, text + sizeof(text), (uint32_t)p->arg[0]));
	shim_emit(t, &e);
}

static void tell(struct shim_thread *t, const struct ipc_event *e)
{
	if (!is_told(e->object))
		define(t, e->object, NULL, 0);
	shim_emit(t, e);
}

/* On the semaphore of this number; what has no object is counted. */
static void tell_number(struct shim_thread *t, struct ipc_event *e, int id, uint32_t number)
{
	if (number >= IPC_SEMS_MAX) {
		define_loss(t, IPC_REASON_no_identity, "");
		return;
	}
	e->object = sem_object(t, id, number);
	tell(t, e);
}

/* Unless the call may have failed because there is no such semaphore. */
static void return_failed(struct shim_thread *t, const struct pending *p, long result)
{
	bool names_nothing = result == -EINVAL || result == -EFAULT || result == -ENOSYS ||
			     result == -EFBIG || result == -E2BIG || result == -ERANGE;
	struct ipc_event e = hook_event(t, p, result);
	if (p->call == IPC_CALL_semctl_rmid || (names_nothing && !is_told(p->object)))
		return;
	if (result == -EAGAIN)
		e.flags |= IPC_F_NONBLOCK;
	tell(t, &e);
}

static void return_operations(struct shim_thread *t, const struct pending *p)
{
	const struct sembuf *operations = (const void *)p->arg[1];
	for (uint32_t i = 0; i < (uint32_t)p->arg[2]; i++) {
		const struct sembuf *o = &operations[i];
		struct ipc_event e = hook_event(t, p, 0);
		e.arg1 = (uint64_t)(o->sem_op < 0 ? -o->sem_op : o->sem_op);
		e.flags = (uint16_t)((i ? IPC_F_PART : 0) | (o->sem_op > 0 ? IPC_F_SECOND : 0) |
				     (o->sem_flg & SEM_UNDO ? IPC_F_UNDO : 0));
		tell_number(t, &e, (int)p->arg[0], o->sem_num);
	}
}

/* How many semaphores the set has, or 0: not known. */
static uint32_t count(int id)
{
	struct semid_ds set;
	if (shim.no_semctl || raw_syscall(__NR_semctl, id, 0, IPC_STAT, &set))
		return 0;
	return (uint32_t)set.sem_nsems;
}

static void return_all(struct shim_thread *t, const struct pending *p)
{
	const uint16_t *values = (const void *)p->arg[3];
	uint32_t n = count((int)p->arg[0]);
	if (!n)
		define_loss(t, IPC_REASON_no_identity, "");
	for (uint32_t i = 0; i < n; i++) {
		struct ipc_event e = hook_event(t, p, 0);
		e.arg1 = values[i];
		e.flags = i ? IPC_F_PART : 0;
		tell_number(t, &e, (int)p->arg[0], i);
	}
}

static void return_value(struct shim_thread *t, const struct pending *p)
{
	struct ipc_event e = hook_event(t, p, 0);
	e.arg1 = (uint32_t)p->arg[3];
	tell_number(t, &e, (int)p->arg[0], (uint32_t)p->arg[1]);
}

static void return_remove(struct shim_thread *t, const struct pending *p)
{
	struct ipc_event e = hook_event(t, p, 0);
	tell(t, &e);
	*told_at(p->object) = 0;
}

void hook_leave_sem(struct shim_thread *t, const struct pending *p, long result)
{
	if (p->call == IPC_CALL_semget)
		return_get(t, p, result);
	else if (result)
		return_failed(t, p, result);
	else if (p->call == IPC_CALL_semctl_setval)
		return_value(t, p);
	else if (p->call == IPC_CALL_semctl_setall)
		return_all(t, p);
	else if (p->call == IPC_CALL_semctl_rmid)
		return_remove(t, p);
	else
		return_operations(t, p);
}
