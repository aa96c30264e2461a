// SPDX-License-Identifier: BSD-2-Clause
/* sysv_sem: the bounded buffer with the semaphores of one set. */
#include <errno.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "buffer.h"

static int set;

static int post(struct reference_run *run, int semaphore)
{
	struct sembuf up = { .sem_num = (unsigned short)semaphore, .sem_op = 1 };
	return semop(set, &up, 1) ? reference_failed(run, "semop") : 0;
}

static int wait_for(struct reference_run *run, int semaphore)
{
	struct sembuf down = { .sem_num = (unsigned short)semaphore,
			       .sem_op = -1,
			       .sem_flg = run->options.nonblocking ? IPC_NOWAIT : 0 };
	if (!semop(set, &down, 1))
		return 0;
	return errno == EAGAIN ? 1 : reference_failed(run, "semop");
}

static int open_set(struct reference_run *run)
{
	static const struct buffer_semaphores semaphores = { post, wait_for, .first_at_once = true };
	unsigned short first[BUFFER_SEMAPHORES];
	if (buffer_open(run, &semaphores, first))
		return -1;
	set = semget(IPC_PRIVATE, BUFFER_SEMAPHORES, 0600);
	if (set < 0 || semctl(set, 0, SETALL, first))
		return reference_failed(run, "semget");
	for (int i = 0; i < BUFFER_SEMAPHORES; i++)
		if (first[i])
			reference_sent(run, REFERENCE_ANYONE, 0);
	return 0;
}

static int close_set(struct reference_run *run)
{
	if (buffer_close(run))
		return -1;
	return semctl(set, 0, IPC_RMID) ? reference_failed(run, "semctl") : 0;
}

const struct reference reference_sysv_sem = {
	.name = "sysv_sem",
	.summary = "a bounded buffer: full and free slots, and who may touch them",
	.capacity = "bounded",
	.order = "none",
	.direction = "both ways",
	.when_full = "call fails",
	.synchronisation = "it is one",
	.relationship = "none: they know a key",
	.features = REFERENCE_PRODUCERS | REFERENCE_CONSUMERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.exact = buffer_is_exact,
	.open = open_set,
	.produce = buffer_produce,
	.consume = buffer_consume,
	.close = close_set,
};
