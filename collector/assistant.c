// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "assistant.h"

static long futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

/* The kernel looks for the word at a fixed distance from the entry of the list: so the list itself is ours,
 * where no target can write. */
static void be_there(struct assistant *a)
{
	_Atomic uint32_t *word = &a->arena->header->assistant;

	a->robust.list.next = &a->word;
	a->word.next = &a->robust.list;
	a->robust.futex_offset = (char *)word - (char *)&a->word;
	syscall(SYS_set_robust_list, &a->robust, sizeof(a->robust));
	atomic_store(word, (uint32_t)syscall(SYS_gettid));
}

/* An answer that comes too late, the thread having gone on, is taken back. */
static void look_at(struct assistant *a, struct arena_control *control)
{
	uint32_t what = atomic_load_explicit(&control->ask, memory_order_acquire);
	struct asked asked = { what, control->asking, control->tid, control->pid_ns };

	if (what != ARENA_ASK_FOLLOW && what != ARENA_ASK_LEAVE)
		return;
	uint32_t granted = a->answer(a->context, &asked) ? ARENA_ASK_GRANTED : ARENA_ASK_NONE;
	if (atomic_compare_exchange_strong(&control->ask, &what, granted)) {
		futex(&control->ask, FUTEX_WAKE, 1);
	} else if (asked.what == ARENA_ASK_FOLLOW) {
		asked.what = ARENA_ASK_LEAVE;
		a->answer(a->context, &asked);
	}
}

static void answer_all(struct assistant *a)
{
	struct arena_header *h = a->arena->header;

	for (uint32_t word = 0; word < (a->arena->chunks + 63) / 64; word++) {
		uint64_t asked = atomic_exchange(&h->asked[word], 0);
		for (; asked; asked &= asked - 1)
			look_at(a, &a->arena->controls[word * 64 + __builtin_ctzll(asked)]);
	}
	atomic_store(&h->unanswered, 0);
}

static void *run(void *context)
{
	struct assistant *a = context;
	struct arena_header *h = a->arena->header;

	be_there(a);
	sem_post(&a->ready);
	while (!atomic_load(&a->stop)) {
		uint32_t asks = atomic_load(&h->asks);
		answer_all(a);
		futex(&h->asks, FUTEX_WAIT, asks);
	}
	return NULL;
}

int assistant_start(struct assistant *a, struct arena_file *arena,
		    bool (*answer)(void *context, const struct asked *asked), void *context)
{
	*a = (struct assistant){ .arena = arena, .answer = answer, .context = context };
	sem_init(&a->ready, 0, 0);
	int err = pthread_create(&a->thread, NULL, run, a);
	if (err)
		return -err;
	a->runs = true;
	while (sem_wait(&a->ready) && errno == EINTR)
		;
	return 0;
}

void assistant_resign(struct assistant *a)
{
	atomic_store(&a->arena->header->assistant, 0);
}

void assistant_stop(struct assistant *a)
{
	if (!a->runs)
		return;
	assistant_resign(a);
	atomic_store(&a->stop, true);
	atomic_fetch_add(&a->arena->header->asks, 1);
	futex(&a->arena->header->asks, FUTEX_WAKE, 1);
	pthread_join(a->thread, NULL);
	a->runs = false;
}
