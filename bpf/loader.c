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
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "state.h" /* types of the skeleton's variables */

#include "ipctrace.skel.h"
#include "loader.h"
#include "machine.h"
#include "payloads.h"
#include "probes.h"
#include "recognise.h"
#include "regions.h"
#include "source.h"
#include "tables.h"
#include "totals.h"

enum {
	RING_BYTES = 16 << 20,
	RESERVE_MAX = 1 << 20, /* of the ring, for definitions; a quarter where that is less */
};

struct source {
	struct ipctrace_bpf *skel;
	bool attached, walks, keeps; /* keeps: what the ring has, for the first poll */
	size_t page, ring;
	_Atomic uint64_t *consumed; /* the ring's consumer page, ours to write */
	const _Atomic uint64_t *produced;
	const uint8_t *data; /* twice in a row, so that no record wraps */
	struct totals totals;
	uint64_t *early;	    /* records from before the first poll, each behind its length */
	size_t earlies, early_room; /* words */
	struct regions *regions;
	struct probes *probes; /* NULL: none */
	bool probes_together;
};

enum {
	ARGUMENTS_MAX = 1000, /* bytes of a command line that are kept */
	GIVE_BACK = 64 << 10, /* bytes of the ring at a time: each costs the programs a cache miss */
	WALKS_MAX = 1000,     /* however fast others fork */
	PID_NAMESPACE_FIRST = 0xEFFFFFFC, /* inode of the one that has all pids */
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

#define SET(mechanism) (1ULL << IPC_MECH_##mechanism)

static void choose_ring_programs(struct ipctrace_bpf *skel)
{
	bool sees = machine_has(MACHINE_IO_URING);
	struct machine_rings rings = machine_rings();

	skel->rodata->sees_rings = sees;
	bpf_program__set_autoload(skel->progs.ring_submits, sees && rings.submit_req);
	bpf_program__set_autoload(skel->progs.ring_submits_old, sees && rings.submit_sqe);
	bpf_program__set_autoload(skel->progs.ring_completes, sees && rings.complete == 3);
	bpf_program__set_autoload(skel->progs.ring_completes_old, sees && rings.complete == 7);
}

/* Chains the rows of each system call in their order; those that no chosen mechanism has are left out. */
static void index_calls(struct ipctrace_bpf *skel, uint64_t mechanisms)
{
	for (unsigned int row = IPC_CALLS - 1; row > IPC_CALL_none; row--) {
		unsigned int nr = ipc_calls[row].nr;
		if (nr >= SYSCALLS_MAX || !(ipc_call_mechanisms(&ipc_calls[row]) & mechanisms))
			continue;
		skel->rodata->next_row[row] = skel->rodata->first_row[nr];
		skel->rodata->first_row[nr] = row;
	}
}

static int map_ring(struct source *s)
{
	int fd = bpf_map__fd(s->skel->maps.ring);
	void *consumer = mmap(NULL, s->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	void *producer = mmap(NULL, s->page + 2 * s->ring, PROT_READ, MAP_SHARED, fd, s->page);

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
		munmap((void *)s->produced, s->page + 2 * s->ring);
	totals_close(&s->totals);
	ipctrace_bpf__destroy(s->skel);
	free(s->early);
	probes_free(s->probes);
	regions_free(s->regions);
	free(s);
}

/* What moves bytes is counted. Of a descriptor that is passed it matters which one it is. */
static void choose_aggregated(struct ipctrace_bpf *skel)
{
	skel->rodata->aggregate = true;
	for (unsigned int i = IPC_MECH_none + 1; i < IPC_MECHANISMS; i++)
		skel->rodata->aggregated[i] =
			i != IPC_MECH_fd_passing && (!strcmp(ipc_mechanisms[i].boundary, "stream") ||
						     !strcmp(ipc_mechanisms[i].boundary, "message"));
}

/* Those that nothing needs are not loaded: the kernel's look at a program takes long. */
static void choose_programs(struct source *s, uint64_t mechanisms)
{
	bool signals = mechanisms & SET(signal), locks = mechanisms & SET(file_lock);

	bpf_program__set_autoload(s->skel->progs.find_running, s->walks);
	bpf_program__set_autoload(s->skel->progs.shared_memory, s->walks);
	bpf_program__set_autoload(s->skel->progs.signal_comes, signals);
	bpf_program__set_autoload(s->skel->progs.signal_made, signals);
	bpf_program__set_autoload(s->skel->progs.unlock_begins, locks);
	bpf_program__set_autoload(s->skel->progs.flock_released, locks);
	bpf_program__set_autoload(s->skel->progs.posix_lock_released, locks);
}

/* What is selected becomes constants of the programs. */
static void select_all(struct source *s, const struct selection *what)
{
	struct ipctrace_bpf__rodata *constants = s->skel->rodata;

	index_calls(s->skel, what->mechanisms);
	constants->everybody = what->everybody;
	constants->alone = what->alone;
	constants->chosen_cgroup = what->cgroup;
	memcpy((char *)constants->chosen_comm, what->comm, sizeof(constants->chosen_comm));
	constants->told = what->mechanisms | 1ULL << IPC_MECH_none;
	constants->looked_at = ipc_mechanisms_behind(constants->told);
	s->walks = what->everybody || what->npids;
	choose_programs(s, what->mechanisms);
}

/* The task's state until it is met. */
static int mark(struct source *s, pid_t pid, const struct task_state *state)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	int err = bpf_map_update_elem(bpf_map__fd(s->skel->maps.tasks), &pidfd, state, BPF_ANY);
	close(pidfd);
	return err;
}

static int mark_chosen(struct source *s, const struct selection *what, char *error, size_t error_size)
{
	for (unsigned int i = 0; i < what->npids; i++) {
		int err = mark(s, what->pids[i], &(struct task_state){ .chosen = 1 });
		if (err) {
			snprintf(error, error_size, "cannot record process %d: %s", what->pids[i],
				 err == -ESRCH			    ? "there is none"
				 : err == -EINVAL || err == -ENOENT ? "it is a thread of another"
								    : strerror(-err));
			return err;
		}
	}
	return 0;
}

static unsigned int at_most(unsigned int bytes, unsigned int limit)
{
	return bytes < limit ? bytes : limit;
}

/* Of what is counted only no bytes are told. */
static void choose_payloads(struct ipctrace_bpf *skel, const struct source_settings *settings)
{
	if (settings->aggregate)
		return;
	skel->rodata->window = at_most(settings->window, IPC_TEXT_MAX);
	skel->rodata->capture = at_most(settings->capture, IPC_TEXT_MAX);
	skel->rodata->tries = IPC_RECOGNISE_TRIES;
}

static int load(struct source *s, const struct source_settings *settings)
{
	s->page = sysconf(_SC_PAGESIZE);
	s->ring = settings->buffer ? settings->buffer : RING_BYTES;
	s->regions = regions_new();
	if (!s->regions)
		return -ENOMEM;
	s->skel = ipctrace_bpf__open();
	if (!s->skel)
		return -errno;
	select_all(s, settings->what);
	s->skel->rodata->fast_reads = machine_has(MACHINE_FAST_READS);
	s->probes_together = machine_has(MACHINE_PROBES_TOGETHER);
	probes_choose(s->skel->progs.lock_begins, s->probes_together);
	probes_choose(s->skel->progs.lock_ends, s->probes_together);
	bpf_program__set_autoload(s->skel->progs.lock_begins, settings->probes);
	bpf_program__set_autoload(s->skel->progs.lock_ends, settings->probes);
	choose_ring_programs(s->skel);
	choose_payloads(s->skel, settings);
	s->skel->rodata->ring_limit = s->ring - (s->ring / 4 < RESERVE_MAX ? s->ring / 4 : RESERVE_MAX);
	if (settings->aggregate)
		choose_aggregated(s->skel);
	bpf_map__set_max_entries(s->skel->maps.ring, s->ring);
	if (!settings->aggregate)
		bpf_map__set_max_entries(s->skel->maps.totals, TOTALS_DROPPED_MAX);
	int err = ipctrace_bpf__load(s->skel);
	if (!err)
		err = totals_open(&s->totals, s->skel, s->regions, settings->aggregate);
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

/* Behind why eBPF cannot be used: what can, where the shim could record that. */
static const char *way_out(const struct selection *what)
{
	bool needs_kernel = what->everybody || what->npids || what->cgroup;
	return needs_kernel ? "" : ", or use --source=shim";
}

static int bpf_open(struct source **out, const struct source_settings *settings, char *error,
		    size_t error_size)
{
	const struct selection *what = settings->what;
	int err = bpf_check(error, error_size);

	if (err) {
		size_t length = strlen(error);
		snprintf(error + length, error_size - length, "%s", way_out(what));
		return err;
	}
	libbpf_set_print(keep_complaint);
	complaint[0] = '\0';
	struct source *s = calloc(1, sizeof(*s));
	err = s ? load(s, settings) : -ENOMEM;
	if (!err) {
		err = mark_chosen(s, what, error, error_size);
		if (err)
			bpf_close(s);
		else
			*out = s;
		return err;
	}
	snprintf(error, error_size, "cannot load the eBPF programs (%s: %s)%s", strerror(-err), complaint,
		 way_out(what));
	if (s)
		bpf_close(s);
	return err;
}

static long consume(struct source *s, struct collector *c, uint64_t end, bool *whole);

static uint64_t produced(const struct source *s)
{
	return atomic_load_explicit(s->produced, memory_order_acquire);
}

/* Runs an iterator over all tasks; it says something whenever the ring should be read. */
static int run_iterator(struct source *s, const struct bpf_link *link)
{
	int fd = bpf_iter_create(bpf_link__fd(link));
	char something[1];
	bool whole;

	if (fd < 0)
		return -errno;
	s->keeps = true;
	while (read(fd, something, sizeof(something)) > 0)
		consume(s, NULL, produced(s), &whole);
	s->keeps = false;
	close(fd);
	return 0;
}

/* Finds what runs already. */
static int find_running(struct source *s)
{
	struct ipctrace_bpf__bss *shared = s->skel->bss;
	int err = 0;

	for (shared->walks = 0; shared->walks < WALKS_MAX && !err; shared->walks++) {
		shared->walk_found = shared->walk_alive = 0;
		err = run_iterator(s, s->skel->links.find_running);
		if (!shared->walk_found && shared->settled)
			break;
		shared->settled |= !shared->walk_found;
	}
	return err;
}

static bool bpf_over(struct source *s)
{
	return !find_running(s) && !s->skel->bss->walk_alive;
}

static int attach_programs(struct source *s)
{
	int err = s->attached ? 0 : ipctrace_bpf__attach(s->skel);

	if (!err && !s->attached && s->walks) {
		err = find_running(s);
		if (!err)
			err = run_iterator(s, s->skel->links.shared_memory);
	}
	s->attached |= !err;
	s->skel->bss->settled = 1;
	return err;
}

/* What the child holds and calls until its exec is still ours, so its state says: from the exec on. */
static int bpf_attach(struct source *s, pid_t child, enum ipc_reason *outside)
{
	int err = child ? mark(s, child, &(struct task_state){}) : 0;

	if (!err)
		err = attach_programs(s);
	if (!err)
		*outside = IPC_REASON_none;
	return err;
}

/* Runs a program of type iter that says nothing to its end. */
static int finish_iterator(int fd)
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
	err = finish_iterator(bpf_iter_create(bpf_link__fd(s->skel->links.follow)));
	return err || s->skel->bss->followed.found ? err : -ESRCH;
}

static void bpf_sync(struct source *s, unsigned int mode)
{
	s->skel->bss->sync_mode = mode;
}

static int bpf_probe(struct source *s, char *error, size_t error_size)
{
	int err = probes_attach(&s->probes, s->skel->progs.lock_begins, s->skel->progs.lock_ends,
				s->probes_together);

	s->skel->bss->sees_library = !err;
	if (err)
		snprintf(error, error_size, "cannot attach to libc (%s), leave out --uprobes",
			 strerror(-err));
	return err;
}

/* The arguments of a process that ran already: other tasks' memory is not for the programs to read. Returns
 * the length. In a PID namespace of ours its pid is another one here. */
static size_t read_arguments(int pid, char *text, size_t room)
{
	static struct stat own;
	char path[32];
	ssize_t n = 0;

	if (!own.st_ino && stat("/proc/self/ns/pid", &own))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	int fd = own.st_ino == PID_NAMESPACE_FIRST ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		n = read(fd, text, room);
		close(fd);
	}
	return n > 0 ? n : 0;
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
	if (def->image.via == IPC_VIA_START && text + 1 == end)
		end = text + read_arguments(def->image.pid, text, ARGUMENTS_MAX);
	while (end > text && end[-1] == '\0')
		end--;
	copy.def.text = def->text ? end + 1 - copy.text : 0;
	for (; text < end; text++)
		if (*text == '\0')
			*text = ' ';
	collector_record(c, COLLECTOR_BPF, copy.slots);
}

