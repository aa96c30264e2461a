// SPDX-License-Identifier: BSD-2-Clause
/*
 * chain: requests that cause requests, through seven processes and six mechanisms, five deep:
 *
 *	client -unix_stream-> front -pipe pair-> left -sysv_msg-> middle -unix_stream-> lower -ring-> bottom
 *	                            -posix_mq pair-> right -pipe pair-> side
 *
 * left and right are pools of threads: left hands over by an eventfd, right by a process-shared semaphore.
 *
 * front has a thread for each client, which asks left, then right. A pool's first thread takes requests from
 *all of front's threads and hands each to one of the others. Every thread that asks has a link of its own to
 *whom it asks, and one request under way; so which request caused which is certain, and the ledger has all of
 *it: trees. The ring lies in shared memory, where semaphores tell that there is something in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/un.h>
#include <unistd.h>

#include "reference.h"

enum { CLIENTS = 8, LINKS = CLIENTS + 1 /* the last is none */, WORKERS = 3, JOBS = 16, SLOTS = 4 };
enum node { FRONT, LEFT, RIGHT, MIDDLE, LOWER, BOTTOM, SIDE, NODES };

/* A request and, with the answer, its reply. */
struct packet {
	uint64_t id, value;
	int32_t to_tid, answered_tid;
};

struct ring {
	sem_t filled;
	unsigned int in, out; /* of who sends, of who receives */
	struct packet slots[SLOTS];
};

enum side { ASKS, SERVES };
enum way { STREAM, QUEUES, TYPES, RINGS };

/* Between one thread that asks and the process that answers. By side: where it sends to and receives from. */
struct link {
	enum way way;
	const char *mechanism;
	enum node ends[2];
	int out[2], in[2];     /* descriptors; of TYPES the queue, of both sides */
	struct ring *rings[2]; /* of RINGS: what this side sends into */
};

static struct shared {
	struct ring rings[WORKERS][2];
	sem_t jobs;
} * shared;

static struct link clients[CLIENTS], /* each in its two processes only */
	to_left[LINKS], to_right[LINKS], to_middle[LINKS], to_lower[LINKS], to_bottom[LINKS], to_side[LINKS];

/* Where each process gets its requests from, and whom it asks. */
static const struct place {
	struct link *from;
	struct link *below; /* NULL: nobody */
	uint64_t adds;	    /* to the answer */
} places[NODES] = {
	[LEFT] = { to_left, to_middle, 2 },    [RIGHT] = { to_right, to_side, 4 },
	[MIDDLE] = { to_middle, to_lower, 8 }, [LOWER] = { to_lower, to_bottom, 16 },
	[BOTTOM] = { to_bottom, NULL, 32 },    [SIDE] = { to_side, NULL, 64 },
};
enum { ALL_ADD = 127 }; /* and front 1 */

/* Of this process. */
static struct reference_run *own;
static int listener;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER;
static unsigned long answered;

/* Of one that was forked, all threads included. */
static _Noreturn void fail(const char *what)
{
	reference_failed(own, what);
	_exit(1);
}

/* Links */

static void put(const struct link *l, enum side side, const struct packet *p)
{
	struct {
		long type;
		struct packet packet;
	} typed = { side + 1, *p };
	struct ring *r = l->rings[side];
	bool sent = false;
	switch (l->way) {
	case STREAM:
		sent = write(l->out[side], p, sizeof(*p)) == (ssize_t)sizeof(*p);
		break;
	case QUEUES:
		sent = !mq_send(l->out[side], (const char *)p, sizeof(*p), 0);
		break;
	case TYPES:
		sent = !msgsnd(l->out[side], &typed, sizeof(*p), 0);
		break;
	case RINGS:
		r->slots[r->in++ % SLOTS] = *p;
		sent = !sem_post(&r->filled);
	}
	if (!sent)
		fail(l->mechanism);
}

