// SPDX-License-Identifier: BSD-2-Clause
/* Sockets: definitions and events in, channels and edges out (records.h). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "records.h"
#include "sound.h"

enum {
	SERVER = 10,
	CLIENT = 20,
	NETNS = 3,
	LISTENER = 100,
	C1 = 201, /* sockets by inode: client's, server's */
	S1 = 301,
	STREAM = IPC_MECH_unix_stream,
	TCP = IPC_MECH_tcp,
	UDP = IPC_MECH_udp,
	DGRAM = IPC_MECH_unix_dgram,
	SEQ = IPC_MECH_unix_seqpacket,
	ACCEPTED = IPC_SOCKET_ACCEPTED,
	CONNECTED = IPC_SOCKET_CONNECTED,
	LISTENS = IPC_SOCKET_LISTENS,
	PAIR = IPC_SOCKET_PAIR,
};

/* ---- what a source tells ---- */

struct name {
	uint8_t length, bytes[IPC_ADDRESS_MAX];
};

static const struct name nobody;

static struct name ip(const char *text, unsigned int port)
{
	struct name n = { 0 };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
		n.length = sizeof(four);
		memcpy(n.bytes, &four, sizeof(four));
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
		n.length = sizeof(six);
		memcpy(n.bytes, &six, sizeof(six));
	}
	return n;
}

/* '@' in front: abstract. */
static struct name un(const char *text)
{
	struct name n = { .length = 2 + strlen(text), .bytes = { AF_UNIX } };
	memcpy(n.bytes + 2, text, strlen(text));
	if (text[0] == '@')
		n.bytes[2] = 0;
	return n;
}

static uint64_t number(struct name n)
{
	return ipc_address(n.bytes, n.length);
}

static void socket_is(int process_number, unsigned int mechanism, uint64_t inode, uint32_t state,
		      struct name own, struct name other, uint64_t peer, int32_t peer_pid)
{
	struct ipc_def d = { .call = IPC_DEF_SOCKET, .thread = process_number };
	uint8_t text[2 * sizeof(struct name)];
	d.socket = (struct ipc_def_socket){ .object = ipc_object(mechanism, inode),
					    .peer = peer,
					    .netns = NETNS,
					    .peer_pid = peer_pid,
					    .state = state };
	memcpy(text, &own, own.length + 1);
	memcpy(text + own.length + 1, &other, other.length + 1);
	define(d, (char *)text, own.length + other.length + 2);
}

static void does_at(int thread_number, enum ipc_call_id call, unsigned int mechanism, uint64_t inode,
		    uint64_t start, uint64_t end_ns, int64_t result, uint64_t address, unsigned int flags)
{
	struct ipc_event e = {
		.start = start,
		.duration = end_ns - start,
		.object = ipc_object(mechanism, inode),
		.result = result,
		.arg0 = ipc_arg0((uint32_t)(inode % 1000), O_RDWR),
		.arg1 = address,
		.thread = thread_number,
		.call = call,
		.flags = flags,
	};
	tell(&e);
	if (end_ns > now)
		now = end_ns;
}

static void does(int thread_number, enum ipc_call_id call, unsigned int mechanism, uint64_t inode,
		 int64_t result)
{
	does_at(thread_number, call, mechanism, inode, now + 1, now + 3, result, 0, 0);
}

static void sends(int thread_number, unsigned int mechanism, uint64_t inode, int64_t bytes)
{
	does(thread_number, IPC_CALL_sendto, mechanism, inode, bytes);
}

static void receives(int thread_number, unsigned int mechanism, uint64_t inode, int64_t bytes)
{
	does(thread_number, IPC_CALL_recvfrom, mechanism, inode, bytes);
}

static void two_processes(void)
{
	begin();
	process(SERVER, 1, IPC_VIA_START);
	process(CLIENT, 1, IPC_VIA_START);
}

static void listens(unsigned int mechanism, struct name at)
{
	does(SERVER, IPC_CALL_socket, mechanism, LISTENER, 3);
	socket_is(SERVER, mechanism, LISTENER, LISTENS, at, nobody, 0, 0);
	does(SERVER, IPC_CALL_listen, mechanism, LISTENER, 0);
}

static void connects(int process_number, unsigned int mechanism, uint64_t inode, struct name own,
		     struct name to)
{
	does(process_number, IPC_CALL_socket, mechanism, inode, 4);
	socket_is(process_number, mechanism, inode, CONNECTED, own, to, 0, SERVER);
	does(process_number, IPC_CALL_connect, mechanism, inode, 0);
}

static void accepts(unsigned int mechanism, uint64_t inode, struct name at, struct name from, uint64_t peer,
		    int32_t pid)
{
	socket_is(SERVER, mechanism, inode, ACCEPTED, at, from, peer, pid);
	does(SERVER, IPC_CALL_accept4, mechanism, inode, 5);
}

/* Time passes, until what was closed is given up. */
static void later(void)
{
	now += 2000000000;
	step();
	gone(99999, 0); /* something must come for the time to be known */
	now += 200000000;
	usleep(110000); /* commits go by the clock */
	step();
}

static void ends(void)
{
	end();
	assert_true(sums_are_sound());
	assert_true(ends_are_sound());
	assert_true(edges_are_sound());
}

/* But that the processes still run. */
static void nothing_lost(void)
{
	for (size_t i = 0; i < fake.losses_count; i++)
		assert_int_equal(fake.losses[i].reason, IPC_REASON_outlived);
}

static size_t channels_of(unsigned int mechanism)
{
	size_t n = 0;
	for (size_t i = 1; i < fake.channels_count; i++)
		n += fake.channels[i].id && fake.channels[i].mechanism == mechanism;
	return n;
}

static const struct store_process *outside(const char *comm)
{
	for (size_t i = 1; i < fake.processes_count; i++)
		if (fake.processes[i].comm && !strcmp(fake.processes[i].comm, comm))
			return &fake.processes[i];
	fail_msg("nobody outside is called %s", comm);
	return NULL;
}

static const struct store_edge *edge_by_id(uint32_t src, uint32_t dst)
{
	for (size_t i = 0; i < fake.edges_count; i++)
		if (fake.edges[i].src_id == src && fake.edges[i].dst_id == dst)
			return &fake.edges[i];
	fail_msg("no edge %u -> %u", src, dst);
	return NULL;
}

static void check_edge(const struct store_edge *e, uint64_t count, uint64_t bytes, bool exact)
{
	assert_int_equal(e->messages, count);
	assert_int_equal(e->bytes, bytes);
	assert_int_equal(e->exact, exact);
}

/* ---- UNIX streams ---- */

