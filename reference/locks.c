// SPDX-License-Identifier: BSD-2-Clause
/* Mutual exclusion (locks.h). */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "locks.h"

enum { SLOTS = 8 };

static struct ring {
	char lock[LOCKS_SIZE];
	pid_t had_by; /* who had the lock last; of one that readers share: for writing */
	unsigned long in, out;
	unsigned long slots[SLOTS];
} * ring;
static const struct locks_kind *kind;

bool locks_is_exact(const struct reference_options *o)
{
	(void)o;
	return true;
}

static int check(const struct reference_run *run, int error, const char *what)
{
	errno = error;
	return error ? reference_failed(run, what) : 0;
}

int locks_open(struct reference_run *run, const struct locks_kind *how)
{
	kind = how;
	ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return reference_failed(run, "mmap");
	return check(run, kind->make(ring->lock), "making the lock");
}

static int lock(struct reference_run *run, bool writes)
{
	int error;
	while ((error = kind->lock(ring->lock, writes, run->options.nonblocking)) == EBUSY)
		reference_pause();
	if (error)
		return check(run, error, "lock");
	reference_received(run, 0);
	if (ring->had_by)
		reference_came(run, (unsigned int)ring->had_by, 1, 0);
	if (writes)
		ring->had_by = getpid();
	return 0;
}

/* Nothing of the ring is looked at behind it. */
static int unlock(struct reference_run *run)
{
	reference_sent(run, REFERENCE_ANYONE, 0);
	return check(run, kind->unlock(ring->lock), "unlock");
}

static bool put(void)
{
	if (!kind->shares && ring->in - ring->out == SLOTS)
		return false;
	ring->slots[ring->in % SLOTS] = ring->in;
	ring->in++;
	return true;
}

int locks_produce(struct reference_run *run)
{
	while (reference_turn(run)) {
		for (bool done = false; !done;) {
			if (lock(run, true))
				return -1;
			done = put();
			if (unlock(run))
				return -1;
			if (!done)
				reference_pause();
		}
	}
	return 0;
}

/* Takes the next record, or, where others read it too, all that this one has not seen of those that are its
 * own. False: it is wrong. */
static bool take(struct reference_run *run, unsigned long *taken)
{
	*taken = 0;
	if (kind->shares) {
		*taken = (ring->in < run->quota ? ring->in : run->quota) - run->taken;
		return true;
	}
	if (ring->in == ring->out)
		return true;
	*taken = 1;
	return ring->slots[ring->out % SLOTS] == ring->out && ++ring->out;
}

int locks_consume(struct reference_run *run)
{
	while (reference_more(run)) {
		unsigned long taken;
		if (lock(run, !kind->shares))
			return -1;
		bool right = take(run, &taken);
		if (unlock(run))
			return -1;
		if (!right)
			return reference_wrong(run, "a record is wrong");
		run->taken += taken;
		if (!taken)
			reference_pause();
	}
	return 0;
}

int locks_close(struct reference_run *run)
{
	if (check(run, kind->destroy(ring->lock), "destroying the lock"))
		return -1;
	return munmap(ring, sizeof(*ring)) ? reference_failed(run, "munmap") : 0;
}
