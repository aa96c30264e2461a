// SPDX-License-Identifier: BSD-2-Clause
/*
 * A probe is on a place in a file: whoever maps that gets there. Of each function it is found in the
 * recorder's own libc. Those of several versions are one code, but for conditions of 2002.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <search.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "collector.h"
#include "library.h"
#include "probe.h"
#include "probes.h"

enum { TELL_NS = 1000000000 };

#define FUNCTION(name)                                                                                       \
	{                                                                                                    \
#name, IPC_CALL_##name                                                                       \
	}
static const struct function {
	const char *name;
	uint32_t cookie;
} functions[] = {
	FUNCTION(sem_init),
	FUNCTION(sem_open),
	FUNCTION(sem_close),
	FUNCTION(sem_wait),
	FUNCTION(sem_trywait),
	FUNCTION(sem_timedwait),
	FUNCTION(sem_clockwait),
	FUNCTION(sem_post),
	FUNCTION(pthread_mutex_lock),
	FUNCTION(pthread_mutex_trylock),
	FUNCTION(pthread_mutex_timedlock),
	FUNCTION(pthread_mutex_clocklock),
	FUNCTION(pthread_mutex_unlock),
	FUNCTION(pthread_rwlock_rdlock),
	FUNCTION(pthread_rwlock_tryrdlock),
	FUNCTION(pthread_rwlock_timedrdlock),
	FUNCTION(pthread_rwlock_clockrdlock),
	FUNCTION(pthread_rwlock_wrlock),
	FUNCTION(pthread_rwlock_trywrlock),
	FUNCTION(pthread_rwlock_timedwrlock),
	FUNCTION(pthread_rwlock_clockwrlock),
	FUNCTION(pthread_rwlock_unlock),
	FUNCTION(pthread_cond_wait),
	FUNCTION(pthread_cond_timedwait),
	FUNCTION(pthread_cond_clockwait),
	FUNCTION(pthread_cond_signal),
	FUNCTION(pthread_cond_broadcast),
	{ "pthread_barrier_init", IPC_CALL_pthread_barrier_wait | LIBRARY_BARRIER_INIT },
	FUNCTION(pthread_barrier_wait),
	FUNCTION(pthread_spin_lock),
	FUNCTION(pthread_spin_trylock),
	FUNCTION(pthread_spin_unlock),
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

_Static_assert(offsetof(pthread_mutex_t, __data.__kind) == MUTEX_SHARED_AT, "");
_Static_assert(offsetof(pthread_rwlock_t, __data.__shared) == RWLOCK_SHARED_AT, "");
_Static_assert(offsetof(pthread_cond_t, __data.__wrefs) == COND_SHARED_AT, "");

/* Of these libraries, the second one of older systems. */
static const char *const libraries[] = { "libc.so.6", "libpthread.so.0" };
enum { LIBRARIES = 2, LINKS = LIBRARIES * 2 };

struct probes {
	int fds[LINKS];			      /* of links to all functions of a library, or -1 */
	struct bpf_link *links[FUNCTIONS][2]; /* to one function each, where the kernel has no such */
	void *told;			      /* of tsearch(3): struct told */
	uint64_t told_ns;
};

/* The functions of one library. */
struct places {
	char path[PATH_MAX];
	uint64_t offsets[FUNCTIONS], cookies[FUNCTIONS];
	unsigned int n;
};

/* What the collector has got of a counter. */
struct told {
	struct lock_count_key key;
	struct lock_count count;
};

/* ---- probes ---- */

/* Which file is mapped at the address, and where in it that is. Returns 0 or -errno. */
static int place(const char *address, char path[PATH_MAX], uint64_t *offset)
{
	unsigned long start, end, from;
	char line[PATH_MAX + 128];
	int err = -ENOENT;
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps)
		return -errno;
	while (err && fgets(line, sizeof(line), maps)) {
		const char *name = strchr(line, '/');
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &from) != 3 || !name ||
		    (uintptr_t)address < start || (uintptr_t)address >= end)
			continue;
		snprintf(path, PATH_MAX, "%.*s", (int)strcspn(name, "\n"), name);
		*offset = from + ((uintptr_t)address - start);
		err = 0;
	}
	fclose(maps);
	return err;
}

/* What this library has of them; of those that only begin or also end. Returns 0 or -errno. */
static int find(struct places *all, const char *library, bool ends)
{
	void *handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
	int err = 0;

	all->n = 0;
	for (int i = 0; handle && !err && i < FUNCTIONS; i++) {
		const char *address = dlsym(handle, functions[i].name);
		if (!address || (ends && functions[i].cookie & LIBRARY_BARRIER_INIT))
			continue;
		err = place(address + probe_place(address), all->path, &all->offsets[all->n]);
		all->cookies[all->n++] = functions[i].cookie;
	}
	if (handle)
		dlclose(handle);
	return err;
}