static void test_unix_stream(void **state)
{
	(void)state;
	struct name at = un("/run/x.sock");
	two_processes();
	listens(STREAM, at);
	connects(CLIENT, STREAM, C1, nobody, at);
	sends(CLIENT, STREAM, C1, 10); /* before it is accepted */
	accepts(STREAM, S1, at, nobody, C1, CLIENT);
	receives(SERVER, STREAM, S1, 4);
	receives(SERVER, STREAM, S1, 6);
	sends(SERVER, STREAM, S1, 3);
	receives(CLIENT, STREAM, C1, 3);
	ends();
	static const char key[] = "unix:[201]-[301]";
	check_edge(edge(CLIENT, SERVER, key), 1, 10, true);
	check_edge(edge(SERVER, CLIENT, key), 1, 3, true);
	assert_string_equal(channel(key, 0)->name, "/run/x.sock");
	assert_int_equal(channel(key, 0)->bytes_sent, 13);
	assert_string_equal(endpoint(CLIENT, key)->role, "client");
	assert_string_equal(endpoint(SERVER, key)->role, "server");
	assert_string_equal(endpoint(SERVER, "unix:[100]")->role, "listener");
	assert_int_equal(channels_of(STREAM), 2);
	nothing_lost();
	assert_int_equal(messages(), 2);
}

/* A pair that parent and child share; each closes one. */
static void test_socketpair(void **state)
{
	(void)state;
	begin();
	process(SERVER, 1, IPC_VIA_START);
	socket_is(SERVER, STREAM, C1, PAIR, nobody, nobody, S1, SERVER);
	socket_is(SERVER, STREAM, S1, PAIR, nobody, nobody, C1, SERVER);
	does(SERVER, IPC_CALL_socketpair, STREAM, C1, 0);
	does_at(SERVER, IPC_CALL_socketpair, STREAM, S1, now, now, 0, 0, IPC_F_PART);
	sends(SERVER, STREAM, C1, 2); /* to itself, as far as anyone knows */
	receives(SERVER, STREAM, S1, 2);
	process(CLIENT, SERVER, IPC_VIA_FORK);
	does(CLIENT, IPC_CALL_inherit, STREAM, C1, 0);
	does(CLIENT, IPC_CALL_inherit, STREAM, S1, 0);
	does(CLIENT, IPC_CALL_close, STREAM, C1, 0);
	does(SERVER, IPC_CALL_close, STREAM, S1, 0);
	sends(SERVER, STREAM, C1, 7);
	receives(CLIENT, STREAM, S1, 7);
	sends(CLIENT, STREAM, S1, 5);
	receives(SERVER, STREAM, C1, 5);
	ends();
	static const char key[] = "unix:[201]-[301]";
	check_edge(edge(SERVER, SERVER, key), 1, 2, true);
	check_edge(edge(SERVER, CLIENT, key), 1, 7, true);
	check_edge(edge(CLIENT, SERVER, key), 1, 5, true);
	assert_string_equal(endpoint(CLIENT, key)->role, "peer");
	assert_int_equal(channels_of(STREAM), 1);
	nothing_lost();
}

/* Both ends in one process, joined when both have rows already. */
static void test_one_process_has_both(void **state)
{
	(void)state;
	struct name at = ip("127.0.0.1", 80), from = ip("127.0.0.1", 4000);
	begin();
	process(SERVER, 1, IPC_VIA_START);
	listens(TCP, at);
	does(SERVER, IPC_CALL_socket, TCP, C1, 4);
	accepts(TCP, S1, at, from, 0, 0);
	socket_is(SERVER, TCP, C1, CONNECTED, from, at, 0, 0);
	does(SERVER, IPC_CALL_connect, TCP, C1, 0);
	sends(SERVER, TCP, C1, 7);
	receives(SERVER, TCP, S1, 7);
	sends(SERVER, TCP, S1, 9);
	receives(SERVER, TCP, C1, 9);
	ends();
	static const char key[] = "tcp:3:127.0.0.1:80-127.0.0.1:4000";
	check_edge(edge(SERVER, SERVER, key), 2, 16, true);
	assert_string_equal(endpoint(SERVER, key)->role, "peer");
	assert_int_equal(endpoint(SERVER, key)->sends, 2);
	assert_int_equal(channels_of(TCP), 2);
}

/* The client has closed before it was accepted: its peer is 0, and only its pid is known. */
static void gone_clients(unsigned int count, bool at_once)
{
	struct name at = un("@x");
	two_processes();
	listens(STREAM, at);
	for (unsigned int i = 0; i < count; i++) {
		does(CLIENT, IPC_CALL_socket, STREAM, C1 + i, 4);
		socket_is(CLIENT, STREAM, C1 + i, CONNECTED, nobody, at, 0, SERVER);
		does_at(CLIENT, IPC_CALL_connect, STREAM, C1 + i, at_once ? 3000 : now + 1, now + 3, 0, 0, 0);
		sends(CLIENT, STREAM, C1 + i, 10 + i);
		does(CLIENT, IPC_CALL_close, STREAM, C1 + i, 0);
	}
	later(); /* the server takes its time */
	for (unsigned int i = 0; i < count; i++) {
		accepts(STREAM, S1 + i, at, nobody, 0, CLIENT);
		receives(SERVER, STREAM, S1 + i, 10 + i);
	}
	ends();
}

static void test_client_gone(void **state)
{
	(void)state;
	gone_clients(1, false);
	check_edge(edge(CLIENT, SERVER, "unix:[201]-[301]"), 1, 10, true);
	nothing_lost();
}

static void test_clients_gone_in_turn(void **state)
{
	(void)state;
	gone_clients(3, false);
	check_edge(edge(CLIENT, SERVER, "unix:[201]-[301]"), 1, 10, true);
	check_edge(edge(CLIENT, SERVER, "unix:[202]-[302]"), 1, 11, true);
	check_edge(edge(CLIENT, SERVER, "unix:[203]-[303]"), 1, 12, true);
	nothing_lost();
}

static void test_clients_gone_at_once(void **state)
{
	(void)state;
	gone_clients(2, true);
	assert_false(edge(CLIENT, SERVER, "unix:[201]-[301]")->exact);
	assert_int_equal(lost(IPC_REASON_unpaired), 1);
}

/* The accept of another server is under way at the same time: which of them got which? */
static void test_accepts_at_once(void **state)
{
	(void)state;
	struct name at = un("@x");
	two_processes();
	thread(11, SERVER, 11);
	listens(STREAM, at);
	for (int i = 0; i < 2; i++) {
		connects(CLIENT, STREAM, C1 + i, nobody, at);
		does(CLIENT, IPC_CALL_close, STREAM, C1 + i, 0);
	}
	uint64_t start = now;
	for (int i = 0; i < 2; i++) {
		socket_is(SERVER + i, STREAM, S1 + i, ACCEPTED, at, nobody, 0, CLIENT);
		does_at(SERVER + i, IPC_CALL_accept4, STREAM, S1 + i, start, now + 10, 5 + i, 0, 0);
	}
	ends();
	assert_int_equal(lost(IPC_REASON_unpaired), 2);
}

/* The descriptor is passed to a third process, which goes on with it. */
static void test_passed(void **state)
{
	(void)state;
	struct name at = un("/x");
	two_processes();
	process(30, SERVER, IPC_VIA_FORK);
	listens(STREAM, at);
	connects(CLIENT, STREAM, C1, nobody, at);
	accepts(STREAM, S1, at, nobody, C1, CLIENT);
	does(30, IPC_CALL_recvmsg_fd, STREAM, S1, 6);
	does(SERVER, IPC_CALL_close, STREAM, S1, 0);
	sends(CLIENT, STREAM, C1, 10);
	receives(30, STREAM, S1, 10);
	ends();
	check_edge(edge(CLIENT, 30, "unix:[201]-[301]"), 1, 10, true);
	nothing_lost();
}

