// SPDX-License-Identifier: BSD-2-Clause
/*
 * The first bytes of what was moved, and the last. They are read when the call has returned, since only then
 * it is known how many they are. By then another thread may have unmapped the memory: whoever has received
 * what was sent may have told it to. And another process may have shortened the file that is mapped there. So
 * the kernel copies them, which fails where we would crash, but for what a single thread has in memory of its
 * own.
 */
#include <fcntl.h>

#include "payload.h"
#include "recognise.h"
#include "socket.h"

enum { PIECES = 16 }; /* of memory: 256 bytes of the stack */

#define BIT(mechanism) (1ULL << IPC_MECH_##mechanism)

static const uint64_t spoken = BIT(pipe) | BIT(fifo) | BIT(unix_stream) | BIT(unix_dgram) |
			       BIT(unix_seqpacket) | BIT(tcp) | BIT(udp);
static const uint64_t captured = spoken | BIT(sysv_msg) | BIT(posix_mq);

static bool is_of(uint64_t mechanisms, uint64_t object)
{
	return mechanisms >> ipc_object_mechanism(object) & 1;
}

/* --- which bytes --- */

void payload_begin(struct descriptor *d)
{
	bool looked = shim.window && is_of(spoken, d->object);
	uint32_t access = d->flags & O_ACCMODE;
	d->recognised = false;
	d->looks[DESCRIPTOR_SENDS] = looked && access != O_RDONLY ? IPC_RECOGNISE_TRIES : 0;
	d->looks[DESCRIPTOR_RECEIVES] = looked && access != O_WRONLY ? IPC_RECOGNISE_TRIES : 0;
}

uint8_t payload_kind(const struct descriptor *d)
{
	const uint8_t sends = 1 << DESCRIPTOR_SENDS, receives = 1 << DESCRIPTOR_RECEIVES;
	bool all = __atomic_load_n(&d->recognised, __ATOMIC_SEQ_CST) ||
		   (shim.capture && is_of(spoken, d->object));
	uint8_t looked = 0;
	if (all || d->looks[DESCRIPTOR_SENDS])
		looked |= sends;
	if (all || d->looks[DESCRIPTOR_RECEIVES])
		looked |= receives;
	return looked ? DESCRIPTOR_LOOKED | looked : DESCRIPTOR_STREAM;
}

struct vector payload_vector(const struct pending *p, struct iovec *one)
{
	*one = (struct iovec){ (void *)p->arg[1], (size_t)p->arg[2] };
	switch (p->call) {
	case IPC_CALL_readv:
	case IPC_CALL_writev:
	case IPC_CALL_preadv2:
	case IPC_CALL_pwritev2:
	case IPC_CALL_vmsplice:
		return (struct vector){ (const void *)p->arg[1], (uint64_t)p->arg[2], false };
	default:
		return (struct vector){ one, 1, true };
	}
}

/* What is remembered of the event's descriptor, where this message of it is looked at. */
static struct descriptor *looked_at(const struct shim_thread *t, const struct ipc_event *e)
{
	uint32_t fd = (uint32_t)e->arg0;
	if (!shim.window || fd >= DESCRIPTORS || t->spawn_call || descriptor_kinds[fd] < DESCRIPTOR_STREAM ||
	    descriptor_table[fd].object != e->object)
		return NULL;
	struct descriptor *d = &descriptor_table[fd];
	return d->recognised || d->looks[!shim_sends(e)] ? d : NULL;
}

