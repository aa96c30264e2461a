// SPDX-License-Identifier: BSD-2-Clause
/*
 * Start of the shim in a program, and who its threads and children are. The constructor runs before any
 * other code of the program but ld.so's; it is ordinary code, yet keeps to the hooks' rules.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "lock.h"
#include "patch.h"
#include "prepared.h"
#include "region.h"
#include "sample.h"
#include "shim.h"
#include "sync.h"
#include "tables.h"
#include "text.h"
#include "transient.h"

enum { PAGE = 4096 };

struct shim shim;
void (*shim_thread_begins)(struct shim_thread *t);
__thread struct shim_thread shim_self;

void shim_lost(enum ipc_reason reason)
{
	atomic_fetch_add_explicit(&shim.ring.header->lost[reason], 1, memory_order_relaxed);
}

static uint32_t new_number(void)
{
	return atomic_fetch_add_explicit(&shim.ring.header->ids, 1, memory_order_relaxed) + 1;
}

/* Whether the event is a send or receive that counts. */
static bool moves(const struct ipc_event *e)
{
	const struct ipc_call *call = &ipc_calls[e->call];
	switch (ipc_object_mechanism(e->object)) {
	case IPC_MECH_signal:
		return e->arg1 && e->result >= 0;
	case IPC_MECH_fd_passing:
		return e->result >= 0 && !(e->flags & IPC_F_PEEK);
	case IPC_MECH_file_lock:
		return call->verb == IPC_VERB_recv && !e->result;
	default:
		return call->size != IPC_SIZE_NONE && e->result > 0 && !(e->flags & IPC_F_PEEK);
	}
}

/* Its result is a number of bytes that went through the channel. */
static bool has_bytes(const struct ipc_event *e)
{
	unsigned int mechanism = ipc_object_mechanism(e->object);
	return ipc_calls[e->call].size != IPC_SIZE_NONE && mechanism != IPC_MECH_eventfd &&
	       mechanism != IPC_MECH_timerfd && mechanism != IPC_MECH_signal;
}

bool shim_sends(const struct ipc_event *e)
{
	const struct ipc_call *call = &ipc_calls[e->call];
	return call->verb == IPC_VERB_send || e->flags & IPC_F_SECOND ||
	       (call->verb == IPC_VERB_by_end && e->arg0 >> 32 & O_ACCMODE);
}

/* Keeps calls, bytes and durations of the endpoint exact where the event itself cannot be stored. */
void shim_dropped(const struct ipc_event *e)
{
	if (shim_has_ended()) /* it waited for room until then, and is no part of the recording */
		return;
	uint64_t bytes = has_bytes(e) ? (uint64_t)e->result : 0;
	if (moves(e) && !ring_overflow(&shim.ring, e->object, shim_sends(e), bytes, shim_now() - e->start))
		shim_lost(IPC_REASON_uncounted);
	shim_lost(IPC_REASON_dropped);
}

bool shim_define(struct shim_thread *t, const struct ipc_def *def, const char *text, size_t length)
{
	length = length < IPC_TEXT_MAX ? length : IPC_TEXT_MAX;
	struct ipc_event *slot = ring_begin(&shim.ring, &t->ring, ipc_def_slots(length));
	if (!slot) {
		if (!shim_has_ended())
			shim_lost(IPC_REASON_dropped);
		return false;
	}
	struct ipc_def *out = (struct ipc_def *)slot;
	out->time = def->time;
	for (int i = 0; i < 5; i++)
		out->body[i] = def->body[i];
	out->thread = def->thread;
	out->call = def->call;
	out->text = (uint16_t)length;
	out->reserved = 0;
	char *to = (char *)(slot + 1);
	for (size_t i = 0; i < length; i++)
		to[i] = text[i];
	ring_publish(&t->ring, slot);
	return true;
}

/* Returns the thread's number, or 0: no room. */
static uint32_t introduce_thread(struct shim_thread *t, uint32_t image)
{
	struct ipc_def def = { .time = shim_now(), .thread = new_number(), .call = IPC_DEF_THREAD };
	def.thread_def.image = image;
	def.thread_def.tid = (int32_t)raw_syscall(__NR_gettid);
	raw_syscall(__NR_prctl, PR_GET_NAME, def.thread_def.name);
	return shim_define(t, &def, NULL, 0) ? def.thread : 0;
}

