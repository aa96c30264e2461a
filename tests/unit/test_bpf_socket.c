// SPDX-License-Identifier: BSD-2-Clause
/* The eBPF source against real children: sockets, and what waits for descriptors. The truth is what fstat,
 * getsockname and getpeername told the children. */
#include "bpf_record.h"
#include "bpf_socket_work.h"

static uint64_t rw(unsigned int fd)
{
	return ipc_arg0(fd, O_RDWR);
}

static uint64_t socket_id(enum ipc_mechanism mechanism, int fact)
{
	assert_true(facts[INODE + fact] != 0);
	return ipc_object(mechanism, facts[INODE + fact]);
}

/* ---- definitions of sockets ---- */

struct expected {
	uint32_t state;
	int own, other;	    /* names; -1: none */
	int peer, listener; /* facts; -1: none, and of a peer: not known yet */
	uint64_t pid;
};

static const uint8_t *expect_name(const uint8_t *text, int name)
{
	if (name < 0) {
		assert_int_equal(*text, 0);
		return text + 1;
	}
	assert_int_equal(*text, names[name].length);
	assert_memory_equal(text + 1, names[name].bytes, *text);
	return text + 1 + *text;
}

/* The n-th definition of the socket. */
static const struct ipc_def *expect_socket_(int line, uint64_t object, int n, struct expected e)
{
	const struct definition *d = find(IPC_DEF_SOCKET, (uint32_t)object, n);

	if (!d)
		fail_msg("line %d: no definition %d of socket %lx", line, n, (long)object);
	const struct ipc_def_socket *s = &d->def.socket;
	uint64_t peer = e.peer < 0 ? 0 : facts[INODE + e.peer],
		 listener = e.listener < 0 ? 0 : facts[INODE + e.listener];
	if (s->object != object || s->state != e.state || s->listener != listener || s->peer != peer ||
	    s->peer_pid != (int)e.pid || s->netns != facts[COOKIE])
		fail_msg("line %d: socket %lx state %x listener %lu peer %lu pid %d netns %lu, wanted %lx %x "
			 "%lu %lu %d %lu",
			 line, (long)s->object, s->state, (long)s->listener, (long)s->peer, s->peer_pid,
			 (long)s->netns, (long)object, e.state, (long)listener, (long)peer, (int)e.pid,
			 (long)facts[COOKIE]);
	const uint8_t *text = (const uint8_t *)d->text;
	const uint8_t *end = expect_name(expect_name(text, e.own), e.other);
	assert_int_equal(d->def.text, end - text);
	return &d->def;
}
#define expect_socket(object, n, ...) expect_socket_(__LINE__, object, n, (struct expected){ __VA_ARGS__ })

static void expect_no_more(uint64_t object, int n)
{
	assert_null(find(IPC_DEF_SOCKET, (uint32_t)object, n));
}

static void assert_before(const struct ipc_def *def, const struct ipc_event *e)
{
	assert_int_equal(def->thread, e->thread);
	assert_true(def->time > e->start);
	assert_true(def->time <= e->start + e->duration);
}

/* ---- connections ---- */

