// SPDX-License-Identifier: BSD-2-Clause
/*
 * timerfd: periodic work. Each producer sets a timer that expires at an interval, and reads from it how often
 * it has: more than once where it came too late. The other side is the kernel; a message is a read that told
 * something, without bytes. A read before the timer has expired waits, or fails with EAGAIN.
 */
#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "reference.h"

enum { INTERVAL_NS = 200000 };

static int make_timer(const struct reference_run *run)
{
	const struct itimerspec every = { .it_interval = { .tv_nsec = INTERVAL_NS },
					  .it_value = { .tv_nsec = INTERVAL_NS } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | (run->options.nonblocking ? TFD_NONBLOCK : 0));
	if (fd < 0 || timerfd_settime(fd, 0, &every, NULL))
		return reference_failed(run, "timerfd");
	return fd;
}

static int wait_for(struct reference_run *run, int fd)
{
	uint64_t expirations;
	while (read(fd, &expirations, sizeof(expirations)) != (ssize_t)sizeof(expirations)) {
		if (errno != EAGAIN)
			return reference_failed(run, "read");
		if (reference_poll(run, fd, POLLIN))
			return -1;
	}
	if (!expirations)
		return reference_wrong(run, "a read told of no expiration");
	reference_received(run, 0);
	reference_came(run, REFERENCE_OUTSIDE, 1, 0);
	run->taken++;
	return 0;
}

static int work(struct reference_run *run)
{
	int fd = make_timer(run);
	while (fd >= 0 && reference_turn(run))
		if (wait_for(run, fd))
			return -1;
	return fd < 0 ? -1 : close(fd);
}

static int start_all(struct reference_run *run)
{
	for (unsigned int i = 0; i < run->options.producers; i++)
		if (reference_start(run, REFERENCE_PRODUCER, i, work) < 0)
			return -1;
	return reference_wait(run);
}

const struct reference reference_timerfd = {
	.name = "timerfd",
	.summary = "timers that expire at an interval, and who waits for them",
	.capacity = "bounded",
	.direction = "one way",
	.when_full = "they are added",
	.synchronisation = "none",
	.relationship = "none",
	.features = REFERENCE_PRODUCERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.run = start_all,
};