static void pass(struct source *s, struct collector *c, const struct ipc_event *slots)
{
	const struct ipc_def *def = (const struct ipc_def *)slots;

	if (raw_is(slots->call)) {
		regions_raw(s->regions, c, (const struct raw *)slots);
	} else if (slots->call == IPC_DEF_IMAGE) {
		regions_gone(s->regions, def->image.prev);
		pass_image(c, def);
	} else if (slots->call < IPC_DEF_FIRST && ipc_object_mechanism(slots->object) == IPC_MECH_futex) {
		regions_futex(s->regions, c, slots);
	} else {
		if (slots->call == IPC_DEF_PAYLOAD)
			payloads_judge(s->skel->bss->judged, def);
		collector_record(c, COLLECTOR_BPF, slots);
	}
}

/* Puts a record by for the first poll. False: out of memory. */
static bool keep(struct source *s, const void *record, size_t length)
{
	size_t words = (length + sizeof(*s->early) - 1) / sizeof(*s->early), need = s->earlies + 1 + words;

	if (need > s->early_room) {
		uint64_t *early = realloc(s->early, 2 * need * sizeof(*early));
		if (!early)
			return false;
		s->early = early;
		s->early_room = 2 * need;
	}
	s->early[s->earlies] = words;
	memcpy(s->early + s->earlies + 1, record, length);
	s->earlies = need;
	return true;
}

