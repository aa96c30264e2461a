/* SPDX-License-Identifier: BSD-2-Clause */
/* Message queues, semaphores and eventfds of the traced process: which they are. */
#ifndef IPC_QUEUE_H
#define IPC_QUEUE_H

#include "shim.h"

/* The inode of the thread's ipc namespace, or 0: not known. */
uint32_t queue_namespace(struct shim_thread *t);

/* Writes what people know a System V object by. Returns its length, 14 at most. */
size_t queue_put_key(char *text, const char *end, uint32_t key);

/* The object of the System V semaphore `number` of the set `id`. */
uint64_t sem_object(struct shim_thread *t, int id, uint32_t number);

/* The object of the System V message queue, or memory, `id`. */
uint64_t queue_object(struct shim_thread *t, enum ipc_mechanism mechanism, int id);

/* Defines such an object, unless it is. */
void queue_tell(struct shim_thread *t, uint64_t object);

/* The object of a descriptor of an anonymous inode, or 0: no channel. */
uint64_t counter_object(struct shim_thread *t, long fd);

/* Whether its number is our own, so that a copy of the descriptor must be told from it. */
bool counter_has_own_number(uint64_t object);

/* An inotify instance watches another path from now on: that is its name. */
void counter_watch(struct shim_thread *t, const struct pending *p);

/* Whether what goes through a descriptor of it carries a word of its own: a priority, a value, a
 * signal. */
static inline bool queue_has_words(uint64_t object)
{
	unsigned int mechanism = ipc_object_mechanism(object);
	return mechanism == IPC_MECH_posix_mq || mechanism == IPC_MECH_eventfd ||
	       mechanism == IPC_MECH_timerfd || mechanism == IPC_MECH_signal;
}

#endif