/* Its number stands for another socket later, and the definitions tell. */
static void test_inode_again(void **state)
{
	(void)state;
	struct name at = un("/x");
	two_processes();
	listens(STREAM, at);
	for (int i = 0; i < 2; i++) {
		connects(CLIENT, STREAM, C1, nobody, at);
		accepts(STREAM, S1, at, nobody, C1, CLIENT);
		sends(CLIENT, STREAM, C1, 10);
		receives(SERVER, STREAM, S1, 10);
		does(CLIENT, IPC_CALL_close, STREAM, C1, 0);
		does(SERVER, IPC_CALL_close, STREAM, S1, 0);
	}
	ends();
	assert_int_equal(channel("unix:[201]-[301]", 0)->bytes_sent, 10);
	assert_int_equal(channel("unix:[201]-[301]", 1)->bytes_sent, 10);
	assert_int_equal(messages(), 2);
}

/* Late, twice, of a socket that is never seen. */
static void test_odd_definitions(void **state)
{
	(void)state;
	struct name at = un("/x");
	two_processes();
	connects(CLIENT, STREAM, C1, nobody, at);
	does(SERVER, IPC_CALL_accept4, STREAM, S1, 5);
	sends(CLIENT, STREAM, C1, 10);
	socket_is(SERVER, STREAM, S1, ACCEPTED, at, nobody, C1, CLIENT);
	socket_is(SERVER, STREAM, S1, ACCEPTED, at, nobody, C1, CLIENT);
	receives(SERVER, STREAM, S1, 10);
	socket_is(SERVER, STREAM, 999, ACCEPTED, at, nobody, 998, CLIENT);
	ends();
	check_edge(edge(CLIENT, SERVER, "unix:[201]-[301]"), 1, 10, true);
	assert_int_equal(channels_of(STREAM), 1);
}

static void test_out_of_band(void **state)
{
	(void)state;
	struct name at = ip("127.0.0.1", 80), from = ip("127.0.0.1", 4000);
	two_processes();
	listens(TCP, at);
	connects(CLIENT, TCP, C1, from, at);
	accepts(TCP, S1, at, from, 0, 0);
	sends(CLIENT, TCP, C1, 10);
	receives(SERVER, TCP, S1, 10);
	does_at(CLIENT, IPC_CALL_sendto, TCP, C1, now + 1, now + 2, 1, 0, IPC_F_OOB);
	sends(CLIENT, TCP, C1, 5);
	receives(SERVER, TCP, S1, 6);
	ends();
	assert_false(edge(CLIENT, SERVER, "tcp:3:127.0.0.1:80-127.0.0.1:4000")->exact);
}

/* ---- TCP ---- */

static void test_tcp(void **state)
{
	(void)state;
	struct name at = ip("::1", 80), from = ip("::1", 4000);
	two_processes();
	listens(TCP, at);
	does(CLIENT, IPC_CALL_socket, TCP, C1, 4);
	accepts(TCP, S1, at, from, 0, 0); /* seen before the connect returns */
	socket_is(CLIENT, TCP, C1, CONNECTED, from, at, 0, 0);
	does(CLIENT, IPC_CALL_connect, TCP, C1, -EINPROGRESS);
	sends(CLIENT, TCP, C1, 7);
	receives(SERVER, TCP, S1, 7);
	ends();
	static const char key[] = "tcp:3:[::1]:80-[::1]:4000";
	check_edge(edge(CLIENT, SERVER, key), 1, 7, true);
	assert_string_equal(channel(key, 0)->name, "[::1]:80");
	assert_string_equal(channel("tcp:3:[::1]:80", 0)->name, "[::1]:80");
	assert_string_equal(endpoint(CLIENT, key)->role, "client");
	assert_string_equal(endpoint(SERVER, key)->role, "server");
	assert_int_equal(channels_of(TCP), 2);
	nothing_lost();
}

/* The pair of addresses is used again while the old sockets are still there. */
static void test_port_again(void **state)
{
	(void)state;
	struct name at = ip("127.0.0.1", 80), from = ip("127.0.0.1", 4000);
	two_processes();
	listens(TCP, at);
	for (int i = 0; i < 2; i++) {
		connects(CLIENT, TCP, C1 + i, from, at);
		accepts(TCP, S1 + i, at, from, 0, 0);
		sends(CLIENT, TCP, C1 + i, 7 + i);
		receives(SERVER, TCP, S1 + i, 7 + i);
	}
	ends();
	static const char key[] = "tcp:3:127.0.0.1:80-127.0.0.1:4000";
	assert_int_equal(channel(key, 0)->bytes_received, 7);
	assert_int_equal(channel(key, 1)->bytes_received, 8);
	assert_int_equal(messages(), 2);
	nothing_lost();
}

static void other_netns(int thread_number, uint64_t inode, uint32_t flags, struct name own, struct name other)
{
	struct ipc_def d = { .call = IPC_DEF_SOCKET, .thread = thread_number };
	uint8_t text[2 * sizeof(struct name)];
	d.socket = (struct ipc_def_socket){ .object = ipc_object(TCP, inode), .netns = 77, .state = flags };
	memcpy(text, &own, own.length + 1);
	memcpy(text + own.length + 1, &other, other.length + 1);
	define(d, (char *)text, own.length + other.length + 2);
}

static void across_namespaces(const char *client, const char *server)
{
	struct name at = ip(server, 80), from = ip(client, 4000);
	two_processes();
	connects(CLIENT, TCP, C1, from, at);
	other_netns(SERVER, S1, ACCEPTED, at, from);
	does(SERVER, IPC_CALL_accept4, TCP, S1, 5);
	sends(CLIENT, TCP, C1, 7);
	receives(SERVER, TCP, S1, 7);
	ends();
}

static void test_namespaces(void **state)
{
	(void)state;
	across_namespaces("10.9.0.1", "10.9.0.2");
	check_edge(edge(CLIENT, SERVER, "tcp:3:10.9.0.1:4000-10.9.0.2:80"), 1, 7, true);
	across_namespaces("127.0.0.1", "127.0.0.1"); /* each has its own */
	assert_int_equal(messages(), 0);
	assert_int_equal(channels_of(TCP), 2);
}

/* ---- nobody in the trace at the other end ---- */

static void test_remote_server(void **state)
{
	(void)state;
	two_processes();
	connects(CLIENT, TCP, C1, ip("10.0.0.2", 4000), ip("203.0.113.7", 443));
	for (int i = 0; i < 1000; i++)
		sends(CLIENT, TCP, C1, 10);
	receives(CLIENT, TCP, C1, 999);
	ends();
	const struct store_process *there = outside("203.0.113.7:443");
	assert_string_equal(there->coverage, "remote");
	assert_int_equal(there->pid, 0);
	check_edge(edge_by_id(row_of(CLIENT, 0)->id, there->id), 1000, 10000, true);
	check_edge(edge_by_id(there->id, row_of(CLIENT, 0)->id), 1, 999, true);
	assert_false(edge_by_id(there->id, row_of(CLIENT, 0)->id)->timed);
	nothing_lost();
	assert_false(channel("tcp:3:10.0.0.2:4000-203.0.113.7:443", 0)->partial);
}

