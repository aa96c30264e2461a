// SPDX-License-Identifier: BSD-2-Clause
/*
 * io_uring: reads and writes that are submitted through a ring in memory shared with the kernel, here on a
 * pipe and one at a time. The submission queue holds indices into an array of entries; the program moves its
 * tail, the kernel its head; of the completion queue it is the other way round. One io_uring_enter both
 * submits and waits.
 */
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reference.h"

enum { ENTRIES = 1 };

static struct ring {
	int fd;
	struct io_uring_params p;
	char *queues; /* both: IORING_FEAT_SINGLE_MMAP */
	struct io_uring_sqe *entry;
} ring;
static int ends[2];

static int make_ring(struct ring *r)
{
	*r = (struct ring){ 0 };
	r->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &r->p);
	if (r->fd < 0)
		return -1;
	size_t size = r->p.sq_off.array + r->p.sq_entries * sizeof(uint32_t);
	size_t other = r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe);
	r->queues = mmap(NULL, size > other ? size : other, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			 r->fd, IORING_OFF_SQ_RING);
	r->entry = mmap(NULL, r->p.sq_entries * sizeof(*r->entry), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
	return r->queues == MAP_FAILED || r->entry == MAP_FAILED ? -1 : 0;
}

static _Atomic uint32_t *word(const struct ring *r, uint32_t offset)
{
	return (_Atomic uint32_t *)(r->queues + offset);
}

/* Submits one operation and waits for it. Returns its result. */
static int operate(struct reference_run *run, uint8_t operation, int fd, const void *data, size_t size)
{
	*ring.entry = (struct io_uring_sqe){
		.opcode = operation,
		.fd = fd,
		.addr = (uintptr_t)data,
		.len = (uint32_t)size,
		.off = (uint64_t)-1,
	};
	uint32_t tail = atomic_load(word(&ring, ring.p.sq_off.tail));
	*(uint32_t *)(ring.queues + ring.p.sq_off.array) = 0;
	atomic_store(word(&ring, ring.p.sq_off.tail), tail + 1);
	if (syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return reference_failed(run, "io_uring_enter");
	uint32_t head = atomic_load(word(&ring, ring.p.cq_off.head));
	const struct io_uring_cqe *done = (const void *)(ring.queues + ring.p.cq_off.cqes);
	int result = done[head & (ring.p.cq_entries - 1)].res;
	atomic_store(word(&ring, ring.p.cq_off.head), head + 1);
	return result < 0 ? reference_wrong(run, "operation: %s", strerror(-result)) : result;
}

static const char *refuse(const struct reference_options *o)
{
	struct ring try;
	(void)o;
	int failed = make_ring(&try);
	if (try.fd > 0)
		close(try.fd);
	return failed ? "the kernel has none, or forbids it" : NULL;
}

static int open_pipe(struct reference_run *run)
{
	return pipe(ends) ? reference_failed(run, "pipe") : 0;
}

static int write_all(struct reference_run *run, const char *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		int n = operate(run, IORING_OP_WRITE, ends[1], data + done, size - done);
		if (n < 0)
			return -1;
		reference_sent(run, run->to, (uint64_t)n);
		done += (size_t)n;
	}
	return 0;
}

static int produce(struct reference_run *run)
{
	const struct reference_head *m;
	close(ends[0]);
	if (make_ring(&ring))
		return reference_failed(run, "io_uring_setup");
	while ((m = reference_next(run)))
		if (write_all(run, (const char *)m, m->size))
			return -1;
	return close(ends[1]);
}

/* 1, or 0 at the end of the pipe. */
static int read_all(struct reference_run *run, char *data, size_t size)
{
	for (size_t have = 0; have < size;) {
		int n = operate(run, IORING_OP_READ, ends[0], data + have, size - have);
		if (n <= 0)
			return n;
		reference_received(run, (uint64_t)n);
		have += (size_t)n;
	}
	return 1;
}

static int consume(struct reference_run *run)
{
	size_t size = run->options.size_max;
	void *m = reference_buffer(run);
	int more;
	close(ends[1]);
	if (make_ring(&ring))
		return reference_failed(run, "io_uring_setup");
	while ((more = read_all(run, m, size)) > 0)
		if (reference_take(run, m, size))
			return -1;
	return more;
}

static int leave(struct reference_run *run)
{
	(void)run;
	return close(ends[0]) || close(ends[1]);
}

const struct reference reference_io_uring = {
	.name = "io_uring",
	.summary = "a pipe, written and read through rings shared with the kernel",
	.capacity = "bounded",
	.order = "as sent",
	.direction = "one way",
	.when_full = "sender waits",
	.synchronisation = "none",
	.relationship = "a common ancestor",
	.refuses = refuse,
	.open = open_pipe,
	.produce = produce,
	.consume = consume,
	.leave = leave,
};
