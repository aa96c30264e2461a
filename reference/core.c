// SPDX-License-Identifier: BSD-2-Clause
/* What all reference programs share (reference.h): options, messages, processes, accounts, the ledger. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reference.h"

#define REFERENCE(name) extern const struct reference reference_##name;
#include "references.def"
#undef REFERENCE

const struct reference *const references[] = {
#define REFERENCE(name) &reference_##name,
#include "references.def"
#undef REFERENCE
	NULL,
};

enum {
	TASKS = 2 * REFERENCE_TASKS_MAX + 1, /* and the parent */
	PEERS = 4096,
	SAMPLES = 4096, /* of latency */
};

struct peers {
	struct peer {
		unsigned int peer;
		unsigned long messages;
		uint64_t bytes;
	} list[PEERS];
	unsigned int count;
};

/* What one process did. All zero: it never told. */
struct account {
	bool written, overflowed;
	unsigned long sends, receives, made, taken;
	uint64_t bytes_made, bytes_sent, bytes_received;
	uint64_t first, last; /* the first turn, the last message that came */
	struct peers sent, came;
	struct {
		pid_t pid;
		unsigned long sends, receives;
	} others[PEERS];
	unsigned int other_count;
	uint64_t latency[SAMPLES];
	unsigned int samples;
};

struct task {
	pid_t pid;
	enum reference_role role;
	unsigned int index;
	bool ended;
};

/* Of a run; each process has its copy, in which its own account grows. */
struct reference_core {
	struct account account;
	struct task tasks[TASKS];
	unsigned int task_count;
	FILE *accounts; /* of the tasks, in their order; behind them STAMPS */
	bool quiet, stamps;
	unsigned long number;			 /* of the next message */
	unsigned long next[REFERENCE_TASKS_MAX]; /* at least, of each producer */
	uint64_t random, start;
	union {
		struct reference_head head;
		char bytes[REFERENCE_SIZE_MAX];
	} message;
};

uint64_t reference_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Lines on stderr. */

int reference_wrong(const struct reference_run *run, const char *format, ...)
{
	va_list ap;
	if (run->core->quiet)
		return -1;
	va_start(ap, format);
	fprintf(stderr, "%s: ", run->reference->name);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	return -1;
}

int reference_failed(const struct reference_run *run, const char *what)
{
	return reference_wrong(run, "%s: %s", what, strerror(errno));
}

/* Messages */