static void served(const char *name, enum ipc_mechanism mechanism)
{
	record(name);
	bool is_unix = mechanism != IPC_MECH_tcp;
	uint64_t child = facts[PID], l = socket_id(mechanism, 0), s = socket_id(mechanism, 1),
		 c = socket_id(mechanism, 2);
	struct cursor a = cursor_of(target, 0, 0), b = cursor_of(child, 0, 0);

	expect(&a, socket, l, 3, rw(3), 0, NONE);
	const struct ipc_event *bind_ = expect(&a, bind, l, 0, rw(3), 0, NONE);
	const struct ipc_event *listen_ = expect(&a, listen, l, 0, rw(3), 0, NONE);
	expect(&a, clone, process_id(child), child, FORK_FLAGS, 0, NONE);
	const struct ipc_event *accept_ = expect(&a, accept, s, 4, rw(4), 0, NONE);
	expect(&a, read, s, 5, rw(4), 100, NONE);
	expect(&a, write, s, 3, rw(4), 3, NONE);
	expect(&a, wait4, process_id(child), child, 0, 0, NONE);
	expect(&a, recvfrom, s, 0, rw(4), 100, IPC_F_EOF);
	expect_exit(&a, target, 0, NONE);
	expect(&b, inherit, l, 3, rw(3), 0, NONE);
	expect(&b, socket, c, 4, rw(4), 0, NONE);
	const struct ipc_event *connect_ = expect(&b, connect, c, 0, rw(4), 0, NONE);
	expect(&b, sendto, c, 5, rw(4), 5, NONE);
	expect(&b, read, c, 3, rw(4), 100, NONE);
	expect_exit(&b, child, 0, NONE);

	uint64_t server = is_unix ? target : 0, client = is_unix ? child : 0;
	assert_before(expect_socket(l, 0, 0, 0, -1, -1, -1, 0), bind_);
	assert_before(expect_socket(l, 1, IPC_SOCKET_LISTENS, 0, -1, -1, -1, server), listen_);
	expect_no_more(l, 2);
	assert_before(expect_socket(s, 0, IPC_SOCKET_ACCEPTED, 2, 3, is_unix ? 2 : -1, 0, client), accept_);
	expect_no_more(s, 1);
	struct ipc_def_socket *connected =
		(struct ipc_def_socket *)&find(IPC_DEF_SOCKET, (uint32_t)c, 0)->def.socket;
	if (connected->peer == facts[INODE + 1]) /* the accept was as fast */
		connected->peer = 0;
	assert_before(expect_socket(c, 0, IPC_SOCKET_CONNECTED, 4, 5, -1, -1, server), connect_);
	expect_no_more(c, 1);
}

static void test_named(void **state)
{
	(void)state;
	served("named", IPC_MECH_unix_stream);
	assert_string_equal((char *)names[0].bytes + 2 + strlen(folder), "/stream");
}

static void test_abstract(void **state)
{
	(void)state;
	served("abstract", IPC_MECH_unix_seqpacket);
	assert_int_equal(names[0].bytes[2], 0);
}

static void test_tcp(void **state)
{
	(void)state;
	served("tcp", IPC_MECH_tcp);
	assert_int_equal(names[2].length, sizeof(struct sockaddr_in));
	assert_memory_equal(names[2].bytes, names[5].bytes, names[2].length); /* mirrored */
	assert_memory_equal(names[3].bytes, names[4].bytes, names[2].length);
}

static void test_tcp6(void **state)
{
	(void)state;
	served("tcp6", IPC_MECH_tcp);
	assert_int_equal(names[2].length, sizeof(struct sockaddr_in6));
}

static void test_mapped(void **state)
{
	(void)state;
	record("mapped");
	uint64_t l = socket_id(IPC_MECH_tcp, 0), s = socket_id(IPC_MECH_tcp, 1),
		 c = socket_id(IPC_MECH_tcp, 2), refused = socket_id(IPC_MECH_tcp, 3);
	struct cursor a = cursor_of(target, 0, 0);

	expect(&a, socket, l, 3, rw(3), 0, NONE);
	expect(&a, bind, l, 0, rw(3), 0, NONE);
	expect(&a, socket, c, 4, rw(4), 0, NONE);
	expect(&a, listen, l, 0, rw(3), 0, NONE);
	expect(&a, connect, c, 0, rw(4), 0, NONE);
	expect(&a, accept, s, 5, rw(5), 0, NONE);
	expect(&a, close, l, 0, rw(3), 0, NONE);
	expect(&a, socket, refused, 3, rw(3), 0, NONE);
	expect(&a, connect, refused, -ECONNREFUSED, rw(3), 0, NONE);
	expect_exit(&a, target, 0, NONE);
	expect_socket(l, 1, IPC_SOCKET_LISTENS, 0, -1, -1, -1, 0);
	expect_socket(s, 0, IPC_SOCKET_ACCEPTED, 2, 3, -1, 0, 0);
	expect_socket(c, 0, IPC_SOCKET_CONNECTED, 4, 5, -1, -1, 0);
	expect_no_more(refused, 0);
	/* the same addresses in both families */
	assert_true(ipc_address(names[2].bytes, 28) == ipc_address(names[5].bytes, 16));
	assert_true(ipc_address(names[3].bytes, 28) == ipc_address(names[4].bytes, 16));
}