static long pass_early(struct source *s, struct collector *c)
{
	long records = 0;

	for (size_t at = 0; at < s->earlies; at += 1 + s->early[at], records++)
		pass(s, c, (const struct ipc_event *)(s->early + at + 1));
	free(s->early);
	s->early = NULL;
	s->earlies = s->early_room = 0;
	return records;
}

/* Reads up to the position `end`. Returns how many records, and whether it
 * got there in `whole` (a record that is being written stands in the way). */
static long consume(struct source *s, struct collector *c, uint64_t end, bool *whole)
{
	uint64_t at = atomic_load_explicit(s->consumed, memory_order_relaxed), given = at;
	long records = 0;

	while (at < end) {
		const uint8_t *head = s->data + (at & (s->ring - 1));
		uint32_t len = atomic_load_explicit((const _Atomic uint32_t *)head, memory_order_acquire);
		if (len & BPF_RINGBUF_BUSY_BIT)
			break;
		bool discarded = len & BPF_RINGBUF_DISCARD_BIT;
		len &= ~BPF_RINGBUF_DISCARD_BIT;
		if (s->keeps && !discarded && !keep(s, head + BPF_RINGBUF_HDR_SZ, len))
			break;
		if (!s->keeps && !discarded) {
			pass(s, c, (const struct ipc_event *)(head + BPF_RINGBUF_HDR_SZ));
			records++;
		}
		at += (len + BPF_RINGBUF_HDR_SZ + 7) & ~7ULL;
		if (at - given >= GIVE_BACK) {
			atomic_store_explicit(s->consumed, at, memory_order_release);
			given = at;
		}
	}
	atomic_store_explicit(s->consumed, at, memory_order_release);
	*whole = at >= end;
	return records;
}