/* Depends on every word and on their order; the message's own field counts as 0. */
static uint64_t checksum(const void *message, size_t size)
{
	const unsigned char *bytes = message;
	uint64_t sum = size, sums = 0, word;
	for (size_t i = sizeof(uint64_t); i < size; i += sizeof(word)) {
		word = 0;
		memcpy(&word, bytes + i, size - i < sizeof(word) ? size - i : sizeof(word));
		sum += word;
		sums += sum;
	}
	return sum ^ sums * 0x9e3779b97f4a7c15ULL;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void seed(struct reference_core *c, unsigned long number, unsigned int index)
{
	c->random = (number + 1) * 0x9e3779b97f4a7c15ULL + index;
}

/* How many messages this producer sends. */
static unsigned long promised(const struct reference_options *o, unsigned int producer)
{
	return o->kill && producer == 0 ? o->messages / 2 : o->messages;
}

unsigned long reference_share(const struct reference_run *run, unsigned int producer, unsigned int consumer)
{
	unsigned long all = promised(&run->options, producer), ways = run->options.consumers;
	return all / ways + (consumer < all % ways);
}

static unsigned long quota(const struct reference_run *run, unsigned int consumer)
{
	unsigned long all = 0, ways = run->options.consumers;
	for (unsigned int i = 0; i < run->options.producers; i++)
		all += run->reference->features & REFERENCE_PAIRS ? reference_share(run, i, consumer)
								  : promised(&run->options, i);
	return run->reference->features & REFERENCE_PAIRS ? all : all / ways + (consumer < all % ways);
}

static void write_account(struct reference_run *run);

static void wait_for_turn(const struct reference_run *run)
{
	uint64_t at = run->core->start + run->core->number * 1000000000 / run->options.rate;
	struct timespec t = { .tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000) };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* Where the time at which message `number` was sent is kept, of messages that cannot carry it. */
static off_t stamp_place(unsigned long number)
{
	return (off_t)(TASKS * sizeof(struct account) + number % SAMPLES * sizeof(uint64_t));
}

bool reference_turn(struct reference_run *run)
{
	struct reference_core *c = run->core;
	if (c->number == promised(&run->options, run->index)) {
		if (!run->options.kill || run->index > 0)
			return false;
		write_account(run);
		kill(getpid(), SIGKILL);
	}
	if (!c->start)
		c->start = c->account.first = reference_now();
	if (run->options.rate)
		wait_for_turn(run);
	run->consumer = 0;
	run->to = REFERENCE_ANYONE;
	if (run->reference->features & REFERENCE_PAIRS)
		run->consumer = (unsigned int)(c->number % run->options.consumers);
	if (run->reference->features & REFERENCE_PAIRS || run->options.consumers == 1)
		run->to = reference_consumer(run->consumer);
	if (c->stamps) {
		uint64_t time = reference_now();
		if (pwrite(fileno(c->accounts), &time, sizeof(time), stamp_place(c->number)) < 0)
			c->stamps = false;
	}
	c->number++;
	c->account.made++;
	return true;
}

struct reference_head *reference_next(struct reference_run *run)
{
	struct reference_core *c = run->core;
	const struct reference_options *o = &run->options;
	struct reference_head *head = &c->message.head;
	if (!reference_turn(run))
		return NULL;
	size_t size =
		o->size_min +
		(o->size_max > o->size_min ? next_random(&c->random) % (o->size_max - o->size_min + 1) : 0);
	uint64_t pattern = next_random(&c->random);
	for (size_t i = sizeof(*head); i < size; i += sizeof(pattern)) {
		uint64_t word = pattern + i;
		memcpy(c->message.bytes + i, &word, size - i < sizeof(word) ? size - i : sizeof(word));
	}
	*head = (struct reference_head){
		.time = reference_now(),
		.number = (uint32_t)(c->number - 1),
		.size = (uint32_t)size,
		.producer = run->index,
		.pid = getpid(),
	};
	head->checksum = checksum(head, size);
	c->account.bytes_made += size;
	return head;
}

void *reference_buffer(struct reference_run *run)
{
	return &run->core->message;
}

static void sample(struct account *a, uint64_t sent, uint64_t received)
{
	if (a->samples < SAMPLES)
		a->latency[a->samples++] = received - sent;
}

int reference_check(struct reference_run *run, const void *message, size_t size)
{
	const struct reference_head *head = message;
	struct reference_core *c = run->core;
	uint64_t received = reference_now();
	if (size < sizeof(*head) || head->size != size || checksum(message, size) != head->checksum ||
	    head->producer >= run->options.producers)
		return reference_wrong(run, "a damaged message of %zu bytes", size);
	sample(&c->account, head->time, received);
	if (!(run->reference->features & REFERENCE_UNORDERED) && head->number < c->next[head->producer])
		return reference_wrong(run, "producer %u: message %u came after %lu", head->producer,
				       head->number, c->next[head->producer] - 1);
	c->next[head->producer] = head->number + 1UL;
	run->taken++;
	if (run->reference->features & REFERENCE_MEMORY)
		c->account.bytes_received += size;
	return 0;
}

int reference_take(struct reference_run *run, const void *message, size_t size)
{
	if (reference_check(run, message, size))
		return -1;
	reference_came(run, (unsigned int)((const struct reference_head *)message)->pid, 1, size);
	return 0;
}

bool reference_more(const struct reference_run *run)
{
	return run->taken < run->quota;
}

/* Accounts */

static void book(struct reference_run *run, struct peers *peers, unsigned int peer, unsigned long messages,
		 uint64_t bytes)
{
	unsigned int i = 0;
	if (run->reference->features & REFERENCE_VOLUME)
		peer = REFERENCE_OUTSIDE;
	while (i < peers->count && peers->list[i].peer != peer)
		i++;
	if (i == PEERS) {
		run->core->account.overflowed = true;
		return;
	}
	if (i == peers->count)
		peers->list[peers->count++] = (struct peer){ .peer = peer };
	peers->list[i].messages += messages;
	peers->list[i].bytes += bytes;
}

void reference_sent(struct reference_run *run, unsigned int to, uint64_t bytes)
{
	struct account *a = &run->core->account;
	a->sends++;
	a->bytes_sent += bytes;
	book(run, &a->sent, to, 1, bytes);
}

void reference_received(struct reference_run *run, uint64_t bytes)
{
	struct account *a = &run->core->account;
	a->receives++;
	a->bytes_received += bytes;
	if (run->core->stamps && run->role == REFERENCE_CONSUMER) {
		uint64_t sent, received = reference_now();
		if (pread(fileno(run->core->accounts), &sent, sizeof(sent), stamp_place(run->taken)) ==
		    (ssize_t)sizeof(sent))
			sample(a, sent, received);
	}
}

void reference_came(struct reference_run *run, unsigned int from, unsigned long messages, uint64_t bytes)
{
	book(run, &run->core->account.came, from, messages, bytes);
	run->core->account.last = reference_now();
}

void reference_other(struct reference_run *run, pid_t pid, unsigned long sends, unsigned long receives)
{
	struct account *a = &run->core->account;
	if (a->other_count == PEERS) {
		a->overflowed = true;
		return;
	}
	a->others[a->other_count].pid = pid;
	a->others[a->other_count].sends = sends;
	a->others[a->other_count++].receives = receives;
}

void reference_waited(struct reference_run *run, const struct reference_call *call)
{
	sample(&run->core->account, call->start, call->end);
	run->core->account.last = call->end;
}

static unsigned int task_of(const struct reference_core *c, enum reference_role role, unsigned int index)
{
	unsigned int i = 0;
	while (i < c->task_count && (c->tasks[i].role != role || c->tasks[i].index != index))
		i++;
	return i;
}

static void write_account(struct reference_run *run)
{
	struct reference_core *c = run->core;
	off_t place = (off_t)(task_of(c, run->role, run->index) * sizeof(c->account));
	c->account.written = true;
	c->account.taken = run->taken;
	if (pwrite(fileno(c->accounts), &c->account, sizeof(c->account), place) !=
	    (ssize_t)sizeof(c->account))
		reference_failed(run, "cannot write the account");
}

pid_t reference_pid(const struct reference_run *run, unsigned int peer)
{
	const struct reference_core *c = run->core;
	if (peer < REFERENCE_INDEXED)
		return (pid_t)peer;
	bool consumes = peer >= reference_consumer(0);
	unsigned int i = task_of(c, consumes ? REFERENCE_CONSUMER : REFERENCE_PRODUCER,
				 peer - (consumes ? reference_consumer(0) : reference_producer(0)));
	return i < c->task_count ? c->tasks[i].pid : 0;
}

/* Processes */

pid_t reference_start(struct reference_run *run, enum reference_role role, unsigned int index,
		      int (*work)(struct reference_run *run))
{
	struct reference_core *c = run->core;
	if (c->task_count == TASKS)
		return reference_wrong(run, "too many processes");
	struct task *t = &c->tasks[c->task_count];
	*t = (struct task){ .role = role, .index = index };
	c->task_count++; /* the child finds its own place by it */
	fflush(stdout);
	t->pid = fork();
	if (t->pid < 0) {
		c->task_count--;
		return reference_failed(run, "fork");
	}
	if (t->pid > 0)
		return t->pid;
	memset(&c->account, 0, sizeof(c->account));
	t->pid = getpid();
	run->role = role;
	run->index = index;
	run->quota = role == REFERENCE_CONSUMER ? quota(run, index) : 0;
	seed(c, run->options.seed, index);
	int failed = work(run);
	write_account(run);
	_exit(failed ? 1 : 0);
}

static struct task *task_of_pid(struct reference_core *c, pid_t pid)
{
	for (unsigned int i = 0; i < c->task_count; i++)
		if (c->tasks[i].pid == pid)
			return &c->tasks[i];
	return NULL;
}

static bool ended_well(const struct reference_run *run, const struct task *t, int status)
{
	if (run->options.kill && t->role == REFERENCE_PRODUCER && t->index == 0)
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	return status == 0;
}

static void end_others(const struct reference_core *c)
{
	for (unsigned int i = 0; i < c->task_count; i++)
		if (!c->tasks[i].ended)
			kill(c->tasks[i].pid, SIGKILL);
}

int reference_wait(struct reference_run *run)
{
	struct reference_core *c = run->core;
	int failed = 0, status;
	for (unsigned int left = c->task_count; left > 0; left--) {
		pid_t pid = wait(&status);
		struct task *t = task_of_pid(c, pid);
		if (pid < 0 || !t)
			return reference_failed(run, "wait");
		t->ended = true;
		if (ended_well(run, t, status) || failed)
			continue;
		failed = reference_wrong(run, "process %d ended with status %#x", pid, status);
		end_others(c); /* they may wait for it */
	}
	return failed;
}

static int run_all(struct reference_run *run)
{
	const struct reference *r = run->part;
	int failed = 0;
	if (r->run)
		return r->run(run);
	for (unsigned int i = 0; i < run->options.consumers && !failed; i++)
		failed = reference_start(run, REFERENCE_CONSUMER, i, r->consume) < 0;
	for (unsigned int i = 0; i < run->options.producers && !failed; i++)
		failed = reference_start(run, REFERENCE_PRODUCER, i, r->produce) < 0;
	if (r->leave && r->leave(run))
		failed = -1;
	if (failed)
		end_others(run->core);
	return reference_wait(run) || failed ? -1 : 0;
}

/* The ledger */

struct edge {
	pid_t src, dst;
	unsigned long messages;
	uint64_t bytes;
	bool by_sender; /* who knows the number of its calls */
};

struct ledger {
	struct account *accounts; /* of the tasks; the parent's is the last */
	pid_t *pids;
	unsigned int count;
	struct edge *edges;
	size_t edge_count;
};

static void free_ledger(struct ledger *l)
{
	free(l->accounts);
	free(l->pids);
	free(l->edges);
}

static struct edge *find_edge(struct ledger *l, pid_t src, pid_t dst)
{
	for (size_t i = 0; i < l->edge_count; i++)
		if (l->edges[i].src == src && l->edges[i].dst == dst)
			return &l->edges[i];
	return NULL;
}

static int add_edge(const struct reference_run *run, struct ledger *l, struct edge new)
{
	struct edge *e = find_edge(l, new.src, new.dst);
	if (e && e->by_sender && !new.by_sender) {
		if (e->bytes != new.bytes)
			return reference_wrong(run, "%d sent %lu bytes to %d, of which %lu came", e->src,
					       (unsigned long)e->bytes, e->dst, (unsigned long)new.bytes);
	} else if (e) {
		e->messages += new.messages;
		e->bytes += new.bytes;
	} else {
		e = reallocarray(l->edges, l->edge_count + 1, sizeof(*e));
		if (!e)
			return reference_failed(run, "ledger");
		l->edges = e;
		l->edges[l->edge_count++] = new;
	}
	return 0;
}

/* What the senders knew first, then what only the receivers know. */
static int add_edges(const struct reference_run *run, struct ledger *l, bool by_sender)
{
	for (unsigned int i = 0; i < l->count; i++) {
		const struct peers *peers = by_sender ? &l->accounts[i].sent : &l->accounts[i].came;
		for (unsigned int k = 0; k < peers->count; k++) {
			const struct peer *p = &peers->list[k];
			pid_t self = l->pids[i], other = reference_pid(run, p->peer);
			struct edge e = { by_sender ? self : other, by_sender ? other : self, p->messages,
					  p->bytes, by_sender };
			if (p->peer != REFERENCE_ANYONE && add_edge(run, l, e))
				return -1;
		}
	}
	return 0;
}

/* Of memory: each could write what each other could read. */
static int add_pairs(const struct reference_run *run, struct ledger *l)
{
	for (unsigned int i = 0; i < l->count; i++)
		for (unsigned int k = 0; k < l->count; k++)
			if (i != k && add_edge(run, l, (struct edge){ .src = l->pids[i], .dst = l->pids[k] }))
				return -1;
	return 0;
}

static int read_accounts(const struct reference_run *run, struct ledger *l)
{
	const struct reference_core *c = run->core;
	unsigned long made = 0, taken = 0;
	l->count = c->task_count + 1;
	l->accounts = calloc(l->count, sizeof(*l->accounts));
	l->pids = calloc(l->count, sizeof(*l->pids));
	if (!l->accounts || !l->pids)
		return reference_failed(run, "ledger");
	for (unsigned int i = 0; i < l->count; i++) {
		struct account *a = &l->accounts[i];
		if (i == c->task_count) {
			*a = c->account;
			l->pids[i] = getpid();
		} else {
			l->pids[i] = c->tasks[i].pid;
			if (pread(fileno(c->accounts), a, sizeof(*a), (off_t)(i * sizeof(*a))) < 0 ||
			    !a->written)
				return reference_wrong(run, "process %d left no account", l->pids[i]);
		}
		if (a->overflowed)
			return reference_wrong(run, "more than %d peers", PEERS);
		made += a->made;
		taken += a->taken;
	}
	if (made != taken && !(run->reference->features & REFERENCE_LOSES))
		return reference_wrong(run, "%lu messages were sent, %lu came", made, taken);
	if (run->reference->features & REFERENCE_MEMORY)
		return add_pairs(run, l);
	return add_edges(run, l, true) || add_edges(run, l, false);
}

static bool is_exact(const struct reference *r, const struct reference_options *o)
{
	if (r->exact)
		return r->exact(o);
	return r->features & (REFERENCE_PAIRS | REFERENCE_MEMORY) || o->producers == 1 || o->consumers == 1;
}

static const char *bytes_text(const struct reference *r, uint64_t bytes, char text[32])
{
	if (r->features & (REFERENCE_NO_BYTES | REFERENCE_MEMORY | REFERENCE_CALLS))
		return "null";
	snprintf(text, 32, "%lu", (unsigned long)bytes);
	return text;
}

static void print_endpoint(FILE *f, const struct reference *r, bool first, pid_t pid, const char *role,
			   unsigned long sends, unsigned long receives, uint64_t sent, uint64_t received)
{
	char a[32], b[32];
	fprintf(f, "%s\n  {\"pid\": %d, \"role\": \"%s\", ", first ? "" : ",", pid, role);
	if (r->features & REFERENCE_CALLS)
		fprintf(f, "\"sends\": null, \"receives\": null, ");
	else
		fprintf(f, "\"sends\": %lu, \"receives\": %lu, ", sends, receives);
	fprintf(f, "\"bytes_sent\": %s, \"bytes_received\": %s}", bytes_text(r, sent, a),
		bytes_text(r, received, b));
}

static void print_endpoints(FILE *f, const struct reference_run *run, const struct ledger *l)
{
	static const char *const roles[] = { "parent", "producer", "consumer" };
	bool first = true;
	for (unsigned int i = 0; i < l->count; i++) {
		const struct account *a = &l->accounts[i];
		bool parent = i == run->core->task_count;
		if (!parent || a->sends || a->receives || run->reference->features & REFERENCE_MEMORY) {
			print_endpoint(f, run->reference, first, l->pids[i],
				       roles[parent ? REFERENCE_PARENT : run->core->tasks[i].role], a->sends,
				       a->receives, a->bytes_sent, a->bytes_received);
			first = false;
		}
		for (unsigned int k = 0; k < a->other_count; k++, first = false)
			print_endpoint(f, run->reference, first, a->others[k].pid, "other",
				       a->others[k].sends, a->others[k].receives, 0, 0);
	}
}

static int print_ledger(FILE *f, struct reference_run *run, const struct ledger *l)
{
	char text[32];
	fprintf(f, "{\"mechanism\": \"%s\", \"exact\": %s,\n \"endpoints\": [",
		run->reference->mechanism ?: run->reference->name,
		is_exact(run->reference, &run->options) ? "true" : "false");
	print_endpoints(f, run, l);
	fprintf(f, "],\n \"edges\": [");
	for (size_t i = 0; i < l->edge_count; i++)
		fprintf(f, "%s\n  {\"src_pid\": %d, \"dst_pid\": %d, \"messages\": %lu, \"bytes\": %s}",
			i ? "," : "", l->edges[i].src, l->edges[i].dst, l->edges[i].messages,
			bytes_text(run->reference, l->edges[i].bytes, text));
	fprintf(f, "]");
	int failed = reference_print_calls(run, f);
	fprintf(f, "}\n");
	return failed;
}

/* A run from open to close. Fills the ledger, which is to be freed in any case. */
static int execute(struct reference_run *run, struct ledger *l)
{
	const struct reference *r = run->part;
	run->core->accounts = tmpfile();
	if (!run->core->accounts)
		return reference_failed(run, "cannot make a temporary file");
	int failed = reference_open_calls(run);
	if (!failed && r->open)
		failed = r->open(run);
	if (!failed)
		failed = run_all(run);
	if (r->close && r->close(run))
		failed = -1;
	if (!failed)
		failed = read_accounts(run, l);
	fclose(run->core->accounts);
	return failed;
}

/* Options */

static const char *why_not(const struct reference *r, const struct reference_options *o)
{
	unsigned int has = r->features;
	if (o->producers > 1 && !(has & (REFERENCE_PRODUCERS | REFERENCE_PAIRS)))
		return "it has one producer";
	if (o->consumers > 1 && !(has & (REFERENCE_CONSUMERS | REFERENCE_PAIRS)))
		return "it has one consumer";
	if (o->nonblocking && !(has & REFERENCE_NONBLOCKING))
		return "it has no non-blocking calls";
	if (o->kill && has & REFERENCE_NO_KILL)
		return "the others cannot go on when a producer is killed";
	if (o->size_max && has & REFERENCE_NO_BYTES)
		return "it carries no data";
	if (o->size_min != o->size_max && !(has & REFERENCE_SIZES))
		return "all its messages have one size";
	if (r->largest && o->size_max > r->largest)
		return "no message can be so large";
	return r->refuses ? r->refuses(o) : NULL;
}

const struct reference *(*reference_load)(const char *name, char *why, size_t size);

/* Whose functions do the work; NULL: they cannot be had, `why` says. */
static const struct reference *part_of(const struct reference *r, const char **why)
{
	static char text[512];
	const struct reference *part = r;
	*why = text;
	if (r->features & REFERENCE_LIBRARY) {
		snprintf(text, sizeof(text), "it needs a library, which this program cannot load");
		part = reference_load ? reference_load(r->name, text, sizeof(text)) : NULL;
	}
	return part;
}

const char *reference_missing(const struct reference *r)
{
	const struct reference_options o = { 0 };
	const char *why;
	const struct reference *part = part_of(r, &why);
	return !part ? why : part != r && part->refuses ? part->refuses(&o) : NULL;
}

/* Why this run cannot be, or NULL: it is ready. */
static const char *prepare(struct reference_run *run)
{
	const char *why = why_not(run->reference, &run->options);
	if (!why)
		why = reference_missing(run->reference);
	if (!why)
		run->part = part_of(run->reference, &why);
	return run->part ? NULL : why;
}

static int parse_number(const char *text, const char **end, unsigned long *value)
{
	char *stop;
	errno = 0;
	*value = strtoul(text, &stop, 10);
	*end = stop;
	return errno || stop == text || *text == '-' ? -1 : 0;
}

static int parse_size(const char *text, struct reference_options *o)
{
	const char *end;
	if (parse_number(text, &end, &o->size_min))
		return -1;
	o->size_max = o->size_min;
	if (*end == '-' && parse_number(end + 1, &end, &o->size_max))
		return -1;
	return *end || o->size_min < REFERENCE_SIZE_MIN || o->size_max > REFERENCE_SIZE_MAX ||
			       o->size_min > o->size_max
		       ? -1
		       : 0;
}

static int parse_variant(const char *const *variants, const char *text, struct reference_options *o)
{
	for (unsigned long i = 0; variants && variants[i]; i++)
		if (!strcmp(variants[i], text)) {
			o->variant = i;
			return 0;
		}
	return -1;
}

enum {
	MESSAGES,
	PRODUCERS,
	CONSUMERS,
	SEED,
	RATE,
	NUMBERS,
	SIZE = NUMBERS,
	VARIANT,
	NONBLOCKING,
	KILL,
	LEDGER
};

static int parse_count(const char *name, int option, const char *text, struct reference_options *o)
{
	const struct {
		const char *name;
		unsigned long *value, min, max;
	} known[NUMBERS] = {
		[MESSAGES] = { "messages", &o->messages, 1, 1000000000 },
		[PRODUCERS] = { "producers", &o->producers, 1, REFERENCE_TASKS_MAX },
		[CONSUMERS] = { "consumers", &o->consumers, 1, REFERENCE_TASKS_MAX },
		[SEED] = { "seed", &o->seed, 0, UINT32_MAX },
		[RATE] = { "rate", &o->rate, 1, 1000000 },
	};
	const char *end;
	unsigned long value;
	if (parse_number(text, &end, &value) || *end || value < known[option].min ||
	    value > known[option].max) {
		fprintf(stderr, "%s: --%s takes a number from %lu to %lu\n", name, known[option].name,
			known[option].min, known[option].max);
		return 2;
	}
	*known[option].value = value;
	return 0;
}

static int parse(const struct reference *r, int argc, char **argv, struct reference_options *o,
		 const char **ledger)
{
	static const struct option options[] = {
		{ "messages", required_argument, NULL, MESSAGES },
		{ "producers", required_argument, NULL, PRODUCERS },
		{ "consumers", required_argument, NULL, CONSUMERS },
		{ "seed", required_argument, NULL, SEED },
		{ "rate", required_argument, NULL, RATE },
		{ "size", required_argument, NULL, SIZE },
		{ "variant", required_argument, NULL, VARIANT },
		{ "nonblocking", no_argument, NULL, NONBLOCKING },
		{ "kill", no_argument, NULL, KILL },
		{ "ledger", required_argument, NULL, LEDGER },
		{ 0 },
	};
	int option;
	optind = 0; /* getopt may have been used before us */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == SIZE && parse_size(optarg, o)) {
			fprintf(stderr, "%s: --size takes a number from %d to %d, or two: MIN-MAX\n", r->name,
				REFERENCE_SIZE_MIN, REFERENCE_SIZE_MAX);
			return 2;
		}
		if (option == VARIANT && parse_variant(r->variants, optarg, o)) {
			fprintf(stderr, "%s: no variant '%s':", r->name, optarg);
			for (const char *const *v = r->variants; v && *v; v++)
				fprintf(stderr, " %s", *v);
			fputc('\n', stderr);
			return 2;
		}
		if (option == '?' || (option < NUMBERS && parse_count(r->name, option, optarg, o)))
			return 2;
		if (option == LEDGER)
			*ledger = optarg;
		o->nonblocking |= option == NONBLOCKING;
		o->kill |= option == KILL;
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", r->name, argv[optind]);
		return 2;
	}
	return 0;
}