static bool introduce_image(struct shim_thread *t, const struct ipc_def_image *image, const char *text,
			    size_t length)
{
	struct ipc_def def = { .time = shim_now(), .image = *image, .call = IPC_DEF_IMAGE };
	return shim_define(t, &def, text, length);
}

/* The process's image and this thread: the usual case of shim_number(). */
static uint32_t introduce(struct shim_thread *t)
{
	if (!shim.introduced) {
		shim.introduced = introduce_image(t, &shim.image, shim.text, shim.text_length);
		if (shim.introduced)
			ring_seen(&shim.ring);
		else
			ring_unseen(&shim.ring, &shim.image, shim_now(), shim.text_length ? shim.text : "");
	}
	if (shim_thread_begins)
		shim_thread_begins(t);
	return shim.introduced ? introduce_thread(t, shim.ring.image) : 0;
}

static struct ipc_def_image describe_child(uint32_t parent, int32_t pid, uint64_t spawn_time)
{
	return (struct ipc_def_image){ .image = new_number(),
				       .parent = parent,
				       .pid = pid,
				       .ppid = (int32_t)raw_syscall(__NR_getppid),
				       .uid = (uint32_t)raw_syscall(__NR_geteuid),
				       .via = IPC_VIA_FORK,
				       .spawn_time = spawn_time };
}

/* The event of a parent whose own return from the call is not seen, told by its child. */
static void tell_spawn(struct shim_thread *t, uint32_t parent, int32_t pid)
{
	struct ipc_event spawn = { .start = t->spawn_start,
				   .object = ipc_object(IPC_MECH_process, (uint32_t)pid),
				   .result = pid,
				   .thread = parent,
				   .call = t->spawn_call };
	shim_emit(t, &spawn);
}

/* The gap of a process into which we could not get by changing code. */
static void tell_gap(struct shim_thread *t, enum ipc_reason reason)
{
	struct ipc_def loss = { .time = shim_now(), .thread = t->number, .call = IPC_DEF_LOSS };
	loss.loss = (struct ipc_def_loss){ .reason = reason, .pid = shim.ring.pid, .count = 1 };
	shim_define(t, &loss, NULL, 0);
}

/* First hook in a fork child: it has a copy of everything and owns nothing of it. */
static void fork_child(struct shim_thread *t)
{
	*shim.alive = 1;
	transient_fork_child();
	t->fast = false;
	t->ipc_namespace = 0;
	t->cancel_timer = 0;
	t->beside = 0;
	int32_t pid = (int32_t)raw_syscall(__NR_getpid);
	uint32_t parent_thread = t->number;
	uint64_t spawn_time = t->spawn_call ? t->spawn_start : t->depth ? t->pending[t->depth - 1].start : 0;
	ring_fork_child(&shim.ring, &t->ring, pid);
	shim.image = describe_child(shim.ring.image, pid, spawn_time);
	shim.ring.image = shim.image.image; /* before a chunk is claimed in its name */
	shim.text_length = 0;
	shim.introduced = false;
	t->number = introduce(t);
	if (t->spawn_call)
		tell_spawn(t, parent_thread, pid);
	if (shim.by_names)
		tell_gap(t, IPC_REASON_libc_internal);
	t->spawn_call = 0;
	descriptor_inherit(t, false);
	sample_fork_child();
	region_inherit(t);
	sample_arm(t);
}

/* A child that shares our memory has an image and a thread number of its own and our chunk. */
static uint32_t vfork_child(struct shim_thread *t, int32_t pid)
{
	if (t->spawn_pid == pid)
		return t->spawn_number;
	struct ipc_def_image image = describe_child(shim.ring.image, pid, t->spawn_start);
	t->spawn_pid = pid;
	t->spawn_image = image.image;
	tell_spawn(t, t->number, pid);
	t->spawn_number = introduce_image(t, &image, NULL, 0) ? introduce_thread(t, image.image) : 0;
	descriptor_inherit(t, false);
	return t->spawn_number;
}