static void test_untraced_clients(void **state)
{
	(void)state;
	struct name at = ip("127.0.0.1", 80);
	two_processes();
	listens(TCP, at);
	for (int i = 0; i < 3; i++) {
		accepts(TCP, S1 + i, at, ip("127.0.0.1", 4000 + i), 0, 0);
		receives(SERVER, TCP, S1 + i, 7);
		does(SERVER, IPC_CALL_close, TCP, S1 + i, 0);
	}
	later();
	ends();
	const struct store_process *there = outside("127.0.0.1");
	assert_string_equal(there->coverage, "untraced");
	assert_int_equal(fake.edges_count, 3);
	check_edge(edge_by_id(there->id, row_of(SERVER, 0)->id), 1, 7, true);
	nothing_lost();
}

static void test_untraced_unix_server(void **state)
{
	(void)state;
	two_processes();
	does(CLIENT, IPC_CALL_socket, STREAM, C1, 4);
	socket_is(CLIENT, STREAM, C1, CONNECTED, nobody, un("/run/db"), 0, getpid());
	does(CLIENT, IPC_CALL_connect, STREAM, C1, 0);
	sends(CLIENT, STREAM, C1, 10);
	receives(CLIENT, STREAM, C1, 20);
	ends();
	const struct store_process *there = outside("test_socket");
	assert_int_equal(there->pid, getpid());
	check_edge(edge_by_id(row_of(CLIENT, 0)->id, there->id), 1, 10, true);
	assert_string_equal(channel("unix:[201]", 0)->name, "/run/db");
}

/* The server of the trace closes without ever accepting: nobody got it. */
static void test_never_accepted(void **state)
{
	(void)state;
	struct name at = ip("127.0.0.1", 80);
	two_processes();
	listens(TCP, at);
	connects(CLIENT, TCP, C1, ip("127.0.0.1", 4000), at);
	sends(CLIENT, TCP, C1, 10);
	does(SERVER, IPC_CALL_close, TCP, LISTENER, 0);
	does(CLIENT, IPC_CALL_close, TCP, C1, 0);
	later();
	ends();
	assert_int_equal(fake.edges_count, 0);
	assert_int_equal(channel("tcp:3:127.0.0.1:80-127.0.0.1:4000", 0)->bytes_sent, 10);
	nothing_lost();
}

/* ---- datagrams ---- */

static void test_seqpacket(void **state)
{
	(void)state;
	struct name at = un("@q");
	two_processes();
	listens(SEQ, at);
	connects(CLIENT, SEQ, C1, nobody, at);
	sends(CLIENT, SEQ, C1, 10);
	sends(CLIENT, SEQ, C1, 20);
	accepts(SEQ, S1, at, nobody, C1, CLIENT);
	does_at(SERVER, IPC_CALL_recvfrom, SEQ, S1, now + 1, now + 2, 4, 0, IPC_F_TRUNCATED);
	receives(SERVER, SEQ, S1, 20);
	ends();
	const struct store_edge *e = edge(CLIENT, SERVER, "unix:[201]-[301]");
	assert_int_equal(e->messages, 2);
	assert_true(e->exact);
	nothing_lost();
}

/* An empty message looks like the end, which comes when all has been received. */
static void test_seqpacket_empty(void **state)
{
	(void)state;
	struct name at = un("@q");
	two_processes();
	listens(SEQ, at);
	connects(CLIENT, SEQ, C1, nobody, at);
	accepts(SEQ, S1, at, nobody, C1, CLIENT);
	static const int64_t sizes[] = { 1, 0, 2, 0 };
	for (int i = 0; i < 4; i++)
		sends(CLIENT, SEQ, C1, sizes[i]);
	does(CLIENT, IPC_CALL_close, SEQ, C1, 0);
	for (int i = 0; i < 4; i++)
		does_at(SERVER, IPC_CALL_recvfrom, SEQ, S1, now + 1, now + 2, sizes[i], 0,
			sizes[i] ? 0 : IPC_F_EOF);
	does_at(SERVER, IPC_CALL_recvfrom, SEQ, S1, now + 1, now + 2, 0, 0, IPC_F_EOF);
	ends();
	check_edge(edge(CLIENT, SERVER, "unix:[201]-[301]"), 4, 3, true);
	assert_int_equal(endpoint(SERVER, "unix:[201]-[301]")->receives, 4);
}

/* The receiver has the datagram, and has closed, before the sender's call returns. */
static void test_closed_before_sent(void **state)
{
	(void)state;
	struct name at = un("@r");
	two_processes();
	does(SERVER, IPC_CALL_socket, DGRAM, S1, 3);
	socket_is(SERVER, DGRAM, S1, 0, at, nobody, 0, 0);
	does(CLIENT, IPC_CALL_socket, DGRAM, C1, 3);
	uint64_t start = now + 1;
	now += 5;
	receives(SERVER, DGRAM, S1, 10);
	does(SERVER, IPC_CALL_close, DGRAM, S1, 0);
	does_at(CLIENT, IPC_CALL_sendto, DGRAM, C1, start, now + 5, 10, number(at), 0);
	ends();
	check_edge(edge(CLIENT, SERVER, "unix:[301]"), 1, 10, true);
	assert_int_equal(messages(), 1);
}

static void test_unix_datagrams(void **state)
{
	(void)state;
	struct name at = un("/dev/log");
	two_processes();
	process(30, 1, IPC_VIA_START);
	does(SERVER, IPC_CALL_socket, DGRAM, S1, 3);
	socket_is(SERVER, DGRAM, S1, 0, at, nobody, 0, 0);
	does(SERVER, IPC_CALL_bind, DGRAM, S1, 0);
	does(CLIENT, IPC_CALL_socket, DGRAM, C1, 3);
	socket_is(CLIENT, DGRAM, C1, CONNECTED, nobody, at, S1, 0);
	does(CLIENT, IPC_CALL_connect, DGRAM, C1, 0);
	does(30, IPC_CALL_socket, DGRAM, C1 + 1, 3);
	sends(CLIENT, DGRAM, C1, 10);
	does_at(30, IPC_CALL_sendto, DGRAM, C1 + 1, now + 1, now + 2, 0, number(at), 0); /* empty */
	receives(SERVER, DGRAM, S1, 10);
	receives(SERVER, DGRAM, S1, 0);
	does_at(30, IPC_CALL_sendto, DGRAM, C1 + 1, now + 1, now + 2, 30, number(un("/nobody")), 0);
	ends();
	check_edge(edge(CLIENT, SERVER, "unix:[301]"), 1, 10, true);
	check_edge(edge(30, SERVER, "unix:[301]"), 1, 0, true);
	assert_string_equal(endpoint(SERVER, "unix:[301]")->role, "server");
	assert_string_equal(endpoint(CLIENT, "unix:[301]")->role, "client");
	assert_int_equal(endpoint(30, "unix:[202]")->bytes_sent, 30);
	nothing_lost();
}

static void udp_server(const char *at)
{
	does(SERVER, IPC_CALL_socket, UDP, S1, 3);
	socket_is(SERVER, UDP, S1, 0, ip(at, 53), nobody, 0, 0);
	does(SERVER, IPC_CALL_bind, UDP, S1, 0);
}