/* What is not told. */
static void complete(const struct reference *r, struct reference_options *o)
{
	const struct reference_options *d = &r->defaults;
	o->messages = o->messages ? o->messages : d->messages ? d->messages : 1000;
	o->producers = o->producers ? o->producers : d->producers ? d->producers : 1;
	o->consumers = o->consumers ? o->consumers : d->consumers ? d->consumers : 1;
	if (!o->size_max && !(r->features & REFERENCE_NO_BYTES)) {
		o->size_min = d->size_max ? d->size_min : 64;
		o->size_max = d->size_max ? d->size_max : 64;
	}
}

static struct reference_run *new_run(const struct reference *r, const struct reference_options *o)
{
	struct reference_run *run = calloc(1, sizeof(*run));
	struct reference_core *c = calloc(1, sizeof(*c));
	if (!run || !c) {
		free(run);
		free(c);
		return NULL;
	}
	*run = (struct reference_run){ .reference = r, .options = *o, .core = c };
	seed(c, o->seed, 0);
	complete(r, &run->options);
	return run;
}

static void free_run(struct reference_run *run)
{
	free(run->core);
	free(run);
}

/* Runs one. Its ledger goes to `f`, behind what stands there: `before`. */
static int run_one(const struct reference *r, const struct reference_options *o, FILE *f, const char *before)
{
	struct ledger l = { 0 };
	struct reference_run *run = new_run(r, o);
	if (!run)
		return 1;
	const char *why = prepare(run);
	int failed = 0;
	if (why)
		fprintf(stderr, "reference: %s: not applicable: %s\n", r->name, why);
	else
		failed = execute(run, &l);
	if (f && !why && !failed) {
		fputs(before, f);
		failed = print_ledger(f, run, &l);
	}
	reference_close_calls();
	free_ledger(&l);
	free_run(run);
	return why ? REFERENCE_NOT_APPLICABLE : failed ? 1 : 0;
}