static void test_gone(void **state)
{
	(void)state;
	record("gone");
	const struct definition *d = find(IPC_DEF_SOCKET, (uint32_t)socket_id(IPC_MECH_unix_stream, 1), 0);

	assert_non_null(d);
	assert_true(d->def.socket.peer == facts[INODE + 2]);
	assert_int_equal(d->def.socket.peer_pid, facts[PID]);
}

static void expect_socketpair(struct cursor *a, enum ipc_mechanism mechanism, int fact, int fd)
{
	uint64_t x = socket_id(mechanism, fact), y = socket_id(mechanism, fact + 1);
	const struct ipc_event *first = expect(a, socketpair, x, 0, rw(fd), 0, NONE);
	const struct ipc_event *second = expect(a, socketpair, y, 0, rw(fd + 1), 0, PART);

	assert_before(expect_socket(x, 0, IPC_SOCKET_PAIR, 2 * fact, 2 * fact + 1, fact + 1, -1, target),
		      first);
	const struct ipc_def *d =
		expect_socket(y, 0, IPC_SOCKET_PAIR, 2 * fact + 2, 2 * fact + 3, fact, -1, target);
	assert_before(d, first);
	assert_before(d, second);
	expect_no_more(x, 1);
	expect_no_more(y, 1);
}

static void test_pair(void **state)
{
	(void)state;
	record("pair");
	uint64_t x = socket_id(IPC_MECH_unix_stream, 0), y = socket_id(IPC_MECH_unix_stream, 1);
	struct cursor a = cursor_of(target, 0, 0);

	expect_socketpair(&a, IPC_MECH_unix_stream, 0, 3);
	expect(&a, write, x, 5, rw(3), 5, NONE);
	expect(&a, recvfrom, y, 2, rw(4), 2, IPC_F_PEEK);
	expect(&a, recvfrom, y, 5, rw(4), 100, NONE);
	expect(&a, sendto, x, 1, rw(3), 1, IPC_F_OOB);
	expect(&a, recvfrom, y, 1, rw(4), 1, IPC_F_OOB);
	expect(&a, recvfrom, y, -EAGAIN, rw(4), 100, IPC_F_NONBLOCK);
	expect(&a, shutdown, x, 0, rw(3), 0, NONE);
	expect(&a, read, y, 0, rw(4), 100, IPC_F_EOF);
	expect_socketpair(&a, IPC_MECH_unix_seqpacket, 2, 5);
	x = socket_id(IPC_MECH_unix_seqpacket, 2), y = socket_id(IPC_MECH_unix_seqpacket, 3);
	expect(&a, sendto, x, 5, rw(5), 5, NONE);
	expect(&a, recvfrom, y, 3, rw(6), 3, IPC_F_TRUNCATED | IPC_F_FULL);
	expect_socketpair(&a, IPC_MECH_unix_dgram, 4, 7);
	x = socket_id(IPC_MECH_unix_dgram, 4), y = socket_id(IPC_MECH_unix_dgram, 5);
	expect(&a, sendto, x, 0, rw(7), 0, NONE);
	expect(&a, read, y, 0, rw(8), 0, NONE);
	expect_exit(&a, target, 0, NONE);
}

/* ---- datagrams ---- */

static uint64_t address_in(int name)
{
	return ipc_address(names[name].bytes, names[name].length);
}

/* How many definitions explain the address. */
static int explained(uint64_t address, int name)
{
	int n = 0;

	for (unsigned int i = 0; i < n_defs; i++) {
		if (defs[i].def.call != IPC_DEF_ADDRESS || defs[i].def.address.address != address)
			continue;
		assert_true(ipc_address((const uint8_t *)defs[i].text, defs[i].def.text) == address);
		assert_memory_equal(defs[i].text, names[name].bytes, names[name].length - 1);
		n++;
	}
	return n;
}