static ssize_t receive(const struct link *l, enum side side, struct packet *p)
{
	struct {
		long type;
		struct packet packet;
	} typed;
	struct ring *r = l->rings[!side];
	ssize_t n = 0;
	switch (l->way) {
	case STREAM: /* what is written in one piece, and fits into what is free, is read in one */
		return read(l->in[side], p, sizeof(*p));
	case QUEUES:
		return mq_receive(l->in[side], (char *)p, sizeof(*p), NULL);
	case TYPES:
		n = msgrcv(l->in[side], &typed, sizeof(*p), !side + 1, 0);
		*p = typed.packet;
		return n;
	case RINGS:
		if (sem_wait(&r->filled))
			return -1;
		*p = r->slots[r->out++ % SLOTS];
	}
	return sizeof(*p);
}

/* False at the end. */
static bool take(const struct link *l, enum side side, struct packet *p)
{
	ssize_t n;
	while ((n = receive(l, side, p)) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(*p) && n != 0)
		fail(l->mechanism);
	return n > 0;
}

/* Asks over a link, while working on the request `parent` (0: none), and books it. Returns the answer. */
static uint64_t ask(const struct link *l, uint64_t parent, uint64_t value)
{
	static _Atomic uint32_t number;
	struct reference_call call =
		reference_calling(l->mechanism, reference_pid(own, reference_consumer(l->ends[SERVES])));
	struct packet p = { .id = (uint64_t)getpid() << 32 | ++number, .value = value };
	call.id = p.id;
	call.parent = parent;
	put(l, ASKS, &p);
	if (!take(l, ASKS, &p) || p.id != call.id) {
		reference_wrong(own, "%s: not the reply to the request", l->mechanism);
		_exit(1);
	}
	call.to_tid = p.to_tid;
	call.answered_tid = p.answered_tid;
	if (reference_called(own, &call, NULL))
		_exit(1);
	return p.value;
}

/* Processes that answer */

static void answer(const struct place *place, const struct link *to, const struct link *below,
		   struct packet p)
{
	if (below)
		p.value = ask(below, p.id, p.value);
	p.value += place->adds;
	p.answered_tid = gettid();
	put(to, SERVES, &p);
	pthread_mutex_lock(&lock);
	answered++;
	pthread_cond_signal(&progress);
	pthread_mutex_unlock(&lock);
}

static void start(void *(*work)(void *lane), unsigned int lane)
{
	pthread_t thread;
	errno = pthread_create(&thread, NULL, work, (void *)(uintptr_t)lane);
	if (errno)
		fail("pthread_create");
	pthread_detach(thread);
}

/* Then the process may end, whatever its threads wait for. */
static int wait_for_all(const struct reference_run *run)
{
	pthread_mutex_lock(&lock);
	while (answered < run->options.messages * run->options.producers)
		pthread_cond_wait(&progress, &lock);
	pthread_mutex_unlock(&lock);
	return 0;
}

static void *serve_lane(void *lane)
{
	const struct place *place = &places[own->index];
	const struct link *from = &place->from[(uintptr_t)lane],
			  *below = place->below ? &place->below[(uintptr_t)lane] : NULL;
	struct packet p;
	while (take(from, SERVES, &p)) {
		p.to_tid = gettid();
		answer(place, from, below, p);
	}
	return NULL;
}

static int serve_lanes(struct reference_run *run)
{
	for (unsigned int i = 0; i < WORKERS; i++)
		start(serve_lane, i);
	return wait_for_all(run);
}

/* A pool. The unit and the job are taken under one lock: the k-th unit is the k-th job's. */
static struct pool {
	int counter; /* an eventfd; -1: the semaphore */
	pthread_mutex_t take;
	unsigned long put, taken; /* never more than CLIENTS between them */
	struct job {
		const struct link *from;
		struct packet packet;
	} jobs[JOBS];
} pool = { .take = PTHREAD_MUTEX_INITIALIZER };

static void hand_over(struct job job)
{
	pthread_mutex_lock(&lock);
	pool.jobs[pool.put++ % JOBS] = job;
	pthread_mutex_unlock(&lock);
	if (pool.counter < 0 ? sem_post(&shared->jobs) : eventfd_write(pool.counter, 1))
		fail("a post to the pool");
}

static struct job take_over(void)
{
	eventfd_t one;
	pthread_mutex_lock(&pool.take);
	while (pool.counter < 0 ? sem_wait(&shared->jobs) : eventfd_read(pool.counter, &one))
		if (errno != EINTR)
			fail("a wait of the pool");
	pthread_mutex_lock(&lock);
	struct job job = pool.jobs[pool.taken++ % JOBS];
	pthread_mutex_unlock(&lock);
	pthread_mutex_unlock(&pool.take);
	return job;
}