/* The server is bound to any address, its clients are connected or not. */
static void test_udp_wildcard(void **state)
{
	(void)state;
	struct name at = ip("127.0.0.1", 53);
	two_processes();
	process(30, 1, IPC_VIA_START);
	udp_server("0.0.0.0");
	connects(CLIENT, UDP, C1, ip("127.0.0.1", 4001), at);
	does(30, IPC_CALL_socket, UDP, C1 + 1, 3);
	sends(CLIENT, UDP, C1, 10);
	socket_is(30, UDP, C1 + 1, 0, ip("0.0.0.0", 4002), nobody, 0, 0);
	does_at(30, IPC_CALL_sendto, UDP, C1 + 1, now + 1, now + 2, 20, number(at), 0);
	for (int i = 0; i < 2; i++) {
		uint64_t from = number(ip("127.0.0.1", 4001 + i));
		does_at(SERVER, IPC_CALL_recvfrom, UDP, S1, now + 1, now + 2, 10 + 10 * i, from, 0);
		does_at(SERVER, IPC_CALL_sendto, UDP, S1, now + 1, now + 2, 5, from, 0);
	}
	receives(CLIENT, UDP, C1, 5);
	does_at(30, IPC_CALL_recvfrom, UDP, C1 + 1, now + 1, now + 2, 5, number(at), 0);
	ends();
	static const char one[] = "udp:3:127.0.0.1:53-127.0.0.1:4001",
			  two[] = "udp:3:127.0.0.1:53-127.0.0.1:4002";
	check_edge(edge(CLIENT, SERVER, one), 1, 10, true);
	check_edge(edge(SERVER, CLIENT, one), 1, 5, true);
	check_edge(edge(30, SERVER, two), 1, 20, true);
	check_edge(edge(SERVER, 30, two), 1, 5, true);
	assert_string_equal(channel(two, 0)->name, "127.0.0.1:53");
	assert_string_equal(endpoint(SERVER, two)->role, "server");
	assert_string_equal(endpoint(30, two)->role, "client");
	nothing_lost();
}

/* Receives that are not told from whom: of a client with one server, of a server with any client. */
static void test_udp_source_not_told(void **state)
{
	(void)state;
	struct name at = ip("127.0.0.1", 53);
	two_processes();
	udp_server("0.0.0.0");
	for (int i = 0; i < 2; i++) {
		does(CLIENT, IPC_CALL_socket, UDP, C1 + i, 3);
		socket_is(CLIENT, UDP, C1 + i, 0, ip("0.0.0.0", 4001 + i), nobody, 0, 0);
		does_at(CLIENT, IPC_CALL_sendto, UDP, C1 + i, now + 1, now + 2, 20 + i, number(at), 0);
		receives(SERVER, UDP, S1, 20 + i);
		uint64_t to = number(ip("127.0.0.1", 4001 + i));
		does_at(SERVER, IPC_CALL_sendto, UDP, S1, now + 1, now + 2, 5, to, 0);
		receives(CLIENT, UDP, C1 + i, 5);
	}
	ends();
	check_edge(edge(CLIENT, SERVER, "udp:3:0.0.0.0:4002-127.0.0.1:53"), 1, 21, true);
	for (size_t i = 1; i < fake.processes_count; i++)
		assert_string_equal(fake.processes[i].coverage, "full"); /* nobody is outside */
	nothing_lost();
}

static void test_udp_lost(void **state)
{
	(void)state;
	struct name at = ip("127.0.0.1", 53), from = ip("127.0.0.1", 4001);
	two_processes();
	udp_server("127.0.0.1");
	connects(CLIENT, UDP, C1, from, at);
	for (int i = 0; i < 5; i++)
		sends(CLIENT, UDP, C1, 10 + i);
	does_at(SERVER, IPC_CALL_recvfrom, UDP, S1, now + 1, now + 2, 10, number(from), 0);
	does_at(SERVER, IPC_CALL_recvfrom, UDP, S1, now + 1, now + 2, 14, number(from), 0);
	ends();
	static const char key[] = "udp:3:127.0.0.1:53-127.0.0.1:4001";
	check_edge(edge(CLIENT, SERVER, key), 2, 24, true);
	assert_int_equal(channel(key, 0)->lost, 3);
}

static struct name port(uint32_t number)
{
	struct name n = { .length = 12, .bytes = { AF_NETLINK } };
	memcpy(n.bytes + 4, &number, sizeof(number));
	return n;
}

static void opens_other(int process_number, unsigned int mechanism, uint64_t inode, struct name own,
			uint64_t kind)
{
	socket_is(process_number, mechanism, inode, 0, own, nobody, kind, 0);
	does(process_number, IPC_CALL_socket, mechanism, inode, (int64_t)(inode % 1000));
}

static void sends_to(int process_number, unsigned int mechanism, uint64_t inode, int64_t bytes,
		     struct name to)
{
	does_at(process_number, IPC_CALL_sendto, mechanism, inode, now + 1, now + 3, bytes, number(to), 0);
}

static void receives_from(int process_number, unsigned int mechanism, uint64_t inode, int64_t bytes,
			  struct name from)
{
	does_at(process_number, IPC_CALL_recvfrom, mechanism, inode, now + 1, now + 3, bytes, number(from),
		0);
}

/* The same port id of two protocols is two sockets. */
static void test_netlink(void **state)
{
	(void)state;
	const uint64_t route = ipc_socket_kind(AF_NETLINK, SOCK_RAW, 0), user = ipc_socket_kind(16, 2, 2);
	two_processes();
	opens_other(CLIENT, IPC_MECH_netlink, C1, port(7), route);
	opens_other(CLIENT, IPC_MECH_netlink, C1 + 1, port(7), user);
	opens_other(SERVER, IPC_MECH_netlink, S1, port(9), user);
	opens_other(SERVER, IPC_MECH_netlink, S1 + 1, port(9), ipc_socket_kind(16, 2, 99));
	sends_to(CLIENT, IPC_MECH_netlink, C1, 40, port(0));
	sends(CLIENT, IPC_MECH_netlink, C1, 50);
	receives_from(CLIENT, IPC_MECH_netlink, C1, 3000, port(0));
	receives(CLIENT, IPC_MECH_netlink, C1, 20);
	sends_to(CLIENT, IPC_MECH_netlink, C1 + 1, 10, port(9));
	receives_from(SERVER, IPC_MECH_netlink, S1, 10, port(7));
	sends_to(SERVER, IPC_MECH_netlink, S1, 5, port(7));
	receives_from(CLIENT, IPC_MECH_netlink, C1 + 1, 5, port(9));
	ends();
	const struct store_process *kernel = outside("kernel");
	assert_string_equal(kernel->coverage, "untraced");
	check_edge(edge_by_id(row_of(CLIENT, 0)->id, kernel->id), 2, 90, true);
	check_edge(edge_by_id(kernel->id, row_of(CLIENT, 0)->id), 2, 3020, true);
	check_edge(edge(CLIENT, SERVER, "netlink:3:usersock:9"), 1, 10, true);
	check_edge(edge(SERVER, CLIENT, "netlink:3:usersock:7"), 1, 5, true);
	assert_string_equal(channel("netlink:3:route:7", 0)->name, "netlink route");
	assert_string_equal(channel("netlink:3:99:9", 0)->name, "netlink 99");
	assert_string_equal(endpoint(CLIENT, "netlink:3:route:7")->role, "client");
	nothing_lost();
}