static void test_unix_dgram(void **state)
{
	(void)state;
	record("unix_dgram");
	uint64_t x = socket_id(IPC_MECH_unix_dgram, 0), y = socket_id(IPC_MECH_unix_dgram, 1),
		 z = socket_id(IPC_MECH_unix_dgram, 2);
	struct cursor a = cursor_of(target, 0, 0);
	uint64_t to_x = address_in(0), to_y = address_in(2);

	expect(&a, socket, x, 3, rw(3), 0, NONE);
	expect(&a, bind, x, 0, rw(3), 0, NONE);
	expect(&a, socket, y, 4, rw(4), 0, NONE);
	expect(&a, bind, y, 0, rw(4), 0, NONE);
	expect(&a, socket, z, 5, rw(5), 0, NONE);
	expect(&a, sendto, x, 5, rw(3), to_y, NONE);
	expect(&a, recvfrom, y, 5, rw(4), to_x, NONE);
	expect(&a, sendto, y, 5, rw(4), to_x, NONE);
	expect(&a, recvfrom, x, 5, rw(3), to_y, NONE);
	expect(&a, sendto, z, 5, rw(5), to_x, NONE);
	expect(&a, recvfrom, x, 5, rw(3), 0, IPC_F_FULL);
	expect(&a, connect, z, 0, rw(5), 0, NONE);
	expect(&a, write, z, 5, rw(5), 0, NONE);
	expect(&a, recvfrom, x, 3, rw(3), 0, IPC_F_FULL);
	expect_exit(&a, target, 0, NONE);
	expect_socket(x, 0, 0, 0, -1, -1, -1, 0);
	expect_socket(y, 0, 0, 2, -1, -1, -1, 0);
	expect_socket(z, 0, IPC_SOCKET_CONNECTED, 4, 5, 0, -1, 0);
	assert_int_equal(explained(to_x, 0), 1);
	assert_int_equal(explained(to_y, 2), 1);
}

static void assert_tags(const struct ipc_event *sent, const struct ipc_event *received)
{
	assert_int_not_equal(sent->tag, 0);
	assert_int_equal(sent->tag, received->tag);
}

static void exchanged(const char *name, bool hashed)
{
	record(name);
	uint64_t x = socket_id(IPC_MECH_udp, 0), y = socket_id(IPC_MECH_udp, 1), to_x = facts[VALUE],
		 to_y = facts[VALUE + 1];
	struct cursor a = cursor_of(target, 0, 0);
	const struct ipc_event *e;

	expect(&a, socket, x, 3, rw(3), 0, NONE);
	expect(&a, bind, x, 0, rw(3), 0, NONE);
	expect(&a, socket, y, 4, rw(4), 0, NONE);
	const struct ipc_event *first = expect(&a, sendto, y, -EINVAL, rw(4), 0, NONE);
	e = expect(&a, sendto, y, 60, rw(4), to_x, NONE);
	assert_tags(e, expect(&a, recvfrom, x, 60, rw(3), to_y, NONE));
	__u64 words[6];
	memset(words, 'c', sizeof(words));
	assert_int_equal(e->tag, ipc_tag(words, 60));
	e = expect(&a, sendto, x, 0, rw(3), to_y, NONE);
	assert_tags(e, expect(&a, recvfrom, y, 0, rw(4), 0, NONE));
	memset(words, 0, sizeof(words));
	assert_int_equal(e->tag, ipc_tag(words, 0));
	const struct ipc_event *connect_ = expect(&a, connect, y, 0, rw(4), 0, NONE);
	e = expect(&a, write, y, 7, rw(4), 0, NONE);
	assert_tags(e, expect(&a, recvfrom, x, 7, rw(3), 0, IPC_F_FULL));
	expect(&a, write, y, 8, rw(4), 0, NONE);
	assert_int_equal(expect(&a, recvfrom, x, 7, rw(3), 0, IPC_F_FULL | IPC_F_TRUNCATED)->tag, 0);
	e = expect(&a, write, y, 48, rw(4), 0, NONE);
	expect(&a, read, x, 0, rw(3), 0, IPC_F_PEEK | IPC_F_FULL);
	assert_tags(e, expect(&a, read, x, 48, rw(3), 0, NONE));
	expect_exit(&a, target, 0, NONE);

	expect_socket(x, 0, 0, 0, -1, -1, -1, 0);
	expect_no_more(x, 1);
	assert_before(expect_socket(y, 0, 0, 4, -1, -1, -1, 0), first);
	assert_before(expect_socket(y, 1, IPC_SOCKET_CONNECTED, 6, 7, -1, -1, 0), connect_);
	expect_no_more(y, 2);
	assert_int_equal(explained(to_x, 0), hashed);
	assert_int_equal(explained(to_y, 6), hashed);
}

