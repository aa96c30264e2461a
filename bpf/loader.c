// SPDX-License-Identifier: BSD-2-Clause
/*
 * The eBPF source from user space: loads ipctrace.bpf.c, tracks the command's task, moves the ring into the
 * collector.
 *
 * The ring is read here rather than by libbpf's reader, because its positions make the watermark exact: an
 * event is stamped after its place was reserved, so once everything up to the producer's position of time T
 * is read, every event that ended before T is.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "state.h" /* types of the skeleton's variables */

#include "ipctrace.skel.h"
#include "loader.h"
#include "machine.h"
#include "source.h"
#include "tables.h"

struct source {
	struct ipctrace_bpf *skel;
	bool attached;
	size_t page;
	_Atomic uint64_t *consumed; /* the ring's consumer page, ours to write */
	const _Atomic uint64_t *produced;
	const uint8_t *data;	    /* twice in a row, so that no record wraps */
	uint64_t lost[IPC_REASONS]; /* told to the collector so far */
	uint64_t *counts;	    /* room for a counter of each processor */
};

static char complaint[256]; /* of libbpf: the verifier's last line, or else libbpf's own */

/* The verifier's log comes as one message: its reason stands before the line that counts instructions. */
static int keep_complaint(enum libbpf_print_level level, const char *format, va_list args)
{
	static bool verifier;
	char *text = NULL, *end;

	if (level == LIBBPF_DEBUG || (verifier && complaint[0]) || vasprintf(&text, format, args) < 0)
		return 0;
	verifier = strstr(text, "BEGIN PROG LOAD LOG");
	if (verifier && (end = strstr(text, "\nprocessed ")))
		*end = '\0';
	else if ((end = strrchr(text, '\n')))
		*end = '\0';
	char *line = strrchr(text, '\n');
	snprintf(complaint, sizeof(complaint), "%s", line ? line + 1 : text);
	free(text);
	return 0;
}

/* Chains the rows of each system call in their order. */
static void index_calls(struct ipctrace_bpf *skel)
{
	for (unsigned int row = IPC_CALLS - 1; row > IPC_CALL_none; row--) {
		unsigned int nr = ipc_calls[row].nr;
		if (nr >= SYSCALLS_MAX)
			continue;
		skel->rodata->next_row[row] = skel->rodata->first_row[nr];
		skel->rodata->first_row[nr] = row;
	}
}