/* A stream takes the path that its descriptor needs now, unless it has become another one. */
static void settle(const struct descriptor *d, uint8_t *kind)
{
	for (;;) {
		uint8_t now = __atomic_load_n(kind, __ATOMIC_SEQ_CST), wanted = payload_kind(d);
		if (now < DESCRIPTOR_LOOKED || now == wanted)
			return;
		__atomic_compare_exchange_n(kind, &now, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

/* Is it a protocol? `size` 0: the bytes could not be had. */
static void judge(struct descriptor *d, const struct ipc_event *e, const uint8_t *bytes, size_t size)
{
	uint8_t *looks = &d->looks[!shim_sends(e)];
	size = size < IPC_RECOGNISE_BYTES ? size : IPC_RECOGNISE_BYTES;
	if (d->recognised)
		return;
	if (size && ipc_recognise(bytes, size, !socket_keeps_messages(e->object)) != IPC_PROTO_none)
		__atomic_store_n(&d->recognised, true, __ATOMIC_SEQ_CST);
	uint8_t left = *looks;
	*looks = left ? left - 1 : 0;
	settle(d, &descriptor_kinds[d - descriptor_table]);
}

/* --- reading them --- */

/* Whether nobody else can take memory away from under us: libc knows of no other thread, nor do we of one, or
 * of a process that shares our memory, which did not come from libc. */
static bool is_alone(void)
{
	extern const char __libc_single_threaded __attribute__((weak)); /* glibc 2.32 */
	return &__libc_single_threaded && *(volatile const char *)&__libc_single_threaded && !shim.shares;
}

/* Whether these bytes are where no file is mapped that may be shortened: between the program's beginning and
 * the end of its heap, or on its first stack. */
static bool is_own(const void *bytes, uint64_t size)
{
	enum { STACK = 1 << 20 }; /* far less than what the kernel leaves free below the stack's end */
	extern char *__curbrk __attribute__((weak)); /* of glibc */
	uintptr_t at = (uintptr_t)bytes, heap = shim.heap;
	if (&__curbrk && (uintptr_t)__curbrk > heap)
		heap = (uintptr_t)__curbrk;
	if (at >= shim.program && at < heap)
		return size <= heap - at;
	return at < shim.stack && shim.stack - at <= STACK && size <= shim.stack - at;
}

/* The same of all that gather() reads. */
static bool are_own(uint64_t length, struct vector v)
{
	if (!v.known && !is_own(v.iov, v.count * sizeof(*v.iov)))
		return false;
	for (uint64_t i = 0; i < v.count && length; i++) {
		uint64_t n = v.iov[i].iov_len < length ? v.iov[i].iov_len : length;
		if (n && !is_own(v.iov[i].iov_base, n))
			return false;
		length -= n;
	}
	return true;
}

static bool gather(uint8_t *to, uint64_t length, struct vector v)
{
	for (uint64_t i = 0; i < v.count && length; i++) {
		uint64_t n = v.iov[i].iov_len < length ? v.iov[i].iov_len : length;
		arch_copy(to, v.iov[i].iov_base, n);
		to += n;
		length -= n;
	}
	return !length;
}

static bool copy(const struct shim_thread *t, uint8_t *to, uint64_t length, struct vector v)
{
	if (is_alone() && are_own(length, v))
		return gather(to, length, v);
	if (shim.no_copy)
		return false;
	struct iovec local = { to, length }, first;
	if (v.known && v.count == 1 && v.iov->iov_len > length) { /* the kernel would pin all its pages */
		first = (struct iovec){ v.iov->iov_base, length };
		v.iov = &first;
	}
	long pid = t->spawn_call ? raw_syscall(__NR_getpid) : shim.ring.pid;
	return raw_syscall(__NR_process_vm_readv, pid, &local, 1, v.iov, v.count, 0) == (long)length;
}

/* --- which of them --- */

/* Which bytes of what a call moved. */
struct part {
	uint32_t length, /* of all that is told of them */
		tail;	 /* of these, the last ones that were moved; 0: all are the first */
	struct vector v; /* where they are; with a tail, nothing else */
};

/* Where the bytes from `from` to `to` of what the vector moved are, behind the `n` pieces before; SIZE_MAX:
 * in too many pieces, or nowhere. */
static size_t add_pieces(struct iovec *pieces, size_t n, struct vector v, uint64_t from, uint64_t to)
{
	uint64_t at = 0;
	for (uint64_t i = 0; i < v.count && at < to; at += v.iov[i++].iov_len) {
		uint64_t end = at + v.iov[i].iov_len, first = from > at ? from : at;
		if (end > to)
			end = to;
		if (first >= end)
			continue;
		if (n == PIECES)
			return SIZE_MAX;
		pieces[n++] =
			(struct iovec){ (char *)v.iov[i].iov_base + (first - at), (size_t)(end - first) };
	}
	return at < to ? SIZE_MAX : n;
}

/* Looks at a vector of the program's, where that is short; else its count is 0 then. */
static struct vector known(const struct shim_thread *t, struct vector v, struct iovec *read)
{
	struct iovec all = { (void *)v.iov, v.count * sizeof(*v.iov) };
	if (v.known)
		return v;
	if (v.count > PIECES || !copy(t, (uint8_t *)read, all.iov_len, (struct vector){ &all, 1, true }))
		v.count = 0;
	return (struct vector){ read, v.count, true };
}

/* Gives up a part of what is in front for the last bytes, where they can be had. */
static __attribute__((noinline)) void take_tail(const struct shim_thread *t, struct part *part,
						uint64_t moved, uint32_t tail, struct iovec *pieces)
{
	struct iovec read[PIECES];
	struct vector v = known(t, part->v, read);
	size_t n = add_pieces(pieces, 0, v, 0, part->length - tail);
	if (n != SIZE_MAX)
		n = add_pieces(pieces, n, v, moved - tail, moved);
	if (n == SIZE_MAX)
		return;
	part->tail = tail;
	part->v = (struct vector){ pieces, n, true };
}

/* --- telling them --- */

/* `d`: where it is to be judged. The event is made whole first: when the payload is, both are there. */
static void tell(struct shim_thread *t, struct ipc_event *e, const struct part *part, struct descriptor *d)
{
	uint32_t length = part->length;
	unsigned int slots = ipc_def_slots(length);
	struct ipc_event *first = e->thread ? ring_begin(&shim.ring, &t->ring, slots + 1) : NULL;
	if (!first) {
		shim_dropped(e);
		return;
	}
	uint64_t end = shim_now();
	struct ipc_def *def = (struct ipc_def *)first;
	uint8_t *bytes = (uint8_t *)(first + 1);
	bool whole = copy(t, bytes, length, part->v);
	if (d)
		judge(d, e, bytes, whole ? length - part->tail : 0);
	if (!whole)
		shim_lost(IPC_REASON_unread);
	e->flags |= whole ? IPC_F_PAYLOAD : 0;
	def->time = end;
	for (int i = 0; i < 5; i++)
		def->body[i] = 0;
	if (whole) { /* else it belongs to no event */
		def->payload.object = e->object;
		def->payload.start = e->start;
		def->payload.tail = part->tail;
	}
	def->thread = e->thread;
	def->call = IPC_DEF_PAYLOAD;
	def->text = (uint16_t)length;
	def->reserved = 0;
	shim_fill(first + slots, e);
	first[slots].duration = end - e->start;
	ring_make_whole(&t->ring, first + slots);
	ring_publish(&t->ring, first);
}

/* The last `tail` bytes too. Only such calls need so much of the stack. */
static __attribute__((noinline)) void tell_ends(struct shim_thread *t, struct ipc_event *e, struct part part,
						uint32_t tail, struct descriptor *d)
{
	struct iovec pieces[PIECES];
	take_tail(t, &part, (uint64_t)e->result, tail, pieces);
	tell(t, e, &part, d);
}

/* A handler's record shares the slots that are kept for those, which are few, with others. (Without a chunk
 * there is no room for the event either.) */
static bool has_room(const struct ring_thread *r, uint32_t length)
{
	return !r->busy || !r->slots || r->next + ipc_def_slots(length) + 1 <= CHUNK_SLOTS - RING_RESERVE;
}

static uint32_t least(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

void payload_emit(struct shim_thread *t, struct ipc_event *e, struct vector v)
{
	if (e->result <= 0 || e->flags & IPC_F_PEEK) {
		shim_emit(t, e);
		return;
	}
	struct descriptor *d = looked_at(t, e);
	uint32_t capture = is_of(captured, e->object) ? shim.capture : 0, most = capture;
	if (d && most < shim.window)
		most = shim.window;
	struct part part = { least((uint64_t)e->result, most), 0, v };
	if (!part.length || !has_room(&t->ring, part.length)) {
		if (part.length)
			shim_lost(IPC_REASON_payload_dropped);
		shim_emit(t, e);
		return;
	}
	uint32_t tail = d && !socket_keeps_messages(e->object) ? ipc_tail(most, capture) : 0;
	if (tail && part.length < (uint64_t)e->result)
		tell_ends(t, e, part, tail, d);
	else
		tell(t, e, &part, d);
}