static FILE *open_ledger(const char *path)
{
	FILE *f = fopen(path, "we");
	if (!f)
		fprintf(stderr, "reference: %s: %s\n", path, strerror(errno));
	return f;
}

static int close_ledger(FILE *f, const char *path)
{
	bool failed = ferror(f);
	if ((f == stdout ? fflush(f) : fclose(f)) || failed) {
		fprintf(stderr, "reference: cannot write %s: %s\n", path, strerror(errno));
		return 1;
	}
	return 0;
}

int reference_main(const struct reference *r, int argc, char **argv, const char *ledger)
{
	struct reference_options o = { 0 };
	int status = parse(r, argc, argv, &o, &ledger);
	if (status)
		return status;
	FILE *f = ledger ? open_ledger(ledger) : stdout;
	if (!f)
		return 1;
	status = run_one(r, &o, f, "");
	return close_ledger(f, ledger ? ledger : "stdout") ? 1 : status;
}

int reference_all(int argc, char **argv, const char *ledger)
{
	static const struct reference any = { .name = "reference" };
	static const char *const words[] = { "ok", "failed", "usage", "not applicable" };
	struct reference_options o = { 0 };
	bool failed = false, first = true;
	int status = parse(&any, argc, argv, &o, &ledger);
	if (status)
		return status;
	FILE *f = ledger ? open_ledger(ledger) : NULL;
	if (ledger && !f)
		return 1;
	for (const struct reference *const *r = references; *r; r++) {
		status = run_one(*r, &o, f, first ? "[" : ",\n");
		printf("%-16s %s\n", (*r)->name, words[status]);
		fflush(stdout);
		first &= status != 0;
		failed |= status == 1;
	}
	if (f) {
		fputs(first ? "[]\n" : "]\n", f);
		failed |= close_ledger(f, ledger);
	}
	return failed ? 1 : 0;
}