static void test_udp(void **state)
{
	(void)state;
	exchanged("udp", false);
}

static void test_udp6(void **state)
{
	(void)state;
	exchanged("udp6", true);
}

static void test_several(void **state)
{
	(void)state;
	record("several");
	uint64_t x = socket_id(IPC_MECH_udp, 0), y = socket_id(IPC_MECH_udp, 1), to_x = facts[VALUE],
		 to_y = facts[VALUE + 1];
	struct cursor a = cursor_of(target, 0, 0);
	const struct ipc_event *sent[4];

	expect(&a, socket, x, 3, rw(3), 0, NONE);
	expect(&a, bind, x, 0, rw(3), 0, NONE);
	expect(&a, socket, y, 4, rw(4), 0, NONE);
	expect(&a, bind, y, 0, rw(4), 0, NONE);
	sent[0] = expect(&a, sendmmsg, y, 30, rw(4), to_x, NONE);
	sent[1] = expect(&a, sendmmsg, y, 147, rw(4), to_x, PART);
	sent[2] = expect(&a, sendmmsg, y, 1, rw(4), to_x, PART);
	assert_tags(sent[0], expect(&a, recvmmsg, x, 30, rw(3), to_y, NONE));
	expect(&a, recvmmsg, x, 120, rw(3), 0, PART | IPC_F_FULL | IPC_F_TRUNCATED);
	assert_tags(sent[2], expect(&a, recvmmsg, x, 1, rw(3), to_y, PART));
	expect(&a, connect, y, 0, rw(4), 0, NONE);
	sent[3] = expect(&a, writev, y, 103, rw(4), 0, NONE);
	assert_int_not_equal(sent[3]->tag, 0);
	expect(&a, readv, x, 103, rw(3), 0, IPC_F_FULL);
	expect_exit(&a, target, 0, NONE);
}

/* ---- descriptors ---- */

static void test_passed(void **state)
{
	(void)state;
	record("passed");
	uint64_t x = socket_id(IPC_MECH_unix_dgram, 0), y = socket_id(IPC_MECH_unix_dgram, 1),
		 p = pipe_id(facts[INODE + 2]);
	struct cursor a = cursor_of(target, 0, 0);

	expect_socketpair(&a, IPC_MECH_unix_dgram, 0, 3);
	expect_pipe(&a, p, 5);
	expect(&a, sendmsg, x, 1, rw(3), 0, NONE);
	expect(&a, sendmsg, x, 1, rw(3), 0, NONE);
	expect(&a, sendmsg, x, 1, rw(3), 0, NONE);
	expect(&a, recvmsg, y, 1, rw(4), 0, NONE);
	expect(&a, recvmsg_fd, p, 8, r(8), 0, PART);
	expect(&a, recvmsg_fd, x, 10, rw(10), 0, PART);
	expect(&a, recvmmsg, y, 1, rw(4), 0, NONE);
	expect(&a, recvmsg_fd, p, 11, r(11), 0, PART);
	expect(&a, recvmmsg, y, 1, rw(4), 0, PART);
	expect(&a, recvmsg_fd, p, 12, r(12), 0, PART);
	expect(&a, write, p, -EBADF, r(11), 1, NONE);
	expect_exit(&a, target, 0, NONE);
}

