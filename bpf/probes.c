// SPDX-License-Identifier: BSD-2-Clause
/*
 * A probe is on a place in a file: whoever maps that gets there. Of each function it is found in the recorder's
 * own libc. Those of several versions are one code, but for conditions of 2002.
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
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "collector.h"
#include "library.h"
#include "probes.h"

enum { TELL_NS = 1000000000 };

#define FUNCTION(name) { #name, IPC_CALL_##name }
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
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

_Static_assert(offsetof(pthread_mutex_t, __data.__kind) == MUTEX_SHARED_AT, "");
_Static_assert(offsetof(pthread_rwlock_t, __data.__shared) == RWLOCK_SHARED_AT, "");
_Static_assert(offsetof(pthread_cond_t, __data.__wrefs) == COND_SHARED_AT, "");

struct probes {
	struct bpf_link *links[FUNCTIONS][2];
	void *told; /* of tsearch(3): struct told */
	uint64_t told_ns;
};

/* What the collector has got of a counter. */
struct told {
	struct lock_count_key key;
	struct lock_count count;
};

/* ---- probes ---- */

/* The function's address in libc, or in the library of older ones; NULL: this libc has none. */
static const char *find(const char *name)
{
	static const char *const libraries[] = { "libc.so.6", "libpthread.so.0" };
	const char *found = NULL;

	for (int i = 0; i < 2 && !found; i++) {
		void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
		if (!library)
			continue;
		found = dlsym(library, name);
		dlclose(library);
	}
	return found;
}

/* Which file is mapped at the address, and where in it that is. Returns 0 or -errno. */
static int place(const char *address, char path[PATH_MAX], size_t *offset)
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

static int attach(struct bpf_link **link, const struct bpf_program *program, const struct function *f, bool end)
{
	LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = end, .bpf_cookie = f->cookie);
	const char *address = find(f->name);
	char path[PATH_MAX];
	size_t offset = 0;

	if (!address)
		return 0;
	int err = place(address, path, &offset);
	if (err)
		return err;
	*link = bpf_program__attach_uprobe_opts(program, -1, path, offset, &options);
	return *link ? 0 : -errno;
}

int probes_attach(struct probes **out, const struct bpf_program *begins, const struct bpf_program *ends)
{
	struct probes *p = calloc(1, sizeof(*p));
	int err = p ? 0 : -ENOMEM;

	for (int i = 0; i < FUNCTIONS && !err; i++) {
		bool init = functions[i].cookie & LIBRARY_BARRIER_INIT; /* only begins */
		err = attach(&p->links[i][0], begins, &functions[i], false);
		if (!err && !init)
			err = attach(&p->links[i][1], ends, &functions[i], true);
	}
	if (err)
		probes_free(p);
	else
		*out = p;
	return err;
}

void probes_detach(struct probes *p)
{
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

static void tell(struct collector *c, struct told *t, const struct lock_count *now, bool doubtful, uint64_t ns)
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