/* Who has another port id and is not in the trace is not the kernel. */
static void test_netlink_stranger(void **state)
{
	(void)state;
	two_processes();
	opens_other(CLIENT, IPC_MECH_netlink, C1, port(7), ipc_socket_kind(16, 2, 2));
	sends_to(CLIENT, IPC_MECH_netlink, C1, 40, port(1234));
	ends();
	check_edge(edge_by_id(row_of(CLIENT, 0)->id, outside("unknown")->id), 1, 40, true);
}

static void test_other_sockets(void **state)
{
	(void)state;
	const unsigned int other = IPC_MECH_socket_other;
	two_processes();
	opens_other(CLIENT, other, C1, nobody, ipc_socket_kind(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	sends_to(CLIENT, other, C1, 64, ip("203.0.113.7", 0));
	receives_from(CLIENT, other, C1, 84, ip("203.0.113.7", 0));
	receives_from(CLIENT, other, C1, 0, ip("203.0.113.7", 0)); /* empty is a message too, */
	opens_other(CLIENT, other, C1 + 1, nobody, ipc_socket_kind(AF_VSOCK, SOCK_STREAM, 0));
	receives(CLIENT, other, C1 + 1, 5);
	receives(CLIENT, other, C1 + 1, 0); /* but not of a stream */
	opens_other(SERVER, other, S1, nobody, ipc_socket_kind(AF_ALG, SOCK_SEQPACKET, 0));
	sends(SERVER, other, S1, 11);
	ends();
	const struct store_process *there = outside("203.0.113.7");
	assert_string_equal(there->coverage, "remote");
	check_edge(edge_by_id(row_of(CLIENT, 0)->id, there->id), 1, 64, true);
	check_edge(edge_by_id(there->id, row_of(CLIENT, 0)->id), 2, 84, true);
	check_edge(edge_by_id(outside("unknown")->id, row_of(CLIENT, 0)->id), 1, 5, true);
	check_edge(edge_by_id(row_of(SERVER, 0)->id, outside("kernel")->id), 1, 11, true);
	assert_string_equal(channel("socket_other:[201]", 0)->name, "raw icmp");
	assert_string_equal(channel("socket_other:[202]", 0)->name, "vsock");
	assert_string_equal(channel("socket_other:[301]", 0)->name, "alg");
	nothing_lost();
}

static void test_udp_outside(void **state)
{
	(void)state;
	struct name at = ip("203.0.113.7", 53), from = ip("10.0.0.2", 4001);
	two_processes();
	udp_server("0.0.0.0"); /* also on port 53, but not there */
	connects(CLIENT, UDP, C1, from, at);
	sends(CLIENT, UDP, C1, 10);
	receives(CLIENT, UDP, C1, 30);
	does_at(SERVER, IPC_CALL_recvfrom, UDP, S1, now + 1, now + 2, 7, number(ip("127.0.0.1", 9)), 0);
	ends();
	const struct store_process *there = outside("203.0.113.7:53");
	assert_string_equal(there->coverage, "remote");
	check_edge(edge_by_id(row_of(CLIENT, 0)->id, there->id), 1, 10, true);
	check_edge(edge_by_id(there->id, row_of(CLIENT, 0)->id), 1, 30, true);
	assert_int_equal(channel("udp:3:10.0.0.2:4001-203.0.113.7:53", 0)->lost, 0);
	check_edge(edge_by_id(outside("127.0.0.1")->id, row_of(SERVER, 0)->id), 1, 7, true);
	nothing_lost();
}

static void ask(uint64_t inode, unsigned int port)
{
	struct name at = ip("127.0.0.1", 53);
	does(CLIENT, IPC_CALL_socket, UDP, inode, 3);
	socket_is(CLIENT, UDP, inode, 0, ip("0.0.0.0", port), nobody, 0, 0);
	does_at(CLIENT, IPC_CALL_sendto, UDP, inode, now + 1, now + 2, 20, number(at), 0);
}

static void answer(uint64_t inode, unsigned int port)
{
	struct name from = ip("127.0.0.1", port);
	does_at(SERVER, IPC_CALL_recvfrom, UDP, S1, now + 1, now + 2, 20, number(from), 0);
	does_at(SERVER, IPC_CALL_sendto, UDP, S1, now + 1, now + 2, 30, number(from), 0);
	does_at(CLIENT, IPC_CALL_recvfrom, UDP, inode, now + 1, now + 2, 30, number(ip("127.0.0.1", 53)), 0);
}

/* A conversation is forgotten, and goes on later: that is a channel of its own. */
static void test_udp_silence(void **state)
{
	(void)state;
	two_processes();
	udp_server("0.0.0.0");
	ask(C1, 4001);
	answer(C1, 4001);
	now += 12000000000;
	later();
	does_at(CLIENT, IPC_CALL_sendto, UDP, C1, now + 1, now + 2, 20, number(ip("127.0.0.1", 53)), 0);
	answer(C1, 4001);
	ends();
	static const char key[] = "udp:3:127.0.0.1:53-127.0.0.1:4001";
	assert_int_equal(channels_of(UDP), 4); /* two sockets, two conversations */
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(channel(key, i)->bytes_sent, 50);
		assert_int_equal(channel(key, i)->bytes_received, 50);
		assert_int_equal(channel(key, i)->lost, 0);
	}
	check_edge(edge(CLIENT, SERVER, key), 1, 20, true);
	check_edge(edge(SERVER, CLIENT, key), 1, 30, true);
	nothing_lost();
}

/* The client has long closed when the server takes what it sent. */
static void test_udp_busy_server(void **state)
{
	(void)state;
	two_processes();
	udp_server("0.0.0.0");
	ask(C1, 4001);
	does(CLIENT, IPC_CALL_close, UDP, C1, 0);
	now += 20000000000;
	later();
	later();
	struct name from = ip("127.0.0.1", 4001);
	does_at(SERVER, IPC_CALL_recvfrom, UDP, S1, now + 1, now + 2, 20, number(from), 0);
	ends();
	check_edge(edge(CLIENT, SERVER, "udp:3:127.0.0.1:53-127.0.0.1:4001"), 1, 20, true);
	assert_int_equal(channel("udp:3:127.0.0.1:53-127.0.0.1:4001", 0)->lost, 0);
	nothing_lost();
}

/* The answer comes when the client has given up. */
static void test_udp_late_answer(void **state)
{
	(void)state;
	two_processes();
	udp_server("0.0.0.0");
	struct name from = ip("127.0.0.1", 4001);
	ask(C1, 4001);
	does_at(SERVER, IPC_CALL_recvfrom, UDP, S1, now + 1, now + 2, 20, number(from), 0);
	does(CLIENT, IPC_CALL_close, UDP, C1, 0);
	later();
	later();
	does_at(SERVER, IPC_CALL_sendto, UDP, S1, now + 1, now + 2, 30, number(from), 0);
	ends();
	static const char key[] = "udp:3:127.0.0.1:53-127.0.0.1:4001";
	check_edge(edge(CLIENT, SERVER, key), 1, 20, true);
	assert_int_equal(fake.edges_count, 1);
	assert_int_equal(channel(key, 0)->lost, 1);
}

/* What nobody took is lost once nobody can take it any more. */
static void test_udp_server_gone(void **state)
{
	(void)state;
	two_processes();
	udp_server("127.0.0.1");
	for (int i = 0; i < 3; i++)
		ask(C1 + i, 4001 + i);
	answer(C1, 4001);
	for (int i = 0; i < 3; i++)
		does(CLIENT, IPC_CALL_close, UDP, C1 + i, 0);
	does(SERVER, IPC_CALL_close, UDP, S1, 0);
	later();
	later();
	size_t written = fake.edges_count;
	ends();
	assert_int_equal(written, 2);
	assert_int_equal(fake.edges_count, 2);
	static const uint64_t wanted[] = { 0, 1, 1 };
	for (unsigned int i = 0; i < 3; i++) {
		char key[64];
		snprintf(key, sizeof(key),
			 i ? "udp:3:0.0.0.0:%u-127.0.0.1:53" : "udp:3:127.0.0.1:53-127.0.0.1:%u", 4001 + i);
		assert_int_equal(channel(key, 0)->lost, wanted[i]);
	}
	nothing_lost();
}

/* The server is not told who asks: what it receives is on its own socket's channel, which outlives them. */
static void test_udp_clients_forgotten(void **state)
{
	(void)state;
	two_processes();
	udp_server("0.0.0.0");
	for (unsigned int i = 0; i < 3; i++) {
		ask(C1 + i, 4001 + i);
		receives(SERVER, UDP, S1, 20);
		does(CLIENT, IPC_CALL_close, UDP, C1 + i, 0);
		later();
		later();
	}
	ends();
	for (size_t i = 0; i < fake.edges_count; i++)
		check_edge(&fake.edges[i], 1, 20, true);
	assert_int_equal(fake.edges_count, 3);
	for (size_t i = 1; i < fake.processes_count; i++)
		assert_string_equal(fake.processes[i].coverage, "full");
	nothing_lost();
}

static void test_multicast(void **state)
{
	(void)state;
	struct name group = ip("239.1.2.3", 5000), from = ip("10.0.0.2", 4001);
	two_processes();
	process(30, 1, IPC_VIA_START);
	for (int i = 0; i < 2; i++) {
		int pid = i ? 30 : SERVER;
		does(pid, IPC_CALL_socket, UDP, S1 + i, 3);
		socket_is(pid, UDP, S1 + i, 0, ip("0.0.0.0", 5000), nobody, 0, 0);
		does(pid, IPC_CALL_bind, UDP, S1 + i, 0);
	}
	does(CLIENT, IPC_CALL_socket, UDP, C1, 3);
	socket_is(CLIENT, UDP, C1, 0, from, nobody, 0, 0);
	does_at(CLIENT, IPC_CALL_sendto, UDP, C1, now + 1, now + 2, 50, number(group), 0);
	for (int i = 0; i < 2; i++)
		does_at(i ? 30 : SERVER, IPC_CALL_recvfrom, UDP, S1 + i, now + 1, now + 2, 50, number(from),
			0);
	ends();
	static const char key[] = "udp:3:10.0.0.2:4001-239.1.2.3:5000";
	check_edge(edge(CLIENT, SERVER, key), 1, 50, true);
	check_edge(edge(CLIENT, 30, key), 1, 50, true);
	assert_int_equal(channel(key, 0)->lost, 0);
}

/* ---- waits ---- */

static void epoll_event(int thread_number, enum ipc_call_id call, uint64_t object, uint64_t data,
			int64_t result)
{
	struct ipc_event e = {
		.start = now + 1,
		.duration = 1,
		.object = object,
		.result = result,
		.arg1 = data,
		.thread = thread_number,
		.call = call,
		.tag = 9,
	};
	tell(&e);
	now += 2;
}

static size_t waits_on(const char *key)
{
	size_t n = 0;
	for (size_t i = 1; i < fake.events_count; i++) {
		const struct store_lane *lane = &fake.lanes[fake.events[i].lane];
		const struct store_endpoint *ep = &fake.endpoints[lane->endpoint_id];
		n += lane->verb == IPC_VERB_wait && lane->endpoint_id &&
		     !strcmp(fake.channels[ep->channel_id].key, key);
	}
	return n;
}

static void test_waits(void **state)
{
	(void)state;
	struct name at = un("/x");
	two_processes();
	listens(STREAM, at);
	does(SERVER, IPC_CALL_poll, STREAM, LISTENER, 1);
	epoll_event(SERVER, IPC_CALL_epoll_add, ipc_object(STREAM, LISTENER), 4711, 0);
	epoll_event(SERVER, IPC_CALL_epoll_wait, 0, 4711, 1);
	process(30, SERVER, IPC_VIA_FORK);
	epoll_event(30, IPC_CALL_epoll_wait, 0, 4711, 1);
	epoll_event(CLIENT, IPC_CALL_epoll_wait, 0, 4711, 1); /* its own, not known */
	epoll_event(SERVER, IPC_CALL_epoll_wait, 0, 0, 0);    /* a timeout */
	event_at(SERVER, IPC_CALL_poll, now + 1, now + 2, 0, 1, 0, 0);
	ends();
	assert_int_equal(waits_on("unix:[100]"), 3);
	nothing_lost();
}

/* ---- many ---- */

static size_t used(void)
{
	size_t rows = fake.channels_room * sizeof(*fake.channels) +
		      fake.endpoints_room * sizeof(*fake.endpoints) + fake.edges_room * sizeof(*fake.edges) +
		      fake.lanes_room * sizeof(*fake.lanes) + fake.events_room * sizeof(*fake.events) +
		      fake.links_room * sizeof(*fake.links);
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd - rows;
}

static void connection(unsigned int i)
{
	struct name at = ip("127.0.0.1", 80), from = ip("127.0.0.1", 1024 + i % 50000);
	connects(CLIENT, TCP, 100000 + 2 * i, from, at);
	accepts(TCP, 100001 + 2 * i, at, from, 0, 0);
	sends(CLIENT, TCP, 100000 + 2 * i, 7);
	receives(SERVER, TCP, 100001 + 2 * i, 7);
	sends(SERVER, TCP, 100001 + 2 * i, 8);
	receives(CLIENT, TCP, 100000 + 2 * i, 8);
	does(CLIENT, IPC_CALL_close, TCP, 100000 + 2 * i, 0);
	does(SERVER, IPC_CALL_close, TCP, 100001 + 2 * i, 0);
}

static void test_many_connections(void **state)
{
	(void)state;
	enum { ROUNDS = 8, EACH = 500 };
	size_t before = 0;
	two_processes();
	listens(TCP, ip("127.0.0.1", 80));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < EACH; i++)
			connection(round * EACH + i);
		later();
		if (round == 2)
			before = used();
	}
	size_t each = used() > before ? (used() - before) / ((ROUNDS - 3) * EACH) : 0;
	print_message("%zu bytes are kept of a connection\n", each);
	assert_true(each < 256);
	ends();
	assert_int_equal(fake.edges_count, 2 * ROUNDS * EACH);
	nothing_lost();
	for (size_t i = 0; i < fake.edges_count; i++)
		assert_true(fake.edges[i].exact && fake.edges[i].messages == 1);
}