/* Stops the recording, and lets the programs tell of the calls that are under way. */
static void finish(struct source *s)
{
	int fd = bpf_iter_create(bpf_link__fd(s->skel->links.calls_under_way));

	if (s->probes)
		probes_detach(s->probes);
	ipctrace_bpf__detach(s->skel);
	s->attached = false;
	totals_quiesce(); /* programs that still run finish */
	finish_iterator(fd);
}

static long bpf_poll(struct source *s, struct collector *c, bool end)
{
	bool whole;

	if (end && s->attached)
		finish(s);
	uint64_t now = totals_clock();
	uint64_t position = produced(s);
	totals_tell_losses(&s->totals, c); /* all that were lost before these records */
	long records = pass_early(s, c) + consume(s, c, position, &whole);
	if (s->probes)
		probes_tell(s->probes, c, bpf_map__fd(s->skel->maps.lock_counts),
			    bpf_map__fd(s->skel->maps.lock_slots), end);
	totals_tell(&s->totals, c, end);
	if (whole)
		collector_watermark(c, COLLECTOR_BPF, end ? UINT64_MAX : now);
	return records;
}

const struct source_ops source_bpf = {
	.name = "bpf",
	.has_settings = true,
	.open = bpf_open,
	.sync = bpf_sync,
	.probe = bpf_probe,
	.attach = bpf_attach,
	.over = bpf_over,
	.poll = bpf_poll,
	.close = bpf_close,
};