static void test_waits(void **state)
{
	(void)state;
	record("waits");
	uint64_t x = socket_id(IPC_MECH_unix_stream, 0), y = socket_id(IPC_MECH_unix_stream, 1),
		 p = pipe_id(facts[INODE + 2]);
	struct cursor a = cursor_of(target, 0, 0);

	expect(&a, socketpair, x, 0, rw(3), 0, NONE);
	expect(&a, socketpair, y, 0, rw(4), 0, PART);
	expect_pipe(&a, p, 5);
	expect(&a, poll, 0, 0, 0, 0, NONE);
	expect(&a, poll, y, 4, rw(4), POLLOUT, NONE);
	expect(&a, poll, p, 4, w(6), POLLOUT, PART);
	expect(&a, write, y, 1, rw(4), 1, NONE);
	expect(&a, write, p, 1, w(6), 1, NONE);
	expect(&a, dup2, x, 130, rw(130), 0, NONE);
	expect(&a, select, x, 5, rw(3), POLLIN, NONE);
	expect(&a, select, p, 5, r(5), POLLIN, PART);
	expect(&a, select, x, 5, rw(130), POLLIN | POLLOUT, PART);
	assert_int_equal(expect(&a, epoll_add, x, 0, rw(3), 0x123456789abc, NONE)->tag, 8);
	assert_int_equal(expect(&a, epoll_add, p, 0, r(5), 77, NONE)->tag, 8);
	assert_int_equal(expect(&a, epoll_mod, p, 0, r(5), 78, NONE)->tag, 8);
	assert_int_equal(expect(&a, epoll_wait, 0, 2, 0, 0x123456789abc, NONE)->tag, 8);
	assert_int_equal(expect(&a, epoll_wait, 0, 2, 0, 78, PART)->tag, 8);
	expect(&a, epoll_pwait, 0, 1, 0, 0x123456789abc, NONE);
	expect_exit(&a, target, 0, NONE);
}

static void test_inside_socket(void **state)
{
	(void)state;
	record("inside_socket");
	struct cursor b = cursor_of(facts[PID], 0, 0);

	expect(&b, inherit, socket_id(IPC_MECH_unix_dgram, 0), 3, rw(3), 0, NONE);
	next(&b);
	expect(&b, recvfrom, socket_id(IPC_MECH_unix_dgram, 0), 0, rw(3), 0, IPC_F_INSIDE);
	assert_null(next(&b));
}

static void test_spliced(void **state)
{
	(void)state;
	record("spliced");
	uint64_t c = socket_id(IPC_MECH_tcp, 0), s = socket_id(IPC_MECH_tcp, 1),
		 p = pipe_id(facts[INODE + 2]), s_fd = ipc_arg0(5, O_RDWR | O_NONBLOCK);
	struct cursor a = cursor_of(target, 0, 0);

	for (int i = 0; i < 5; i++) /* socket, bind, socket, listen, connect */
		assert_non_null(next(&a));
	expect(&a, accept4, s, 5, s_fd, 0, NONE);
	expect_pipe(&a, p, 6);
	expect(&a, sendfile, c, 3000, rw(4), 3000, SECOND);
	expect(&a, splice, s, 3000, s_fd, 3000, NONE);
	expect(&a, splice, p, 3000, w(7), 3000, SECOND | PART);
	expect_exit(&a, target, 0, NONE);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_named),	cmocka_unit_test(test_abstract),
		cmocka_unit_test(test_tcp),	cmocka_unit_test(test_tcp6),
		cmocka_unit_test(test_mapped),	cmocka_unit_test(test_gone),
		cmocka_unit_test(test_pair),	cmocka_unit_test(test_unix_dgram),
		cmocka_unit_test(test_udp),	cmocka_unit_test(test_udp6),
		cmocka_unit_test(test_several), cmocka_unit_test(test_passed),
		cmocka_unit_test(test_waits),	cmocka_unit_test(test_inside_socket),
		cmocka_unit_test(test_spliced),
	};

	if (argc == 3) {
		folder = argv[2];
		map_facts();
		_exit(work(works, argv[1])); /* nothing of a sanitizer runs at the end */
	}
	return run_cases(tests, sizeof(tests) / sizeof(tests[0]));
}