/* A datagram and its answer, with a socket and a port of their own. */
static void question(unsigned int i)
{
	ask(100000 + i, 1024 + i % 50000);
	answer(100000 + i, 1024 + i % 50000);
	does(CLIENT, IPC_CALL_close, UDP, 100000 + i, 0);
}

/* The same from outside, to a server that never rests. */
static void foreign_question(unsigned int i)
{
	struct name from = ip("203.0.113.7", 1024 + i % 50000);
	does_at(SERVER, IPC_CALL_recvfrom, UDP, S1, now + 1, now + 2, 20, number(from), 0);
	does_at(SERVER, IPC_CALL_sendto, UDP, S1, now + 1, now + 2, 30, number(from), 0);
}

static void many_questions(void (*one)(unsigned int i))
{
	enum { ROUNDS = 8, EACH = 500 };
	size_t before = 0;
	two_processes();
	udp_server("0.0.0.0");
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < EACH; i++)
			one(round * EACH + i);
		now += 10000000000;
		later();
		if (round == 2)
			before = used();
	}
	size_t each = used() > before ? (used() - before) / ((ROUNDS - 3) * EACH) : 0;
	print_message("%zu bytes are kept of a conversation\n", each);
	assert_true(each < 256);
	ends();
	assert_int_equal(fake.edges_count, 2 * ROUNDS * EACH);
	nothing_lost();
	for (size_t i = 0; i < fake.edges_count; i++)
		assert_true(fake.edges[i].exact && fake.edges[i].messages == 1);
}