static void *work(void *lane)
{
	const struct place *place = &places[own->index];
	for (;;) {
		struct job job = take_over();
		answer(place, job.from, &place->below[(uintptr_t)lane], job.packet);
	}
	return NULL;
}

static void take_ready(const struct pollfd *ready, const struct link *from)
{
	struct job job = { .from = from };
	if (ready->revents && take(from, SERVES, &job.packet)) {
		job.packet.to_tid = gettid();
		hand_over(job);
	}
}

static int serve_pool(struct reference_run *run)
{
	struct link *from = places[run->index].from;
	unsigned long many = run->options.producers;
	struct pollfd ready[CLIENTS];
	pool.counter = run->index == LEFT ? eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE) : -1;
	if (run->index == LEFT && pool.counter < 0)
		fail("eventfd");
	for (unsigned int i = 0; i < WORKERS; i++)
		start(work, i);
	for (unsigned long i = 0; i < many; i++)
		ready[i] = (struct pollfd){ .fd = from[i].in[SERVES], .events = POLLIN };
	while (pool.put < run->options.messages * many) {
		if (poll(ready, many, -1) < 0 && errno != EINTR)
			fail("poll");
		for (unsigned long i = 0; i < many; i++)
			take_ready(&ready[i], &from[i]);
	}
	return wait_for_all(run);
}

/* front */

static void *serve_client(void *lane)
{
	unsigned int i = (unsigned int)(uintptr_t)lane;
	struct packet p;
	while (take(&clients[i], SERVES, &p)) {
		p.to_tid = gettid();
		p.value = ask(&to_left[i], p.id, p.value) + ask(&to_right[i], p.id, p.value) + 1;
		answer(&places[FRONT], &clients[i], NULL, p);
	}
	return NULL;
}

static int serve_front(struct reference_run *run)
{
	for (unsigned int i = 0; i < run->options.producers; i++) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			fail("accept");
		clients[i] = (struct link){ .mechanism = "unix_stream", .out = { -1, fd }, .in = { -1, fd } };
		start(serve_client, i);
	}
	run->taken = run->options.messages * run->options.producers;
	return wait_for_all(run);
}

static int be_client(struct reference_run *run)
{
	struct sockaddr_storage name;
	socklen_t size = reference_path_name(0, &name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	own = run;
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, size))
		return reference_failed(run, "connect");
	const struct link front = {
		.mechanism = "unix_stream", .ends = { 0, FRONT }, .out = { fd }, .in = { fd }
	};
	for (uint64_t value = run->options.seed; reference_turn(run); value += 1000)
		if (ask(&front, 0, value) != 2 * value + ALL_ADD)
			return reference_wrong(run, "a wrong answer");
	return close(fd);
}

/* All of it */

static void close_side(const struct link *l, enum side side)
{
	if (l->way != STREAM && l->way != QUEUES)
		return;
	close(l->out[side]);
	if (l->in[side] != l->out[side])
		close(l->in[side]);
}

/* Closes what belongs to other processes. */
static void keep(enum node node)
{
	static struct link *const all[] = { to_left, to_right, to_middle, to_lower, to_side };
	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (const struct link *l = all[i]; l->mechanism; l++)
			for (enum side side = ASKS; side <= SERVES; side++)
				if (l->ends[side] != node)
					close_side(l, side);
	if (node != FRONT)
		close(listener);
}

static int serve(struct reference_run *run)
{
	own = run;
	keep(run->index);
	if (run->index == FRONT)
		return serve_front(run);
	return places[run->index].from == to_left || places[run->index].from == to_right ? serve_pool(run)
											 : serve_lanes(run);
}

static int run_all(struct reference_run *run)
{
	int failed = 0;
	for (unsigned int i = NODES; i > 0 && !failed; i--) /* who is asked comes first: its pid is known */
		failed = reference_start(run, REFERENCE_CONSUMER, i - 1, serve) < 0;
	keep(NODES);
	for (unsigned int i = 0; i < run->options.producers && !failed; i++)
		failed = reference_start(run, REFERENCE_PRODUCER, i, be_client) < 0;
	return reference_wait(run) || failed ? -1 : 0;
}

