// SPDX-License-Identifier: BSD-2-Clause
/* uring: makes two rings by liburing, and sends a line through one, which also reads it. */
#include <liburing.h>
#include <string.h>
#include <unistd.h>

static int one(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &cqe))
		return -1;
	int result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

int main(void)
{
	struct io_uring ring, other;
	struct io_uring_params p = { 0 };
	struct io_uring_sqe *sqe;
	int fds[2];
	char line[] = "by ring", got[sizeof(line)];

	if (pipe(fds) || io_uring_queue_init(8, &ring, 0) || io_uring_queue_init_params(8, &other, &p))
		return 1;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_write(sqe, fds[1], line, sizeof(line), 0);
	if (one(&ring) != sizeof(line))
		return 2;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read(sqe, fds[0], got, sizeof(got), 0);
	if (one(&ring) != sizeof(got) || memcmp(line, got, sizeof(line)))
		return 3;
	io_uring_queue_exit(&ring);
	io_uring_queue_exit(&other);
	return 0;
}
