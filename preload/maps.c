// SPDX-License-Identifier: BSD-2-Clause
/* /proc/self/maps: one question to the kernel (Linux 6.11 and later), else its text is read. */
#include <errno.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "maps.h"
#include "shim.h"
#include "transient.h"

enum {
	LINE_MIN = 100, /* the fields of a line before its path are shorter */
	TEXT_SIZE = 1024,
};

/* As linux/fs.h has it in later kernels. */
struct query {
	__u64 size, flags, address;
	__u64 start, end, vma_flags, page_size, offset, inode;
	__u32 dev_major, dev_minor, name_size, build_id_size;
	__u64 name, build_id;
};
enum { VMA_READABLE = 1, VMA_WRITABLE = 2, VMA_EXECUTABLE = 4, VMA_SHARED = 8, OR_NEXT = 16 };
#define QUERY _IOWR('f', 17, struct query)

long maps_open(uint64_t *mask)
{
	return transient_file("/proc/self/maps", mask);
}

void maps_close(long maps, uint64_t mask)
{
	transient_close(maps, mask);
}

static uint8_t protection_of(bool readable, bool writable, bool executable)
{
	return (uint8_t)((readable ? PROT_READ : 0) | (writable ? PROT_WRITE : 0) |
			 (executable ? PROT_EXEC : 0));
}

/* Reads a number and passes over what ends it. */
static const char *number(const char *at, unsigned int base, uint64_t *out)
{
	for (*out = 0;; at++) {
		bool decimal = *at >= '0' && *at <= '9', letter = *at >= 'a' && *at <= 'f';
		if (!decimal && !(letter && base == 16))
			return at + 1;
		*out = *out * base + (uint64_t)(decimal ? *at - '0' : *at - 'a' + 10);
	}
}

/* "start-end rwxp offset major:minor inode", a NUL or a new line somewhere behind. */
static void parse(const char *at, struct mapped *out)
{
	uint64_t major, minor;
	at = number(number(at, 16, &out->start), 16, &out->end);
	out->protection = protection_of(at[0] == 'r', at[1] == 'w', at[2] == 'x');
	out->shared = at[3] == 's';
	at = number(number(number(at + 5, 16, &out->offset), 16, &major), 16, &minor);
	number(at, 10, &out->inode);
	out->dev_major = (uint32_t)major;
	out->dev_minor = (uint32_t)minor;
}

static bool ask_text(long maps, uintptr_t address, struct mapped *out)
{
	char text[TEXT_SIZE + LINE_MIN]; /* the rest stays 0 */
	uint64_t offset = 0;
	bool begins = true; /* a line does, at `offset` */
	for (int i = TEXT_SIZE; i < TEXT_SIZE + LINE_MIN; i++)
		text[i] = '\0';
	for (;;) {
		long n = raw_syscall(__NR_pread64, maps, text, TEXT_SIZE, offset), next = 0;
		if (n <= 0)
			return false;
		if (begins) {
			parse(text, out);
			if (address < out->end)
				return true;
		}
		while (next < n && text[next] != '\n')
			next++;
		begins = next < n;
		offset += (uint64_t)(begins ? next + 1 : n);
	}
}

bool maps_ask(long maps, uintptr_t address, struct mapped *out)
{
	struct query q = { .size = sizeof(q), .flags = OR_NEXT, .address = address };
	if (maps < 0)
		return false;
	long failed = shim.no_ioctl ? -ENOTTY : raw_syscall(__NR_ioctl, maps, QUERY, &q);
	if (failed)
		return failed != -ENOENT && ask_text(maps, address, out);
	*out = (struct mapped){ .start = q.start,
				.end = q.end,
				.offset = q.offset,
				.inode = q.inode,
				.dev_major = q.dev_major,
				.dev_minor = q.dev_minor,
				.protection =
					protection_of(q.vma_flags & VMA_READABLE, q.vma_flags & VMA_WRITABLE,
						      q.vma_flags & VMA_EXECUTABLE),
				.shared = q.vma_flags & VMA_SHARED };
	return true;
}