static int make_pipes(struct link *l)
{
	int request[2], reply[2];
	if (pipe(request) || pipe(reply))
		return -1;
	*l = (struct link){ .mechanism = "pipe",
			    .out = { request[1], reply[1] },
			    .in = { reply[0], request[0] } };
	return 0;
}

static int make_queue(int *out, int *in)
{
	static unsigned int number;
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = sizeof(struct packet) };
	char name[48];
	snprintf(name, sizeof(name), "/ipctrace-%d-%u", getpid(), number++);
	*out = mq_open(name, O_WRONLY | O_CREAT | O_EXCL, 0600, &attr);
	*in = mq_open(name, O_RDONLY);
	return mq_unlink(name) || *out < 0 || *in < 0 ? -1 : 0;
}

static int make_queues(struct link *l)
{
	*l = (struct link){ .way = QUEUES, .mechanism = "posix_mq" };
	return make_queue(&l->out[ASKS], &l->in[SERVES]) || make_queue(&l->out[SERVES], &l->in[ASKS]);
}

static int make_types(struct link *l)
{
	int queue = msgget(IPC_PRIVATE, 0600);
	*l = (struct link){
		.way = TYPES, .mechanism = "sysv_msg", .out = { queue, queue }, .in = { queue, queue }
	};
	return queue < 0;
}

static int make_sockets(struct link *l)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return -1;
	*l = (struct link){ .mechanism = "unix_stream",
			    .out = { ends[0], ends[1] },
			    .in = { ends[0], ends[1] } };
	return 0;
}

static int make_rings(struct link *l)
{
	struct ring *rings = shared->rings[l - to_bottom];
	*l = (struct link){ .way = RINGS, .mechanism = "posix_sem", .rings = { &rings[0], &rings[1] } };
	return sem_init(&rings[0].filled, 1, 0) || sem_init(&rings[1].filled, 1, 0);
}

static int make(struct reference_run *run, struct link *links, unsigned long many,
		int (*make_one)(struct link *l), enum node asks, enum node serves)
{
	for (unsigned long i = 0; i < many; i++) {
		if (make_one(&links[i]))
			return reference_failed(run, "cannot make a link");
		links[i].ends[ASKS] = asks;
		links[i].ends[SERVES] = serves;
	}
	return 0;
}

static int listen_here(struct reference_run *run)
{
	struct sockaddr_storage name;
	socklen_t size = reference_path_name(0, &name);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&name, size) || listen(listener, CLIENTS))
		return reference_failed(run, "cannot listen");
	return 0;
}

static int open_all(struct reference_run *run)
{
	unsigned long many = run->options.producers;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || sem_init(&shared->jobs, 1, 0))
		return reference_failed(run, "shared memory");
	return reference_make_folder(run) || listen_here(run) ||
	       make(run, to_left, many, make_pipes, FRONT, LEFT) ||
	       make(run, to_right, many, make_queues, FRONT, RIGHT) ||
	       make(run, to_middle, WORKERS, make_types, LEFT, MIDDLE) ||
	       make(run, to_lower, WORKERS, make_sockets, MIDDLE, LOWER) ||
	       make(run, to_bottom, WORKERS, make_rings, LOWER, BOTTOM) ||
	       make(run, to_side, WORKERS, make_pipes, RIGHT, SIDE);
}

static int close_all(struct reference_run *run)
{
	for (unsigned int i = 0; i < WORKERS; i++)
		if (to_middle[i].mechanism && msgctl(to_middle[i].out[ASKS], IPC_RMID, NULL))
			return reference_failed(run, "msgctl");
	munmap(shared, sizeof(*shared));
	return reference_remove_folder(run);
}

static const char *refuse(const struct reference_options *o)
{
	return o->producers > CLIENTS ? "front has at most 8 clients" : NULL;
}

const struct reference reference_chain = {
	.name = "chain",
	.mechanism = "none",
	.summary = "requests that cause requests: trees through seven processes, five deep",
	.features = REFERENCE_PRODUCERS | REFERENCE_NO_BYTES | REFERENCE_NO_KILL | REFERENCE_CALLS,
	.defaults = { .messages = 100, .producers = 2 },
	.refuses = refuse,
	.open = open_all,
	.run = run_all,
	.close = close_all,
};
