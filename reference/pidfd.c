// SPDX-License-Identifier: BSD-2-Clause
/*
 * pidfd: a descriptor that stands for a process, whatever becomes of its pid. Each producer bears children,
 * one after the other, and learns by poll that each has ended: that is the message, from the child, without
 * bytes. Then it takes the status: until then the child is a zombie.
 */
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reference.h"

static int await(struct reference_run *run, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int ready;
	while ((ready = poll(&p, 1, run->options.nonblocking ? 0 : -1)) == 0)
		reference_pause();
	return ready < 0 ? reference_failed(run, "poll") : 0;
}

static int watch(struct reference_run *run, pid_t child)
{
	siginfo_t info;
	int fd = (int)syscall(SYS_pidfd_open, child, 0);
	if (fd < 0)
		return reference_failed(run, "pidfd_open");
	if (await(run, fd))
		return -1;
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED) || info.si_pid != child || info.si_status)
		return reference_failed(run, "waitid");
	reference_received(run, 0);
	reference_came(run, (unsigned int)child, 1, 0);
	reference_other(run, child, 1, 0);
	run->taken++;
	return close(fd);
}

static int work(struct reference_run *run)
{
	while (reference_turn(run)) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		if (child < 0)
			return reference_failed(run, "fork");
		if (watch(run, child))
			return -1;
	}
	return 0;
}

static int start_all(struct reference_run *run)
{
	for (unsigned int i = 0; i < run->options.producers; i++)
		if (reference_start(run, REFERENCE_PRODUCER, i, work) < 0)
			return -1;
	return reference_wait(run);
}

const struct reference reference_pidfd = {
	.name = "pidfd",
	.summary = "processes that end, and who waits for that by poll",
	.capacity = "bounded",
	.direction = "one way",
	.when_full = "zombies stay",
	.synchronisation = "none",
	.relationship = "none: they know a pid",
	.features = REFERENCE_PRODUCERS | REFERENCE_NONBLOCKING | REFERENCE_NO_BYTES,
	.defaults = { .messages = 100 },
	.run = start_all,
};