bool shim_is_vfork_child(struct shim_thread *t)
{
	int32_t pid = t->spawn_call ? (int32_t)raw_syscall(__NR_getpid) : shim.ring.pid;
	if (pid == shim.ring.pid)
		return false;
	if (t->spawn_pid != pid) {
		t->spawn_pid = pid;
		tell_spawn(t, t->number, pid);
	}
	return true;
}

uint32_t shim_image(const struct shim_thread *t)
{
	return t->spawn_call && t->spawn_pid ? t->spawn_image : shim.ring.image;
}

uint32_t shim_number(struct shim_thread *t)
{
	if (__builtin_expect(!*shim.alive, 0))
		fork_child(t);
	if (__builtin_expect(t->spawn_call != 0, 0)) {
		int32_t pid = (int32_t)raw_syscall(__NR_getpid);
		if (pid != shim.ring.pid)
			return vfork_child(t, pid);
		t->spawn_call = 0;
		t->spawn_pid = 0;
		if (t->exec_memory)
			raw_syscall(__NR_munmap, t->exec_memory, t->exec_size);
		t->exec_memory = NULL;
	}
	if (__builtin_expect(!t->number, 0))
		t->number = introduce(t);
	return t->number;
}

/* comm, exe, no cgroup (reading it takes longer than all the rest) and the arguments,
 * each with its NUL. */
static size_t describe_program(char *text, const char *end, int argc, char **argv)
{
	char *at = text;
	end -= 8; /* room for the NULs */
	char comm[16] = "";
	raw_syscall(__NR_prctl, PR_GET_NAME, comm);
	at = text_put(at, end, comm);
	*at++ = '\0';
	long n = raw_syscall(__NR_readlinkat, AT_FDCWD, "/proc/self/exe", at, SHIM_PATH);
	at += n > 0 ? n : 0;
	*at++ = '\0';
	*at++ = '\0';
	for (int i = 0; i < argc && argv[i]; i++) {
		if (i && at < end)
			*at++ = ' ';
		at = text_put(at, end, argv[i]);
	}
	*at++ = '\0';
	return (size_t)(at - text);
}

static void describe_image(int argc, char **argv, uint32_t prev, uint32_t parent, enum ipc_via via)
{
	shim.ring.image = new_number();
	shim.image = (struct ipc_def_image){ .image = shim.ring.image,
					     .parent = parent,
					     .prev = prev,
					     .pid = shim.ring.pid,
					     .ppid = (int32_t)raw_syscall(__NR_getppid),
					     .uid = (uint32_t)raw_syscall(__NR_geteuid),
					     .via = via };
	shim.text_length = (uint16_t)describe_program(shim.text, shim.text + sizeof(shim.text), argc, argv);
}

/* Takes our two variables out of `envp` in place, so that the program sees the environment it would have had.
 * Returns the value of ours, or NULL: not traced. */
static const char *take_environment(char **envp)
{
	const char *ours = NULL;
	char **out = envp;
	for (char **in = envp; *in; in++) {
		if (text_after(*in, "IPCTRACE=")) {
			ours = text_after(*in, "IPCTRACE=");
			continue;
		}
		*out++ = *in;
	}
	*out = NULL;
	if (!ours)
		return NULL;
	for (out = envp; *out && !text_after(*out, "LD_PRELOAD="); out++)
		;
	if (!*out)
		return ours;
	char *list = *out + text_length("LD_PRELOAD="), *last = list;
	for (char *p = list; *p; p++)
		if (*p == ':')
			last = p + 1;
	*text_put(shim.path, shim.path + SHIM_PATH - 1, last) = '\0';
	if (last > list) {
		last[-1] = '\0';
		return ours;
	}
	for (; *out; out++)
		out[0] = out[1];
	return ours;
}

