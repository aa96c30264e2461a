// SPDX-License-Identifier: BSD-2-Clause
/*
 * Waits for several descriptors. Of epoll the kernel tells the user data only: it stands for the object that
 * the process, or the one it was forked from, gave it for in epoll_ctl.
 */
#include "kind.h"
#include "socket.h"
#include "tables.h"

enum { FORKS_MAX = 8 };

static uint64_t entry_key(const struct process *p, const struct ipc_event *e)
{
	return table_hash((uint64_t)p->data.id << 32 | e->tag, e->arg1);
}

bool wait_register(struct collector *c, const struct process *p, const struct ipc_event *e)
{
	if (e->call != IPC_CALL_epoll_add && e->call != IPC_CALL_epoll_mod && e->call != IPC_CALL_epoll_del)
		return false;
	bool says = e->result >= 0 && e->object && e->call != IPC_CALL_epoll_del;
	void **place = says ? table_put(&c->epolls, entry_key(p, e)) : NULL;
	if (place && (uintptr_t)*place != e->object) {
		*place = (void *)(uintptr_t)e->object;
		c->epoch++;
	}
	return true;
}

static uint64_t entry_of(const struct collector *c, const struct process *p, const struct ipc_event *e)
{
	for (int i = 0; p && i < FORKS_MAX; i++, p = p->life ? p->life->parent : NULL) {
		uint64_t object = (uintptr_t)table_get(&c->epolls, entry_key(p, e));
		if (object)
			return object;
	}
	return 0;
}

struct channel *wait_channel(struct collector *c, const struct process *p, const struct ipc_event *e)
{
	uint64_t object = e->object;
	if (!object && ipc_calls[e->call].object == IPC_OBJ_EPOLL && e->result > 0)
		object = entry_of(c, p, e);
	bool known = object == e->object || kind_of(object)->find_object || channel_known(c, object);
	return known ? channel_for(c, p, object, false) : NULL;
}
