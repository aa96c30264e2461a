// SPDX-License-Identifier: BSD-2-Clause
/*
 * What an event costs in the arena: the producer's side (two time stamps, 64 bytes, publish, chunk switch) in
 *a process of its own, and the drain's on the other core into a collector that does nothing. Nanoseconds an
 * event, minimum and median of the rounds; and what a poll costs when nothing happens.
 *
 *	bench_arena [EVENTS [ROUNDS]]
 */
#define collector_record    nothing_record
#define collector_loss	    nothing_loss
#define collector_total	    nothing_total
#define collector_watermark nothing_watermark
#define collector_meta	    nothing_meta
#define collector_journal   nothing_journal
#define source_shim	    benched_source

#include "../collector/drain.c"
#include "../preload/ring.c"

#include <sys/mman.h>
#include <sys/wait.h>

#include "measure.h"

enum { ROUNDS_MAX = 100, IDLE_POLLS = 2000 };

struct shared {
	double stamps, produce;
	uint64_t refused, go;
};

static uint64_t taken;
static struct source *source;
static struct ring_process ring;

void collector_record(struct collector *c, enum collector_source kind, const struct ipc_event *e)
{
	(void)c, (void)kind;
	taken += e->call == IPC_CALL_write;
}

void collector_loss(struct collector *c, enum collector_source kind, enum ipc_reason reason, int pid,
		    const char *comm, uint64_t count)
{
	(void)c, (void)kind, (void)reason, (void)pid, (void)comm, (void)count;
}

void collector_total(struct collector *c, enum collector_source kind, uint64_t time,
		     const struct collector_total *t)
{
	(void)c, (void)kind, (void)time, (void)t;
}

void collector_watermark(struct collector *c, enum collector_source kind, uint64_t ns)
{
	(void)c, (void)kind, (void)ns;
}

struct journal *collector_journal(const struct collector *c)
{
	(void)c;
	return NULL;
}

void collector_meta(struct collector *c, const char *key, const char *value)
{
	(void)c, (void)key, (void)value;
}

static bool emit(struct ring_thread *t, uint64_t counter)
{
	uint64_t start = arch_ticks();
	struct ipc_event *slot = ring_begin(&ring, t, 1);
	if (!slot)
		return false;
	slot->start = start;
	slot->duration = arch_ticks() - start;
	slot->object = ipc_object(IPC_MECH_pipe, 1);
	slot->result = 1;
	slot->arg0 = 1;
	slot->arg1 = counter;
	slot->thread = 1;
	slot->call = IPC_CALL_write;
	slot->flags = 0;
	slot->tag = 0;
	ring_publish(t, slot);
	return true;
}

static double stamps_alone(uint64_t events)
{
	uint64_t sum = 0, start = now_ns();
	for (uint64_t i = 0; i < events; i++) {
		uint64_t before = arch_ticks();
		sum += arch_ticks() - before;
	}
	__asm__ volatile("" : : "r"(sum));
	return (double)(now_ns() - start) / (double)events;
}

static void produce(struct shared *shared, uint64_t events)
{
	struct ring_thread t = { 0 };
	pin(0);
	if (ring_attach(&ring, source->file.path, getpid()))
		_exit(1);
	ring.image = 1;
	for (uint64_t i = 0; i < events / 10; i++) /* its pages are mapped afterwards */
		emit(&t, i);
	shared->stamps = stamps_alone(events);
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < events; i++)
		shared->refused += !emit(&t, i);
	shared->produce = (double)(now_ns() - start) / (double)events;
}

static double idle_poll_us(void)
{
	uint64_t start = now_ns();
	for (int i = 0; i < IDLE_POLLS; i++)
		shim_poll(source, NULL, false);
	return (double)(now_ns() - start) / IDLE_POLLS / 1000;
}

/* The drain's own time: of polls that moved something. */
static double round_of(struct shared *shared, uint64_t events)
{
	uint64_t moved = 0, busy = 0;
	taken = 0;
	pid_t pid = fork();
	if (pid == 0) {
		produce(shared, events);
		_exit(0);
	}
	while (taken + shared->refused < events + events / 10) {
		uint64_t start = now_ns();
		long n = shim_poll(source, NULL, false);
		if (n > 0) {
			moved += n;
			busy += now_ns() - start;
		}
		if (n < CHUNK_SLOTS)
			usleep(500);
	}
	waitpid(pid, NULL, 0);
	return (double)busy / (double)moved;
}

int main(int argc, char **argv)
{
	uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000, refused = 0;
	unsigned int rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 7;
	double stamps[ROUNDS_MAX], produced[ROUNDS_MAX], drained[ROUNDS_MAX];
	char error[256];
	struct shared *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || rounds > ROUNDS_MAX || source_make(&source, 0, error, sizeof(error))) {
		fprintf(stderr, "bench_arena: cannot start\n");
		return 1;
	}
	pin(1);
	double idle = idle_poll_us();
	for (unsigned int i = 0; i < rounds; i++) {
		shared->refused = 0;
		drained[i] = round_of(shared, events);
		stamps[i] = shared->stamps;
		produced[i] = shared->produce;
		refused += shared->refused;
	}
	while (!source->file.exhausted && source->file.allocated < ARENA_CHUNKS_DEFAULT)
		arena_file_grow(&source->file);
	qsort(drained, rounds, sizeof(drained[0]), compare_doubles);
	printf("drained_million_per_s %.1f\n", 1000 / drained[0]);
	print_values("two_stamps_ns", stamps, rounds);
	print_values("event_produced_ns", produced, rounds);
	print_values("event_drained_ns", drained, rounds);
	printf("poll_idle_32_us %.2f\n", idle);
	printf("poll_idle_1024_us %.2f\n", idle_poll_us());
	printf("refused %llu of %llu\n", (unsigned long long)refused, (unsigned long long)(events * rounds));
	shim_close(source);
	return 0;
}