/* Splits "path:image". `spawned`: the image is the parent's. */
static uint32_t parse_ours(const char *ours, bool *spawned)
{
	const char *colon = ours;
	for (const char *p = ours; *p; p++)
		if (*p == ':')
			colon = p;
	size_t n = (size_t)(colon - ours);
	if (n >= SHIM_PATH)
		return 0;
	for (size_t i = 0; i < n; i++)
		shim.arena[i] = ours[i];
	uint32_t image = 0;
	const char *p = colon + 1;
	*spawned = *colon && *p == SHIM_SPAWNED;
	p += *spawned;
	for (; *colon && *p >= '0' && *p <= '9'; p++)
		image = image * 10 + (uint32_t)(*p - '0');
	lock_inherit(*colon ? p : colon);
	return image;
}

/* The address sanitizer refuses a program whose first library is another than its own, but for those that
 * have no name (as the kernel's had once). Debuggers pass over them too. */
static void become_nameless(void)
{
	extern ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));
	for (struct link_map *map = _r_debug.r_map; map; map = map->l_next)
		if (map->l_ld == _DYNAMIC)
			map->l_name[0] = '\0';
}

/* libc is the object whose load address is the nearest below one of its functions. */
static uintptr_t libc_base(void)
{
	uintptr_t inside = (uintptr_t)&__errno_location, base = 0;
	for (const struct link_map *map = _r_debug.r_map; map; map = map->l_next)
		if (map->l_addr <= inside && map->l_addr > base)
			base = map->l_addr;
	return base;
}