/* As <linux/bpf.h> has it since Linux 6.6. */
enum { UPROBE_MULTI = 48, UPROBE_MULTI_RETURN = 1 };
struct uprobe_multi {
	uint32_t program, target, type, link_flags;
	uint64_t path, offsets, counters, cookies;
	uint32_t n, flags, pid, unused;
};

/* One link to all: taking it away is waited for once, some 0.1 s. Returns its descriptor or -errno. */
static int attach_all(const struct bpf_program *program, const struct places *all, bool ends)
{
	const struct uprobe_multi link = {
		.program = (uint32_t)bpf_program__fd(program),
		.type = UPROBE_MULTI,
		.path = (uintptr_t)all->path,
		.offsets = (uintptr_t)all->offsets,
		.cookies = (uintptr_t)all->cookies,
		.n = all->n,
		.flags = ends ? UPROBE_MULTI_RETURN : 0,
	};
	int fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &link, sizeof(link));
	return fd < 0 ? -errno : fd;
}

static int attach_each(struct probes *p, const struct bpf_program *program, const struct places *all,
		       bool ends)
{
	for (unsigned int i = 0, k = 0; i < all->n; i++, k++) {
		LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = ends, .bpf_cookie = all->cookies[i]);
		while (p->links[k][ends])
			k++;
		p->links[k][ends] =
			bpf_program__attach_uprobe_opts(program, -1, all->path, all->offsets[i], &options);
		if (!p->links[k][ends])
			return -errno;
	}
	return 0;
}

static int attach(struct probes *p, const struct bpf_program *program, bool ends, bool together)
{
	struct places all;
	char first[PATH_MAX] = "";

	for (int i = 0; i < LIBRARIES; i++) {
		int err = find(&all, libraries[i], ends);
		if (err)
			return err;
		if (!all.n || !strcmp(all.path, first)) /* the second one finds what the first has */
			continue;
		strcpy(first, all.path);
		if (!together)
			err = attach_each(p, program, &all, ends);
		else if ((err = attach_all(program, &all, ends)) >= 0)
			p->fds[2 * i + ends] = err;
		if (err < 0)
			return err;
	}
	return 0;
}

int probes_attach(struct probes **out, const struct bpf_program *begins, const struct bpf_program *ends,
		  bool together)
{
	struct probes *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	memset(p->fds, -1, sizeof(p->fds));
	int err = attach(p, ends, true, together);
	if (!err)
		err = attach(p, begins, false, together);
	if (err)
		probes_free(p);
	else
		*out = p;
	return err;
}

void probes_choose(struct bpf_program *program, bool together)
{
	if (together)
		bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)UPROBE_MULTI);
}

void probes_detach(struct probes *p)
{
	for (int i = 0; i < LINKS; i++) {
		if (p->fds[i] >= 0)
			close(p->fds[i]);
		p->fds[i] = -1;
	}
	for (int i = 0; i < FUNCTIONS; i++)
		for (int k = 0; k < 2; k++) {
			bpf_link__destroy(p->links[i][k]);
			p->links[i][k] = NULL;
		}
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	probes_detach(p);
	tdestroy(p->told, free);
	free(p);
}

/* ---- counters ---- */

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct lock_count_key));
}

/* NULL: out of memory. */
static struct told *told_of(struct probes *p, const struct lock_count_key *key)
{
	struct told **found = tfind(key, &p->told, compare);
	if (found)
		return *found;
	struct told *new = calloc(1, sizeof(*new));
	if (!new)
		return NULL;
	new->key = *key;
	if (tsearch(new, &p->told, compare))
		return new;
	free(new);
	return NULL;
}

static void tell(struct collector *c, struct told *t, const struct lock_count *now, bool doubtful,
		 uint64_t ns)
{
	const struct collector_count n = {
		.image = t->key.image,
		.from = t->key.from,
		.object = t->key.object,
		.sends = now->sends - t->count.sends,
		.receives = now->receives - t->count.receives,
		.first_ns = now->first,
		.last_ns = ns,
		.doubtful = doubtful,
	};

	if (!n.sends && !n.receives)
		return;
	t->count = *now;
	collector_counted(c, COLLECTOR_BPF, &n);
}

void probes_tell(struct probes *p, struct collector *c, int counts, int slots, bool all)
{
	struct lock_count_key key, *previous = NULL;
	struct lock_count count;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t ns = (uint64_t)now.tv_sec * TELL_NS + (uint64_t)now.tv_nsec;
	if (!all && ns - p->told_ns < TELL_NS)
		return;
	p->told_ns = ns;
	for (; !bpf_map_get_next_key(counts, previous, &key); previous = &key) {
		struct told *t = bpf_map_lookup_elem(counts, &key, &count) ? NULL : told_of(p, &key);
		struct lock_slot slot = { 0 };
		if (!t)
			continue;
		bpf_map_lookup_elem(slots, &key.object, &slot);
		tell(c, t, &count, slot.doubtful, ns);
	}
}