/* The comparison */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void measure(const struct ledger *l, struct reference_result *result)
{
	uint64_t first = UINT64_MAX, last = 0;
	for (unsigned int i = 0; i < l->count; i++) {
		struct account *a = &l->accounts[i];
		if (a->first && a->first < first)
			first = a->first;
		if (a->last > last)
			last = a->last;
		result->messages += a->made;
		result->bytes += a->bytes_made;
		if (!a->samples)
			continue;
		qsort(a->latency, a->samples, sizeof(a->latency[0]), by_value);
		result->p50 = a->latency[a->samples / 2];
		result->p99 = a->latency[a->samples * 99 / 100];
	}
	result->nanoseconds = last > first ? last - first : 0;
}

int reference_measure(const struct reference *r, const struct reference_options *o,
		      struct reference_result *result)
{
	struct ledger l = { 0 };
	struct reference_run *run = new_run(r, o);
	if (!run)
		return 1;
	const char *why = prepare(run);
	*result = (struct reference_result){ 0 };
	run->core->quiet = true;
	run->core->stamps = r->features & REFERENCE_NO_BYTES && run->options.rate;
	int failed = why ? 0 : execute(run, &l);
	if (!why && !failed)
		measure(&l, result);
	reference_close_calls();
	free_ledger(&l);
	free_run(run);
	return why ? REFERENCE_NOT_APPLICABLE : failed ? 1 : 0;
}

const struct reference *reference_find(const char *name)
{
	for (const struct reference *const *r = references; *r; r++)
		if (!strcmp((*r)->name, name))
			return *r;
	return NULL;
}