static int map_ring(struct source *s)
{
	int fd = bpf_map__fd(s->skel->maps.ring);
	void *consumer = mmap(NULL, s->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	void *producer = mmap(NULL, s->page + 2 * RING_BYTES, PROT_READ, MAP_SHARED, fd, s->page);

	if (consumer != MAP_FAILED)
		s->consumed = consumer;
	if (producer != MAP_FAILED) {
		s->produced = producer;
		s->data = (const uint8_t *)producer + s->page;
	}
	return s->consumed && s->produced ? 0 : -errno;
}

static void bpf_close(struct source *s)
{
	if (s->consumed)
		munmap((void *)s->consumed, s->page);
	if (s->produced)
		munmap((void *)s->produced, s->page + 2 * RING_BYTES);
	ipctrace_bpf__destroy(s->skel);
	free(s->counts);
	free(s);
}

static int load(struct source *s)
{
	s->page = sysconf(_SC_PAGESIZE);
	s->counts = calloc(libbpf_num_possible_cpus(), sizeof(*s->counts));
	if (!s->counts)
		return -ENOMEM;
	s->skel = ipctrace_bpf__open();
	if (!s->skel)
		return -errno;
	index_calls(s->skel);
	s->skel->rodata->fast_reads = machine_has(MACHINE_FAST_READS);
	int err = ipctrace_bpf__load(s->skel);
	return err ? err : map_ring(s);
}

int bpf_check(char *error, size_t error_size)
{
	for (const struct machine_need *need = machine_needs; need->name; need++) {
		int err = need->check(error, error_size);
		if (err)
			return err;
	}
	return 0;
}

static int bpf_open(struct source **out, char *error, size_t error_size)
{
	int err = bpf_check(error, error_size);

	if (err) {
		size_t length = strlen(error);
		snprintf(error + length, error_size - length, ", or use --source=shim");
		return err;
	}
	libbpf_set_print(keep_complaint);
	complaint[0] = '\0';
	struct source *s = calloc(1, sizeof(*s));
	err = s ? load(s) : -ENOMEM;
	if (err) {
		snprintf(error, error_size, "cannot load the eBPF programs (%s: %s), use --source=shim",
			 strerror(-err), complaint);
		if (s)
			bpf_close(s);
		return err;
	}
	*out = s;
	return 0;
}

static int attach_programs(struct source *s)
{
	int err = s->attached ? 0 : ipctrace_bpf__attach(s->skel);

	s->attached |= !err;
	return err;
}

/* Runs a program of type iter over everything, and closes what bpf_iter_create() gave. */
static int run_iterator(int fd)
{
	char none[1];

	if (fd < 0)
		return fd;
	while (read(fd, none, sizeof(none)) > 0)
		;
	close(fd);
	return 0;
}

int bpf_follow(struct source *s, uint32_t pid_ns, uint32_t tid, uint32_t image)
{
	struct stat own;
	int err = attach_programs(s);

	if (err)
		return err;
	if (!pid_ns && !stat("/proc/self/ns/pid", &own))
		pid_ns = own.st_ino;
	s->skel->bss->followed = (struct followed){ .pid_ns = pid_ns, .tid = tid, .image = image };
	err = run_iterator(bpf_iter_create(bpf_link__fd(s->skel->links.follow)));
	return err || s->skel->bss->followed.found ? err : -ESRCH;
}

/* What the child holds and calls until its exec is still ours, so its state says: from the exec on. */
static int bpf_attach(struct source *s, pid_t child, enum ipc_reason *outside)
{
	struct task_state state = {};
	int err = attach_programs(s);

	if (err)
		return err;
	*outside = IPC_REASON_none;
	int pidfd = syscall(SYS_pidfd_open, child, 0);
	if (pidfd < 0)
		return -errno;
	err = bpf_map_update_elem(bpf_map__fd(s->skel->maps.tasks), &pidfd, &state, BPF_ANY);
	close(pidfd);
	return err;
}

static uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* Hands on an image's definition with its arguments, NUL-ended in the program's memory, joined by spaces. */
static void pass_image(struct collector *c, const struct ipc_def *def)
{
	union {
		struct ipc_event slots[1 + IPC_TEXT_MAX / IPC_SLOT];
		struct {
			struct ipc_def def;
			char text[IPC_TEXT_MAX];
		};
	} copy;
	char *text = copy.text, *end = text + def->text;

	memcpy(&copy, def, sizeof(*def) + def->text);
	for (int i = 0; i < 3 && text < end; i++)
		text += strnlen(text, end - text) + 1;
	while (end > text && end[-1] == '\0')
		end--;
	copy.def.text = def->text ? end + 1 - copy.text : 0;
	for (; text < end; text++)
		if (*text == '\0')
			*text = ' ';
	collector_record(c, COLLECTOR_BPF, copy.slots);
}

static void pass(struct collector *c, const struct ipc_event *slots)
{
	if (slots->call == IPC_DEF_IMAGE)
		pass_image(c, (const struct ipc_def *)slots);
	else
		collector_record(c, COLLECTOR_BPF, slots);
}

/* Reads up to the position `end`. Returns how many records, and whether it got there in `whole` (a record
 * that is being written stands in the way). */
static long consume(struct source *s, struct collector *c, uint64_t end, bool *whole)
{
	uint64_t at = atomic_load_explicit(s->consumed, memory_order_relaxed);
	long records = 0;

	while (at < end) {
		const uint8_t *head = s->data + (at & (RING_BYTES - 1));
		uint32_t len = atomic_load_explicit((const _Atomic uint32_t *)head, memory_order_acquire);
		if (len & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(len & BPF_RINGBUF_DISCARD_BIT)) {
			pass(c, (const struct ipc_event *)(head + BPF_RINGBUF_HDR_SZ));
			records++;
		}
		len &= ~BPF_RINGBUF_DISCARD_BIT;
		at += (len + BPF_RINGBUF_HDR_SZ + 7) & ~7ULL;
		atomic_store_explicit(s->consumed, at, memory_order_release);
	}
	*whole = at >= end;
	return records;
}

static void tell_lost(struct source *s, struct collector *c)
{
	for (uint32_t reason = 0; reason < IPC_REASONS; reason++) {
		uint64_t sum = 0;
		if (bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.lost), &reason, s->counts))
			continue;
		for (int i = 0; i < libbpf_num_possible_cpus(); i++)
			sum += s->counts[i];
		if (sum > s->lost[reason])
			collector_loss(c, COLLECTOR_BPF, reason, 0, NULL, sum - s->lost[reason]);
		s->lost[reason] = sum;
	}
}

static void tell_dropped(struct source *s, struct collector *c)
{
	int fd = bpf_map__fd(s->skel->maps.dropped);
	struct dropped_key key, *previous = NULL;
	struct dropped d;

	for (; !bpf_map_get_next_key(fd, previous, &key); previous = &key)
		if (!bpf_map_lookup_elem(fd, &key, &d))
			collector_overflow(c, COLLECTOR_BPF, key.image, key.object, d.sends, d.recvs,
					   d.bytes_sent, d.bytes_received);
}

/* Stops the recording, and lets the programs tell of the calls that are under way. */
static void finish(struct source *s)
{
	int fd = bpf_iter_create(bpf_link__fd(s->skel->links.calls_under_way));

	ipctrace_bpf__detach(s->skel);
	s->attached = false;
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0); /* programs that still run finish */
	run_iterator(fd);
}

static long bpf_poll(struct source *s, struct collector *c, bool end)
{
	bool whole;

	if (end && s->attached)
		finish(s);
	uint64_t now = clock_now();
	uint64_t produced = atomic_load_explicit(s->produced, memory_order_acquire);
	long records = consume(s, c, produced, &whole);
	tell_lost(s, c);
	if (end)
		tell_dropped(s, c);
	if (whole)
		collector_watermark(c, COLLECTOR_BPF, end ? UINT64_MAX : now);
	return records;
}

const struct source_ops source_bpf = {
	.name = "bpf",
	.open = bpf_open,
	.attach = bpf_attach,
	.poll = bpf_poll,
	.close = bpf_close,
};