static void test_many_questions(void **state)
{
	(void)state;
	many_questions(question);
	assert_int_equal(messages(), fake.edges_count);
}

static void test_many_foreign_questions(void **state)
{
	(void)state;
	many_questions(foreign_question);
	assert_string_equal(outside("203.0.113.7")->coverage, "remote");
	assert_int_equal(fake.processes_count, 4); /* whatever its port */
}

/* ---- anything at all ---- */

static uint64_t noise(void)
{
	static uint64_t x = 88172645463325252ULL;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x >> 11;
}

static struct name some_name(unsigned int mechanism)
{
	static const char *const hosts[] = { "127.0.0.1", "0.0.0.0", "10.9.0.2", "::1", "::", "239.1.1.1" };
	unsigned int n = noise() % 6;
	if (mechanism < TCP)
		return n == 0 ? nobody : un(n % 2 ? "/x" : n == 2 ? "@y" : "/z");
	return noise() % 8 ? ip(hosts[noise() % 8 ? n % 3 : n], 80 + noise() % 3) : nobody;
}

static void noise_definition(void)
{
	struct ipc_def d = { .call = IPC_DEF_SOCKET, .thread = 10 * (1 + noise() % 3) };
	unsigned int mechanism = STREAM + noise() % 5;
	struct name own = some_name(mechanism), other = some_name(mechanism);
	uint8_t text[2 * sizeof(struct name)] = { 0 };
	memcpy(text, &own, own.length + 1);
	memcpy(text + own.length + 1, &other, other.length + 1);
	d.socket = (struct ipc_def_socket){
		.object = ipc_object(mechanism, 100 + noise() % 8),
		.peer = noise() % 3 ? 0ULL : 100 + noise() % 8,
		.netns = noise() % 16 ? NETNS : 4,
		.peer_pid = (int32_t)(10 * (noise() % 5)),
		.state = (uint32_t)(noise() % 16 ? 1ULL << noise() % 4 : noise() % 16),
	};
	if (noise() % 64 == 0)
		text[0] = (uint8_t)noise();
	define(d, (char *)text, noise() % 64 ? (size_t)own.length + other.length + 2 : noise() % 40);
}

static void noise_event(void)
{
	static const enum ipc_call_id calls[] = {
		IPC_CALL_socket, IPC_CALL_close,      IPC_CALL_close, IPC_CALL_inherit, IPC_CALL_connect,
		IPC_CALL_accept, IPC_CALL_recvmsg_fd, IPC_CALL_bind,  IPC_CALL_poll,	IPC_CALL_epoll_add,
	};
	unsigned int mechanism = STREAM + noise() % 5;
	struct name at = some_name(mechanism);
	uint64_t address = mechanism == UDP || mechanism == DGRAM ? number(at) : 0;
	enum ipc_call_id call = noise() % 4 ? noise() % 2 ? IPC_CALL_sendto : IPC_CALL_recvfrom
					    : calls[noise() % (sizeof(calls) / sizeof(*calls))];
	uint64_t start = now - noise() % 20, finish = now + noise() % 10;
	does_at((int)(10 * (1 + noise() % 3)), call, mechanism, 100 + noise() % 8, start,
		finish > start ? finish : start, (int64_t)(noise() % 8), noise() % 2 ? address : 0,
		noise() % 16 ? 0 : (unsigned int)(1U << noise() % 12));
}

static void test_noise(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 300; round++) {
		begin();
		fake.pending = 1 << 20;
		for (int pid = 10; pid <= 30; pid += 10)
			process(pid, pid - 10, pid > 10 ? IPC_VIA_FORK : IPC_VIA_START);
		for (unsigned int i = 0; i < 1500; i++) {
			if (noise() % 3)
				noise_event();
			else
				noise_definition();
			now += noise() % 64 ? noise() % 10 : noise() % 1500000000;
			if (noise() % 300 == 0)
				step();
		}
		ends();
	}
	fake.pending = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unix_stream),
		cmocka_unit_test(test_socketpair),
		cmocka_unit_test(test_one_process_has_both),
		cmocka_unit_test(test_client_gone),
		cmocka_unit_test(test_clients_gone_in_turn),
		cmocka_unit_test(test_clients_gone_at_once),
		cmocka_unit_test(test_accepts_at_once),
		cmocka_unit_test(test_passed),
		cmocka_unit_test(test_inode_again),
		cmocka_unit_test(test_odd_definitions),
		cmocka_unit_test(test_out_of_band),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_port_again),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_remote_server),
		cmocka_unit_test(test_untraced_clients),
		cmocka_unit_test(test_untraced_unix_server),
		cmocka_unit_test(test_never_accepted),
		cmocka_unit_test(test_seqpacket),
		cmocka_unit_test(test_unix_datagrams),
		cmocka_unit_test(test_udp_wildcard),
		cmocka_unit_test(test_udp_source_not_told),
		cmocka_unit_test(test_udp_lost),
		cmocka_unit_test(test_seqpacket_empty),
		cmocka_unit_test(test_closed_before_sent),
		cmocka_unit_test(test_udp_outside),
		cmocka_unit_test(test_netlink),
		cmocka_unit_test(test_netlink_stranger),
		cmocka_unit_test(test_other_sockets),
		cmocka_unit_test(test_udp_silence),
		cmocka_unit_test(test_udp_busy_server),
		cmocka_unit_test(test_udp_late_answer),
		cmocka_unit_test(test_udp_server_gone),
		cmocka_unit_test(test_udp_clients_forgotten),
		cmocka_unit_test(test_multicast),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_many_connections),
		cmocka_unit_test(test_many_questions),
		cmocka_unit_test(test_many_foreign_questions),
		cmocka_unit_test(test_noise),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_free();
	return failed;
}
