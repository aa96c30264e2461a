// SPDX-License-Identifier: BSD-2-Clause
/*
 * io_uring. What is submitted through a ring makes no system call that could be seen: the process is counted.
 * A ring made by syscall(2) is seen as any call is; liburing has system calls of its own, so its functions
 * that make one are taken over, and theirs are found in the list of libraries: dlsym would bind the shim to
 * one version of libc, and does not find what was loaded for one library only. (A static liburing is not
 * seen.)
 */
#include <elf.h>
#include <errno.h>
#include <link.h>

#include "hooks.h"
#include "text.h"

#define PUBLIC __attribute__((visibility("default")))

struct io_uring;
struct io_uring_params;
PUBLIC int io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags);
PUBLIC int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring, struct io_uring_params *p);
PUBLIC int io_uring_queue_init_mem(unsigned int entries, struct io_uring *ring, struct io_uring_params *p,
				   void *memory, size_t size);
PUBLIC int io_uring_setup(unsigned int entries, struct io_uring_params *p);

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;
	for (; *name; name++)
		h = h * 33 + (unsigned char)*name;
	return h;
}

/* What a library's dynamic section says of its symbols. */
struct symbols {
	const Elf64_Sym *table;
	const char *names;
	const uint32_t *hash; /* DT_GNU_HASH */
};

/* ld.so has relocated these addresses, but for those of the kernel's own library. */
static const void *address(const struct link_map *map, const Elf64_Dyn *d)
{
	return (const void *)(d->d_un.d_ptr < map->l_addr ? d->d_un.d_ptr + map->l_addr : d->d_un.d_ptr);
}

static bool describe(const struct link_map *map, struct symbols *s)
{
	*s = (struct symbols){ 0 };
	for (const Elf64_Dyn *d = map->l_ld; d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			s->table = address(map, d);
		else if (d->d_tag == DT_STRTAB)
			s->names = address(map, d);
		else if (d->d_tag == DT_GNU_HASH)
			s->hash = address(map, d);
	}
	return s->table && s->names && s->hash;
}

static void *find_in(const struct link_map *map, const char *name)
{
	struct symbols s;
	if (!describe(map, &s))
		return NULL;
	uint32_t buckets = s.hash[0], first = s.hash[1], words = s.hash[2], wanted = gnu_hash(name);
	const uint32_t *bucket = s.hash + 4 + words * 2, *chain = bucket + buckets;
	uint32_t i = buckets ? bucket[wanted % buckets] : 0;
	for (; i && i >= first; i++) {
		uint32_t hash = chain[i - first];
		if ((hash | 1) == (wanted | 1) && s.table[i].st_shndx != SHN_UNDEF &&
		    text_equal(s.names + s.table[i].st_name, name))
			return (void *)(map->l_addr + s.table[i].st_value);
		if (hash & 1)
			break;
	}
	return NULL;
}

/* What the caller would have got without us: the first other library that has it. NULL: none is loaded. */
static void *real(const char *name)
{
	extern ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));
	void *found = NULL;
	for (const struct link_map *map = _r_debug.r_map; map && !found; map = map->l_next)
		if (map->l_ld != _DYNAMIC)
			found = find_in(map, name);
	return found;
}

/* A function of liburing may call another one that is taken over too. */
static bool enter(void)
{
	bool outer = !shim_self.in_liburing;
	shim_self.in_liburing = true;
	return outer;
}

static int leave(bool outer, int result)
{
	if (!outer)
		return result;
	shim_self.in_liburing = false;
	if (result >= 0 && recording())
		define_loss(&shim_self, IPC_REASON_io_uring, "");
	return result;
}

int io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	int (*theirs)(unsigned int, struct io_uring *, unsigned int) = real("io_uring_queue_init");
	bool outer = enter();
	return leave(outer, theirs ? theirs(entries, ring, flags) : -ENOSYS);
}

int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring, struct io_uring_params *p)
{
	int (*theirs)(unsigned int, struct io_uring *, struct io_uring_params *) =
		real("io_uring_queue_init_params");
	bool outer = enter();
	return leave(outer, theirs ? theirs(entries, ring, p) : -ENOSYS);
}

int io_uring_queue_init_mem(unsigned int entries, struct io_uring *ring, struct io_uring_params *p,
			    void *memory, size_t size)
{
	int (*theirs)(unsigned int, struct io_uring *, struct io_uring_params *, void *, size_t) =
		real("io_uring_queue_init_mem");
	bool outer = enter();
	return leave(outer, theirs ? theirs(entries, ring, p, memory, size) : -ENOSYS);
}

int io_uring_setup(unsigned int entries, struct io_uring_params *p)
{
	int (*theirs)(unsigned int, struct io_uring_params *) = real("io_uring_setup");
	bool outer = enter();
	return leave(outer, theirs ? theirs(entries, p) : -ENOSYS);
}