/* The recorder's libc, patched, beside the arena: where it is ours too. */
static int map_prepared(const struct scan_libc *libc, const struct patch_filter *filter)
{
	char path[SHIM_PATH + PREPARED_NAME], *name = path;
	for (char *p = text_put(path, path + SHIM_PATH, shim.arena); p > path && name == path; p--)
		name = p[-1] == '/' ? p : path;
	prepared_name(name, libc->build_id, libc->build_id_len);
	long fd = raw_syscall(__NR_open, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return (int)fd;
	int ret = patch_map(libc, fd, filter);
	raw_syscall(__NR_close, fd);
	return ret;
}

static bool is_recorders(const struct scan_libc *libc)
{
	const struct arena_header *h = shim.ring.header;
	bool same = libc->build_id_len == h->libc_build_id_len && h->sites <= ARENA_SITES_MAX;
	for (uint32_t i = 0; same && i < libc->build_id_len; i++)
		same = libc->build_id[i] == h->libc_build_id[i];
	return same;
}

/* A debugger stops where libraries are loaded, and may have breakpoints in libc by now: its text stays. */
static bool is_debugged(void)
{
	return _r_debug.r_brk && arch_is_breakpoint(_r_debug.r_brk);
}

static enum ipc_reason patch(void)
{
	static struct ipc_site found[ARENA_SITES_MAX];
	const struct patch_filter filter = { descriptor_kinds, hook_filtered, &shim_self.depth };
	struct arena_header *h = shim.ring.header;
	struct scan_libc libc;
	if (scan_describe(&libc, libc_base()))
		return IPC_REASON_no_site;
	if (libc.build_id_len && !is_debugged() && !map_prepared(&libc, &filter))
		return IPC_REASON_none;
	bool known = libc.build_id_len && is_recorders(&libc);
	const struct ipc_site *sites = known ? h->site : found;
	size_t count = known ? h->sites : scan_sites(&libc, found, ARENA_SITES_MAX);
	if (!count)
		return IPC_REASON_no_site;
	return patch_in_place(&libc, sites, count, &filter) ? IPC_REASON_no_patch : IPC_REASON_none;
}

/* Where nothing that is mapped may become code, libc can only be had prepared, which is not known before. */
static bool forbids_code(void)
{
	enum { GET_MDWE = 66, REFUSE_EXEC_GAIN = 1 }; /* PR_GET_MDWE, Linux 6.3 */
	long bits = raw_syscall(__NR_prctl, GET_MDWE, 0, 0, 0, 0);
	return bits > 0 && bits & REFUSE_EXEC_GAIN;
}

void shim_library(char path[SHIM_PATH])
{
	const char *const end = path + SHIM_PATH - 1;
	char *name = path;
	for (char *p = text_put(path, end, shim.path); p > path && name == path; p--)
		name = p[-1] == '/' ? p : path;
	*text_put(name, end, shim.by_names || forbids_code() ? SHIM_SYMBOLS : SHIM_PLAIN) = '\0';
}

bool shim_is_chosen(const char *name)
{
	const char *chosen = shim.ring.header->comm;
	const unsigned int last = sizeof(shim.ring.header->comm) - 1;
	unsigned int i = 0;
	while (i < last && name[i] && name[i] == chosen[i])
		i++;
	return !*chosen || i == last || name[i] == chosen[i];
}

/* By changed code, or else by names. Returns what stands in the way, or is not seen then. */
static enum ipc_reason see_calls(void)
{
	enum ipc_reason reason = shim.ring.header->no_patch ? IPC_REASON_no_patch : patch();
	shim.by_names = reason != IPC_REASON_none && names_start && names_start();
	return shim.by_names ? IPC_REASON_libc_internal : reason;
}

/* The program is not chosen. Where the one before it was, that has become this one,
 * whose end will be told. */
static void pass(struct shim_thread *t, int argc, char **argv, uint32_t prev)
{
	for (unsigned int fd = 0; fd < DESCRIPTORS; fd++)
		descriptor_kinds[fd] = DESCRIPTOR_OTHER; /* the stubs look no further */
	shim.mechanisms = 0;
	shim.chooses = true;
	if (prev) {
		describe_image(argc, argv, prev, 0, IPC_VIA_UNSELECTED);
		t->number = introduce(t);
		ring_release(&shim.ring, &t->ring);
	}
	hook_init();
	enum ipc_reason reason = see_calls();
	if (reason != IPC_REASON_none && !shim.by_names)
		shim_lost(reason);
}

static uint32_t payload_size(uint32_t asked)
{
	return asked < IPC_TEXT_MAX ? asked : IPC_TEXT_MAX;
}

static volatile uint32_t *alive_page(void)
{
	long page = raw_syscall(__NR_mmap, NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
	if (page < 0 && page > -PAGE)
		return NULL;
	if (raw_syscall(__NR_madvise, page, PAGE, MADV_WIPEONFORK))
		return NULL;
	*(volatile uint32_t *)page = 1;
	return (volatile uint32_t *)page;
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
	const char *ours = take_environment(envp);
	if (!ours)
		return;
	become_nameless();
	bool spawned = false;
	uint32_t before = parse_ours(ours, &spawned);
	uint32_t prev = spawned ? 0 : before, parent = spawned ? before : 0;
	int32_t pid = (int32_t)raw_syscall(__NR_getpid);
	char comm[16] = "";
	if (ring_attach(&shim.ring, shim.arena, pid))
		return;
	struct shim_thread *t = &shim_self;
	shim.ticks = shim.ring.header->clock == ARENA_CLOCK_TSC;
	shim.alone = shim.ring.header->alone;
	raw_syscall(__NR_prctl, PR_GET_NAME, comm);
	shim.passes = !shim_is_chosen(comm);
	shim.mechanisms = shim.ring.header->mechanisms;
	shim.chooses = shim.mechanisms != ~0ULL;
	shim.window = payload_size(shim.ring.header->window);
	shim.capture = payload_size(shim.ring.header->capture);
	shim.program = _r_debug.r_map->l_addr;
	shim.heap = (uintptr_t)raw_syscall(__NR_brk, 0);
	shim.stack = (uintptr_t)envp;
	sample_start();
	shim.alive = alive_page();
	if (!shim.alive) {
		shim_lost(IPC_REASON_no_arena);
		return;
	}
	/* A filter of an earlier program: what it does to our questions is not known. */
	shim.no_diag = shim.no_ioctl = shim.no_timer = shim.no_copy =
		raw_syscall(__NR_prctl, PR_GET_SECCOMP) != 0;
	if (shim.passes) {
		pass(t, argc, argv, prev);
		return;
	}
	describe_image(argc, argv, prev, parent, prev ? IPC_VIA_EXEC : parent ? IPC_VIA_FORK : IPC_VIA_START);
	t->number = introduce(t);
	hook_init();
	descriptor_inherit(t, true);
	sync_start();
	enum ipc_reason reason = see_calls();
	shim.ready = reason == IPC_REASON_none || shim.by_names;
	if (reason != IPC_REASON_none)
		tell_gap(t, reason);
}
