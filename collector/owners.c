/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is alive, see owners.h. */
#include "owners.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	PIDFDS_MAX = 512,
	WATCH_BATCH = 128, /* unwatched owners looked at in one check */
	SLACK_TICKS = 2,   /* of the start time in /proc */
};

static struct owner **bucket_of(struct owners *o, int pid)
{
	return &o->bucket[(uint32_t)pid * 2654435761U >> 22];
}

_Static_assert(OWNERS_BUCKETS == 1 << 10, "bucket_of takes the upper ten bits");

int owners_open(struct owners *o)
{
	struct rlimit limit;
	memset(o, 0, sizeof(*o));
	o->unwatched_tail = &o->unwatched;
	o->pidfds_max = PIDFDS_MAX;
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur / 2 < PIDFDS_MAX)
		o->pidfds_max = limit.rlim_cur / 2; /* the rest of the recorder needs some too */
	o->epoll = epoll_create1(EPOLL_CLOEXEC);
	return o->epoll < 0 ? -errno : 0;
}

struct owner *owners_find(struct owners *o, int pid)
{
	struct owner *owner = *bucket_of(o, pid);
	while (owner && (owner->pid != pid || owner->dead))
		owner = owner->next;
	return owner;
}

static void list_unwatched(struct owners *o, struct owner *owner)
{
	owner->next_unwatched = NULL;
	*o->unwatched_tail = owner;
	o->unwatched_tail = &owner->next_unwatched;
	o->unwatched_count++;
}

struct owner *owners_add(struct owners *o, int pid, uint32_t image, uint64_t since_ns)
{
	struct owner *owner = pid > 0 ? malloc(sizeof(*owner)) : NULL;
	if (!owner)
		return NULL;
	struct owner **bucket = bucket_of(o, pid);
	*owner = (struct owner){
		.next = *bucket, .pid = pid, .pidfd = -1, .image = image, .since_ns = since_ns
	};
	*bucket = owner;
	list_unwatched(o, owner);
	return owner;
}

/* --- alive? --- */

static uint64_t ticks_since_boot(uint64_t monotonic_ns)
{
	struct timespec monotonic, boot;
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	int64_t slept = (boot.tv_sec - monotonic.tv_sec) * 1000000000LL + (boot.tv_nsec - monotonic.tv_nsec);
	return (monotonic_ns + slept) / (1000000000 / sysconf(_SC_CLK_TCK));
}

enum judgement { GONE, ANOTHER, SAME, UNKNOWN };

/* By state and start time. UNKNOWN: /proc does not tell. A process whose first thread has ended looks dead,
 * and lives while there are others; in the middle of another thread's exec too. */
static enum judgement judge(int pid, uint64_t since_ns)
{
	char path[32], stat[1024], state;
	unsigned long long start;
	int threads;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return UNKNOWN;
	size_t size = fread(stat, 1, sizeof(stat) - 1, file);
	fclose(file);
	stat[size] = '\0';
	const char *rest = strrchr(stat, ')'); /* the name before it may hold anything */
	if (!rest ||
	    sscanf(rest, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu",
		   &state, &threads, &start) != 3)
		return UNKNOWN;
	if ((state == 'Z' || state == 'X') && threads <= 1)
		return GONE;
	return start > ticks_since_boot(since_ns) + SLACK_TICKS ? ANOTHER : SAME;
}

bool owners_alive(int pid, uint64_t since_ns)
{
	if (pid <= 0 || (kill(pid, 0) && errno == ESRCH))
		return false;
	enum judgement judgement = judge(pid, since_ns);
	return judgement == SAME || judgement == UNKNOWN;
}

/* --- watching --- */

static void bury(struct owners *o, struct owner *owner)
{
	if (owner->pidfd >= 0) {
		epoll_ctl(o->epoll, EPOLL_CTL_DEL, owner->pidfd, NULL); /* a child of ours may hold a copy */
		close(owner->pidfd);
		o->pidfds--;
	}
	owner->pidfd = -1;
	owner->dead = true;
	owner->next_dead = o->dead;
	o->dead = owner;
}

void owners_declare_dead(struct owners *o, struct owner *owner)
{
	for (struct owner **link = &o->unwatched; owner->pidfd < 0 && *link;
	     link = &(*link)->next_unwatched) {
		if (*link != owner)
			continue;
		*link = owner->next_unwatched;
		if (!*link)
			o->unwatched_tail = link;
		o->unwatched_count--;
		break;
	}
	bury(o, owner);
}

/* Opens the owner's pidfd and returns 0, or -errno. */
static int open_pidfd(struct owners *o, struct owner *owner)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = owner };
	if (o->pidfds >= o->pidfds_max)
		return -EMFILE;
	int pidfd = syscall(SYS_pidfd_open, owner->pid, 0);
	if (pidfd < 0)
		return -errno;
	if (epoll_ctl(o->epoll, EPOLL_CTL_ADD, pidfd, &event)) {
		close(pidfd);
		return -ENOSPC;
	}
	owner->pidfd = pidfd;
	o->pidfds++;
	return 0;
}

static void watch(struct owners *o, struct owner *owner)
{
	int ret = open_pidfd(o, owner);
	if (ret == -ESRCH || !owners_alive(owner->pid, owner->since_ns))
		bury(o, owner);
	else if (ret)
		list_unwatched(o, owner);
}

void owners_check(struct owners *o)
{
	struct epoll_event event[64];
	for (int n = 64; n == 64;) {
		n = epoll_wait(o->epoll, event, 64, 0);
		for (int i = 0; i < n; i++)
			bury(o, event[i].data.ptr);
	}
	unsigned int batch = o->unwatched_count < WATCH_BATCH ? o->unwatched_count : WATCH_BATCH;
	for (; batch; batch--) { /* those that stay unwatched go to the end */
		struct owner *owner = o->unwatched;
		o->unwatched = owner->next_unwatched;
		if (!o->unwatched)
			o->unwatched_tail = &o->unwatched;
		o->unwatched_count--;
		watch(o, owner);
	}
}

void owners_forget(struct owners *o)
{
	while (o->dead) {
		struct owner *owner = o->dead, **link = bucket_of(o, owner->pid);
		o->dead = owner->next_dead;
		while (*link != owner)
			link = &(*link)->next;
		*link = owner->next;
		free(owner);
	}
}

void owners_close(struct owners *o)
{
	for (unsigned int i = 0; i < OWNERS_BUCKETS; i++) {
		for (struct owner *owner = o->bucket[i], *next; owner; owner = next) {
			next = owner->next;
			if (owner->pidfd >= 0)
				close(owner->pidfd);
			free(owner);
		}
	}
	close(o->epoll);
}
