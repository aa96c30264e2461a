/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recorder's thread that answers what targets ask in the arena (arena.h, enum arena_ask): they wait for
 * it, and the recorder's other work shall not keep them waiting.
 */
#ifndef IPC_ASSISTANT_H
#define IPC_ASSISTANT_H

#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>

#include "arena_file.h"

/* What stands in a control block, a copy: a target wrote it. */
struct asked {
	enum arena_ask what;
	uint32_t image, tid, pid_ns;
};

struct assistant {
	struct arena_file *arena;
	bool (*answer)(void *context, const struct asked *asked);
	void *context;
	pthread_t thread;
	sem_t ready;
	_Atomic bool stop;
	bool runs;
	/* so that the kernel marks header->assistant when we are killed */
	struct robust_list_head robust;
	struct robust_list word;
};

/* Starts the thread; `answer` is called in it for each that asks, and says whether it will be done. `a` stays
 * where it is. Returns 0 or -errno. */
int assistant_start(struct assistant *a, struct arena_file *arena,
		    bool (*answer)(void *context, const struct asked *asked), void *context);

/* From now on nobody is told to wait. For within `answer`. */
void assistant_resign(struct assistant *a);

/* Ends the thread, if there is one. */
void assistant_stop(struct assistant *a);

#endif
